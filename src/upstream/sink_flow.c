/*
 * sink_flow -- an answer too large to be collected passes on while it comes.
 *
 * Workers. The bytes of the result go to on_result and memory holds one piece;
 * that the answer ends as it should is known at the end only, so whoever takes
 * the pieces must not complete them before sink_end() has said so.
 *
 * "id" may stand behind "result" (the TypeScript SDK 1.x writes it so). Then
 * the answer is taken for ours if nothing else can be: the answer to one POST,
 * and what comes on a link of ours on which no call was ever given up. Else it
 * goes into a file until its end shows whose it is (base/bulk.h), and so does
 * all that a listener hears for others. What is not the result is kept, and
 * judged at the end like any other answer. An id that is wrong before
 * "result", or members that nobody knows there, are collected as ever.
 */
#include "upstream/upstream_int.h"

#include <stdlib.h>

#include "base/arena.h"

#define READ_SIZE	65536u

/* May it pass before its end? A stream that was resumed, and a link, may hold
 * what belongs to others. */
static bool
may_pass(const struct sink *s, const struct large_head *h)
{
	if (s->is_link && !s->is_asked)
		return false;
	if (h->has_version && h->has_id)
		return true;
	return !s->call->is_resuming && !s->is_owing;
}

/* Until its end it belongs to nobody. */
static int
begin_file(struct sink *s, struct span head)
{
	struct upstream_call *call = s->call;

	if (!s->is_link || s->pool->spool == NULL || !bulk_begin(&s->bulk,
	    s->pool->spool, call->result_max, head))
		return 0;
	s->flow = FLOW_FILE;
	return 1;
}

/* 1: head was taken, what follows comes to pass_on(); 0: collect; -1. */
static int
begin(struct sink *s, struct span head, struct err *e)
{
	struct upstream_call *call = s->call;
	struct large_head h;
	int rv;

	s->flow = FLOW_NONE;
	if (!large_look(head, &h))
		return 0;
	if (call->on_large != NULL)
		return begin_file(s, head);
	if (h.has_id && h.id != call->id)
		return 0;
	if (!may_pass(s, &h))
		return begin_file(s, head);
	if (!large_begin(&s->large, head, h.at))
		return 0;
	if ((rv = call->on_result(call->arg, span_skip(head, h.at), e)) > 0)
		return 0;
	s->stopped = rv < 0;
	s->flow = FLOW_RESULT;
	s->flowed = head.n;
	return rv < 0 || large_keep(&s->large, call->response, head, h.at, e) <
	    0 ? -1 : 1;
}

static int
pass_to_file(struct sink *s, struct span in, struct err *e)
{
	if (bulk_add(&s->bulk, in))
		return 0;
	*e = s->bulk.why;
	return -1;
}

/* The next bytes of the message. */
static int
pass_on(struct sink *s, struct span in, struct err *e)
{
	struct upstream_call *call = s->call;
	struct span piece;

	if (s->flow == FLOW_FILE)
		return pass_to_file(s, in, e);
	s->flowed += in.n;
	if (s->flowed > call->result_max)
		return err_set(e, ERR_TOOBIG, "the answer is larger than %zu "
		    "bytes", call->result_max);
	if (large_take(&s->large, in, &piece, e) < 0)
		return -1;
	if (piece.n == 0 || call->on_result(call->arg, piece, e) == 0)
		return 0;
	s->stopped = true;
	return -1;
}

int
sink_flow_json(struct sink *s, struct span in, struct err *e)
{
	struct buf *b = s->call->response;
	int rv;

	if (s->flow >= FLOW_RESULT)
		return pass_on(s, in, e) < 0 ? -1 : 1;
	if (s->flow != FLOW_LOOK || s->call->on_result == NULL ||
	    b->n + in.n < LARGE_AT || s->status != 200)
		return 0;
	if (in.n > b->max || b->n > b->max - in.n || buf_add_span(b, in) < 0)
		return 0;
	if ((rv = begin(s, buf_span(b), e)) == 0)
		b->n -= in.n;		/* the caller adds it */
	return rv;
}

/* ---- messages that come in events or frames ---- */

static bool
may_flow(const struct sink *s)
{
	const struct upstream_call *call = s->call;

	return (call->on_result != NULL || call->on_large != NULL) &&
	    !s->answered && (s->is_link || s->status == 200) &&
	    s->flow != FLOW_NONE;
}

int
sink_flow_part(struct sink *s, struct span data, struct err *e)
{
	if (s->flow == FLOW_LOOK)
		return begin(s, data, e);
	if (data.n == 0)
		return 0;
	return pass_on(s, data, e) < 0 ? -1 : 1;
}

bool
sink_flow_wants(const struct sink *s, size_t pending)
{
	return may_flow(s) && (s->flow != FLOW_LOOK || pending >= LARGE_AT);
}

int
sink_flow_event(struct sink *s, struct sse_parser *p, struct err *e)
{
	struct span type = buf_span(&p->type);
	int rv;

	if (!sink_flow_wants(s, sse_parser_pending(p)) ||
	    (s->flow == FLOW_LOOK && type.n > 0 && !span_is(type, "message")))
		return 0;
	if ((rv = sink_flow_part(s, sse_parser_data(p), e)) == 1)
		sse_parser_forget(p);
	return rv < 0 ? -1 : 0;
}

/* As if it came now, of a server that says first whose it is. */
static int
replay(struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct bulk *b = &s->bulk;
	uint64_t left = b->result_n;
	char *piece = xmalloc(READ_SIZE);
	ssize_t n = 0;
	int rv = 0;

	b->file.pos = b->head.at;
	for (; rv == 0 && left > 0; left -= (uint64_t)n) {
		n = spill_read(&b->file, piece, left < READ_SIZE ?
		    (size_t)left : READ_SIZE);
		if (n <= 0)
			rv = err_set(e, ERR_INTERNAL, "the file of a large "
			    "answer is cut");
		else if ((rv = wire_glance(call, e)) == 0)
			rv = call->on_result(call->arg, span_make(piece,
			    (size_t)n), e);
		s->stopped |= n > 0 && rv < 0;
	}
	free(piece);
	call->has_flowed = rv == 0;
	return rv;
}

/* The client cannot take it in pieces, so all of it must be held. */
static int
collect_file(struct sink *s, struct err *e)
{
	struct buf *b = s->call->response;
	struct spill *f = &s->bulk.file;
	ssize_t n;

	s->answered = false;
	f->pos = 0;
	b->n = 0;
	if (f->size > s->call->response_max ||
	    buf_reserve(b, (size_t)f->size) < 0)
		return err_set(e, ERR_TOOBIG, "the answer is larger than %zu "
		    "bytes", s->call->response_max);
	while ((n = spill_read(f, b->p + b->n, b->cap - b->n)) > 0)
		b->n += (size_t)n;
	return sink_message(s, buf_span(b), e);
}

/* The message in the file is complete. On a link one that is not ours was for
 * a call that was given up. */
static int
end_of_file(struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct bulk *b = &s->bulk;
	int rv;

	s->flow = FLOW_LOOK;
	bulk_end(b);
	if (call->on_large != NULL)
		return call->on_large(call->arg, b, e);
	if (b->is_bad) {
		*e = b->why;
		return -1;
	}
	if (sink_message(s, buf_span(&b->envelope), e) < 0)
		return -1;
	if (!s->answered)
		return 0;
	if (b->why.code != ERR_NONE) {
		*e = b->why;
		return -1;
	}
	if ((rv = replay(s, e)) > 0)
		return collect_file(s, e);
	if (rv == 0)
		buf_reset(call->response, LARGE_AT);
	return rv;
}

int
sink_flow_event_end(struct sink *s, struct span data, struct err *e)
{
	int rv;

	if (s->flow == FLOW_NONE)
		s->flow = FLOW_LOOK;	/* the next one may be */
	if (s->flow == FLOW_LOOK || s->answered)
		return 0;
	if (pass_on(s, data, e) < 0)
		return -1;
	if (s->flow != FLOW_FILE)
		return sink_flow_end(s, e) < 0 ? -1 : 1;
	rv = end_of_file(s, e);
	bulk_drop(&s->bulk);
	return rv < 0 ? -1 : 1;
}

int
sink_flow_end(struct sink *s, struct err *e)
{
	if (s->flow < FLOW_RESULT)
		return 0;
	if (s->answered)
		return 1;		/* the event has ended before */
	if (s->large.part != LARGE_DONE)
		return err_set(e, ERR_UPSTREAM, "answer cut short");
	if (sink_envelope(s, e) < 0)
		return -1;
	buf_reset(s->call->response, LARGE_AT);
	s->answered = s->call->has_flowed = true;
	return 1;
}
