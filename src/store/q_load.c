/*
 * q_load -- reads the rows that are only in the database into a model, with
 * the keys and tokens. Loader and omni2ctl.
 *
 * A row whose name the configuration file has already is not read: the file
 * wins. One exception: who an administrator deactivated stays deactivated.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/log.h"
#include "store/store_int.h"

static void
set_text(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

static int
load_grants(struct model_grants *g, const struct db_result *r, int row,
    int col, const char *what, struct err *e)
{
	char why[200];

	if (db_is_null(r, row, col))
		return 0;
	if (model_grants_from_json(g, db_text(r, row, col), why,
	    sizeof(why)) < 0)
		return err_set(e, ERR_INVALID, "allowed_mcps of %s: %s",
		    what, why);
	g->given = true;
	return 0;
}

static void
add_server(struct model *m, const struct db_result *r, int i)
{
	struct model_server *s = model_add_server(m, db_text(r, i, 2));
	int protocol = store_protocol(db_text(r, i, 6));
	int auth = store_auth(db_text(r, i, 15));
	int tools = store_tool_policy(db_text(r, i, 17));
	char why[200];

	s->origin.source = SOURCE_DB;
	s->id = db_int(r, i, 0);
	set_text(&s->org, db_text(r, i, 1));
	set_text(&s->display_name, db_text(r, i, 3));
	set_text(&s->description, db_text(r, i, 4));
	s->enabled = db_bool(r, i, 5) && protocol >= 0 && auth >= 0 &&
	    tools >= 0;
	s->transport = protocol < 0 ? TRANSPORT_HTTP : (enum transport)protocol;
	set_text(&s->url, db_text(r, i, 7));
	set_text(&s->command, db_text(r, i, 8));
	store_list_from_json(&s->args, db_text(r, i, 9));
	store_list_from_json(&s->env, db_text(r, i, 10));
	set_text(&s->cwd, db_text(r, i, 11));
	s->timeout_ms = db_int(r, i, 12);
	s->max_attempts = (int)db_int(r, i, 13);
	s->retry_delay_ms = db_int(r, i, 14);
	s->auth = auth < 0 ? SERVER_AUTH_NONE : (enum server_auth)auth;
	set_text(&s->auth_header, db_text(r, i, 16));
	s->tool_policy = tools < 0 ? TOOL_POLICY_ALLOW_ONLY :
	    (enum tool_policy)tools;
	store_list_from_json(&s->tool_globs, db_text(r, i, 18));
	if (model_restrictions_from_json(s, db_text(r, i, 19), why,
	    sizeof(why)) < 0) {
		/* Unreadable rules must not mean "no rules". */
		log_warn("server %s is disabled: role_restrictions: %s",
		    s->name, why);
		s->enabled = false;
	}
	s->rate_per_minute = db_int(r, i, 20);
	s->burst = db_int(r, i, 21);
	store_list_from_json(&s->tags, db_text(r, i, 22));
}

static int
load_servers(struct db *db, struct model *m, struct err *e)
{
	struct db_result *r;
	int i;

	r = db_query(db, e, "SELECT t.id, o.name, t.name, t.display_name, "
	    "t.description, t.enabled, t.protocol, t.url, t.command, t.args, "
	    "t.env, t.cwd, t.timeout_ms, t.max_attempts, t.retry_delay_ms, "
	    "t.auth_type, t.auth_header, t.tool_policy, t.tool_globs, "
	    "t.role_restrictions, t.requests_per_minute, t.burst, t.tags "
	    "FROM omni2.mcp_servers t "
	    "JOIN omni2.organisations o ON o.id = t.org_id "
	    "WHERE t.source = 'db' AND t.namespace_id IS NULL AND o.is_active "
	    "ORDER BY t.id", 0, NULL);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r); i++)
		if (model_find_server(m, db_text(r, i, 1),
		    db_text(r, i, 2)) == NULL)
			add_server(m, r, i);
	db_result_free(&r);
	return 0;
}

static int
add_role(struct model *m, const struct db_result *r, int i, struct err *e)
{
	struct model_role *role = model_add_role(m, db_text(r, i, 2));

	role->origin.source = SOURCE_DB;
	role->id = db_int(r, i, 0);
	set_text(&role->org, db_text(r, i, 1));
	set_text(&role->display_name, db_text(r, i, 3));
	set_text(&role->description, db_text(r, i, 4));
	role->is_admin = db_bool(r, i, 5);
	role->is_super = db_bool(r, i, 6);
	role->requests_per_hour = db_int(r, i, 7);
	role->concurrent = db_int(r, i, 8);
	store_list_from_json(&role->allowed_tools, db_text(r, i, 10));
	store_list_from_json(&role->denied_tools, db_text(r, i, 11));
	return load_grants(&role->grants, r, i, 9, role->name, e);
}

static int
load_roles(struct db *db, struct model *m, struct err *e)
{
	const struct model_role *known;
	struct db_result *r;
	int i, rv = 0;

	r = db_query(db, e, "SELECT t.id, o.name, t.name, t.display_name, "
	    "t.description, t.is_admin, t.is_super, t.requests_per_hour, "
	    "t.concurrent_requests, t.allowed_mcps, t.allowed_tools, "
	    "t.denied_tools FROM omni2.roles t "
	    "JOIN omni2.organisations o ON o.id = t.org_id "
	    "WHERE t.source = 'db' AND o.is_active ORDER BY t.id", 0, NULL);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r) && rv == 0; i++) {
		known = model_find_role(m, db_text(r, i, 1), db_text(r, i, 2));
		if (known == NULL || known->is_seed)
			rv = add_role(m, r, i, e);
	}
	db_result_free(&r);
	return rv;
}

static int
add_user(struct model *m, const struct db_result *r, int i, struct err *e)
{
	struct model_user *u = model_add_user(m, db_text(r, i, 2));

	u->origin.source = SOURCE_DB;
	u->id = db_int(r, i, 0);
	set_text(&u->org, db_text(r, i, 1));
	set_text(&u->name, db_text(r, i, 3));
	set_text(&u->role, db_text(r, i, 4));
	u->active = db_bool(r, i, 5);
	u->requests_per_hour = db_int(r, i, 6);
	store_list_from_json(&u->domains, db_text(r, i, 8));
	store_list_from_json(&u->databases, db_text(r, i, 9));
	store_list_from_json(&u->teams, db_text(r, i, 10));
	set_text(&u->slack_user_id, db_text(r, i, 11));
	return load_grants(&u->grants, r, i, 7, u->email, e);
}

/* Among the first n only: rows of one query never repeat a name. */
static struct model_user *
find_user(const struct model *m, size_t n, const char *org, const char *email)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(m->user[i].email, email) == 0 &&
		    strcmp(m->user[i].org, org) == 0)
			return &m->user[i];
	return NULL;
}

static int
load_users(struct db *db, struct model *m, struct err *e)
{
	size_t known = m->n_users;
	struct model_user *u;
	struct db_result *r;
	int i, rv = 0;

	r = db_query(db, e, "SELECT t.id, o.name, t.email, t.name, t.role, "
	    "t.active AND t.deactivated_at IS NULL AND o.is_active, "
	    "t.requests_per_hour, t.allowed_mcps, t.allowed_domains, "
	    "t.allowed_databases, t.teams, t.slack_user_id, t.source "
	    "FROM omni2.users t JOIN omni2.organisations o ON o.id = t.org_id "
	    "WHERE t.source = 'db' OR t.deactivated_at IS NOT NULL "
	    "ORDER BY t.id", 0, NULL);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r) && rv == 0; i++) {
		u = find_user(m, known, db_text(r, i, 1), db_text(r, i, 2));
		if (u != NULL)
			u->active = u->active && db_bool(r, i, 5);
		else if (strcmp(db_text(r, i, 12), "db") == 0)
			rv = add_user(m, r, i, e);
	}
	db_result_free(&r);
	return rv;
}

static int
load_keys(struct db *db, struct model *m, struct err *e)
{
	struct db_result *r;
	struct model_key *k;
	int i;

	r = db_query(db, e, "SELECT k.id, o.name, u.email, "
	    "encode(k.key_sha256, 'hex'), "
	    "coalesce(ceil(extract(epoch FROM k.expires_at))::bigint, 0) "
	    "FROM omni2.api_keys k JOIN omni2.users u ON u.id = k.user_id "
	    "JOIN omni2.organisations o ON o.id = k.org_id "
	    "WHERE k.revoked_at IS NULL "
	    "AND (k.expires_at IS NULL OR k.expires_at > now()) "
	    "AND u.active AND u.deactivated_at IS NULL AND o.is_active "
	    "ORDER BY k.id", 0, NULL);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r); i++) {
		k = model_add_key(m);
		k->id = db_int(r, i, 0);
		set_text(&k->org, db_text(r, i, 1));
		set_text(&k->email, db_text(r, i, 2));
		ASSERT_ALWAYS(hash_unhex(span_str(db_text(r, i, 3)),
		    k->sha256, 32) == 0);
		k->expires_at = db_int(r, i, 4);
	}
	db_result_free(&r);
	return 0;
}

static int
load_revoked(struct db *db, struct model *m, struct err *e)
{
	struct db_result *r;
	int i;

	r = db_query(db, e, "SELECT jti, "
	    "ceil(extract(epoch FROM expires_at))::bigint "
	    "FROM omni2.revoked_tokens WHERE expires_at > now() ORDER BY jti",
	    0, NULL);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r); i++) {
		m->revoked = xrealloc(m->revoked,
		    (m->n_revoked + 1) * sizeof(*m->revoked));
		m->revoked[m->n_revoked].jti = xstrdup(db_text(r, i, 0));
		m->revoked[m->n_revoked++].expires_at = db_int(r, i, 1);
	}
	db_result_free(&r);
	return 0;
}

/* In a transaction that has begun already each statement has a snapshot of
 * its own; but whoever changes a row that is read here locks the version. */
static int
hold_version(struct db *db, const struct store_tx *tx, struct err *e)
{
	return tx->own ? 0 : db_exec(db, e, "SELECT version FROM "
	    "omni2.policy_version FOR UPDATE", (char *)NULL);
}

/* The version is read first and in the same snapshot: a change made
 * meanwhile shows as a newer version later, never as one already seen. */
int
store_load(struct db *db, struct model *m, struct err *e)
{
	struct store_tx tx;
	int rv = -1;

	if (store_tx_begin(db, &tx, e) < 0)
		return -1;
	if ((!tx.own || db_exec(db, e, "SET TRANSACTION ISOLATION LEVEL "
	    "REPEATABLE READ READ ONLY", (char *)NULL) == 0) &&
	    store_schema_check(db, e) == 0 && hold_version(db, &tx, e) == 0 &&
	    store_policy_version(db, &m->db_version, e) == 0 &&
	    store_fill_ids(db, m, e) == 0 &&
	    load_servers(db, m, e) == 0 && load_roles(db, m, e) == 0 &&
	    load_users(db, m, e) == 0 && load_keys(db, m, e) == 0)
		rv = load_revoked(db, m, e);
	rv = store_tx_end(db, &tx, rv, e);
	m->db_loaded = rv == 0;
	return rv;
}
