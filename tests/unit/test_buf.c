/* Unit tests of base/buf: the bound, overflow that stays, formatting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void
assert_buf(const struct buf *b, const char *text)
{
	assert_true(span_is(buf_span(b), text));
}

static void
appends_everything(void **state)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(buf_add(&b, "ab", 2), 0);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	assert_int_equal(buf_add_span(&b, SPAN_LIT("cd")), 0);
	assert_int_equal(buf_add_str(&b, "ef"), 0);
	assert_int_equal(buf_add_char(&b, ' '), 0);
	assert_int_equal(buf_add_u64(&b, 0), 0);
	assert_int_equal(buf_add_u64(&b, UINT64_MAX), 0);
	assert_int_equal(buf_add_i64(&b, INT64_MIN), 0);
	assert_int_equal(buf_add_i64(&b, 12), 0);
	assert_int_equal(buf_printf(&b, "%s=%d", "k", 3), 0);
	assert_buf(&b, "abcdef 018446744073709551615-922337203685477580812k=3");
	assert_false(b.overflow);
	buf_free(&b);
	assert_null(b.p);
}

static void
the_bound_holds_exactly(void **state)
{
	struct buf b;
	int i;

	buf_init(&b, 300);
	for (i = 0; i < 300; i++)
		assert_int_equal(buf_add_char(&b, 'x'), 0);
	assert_int_equal(buf_add_char(&b, 'y'), -1);
	assert_int_equal(b.n, 300);
	assert_true(b.overflow);
	buf_free(&b);
	buf_init(&b, 300);
	assert_int_equal(buf_add(&b, "abc", 3), 0);
	assert_int_equal(buf_reserve(&b, 297), 0);
	assert_int_equal(buf_reserve(&b, 298), -1);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -1);
	assert_false(b.overflow);
	buf_free(&b);
	buf_init(&b, 0);
	assert_int_equal(buf_add(&b, "", 0), 0);
	assert_int_equal(buf_add_char(&b, 'x'), -1);
	buf_free(&b);
}

static void
nothing_follows_an_overflow(void **state)
{
	struct buf b;

	buf_init(&b, 5);
	assert_int_equal(buf_add_str(&b, "abc"), 0);
	assert_int_equal(buf_add_str(&b, "def"), -1);
	assert_int_equal(buf_add_str(&b, "g"), -1);
	assert_int_equal(buf_add_char(&b, 'g'), -1);
	assert_int_equal(buf_printf(&b, "g"), -1);
	assert_int_equal(buf_add_u64(&b, 1), -1);
	assert_buf(&b, "abc");
	buf_reset(&b, 1000);
	assert_false(b.overflow);
	assert_non_null(b.p);
	assert_int_equal(buf_add_str(&b, "abcde"), 0);
	buf_free(&b);
}

static void
formats_long_text(void **state)
{
	struct buf b;

	buf_init(&b, 6000);
	assert_int_equal(buf_printf(&b, "%5000d", 7), 0);
	assert_int_equal(b.n, 5000);
	assert_int_equal(b.p[4999], '7');
	assert_int_equal(buf_printf(&b, "%5000d", 7), -1);
	assert_int_equal(b.n, 5000);
	buf_reset(&b, 0);
	assert_int_equal(buf_printf(&b, "%7000d", 7), -1);
	assert_int_equal(b.n, 0);
	assert_true(b.overflow);
	buf_free(&b);
}

static void
reset_gives_memory_back(void **state)
{
	struct buf b;

	buf_init(&b, 100000);
	assert_int_equal(buf_reserve(&b, 50000), 0);
	buf_reset(&b, 50000 * 2);
	assert_non_null(b.p);
	buf_reset(&b, 100);
	assert_null(b.p);
	assert_int_equal(buf_add_str(&b, "again"), 0);
	assert_buf(&b, "again");
	buf_free(&b);
}

static void
consumes_from_the_front(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	buf_consume(&b, 5);
	buf_add_str(&b, "abcdef");
	buf_consume(&b, 0);
	assert_buf(&b, "abcdef");
	buf_consume(&b, 2);
	assert_buf(&b, "cdef");
	buf_consume(&b, 99);
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_everything),
		cmocka_unit_test(the_bound_holds_exactly),
		cmocka_unit_test(nothing_follows_an_overflow),
		cmocka_unit_test(formats_long_text),
		cmocka_unit_test(reset_gives_memory_back),
		cmocka_unit_test(consumes_from_the_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
