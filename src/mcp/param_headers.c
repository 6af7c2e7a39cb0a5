/*
 * param_headers -- Mcp-Param-* (MCP 2026-07-28, Custom Headers from Tool
 * Parameters): a property of a tool's inputSchema with "x-mcp-header": "X" is
 * mirrored in the header Mcp-Param-X of its call.
 *
 * Both hops: what a modern client sent is checked against the body, so policy
 * and server read the same; what a modern server needs is written from the
 * body. Pure but for the arena; runs while the catalog is pinned.
 */
#include "mcp/forward_int.h"

#include <string.h>

#define PREFIX		"Mcp-Param-"
#define VALUE_MAX	4096

static bool
is_safe_value(struct span s)
{
	size_t i;

	if (s.n == 0 || s.p[0] == ' ' || s.p[s.n - 1] == ' ' ||
	    span_starts(s, "=?base64?"))
		return false;
	for (i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

static void
add_base64(struct buf *b, struct span s)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i;

	buf_add_str(b, "=?base64?");
	for (i = 0; i < s.n; i += 3) {
		uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;

		if (i + 1 < s.n)
			v |= (uint32_t)(unsigned char)s.p[i + 1] << 8;
		if (i + 2 < s.n)
			v |= (unsigned char)s.p[i + 2];
		buf_add_char(b, abc[v >> 18]);
		buf_add_char(b, abc[v >> 12 & 63]);
		buf_add_char(b, i + 1 < s.n ? abc[v >> 6 & 63] : '=');
		buf_add_char(b, i + 2 < s.n ? abc[v & 63] : '=');
	}
	buf_add_str(b, "?=");
}

/* The value as text: a string decoded, a number or boolean as it stands. */
static bool
value_text(struct arena *mem, struct json_value v, struct span *text)
{
	char *out;
	long n;

	if (v.type == JSON_NUMBER || v.type == JSON_BOOL) {
		*text = v.raw;
		return true;
	}
	if (v.type != JSON_STRING || v.raw.n > VALUE_MAX)
		return false;
	out = arena_alloc(mem, v.raw.n + 1);
	n = json_string_decode(v, out, v.raw.n + 1);
	*text = span_make(out, n < 0 ? 0 : (size_t)n);
	return n >= 0;
}

static int
check_sent(struct mcp_call *c, const char *header, bool has_value,
    struct span value, struct err *e)
{
	struct span sent = http_header_find(c->http->head, header), got;
	char *text = arena_alloc(c->mcp->mem, VALUE_MAX);

	if (sent.p == NULL && !has_value)
		return 0;
	if (sent.p == NULL)
		return err_set(e, ERR_HEADER, "Header %s is missing", header);
	if (!has_value || !mcp_header_decode(sent, text, VALUE_MAX, &got) ||
	    !span_eq(got, value))
		return err_set(e, ERR_HEADER, "Header %s differs from the body",
		    header);
	return 0;
}

static int
one_property(struct mcp_call *c, struct span property, struct span mark,
    struct buf *lines, struct err *e)
{
	struct arena *mem = c->mcp->mem;
	char *header = arena_printf(mem, PREFIX "%.*s", SPAN_FMT(mark));
	const char *names[1] = { arena_strdup(mem, property) };
	struct json_value v = { JSON_NONE, { NULL, 0 } };
	struct span value = { NULL, 0 };
	bool has;

	if (c->arguments.n > 0 &&
	    json_object(c->arguments, names, &v, 1) != JSON_OK)
		return err_set(e, ERR_BADREQ,
		    "params.arguments names a member twice");
	has = value_text(mem, v, &value);
	if (c->modern && check_sent(c, header, has, value, e) < 0)
		return -1;
	if (!has)
		return 0;
	buf_add_str(lines, header);
	buf_add_str(lines, ": ");
	if (is_safe_value(value))
		buf_add_span(lines, value);
	else
		add_base64(lines, value);
	buf_add_str(lines, "\r\n");
	return 0;
}

/*
 * Complete header lines for the call of a tool, in the arena; -1 with err
 * HEADER when what the client sent differs from its body.
 */
int
mcp_param_headers(struct mcp_call *c, struct span tool, struct span *lines,
    struct err *e)
{
	static const char *const tnames[] = { "inputSchema" };
	static const char *const snames[] = { "properties" };
	static const char *const pnames[] = { "x-mcp-header" };
	struct json_value schema, props, one, mark;
	struct span name, text;
	struct buf b;
	size_t pos = 0;
	int rc = 0;

	*lines = span_make("", 0);
	if (json_object(tool, tnames, &schema, 1) != JSON_OK ||
	    schema.type != JSON_OBJECT ||
	    json_object(schema.raw, snames, &props, 1) != JSON_OK ||
	    props.type != JSON_OBJECT)
		return 0;
	buf_init(&b, 65536);
	while (rc == 0 && json_next_member(props.raw, &pos, &name, &one)) {
		if (one.type != JSON_OBJECT ||
		    json_object(one.raw, pnames, &mark, 1) != JSON_OK ||
		    !json_string_plain(mark, &text) || !http_is_token(text))
			continue;
		rc = one_property(c, name, text, &b, e);
	}
	if (rc == 0)
		*lines = arena_dup(c->mcp->mem, buf_span(&b));
	buf_free(&b);
	return rc;
}
