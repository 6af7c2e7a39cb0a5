/*
 * test_json_scan -- where an object ends, however it is cut into pieces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json_read.h"
#include "base/json_scan.h"

static const char *const good[] = {
	"{}", "{ }", "{\"a\":1}", "{\"a\":[1,{\"b\":[]}],\"c\":{}}",
	"{\"}\":\"{\\\"}\"}", "{\"a\":\"\\\\\"}", "{\"a\":\"\\\\\\\"\"}",
	"{\"a\":\"[\\u005d\",\"\\\\\":[\"]\"]}",
	"{\"a\":\"\\\\\\\\\\\\\",\"b\":\"x\\\\\\\\y\\\"\"}",
};

/* Feeds pieces of this size; returns the bytes that belong to the object. */
static size_t
feed(struct json_scan *s, struct span text, size_t piece)
{
	size_t at = 0, n;

	while (at < text.n && !s->done && !s->bad) {
		n = text.n - at < piece ? text.n - at : piece;
		at += json_scan(s, span_make(text.p + at, n));
	}
	return at;
}

static void
test_end(void **state)
{
	struct json_scan s;
	struct json_value v;
	char text[200];
	size_t i, piece, n;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(json_check(span_str(good[i]), &v, NULL),
		    JSON_OK);
		n = strlen(good[i]);
		memcpy(text, good[i], n);
		memcpy(text + n, "}\"{]", 4);
		for (piece = 1; piece <= n + 4; piece++) {
			json_scan_init(&s, 0);
			assert_int_equal(feed(&s, span_make(text, n + 4),
			    piece), n);
			assert_true(s.done);
			assert_false(s.bad);
			/* all but its beginning */
			json_scan_init(&s, 1);
			assert_int_equal(feed(&s, span_make(text + 1, n + 3),
			    piece), n - 1);
			assert_true(s.done);
			/* one byte is missing */
			json_scan_init(&s, 0);
			feed(&s, span_make(text, n - 1), piece);
			assert_false(s.done);
			assert_false(s.bad);
		}
	}
}

static void
test_bad(void **state)
{
	static const char *const bad[] = { "[]", "x", " {}", "\"a\"", "}", "{]",
	    "{\"a\":[}", "{\"a\":[1}]" };
	struct json_scan s;
	size_t i, piece;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (piece = 1; piece < 9; piece++) {
			json_scan_init(&s, 0);
			feed(&s, span_str(bad[i]), piece);
			assert_true(s.bad);
			assert_false(s.done);
		}
}

static void
test_depth(void **state)
{
	struct json_scan s;
	unsigned i;

	json_scan_init(&s, 0);
	json_scan(&s, SPAN_LIT("{"));
	for (i = 1; i < JSON_DEPTH_MAX; i++)
		json_scan(&s, i % 2 ? SPAN_LIT("[") : SPAN_LIT("{"));
	assert_false(s.bad);
	while (--i > 0)
		json_scan(&s, i % 2 ? SPAN_LIT("]") : SPAN_LIT("}"));
	assert_false(s.bad || s.done);
	json_scan(&s, SPAN_LIT("}"));
	assert_true(s.done);
	json_scan_init(&s, 0);
	for (i = 0; i <= JSON_DEPTH_MAX; i++)
		json_scan(&s, SPAN_LIT("{"));
	assert_true(s.bad);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
