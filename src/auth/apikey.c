/*
 * apikey -- makes API keys. Checking them is a look-up (auth.c).
 *
 * Runs in omni2ctl and in the worker that serves an administrator. The text
 * exists only in the caller's hands; what is stored is its SHA-256, which
 * needs no salt and no slow hash because the text has 256 random bits.
 */
#include "auth/auth.h"

#include <openssl/crypto.h>

#include "base/hash.h"

#define PREFIX		"omni2_"
#define SHOWN		12	/* characters that people tell keys apart by */

_Static_assert(APIKEY_TEXT_SIZE >= sizeof(PREFIX) + 43, "key text too long");

void
apikey_new(char text[APIKEY_TEXT_SIZE], uint8_t sha256[32], char prefix[16])
{
	uint8_t secret[32];
	size_t n = sizeof(PREFIX) - 1;

	random_bytes(secret, sizeof(secret));
	memcpy(text, PREFIX, n);
	n += base64url_encode(secret, sizeof(secret), text + n);
	OPENSSL_cleanse(secret, sizeof(secret));
	hash_sha256(text, n, sha256);
	span_copy(prefix, SHOWN + 1, span_make(text, n));
}
