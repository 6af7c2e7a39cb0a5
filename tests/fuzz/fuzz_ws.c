/*
 * Properties of net/ws: any split of the bytes gives the same messages; text
 * is UTF-8; a message within the bound; what was written is read back. The
 * first byte of an input is the split, the second says whose frames they are.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "net/ws.h"

#define MESSAGE_MAX	1000

/* All messages of a stream as one text; "!" and the code if it was refused. */
static void
transcript(struct span in, bool from_client, size_t step, struct buf *out)
{
	struct ws_parser w;
	struct ws_event ev;
	struct span piece;
	struct err e;
	size_t at = 0, taken;
	int rv = 0;

	ws_parser_init(&w, from_client, MESSAGE_MAX);
	while (at < in.n && rv >= 0) {
		piece = span_skip(in, at);
		if (piece.n > step)
			piece.n = step;
		rv = ws_parse(&w, piece, &taken, &ev, &e);
		if (rv < 0)
			break;
		FUZZ_CHECK(taken <= piece.n);
		FUZZ_CHECK(rv == 1 || taken == piece.n);
		at += taken;
		if (rv == 0)
			continue;
		FUZZ_CHECK(ev.type != WS_CONTINUATION);
		FUZZ_CHECK(ev.data.n <= MESSAGE_MAX);
		FUZZ_CHECK((ev.type & 8) == 0 ||
		    ev.data.n <= WS_CONTROL_MAX);
		FUZZ_CHECK((ev.type != WS_TEXT && ev.type != WS_CLOSE) ||
		    utf8_is_valid(ev.data.p, ev.data.n));
		buf_printf(out, "%d %u %zu ", (int)ev.type,
		    ev.type == WS_CLOSE ? ev.code : 0u, ev.data.n);
		buf_add_span(out, ev.data);
	}
	if (rv < 0)
		buf_printf(out, "!%u", w.error_code);
	ws_parser_free(&w);
}

static void
check_splits(struct span in, bool from_client, size_t step)
{
	struct buf whole, split;

	buf_init(&whole, 16 << 20);
	buf_init(&split, 16 << 20);
	transcript(in, from_client, in.n + 1, &whole);
	transcript(in, from_client, step, &split);
	FUZZ_CHECK(span_eq(buf_span(&whole), buf_span(&split)));
	buf_free(&whole);
	buf_free(&split);
}

static void
check_written(struct span data, bool from_client)
{
	static const uint8_t mask[4] = { 0x12, 0xff, 0, 0x80 };
	struct ws_parser w;
	struct ws_event ev;
	struct err e;
	struct buf b;
	size_t taken;

	buf_init(&b, 2 * MESSAGE_MAX);
	FUZZ_CHECK(ws_write(&b, WS_BINARY, data, from_client ? mask : NULL) ==
	    0);
	ws_parser_init(&w, from_client, MESSAGE_MAX);
	FUZZ_CHECK(ws_parse(&w, buf_span(&b), &taken, &ev, &e) == 1);
	FUZZ_CHECK(taken == b.n && ev.type == WS_BINARY);
	FUZZ_CHECK(span_eq(ev.data, data));
	ws_parser_free(&w);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in;

	if (n < 2)
		return 0;
	in = span_make((const char *)data + 2, n - 2);
	check_splits(in, data[1] & 1, data[0] % 64 + 1u);
	if (in.n <= MESSAGE_MAX)
		check_written(in, data[1] & 1);
	return 0;
}
