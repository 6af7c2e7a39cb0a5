/*
 * token_int -- the inner steps of checking a bearer token, for auth.c and the
 * tests: the guard that stands before the library, and the claims.
 */
#ifndef OMNI2_AUTH_TOKEN_INT_H
#define OMNI2_AUTH_TOKEN_INT_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

#define TOKEN_SIZE_MAX	8192
#define TOKEN_TEXT_MAX	256	/* of a claim that is a text */

struct token_text {
	size_t		n;
	char		p[TOKEN_TEXT_MAX];
};

struct token_claims {
	int64_t		exp;
	struct token_text sub, jti, org;	/* jti, org: n 0: not there */
};

/*
 * Is this, before any cryptography, a token that we could have minted? Three
 * base64url segments, a header of {"alg":"HS256"} and perhaps "typ":"JWT" and
 * nothing else, a signature of 32 bytes.
 */
bool	token_guard(struct span token);
/*
 * Guard, signature, claims. Sets err UNAUTHENTICATED. An empty secret accepts
 * nothing.
 */
int	token_verify(struct span token, struct span secret, struct span issuer,
	    int64_t now, struct token_claims *, struct err *);

#endif
