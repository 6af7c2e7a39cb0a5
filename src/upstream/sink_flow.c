/*
 * sink_flow -- an answer too large to be collected passes on while it comes.
 *
 * Workers. The bytes of the result go to on_result and memory holds one piece;
 * that the answer ends as it should is known at the end only, so whoever takes
 * the pieces must not complete them before sink_end() has said so.
 *
 * "id" may stand behind "result" (the TypeScript SDK 1.x writes it so). Then
 * the answer is taken for ours because nothing else can be: only http.c and
 * curl_call.c give their bodies to sink_body(), and what comes there is the
 * answer to our one POST. What is not the result is kept, and judged at the
 * end like any other answer. An id that is wrong before "result", or members
 * that nobody knows there, are collected as ever.
 */
#include "upstream/upstream_int.h"

#include "base/num.h"

#define LOOK_AT		(256u << 10)	/* smaller answers are collected */
#define REST_MAX	(64u << 10)	/* behind the result */

static size_t
skip_space(struct span s, size_t i)
{
	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' ||
	    s.p[i] == '\r' || s.p[i] == '\n'))
		i++;
	return i;
}

/* "name" at i, without escapes. Returns what follows it, or 0. */
static size_t
read_string(struct span s, size_t i, struct span *out)
{
	const char *end;

	if (i >= s.n || s.p[i] != '"')
		return 0;
	end = memchr(s.p + i + 1, '"', s.n - i - 1);
	if (end == NULL)
		return 0;
	*out = span_make(s.p + i + 1, (size_t)(end - s.p) - i - 1);
	if (memchr(out->p, '\\', out->n) != NULL)
		return 0;
	return (size_t)(end - s.p) + 1;
}

static size_t
read_number(struct span s, size_t i, uint64_t *out)
{
	size_t from = i;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	if (i == s.n || num_u64(span_make(s.p + from, i - from), 0, UINT64_MAX,
	    out) < 0)
		return 0;
	return i;
}

/* A stream that was resumed may hold what belongs to others. */
static bool
may_pass(const struct upstream_call *call, bool is_known_as_ours)
{
	return is_known_as_ours || !call->is_resuming;
}

/* Where the object "result" begins of the answer to this call, of which only
 * the first part is there; 0: not known, or another order. */
static size_t
find_result(struct span s, const struct upstream_call *call)
{
	bool has_version = false, has_id = false;
	struct span name, version;
	size_t i = skip_space(s, 0);
	uint64_t id;

	if (i == s.n || s.p[i] != '{')
		return 0;
	for (;;) {
		if ((i = read_string(s, skip_space(s, i + 1), &name)) == 0)
			return 0;
		i = skip_space(s, i);
		if (i == s.n || s.p[i] != ':')
			return 0;
		i = skip_space(s, i + 1);
		if (span_is(name, "result"))
			return may_pass(call, has_version && has_id) &&
			    i < s.n && s.p[i] == '{' ? i : 0;
		if (span_is(name, "jsonrpc") && !has_version) {
			i = read_string(s, i, &version);
			has_version = true;
			if (i == 0 || !span_is(version, "2.0"))
				return 0;
		} else if (span_is(name, "id") && !has_id) {
			i = read_number(s, i, &id);
			has_id = true;
			if (i == 0 || id != call->id)
				return 0;
		} else
			return 0;
		i = skip_space(s, i);
		if (i == s.n || s.p[i] != ',')
			return 0;
	}
}

/* What is judged at the end: the message, with an empty result. head may lie
 * in the same buffer. */
static int
keep_envelope(struct upstream_call *call, struct span head, struct err *e)
{
	struct buf *b = call->response;

	if (head.p == b->p)
		b->n = head.n;
	else {
		b->n = 0;
		buf_add_span(b, head);
	}
	buf_add_str(b, "{}");
	return b->overflow ? err_set(e, ERR_TOOBIG, "the answer is too large") :
	    0;
}

/* 1: head was taken, what follows comes to pass_on(); 0: collect; -1. */
static int
begin(struct sink *s, struct span head, struct err *e)
{
	struct upstream_call *call = s->call;
	size_t at = find_result(head, call);
	int rv;

	s->flow = FLOW_NONE;
	if (at == 0)
		return 0;
	json_scan_init(&s->scan, 0);
	json_scan(&s->scan, span_skip(head, at));
	if (s->scan.done || s->scan.bad)
		return 0;
	if ((rv = call->on_result(call->arg, span_skip(head, at), e)) > 0)
		return 0;
	s->stopped = rv < 0;
	s->flow = FLOW_RESULT;
	s->flowed = head.n;
	head.n = at;
	return rv < 0 || keep_envelope(call, head, e) < 0 ? -1 : 1;
}

static int
malformed(struct err *e)
{
	return err_set(e, ERR_UPSTREAM, "bad answer: not a JSON object");
}

/* Behind the result: small, so it is kept. */
static int
take_rest(struct sink *s, struct span *in, struct err *e)
{
	size_t n = json_scan(&s->scan, *in);

	if (s->scan.bad)
		return malformed(e);
	if ((s->rest += n) > REST_MAX ||
	    buf_add(s->call->response, in->p, n) < 0)
		return err_set(e, ERR_UPSTREAM, "bad answer: too much behind "
		    "the result");
	*in = span_skip(*in, n);
	if (s->scan.done)
		s->flow = FLOW_DONE;
	return 0;
}

/* The next bytes of the message. */
static int
pass_on(struct sink *s, struct span in, struct err *e)
{
	struct upstream_call *call = s->call;
	size_t n;

	s->flowed += in.n;
	if (s->flowed > call->result_max)
		return err_set(e, ERR_TOOBIG, "the answer is larger than %zu "
		    "bytes", call->result_max);
	if (s->flow == FLOW_RESULT) {
		n = json_scan(&s->scan, in);
		if (s->scan.bad)
			return malformed(e);
		if (n > 0 && call->on_result(call->arg,
		    span_make(in.p, n), e) < 0) {
			s->stopped = true;
			return -1;
		}
		if (!s->scan.done)
			return 0;
		in = span_skip(in, n);
		s->flow = FLOW_REST;
		json_scan_init(&s->scan, 1);
	}
	if (s->flow == FLOW_REST && take_rest(s, &in, e) < 0)
		return -1;
	return skip_space(in, 0) < in.n ? malformed(e) : 0;
}

int
sink_flow_json(struct sink *s, struct span in, struct err *e)
{
	struct buf *b = s->call->response;
	int rv;

	if (s->flow >= FLOW_RESULT)
		return pass_on(s, in, e) < 0 ? -1 : 1;
	if (s->flow != FLOW_LOOK || s->call->on_result == NULL ||
	    b->n + in.n < LOOK_AT || s->status != 200)
		return 0;
	if (in.n > b->max || b->n > b->max - in.n || buf_add_span(b, in) < 0)
		return 0;
	if ((rv = begin(s, buf_span(b), e)) == 0)
		b->n -= in.n;		/* the caller adds it */
	return rv;
}

int
sink_flow_event(struct sink *s, struct err *e)
{
	struct span data, type = buf_span(&s->sse.type);
	int rv = 0;

	if (s->call->on_result == NULL || s->answered || s->status != 200 ||
	    s->flow == FLOW_NONE || (s->flow == FLOW_LOOK &&
	    (sse_parser_pending(&s->sse) < LOOK_AT ||
	    (type.n > 0 && !span_is(type, "message")))))
		return 0;
	data = sse_parser_data(&s->sse);
	if (s->flow == FLOW_LOOK)
		rv = begin(s, data, e);
	else if (data.n > 0)
		rv = pass_on(s, data, e) < 0 ? -1 : 1;
	if (rv == 1)
		sse_parser_forget(&s->sse);
	return rv < 0 ? -1 : 0;
}

int
sink_flow_event_end(struct sink *s, struct span data, struct err *e)
{
	if (s->flow == FLOW_NONE)
		s->flow = FLOW_LOOK;	/* the next one may be */
	if (s->flow == FLOW_LOOK || s->answered)
		return 0;
	if (pass_on(s, data, e) < 0 || sink_flow_end(s, e) < 0)
		return -1;
	return 1;
}

int
sink_flow_end(struct sink *s, struct err *e)
{
	if (s->flow < FLOW_RESULT)
		return 0;
	if (s->answered)
		return 1;		/* the event has ended before */
	if (s->flow != FLOW_DONE)
		return err_set(e, ERR_UPSTREAM, "answer cut short");
	if (sink_envelope(s, e) < 0)
		return -1;
	buf_reset(s->call->response, LOOK_AT);
	s->answered = s->call->has_flowed = true;
	return 1;
}
