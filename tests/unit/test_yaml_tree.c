/*
 * test_yaml_tree -- trees, positions, bounds, and ${VAR} in their values.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/interpolate.h"
#include "conf/yaml_tree.h"

static struct arena *mem;
static struct conf_report report;
static struct yaml_doc doc;

static int
setup(void **state)
{
	mem = arena_new(4096);
	return 0;
}

static int
teardown(void **state)
{
	arena_free(&mem);
	conf_report_free(&report);
	return 0;
}

static struct yaml_node *
parse_n(const char *text, size_t n)
{
	conf_report_free(&report);
	yaml_tree_parse(&doc, mem, "f", text, n, &report);
	return doc.root;
}

static struct yaml_node *
parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static struct yaml_node *
parse_clean(const char *text)
{
	struct yaml_node *root = parse(text);

	assert_int_equal(report.n, 0);
	assert_non_null(root);
	return root;
}

static void
assert_scalar(const struct yaml_node *n, const char *text, int line,
    int column)
{
	assert_non_null(n);
	assert_int_equal(n->kind, YAML_TREE_SCALAR);
	assert_string_equal(n->text, text);
	assert_int_equal(n->line, line);
	assert_int_equal(n->column, column);
	assert_string_equal(n->file, "f");
}

static void
test_tree(void **state)
{
	struct yaml_node *root = parse_clean("# c\na: 1\nb:\n  - x\n"
	    "  - {k: 'v w'}\n\"c d\": |\n  two\n  lines\n");
	const struct yaml_node *b = yaml_tree_get(root, "b");

	assert_int_equal(root->kind, YAML_TREE_MAP);
	assert_int_equal(root->n, 3);
	assert_scalar(root->pair[0].key, "a", 2, 1);
	assert_scalar(yaml_tree_get(root, "a"), "1", 2, 4);
	assert_int_equal(b->kind, YAML_TREE_LIST);
	assert_int_equal(b->n, 2);
	assert_scalar(b->item[0], "x", 4, 5);
	assert_scalar(yaml_tree_get(b->item[1], "k"), "v w", 5, 9);
	assert_true(yaml_tree_get(b->item[1], "k")->quoted);
	assert_string_equal(yaml_tree_get(root, "c d")->text, "two\nlines\n");
	assert_null(yaml_tree_get(root, "z"));
	assert_null(yaml_tree_get(b, "k"));
	assert_null(yaml_tree_get(NULL, "k"));
}

/* Columns count characters, as editors do. */
static void
test_utf8_columns(void **state)
{
	struct yaml_node *root = parse_clean("{\xc3\xa9\xc3\xa9: 1, b: 2}\n");

	assert_scalar(yaml_tree_get(root, "b"), "2", 1, 12);
}

static void
test_scalar_list(void **state)
{
	struct yaml_node *n;
	char all[32] = "";

	parse_clean("k1: a\nk2: [b, {k3: c}]\nk4: d\n");
	for (n = doc.scalars; n != NULL; n = n->next)
		strcat(all, n->text);
	assert_string_equal(all, "abcd");
}

static void
test_null(void **state)
{
	static const struct {
		const char	*value;
		bool		 null;
	} t[] = {
		{ "", true }, { "~", true }, { "null", true },
		{ "''", false }, { "'~'", false }, { "\"null\"", false },
		{ "Null", false }, { "0", false }, { "[]", false },
		{ "{}", false },
	};
	char text[32];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(text, sizeof(text), "a: %s\n", t[i].value);
		assert_int_equal(yaml_tree_is_null(yaml_tree_get(
		    parse_clean(text), "a")), t[i].null);
	}
}

static void
test_empty_files(void **state)
{
	static const char *const t[] = { "", "\n\n", "# only this\n", "---\n",
		"--- \n...\n", "null\n", "{}\n" };
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct yaml_node *root = parse_clean(t[i]);

		assert_int_equal(root->kind, YAML_TREE_MAP);
		assert_int_equal(root->n, 0);
	}
}

static void
test_alias(void **state)
{
	struct yaml_node *root = parse_clean("a: &x {k: [1, 2]}\nb: *x\n");
	const struct yaml_node *k = yaml_tree_get(yaml_tree_get(root, "b"),
	    "k");

	assert_int_equal(k->n, 2);
	assert_scalar(k->item[1], "2", 1, 15);
	/* Two trees, so that marks on one do not show in the other. */
	assert_ptr_not_equal(yaml_tree_get(root, "a"),
	    yaml_tree_get(root, "b"));
}

/* Each needs its one finding at its place; usable: the rest is a tree. */
static void
test_findings(void **state)
{
	static const struct {
		const char	*text, *finding;
		int		 line, column;
		bool		 usable;
	} t[] = {
		{ "a: 1\nb: [\n", "did not find expected node content", 3, 1,
		    false },
		{ "a: 'x\n", "found unexpected end of stream", 2, 1, false },
		{ "a: *b\n", "found undefined alias", 1, 4, false },
		{ "a: 1\n---\nb: 2\n", "second document", 3, 1, true },
		{ "a: 1\n...\n]\n", "did not find expected", 3, 1, false },
		{ "a: 1\nb: 2\na: 3\n", "key is here twice, first at 1:1", 3,
		    1, true },
		{ "? [x]\n: 1\n", "a key must be a plain word", 1, 3, true },
		{ "[1]\n", "must be a map", 1, 1, false },
		{ "word\n", "must be a map", 1, 1, false },
		{ "a: !x 1\n", "tags", 1, 4, true },
		{ "a: !!float 1\n", "tags", 1, 4, true },
		{ "a: !x [1, 2]\n", "tags", 1, 4, true },
		{ "a: \"x\\0y\"\n", "NUL", 1, 4, true },
		{ "a: &a [*a]\n", "nested deeper", 1, 4, false },
		{ "a: \x01\n", "control characters are not allowed", 1, 0,
		    false },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		parse(t[i].text);
		assert_int_equal(report.n, 1);
		assert_int_equal(report.errors, 1);
		if (strstr(report.msg[0].text, t[i].finding) == NULL ||
		    report.msg[0].line != t[i].line ||
		    report.msg[0].column != t[i].column)
			fail_msg("%s: %d:%d %s", t[i].text,
			    report.msg[0].line, report.msg[0].column,
			    report.msg[0].text);
		assert_int_equal(doc.root != NULL, t[i].usable);
	}
}

/* The first of two equal keys is the one that is found. */
static void
test_duplicate_is_hidden(void **state)
{
	struct yaml_node *root = parse("a: 1\na: 2\na: 3\n");

	assert_int_equal(report.errors, 2);
	assert_string_equal(yaml_tree_get(root, "a")->text, "1");
}

static void
nested(char *text, int depth)
{
	char *p = text + sprintf(text, "a: ");

	memset(p, '[', (size_t)depth);
	memset(p + depth, ']', (size_t)depth);
	strcpy(p + 2 * depth, "\n");
}

static void
test_depth(void **state)
{
	char text[256];

	nested(text, YAML_DEPTH_MAX - 1);	/* the root is a level too */
	assert_non_null(parse(text));
	assert_int_equal(report.n, 0);
	nested(text, YAML_DEPTH_MAX);
	assert_null(parse(text));
	assert_int_equal(report.errors, 1);
}

/* "Billion laughs": ten aliases of ten aliases of ... */
static void
test_expansion(void **state)
{
	struct buf b;
	int i, j;

	buf_init(&b, 1 << 16);
	buf_add_str(&b, "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (i = 1; i < 10; i++) {
		buf_printf(&b, "l%d: &l%d [", i, i);
		for (j = 0; j < 10; j++)
			buf_printf(&b, "%s*l%d", j > 0 ? ", " : "", i - 1);
		buf_add_str(&b, "]\n");
	}
	assert_null(parse_n(b.p, b.n));
	assert_int_equal(report.n, 1);
	assert_non_null(strstr(report.msg[0].text, "more than 500000 values"));
	buf_free(&b);
}

static void
test_size(void **state)
{
	char *text = xmalloc(YAML_FILE_MAX + 1);

	memset(text, '\n', YAML_FILE_MAX + 1);
	assert_null(parse_n(text, YAML_FILE_MAX + 1));
	assert_non_null(strstr(report.msg[0].text, "larger than"));
	assert_non_null(parse_n(text, YAML_FILE_MAX));
	assert_int_equal(report.n, 0);
	free(text);
}

static void
test_interpolation(void **state)
{
	static const struct {
		const char	*in, *out;	/* NULL: an error */
	} t[] = {
		{ "plain", "plain" },
		{ "${T_SET}", "value" },
		{ "a${T_SET}b${T_SET}", "avaluebvalue" },
		{ "${T_EMPTY}", "" },
		{ "${T_UNSET}", NULL },
		{ "${T_UNSET:-}", "" },
		{ "${T_UNSET:-d e:-f}", "d e:-f" },
		{ "${T_EMPTY:-d}", "d" },
		{ "${T_SET:-d}", "value" },
		{ "${T_UNSET:-$$x}", "$$x" },	/* defaults are literal */
		{ "${T_SET:?m}", "value" },
		{ "${T_EMPTY:?m}", NULL },
		{ "${T_UNSET:?m}", NULL },
		{ "$$", "$" },
		{ "$${T_UNSET}", "${T_UNSET}" },
		{ "$$${T_SET}", "$value" },
		{ "$", "$" },
		{ "5$ and $x", "5$ and $x" },
		{ "${", NULL },
		{ "${T_SET", NULL },
		{ "${}", NULL },
		{ "${9}", NULL },
		{ "${T_SET-x}", NULL },
		{ "${T_SET:+x}", NULL },
		{ "${T SET}", NULL },
		{ "${T_SET:-${T_SET}}", NULL },		/* not "value}" */
		{ "${T_UNSET:-a${T_SET:-b}c}", NULL },
		{ "${T_DOLLAR}", "${T_SET}$$" },	/* only once */
	};
	char text[128];
	size_t i;

	setenv("T_SET", "value", 1);
	setenv("T_EMPTY", "", 1);
	setenv("T_DOLLAR", "${T_SET}$$", 1);
	unsetenv("T_UNSET");
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct yaml_node *n;

		snprintf(text, sizeof(text), "a: '%s'\n", t[i].in);
		parse_clean(text);
		interpolate_doc(&doc, mem, &report);
		n = yaml_tree_get(doc.root, "a");
		assert_string_equal(n->raw, t[i].in);
		if (t[i].out == NULL) {
			assert_int_equal(report.errors, 1);
			assert_int_equal(report.msg[0].line, 1);
			assert_int_equal(report.msg[0].column, 4);
			assert_true(n->bad);
			continue;
		}
		assert_int_equal(report.n, 0);
		assert_string_equal(n->text, t[i].out);
	}
}

static void
test_interpolation_spares_keys(void **state)
{
	setenv("T_SET", "value", 1);
	parse_clean("'${T_SET}': x\n");
	interpolate_doc(&doc, mem, &report);
	assert_int_equal(report.n, 0);
	assert_non_null(yaml_tree_get(doc.root, "${T_SET}"));
}

/* A value that came out as "null" is a text, not a missing value. */
static void
test_interpolated_null(void **state)
{
	setenv("T_SET", "null", 1);
	parse_clean("a: ${T_SET}\n");
	interpolate_doc(&doc, mem, &report);
	assert_false(yaml_tree_is_null(yaml_tree_get(doc.root, "a")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_tree), T(test_utf8_columns), T(test_scalar_list),
		T(test_null), T(test_empty_files), T(test_alias),
		T(test_findings), T(test_duplicate_is_hidden), T(test_depth),
		T(test_expansion), T(test_size), T(test_interpolation),
		T(test_interpolation_spares_keys), T(test_interpolated_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
