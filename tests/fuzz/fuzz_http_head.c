/*
 * Properties of net/http_head: the end of a head does not depend on how the
 * bytes came; a parsed request written out again parses to the same; what is
 * accepted has one host, one length, and no byte that could split it.
 */
#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "net/http_body.h"
#include "net/http_head.h"

static struct http_head first, second;

static long
end_in_pieces(const char *p, size_t n, size_t step)
{
	size_t scanned = 0, have = 0;
	long end = 0;

	do {
		have = n - have < step ? n : have + step;
		end = http_head_end(p, have, &scanned);
	} while (end == 0 && have < n);
	return end;
}

static void
check_spans(const struct http_head *h, bool request)
{
	int i;

	FUZZ_CHECK(h->header_count <= HTTP_HEADERS_MAX);
	for (i = 0; i < h->header_count; i++) {
		FUZZ_CHECK(http_is_token(h->headers[i].name));
		FUZZ_CHECK(memchr(h->headers[i].value.p, '\r',
		    h->headers[i].value.n) == NULL);
		FUZZ_CHECK(memchr(h->headers[i].value.p, '\n',
		    h->headers[i].value.n) == NULL);
		FUZZ_CHECK(memchr(h->headers[i].value.p, '\0',
		    h->headers[i].value.n) == NULL);
	}
	FUZZ_CHECK(!(h->chunked && h->has_length));
	FUZZ_CHECK(!(h->chunked && h->minor == 0));
	FUZZ_CHECK(h->known_count[HTTP_H_CONTENT_LENGTH] <= 1);
	FUZZ_CHECK(h->known_count[HTTP_H_HOST] <= 1);
	if (!request)
		return;
	FUZZ_CHECK(h->minor == 0 || h->known_count[HTTP_H_HOST] == 1);
	FUZZ_CHECK(h->path.n > 0);
	FUZZ_CHECK(h->path.p[0] == '/' || span_is(h->path, "*"));
}

static void
write_out(struct buf *b, const struct http_head *h, bool request)
{
	int i;

	if (request)
		buf_printf(b, "%.*s %.*s HTTP/1.%d\r\n",
		    SPAN_FMT(h->method_text), SPAN_FMT(h->target), h->minor);
	else
		buf_printf(b, "HTTP/1.%d %d\r\n", h->minor, h->status);
	for (i = 0; i < h->header_count; i++)
		buf_printf(b, "%.*s: %.*s\r\n", SPAN_FMT(h->headers[i].name),
		    SPAN_FMT(h->headers[i].value));
	buf_add_str(b, "\r\n");
}

static void
check_same(const struct http_head *a, const struct http_head *b)
{
	int i;

	FUZZ_CHECK(a->method == b->method && a->status == b->status);
	FUZZ_CHECK(span_eq(a->path, b->path) && span_eq(a->query, b->query));
	FUZZ_CHECK(a->keep_alive == b->keep_alive);
	FUZZ_CHECK(a->chunked == b->chunked);
	FUZZ_CHECK(a->has_length == b->has_length);
	FUZZ_CHECK(a->content_length == b->content_length);
	FUZZ_CHECK(a->header_count == b->header_count);
	for (i = 0; i < a->header_count; i++)
		FUZZ_CHECK(span_eq(a->headers[i].value, b->headers[i].value));
	for (i = 0; i < HTTP_H_COUNT; i++)
		FUZZ_CHECK(a->known_count[i] == b->known_count[i]);
}

static void
round_trip(bool request)
{
	struct buf b;
	struct err e;
	int rv;

	check_spans(&first, request);
	buf_init(&b, 2 * HTTP_HEAD_MAX);
	write_out(&b, &first, request);
	/* The space behind a colon may make it longer than is allowed. */
	if (b.n <= HTTP_HEAD_MAX) {
		rv = request ? http_request_parse(&second, b.p, b.n, &e) :
		    http_response_parse(&second, b.p, b.n, &e);
		FUZZ_CHECK(rv == 0);
		check_same(&first, &second);
	}
	buf_free(&b);
}

static void
ask(const struct http_head *h)
{
	struct http_body body;

	http_list_has(h->known[HTTP_H_CONNECTION], "upgrade");
	http_accepts(h->known[HTTP_H_ACCEPT], "application/json");
	http_media_is(h->known[HTTP_H_CONTENT_TYPE], "application/json");
	http_body_for_request(&body, h);
	http_body_for_response(&body, h, false);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct err e;
	long end = end_in_pieces(p, n, n + 1);

	FUZZ_CHECK(end <= (long)n);
	FUZZ_CHECK(end_in_pieces(p, n, 1) == end);
	FUZZ_CHECK(end_in_pieces(p, n, 7) == end);
	/* The parsers must stand any bytes, but take whole heads only. */
	if (http_request_parse(&first, p, n, &e) == 0) {
		FUZZ_CHECK(end == (long)n);
		round_trip(true);
		ask(&first);
	}
	if (http_response_parse(&first, p, n, &e) == 0) {
		FUZZ_CHECK(end == (long)n);
		round_trip(false);
		ask(&first);
	}
	if (end > 0)
		http_request_parse(&first, p, (size_t)end, &e);
	return 0;
}
