/*
 * auth -- who is calling? API keys and HS256 bearer tokens to a principal.
 *
 * Workers only; no database, no lock. Keys are looked up by SHA-256 in the
 * pinned policy snapshot, tokens are verified; both once per worker and policy
 * generation, then they are remembered. Answers for unknown
 * and wrong credentials are the same.
 */
#ifndef OMNI2_AUTH_AUTH_H
#define OMNI2_AUTH_AUTH_H

#include "base/err.h"
#include "base/span.h"
#include "policy/snapshot.h"

enum credential_kind { CREDENTIAL_KEY, CREDENTIAL_TOKEN };

struct principal {
	uint32_t	user;		/* index into the policy snapshot */
	int64_t		user_id;
	enum credential_kind kind;
	char		credential[80];	/* "key:17", "token:<jti>" */
	int64_t		expires;	/* of the credential, wall s; 0 never */
};

/* Per process; token_secret is copied. Call again after a reload. */
void	auth_init(const char *token_secret, const char *issuer);

/*
 * Authenticates from the Authorization value (or X-API-Key value, then
 * is_api_key_header). db_loaded false: unknown keys are UNAVAILABLE (503), not
 * UNAUTHENTICATED. Texts: "Authorization header required", "Invalid API key",
 * "Invalid token", "Token expired", "Token has been revoked", "User account
 * disabled". now is wall seconds.
 */
int	auth_check(const struct pol_head *, uint64_t generation, struct span value,
	    bool is_api_key_header, bool db_loaded, int64_t now,
	    struct principal *, struct err *);

/*
 * For who stays longer than one request: is the user still active, and the
 * credential neither gone nor revoked? *user is a guess of the index and is
 * set right.
 */
bool	auth_still_good(const struct pol_head *, const char *credential,
	    int64_t user_id, int64_t now, uint32_t *user);

/* API keys: "omni2_" and 43 base64url characters (256 bits). */
#define APIKEY_TEXT_SIZE 64
void	apikey_new(char text[APIKEY_TEXT_SIZE], uint8_t sha256[32],
	    char prefix[16]);

/* Mints an HS256 token: sub (e-mail), role, org, email, name, jti, iat, exp,
 * iss, aud. Through libjwt. Returns malloc'd text, or NULL with err. */
char	*token_mint(const char *secret, const char *issuer, const char *org,
	    const char *email, const char *name, const char *role, int64_t now,
	    int64_t lifetime_s, char jti_out[40], struct err *);

#endif
