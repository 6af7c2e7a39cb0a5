/*
 * h_key -- API keys and bearer tokens. The text of a key leaves in the answer
 * that made it and is nowhere else: only its SHA-256 is stored.
 */
#include "api/api_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/hash.h"

int
api_create_key(struct api_call *c, struct json_out *j, struct err *e)
{
	int64_t expires = api_int(c, "expires_in_seconds", 0), id;
	const char *name = api_text(c, "name");
	char text[APIKEY_TEXT_SIZE], prefix[16];
	const struct model_user *u;
	uint8_t digest[32];
	int rv;

	if (api_model(c, true, e) < 0 ||
	    (u = api_find_user(c, api_text(c, "email"), e)) == NULL)
		return -1;
	apikey_new(text, digest, prefix);
	if (expires > 0)
		expires += clock_wall_us() / 1000000;
	rv = store_key_add(c->api->db, API_ORG, u->email, name == NULL ? "" :
	    name, digest, prefix, expires, &id, e) < 0 ? -1 :
	    api_changed(c, "key create", u->email, arena_printf(c->api->mem,
	    "{\"id\":%lld,\"prefix\":\"%s\"}", (long long)id, prefix), e);
	if (rv == 0) {
		json_object_begin(j, NULL);
		json_put_int(j, "id", id);
		json_put_str(j, "email", u->email);
		json_put_str(j, "key", text);
		json_put_int(j, "expires_at", expires);
		json_object_end(j);
	}
	explicit_bzero(text, sizeof(text));
	return rv;
}

static void
put_key(struct json_out *j, const struct db_result *r, int row)
{
	static const char *const names[] = { "id", "email", "name", "prefix",
	    "created_at", "expires_at", "revoked_at" };
	int i;

	json_object_begin(j, NULL);
	json_put_int(j, names[0], db_int(r, row, 0));
	for (i = 1; i < 7; i++)
		json_put_str(j, names[i], db_is_null(r, row, i) ? NULL :
		    db_text(r, row, i));
	json_object_end(j);
}

int
api_list_keys(struct api_call *c, struct json_out *j, struct err *e)
{
	const char *email = api_text(c, "user");
	struct db_result *r;
	int i;

	if (api_db(c, e) < 0 ||
	    (r = store_key_list(c->api->db, API_ORG, email, e)) == NULL)
		return -1;
	/* nobody is not somebody without keys */
	if (email != NULL && db_rows(r) == 0 && (api_model(c, false, e) < 0 ||
	    api_find_user(c, email, e) == NULL)) {
		db_result_free(&r);
		return -1;
	}
	json_object_begin(j, NULL);
	json_array_begin(j, "items");
	for (i = 0; i < db_rows(r); i++)
		put_key(j, r, i);
	json_array_end(j);
	json_object_end(j);
	db_result_free(&r);
	return 0;
}

int
api_revoke_key(struct api_call *c, struct json_out *j, struct err *e)
{
	int64_t id = api_int(c, "id", 0);

	if (api_db(c, e) < 0 ||
	    store_key_revoke(c->api->db, API_ORG, id, e) < 0 ||
	    api_changed(c, "key revoke", api_text(c, "id"), NULL, e) < 0)
		return -1;
	json_object_begin(j, NULL);
	json_put_int(j, "id", id);
	json_put_bool(j, "revoked", true);
	json_object_end(j);
	return 0;
}

/* Minted here, never stored: the change log has its id, to revoke it by. */
int
api_create_token(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct conf *conf = c->api->conf;
	int64_t now = clock_wall_us() / 1000000;
	int64_t lifetime = api_int(c, "lifetime_seconds",
	    conf->token_lifetime_ms / 1000);
	const struct model_user *u;
	char jti[40], *text;

	/* without a database the users are those of the files */
	if ((conf->database_url[0] != '\0' || c->api->model == NULL) &&
	    api_model(c, false, e) < 0)
		return -1;
	if ((u = api_find_user(c, api_text(c, "email"), e)) == NULL)
		return -1;
	text = token_mint(conf->token_secret, conf->token_issuer, u->org,
	    u->email, u->name, u->role, now, lifetime, jti, e);
	if (text == NULL)
		return -1;
	if (c->api->db != NULL && store_change_log(c->api->db, c->api->actor,
	    "token", u->email, NULL, arena_printf(c->api->mem,
	    "{\"jti\":\"%s\"}", jti), e) < 0) {
		free(text);
		return -1;
	}
	json_object_begin(j, NULL);
	json_put_str(j, "token", text);
	json_put_str(j, "jti", jti);
	json_put_int(j, "expires_at", now + lifetime);
	json_object_end(j);
	explicit_bzero(text, strlen(text));
	free(text);
	return 0;
}
