/* Unit tests of net/http_body: every split of the bytes, strict chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_body.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)		{ "" s, sizeof(s) - 1 }

/*
 * Feeds in pieces of at most step bytes. Returns the bytes taken or -1;
 * out gets the payload.
 */
static long
feed(struct http_body *b, struct span in, size_t step, char *out, size_t *n)
{
	struct span payload, piece;
	size_t taken, at = 0;
	struct err e;

	*n = 0;
	while (at < in.n && !b->done) {
		piece = span_skip(in, at);
		if (piece.n > step)
			piece.n = step;
		if (http_body_feed(b, piece, &taken, &payload, &e) < 0) {
			assert_int_equal(e.code, ERR_BADREQ);
			/* And it stays broken. */
			assert_int_equal(http_body_feed(b, SPAN_LIT("0"),
			    &taken, &payload, &e), -1);
			assert_int_equal(http_body_eof(b), -1);
			return -1;
		}
		assert_true(taken <= piece.n);
		if (payload.n > 0)
			memcpy(out + *n, payload.p, payload.n);
		*n += payload.n;
		at += taken;
		assert_true(taken > 0);
	}
	assert_int_equal(b->seen, *n);
	return (long)at;
}

static void
by_length(void **state)
{
	struct http_body b;
	char out[64];
	size_t n, step;

	for (step = 1; step < 12; step++) {
		http_body_init(&b, HTTP_BODY_LENGTH, 5);
		assert_false(b.done);
		assert_int_equal(feed(&b, SPAN_LIT("helloGET /"), step, out,
		    &n), 5);
		assert_true(b.done);
		assert_memory_equal(out, "hello", 5);
		http_body_init(&b, HTTP_BODY_LENGTH, 11);
		assert_int_equal(feed(&b, SPAN_LIT("helloGET /"), step, out,
		    &n), 10);
		assert_false(b.done);
		assert_int_equal(http_body_eof(&b), -1);
	}
	http_body_init(&b, HTTP_BODY_LENGTH, 0);
	assert_true(b.done);
	assert_int_equal(feed(&b, SPAN_LIT("x"), 1, out, &n), 0);
	http_body_init(&b, HTTP_BODY_NONE, 7);
	assert_true(b.done);
	assert_int_equal(http_body_eof(&b), 0);
}

static void
until_eof(void **state)
{
	struct http_body b;
	char out[64];
	size_t n;

	http_body_init(&b, HTTP_BODY_EOF, 0);
	assert_int_equal(feed(&b, SPAN_LIT("abc"), 2, out, &n), 3);
	assert_int_equal(n, 3);
	assert_false(b.done);
	assert_int_equal(http_body_eof(&b), 0);
	assert_true(b.done);
}

static void
good_chunks(void **state)
{
	static const struct {
		struct span in, want;
		size_t rest;
	} cases[] = {
		{ TEXT("0\r\n\r\n"), TEXT(""), 0 },
		{ TEXT("5\r\nhello\r\n0\r\n\r\n"), TEXT("hello"), 0 },
		{ TEXT("5\r\nhello\r\n0\r\n\r\nGET / H"), TEXT("hello"), 7 },
		{ TEXT("005\r\nhello\r\n1\r\n!\r\n000\r\n\r\n"),
		    TEXT("hello!"), 0 },
		{ TEXT("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
		    TEXT("01234567890123456789"), 0 },
		{ TEXT("2;a=b;c=\"d e\"\r\n\r\n\r\n0;x\r\n\r\n"),
		    TEXT("\r\n"), 0 },
		{ TEXT("1\r\nx\r\n0\r\nA: b\r\nC-d:\t\xe9\r\n\r\n"),
		    TEXT("x"), 0 },
		{ TEXT("00000000000000a\r\n0123456789\r\n0\r\n\r\n"),
		    TEXT("0123456789"), 0 },
	};
	struct http_body b;
	char out[64];
	size_t i, n, step;

	for (i = 0; i < COUNT(cases); i++) {
		for (step = 1; step < 40; step++) {
			http_body_init(&b, HTTP_BODY_CHUNKED, 0);
			if (feed(&b, cases[i].in, step, out, &n) !=
			    (long)(cases[i].in.n - cases[i].rest))
				fail_msg("%s", cases[i].in.p);
			assert_true(b.done);
			assert_true(span_eq(span_make(out, n),
			    cases[i].want));
			assert_int_equal(http_body_eof(&b), 0);
		}
	}
}

static void
bad_chunks(void **state)
{
	static const struct span cases[] = {
		TEXT("\r\n"), TEXT(";\r\n"), TEXT("g\r\n"), TEXT(" 5\r\n"),
		TEXT("5 \r\nhello\r\n"), TEXT("5\t\r\n"), TEXT("+5\r\n"),
		TEXT("-5\r\n"), TEXT("0x5\r\n"), TEXT("5\nhello"),
		TEXT("5\r\r\n"), TEXT("5\rhello"), TEXT("5\r\nhelloX\r\n"),
		TEXT("5\r\nhello\n0\r\n\r\n"), TEXT("5\r\nhello\rX"),
		TEXT("5\r\nhello0\r\n\r\n"), TEXT("5 ;x\r\n"),
		TEXT("5;\x01\r\n"), TEXT("5;a\nb\r\n"), TEXT("5;\x7f\r\n"),
		TEXT("5;a\0\r\n"), TEXT("5;\xe9\r\n"), TEXT("5;a\rb"),
		TEXT("1000000000000000\r\n"), TEXT("ffffffffffffffff\r\n"),
		TEXT("10000000000000005\r\n"), TEXT("0000000000000000\r\n"),
		TEXT("0\r\nA b: c\r\n\r\n"), TEXT("0\r\n: c\r\n\r\n"),
		TEXT("0\r\nA\r\n\r\n"), TEXT("0\r\nA : b\r\n\r\n"),
		TEXT("0\r\n A: b\r\n\r\n"), TEXT("0\r\nA: b\r\n c\r\n\r\n"),
		TEXT("0\r\nA: b\n\r\n"), TEXT("0\r\nA: \x01\r\n\r\n"),
		TEXT("0\r\nA: b\0\r\n\r\n"), TEXT("0\r\n\rX"),
		TEXT("0\r\n\n"), TEXT("0\n\n"),
	};
	struct http_body b;
	char out[64];
	size_t i, n, step;

	for (i = 0; i < COUNT(cases); i++) {
		for (step = 1; step < 30; step++) {
			http_body_init(&b, HTTP_BODY_CHUNKED, 0);
			if (feed(&b, cases[i], step, out, &n) != -1)
				fail_msg("%s", cases[i].p);
		}
	}
}

static void
truncated_chunks(void **state)
{
	struct span all = SPAN_LIT("5;x\r\nhello\r\n0\r\nA: b\r\n\r\n");
	struct http_body b;
	char out[64];
	size_t cut, n;

	for (cut = 0; cut < all.n; cut++) {
		http_body_init(&b, HTTP_BODY_CHUNKED, 0);
		assert_int_equal(feed(&b, span_make(all.p, cut), 99, out, &n),
		    cut);
		assert_false(b.done);
		assert_int_equal(http_body_eof(&b), -1);
	}
}

/* A long body in small chunks has no overhead that counts. */
static void
many_small_chunks(void **state)
{
	struct span payload, rest;
	struct http_body b;
	struct err e;
	size_t taken;
	int i;

	http_body_init(&b, HTTP_BODY_CHUNKED, 0);
	for (i = 0; i < 20000; i++)
		for (rest = SPAN_LIT("001\r\nx\r\n"); rest.n > 0;
		    rest = span_skip(rest, taken))
			assert_int_equal(http_body_feed(&b, rest, &taken,
			    &payload, &e), 0);
	assert_int_equal(b.seen, 20000);
}

static void
extensions_and_trailers_are_bounded(void **state)
{
	struct span payload, ext = SPAN_LIT("1;abcdefghij\r\nx\r\n"), rest;
	struct http_body b;
	struct err e;
	size_t taken;
	int i, rv = 0;

	http_body_init(&b, HTTP_BODY_CHUNKED, 0);
	for (i = 0; i < 10000 && rv == 0; i++)
		for (rest = ext; rest.n > 0 && rv == 0;
		    rest = span_skip(rest, taken))
			rv = http_body_feed(&b, rest, &taken, &payload, &e);
	assert_int_equal(rv, -1);
	assert_in_range(i, 700, 900);
	http_body_init(&b, HTTP_BODY_CHUNKED, 0);
	rv = http_body_feed(&b, SPAN_LIT("0\r\n"), &taken, &payload, &e);
	assert_int_equal(rv, 0);
	for (i = 0; i < 10000 && rv == 0; i++)
		rv = http_body_feed(&b, SPAN_LIT("A: 0123\r\n"), &taken,
		    &payload, &e);
	assert_int_equal(rv, -1);
	assert_in_range(i, 900, 1200);
}

static void
kind_follows_the_head(void **state)
{
	static struct http_head h;
	struct http_body b;

	h.status = 200;
	http_body_for_request(&b, &h);
	assert_int_equal(b.kind, HTTP_BODY_NONE);
	http_body_for_response(&b, &h, false);
	assert_int_equal(b.kind, HTTP_BODY_EOF);
	h.has_length = true;
	h.content_length = 9;
	http_body_for_request(&b, &h);
	assert_int_equal(b.kind, HTTP_BODY_LENGTH);
	assert_int_equal(b.left, 9);
	http_body_for_response(&b, &h, false);
	assert_int_equal(b.kind, HTTP_BODY_LENGTH);
	http_body_for_response(&b, &h, true);
	assert_int_equal(b.kind, HTTP_BODY_NONE);
	h.status = 204;
	http_body_for_response(&b, &h, false);
	assert_int_equal(b.kind, HTTP_BODY_NONE);
	h.status = 304;
	http_body_for_response(&b, &h, false);
	assert_int_equal(b.kind, HTTP_BODY_NONE);
	h.status = 100;
	http_body_for_response(&b, &h, false);
	assert_int_equal(b.kind, HTTP_BODY_NONE);
	h.has_length = false;
	h.chunked = true;
	h.status = 500;
	http_body_for_request(&b, &h);
	assert_int_equal(b.kind, HTTP_BODY_CHUNKED);
	http_body_for_response(&b, &h, false);
	assert_int_equal(b.kind, HTTP_BODY_CHUNKED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_length),
		cmocka_unit_test(until_eof),
		cmocka_unit_test(good_chunks),
		cmocka_unit_test(bad_chunks),
		cmocka_unit_test(truncated_chunks),
		cmocka_unit_test(many_small_chunks),
		cmocka_unit_test(extensions_and_trailers_are_bounded),
		cmocka_unit_test(kind_follows_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
