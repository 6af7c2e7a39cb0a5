/*
 * decode -- bytes of a JSON-RPC message become a struct, and the struct an era.
 *
 * Pure but for the reply headers it reads. One strict reading: duplicate and
 * escaped names are refused wherever a member decides something, so no parser
 * further on can read the message differently (threat: parser differential).
 */
#include "mcp/mcp_int.h"

#include "base/hash.h"
#include "base/num.h"

#define MEMBERS_DEPTH	3	/* message, params, arguments and _meta */

static const struct {
	uint32_t	number;
	const char	*text;
} revisions[] = {
	{ 20241105, "2024-11-05" }, { 20250326, "2025-03-26" },
	{ 20250618, "2025-06-18" }, { 20251125, "2025-11-25" },
	{ 20260728, "2026-07-28" },
};

uint32_t
mcp_revision_number(struct span text)
{
	size_t i;

	for (i = 0; i < sizeof(revisions) / sizeof(revisions[0]); i++)
		if (span_is(text, revisions[i].text))
			return revisions[i].number;
	return 0;
}

const char *
mcp_revision_text(uint32_t number)
{
	size_t i;

	for (i = 0; i < sizeof(revisions) / sizeof(revisions[0]); i++)
		if (revisions[i].number == number)
			return revisions[i].text;
	return "2025-11-25";
}

static int
decode_id(struct json_value v, struct mcp_message *m, struct err *e)
{
	if (v.type == JSON_NONE)
		return 0;
	if (v.type != JSON_STRING && v.type != JSON_NUMBER)
		return err_set(e, ERR_BADREQ,
		    "id must be a string or a number");
	if (v.raw.n > 1024)
		return err_set(e, ERR_BADREQ, "id is longer than 1024 bytes");
	m->id = v.raw;
	return 0;
}

static int
decode_meta(const struct json_index *x, struct mcp_message *m, struct err *e)
{
	static const char *const names[] = { "progressToken",
	    META_PREFIX "protocolVersion", META_PREFIX "clientCapabilities",
	    META_PREFIX "clientInfo", META_PREFIX "logLevel" };
	struct json_value v[5];
	enum json_status st;

	st = json_object_at(x, m->meta.raw, names, v, 5);
	if (st != JSON_OK)
		return err_set(e, ERR_BADREQ, "params._meta: %s",
		    json_status_text(st));
	if (v[0].type == JSON_STRING || v[0].type == JSON_NUMBER)
		m->progress_token = v[0].raw;
	else if (v[0].type != JSON_NONE)
		return err_set(e, ERR_PARAMS,
		    "params._meta.progressToken must be a string or a number");
	m->m_version = v[1];
	m->m_capabilities = v[2];
	m->m_client = v[3];
	m->m_log_level = v[4];
	m->has_envelope = v[1].type != JSON_NONE;
	return 0;
}

static const char *const param_names[PARAM_COUNT] = {
	[PARAM_META] = "_meta", [PARAM_ARGUMENTS] = "arguments",
	[PARAM_NAME] = "name", [PARAM_URI] = "uri", [PARAM_CURSOR] = "cursor",
	[PARAM_REF] = "ref", [PARAM_LEVEL] = "level",
	[PARAM_REQUEST_STATE] = "requestState",
	[PARAM_INPUT_RESPONSES] = "inputResponses",
	[PARAM_TASK] = "task", [PARAM_TASK_ID] = "taskId",
};

static int
decode_params(const struct json_index *x, struct json_value params,
    struct mcp_message *m, struct err *e)
{
	struct json_value *v = m->param;
	enum json_status st;

	if (params.type == JSON_NONE)
		return 0;
	if (params.type != JSON_OBJECT)
		return err_set(e, ERR_BADREQ, "params must be an object");
	m->params = params;
	st = json_object_at(x, params.raw, param_names, v, PARAM_COUNT);
	if (st != JSON_OK)
		return err_set(e, ERR_BADREQ, "params: %s", json_status_text(st));
	if (v[1].type == JSON_OBJECT) {
		st = json_object_at(x, v[1].raw, NULL, NULL, 0);
		if (st == JSON_DUPLICATE)
			return err_set(e, ERR_BADREQ, "params.arguments: %s",
			    json_status_text(st));
	}
	if (v[0].type == JSON_NONE)
		return 0;
	if (v[0].type != JSON_OBJECT)
		return err_set(e, ERR_BADREQ, "params._meta must be an object");
	m->meta = v[0];
	return decode_meta(x, m, e);
}

int
mcp_decode(struct span body, struct mcp_message *m, struct err *e)
{
	static const char *const names[] = { "jsonrpc", "id", "method",
	    "params", "result", "error" };
	struct json_value root, v[6];
	struct json_index x;
	enum json_status st;
	size_t at = 0;

	memset(m, 0, sizeof(*m));
	st = json_check_index(body, &root, &at, &x, MEMBERS_DEPTH);
	if (st != JSON_OK)
		return err_set(e, ERR_PARSE, "Parse error: %s at byte %zu",
		    json_status_text(st), at);
	if (root.type == JSON_ARRAY)
		return err_set(e, ERR_BADREQ,
		    "A batch is an array of 1 to 100 messages of revision "
		    "2025-03-26; this one is not");
	if (root.type != JSON_OBJECT)
		return err_set(e, ERR_BADREQ, "A JSON-RPC message is an object");
	st = json_object_at(&x, root.raw, names, v, 6);
	if (st != JSON_OK)
		return err_set(e, ERR_BADREQ, "Invalid request: %s",
		    json_status_text(st));
	if (decode_id(v[1], m, e) < 0)
		return -1;
	if (v[0].type != JSON_STRING || !span_is(v[0].raw, "\"2.0\""))
		return err_set(e, ERR_BADREQ, "jsonrpc must be \"2.0\"");
	if (v[2].type == JSON_NONE) {
		if (m->id.n == 0 ||
		    (v[4].type == JSON_NONE) == (v[5].type == JSON_NONE))
			return err_set(e, ERR_BADREQ, "method is missing");
		m->is_response = true;
		return 0;
	}
	if (!json_string_plain(v[2], &m->method) || m->method.n == 0 ||
	    m->method.n > 128)
		return err_set(e, ERR_BADREQ,
		    "method must be a string without escapes");
	if (v[4].type != JSON_NONE || v[5].type != JSON_NONE)
		return err_set(e, ERR_BADREQ,
		    "a request has neither result nor error");
	m->is_request = m->id.n > 0;
	m->is_notification = !m->is_request;
	return decode_params(&x, v[3], m, e);
}

bool
mcp_header_decode(struct span h, char *out, size_t size, struct span *value)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t acc = 0;
	size_t i, n = 0, pad = 0;

	if (h.n < 11 || !span_starts(h, "=?base64?") ||
	    memcmp(h.p + h.n - 2, "?=", 2) != 0) {
		*value = h;
		return true;
	}
	h = span_make(h.p + 9, h.n - 11);
	if (h.n % 4 != 0)
		return false;
	for (i = 0; i < h.n; i++) {
		const char *at = h.p[i] == '\0' ? NULL : strchr(alphabet, h.p[i]);

		if (h.p[i] == '=' && i + 2 >= h.n) {
			pad++;
			acc <<= 6;
		} else if (at == NULL || pad > 0)
			return false;
		else
			acc = acc << 6 | (uint32_t)(at - alphabet);
		if (i % 4 == 3) {
			size_t k, take = 3 - pad;

			if ((pad == 1 && (acc & 0xff) != 0) ||
			    (pad == 2 && (acc & 0xffff) != 0) || pad > 2)
				return false;	/* left-over bits */
			if (n + take > size)
				return false;
			for (k = 0; k < take; k++)
				out[n++] = (char)(acc >> (16 - 8 * k));
			acc = 0;
		}
	}
	*value = span_make(out, n);
	return true;
}

int
mcp_param_string(struct mcp_call *c, enum mcp_param which, struct span *out,
    struct err *e)
{
	struct json_value v = c->msg.param[which];
	const char *name = param_names[which];
	char *text;
	long n;

	if (v.type == JSON_NONE)
		return 0;
	if (v.type != JSON_STRING)
		return err_set(e, ERR_PARAMS, "params.%s must be a string", name);
	if (json_string_plain(v, out))
		return 1;
	text = arena_alloc(c->mcp->mem, v.raw.n + 1);
	n = json_string_decode(v, text, v.raw.n + 1);
	if (n < 0)
		return err_set(e, ERR_PARAMS,
		    "params.%s is not a valid string", name);
	*out = span_make(text, (size_t)n);
	return 1;
}

/* Rules of the modern envelope: MCP 2026-07-28, Server Validation. */
static int
check_header(struct mcp_call *c, enum http_known h, const char *header,
    struct span want, struct err *e)
{
	struct span sent = c->http->head->known[h], value;
	char text[2048];

	if (sent.p == NULL)
		return err_set(e, ERR_HEADER, "Header %s is missing", header);
	if (!mcp_header_decode(sent, text, sizeof(text), &value) ||
	    !span_eq(value, want))
		return err_set(e, ERR_HEADER,
		    "Header %s differs from the body", header);
	return 0;
}

static int
check_name_header(struct mcp_call *c, struct err *e)
{
	struct span want;
	enum mcp_param member;
	int rc;

	if (span_is(c->msg.method, "tools/call") ||
	    span_is(c->msg.method, "prompts/get"))
		member = PARAM_NAME;
	else if (span_is(c->msg.method, "resources/read"))
		member = PARAM_URI;
	else if (span_starts(c->msg.method, "tasks/"))
		member = PARAM_TASK_ID;
	else
		return 0;
	rc = mcp_param_string(c, member, &want, e);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_PARAMS, "params.%s is missing",
		    param_names[member]);
	return check_header(c, HTTP_H_MCP_NAME, "Mcp-Name", want, e);
}

static int
classify_modern(struct mcp_call *c, struct err *e)
{
	const struct mcp_message *m = &c->msg;
	struct span version, sent;

	c->modern = true;
	c->revision = MCP_MODERN;
	if (!json_string_plain(m->m_version, &version))
		return err_set(e, ERR_META, "params._meta.\"" META_PREFIX
		    "protocolVersion\" must be a string");
	if (m->m_capabilities.type != JSON_OBJECT)
		return err_set(e, ERR_META, "params._meta.\"" META_PREFIX
		    "clientCapabilities\" must be an object");
	sent = c->http->head->known[HTTP_H_MCP_VERSION];
	if (sent.p != NULL && !span_eq(sent, version))
		return err_set(e, ERR_HEADER,
		    "Header MCP-Protocol-Version differs from the body");
	sent = c->http->head->known[HTTP_H_MCP_METHOD];
	if (sent.p != NULL && !span_eq(sent, m->method))
		return err_set(e, ERR_HEADER,
		    "Header Mcp-Method differs from the body");
	if (mcp_revision_number(version) != MCP_MODERN)
		return err_set(e, ERR_VERSION, "Unsupported protocol version "
		    "%.*s", (int)(version.n > 32 ? 32 : version.n), version.p);
	if (check_header(c, HTTP_H_MCP_VERSION, "MCP-Protocol-Version", version,
	    e) < 0 ||
	    check_header(c, HTTP_H_MCP_METHOD, "Mcp-Method", m->method, e) < 0)
		return -1;
	return check_name_header(c, e);
}

/* Which era this message belongs to (docs: by body first, then header). */
int
mcp_classify(struct mcp_call *c, struct err *e)
{
	struct span version = c->http->head->known[HTTP_H_MCP_VERSION];
	uint32_t number = 0;

	if (c->msg.has_envelope)
		return classify_modern(c, e);
	if (version.p != NULL) {
		number = mcp_revision_number(version);
		if (number == MCP_MODERN && span_is(c->msg.method, "initialize"))
			return err_set(e, ERR_HEADER, "initialize does not "
			    "exist in revision 2026-07-28");
		if (number == MCP_MODERN && !c->msg.is_response) {
			c->modern = true;
			return err_set(e, ERR_META, "params._meta.\"" META_PREFIX
			    "protocolVersion\" is missing");
		}
		if (number == 0 && !span_is(c->msg.method, "initialize"))
			return err_set(e, ERR_BADREQ, "Bad Request: Unsupported "
			    "protocol version: %.*s (supported versions: "
			    "2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, "
			    "2024-11-05)",
			    (int)(version.n > 32 ? 32 : version.n), version.p);
	}
	c->revision = number != 0 ? number : 20250326;
	return 0;
}
