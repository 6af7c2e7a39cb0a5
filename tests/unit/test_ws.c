/*
 * test_ws -- a message that is taken away in parts while it comes: nothing is
 * lost, characters stay whole, and what is no UTF-8 is seen all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "net/ws.h"

#define SMALL	100		/* the parser's bound */

static struct buf wire, got;

static void
text_frames(struct span text, size_t per_frame)
{
	size_t n, at = 0;
	uint8_t head[4];

	buf_reset(&wire, 0);
	do {
		n = text.n - at < per_frame ? text.n - at : per_frame;
		head[0] = (uint8_t)((at == 0 ? WS_TEXT : WS_CONTINUATION) |
		    (at + n == text.n ? 0x80 : 0));
		head[1] = n < 126 ? (uint8_t)n : 126;
		head[2] = (uint8_t)(n >> 8);
		head[3] = (uint8_t)n;
		assert_int_equal(buf_add(&wire, head, n < 126 ? 2 : 4), 0);
		assert_int_equal(buf_add(&wire, text.p + at, n), 0);
		at += n;
	} while (at < text.n);
}

/* 1 the message is complete and in got; -1. */
static int
parse(struct ws_parser *p, size_t piece, bool takes, struct err *e)
{
	struct span in = buf_span(&wire), part;
	struct ws_event ev;
	size_t n, taken;
	int rv = 0;

	buf_reset(&got, 0);
	p->is_taken = takes;
	while (rv == 0 && in.n > 0) {
		n = in.n < piece ? in.n : piece;
		rv = ws_parse(p, span_make(in.p, n), &taken, &ev, e);
		in = span_skip(in, taken);
		if (rv != 0 || !takes || ws_parser_pending(p) < SMALL / 2)
			continue;
		if (ws_parser_part(p, &part, e) < 0)
			return -1;
		assert_true(part.n + 3 >= ws_parser_pending(p));
		assert_int_equal(buf_add_span(&got, part), 0);
		ws_parser_forget(p, part.n);
	}
	if (rv == 1)
		buf_add_span(&got, ev.data);
	return rv;
}

static void
test_parts(void **state)
{
	static const char block[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
	struct ws_parser p;
	struct buf text;
	struct err e;
	size_t piece, frame, i;

	buf_init(&text, 10000);
	for (i = 0; i < 90; i++)
		buf_add_str(&text, block);
	for (piece = 1; piece < 45; piece++)
		for (frame = 1; frame < 2000; frame = frame * 3 + 1) {
			ws_parser_init(&p, false, SMALL);
			text_frames(buf_span(&text), frame);
			assert_int_equal(parse(&p, piece, true, &e), 1);
			assert_int_equal(got.n, text.n);
			assert_memory_equal(got.p, text.p, text.n);
			ws_parser_free(&p);
		}
	/* if nobody takes parts, the bound holds */
	ws_parser_init(&p, false, SMALL);
	assert_int_equal(parse(&p, 40, false, &e), -1);
	assert_int_equal(p.error_code, WS_CODE_TOO_BIG);
	ws_parser_free(&p);
	buf_free(&text);
}

static void
test_bad_text(void **state)
{
	char text[400];
	struct ws_parser p;
	struct err e;
	size_t at;

	for (at = 0; at < sizeof(text); at++) {
		memset(text, 'x', sizeof(text));
		text[at] = (char)0xe2;		/* nothing follows it */
		ws_parser_init(&p, false, SMALL);
		text_frames(span_make(text, sizeof(text)), 70);
		assert_int_equal(parse(&p, 7, true, &e), -1);
		assert_int_equal(p.error_code, WS_CODE_NOT_UTF8);
		ws_parser_free(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts), cmocka_unit_test(test_bad_text),
	};

	buf_init(&wire, 1 << 20);
	buf_init(&got, 1 << 20);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
