/*
 * sse_link -- exchanges over HTTP+SSE (2024-11-05): one event stream that all
 * answers come on, and a POST for each message.
 *
 * Workers, poller, tools. The stream is the session of this process at the
 * server and stays open between calls; what came meanwhile is looked at
 * before the next one. The server says where to post to, but only within the
 * origin that was configured.
 */
#include "upstream/upstream_int.h"
#include "upstream/link_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define REPLY_MAX	65536	/* bytes of the answer to a POST */

struct sse_link {
	struct link	 stream;
	struct http_body body;
	struct sse_parser sse;
	char		*endpoint;	/* path to post to; NULL: not said */
	struct link	 post;		/* kept open; fd -1: none */
	bool		 is_owing;	/* the answers to calls given up */
};

/* The answer to a POST; only its status matters. */
struct reply {
	struct buf	 in;
	bool		 has_head, done;
	size_t		 body_at;
	struct http_body body;
	int		 status;
	bool		 keep_alive;
};

void
sse_link_free(struct sse_link **pp)
{
	struct sse_link *l = *pp;

	*pp = NULL;
	if (l == NULL)
		return;
	link_close(&l->stream);
	link_close(&l->post);
	sse_parser_free(&l->sse);
	free(l->endpoint);
	free(l);
}

/* ---- the endpoint ---- */

/* The reference as an absolute URL. NULL: not one of our origin. */
static char *
absolute(const struct url *base, struct span ref)
{
	size_t dir = base->path.n, i;

	if (memchr(ref.p, ':', ref.n) != NULL &&
	    (span_starts(ref, "http://") || span_starts(ref, "https://")))
		return xstrndup(ref.p, ref.n);
	if (span_starts(ref, "//"))
		return NULL;
	for (i = 0; i < base->path.n && base->path.p[i] != '?'; i++)
		if (base->path.p[i] == '/')
			dir = i + 1;
	if (ref.p[0] == '/')
		dir = 0;
	else if (ref.p[0] == '?')
		dir = i;
	return xasprintf(base->ipv6 ? "%s://[%.*s]:%u%.*s%.*s" :
	    "%s://%.*s:%u%.*s%.*s", base->tls ? "https" : "http",
	    SPAN_FMT(base->port == 0 ? SPAN_LIT("localhost") : base->host),
	    base->port == 0 ? 80 : base->port, (int)dir, base->path.p,
	    SPAN_FMT(ref));
}

static bool
same_origin(const struct url *a, const struct url *b)
{
	if (a->port == 0)		/* a UNIX socket: the path is ours */
		return span_is(b->host, "localhost") && b->port == 80;
	return a->tls == b->tls && a->port == b->port &&
	    a->host.n == b->host.n &&
	    strncasecmp(a->host.p, b->host.p, a->host.n) == 0;
}

static int
take_endpoint(struct sse_link *l, const struct url *base, struct span ref,
    struct err *e)
{
	char *text = ref.n == 0 ? NULL : absolute(base, ref);
	struct url u;
	int rv = -1;

	if (text == NULL || url_parse(&u, span_str(text), e) < 0)
		err_set(e, ERR_UPSTREAM, "bad answer: no usable endpoint");
	else if (!same_origin(base, &u))
		err_set(e, ERR_UPSTREAM, "bad answer: the endpoint is at "
		    "another origin");
	else {
		l->endpoint = xstrndup(u.path.p, u.path.n);
		rv = 0;
	}
	free(text);
	return rv;
}

/* ---- the stream ---- */

/* Where events go: to a call, or while connecting to take_endpoint(). */
struct reader {
	struct sse_link	*link;
	struct sink	*sink;		/* NULL: connecting */
	const struct url *base;
};

static int
take_event(struct reader *r, const struct sse_event *ev, struct err *e)
{
	if (!ev->has_data || ev->data.n == 0)
		return 0;
	if (r->sink == NULL) {
		if (r->link->endpoint != NULL ||
		    !span_is(ev->type, "endpoint"))
			return 0;
		return take_endpoint(r->link, r->base, ev->data, e);
	}
	if (ev->type.n > 0 && !span_is(ev->type, "message"))
		return 0;
	return sink_message(r->sink, ev->data, e);
}

static int
feed_events(struct reader *r, struct span in, struct err *e)
{
	struct sse_event ev;
	size_t taken;
	int rv, flowed = 0;

	while ((rv = sse_parse(&r->link->sse, in, &taken, &ev, e)) == 1) {
		in = span_skip(in, taken);
		if (r->sink != NULL)
			flowed = sink_flow_event_end(r->sink, ev.data, e);
		if (flowed < 0 || (flowed == 0 && take_event(r, &ev, e) < 0))
			return -1;
	}
	if (rv < 0)
		return err_set(e, ERR_TOOBIG, "an event is too large");
	return r->sink == NULL ? 0 :
	    sink_flow_event(r->sink, &r->link->sse, e);
}

static int
feed(struct reader *r, struct span in, struct err *e)
{
	struct http_body *body = &r->link->body;
	struct span payload;
	struct err inner;
	size_t taken;

	if (r->sink != NULL && sink_count(r->sink, in.n, e) < 0)
		return -1;
	while (!body->done) {
		if (http_body_feed(body, in, &taken, &payload, &inner) < 0)
			return err_set(e, ERR_UPSTREAM, "bad answer: %s",
			    inner.text);
		in = span_skip(in, taken);
		if (payload.n > 0 && feed_events(r, payload, e) < 0)
			return -1;
		if (taken == 0)
			return 0;
	}
	return err_set(e, ERR_UPSTREAM, "the event stream has ended");
}

/* What is there now. 0: all of it was taken, or the call is answered. */
static int
take_stream(struct upstream_pool *pool, struct reader *r,
    struct upstream_call *call, struct err *e)
{
	enum link_io io;
	size_t got;

	while ((io = link_recv(&r->link->stream, pool->in, UPSTREAM_IN_SIZE,
	    &got)) == LINK_OK) {
		if (feed(r, span_make(pool->in, got), e) < 0)
			return -1;
		if ((r->sink != NULL && r->sink->answered) ||
		    (r->sink == NULL && r->link->endpoint != NULL))
			return 0;
		if (wire_glance(call, e) < 0)
			return -1;
	}
	if (io == LINK_AGAIN)
		return 0;
	return err_set(e, ERR_UPSTREAM, io == LINK_EOF ?
	    "the event stream was closed" : "the event stream broke: %s",
	    strerror(errno));
}

/* ---- connecting ---- */

static int
check_stream(struct sse_link *l, const struct http_head *h, struct err *e)
{
	struct span encoding = h->known[HTTP_H_CONTENT_ENCODING];

	if (h->status >= 300 && h->status < 400)
		return err_set(e, ERR_UPSTREAM,
		    "redirects are not followed (HTTP %d)", h->status);
	if (h->status != 200)
		return err_set(e, ERR_UPSTREAM, "no event stream: HTTP %d",
		    h->status);
	if (!http_media_is(h->known[HTTP_H_CONTENT_TYPE],
	    "text/event-stream"))
		return err_set(e, ERR_UPSTREAM, "bad answer: no event stream");
	if (encoding.n > 0 && !span_is_nocase(encoding, "identity"))
		return err_set(e, ERR_UPSTREAM,
		    "bad answer: encoded, which was not asked for");
	http_body_for_response(&l->body, h, false);
	return 0;
}

static int
await_endpoint(struct upstream_pool *pool, struct reader *r, struct span first,
    struct upstream_call *watch, struct err *e)
{
	struct pollfd own[2] = { { .fd = r->link->stream.fd,
	    .events = POLLIN }, { .fd = -1 } };

	if (feed(r, first, e) < 0)
		return -1;
	while (r->link->endpoint == NULL) {
		if (take_stream(pool, r, watch, e) < 0)
			return -1;
		if (r->link->endpoint == NULL && wire_wait(own, watch, e) < 0)
			return -1;
	}
	return 0;
}

static int
connect_stream(struct upstream_pool *pool, struct sse_link *l,
    const struct upstream_entry *x, const struct upstream_target *t,
    struct upstream_call *watch, struct err *e)
{
	struct reader r = { .link = l, .base = &x->url };
	struct buf *b = &pool->out;
	size_t sent, n = 0, size;

	if (link_open(&l->stream, x, watch->deadline_ms, e) < 0)
		return -1;
	buf_reset(b, UPSTREAM_OUT_KEEP);
	head_write_line(b, "GET", &x->url, x->url.path);
	if (head_write_agent(b, t, SPAN_LIT("Accept: text/event-stream\r\n"),
	    e) < 0)
		return -1;
	buf_add_str(b, "Cache-Control: no-store\r\n\r\n");
	if (link_send_all(&l->stream, buf_span(b), watch, &sent, e) < 0 ||
	    link_head(&l->stream, pool->in, &n, &pool->head, &size, watch,
	    e) < 0 || check_stream(l, &pool->head, e) < 0)
		return -1;
	return await_endpoint(pool, &r, span_make(pool->in + size, n - size),
	    watch, e);
}

int
sse_connect(struct upstream_pool *pool, struct upstream_entry *x,
    const struct upstream_target *t, struct upstream_call *watch,
    struct err *e)
{
	struct sse_link *l = xcalloc(1, sizeof(*l));

	link_init(&l->stream);
	link_init(&l->post);
	sse_parser_init(&l->sse, UPSTREAM_OPENED_MAX);
	if (connect_stream(pool, l, x, t, watch, e) < 0) {
		sse_link_free(&l);
		return -1;
	}
	x->sse = l;
	return 0;
}

/* ---- posts ---- */

/* The status of the answer to a POST. */
static int
judge_reply(struct sse_link *l, const struct reply *r,
    struct upstream_call *call, struct err *e)
{
	int status = r->status;

	call->http_status = status;
	if (status >= 200 && status < 300)
		return 0;
	if (status < 500)
		call->maybe_executed = false;
	if (status == 401 || status == 403)
		return err_set(e, ERR_UPSTREAM,
		    "the server refused our credentials (HTTP %d)", status);
	if (status < 400)
		return err_set(e, ERR_UPSTREAM,
		    "redirects are not followed (HTTP %d)", status);
	/* It does not know our stream, though that seems to be open. */
	if (status == 400 || status == 404 || status == 410)
		call->session_gone = true;
	return err_set(e, ERR_UPSTREAM, "HTTP %d", status);
}

/* 1: the final head is there; 0: not yet; -1. Interim ones are dropped. */
static int
parse_head(struct reply *r, struct http_head *h, struct err *e)
{
	struct err inner;
	size_t scanned;
	long size;

	for (;;) {
		scanned = 0;
		size = r->in.n == 0 ? 0 :
		    http_head_end(r->in.p, r->in.n, &scanned);
		if (size == 0)
			return 0;
		if (size < 0 || http_response_parse(h, r->in.p, (size_t)size,
		    &inner) < 0)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: no HTTP head");
		if (h->status >= 200)
			break;
		buf_consume(&r->in, (size_t)size);
	}
	r->has_head = true;
	r->body_at = (size_t)size;
	r->status = h->status;
	r->keep_alive = h->keep_alive;
	http_body_for_response(&r->body, h, false);
	return 1;
}

static int
parse_reply(struct reply *r, struct http_head *h, struct err *e)
{
	struct span payload;
	struct err inner;
	size_t taken;
	int rv;

	if (!r->has_head && (rv = parse_head(r, h, e)) <= 0)
		return rv;
	do {
		if (http_body_feed(&r->body, span_skip(buf_span(&r->in),
		    r->body_at), &taken, &payload, &inner) < 0)
			return err_set(e, ERR_UPSTREAM, "bad answer: %s",
			    inner.text);
		r->body_at += taken;
	} while (taken > 0 && !r->body.done);
	r->done = r->body.done;
	return 0;
}

/* What is there now of the answer to the POST. */
static int
take_reply(struct upstream_pool *pool, struct sse_link *l, struct reply *r,
    struct upstream_call *call, struct err *e)
{
	enum link_io io = LINK_OK;
	char piece[4096];
	size_t got;

	while (!r->done && (io = link_recv(&l->post, piece, sizeof(piece),
	    &got)) == LINK_OK) {
		if (r->in.n + got > REPLY_MAX ||
		    buf_add(&r->in, piece, got) < 0)
			return err_set(e, ERR_UPSTREAM,
			    "a long answer where none belongs");
		if (parse_reply(r, &pool->head, e) < 0)
			return -1;
	}
	if (!r->done && io == LINK_EOF && r->has_head &&
	    http_body_eof(&r->body) == 0)
		r->done = true;
	if (!r->done && io != LINK_AGAIN)
		return err_set(e, ERR_UPSTREAM, "no answer to the message: %s",
		    io == LINK_EOF ? "closed the connection" :
		    strerror(errno));
	if (!r->done)
		return 0;
	if (!r->keep_alive || r->body_at < r->in.n || io == LINK_EOF ||
	    r->body.kind == HTTP_BODY_EOF)
		link_close(&l->post);
	return judge_reply(l, r, call, e);
}

/* An idle connection has nothing to say; if it has, it ends. */
static void
check_idle(struct link *l)
{
	size_t got;
	char c;

	if (l->fd >= 0 && link_recv(l, &c, 1, &got) != LINK_AGAIN)
		link_close(l);
}

static int
write_post(struct buf *b, const struct sse_link *l,
    const struct upstream_entry *x, const struct upstream_target *t,
    const struct sess_info *session, struct err *e)
{
	buf_reset(b, UPSTREAM_OUT_KEEP);
	head_write_line(b, "POST", &x->url, span_str(l->endpoint));
	return head_write_fields(b, t, session, e);
}

static int
send_post(struct upstream_pool *pool, struct upstream_entry *x,
    struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct sse_link *l = x->sse;
	struct buf *b = &pool->out;
	size_t sent;

	if (write_post(b, l, x, s->target, &call->session, e) < 0)
		return -1;
	head_write_call(b, call);
	buf_printf(b, "Content-Length: %zu\r\n\r\n", message_size(call));
	if (message_write(b, call) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	check_idle(&l->post);
	if (l->post.fd < 0 &&
	    link_open(&l->post, x, call->deadline_ms, e) < 0)
		return -1;
	if (link_send_all(&l->post, buf_span(b), call, &sent, e) < 0) {
		link_close(&l->post);
		return -1;
	}
	call->maybe_executed = true;
	return 0;
}

/* ---- an exchange ---- */

/* Both connections, until the answer is there (a notification: until it was
 * taken; listening: until the stream ends). */
static int
await_answer(struct upstream_pool *pool, struct reader *r, struct err *e)
{
	struct upstream_call *call = r->sink->call;
	struct reply reply = { .done = call->is_listen };
	struct sse_link *l = r->link;
	struct pollfd own[2];
	int rv = 0;

	buf_init(&reply.in, REPLY_MAX);
	for (;;) {
		if ((!reply.done &&
		    (rv = take_reply(pool, l, &reply, call, e)) < 0) ||
		    (rv = take_stream(pool, r, call, e)) < 0)
			break;
		if (r->sink->answered || (call->is_notification && reply.done))
			break;
		own[0] = (struct pollfd){ .fd = l->stream.fd,
		    .events = POLLIN };
		own[1] = (struct pollfd){ .fd = reply.done ? -1 : l->post.fd,
		    .events = POLLIN };
		if ((rv = wire_wait(own, call, e)) < 0)
			break;
	}
	if (!reply.done)
		link_close(&l->post);	/* something is still to come */
	buf_free(&reply.in);
	return rv;
}

static int
talk(struct upstream_pool *pool, struct upstream_entry *x, struct sink *s,
    struct err *e)
{
	struct reader r = { .link = x->sse, .sink = s, .base = &x->url };
	struct upstream_call *call = s->call;

	/* Closed meanwhile? Then another one, and nothing has happened. */
	if (take_stream(pool, &r, call, e) < 0) {
		call->session_gone = !s->stopped && e->code == ERR_UPSTREAM;
		return -1;
	}
	s->is_asked = true;
	if (!call->is_listen && send_post(pool, x, s, e) < 0)
		return -1;
	return await_answer(pool, &r, e);
}

int
sse_exchange(struct upstream_pool *pool, struct upstream_entry *x,
    struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	size_t max = call->response_max > UPSTREAM_OPENED_MAX ?
	    call->response_max : UPSTREAM_OPENED_MAX;

	if (x->sse == NULL) {
		call->session_gone = true;
		return err_set(e, ERR_UPSTREAM, "not connected");
	}
	s->is_link = true;
	s->is_owing = x->sse->is_owing;
	x->sse->sse.data.max = max;
	x->sse->sse.line.max = max + 64;
	if (talk(pool, x, s, e) == 0)
		return 0;
	if (link_may_stay(s, e))
		x->sse->is_owing |= s->is_asked && !call->is_notification;
	else
		link_is_gone(x);
	return -1;
}

/* On a connection of its own; waits for the first byte of the answer, so that
 * the server has read everything before it sees us leave. */
int
sse_post(struct upstream_entry *x, const struct upstream_target *t,
    const struct sess_info *session, struct span message, int64_t deadline_ms,
    struct err *e)
{
	struct upstream_call watch = { .client_fd = -1,
	    .deadline_ms = deadline_ms };
	struct link l;
	struct buf b;
	size_t sent;
	int rv = -1;

	if (x->sse == NULL)
		return err_set(e, ERR_UPSTREAM, "not connected");
	buf_init(&b, UPSTREAM_OUT_MAX);
	link_init(&l);
	if (write_post(&b, x->sse, x, t, session, e) < 0)
		goto out;
	buf_printf(&b, "Connection: close\r\nContent-Length: %zu\r\n\r\n",
	    message.n);
	if (buf_add_span(&b, message) < 0) {
		err_set(e, ERR_TOOBIG, "message too large");
		goto out;
	}
	if (link_open(&l, x, deadline_ms, e) < 0 ||
	    link_send_all(&l, buf_span(&b), &watch, &sent, e) < 0)
		goto out;
	rv = wire_await(l.fd, POLLIN, deadline_ms) < 0 ? err_set(e,
	    ERR_UPSTREAM, "poll: %s", strerror(errno)) : 0;
out:
	link_close(&l);
	buf_free(&b);
	return rv;
}
