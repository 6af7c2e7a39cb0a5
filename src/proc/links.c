/*
 * links -- see links.h.
 */
#include "proc/links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "stdio/stdio_proto.h"

#define PATIENCE_MS	60000	/* then it looks again */
#define WRITE_MS	5000	/* for a worker that does not read */
#define BODY_KEEP	(1u << 20)
#define QUESTIONS_MAX	(32u << 20)	/* bytes of unanswered ones, of all */

static void	call_ended(struct links *, void *link, uint64_t id);

/* ---- frames ---- */

/* Exactly n bytes; false: the worker has gone. */
static bool
take(const struct links_conn *c, char *p, size_t n)
{
	ssize_t got;

	while (n > 0) {
		got = fiber_recv(c->fd, p, n, PATIENCE_MS);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (got < 0)
			continue;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static bool
give(const struct links_conn *c, struct span s)
{
	struct pollfd out = { .fd = c->fd, .events = POLLOUT };
	int64_t until = clock_mono_ms() + WRITE_MS, now;
	ssize_t n;

	while (s.n > 0) {
		n = send(c->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			s = span_skip(s, (size_t)n);
			until = clock_mono_ms() + WRITE_MS;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return false;
		if ((now = clock_mono_ms()) >= until)
			return false;
		fiber_poll(&out, 1, (int)(until - now));
	}
	return true;
}

/* One after the other: a call's fiber and its link's may both have something
 * to say. A worker that does not read loses its connection. */
static void
send_frame(struct links_conn *c, const struct stdio_frame *frame,
    struct span head, struct span body)
{
	struct stdio_frame f = *frame;
	uint32_t use = c->use;

	while (c->writing && c->use == use)
		fiber_sleep(1);
	if (c->use != use)
		return;			/* closed meanwhile, and another's now */
	c->writing = true;
	f.magic = STDIO_FRAME_MAGIC;
	f.size = (uint32_t)(head.n + body.n);
	if (!give(c, span_make((const char *)&f, sizeof(f))) ||
	    !give(c, head) || !give(c, body))
		shutdown(c->fd, SHUT_RDWR);
	c->writing = false;
}

static void
send_error(struct links_conn *c, uint64_t id, const struct err *e,
    unsigned flags)
{
	struct stdio_frame f = { .type = STDIO_ERROR, .id = id,
	    .flags = (uint16_t)(e->code | flags) };

	send_frame(c, &f, span_make(NULL, 0), span_str(e->text));
}

/* A worker reads as fast as its client. It has a deadline and closes the
 * connection; here nothing else depends on it. */
static bool
give_file(struct links_conn *c)
{
	struct pollfd out = { .fd = c->fd, .events = POLLOUT };
	int rv;

	while ((rv = spill_send(&c->file, c->fd)) == 0)
		fiber_poll(&out, 1, PATIENCE_MS);
	return rv > 0;
}

static void
file_main(void *arg)
{
	struct links_conn *c = arg;
	struct stdio_frame f = { .magic = STDIO_FRAME_MAGIC,
	    .type = STDIO_LARGE, .id = c->call,
	    .size = (uint32_t)c->file.size,
	    .size_high = (uint32_t)(c->file.size >> 32) };

	while (c->writing)
		fiber_sleep(1);
	c->writing = true;
	if (!give(c, span_make((const char *)&f, sizeof(f))) || !give_file(c))
		shutdown(c->fd, SHUT_RDWR);
	spill_close(&c->file);
	c->writing = c->has_file = c->sends_file = false;
}

/* ---- what a worker wants ---- */

static void
open_link(struct links_conn *c, const struct stdio_frame *f, struct span caps)
{
	struct stdio_frame answer = { .type = STDIO_OPENED, .id = f->id };
	struct stdio_opened o = { .era = ERA_LEGACY };
	struct links *l = c->links;
	struct sess_info s;
	struct err e;

	if (l->ops->open(l->arg, f->client_session, caps, &s, &e) == NULL) {
		send_error(c, f->id, &e, STDIO_FLAG_NOT_EXECUTED);
		return;
	}
	memcpy(o.version, s.version, sizeof(o.version));
	send_frame(c, &answer, span_make((const char *)&o, sizeof(o)),
	    SPAN_LIT("{}"));
}

static void
call(struct links_conn *c, const struct stdio_frame *f, struct span message)
{
	struct links *l = c->links;
	void *link = l->ops->find(l->arg, f->client_session);
	struct err e;

	if (link == NULL) {
		err_set(&e, ERR_UPSTREAM, "the link is gone");
		send_error(c, f->id, &e,
		    STDIO_FLAG_NOT_EXECUTED | STDIO_FLAG_GONE);
		return;
	}
	c->link = link;
	c->call = f->id;
	c->holds = (f->flags & STDIO_FLAG_HOLDS) != 0;
	c->order = ++l->last_order;
	/* the answer may come before this returns */
	if (l->ops->post(l->arg, link, message, &e) == 0 ||
	    c->link == NULL || c->call != f->id)
		return;
	c->link = NULL;
	send_error(c, f->id, &e, 0);
	call_ended(l, link, f->id);
}

static void
post(const struct links *l, void *link, struct span message)
{
	struct err e;

	if (link != NULL && l->ops->post(l->arg, link, message, &e) < 0)
		log_debug("%s", e.text);
}

/* The call under way is given up. */
static void
cancel(struct links_conn *c)
{
	void *link = c->link;
	uint64_t id = c->call;
	char text[160];
	int n;

	if (link == NULL)
		return;
	c->link = NULL;
	n = snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"method\":"
	    "\"notifications/cancelled\",\"params\":{\"requestId\":%llu,"
	    "\"reason\":\"cancelled by the client\"}}",
	    (unsigned long long)id);
	post(c->links, link, span_make(text, (size_t)n));
	call_ended(c->links, link, id);
}

static void
notify(struct links *l, uint64_t client, struct span message)
{
	void *link = l->ops->find(l->arg, client);

	if (link != NULL)
		questions_note_answer(&l->questions, link, message);
	post(l, link, message);
}

/* False: it breaks the protocol. */
static bool
obey(struct links_conn *c, const struct stdio_frame *f, struct span body)
{
	struct links *l = c->links;

	switch (f->type) {
	case STDIO_OPEN:
	case STDIO_CALL:
		if (c->link != NULL || c->has_file)
			return false;
		if (f->type == STDIO_OPEN)
			open_link(c, f, body);
		else
			call(c, f, body);
		return true;
	case STDIO_NOTIFY:
		notify(l, f->client_session, body);
		return true;
	case STDIO_CANCEL:
		if (c->call == f->id)
			cancel(c);
		return true;
	case STDIO_CLOSE:		/* it ends when nobody has used it */
		return true;
	default:
		return false;
	}
}

static void
conn_main(void *arg)
{
	struct links_conn *c = arg;
	struct stdio_frame f;
	struct buf body;

	buf_init(&body, STDIO_BODY_MAX);
	for (;;) {
		if (!take(c, (char *)&f, sizeof(f)) ||
		    f.magic != STDIO_FRAME_MAGIC || f.size > STDIO_BODY_MAX)
			break;
		buf_reset(&body, BODY_KEEP);
		if (buf_reserve(&body, f.size) < 0 ||
		    !take(c, body.p, f.size) ||
		    !obey(c, &f, span_make(body.p, f.size)))
			break;
	}
	cancel(c);
	if (c->has_file)
		shutdown(c->fd, SHUT_RDWR);	/* ends the sending of it */
	while (c->writing || c->has_file)
		fiber_sleep(1);
	buf_free(&body);
	close(c->fd);
	c->fd = -1;
}

/* ---- for the listener ---- */

void
links_init(struct links *l, const struct links_ops *ops, void *arg)
{
	size_t i;

	l->ops = ops;
	l->arg = arg;
	questions_init(&l->questions, QUESTIONS_MAX);
	for (i = 0; i < LINKS_CONNS; i++)
		l->conn[i].fd = -1;
}

void
links_accept(struct links *l, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct links_conn *c;
	size_t i;

	if (fd < 0)
		return;
	for (i = 0; i < LINKS_CONNS && l->conn[i].fd >= 0;)
		i++;
	if (i == LINKS_CONNS) {
		close(fd);		/* the worker does without */
		return;
	}
	c = &l->conn[i];
	*c = (struct links_conn){ .links = l, .fd = fd, .use = c->use + 1 };
	if (fiber_start(conn_main, c))
		return;
	close(fd);
	c->fd = -1;
}

void
links_send_files(struct links *l)
{
	struct links_conn *c;
	size_t i;

	if (!l->has_files)
		return;
	l->has_files = false;
	for (i = 0; i < LINKS_CONNS; i++) {
		c = &l->conn[i];
		if (c->fd < 0 || !c->has_file || c->sends_file)
			continue;
		c->sends_file = true;
		if (!fiber_start(file_main, c)) {
			c->sends_file = false;
			l->has_files = true;	/* one will end */
		}
	}
}

/* call 0: the oldest one. */
static struct links_conn *
find_call(struct links *l, const void *link, uint64_t id)
{
	struct links_conn *c, *found = NULL;
	size_t i;

	for (i = 0; i < LINKS_CONNS; i++) {
		c = &l->conn[i];
		if (c->fd < 0 || c->link != link || (id != 0 && c->call != id))
			continue;
		if (found == NULL || c->order < found->order)
			found = c;
	}
	return found;
}

bool
links_response(struct links *l, void *link, uint64_t id, struct span message)
{
	struct stdio_frame f = { .type = STDIO_RESPONSE, .id = id };
	struct links_conn *c = id == 0 ? NULL : find_call(l, link, id);
	bool holds;

	if (c == NULL)
		return false;
	holds = c->holds;
	c->link = NULL;
	send_frame(c, &f, span_make(NULL, 0), message);
	if (!holds)
		call_ended(l, link, id);
	return true;
}

bool
links_large(struct links *l, void *link, uint64_t id, struct bulk *b)
{
	struct links_conn *c = id == 0 ? NULL : find_call(l, link, id);
	bool holds;

	if (c == NULL)
		return false;
	holds = c->holds;
	c->link = NULL;
	if (b->why.code != ERR_NONE) {
		send_error(c, id, &b->why, 0);
	} else {
		c->file = b->file;
		b->file.fd = -1;
		c->has_file = l->has_files = true;
	}
	if (!holds)
		call_ended(l, link, id);
	return true;
}

bool
links_message(struct links *l, const void *link, uint64_t id,
    struct span message)
{
	struct links_conn *c = find_call(l, link, id);
	struct stdio_frame f = { .type = STDIO_MESSAGE };

	if (c == NULL)
		return false;
	f.id = c->call;
	send_frame(c, &f, span_make(NULL, 0), message);
	return true;
}

/* ---- questions: as in stdio/asked.c ---- */

static struct links_conn *
carrier(struct links *l, const void *link, uint64_t order)
{
	struct links_conn *c, *best = NULL;
	unsigned n, least = 0;
	size_t i;

	for (i = 0; i < LINKS_CONNS; i++) {
		c = &l->conn[i];
		if (c->fd < 0 || c->link != link || c->order > order)
			continue;
		n = questions_at(&l->questions, c->call);
		if (best != NULL && (n > least ||
		    (n == least && c->order < best->order)))
			continue;
		best = c;
		least = n;
	}
	return best;
}

static void
carry(struct links_conn *c, struct span message)
{
	struct stdio_frame f = { .type = STDIO_MESSAGE, .id = c->call };

	send_frame(c, &f, span_make(NULL, 0), message);
}

bool
links_question(struct links *l, const void *link, struct span message,
    struct span id)
{
	struct links_conn *c = carrier(l, link, l->last_order);
	struct question *q;

	if (c == NULL)
		return false;
	q = questions_add(&l->questions, link, message, id, l->last_order);
	if (q != NULL)
		q->call = c->call;
	carry(c, message);
	return true;
}

void
links_withdrawn(struct links *l, const void *link, struct span message)
{
	questions_note_cancelled(&l->questions, link, message);
}

/* Nobody is left who may have asked it. */
static void
refuse(struct links *l, void *link, struct question *q)
{
	char *text = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":"
	    "{\"code\":-32601,\"message\":\"Method not found\"}}",
	    SPAN_FMT(q->id));

	questions_remove(&l->questions, q);
	post(l, link, span_str(text));
	free(text);
}

/* What it carried goes to another one. Sending may wait, and meanwhile the
 * question may be answered. */
static void
call_ended(struct links *l, void *link, uint64_t id)
{
	struct links_conn *c;
	struct question *q;
	char *text;

	questions_drop(&l->questions, link, id);
	while ((q = questions_adrift(&l->questions, link, false)) != NULL) {
		if ((c = carrier(l, link, q->order)) == NULL) {
			refuse(l, link, q);
			continue;
		}
		q->call = c->call;
		text = xstrndup(q->text.p, q->text.n);
		carry(c, span_str(text));
		free(text);
	}
}

bool
links_in_use(const struct links *l, const void *link)
{
	size_t i;

	for (i = 0; i < LINKS_CONNS; i++)
		if (l->conn[i].fd >= 0 && l->conn[i].link == link)
			return true;
	return false;
}

void
links_ended(struct links *l, const void *link, const struct err *why)
{
	struct links_conn *c;

	questions_forget(&l->questions, link);
	while ((c = find_call(l, link, 0)) != NULL) {
		c->link = NULL;
		send_error(c, c->call, why, 0);
	}
}
