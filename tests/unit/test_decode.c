/*
 * test_decode -- what is a JSON-RPC message, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mcp/mcp_int.h"

static const struct {
	const char	*text;
	enum err_code	 code;		/* ERR_NONE: accepted */
	char		 kind;		/* 'q' request, 'n', 'r' response */
} cases[] = {
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", ERR_NONE, 'q' },
	{ " {\"id\":\"x\",\"method\":\"ping\",\"jsonrpc\":\"2.0\"} ", ERR_NONE, 'q' },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{}}", ERR_NONE, 'q' },
	{ "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}", ERR_NONE, 'n' },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", ERR_NONE, 'r' },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}", ERR_NONE, 'r' },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"future\":[1]}", ERR_NONE, 'q' },
	{ "", ERR_PARSE, 0 },
	{ "{", ERR_PARSE, 0 },
	{ "{\"jsonrpc\":\"2.0\",}", ERR_PARSE, 0 },
	{ "nonsense", ERR_PARSE, 0 },
	{ "{}{}", ERR_PARSE, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", ERR_PARSE, 0 },
	{ "1", ERR_BADREQ, 0 },
	{ "[]", ERR_BADREQ, 0 },
	{ "{}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"id\":1,\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0062\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{}}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":{}}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"meth\\u006fd\":\"m\"}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[]}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":null}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"name\":\"a\",\"name\":\"b\"}}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"n\\u0061me\":\"a\"}}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"arguments\":{\"db\":\"dev\",\"db\":\"prod\"}}}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":[]}}", ERR_BADREQ, 0 },
	{ "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":{}}}}", ERR_PARAMS, 0 },
};

static void
test_messages(void **state)
{
	struct mcp_message m;
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = mcp_decode(span_str(cases[i].text), &m, &e);

		if ((rc == 0) != (cases[i].code == ERR_NONE) ||
		    (rc < 0 && e.code != cases[i].code))
			fail_msg("%s: rc %d, %s", cases[i].text, rc,
			    rc < 0 ? err_name(e.code) : "accepted");
		if (rc == 0)
			assert_true(cases[i].kind == 'q' ? m.is_request :
			    cases[i].kind == 'n' ? m.is_notification :
			    m.is_response);
	}
}

static void
test_meta(void **state)
{
	struct mcp_message m;
	struct err e;

	assert_int_equal(mcp_decode(span_str("{\"jsonrpc\":\"2.0\",\"id\":\"a\","
	    "\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"_meta\":{"
	    "\"progressToken\":\"t\",\"io.modelcontextprotocol/"
	    "protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"
	    "clientCapabilities\":{}}}}"), &m, &e), 0);
	assert_true(m.has_envelope);
	assert_true(span_is(m.progress_token, "\"t\""));
	assert_true(span_is(m.id, "\"a\""));
	assert_int_equal(m.m_capabilities.type, JSON_OBJECT);
}

static const struct {
	const char *header, *value;	/* NULL: refused */
} headers[] = {
	{ "plain", "plain" },
	{ "", "" },
	{ "=?base64?SGVsbG8=?=", "Hello" },
	{ "=?base64?w6k=?=", "\xc3\xa9" },
	{ "=?base64?" "?=", "" },
	{ "=?base64?SGVsbG8" "?=", NULL },		/* padding is missing */
	{ "=?base64?SGVsbG9=?=", NULL },	/* left-over bits */
	{ "=?base64?SG=sbG8=?=", NULL },
	{ "=?base64?SGVs bG8?=", NULL },
	{ "=?base64?SGVsbG8-?=", NULL },
	{ "=?base64?SGVsbG8=", "=?base64?SGVsbG8=" },	/* not that form */
};

static void
test_header_values(void **state)
{
	char out[64];
	struct span v;
	size_t i;

	for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		bool ok = mcp_header_decode(span_str(headers[i].header), out,
		    sizeof(out), &v);

		if (ok != (headers[i].value != NULL) ||
		    (ok && !span_is(v, headers[i].value)))
			fail_msg("%s", headers[i].header);
	}
	assert_false(mcp_header_decode(span_str("=?base64?SGVsbG8=?="), out, 3,
	    &v));
}

static void
test_revisions(void **state)
{
	assert_int_equal(mcp_revision_number(span_str("2025-11-25")), 20251125);
	assert_int_equal(mcp_revision_number(span_str("2025-11-2")), 0);
	assert_int_equal(mcp_revision_number(span_str("2099-01-01")), 0);
	assert_string_equal(mcp_revision_text(20241105), "2024-11-05");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_meta),
		cmocka_unit_test(test_header_values),
		cmocka_unit_test(test_revisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
