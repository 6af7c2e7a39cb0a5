/* Unit tests of base/clock: the calendar, against gmtime_r(3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void
known_times(void **state)
{
	static const struct {
		int64_t us;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000000Z" },
		{ 1, "1970-01-01T00:00:00.000001Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" },
		{ -1000000, "1969-12-31T23:59:59.000000Z" },
		{ 951782400LL * 1000000, "2000-02-29T00:00:00.000000Z" },
		{ 1795216500123456LL, "2026-11-20T23:15:00.123456Z" },
		{ 2147483648LL * 1000000, "2038-01-19T03:14:08.000000Z" },
		{ 4107542400LL * 1000000, "2100-03-01T00:00:00.000000Z" },
	};
	char out[32];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(clock_format_iso(out, sizeof(out),
		    cases[i].us), cases[i].text);
}

static void
agrees_with_gmtime(void **state)
{
	char out[32], want[32];
	time_t t;
	struct tm tm;

	for (t = -62135596800LL; t < 253402300799LL; t += 8639913) {
		assert_non_null(gmtime_r(&t, &tm));
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
		clock_format_iso(out, sizeof(out), (int64_t)t * 1000000);
		/* strftime does not pad years below 1000 */
		if (tm.tm_year + 1900 >= 1000)
			assert_memory_equal(out, want, 19);
	}
}

static void
clocks_go_forward(void **state)
{
	int64_t a = clock_mono_us(), b = clock_mono_us();
	int64_t ms = clock_mono_ms(), again = clock_mono_ms();

	assert_true(b >= a);
	/* the tick: behind the exact time by 10 ms at most (HZ=100) */
	assert_true(ms >= b / 1000 - 10);
	assert_true(again >= ms && again <= clock_mono_us() / 1000);
	assert_true(clock_wall_us() > 1700000000LL * 1000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_times),
		cmocka_unit_test(agrees_with_gmtime),
		cmocka_unit_test(clocks_go_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
