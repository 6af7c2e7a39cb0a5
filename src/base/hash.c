/*
 * hash -- SipHash-1-3 for tables; SHA-256, HMAC and the like by OpenSSL.
 *
 * Every process. Table keys come from outside, so the table hash is a keyed
 * one: without the seed nobody can choose names that collide. The OpenSSL
 * contexts are made once and used for every digest (a fetch costs more than
 * the digest); after fork(2) each child has its own copy. Not for threads.
 */
#include "base/hash.h"

#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/num.h"

static inline uint64_t
rotl(uint64_t x, unsigned b)
{
	return x << b | x >> (64 - b);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1]; v[1] = rotl(v[1], 13) ^ v[0]; v[0] = rotl(v[0], 32);
	v[2] += v[3]; v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3]; v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1]; v[1] = rotl(v[1], 17) ^ v[2]; v[2] = rotl(v[2], 32);
}

static inline uint64_t
load_le(const unsigned char *p, size_t n)
{
	uint64_t x = 0;
	size_t i;

	if (n == 8) {
		memcpy(&x, p, 8);
		return le64toh(x);
	}
	for (i = 0; i < n; i++)
		x |= (uint64_t)p[i] << (8 * i);
	return x;
}

uint64_t
hash_bytes(uint64_t seed, const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t k1 = hash_mix(seed + 0x9e3779b97f4a7c15ULL), m;
	uint64_t v[4] = {
		seed ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL,
		seed ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL,
	};
	size_t left;

	for (left = n; left >= 8; left -= 8, p += 8) {
		m = load_le(p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = load_le(p, left) | (uint64_t)n << 56;
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void
hash_sha256(const void *data, size_t n, uint8_t out[32])
{
	static EVP_MD_CTX *ctx;

	if (ctx == NULL) {
		EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);

		ctx = EVP_MD_CTX_new();
		ASSERT_ALWAYS(md != NULL && ctx != NULL);
		ASSERT_ALWAYS(EVP_DigestInit_ex2(ctx, md, NULL) == 1);
		EVP_MD_free(md);	/* the context holds it */
	} else
		/* the same digest again: keeps the context's memory */
		ASSERT_ALWAYS(EVP_DigestInit_ex2(ctx, NULL, NULL) == 1);
	ASSERT_ALWAYS(EVP_DigestUpdate(ctx, data, n) == 1);
	ASSERT_ALWAYS(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
}

static EVP_MAC_CTX *
hmac_context(void)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

	ASSERT_ALWAYS(ctx != NULL);
	ASSERT_ALWAYS(EVP_MAC_CTX_set_params(ctx, params) == 1);
	EVP_MAC_free(mac);		/* the context holds it */
	return ctx;
}

void
hash_hmac_sha256(const void *key, size_t key_n, const void *data, size_t n,
    uint8_t out[32])
{
	static const unsigned char no_key[1];
	static EVP_MAC_CTX *ctx;
	size_t out_n = 0;

	if (ctx == NULL)
		ctx = hmac_context();
	/* A NULL key would mean: the key of the call before. */
	if (key == NULL || key_n == 0) {
		key = no_key;
		key_n = 0;
	}
	ASSERT_ALWAYS(EVP_MAC_init(ctx, key, key_n, NULL) == 1);
	ASSERT_ALWAYS(EVP_MAC_update(ctx, data, n) == 1);
	ASSERT_ALWAYS(EVP_MAC_final(ctx, out, &out_n, 32) == 1);
	ASSERT_ALWAYS(out_n == 32);
}

static const char hex_digits[] = "0123456789abcdef";

/* Eight nibbles in one register; "a" to "f" are 39 above "9" + 1. */
static inline void
four_to_hex(const uint8_t in[4], char out[8])
{
	uint32_t four;
	uint64_t x, letters;

	memcpy(&four, in, 4);
	x = le32toh(four);
	x = (x | x << 16) & 0x0000ffff0000ffffULL;
	x = (x | x << 8) & 0x00ff00ff00ff00ffULL;
	x = (x >> 4 | x << 8) & 0x0f0f0f0f0f0f0f0fULL;
	letters = (x + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL;
	x = htole64(x + 0x3030303030303030ULL + letters * 39);
	memcpy(out, &x, 8);
}

void
hash_hex(const uint8_t *data, size_t n, char *out)
{
	size_t i;

	for (i = 0; i + 4 <= n; i += 4, out += 8)
		four_to_hex(data + i, out);
	for (; i < n; i++) {
		*out++ = hex_digits[data[i] >> 4];
		*out++ = hex_digits[data[i] & 15];
	}
	*out = '\0';
}

int
hash_unhex(struct span text, uint8_t *out, size_t n)
{
	size_t i;

	if (text.n / 2 != n || text.n % 2 != 0)
		return -1;
	for (i = 0; i < n; i++) {
		int high = num_hex_digit(text.p[2 * i]);
		int low = num_hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return -1;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

size_t
base64url_encode(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned held = 0;
	size_t i, used = 0;

	for (i = 0; i < n; i++) {
		bits = bits << 8 | p[i];
		for (held += 8; held >= 6; held -= 6)
			out[used++] = digits[bits >> (held - 6) & 63];
	}
	if (held > 0)
		out[used++] = digits[bits << (6 - held) & 63];
	out[used] = '\0';
	return used;
}

static int
base64url_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long
base64url_decode(struct span text, uint8_t *out, size_t size)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t i, used = 0;

	if (text.n % 4 == 1)
		return -1;
	for (i = 0; i < text.n; i++) {
		int d = base64url_digit(text.p[i]);

		if (d < 0)
			return -1;
		bits = bits << 6 | (uint32_t)d;
		if ((held += 6) < 8)
			continue;
		held -= 8;
		if (used == size)
			return -1;
		out[used++] = (uint8_t)(bits >> held);
	}
	/* Bits behind the last byte must be zero: one text, one value. */
	if ((bits & ((1u << held) - 1)) != 0)
		return -1;
	return (long)used;
}

void
random_bytes(void *out, size_t n)
{
	char *p = out;
	ssize_t rv;

	while (n > 0) {
		rv = getrandom(p, n, 0);
		if (rv < 0 && errno == EINTR)
			continue;
		if (rv < 0)
			die_sys("getrandom");
		p += rv;
		n -= (size_t)rv;
	}
}

bool
secret_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
