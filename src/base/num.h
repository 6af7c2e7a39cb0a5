/*
 * num -- the only place where text becomes a number, and digits of one.
 *
 * What has an *out returns 0, or -1 when the text is not entirely such a number
 * or is outside min..max; *out is then untouched.
 */
#ifndef OMNI2_BASE_NUM_H
#define OMNI2_BASE_NUM_H

#include <stdint.h>

#include "base/span.h"

#define NUM_DIGITS	20	/* of the largest uint64_t */

/* The decimal digits of v, at the end of out; how many there are. */
size_t	num_digits(uint64_t v, char out[NUM_DIGITS]);
/* The value of a hexadecimal digit, or -1. */
static inline int
num_hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

int	num_u64(struct span, uint64_t min, uint64_t max, uint64_t *out);
int	num_i64(struct span, int64_t min, int64_t max, int64_t *out);
int	num_hex(struct span, uint64_t max, uint64_t *out);	/* 1*HEXDIG */
/* "250ms" "30s" "5m" "1h" "7d", or a bare number in default_unit_ms. */
int	num_duration_ms(struct span, uint64_t default_unit_ms, uint64_t *ms);
/* "4096" "64k" "4M" "1GiB": powers of 1024. */
int	num_size(struct span, uint64_t *bytes);

#endif
