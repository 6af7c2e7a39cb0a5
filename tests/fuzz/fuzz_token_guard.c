/*
 * Properties of auth/token: what the guard admits has exactly two dots, only
 * base64url around them, a header of alg HS256 and perhaps typ JWT, and a
 * signature of 32 bytes; whatever it admits or not, no input is a valid token;
 * and any header and payload, signed here, never crash the reader of claims.
 * Input: a token; or "!", header, line feed, payload.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "auth/token_int.h"
#include "base/hash.h"

#define NOW	1800000000
#define SECRET	"a secret that the inputs do not know"

static void
check_admitted(struct span token)
{
	const char *dot = memchr(token.p, '.', token.n);
	char header[256];
	size_t i, dots = 0;
	long n;

	FUZZ_CHECK(token.n <= TOKEN_SIZE_MAX);
	for (i = 0; i < token.n; i++) {
		dots += token.p[i] == '.';
		FUZZ_CHECK(token.p[i] > ' ' && token.p[i] < 0x7f);
	}
	FUZZ_CHECK(dots == 2);
	n = base64url_decode(span_make(token.p, (size_t)(dot - token.p)),
	    (uint8_t *)header, sizeof(header) - 1);
	FUZZ_CHECK(n > 0);
	header[n] = '\0';
	FUZZ_CHECK(strstr(header, "\"alg\"") != NULL);
	FUZZ_CHECK(strstr(header, "\"HS256\"") != NULL);
	FUZZ_CHECK(strstr(header, "kid") == NULL);
	FUZZ_CHECK(strstr(header, "jku") == NULL);
	FUZZ_CHECK(strstr(header, "crit") == NULL);
}

static size_t
sign(struct span header, struct span payload, char out[TOKEN_SIZE_MAX])
{
	uint8_t seal[32];
	size_t n;

	n = base64url_encode((const uint8_t *)header.p, header.n, out);
	out[n++] = '.';
	n += base64url_encode((const uint8_t *)payload.p, payload.n, out + n);
	hash_hmac_sha256(SECRET, sizeof(SECRET) - 1, out, n, seal);
	out[n++] = '.';
	return n + base64url_encode(seal, sizeof(seal), out + n);
}

static void
check_signed(struct span in)
{
	struct span secret = SPAN_LIT(SECRET), issuer = SPAN_LIT("omni2");
	const char *line = in.n == 0 ? NULL : memchr(in.p, '\n', in.n);
	char token[TOKEN_SIZE_MAX];
	struct token_claims claims;
	struct span header, payload;
	struct err e;
	size_t n;

	if (line == NULL || in.n > 4096)
		return;
	header = span_make(in.p, (size_t)(line - in.p));
	payload = span_skip(in, header.n + 1);
	n = sign(header, payload, token);
	if (token_guard(span_make(token, n)))
		check_admitted(span_make(token, n));
	if (token_verify(span_make(token, n), secret, issuer, NOW, &claims,
	    &e) < 0) {
		FUZZ_CHECK(e.code == ERR_UNAUTHENTICATED);
		return;
	}
	FUZZ_CHECK(claims.exp > NOW);
	FUZZ_CHECK(claims.sub.n > 0 && claims.sub.n <= TOKEN_TEXT_MAX);
	FUZZ_CHECK(token_verify(span_make(token, n), secret, issuer,
	    claims.exp, &claims, &e) < 0);
	FUZZ_CHECK(token_verify(span_make(token, n), SPAN_LIT("other"), issuer,
	    NOW, &claims, &e) < 0);
	token[n - 2] ^= 1;
	FUZZ_CHECK(token_verify(span_make(token, n), secret, issuer, NOW,
	    &claims, &e) < 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data, size };
	struct token_claims claims;
	struct err e;

	if (token_guard(in))
		check_admitted(in);
	FUZZ_CHECK(token_verify(in, SPAN_LIT(SECRET), SPAN_LIT("omni2"), NOW,
	    &claims, &e) < 0);
	FUZZ_CHECK(token_verify(in, SPAN_LIT(""), SPAN_LIT("omni2"), NOW,
	    &claims, &e) < 0);
	if (size > 0 && data[0] == '!')
		check_signed(span_skip(in, 1));
	return 0;
}
