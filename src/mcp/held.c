/*
 * held -- modern clients (2026-07-28): input_required, and calls that stay
 * open at a legacy server while the client fetches its answer.
 *
 * A modern client cannot be asked on the stream: its request ends with
 * resultType "input_required" and it comes again. Where the server is legacy
 * its call must not end meanwhile: this worker answers the client, gives the
 * connection back and waits, call open, for the worker that gets the retry. The
 * sealed requestState names slot and call and is bound to the principal. No
 * retry in time: the call is cancelled at the server.
 */
#include "mcp/forward_int.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "mcp/mailbox.h"

#define STATE_LIFE_S	600

/* {"resultType":"input_required","inputRequests":{"1":{...}},"requestState":..} */
static struct span
ask_result(struct forward *f, const struct question *q, struct span method,
    struct span params)
{
	struct mcp_call *c = f->c;
	struct state st = { .kind = STATE_HELD, .slot = c->mcp->shm->slot,
	    .call = c->call_id };
	struct state_scope scope = forward_scope(f);
	struct span sealed = state_seal(c->mcp->mem, &st, &scope,
	    clock_wall_us() / 1000000 + STATE_LIFE_S);

	return span_str(arena_printf(c->mcp->mem,
	    "{\"resultType\":\"input_required\",\"inputRequests\":{\"%u\":"
	    "{\"method\":\"%.*s\",\"params\":%.*s}},\"requestState\":\"%.*s\"}",
	    q->number, SPAN_FMT(method), params.n > 0 ? (int)params.n : 2,
	    params.n > 0 ? params.p : "{}", SPAN_FMT(sealed)));
}

/* The client's request ends here; the call does not. */
int
held_release(struct forward *f, struct span result, struct err *e)
{
	struct mcp_call *c = f->c;
	struct http_reply *r = c->http->reply;

	buf_reset(&r->body, 1 << 20);
	buf_add_str(&r->body, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add_span(&r->body, c->msg.id);
	buf_add_str(&r->body, ",\"result\":");
	buf_add_span(&r->body, result);
	buf_add_char(&r->body, '}');
	if (mcp_trail(c, e) < 0 &&
	    c->mcp->conf.audit_on_failure == AUDIT_FAIL_DENY)
		return -1;
	if (r->streaming) {
		relay_stream_event(c, buf_span(&r->body));
		http_reply_stream_end(r);
	} else {
		r->content_type = "application/json";
		http_reply_send(r);
	}
	c->http->release(c->http->release_arg);
	f->held = true;
	f->up.client_fd = -1;
	return 0;
}

/* Waits for the retry. Its connection becomes resume_fd. */
static int
wait_retry(struct forward *f, struct buf *body, struct err *e)
{
	struct mcp *m = f->c->mcp;
	int64_t deadline = clock_mono_ms() + m->conf.input_timeout_ms;
	struct mail mail;
	int fd;

	while (clock_mono_ms() < deadline) {
		if (atomic_load(&shm_ctl(m->shm)->draining) != 0)
			return err_set(e, ERR_UNAVAILABLE, "shutting down");
		fd = mailbox_accept(m->mailbox, clock_mono_ms() + 1000);
		if (fd < 0)
			continue;
		if (mailbox_recv(fd, &mail, body, clock_mono_ms() + 2000) == 1 &&
		    mail.type == MAIL_RESUME && mail.call == f->c->call_id) {
			f->resume_fd = fd;
			f->up.client_fd = fd;	/* its end is the client's end */
			return 0;
		}
		mailbox_send(fd, MAIL_GONE, mail.call, 0, SPAN_LIT(""));
		close(fd);
	}
	return err_set(e, ERR_CANCELLED, "the client did not come back in time");
}

static int
pass_response(struct forward *f, const struct question *q, struct span responses,
    struct err *e)
{
	char key[16];
	const char *names[1] = { key };
	struct json_value v;
	struct err ignored;
	char *text;

	snprintf(key, sizeof(key), "%u", q->number);
	if (json_object(responses, names, &v, 1) != JSON_OK ||
	    v.type != JSON_OBJECT)
		text = arena_printf(f->c->mcp->mem, "{\"jsonrpc\":\"2.0\","
		    "\"id\":%.*s,\"error\":{\"code\":-32603,\"message\":"
		    "\"The client gave no answer\"}}", SPAN_FMT(q->upstream_id));
	else
		text = arena_printf(f->c->mcp->mem, "{\"jsonrpc\":\"2.0\","
		    "\"id\":%.*s,\"result\":%.*s}", SPAN_FMT(q->upstream_id),
		    SPAN_FMT(v.raw));
	if (upstream_post(f->c->mcp->pool, &f->target, &f->up.session,
	    span_str(text), &ignored) < 0)
		return err_set(e, ERR_UPSTREAM, "server \"%s\" did not take the "
		    "client's answer: %.200s", f->target.name, ignored.text);
	return 0;
}

int
held_ask(struct forward *f, struct span method, struct span params,
    struct span upstream_id, struct err *e)
{
	struct question q = { .number = ++f->next_number,
	    .upstream_id = upstream_id };
	struct mcp *m = f->c->mcp;
	struct span result;
	struct buf body;
	int rc;

	if (f->next_number > ROUNDS_MAX)
		return err_set(e, ERR_UPSTREAM, "server \"%s\" asks more than %d "
		    "questions in one call", f->target.name, ROUNDS_MAX);
	if (mailbox_open(&m->mailbox, m->conf.run_dir, m->shm->slot, e) < 0)
		return -1;
	result = ask_result(f, &q, method, params);
	if (!f->held) {
		if (held_release(f, result, e) < 0)
			return -1;
	} else {
		if (f->resume_fd < 0 || mailbox_send(f->resume_fd, MAIL_ASK,
		    f->c->call_id, 0, result) < 0)
			return err_set(e, ERR_CANCELLED, "the client has gone");
		close(f->resume_fd);
		f->resume_fd = f->up.client_fd = -1;
	}
	buf_init(&body, MAIL_BODY_MAX);
	rc = wait_retry(f, &body, e);
	if (rc == 0)
		rc = pass_response(f, &q, buf_span(&body), e);
	buf_free(&body);
	f->up.deadline_ms = clock_mono_ms() + f->target.timeout_ms;
	return rc;
}

void
held_finish(struct forward *f, int rc, const struct err *e)
{
	if (f->resume_fd < 0)
		return;
	if (rc == 0)
		mailbox_send(f->resume_fd, MAIL_FINAL, f->c->call_id, 0,
		    buf_span(&f->c->mcp->response));
	else
		mailbox_send(f->resume_fd, MAIL_ERROR, f->c->call_id, e->code,
		    span_str(e->text));
	close(f->resume_fd);
	f->resume_fd = -1;
}

/* ---- the retry -------------------------------------------------------------------- */

static int
resume_frame(struct forward *f, const struct mail *m, const struct buf *body,
    struct buf *out, struct err *e)
{
	switch ((enum mail_type)m->type) {
	case MAIL_MESSAGE:
		return relay_notification(f, buf_span(body), e) < 0 ? -1 : 1;
	case MAIL_ASK:
		return buf_add_span(out, buf_span(body));
	case MAIL_FINAL:
		buf_reset(&f->c->mcp->response, 1 << 20);
		buf_add_span(&f->c->mcp->response, buf_span(body));
		return forward_take_response(f, out, e);
	case MAIL_ERROR:
		return err_set(e, m->number < ERR_COUNT ?
		    (enum err_code)m->number : ERR_UPSTREAM, "%.*s",
		    (int)(body->n > 400 ? 400 : body->n), body->p);
	case MAIL_RESPONSE:
	case MAIL_RESUME:
	case MAIL_HEARD:
	case MAIL_ASKED:
	case MAIL_ACK:
	case MAIL_GONE:
		break;
	}
	return err_set(e, ERR_PARAMS, "params.requestState: this call is over");
}

/* 1: the client of the retry has hung up. */
static bool
client_left(const struct forward *f)
{
	struct pollfd p = { .fd = f->c->http->client_fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Else nobody takes what is sent to that worker, which may live long. */
static bool
is_under_way(const struct forward *f, const struct state *st)
{
	const struct shm *shm = f->c->mcp->shm;
	struct shm_request r;

	return st->slot < shm->sizes.slots &&
	    slot_request_get(shm, st->slot, &r) && r.call == st->call;
}

int
held_resume(struct forward *f, const struct state *st, struct span responses,
    struct buf *out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + f->target.timeout_ms + 2000;
	struct buf body;
	struct mail m;
	int fd = -1, rc = 1;

	if (is_under_way(f, st))
		fd = mailbox_connect(f->c->mcp->conf.run_dir, st->slot, e);
	if (fd < 0)
		return err_set(e, ERR_PARAMS,
		    "params.requestState: this call is over");
	buf_init(&body, MAIL_BODY_MAX);
	if (mailbox_send(fd, MAIL_RESUME, st->call, 0, responses.n > 0 ?
	    responses : SPAN_LIT("{}")) < 0)
		rc = err_set(e, ERR_PARAMS,
		    "params.requestState: this call is over");
	while (rc == 1) {
		int got = mailbox_recv(fd, &m, &body, clock_mono_ms() + 500);

		if (got == 1)
			rc = resume_frame(f, &m, &body, out, e);
		else if (got == 0)
			rc = err_set(e, ERR_UPSTREAM, "the call at server \"%s\" "
			    "was cut off", f->target.name);
		else if (client_left(f))
			rc = err_set(e, ERR_CANCELLED, "the client has gone");
		else if (clock_mono_ms() >= deadline)
			rc = err_set(e, ERR_TIMEOUT, "server \"%s\" did not answer "
			    "in time", f->target.name);
	}
	buf_free(&body);
	close(fd);
	return rc;
}

/* ---- modern on both sides ------------------------------------------------------- */

int
held_seal_result(struct forward *f, struct span result, struct buf *out,
    struct err *e)
{
	struct state st = { .kind = STATE_UPSTREAM };
	struct state_scope scope = forward_scope(f);
	struct span name, sealed;
	struct json_value v;
	size_t pos = 0;
	bool first = true;

	buf_add_char(out, '{');
	while (json_next_member(result, &pos, &name, &v)) {
		buf_add_str(out, first ? "\"" : ",\"");
		first = false;
		buf_add_span(out, name);
		buf_add_str(out, "\":");
		if (!span_is(name, "requestState") || v.type != JSON_STRING) {
			buf_add_span(out, v.raw);
			continue;
		}
		st.inner = v.raw;
		sealed = state_seal(f->c->mcp->mem, &st, &scope,
		    clock_wall_us() / 1000000 + STATE_LIFE_S);
		buf_add_char(out, '"');
		buf_add_span(out, sealed);
		buf_add_char(out, '"');
	}
	return buf_add_char(out, '}');
}
