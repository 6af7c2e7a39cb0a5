/*
 * session -- seals and opens session ids; see session.h.
 *
 * Workers, twice a request at most, so: no table, no lock, no state but the
 * keyed context, which every process has its own copy of after fork(2).
 * The capsule is 34 bytes in little endian, the seal the HMAC-SHA256 over
 * capsule and endpoint; together 66 bytes, 88 characters of base64url without
 * a spare bit, so no two texts mean the same. The principal stands in the
 * capsule and must be the caller. Secrecy is not needed: nothing in the
 * capsule is news to its owner.
 */
#include "auth/session.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/hash.h"
#include "base/log.h"

#define VERSION		1
#define CAPSULE		34
#define SEALED		(CAPSULE + 32)
#define TEXT		88

_Static_assert(SEALED % 3 == 0 && SEALED / 3 * 4 == TEXT &&
    TEXT < SESSION_ID_SIZE, "size of a session id");

/* Keyed once: to key it again for each id would cost half as much again. */
static EVP_MAC_CTX *mac;

static EVP_MAC_CTX *
new_mac(const uint8_t *key, size_t n)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);

	ASSERT_ALWAYS(ctx != NULL && EVP_MAC_init(ctx, key, n, params) == 1);
	EVP_MAC_free(hmac);		/* the context holds it */
	return ctx;
}

void
session_init(const char *token_secret)
{
	static const char label[] = "omni2 session v1";
	uint8_t key[32];

	/* Every process must have the same one, so it cannot be made here. */
	ASSERT_ALWAYS(token_secret != NULL && token_secret[0] != '\0');
	hash_hmac_sha256(token_secret, strlen(token_secret), label,
	    sizeof(label) - 1, key);
	EVP_MAC_CTX_free(mac);
	mac = new_mac(key, sizeof(key));
	OPENSSL_cleanse(key, sizeof(key));
}

static uint8_t *
put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (; bytes > 0; bytes--, v >>= 8)
		*p++ = (uint8_t)v;
	return p;
}

static uint64_t
get(const uint8_t **p, unsigned bytes)
{
	uint64_t v = 0;
	unsigned i;

	for (i = 0; i < bytes; i++)
		v |= (uint64_t)*(*p)++ << (8 * i);
	return v;
}

/* The capsule has a fixed length, so what follows can only be the endpoint. */
static void
make_seal(const uint8_t capsule[CAPSULE], struct span endpoint, uint8_t out[32])
{
	size_t n = 0;

	ASSERT_ALWAYS(mac != NULL);
	/* No new key: that of before, from its start. */
	ASSERT_ALWAYS(EVP_MAC_init(mac, NULL, 0, NULL) == 1);
	ASSERT_ALWAYS(EVP_MAC_update(mac, capsule, CAPSULE) == 1);
	ASSERT_ALWAYS(EVP_MAC_update(mac, (const unsigned char *)endpoint.p,
	    endpoint.n) == 1);
	ASSERT_ALWAYS(EVP_MAC_final(mac, out, &n, 32) == 1 && n == 32);
}

void
session_seal(const struct session *s, struct span endpoint,
    char out[SESSION_ID_SIZE])
{
	uint8_t sealed[SEALED], *p = sealed;

	p = put(p, VERSION, 1);
	p = put(p, 0, 1);		/* flags */
	p = put(p, s->id, 8);
	p = put(p, (uint64_t)s->expires, 8);
	p = put(p, (uint64_t)s->user_id, 8);
	p = put(p, s->revision, 4);
	p = put(p, s->caps, 4);
	make_seal(sealed, endpoint, p);
	base64url_encode(sealed, SEALED, out);
}

/* The texts of all refusals are the same: no oracle for guessing. */
static int
no_session(struct err *e)
{
	return err_set(e, ERR_SESSION, "Session not found or expired");
}

int
session_open(struct span text, struct span endpoint, int64_t user_id,
    int64_t now, struct session *out, struct err *e)
{
	uint8_t sealed[SEALED], seal[32];
	const uint8_t *p = sealed;
	struct session s;
	uint64_t version, flags;

	if (text.n != TEXT ||
	    base64url_decode(text, sealed, sizeof(sealed)) != SEALED)
		return no_session(e);
	make_seal(sealed, endpoint, seal);
	if (!secret_equal(seal, sealed + CAPSULE, sizeof(seal)))
		return no_session(e);
	version = get(&p, 1);
	flags = get(&p, 1);
	s.id = get(&p, 8);
	s.expires = (int64_t)get(&p, 8);
	s.user_id = (int64_t)get(&p, 8);
	s.revision = (uint32_t)get(&p, 4);
	s.caps = (uint32_t)get(&p, 4);
	if (version != VERSION || flags != 0 || s.user_id != user_id ||
	    s.expires <= now)
		return no_session(e);
	*out = s;
	return 0;
}
