/*
 * relay -- what a server says while our call is under way: notifications go to
 * the client on the call's stream, requests become questions.
 */
#include "mcp/forward_int.h"

#include <stdio.h>

#include "mcp/mailbox.h"
#include "net/sse.h"
#include "shm/client.h"

/* Which revisions know event ids, and which the priming event too. */
static bool
has_event_ids(const struct mcp_call *c)
{
	return !c->modern && c->has_session && c->revision >= 20250326;
}

int
relay_begin_stream(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;
	char text[SPOOL_ID_SIZE + 40];
	int n;

	if (http_reply_stream_begin(r, "text/event-stream") < 0)
		return -1;
	if (c->call_id == 0)
		c->call_id = slot_next_call(c->mcp->shm);
	if (!has_event_ids(c) || spool_begin(&c->spool, c->mcp->conf.run_dir,
	    c->session.id, c->mcp->shm->slot, c->call_id) < 0 ||
	    c->revision < 20251125)
		return 0;
	n = snprintf(text, sizeof(text), "id: %x-%llx-0\nretry: 1000\ndata: \n\n",
	    c->mcp->shm->slot, (unsigned long long)c->call_id);
	return http_reply_stream_write(r, span_make(text, (size_t)n));
}

/*
 * One message on the call's stream. A legacy client that lost its connection
 * may come back for it (Last-Event-ID), so that is no failure where the event
 * is kept.
 */
int
relay_stream_event(struct mcp_call *c, struct span message)
{
	struct http_reply *r = c->http->reply;
	struct span id = { NULL, 0 };
	char text[SPOOL_ID_SIZE];
	int rc = 0;

	if (!r->streaming && relay_begin_stream(c) < 0)
		rc = -1;
	if (c->spool.fd >= 0) {
		spool_event(&c->spool, message, text);
		id = span_str(text);
	}
	buf_reset(&c->mcp->event, 1 << 20);
	sse_write(&c->mcp->event, id, message);
	if (rc == 0)
		rc = http_reply_stream_write(r, buf_span(&c->mcp->event));
	return c->spool.fd >= 0 ? 0 : rc;
}

int
relay_level(struct json_value v)
{
	static const char *const names[] = { "debug", "info", "notice",
	    "warning", "error", "critical", "alert", "emergency" };
	struct span s;
	int i;

	if (json_string_plain(v, &s))
		for (i = 0; i < 8; i++)
			if (span_is(s, names[i]))
				return i;
	return -1;
}

/* notifications/progress with the client's own token put back. */
static int
relay_progress(struct forward *f, struct json_value params)
{
	struct buf *b = &f->c->mcp->params;
	struct span name;
	struct json_value v;
	size_t pos = 0;
	bool first = true;

	if (f->c->msg.progress_token.n == 0 || params.type != JSON_OBJECT)
		return 0;
	buf_reset(b, 1 << 20);
	buf_add_str(b, "{\"jsonrpc\":\"2.0\",\"method\":"
	    "\"notifications/progress\",\"params\":{");
	while (json_next_member(params.raw, &pos, &name, &v)) {
		buf_add_str(b, first ? "\"" : ",\"");
		first = false;
		buf_add_span(b, name);
		buf_add_str(b, "\":");
		buf_add_span(b, span_is(name, "progressToken") ?
		    f->c->msg.progress_token : v.raw);
	}
	buf_add_str(b, "}}");
	return relay_stream_event(f->c, buf_span(b));
}

/* Modern: only what the request asked for; legacy: the session's level, or
 * everything from "info" when it never set one. */
static int
relay_log(struct forward *f, struct json_value params, struct span message)
{
	static const char *const names[] = { "level" };
	struct json_value level;
	int least;

	if (params.type != JSON_OBJECT ||
	    json_object(params.raw, names, &level, 1) != JSON_OK)
		return 0;
	if (f->c->modern) {
		if (f->c->msg.m_log_level.type == JSON_NONE)
			return 0;
		least = relay_level(f->c->msg.m_log_level);
	} else {
		least = f->c->has_session ? shm_client_level(f->c->mcp->shm,
		    f->c->session.id) : -1;
		if (least < 0)
			least = 1;
	}
	return relay_level(level) < least ? 0 :
	    relay_stream_event(f->c, message);
}

int
relay_notification(struct forward *f, struct span message, struct err *e)
{
	static const char *const names[] = { "method", "params" };
	struct json_value v[2];
	struct span method;
	int rc = 0;

	if (json_object(message, names, v, 2) != JSON_OK ||
	    !json_string_plain(v[0], &method) || !f->c->may_stream)
		return 0;
	if (span_is(method, "notifications/progress"))
		rc = relay_progress(f, v[1]);
	else if (span_is(method, "notifications/message"))
		rc = relay_log(f, v[1], message);
	else if (span_is(method, "notifications/tasks/status") &&
	    (f->is_task || f->wants_task) && !f->bridges)
		rc = relay_stream_event(f->c, message);
	/* A modern client cancels by leaving; a legacy one does not. */
	if (rc < 0 && f->c->modern)
		return err_set(e, ERR_CANCELLED, "the client has gone");
	return 0;
}

/* A request of the server: ping is ours, the rest the client's. */
static int
relay_request(struct forward *f, struct span method, struct json_value params,
    struct span id, struct err *e)
{
	struct err ignored;
	char *pong;

	if (span_is(method, "ping")) {
		pong = arena_printf(f->c->mcp->mem, "{\"jsonrpc\":\"2.0\","
		    "\"id\":%.*s,\"result\":{}}", SPAN_FMT(id));
		upstream_post(f->c->mcp->pool, &f->target, &f->up.session,
		    span_str(pong), &ignored);
		return 0;
	}
	if (ask_is_over(f, e) < 0)
		return -1;		/* another call is asked, then */
	id = arena_dup(f->c->mcp->mem, id);
	if (!ask_client_can(f, method))
		return ask_refuse(f, id, e);
	if (f->bridges && f->is_task)
		return bridge_take_question(f, method, params.raw, id, e);
	if (f->c->modern)
		return held_ask(f, method, params.raw, id, e);
	return ask_push(f, method, params.raw, id, span_make(NULL, 0), e);
}

/* upstream_message_fn */
int
relay_message(void *arg, struct span message, struct err *e)
{
	static const char *const names[] = { "method", "params", "id" };
	struct forward *f = arg;
	struct json_value v[3];
	struct span method;

	if ((f->is_task || f->wants_task) && !f->bridges &&
	    !task_take_message(f, &message))
		return 0;
	if (json_object(message, names, v, 3) != JSON_OK ||
	    !json_string_plain(v[0], &method))
		return 0;
	if (v[2].type == JSON_STRING || v[2].type == JSON_NUMBER)
		return relay_request(f, method, v[1], v[2].raw, e);
	if (span_is(method, "notifications/tools/list_changed") ||
	    span_is(method, "notifications/resources/list_changed") ||
	    span_is(method, "notifications/prompts/list_changed")) {
		atomic_store(&shm_health(f->c->mcp->shm,
		    f->target.health)->dirty, 1);
		return 0;
	}
	if (!f->held)
		return relay_notification(f, message, e);
	if (f->resume_fd >= 0 && mailbox_send(f->resume_fd, MAIL_MESSAGE,
	    f->c->call_id, 0, message) < 0)
		return err_set(e, ERR_CANCELLED, "the client has gone");
	return 0;
}
