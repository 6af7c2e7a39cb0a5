/*
 * client -- connections of workers and the poller: frames in, frames out.
 *
 * stdiod only. A client that breaks the protocol or does not read its answers
 * is closed; closing a connection abandons its call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "stdio/stdiod_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"

#define READ_SIZE	65536u
#define MESSAGES_MAX	(1u << 20)	/* unread notifications of a client */
#define OUT_EXTRA	(4u << 20)	/* over the largest result */

static void
client_new(struct stdiod *sd, int fd)
{
	struct client *cl = xcalloc(1, sizeof(*cl));

	buf_init(&cl->in, sizeof(struct stdio_frame) + STDIO_BODY_MAX +
	    READ_SIZE);
	outq_init(&cl->out, 0);
	cl->file.fd = -1;
	TAILQ_INSERT_TAIL(&sd->clients, cl, link);
	source_open(sd, &cl->source, SOURCE_CLIENT, fd, EPOLLIN, cl);
}

void
client_accept(struct stdiod *sd)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	int fd;

	for (;;) {
		fd = accept4(sd->listener.fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			client_new(sd, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			if (log_limit_ok(&ll))
				log_warn("cannot accept: %s", strerror(errno));
			source_events(sd, &sd->listener, 0);
			sd->listener_paused = true;
		}
		return;
	}
}

void
client_close(struct stdiod *sd, struct client *cl)
{
	if (cl->source.fd < 0)
		return;
	source_close(sd, &cl->source);
	spill_close(&cl->file);
	TAILQ_REMOVE(&sd->clients, cl, link);
	TAILQ_INSERT_TAIL(&sd->dead_clients, cl, link);
	if (cl->call != NULL)
		server_cancel(sd, cl->call);
}

void
client_free(struct client *cl)
{
	buf_free(&cl->in);
	outq_free(&cl->out);
	spill_close(&cl->file);
	free(cl);
}

/* The file follows when all else is out; nothing can come after it before the
 * client has read it, for only then it may call again. */
static void
client_flush(struct stdiod *sd, struct client *cl)
{
	int rv = outq_flush(&cl->out, cl->source.fd);

	if (rv == 1 && cl->file.fd >= 0 &&
	    (rv = spill_send(&cl->file, cl->source.fd)) == 1)
		spill_close(&cl->file);
	switch (rv) {
	case 1:
		source_events(sd, &cl->source, EPOLLIN);
		break;
	case 0:
		source_events(sd, &cl->source, EPOLLIN | EPOLLOUT);
		break;
	default:
		client_close(sd, cl);
		break;
	}
}

static void
client_send(struct stdiod *sd, struct client *cl, struct stdio_frame *f,
    struct span head, struct span body)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	struct span parts[3] = {
		{ (const char *)f, sizeof(*f) }, head, body
	};

	if (cl->source.fd < 0)
		return;
	f->magic = STDIO_FRAME_MAGIC;
	f->size = (uint32_t)(head.n + body.n);
	cl->out.b.max = (size_t)sd->settings.result_max + OUT_EXTRA;
	if (outq_add(&cl->out, parts, 3) < 0) {
		if (log_limit_ok(&ll))
			log_warn("a client does not read its answers");
		client_close(sd, cl);
		return;
	}
	client_flush(sd, cl);
}

void
client_opened(struct stdiod *sd, struct call *c, const struct process *p)
{
	struct stdio_frame f = { .type = STDIO_OPENED, .id = c->id,
	    .server_id = c->server_id };
	struct stdio_opened o = { .era = (uint32_t)p->era,
	    .started = p->started };
	struct client *cl = c->client;

	memcpy(o.version, p->version, sizeof(o.version));
	call_end(sd, c);
	client_send(sd, cl, &f, span_make((const char *)&o, sizeof(o)),
	    buf_span(&p->result));
}

bool
client_message(struct stdiod *sd, struct call *c, struct span text)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	struct stdio_frame f = { .type = STDIO_MESSAGE, .id = c->id,
	    .server_id = c->server_id };

	if (outq_left(&c->client->out) > 0 &&
	    outq_left(&c->client->out) + text.n > MESSAGES_MAX) {
		if (log_limit_ok(&ll))
			log_warn("a client does not read its notifications; "
			    "some are left out");
		return false;
	}
	client_send(sd, c->client, &f, span_make(NULL, 0), text);
	return true;
}

void
client_response(struct stdiod *sd, struct call *c, struct span text)
{
	struct stdio_frame f = { .type = STDIO_RESPONSE, .id = c->id,
	    .server_id = c->server_id };
	struct client *cl = c->client;

	c->is_answered = true;
	call_end(sd, c);
	client_send(sd, cl, &f, span_make(NULL, 0), text);
}

void
client_large(struct stdiod *sd, struct call *c, struct bulk *b)
{
	struct stdio_frame f = { .magic = STDIO_FRAME_MAGIC,
	    .type = STDIO_LARGE, .id = c->id, .server_id = c->server_id,
	    .size = (uint32_t)b->file.size,
	    .size_high = (uint32_t)(b->file.size >> 32) };
	struct span head = { (const char *)&f, sizeof(f) };
	struct client *cl = c->client;

	c->is_answered = true;
	call_end(sd, c);
	if (cl->source.fd < 0)
		return;
	cl->file = b->file;
	b->file.fd = -1;
	cl->out.b.max = (size_t)sd->settings.result_max + OUT_EXTRA;
	if (outq_add(&cl->out, &head, 1) < 0)
		client_close(sd, cl);
	else
		client_flush(sd, cl);
}

void
client_error(struct stdiod *sd, struct call *c, const struct err *e,
    unsigned flags)
{
	struct stdio_frame f = { .type = STDIO_ERROR, .id = c->id,
	    .server_id = c->server_id };
	struct client *cl = c->client;

	f.flags = (uint16_t)(e->code | flags);
	call_end(sd, c);
	client_send(sd, cl, &f, span_make(NULL, 0), span_str(e->text));
}

/* OPEN and CALL. -1: the client breaks the protocol. */
static int
client_call(struct stdiod *sd, struct client *cl, const struct stdio_frame *f,
    struct span body)
{
	struct call *c;
	struct err e;

	if (cl->call != NULL || cl->file.fd >= 0)
		return -1;
	c = xcalloc(1, sizeof(*c));
	c->id = f->id;
	c->server_id = f->server_id;
	c->client_session = f->client_session;
	c->is_open = f->type == STDIO_OPEN;
	c->holds = (f->flags & STDIO_FLAG_HOLDS) != 0;
	c->client = cl;
	cl->call = c;
	buf_init(&c->body, STDIO_BODY_MAX);
	if (!c->is_open && mux_add(&sd->mux, c) < 0) {
		c->is_open = true;	/* so that the other one stays */
		err_set(&e, ERR_INTERNAL, "call id %llu is in use",
		    (unsigned long long)f->id);
		client_error(sd, c, &e, STDIO_FLAG_NOT_EXECUTED);
		return 0;
	}
	server_submit(sd, c, body);
	return 0;
}

static int
client_frame(struct stdiod *sd, struct client *cl,
    const struct stdio_frame *f, char *body)
{
	mux_one_line(body, f->size);
	switch (f->type) {
	case STDIO_OPEN:
	case STDIO_CALL:
		return client_call(sd, cl, f, span_make(body, f->size));
	case STDIO_NOTIFY:
		server_notify(sd, f->server_id, f->client_session,
		    span_make(body, f->size));
		return 0;
	case STDIO_CLOSE:
		server_close(sd, f->server_id, f->client_session);
		return 0;
	case STDIO_CANCEL:
		if (cl->call != NULL && cl->call->id == f->id)
			server_cancel(sd, cl->call);
		return 0;
	default:
		return -1;
	}
}

/* Handles the complete frames in cl->in. */
static void
client_frames(struct stdiod *sd, struct client *cl)
{
	struct stdio_frame f;
	size_t used = 0;
	int rv = 0;

	while (rv == 0 && cl->source.fd >= 0 &&
	    cl->in.n - used >= sizeof(f)) {
		memcpy(&f, cl->in.p + used, sizeof(f));
		if (f.magic != STDIO_FRAME_MAGIC || f.size > STDIO_BODY_MAX) {
			rv = -1;
			break;
		}
		if (cl->in.n - used - sizeof(f) < f.size)
			break;
		rv = client_frame(sd, cl, &f, cl->in.p + used + sizeof(f));
		used += sizeof(f) + f.size;
	}
	if (rv < 0) {
		log_warn("a client broke the protocol; connection closed");
		client_close(sd, cl);
	}
	if (cl->source.fd < 0)
		return;
	buf_consume(&cl->in, used);
	if (cl->in.n == 0)
		buf_reset(&cl->in, READ_SIZE);
}

void
client_event(struct stdiod *sd, struct client *cl, uint32_t events)
{
	ssize_t n;

	if (events & EPOLLOUT)
		client_flush(sd, cl);
	if (cl->source.fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (buf_reserve(&cl->in, READ_SIZE) < 0) {
		client_close(sd, cl);
		return;
	}
	n = read(cl->source.fd, cl->in.p + cl->in.n, READ_SIZE);
	if (n > 0) {
		cl->in.n += (size_t)n;
		client_frames(sd, cl);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		client_close(sd, cl);
	}
}
