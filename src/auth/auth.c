/*
 * auth -- from the credentials of a request to a user of the policy.
 *
 * Workers only, between pinning and unpinning a snapshot. A credential that
 * this worker has seen is remembered by its text, so the path of known callers
 * allocates nothing and hashes nothing. What is remembered counts only for the
 * policy generation it was checked against, so a disabled user or a revoked
 * credential is refused as soon as the policy that says so is pinned. Never asks
 * the database and never says which part of a credential was wrong.
 */
#include "auth/auth.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "auth/token_int.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"

#define CACHE_PLACES	128	/* direct-mapped by a hash of the text */
#define CACHE_TEXT	1536	/* longer ones are checked each time */
#define KEY_TEXT_MAX	256
#define RETRY_S		5	/* while the database's rows are missing */

struct remembered {
	uint64_t	 generation;
	struct principal who;
	size_t		 n;		/* 0: free */
	char		 text[CACHE_TEXT];
};

static struct {
	char		 secret[256], issuer[256];
	struct span	 secret_span, issuer_span;
	struct remembered cache[CACHE_PLACES];
} auth;

void
auth_init(const char *token_secret, const char *issuer)
{
	if (span_is(span_str(token_secret), auth.secret) &&
	    span_is(span_str(issuer), auth.issuer))
		return;
	/* What was checked with another secret is checked again. */
	OPENSSL_cleanse(&auth, sizeof(auth));
	ASSERT_ALWAYS(span_copy(auth.secret, sizeof(auth.secret),
	    span_str(token_secret)));
	ASSERT_ALWAYS(span_copy(auth.issuer, sizeof(auth.issuer),
	    span_str(issuer)));
	auth.secret_span = span_str(auth.secret);
	auth.issuer_span = span_str(auth.issuer);
}

static int
refuse(struct err *e, const char *text)
{
	return err_set(e, ERR_UNAUTHENTICATED, "%s", text);
}

/* Nobody is known by this name, or not yet. */
static int
refuse_unknown(struct err *e, bool db_loaded, const char *text)
{
	if (db_loaded)
		return refuse(e, text);
	err_set(e, ERR_UNAVAILABLE, "Users are not loaded yet");
	e->retry_after_s = RETRY_S;
	return -1;
}

static int
set_user(const struct pol_head *p, uint32_t user, enum credential_kind kind,
    struct principal *who, struct err *e)
{
	const struct pol_user *u = pol_user(p, user);

	if (!u->active)
		return refuse(e, "User account disabled");
	who->user = user;
	who->user_id = u->id;
	who->kind = kind;
	return 0;
}

/* "key:17"; printf would be a third of the whole look-up. */
static void
format_key_id(int64_t id, char out[80])
{
	char digits[24];
	uint64_t left = id < 0 ? 0 : (uint64_t)id;
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + left % 10);
	} while ((left /= 10) > 0);
	memcpy(out, "key:", 4);
	for (out += 4; n > 0; out++)
		*out = digits[--n];
	*out = '\0';
}

static int
check_key(const struct pol_head *p, struct span text, bool db_loaded,
    int64_t now, struct principal *who, struct err *e)
{
	static const char wrong[] = "Invalid API key";
	const struct pol_key *key;
	uint8_t sha256[32];

	if (text.n == 0 || text.n > KEY_TEXT_MAX)
		return refuse(e, wrong);
	hash_sha256(text.p, text.n, sha256);
	if ((key = pol_find_key(p, sha256)) == NULL)
		return refuse_unknown(e, db_loaded, wrong);
	if (key->expires_at != 0 && key->expires_at <= now)
		return refuse(e, wrong);
	if (set_user(p, key->user, CREDENTIAL_KEY, who, e) < 0)
		return -1;
	format_key_id(key->id, who->credential);
	who->expires = key->expires_at;
	return 0;
}

/* The token's own id, or for one without it the digest: revocable, too. */
static struct span
token_id(const struct token_claims *claims, const uint8_t digest[32],
    char text[65])
{
	if (claims->jti.n > 0)
		return span_make(claims->jti.p, claims->jti.n);
	hash_hex(digest, 16, text);
	return span_str(text);
}

/* "token:<jti>", in visible ASCII whatever the jti holds; cut if too long. */
static void
format_token_id(struct span jti, char out[80])
{
	size_t i, n = jti.n < 73 ? jti.n : 73;

	memcpy(out, "token:", 6);
	for (i = 0; i < n; i++)
		out[6 + i] = jti.p[i] > ' ' && jti.p[i] < 0x7f ? jti.p[i] : '?';
	out[6 + n] = '\0';
}

/* May something have been replaced or cut? Then nobody knows whether it was
 * revoked: who goes on comes again, with the whole token. */
static bool
is_whole_id(struct span credential)
{
	return credential.n < 6 + 73 &&
	    memchr(credential.p, '?', credential.n) == NULL;
}

static uint32_t
find_subject(const struct pol_head *p, const struct token_claims *claims)
{
	struct span email = span_make(claims->sub.p, claims->sub.n);
	uint32_t org;

	if (claims->org.n == 0)
		return pol_find_user(p, email);
	org = pol_find_org(p, span_make(claims->org.p, claims->org.n));
	return org == POL_NONE ? POL_NONE : pol_find_user_in(p, org, email);
}

static int
check_token(const struct pol_head *p, struct span text, bool db_loaded,
    int64_t now, struct principal *who, struct err *e)
{
	struct token_claims claims;
	uint8_t digest[32];
	char hex[65];
	struct span jti;
	uint32_t user;

	if (text.n == 0 || text.n > TOKEN_SIZE_MAX)
		return refuse(e, "Invalid token");
	hash_sha256(text.p, text.n, digest);
	if (token_verify(text, auth.secret_span, auth.issuer_span, now,
	    &claims, e) < 0)
		return -1;
	jti = token_id(&claims, digest, hex);
	if (pol_is_revoked(p, jti))
		return refuse(e, "Token has been revoked");
	if ((user = find_subject(p, &claims)) == POL_NONE)
		return refuse_unknown(e, db_loaded, "Invalid token");
	if (set_user(p, user, CREDENTIAL_TOKEN, who, e) < 0)
		return -1;
	format_token_id(jti, who->credential);
	who->expires = claims.exp;
	return 0;
}

/* Where this text is remembered, or would be; NULL: it never is. */
static struct remembered *
place_of(struct span text)
{
	if (text.n == 0 || text.n > CACHE_TEXT)
		return NULL;
	return &auth.cache[hash_bytes(0, text.p, text.n) % CACHE_PLACES];
}

static bool
is_remembered(const struct remembered *r, uint64_t generation,
    struct span text, int64_t now)
{
	return r != NULL && r->n == text.n && r->generation == generation &&
	    secret_equal(r->text, text.p, text.n) &&
	    (r->who.expires == 0 || r->who.expires > now);
}

static void
remember(struct remembered *r, uint64_t generation, struct span text,
    const struct principal *who)
{
	if (r == NULL)
		return;
	r->generation = generation;
	r->who = *who;
	r->n = text.n;
	memcpy(r->text, text.p, text.n);
}

/* Takes "Bearer" and its spaces off. */
static bool
take_bearer(struct span *value)
{
	if (value->n < 7 || !span_is_nocase(span_make(value->p, 6), "Bearer") ||
	    value->p[6] != ' ')
		return false;
	*value = span_skip(*value, 7);
	while (value->n > 0 && value->p[0] == ' ')
		*value = span_skip(*value, 1);
	return true;
}

int
auth_check(const struct pol_head *p, uint64_t generation, struct span value,
    bool is_api_key_header, bool db_loaded, int64_t now,
    struct principal *who, struct err *e)
{
	struct remembered *r;
	bool is_key;

	if (value.n == 0)
		return refuse(e, "Authorization header required");
	if (!is_api_key_header && !take_bearer(&value))
		return refuse(e, "Invalid token");
	is_key = is_api_key_header || span_starts(value, "omni2_");
	r = place_of(value);
	if (is_remembered(r, generation, value, now) &&
	    (r->who.kind == CREDENTIAL_KEY) == is_key) {
		*who = r->who;
		return 0;
	}
	if ((is_key ? check_key(p, value, db_loaded, now, who, e) :
	    check_token(p, value, db_loaded, now, who, e)) < 0)
		return -1;		/* and garbage evicts nobody */
	remember(r, generation, value, who);
	return 0;
}

static bool
key_is_good(const struct pol_head *p, uint64_t id, uint32_t user, int64_t now)
{
	const struct pol_key *k = pol_at(p, p->key_table.off);
	uint32_t i;

	for (i = 0; i < p->key_table.n; i++)
		if (k[i].used && k[i].id == (int64_t)id && k[i].user == user)
			return k[i].expires_at == 0 || k[i].expires_at > now;
	return false;
}

bool
auth_still_good(const struct pol_head *p, const char *credential,
    int64_t user_id, int64_t now, uint32_t *user)
{
	struct span c = span_str(credential);
	uint32_t i = *user;
	uint64_t id;

	if (i >= p->users.n || pol_user(p, i)->id != user_id)
		for (i = 0; i < p->users.n; i++)
			if (pol_user(p, i)->id == user_id)
				break;
	if (i >= p->users.n || !pol_user(p, i)->active)
		return false;
	*user = i;
	if (span_starts(c, "token:"))
		return is_whole_id(c) && !pol_is_revoked(p, span_skip(c, 6));
	return span_starts(c, "key:") &&
	    num_u64(span_skip(c, 4), 0, INT64_MAX, &id) == 0 &&
	    key_is_good(p, id, i, now);
}
