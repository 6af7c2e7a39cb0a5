/*
 * test_ctl -- the pure parts of omni2ctl: JSON to YAML, editing a YAML file,
 * widths and colours of tables, connection strings.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "conf/conf.h"
#include "conf/yaml_tree.h"
#include "ctl/fit.h"
#include "ctl/to_yaml.h"
#include "ctl/yaml_edit.h"
#include "store/admin.h"

/* ---- YAML ---------------------------------------------------------------- */

static const struct {
	const char *json, *yaml;
} forms[] = {
	{ "{}", "{}\n" },
	{ "[]", "[]\n" },
	{ "12", "12\n" },
	{ "\"a\"", "a\n" },
	{ "{\"a\":1,\"b\":true,\"c\":null,\"d\":-1.5e3}",
	    "a: 1\nb: true\nc: null\nd: -1.5e3\n" },
	{ "{\"a\":{\"b\":{\"c\":[]}},\"d\":{}}",
	    "a:\n  b:\n    c: []\nd: {}\n" },
	{ "[{\"a\":1,\"b\":2},{\"a\":3}]", "- a: 1\n  b: 2\n- a: 3\n" },
	{ "{\"l\":[1,[2,3],{\"x\":[4]}]}",
	    "l:\n- 1\n- - 2\n  - 3\n- x:\n  - 4\n" },
	/* what could be taken for something else is quoted */
	{ "[\"\",\"yes\",\"No\",\"null\",\"~\",\"1\",\"0x1f\",\"1e3\",\".5\","
	    "\"-\",\"- a\",\"a: b\",\"a:\",\"a #b\",\"#a\",\" a\",\"a \","
	    "\"2026-11-21\",\"&a\",\"*a\",\"!a\",\"%a\",\"@a\",\"`a\","
	    "\"{a\",\"[a\",\"'a\",\"|\",\">\",\"?\"]",
	    "- \"\"\n- \"yes\"\n- \"No\"\n- \"null\"\n- \"~\"\n- \"1\"\n"
	    "- \"0x1f\"\n- \"1e3\"\n- \".5\"\n- \"-\"\n- \"- a\"\n"
	    "- \"a: b\"\n- \"a:\"\n- \"a #b\"\n- \"#a\"\n- \" a\"\n- \"a \"\n"
	    "- \"2026-11-21\"\n- \"&a\"\n- \"*a\"\n- \"!a\"\n- \"%a\"\n"
	    "- \"@a\"\n- \"`a\"\n- \"{a\"\n- \"[a\"\n- \"'a\"\n- \"|\"\n"
	    "- \">\"\n- \"?\"\n" },
	{ "[\"http://127.0.0.1:8090/mcp\",\"ann@example.org\",\"a, b\"]",
	    "- http://127.0.0.1:8090/mcp\n- ann@example.org\n- a, b\n" },
	{ "{\"a b\":1,\"1\":2,\"x\\\"y\":3}",
	    "a b: 1\n\"1\": 2\n\"x\\\"y\": 3\n" },
	{ "[\"a\\nb\\t\\\"\\\\\",\"\\u0000\\u001b\\u007f\\u009b\","
	    "\"\\u00e4\\u2028\\ufeff\",\"\\ud83d\\ude00\",\"\\ud83d\"]",
	    "- \"a\\nb\\t\\\"\\\\\"\n- \"\\x00\\x1b\\x7f\\x9b\"\n"
	    "- \"\xc3\xa4\\u2028\\ufeff\"\n- \"\xf0\x9f\x98\x80\"\n"
	    "- \"\\uFFFD\"\n" },
	{ "{\"a\":1}\n{\"a\":2}\n", "a: 1\n---\na: 2\n" },
	{ " [1]  \n [ 2 ] ", "- 1\n---\n- 2\n" },
	{ "{\"a\":\"}]\\\"{\"}", "a: \"}]\\\"{\"\n" },
	{ "", "" },
};

static void
test_json_to_yaml(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		unsigned documents = 0;
		struct buf b;

		buf_init(&b, 65536);
		assert_int_equal(json_to_yaml(span_str(forms[i].json), &b,
		    &documents), 0);
		buf_add_char(&b, '\0');
		assert_string_equal(b.p, forms[i].yaml);
		buf_free(&b);
	}
}

static void
test_not_json(void **state)
{
	static const char *const wrong[] = { "configuration OK\n", "{", "[1",
	    "\"a", "{\"a\":}", "[1]]", "}" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		unsigned documents = 0;
		struct buf b;

		buf_init(&b, 65536);
		assert_int_equal(json_to_yaml(span_str(wrong[i]), &b,
		    &documents), -1);
		buf_free(&b);
	}
}

/* As deep as JSON may be. */
static void
test_deep(void **state)
{
	char text[2 * 64 + 1];
	unsigned documents = 0;
	struct buf b;

	(void)state;
	memset(text, '[', 64);
	memset(text + 64, ']', 64);
	text[128] = '\0';
	buf_init(&b, 65536);
	assert_int_equal(json_to_yaml(span_str(text), &b, &documents), 0);
	assert_memory_equal(b.p + b.n - 5, "- []\n", 5);
	buf_free(&b);
}

/* What comes out is read by the YAML reader as what went in. */
static void
test_yaml_is_read_back(void **state)
{
	static const char *const texts[] = { "plain", "a: b", "\x01\x7f", "\"",
	    "\\", "yes", "", " ", "\xc2\x85", "\xe2\x80\xa8", "- x", "a\nb",
	    "x # y", "x:", "%", "\t" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf_report r = { NULL, 0, 0 };
		struct arena *mem = arena_new(4096);
		struct yaml_doc doc;
		unsigned documents = 0;
		struct buf json, yaml;

		buf_init(&json, 4096);
		buf_init(&yaml, 4096);
		buf_add_str(&json, "{\"k\":");
		json_quote(&json, span_str(texts[i]));
		buf_add_str(&json, "}");
		assert_int_equal(json_to_yaml(buf_span(&json), &yaml,
		    &documents), 0);
		yaml_tree_parse(&doc, mem, "t", yaml.p, yaml.n, &r);
		assert_int_equal(r.errors, 0);
		assert_non_null(doc.root);
		assert_string_equal(yaml_tree_get(doc.root, "k")->text,
		    texts[i]);
		buf_free(&json);
		buf_free(&yaml);
		conf_report_free(&r);
		arena_free(&mem);
	}
}

/* ---- edits --------------------------------------------------------------- */

static const struct {
	const char *before, *section, *key, *value, *after;
	enum err_code code;
} edits[] = {
	{ "", "server", "listen", "127.0.0.1:1",
	    "server:\n  listen: 127.0.0.1:1\n", ERR_NONE },
	{ "a: 1", "server", "user", "omni2",
	    "a: 1\n\nserver:\n  user: omni2\n", ERR_NONE },
	/* below the comment that shows the default */
	{ "server:\n  # why\n  #listen: [x]\n  # other\n  #user: y\nlog:\n",
	    "server", "listen", "h:1",
	    "server:\n  # why\n  #listen: [x]\n  listen: h:1\n  # other\n"
	    "  #user: y\nlog:\n", ERR_NONE },
	/* a comment of another section is none of this one */
	{ "a:\n  x: 1\nserver:\n  y: 2\nb:\n  #listen: z\n", "server",
	    "listen", "h:1", "a:\n  x: 1\nserver:\n  listen: h:1\n  y: 2\nb:\n"
	    "  #listen: z\n", ERR_NONE },
	/* as deep as its neighbours */
	{ "server:\n      y: 2\n", "server", "listen", "h:1",
	    "server:\n      listen: h:1\n      y: 2\n", ERR_NONE },
	{ "server: # here\n", "server", "listen", "h:1",
	    "server: # here\n  listen: h:1\n", ERR_NONE },
	/* an empty value, and a variable that nobody set */
	{ "database:\n  url:\n  timeout: 5s\n", "database", "url",
	    "host=/x user=a", "database:\n  #url:\n  url: host=/x user=a\n"
	    "  timeout: 5s\n", ERR_NONE },
	{ "database:\n  url: ${OMNI2_NOT_SET:?set it}\n", "database", "url",
	    "host=/x", "database:\n  #url: ${OMNI2_NOT_SET:?set it}\n"
	    "  url: host=/x\n", ERR_NONE },
	{ "database:\n  url: ${OMNI2_NOT_SET}", "database", "url", "host=/x",
	    "database:\n  #url: ${OMNI2_NOT_SET}\n  url: host=/x\n", ERR_NONE },
	/* what is written stays */
	{ "database:\n  url: ${OMNI2_SET}\n", "database", "url", "host=/x",
	    NULL, ERR_CONFLICT },
	{ "database:\n  url: ${OMNI2_NOT_SET:-host=/y}\n", "database", "url",
	    "host=/x", NULL, ERR_CONFLICT },
	{ "database:\n  url: host=/x\n", "database", "url", "host=/x", NULL,
	    ERR_CONFLICT },
	{ "server:\n  listen:\n    - a\n", "server", "listen", "h:1", NULL,
	    ERR_CONFLICT },
	/* forms that lines cannot be put into */
	{ "{\"server\":{\"user\":\"x\"}}", "server", "listen", "h:1", NULL,
	    ERR_INVALID },
	{ "{\"a\":1}", "server", "listen", "h:1", NULL, ERR_INVALID },
	{ "server: {user: x}\n", "server", "listen", "h:1", NULL, ERR_INVALID },
	{ "server: null\n", "server", "listen", "h:1", NULL, ERR_INVALID },
	{ "server: 5\n", "server", "listen", "h:1", NULL, ERR_INVALID },
	{ "server: &x\n  user: y\n", "server", "listen", "h:1", NULL,
	    ERR_INVALID },
	{ "server: [\n", "server", "listen", "h:1", NULL, ERR_INVALID },
	{ "- a\n", "server", "listen", "h:1", NULL, ERR_INVALID },
	/* the file has an end of its own */
	{ "a: 1\n...\n", "server", "listen", "h:1", NULL, ERR_INVALID },
	/* quoting */
	{ "", "a", "b", "*:80", "a:\n  b: \"*:80\"\n", ERR_NONE },
	{ "", "a", "b", "yes", "a:\n  b: \"yes\"\n", ERR_NONE },
	{ "", "a", "b", "12", "a:\n  b: \"12\"\n", ERR_NONE },
	{ "", "a", "b", "x'\"\\y", "a:\n  b: \"x'\\\"\\\\y\"\n", ERR_NONE },
	{ "", "a", "b", "x$y${z}", "a:\n  b: \"x$$y$${z}\"\n", ERR_NONE },
	{ "", "a", "b", "x: y #", "a:\n  b: \"x: y #\"\n", ERR_NONE },
	{ "", "a", "b", "t\x01", "a:\n  b: \"t\\x01\"\n", ERR_NONE },
};

static void
test_edit(void **state)
{
	size_t i;

	(void)state;
	setenv("OMNI2_SET", "host=/y", 1);
	for (i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		struct buf b;
		struct err e = { ERR_NONE, 0, "" };
		int rv;

		buf_init(&b, 65536);
		buf_add_str(&b, edits[i].before);
		rv = yaml_edit_set(&b, edits[i].section, edits[i].key,
		    edits[i].value, &e);
		buf_add_char(&b, '\0');
		if (edits[i].after == NULL) {
			if (rv == 0)
				fail_msg("%s was edited", edits[i].before);
			assert_int_equal(e.code, edits[i].code);
			assert_string_equal(b.p, edits[i].before);
		} else {
			if (rv < 0)
				fail_msg("%s: %s", edits[i].before, e.text);
			assert_string_equal(b.p, edits[i].after);
		}
		buf_free(&b);
	}
}

/* Twice is once; all lines that were there are still there. */
static void
test_edit_keeps(void **state)
{
	static const char before[] = "# head\n\nserver:\n  #listen: x\n\n"
	    "  workers:\n    max: 5\ndatabase:\n  # url_file: f\n"
	    "  url: ${OMNI2_NOT_SET:?x}\n# tail";
	struct buf b;
	struct err e;
	char *value;

	(void)state;
	buf_init(&b, 65536);
	buf_add_str(&b, before);
	assert_int_equal(yaml_edit_set(&b, "server", "listen", "h:1", &e), 0);
	assert_int_equal(yaml_edit_set(&b, "server", "listen", "h:1", &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(yaml_edit_set(&b, "database", "url", "host=h", &e), 0);
	assert_int_equal(yaml_edit_look(buf_span(&b), "database", "url", &e),
	    YAML_EDIT_GIVEN);
	value = yaml_edit_get(buf_span(&b), "database", "url");
	assert_string_equal(value, "host=h");
	free(value);
	value = yaml_edit_get(buf_span(&b), "server", "workers");
	assert_null(value);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, "# head\n\nserver:\n  #listen: x\n"
	    "  listen: h:1\n\n  workers:\n    max: 5\ndatabase:\n"
	    "  # url_file: f\n  #url: ${OMNI2_NOT_SET:?x}\n  url: host=h\n"
	    "# tail\n");
	buf_free(&b);
}

static void
test_look(void **state)
{
	static const struct {
		const char *text;
		enum yaml_edit state;
	} looks[] = {
		{ "", YAML_EDIT_ABSENT },
		{ "auth:\n", YAML_EDIT_ABSENT },
		{ "auth:\n  #token_secret: x\n", YAML_EDIT_ABSENT },
		{ "auth:\n  token_secret:\n", YAML_EDIT_PLACEHOLDER },
		{ "auth:\n  token_secret: ~\n", YAML_EDIT_PLACEHOLDER },
		{ "auth:\n  token_secret: ${OMNI2_NOT_SET:?a}\n",
		    YAML_EDIT_PLACEHOLDER },
		{ "auth: {token_secret: \"${OMNI2_NOT_SET}\"}\n",
		    YAML_EDIT_PLACEHOLDER },
		{ "auth:\n  token_secret: ${OMNI2_NOT_SET}x\n",
		    YAML_EDIT_GIVEN },
		{ "auth:\n  token_secret: ${OMNI2_SET:?a}\n", YAML_EDIT_GIVEN },
		{ "auth:\n  token_secret: \"\"\n", YAML_EDIT_GIVEN },
		{ "auth:\n  token_secret: x\n", YAML_EDIT_GIVEN },
		{ "auth: x: y\n", YAML_EDIT_BROKEN },
		{ "auth: [\n", YAML_EDIT_BROKEN },
	};
	size_t i;
	struct err e;

	(void)state;
	setenv("OMNI2_SET", "y", 1);
	for (i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (yaml_edit_look(span_str(looks[i].text), "auth",
		    "token_secret", &e) != looks[i].state)
			fail_msg("%s", looks[i].text);
}

static void
test_drop(void **state)
{
	struct buf b;
	struct err e;

	(void)state;
	buf_init(&b, 65536);
	buf_add_str(&b, "auth:\n  token_secret: ${OMNI2_NOT_SET}\nx: 1\n");
	assert_int_equal(yaml_edit_drop(&b, "auth", "token_secret", &e), 0);
	assert_int_equal(yaml_edit_drop(&b, "auth", "token_secret", &e), 0);
	assert_int_equal(yaml_edit_drop(&b, "auth", "nothing", &e), 0);
	buf_add_char(&b, '\0');
	assert_string_equal(b.p, "auth:\n  #token_secret: ${OMNI2_NOT_SET}\n"
	    "x: 1\n");
	buf_reset(&b, 65536);
	buf_add_str(&b, "auth: {token_secret: }\n");
	assert_int_equal(yaml_edit_drop(&b, "auth", "token_secret", &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	buf_free(&b);
}

/* ---- tables -------------------------------------------------------------- */

static void
test_fit(void **state)
{
	static const struct {
		int width[3], least[3], line, want[3];
	} fits[] = {
		{ { 10, 10, 10 }, { 1, 1, 1 }, 34, { 10, 10, 10 } },
		{ { 10, 10, 10 }, { 1, 1, 1 }, 33, { 9, 10, 10 } },
		{ { 10, 20, 10 }, { 1, 1, 1 }, 34, { 10, 10, 10 } },
		{ { 5, 100, 8 }, { 1, 8, 8 }, 40, { 5, 23, 8 } },
		/* numbers are whole: their least is their width */
		{ { 30, 10, 12 }, { 30, 1, 1 }, 40, { 30, 3, 3 } },
		/* and if nothing helps, the terminal wraps */
		{ { 9, 9, 9 }, { 8, 8, 8 }, 5, { 8, 8, 8 } },
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(fits) / sizeof(fits[0]); i++) {
		int width[3];

		memcpy(width, fits[i].width, sizeof(width));
		fit_columns(width, fits[i].least, 3, fits[i].line);
		for (k = 0; k < 3; k++)
			assert_int_equal(width[k], fits[i].want[k]);
	}
}

static void
test_style(void **state)
{
	(void)state;
	assert_string_equal(fit_style("healthy"), "\033[32m");
	assert_string_equal(fit_style("half_open"), "\033[33m");
	assert_string_equal(fit_style("FAIL"), "\033[31m");
	assert_string_equal(fit_style("fail"), "");
	assert_string_equal(fit_style(""), "");
}

/* ---- connection strings -------------------------------------------------- */

static void
test_conninfo(void **state)
{
	static const struct {
		const char *text;
		bool valid, password, local;
		const char *shown;
	} infos[] = {
		{ "host=/run/postgresql user=omni2 dbname=omni2", true, false,
		    true, "user=omni2 dbname=omni2 host=/run/postgresql" },
		{ "postgresql://omni2:s3cret@db.example.org:5433/omni2", true,
		    true, false, "user=omni2 dbname=omni2 host=db.example.org "
		    "port=5433" },
		{ "dbname=x password='a b'", true, true, true, "dbname=x" },
		{ "dbname=x password=''", true, false, true, "dbname=x" },
		{ "host=@abstract", true, false, true, "host=@abstract" },
		{ "host=/tmp hostaddr=127.0.0.1", true, false, false, NULL },
		{ "service=other", true, false, false, NULL },
		{ "nonsense", false, false, false, "" },
		{ "host='x", false, false, false, "" },
	};
	size_t i;
	char *shown;

	(void)state;
	unsetenv("PGHOST");
	for (i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
		assert_int_equal(conninfo_is_valid(infos[i].text),
		    infos[i].valid);
		assert_int_equal(conninfo_has_password(infos[i].text),
		    infos[i].password);
		assert_int_equal(conninfo_is_local(infos[i].text),
		    infos[i].local);
		shown = conninfo_shown(infos[i].text);
		if (infos[i].shown != NULL)
			assert_string_equal(shown, infos[i].shown);
		free(shown);
	}
}

static void
test_conninfo_environment(void **state)
{
	struct strlist env = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(conninfo_environment("host=h port=1 user=u dbname=d "
	    "password='p w' sslmode=require keepalives=1", &env, &e), 0);
	assert_true(strlist_has(&env, "PGHOST=h"));
	assert_true(strlist_has(&env, "PGPORT=1"));
	assert_true(strlist_has(&env, "PGUSER=u"));
	assert_true(strlist_has(&env, "PGDATABASE=d"));
	assert_true(strlist_has(&env, "PGPASSWORD=p w"));
	assert_true(strlist_has(&env, "PGSSLMODE=require"));
	strlist_free(&env);
	assert_int_equal(conninfo_environment("password=geheim x", &env, &e),
	    -1);
	assert_null(strstr(e.text, "geheim"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_to_yaml),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_yaml_is_read_back),
		cmocka_unit_test(test_edit),
		cmocka_unit_test(test_edit_keeps),
		cmocka_unit_test(test_look),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_style),
		cmocka_unit_test(test_conninfo),
		cmocka_unit_test(test_conninfo_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
