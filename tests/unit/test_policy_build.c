/*
 * test_policy_build -- what the flattened policy holds, look-ups in it, and
 * buffers that are too small by every number of bytes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "policy/build.h"
#include "shm/rate.h"
#include "shm/shm.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define BIG		(32u << 20)

static struct conf *conf;

static int
set_up(void **state)
{
	conf = xcalloc(1, sizeof(*conf));
	conf->unlisted = UNLISTED_ALLOW;
	return 0;
}

static int
tear_down(void **state)
{
	free(conf);
	return 0;
}

static struct pol_head *
build(const struct model *m, struct shm *shm)
{
	struct pol_head *p = xcalloc(1, BIG);
	struct err e = { 0 };

	if (policy_build(p, BIG, m, conf, shm, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static void
expect_refusal(const struct model *m, const char *text)
{
	struct pol_head *p = xcalloc(1, BIG);
	struct err e = { 0 };

	assert_int_equal(policy_build(p, BIG, m, conf, NULL, &e), -1);
	if (strstr(e.text, text) == NULL)
		fail_msg("\"%s\", not \"%s\"", e.text, text);
	assert_int_not_equal(p->magic, POL_MAGIC);
	free(p);
}

static struct model_user *
add_user(struct model *m, const char *org, const char *email, const char *role)
{
	struct model_user *u = model_add_user(m, email);

	model_set(&u->org, org);
	model_set(&u->role, role);
	return u;
}

static struct model_server *
add_server(struct model *m, const char *org, const char *name)
{
	struct model_server *s = model_add_server(m, name);

	model_set(&s->org, org);
	return s;
}

static void
add_key(struct model *m, const char *org, const char *email, const char *text,
    int64_t id)
{
	struct model_key *k = model_add_key(m);

	model_set(&k->org, org);
	model_set(&k->email, email);
	hash_sha256(text, strlen(text), k->sha256);
	k->id = id;
	k->expires_at = id * 10;
}

static void
add_revoked(struct model *m, const char *jti)
{
	m->revoked = xrealloc(m->revoked,
	    (m->n_revoked + 1) * sizeof(*m->revoked));
	m->revoked[m->n_revoked++] = (struct model_revoked){ xstrdup(jti), 0 };
}

static void
set_grants(struct model_grants *g, const char *json)
{
	char why[256];

	if (model_grants_from_json(g, json, why, sizeof(why)) < 0)
		fail_msg("%s", why);
}

/* A little of everything. */
static void
sample(struct model *m)
{
	struct model_server *s;
	struct model_restriction *r;
	struct model_user *u;

	model_init(m);
	model_add_seed_roles(m);
	s = add_server(m, "zeta", "beta");
	s = add_server(m, "default", "zulu");
	model_set(&s->url, "https://zulu.example/mcp");
	model_set(&s->auth_header, "Authorization: Bearer abc");
	s->timeout_ms = 1500;
	s->retry_delay_ms = 250;
	s->rate_per_minute = 60;
	s->burst = 5;
	s->id = 77;
	s->tool_policy = TOOL_POLICY_ALLOW_ALL_EXCEPT;
	strlist_add(&s->tool_globs, "delete_*");
	r = model_add_restriction(s, "dba");
	r->mode = RESTRICT_ALLOW_ONLY;
	strlist_add(&r->globs, "get_*");
	s = add_server(m, "default", "alpha");
	s->transport = TRANSPORT_STDIO;
	s->enabled = false;
	s->max_attempts = 0;
	model_set(&s->command, "/usr/bin/alpha");
	model_set(&s->cwd, "/tmp");
	strlist_add(&s->args, "--one");
	strlist_add(&s->args, "two");
	strlist_add(&s->env, "K=V");
	add_server(m, "acme", "alpha");

	u = add_user(m, "default", "own@example.org", "dba");
	u->id = 5;
	u->requests_per_hour = 7;
	set_grants(&u->grants, "{\"servers\":{\"*\":{\"mode\":\"all\"},"
	    "\"zulu\":{\"mode\":\"custom\",\"tools\":[\"a\"],"
	    "\"deny\":[\"b\"],\"resources\":[],\"prompts\":[\"p\"]},"
	    "\"gone\":{\"mode\":\"all\"},\"alpha\":{\"mode\":\"inherit\"}}}");
	strlist_add(&u->domains, "sql_help");
	strlist_add(&u->teams, "core");
	add_user(m, "default", "role@example.org", "dba");
	add_user(m, "acme", "role@acme.example", "dba")->active = false;
	u = add_user(m, "acme", "free@acme.example", "dba");
	u->requests_per_hour = 0;
	set_grants(&model_find_role(m, "default", "dba")->grants,
	    "{\"servers\":{\"alpha\":{\"mode\":\"all\"},"
	    "\"zulu\":{\"mode\":\"inherit\"}}}");
	set_grants(&model_set_default_user(m)->grants, "{\"all\":true}");
	add_key(m, "default", "own@example.org", "key one", 1);
	add_key(m, "acme", "role@acme.example", "key two", 2);
	add_key(m, "acme", "own@example.org", "wrong organisation", 3);
	add_key(m, "default", "nobody@example.org", "nobody", 4);
	add_key(m, "nowhere", "own@example.org", "nowhere", 5);
	add_revoked(m, "jti-2");
	add_revoked(m, "jti-1");
	strlist_add(&m->blocked_tools, "drop_*");
	strlist_add(&m->admin_only_tools, "modify_*");
	m->db_loaded = true;
}

static void
assert_str(const struct pol_head *p, struct pol_str s, const char *text)
{
	assert_string_equal(pol_cstr(p, s), text);
	assert_int_equal(s.len, strlen(text));
}

static struct pol_str
item(const struct pol_head *p, struct pol_list list, uint32_t i)
{
	assert_true(i < list.n);
	return ((const struct pol_str *)pol_at(p, list.off))[i];
}

static const struct pol_user *
user(const struct pol_head *p, const char *email)
{
	uint32_t i = pol_find_user(p, span_str(email));

	assert_int_not_equal(i, POL_NONE);
	return pol_user(p, i);
}

static void
test_head(void **state)
{
	struct model m;
	struct pol_head *p;

	sample(&m);
	p = build(&m, NULL);
	assert_int_equal(p->magic, POL_MAGIC);
	assert_int_equal(p->unlisted, UNLISTED_ALLOW);
	assert_true(p->size > sizeof(*p) && p->size < BIG);
	assert_int_equal(p->db_loaded, 1);
	assert_true(p->built_wall_us > 0);
	assert_int_equal(p->orgs.n, 3);
	assert_str(p, item(p, p->orgs, 0), "default");
	assert_str(p, item(p, p->orgs, 1), "acme");
	assert_str(p, item(p, p->orgs, 2), "zeta");
	assert_int_equal(pol_find_org(p, SPAN_LIT("default")), 0);
	assert_int_equal(pol_find_org(p, SPAN_LIT("acme")), 1);
	assert_int_equal(pol_find_org(p, SPAN_LIT("zeta")), 2);
	assert_int_equal(pol_find_org(p, SPAN_LIT("acm")), POL_NONE);
	assert_int_equal(pol_find_org(p, SPAN_LIT("")), POL_NONE);
	assert_str(p, item(p, p->blocked_tools, 0), "drop_*");
	assert_str(p, item(p, p->admin_only_tools, 0), "modify_*");
	model_free(&m);
	free(p);
}

static void
test_servers(void **state)
{
	static const struct {
		uint32_t org;
		const char *name;
	} order[] = { { 0, "alpha" }, { 0, "zulu" }, { 1, "alpha" },
		{ 2, "beta" } };
	const struct pol_restriction *r;
	const struct pol_server *s;
	struct pol_head *p;
	struct model m;
	uint32_t i;

	sample(&m);
	p = build(&m, NULL);
	assert_int_equal(p->servers.n, COUNT(order));
	for (i = 0; i < COUNT(order); i++) {
		s = pol_server(p, i);
		assert_int_equal(s->org, order[i].org);
		assert_str(p, s->name, order[i].name);
		assert_int_equal(s->health, POL_NONE);
		assert_int_equal(pol_find_server(p, order[i].org,
		    span_str(order[i].name)), i);
	}
	assert_int_equal(pol_find_server(p, 1, SPAN_LIT("zulu")), POL_NONE);
	assert_int_equal(pol_find_server(p, 9, SPAN_LIT("alpha")), POL_NONE);
	assert_int_equal(pol_find_server(p, 0, SPAN_LIT("alph")), POL_NONE);

	s = pol_server(p, 0);
	assert_false(s->enabled);
	assert_int_equal(s->transport, TRANSPORT_STDIO);
	assert_int_equal(s->max_attempts, 1);
	assert_str(p, s->command, "/usr/bin/alpha");
	assert_str(p, s->cwd, "/tmp");
	assert_int_equal(s->args.n, 2);
	assert_str(p, item(p, s->args, 1), "two");
	assert_str(p, item(p, s->env, 0), "K=V");
	assert_str(p, s->url, "");

	s = pol_server(p, 1);
	assert_true(s->enabled);
	assert_int_equal(s->id, 77);
	assert_int_equal(s->timeout_ms, 1500);
	assert_int_equal(s->retry_delay_ms, 250);
	assert_int_equal(s->max_attempts, 2);
	assert_int_equal(s->rate_per_minute, 60);
	assert_int_equal(s->burst, 5);
	assert_int_equal(s->tool_policy, TOOL_POLICY_ALLOW_ALL_EXCEPT);
	assert_str(p, item(p, s->tool_globs, 0), "delete_*");
	assert_str(p, s->url, "https://zulu.example/mcp");
	assert_str(p, s->auth_header, "Authorization: Bearer abc");
	assert_int_equal(s->restrictions.n, 1);
	r = pol_at(p, s->restrictions.off);
	assert_int_equal(r->role, pol_find_role(p, 0, SPAN_LIT("dba")));
	assert_int_equal(r->mode, RESTRICT_ALLOW_ONLY);
	assert_str(p, item(p, r->globs, 0), "get_*");
	model_free(&m);
	free(p);
}

static void
test_users(void **state)
{
	const struct pol_access *a;
	const struct pol_user *u;
	struct pol_head *p;
	struct model m;

	sample(&m);
	p = build(&m, NULL);
	assert_int_equal(p->users.n, 5);

	u = user(p, "own@example.org");
	assert_int_equal(u->id, 5);
	assert_int_equal(u->limit_per_hour, 7);
	assert_int_equal(u->grants.given, 1);
	assert_str(p, item(p, u->domains, 0), "sql_help");
	assert_int_equal(u->databases.n, 0);
	assert_str(p, item(p, u->teams, 0), "core");
	/* sorted by server, "gone" left out, "*" last */
	a = pol_at(p, u->grants.access.off);
	assert_int_equal(u->grants.access.n, 3);
	assert_int_equal(a[0].server, 0);
	assert_int_equal(a[0].mode, ACCESS_INHERIT);
	assert_int_equal(a[1].server, 1);
	assert_int_equal(a[1].mode, ACCESS_CUSTOM);
	assert_str(p, item(p, a[1].tools, 0), "a");
	assert_str(p, item(p, a[1].deny, 0), "b");
	assert_int_equal(a[1].has_resources, 1);
	assert_int_equal(a[1].resources.n, 0);
	assert_int_equal(a[1].has_prompts, 1);
	assert_str(p, item(p, a[1].prompts, 0), "p");
	assert_int_equal(a[2].server, POL_NONE);
	assert_int_equal(a[2].mode, ACCESS_ALL);

	/* the role's, and its limit */
	u = user(p, "role@example.org");
	assert_int_equal(u->limit_per_hour, 200);
	assert_int_equal(u->grants.given, 0);
	assert_int_equal(u->grants.access.n, 2);
	assert_int_equal(pol_role(p, u->role)->grants.given, 1);
	/* the same role elsewhere: the servers of that organisation */
	u = user(p, "role@acme.example");
	assert_false(u->active);
	assert_int_equal(u->org, 1);
	assert_int_equal(u->grants.access.n, 1);
	a = pol_at(p, u->grants.access.off);
	assert_int_equal(a->server, 2);
	assert_int_equal(user(p, "free@acme.example")->limit_per_hour, 0);

	/* the default user has no name that could be looked up */
	assert_int_equal(p->default_user, 4);
	u = pol_user(p, p->default_user);
	assert_str(p, u->email, "");
	assert_int_equal(u->grants.all, 1);
	assert_int_equal(pol_find_user(p, SPAN_LIT("")), POL_NONE);
	assert_int_equal(pol_find_user(p, SPAN_LIT("Own@example.org")),
	    POL_NONE);
	assert_int_equal(pol_find_user(p, SPAN_LIT("own@example.or")),
	    POL_NONE);
	model_free(&m);
	free(p);
}

/* A user and a role without allowed_mcps: no server, not the guest's. */
static void
test_no_grants(void **state)
{
	const struct pol_user *u;
	struct pol_head *p;
	struct model m;

	sample(&m);
	add_user(&m, "default", "poor@example.org", "viewer");
	p = build(&m, NULL);
	u = user(p, "poor@example.org");
	assert_int_equal(u->grants.given, 0);
	assert_int_equal(u->grants.all, 0);
	assert_int_equal(u->grants.access.n, 0);
	model_free(&m);
	free(p);
}

static const struct pol_key *
find_key(const struct pol_head *p, const char *text)
{
	uint8_t sha256[32];

	hash_sha256(text, strlen(text), sha256);
	return pol_find_key(p, sha256);
}

static uint32_t
count_keys(const struct pol_head *p)
{
	const struct pol_key *k = pol_at(p, p->key_table.off);
	uint32_t i, n = 0;

	for (i = 0; i < p->key_table.n; i++)
		n += k[i].used;
	return n;
}

static void
test_keys_and_revoked(void **state)
{
	struct pol_head *p;
	struct model m;

	sample(&m);
	add_key(&m, "acme", "role@acme.example", "key one", 9);	/* again */
	p = build(&m, NULL);
	assert_int_equal(count_keys(p), 2);
	assert_non_null(find_key(p, "key one"));
	assert_int_equal(find_key(p, "key one")->id, 1);
	assert_int_equal(find_key(p, "key one")->expires_at, 10);
	assert_int_equal(find_key(p, "key one")->user,
	    pol_find_user(p, SPAN_LIT("own@example.org")));
	assert_int_equal(find_key(p, "key two")->user,
	    pol_find_user(p, SPAN_LIT("role@acme.example")));
	assert_null(find_key(p, "wrong organisation"));
	assert_null(find_key(p, "nobody"));
	assert_null(find_key(p, "nowhere"));
	assert_null(find_key(p, "key"));
	assert_true(pol_is_revoked(p, SPAN_LIT("jti-1")));
	assert_true(pol_is_revoked(p, SPAN_LIT("jti-2")));
	assert_false(pol_is_revoked(p, SPAN_LIT("jti-3")));
	assert_false(pol_is_revoked(p, SPAN_LIT("")));
	model_free(&m);
	free(p);
}

static void
test_empty(void **state)
{
	struct pol_head *p;
	struct model m;

	model_init(&m);
	p = build(&m, NULL);
	assert_int_equal(p->orgs.n, 1);
	assert_int_equal(p->db_loaded, 0);
	assert_int_equal(p->default_user, POL_NONE);
	assert_int_equal(pol_find_user(p, SPAN_LIT("a")), POL_NONE);
	assert_int_equal(pol_find_user_in(p, 0, SPAN_LIT("a")), POL_NONE);
	assert_int_equal(pol_find_server(p, 0, SPAN_LIT("a")), POL_NONE);
	assert_int_equal(pol_find_role(p, 0, SPAN_LIT("admin")), POL_NONE);
	assert_null(find_key(p, "a"));
	assert_false(pol_is_revoked(p, SPAN_LIT("a")));
	free(p);
}

static void
test_same_email_in_two_organisations(void **state)
{
	struct pol_head *p;
	struct model m;
	uint32_t one, two;

	sample(&m);
	add_user(&m, "zeta", "own@example.org", "viewer");
	p = build(&m, NULL);
	one = pol_find_user_in(p, 0, SPAN_LIT("own@example.org"));
	two = pol_find_user_in(p, 2, SPAN_LIT("own@example.org"));
	assert_int_equal(pol_user(p, one)->org, 0);
	assert_int_equal(pol_user(p, two)->org, 2);
	assert_int_equal(pol_find_user_in(p, 1, SPAN_LIT("own@example.org")),
	    POL_NONE);
	assert_int_equal(pol_find_user(p, SPAN_LIT("own@example.org")),
	    POL_NONE);
	model_free(&m);
	free(p);
}

static void
test_role_of_the_organisation(void **state)
{
	struct model_role *r;
	struct pol_head *p;
	struct model m;
	uint32_t own;

	sample(&m);
	r = model_add_role(&m, "dba");
	model_set(&r->org, "acme");
	r->requests_per_hour = 1234;
	p = build(&m, NULL);
	own = pol_find_role(p, 1, SPAN_LIT("dba"));
	assert_int_not_equal(own, pol_find_role(p, 0, SPAN_LIT("dba")));
	assert_int_equal(user(p, "role@acme.example")->role, own);
	assert_int_equal(user(p, "role@acme.example")->limit_per_hour, 1234);
	assert_int_not_equal(user(p, "role@example.org")->role, own);
	model_free(&m);
	free(p);
}

static void
test_refusals(void **state)
{
	struct model m;

	sample(&m);
	model_add_restriction(&m.server[0], "nonesuch");
	expect_refusal(&m, "mcps[beta].role_restrictions: there is no role "
	    "named \"nonesuch\"");
	model_free(&m);
	sample(&m);
	add_user(&m, "default", "x@example.org", "nonesuch");
	expect_refusal(&m, "users[x@example.org]: there is no role named "
	    "\"nonesuch\"");
	model_free(&m);
	sample(&m);
	add_server(&m, "default", "alpha");
	expect_refusal(&m, "two servers named \"alpha\"");
	model_free(&m);
	sample(&m);
	model_add_role(&m, "dba");
	expect_refusal(&m, "two roles named \"dba\"");
	model_free(&m);
}

static void
test_clamps(void **state)
{
	struct model_user *u;
	struct pol_head *p;
	struct model m;

	sample(&m);
	u = add_user(&m, "default", "much@example.org", "dba");
	u->requests_per_hour = INT64_MAX;
	m.server[1].rate_per_minute = -5;
	m.server[1].max_attempts = -1;
	m.server[2].rate_per_minute = 1000000;
	p = build(&m, NULL);
	assert_int_equal(user(p, "much@example.org")->limit_per_hour,
	    SHM_RATE_LIMIT_MAX);
	assert_int_equal(pol_server(p, 0)->rate_per_minute,
	    SHM_RATE_LIMIT_MAX);
	assert_int_equal(pol_server(p, 1)->rate_per_minute, 0);
	assert_int_equal(pol_server(p, 1)->max_attempts, 1);
	model_free(&m);
	free(p);
}

/* The same in every build, and never like a row's id. */
static void
test_ids_are_stable(void **state)
{
	struct pol_head *p, *q;
	struct model m;
	uint32_t i, j;

	sample(&m);
	p = build(&m, NULL);
	q = build(&m, NULL);
	for (i = 0; i < p->servers.n; i++) {
		assert_true(pol_server(p, i)->id == pol_server(q, i)->id);
		assert_true(pol_server(p, i)->config_hash ==
		    pol_server(q, i)->config_hash);
		assert_true(pol_server(p, i)->id == 77 ||
		    pol_server(p, i)->id >= (int64_t)1 << 62);
		for (j = 0; j < i; j++)
			assert_true(pol_server(p, i)->id !=
			    pol_server(p, j)->id);
	}
	for (i = 0; i < p->users.n; i++)
		assert_true(pol_user(p, i)->id == pol_user(q, i)->id);
	assert_true(user(p, "role@example.org")->id >= (int64_t)1 << 62);
	model_free(&m);
	free(p);
	free(q);
}

static uint64_t
zulu_hash(const struct model *m)
{
	struct pol_head *p = build(m, NULL);
	uint64_t hash = pol_server(p, pol_find_server(p, 0,
	    SPAN_LIT("zulu")))->config_hash;

	free(p);
	return hash;
}

static void
test_config_hash(void **state)
{
	struct model_server *s;
	uint64_t hash[10];
	struct model m;
	size_t n = 0, i, j;

	sample(&m);
	s = &m.server[1];
	hash[n++] = zulu_hash(&m);
	model_set(&s->url, "https://other.example/mcp");
	hash[n++] = zulu_hash(&m);
	model_set(&s->command, "/bin/x");
	hash[n++] = zulu_hash(&m);
	strlist_add(&s->args, "x");
	hash[n++] = zulu_hash(&m);
	strlist_free(&s->args);
	strlist_add(&s->env, "x");	/* another list, the same text */
	hash[n++] = zulu_hash(&m);
	strlist_add(&s->args, "");
	hash[n++] = zulu_hash(&m);
	model_set(&s->cwd, "/");
	hash[n++] = zulu_hash(&m);
	model_set(&s->auth_header, "Authorization: Bearer abd");
	hash[n++] = zulu_hash(&m);
	s->transport = TRANSPORT_SSE;
	hash[n++] = zulu_hash(&m);
	for (i = 0; i < n; i++)
		for (j = 0; j < i; j++)
			if (hash[i] == hash[j])
				fail_msg("%zu and %zu are the same", i, j);
	/* What a running connection need not know changes nothing. */
	model_set(&s->description, "new");
	s->timeout_ms = 9;
	strlist_add(&s->tool_globs, "x_*");
	assert_true(zulu_hash(&m) == hash[n - 1]);
	model_free(&m);
}

static void
test_strings_are_shared(void **state)
{
	struct model_user *u;
	struct pol_head *p;
	uint64_t once;
	struct model m;
	int i;

	sample(&m);
	strlist_add(&m.blocked_tools, "a-rather-long-pattern-that-repeats-*");
	p = build(&m, NULL);
	once = p->size;
	free(p);
	u = &m.user[0];
	for (i = 0; i < 100; i++)
		strlist_add(&u->databases,
		    "a-rather-long-pattern-that-repeats-*");
	p = build(&m, NULL);
	assert_int_equal(p->size, once + 100 * sizeof(struct pol_str));
	assert_int_equal(item(p, p->blocked_tools, 1).off,
	    item(p, pol_user(p, 0)->databases, 99).off);
	model_free(&m);
	free(p);
}

/* Every size that is too small is refused, and nothing behind it touched. */
static void
test_full_buffers(void **state)
{
	struct pol_head *p;
	struct model m;
	struct err e;
	size_t need, size, i;
	unsigned char *out;

	sample(&m);
	p = build(&m, NULL);
	need = p->size;
	free(p);
	out = xmalloc(need + 64);
	for (size = 0; size <= need; size++) {
		memset(out, 0xa5, need + 64);
		if (policy_build(out, size, &m, conf, NULL, &e) == 0)
			break;
		assert_int_equal(e.code, ERR_TOOBIG);
		for (i = size; i < need + 64; i++)
			if (out[i] != 0xa5)
				fail_msg("size %zu: byte %zu written", size, i);
	}
	assert_int_equal(size, need);
	assert_int_equal(((struct pol_head *)(void *)out)->magic, POL_MAGIC);
	for (i = size; i < need + 64; i++)
		assert_int_equal(out[i], 0xa5);
	model_free(&m);
	free(out);
}

#define USERS	10000
#define KEYS	5000

static void
test_many(void **state)
{
	char email[64], text[64];
	struct pol_head *p;
	struct model m;
	const struct pol_key *k;
	uint32_t i;

	model_init(&m);
	model_add_seed_roles(&m);
	for (i = 0; i < USERS; i++) {
		snprintf(email, sizeof(email), "user%u@example.org", i);
		add_user(&m, i % 3 ? "default" : "acme", email, "developer");
	}
	for (i = 0; i < KEYS; i++) {
		snprintf(email, sizeof(email), "user%u@example.org", i);
		snprintf(text, sizeof(text), "omni2_%u", i);
		add_key(&m, i % 3 ? "default" : "acme", email, text, i + 1);
	}
	p = build(&m, NULL);
	for (i = 0; i < USERS; i++) {
		snprintf(email, sizeof(email), "user%u@example.org", i);
		assert_int_equal(pol_find_user(p, span_str(email)), i);
		snprintf(email, sizeof(email), "user%u@example.com", i);
		assert_int_equal(pol_find_user(p, span_str(email)), POL_NONE);
	}
	for (i = 0; i < KEYS; i++) {
		snprintf(text, sizeof(text), "omni2_%u", i);
		assert_non_null(k = find_key(p, text));
		assert_int_equal(k->id, i + 1);
		assert_int_equal(k->user, i);
		snprintf(text, sizeof(text), "omni2x%u", i);
		assert_null(find_key(p, text));
	}
	assert_int_equal(count_keys(p), KEYS);
	assert_true(p->key_table.n >= 2 * KEYS);
	assert_true(p->user_table.n >= 2 * USERS);
	assert_int_equal(p->key_table.n & (p->key_table.n - 1), 0);
	model_free(&m);
	free(p);
}

static void
test_health_entries(void **state)
{
	struct shm_sizes sizes = { .slots = 14, .perm_entries = 64,
		.rate_principals = 64, .connections = 64,
		.rate_window_ms = 1000, .conf_size = 4096,
		.policy_size = 4096, .catalog_size = 4096 };
	struct pol_head *p, *q;
	struct model m;
	struct shm shm;
	struct err e;
	uint32_t i, j;

	if (shm_create(&shm, &sizes, &e) < 0)
		fail_msg("%s", e.text);
	sample(&m);
	p = build(&m, &shm);
	q = build(&m, &shm);
	for (i = 0; i < p->servers.n; i++) {
		assert_true(pol_server(p, i)->health < SHM_SERVERS_MAX);
		assert_int_equal(pol_server(p, i)->health,
		    pol_server(q, i)->health);
		assert_true(shm_health(&shm, pol_server(p, i)->health)->
		    server_id == pol_server(p, i)->id);
		for (j = 0; j < i; j++)
			assert_int_not_equal(pol_server(p, i)->health,
			    pol_server(p, j)->health);
	}
	free(q);
	free(p);
	/* One server more than there are entries. */
	for (i = 0; i < SHM_SERVERS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "more%u", i);
		add_server(&m, "default", name);
	}
	p = xcalloc(1, BIG);
	assert_int_equal(policy_build(p, BIG, &m, conf, &shm, &e), -1);
	assert_non_null(strstr(e.text, "more than 1024 servers"));
	free(p);
	model_free(&m);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_no_grants),
		cmocka_unit_test(test_keys_and_revoked),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_same_email_in_two_organisations),
		cmocka_unit_test(test_role_of_the_organisation),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_clamps),
		cmocka_unit_test(test_ids_are_stable),
		cmocka_unit_test(test_config_hash),
		cmocka_unit_test(test_strings_are_shared),
		cmocka_unit_test(test_full_buffers),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_health_entries),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
