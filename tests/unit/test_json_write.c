/* Unit tests of base/json_write: commas, escapes, always valid output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_read.h"
#include "base/json_write.h"

static void
writes_a_document(void **state)
{
	struct json_out o;
	struct buf b;

	buf_init(&b, 4096);
	json_out_init(&o, &b);
	json_object_begin(&o, NULL);
	json_put_str(&o, "a", "x");
	json_put_str(&o, "n", NULL);
	json_array_begin(&o, "list");
	json_put_int(&o, NULL, INT64_MIN);
	json_object_begin(&o, NULL);
	json_object_end(&o);
	json_array_begin(&o, NULL);
	json_array_end(&o);
	json_put_bool(&o, NULL, true);
	json_array_end(&o);
	json_put_bool(&o, "f", false);
	json_put_null(&o, "z");
	json_put_raw(&o, "r", SPAN_LIT("[1, 2]"));
	json_put_raw(&o, "e", SPAN_LIT(""));
	json_put_string(&o, "q\"", SPAN_LIT("a\0b"));
	json_object_end(&o);
	assert_true(span_is(buf_span(&b), "{\"a\":\"x\",\"n\":null,\"list\":"
	    "[-9223372036854775808,{},[],true],\"f\":false,\"z\":null,"
	    "\"r\":[1, 2],\"e\":null,\"q\\\"\":\"a\\u0000b\"}"));
	buf_free(&b);
}

static void
numbers(void **state)
{
	static const struct {
		double v;
		const char *text;
	} cases[] = {
		{ 0.1, "0.1" }, { 1, "1" }, { -2.5, "-2.5" },
		{ 1e300, "1e+300" }, { 1.0 / 3, "0.3333333333333333" },
		{ 123456789.123, "123456789.123" },
		{ 5e-324, "4.94065645841247e-324" },
	};
	struct json_out o;
	struct buf b;
	size_t i;

	buf_init(&b, 4096);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&b, 4096);
		json_out_init(&o, &b);
		json_put_double(&o, NULL, cases[i].v);
		assert_true(span_is(buf_span(&b), cases[i].text));
	}
	buf_reset(&b, 0);
	json_out_init(&o, &b);
	json_array_begin(&o, NULL);
	json_put_double(&o, NULL, NAN);
	json_put_double(&o, NULL, INFINITY);
	json_array_end(&o);
	assert_true(span_is(buf_span(&b), "[null,null]"));
	buf_free(&b);
}

static void
escapes(void **state)
{
	static const struct {
		struct span in;
		const char *out;
	} cases[] = {
#define CASE(in, out) { { "" in, sizeof(in) - 1 }, out }
		CASE("", "\"\""),
		CASE("plain", "\"plain\""),
		CASE("\"\\/", "\"\\\"\\\\/\""),
		CASE("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""),
		CASE("\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\""),
		CASE("\xc3\xa9\xf0\x9f\x98\x80",
		    "\"\xc3\xa9\xf0\x9f\x98\x80\""),
		CASE("a\xff" "b", "\"a\xef\xbf\xbd" "b\""),
		CASE("\xc3", "\"\xef\xbf\xbd\""),
		CASE("\xed\xa0\x80",
		    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""),
		CASE("\xc0\xafx", "\"\xef\xbf\xbd\xef\xbf\xbdx\""),
#undef CASE
	};
	struct buf b;
	size_t i;

	buf_init(&b, 4096);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&b, 4096);
		assert_int_equal(json_quote(&b, cases[i].in), 0);
		assert_true(span_is(buf_span(&b), cases[i].out));
	}
	buf_free(&b);
}

/* Every pair of bytes must come out as valid JSON. */
static void
output_is_always_valid(void **state)
{
	struct json_value v;
	struct buf b;
	char in[2];
	int i, j;

	buf_init(&b, 64);
	for (i = 0; i < 256; i++) {
		for (j = 0; j < 256; j++) {
			in[0] = (char)i;
			in[1] = (char)j;
			buf_reset(&b, 64);
			assert_int_equal(json_quote(&b, span_make(in, 2)), 0);
			assert_int_equal(json_check(buf_span(&b), &v, NULL),
			    JSON_OK);
		}
	}
	buf_free(&b);
}

static void
overflow_shows(void **state)
{
	struct json_out o;
	struct buf b;

	buf_init(&b, 8);
	json_out_init(&o, &b);
	json_object_begin(&o, NULL);
	json_put_str(&o, "name", "value");
	json_object_end(&o);
	assert_true(b.overflow);
	assert_int_equal(json_quote(&b, SPAN_LIT("")), -1);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_document),
		cmocka_unit_test(numbers),
		cmocka_unit_test(escapes),
		cmocka_unit_test(output_is_always_valid),
		cmocka_unit_test(overflow_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
