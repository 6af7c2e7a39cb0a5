/*
 * conn -- see conn.h. Worker only. Limits: head, body, time and rate.
 */
#include "proc/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "net/http_body.h"

#define IN_MIN	(16u * 1024)
#define HOLD_MS	100	/* for the next request of a quiet connection */
#define WAIT_MS	100	/* between looks at the deadline */

static void
make_room(struct conn *c, size_t more)
{
	if (c->start > 0) {
		memmove(c->in, c->in + c->start, c->n - c->start);
		c->n -= c->start;
		c->start = 0;
	}
	if (c->cap - c->n >= more)
		return;
	while (c->cap - c->n < more)
		c->cap = c->cap == 0 ? IN_MIN : c->cap * 2;
	c->in = xrealloc(c->in, c->cap);
}

void
conn_start(struct conn *c, int fd, uint64_t id, const char *peer,
    const char *bytes, size_t n)
{
	c->fd = fd;
	c->id = id;
	span_copy(c->peer, sizeof(c->peer), span_str(peer));
	c->start = c->n = 0;
	if (c->cap > 1u << 20) {	/* a large request is over */
		free(c->in);
		c->in = NULL;
		c->cap = 0;
	}
	make_room(c, n);
	memcpy(c->in, bytes, n);
	c->n = n;
}

struct span
conn_rest(const struct conn *c)
{
	return span_make(c->in + c->start, c->n - c->start);
}

/* 1 got bytes, 0 end of file, -1 deadline or error. */
static int
read_more(struct conn *c, int64_t deadline_ms)
{
	for (;;) {
		ssize_t got = fiber_recv(c->fd, c->in + c->n, c->cap - c->n,
		    WAIT_MS);

		if (got > 0) {
			c->n += (size_t)got;
			return 1;
		}
		if (got == 0)
			return 0;
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return 0;
		if (clock_mono_ms() >= deadline_ms)
			return -1;
	}
}

int
conn_hold(struct conn *c)
{
	ssize_t got;

	if (c->start == c->n)
		c->start = c->n = 0;
	make_room(c, 4096);
	got = fiber_recv(c->fd, c->in + c->n, c->cap - c->n, HOLD_MS);
	if (got > 0) {
		c->n += (size_t)got;
		return 1;
	}
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK ||
	    errno == EINTR))
		return 0;
	return -1;
}

static int
read_head(struct conn *c, const struct conf *conf, size_t *size, struct err *e)
{
	int64_t deadline = clock_mono_ms() + conf->header_timeout_ms;
	size_t scanned = 0;
	long end;
	int rc;

	for (;;) {
		end = c->n > c->start ? http_head_end(c->in + c->start,
		    c->n - c->start, &scanned) : 0;
		if (end > 0)
			break;
		if (end < 0)
			return err_set(e, c->n - c->start >= HTTP_HEAD_MAX ?
			    ERR_HEADTOOBIG : ERR_BADREQ,
			    "the request head is malformed");
		if (c->n - c->start >= (size_t)conf->head_max)
			return err_set(e, ERR_HEADTOOBIG,
			    "the request head is larger than %lld bytes",
			    (long long)conf->head_max);
		make_room(c, 4096);
		rc = read_more(c, deadline);
		if (rc == 0 && c->n == c->start)
			return 0;
		if (rc <= 0)
			return err_set(e, rc == 0 ? ERR_BADREQ :
			    ERR_TIMEOUT_CLIENT, rc == 0 ?
			    "the connection ended within the request head" :
			    "the request head came too slowly");
	}
	if (end > conf->head_max)
		return err_set(e, ERR_HEADTOOBIG,
		    "the request head is larger than %lld bytes",
		    (long long)conf->head_max);
	*size = (size_t)end;
	return 1;
}

/* By when n bytes of body must have come. */
static int64_t
body_deadline(const struct conf *conf, int64_t begun_ms, uint64_t n)
{
	return begun_ms + conf->body_timeout_ms +
	    (int64_t)(n * 1000 / (uint64_t)conf->body_rate);
}

static int
slow_or_short(int rc, struct err *e)
{
	if (rc == 0)
		return err_set(e, ERR_BADREQ,
		    "the connection ended within the request body");
	return err_set(e, ERR_TIMEOUT_CLIENT, "the request body came too slowly");
}

static void
say_continue(struct conn *c, const struct http_head *h)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (h->expect_continue)
		(void)!send(c->fd, line, sizeof(line) - 1,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int
read_length(struct conn *c, const struct conf *conf, struct http_memo *m,
    size_t head, struct span *body, struct err *e)
{
	int64_t begun = clock_mono_ms();
	struct http_head *h = &m->head;
	size_t want = head + (size_t)h->content_length;
	bool moved = false;
	int rc;

	if (c->n - c->start < want)
		say_continue(c, h);
	if (c->cap - c->start < want) {
		make_room(c, want - (c->n - c->start));
		moved = true;
	}
	while (c->n - c->start < want) {
		rc = read_more(c, body_deadline(conf, begun,
		    c->n - c->start - head));
		if (rc <= 0)
			return slow_or_short(rc, e);
	}
	if (moved && http_request_parse(h, c->in + c->start, head, e) < 0)
		return -1;
	http_memo_note(m, c->in + c->start, head);
	*body = span_make(c->in + c->start + head, (size_t)h->content_length);
	c->start += want;
	return 1;
}

static int
add_body(struct conn *c, size_t *n, struct span piece, const struct conf *conf,
    struct err *e)
{
	if (piece.n > (size_t)conf->body_max - *n)
		return err_set(e, ERR_TOOBIG, "the request body is larger than "
		    "%lld bytes (limits.body)", (long long)conf->body_max);
	if (*n + piece.n > c->body_cap) {
		while (c->body_cap < *n + piece.n)
			c->body_cap = c->body_cap == 0 ? IN_MIN :
			    c->body_cap * 2;
		c->body = xrealloc(c->body, c->body_cap);
	}
	memcpy(c->body + *n, piece.p, piece.n);
	*n += piece.n;
	return 0;
}

/* The head must stay where it is, so chunks are read behind it in place. */
static int
read_chunked(struct conn *c, const struct conf *conf, struct http_head *h,
    size_t head, struct span *body, struct err *e)
{
	int64_t begun = clock_mono_ms();
	struct http_body b;
	size_t n = 0, at = c->start + head, taken;
	struct span piece;
	int rc;

	make_room(c, 4096);		/* may move: the head is read anew */
	at = c->start + head;
	http_body_for_request(&b, h);
	say_continue(c, h);
	for (;;) {
		if (http_body_feed(&b, span_make(c->in + at, c->n - at), &taken,
		    &piece, e) < 0)
			return -1;
		if (piece.n > 0 && add_body(c, &n, piece, conf, e) < 0)
			return -1;
		at += taken;
		if (b.done)
			break;
		if (taken > 0 || piece.n > 0)
			continue;
		if (at == c->n && c->n > c->start + head)
			at = c->n = c->start + head;
		if (c->n == c->cap) {
			/* undecoded rest fills the buffer: grow it */
			size_t from = c->start;

			make_room(c, c->cap);
			at -= from;
		}
		rc = read_more(c, body_deadline(conf, begun, n));
		if (rc <= 0)
			return slow_or_short(rc, e);
	}
	if (http_request_parse(h, c->in + c->start, head, e) < 0)
		return -1;
	*body = span_make(c->body, n);
	c->start = at;
	return 1;
}

int
conn_read_request(struct conn *c, const struct conf *conf, struct http_memo *m,
    struct span *body, struct err *e)
{
	struct http_head *h = &m->head;
	size_t head = 0;
	int rc;

	if (c->body_cap > 1u << 20) {	/* a large request is over */
		free(c->body);
		c->body = NULL;
		c->body_cap = 0;
	}
	head = http_memo_find(m, c->in + c->start, c->n - c->start);
	if (head == 0 || head > (size_t)conf->head_max) {
		if ((rc = read_head(c, conf, &head, e)) <= 0)
			return rc;
		if (http_request_parse(h, c->in + c->start, head, e) < 0)
			return -1;
	}
	if (c->elsewhere != NULL && span_starts(h->path, c->elsewhere))
		return 2;
	if (!c->takes_bodies && (h->chunked || h->content_length > 0))
		return err_set(e, ERR_TOOBIG, "what is served here takes no "
		    "request body");
	if (h->has_length && h->content_length > (uint64_t)conf->body_max)
		return err_set(e, ERR_TOOBIG, "the request body is larger than "
		    "%lld bytes (limits.body)", (long long)conf->body_max);
	if (h->chunked)
		return read_chunked(c, conf, h, head, body, e);
	return read_length(c, conf, m, head, body, e);
}
