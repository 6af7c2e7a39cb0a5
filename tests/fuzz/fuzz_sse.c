/*
 * Properties of net/sse: any split of the bytes gives the same events; an
 * event that was written is read back, and it is exactly one, whatever bytes
 * its data has. The first byte of an input is the split.
 */
#include "tests/fuzz/fuzz.h"

#include "net/sse.h"

#define EVENT_MAX	1000

/* All events of a stream as one text; "!" at the end if it was refused. */
static int
transcript(struct span in, size_t step, struct buf *out)
{
	struct sse_parser s;
	struct sse_event ev;
	struct span piece;
	struct err e;
	size_t at = 0, taken;
	int rv = 0, events = 0;

	sse_parser_init(&s, EVENT_MAX);
	while (at < in.n && rv >= 0) {
		piece = span_skip(in, at);
		if (piece.n > step)
			piece.n = step;
		rv = sse_parse(&s, piece, &taken, &ev, &e);
		FUZZ_CHECK(taken <= piece.n);
		FUZZ_CHECK(rv != 0 || taken == piece.n);
		at += taken;
		if (rv != 1)
			continue;
		FUZZ_CHECK(ev.data.n <= EVENT_MAX);
		FUZZ_CHECK(ev.has_data || ev.id.p != NULL ||
		    ev.retry_ms >= 0);
		events++;
		buf_printf(out, "%d %d %ld %zu ", ev.has_data,
		    ev.id.p != NULL, ev.retry_ms, ev.data.n);
		buf_add_span(out, ev.type);
		buf_add_char(out, '|');
		buf_add_span(out, ev.id);
		buf_add_char(out, '|');
		buf_add_span(out, ev.data);
	}
	sse_parser_free(&s);
	if (rv < 0)
		buf_add_char(out, '!');
	return events;
}

static void
check_splits(struct span in, size_t step)
{
	struct buf whole, split;

	buf_init(&whole, 16 << 20);
	buf_init(&split, 16 << 20);
	transcript(in, in.n + 1, &whole);
	transcript(in, step, &split);
	FUZZ_CHECK(span_eq(buf_span(&whole), buf_span(&split)));
	buf_free(&whole);
	buf_free(&split);
}

static void
check_written(struct span data)
{
	struct sse_parser s;
	struct sse_event ev;
	struct err e;
	struct buf b;
	size_t taken, i;

	buf_init(&b, 2 * EVENT_MAX);
	FUZZ_CHECK(sse_write(&b, SPAN_LIT("id 1"), data) == 0);
	sse_parser_init(&s, EVENT_MAX);
	FUZZ_CHECK(sse_parse(&s, buf_span(&b), &taken, &ev, &e) == 1);
	FUZZ_CHECK(taken == b.n);
	FUZZ_CHECK(span_is(ev.type, "message") && span_is(ev.id, "id 1"));
	FUZZ_CHECK(ev.has_data && ev.data.n == data.n);
	for (i = 0; i < data.n; i++)
		FUZZ_CHECK(ev.data.p[i] == data.p[i] ||
		    ((data.p[i] == '\r' || data.p[i] == '\n') &&
		    ev.data.p[i] == ' '));
	sse_parser_free(&s);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in;

	if (n < 1)
		return 0;
	in = span_make((const char *)data + 1, n - 1);
	check_splits(in, data[0] % 64 + 1u);
	if (in.n <= EVENT_MAX)
		check_written(in);
	return 0;
}
