/*
 * num -- text to numbers, all or nothing.
 *
 * Every process. Plain digits only: no sign where none can be, no white
 * space, no "0x", no locale; what strtol(3) takes besides is refused.
 */
#include "base/num.h"

/* Two digits at a time: a division costs more than the look into a table. */
size_t
num_digits(uint64_t v, char out[NUM_DIGITS])
{
	static const char pairs[] =
	    "00010203040506070809101112131415161718192021222324"
	    "25262728293031323334353637383940414243444546474849"
	    "50515253545556575859606162636465666768697071727374"
	    "75767778798081828384858687888990919293949596979899";
	size_t i = NUM_DIGITS;

	for (; v >= 100; v /= 100) {
		i -= 2;
		memcpy(out + i, pairs + v % 100 * 2, 2);
	}
	if (v < 10) {
		out[--i] = (char)('0' + v);
	} else {
		i -= 2;
		memcpy(out + i, pairs + v * 2, 2);
	}
	return NUM_DIGITS - i;
}

static int
digits(struct span s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0)
		return -1;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return -1;
	}
	*out = v;
	return 0;
}

int
num_u64(struct span s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v;

	if (digits(s, &v) < 0 || v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

int
num_i64(struct span s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t v;
	int64_t i;

	if (digits(span_skip(s, negative ? 1 : 0), &v) < 0)
		return -1;
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -1;
	if (!negative)
		i = (int64_t)v;
	else if (v == 0)
		i = 0;
	else
		i = -(int64_t)(v - 1) - 1;	/* INT64_MIN has no positive */
	if (i < min || i > max)
		return -1;
	*out = i;
	return 0;
}

int
num_hex(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	int d;
	size_t i;

	if (s.n == 0)
		return -1;
	for (i = 0; i < s.n; i++) {
		if ((d = num_hex_digit(s.p[i])) < 0)
			return -1;
		if (v > UINT64_MAX >> 4)
			return -1;
		v = v << 4 | (uint64_t)d;
	}
	if (v > max)
		return -1;
	*out = v;
	return 0;
}

/* The number before the first non-digit, and what follows as the unit. */
static int
number_and_unit(struct span s, uint64_t *v, struct span *unit)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	*unit = span_skip(s, n);
	return digits(span_make(s.p, n), v);
}

int
num_duration_ms(struct span s, uint64_t default_unit_ms, uint64_t *ms)
{
	static const struct {
		const char	*name;
		uint64_t	 ms;
	} units[] = {
		{ "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 },
	};
	uint64_t v, scale = 0;
	struct span unit;
	size_t i;

	if (number_and_unit(s, &v, &unit) < 0)
		return -1;
	if (unit.n == 0)
		scale = default_unit_ms;
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (span_is(unit, units[i].name))
			scale = units[i].ms;
	if (scale == 0 || __builtin_mul_overflow(v, scale, &v))
		return -1;
	*ms = v;
	return 0;
}

int
num_size(struct span s, uint64_t *bytes)
{
	static const char letters[] = "kmgt";
	struct span unit;
	const char *letter;
	unsigned shift = 0;
	uint64_t v;

	if (number_and_unit(s, &v, &unit) < 0)
		return -1;
	if (unit.n > 0 && unit.p[0] != 'B') {
		letter = memchr(letters, unit.p[0] | 0x20, 4);
		if (letter == NULL)
			return -1;
		shift = 10 * (unsigned)(letter - letters + 1);
		unit = span_skip(unit, 1);
		if (span_is(unit, "iB"))
			unit = span_skip(unit, 2);
	}
	if (unit.n > 0 && !span_is(unit, "B"))
		return -1;
	if (v > UINT64_MAX >> shift)
		return -1;
	*bytes = v << shift;
	return 0;
}
