/*
 * Properties of net/http_body: any split of the bytes gives the same payload,
 * the same end and the same verdict; a payload written as chunks comes back.
 * The first byte of an input chooses the kind, the second the split.
 */
#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "net/http_body.h"

#define PAYLOAD_MAX	(1 << 20)

struct outcome {
	int		rv;
	bool		done;
	size_t		used;
	struct buf	payload;
};

static void
decode(struct outcome *o, enum http_body_kind kind, uint64_t length,
    struct span in, size_t step)
{
	struct span piece, payload;
	struct http_body b;
	struct err e;
	size_t taken;

	http_body_init(&b, kind, length);
	buf_init(&o->payload, PAYLOAD_MAX);
	o->used = 0;
	o->rv = 0;
	while (o->used < in.n && !b.done && o->rv == 0) {
		piece = span_skip(in, o->used);
		if (piece.n > step)
			piece.n = step;
		o->rv = http_body_feed(&b, piece, &taken, &payload, &e);
		FUZZ_CHECK(taken <= piece.n);
		FUZZ_CHECK(o->rv < 0 || taken > 0 || b.done);
		if (o->rv < 0)
			break;
		FUZZ_CHECK(payload.n == 0 || (payload.p >= piece.p &&
		    payload.p + payload.n <= piece.p + piece.n));
		FUZZ_CHECK(buf_add_span(&o->payload, payload) == 0);
		o->used += taken;
	}
	o->done = b.done;
	FUZZ_CHECK(b.seen == o->payload.n);
	FUZZ_CHECK(http_body_eof(&b) == 0 || !o->done);
}

static void
check_splits(enum http_body_kind kind, uint64_t length, struct span in,
    size_t step)
{
	struct outcome whole, split;

	decode(&whole, kind, length, in, in.n + 1);
	decode(&split, kind, length, in, step);
	FUZZ_CHECK(whole.rv == split.rv);
	FUZZ_CHECK(whole.done == split.done);
	FUZZ_CHECK(span_eq(buf_span(&whole.payload),
	    buf_span(&split.payload)));
	if (whole.rv == 0)
		FUZZ_CHECK(whole.used == split.used);
	buf_free(&whole.payload);
	buf_free(&split.payload);
}

/* in, cut into chunks of size bytes. */
static void
check_round_trip(struct span in, size_t size)
{
	struct span rest = in, chunk;
	struct outcome o;
	struct buf b;

	buf_init(&b, 16 * PAYLOAD_MAX);
	for (; rest.n > 0; rest = span_skip(rest, chunk.n)) {
		chunk = rest;
		if (chunk.n > size)
			chunk.n = size;
		buf_printf(&b, "%zx\r\n", chunk.n);
		buf_add_span(&b, chunk);
		buf_add_str(&b, "\r\n");
	}
	buf_add_str(&b, "0\r\n\r\n");
	decode(&o, HTTP_BODY_CHUNKED, 0, buf_span(&b), 3);
	FUZZ_CHECK(o.rv == 0 && o.done && o.used == b.n);
	FUZZ_CHECK(span_eq(buf_span(&o.payload), in));
	buf_free(&o.payload);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span in;
	size_t step;

	if (n < 2 || n > PAYLOAD_MAX / 2)
		return 0;
	in = span_make((const char *)data + 2, n - 2);
	step = data[1] % 64 + 1u;
	switch (data[0] % 4) {
	case 0:
		check_splits(HTTP_BODY_LENGTH, data[1], in, step);
		break;
	case 1:
		check_splits(HTTP_BODY_EOF, 0, in, step);
		break;
	case 2:
		check_round_trip(in, step);
		break;
	default:
		check_splits(HTTP_BODY_CHUNKED, 0, in, step);
		break;
	}
	return 0;
}
