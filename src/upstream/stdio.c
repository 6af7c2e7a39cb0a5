/*
 * stdio -- exchanges with stdio servers, through stdiod.
 *
 * Workers, poller, tools: clients of stdio_proto.h. Names a server by its id,
 * never a command. stdiod is one of us, but it passes on what servers write,
 * so bodies of responses are judged like any other answer.
 */
#include "upstream/opening_int.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "stdio/stdio_proto.h"

/* Bytes as they come, of which frames are taken. */
struct frames {
	struct upstream_pool *pool;
	struct upstream_entry *entry;
	struct upstream_call *call;
	size_t		 pos, n;	/* in pool->in */
	bool		 began;		/* a byte has come */
};

static void
disconnect(struct upstream_entry *x)
{
	if (x->stdio_fd >= 0)
		close(x->stdio_fd);
	x->stdio_fd = -1;
	x->stdio_used = false;
}

/* Or another process that speaks as it does. */
static int
connect_stdiod(const struct upstream_pool *pool,
    const struct upstream_entry *x, struct upstream_call *watch,
    struct err *e)
{
	int fd;

	if (pool->stdio_socket == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "stdio servers need a running omni2d");
	fd = x->via == VIA_OWNER ?
	    hear_connect_owner(pool, x->server_id, watch, e) :
	    wire_connect_unix(span_str(pool->stdio_socket),
	    watch->deadline_ms, e);
	if (fd < 0)
		return -1;
	if (wire_set_timeouts(fd) == 0)
		return fd;
	close(fd);
	return err_set(e, ERR_INTERNAL, "setsockopt: %s", strerror(errno));
}

static void
frame_begin(struct buf *b, enum stdio_frame_type type, unsigned flags,
    int64_t server_id, uint64_t client_session, uint64_t id, size_t size)
{
	struct stdio_frame f = {
		.magic = STDIO_FRAME_MAGIC, .type = (uint16_t)type,
		.flags = (uint16_t)flags, .id = id, .server_id = server_id,
		.client_session = client_session, .size = (uint32_t)size,
	};

	buf_reset(b, UPSTREAM_OUT_KEEP);
	buf_add(b, &f, sizeof(f));
}

/* JSON white space may hold line ends; stdio servers read lines. */
static void
make_one_line(struct buf *b, size_t from)
{
	char *p = b->p + from, *end = b->p + b->n;

	for (; p < end; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
}

static int
compose(struct upstream_pool *pool, const struct upstream_entry *x,
    struct upstream_call *call, struct err *e)
{
	size_t size = message_size(call);
	struct buf *b = &pool->out;

	if (size > STDIO_BODY_MAX)
		return err_set(e, ERR_TOOBIG, "request too large");
	frame_begin(b, call->is_notification ? STDIO_NOTIFY : STDIO_CALL,
	    call->holds ? STDIO_FLAG_HOLDS : 0, x->server_id, call->session.client_session,
	    call->is_notification ? 0 : call->id, size);
	if (message_write(b, call) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	make_one_line(b, sizeof(struct stdio_frame));
	return 0;
}

/* At least one byte is in pool->in. */
static enum wire
fill(struct frames *f, struct err *e)
{
	enum wire w;

	if (f->pos < f->n)
		return WIRE_OK;
	f->pos = f->n = 0;
	w = wire_recv(f->entry->stdio_fd, f->pool->in, UPSTREAM_IN_SIZE,
	    f->call, &f->n, e);
	f->began |= w == WIRE_OK;
	return w;
}

/* Exactly n bytes. */
static enum wire
take(struct frames *f, char *out, size_t n, struct err *e)
{
	enum wire w;
	size_t m;

	while (n > 0) {
		if ((w = fill(f, e)) != WIRE_OK)
			return w;
		m = f->n - f->pos < n ? f->n - f->pos : n;
		memcpy(out, f->pool->in + f->pos, m);
		f->pos += m;
		out += m;
		n -= m;
	}
	return WIRE_OK;
}

/* The next frame; its body replaces what is in b. */
static enum wire
take_frame(struct frames *f, struct stdio_frame *frame, struct buf *b,
    size_t max, struct err *e)
{
	enum wire w = take(f, (char *)frame, sizeof(*frame), e);

	if (w != WIRE_OK)
		return w;
	if (frame->magic != STDIO_FRAME_MAGIC || (frame->size >
	    STDIO_BODY_MAX && frame->type != STDIO_LARGE)) {
		err_set(e, ERR_UPSTREAM, "stdiod sent something else");
		return WIRE_ENDED;
	}
	buf_reset(b, UPSTREAM_OUT_KEEP);
	if (frame->type == STDIO_LARGE)
		return WIRE_OK;
	if (frame->size > max || buf_reserve(b, frame->size) < 0) {
		err_set(e, ERR_TOOBIG, "the answer has %u bytes", frame->size);
		return WIRE_ENDED;
	}
	w = take(f, b->p, frame->size, e);
	b->n = w == WIRE_OK ? frame->size : 0;
	return w;
}

/* The connection ended. -1 with err, or 0: try on a new one. */
static int
ended(const struct frames *f, enum wire how, struct err *e)
{
	if (how == WIRE_ENDED)
		return -1;
	if (!f->began && f->entry->stdio_used &&
	    (how == WIRE_BROKEN || call_is_repeatable(f->call)))
		return 0;
	f->call->is_blameless = true;
	return err_set(e, ERR_UPSTREAM, "stdiod is gone: %s",
	    how == WIRE_EOF ? "closed the connection" : strerror(errno));
}

static int
error_frame(const struct stdio_frame *frame, const struct buf *b,
    struct err *e)
{
	unsigned code = frame->flags & ~STDIO_FLAGS;

	if (code == ERR_NONE || code >= ERR_COUNT)
		code = ERR_UPSTREAM;
	return err_set(e, (enum err_code)code, "%.*s",
	    SPAN_FMT(buf_span(b)));
}

/* The body of a large response, as that of an HTTP answer. */
static int
read_large(struct frames *f, struct sink *s, uint64_t left, struct err *e)
{
	struct span piece;
	enum wire w;

	s->status = 200;
	for (; left > 0; left -= piece.n) {
		if ((w = fill(f, e)) != WIRE_OK)
			return ended(f, w, e);
		piece = span_make(f->pool->in + f->pos, f->n - f->pos);
		if (piece.n > left)
			piece.n = (size_t)left;
		f->pos += piece.n;
		if (sink_body(s, piece, e) < 0)
			return -1;
	}
	return sink_end(s, e) < 0 ? -1 : 1;
}

/* Frames until the response. 1 answered, 0 try again, -1 err. */
static int
read_answer(struct frames *f, struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct buf *b = call->response;
	struct stdio_frame frame;
	enum wire w;

	for (;;) {
		w = take_frame(f, &frame, b, call->response_max, e);
		if (w != WIRE_OK)
			return ended(f, w, e);
		if (frame.id != call->id)
			return err_set(e, ERR_UPSTREAM,
			    "stdiod answered another call");
		if (frame.type == STDIO_ERROR) {
			if (frame.flags & STDIO_FLAG_NOT_EXECUTED)
				call->maybe_executed = false;
			if (frame.flags & STDIO_FLAG_GONE)
				call->session_gone = true;
			s->refused = true;
			return error_frame(&frame, b, e);
		}
		if (frame.type == STDIO_LARGE)
			return read_large(f, s, (uint64_t)frame.size_high << 32 |
			    frame.size, e);
		if (frame.type != STDIO_MESSAGE && frame.type != STDIO_RESPONSE)
			return err_set(e, ERR_UPSTREAM,
			    "stdiod sent frame type %u", frame.type);
		if (sink_count(s, b->n, e) < 0 ||
		    sink_message(s, buf_span(b), e) < 0)
			return -1;
		if (s->answered)
			return 1;
		if (frame.type == STDIO_RESPONSE)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: it holds no response");
	}
}

/* One attempt. 1 done, 0 try on a new connection, -1 err. */
static int
attempt(struct frames *f, struct sink *s, struct err *e)
{
	struct upstream_entry *x = f->entry;
	struct span out = buf_span(&f->pool->out);
	struct upstream_call *call = s->call;
	size_t sent;
	enum wire w;

	if (x->stdio_fd < 0 &&
	    (x->stdio_fd = connect_stdiod(f->pool, x, call, e)) < 0) {
		call->is_blameless = true;
		call->session_gone = x->via == VIA_OWNER;
		return -1;
	}
	w = wire_send(x->stdio_fd, out, call, &sent, e);
	call->maybe_executed = sent == out.n;
	if (w == WIRE_OK && sent < out.n)
		return err_set(e, ERR_UPSTREAM, "stdiod does not read");
	if (w != WIRE_OK)
		return ended(f, w, e);
	return call->is_notification ? 1 : read_answer(f, s, e);
}

/* Best effort: the connection is closed next, which abandons the call too. */
static void
send_cancel(const struct upstream_entry *x, struct upstream_call *call)
{
	struct stdio_frame f = {
		.magic = STDIO_FRAME_MAGIC, .type = STDIO_CANCEL,
		.id = call->id, .server_id = x->server_id,
		.client_session = call->session.client_session,
	};

	if (x->stdio_fd >= 0 && send(x->stdio_fd, &f, sizeof(f),
	    MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

int
stdio_exchange(struct upstream_pool *pool, struct upstream_entry *x,
    struct sink *s, struct err *e)
{
	struct frames f;
	int i, rv = 0;

	s->call->is_blameless = false;
	if (compose(pool, x, s->call, e) < 0)
		return -1;
	for (i = 0; i < 2 && rv == 0; i++) {
		memset(&f, 0, sizeof(f));
		f.pool = pool;
		f.entry = x;
		f.call = s->call;
		rv = attempt(&f, s, e);
		if (rv == 0) {
			disconnect(x);
			s->call->maybe_executed = false;
		}
	}
	x->stdio_used = x->stdio_fd >= 0;
	if (rv < 0 && (s->stopped || e->code == ERR_TIMEOUT ||
	    e->code == ERR_CANCELLED) && s->call->maybe_executed && !s->refused)
		send_cancel(x, s->call);
	if ((rv < 0 && !s->refused) || f.pos < f.n)
		disconnect(x);
	return rv == 1 ? 0 : -1;
}

static int
opened(const struct stdio_frame *frame, const struct buf *b,
    struct sess_info *out, struct buf *result, struct err *e)
{
	struct stdio_opened o;

	if (frame->type == STDIO_ERROR)
		return error_frame(frame, b, e);
	if (frame->type != STDIO_OPENED || b->n < sizeof(o))
		return err_set(e, ERR_UPSTREAM, "stdiod sent frame type %u",
		    frame->type);
	memcpy(&o, b->p, sizeof(o));
	memset(out, 0, sizeof(*out));
	out->era = o.era == ERA_MODERN ? ERA_MODERN : ERA_LEGACY;
	span_copy(out->version, sizeof(out->version), span_make(o.version,
	    strnlen(o.version, sizeof(o.version))));
	if (result != NULL && buf_add_span(result,
	    span_skip(buf_span(b), sizeof(o))) < 0)
		return err_set(e, ERR_TOOBIG, "the opening answer has %zu "
		    "bytes", b->n);
	return 0;
}

int
stdio_open(struct upstream_pool *pool, struct upstream_entry *x,
    struct upstream_call *watch, uint64_t client_session,
    const char *caps_json, struct sess_info *out, struct buf *result,
    struct err *e)
{
	struct upstream_call opening = *watch;	/* OPEN may be repeated */
	struct frames f = { .pool = pool, .entry = x, .call = &opening };
	struct span caps = span_str(client_session == 0 ? "" : caps_json);
	struct stdio_frame frame;
	enum wire w = WIRE_EOF;
	size_t sent;
	int i;

	opening.method = SPAN_LIT("");
	watch->is_blameless = false;
	for (i = 0; i < 2 && w != WIRE_OK; i++) {
		if (x->stdio_fd < 0 && (x->stdio_fd = connect_stdiod(pool, x,
		    watch, e)) < 0) {
			watch->is_blameless = true;
			return -1;
		}
		frame_begin(&pool->out, STDIO_OPEN, 0, x->server_id,
		    client_session, 0, caps.n);
		buf_add_span(&pool->out, caps);
		w = wire_send(x->stdio_fd, buf_span(&pool->out), watch,
		    &sent, e);
		if (w == WIRE_OK)
			w = take_frame(&f, &frame, &pool->out,
			    UPSTREAM_OPENED_MAX, e);
		if (w != WIRE_OK && ended(&f, w, e) < 0) {
			watch->is_blameless = opening.is_blameless;
			disconnect(x);
			return -1;
		}
		if (w != WIRE_OK)
			disconnect(x);
	}
	x->stdio_used = true;
	if (f.pos < f.n)
		disconnect(x);
	return opened(&frame, &pool->out, out, result, e);
}

int
stdio_post(struct upstream_pool *pool, const struct upstream_entry *x,
    uint64_t client_session, struct span message, int64_t deadline_ms,
    struct err *e)
{
	struct upstream_call watch = { .client_fd = -1,
	    .deadline_ms = deadline_ms };
	struct buf b;
	size_t sent;
	int fd, rv = -1;

	if ((fd = connect_stdiod(pool, x, &watch, e)) < 0)
		return -1;
	buf_init(&b, STDIO_BODY_MAX);
	frame_begin(&b, message.n == 0 ? STDIO_CLOSE : STDIO_NOTIFY, 0,
	    x->server_id, client_session, 0, message.n);
	if (buf_add_span(&b, message) < 0) {
		err_set(e, ERR_TOOBIG, "message too large");
		goto out;
	}
	make_one_line(&b, sizeof(struct stdio_frame));
	switch (wire_send(fd, buf_span(&b), &watch, &sent, e)) {
	case WIRE_OK:
		rv = sent == b.n ? 0 :
		    err_set(e, ERR_UPSTREAM, "stdiod does not read");
		break;
	case WIRE_EOF:
	case WIRE_BROKEN:
		err_set(e, ERR_UPSTREAM, "stdiod: %s", strerror(errno));
		break;
	case WIRE_ENDED:
		break;
	}
out:
	buf_free(&b);
	close(fd);
	return rv;
}
