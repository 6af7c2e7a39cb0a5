/*
 * trail -- the one audit record of a request. Worker.
 */
#include "mcp/mcp_int.h"

#include "base/clock.h"
#include "base/hash.h"

static enum audit_result
result_of(const struct mcp_call *c, bool failed)
{
	if (c->decision == AUDIT_DENY || c->decision == AUDIT_UNAUTHENTICATED ||
	    c->decision == AUDIT_LIMIT)
		return AUDIT_DENIED;
	if (failed && c->err.code == ERR_CANCELLED)
		return AUDIT_CANCELLED;
	return failed || c->response_error ? AUDIT_ERROR : AUDIT_SUCCESS;
}

/*
 * Writes the record of this request. -1 with err: the answer that was made
 * must not leave (audit.on_failure: deny).
 */
int
mcp_trail(struct mcp_call *c, struct err *e)
{
	struct mcp *m = c->mcp;
	const struct http_head *h = c->http->head;
	struct http_reply *reply = c->http->reply;
	bool failed = c->err.code != ERR_NONE;
	struct audit_record r;
	char session[24];

	memset(&r, 0, sizeof(r));
	audit_record_id(r.id, c->wall_us);
	r.wall_us = c->wall_us;
	r.node = span_str(m->node);
	r.org = span_str(c->org);
	r.principal = span_str(c->email);
	r.role = span_str(c->role);
	if (c->known)
		r.credential = span_str(c->who.credential);
	r.source = h->known[HTTP_H_X_SOURCE].p != NULL ?
	    h->known[HTTP_H_X_SOURCE] : SPAN_LIT("mcp");
	r.client = span_str(c->http->client);
	r.user_agent = h->known[HTTP_H_USER_AGENT];
	r.trace_id = span_str(c->trace_id);
	if (c->has_session) {
		hash_hex((const uint8_t *)&c->session.id, 8, session);
		r.session = span_str(session);
	}
	r.method = c->msg.method;
	r.server = span_str(c->server_name);
	r.object = span_str(c->object);
	if (c->arguments.n > 0) {
		buf_reset(&m->redacted, 1 << 20);
		if (audit_redact(&m->redaction, c->arguments,
		    (size_t)m->conf.audit_args_max, &m->redacted,
		    &r.arguments_cut) == 0)
			r.arguments = buf_span(&m->redacted);
		else
			r.arguments_cut = true;
	}
	r.decision = c->decision;
	r.rule = span_str(c->rule);
	r.result = result_of(c, failed);
	r.http_status = reply->status;
	r.rpc_code = failed ? err_rpc_code(c->err.code) : c->rpc_code;
	r.error = failed ? span_str(c->err.text) : span_make(NULL, 0);
	r.upstream_us = c->upstream_us;
	r.duration_us = clock_mono_us() - c->start_us;
	r.request_bytes = (int64_t)(h->size + c->http->body.n);
	r.response_bytes = (int64_t)(c->flows ? c->flow_bytes : reply->body.n);
	r.incomplete = c->flows && failed;
	return audit_emit_request(&m->audit, &r, m->conf.audit_sync, e);
}
