/*
 * q_users -- users, revoked tokens and the administrators' change log.
 *
 * The triggers of the schema count the policy version up, so nothing here
 * has to remember to.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/json_write.h"
#include "store/store_int.h"

/* The source of the row, or "" when there is none. */
static int
source_of(struct db *db, const char *sql, const char *org, const char *name,
    char out[8], struct err *e)
{
	const char *params[] = { org, name };
	struct db_result *r = db_query(db, e, sql, 2, params);

	if (r == NULL)
		return -1;
	snprintf(out, 8, "%s", db_rows(r) > 0 ? db_text(r, 0, 0) : "");
	db_result_free(&r);
	return 0;
}

static int
put_row(struct db *db, struct buf *json, const char *upsert, struct err *e)
{
	const char *params[] = { NULL, "db" };
	struct db_result *r;

	buf_add_char(json, '\0');
	if (json->overflow)
		return err_set(e, ERR_TOOBIG, "the row is too large");
	params[0] = json->p;
	if ((r = db_query(db, e, upsert, 2, params)) == NULL)
		return -1;
	db_result_free(&r);
	return 0;
}

static int
check_org(struct db *db, const char *org, struct err *e)
{
	const char *params[] = { org };
	struct db_result *r = db_query(db, e,
	    "SELECT 1 FROM omni2.organisations WHERE name = $1", 1, params);
	int n;

	if (r == NULL)
		return -1;
	n = db_rows(r);
	db_result_free(&r);
	return n > 0 ? 0 : err_set(e, ERR_NOTFOUND, "no organisation %s", org);
}

/* A row of the file would be overwritten at the next load: refuse. */
static int
check_row(const char *source, bool only_new, const char *kind,
    const char *name, struct err *e)
{
	if (strcmp(source, "yaml") == 0)
		return err_set(e, ERR_CONFLICT, "%s %s is defined in the "
		    "configuration file", kind, name);
	if (only_new && *source != '\0')
		return err_set(e, ERR_CONFLICT, "%s %s exists already", kind,
		    name);
	return 0;
}

int
store_put(struct db *db, const struct store_put *p, struct buf *row,
    struct err *e)
{
	struct store_tx tx;
	char source[8];
	int rv = -1;

	if (store_tx_begin(db, &tx, e) < 0)
		return -1;
	if (check_org(db, p->org, e) == 0 &&
	    source_of(db, p->find, p->org, p->name, source, e) == 0 &&
	    check_row(source, p->only_new, p->kind, p->name, e) == 0)
		rv = put_row(db, row, p->upsert, e);
	return store_tx_end(db, &tx, rv, e);
}

int
store_user_put(struct db *db, const struct model_user *u, bool only_new,
    struct err *e)
{
	const struct store_put put = { .org = u->org, .name = u->email,
		.kind = "user", .only_new = only_new,
		.upsert = store_users_upsert,
		.find = "SELECT u.source FROM omni2.users u "
		    "JOIN omni2.organisations o ON o.id = u.org_id "
		    "WHERE o.name = $1 AND u.email = $2 FOR UPDATE OF u" };
	struct model_user row = *u;
	struct json_out o;
	struct buf json;
	int rv;

	row.origin.source = SOURCE_DB;
	buf_init(&json, STORE_ROW_MAX);
	json_out_init(&o, &json);
	json_array_begin(&o, NULL);
	store_user_json(&o, &row);
	json_array_end(&o);
	rv = store_put(db, &put, &json, e);
	buf_free(&json);
	return rv;
}

/* deactivated_at, not active: the file sets active at each load. */
int
store_user_set_active(struct db *db, const char *org, const char *email,
    bool active, struct err *e)
{
	const char *params[] = { org, email, active ? "t" : "f" };
	struct db_result *r;
	int n;

	r = db_query(db, e, "UPDATE omni2.users u SET "
	    "active = CASE WHEN u.source = 'db' THEN $3::boolean "
	    "ELSE u.active END, deactivated_at = CASE WHEN $3::boolean "
	    "THEN NULL ELSE coalesce(u.deactivated_at, now()) END "
	    "FROM omni2.organisations o WHERE o.id = u.org_id "
	    "AND o.name = $1 AND u.email = $2", 3, params);
	if (r == NULL)
		return -1;
	n = db_affected(r);
	db_result_free(&r);
	return n > 0 ? 0 : err_set(e, ERR_NOTFOUND, "no user %s", email);
}

int
store_token_revoke(struct db *db, const char *jti, int64_t expires_at,
    struct err *e)
{
	char at[24];

	snprintf(at, sizeof(at), "%lld", (long long)expires_at);
	if (db_exec(db, e, "DELETE FROM omni2.revoked_tokens "
	    "WHERE expires_at < now() - interval '1 day'", (char *)NULL) < 0)
		return -1;
	return db_exec(db, e, "INSERT INTO omni2.revoked_tokens "
	    "(jti, org_id, expires_at) SELECT $1, id, "
	    "to_timestamp($2::bigint) FROM omni2.organisations "
	    "WHERE name = 'default' ON CONFLICT (jti) DO NOTHING",
	    jti, at, (char *)NULL);
}

int
store_change_log(struct db *db, const char *actor, const char *action,
    const char *object, const char *old_json, const char *new_json,
    struct err *e)
{
	const char *params[] = { actor, action, object, old_json, new_json };
	struct db_result *r;

	r = db_query(db, e, "INSERT INTO omni2.change_log "
	    "(actor, action, object, old_value, new_value) "
	    "VALUES ($1, $2, $3, $4::jsonb, $5::jsonb)", 5, params);
	if (r == NULL)
		return -1;
	db_result_free(&r);
	return 0;
}
