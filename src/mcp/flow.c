/*
 * flow -- a large result goes to the client while it comes from the server.
 *
 * Only where its bytes pass unchanged: both sides of one era, and nothing in
 * it is ours to replace. The last bytes of the answer wait for its audit
 * record; if the server or the record fails, the connection is closed and the
 * client has an answer that is visibly cut.
 */
#include "mcp/forward_int.h"

/* A member of the result as far as it has come; false: it is not there. */
static bool
find_text(struct span s, const char *name, struct span *rest)
{
	const char *p = memmem(s.p, s.n, name, strlen(name));

	if (p == NULL)
		return false;
	*rest = span_skip(s, (size_t)(p - s.p) + strlen(name));
	while (rest->n > 0 && strchr(" \t\r\n:", rest->p[0]) != NULL)
		*rest = span_skip(*rest, 1);
	return true;
}

/*
 * Modern results say what they are; those that are not complete are small, so
 * one whose beginning does not say is taken for complete.
 */
static bool
may_flow(const struct forward *f, struct span first)
{
	const struct mcp_call *c = f->c;
	struct span rest;

	if (f->held || c->in_batch || f->is_task || f->wants_task ||
	    c->http->reply->fd < 0 ||
	    c->modern != (f->up.session.era == ERA_MODERN))
		return false;
	if (!c->modern)
		return true;
	if (find_text(first, "\"resultType\"", &rest) &&
	    !span_starts(rest, "\"complete\""))
		return false;
	return !span_is(c->msg.method, "resources/read") ||
	    find_text(first, "\"ttlMs\"", &rest);
}

static int
begin(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;
	struct buf *b = &c->mcp->event;

	c->flow_is_event = r->streaming || c->prefers_stream;
	buf_reset(b, 1 << 20);
	if (c->flow_is_event)
		buf_add_str(b, "event: message\ndata: ");
	buf_add_str(b, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add_span(b, c->msg.id);
	buf_add_str(b, ",\"result\":");
	if (!r->streaming && (c->flow_is_event ? relay_begin_stream(c) :
	    http_reply_stream_begin(r, "application/json")) < 0)
		return -1;
	c->flows = true;
	return http_reply_stream_write(r, buf_span(b));
}

/* A line end would end the event's data; outside of strings it is a space. */
static struct span
as_one_line(struct mcp_call *c, struct span piece)
{
	struct buf *b = &c->mcp->event;
	size_t i;

	if (!c->flow_is_event || (memchr(piece.p, '\n', piece.n) == NULL &&
	    memchr(piece.p, '\r', piece.n) == NULL))
		return piece;
	buf_reset(b, 1 << 20);
	if (buf_add_span(b, piece) < 0)
		return piece;
	for (i = 0; i < b->n; i++)
		if (b->p[i] == '\n' || b->p[i] == '\r')
			b->p[i] = ' ';
	return buf_span(b);
}

int
flow_result(void *arg, struct span piece, struct err *e)
{
	struct forward *f = arg;
	struct mcp_call *c = f->c;

	if (!c->flows && !may_flow(f, piece))
		return 1;
	if ((!c->flows && begin(c) < 0) ||
	    http_reply_stream_write(c->http->reply, as_one_line(c, piece)) < 0)
		return err_set(e, ERR_CANCELLED, "the client has gone");
	c->flow_bytes += piece.n;
	return 0;
}

/* Who comes back for a stream finds an error where the answer was to be: it
 * was too large to be kept. */
static void
note_lost(struct mcp_call *c)
{
	char id[SPOOL_ID_SIZE];

	spool_event(&c->spool, span_str(arena_printf(c->mcp->mem,
	    "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":%d,"
	    "\"message\":\"The answer broke off\"}}", SPAN_FMT(c->msg.id),
	    err_rpc_code(ERR_UPSTREAM))), id);
}

int
flow_end(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;
	bool failed = c->err.code != ERR_NONE;

	if (!failed && http_reply_stream_write(r, c->flow_is_event ?
	    SPAN_LIT("}\n\n") : SPAN_LIT("}")) < 0)
		failed = true;
	if (c->spool.fd >= 0) {
		if (failed)
			note_lost(c);
		spool_end(&c->spool);
	}
	if (!failed)
		return http_reply_stream_end(r);
	r->streaming = r->keep_alive = false;
	r->broken = true;
	return -1;
}
