/*
 * hash -- table hashing (not cryptographic) and SHA-256 (OpenSSL).
 */
#ifndef OMNI2_BASE_HASH_H
#define OMNI2_BASE_HASH_H

#include <stdint.h>

#include "base/span.h"

/* Seeded 64-bit hash for tables; same value in every process of a run. */
uint64_t hash_bytes(uint64_t seed, const void *, size_t);
static inline uint64_t
hash_mix(uint64_t x)
{
	x ^= x >> 33; x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33; x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

void	hash_sha256(const void *, size_t, uint8_t out[32]);
void	hash_hmac_sha256(const void *key, size_t key_n, const void *, size_t,
	    uint8_t out[32]);
void	hash_hex(const uint8_t *, size_t, char *out);	/* 2n + 1 bytes */
/* Exactly 2n digits, either case. 0 or -1. */
int	hash_unhex(struct span, uint8_t *out, size_t n);
/* base64url without padding (RFC 4648 section 5). out: 4*(n+2)/3 + 1 bytes. */
size_t	base64url_encode(const uint8_t *, size_t, char *out);
/* Strict. Returns length or -1. */
long	base64url_decode(struct span, uint8_t *out, size_t size);
void	random_bytes(void *, size_t);	/* getrandom(2); dies on failure */
/* In constant time. */
bool	secret_equal(const void *, const void *, size_t);

#endif
