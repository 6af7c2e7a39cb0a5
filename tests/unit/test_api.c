/*
 * test_api -- the pure parts of src/api: the two tables, the router, the
 * strict reading of parameters, what is kept of them for the audit trail, and
 * the OpenAPI document.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "api/api_int.h"

static struct api api;

static int
setup(void **state)
{
	api.mem = arena_new(4096);
	return 0;
}

static int
teardown(void **state)
{
	arena_free(&api.mem);
	return 0;
}

/* Each row can be reached and is consistent with the other table. */
static void
test_tables(void **state)
{
	struct span value[API_SEGMENTS_MAX];
	const struct api_route *r, *other;
	const struct api_param *p;
	char allow[64];
	struct err e;

	for (r = api_routes; r->id != NULL; r++) {
		int n = 0;

		assert_ptr_equal(api_route_find(r->method, span_str(r->path),
		    value, allow, &e), r);
		for (other = api_routes; other != r; other++)
			assert_string_not_equal(other->id, r->id);
		for (p = api_params; p->route != NULL; p++) {
			if (strcmp(p->route, r->id) != 0)
				continue;
			n++;
			if (p->place == API_PATH)
				assert_non_null(strstr(r->path, p->name));
			if (p->place == API_BODY)
				assert_int_not_equal(r->method, HTTP_GET);
		}
		assert_true(n <= API_PARAMS_MAX);
		if (r->audit == API_CHANGE)
			assert_int_not_equal(r->method, HTTP_GET);
		/* one operation is for everybody, and says nothing */
		if (r->needs == API_PUBLIC)
			assert_string_equal(r->id, "openapi");
	}
	for (p = api_params; p->route != NULL; p++) {
		for (r = api_routes; r->id != NULL; r++)
			if (strcmp(p->route, r->id) == 0)
				break;
		assert_non_null(r->id);
	}
}

static void
test_router(void **state)
{
	static const struct {
		enum http_method method;
		const char	*path, *id;	/* NULL: none */
		enum err_code	 code;
		const char	*found;		/* parameter, or Allow */
	} cases[] = {
		{ HTTP_GET, "/api/v1/users", "user.list", 0, NULL },
		{ HTTP_HEAD, "/api/v1/users", "user.list", 0, NULL },
		{ HTTP_POST, "/api/v1/users", "user.add", 0, NULL },
		{ HTTP_GET, "/api/v1/users/a%40b", "user.show", 0, "a%40b" },
		{ HTTP_POST, "/api/v1/users/a/keys", "key.create", 0, "a" },
		{ HTTP_GET, "/api/v1/users/", NULL, ERR_NOTFOUND, "" },
		{ HTTP_GET, "/api/v1/users/a/", NULL, ERR_NOTFOUND, "" },
		{ HTTP_GET, "/api/v1/users/a/b", NULL, ERR_NOTFOUND, "" },
		{ HTTP_GET, "/api/v1", NULL, ERR_NOTFOUND, "" },
		{ HTTP_GET, "/api/v1/", NULL, ERR_NOTFOUND, "" },
		{ HTTP_GET, "api/v1/users", NULL, ERR_NOTFOUND, "" },
		{ HTTP_GET, "", NULL, ERR_NOTFOUND, "" },
		{ HTTP_PUT, "/api/v1/users", NULL, ERR_HTTPMETHOD,
		    "GET, HEAD, POST" },
		{ HTTP_GET, "/api/v1/reload", NULL, ERR_HTTPMETHOD, "POST" },
		{ HTTP_OPTIONS, "/api/v1/keys/3", NULL, ERR_HTTPMETHOD,
		    "DELETE" },
	};
	struct span value[API_SEGMENTS_MAX];
	const struct api_route *r;
	char allow[64];
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		value[0] = SPAN_LIT("");
		r = api_route_find(cases[i].method, span_str(cases[i].path),
		    value, allow, &e);
		if (cases[i].id == NULL) {
			assert_null(r);
			assert_int_equal(e.code, cases[i].code);
			assert_string_equal(allow, cases[i].found);
			continue;
		}
		assert_non_null(r);
		assert_string_equal(r->id, cases[i].id);
		if (cases[i].found != NULL)
			assert_true(span_is(value[0], cases[i].found));
	}
}

static const struct api_route *
route(const char *id)
{
	const struct api_route *r;

	for (r = api_routes; r->id != NULL; r++)
		if (strcmp(r->id, id) == 0)
			return r;
	fail_msg("no route %s", id);
	return NULL;
}

static int
read_input(struct api_call *c, const char *id, const char *segment,
    const char *query, const char *body, struct err *e)
{
	struct span segments[API_SEGMENTS_MAX] = { span_str(segment) };

	memset(c, 0, sizeof(*c));
	c->api = &api;
	c->route = route(id);
	return api_input(c, segments, span_str(query), span_str(body), e);
}

static void
test_input(void **state)
{
	struct strlist list = { NULL, 0 };
	struct api_call c;
	struct err e;

	assert_int_equal(read_input(&c, "user.add", "", "", "{\"email\":"
	    "\"Ann@Example.org\",\"role\":\"d\\u0062a\",\"requests_per_hour\":"
	    "-1,\"allowed_mcps\":{\"all\":true}}", &e), 0);
	assert_string_equal(api_text(&c, "email"), "ann@example.org");
	assert_string_equal(api_text(&c, "role"), "dba");
	assert_int_equal(api_int(&c, "requests_per_hour", 9), -1);
	assert_true(span_is(api_raw(&c, "allowed_mcps"), "{\"all\":true}"));
	assert_false(api_given(&c, "name"));
	assert_null(api_text(&c, "name"));

	assert_int_equal(read_input(&c, "key.list", "", "user=a%2Bb%40c", "",
	    &e), 0);
	assert_string_equal(api_text(&c, "user"), "a+b@c");
	assert_int_equal(read_input(&c, "user.set", "A%40B", "",
	    " {\"active\" : false} ", &e), 0);
	assert_string_equal(api_text(&c, "email"), "a@b");
	assert_true(api_given(&c, "active"));
	assert_false(api_bool(&c, "active"));
	assert_int_equal(read_input(&c, "server.add", "", "", "{\"name\":"
	    "\"x\",\"args\":[\"-c\",\"\"]}", &e), 0);
	assert_int_equal(api_texts(&c, "args", &list, &e), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[0], "-c");
	strlist_free(&list);
}

static void
test_input_refuses(void **state)
{
	static const struct {
		const char *id, *segment, *query, *body, *text;
		enum err_code code;
	} cases[] = {
		{ "user.add", "", "", "{", "not JSON", ERR_PARSE },
		{ "user.add", "", "", "{} {}", "not JSON", ERR_PARSE },
		{ "user.add", "", "", "[]", "the body", ERR_INVALID },
		{ "user.add", "", "", "", "is missing", ERR_INVALID },
		{ "user.add", "", "", "{\"email\":\"a@b\"}",
		    "role: is missing", ERR_INVALID },
		{ "user.add", "", "", "{\"shoe\":1}",
		    "unknown field \"shoe\"; known: email, role", ERR_INVALID },
		{ "user.add", "", "", "{\"role\":\"x\",\"role\":\"y\"}",
		    "the body", ERR_INVALID },
		{ "user.add", "", "", "{\"r\\u006fle\":\"x\"}", "the body",
		    ERR_INVALID },
		{ "user.add", "", "", "{\"role\":null}", "must be a string",
		    ERR_INVALID },
		{ "user.add", "", "", "{\"role\":\"a\\u0000b\"}",
		    "must be a string", ERR_INVALID },
		{ "user.add", "", "", "{\"role\":\"\"}", "role: is empty",
		    ERR_INVALID },
		{ "user.add", "", "", "{\"email\":\"a b\"}", "e-mail",
		    ERR_INVALID },
		{ "user.add", "", "", "{\"name\":\"a\\u001b[2J\"}",
		    "name: has a control character", ERR_INVALID },
		{ "user.show", "a%ffb", "", "", "email: is not UTF-8",
		    ERR_INVALID },
		{ "tool.list", "", "server=%c3", "", "server: is not UTF-8",
		    ERR_INVALID },
		{ "user.add", "", "", "{\"requests_per_hour\":\"7\"}",
		    "must be a number", ERR_INVALID },
		{ "user.add", "", "", "{\"requests_per_hour\":1e3}",
		    "whole number", ERR_INVALID },
		{ "user.add", "", "", "{\"requests_per_hour\":131073}",
		    "from -1 to 131072", ERR_INVALID },
		{ "user.add", "", "", "{\"allowed_mcps\":[]}",
		    "an object or null", ERR_INVALID },
		{ "user.set", "a", "", "{\"active\":\"no\"}",
		    "true or false", ERR_INVALID },
		{ "server.add", "", "", "{\"args\":\"x\"}",
		    "array of strings", ERR_INVALID },
		{ "user.list", "", "", "{\"a\":1}", "unknown field \"a\"",
		    ERR_INVALID },
		{ "user.list", "", "a=1", "", "unknown parameter \"a\"",
		    ERR_INVALID },
		{ "user.list", "", "user=a", "", "unknown parameter",
		    ERR_INVALID },
		{ "key.list", "", "user=a&user=b", "", "stands twice",
		    ERR_INVALID },
		{ "key.list", "", "user=%zz", "", "bad escape", ERR_INVALID },
		{ "key.list", "", "user=", "", "user: is empty",
		    ERR_INVALID },
		{ "key.revoke", "0", "", "", "whole number", ERR_INVALID },
		{ "key.revoke", "7x", "", "", "whole number", ERR_INVALID },
		{ "user.show", "%00", "", "", "bad escape", ERR_BADREQ },
		{ "audit.search", "", "limit=1000001", "", "limit",
		    ERR_INVALID },
	};
	struct api_call c;
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err_clear(&e);
		if (read_input(&c, cases[i].id, cases[i].segment,
		    cases[i].query, cases[i].body, &e) == 0)
			fail_msg("taken: %s %s %s", cases[i].id,
			    cases[i].query, cases[i].body);
		if (e.code != cases[i].code ||
		    strstr(e.text, cases[i].text) == NULL)
			fail_msg("%s %s %s: %s: %s", cases[i].id,
			    cases[i].query, cases[i].body, err_name(e.code),
			    e.text);
	}
}

static void
test_list_refuses(void **state)
{
	struct strlist list = { NULL, 0 };
	struct api_call c;
	struct err e;

	assert_int_equal(read_input(&c, "server.add", "", "", "{\"name\":"
	    "\"x\",\"args\":[\"a\",1]}", &e), 0);
	assert_int_equal(api_texts(&c, "args", &list, &e), -1);
	assert_non_null(strstr(e.text, "args: must be a string"));
	strlist_free(&list);
}

/* Never a secret. */
static void
test_arguments(void **state)
{
	struct api_call c;
	struct buf b;
	struct err e;

	buf_init(&b, 4096);
	assert_int_equal(read_input(&c, "server.add", "", "", "{\"name\":"
	    "\"x\",\"header\":\"A: sesame\",\"timeout_seconds\":3}", &e), 0);
	api_arguments(&c, &b);
	assert_true(span_is(buf_span(&b), "{\"name\":\"x\","
	    "\"timeout_seconds\":3,\"header\":\"[redacted]\"}"));
	buf_reset(&b, 4096);
	assert_int_equal(read_input(&c, "key.revoke", "17", "", "", &e), 0);
	api_arguments(&c, &b);
	assert_true(span_is(buf_span(&b), "{\"id\":17}"));
	buf_free(&b);
}

/* Words for programs are there for every code that operations use. */
static void
test_codes(void **state)
{
	static const enum err_code used[] = { ERR_PARSE, ERR_INVALID,
		ERR_UNAUTHENTICATED, ERR_DENIED, ERR_ORIGIN, ERR_NOTFOUND,
		ERR_CONFLICT, ERR_CONFIG, ERR_UNAVAILABLE, ERR_RATE,
		ERR_UPSTREAM, ERR_TIMEOUT, ERR_AUDIT, ERR_TOOBIG };
	size_t i;

	for (i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		assert_int_equal(api_code_find(span_str(api_code(used[i]))),
		    used[i]);
	assert_int_equal(api_code_find(SPAN_LIT("nonsense")), ERR_COUNT);
	assert_string_equal(api_code(ERR_ACCEPT), "internal");
}

static void
test_url_add(void **state)
{
	struct buf b;

	buf_init(&b, 4096);
	api_url_add(&b, SPAN_LIT("a+b@c.d/e f?\xc3\xa4%-_~"));
	assert_true(span_is(buf_span(&b),
	    "a%2Bb@c.d%2Fe%20f%3F%C3%A4%25-_~"));
	buf_free(&b);
}

/* It is JSON without a name twice, and has every operation. */
static void
test_openapi(void **state)
{
	static const char *const names[] = { "paths" };
	const struct api_route *r;
	struct json_value root, v;
	struct span name;
	size_t pos = 0, paths = 0;
	char id[64];
	struct buf b;

	buf_init(&b, 1u << 20);
	api_openapi(&b);
	assert_false(b.overflow);
	assert_int_equal(json_check(buf_span(&b), &root, NULL), JSON_OK);
	assert_int_equal(json_object(root.raw, names, &v, 1), JSON_OK);
	assert_int_equal(json_object(v.raw, NULL, NULL, 0), JSON_OK);
	root = v;
	while (json_next_member(root.raw, &pos, &name, &v)) {
		assert_int_equal(json_object(v.raw, NULL, NULL, 0), JSON_OK);
		paths++;
	}
	assert_true(paths > 10);
	for (r = api_routes; r->id != NULL; r++) {
		snprintf(id, sizeof(id), "\"operationId\":\"%s\"", r->id);
		assert_non_null(memmem(b.p, b.n, id, strlen(id)));
	}
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_router),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_input_refuses),
		cmocka_unit_test(test_list_refuses),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_url_add),
		cmocka_unit_test(test_openapi),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
