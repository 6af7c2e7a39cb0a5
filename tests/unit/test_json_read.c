/* Unit tests of base/json_read: RFC 8259, and what lies beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json_read.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)		{ "" s, sizeof(s) - 1 }

static void
accepts(void **state)
{
	static const struct {
		struct span text;
		enum json_type type;
		const char *raw;	/* NULL: the whole text */
	} cases[] = {
		{ TEXT("null"), JSON_NULL, NULL },
		{ TEXT("true"), JSON_BOOL, NULL },
		{ TEXT("false"), JSON_BOOL, NULL },
		{ TEXT(" \t\r\n1 \t\r\n"), JSON_NUMBER, "1" },
		{ TEXT("0"), JSON_NUMBER, NULL },
		{ TEXT("-0"), JSON_NUMBER, NULL },
		{ TEXT("-0.0"), JSON_NUMBER, NULL },
		{ TEXT("10"), JSON_NUMBER, NULL },
		{ TEXT("1.50"), JSON_NUMBER, NULL },
		{ TEXT("1e5"), JSON_NUMBER, NULL },
		{ TEXT("1E+05"), JSON_NUMBER, NULL },
		{ TEXT("0e-0"), JSON_NUMBER, NULL },
		{ TEXT("1e99999"), JSON_NUMBER, NULL },
		{ TEXT("123456789012345678901234567890"), JSON_NUMBER, NULL },
		{ TEXT("\"\""), JSON_STRING, NULL },
		{ TEXT("\"plain text longer than eight\""), JSON_STRING,
		    NULL },
		{ TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uABCD\""),
		    JSON_STRING, NULL },
		{ TEXT("\"\\u0000\""), JSON_STRING, NULL },
		{ TEXT("\"\\ud800\""), JSON_STRING, NULL },
		{ TEXT("\"\\udc00\\ud800\""), JSON_STRING, NULL },
		{ TEXT("\"\x7f\""), JSON_STRING, NULL },
		{ TEXT("\"\xc3\xa9\""), JSON_STRING, NULL },
		{ TEXT("\"\xe2\x82\xac\xe2\x80\xa8\""), JSON_STRING, NULL },
		{ TEXT("\"\xed\x9f\xbf\xee\x80\x80\""), JSON_STRING, NULL },
		{ TEXT("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), JSON_STRING,
		    NULL },
		{ TEXT("\"\xef\xbb\xbf\""), JSON_STRING, NULL },
		{ TEXT("[]"), JSON_ARRAY, NULL },
		{ TEXT("[ ]"), JSON_ARRAY, NULL },
		{ TEXT("[1,[2,[]],{}]"), JSON_ARRAY, NULL },
		{ TEXT(" [ 1 , 2 ] "), JSON_ARRAY, "[ 1 , 2 ]" },
		{ TEXT("{}"), JSON_OBJECT, NULL },
		{ TEXT("{ \"a\" : 1 , \"b\" : { } }"), JSON_OBJECT, NULL },
		{ TEXT("{\"\":0,\"\":1}"), JSON_OBJECT, NULL },
		{ TEXT("{\"a\\u0062\":[{\"c\":null}]}"), JSON_OBJECT, NULL },
	};
	struct json_value v;
	size_t i, at;

	for (i = 0; i < COUNT(cases); i++) {
		at = 999;
		if (json_check(cases[i].text, &v, &at) != JSON_OK)
			fail_msg("refused at %zu: %s", at, cases[i].text.p);
		assert_int_equal(v.type, cases[i].type);
		assert_true(cases[i].raw == NULL ?
		    span_eq(v.raw, cases[i].text) :
		    span_is(v.raw, cases[i].raw));
	}
}

static void
refuses(void **state)
{
	static const struct {
		struct span text;
		size_t at;
	} cases[] = {
		{ TEXT(""), 0 }, { TEXT("   "), 3 },
		{ TEXT("nul"), 3 }, { TEXT("nulL"), 3 },
		{ TEXT("nulll"), 4 }, { TEXT("True"), 0 },
		{ TEXT("NaN"), 0 }, { TEXT("Infinity"), 0 },
		{ TEXT("-Infinity"), 1 }, { TEXT("undefined"), 0 },
		{ TEXT("+1"), 0 }, { TEXT("01"), 1 }, { TEXT("-01"), 2 },
		{ TEXT("-"), 1 }, { TEXT("--1"), 1 }, { TEXT(".5"), 0 },
		{ TEXT("1."), 2 }, { TEXT("1.e1"), 2 }, { TEXT("1e"), 2 },
		{ TEXT("1e+"), 3 }, { TEXT("1e1.5"), 3 },
		{ TEXT("0x10"), 1 }, { TEXT("1_000"), 1 },
		{ TEXT("1 2"), 2 }, { TEXT("1,"), 1 },
		{ TEXT("'a'"), 0 }, { TEXT("\"a"), 2 }, { TEXT("\""), 1 },
		{ TEXT("\"\\"), 1 }, { TEXT("\"\\x41\""), 1 },
		{ TEXT("\"\\u12\""), 1 }, { TEXT("\"\\u12g4\""), 1 },
		{ TEXT("\"\\u123"), 1 }, { TEXT("\"\\\0\""), 1 },
		{ TEXT("\"\\U0041\""), 1 }, { TEXT("\"\\'\""), 1 },
		{ TEXT("\"a\nb\""), 2 }, { TEXT("\"a\tb\""), 2 },
		{ TEXT("\"a\0b\""), 2 }, { TEXT("\"12345678\x1f\""), 9 },
		{ TEXT("\"\x80\""), 1 }, { TEXT("\"\xbf\""), 1 },
		{ TEXT("\"\xc0\xaf\""), 1 }, { TEXT("\"\xc1\xbf\""), 1 },
		{ TEXT("\"\xc3\""), 1 }, { TEXT("\"\xc3"), 1 },
		{ TEXT("\"\xc3(\""), 1 }, { TEXT("\"\xe0\x80\xaf\""), 1 },
		{ TEXT("\"\xe0\x9f\xbf\""), 1 }, { TEXT("\"\xe2\x82\""), 1 },
		{ TEXT("\"\xe2(\xa1\""), 1 }, { TEXT("\"\xed\xa0\x80\""), 1 },
		{ TEXT("\"\xed\xbf\xbf\""), 1 },
		{ TEXT("\"\xf0\x80\x80\x80\""), 1 },
		{ TEXT("\"\xf0\x8f\xbf\xbf\""), 1 },
		{ TEXT("\"\xf0\x9f\x98\""), 1 },
		{ TEXT("\"\xf4\x90\x80\x80\""), 1 },
		{ TEXT("\"\xf5\x80\x80\x80\""), 1 },
		{ TEXT("\"\xf8\x88\x80\x80\x80\""), 1 },
		{ TEXT("\"\xff\""), 1 }, { TEXT("\xef\xbb\xbf{}"), 0 },
		{ TEXT("1\0"), 1 }, { TEXT("\0"), 0 }, { TEXT("{}\0"), 2 },
		{ TEXT("\xc2\xa0""1"), 0 }, { TEXT("\v1"), 0 },
		{ TEXT("\f1"), 0 }, { TEXT("["), 1 }, { TEXT("[1"), 2 },
		{ TEXT("[1,"), 3 }, { TEXT("[1,]"), 3 }, { TEXT("[,1]"), 1 },
		{ TEXT("[,]"), 1 }, { TEXT("[1 2]"), 3 }, { TEXT("[1}"), 2 },
		{ TEXT("]"), 0 }, { TEXT("[]]"), 2 }, { TEXT("{"), 1 },
		{ TEXT("}"), 0 }, { TEXT("{]"), 1 }, { TEXT("{,}"), 1 },
		{ TEXT("{\"a\"}"), 4 }, { TEXT("{\"a\":}"), 5 },
		{ TEXT("{\"a\":1,}"), 7 }, { TEXT("{\"a\":1"), 6 },
		{ TEXT("{\"a\" 1}"), 5 }, { TEXT("{a:1}"), 1 },
		{ TEXT("{'a':1}"), 1 }, { TEXT("{1:1}"), 1 },
		{ TEXT("{\"a\":1 \"b\":2}"), 7 }, { TEXT("{\"a\"::1}"), 5 },
		{ TEXT("{\"a\":1,,\"b\":2}"), 7 }, { TEXT("{\"a\":1]"), 6 },
		{ TEXT("{\"a"), 3 }, { TEXT("{}{}"), 2 }, { TEXT("[]1"), 2 },
		{ TEXT("// c\n1"), 0 }, { TEXT("1 /* c */"), 2 },
		{ TEXT("# c\n1"), 0 }, { TEXT("[1,2,3"), 6 },
	};
	struct json_value v;
	size_t i, at;

	for (i = 0; i < COUNT(cases); i++) {
		at = 999;
		if (json_check(cases[i].text, &v, &at) != JSON_SYNTAX)
			fail_msg("accepted: %s", cases[i].text.p);
		if (at != cases[i].at)
			fail_msg("%zu instead of %zu: %s", at, cases[i].at,
			    cases[i].text.p);
		assert_int_equal(json_check(cases[i].text, &v, NULL),
		    JSON_SYNTAX);
	}
}

static void
depth(void **state)
{
	char text[200];
	struct json_value v;
	size_t at;
	int n;

	for (n = 1; n <= 70; n++) {
		memset(text, '[', (size_t)n);
		memset(text + n, ']', (size_t)n);
		assert_int_equal(json_check(span_make(text, (size_t)n * 2),
		    &v, &at), n <= 64 ? JSON_OK : JSON_TOO_DEEP);
		if (n > 64)
			assert_int_equal(at, 64);
	}
	/* Siblings are not deeper; kinds alternate in the bit stack. */
	assert_int_equal(json_check(span_str(
	    "[{\"a\":[{\"b\":[]}],\"c\":[{}]},[[{}],{\"d\":[1]}]]"), &v,
	    NULL), JSON_OK);
	assert_int_equal(json_check(span_str("[{\"a\":[{\"b\":[}]}]}]"), &v,
	    NULL), JSON_SYNTAX);
}

static void
reads_members(void **state)
{
	static const char *const names[] = { "jsonrpc", "id", "method",
	    "params", "none" };
	struct json_value v[5];

	assert_int_equal(json_object(span_str("{ \"method\" : \"a}b\" ,"
	    "\"params\":{\"id\":2,\"x\":[\"]\",{\"q\":\"\\\"\"}]}, \"id\":-1.5"
	    " , \"other\":null,\"jsonrpc\":true}"), names, v, 5), JSON_OK);
	assert_int_equal(v[0].type, JSON_BOOL);
	assert_true(span_is(v[0].raw, "true"));
	assert_int_equal(v[1].type, JSON_NUMBER);
	assert_true(span_is(v[1].raw, "-1.5"));
	assert_true(span_is(v[2].raw, "\"a}b\""));
	assert_int_equal(v[3].type, JSON_OBJECT);
	assert_true(span_is(v[3].raw,
	    "{\"id\":2,\"x\":[\"]\",{\"q\":\"\\\"\"}]}"));
	assert_int_equal(v[4].type, JSON_NONE);
	assert_int_equal(json_object(SPAN_LIT("{}"), names, v, 5), JSON_OK);
	assert_int_equal(v[0].type, JSON_NONE);
}

static void
refuses_what_can_be_read_twice(void **state)
{
	static const struct {
		const char *text;
		enum json_status want;
	} cases[] = {
		{ "{\"a\":1,\"a\":1}", JSON_DUPLICATE },
		{ "{\"x\":1,\"a\":1,\"x\":2}", JSON_DUPLICATE },
		{ "{\"\":1,\"\":1}", JSON_DUPLICATE },
		{ "{\"a\":{\"x\":1,\"x\":2}}", JSON_OK },
		{ "{\"a\":1,\"A\":2}", JSON_OK },
		{ "{\"a\":1,\"ab\":2,\"b\":3}", JSON_OK },
		{ "{\"\\u0061\":1}", JSON_ESCAPED_NAME },
		{ "{\"x\\/y\":1}", JSON_ESCAPED_NAME },
		{ "{\"a\":\"\\u0061\"}", JSON_OK },
		{ "[]", JSON_WRONG_TYPE }, { "1", JSON_WRONG_TYPE },
		{ "\"{}\"", JSON_WRONG_TYPE }, { "", JSON_WRONG_TYPE },
	};
	static const char *const names[] = { "a" };
	struct json_value v;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_int_equal(json_object(span_str(cases[i].text), names,
		    &v, 1), cases[i].want);
		assert_int_equal(json_object(span_str(cases[i].text), NULL,
		    NULL, 0), cases[i].want);
	}
}

/* An object of n members; the one numbered again has the name of first. */
static size_t
build(char *out, size_t size, int n, int first, int again)
{
	size_t used = 0;
	int i;

	for (i = 0; i < n; i++)
		used += (size_t)snprintf(out + used, size - used,
		    "%c\"k%d\":%d", i == 0 ? '{' : ',',
		    i == again ? first : i, i);
	used += (size_t)snprintf(out + used, size - used, "}");
	return used;
}

static void
duplicates_in_objects_of_any_size(void **state)
{
	static const int sizes[] = { 2, 15, 16, 17, 18, 64, 127, 128, 129,
	    1000, 5000 };
	size_t i, size = 200000, n;
	char *text = malloc(size);
	struct json_value v;

	assert_non_null(text);
	for (i = 0; i < COUNT(sizes); i++) {
		n = build(text, size, sizes[i], 0, -1);
		assert_int_equal(json_check(span_make(text, n), &v, NULL),
		    JSON_OK);
		assert_int_equal(json_object(span_make(text, n), NULL, NULL,
		    0), JSON_OK);
		n = build(text, size, sizes[i], 0, sizes[i] - 1);
		assert_int_equal(json_object(span_make(text, n), NULL, NULL,
		    0), JSON_DUPLICATE);
		n = build(text, size, sizes[i], sizes[i] - 2, sizes[i] - 1);
		assert_int_equal(json_object(span_make(text, n), NULL, NULL,
		    0), JSON_DUPLICATE);
	}
	free(text);
}

static void
many_members_are_not_quadratic(void **state)
{
	size_t size = 4 << 20, n;
	char *text = malloc(size);
	int64_t start;

	assert_non_null(text);
	n = build(text, size, 200000, 0, 199999);
	start = clock_mono_ms();
	assert_int_equal(json_object(span_make(text, n), NULL, NULL, 0),
	    JSON_DUPLICATE);
	assert_true(clock_mono_ms() - start < 5000);
	free(text);
}

static void
walks(void **state)
{
	struct span object = SPAN_LIT("{\"a\" : [1, 2] , \"b\\n\":{} }"), name;
	struct span array = SPAN_LIT("[ [], {\"x\":1} , \"s\",-2 , null]");
	static const char *const want[] = { "[]", "{\"x\":1}", "\"s\"", "-2",
	    "null" };
	struct json_value v;
	size_t pos = 0, i = 0;

	assert_true(json_next_member(object, &pos, &name, &v));
	assert_true(span_is(name, "a"));
	assert_true(span_is(v.raw, "[1, 2]"));
	assert_true(json_next_member(object, &pos, &name, &v));
	assert_true(span_is(name, "b\\n"));
	assert_int_equal(v.type, JSON_OBJECT);
	assert_false(json_next_member(object, &pos, &name, &v));
	assert_false(json_next_member(object, &pos, &name, &v));
	for (pos = 0; json_next_element(array, &pos, &v); i++)
		assert_true(span_is(v.raw, want[i]));
	assert_int_equal(i, 5);
	pos = 0;
	assert_false(json_next_element(SPAN_LIT("[ ]"), &pos, &v));
	assert_false(json_next_element(object, &pos, &v));
	assert_false(json_next_member(array, &pos, &name, &v));
	assert_false(json_next_member(SPAN_LIT(""), &pos, &name, &v));
	pos = 99;
	assert_false(json_next_element(array, &pos, &v));
}

/* Not for such text, but it must not read outside of it either. */
static void
walking_broken_text_is_safe(void **state)
{
	static const char *const texts[] = { "{", "{\"", "{\"a", "{\"a\"",
	    "{\"a\":", "{\"a\":[", "{\"a\":\"", "{\"a\":\"\\", "{\"a\":}",
	    "{a}", "{\"a\":{\"" };
	struct json_value v;
	struct span name;
	size_t i, pos, n;
	char *exact;

	for (i = 0; i < COUNT(texts); i++) {
		n = strlen(texts[i]);
		exact = malloc(n);	/* the sanitizer sees one byte more */
		assert_non_null(exact);
		memcpy(exact, texts[i], n);
		pos = 0;
		assert_false(json_next_member(span_make(exact, n), &pos,
		    &name, &v));
		free(exact);
	}
}

static struct json_value
value_of(struct span text)
{
	struct json_value v = { JSON_NONE, { NULL, 0 } };

	assert_int_equal(json_check(text, &v, NULL), JSON_OK);
	return v;
}

static void
decodes_strings(void **state)
{
	static const struct {
		struct span text, want;
	} cases[] = {
		{ TEXT("\"\""), TEXT("") },
		{ TEXT("\"abc\""), TEXT("abc") },
		{ TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
		    TEXT("\"\\/\b\f\n\r\t") },
		{ TEXT("\"a\\u0041b\\u00e9\\u20AC\""),
		    TEXT("aAb\xc3\xa9\xe2\x82\xac") },
		{ TEXT("\"\\ud83d\\ude00\""), TEXT("\xf0\x9f\x98\x80") },
		{ TEXT("\"\\udbff\\udfff\""), TEXT("\xf4\x8f\xbf\xbf") },
		{ TEXT("\"a\\u0000b\""), TEXT("a\0b") },
		{ TEXT("\"\\ud7ff\\ue000\\uffff\""),
		    TEXT("\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf") },
		{ TEXT("\"\xe2\x82\xac\""), TEXT("\xe2\x82\xac") },
	};
	static const char *const lone[] = { "\"\\ud800\"", "\"\\udc00\"",
	    "\"\\ud800x\"", "\"\\ud800\\n\"", "\"\\ud800\\u0041\"",
	    "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"", "\"\\udbff\\ue000\"" };
	char out[64];
	size_t i;
	long n;

	for (i = 0; i < COUNT(cases); i++) {
		n = json_string_decode(value_of(cases[i].text), out,
		    sizeof(out));
		assert_int_equal(n, cases[i].want.n);
		assert_memory_equal(out, cases[i].want.p, (size_t)n);
		assert_int_equal(json_string_decode(value_of(cases[i].text),
		    out, cases[i].want.n), n);
		if (n > 0)
			assert_int_equal(json_string_decode(
			    value_of(cases[i].text), out, (size_t)n - 1), -1);
	}
	for (i = 0; i < COUNT(lone); i++)
		assert_int_equal(json_string_decode(value_of(
		    span_str(lone[i])), out, sizeof(out)), -1);
	assert_int_equal(json_string_decode(value_of(SPAN_LIT("1")), out,
	    sizeof(out)), -1);
}

static void
plain_strings(void **state)
{
	struct span s;

	assert_true(json_string_plain(value_of(SPAN_LIT(" \"a b\" ")), &s));
	assert_true(span_is(s, "a b"));
	assert_true(json_string_plain(value_of(SPAN_LIT("\"\"")), &s));
	assert_int_equal(s.n, 0);
	assert_false(json_string_plain(value_of(SPAN_LIT("\"\\n\"")), &s));
	assert_false(json_string_plain(value_of(SPAN_LIT("1")), &s));
}

static void
numbers_and_truth(void **state)
{
	int64_t v = 7;

	assert_true(json_int(value_of(SPAN_LIT("-12")), &v));
	assert_int_equal(v, -12);
	assert_true(json_int(value_of(SPAN_LIT("9223372036854775807")), &v));
	assert_false(json_int(value_of(SPAN_LIT("9223372036854775808")), &v));
	assert_false(json_int(value_of(SPAN_LIT("1.0")), &v));
	assert_false(json_int(value_of(SPAN_LIT("1e2")), &v));
	assert_false(json_int(value_of(SPAN_LIT("\"1\"")), &v));
	assert_true(v == INT64_MAX);
	assert_true(json_is_true(value_of(SPAN_LIT("true"))));
	assert_false(json_is_true(value_of(SPAN_LIT("false"))));
	assert_false(json_is_true(value_of(SPAN_LIT("\"tr\""))));
	assert_false(json_is_true(value_of(SPAN_LIT("null"))));
}

static void
every_status_has_a_text(void **state)
{
	int s;

	for (s = JSON_OK; s <= JSON_WRONG_TYPE; s++)
		assert_string_not_equal(
		    json_status_text((enum json_status)s), "unknown");
}

static void
index_of_the_upper_values(void **state)
{
	static const char text[] = " { \"a\" : {\"b\":[1,{\"c\":{}}],\"d\":\"x\"}, "
	    "\"e\":[ ] , \"f\":-1.5e3}";
	static const char *const names[] = { "b", "d", "f" };
	struct json_value v, a[3], root[3];
	struct json_index x;
	unsigned depth;

	(void)state;
	for (depth = 0; depth <= JSON_INDEX_DEPTH; depth++) {
		assert_int_equal(json_check_index(span_str(text), &v, NULL, &x,
		    depth), JSON_OK);
		assert_int_equal(x.n, depth == 0 ? 1 : depth == 1 ? 4 :
		    depth == 2 ? 6 : depth == 3 ? 8 : 9);
		assert_int_equal(json_object_at(&x, v.raw, names, root, 3),
		    JSON_OK);
		assert_int_equal(root[0].type, JSON_NONE);
		assert_true(span_is(root[2].raw, "-1.5e3"));
		/* an object that is not in the index is read all the same */
		assert_int_equal(json_object_at(&x, span_make(strchr(text, '{')
		    + 8, 30), names, a, 3), JSON_OK);
		assert_true(span_is(a[0].raw, "[1,{\"c\":{}}]"));
		assert_true(span_is(a[1].raw, "\"x\""));
		assert_int_equal(a[2].type, JSON_NONE);
	}
	/* what is wrong is found at the same place */
	assert_int_equal(json_check_index(SPAN_LIT("{\"a\":[1,}"), &v, NULL,
	    &x, 3), JSON_SYNTAX);
	assert_int_equal(json_check_index(SPAN_LIT("{\"a\":1,\"a\":2}"), &v,
	    NULL, &x, 3), JSON_OK);
	assert_int_equal(json_object_at(&x, v.raw, NULL, NULL, 0),
	    JSON_DUPLICATE);
}

static void
index_that_is_full(void **state)
{
	static const char *const names[] = { "first", "last", "m50" };
	static char text[16384];
	struct json_value v, m[3];
	struct json_index x;
	size_t n = 0;
	int i;

	(void)state;
	n += (size_t)sprintf(text + n, "{\"first\":{\"a\":1}");
	for (i = 0; i < 2 * JSON_INDEX_NODES; i++)
		n += (size_t)sprintf(text + n, ",\"m%d\":[%d]", i, i);
	sprintf(text + n, ",\"last\":{\"b\":2}}");
	assert_int_equal(json_check_index(span_str(text), &v, NULL, &x, 2),
	    JSON_OK);
	assert_true(x.is_full);
	assert_int_equal(json_object_at(&x, v.raw, names, m, 3), JSON_OK);
	assert_true(span_is(m[0].raw, "{\"a\":1}"));
	assert_true(span_is(m[1].raw, "{\"b\":2}"));
	assert_true(span_is(m[2].raw, "[50]"));
	/* complete before it was full, and after */
	assert_int_equal(json_object_at(&x, m[0].raw, names, m, 3), JSON_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(depth),
		cmocka_unit_test(reads_members),
		cmocka_unit_test(refuses_what_can_be_read_twice),
		cmocka_unit_test(duplicates_in_objects_of_any_size),
		cmocka_unit_test(many_members_are_not_quadratic),
		cmocka_unit_test(walks),
		cmocka_unit_test(walking_broken_text_is_safe),
		cmocka_unit_test(decodes_strings),
		cmocka_unit_test(plain_strings),
		cmocka_unit_test(numbers_and_truth),
		cmocka_unit_test(every_status_has_a_text),
		cmocka_unit_test(index_of_the_upper_values),
		cmocka_unit_test(index_that_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
