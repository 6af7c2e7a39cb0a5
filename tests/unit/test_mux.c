/*
 * test_mux -- what a line of a server is taken for, and the table of calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stdio/mux.h"

#define NO_CALL	UINT64_MAX

static const struct {
	const char	*line;
	enum mux_kind	 kind;
	uint64_t	 call;
} lines[] = {
	{ "", MUX_GARBAGE, NO_CALL },
	{ "hello", MUX_GARBAGE, NO_CALL },
	{ "17", MUX_GARBAGE, NO_CALL },
	{ "null", MUX_GARBAGE, NO_CALL },
	{ "{\"id\":1,\"result\":{}", MUX_GARBAGE, NO_CALL },
	{ "{\"id\":1,\"result\":{}} x", MUX_GARBAGE, NO_CALL },
	{ "{\"id\":1,\"result\":\"\xff\"}", MUX_GARBAGE, NO_CALL },
	{ "{}", MUX_GARBAGE, NO_CALL },
	{ "{\"id\":1}", MUX_GARBAGE, NO_CALL },
	{ "{\"id\":1,\"result\":1,\"error\":{}}", MUX_GARBAGE, NO_CALL },
	{ "{\"id\":1,\"id\":2,\"result\":1}", MUX_GARBAGE, NO_CALL },
	{ "{\"i\\u0064\":1,\"result\":1}", MUX_GARBAGE, NO_CALL },
	{ "{\"method\":1}", MUX_GARBAGE, NO_CALL },
	{ "[]", MUX_BATCH, NO_CALL },
	{ " [{\"id\":1,\"result\":1}]", MUX_BATCH, NO_CALL },
	{ "{\"id\":1,\"result\":1}", MUX_RESPONSE, 1 },
	{ " {\"result\":{\"id\":2},\"id\": 9007199254740991 }\r",
	    MUX_RESPONSE, 9007199254740991 },
	{ "{\"id\":0,\"error\":{\"code\":1}}", MUX_RESPONSE, 0 },
	{ "{\"id\":-1,\"result\":1}", MUX_RESPONSE, NO_CALL },
	{ "{\"id\":\"1\",\"result\":1}", MUX_RESPONSE, NO_CALL },
	{ "{\"id\":1.5,\"result\":1}", MUX_RESPONSE, NO_CALL },
	{ "{\"id\":null,\"error\":{}}", MUX_RESPONSE, NO_CALL },
	{ "{\"error\":{}}", MUX_RESPONSE, NO_CALL },
	{ "{\"id\":99999999999999999999,\"result\":1}", MUX_RESPONSE,
	    NO_CALL },
	{ "{\"id\":1,\"method\":\"ping\"}", MUX_REQUEST, NO_CALL },
	{ "{\"id\":\"x\",\"method\":\"ping\",\"params\":{}}", MUX_REQUEST,
	    NO_CALL },
	{ "{\"method\":\"notifications/message\"}", MUX_NOTIFICATION,
	    NO_CALL },
	{ "{\"method\":\"notifications/message\",\"params\":[]}",
	    MUX_NOTIFICATION, NO_CALL },
	{ "{\"id\":null,\"method\":\"notifications/message\"}",
	    MUX_NOTIFICATION, NO_CALL },
	{ "{\"method\":\"notifications/progress\","
	    "\"params\":{\"progressToken\":7}}", MUX_NOTIFICATION, 7 },
	{ "{\"method\":\"notifications/progress\","
	    "\"params\":{\"progressToken\":\"7\"}}", MUX_NOTIFICATION,
	    NO_CALL },
	{ "{\"method\":\"notifications/progress\","
	    "\"params\":{\"progressToken\":7,\"progressToken\":8}}",
	    MUX_NOTIFICATION, NO_CALL },
	{ "{\"method\":\"notifications/message\","
	    "\"params\":{\"progressToken\":7}}", MUX_NOTIFICATION, NO_CALL },
	{ "{\"method\":\"notifications/resources/updated\",\"params\":"
	    "{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":8}}}",
	    MUX_NOTIFICATION, 8 },
	{ "{\"method\":\"notifications/tools/list_changed\"}",
	    MUX_LIST_CHANGED, NO_CALL },
	{ "{\"method\":\"notifications/prompts/list_changed\",\"params\":"
	    "{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":9}}}",
	    MUX_LIST_CHANGED, 9 },
	{ "{\"method\":\"notifications/resources/list_changed\"}",
	    MUX_LIST_CHANGED, NO_CALL },
	{ "{\"method\":\"notifications/roots/list_changed\"}",
	    MUX_NOTIFICATION, NO_CALL },
};

static void
test_read(void **state)
{
	struct mux_message m;
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		mux_read(span_str(lines[i].line), &m);
		if (m.kind != lines[i].kind)
			fail_msg("%s: kind %d", lines[i].line, m.kind);
		if (m.has_call != (lines[i].call != NO_CALL) ||
		    (m.has_call && m.call != lines[i].call))
			fail_msg("%s: call %llu", lines[i].line,
			    (unsigned long long)m.call);
	}
}

static void
test_spans(void **state)
{
	struct mux_message m;

	mux_read(SPAN_LIT(" {\"id\":\"a\\n\",\"method\":\"roots/list\"} \r"),
	    &m);
	assert_int_equal(m.kind, MUX_REQUEST);
	assert_true(span_is(m.text,
	    "{\"id\":\"a\\n\",\"method\":\"roots/list\"}"));
	assert_true(span_is(m.id.raw, "\"a\\n\""));
	assert_true(span_is(m.method, "roots/list"));
	mux_read(SPAN_LIT("{\"id\":3,\"error\":{\"code\":-1}}"), &m);
	assert_true(span_is(m.error.raw, "{\"code\":-1}"));
	assert_int_equal(m.result.type, JSON_NONE);
}

static void
test_table(void **state)
{
	static struct mux mux;
	struct call *c = calloc(5000, sizeof(*c)), twin;
	uint64_t i;

	assert_non_null(c);
	for (i = 0; i < 5000; i++) {
		c[i].id = (i % 8) << 40 | i;
		assert_int_equal(mux_add(&mux, &c[i]), 0);
	}
	twin.id = c[41].id;
	assert_int_equal(mux_add(&mux, &twin), -1);
	assert_int_equal(mux.n, 5000);
	for (i = 0; i < 5000; i += 2)
		mux_remove(&mux, &c[i]);
	mux_remove(&mux, &c[0]);	/* not there: nothing happens */
	assert_int_equal(mux.n, 2500);
	for (i = 0; i < 5000; i++)
		assert_ptr_equal(mux_find(&mux, c[i].id),
		    i % 2 == 0 ? NULL : &c[i]);
	free(c);
}

static void
test_one_line(void **state)
{
	char text[] = "\n{\r\n\"a\":\n\"\\n\"}\r";

	mux_one_line(text, sizeof(text) - 1);
	assert_string_equal(text, " {  \"a\": \"\\n\"} ");
	mux_one_line(NULL, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
