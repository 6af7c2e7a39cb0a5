/*
 * store -- what omni2 keeps in PostgreSQL, statement by statement.
 *
 * All SQL of the product stands in this folder. Functions take the caller's
 * connection; 0 or -1 with err unless said. Every row of a tenant carries its
 * organisation; org is the organisation's name.
 */
#ifndef OMNI2_STORE_STORE_H
#define OMNI2_STORE_STORE_H

#include "base/buf.h"
#include "conf/model.h"
#include "store/db.h"

/* migrate: numbered sql/NNNN_name.sql under an advisory lock. */
struct migration_status {
	int	current;	/* newest applied; 0: none; -1: no schema */
	int	available;	/* newest in dir */
	int	pending;
	int	changed;	/* applied ones whose checksum differs */
};
/* The newest migration that this omni2 knows. */
#define STORE_SCHEMA	3
/* The way out where the database knows a later one. */
#define STORE_NEWER_HINT "install that one, or restore a backup made before it"
/* Are the tables those of this omni2? -1 with err UNAVAILABLE (none, or older
 * ones) or VERSION (newer ones); the text names the way out. store_load() and
 * store_seed() begin with it. */
int	store_schema_check(struct db *, struct err *);
/* Applies what is pending. out gets one line per migration. Refuses when the
 * database is newer than the files, or an applied file was changed. */
int	store_migrate(struct db *, const char *dir, struct buf *out,
	    struct err *);
int	store_migrate_status(struct db *, const char *dir,
	    struct migration_status *, struct buf *out, struct err *);

/* Writes the YAML rows (servers, users, roles) of the model, source 'yaml',
 * and removes rows of that source that are gone; then ids are filled in. One
 * transaction. YAML wins over a database row of the same name. */
int	store_seed(struct db *, struct model *, struct err *);
/* Fills in the ids of rows of source 'yaml' and adds those that are only in
 * the database. Sets db_loaded, db_version. */
int	store_load(struct db *, struct model *, struct err *);
/* Counts the policy version up and NOTIFYs channel omni2_policy. */
int	store_policy_changed(struct db *, struct err *);
int	store_policy_version(struct db *, int64_t *version, struct err *);

int	store_user_put(struct db *, const struct model_user *, bool only_new,
	    struct err *);			/* CONFLICT if only_new and there */
int	store_user_set_active(struct db *, const char *org, const char *email,
	    bool active, struct err *);		/* NOTFOUND */
/* New key: prefix is its first characters, for people. *id gets the row. */
int	store_key_add(struct db *, const char *org, const char *email,
	    const char *name, const uint8_t sha256[32], const char *prefix,
	    int64_t expires_at, int64_t *id, struct err *);
int	store_key_revoke(struct db *, const char *org, int64_t id,
	    struct err *);
/* id, email, name, prefix, created_at, expires_at, revoked_at, as text. */
struct db_result *store_key_list(struct db *, const char *org,
	    const char *email /* NULL: all */, struct err *);
int	store_server_put(struct db *, const struct model_server *, bool only_new,
	    struct err *);
int	store_server_remove(struct db *, const char *org, const char *name,
	    struct err *);
int	store_token_revoke(struct db *, const char *jti, int64_t expires_at,
	    struct err *);
/* Audit records that match, oldest first: the newest limit of them, or with
 * after the next that it has not got. NULL and 0 do not filter. Columns: enum
 * audit_search_column; there is one row at least, whose AS_SEQ is NULL if
 * nothing is found. */
struct audit_filter {
	const char	*principal, *server, *object, *decision;
	int64_t		 since_ms;	/* not older than this */
	const char	*after;		/* AS_NEXT of an answer before */
	int64_t		 limit;
};
enum audit_search_column { AS_SEQ, AS_TIME, AS_NODE, AS_ORG, AS_PRINCIPAL,
	AS_DECISION, AS_RESULT, AS_METHOD, AS_SERVER, AS_OBJECT, AS_RULE,
	AS_ERROR, AS_HTTP_STATUS, AS_RPC_CODE, AS_DURATION_US, AS_UPSTREAM_US,
	AS_CLIENT, AS_TRACE_ID, AS_SOURCE, AS_RECORD, AS_ID,
	AS_NEXT };
struct db_result *store_audit_search(struct db *, const struct audit_filter *,
	    struct err *);
/* An administrator's action in the change log (who, what, old, new as JSON). */
int	store_change_log(struct db *, const char *actor, const char *action,
	    const char *object, const char *old_json, const char *new_json,
	    struct err *);

#endif
