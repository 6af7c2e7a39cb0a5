/*
 * test_lists -- reports of probes, whole and cut, and the catalog before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proc/lists.h"
#include "proc/probe.h"

#define CAPS	"{\"tools\":{}}"
#define INFO	"{\"name\":\"s\",\"version\":\"1\"}"
#define RESULT(instructions) "{\"serverInfo\":" INFO ",\"capabilities\":" \
	CAPS ",\"instructions\":" instructions "}"

static void
part(struct buf *b, enum probe_part which, struct span body)
{
	struct probe_head h = { which, (uint32_t)body.n };

	assert_int_equal(buf_add(b, &h, sizeof(h)), 0);
	assert_int_equal(buf_add_span(b, body), 0);
}

static void
make_report(struct buf *b, const char *result)
{
	struct probe_opened o = { .era = ERA_LEGACY, .version = "2025-06-18" };

	buf_init(b, 1 << 20);
	part(b, PROBE_OPENED, span_make((const char *)&o, sizeof(o)));
	part(b, PROBE_RESULT, span_str(result));
	part(b, PROBE_TOOL, SPAN_LIT("{\"name\":\"a\"}"));
	part(b, PROBE_TOOL, SPAN_LIT("{\"name\":\"b\"}"));
	part(b, PROBE_RESOURCE, SPAN_LIT("{\"uri\":\"x:1\",\"name\":\"r\"}"));
	part(b, PROBE_TEMPLATE,
	    SPAN_LIT("{\"uriTemplate\":\"x:{n}\",\"name\":\"t\"}"));
	part(b, PROBE_PROMPT, SPAN_LIT("{\"name\":\"p\"}"));
	part(b, PROBE_DONE, SPAN_LIT(""));
}

static void
assert_span(struct span s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

static void
assert_lists(const struct lists *l)
{
	uint64_t n[ITEM_KIND_COUNT];

	assert_true(l->listed);
	assert_int_equal(l->era, ERA_LEGACY);
	assert_string_equal(l->version, "2025-06-18");
	assert_span(l->capabilities, CAPS);
	assert_span(l->info, INFO);
	assert_span(l->instructions, "\"read me\"");
	lists_count(l, n);
	assert_int_equal(n[ITEM_TOOL], 2);
	assert_int_equal(n[ITEM_RESOURCE], 1);
	assert_int_equal(n[ITEM_TEMPLATE], 1);
	assert_int_equal(n[ITEM_PROMPT], 1);
}

static void
test_taken(void **state)
{
	struct lists l = { 0 };
	struct buf b;
	char why[64];

	make_report(&b, RESULT("\"read me\""));
	assert_int_equal(lists_report_end(buf_span(&b), why, sizeof(why)),
	    PROBE_DONE);
	lists_take(&l, &b);
	assert_null(b.p);
	assert_lists(&l);
	assert_span(l.item[1].raw, "{\"name\":\"b\"}");
	lists_free(&l);
	assert_false(l.listed);
}

/* A server may say anything: what is no text is no instruction. */
static void
test_odd_instructions(void **state)
{
	static const char *const odd[] = { "null", "7", "{\"a\":\"b\"}", "[]" };
	struct lists l = { 0 };
	struct buf b;
	char result[256];
	size_t i;

	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		snprintf(result, sizeof(result), "{\"instructions\":%s}",
		    odd[i]);
		make_report(&b, result);
		lists_take(&l, &b);
		assert_int_equal(l.instructions.n, 0);
		assert_int_equal(l.capabilities.n, 0);
		assert_int_equal(l.n_items, 5);
	}
	lists_free(&l);
}

/* Wherever the probe is killed, the report has not ended. */
static void
test_cut_anywhere(void **state)
{
	char why[64];
	struct buf b;
	size_t n;

	make_report(&b, RESULT("\"read me\""));
	for (n = 0; n < b.n; n++) {
		assert_int_equal(lists_report_end(span_make(b.p, n), why,
		    sizeof(why)), 0);
		assert_string_equal(why, "the probe did not finish");
	}
	buf_free(&b);
}

static void
test_failed(void **state)
{
	char why[64];
	struct buf b;

	buf_init(&b, 1 << 20);
	part(&b, PROBE_FAILED, SPAN_LIT("connection refused"));
	assert_int_equal(lists_report_end(buf_span(&b), why, sizeof(why)),
	    PROBE_FAILED);
	assert_string_equal(why, "connection refused");
	buf_free(&b);
}

static void
test_face(void **state)
{
	struct lists one = { 0 }, same = { 0 }, other = { 0 };
	struct buf b;

	make_report(&b, RESULT("\"read me\""));
	lists_take(&one, &b);
	make_report(&b, RESULT("\"read me\""));
	part(&b, PROBE_TOOL, SPAN_LIT("{\"name\":\"new\"}"));
	lists_take(&same, &b);
	make_report(&b, "{\"serverInfo\":{\"name\":\"s\",\"version\":\"2\"},"
	    "\"capabilities\":" CAPS "}");
	lists_take(&other, &b);
	assert_int_equal(lists_face(&one), lists_face(&same));
	assert_int_not_equal(lists_face(&one), lists_face(&other));
	lists_free(&one);
	lists_free(&same);
	lists_free(&other);
}

static void
test_inherited(void **state)
{
	size_t size = 1 << 20;
	struct cat_head *c = calloc(1, size);
	struct cat_source s = { .server_id = 7, .org = "default", .name = "s" };
	struct lists l = { 0 }, heir = { 0 };
	uint32_t dropped;
	struct buf b;
	struct err e;

	make_report(&b, RESULT("\"read me\""));
	lists_take(&l, &b);
	s.listed = true;
	s.era = l.era;
	s.version = l.version;
	s.capabilities = l.capabilities;
	s.info = l.info;
	s.instructions = l.instructions;
	s.item = l.item;
	s.n_items = l.n_items;
	assert_int_equal(catalog_build(c, size, 1, &s, 1, &dropped, &e), 0);
	assert_false(lists_inherit(&heir, c, 8));
	assert_false(heir.listed);
	assert_true(lists_inherit(&heir, c, 7));
	memset(c, 0xff, size);		/* copied, not pointed at */
	free(c);
	assert_lists(&heir);
	assert_int_equal(lists_face(&heir), lists_face(&l));
	lists_free(&heir);
	lists_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_odd_instructions),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_face),
		cmocka_unit_test(test_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
