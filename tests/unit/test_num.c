/* Unit tests of base/num: what is a number, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int rv;
		uint64_t want;
	} cases[] = {
		{ "0", 0, 10, 0, 0 },
		{ "10", 0, 10, 0, 10 },
		{ "007", 0, 10, 0, 7 },
		{ "11", 0, 10, -1, 0 },
		{ "4", 5, 10, -1, 0 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -1, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, -1, 0 },
		{ "", 0, 10, -1, 0 },
		{ "-1", 0, UINT64_MAX, -1, 0 },
		{ "+1", 0, 10, -1, 0 },
		{ " 1", 0, 10, -1, 0 },
		{ "1 ", 0, 10, -1, 0 },
		{ "0x1", 0, 10, -1, 0 },
		{ "1e1", 0, 100, -1, 0 },
		{ "1.0", 0, 10, -1, 0 },
		{ "\xd9\xa1", 0, 10, -1, 0 },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		uint64_t v = 77;

		assert_int_equal(num_u64(span_str(cases[i].text),
		    cases[i].min, cases[i].max, &v), cases[i].rv);
		assert_true(v == (cases[i].rv == 0 ? cases[i].want : 77));
	}
}

static void
i64(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max;
		int rv;
		int64_t want;
	} cases[] = {
		{ "-5", -5, 5, 0, -5 },
		{ "-6", -5, 5, -1, 0 },
		{ "6", -5, 5, -1, 0 },
		{ "-0", -5, 5, 0, 0 },
		{ "9223372036854775807", INT64_MIN, INT64_MAX, 0, INT64_MAX },
		{ "9223372036854775808", INT64_MIN, INT64_MAX, -1, 0 },
		{ "-9223372036854775808", INT64_MIN, INT64_MAX, 0, INT64_MIN },
		{ "-9223372036854775809", INT64_MIN, INT64_MAX, -1, 0 },
		{ "-", -5, 5, -1, 0 },
		{ "--1", -5, 5, -1, 0 },
		{ "", -5, 5, -1, 0 },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		int64_t v = 77;

		assert_int_equal(num_i64(span_str(cases[i].text),
		    cases[i].min, cases[i].max, &v), cases[i].rv);
		assert_true(v == (cases[i].rv == 0 ? cases[i].want : 77));
	}
}

static void
hex(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int rv;
		uint64_t want;
	} cases[] = {
		{ "0", 100, 0, 0 },
		{ "fF", 255, 0, 255 },
		{ "100", 255, -1, 0 },
		{ "ffffffffffffffff", UINT64_MAX, 0, UINT64_MAX },
		{ "10000000000000000", UINT64_MAX, -1, 0 },
		{ "0x1", 255, -1, 0 },
		{ "g", 255, -1, 0 },
		{ "@", 255, -1, 0 },
		{ "", 255, -1, 0 },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		uint64_t v = 77;

		assert_int_equal(num_hex(span_str(cases[i].text),
		    cases[i].max, &v), cases[i].rv);
		assert_true(v == (cases[i].rv == 0 ? cases[i].want : 77));
	}
}

static void
durations(void **state)
{
	static const struct {
		const char *text;
		int rv;
		uint64_t want;
	} cases[] = {
		{ "250ms", 0, 250 }, { "30s", 0, 30000 },
		{ "5m", 0, 300000 }, { "1h", 0, 3600000 },
		{ "7d", 0, 604800000 }, { "12", 0, 12000 }, { "0", 0, 0 },
		{ "1 s", -1, 0 }, { "s", -1, 0 }, { "", -1, 0 },
		{ "-1s", -1, 0 }, { "1.5s", -1, 0 }, { "1S", -1, 0 },
		{ "1w", -1, 0 }, { "1hh", -1, 0 }, { "1h30m", -1, 0 },
		{ "18446744073709551615s", -1, 0 },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		uint64_t v = 77;

		assert_int_equal(num_duration_ms(span_str(cases[i].text),
		    1000, &v), cases[i].rv);
		assert_true(v == (cases[i].rv == 0 ? cases[i].want : 77));
	}
}

static void
sizes(void **state)
{
	static const struct {
		const char *text;
		int rv;
		uint64_t want;
	} cases[] = {
		{ "4096", 0, 4096 }, { "64k", 0, 65536 },
		{ "64K", 0, 65536 }, { "4M", 0, 4194304 },
		{ "1GiB", 0, 1073741824 }, { "2kB", 0, 2048 },
		{ "1T", 0, 1099511627776ULL }, { "7B", 0, 7 },
		{ "0", 0, 0 }, { "", -1, 0 }, { "k", -1, 0 },
		{ "1kb", -1, 0 }, { "1kk", -1, 0 }, { "1iB", -1, 0 },
		{ "1 k", -1, 0 }, { "-1k", -1, 0 }, { "1P", -1, 0 },
		{ "1kiBB", -1, 0 }, { "18446744073709551615k", -1, 0 },
		{ "16777216T", -1, 0 }, { "16777215T", 0,
		    16777215ULL << 40 },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		uint64_t v = 77;

		assert_int_equal(num_size(span_str(cases[i].text), &v),
		    cases[i].rv);
		assert_true(v == (cases[i].rv == 0 ? cases[i].want : 77));
	}
}

static void
digits(void **state)
{
	static const uint64_t odd[] = { 0, 9, 10, 99, 100, 101, 999, 1000,
		UINT32_MAX, INT64_MAX, UINT64_MAX };
	char out[NUM_DIGITS], want[32];
	uint64_t v;
	size_t i, n;

	(void)state;
	for (i = 0; i < 12000; i++) {
		v = i < 11 ? odd[i] : i;
		n = num_digits(v, out);
		snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
		assert_int_equal(n, strlen(want));
		assert_memory_equal(out + NUM_DIGITS - n, want, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(u64),
		cmocka_unit_test(i64),
		cmocka_unit_test(hex),
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
