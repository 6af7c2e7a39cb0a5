/* Unit tests of net/http_field: lists, media types, reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/http_head.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
lists(void **state)
{
	static const struct {
		const char *list, *token;
		bool want;
	} cases[] = {
		{ "close", "close", true }, { "Close", "close", true },
		{ "keep-alive, close", "close", true },
		{ " ,, close ,", "close", true },
		{ "closed", "close", false }, { "clos", "close", false },
		{ "close;x=1", "close", true },
		{ "close ; x", "close", true },
		{ "x=\"a,close,b\"", "close", false },
		{ "x=\"a\\\",close\", y", "close", false },
		{ "x=\"unclosed, close", "close", false },
		{ "", "close", false },
		{ "gzip\t,\tbr", "br", true },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		if (http_list_has(span_str(cases[i].list), cases[i].token) !=
		    cases[i].want)
			fail_msg("%s", cases[i].list);
	assert_false(http_list_has(span_make(NULL, 0), "close"));
}

static void
accepts(void **state)
{
	static const struct {
		const char *accept;
		bool json, sse;
	} cases[] = {
		{ "application/json, text/event-stream", true, true },
		{ "application/json", true, false },
		{ "Application/JSON;charset=utf-8", true, false },
		{ "*/*", true, true }, { "text/*", false, true },
		{ "application/*;q=0.1", true, false },
		{ "*/*;q=0", false, false }, { "*/*; q=0.000", false, false },
		{ "*/*;q=0.001", true, true }, { "*/*;Q=1", true, true },
		{ "application/json;q=0, */*", false, true },
		{ "*/*, application/json;q=0", false, true },
		{ "*/*;q=0, text/event-stream", false, true },
		{ "application/json;v=\"a;q=0\"", true, false },
		{ "application/jsonp", false, false },
		{ "application/jso", false, false },
		{ "application", false, false },
		{ "application/json text/event-stream", false, false },
		{ "", false, false }, { ",", false, false },
		{ "*", false, false }, { "a/*", false, false },
		{ "*/json", false, false },
	};
	size_t i;

	for (i = 0; i < COUNT(cases); i++)
		if (http_accepts(span_str(cases[i].accept),
		    "application/json") != cases[i].json ||
		    http_accepts(span_str(cases[i].accept),
		    "text/event-stream") != cases[i].sse)
			fail_msg("%s", cases[i].accept);
	assert_false(http_accepts(span_make(NULL, 0), "text/html"));
}

static void
media_types(void **state)
{
	assert_true(http_media_is(SPAN_LIT("application/json"),
	    "application/json"));
	assert_true(http_media_is(SPAN_LIT("Application/JSON ; charset=x"),
	    "application/json"));
	assert_false(http_media_is(SPAN_LIT("application/json5"),
	    "application/json"));
	assert_false(http_media_is(SPAN_LIT("text/plain; application/json"),
	    "application/json"));
	assert_false(http_media_is(SPAN_LIT("a/b, application/json"),
	    "application/json"));
	assert_false(http_media_is(span_make(NULL, 0), "application/json"));
	assert_false(http_media_is(SPAN_LIT(""), "application/json"));
}

static void
tokens(void **state)
{
	int c;

	assert_true(http_is_token(SPAN_LIT("x-API_key.1~")));
	assert_false(http_is_token(SPAN_LIT("")));
	assert_false(http_is_token(SPAN_LIT("a b")));
	assert_false(http_is_token(SPAN_LIT("a\0")));
	for (c = 0; c < 256; c++) {
		char byte = (char)c;
		bool want = c > 0x20 && c < 0x7f &&
		    strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;

		assert_int_equal(http_is_token(span_make(&byte, 1)), want);
	}
}

static void
reasons(void **state)
{
	int i;

	assert_string_equal(http_reason(404), "Not Found");
	assert_string_equal(http_reason(299), "Unknown");
	for (i = 0; i < ERR_COUNT; i++)
		assert_string_not_equal(
		    http_reason(err_http_status((enum err_code)i)),
		    "Unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(accepts),
		cmocka_unit_test(media_types),
		cmocka_unit_test(tokens),
		cmocka_unit_test(reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
