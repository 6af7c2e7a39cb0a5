/*
 * q_policy -- writes the rows of the configuration file into the database.
 *
 * Each kind of row is one statement that reads a JSON array, so the number of
 * round trips does not grow with the rows. An UPDATE happens only where
 * something differs: an unchanged file changes no row, fires no trigger, and
 * so does not notify the loader that is running right now. Nodes that share
 * a database must share the rows of their configuration files.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "store/store_int.h"

#define SEED_JSON_MAX	(256u << 20)

int
store_tx_begin(struct db *db, struct store_tx *tx, struct err *e)
{
	tx->own = !db_in_transaction(db);
	return tx->own ? db_begin(db, e) : 0;
}

int
store_tx_end(struct db *db, struct store_tx *tx, int rv, struct err *e)
{
	if (!tx->own)
		return rv;
	if (rv == 0)
		rv = db_commit(db, e);
	if (rv < 0)
		db_rollback(db);
	return rv;
}

int
store_policy_changed(struct db *db, struct err *e)
{
	return db_exec(db, e, "SELECT omni2.policy_changed()", (char *)NULL);
}

int
store_policy_version(struct db *db, int64_t *version, struct err *e)
{
	struct db_result *r = db_query(db, e,
	    "SELECT version FROM omni2.policy_version", 0, NULL);

	if (r == NULL)
		return -1;
	*version = db_rows(r) > 0 ? db_int(r, 0, 0) : 0;
	db_result_free(&r);
	return 0;
}

void
store_list_to_json(const struct strlist *l, struct buf *b)
{
	struct json_out o;
	size_t i;

	json_out_init(&o, b);
	json_array_begin(&o, NULL);
	for (i = 0; i < l->n; i++)
		json_put_str(&o, NULL, l->v[i]);
	json_array_end(&o);
}

void
store_list_from_json(struct strlist *l, const char *json)
{
	struct json_value top, v;
	char text[4096];
	size_t pos = 0;
	long n;

	if (json_check(span_str(json), &top, NULL) != JSON_OK ||
	    top.type != JSON_ARRAY)
		return;
	while (json_next_element(top.raw, &pos, &v)) {
		n = json_string_decode(v, text, sizeof(text) - 1);
		if (n < 0)
			continue;
		text[n] = '\0';
		strlist_add(l, text);
	}
}

static void
put_list(struct json_out *o, const char *name, const struct strlist *l)
{
	size_t i;

	json_array_begin(o, name);
	for (i = 0; i < l->n; i++)
		json_put_str(o, NULL, l->v[i]);
	json_array_end(o);
}

static const char *const protocol_names[] = { "http", "stdio", "sse",
	"websocket" };
static const char *const tool_policy_names[] = { "allow_all", "allow_only",
	"allow_all_except" };
static const char *const auth_names[] = { "none", "bearer", "basic", "header" };

static int
find_name(const char *const *names, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(names[i], s) == 0)
			return (int)i;
	return -1;
}

const char *
store_protocol_name(enum transport t)
{
	return protocol_names[t];
}

int
store_protocol(const char *s)
{
	return find_name(protocol_names, 4, s);
}

const char *
store_tool_policy_name(enum tool_policy p)
{
	return tool_policy_names[p];
}

int
store_tool_policy(const char *s)
{
	return find_name(tool_policy_names, 3, s);
}

const char *
store_auth_name(enum server_auth a)
{
	return auth_names[a];
}

int
store_auth(const char *s)
{
	return find_name(auth_names, 4, s);
}

static void
put_grants(struct json_out *o, const struct model_grants *g)
{
	char *json;

	if (!g->given) {
		json_put_null(o, "allowed_mcps");
		return;
	}
	json = model_grants_to_json(g);
	json_put_str(o, "allowed_mcps", json);
	free(json);
}

/* A secret is stored only for rows that live in the database alone. */
void
store_server_json(struct json_out *o, const struct model_server *s)
{
	char *restrictions = model_restrictions_to_json(s);

	json_object_begin(o, NULL);
	json_put_str(o, "org", s->org);
	json_put_str(o, "name", s->name);
	json_put_str(o, "display_name", s->display_name);
	json_put_str(o, "description", s->description);
	json_put_bool(o, "enabled", s->enabled);
	json_put_str(o, "protocol", store_protocol_name(s->transport));
	json_put_str(o, "url", s->url);
	json_put_str(o, "command", s->command);
	put_list(o, "args", &s->args);
	put_list(o, "env", s->origin.source == SOURCE_DB ? &s->env :
	    &(struct strlist){ NULL, 0 });
	json_put_str(o, "cwd", s->cwd);
	json_put_int(o, "timeout_ms", s->timeout_ms);
	json_put_int(o, "max_attempts", s->max_attempts);
	json_put_int(o, "retry_delay_ms", s->retry_delay_ms);
	json_put_str(o, "auth_type", store_auth_name(s->auth));
	json_put_str(o, "auth_header", s->origin.source == SOURCE_DB ?
	    s->auth_header : NULL);
	json_put_str(o, "tool_policy", store_tool_policy_name(s->tool_policy));
	put_list(o, "tool_globs", &s->tool_globs);
	json_put_str(o, "role_restrictions", restrictions);
	json_put_int(o, "requests_per_minute", s->rate_per_minute);
	json_put_int(o, "burst", s->burst);
	put_list(o, "tags", &s->tags);
	json_object_end(o);
	free(restrictions);
}

void
store_role_json(struct json_out *o, const struct model_role *r)
{
	json_object_begin(o, NULL);
	json_put_str(o, "org", r->org);
	json_put_str(o, "name", r->name);
	json_put_str(o, "display_name", r->display_name);
	json_put_str(o, "description", r->description);
	json_put_bool(o, "is_admin", r->is_admin);
	json_put_bool(o, "is_super", r->is_super);
	json_put_int(o, "requests_per_hour", r->requests_per_hour);
	json_put_int(o, "concurrent_requests", r->concurrent);
	put_grants(o, &r->grants);
	put_list(o, "allowed_tools", &r->allowed_tools);
	put_list(o, "denied_tools", &r->denied_tools);
	json_object_end(o);
}

void
store_user_json(struct json_out *o, const struct model_user *u)
{
	json_object_begin(o, NULL);
	json_put_str(o, "org", u->org);
	json_put_str(o, "email", u->email);
	json_put_str(o, "name", u->name);
	json_put_str(o, "role", u->role);
	json_put_bool(o, "active", u->active);
	json_put_int(o, "requests_per_hour", u->requests_per_hour);
	put_grants(o, &u->grants);
	put_list(o, "allowed_domains", &u->domains);
	put_list(o, "allowed_databases", &u->databases);
	put_list(o, "teams", &u->teams);
	json_put_str(o, "slack_user_id", u->slack_user_id);
	json_object_end(o);
}

#define ORG_JOIN " JOIN omni2.organisations o ON o.name = x.org "

const char store_servers_upsert[] =
    "INSERT INTO omni2.mcp_servers AS t (org_id, source, name, display_name, "
    "description, enabled, protocol, url, command, args, env, cwd, timeout_ms, "
    "max_attempts, retry_delay_ms, auth_type, auth_header, tool_policy, "
    "tool_globs, role_restrictions, requests_per_minute, burst, tags) "
    "SELECT o.id, $2, x.name, x.display_name, x.description, x.enabled, "
    "x.protocol, x.url, x.command, x.args, x.env, x.cwd, x.timeout_ms, "
    "x.max_attempts, x.retry_delay_ms, x.auth_type, x.auth_header, "
    "x.tool_policy, x.tool_globs, x.role_restrictions, x.requests_per_minute, "
    "x.burst, x.tags "
    "FROM jsonb_to_recordset($1::jsonb) AS x (org text, name text, "
    "display_name text, description text, enabled boolean, protocol text, "
    "url text, command text, args jsonb, env jsonb, cwd text, "
    "timeout_ms bigint, max_attempts integer, retry_delay_ms bigint, "
    "auth_type text, auth_header text, tool_policy text, tool_globs jsonb, "
    "role_restrictions text, requests_per_minute bigint, burst bigint, "
    "tags jsonb)" ORG_JOIN
    "ON CONFLICT (org_id, (coalesce(namespace_id, 0)), name) DO UPDATE SET "
    "source = excluded.source, display_name = excluded.display_name, "
    "description = excluded.description, enabled = excluded.enabled, "
    "protocol = excluded.protocol, url = excluded.url, "
    "command = excluded.command, args = excluded.args, env = excluded.env, "
    "cwd = excluded.cwd, timeout_ms = excluded.timeout_ms, "
    "max_attempts = excluded.max_attempts, "
    "retry_delay_ms = excluded.retry_delay_ms, "
    "auth_type = excluded.auth_type, auth_header = excluded.auth_header, "
    "tool_policy = excluded.tool_policy, tool_globs = excluded.tool_globs, "
    "role_restrictions = excluded.role_restrictions, "
    "requests_per_minute = excluded.requests_per_minute, "
    "burst = excluded.burst, tags = excluded.tags "
    "WHERE (t.source, t.display_name, t.description, t.enabled, t.protocol, "
    "t.url, t.command, t.args, t.env, t.cwd, t.timeout_ms, t.max_attempts, "
    "t.retry_delay_ms, t.auth_type, t.auth_header, t.tool_policy, "
    "t.tool_globs, t.role_restrictions, t.requests_per_minute, t.burst, "
    "t.tags) IS DISTINCT FROM (excluded.source, excluded.display_name, "
    "excluded.description, excluded.enabled, excluded.protocol, excluded.url, "
    "excluded.command, excluded.args, excluded.env, excluded.cwd, "
    "excluded.timeout_ms, excluded.max_attempts, excluded.retry_delay_ms, "
    "excluded.auth_type, excluded.auth_header, excluded.tool_policy, "
    "excluded.tool_globs, excluded.role_restrictions, "
    "excluded.requests_per_minute, excluded.burst, excluded.tags)";

const char store_roles_upsert[] =
    "INSERT INTO omni2.roles AS t (org_id, source, name, display_name, "
    "description, is_admin, is_super, requests_per_hour, concurrent_requests, "
    "allowed_mcps, allowed_tools, denied_tools) "
    "SELECT o.id, $2, x.name, x.display_name, x.description, x.is_admin, "
    "x.is_super, x.requests_per_hour, x.concurrent_requests, x.allowed_mcps, "
    "x.allowed_tools, x.denied_tools "
    "FROM jsonb_to_recordset($1::jsonb) AS x (org text, name text, "
    "display_name text, description text, is_admin boolean, is_super boolean, "
    "requests_per_hour bigint, concurrent_requests bigint, allowed_mcps text, "
    "allowed_tools jsonb, denied_tools jsonb)" ORG_JOIN
    "ON CONFLICT (org_id, name) DO UPDATE SET source = excluded.source, "
    "display_name = excluded.display_name, "
    "description = excluded.description, is_admin = excluded.is_admin, "
    "is_super = excluded.is_super, "
    "requests_per_hour = excluded.requests_per_hour, "
    "concurrent_requests = excluded.concurrent_requests, "
    "allowed_mcps = excluded.allowed_mcps, "
    "allowed_tools = excluded.allowed_tools, "
    "denied_tools = excluded.denied_tools "
    "WHERE (t.source, t.display_name, t.description, t.is_admin, t.is_super, "
    "t.requests_per_hour, t.concurrent_requests, t.allowed_mcps, "
    "t.allowed_tools, t.denied_tools) IS DISTINCT FROM (excluded.source, "
    "excluded.display_name, excluded.description, excluded.is_admin, "
    "excluded.is_super, excluded.requests_per_hour, "
    "excluded.concurrent_requests, excluded.allowed_mcps, "
    "excluded.allowed_tools, excluded.denied_tools)";

const char store_users_upsert[] =
    "INSERT INTO omni2.users AS t (org_id, source, email, name, role, active, "
    "requests_per_hour, allowed_mcps, allowed_domains, allowed_databases, "
    "teams, slack_user_id) "
    "SELECT o.id, $2, x.email, x.name, x.role, x.active, x.requests_per_hour, "
    "x.allowed_mcps, x.allowed_domains, x.allowed_databases, x.teams, "
    "x.slack_user_id "
    "FROM jsonb_to_recordset($1::jsonb) AS x (org text, email text, "
    "name text, role text, active boolean, requests_per_hour bigint, "
    "allowed_mcps text, allowed_domains jsonb, allowed_databases jsonb, "
    "teams jsonb, slack_user_id text)" ORG_JOIN
    "ON CONFLICT (org_id, email) DO UPDATE SET source = excluded.source, "
    "name = excluded.name, role = excluded.role, active = excluded.active, "
    "requests_per_hour = excluded.requests_per_hour, "
    "allowed_mcps = excluded.allowed_mcps, "
    "allowed_domains = excluded.allowed_domains, "
    "allowed_databases = excluded.allowed_databases, "
    "teams = excluded.teams, slack_user_id = excluded.slack_user_id "
    "WHERE (t.source, t.name, t.role, t.active, t.requests_per_hour, "
    "t.allowed_mcps, t.allowed_domains, t.allowed_databases, t.teams, "
    "t.slack_user_id) IS DISTINCT FROM (excluded.source, excluded.name, "
    "excluded.role, excluded.active, excluded.requests_per_hour, "
    "excluded.allowed_mcps, excluded.allowed_domains, "
    "excluded.allowed_databases, excluded.teams, excluded.slack_user_id)";

/* Rows of the file that are no longer in it. Users are kept, for the log. */
static const char servers_gone[] =
    "DELETE FROM omni2.mcp_servers t USING omni2.organisations o "
    "WHERE o.id = t.org_id AND t.source = 'yaml' AND NOT EXISTS (SELECT FROM "
    "jsonb_to_recordset($1::jsonb) AS x (org text, name text) "
    "WHERE x.org = o.name AND x.name = t.name)";
static const char roles_gone[] =
    "DELETE FROM omni2.roles t USING omni2.organisations o "
    "WHERE o.id = t.org_id AND t.source = 'yaml' AND NOT EXISTS (SELECT FROM "
    "jsonb_to_recordset($1::jsonb) AS x (org text, name text) "
    "WHERE x.org = o.name AND x.name = t.name)";
static const char users_gone[] =
    "UPDATE omni2.users t SET active = false FROM omni2.organisations o "
    "WHERE o.id = t.org_id AND t.source = 'yaml' AND t.active "
    "AND NOT EXISTS (SELECT FROM "
    "jsonb_to_recordset($1::jsonb) AS x (org text, email text) "
    "WHERE x.org = o.name AND x.email = t.email)";

static int
seed_one(struct db *db, struct buf *json, const char *upsert,
    const char *gone, struct err *e)
{
	buf_add_char(json, '\0');
	if (json->overflow)
		return err_set(e, ERR_TOOBIG, "too many rows to store");
	if (db_exec(db, e, upsert, json->p, "yaml", (char *)NULL) < 0)
		return -1;
	return db_exec(db, e, gone, json->p, (char *)NULL);
}

/* Every organisation that the file names exists. */
static int
seed_orgs(struct db *db, const struct model *m, struct err *e)
{
	struct strlist names = { NULL, 0 };
	struct buf json;
	size_t i;
	int rv;

	strlist_add(&names, "default");
	for (i = 0; i < m->n_servers; i++)
		if (!strlist_has(&names, m->server[i].org))
			strlist_add(&names, m->server[i].org);
	for (i = 0; i < m->n_users; i++)
		if (!strlist_has(&names, m->user[i].org))
			strlist_add(&names, m->user[i].org);
	for (i = 0; i < m->n_roles; i++)
		if (!strlist_has(&names, m->role[i].org))
			strlist_add(&names, m->role[i].org);
	buf_init(&json, SEED_JSON_MAX);
	store_list_to_json(&names, &json);
	buf_add_char(&json, '\0');
	rv = db_exec(db, e, "INSERT INTO omni2.organisations (name) "
	    "SELECT x FROM jsonb_array_elements_text($1::jsonb) AS x "
	    "ON CONFLICT (name) DO NOTHING", json.p, (char *)NULL);
	buf_free(&json);
	strlist_free(&names);
	return rv;
}

static bool
is_from_file(const struct model_origin *o)
{
	return o->source == SOURCE_YAML;
}

static int
seed_rows(struct db *db, const struct model *m, struct err *e)
{
	struct buf s, r, u;
	struct json_out os, or, ou;
	size_t i;
	int rv = -1;

	buf_init(&s, SEED_JSON_MAX);
	buf_init(&r, SEED_JSON_MAX);
	buf_init(&u, SEED_JSON_MAX);
	json_out_init(&os, &s);
	json_out_init(&or, &r);
	json_out_init(&ou, &u);
	json_array_begin(&os, NULL);
	json_array_begin(&or, NULL);
	json_array_begin(&ou, NULL);
	for (i = 0; i < m->n_servers; i++)
		if (is_from_file(&m->server[i].origin))
			store_server_json(&os, &m->server[i]);
	for (i = 0; i < m->n_roles; i++)
		if (is_from_file(&m->role[i].origin) && !m->role[i].is_seed)
			store_role_json(&or, &m->role[i]);
	for (i = 0; i < m->n_users; i++)
		if (is_from_file(&m->user[i].origin))
			store_user_json(&ou, &m->user[i]);
	json_array_end(&os);
	json_array_end(&or);
	json_array_end(&ou);
	if (seed_one(db, &s, store_servers_upsert, servers_gone, e) == 0 &&
	    seed_one(db, &r, store_roles_upsert, roles_gone, e) == 0 &&
	    seed_one(db, &u, store_users_upsert, users_gone, e) == 0)
		rv = 0;
	buf_free(&s);
	buf_free(&r);
	buf_free(&u);
	return rv;
}

int
store_fill_ids(struct db *db, struct model *m, struct err *e)
{
	struct db_result *r;
	int i;

	r = db_query(db, e,
	    "SELECT 's', t.id, o.name, t.name FROM omni2.mcp_servers t "
	    "JOIN omni2.organisations o ON o.id = t.org_id "
	    "WHERE t.source = 'yaml' UNION ALL "
	    "SELECT 'r', t.id, o.name, t.name FROM omni2.roles t "
	    "JOIN omni2.organisations o ON o.id = t.org_id "
	    "WHERE t.source = 'yaml' UNION ALL "
	    "SELECT 'u', t.id, o.name, t.email FROM omni2.users t "
	    "JOIN omni2.organisations o ON o.id = t.org_id "
	    "WHERE t.source = 'yaml'", 0, NULL);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r); i++) {
		const char *org = db_text(r, i, 2), *name = db_text(r, i, 3);
		struct model_server *s;
		struct model_role *role;
		struct model_user *u;

		if (*db_text(r, i, 0) == 's') {
			if ((s = model_find_server(m, org, name)) != NULL)
				s->id = db_int(r, i, 1);
		} else if (*db_text(r, i, 0) == 'r') {
			if ((role = model_find_role(m, org, name)) != NULL)
				role->id = db_int(r, i, 1);
		} else if ((u = model_find_user(m, org, name)) != NULL)
			u->id = db_int(r, i, 1);
	}
	db_result_free(&r);
	return 0;
}

int
store_seed(struct db *db, struct model *m, struct err *e)
{
	struct store_tx tx;
	int rv = -1;

	if (store_tx_begin(db, &tx, e) < 0)
		return -1;
	/* Two loaders of two nodes take turns, or they would deadlock. */
	if (store_schema_check(db, e) == 0 &&
	    db_exec(db, e, "SELECT pg_advisory_xact_lock(7086421930113)",
	    (char *)NULL) == 0 &&
	    seed_orgs(db, m, e) == 0 && seed_rows(db, m, e) == 0)
		rv = store_fill_ids(db, m, e);
	return store_tx_end(db, &tx, rv, e);
}
