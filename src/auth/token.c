/*
 * token -- HS256 bearer tokens (RFC 7519): minting and checking.
 *
 * Workers check, omni2ctl and administration mint. The signature is libjwt's
 * business, but libjwt alone trusts the token's own header and knows neither
 * expiry nor issuer; so a guard of our own admits only headers that we write
 * ourselves, and the claims are read here, strictly, from the text whose
 * signature was found right. Never looks at anything that a token points to.
 */
#include "auth/auth.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "auth/token_int.h"
#include "base/hash.h"
#include "base/json_read.h"

#define HEADER_MAX	128	/* decoded; ours has 27 bytes */

struct parts {
	struct span	header, payload, signature;
};

static int
split(struct span token, struct parts *out)
{
	const char *end = token.p + token.n, *first, *second;

	if (token.n == 0 || token.n > TOKEN_SIZE_MAX)
		return -1;
	first = memchr(token.p, '.', token.n);
	if (first == NULL)
		return -1;
	second = memchr(first + 1, '.', (size_t)(end - first - 1));
	if (second == NULL)
		return -1;
	out->header = span_make(token.p, (size_t)(first - token.p));
	out->payload = span_make(first + 1, (size_t)(second - first - 1));
	out->signature = span_make(second + 1, (size_t)(end - second - 1));
	return 0;			/* a third dot is no base64url */
}

static bool
string_is(struct json_value v, const char *text)
{
	struct span s;

	return json_string_plain(v, &s) && span_is(s, text);
}

static bool
header_is_ours(struct span segment)
{
	static const char *const names[] = { "alg", "typ" };
	char text[HEADER_MAX];
	struct json_value object, value[2], other;
	struct span name;
	size_t pos = 0;
	int members = 0, expected;
	long n = base64url_decode(segment, (uint8_t *)text, sizeof(text));

	if (n <= 0 || json_check(span_make(text, (size_t)n), &object, NULL) !=
	    JSON_OK || json_object(object.raw, names, value, 2) != JSON_OK)
		return false;
	if (!string_is(value[0], "HS256"))
		return false;
	if (value[1].type != JSON_NONE && !string_is(value[1], "JWT"))
		return false;
	/* kid, jku, x5u, jwk, crit: whatever it is, we did not write it. */
	expected = value[1].type == JSON_NONE ? 1 : 2;
	while (json_next_member(object.raw, &pos, &name, &other))
		members++;
	return members == expected;
}

bool
token_guard(struct span token)
{
	struct parts part;
	uint8_t bytes[TOKEN_SIZE_MAX];

	if (split(token, &part) < 0 || !header_is_ours(part.header))
		return false;
	if (base64url_decode(part.payload, bytes, sizeof(bytes)) <= 0)
		return false;
	return base64url_decode(part.signature, bytes, sizeof(bytes)) == 32;
}

static bool
signature_is_right(struct span token, struct span secret)
{
	char text[TOKEN_SIZE_MAX + 1];
	jwt_t *jwt = NULL;
	bool right;

	if (secret.n == 0)	/* libjwt would then accept unsigned tokens */
		return false;
	span_copy(text, sizeof(text), token);
	right = jwt_decode(&jwt, text, (const unsigned char *)secret.p,
	    (int)secret.n) == 0 && jwt_get_alg(jwt) == JWT_ALG_HS256;
	jwt_free(jwt);
	return right;
}

/* A text without NUL, or nothing. */
static int
read_text(struct json_value v, bool required, struct token_text *out)
{
	long n;

	out->n = 0;
	if (v.type == JSON_NONE)
		return required ? -1 : 0;
	n = json_string_decode(v, out->p, sizeof(out->p));
	if (n <= 0 || memchr(out->p, '\0', (size_t)n) != NULL)
		return -1;
	out->n = (size_t)n;
	return 0;
}

static bool
text_is(struct json_value v, struct span wanted)
{
	struct token_text text;

	return read_text(v, true, &text) == 0 &&
	    span_eq(span_make(text.p, text.n), wanted);
}

/* aud: one text, or a list of which we are one (RFC 7519 section 4.1.3). */
static bool
audience_has(struct json_value v, struct span wanted)
{
	struct json_value element;
	size_t pos = 0;

	if (v.type != JSON_ARRAY)
		return text_is(v, wanted);
	while (json_next_element(v.raw, &pos, &element))
		if (text_is(element, wanted))
			return true;
	return false;
}

enum claim { EXP, NBF, IAT, ISS, AUD, SUB, JTI, ORG, TYPE, CLAIM_COUNT };

static int
invalid(struct err *e)
{
	return err_set(e, ERR_UNAUTHENTICATED, "Invalid token");
}

static int
check_claims(const struct json_value v[CLAIM_COUNT], struct span issuer,
    int64_t now, struct token_claims *out, struct err *e)
{
	int64_t nbf = INT64_MIN, iat;

	if (!json_int(v[EXP], &out->exp))
		return invalid(e);
	if (v[NBF].type != JSON_NONE && !json_int(v[NBF], &nbf))
		return invalid(e);
	if (v[IAT].type != JSON_NONE && !json_int(v[IAT], &iat))
		return invalid(e);
	if (!text_is(v[ISS], issuer) || !audience_has(v[AUD], issuer))
		return invalid(e);
	if (v[TYPE].type != JSON_NONE && !string_is(v[TYPE], "access"))
		return invalid(e);
	if (read_text(v[SUB], true, &out->sub) < 0 ||
	    read_text(v[JTI], false, &out->jti) < 0 ||
	    read_text(v[ORG], false, &out->org) < 0)
		return invalid(e);
	if (nbf > now)
		return invalid(e);
	if (out->exp <= now)
		return err_set(e, ERR_UNAUTHENTICATED, "Token expired");
	return 0;
}

int
token_verify(struct span token, struct span secret, struct span issuer,
    int64_t now, struct token_claims *out, struct err *e)
{
	static const char *const names[CLAIM_COUNT] = { [EXP] = "exp",
	    [NBF] = "nbf", [IAT] = "iat", [ISS] = "iss", [AUD] = "aud",
	    [SUB] = "sub", [JTI] = "jti", [ORG] = "org", [TYPE] = "type" };
	char text[TOKEN_SIZE_MAX];
	struct json_value object, value[CLAIM_COUNT];
	struct parts part;
	long n;

	if (!token_guard(token) || !signature_is_right(token, secret))
		return invalid(e);
	if (split(token, &part) < 0)
		return invalid(e);
	n = base64url_decode(part.payload, (uint8_t *)text, sizeof(text));
	if (n <= 0 || json_check(span_make(text, (size_t)n), &object, NULL) !=
	    JSON_OK || json_object(object.raw, names, value, CLAIM_COUNT) !=
	    JSON_OK)
		return invalid(e);
	return check_claims(value, issuer, now, out, e);
}

/* Adds a text grant; empty ones are left out. libjwt returns errno values. */
static int
add_text(jwt_t *jwt, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return 0;
	return jwt_add_grant(jwt, name, value);
}

static int
add_grants(jwt_t *jwt, const char *issuer, const char *org, const char *email,
    const char *name, const char *role, const char *jti, int64_t now,
    int64_t lifetime_s)
{
	int rv;

	if ((rv = add_text(jwt, "sub", email)) != 0 ||
	    (rv = add_text(jwt, "role", role)) != 0 ||
	    (rv = add_text(jwt, "org", org)) != 0 ||
	    (rv = add_text(jwt, "email", email)) != 0 ||
	    (rv = add_text(jwt, "name", name)) != 0 ||
	    (rv = add_text(jwt, "jti", jti)) != 0 ||
	    (rv = add_text(jwt, "iss", issuer)) != 0 ||
	    (rv = add_text(jwt, "aud", issuer)) != 0 ||
	    (rv = jwt_add_grant_int(jwt, "iat", (long)now)) != 0)
		return rv;
	return jwt_add_grant_int(jwt, "exp", (long)(now + lifetime_s));
}

char *
token_mint(const char *secret, const char *issuer, const char *org,
    const char *email, const char *name, const char *role, int64_t now,
    int64_t lifetime_s, char jti_out[40], struct err *e)
{
	uint8_t random[16];
	jwt_t *jwt = NULL;
	char *text = NULL;
	int rv;

	if (secret[0] == '\0') {
		err_set(e, ERR_UNAVAILABLE, "auth.token_secret is not set");
		return NULL;
	}
	random_bytes(random, sizeof(random));
	hash_hex(random, sizeof(random), jti_out);
	if ((rv = jwt_new(&jwt)) != 0)
		goto out;
	rv = jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret,
	    (int)strlen(secret));
	if (rv != 0)
		goto out;
	rv = add_grants(jwt, issuer, org, email, name, role, jti_out, now,
	    lifetime_s);
	if (rv != 0)
		goto out;
	text = jwt_encode_str(jwt);
	rv = errno;
out:
	if (text == NULL)
		err_set(e, ERR_INTERNAL, "token: %s", strerror(rv));
	jwt_free(jwt);
	return text;
}
