/*
 * params -- what goes out: JSON-RPC messages and the headers of a POST.
 *
 * Workers, poller, tools. Writes our own serialisation around raw params;
 * nothing of a client's request line or headers gets in here. Header values
 * that come from data are encoded, so they can add no header.
 */
#include "upstream/upstream_int.h"

#include <stdio.h>

#include "base/json_write.h"
#include "config.h"

int
upstream_modern_meta(struct buf *b, const char *version,
    struct span client_capabilities)
{
	buf_add_str(b, "\"io.modelcontextprotocol/protocolVersion\":");
	json_quote(b, span_str(version));
	buf_add_str(b, ",\"io.modelcontextprotocol/clientInfo\":"
	    "{\"name\":\"omni2\",\"version\":\"" PACKAGE_VERSION "\"},"
	    "\"io.modelcontextprotocol/clientCapabilities\":");
	if (client_capabilities.n == 0)
		client_capabilities = SPAN_LIT("{}");
	return buf_add_span(b, client_capabilities);
}

/* Method names stand in JSON and in a header without any escaping. */
int
message_check_method(struct span method, struct err *e)
{
	size_t i;

	for (i = 0; i < method.n; i++) {
		unsigned char c = (unsigned char)method.p[i];

		if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\')
			break;
	}
	if (method.n > 0 && i == method.n)
		return 0;
	return err_set(e, ERR_BADREQ, "method name cannot be sent");
}

bool
call_is_get(struct upstream_call *call)
{
	return call->is_listen || call->is_resuming;
}

bool
call_is_repeatable(struct upstream_call *call)
{
	return call->is_notification || call->is_resuming ||
	    !span_is(call->method, "tools/call");
}

static size_t
digits(uint64_t n)
{
	size_t d = 1;

	for (; n >= 10; n /= 10)
		d++;
	return d;
}

#define MSG_START	"{\"jsonrpc\":\"2.0\""
#define MSG_ID		",\"id\":"
#define MSG_METHOD	",\"method\":\""
#define MSG_PARAMS	",\"params\":"

size_t
message_size(struct upstream_call *call)
{
	size_t n = sizeof(MSG_START MSG_METHOD) - 1 + call->method.n + 2;

	if (!call->is_notification)
		n += sizeof(MSG_ID) - 1 + digits(call->id);
	if (call->params.n > 0)
		n += sizeof(MSG_PARAMS) - 1 + call->params.n;
	return n;
}

int
message_write(struct buf *b, struct upstream_call *call)
{
	buf_add_span(b, SPAN_LIT(MSG_START));
	if (!call->is_notification) {
		buf_add_span(b, SPAN_LIT(MSG_ID));
		buf_add_u64(b, call->id);
	}
	buf_add_span(b, SPAN_LIT(MSG_METHOD));
	buf_add_span(b, call->method);
	buf_add_char(b, '"');
	if (call->params.n > 0) {
		buf_add_span(b, SPAN_LIT(MSG_PARAMS));
		buf_add_span(b, call->params);
	}
	return buf_add_char(b, '}');
}

int
message_cancelled(struct buf *b, uint64_t id, const char *reason)
{
	return buf_printf(b, MSG_START MSG_METHOD "notifications/cancelled\""
	    MSG_PARAMS "{\"requestId\":%llu,\"reason\":\"%s\"}}",
	    (unsigned long long)id, reason);
}

/* RFC 4648 section 4, with padding. */
static int
base64_write(struct buf *b, struct span s)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char out[4];
	size_t i;

	for (; s.n > 0; s = span_skip(s, 3)) {
		uint32_t x = 0;

		for (i = 0; i < 3; i++)
			x = x << 8 | (i < s.n ? (unsigned char)s.p[i] : 0);
		for (i = 0; i < 4; i++)
			out[i] = i <= s.n ? set[x >> (18 - 6 * i) & 63] : '=';
		buf_add(b, out, sizeof(out));
	}
	return 0;
}

/* A value as MCP 2026-07-28 wants it: what is not plain goes as base64. */
static int
header_value_write(struct buf *b, struct span s)
{
	bool plain = !span_starts(s, "=?base64?");
	size_t i;

	for (i = 0; plain && i < s.n; i++)
		plain = s.p[i] >= 0x20 && s.p[i] < 0x7f;
	if (plain && s.n > 0 && s.p[0] != ' ' && s.p[s.n - 1] != ' ')
		return buf_add_span(b, s);
	buf_add_str(b, "=?base64?");
	base64_write(b, s);
	return buf_add_str(b, "?=");
}

int
head_write_call(struct buf *b, struct upstream_call *call)
{
	if (call->session.era == ERA_MODERN) {
		buf_add_span(b, SPAN_LIT("Mcp-Method: "));
		buf_add_span(b, call->method);
		buf_add_span(b, SPAN_LIT("\r\n"));
		if (call->name.n > 0) {
			buf_add_span(b, SPAN_LIT("Mcp-Name: "));
			header_value_write(b, call->name);
			buf_add_span(b, SPAN_LIT("\r\n"));
		}
	}
	return buf_add_span(b, call->headers);
}

int
head_write_event_id(struct buf *b, struct upstream_call *call)
{
	if (call->event_id[0] != '\0')
		buf_printf(b, "Last-Event-ID: %s\r\n", call->event_id);
	return b->overflow ? -1 : 0;
}

int
head_write_agent(struct buf *b, const struct upstream_target *t,
    struct span more, struct err *e)
{
	buf_add_str(b, "User-Agent: omni2/" PACKAGE_VERSION "\r\n");
	buf_add_span(b, more);
	buf_add_str(b, "Accept-Encoding: identity\r\n");
	if (t->auth_header != NULL && t->auth_header[0] != '\0') {
		if (strpbrk(t->auth_header, "\r\n") != NULL)
			return err_set(e, ERR_UPSTREAM,
			    "the credentials hold a line break");
		buf_printf(b, "%s\r\n", t->auth_header);
	}
	return 0;
}

int
head_write_fields(struct buf *b, const struct upstream_target *t,
    const struct sess_info *session, struct err *e)
{
	if (head_write_agent(b, t, SPAN_LIT("Content-Type: application/json\r\n"
	    "Accept: application/json, text/event-stream\r\n"), e) < 0)
		return -1;
	if (session->version[0] != '\0')
		buf_printf(b, "MCP-Protocol-Version: %s\r\n",
		    session->version);
	if (session->era == ERA_LEGACY && session->id[0] != '\0')
		buf_printf(b, "Mcp-Session-Id: %s\r\n", session->id);
	return b->overflow ? err_set(e, ERR_TOOBIG, "request too large") : 0;
}

void
head_write_line(struct buf *b, const char *method, const struct url *u,
    struct span path)
{
	bool is_unix = span_is(u->scheme, "unix");

	buf_printf(b, "%s %.*s HTTP/1.1\r\nHost: ", method, SPAN_FMT(path));
	if (is_unix)
		buf_add_str(b, "localhost");
	else
		buf_printf(b, u->ipv6 ? "[%.*s]" : "%.*s", SPAN_FMT(u->host));
	if (!is_unix && u->port != (u->tls ? 443 : 80))
		buf_printf(b, ":%u", u->port);
	buf_add_str(b, "\r\n");
}

int
head_write(struct buf *b, const char *method, const struct upstream_entry *x,
    const struct upstream_target *t, const struct sess_info *session,
    struct err *e)
{
	head_write_line(b, method, &x->url, x->url.path);
	return head_write_fields(b, t, session, e);
}
