/*
 * test_auth -- API keys and bearer tokens: every way to be wrong, what the
 * per-worker memory of tokens may and may not answer, and that the paths of
 * known callers allocate nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/token_int.h"
#include "base/arena.h"
#include "base/hash.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "policy/build.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define NOW		1800000000
#define SECRET		"0123456789abcdef0123456789abcdef"
#define POLICY_SIZE	(256u << 10)
#define GOOD_HEADER	"{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define KEY_TEXT	"omni2_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static struct pol_head *policy;
static unsigned long allocations;	/* of OpenSSL and jansson */

static void *
count_malloc(size_t n, const char *file, int line)
{
	allocations++;
	return malloc(n);
}

static void *
count_realloc(void *p, size_t n, const char *file, int line)
{
	allocations++;
	return realloc(p, n);
}

static void
count_free(void *p, const char *file, int line)
{
	free(p);
}

static void *
count_json(size_t n)
{
	return count_malloc(n, "", 0);
}

static void
add_key(struct model *m, const char *email, const char *text, int64_t id,
    int64_t expires)
{
	struct model_key *k = model_add_key(m);

	model_set(&k->email, email);
	hash_sha256(text, strlen(text), k->sha256);
	k->id = id;
	k->expires_at = expires;
}

/* off: users that are disabled; revoked: tokens that were taken back. */
static struct pol_head *
build(const char *off, const char *revoked)
{
	static const char *const emails[] = { "ada@example.org",
		"off@example.org", "bob@example.org" };
	struct pol_head *p = xcalloc(1, POLICY_SIZE);
	struct conf *conf = xcalloc(1, sizeof(*conf));
	struct model_user *u;
	struct model m;
	struct err e;
	size_t i;

	model_init(&m);
	model_add_seed_roles(&m);
	for (i = 0; i < COUNT(emails); i++) {
		u = model_add_user(&m, emails[i]);
		u->id = (int64_t)(100 + i);
		u->active = strstr(off, emails[i]) == NULL;
	}
	u = model_add_user(&m, "bob@example.org");	/* his namesake */
	model_set(&u->org, "acme");
	u->id = 200;
	model_set_default_user(&m);
	add_key(&m, "ada@example.org", KEY_TEXT, 17, 0);
	add_key(&m, "ada@example.org", "omni2_expiring", 1234567890123,
	    NOW + 10);
	add_key(&m, "off@example.org", "omni2_off", 19, 0);
	add_key(&m, "ada@example.org", "legacy-key", 20, 0);
	if (revoked != NULL) {
		m.revoked = xcalloc(1, sizeof(*m.revoked));
		m.revoked[m.n_revoked++].jti = xstrdup(revoked);
	}
	if (policy_build(p, POLICY_SIZE, &m, conf, NULL, &e) < 0)
		fail_msg("%s", e.text);
	model_free(&m);
	free(conf);
	return p;
}

static int
set_up(void **state)
{
	policy = build("off@example.org", "taken-back");
	return 0;
}

static int
tear_down(void **state)
{
	free(policy);
	return 0;
}

static int
fresh(void **state)
{
	auth_init(SECRET, "omni2");
	return 0;
}

static char *
b64(const void *p, size_t n)
{
	char *out = xmalloc(n * 2 + 4);

	base64url_encode(p, n, out);
	return out;
}

/* header.payload, signed with the digest. */
static char *
sign(const char *header, const char *payload, const char *secret,
    const EVP_MD *md)
{
	char *h = b64(header, strlen(header)), *p = b64(payload,
	    strlen(payload)), *input = xasprintf("%s.%s", h, p), *s, *token;
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	assert_non_null(HMAC(md, secret, (int)strlen(secret),
	    (unsigned char *)input, strlen(input), mac, &n));
	s = b64(mac, n);
	token = xasprintf("%s.%s", input, s);
	free(h);
	free(p);
	free(s);
	free(input);
	return token;
}

static int
check(const struct pol_head *p, uint64_t generation, const char *text,
    bool db_loaded, int64_t now, struct principal *who, struct err *e)
{
	char *value = xasprintf("Bearer %s", text);
	int rv;

	err_clear(e);
	rv = auth_check(p, generation, span_str(value), false, db_loaded, now,
	    who, e);
	free(value);
	return rv;
}

static void
expect_refused(const char *token, const char *what, const char *text)
{
	struct principal who;
	struct err e;

	if (check(policy, 4, token, true, NOW, &who, &e) == 0)
		fail_msg("accepted: %s", what);
	if (e.code != ERR_UNAUTHENTICATED || strcmp(e.text, text) != 0)
		fail_msg("%s: %s \"%s\"", what, err_name(e.code), e.text);
}

#define CLAIMS(more)	"{\"sub\":\"ada@example.org\",\"iss\":\"omni2\"," \
	"\"aud\":\"omni2\",\"exp\":1800000100,\"jti\":\"j1\"" more "}"
#define ONLY(exp, sub, iss, aud) "{" exp sub iss aud "\"jti\":\"j1\"}"
#define EXP	"\"exp\":1800000100,"
#define SUB	"\"sub\":\"ada@example.org\","
#define ISS	"\"iss\":\"omni2\","
#define AUD	"\"aud\":\"omni2\","

static void
test_headers(void **state)
{
	static const char *const bad[] = {
		"{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"None\"}", "{\"alg\":\"NONE\"}", "{\"alg\":\"\"}",
		"{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\"}", "{\"alg\":\"PS256\"}",
		"{\"alg\":\"EdDSA\"}", "{\"alg\":\"HS384\"}",
		"{\"alg\":\"HS512\"}", "{\"alg\":\"hs256\"}",
		"{\"alg\":\"HS256 \"}", "{\"alg\":\"HS256\\u0000\"}",
		"{\"alg\":\"\\u0048S256\"}", "{\"alg\":256}",
		"{\"alg\":null}", "{\"alg\":[\"HS256\"]}",
		"{\"typ\":\"JWT\"}", "{}", "[]", "\"HS256\"", "", "{",
		"{\"alg\":\"HS256\",\"alg\":\"HS256\"}",
		"{\"alg\":\"none\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}",
		"{\"alg\":\"HS256\",\"typ\":\"JWS\"}",
		"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"typ\":null}",
		"{\"alg\":\"HS256\",\"kid\":\"1\"}",
		("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":"
		    "\"../../dev/null\"}"),
		"{\"alg\":\"HS256\",\"jku\":\"https://evil.example\"}",
		"{\"alg\":\"HS256\",\"x5u\":\"https://evil.example\"}",
		"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}",
		"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"HS256\",\"b64\":false}",
		"{\"alg\":\"HS256\",\"zip\":\"DEF\"}",
		"{\"alg\":\"HS256\",\"cty\":\"JWT\"}",
		"{\"alg\":\"HS256\"} x",
	};
	static const char *const good[] = {
		GOOD_HEADER, "{\"alg\":\"HS256\"}",
		"{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
		"{ \"alg\" : \"HS256\" }",
	};
	struct principal who;
	struct err e;
	char *token;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		token = sign(bad[i], CLAIMS(""), SECRET, EVP_sha256());
		expect_refused(token, bad[i], "Invalid token");
		free(token);
	}
	for (i = 0; i < COUNT(good); i++) {
		token = sign(good[i], CLAIMS(""), SECRET, EVP_sha256());
		if (check(policy, 4, token, true, NOW, &who, &e) < 0)
			fail_msg("%s: %s", good[i], e.text);
		free(token);
	}
	/* A right signature of another algorithm is no right signature. */
	token = sign("{\"alg\":\"HS384\"}", CLAIMS(""), SECRET, EVP_sha384());
	expect_refused(token, "HS384 by HS384", "Invalid token");
	free(token);
	token = sign("{\"alg\":\"HS512\"}", CLAIMS(""), SECRET, EVP_sha512());
	expect_refused(token, "HS512 by HS512", "Invalid token");
	free(token);
}

static const struct {
	const char *payload, *text;
} bad_claims[] = {
	/* time */
	{ ONLY("\"exp\":1799999999,", SUB, ISS, AUD),
	    "Token expired" },
	{ ONLY("\"exp\":1800000000,", SUB, ISS, AUD),
	    "Token expired" },
	{ ONLY("\"exp\":0,", SUB, ISS, AUD), "Token expired" },
	{ ONLY("\"exp\":-5,", SUB, ISS, AUD), "Token expired" },
	{ ONLY("", SUB, ISS, AUD), "Invalid token" },
	{ ONLY("\"exp\":null,", SUB, ISS, AUD), "Invalid token" },
	{ ONLY("\"exp\":\"1900000000\",", SUB, ISS, AUD),
	    "Invalid token" },
	{ ONLY("\"exp\":1.9e9,", SUB, ISS, AUD), "Invalid token" },
	{ ONLY("\"exp\":99999999999999999999,", SUB, ISS, AUD),
	    "Invalid token" },
	{ CLAIMS(",\"nbf\":1800000001"), "Invalid token" },
	{ CLAIMS(",\"nbf\":\"0\""), "Invalid token" },
	{ CLAIMS(",\"iat\":\"now\""), "Invalid token" },
	/* issuer, audience, type */
	{ ONLY(EXP, SUB, "", AUD), "Invalid token" },
	{ ONLY(EXP, SUB, "\"iss\":\"omni\",", AUD), "Invalid token" },
	{ ONLY(EXP, SUB, "\"iss\":\"omni22\",", AUD),
	    "Invalid token" },
	{ ONLY(EXP, SUB, "\"iss\":[\"omni2\"],", AUD),
	    "Invalid token" },
	{ ONLY(EXP, SUB, "\"iss\":\"\",", AUD), "Invalid token" },
	{ ONLY(EXP, SUB, ISS, ""), "Invalid token" },
	{ ONLY(EXP, SUB, ISS, "\"aud\":\"other\","),
	    "Invalid token" },
	{ ONLY(EXP, SUB, ISS, "\"aud\":[],"), "Invalid token" },
	{ ONLY(EXP, SUB, ISS, "\"aud\":[\"a\",\"b\"],"),
	    "Invalid token" },
	{ ONLY(EXP, SUB, ISS, "\"aud\":{\"omni2\":1},"),
	    "Invalid token" },
	{ CLAIMS(",\"type\":\"refresh\""), "Invalid token" },
	{ CLAIMS(",\"type\":true"), "Invalid token" },
	/* subject */
	{ ONLY(EXP, "", ISS, AUD), "Invalid token" },
	{ ONLY(EXP, "\"sub\":\"\",", ISS, AUD), "Invalid token" },
	{ ONLY(EXP, "\"sub\":7,", ISS, AUD), "Invalid token" },
	{ ONLY(EXP, "\"sub\":\"eve@example.org\",", ISS, AUD),
	    "Invalid token" },
	{ ONLY(EXP, "\"sub\":\"ADA@example.org\",", ISS, AUD),
	    "Invalid token" },
	{ ONLY(EXP, "\"sub\":\"ada@example.org\\u0000\",", ISS, AUD),
	    "Invalid token" },
	{ ONLY(EXP, "\"sub\":\"off@example.org\",", ISS, AUD),
	    "User account disabled" },
	/* two organisations have a Bob */
	{ ONLY(EXP, "\"sub\":\"bob@example.org\",", ISS, AUD),
	    "Invalid token" },
	{ CLAIMS(",\"org\":\"acme\""), "Invalid token" },
	{ CLAIMS(",\"org\":\"nowhere\""), "Invalid token" },
	{ CLAIMS(",\"org\":7"), "Invalid token" },
	/* revoked */
	{ "{" EXP SUB ISS AUD "\"jti\":\"taken-back\"}",
	    "Token has been revoked" },
	{ "{" EXP SUB ISS AUD "\"jti\":\"taken\\u002dback\"}",
	    "Token has been revoked" },
	{ "{" EXP SUB ISS AUD "\"jti\":5}", "Invalid token" },
	{ "{" EXP SUB ISS AUD "\"jti\":\"j1\\u0000\"}",
	    "Invalid token" },
	/* members twice, or written so that others may not see it */
	{ CLAIMS(",\"sub\":\"off@example.org\""), "Invalid token" },
	{ CLAIMS(",\"\\u0065xp\":1"), "Invalid token" },
	{ "[]", "Invalid token" }, { "{", "Invalid token" },
	{ "", "Invalid token" }, { "null", "Invalid token" },
};

static void
test_claims(void **state)
{
	size_t i;
	char *token;

	for (i = 0; i < COUNT(bad_claims); i++) {
		token = sign(GOOD_HEADER, bad_claims[i].payload, SECRET,
		    EVP_sha256());
		expect_refused(token, bad_claims[i].payload,
		    bad_claims[i].text);
		free(token);
	}
}

static void
test_good_claims(void **state)
{
	static const struct {
		const char *payload, *credential;
		int64_t user_id;
	} good[] = {
		{ CLAIMS(""), "token:j1", 100 },
		{ CLAIMS(",\"type\":\"access\""), "token:j1", 100 },
		{ CLAIMS(",\"nbf\":1800000000,\"iat\":1799999990"),
		    "token:j1", 100 },
		{ CLAIMS(",\"org\":\"default\",\"role\":\"super_admin\""),
		    "token:j1", 100 },
		{ ONLY(EXP, SUB, ISS, "\"aud\":[\"x\",\"omni2\"],"),
		    "token:j1", 100 },
		{ ONLY(EXP, "\"sub\":\"bob@example.org\",\"org\":\"acme\",",
		    ISS, AUD), "token:j1", 200 },
		{ ONLY(EXP, "\"sub\":\"bob@example.org\","
		    "\"org\":\"default\",", ISS, AUD), "token:j1", 102 },
		{ "{" EXP SUB ISS AUD "\"jti\":\"a b\\n\\u00e9\"}",
		    "token:a?b???", 100 },
		{ "{" EXP SUB ISS AUD "\"jti\":\""
		    "0123456789012345678901234567890123456789"
		    "0123456789012345678901234567890123456789\"}",
		    "token:0123456789012345678901234567890123456789"
		    "012345678901234567890123456789012", 100 },
	};
	struct principal who;
	struct err e;
	size_t i, round;
	char *token;

	for (i = 0; i < COUNT(good); i++) {
		token = sign(GOOD_HEADER, good[i].payload, SECRET,
		    EVP_sha256());
		for (round = 0; round < 2; round++) {	/* new, remembered */
			memset(&who, 0xff, sizeof(who));
			if (check(policy, 4, token, true, NOW, &who, &e) < 0)
				fail_msg("%s: %s", good[i].payload, e.text);
			assert_int_equal(who.user_id, good[i].user_id);
			assert_int_equal(who.kind, CREDENTIAL_TOKEN);
			assert_string_equal(who.credential,
			    good[i].credential);
			assert_int_equal(pol_user(policy, who.user)->id,
			    good[i].user_id);
		}
		free(token);
	}
}

/* Who stays is looked at again by what is kept of the credential; where that
 * is not all of it, he has to come again with the whole. */
static void
test_still_good(void **state)
{
	static const struct { const char *jti; bool good; } cases[] = {
		{ "j1", true }, { "later", false }, { "a b", false },
		{ "\\u00e9", false },
		{ "0123456789012345678901234567890123456789"
		    "0123456789012345678901234567890123456789", false },
	};
	struct pol_head *revoking = build("", "later");
	struct principal who;
	struct err e;
	char claims[400], *token;
	uint32_t user;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(claims, sizeof(claims), "{" EXP SUB ISS AUD
		    "\"jti\":\"%s\"}", cases[i].jti);
		token = sign(GOOD_HEADER, claims, SECRET, EVP_sha256());
		assert_int_equal(check(policy, 4, token, true, NOW, &who, &e),
		    0);
		user = who.user;
		assert_int_equal(auth_still_good(revoking, who.credential,
		    who.user_id, NOW, &user), cases[i].good);
		free(token);
	}
	free(revoking);
}

/* A token without jti goes by its digest, and by that it can be revoked. */
static void
test_token_without_jti(void **state)
{
	char *token = sign(GOOD_HEADER, "{" EXP SUB ISS "\"aud\":\"omni2\"}",
	    SECRET, EVP_sha256()), hex[65];
	struct pol_head *revoking;
	struct principal who;
	uint8_t digest[32];
	struct err e;

	hash_sha256(token, strlen(token), digest);
	hash_hex(digest, 16, hex);
	assert_int_equal(check(policy, 4, token, true, NOW, &who, &e), 0);
	assert_string_equal(who.credential + 6, hex);
	revoking = build("", hex);
	assert_int_equal(check(revoking, 8, token, true, NOW, &who, &e), -1);
	assert_string_equal(e.text, "Token has been revoked");
	free(revoking);
	free(token);
}

static void
test_tampering(void **state)
{
	char *token = sign(GOOD_HEADER, CLAIMS(""), SECRET, EVP_sha256()), *t;
	char *other = sign(GOOD_HEADER, CLAIMS(",\"role\":\"admin\""),
	    "another secret, as long as the first", EVP_sha256());
	struct principal who;
	struct err e;
	size_t i, n = strlen(token);
	int bit;

	expect_refused(other, "another secret", "Invalid token");
	assert_int_equal(check(policy, 4, token, true, NOW, &who, &e), 0);
	/* Every bit, although the untouched token is remembered. */
	for (i = 0; i < n; i++) {
		for (bit = 0; bit < 8; bit++) {
			token[i] = (char)(token[i] ^ 1 << bit);
			if (token[i] != '\0')
				expect_refused(token, "a changed bit",
				    "Invalid token");
			token[i] = (char)(token[i] ^ 1 << bit);
		}
	}
	for (i = 0; i < n; i++) {
		t = xstrndup(token, i);
		expect_refused(t, "a cut token", "Invalid token");
		free(t);
	}
	t = xasprintf("%s=", token);
	expect_refused(t, "padding", "Invalid token");
	free(t);
	t = xasprintf("%s.", token);
	expect_refused(t, "a third dot", "Invalid token");
	free(t);
	t = xasprintf("%s ", token);
	expect_refused(t, "a space", "Invalid token");
	free(t);
	/* header.payload. -- unsigned, with both spellings of none */
	*strrchr(token, '.') = '\0';
	expect_refused(token, "two segments", "Invalid token");
	t = xasprintf("%s.", token);
	expect_refused(t, "an empty signature", "Invalid token");
	free(t);
	free(token);
	free(other);
}

/* What never reaches the library. */
static void
test_guard(void **state)
{
	static const struct {
		const char *token;
		bool admitted;
	} t[] = {
		/* {"alg":"HS256"}.{}.32 zero bytes */
		{ "eyJhbGciOiJIUzI1NiJ9.e30."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", true },
		/* 31, 33 and 0 bytes */
		{ "eyJhbGciOiJIUzI1NiJ9.e30."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false },
		{ "eyJhbGciOiJIUzI1NiJ9.e30."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false },
		{ "eyJhbGciOiJIUzI1NiJ9.e30.", false },
		/* a spare bit in the last digit, a padded header */
		{ "eyJhbGciOiJIUzI1NiJ9.e30."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", false },
		{ "eyJhbGciOiJIUzI1NiJ9=.e30."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false },
		/* an empty payload, base64 that is not base64url */
		{ "eyJhbGciOiJIUzI1NiJ9.."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", false },
		{ "eyJhbGciOiJIUzI1NiJ9.e30."
		    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/A", false },
		{ "eyJhbGciOiJIUzI1NiJ9.e30", false },
		{ "", false }, { ".", false }, { "..", false },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		if (token_guard(span_str(t[i].token)) != t[i].admitted)
			fail_msg("%s", t[i].token);
}

static void
test_unsigned(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"none\"}",
		"{\"alg\":\"NoNe\",\"typ\":\"JWT\"}", GOOD_HEADER };
	char *h, *p = b64(CLAIMS(""), strlen(CLAIMS(""))), *token;
	size_t i;

	for (i = 0; i < COUNT(headers); i++) {
		h = b64(headers[i], strlen(headers[i]));
		token = xasprintf("%s.%s.", h, p);
		expect_refused(token, headers[i], "Invalid token");
		free(token);
		free(h);
	}
	free(p);
}

/* No secret: tokens are no way in, however they are signed. */
static void
test_no_secret(void **state)
{
	char *token = sign(GOOD_HEADER, CLAIMS(""), "", EVP_sha256());
	char *none = b64("{\"alg\":\"none\"}", 14);
	char jti[40], *t;
	struct err e;

	auth_init("", "omni2");
	expect_refused(token, "signed with nothing", "Invalid token");
	free(token);
	t = xasprintf("%s.e30.", none);
	expect_refused(t, "unsigned", "Invalid token");
	free(t);
	free(none);
	assert_null(token_mint("", "omni2", "default", "ada@example.org", "",
	    "admin", NOW, 60, jti, &e));
	assert_string_equal(e.text, "auth.token_secret is not set");
}

static void
test_sizes(void **state)
{
	char *padding = xmalloc(9 << 10), *payload, *token;
	struct principal who;
	struct err e;
	size_t n;

	for (n = 5800; n < 6200; n++) {
		memset(padding, 'x', n);
		padding[n] = '\0';
		payload = xasprintf("{" EXP SUB ISS AUD "\"x\":\"%s\"}",
		    padding);
		token = sign(GOOD_HEADER, payload, SECRET, EVP_sha256());
		if ((check(policy, 4, token, true, NOW, &who, &e) == 0) !=
		    (strlen(token) <= TOKEN_SIZE_MAX))
			fail_msg("%zu bytes: %s", strlen(token), e.text);
		free(payload);
		free(token);
	}
	memset(padding, 'x', 6800);
	padding[6800] = '\0';
	payload = xasprintf("{" EXP SUB ISS AUD "\"x\":\"%s\"}", padding);
	token = sign(GOOD_HEADER, payload, SECRET, EVP_sha256());
	assert_true(strlen(token) > 9 << 10);
	expect_refused(token, "9 KiB", "Invalid token");
	free(payload);
	free(token);
	free(padding);
}

/* What a worker remembers counts for one generation and until exp. */
static void
test_remembered(void **state)
{
	char *token = sign(GOOD_HEADER, CLAIMS(""), SECRET, EVP_sha256());
	struct pol_head *without, *revoking;
	struct principal who;
	struct err e;

	assert_int_equal(check(policy, 4, token, true, NOW, &who, &e), 0);
	assert_int_equal(check(policy, 4, token, true, NOW + 99, &who, &e), 0);
	assert_int_equal(check(policy, 4, token, true, NOW + 100, &who, &e),
	    -1);
	assert_string_equal(e.text, "Token expired");
	assert_int_equal(e.code, ERR_UNAUTHENTICATED);
	assert_int_equal(check(policy, 4, token, true, NOW, &who, &e), 0);
	/* the user is disabled */
	without = build("ada@example.org", NULL);
	assert_int_equal(check(without, 8, token, true, NOW, &who, &e), -1);
	assert_string_equal(e.text, "User account disabled");
	/* the token is revoked */
	revoking = build("", "j1");
	assert_int_equal(check(revoking, 12, token, true, NOW, &who, &e), -1);
	assert_string_equal(e.text, "Token has been revoked");
	/* and back */
	assert_int_equal(check(policy, 16, token, true, NOW, &who, &e), 0);
	/* another secret: nothing is remembered */
	auth_init("a secret of later days, long enough", "omni2");
	assert_int_equal(check(policy, 16, token, true, NOW, &who, &e), -1);
	assert_string_equal(e.text, "Invalid token");
	auth_init(SECRET, "another issuer");
	assert_int_equal(check(policy, 16, token, true, NOW, &who, &e), -1);
	free(token);
	free(without);
	free(revoking);
}

/* Far more tokens than places, all still told apart. */
static void
test_many_tokens(void **state)
{
	static const char *const emails[] = { "ada@example.org",
		"bob@example.org" };
	char *token[600], *payload, jti[16];
	struct principal who;
	struct err e;
	size_t i, round;

	for (i = 0; i < COUNT(token); i++) {
		payload = xasprintf("{" EXP ISS AUD "\"sub\":\"%s\","
		    "\"org\":\"default\",\"jti\":\"%zu\"}", emails[i % 2], i);
		token[i] = sign(GOOD_HEADER, payload, SECRET, EVP_sha256());
		free(payload);
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < COUNT(token); i++) {
			assert_int_equal(check(policy, 4, token[i], true, NOW,
			    &who, &e), 0);
			assert_int_equal(who.user_id, i % 2 ? 102 : 100);
			snprintf(jti, sizeof(jti), "token:%zu", i);
			assert_string_equal(who.credential, jti);
		}
	}
	for (i = 0; i < COUNT(token); i++)
		free(token[i]);
}

static void
test_keys(void **state)
{
	static const struct {
		const char *value;
		bool is_header;
		const char *text;	/* NULL: accepted */
		const char *credential;
	} t[] = {
		{ "Bearer " KEY_TEXT, false, NULL, "key:17" },
		{ "bearer " KEY_TEXT, false, NULL, "key:17" },
		{ "BEARER   " KEY_TEXT, false, NULL, "key:17" },
		{ KEY_TEXT, true, NULL, "key:17" },
		{ "legacy-key", true, NULL, "key:20" },
		{ "omni2_expiring", true, NULL, "key:1234567890123" },
		{ "omni2_off", true, "User account disabled", "" },
		{ "Bearer omni2_off", false, "User account disabled", "" },
		{ "Bearer legacy-key", false, "Invalid token", "" },
		{ "Bearer omni2_x", false, "Invalid API key", "" },
		{ "Bearer omni2_", false, "Invalid API key", "" },
		{ "Bearer " KEY_TEXT "A", false, "Invalid API key", "" },
		{ "Bearer " KEY_TEXT " ", false, "Invalid API key", "" },
		{ "Bearer Bearer " KEY_TEXT, false, "Invalid token", "" },
		{ "Bearer " KEY_TEXT, true, "Invalid API key", "" },
		{ "Bearer OMNI2_x", false, "Invalid token", "" },
		{ KEY_TEXT, false, "Invalid token", "" },
		{ "Bearer" KEY_TEXT, false, "Invalid token", "" },
		{ "Bearer\t" KEY_TEXT, false, "Invalid token", "" },
		{ "Basic " KEY_TEXT, false, "Invalid token", "" },
		{ "Bearer", false, "Invalid token", "" },
		{ "Bearer ", false, "Invalid token", "" },
		{ "Bearer      ", false, "Invalid token", "" },
		{ "Bearer ..", false, "Invalid token", "" },
		{ "Bearer .", false, "Invalid token", "" },
		{ "Bearer \xff\xfe.\x01.\x02", false, "Invalid token", "" },
		{ "garbage", true, "Invalid API key", "" },
		{ "", false, "Authorization header required", "" },
		{ "", true, "Authorization header required", "" },
	};
	struct principal who;
	struct err e;
	size_t i;
	int rv;

	for (i = 0; i < COUNT(t); i++) {
		err_clear(&e);
		rv = auth_check(policy, 4, span_str(t[i].value),
		    t[i].is_header, true, NOW, &who, &e);
		if ((rv == 0) != (t[i].text == NULL))
			fail_msg("\"%s\": %d %s", t[i].value, rv, e.text);
		if (rv < 0) {
			assert_string_equal(e.text, t[i].text);
			assert_int_equal(e.code, ERR_UNAUTHENTICATED);
			continue;
		}
		assert_int_equal(who.kind, CREDENTIAL_KEY);
		assert_int_equal(who.user_id, 100);
		assert_string_equal(who.credential, t[i].credential);
	}
	err_clear(&e);
	assert_int_equal(auth_check(policy, 4, span_make(NULL, 0), false, true,
	    NOW, &who, &e), -1);
}

static void
test_key_expires(void **state)
{
	struct principal who;
	char big[600];
	struct err e;

	assert_int_equal(check(policy, 4, "omni2_expiring", true, NOW + 9,
	    &who, &e), 0);
	assert_int_equal(check(policy, 4, "omni2_expiring", true, NOW + 10,
	    &who, &e), -1);
	assert_string_equal(e.text, "Invalid API key");
	memset(big, 'x', sizeof(big));
	memcpy(big, "omni2_", 6);
	assert_int_equal(auth_check(policy, 4, span_make(big, sizeof(big)),
	    true, false, NOW, &who, &e), -1);
	assert_int_equal(e.code, ERR_UNAUTHENTICATED);
}

/* While the database's rows are missing, "unknown" cannot be said yet. */
static void
test_database_not_loaded(void **state)
{
	char *unknown = sign(GOOD_HEADER, ONLY(EXP,
	    "\"sub\":\"eve@example.org\",", ISS, AUD), SECRET, EVP_sha256());
	char *forged = sign(GOOD_HEADER, ONLY(EXP,
	    "\"sub\":\"eve@example.org\",", ISS, AUD), "x", EVP_sha256());
	struct principal who;
	struct err e;

	assert_int_equal(check(policy, 4, "omni2_x", false, NOW, &who, &e),
	    -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_true(e.retry_after_s > 0);
	assert_int_equal(check(policy, 4, unknown, false, NOW, &who, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_int_equal(check(policy, 4, forged, false, NOW, &who, &e), -1);
	assert_int_equal(e.code, ERR_UNAUTHENTICATED);
	assert_int_equal(check(policy, 4, KEY_TEXT, false, NOW, &who, &e), 0);
	free(unknown);
	free(forged);
}

static void
test_mint(void **state)
{
	char jti[40], again[40], *token, *other, *text;
	struct principal who;
	struct err e;

	token = token_mint(SECRET, "omni2", "default", "ada@example.org",
	    "Ada \"Quote\" \xc3\xa9", "admin", NOW, 60, jti, &e);
	assert_non_null(token);
	assert_int_equal(strlen(jti), 32);
	other = token_mint(SECRET, "omni2", "default", "ada@example.org", "",
	    "admin", NOW, 60, again, &e);
	assert_string_not_equal(jti, again);
	assert_int_equal(check(policy, 4, token, true, NOW + 59, &who, &e), 0);
	assert_int_equal(who.user_id, 100);
	assert_memory_equal(who.credential, "token:", 6);
	assert_string_equal(who.credential + 6, jti);
	assert_int_equal(check(policy, 4, token, true, NOW + 60, &who, &e),
	    -1);
	assert_int_equal(check(policy, 4, other, true, NOW, &who, &e), 0);
	free(token);
	free(other);
	token = token_mint(SECRET, "omni2", "acme", "bob@example.org", "Bob",
	    "viewer", NOW, 60, jti, &e);
	assert_int_equal(check(policy, 4, token, true, NOW, &who, &e), 0);
	assert_int_equal(who.user_id, 200);
	/* all the claims */
	text = xcalloc(1, 2048);
	other = strchr(token, '.') + 1;
	assert_true(base64url_decode(span_make(other,
	    (size_t)(strchr(other, '.') - other)), (uint8_t *)text,
	    2047) > 0);
	assert_non_null(strstr(text, "\"sub\":\"bob@example.org\""));
	assert_non_null(strstr(text, "\"email\":\"bob@example.org\""));
	assert_non_null(strstr(text, "\"role\":\"viewer\""));
	assert_non_null(strstr(text, "\"org\":\"acme\""));
	assert_non_null(strstr(text, "\"name\":\"Bob\""));
	assert_non_null(strstr(text, "\"iss\":\"omni2\""));
	assert_non_null(strstr(text, "\"aud\":\"omni2\""));
	assert_non_null(strstr(text, "\"iat\":1800000000"));
	assert_non_null(strstr(text, "\"exp\":1800000060"));
	assert_non_null(strstr(text, jti));
	free(text);
	free(token);
}

static void
test_new_keys(void **state)
{
	char text[APIKEY_TEXT_SIZE], again[APIKEY_TEXT_SIZE], prefix[16];
	uint8_t sha256[32], expected[32];

	apikey_new(text, sha256, prefix);
	assert_int_equal(strlen(text), 49);
	assert_memory_equal(text, "omni2_", 6);
	assert_int_equal(strspn(text + 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"
	    "jklmnopqrstuvwxyz0123456789-_"), 43);
	hash_sha256(text, 49, expected);
	assert_memory_equal(sha256, expected, 32);
	assert_int_equal(strlen(prefix), 12);
	assert_memory_equal(prefix, text, 12);
	apikey_new(again, sha256, prefix);
	assert_string_not_equal(text, again);
}

/* What is remembered takes no memory and no digest. */
static void
test_known_callers_allocate_nothing(void **state)
{
	char *token = sign(GOOD_HEADER, CLAIMS(""), SECRET, EVP_sha256());
	char *value = xasprintf("Bearer %s", token);
	unsigned long before;
	struct principal who;
	struct err e;
	int i;

	for (i = 0; i < 3; i++) {
		before = allocations;
		assert_int_equal(auth_check(policy, 4, span_str(value), false,
		    true, NOW, &who, &e), 0);
		assert_int_equal(who.kind, CREDENTIAL_TOKEN);
		assert_int_equal(auth_check(policy, 4,
		    SPAN_LIT("Bearer " KEY_TEXT), false, true, NOW, &who, &e),
		    0);
		assert_int_equal(who.kind, CREDENTIAL_KEY);
		assert_true(i == 0 ? allocations > before :
		    allocations == before);
	}
	free(token);
	free(value);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_headers, fresh),
		cmocka_unit_test_setup(test_claims, fresh),
		cmocka_unit_test_setup(test_good_claims, fresh),
		cmocka_unit_test_setup(test_still_good, fresh),
		cmocka_unit_test_setup(test_token_without_jti, fresh),
		cmocka_unit_test_setup(test_tampering, fresh),
		cmocka_unit_test_setup(test_guard, fresh),
		cmocka_unit_test_setup(test_unsigned, fresh),
		cmocka_unit_test_setup(test_no_secret, fresh),
		cmocka_unit_test_setup(test_sizes, fresh),
		cmocka_unit_test_setup(test_remembered, fresh),
		cmocka_unit_test_setup(test_many_tokens, fresh),
		cmocka_unit_test_setup(test_keys, fresh),
		cmocka_unit_test_setup(test_key_expires, fresh),
		cmocka_unit_test_setup(test_database_not_loaded, fresh),
		cmocka_unit_test_setup(test_mint, fresh),
		cmocka_unit_test_setup(test_new_keys, fresh),
		cmocka_unit_test_setup(test_known_callers_allocate_nothing,
		    fresh),
	};

	/* Before OpenSSL allocates for the first time. */
	if (CRYPTO_set_mem_functions(count_malloc, count_realloc,
	    count_free) != 1)
		return 99;
	json_set_alloc_funcs(count_json, free);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
