/*
 * test_catalog -- names, look-ups, rewriting and limits of the catalog.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "mcp/catalog.h"

#define SIZE (8u << 20)

static char *buffer;

static const struct {
	const char *server, *name, *exposed;
} names[] = {
	{ "fast", "echo", "fast__echo" },
	{ "a-b", "x_y-z", "a-b__x_y-z" },
	/* replaced bytes and cuts get a hash of the original */
	{ "s", "with space", "s__with_space_" },
	{ "s", "with.space", "s__with_space_" },
	{ "s", "caf\xc3\xa9", "s__caf___" },
	{ "s", "0123456789012345678901234567890123456789012345678901234567890x",
	    "s__0123456789012345678901234567890123456789012345678901_" },
};

static void
test_names(void **state)
{
	char out[CAT_EXPOSED_MAX + 1], again[CAT_EXPOSED_MAX + 1];
	size_t i, k;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		catalog_expose_name(out, span_str(names[i].server),
		    span_str(names[i].name));
		assert_true(strlen(out) <= CAT_EXPOSED_MAX);
		assert_memory_equal(out, names[i].exposed,
		    strlen(names[i].exposed));
		assert_int_equal(strlen(out), strlen(names[i].exposed) +
		    (i < 2 ? 0 : 8));
		for (k = 0; k < i; k++) {
			catalog_expose_name(again, span_str(names[k].server),
			    span_str(names[k].name));
			assert_string_not_equal(out, again);
		}
		for (k = 0; out[k] != '\0'; k++)
			assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", out[k]));
	}
}

static void
test_slugs(void **state)
{
	char out[80];

	catalog_slug(out, sizeof(out), span_str("My_Server-1"));
	assert_string_equal(out, "my-server-1");
	catalog_slug(out, sizeof(out), span_str("9lives"));
	assert_string_equal(out, "s9lives");	/* a scheme begins with a letter */
}

static struct cat_source_item
item(enum item_kind kind, const char *raw)
{
	return (struct cat_source_item){ kind, span_str(raw) };
}

static const struct cat_head *
build(const struct cat_source *src, uint32_t n, uint32_t *dropped)
{
	struct err e;

	assert_int_equal(catalog_build(buffer, SIZE, 1, src, n, dropped, &e), 0);
	return (const struct cat_head *)(const void *)buffer;
}

static void
test_find_and_rename(void **state)
{
	static const char tool[] = "{\"description\":\"a \\\"name\\\": x\","
	    "\"name\" : \"do it\",\"inputSchema\":{\"name\":1}}";
	struct cat_source_item items[] = {
		item(ITEM_TOOL, tool),
		item(ITEM_TOOL, "{\"name\":\"echo\"}"),
		item(ITEM_TOOL, "{\"name\":\"echo\",\"second\":true}"),
		item(ITEM_TOOL, "{\"title\":\"no name\"}"),
		item(ITEM_TOOL, "{\"name\":\"\"}"),
		item(ITEM_TOOL, "{\"name\":\"bad\\u0007\"}"),
		item(ITEM_TOOL, "{\"name\":\"a\",\"name\":\"b\"}"),
		item(ITEM_RESOURCE, "{\"uri\":\"demo://x\"}"),
		item(ITEM_PROMPT, "{\"name\":\"echo\"}"),
	};
	struct cat_source src[] = {
		{ .server_id = 7, .org = "default", .name = "one", .listed = true,
		    .version = "", .item = items, .n_items = 9 },
		{ .server_id = 8, .org = "other", .name = "one", .listed = true,
		    .version = "", .item = items, .n_items = 2 },
	};
	const struct cat_head *c;
	struct span own;
	struct buf b;
	uint32_t dropped, i;

	c = build(src, 2, &dropped);
	assert_int_equal(dropped, 5);
	assert_int_equal(c->n_items, 4 + 2);
	assert_int_equal(catalog_find_server(c, 8), 1);
	assert_int_equal(catalog_find_server(c, 9), CAT_NONE);
	i = catalog_find_own(c, 0, ITEM_TOOL, span_str("do it"));
	assert_int_not_equal(i, CAT_NONE);
	/* only the value of the name member changes; the rest is the server's */
	buf_init(&b, 65536);
	catalog_item_json(c, cat_item(c, i), true, &b);
	{
		static const char head[] = "{\"description\":"
		    "\"a \\\"name\\\": x\",\"name\" : \"one__do_it_";
		static const char tail[] = "\",\"inputSchema\":{\"name\":1}}";

		assert_memory_equal(b.p, head, sizeof(head) - 1);
		assert_int_equal(b.n, sizeof(head) - 1 + 8 + sizeof(tail) - 1);
		assert_memory_equal(b.p + b.n - (sizeof(tail) - 1), tail,
		    sizeof(tail) - 1);
	}
	buf_reset(&b, 0);
	catalog_item_json(c, cat_item(c, i), false, &b);
	assert_int_equal(b.n, strlen(tool));
	assert_memory_equal(b.p, tool, b.n);
	buf_free(&b);
	/* kinds and organisations do not mix */
	i = catalog_find_exposed(c, span_str("default"), ITEM_TOOL,
	    span_str("one__echo"));
	assert_int_equal(cat_item(c, i)->server, 0);
	i = catalog_find_exposed(c, span_str("other"), ITEM_TOOL,
	    span_str("one__echo"));
	assert_int_equal(cat_item(c, i)->server, 1);
	assert_int_equal(catalog_find_exposed(c, span_str("nobody"), ITEM_TOOL,
	    span_str("one__echo")), CAT_NONE);
	assert_int_equal(catalog_find_exposed(c, span_str("other"), ITEM_PROMPT,
	    span_str("one__echo")), CAT_NONE);
	/* resources go by slug */
	assert_int_equal(catalog_split_uri(c, span_str("default"),
	    span_str("one+demo://x"), &own), 0);
	assert_true(span_is(own, "demo://x"));
	assert_int_equal(catalog_split_uri(c, span_str("default"),
	    span_str("two+demo://x"), &own), CAT_NONE);
	assert_int_equal(catalog_split_uri(c, span_str("default"),
	    span_str("demo://x"), &own), CAT_NONE);
}

/* Two names of one slug: each resource is of the server that lists it. */
static void
test_same_slug(void **state)
{
	static const char *const like[] = { "A-B", "a-b", "a_b", "a_b", "ab" };
	struct cat_source_item items[] = {
		item(ITEM_RESOURCE, "{\"uri\":\"demo://x\"}"),
	};
	struct cat_source src[5];
	const struct cat_head *c;
	struct span exposed, own;
	uint32_t dropped, i;

	memset(src, 0, sizeof(src));
	for (i = 0; i < 5; i++) {
		src[i].server_id = i + 1;
		src[i].org = i == 3 ? "other" : "default";
		src[i].name = like[i];
		src[i].version = "";
		src[i].item = items;
		src[i].n_items = 1;
	}
	c = build(src, 5, &dropped);
	assert_int_equal(dropped, 0);
	for (i = 0; i < 5; i++) {
		exposed = cat_span(c, cat_item(c, cat_server(c, i)->first[
		    ITEM_RESOURCE])->exposed);
		assert_int_equal(catalog_split_uri(c, span_str(src[i].org),
		    exposed, &own), i);
		assert_true(span_is(own, "demo://x"));
	}
	assert_int_equal(catalog_split_uri(c, span_str("default"),
	    span_str("a-b+demo://x"), &own), CAT_NONE);
	assert_true(span_is(cat_span(c, cat_server(c, 3)->slug), "a-b"));
	assert_true(span_is(cat_span(c, cat_server(c, 4)->slug), "ab"));
}

static void
test_content(void **state)
{
	struct cat_source_item items[] = { item(ITEM_TOOL, "{\"name\":\"a\"}"),
	    item(ITEM_TOOL, "{\"name\":\"b\"}") };
	struct cat_source src = { .server_id = 7, .org = "default",
	    .name = "one", .version = "", .item = items, .n_items = 2 };
	uint64_t first, second;
	uint32_t dropped;

	first = build(&src, 1, &dropped)->content;
	assert_int_equal(build(&src, 1, &dropped)->content, first);
	src.listed = true;
	second = build(&src, 1, &dropped)->content;
	assert_int_not_equal(second, first);
	items[1].raw = span_str("{\"name\":\"c\"}");
	assert_int_not_equal(build(&src, 1, &dropped)->content, second);
}

static void
test_many_and_full(void **state)
{
	enum { N = 5000 };
	struct cat_source_item *items = calloc(N, sizeof(*items));
	char (*raw)[64] = calloc(N, sizeof(*raw)), name[32];
	struct cat_source src = { .server_id = 1, .org = "default",
	    .name = "big", .version = "", .item = items, .n_items = N };
	const struct cat_head *c;
	uint32_t dropped, i;
	size_t size;
	struct err e;

	for (i = 0; i < N; i++) {
		snprintf(raw[i], sizeof(raw[i]), "{\"name\":\"tool_%u\"}", i);
		items[i] = item(ITEM_TOOL, raw[i]);
	}
	c = build(&src, 1, &dropped);
	assert_int_equal(c->n_items, N);
	for (i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "big__tool_%u", i);
		assert_int_equal(catalog_find_exposed(c, span_str("default"),
		    ITEM_TOOL, span_str(name)), i);
	}
	/* every size that is too small is an error, never an overrun */
	for (size = 0; size < c->size; size += 7919) {
		char *small = malloc(size + 1);

		assert_int_equal(catalog_build(small, size, 1, &src, 1, &dropped,
		    &e), -1);
		free(small);
	}
	free(items);
	free(raw);
}

static int
setup(void **state)
{
	buffer = malloc(SIZE);
	return buffer == NULL;
}

static int
teardown(void **state)
{
	free(buffer);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_slugs),
		cmocka_unit_test(test_find_and_rename),
		cmocka_unit_test(test_same_slug),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_many_and_full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
