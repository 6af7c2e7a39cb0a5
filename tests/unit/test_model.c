/*
 * test_model -- rows, seeds, JSON forms and cross references.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/model.h"

static struct model m;
static struct conf_report report;
static char why[256];

static int
setup(void **state)
{
	model_init(&m);
	why[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	model_free(&m);
	conf_report_free(&report);
	return 0;
}

static void
test_defaults(void **state)
{
	struct model_server *s = model_add_server(&m, "s");
	struct model_role *r = model_add_role(&m, "r");
	struct model_user *u = model_add_user(&m, "u@x");
	struct model_key *k = model_add_key(&m);

	assert_string_equal(s->org, "default");
	assert_string_equal(s->name, "s");
	assert_string_equal(s->display_name, "s");
	assert_string_equal(s->url, "");
	assert_string_equal(s->auth_header, "");
	assert_true(s->enabled);
	assert_int_equal(s->transport, TRANSPORT_HTTP);
	assert_int_equal(s->max_attempts, 2);
	assert_string_equal(r->display_name, "r");
	assert_false(r->is_admin || r->is_super || r->is_seed);
	assert_string_equal(u->role, "read_only");
	assert_true(u->active);
	assert_int_equal(u->requests_per_hour, -1);
	assert_false(u->grants.given);
	assert_string_equal(k->email, "");
	assert_string_equal(model_set_default_user(&m)->name, "Guest User");
	assert_true(m.has_default_user);
	assert_ptr_equal(model_set_default_user(&m), &m.default_user);
}

static void
test_many_rows(void **state)
{
	char name[32];
	int i;

	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "u%d@x", i);
		model_add_user(&m, name);
		strlist_add(&m.blocked_tools, name);
	}
	assert_int_equal(m.n_users, 1000);
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "u%d@x", i);
		assert_ptr_equal(model_find_user(&m, "default", name),
		    &m.user[i]);
		assert_true(strlist_has(&m.blocked_tools, name));
	}
	assert_false(strlist_has(&m.blocked_tools, "u"));
	assert_null(model_find_user(&m, "other", "u1@x"));
	assert_null(model_find_user(&m, "default", "u1000@x"));
}

static void
test_find_by_org(void **state)
{
	model_set(&model_add_server(&m, "s")->org, "acme");
	assert_null(model_find_server(&m, "default", "s"));
	assert_non_null(model_find_server(&m, "acme", "s"));
	assert_null(model_find_role(&m, "default", "r"));
	model_add_role(&m, "r");
	assert_non_null(model_find_role(&m, "default", "r"));
}

static void
test_files(void **state)
{
	char name[] = "a.yaml";
	const char *a = model_add_file(&m, name);

	name[0] = 'b';
	assert_ptr_not_equal(model_add_file(&m, name), a);
	assert_ptr_equal(model_add_file(&m, "a.yaml"), a);
	assert_string_equal(a, "a.yaml");
	assert_int_equal(m.files.n, 2);
}

static void
test_seeds(void **state)
{
	static const struct {
		const char	*name;
		int64_t		 requests_per_hour;
		bool		 admin, super;
	} t[] = {
		{ "super_admin", 0, true, true }, { "admin", 0, true, false },
		{ "dba", 200, false, false }, { "senior_dev", 150, false,
		false }, { "power_user", 100, false, false },
		{ "junior_dba", 50, false, false },
		{ "qa_tester", 50, false, false },
		{ "read_only", 30, false, false },
		{ "contractor", 20, false, false },
	};
	const struct model_role *r;
	size_t i, n;

	model_add_seed_roles(&m);
	n = m.n_roles;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		r = model_find_role(&m, "default", t[i].name);
		assert_non_null(r);
		assert_true(r->is_seed);
		assert_int_equal(r->requests_per_hour, t[i].requests_per_hour);
		assert_int_equal(r->is_admin, t[i].admin);
		assert_int_equal(r->is_super, t[i].super);
	}
	model_add_seed_roles(&m);
	assert_int_equal(m.n_roles, n);
}

/* Rows before and after the seeds both replace them. */
static void
test_seeds_give_way(void **state)
{
	size_t i, n, found = 0;

	model_add_role(&m, "dba")->requests_per_hour = 1;
	model_add_seed_roles(&m);
	n = m.n_roles;
	model_add_role(&m, "contractor")->requests_per_hour = 2;
	model_set(&model_add_role(&m, "viewer")->org, "acme");
	assert_int_equal(model_find_role(&m, "default",
	    "contractor")->requests_per_hour, 2);
	model_add_seed_roles(&m);
	assert_int_equal(m.n_roles, n + 1);
	for (i = 0; i < m.n_roles; i++)
		found += strcmp(m.role[i].name, "contractor") == 0;
	assert_int_equal(found, 1);
	assert_int_equal(model_find_role(&m, "default",
	    "dba")->requests_per_hour, 1);
	assert_true(model_find_role(&m, "default", "viewer")->is_seed);
	assert_false(model_find_role(&m, "acme", "viewer")->is_seed);
	for (i = 0; i < 40; i++)	/* the array still grows well */
		model_add_role(&m, "x");
	assert_int_equal(m.n_roles, n + 41);
}

static void
test_server_names(void **state)
{
	static const struct {
		const char	*name;
		bool		 ok;
	} t[] = {
		{ "a", true }, { "oracle_mcp", true }, { "A-1_b", true },
		{ "9", true }, { "a-", true },
		{ "abcdefghijabcdefghijabcdefghijabcdefghijabcdefgh", true },
		{ "abcdefghijabcdefghijabcdefghijabcdefghijabcdefghi", false },
		{ "", false }, { "_a", false }, { "-a", false },
		{ "a_", false }, { "a__b", false }, { "a b", false },
		{ "a.b", false }, { "\xc3\xa9", false },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		why[0] = '\0';
		assert_int_equal(model_check_server_name(t[i].name, why,
		    sizeof(why)), t[i].ok ? 0 : -1);
		assert_int_equal(why[0] == '\0', t[i].ok);
	}
}

/* What is read is written again the same. */
static void
test_grants_round_trip(void **state)
{
	static const char *const t[] = {
		"null",
		"{\"all\":true}",
		"{\"servers\":{}}",
		"{\"servers\":{\"db\":{\"mode\":\"inherit\"},"
		    "\"git\":{\"mode\":\"all\"},\"*\":{\"mode\":\"inherit\"}}}",
		"{\"servers\":{\"db\":{\"mode\":\"custom\",\"tools\":[]}}}",
		"{\"servers\":{\"db\":{\"mode\":\"custom\","
		    "\"tools\":[\"get_*\",\"x\"],\"deny\":[\"get_y\"],"
		    "\"resources\":[],\"deny_resources\":[\"a\"],"
		    "\"prompts\":[\"p\"]}}}",
	};
	struct model_grants g = { 0 };
	char *json;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(model_grants_from_json(&g, t[i], why,
		    sizeof(why)), 0);
		json = model_grants_to_json(&g);
		assert_string_equal(json, t[i]);
		free(json);
	}
	assert_int_equal(g.n, 1);
	assert_true(g.access[0].has_resources);
	assert_int_equal(g.access[0].resources.n, 0);
	model_grants_free(&g);
}

static void
test_grants_refused(void **state)
{
	static const struct {
		const char	*json, *why;
	} t[] = {
		{ "", "not JSON" },
		{ "{", "not JSON" },
		{ "{\"all\":true} x", "not JSON" },
		{ "{\"all\":true,\"all\":true}", "not JSON: duplicate" },
		{ "[]", "must be null" },
		{ "true", "must be null" },
		{ "{}", "must be null" },
		{ "{\"all\":true,\"servers\":{}}", "must be null" },
		{ "{\"al\":true}", "must be null" },
		{ "{\"all\":false}", "all must be true" },
		{ "{\"servers\":[]}", "servers must be an object" },
		{ "{\"servers\":{\"\":{\"mode\":\"all\"}}}", "without a name" },
		{ "{\"servers\":{\"a\":1}}", "a: must be an object" },
		{ "{\"servers\":{\"a\":{}}}", "a: mode is missing" },
		{ "{\"servers\":{\"a\":{\"mode\":\"x\"}}}", "a: mode must be" },
		{ "{\"servers\":{\"a\":{\"mode\":1}}}", "a: mode must be" },
		{ "{\"servers\":{\"a\":{\"mode\":\"all\",\"x\":1}}}",
		    "unknown member \"x\"" },
		{ "{\"servers\":{\"a\":{\"mode\":\"all\",\"deny\":[\"x\"]}}}",
		    "need mode custom" },
		{ "{\"servers\":{\"a\":{\"mode\":\"custom\",\"tools\":1}}}",
		    "tools must be an array" },
		{ "{\"servers\":{\"a\":{\"mode\":\"custom\",\"tools\":[1]}}}",
		    "tools must be an array" },
		{ "{\"servers\":{\"a\":{\"mode\":\"all\","
		    "\"resources\":[\"[\"]}}}", "is not a pattern" },
		{ "{\"servers\":{\"a\":{\"mode\":\"all\",\"prompts\":[\"\"]}}}",
		    "is not a pattern" },
	};
	struct model_grants g = { 0 };
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		model_add_access(&g, "old");
		assert_int_equal(model_grants_from_json(&g, t[i].json, why,
		    sizeof(why)), -1);
		if (strstr(why, t[i].why) == NULL)
			fail_msg("%s: %s", t[i].json, why);
		assert_false(g.given || g.all || g.n > 0);
	}
}

static void
test_restrictions(void **state)
{
	static const char json[] =
	    "{\"admin\":{\"mode\":\"allow_all\",\"globs\":[]},"
	    "\"dba\":{\"mode\":\"allow_only\",\"globs\":[\"get_*\"]},"
	    "\"a\":{\"mode\":\"deny\",\"globs\":[\"x\"]},"
	    "\"b\":{\"mode\":\"allow_all_except\",\"globs\":[\"y\"]},"
	    "\"qa\":{\"mode\":\"deny_all\",\"globs\":[]}}";
	static const struct {
		const char	*json, *why;
	} bad[] = {
		{ "x", "not JSON" },
		{ "[]", "must be an object" },
		{ "null", "must be an object" },
		{ "{\"\":{\"mode\":\"deny_all\"}}", "without a name" },
		{ "{\"a\":1}", "a: mode must be" },
		{ "{\"a\":{\"mode\":\"some\"}}", "a: mode must be" },
		{ "{\"a\":{\"mode\":\"deny\"}}", "a: globs is missing" },
		{ "{\"a\":{\"mode\":\"deny_all\",\"x\":1}}", "only mode" },
		{ "{\"a\":{\"mode\":\"deny\",\"globs\":[\"[\"]}}",
		    "is not a pattern" },
		{ "{\"a\":{\"mode\":\"deny\",\"globs\":\"x\"}}",
		    "must be an array" },
	};
	struct model_server *s = model_add_server(&m, "s");
	char *out;
	size_t i;

	assert_int_equal(model_restrictions_from_json(s, json, why,
	    sizeof(why)), 0);
	assert_int_equal(s->n_restrictions, 5);
	out = model_restrictions_to_json(s);
	assert_string_equal(out, json);
	free(out);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(model_restrictions_from_json(s, bad[i].json,
		    why, sizeof(why)), -1);
		if (strstr(why, bad[i].why) == NULL)
			fail_msg("%s: %s", bad[i].json, why);
		assert_int_equal(s->n_restrictions, 0);
	}
}

/* Findings as one text; the rows of every kind of test below. */
static void
assert_findings(const char *wanted)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	model_check(&m, &report);
	conf_report_sort(&report);
	conf_report_print(&report, &b);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, wanted);
	buf_free(&b);
}

static void
place(struct model_origin *o, const char *file, int line)
{
	o->file = model_add_file(&m, file);
	o->line = line;
	o->column = 3;
}

static void
test_check_clean(void **state)
{
	struct model_user *u;

	model_add_seed_roles(&m);
	model_add_server(&m, "s");
	u = model_add_user(&m, "a@x");
	model_add_access(&u->grants, "s");
	model_add_access(&u->grants, "*");
	model_set(&model_add_user(&m, "a@x")->org, "acme");
	assert_findings("");
}

static void
test_check_references(void **state)
{
	struct model_server *s;
	struct model_user *u;
	struct model_role *r;

	model_add_seed_roles(&m);
	s = model_add_server(&m, "oracle");
	place(&s->origin, "m.yaml", 2);
	model_add_restriction(s, "dbaa")->line = 9;
	u = model_add_user(&m, "a@x");
	place(&u->origin, "u.yaml", 4);
	model_set(&u->role, "vieweer");
	model_add_access(&u->grants, "oracel");
	r = model_add_role(&m, "ops");
	place(&r->origin, "u.yaml", 8);
	model_add_access(&r->grants, "nothing");
	u = model_set_default_user(&m);
	place(&u->origin, "u.yaml", 20);
	model_set(&u->role, "nobody");
	assert_findings("m.yaml:9: mcps.oracle.role_restrictions: unknown "
	    "role \"dbaa\"; did you mean \"dba\"?\n"
	    "u.yaml:4:3: users.a@x.allowed_mcps: unknown server \"oracel\"; "
	    "did you mean \"oracle\"?\n"
	    "u.yaml:4:3: users.a@x.role: unknown role \"vieweer\"; did you "
	    "mean \"viewer\"?\n"
	    "u.yaml:8:3: roles.ops.allowed_mcps: unknown server \"nothing\"\n"
	    "u.yaml:20:3: default_user.role: unknown role \"nobody\"\n");
}

static void
test_check_twice(void **state)
{
	model_add_seed_roles(&m);
	place(&model_add_server(&m, "s")->origin, "a.yaml", 5);
	place(&model_add_server(&m, "s")->origin, "a.yaml", 3);
	place(&model_add_role(&m, "dba")->origin, "a.yaml", 7);
	place(&model_add_user(&m, "a@x")->origin, "b.yaml", 1);
	place(&model_add_user(&m, "a@x")->origin, "a.yaml", 9);
	assert_findings("a.yaml:5:3: server s is there twice; first at "
	    "a.yaml:3:3\n"
	    "b.yaml:1:3: user a@x is there twice; first at a.yaml:9:3\n");
}

/* What the database says never keeps a file from being loaded. */
static void
test_check_database(void **state)
{
	struct model_user *u;

	model_add_seed_roles(&m);
	place(&model_add_user(&m, "a@x")->origin, "a.yaml", 1);
	model_add_user(&m, "a@x")->origin.source = SOURCE_DB;
	u = model_add_user(&m, "b@x");
	u->origin.source = SOURCE_DB;
	model_set(&u->role, "gone");
	assert_findings("database: warning: user a@x is there twice; used is "
	    "the one at a.yaml:1:3\n"
	    "database: warning: users.b@x.role: unknown role \"gone\"\n");
	assert_int_equal(report.errors, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_defaults), T(test_many_rows), T(test_find_by_org),
		T(test_files), T(test_seeds), T(test_seeds_give_way),
		T(test_server_names), T(test_grants_round_trip),
		T(test_grants_refused), T(test_restrictions),
		T(test_check_clean), T(test_check_references),
		T(test_check_twice), T(test_check_database),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
