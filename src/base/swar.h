/*
 * swar -- looks at eight bytes at once, in an ordinary 64-bit register.
 *
 * For the byte scanners of the hot path (JSON strings, header values, lines
 * of event streams). A mask is zero exactly if no byte qualifies; only the
 * lowest byte marked in it is certain, as a borrow may mark the ones above.
 */
#ifndef OMNI2_BASE_SWAR_H
#define OMNI2_BASE_SWAR_H

#include <stdint.h>
#include <string.h>

#define SWAR_ONES	0x0101010101010101ULL
#define SWAR_HIGH	0x8080808080808080ULL

static inline uint64_t
swar_load(const void *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return x;
}

static inline uint64_t
swar_equal(uint64_t x, unsigned char c)
{
	x ^= SWAR_ONES * c;
	return (x - SWAR_ONES) & ~x & SWAR_HIGH;
}

/* Bytes below limit, limit <= 128. Bytes from 0x80 up are never marked. */
static inline uint64_t
swar_below(uint64_t x, unsigned char limit)
{
	return (x - SWAR_ONES * limit) & ~x & SWAR_HIGH;
}

/* How many bytes before the first marked one may be skipped. On a big-endian
 * machine that is not known: none, the caller goes on byte by byte. */
static inline unsigned
swar_skip(uint64_t mask)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (unsigned)__builtin_ctzll(mask) >> 3;
#else
	return 0;
#endif
}

#endif
