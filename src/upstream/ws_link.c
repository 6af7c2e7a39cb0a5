/*
 * ws_link -- exchanges over WebSocket: one JSON-RPC message in each text
 * message, subprotocol "mcp".
 *
 * Workers, poller, tools. The connection is the session of this process at
 * the server and stays open between calls; what came meanwhile is looked at
 * before the next one. A server that breaks RFC 6455 is told so and left.
 */
#include "upstream/upstream_int.h"
#include "upstream/link_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "net/ws.h"

#define KEY_SIZE	25
#define FLOW_FAILED	(-2)	/* not the WebSocket */

struct ws_link {
	struct link	 link;
	struct ws_parser parser;
	struct buf	 early;		/* came with the answer to the upgrade */
	struct buf	 out;		/* frames to send */
	struct buf	 later;		/* frames for when these have left */
	bool		 sending;	/* out is on its way: do not touch */
	bool		 torn;		/* half a frame was sent */
	bool		 in_use;	/* by an exchange */
	unsigned	 posts;		/* under way, on other fibers perhaps */
	bool		 is_dead;	/* the last of these frees it */
	bool		 is_owing;	/* the answers to calls given up */
};

void
ws_link_free(struct ws_link **pp)
{
	struct ws_link *w = *pp;

	*pp = NULL;
	if (w == NULL)
		return;
	if (w->posts > 0) {
		w->is_dead = true;
		shutdown(w->link.fd, SHUT_RDWR);
		return;
	}
	link_close(&w->link);
	ws_parser_free(&w->parser);
	buf_free(&w->early);
	buf_free(&w->out);
	buf_free(&w->later);
	free(w);
}

static int
add_frame(struct buf *b, enum ws_opcode type, struct span payload,
    struct err *e)
{
	uint8_t mask[4];

	random_bytes(mask, sizeof(mask));
	return ws_write(b, type, payload, mask) == 0 ? 0 :
	    err_set(e, ERR_TOOBIG, "request too large");
}

/* ---- opening ---- */

/* 16 random bytes in base64. */
static void
make_key(char out[KEY_SIZE])
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t r[18] = { 0 };
	uint32_t x;
	size_t i;

	random_bytes(r, 16);
	for (i = 0; i < 6; i++) {
		x = (uint32_t)r[3 * i] << 16 | (uint32_t)r[3 * i + 1] << 8 |
		    r[3 * i + 2];
		out[4 * i] = set[x >> 18];
		out[4 * i + 1] = set[x >> 12 & 63];
		out[4 * i + 2] = set[x >> 6 & 63];
		out[4 * i + 3] = set[x & 63];
	}
	memcpy(out + 22, "==", 3);
}

static int
write_upgrade(struct buf *b, const struct upstream_entry *x,
    const struct upstream_target *t, const char *key, struct err *e)
{
	head_write_line(b, "GET", &x->url, x->url.path);
	if (head_write_agent(b, t, span_make(NULL, 0), e) < 0)
		return -1;
	if (buf_printf(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\n"
	    "Sec-WebSocket-Key: %s\r\n\r\n", key) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	return 0;
}

static int
check_upgraded(const struct http_head *h, const char *key, struct err *e)
{
	char accept[WS_ACCEPT_SIZE];
	struct span protocol;

	if (h->status != 101)
		return err_set(e, ERR_UPSTREAM, h->status >= 300 &&
		    h->status < 400 ? "redirects are not followed (HTTP %d)" :
		    "no WebSocket: HTTP %d", h->status);
	ws_accept(span_str(key), accept);
	if (!span_is_nocase(h->known[HTTP_H_UPGRADE], "websocket") ||
	    !http_list_has(h->known[HTTP_H_CONNECTION], "upgrade") ||
	    !span_is(http_header_find(h, "sec-websocket-accept"), accept))
		return err_set(e, ERR_UPSTREAM, "bad answer: no upgrade to "
		    "WebSocket");
	protocol = http_header_find(h, "sec-websocket-protocol");
	if ((protocol.n > 0 && !span_is(protocol, "mcp")) ||
	    http_header_find(h, "sec-websocket-extensions").n > 0)
		return err_set(e, ERR_UPSTREAM, "bad answer: a WebSocket that "
		    "was not asked for");
	return 0;
}

static int
handshake(struct upstream_pool *pool, struct ws_link *w,
    const struct upstream_entry *x, const struct upstream_target *t,
    struct upstream_call *watch, struct err *e)
{
	size_t sent, n = 0, size;
	char key[KEY_SIZE];

	make_key(key);
	if (write_upgrade(&w->out, x, t, key, e) < 0 ||
	    link_send_all(&w->link, buf_span(&w->out), watch, &sent, e) < 0 ||
	    link_head(&w->link, pool->in, &n, &pool->head, &size, watch,
	    e) < 0 || check_upgraded(&pool->head, key, e) < 0)
		return -1;
	buf_reset(&w->out, UPSTREAM_OUT_KEEP);
	return buf_add(&w->early, pool->in + size, n - size);
}

int
ws_connect(struct upstream_pool *pool, struct upstream_entry *x,
    const struct upstream_target *t, struct upstream_call *watch,
    struct err *e)
{
	struct ws_link *w = xcalloc(1, sizeof(*w));

	link_init(&w->link);
	ws_parser_init(&w->parser, false, UPSTREAM_OPENED_MAX);
	buf_init(&w->early, UPSTREAM_IN_SIZE);
	buf_init(&w->out, UPSTREAM_OUT_MAX);
	buf_init(&w->later, UPSTREAM_OUT_MAX);
	if (link_open(&w->link, x, watch->deadline_ms, e) < 0 ||
	    handshake(pool, w, x, t, watch, e) < 0) {
		ws_link_free(&w);
		return -1;
	}
	x->ws = w;
	return 0;
}

/* ---- frames ---- */

static int
flush(struct ws_link *w, struct upstream_call *call, struct err *e)
{
	size_t sent;
	int rv = 0;

	while (rv == 0 && w->out.n > 0) {
		w->sending = true;
		rv = link_send_all(&w->link, buf_span(&w->out), call, &sent,
		    e);
		w->sending = false;
		w->torn |= rv < 0;
		buf_reset(&w->out, UPSTREAM_OUT_KEEP);
		if (w->later.n > 0) {
			buf_add_span(&w->out, buf_span(&w->later));
			buf_reset(&w->later, 0);
		}
	}
	return rv;
}

/* Not between the bytes of another frame. */
static int
add_and_flush(struct ws_link *w, enum ws_opcode type, struct span payload,
    struct upstream_call *call, struct err *e)
{
	if (w->sending)
		return add_frame(&w->later, type, payload, e);
	if (add_frame(&w->out, type, payload, e) < 0)
		return -1;
	return flush(w, call, e);
}

/* The server said good-bye, or said something that it must not. */
static int
leave(struct ws_link *w, uint16_t code)
{
	uint8_t mask[4];
	size_t sent;

	if (w->sending)
		return -1;		/* in the middle of a frame */
	random_bytes(mask, sizeof(mask));
	buf_reset(&w->out, UPSTREAM_OUT_KEEP);
	ws_write_close(&w->out, code, mask);
	/* Best effort: the connection is closed next. */
	link_send(&w->link, buf_span(&w->out), &sent);
	buf_reset(&w->out, UPSTREAM_OUT_KEEP);
	return -1;
}

static int
take_event(struct ws_link *w, struct sink *s, const struct ws_event *ev,
    struct err *e)
{
	int rv;

	switch (ev->type) {
	case WS_TEXT:
		rv = sink_flow_event_end(s, ev->data, e);
		return rv != 0 ? rv : sink_message(s, ev->data, e);
	case WS_PING:
		return add_and_flush(w, WS_PONG, ev->data, s->call, e);
	case WS_PONG:
		return 0;
	case WS_CLOSE:
		err_set(e, ERR_UPSTREAM, "the server closed the WebSocket "
		    "(%u)", ev->code);
		return leave(w, ev->code == WS_CODE_NONE ? WS_CODE_NORMAL :
		    ev->code);
	case WS_BINARY:
	case WS_CONTINUATION:
		break;
	}
	err_set(e, ERR_UPSTREAM, "bad answer: a binary message");
	return leave(w, WS_CODE_UNSUPPORTED);
}

/* A message that is not complete, and large. 0, or -1 as ws_parse(). */
static int
flow(struct ws_link *w, struct sink *s, struct err *e)
{
	struct span data;
	int rv;

	if (!sink_flow_wants(s, ws_parser_pending(&w->parser)))
		return 0;
	if (ws_parser_part(&w->parser, &data, e) < 0)
		return -1;
	if ((rv = sink_flow_part(s, data, e)) == 1)
		ws_parser_forget(&w->parser, data.n);
	return rv < 0 ? FLOW_FAILED : 0;
}

static int
feed(struct ws_link *w, struct sink *s, struct span in, struct err *e)
{
	struct ws_event ev;
	size_t taken;
	int rv;

	if (sink_count(s, in.n, e) < 0)
		return leave(w, WS_CODE_TOO_BIG);
	while ((rv = ws_parse(&w->parser, in, &taken, &ev, e)) == 1) {
		in = span_skip(in, taken);
		if (take_event(w, s, &ev, e) < 0)
			return -1;
	}
	if (rv == 0 && (rv = flow(w, s, e)) == 0)
		return 0;
	if (rv == FLOW_FAILED)
		return -1;
	if (e->code != ERR_TOOBIG)
		err_wrap(e, "bad answer");
	e->code = e->code == ERR_TOOBIG ? ERR_TOOBIG : ERR_UPSTREAM;
	return leave(w, w->parser.error_code);
}

/* What is there now. 1: all of it was taken; 0: answered; -1. */
static int
take_waiting(struct upstream_pool *pool, struct ws_link *w, struct sink *s,
    struct err *e)
{
	enum link_io io;
	struct span early = buf_span(&w->early);
	size_t got;

	w->early.n = 0;
	if (early.n > 0 && feed(w, s, early, e) < 0)
		return -1;
	while ((io = link_recv(&w->link, pool->in, UPSTREAM_IN_SIZE, &got)) ==
	    LINK_OK) {
		if (feed(w, s, span_make(pool->in, got), e) < 0)
			return -1;
		if (s->answered)
			return 0;
		if (wire_glance(s->call, e) < 0)
			return -1;
	}
	if (io == LINK_AGAIN)
		return 1;
	return err_set(e, ERR_UPSTREAM, "no answer: %s", io == LINK_EOF ?
	    "closed the connection" : strerror(errno));
}

static int
await_answer(struct upstream_pool *pool, struct ws_link *w, struct sink *s,
    struct err *e)
{
	struct pollfd own[2] = { { .fd = w->link.fd, .events = POLLIN },
	    { .fd = -1 } };
	int rv;

	while ((rv = take_waiting(pool, w, s, e)) == 1)
		if (wire_wait(own, s->call, e) < 0)
			return -1;
	return rv;
}

static int
ask(struct ws_link *w, struct upstream_pool *pool, struct upstream_call *call,
    struct err *e)
{
	size_t sent;

	buf_reset(&pool->out, UPSTREAM_OUT_KEEP);
	if (message_write(&pool->out, call) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	if (add_frame(&w->out, WS_TEXT, buf_span(&pool->out), e) < 0)
		return -1;
	sent = w->out.n;
	if (flush(w, call, e) < 0)
		return -1;
	call->maybe_executed = sent > 0;
	return 0;
}

/* 0 done, -1 with err. */
static int
talk(struct upstream_pool *pool, struct ws_link *w, struct sink *s,
    struct err *e)
{
	struct upstream_call *call = s->call;
	int rv = take_waiting(pool, w, s, e);

	/* Closed meanwhile? Then another one, and nothing has happened. */
	if (rv < 0 && !s->stopped && e->code == ERR_UPSTREAM)
		call->session_gone = true;
	s->is_asked = true;
	if (rv >= 0 && !call->is_listen)
		rv = ask(w, pool, call, e);
	if (rv >= 0 && !call->is_notification)
		rv = await_answer(pool, w, s, e);
	return rv < 0 ? -1 : 0;
}

int
ws_exchange(struct upstream_pool *pool, struct upstream_entry *x,
    struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct ws_link *w = x->ws;
	int rv;

	if (w == NULL) {
		call->session_gone = true;
		return err_set(e, ERR_UPSTREAM, "not connected");
	}
	s->is_link = true;
	w->parser.message.max = call->response_max > UPSTREAM_OPENED_MAX ?
	    call->response_max : UPSTREAM_OPENED_MAX;
	w->parser.is_taken = call->on_result != NULL || call->on_large != NULL;
	s->is_owing = w->is_owing;
	w->in_use = true;
	rv = talk(pool, w, s, e);
	w->in_use = false;
	if (w->torn || (rv < 0 && !link_may_stay(s, e)))
		link_is_gone(x);
	else if (rv < 0)
		w->is_owing |= s->is_asked && !call->is_notification;
	return rv;
}

/* Inside of an exchange, too, and on another fiber beside it, which may end
 * it. What cannot be sent as a whole ends the exchange. */
int
ws_post(struct upstream_entry *x, struct span message, int64_t deadline_ms,
    struct err *e)
{
	struct upstream_call watch = { .client_fd = -1,
	    .deadline_ms = deadline_ms };
	struct ws_link *w = x->ws;
	int rv;

	if (w == NULL)
		return err_set(e, ERR_UPSTREAM, "not connected");
	w->posts++;
	rv = add_and_flush(w, WS_TEXT, message, &watch, e);
	w->posts--;
	if (w->is_dead)
		ws_link_free(&w);
	else if (w->torn && w->in_use)
		shutdown(w->link.fd, SHUT_RDWR);
	else if (rv < 0 && !w->in_use)
		link_is_gone(x);
	return rv;
}
