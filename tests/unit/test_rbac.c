/*
 * test_rbac -- every rule of rbac_decide(), by cases from the documented
 * configuration, and by random policies against a second implementation that
 * reads the model instead of the snapshot.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/glob.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "policy/build.h"
#include "policy/rbac.h"

#define POLICY_SIZE	(1u << 20)

static struct pol_head *strict, *lenient;	/* permissions.unlisted */

static void
add_all(struct strlist *list, const char *words)
{
	char *copy = xstrdup(words), *word, *state;

	for (word = strtok_r(copy, " ", &state); word != NULL;
	    word = strtok_r(NULL, " ", &state))
		strlist_add(list, word);
	free(copy);
}

static void
set_grants(struct model_grants *g, const char *json)
{
	char why[256];

	if (json == NULL)
		return;
	if (model_grants_from_json(g, json, why, sizeof(why)) < 0)
		fail_msg("%s: %s", json, why);
}

static struct pol_head *
build(const struct model *m, enum unlisted unlisted)
{
	struct pol_head *p = xcalloc(1, POLICY_SIZE);
	struct conf *conf = xcalloc(1, sizeof(*conf));
	struct err e = { 0 };

	conf->unlisted = unlisted;
	if (policy_build(p, POLICY_SIZE, m, conf, NULL, &e) < 0)
		fail_msg("%s", e.text);
	free(conf);
	return p;
}

static const struct {
	const char	*org, *name;
	bool		 enabled;
	enum tool_policy policy;
	const char	*globs;
	const char	*restrictions;
} servers[] = {
	{ "default", "database_mcp", true, TOOL_POLICY_ALLOW_ALL, "",
	    "{\"dba\":{\"mode\":\"allow_all\"},"
	    "\"read_only\":{\"mode\":\"deny_all\"},"
	    "\"qa_tester\":{\"mode\":\"allow_only\","
	    "\"globs\":[\"get_*\",\"list_*\",\"analyze_*_query\"]},"
	    "\"power_user\":{\"mode\":\"deny\","
	    "\"globs\":[\"compare_*_query_plans\",\"kill_*\"]},"
	    "\"analyst\":{\"mode\":\"allow_all_except\","
	    "\"globs\":[\"get_top_*\"]}}" },
	{ "default", "github_mcp", true, TOOL_POLICY_ALLOW_ONLY,
	    "search_repositories get_file_contents", "{}" },
	{ "default", "everything", true, TOOL_POLICY_ALLOW_ALL_EXCEPT,
	    "delete_* [x-z]_?", "{}" },
	{ "default", "hidden_mcp", true, TOOL_POLICY_ALLOW_ONLY, "", "{}" },
	{ "default", "open_mcp", true, TOOL_POLICY_ALLOW_ALL, "", "{}" },
	{ "default", "off_mcp", false, TOOL_POLICY_ALLOW_ALL, "", "{}" },
	{ "acme", "database_mcp", true, TOOL_POLICY_ALLOW_ALL, "",
	    "{\"dba\":{\"mode\":\"allow_only\",\"globs\":[\"get_*\"]}}" },
	{ "acme", "acme_only", true, TOOL_POLICY_ALLOW_ALL, "", "{}" },
};

static const struct {
	const char	*name, *grants, *allowed, *denied;
} roles[] = {
	{ "guest", "{\"servers\":{\"open_mcp\":{\"mode\":\"custom\","
	    "\"tools\":[\"greet_*\"]}}}", "", "" },
	{ "patterned", NULL, "get_* list_*", "get_secret*" },
	{ "starred", "{\"all\":true}", "", "rm_*" },
	{ "denier", NULL, "", "danger_*" },
};

static const struct {
	const char	*org, *email, *role;
	bool		 active;
	const char	*grants;
} users[] = {
	{ "default", "super", "super_admin", true, NULL },
	{ "default", "admin", "admin", true, NULL },
	{ "default", "admin_off", "admin", false, "{\"all\":true}" },
	{ "default", "admin_none", "admin", true, "{\"servers\":{}}" },
	{ "default", "dba", "dba", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"},"
	    "\"off_mcp\":{\"mode\":\"all\"}}}" },
	{ "default", "power", "power_user", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"},"
	    "\"everything\":{\"mode\":\"inherit\"},"
	    "\"github_mcp\":{\"mode\":\"inherit\"}}}" },
	{ "default", "qa", "qa_tester", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"}}}" },
	{ "default", "analyst", "analyst", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"}}}" },
	{ "default", "reader", "read_only", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"},"
	    "\"open_mcp\":{\"mode\":\"inherit\"}}}" },
	{ "default", "junior", "junior_dba", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"}}}" },
	{ "default", "junior_all", "junior_dba", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"all\"}}}" },
	{ "default", "custom", "developer", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"custom\","
	    "\"tools\":[\"get_*\",\"list_*\",\"analyze_*_query\","
	    "\"compare_*\"],\"deny\":[\"compare_*_query_plans\","
	    "\"get_secret\"]},\"open_mcp\":{\"mode\":\"custom\","
	    "\"tools\":[]}}}" },
	{ "default", "reader_custom", "read_only", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"custom\","
	    "\"tools\":[\"get_database_health\"]}}}" },
	{ "default", "everywhere", "developer", true, "{\"all\":true}" },
	{ "default", "starred", "starred", true, NULL },
	{ "default", "wild", "developer", true,
	    "{\"servers\":{\"*\":{\"mode\":\"inherit\"},"
	    "\"open_mcp\":{\"mode\":\"custom\",\"tools\":[\"a\"]}}}" },
	{ "default", "nothing", "developer", true, NULL },
	{ "default", "blocked", "developer", true, "{\"servers\":{}}" },
	{ "default", "guest", "guest", true, NULL },
	{ "default", "guest_own", "guest", true, "{\"servers\":{}}" },
	{ "default", "patterned", "patterned", true,
	    "{\"servers\":{\"open_mcp\":{\"mode\":\"all\"}}}" },
	{ "default", "denier", "denier", true,
	    "{\"servers\":{\"open_mcp\":{\"mode\":\"custom\","
	    "\"tools\":[\"danger_*\",\"safe\"]}}}" },
	{ "default", "off", "developer", false, "{\"all\":true}" },
	{ "default", "items", "developer", true,
	    "{\"servers\":{\"open_mcp\":{\"mode\":\"inherit\","
	    "\"resources\":[\"file:///pub/*\",\"db://{table}\"],"
	    "\"deny_resources\":[\"*secret*\"],"
	    "\"prompts\":[\"daily_*\"]},"
	    "\"everything\":{\"mode\":\"custom\",\"tools\":[],"
	    "\"resources\":[],\"prompts\":[]},"
	    "\"github_mcp\":{\"mode\":\"custom\",\"tools\":[],"
	    "\"deny_resources\":[\"repo://private/*\"]}}}" },
	{ "acme", "acme_dba", "dba", true,
	    "{\"servers\":{\"database_mcp\":{\"mode\":\"inherit\"}}}" },
	{ "acme", "acme_admin", "admin", true, NULL },
	{ "acme", "acme_super", "super_admin", true, NULL },
	{ "acme", "acme_all", "developer", true, "{\"all\":true}" },
	{ "acme", "acme_guest", "guest", true, NULL },
};
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
fill_servers(struct model *m)
{
	struct model_server *s;
	char why[256];
	size_t i;

	for (i = 0; i < COUNT(servers); i++) {
		s = model_add_server(m, servers[i].name);
		model_set(&s->org, servers[i].org);
		s->enabled = servers[i].enabled;
		s->tool_policy = servers[i].policy;
		add_all(&s->tool_globs, servers[i].globs);
		if (model_restrictions_from_json(s, servers[i].restrictions,
		    why, sizeof(why)) < 0)
			fail_msg("%s", why);
	}
}

static void
fill_people(struct model *m)
{
	struct model_role *r;
	struct model_user *u;
	size_t i;

	model_add_seed_roles(m);
	for (i = 0; i < COUNT(roles); i++) {
		r = model_add_role(m, roles[i].name);
		set_grants(&r->grants, roles[i].grants);
		add_all(&r->allowed_tools, roles[i].allowed);
		add_all(&r->denied_tools, roles[i].denied);
	}
	for (i = 0; i < COUNT(users); i++) {
		u = model_add_user(m, users[i].email);
		model_set(&u->org, users[i].org);
		model_set(&u->role, users[i].role);
		u->active = users[i].active;
		set_grants(&u->grants, users[i].grants);
	}
}

static int
set_up(void **state)
{
	struct model m;

	model_init(&m);
	fill_servers(&m);
	fill_people(&m);
	add_all(&m.blocked_tools, "execute_raw_sql drop_* delete_database "
	    "truncate_* shutdown_* kill_session");
	add_all(&m.admin_only_tools,
	    "compare_*_plans analyze_full_* *_history modify_*");
	strict = build(&m, UNLISTED_DENY);
	lenient = build(&m, UNLISTED_ALLOW);
	model_free(&m);
	return 0;
}

static int
tear_down(void **state)
{
	free(strict);
	free(lenient);
	return 0;
}

struct test_case {
	const char	*user, *org, *server;
	enum item_kind	 kind;
	const char	*name;
	bool		 allow;
	enum rbac_rule	 rule;
	const char	*glob;		/* expected; "" none */
};
#define T(user, server, name, allow, rule, glob) \
	{ user, "default", server, ITEM_TOOL, name, allow, RULE_##rule, glob }
#define A(user, server, name, allow, rule, glob) \
	{ user, "acme", server, ITEM_TOOL, name, allow, RULE_##rule, glob }
#define I(kind, user, server, name, allow, rule, glob) \
	{ user, "default", server, ITEM_##kind, name, allow, RULE_##rule, glob }

static const struct test_case cases[] = {
	/* 1 user, server, organisation; before everything, admins too */
	T("off", "open_mcp", "a", false, USER_INACTIVE, ""),
	T("admin_off", "open_mcp", "a", false, USER_INACTIVE, ""),
	T("dba", "off_mcp", "a", false, SERVER_DISABLED, ""),
	T("admin", "off_mcp", "a", false, SERVER_DISABLED, ""),
	T("super", "off_mcp", "a", false, SERVER_DISABLED, ""),
	T("everywhere", "off_mcp", "a", false, SERVER_DISABLED, ""),
	A("admin", "acme_only", "a", false, OTHER_ORG, ""),
	A("super", "acme_only", "a", false, OTHER_ORG, ""),
	A("everywhere", "acme_only", "a", false, OTHER_ORG, ""),
	A("wild", "acme_only", "a", false, OTHER_ORG, ""),
	A("dba", "database_mcp", "get_x", false, OTHER_ORG, ""),
	T("acme_admin", "database_mcp", "get_x", false, OTHER_ORG, ""),
	T("acme_super", "open_mcp", "a", false, OTHER_ORG, ""),
	T("acme_all", "open_mcp", "a", false, OTHER_ORG, ""),
	T("acme_dba", "database_mcp", "get_x", false, OTHER_ORG, ""),
	T("acme_guest", "open_mcp", "greet_user", false, OTHER_ORG, ""),
	T("acme_admin", "off_mcp", "a", false, OTHER_ORG, ""),
	A("acme_admin", "database_mcp", "anything", true, ADMIN, ""),
	A("acme_all", "acme_only", "a", true, ALL_SERVERS, ""),
	A("acme_dba", "database_mcp", "get_x", true, ROLE_ALLOW_ONLY, "get_*"),
	A("acme_dba", "database_mcp", "set_x", false, ROLE_NOT_IN_ONLY, ""),
	A("acme_dba", "acme_only", "a", false, SERVER_NOT_ALLOWED, ""),

	/* 2 tool_policy: exposure, for administrators as well */
	T("power", "github_mcp", "search_repositories", true,
	    NO_RESTRICTIONS, ""),
	T("power", "github_mcp", "get_file_contents", true,
	    NO_RESTRICTIONS, ""),
	T("power", "github_mcp", "create_issue", false, NOT_EXPOSED, ""),
	T("admin", "github_mcp", "create_issue", false, NOT_EXPOSED, ""),
	T("super", "github_mcp", "create_issue", false, NOT_EXPOSED, ""),
	T("power", "everything", "echo", true, NO_RESTRICTIONS, ""),
	T("power", "everything", "delete_row", false, NOT_EXPOSED, "delete_*"),
	T("admin", "everything", "delete_row", false, NOT_EXPOSED, "delete_*"),
	T("super", "everything", "delete_row", false, NOT_EXPOSED, "delete_*"),
	T("power", "everything", "y_1", false, NOT_EXPOSED, "[x-z]_?"),
	T("power", "everything", "a_1", true, NO_RESTRICTIONS, ""),
	T("power", "everything", "Delete_row", true, NO_RESTRICTIONS, ""),
	T("super", "hidden_mcp", "a", false, NOT_EXPOSED, ""),
	T("admin", "github_mcp", "search_repositories", true, ADMIN, ""),

	/* 3 global blocked_tools; only super administrators pass */
	T("dba", "database_mcp", "execute_raw_sql", false, BLOCKED,
	    "execute_raw_sql"),
	T("admin", "database_mcp", "execute_raw_sql", false, BLOCKED,
	    "execute_raw_sql"),
	T("super", "database_mcp", "execute_raw_sql", true, ADMIN, ""),
	T("admin", "open_mcp", "drop_table", false, BLOCKED, "drop_*"),
	T("super", "open_mcp", "drop_table", true, ADMIN, ""),
	T("everywhere", "open_mcp", "truncate_all", false, BLOCKED,
	    "truncate_*"),
	T("starred", "open_mcp", "shutdown_now", false, BLOCKED, "shutdown_*"),
	T("junior_all", "database_mcp", "delete_database", false, BLOCKED,
	    "delete_database"),
	T("junior_all", "database_mcp", "kill_session", false, BLOCKED,
	    "kill_session"),
	T("junior_all", "database_mcp", "kill_sessions", true, MODE_ALL, ""),
	A("acme_super", "acme_only", "drop_table", true, ADMIN, ""),
	A("acme_all", "acme_only", "drop_table", false, BLOCKED, "drop_*"),

	/* 4 global admin_only_tools */
	T("junior", "database_mcp", "compare_oracle_query_plans", false,
	    ADMIN_ONLY, "compare_*_plans"),
	T("junior_all", "database_mcp", "compare_oracle_query_plans", false,
	    ADMIN_ONLY, "compare_*_plans"),
	T("dba", "database_mcp", "compare_mysql_query_plans", false,
	    ADMIN_ONLY, "compare_*_plans"),
	T("custom", "database_mcp", "compare_oracle_query_plans", false,
	    ADMIN_ONLY, "compare_*_plans"),
	T("everywhere", "database_mcp", "analyze_full_table", false,
	    ADMIN_ONLY, "analyze_full_*"),
	T("everywhere", "open_mcp", "query_history", false, ADMIN_ONLY,
	    "*_history"),
	T("power", "everything", "modify_user", false, ADMIN_ONLY, "modify_*"),
	T("admin", "database_mcp", "compare_oracle_query_plans", true,
	    ADMIN, ""),
	T("super", "database_mcp", "compare_mysql_query_plans", true,
	    ADMIN, ""),
	T("admin", "open_mcp", "query_history", true, ADMIN, ""),

	/* 5 administrators and "*" */
	T("admin", "database_mcp", "get_top_queries", true, ADMIN, ""),
	T("admin_none", "open_mcp", "a", true, ADMIN, ""),
	T("everywhere", "database_mcp", "get_top_queries", true,
	    ALL_SERVERS, ""),
	T("everywhere", "open_mcp", "a", true, ALL_SERVERS, ""),
	T("starred", "open_mcp", "a", true, ALL_SERVERS, ""),
	T("starred", "open_mcp", "rm_all", false, ROLE_TOOLS_DENY, "rm_*"),

	/* 6 allowed_mcps */
	T("dba", "open_mcp", "a", false, SERVER_NOT_ALLOWED, ""),
	T("nothing", "open_mcp", "a", false, SERVER_NOT_ALLOWED, ""),
	T("blocked", "open_mcp", "a", false, SERVER_NOT_ALLOWED, ""),
	T("guest", "database_mcp", "greet_user", false,
	    SERVER_NOT_ALLOWED, ""),
	T("guest", "open_mcp", "greet_user", true, CUSTOM_MATCH, "greet_*"),
	T("guest", "open_mcp", "meet_user", false, CUSTOM_NO_MATCH, ""),
	T("guest_own", "open_mcp", "greet_user", false,
	    SERVER_NOT_ALLOWED, ""),
	T("wild", "everything", "a", true, NO_RESTRICTIONS, ""),
	T("wild", "open_mcp", "a", true, CUSTOM_MATCH, "a"),
	T("wild", "open_mcp", "b", false, CUSTOM_NO_MATCH, ""),
	T("wild", "database_mcp", "get_x", false, ROLE_UNLISTED_DENY, ""),
	A("acme_guest", "acme_only", "greet_user", false,
	    SERVER_NOT_ALLOWED, ""),

	/* 7 mode custom: globs, minus deny; an empty list blocks */
	T("custom", "database_mcp", "get_database_health", true,
	    CUSTOM_MATCH, "get_*"),
	T("custom", "database_mcp", "list_available_databases", true,
	    CUSTOM_MATCH, "list_*"),
	T("custom", "database_mcp", "analyze_oracle_query", true,
	    CUSTOM_MATCH, "analyze_*_query"),
	T("custom", "database_mcp", "analyze_mysql_query", true,
	    CUSTOM_MATCH, "analyze_*_query"),
	T("custom", "database_mcp", "compare_tables", true, CUSTOM_MATCH,
	    "compare_*"),
	T("custom", "database_mcp", "get_secret", false, CUSTOM_DENY,
	    "get_secret"),
	T("custom", "database_mcp", "analyze_oracle_queries", false,
	    CUSTOM_NO_MATCH, ""),
	T("custom", "database_mcp", "xget_database_health", false,
	    CUSTOM_NO_MATCH, ""),
	T("custom", "database_mcp", "", false, CUSTOM_NO_MATCH, ""),
	T("custom", "open_mcp", "a", false, CUSTOM_NO_MATCH, ""),
	T("custom", "open_mcp", "get_x", false, CUSTOM_NO_MATCH, ""),
	T("custom", "everything", "get_x", false, SERVER_NOT_ALLOWED, ""),
	/* own globs hold in place of role_restrictions */
	T("reader_custom", "database_mcp", "get_database_health", true,
	    CUSTOM_MATCH, "get_database_health"),
	T("reader_custom", "database_mcp", "get_top_queries", false,
	    CUSTOM_NO_MATCH, ""),
	/* 7 mode all */
	T("junior_all", "database_mcp", "get_top_queries", true,
	    MODE_ALL, ""),
	/* 7 mode inherit: role_restrictions */
	T("dba", "database_mcp", "get_top_queries", true,
	    ROLE_ALLOW_ALL, ""),
	T("reader", "database_mcp", "get_database_health", false,
	    ROLE_DENY_ALL, ""),
	T("reader", "open_mcp", "a", true, NO_RESTRICTIONS, ""),
	T("qa", "database_mcp", "get_performance_trends", true,
	    ROLE_ALLOW_ONLY, "get_*"),
	T("qa", "database_mcp", "list_available_databases", true,
	    ROLE_ALLOW_ONLY, "list_*"),
	T("qa", "database_mcp", "analyze_mysql_query", true,
	    ROLE_ALLOW_ONLY, "analyze_*_query"),
	T("qa", "database_mcp", "compare_tables", false,
	    ROLE_NOT_IN_ONLY, ""),
	T("qa", "database_mcp", "compare_oracle_query_plans", false,
	    ADMIN_ONLY, "compare_*_plans"),
	T("power", "database_mcp", "get_top_queries", true,
	    ROLE_NOT_DENIED, ""),
	T("power", "database_mcp", "kill_query", false, ROLE_DENY, "kill_*"),
	T("analyst", "database_mcp", "get_top_queries", false, ROLE_DENY,
	    "get_top_*"),
	T("analyst", "database_mcp", "get_database_health", true,
	    ROLE_NOT_DENIED, ""),
	T("junior", "database_mcp", "get_database_health", false,
	    ROLE_UNLISTED_DENY, ""),

	/* 8 the role's own patterns */
	T("patterned", "open_mcp", "get_user", true, MODE_ALL, ""),
	T("patterned", "open_mcp", "list_users", true, MODE_ALL, ""),
	T("patterned", "open_mcp", "set_user", false,
	    ROLE_TOOLS_NO_MATCH, ""),
	T("patterned", "open_mcp", "get_secret_key", false,
	    ROLE_TOOLS_DENY, "get_secret*"),
	T("denier", "open_mcp", "safe", true, CUSTOM_MATCH, "safe"),
	T("denier", "open_mcp", "danger_zone", false, ROLE_TOOLS_DENY,
	    "danger_*"),
	T("denier", "open_mcp", "other", false, CUSTOM_NO_MATCH, ""),

	/* resources, templates, prompts: rules 1, 5, 6 and their own lists */
	I(RESOURCE, "items", "open_mcp", "file:///pub/a", true,
	    RESOURCE_MATCH, "file:///pub/*"),
	I(RESOURCE, "items", "open_mcp", "file:///etc/passwd", false,
	    RESOURCE_NO_MATCH, ""),
	I(RESOURCE, "items", "open_mcp", "file:///pub/secret.txt", false,
	    RESOURCE_DENY, "*secret*"),
	I(RESOURCE, "items", "open_mcp", "file:///pub/../etc/passwd", false,
	    RESOURCE_DOTS, ""),
	I(RESOURCE, "items", "open_mcp", "file:///pub/a/%2e%2E/x", false,
	    RESOURCE_DOTS, ""),
	I(RESOURCE, "items", "open_mcp", "file:///pub/a%2f..%5Cx", false,
	    RESOURCE_DOTS, ""),
	I(RESOURCE, "items", "open_mcp", "file:///pub/..", false,
	    RESOURCE_DOTS, ""),
	I(RESOURCE, "items", "open_mcp", "file:///pub/..?x", false,
	    RESOURCE_DOTS, ""),
	I(RESOURCE, "items", "github_mcp", "repo://x/../private/x", false,
	    RESOURCE_DOTS, ""),
	I(RESOURCE, "items", "open_mcp", "file:///pub/..a/b../...", true,
	    RESOURCE_MATCH, "file:///pub/*"),
	I(RESOURCE, "guest", "open_mcp", "r://a/../x", true,
	    SERVER_ALLOWED, ""),
	I(TEMPLATE, "items", "open_mcp", "db://{table}", true,
	    RESOURCE_MATCH, "db://{table}"),
	I(TEMPLATE, "items", "open_mcp", "db://{secret}", false,
	    RESOURCE_DENY, "*secret*"),
	I(TEMPLATE, "items", "open_mcp", "db://users", false,
	    RESOURCE_NO_MATCH, ""),
	I(RESOURCE, "items", "everything", "file:///pub/a", false,
	    RESOURCE_NO_MATCH, ""),
	I(RESOURCE, "items", "github_mcp", "repo://public/x", true,
	    SERVER_ALLOWED, ""),
	I(RESOURCE, "items", "github_mcp", "repo://private/x", false,
	    RESOURCE_DENY, "repo://private/*"),
	I(PROMPT, "items", "open_mcp", "daily_sales_report", true,
	    PROMPT_MATCH, "daily_*"),
	I(PROMPT, "items", "open_mcp", "secret_report", false,
	    PROMPT_NO_MATCH, ""),
	I(PROMPT, "items", "everything", "daily_x", false,
	    PROMPT_NO_MATCH, ""),
	I(PROMPT, "items", "github_mcp", "daily_x", true,
	    SERVER_ALLOWED, ""),
	I(PROMPT, "items", "database_mcp", "p", false,
	    SERVER_NOT_ALLOWED, ""),
	I(RESOURCE, "admin", "hidden_mcp", "r://x", true, ADMIN, ""),
	I(RESOURCE, "admin", "open_mcp", "drop_table", true, ADMIN, ""),
	I(PROMPT, "everywhere", "open_mcp", "rm_all", true, ALL_SERVERS, ""),
	I(PROMPT, "starred", "open_mcp", "rm_all", true, ALL_SERVERS, ""),
	I(RESOURCE, "guest", "open_mcp", "r://x", true, SERVER_ALLOWED, ""),
	I(RESOURCE, "nothing", "open_mcp", "r://x", false,
	    SERVER_NOT_ALLOWED, ""),
	I(RESOURCE, "off", "open_mcp", "r://x", false, USER_INACTIVE, ""),
	I(PROMPT, "admin", "off_mcp", "p", false, SERVER_DISABLED, ""),
	I(TEMPLATE, "acme_admin", "open_mcp", "r://{x}", false,
	    OTHER_ORG, ""),
};

/* Of the same model, with permissions.unlisted: allow. */
static const struct test_case lenient_cases[] = {
	T("junior", "database_mcp", "get_database_health", true,
	    ROLE_UNLISTED_ALLOW, ""),
	T("junior", "database_mcp", "compare_oracle_query_plans", false,
	    ADMIN_ONLY, "compare_*_plans"),
	T("wild", "database_mcp", "get_x", true, ROLE_UNLISTED_ALLOW, ""),
	T("wild", "database_mcp", "execute_raw_sql", false, BLOCKED,
	    "execute_raw_sql"),
	T("reader", "database_mcp", "get_database_health", false,
	    ROLE_DENY_ALL, ""),
	T("qa", "database_mcp", "compare_tables", false,
	    ROLE_NOT_IN_ONLY, ""),
	T("nothing", "database_mcp", "get_x", false, SERVER_NOT_ALLOWED, ""),
	T("reader", "open_mcp", "a", true, NO_RESTRICTIONS, ""),
};

static uint32_t
find_user(const struct pol_head *p, const char *email)
{
	uint32_t user = pol_find_user(p, span_str(email));

	if (user == POL_NONE)
		fail_msg("no user %s", email);
	return user;
}

static uint32_t
find_server(const struct pol_head *p, const char *org, const char *name)
{
	uint32_t server = pol_find_server(p, pol_find_org(p, span_str(org)),
	    span_str(name));

	if (server == POL_NONE)
		fail_msg("no server %s/%s", org, name);
	return server;
}

static void
run_cases(const struct pol_head *p, const struct test_case *c, size_t n)
{
	struct rbac_verdict v;
	uint32_t user, server;
	const char *glob;

	for (; n > 0; n--, c++) {
		user = find_user(p, c->user);
		server = find_server(p, c->org, c->server);
		v = rbac_decide(p, user, server, c->kind, c->name);
		if (v.rule != c->rule || v.allow != c->allow)
			fail_msg("%s %s/%s %s: %s %s, not %s", c->user, c->org,
			    c->server, c->name, v.allow ? "allow" : "deny",
			    rbac_rule_name(v.rule), rbac_rule_name(c->rule));
		glob = v.glob.len == 0 ? "" : pol_cstr(p, v.glob);
		if (strcmp(glob, c->glob) != 0)
			fail_msg("%s %s %s: glob \"%s\", not \"%s\"", c->user,
			    c->server, c->name, glob, c->glob);
		if (v.allow && !rbac_may_use_server(p, user, server))
			fail_msg("%s may call %s but not use %s", c->user,
			    c->name, c->server);
	}
}

static void
test_cases(void **state)
{
	run_cases(strict, cases, COUNT(cases));
	run_cases(lenient, lenient_cases, COUNT(lenient_cases));
}

/* The table above must not forget a rule. */
static void
test_every_rule_has_a_case(void **state)
{
	bool seen[RULE_COUNT] = { [RULE_NONE] = true };
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		seen[cases[i].rule] = true;
	for (i = 0; i < COUNT(lenient_cases); i++)
		seen[lenient_cases[i].rule] = true;
	for (i = 0; i < RULE_COUNT; i++)
		if (!seen[i])
			fail_msg("no case for %s",
			    rbac_rule_name((enum rbac_rule)i));
}

static void
test_out_of_range(void **state)
{
	uint32_t admin = find_user(strict, "admin");
	uint32_t server = find_server(strict, "default", "open_mcp");
	struct rbac_verdict v;
	char text[128];

	v = rbac_decide(strict, strict->users.n, server, ITEM_TOOL, "a");
	assert_false(v.allow);
	assert_int_equal(v.rule, RULE_NONE);
	v = rbac_decide(strict, admin, strict->servers.n, ITEM_TOOL, "a");
	assert_false(v.allow);
	assert_false(rbac_decide(strict, POL_NONE, POL_NONE, ITEM_TOOL,
	    "a").allow);
	assert_false(rbac_may_use_server(strict, POL_NONE, server));
	assert_false(rbac_may_use_server(strict, admin, POL_NONE));
	rbac_explain(strict, POL_NONE, server, &v, text, sizeof(text));
	assert_string_equal(text, "nothing decided");
}

static void
test_may_use_server(void **state)
{
	static const struct {
		const char *user, *org, *server;
		bool may;
	} t[] = {
		{ "admin", "default", "open_mcp", true },
		{ "admin_none", "default", "open_mcp", true },
		{ "admin", "default", "off_mcp", false },
		{ "admin", "acme", "acme_only", false },
		{ "admin_off", "default", "open_mcp", false },
		{ "everywhere", "default", "open_mcp", true },
		{ "starred", "default", "database_mcp", true },
		{ "everywhere", "default", "off_mcp", false },
		{ "dba", "default", "database_mcp", true },
		{ "dba", "default", "open_mcp", false },
		{ "dba", "default", "off_mcp", false },
		{ "wild", "default", "github_mcp", true },
		{ "wild", "acme", "acme_only", false },
		{ "nothing", "default", "open_mcp", false },
		{ "blocked", "default", "open_mcp", false },
		{ "guest", "default", "open_mcp", true },
		{ "guest", "default", "database_mcp", false },
		{ "off", "default", "open_mcp", false },
		/* denied every tool, but the endpoint is theirs */
		{ "reader", "default", "database_mcp", true },
		{ "acme_all", "acme", "acme_only", true },
		{ "acme_all", "default", "open_mcp", false },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		if (rbac_may_use_server(strict, find_user(strict, t[i].user),
		    find_server(strict, t[i].org, t[i].server)) != t[i].may)
			fail_msg("%s %s", t[i].user, t[i].server);
}

static void
test_explain(void **state)
{
	static const struct {
		const char *user, *server, *tool, *text;
	} t[] = {
		{ "power", "everything", "delete_row",
		    "mcps[everything].tool_policy: delete_*" },
		{ "power", "github_mcp", "x", "mcps[github_mcp].tool_policy: "
		    "tool_policy of the server does not expose it" },
		{ "admin", "open_mcp", "drop_x",
		    "global.blocked_tools: drop_*" },
		{ "dba", "database_mcp", "x_history",
		    "global.admin_only_tools: *_history" },
		{ "qa", "database_mcp", "get_x",
		    "mcps[database_mcp].role_restrictions.qa_tester."
		    "allow_only: get_*" },
		{ "custom", "database_mcp", "get_secret",
		    "users[custom].allowed_mcps.database_mcp.deny: "
		    "get_secret" },
		{ "guest", "open_mcp", "greet_x",
		    "roles[guest].allowed_mcps.open_mcp.tools: greet_*" },
		{ "wild", "everything", "a", "users[wild].allowed_mcps.*: "
		    "mode inherit: the server restricts no role" },
		{ "nothing", "open_mcp", "a", "roles[developer].allowed_mcps: "
		    "the server is not in allowed_mcps" },
		{ "denier", "open_mcp", "danger_x",
		    "roles[denier].denied_tools: danger_*" },
		{ "admin", "open_mcp", "a",
		    "roles[admin]: the role is an administrator's" },
		{ "off", "open_mcp", "a",
		    "users[off].active: the user account is disabled" },
		{ "junior", "database_mcp", "a",
		    "mcps[database_mcp].role_restrictions: "
		    "role_restrictions do not name the role" },
	};
	struct rbac_verdict v;
	uint32_t user, server;
	char text[256], small[8];
	size_t i;

	for (i = 0; i < COUNT(t); i++) {
		user = find_user(strict, t[i].user);
		server = find_server(strict, "default", t[i].server);
		v = rbac_decide(strict, user, server, ITEM_TOOL, t[i].tool);
		rbac_explain(strict, user, server, &v, text, sizeof(text));
		assert_string_equal(text, t[i].text);
		rbac_explain(strict, user, server, &v, small, sizeof(small));
		assert_memory_equal(small, t[i].text, 7);
		assert_int_equal(small[7], '\0');
	}
	for (i = 0; i < RULE_COUNT; i++) {
		v = (struct rbac_verdict){ false, (enum rbac_rule)i, { 0, 0 } };
		rbac_explain(strict, 0, 0, &v, text, sizeof(text));
		assert_non_null(strstr(text,
		    rbac_rule_text((enum rbac_rule)i)));
	}
	assert_string_equal(rbac_rule_name(RULE_CUSTOM_NO_MATCH),
	    "CUSTOM_NO_MATCH");
}

/*
 * Random policies. The second implementation follows the text of rbac.h on
 * the model; it shares nothing with the first but glob_match().
 */
static uint64_t random_state;

static unsigned
pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 33) % n);
}

static const char *const tools[] = { "get_a", "get_b", "set_a", "list_a",
	"drop_a", "a", "b", "x_history" };
static const char *const globs[] = { "get_*", "set_*", "*", "?", "drop_*",
	"*_a", "[a-b]", "*history", "get_b" };
static const char *const orgs[] = { "default", "acme", "zeta" };
static const char *const names[] = { "s0", "s1", "s2", "s3" };
static const char *const role_names[] = { "r0", "r1", "r2", "r3", "boss",
	"root" };
#define ANY(a)	((a)[pick(COUNT(a))])

static void
random_list(struct strlist *list, unsigned max)
{
	unsigned n = pick(max + 1);

	while (n-- > 0)
		strlist_add(list, ANY(globs));
}

static void
random_grants(struct model_grants *g)
{
	struct model_access *a;
	size_t i;

	if (pick(4) == 0)
		return;
	g->given = true;
	g->all = pick(6) == 0;
	for (i = 0; i <= COUNT(names); i++) {
		if (pick(2) == 0)
			continue;
		a = model_add_access(g, i < COUNT(names) ? names[i] : "*");
		a->mode = (enum access_mode)pick(3);
		random_list(&a->tools, 3);
		random_list(&a->deny, 2);
		a->has_resources = pick(2);
		random_list(&a->resources, 3);
		random_list(&a->deny_resources, 2);
		a->has_prompts = pick(2);
		random_list(&a->prompts, 3);
	}
}

static void
random_server(struct model *m, const char *org, const char *name)
{
	struct model_server *s = model_add_server(m, name);
	struct model_restriction *r;
	size_t i;

	model_set(&s->org, org);
	s->enabled = pick(5) != 0;
	s->tool_policy = (enum tool_policy)pick(3);
	random_list(&s->tool_globs, 4);
	for (i = 0; i < COUNT(role_names); i++) {
		if (pick(3) != 0)
			continue;
		r = model_add_restriction(s, role_names[i]);
		r->mode = (enum restriction)pick(5);
		random_list(&r->globs, 3);
	}
}

static void
random_model(struct model *m)
{
	struct model_role *r;
	struct model_user *u;
	char email[16];
	size_t i, j;

	model_init(m);
	for (i = 0; i < COUNT(orgs); i++)
		for (j = 0; j < COUNT(names); j++)
			random_server(m, orgs[i], names[j]);
	for (i = 0; i < COUNT(role_names); i++) {
		r = model_add_role(m, role_names[i]);
		r->is_admin = i >= 4;
		r->is_super = i == 5;
		random_grants(&r->grants);
		if (pick(3) == 0)
			random_list(&r->allowed_tools, 3);
		if (pick(3) == 0)
			random_list(&r->denied_tools, 2);
	}
	for (i = 0; i < 12; i++) {
		snprintf(email, sizeof(email), "u%zu", i);
		u = model_add_user(m, email);
		model_set(&u->org, ANY(orgs));
		model_set(&u->role, ANY(role_names));
		u->active = pick(6) != 0;
		random_grants(&u->grants);
	}
	random_list(&m->blocked_tools, 2);
	random_list(&m->admin_only_tools, 2);
}

static bool
any(const struct strlist *list, const char *name)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (glob_match(list->v[i], span_str(name)))
			return true;
	return false;
}

static const struct model_access *
model_access_to(const struct model_grants *g, const char *server)
{
	const struct model_access *wild = NULL;
	size_t i;

	for (i = 0; i < g->n; i++) {
		if (strcmp(g->access[i].server, server) == 0)
			return &g->access[i];
		if (strcmp(g->access[i].server, "*") == 0)
			wild = &g->access[i];
	}
	return wild;
}

static bool
model_inherit(const struct model_server *s, const char *role,
    const char *name, enum unlisted unlisted)
{
	const struct model_restriction *r;
	size_t i;

	for (i = 0; i < s->n_restrictions; i++) {
		r = &s->restriction[i];
		if (strcmp(r->role, role) != 0)
			continue;
		if (r->mode == RESTRICT_ALLOW_ALL)
			return true;
		if (r->mode == RESTRICT_DENY_ALL)
			return false;
		return any(&r->globs, name) == (r->mode == RESTRICT_ALLOW_ONLY);
	}
	return s->n_restrictions == 0 || unlisted == UNLISTED_ALLOW;
}

static bool
model_tool(const struct model_server *s, const struct model_role *r,
    const struct model_access *a, const char *name, enum unlisted unlisted)
{
	bool base = a->mode == ACCESS_ALL ||
	    (a->mode == ACCESS_CUSTOM && any(&a->tools, name) &&
	    !any(&a->deny, name)) ||
	    (a->mode == ACCESS_INHERIT &&
	    model_inherit(s, r->name, name, unlisted));

	return base && !any(&r->denied_tools, name) &&
	    (r->allowed_tools.n == 0 || any(&r->allowed_tools, name));
}

static bool
model_allows(const struct model *m, const struct model_user *u,
    const struct model_server *s, enum item_kind kind, const char *name,
    enum unlisted unlisted)
{
	const struct model_role *r = model_find_role(m, "default", u->role);
	const struct model_grants *g = u->grants.given ? &u->grants :
	    &r->grants;
	const struct model_access *a = model_access_to(g, s->name);

	if (!u->active || !s->enabled || strcmp(u->org, s->org) != 0)
		return false;
	if (kind == ITEM_TOOL) {
		if (s->tool_policy != TOOL_POLICY_ALLOW_ALL &&
		    any(&s->tool_globs, name) !=
		    (s->tool_policy == TOOL_POLICY_ALLOW_ONLY))
			return false;
		if (any(&m->blocked_tools, name) && !r->is_super)
			return false;
		if (any(&m->admin_only_tools, name) && !r->is_admin)
			return false;
	}
	if (r->is_admin)
		return true;
	if (g->given && g->all)
		return kind != ITEM_TOOL || (!any(&r->denied_tools, name) &&
		    (r->allowed_tools.n == 0 || any(&r->allowed_tools, name)));
	if (!g->given || a == NULL)
		return false;
	if (kind == ITEM_TOOL)
		return model_tool(s, r, a, name, unlisted);
	if (kind == ITEM_PROMPT)
		return !a->has_prompts || any(&a->prompts, name);
	return !any(&a->deny_resources, name) &&
	    (!a->has_resources || any(&a->resources, name));
}

static unsigned
compare_one(const struct model *m, const struct pol_head *p,
    const struct model_user *u, const struct model_server *s)
{
	uint32_t user = find_user(p, u->email);
	uint32_t server = find_server(p, s->org, s->name);
	bool may = rbac_may_use_server(p, user, server);
	struct rbac_verdict v, again;
	enum item_kind kind;
	unsigned allowed = 0;
	size_t i;

	for (kind = ITEM_TOOL; kind < ITEM_KIND_COUNT; kind++) {
		for (i = 0; i < COUNT(tools); i++) {
			v = rbac_decide(p, user, server, kind, tools[i]);
			again = rbac_decide(p, user, server, kind, tools[i]);
			assert_int_equal(v.allow, again.allow);
			assert_int_equal(v.rule, again.rule);
			assert_int_equal(v.glob.off, again.glob.off);
			if (v.allow && !may)
				fail_msg("%s: %s of a denied server", u->email,
				    tools[i]);
			if (v.allow != model_allows(m, u, s, kind, tools[i],
			    p->unlisted))
				fail_msg("%s %s %s kind %d: %s", u->email,
				    s->name, tools[i], (int)kind,
				    rbac_rule_name(v.rule));
			allowed += v.allow;
		}
	}
	return allowed;
}

static void
test_random_policies(void **state)
{
	unsigned round, decisions = 0, allowed = 0;
	struct pol_head *p;
	struct model m;
	size_t i, j;

	for (round = 1; round <= 300; round++) {
		random_state = round * 0x9e3779b97f4a7c15ULL;
		random_model(&m);
		p = build(&m, round % 2 ? UNLISTED_DENY : UNLISTED_ALLOW);
		for (i = 0; i < m.n_users; i++)
			for (j = 0; j < m.n_servers; j++)
				allowed += compare_one(&m, p, &m.user[i],
				    &m.server[j]);
		decisions += m.n_users * m.n_servers * COUNT(tools) *
		    ITEM_KIND_COUNT;
		model_free(&m);
		free(p);
	}
	/* The policies must be worth deciding about. */
	assert_true(allowed > decisions / 50);
	assert_true(allowed < decisions / 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_every_rule_has_a_case),
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_may_use_server),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_random_policies),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
