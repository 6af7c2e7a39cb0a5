/*
 * Properties of base/json_read: it takes what jansson takes, and refuses what
 * jansson refuses (but for number ranges, lone surrogates and depth); walking
 * sees what jansson sees; strings come back when they are written again; text
 * that was never checked does not lead outside of its bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "base/json_read.h"
#include "base/json_write.h"
#include "tests/fuzz/json_oracle.h"

#define TEXT_MAX	65536

/* jansson refuses surrogates that stand alone: \uD8.. to \uDF.. */
static bool
may_have_surrogates(struct span text)
{
	size_t i;

	for (i = 0; i + 2 < text.n; i++)
		if (text.p[i] == '\\' && text.p[i + 1] == 'u' &&
		    (text.p[i + 2] | 0x20) == 'd')
			return true;
	return false;
}

static void
check_verdict(struct span text, enum json_status status,
    const struct json_oracle *o)
{
	/* To jansson a NUL outside of strings is the end of the text. */
	if (o->verdict == ORACLE_VALID)
		FUZZ_CHECK(status == JSON_OK || status == JSON_TOO_DEEP ||
		    memchr(text.p, '\0', text.n) != NULL);
	else if (status == JSON_OK)
		FUZZ_CHECK(o->verdict == ORACLE_RANGE ||
		    may_have_surrogates(text));
}

static void
check_string(struct json_value v, const struct json_oracle *o)
{
	static char decoded[TEXT_MAX], again[TEXT_MAX];
	struct json_value back;
	struct span plain, want;
	struct buf b;
	long n = json_string_decode(v, decoded, sizeof(decoded));

	FUZZ_CHECK((n >= 0) == oracle_string(o, &want.p, &want.n));
	if (n < 0)
		return;
	FUZZ_CHECK(span_eq(want, span_make(decoded, (size_t)n)));
	if (json_string_plain(v, &plain))
		FUZZ_CHECK(span_eq(plain, want));
	buf_init(&b, 8 * TEXT_MAX);
	FUZZ_CHECK(json_quote(&b, want) == 0);
	FUZZ_CHECK(json_check(buf_span(&b), &back, NULL) == JSON_OK);
	FUZZ_CHECK(json_string_decode(back, again, sizeof(again)) == n);
	FUZZ_CHECK(memcmp(decoded, again, (size_t)n) == 0);
	buf_free(&b);
}

static void
check_integer(struct json_value v, const struct json_oracle *o)
{
	int64_t i, want;

	if (o->verdict == ORACLE_VALID)
		FUZZ_CHECK(json_int(v, &i) == oracle_integer(o, &want) &&
		    (!json_int(v, &i) || i == want));
	else
		FUZZ_CHECK(!json_int(v, &i));
}

/* Duplicates as jansson sees them: inner objects count too, so flat ones. */
static void
check_names(struct span object, size_t members)
{
	static const char *const names[] = { "method", "id", "" };
	struct json_value v[3];
	struct json_oracle strict;
	enum json_status status;

	status = json_object(object, names, v, 3);
	FUZZ_CHECK(json_object(object, NULL, NULL, 0) == status);
	FUZZ_CHECK(status == JSON_OK || status == JSON_DUPLICATE ||
	    status == JSON_ESCAPED_NAME);
	if (status == JSON_ESCAPED_NAME || memchr(object.p + 1, '{',
	    object.n - 1) != NULL)
		return;
	oracle_parse(&strict, object.p, object.n, true);
	if (strict.verdict == ORACLE_VALID)
		FUZZ_CHECK(status == JSON_OK &&
		    oracle_size(&strict) == members);
	else if (strict.verdict == ORACLE_DUPLICATE)
		FUZZ_CHECK(status == JSON_DUPLICATE);
	oracle_free(&strict);
}

/* One level; the fuzzer finds the inner ones as texts of their own. */
static void
check_level(struct json_value v, const struct json_oracle *o)
{
	struct json_value inner;
	struct span name;
	size_t pos = 0, n = 0;

	if (v.type == JSON_OBJECT) {
		for (; json_next_member(v.raw, &pos, &name, &inner); n++)
			FUZZ_CHECK(json_check(inner.raw, &inner, NULL) ==
			    JSON_OK);
		FUZZ_CHECK(pos == 0 || pos < v.raw.n);
		FUZZ_CHECK(oracle_size(o) <= n);
		check_names(v.raw, n);
	} else if (v.type == JSON_ARRAY) {
		for (; json_next_element(v.raw, &pos, &inner); n++)
			FUZZ_CHECK(json_check(inner.raw, &inner, NULL) ==
			    JSON_OK);
		FUZZ_CHECK(o->tree == NULL || oracle_size(o) == n);
	}
}

static void
walk_unchecked(struct span text)
{
	static const char *const names[] = { "a" };
	struct json_value v;
	struct span name;
	char out[16];
	size_t pos;

	for (pos = 0; json_next_member(text, &pos, &name, &v);)
		FUZZ_CHECK(pos <= text.n);
	for (pos = 0; json_next_element(text, &pos, &v);)
		FUZZ_CHECK(pos <= text.n);
	json_object(text, names, &v, 1);
	v = (struct json_value){ JSON_STRING, text };
	json_string_decode(v, out, sizeof(out));
}

static bool
same_value(struct json_value a, struct json_value b)
{
	return a.type == b.type && a.raw.p == b.raw.p && a.raw.n == b.raw.n;
}

/* Every object of the text, by the index and without it. */
static void
compare_objects(const struct json_index *x, struct json_value v)
{
	static const char *const names[] = { "id", "a", "method", "" };
	struct json_value by_index[4], by_text[4], inner;
	struct span name;
	size_t pos = 0;
	int i;

	if (v.type == JSON_ARRAY) {
		while (json_next_element(v.raw, &pos, &inner))
			compare_objects(x, inner);
		return;
	}
	if (v.type != JSON_OBJECT)
		return;
	FUZZ_CHECK(json_object_at(x, v.raw, names, by_index, 4) ==
	    json_object(v.raw, names, by_text, 4));
	for (i = 0; i < 4; i++)
		FUZZ_CHECK(same_value(by_index[i], by_text[i]));
	while (json_next_member(v.raw, &pos, &name, &inner))
		compare_objects(x, inner);
}

static void
check_index(struct span text, enum json_status status, struct json_value v,
    size_t at)
{
	struct json_value again = { JSON_NONE, { NULL, 0 } };
	struct json_index x;
	unsigned depth;
	size_t where;

	for (depth = 0; depth <= JSON_INDEX_DEPTH + 1; depth++) {
		where = SIZE_MAX;
		FUZZ_CHECK(json_check_index(text, &again, &where, &x, depth) ==
		    status);
		FUZZ_CHECK(where == at);
		if (status != JSON_OK)
			continue;
		FUZZ_CHECK(same_value(again, v));
		compare_objects(&x, v);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = { (const char *)data, n };
	struct json_value v = { JSON_NONE, { NULL, 0 } };
	enum json_status status;
	struct json_oracle o;
	size_t at = SIZE_MAX;

	if (n == 0 || n > TEXT_MAX)
		return 0;
	status = json_check(text, &v, &at);
	FUZZ_CHECK(status == JSON_OK || at <= n);
	oracle_parse(&o, text.p, text.n, false);
	check_verdict(text, status, &o);
	walk_unchecked(text);
	check_index(text, status, v, at);
	if (status == JSON_OK) {
		FUZZ_CHECK(v.type != JSON_NONE && v.raw.p >= text.p &&
		    v.raw.p + v.raw.n <= text.p + n);
		if (v.type == JSON_STRING)
			check_string(v, &o);
		if (v.type == JSON_NUMBER)
			check_integer(v, &o);
		check_level(v, &o);
	}
	oracle_free(&o);
	return 0;
}
