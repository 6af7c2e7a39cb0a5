/*
 * admin -- see admin.h.
 */
#include "store/admin.h"

#include <stdio.h>

#include "base/clock.h"

#define ASIDE	"omni2_before_restore"

/* The first column of the first row, as a boolean. */
static int
ask_bool(struct db *db, const char *sql, int n, const char *const *params,
    bool *out, struct err *e)
{
	struct db_result *r = db_query(db, e, sql, n, params);

	if (r == NULL)
		return -1;
	*out = db_rows(r) > 0 && db_bool(r, 0, 0);
	db_result_free(&r);
	return 0;
}

/* Runs the statement that the server makes of a format and two names. */
static int
run_formatted(struct db *db, const char *format, const char *a, const char *b,
    struct err *e)
{
	const char *params[] = { format, a, b };
	struct db_result *r;
	int rv;

	r = db_query(db, e, "SELECT format($1, $2::text, $3::text)", 3, params);
	if (r == NULL)
		return -1;
	rv = db_exec(db, e, db_text(r, 0, 0), (char *)NULL);
	db_result_free(&r);
	return rv;
}

int
admin_server(struct db *db, struct admin_server *s, struct err *e)
{
	int64_t before = clock_wall_us(), after;
	struct db_result *r;

	r = db_query(db, e, "SELECT current_setting('server_version_num'), "
	    "current_setting('server_version'), "
	    "pg_is_in_recovery() OR "
	    "current_setting('default_transaction_read_only') = 'on', "
	    "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", 0,
	    NULL);
	if (r == NULL)
		return -1;
	after = clock_wall_us();
	s->version = (int)db_int(r, 0, 0);
	snprintf(s->version_text, sizeof(s->version_text), "%.*s",
	    (int)strcspn(db_text(r, 0, 1), " "), db_text(r, 0, 1));
	s->read_only = db_bool(r, 0, 2);
	s->round_trip_us = after - before;
	s->ahead_us = db_int(r, 0, 3) - (before + after) / 2;
	db_result_free(&r);
	return 0;
}

int
admin_role_exists(struct db *db, const char *role, bool *exists, struct err *e)
{
	return ask_bool(db, "SELECT count(*) > 0 FROM pg_catalog.pg_roles "
	    "WHERE rolname = $1", 1, &role, exists, e);
}

int
admin_role_create(struct db *db, const char *role, struct err *e)
{
	return run_formatted(db, "CREATE ROLE %I LOGIN", role, NULL, e);
}

int
admin_database_exists(struct db *db, const char *name, const char *role,
    bool *exists, bool *may_create, struct err *e)
{
	const char *both[] = { name, role };

	*may_create = false;
	if (ask_bool(db, "SELECT count(*) > 0 FROM pg_catalog.pg_database "
	    "WHERE datname = $1", 1, &name, exists, e) < 0)
		return -1;
	return ask_bool(db, "SELECT "
	    "has_database_privilege(r.oid, d.oid, 'CREATE') "
	    "FROM pg_catalog.pg_database d, pg_catalog.pg_roles r "
	    "WHERE d.datname = $1 AND r.rolname = $2", 2, both, may_create, e);
}

int
admin_database_create(struct db *db, const char *name, const char *owner,
    struct err *e)
{
	return run_formatted(db, "CREATE DATABASE %I OWNER %I ENCODING 'UTF8' "
	    "TEMPLATE template0", name, owner, e);
}

static int
has_schema(struct db *db, const char *name, bool *exists, struct err *e)
{
	return ask_bool(db, "SELECT count(*) > 0 FROM pg_catalog.pg_namespace "
	    "WHERE nspname = $1", 1, &name, exists, e);
}

int
admin_schema_exists(struct db *db, bool *exists, struct err *e)
{
	return has_schema(db, "omni2", exists, e);
}

int
admin_schema_tidy(struct db *db, struct err *e)
{
	bool aside, there;

	if (has_schema(db, ASIDE, &aside, e) < 0 ||
	    has_schema(db, "omni2", &there, e) < 0)
		return -1;
	if (!aside)
		return 0;
	/* the new one appears by one commit: if it is there, it is complete */
	return there ? admin_schema_drop_aside(db, e) :
	    admin_schema_put_back(db, e);
}

int
admin_schema_set_aside(struct db *db, struct err *e)
{
	return db_exec(db, e, "ALTER SCHEMA omni2 RENAME TO " ASIDE,
	    (char *)NULL);
}

int
admin_schema_put_back(struct db *db, struct err *e)
{
	return db_exec(db, e, "ALTER SCHEMA " ASIDE " RENAME TO omni2",
	    (char *)NULL);
}

int
admin_schema_drop_aside(struct db *db, struct err *e)
{
	return db_exec(db, e, "DROP SCHEMA IF EXISTS " ASIDE " CASCADE",
	    (char *)NULL);
}

int
admin_keys_of(struct db *db, const char *org, const char *email, int64_t *n,
    struct err *e)
{
	const char *params[] = { org, email };
	struct db_result *r;

	r = db_query(db, e, "SELECT count(*) FROM omni2.api_keys k "
	    "JOIN omni2.users u ON u.id = k.user_id "
	    "JOIN omni2.organisations o ON o.id = u.org_id "
	    "WHERE o.name = $1 AND u.email = $2 AND k.revoked_at IS NULL "
	    "AND (k.expires_at IS NULL OR k.expires_at > now())", 2, params);
	if (r == NULL)
		return -1;
	*n = db_int(r, 0, 0);
	db_result_free(&r);
	return 0;
}
