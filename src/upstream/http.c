/*
 * http -- one exchange over plain HTTP/1.1, on the hot path of every call.
 *
 * Workers, poller, tools. A call on a connection that is open costs one send
 * (head and body from one reused buffer) and one recv (into another). The
 * connection is closed after anything that was not exactly right, so the
 * next exchange starts clean. Never follows a redirect, never decompresses.
 */
#include "upstream/upstream_int.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"

#define INTERIM_MAX	8	/* 1xx heads before the real one */
#define IDLE_MARGIN_MS	500	/* stop using a connection before it closes */

enum outcome { DONE, FAILED, REPEAT };

/* One attempt: the answer as far as it has come. */
struct reading {
	struct upstream_pool *pool;
	struct http_conn *conn;
	struct sink	*sink;
	struct http_body body;
	size_t		 n;		/* bytes in pool->in */
	size_t		 pos;		/* of these used up */
	bool		 cut;		/* not all of the request was sent */
};

static bool
same_session(const struct sess_info *a, const struct sess_info *b)
{
	return a->era == b->era && a->opened == b->opened &&
	    strcmp(a->version, b->version) == 0 && strcmp(a->id, b->id) == 0;
}

/* The static part is written once a session and copied from then on. */
static int
compose(struct upstream_pool *pool, struct upstream_entry *x,
    const struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct buf *b = &pool->out;

	if (call_is_get(call)) {
		buf_reset(b, UPSTREAM_OUT_KEEP);
		if (head_write(b, "GET", x, s->target, &call->session, e) < 0)
			return -1;
		head_write_event_id(b, call);
		return buf_add_span(b, SPAN_LIT("\r\n"));
	}
	if (x->head.n == 0 || !same_session(&x->head_session, &call->session)) {
		buf_reset(&x->head, SIZE_MAX);
		if (head_write(&x->head, "POST", x, s->target,
		    &call->session, e) < 0) {
			buf_reset(&x->head, SIZE_MAX);
			return -1;
		}
		x->head_session = call->session;
	}
	buf_reset(b, UPSTREAM_OUT_KEEP);
	buf_add_span(b, buf_span(&x->head));
	head_write_call(b, call);
	buf_add_span(b, SPAN_LIT("Content-Length: "));
	buf_add_u64(b, message_size(call));
	buf_add_span(b, SPAN_LIT("\r\n\r\n"));
	if (message_write(b, call) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	return 0;
}

static enum outcome
connection_ended(struct reading *r, enum wire how, struct err *e)
{
	const struct http_conn *c = r->conn;
	struct upstream_call *call = r->sink->call;
	const char *why = how == WIRE_EOF ? "closed the connection" :
	    strerror(errno);

	if (r->n == 0 && http_conn_may_repeat(c, how, call))
		return REPEAT;
	err_set(e, ERR_UPSTREAM, r->n == 0 ? "no answer: %s" :
	    "answer cut short: %s", why);
	return FAILED;
}

static enum outcome
send_request(struct reading *r, struct err *e)
{
	struct span out = buf_span(&r->pool->out);
	struct upstream_call *call = r->sink->call;
	size_t sent;
	enum wire w;

	w = wire_send(r->conn->fd, out, call, &sent, e);
	/* What is not complete cannot have been run. */
	call->maybe_executed = sent == out.n;
	r->cut = sent < out.n;
	if (w == WIRE_BROKEN)
		return connection_ended(r, w, e);
	return w == WIRE_ENDED ? FAILED : DONE;
}

/* The next bytes, behind those that are there. */
static enum outcome
receive(struct reading *r, struct err *e)
{
	size_t got;
	enum wire w;

	w = wire_recv(r->conn->fd, r->pool->in + r->n, UPSTREAM_IN_SIZE - r->n,
	    r->sink->call, &got, e);
	if (w == WIRE_OK) {
		r->n += got;
		return DONE;
	}
	return w == WIRE_ENDED ? FAILED : connection_ended(r, w, e);
}

static int
malformed(struct err *e)
{
	struct err inner = *e;

	return err_set(e, ERR_UPSTREAM, "bad answer: %s", inner.text);
}

/* Keep-Alive: timeout=5 -- after that the server closes. */
static void
note_keep_alive(struct http_conn *c, const struct http_head *h)
{
	struct span v = http_header_find(h, "keep-alive");
	uint64_t seconds;
	size_t n;

	while (v.n > 0 && !span_starts(v, "timeout="))
		v = span_skip(v, 1);
	v = span_skip(v, 8);
	for (n = 0; n < v.n && v.p[n] >= '0' && v.p[n] <= '9';)
		n++;
	if (num_u64(span_make(v.p, n), 1, 86400, &seconds) == 0)
		c->idle_max_ms = (int64_t)seconds * 1000 - IDLE_MARGIN_MS;
}

/* Reads until a final head is there; interim ones are dropped. */
static enum outcome
read_head(struct reading *r, struct err *e)
{
	struct http_memo *m = &r->pool->memo;
	const struct http_head *h = &m->head;
	size_t scanned = 0;
	enum outcome o;
	int interim = 0;
	long size;

	for (;;) {
		if (r->n > 0 &&
		    (r->pos = http_memo_find(m, r->pool->in, r->n)) > 0) {
			http_memo_note(m, r->pool->in, r->pos);
			return DONE;
		}
		size = r->n == 0 ? 0 :
		    http_head_end(r->pool->in, r->n, &scanned);
		if (size < 0) {
			err_set(e, ERR_UPSTREAM, "bad answer: no HTTP head");
			return FAILED;
		}
		if (size == 0) {
			if ((o = receive(r, e)) != DONE)
				return o;
			continue;
		}
		if (http_response_parse(&m->head, r->pool->in, (size_t)size,
		    e) < 0) {
			malformed(e);
			return FAILED;
		}
		r->pos = (size_t)size;
		if (h->status >= 200) {
			http_memo_note(m, r->pool->in, r->pos);
			return DONE;
		}
		if (h->status == 101 || ++interim > INTERIM_MAX) {
			err_set(e, ERR_UPSTREAM, "bad answer: HTTP %d",
			    h->status);
			return FAILED;
		}
		r->n -= r->pos;
		memmove(r->pool->in, r->pool->in + r->pos, r->n);
		r->pos = scanned = 0;
	}
}

/* Gives the sink what is there of the body. */
static int
feed(struct reading *r, struct err *e)
{
	struct span in, payload;
	size_t taken;

	while (!r->body.done) {
		in = span_make(r->pool->in + r->pos, r->n - r->pos);
		if (http_body_feed(&r->body, in, &taken, &payload, e) < 0)
			return malformed(e);
		r->pos += taken;
		if (payload.n > 0 && sink_body(r->sink, payload, e) < 0)
			return -1;
		if (taken == 0)
			break;
	}
	return 0;
}

/*
 * Until the body ends, or the event stream has given the answer. In the
 * second case the end of the stream is read before the next request.
 */
static int
read_body(struct reading *r, struct err *e)
{
	enum wire w;

	for (;;) {
		if (feed(r, e) < 0)
			return -1;
		if (r->body.done || r->sink->answered)
			return 0;
		r->pos = r->n = 0;
		w = wire_recv(r->conn->fd, r->pool->in, UPSTREAM_IN_SIZE,
		    r->sink->call, &r->n, e);
		if (w == WIRE_ENDED)
			return -1;
		if (w == WIRE_OK)
			continue;
		if (w == WIRE_EOF && http_body_eof(&r->body) == 0)
			return 0;
		sink_cut(r->sink);
		return err_set(e, ERR_UPSTREAM, "answer cut short: %s",
		    w == WIRE_EOF ? "closed the connection" : strerror(errno));
	}
}

static void
keep_or_close(struct reading *r)
{
	struct http_conn *c = r->conn;
	const struct http_head *h = &r->pool->memo.head;

	c->used_ms = clock_mono_ms();
	c->sent += r->pool->out.n;
	if (!c->used)
		note_keep_alive(c, h);
	c->used = true;
	c->draining = !r->body.done;
	if (c->draining)
		c->rest = r->body;
	if (!h->keep_alive || r->cut || r->pos < r->n ||
	    r->body.kind == HTTP_BODY_EOF)
		http_conn_close(c);
}

static enum outcome
read_answer(struct reading *r, struct err *e)
{
	struct http_head *h = &r->pool->memo.head;
	struct answer_head a;
	enum outcome o;

	if ((o = read_head(r, e)) != DONE)
		return o;
	/* Said to a connection that was idle for too long, not to us. */
	if (h->status == 408 && r->conn->used)
		return REPEAT;
	a.status = h->status;
	a.content_type = h->known[HTTP_H_CONTENT_TYPE];
	a.content_encoding = h->known[HTTP_H_CONTENT_ENCODING];
	a.session_id = h->known[HTTP_H_MCP_SESSION_ID];
	http_body_for_response(&r->body, h, false);
	if (sink_head(r->sink, &a, e) < 0)
		return FAILED;
	if (r->sink->kind == SINK_JSON && h->status == 200 &&
	    r->sink->call->on_result == NULL &&
	    r->body.left > r->sink->call->response_max) {
		err_set(e, ERR_TOOBIG, "the answer has %llu bytes",
		    (unsigned long long)r->body.left);
		return FAILED;
	}
	if (read_body(r, e) < 0 || sink_end(r->sink, e) < 0)
		return FAILED;
	return DONE;
}

int
http_exchange(struct upstream_pool *pool, struct upstream_entry *x,
    struct sink *sink, struct err *e)
{
	struct reading r;
	enum outcome o;
	int attempt;

	if (compose(pool, x, sink, e) < 0)
		return -1;
	for (attempt = 0; attempt < 2; attempt++) {
		if (http_conn_ready(x, sink->call, pool->in, e) < 0)
			return -1;
		memset(&r, 0, sizeof(r));
		r.pool = pool;
		r.conn = &x->http;
		r.sink = sink;
		if ((o = send_request(&r, e)) == DONE)
			o = read_answer(&r, e);
		if (o == DONE || (o == FAILED && sink->refused))
			keep_or_close(&r);
		else
			http_conn_close(&x->http);
		if (o != REPEAT)
			return o == DONE ? 0 : -1;
		/* Closed now, so the second attempt is on a fresh one. */
		sink->call->maybe_executed = false;
	}
	return err_set(e, ERR_UPSTREAM, "no answer on a new connection");
}
