/*
 * sse -- Server-Sent Events (WHATWG HTML section 9.2), both ways.
 *
 * The parser is a state machine over a bounded buf; an event whose data is
 * larger than the bound is an error. The writer only takes one-line data, so
 * nobody can inject fields.
 */
#ifndef OMNI2_NET_SSE_H
#define OMNI2_NET_SSE_H

#include "base/buf.h"
#include "base/err.h"

struct sse_event {
	struct span	type;		/* empty: "message" */
	struct span	data;		/* lines joined with LF */
	struct span	id;		/* .p NULL: no id field in this event */
	long		retry_ms;	/* -1: none */
	bool		has_data;
};

struct sse_parser {
	struct buf	line;
	struct buf	data;
	struct buf	type;
	struct buf	id;
	bool		has_data, has_id, skip_lf, bom_done;
	bool		event_done;	/* cleared by the next call */
	bool		is_open;	/* a line of data goes on in line */
	long		retry_ms;
};

void	sse_parser_init(struct sse_parser *, size_t event_max);
void	sse_parser_free(struct sse_parser *);
/*
 * Takes bytes from in until an event is complete. 1: *event is filled (valid
 * until the next call) and *taken says how much of in was used; 0: all taken,
 * no event yet; -1 with err: too large. Events with only comments are skipped;
 * an event with id/retry but no data is returned with has_data false.
 */
int	sse_parse(struct sse_parser *, struct span in, size_t *taken,
	    struct sse_event *event, struct err *);

/* Of an event that is not complete, after sse_parse() gave 0: how much of it is
 * held, its data so far, and dropping that data: the bound is for the rest. */
size_t	sse_parser_pending(const struct sse_parser *);
struct span sse_parser_data(struct sse_parser *);
void	sse_parser_forget(struct sse_parser *);

/* Appends "event: message\ndata: <data>\n\n" (with "id:" when id.n > 0).
 * data must hold no CR or LF: they are JSON white space outside strings and
 * are replaced by spaces. */
int	sse_write(struct buf *, struct span id, struct span data);

#endif
