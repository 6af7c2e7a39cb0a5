/*
 * sha256x -- see sha256x.h. Which way is the best one for this machine.
 *
 * OpenSSL has such code for TLS records only and does not offer it. The rest
 * of the hash (FIPS 180-4) is in sha256_lanes.h, compiled once for each width
 * of register.
 */
#include "audit/sha256x.h"

#include "base/hash.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define CPUID_SHA	(1u << 29)	/* leaf 7, EBX */

static const uint32_t first_state[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
};

static const uint32_t round_constant[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
	0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

/* What a lane works at: whole blocks of the message, then its padded end. */
struct lane {
	const unsigned char *p;
	size_t		 blocks;	/* from p on */
	size_t		 end_blocks;	/* of end, when those are done */
	unsigned char	 end[128];
	uint8_t		*out;		/* NULL: it has no message */
};

static uint32_t
load32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static void
lane_begin(struct lane *l, struct span m, uint8_t *out)
{
	size_t rest = m.n % 64, k;
	uint64_t bits = (uint64_t)m.n * 8;

	l->p = (const unsigned char *)m.p;
	l->blocks = m.n / 64;
	l->end_blocks = rest < 56 ? 1 : 2;
	memset(l->end, 0, sizeof(l->end));
	if (rest > 0)
		memcpy(l->end, m.p + (m.n - rest), rest);
	l->end[rest] = 0x80;
	for (k = 0; k < 8; k++)
		l->end[64 * l->end_blocks - 1 - k] =
		    (unsigned char)(bits >> 8 * k);
	l->out = out;
	if (l->blocks == 0) {
		l->p = l->end;
		l->blocks = l->end_blocks;
		l->end_blocks = 0;
	}
}

/* One block further. True: it was the last of the message. */
static bool
lane_step(struct lane *l)
{
	l->p += 64;
	if (--l->blocks > 0)
		return false;
	l->p = l->end;
	l->blocks = l->end_blocks;
	l->end_blocks = 0;
	return l->blocks == 0;
}

#define LANES		16
#define LANES_TARGET	"avx512f"
#define LANES_(name)	name##_16
#include "audit/sha256_lanes.h"

#define LANES		8
#define LANES_TARGET	"avx2"
#define LANES_(name)	name##_8
#include "audit/sha256_lanes.h"

static int
best(void)
{
	unsigned a, b = 0, c, d;

	if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 &&
	    (b & CPUID_SHA) != 0)
		return 1;
	return __builtin_cpu_supports("avx512f") ? 16 :
	    __builtin_cpu_supports("avx2") ? 8 : 1;
}

static bool
many_in_lanes(int lanes, const struct span *m, size_t n, uint8_t (*out)[32])
{
	if (lanes == 16 && __builtin_cpu_supports("avx512f"))
		many_16(m, n, out);
	else if (lanes == 8 && __builtin_cpu_supports("avx2"))
		many_8(m, n, out);
	else
		return false;
	return true;
}
#else
static int
best(void)
{
	return 1;
}

static bool
many_in_lanes(int lanes, const struct span *m, size_t n, uint8_t (*out)[32])
{
	(void)lanes;
	(void)m;
	(void)n;
	(void)out;
	return false;
}
#endif

bool
sha256_many_in(int lanes, const struct span *m, size_t n, uint8_t (*out)[32])
{
	size_t i;

	if (lanes != 1)
		return many_in_lanes(lanes, m, n, out);
	for (i = 0; i < n; i++)
		hash_sha256(m[i].p, m[i].n, out[i]);
	return true;
}

void
sha256_many(const struct span *m, size_t n, uint8_t (*out)[32])
{
	static int lanes;

	if (lanes == 0)
		lanes = best();
	/* With few messages most lanes would work for nothing. */
	(void)sha256_many_in(n < (size_t)lanes / 4 ? 1 : lanes, m, n, out);
}
