/*
 * q_keys -- API keys. Only their SHA-256 is ever stored.
 */
#include <stdio.h>

#include "base/hash.h"
#include "store/store_int.h"

int
store_key_add(struct db *db, const char *org, const char *email,
    const char *name, const uint8_t sha256[32], const char *prefix,
    int64_t expires_at, int64_t *id, struct err *e)
{
	char hex[65], at[24];
	const char *params[] = { org, email, name, hex, prefix,
	    expires_at > 0 ? at : NULL };
	struct db_result *r;
	int n;

	hash_hex(sha256, 32, hex);
	snprintf(at, sizeof(at), "%lld", (long long)expires_at);
	r = db_query(db, e, "INSERT INTO omni2.api_keys (org_id, user_id, "
	    "name, key_sha256, prefix, expires_at) "
	    "SELECT u.org_id, u.id, $3, decode($4, 'hex'), $5, "
	    "to_timestamp($6::bigint) FROM omni2.users u "
	    "JOIN omni2.organisations o ON o.id = u.org_id "
	    "WHERE o.name = $1 AND u.email = $2 RETURNING id", 6, params);
	if (r == NULL)
		return -1;
	if ((n = db_rows(r)) > 0)
		*id = db_int(r, 0, 0);
	db_result_free(&r);
	return n > 0 ? 0 : err_set(e, ERR_NOTFOUND, "no user %s", email);
}

int
store_key_revoke(struct db *db, const char *org, int64_t id, struct err *e)
{
	char text[24];
	const char *params[] = { text, org };
	struct db_result *r;
	int n;

	snprintf(text, sizeof(text), "%lld", (long long)id);
	r = db_query(db, e, "UPDATE omni2.api_keys k SET revoked_at = now() "
	    "FROM omni2.organisations o WHERE o.id = k.org_id "
	    "AND k.id = $1::bigint AND o.name = $2 AND k.revoked_at IS NULL",
	    2, params);
	if (r == NULL)
		return -1;
	n = db_affected(r);
	db_result_free(&r);
	return n > 0 ? 0 : err_set(e, ERR_NOTFOUND,
	    "no key %s that is not revoked", text);
}

struct db_result *
store_key_list(struct db *db, const char *org, const char *email,
    struct err *e)
{
	const char *params[] = { org, email };

	return db_query(db, e, "SELECT k.id, u.email, k.name, k.prefix, "
	    "to_char(k.created_at AT TIME ZONE 'UTC', "
	    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
	    "to_char(k.expires_at AT TIME ZONE 'UTC', "
	    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
	    "to_char(k.revoked_at AT TIME ZONE 'UTC', "
	    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
	    "FROM omni2.api_keys k JOIN omni2.users u ON u.id = k.user_id "
	    "JOIN omni2.organisations o ON o.id = k.org_id "
	    "WHERE o.name = $1 AND ($2::text IS NULL OR u.email = $2) "
	    "ORDER BY k.id", 2, params);
}
