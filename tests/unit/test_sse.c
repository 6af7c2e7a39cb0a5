/* Unit tests of net/sse: the standard's examples, splits, injection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/sse.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)		{ "" s, sizeof(s) - 1 }

/* Events as text: "type|data|id|retry;" with - for what is not there. */
static void
show(const struct sse_event *ev, char *out, size_t size)
{
	size_t n = strlen(out);

	snprintf(out + n, size - n, "%.*s|%.*s|%.*s|%ld;", SPAN_FMT(ev->type),
	    ev->has_data ? (int)ev->data.n : 1,
	    ev->has_data ? ev->data.p == NULL ? "" : ev->data.p : "-",
	    ev->id.p == NULL ? 1 : (int)ev->id.n,
	    ev->id.p == NULL ? "-" : ev->id.p, ev->retry_ms);
}

/* Parses in pieces of step bytes; -1 if refused. */
static int
run(struct span in, size_t step, size_t max, char *out, size_t size)
{
	struct sse_parser s;
	struct sse_event ev;
	struct span piece;
	struct err e;
	size_t at = 0, taken;
	int rv = 0;

	out[0] = '\0';
	sse_parser_init(&s, max);
	while (rv >= 0 && at < in.n) {
		piece = span_skip(in, at);
		if (piece.n > step)
			piece.n = step;
		rv = sse_parse(&s, piece, &taken, &ev, &e);
		if (rv < 0)
			assert_int_equal(e.code, ERR_UPSTREAM);
		if (rv > 0)
			show(&ev, out, size);
		if (rv == 0)
			assert_int_equal(taken, piece.n);
		at += taken;
	}
	sse_parser_free(&s);
	return rv < 0 ? -1 : 0;
}

static void
streams(void **state)
{
	static const struct {
		struct span in;
		const char *want;
	} cases[] = {
		{ TEXT("data: x\n\n"), "|x|-|-1;" },
		{ TEXT("data: x\r\n\r\n"), "|x|-|-1;" },
		{ TEXT("data: x\r\r"), "|x|-|-1;" },
		{ TEXT("data: x\r\n\rdata: y\n\n"), "|x|-|-1;|y|-|-1;" },
		{ TEXT("data:x\n\n"), "|x|-|-1;" },
		{ TEXT("data:  x\n\n"), "| x|-|-1;" },
		{ TEXT("data\n\n"), "||-|-1;" },
		{ TEXT("data:\ndata:\n\n"), "|\n|-|-1;" },
		{ TEXT("data: YHOO\ndata: +2\ndata: 10\n\n"),
		    "|YHOO\n+2\n10|-|-1;" },
		{ TEXT("event: message\nid: 7\ndata: {\"a\": 1}\n\n"),
		    "message|{\"a\": 1}|7|-1;" },
		{ TEXT("id: 1\nretry: 500\ndata:\n\n"), "||1|500;" },
		{ TEXT("id: 1\n\n"), "|-|1|-1;" },
		{ TEXT("id\ndata: x\n\n"), "|x||-1;" },
		{ TEXT("id: a\0b\ndata: x\n\n"), "|x|-|-1;" },
		{ TEXT("retry: 10\n\n"), "|-|-|10;" },
		{ TEXT("retry: 1x\nretry: -1\nretry:\ndata: y\n\n"),
		    "|y|-|-1;" },
		{ TEXT(": comment\n\n:\n\ndata: x\n\n"), "|x|-|-1;" },
		{ TEXT("event: lost\n\ndata: x\n\n"), "|x|-|-1;" },
		{ TEXT("event: a\nevent: b\ndata: x\n\n"), "b|x|-|-1;" },
		{ TEXT("Data: x\nfoo: y\ndata : z\nx\n\ndata: q\n\n"),
		    "|q|-|-1;" },
		{ TEXT("\xef\xbb\xbf" "data: x\n\n"), "|x|-|-1;" },
		{ TEXT("data: a\n\n\xef\xbb\xbf" "data: x\n\n"),
		    "|a|-|-1;" },
		{ TEXT("\n\n\r\n\r\ndata: x\n\n\n\n"), "|x|-|-1;" },
		{ TEXT("data: x\n"), "" }, { TEXT("data: x"), "" },
		{ TEXT("data: a:b: c\n\n"), "|a:b: c|-|-1;" },
		{ TEXT("id: 1\ndata: a\n\ndata: b\n\n"),
		    "|a|1|-1;|b|-|-1;" },
	};
	char out[1024];
	size_t i, step;

	for (i = 0; i < COUNT(cases); i++) {
		for (step = 1; step < 50; step++) {
			assert_int_equal(run(cases[i].in, step, 1000, out,
			    sizeof(out)), 0);
			assert_string_equal(out, cases[i].want);
		}
	}
}

static void
sizes_are_bounded(void **state)
{
	static char text[20000], out[8000];
	struct span all = { text, 0 };
	size_t step;

	memset(text, 'a', sizeof(text));
	memcpy(text, "data: ", 6);
	for (step = 1; step <= 1200; step += 333) {
		memcpy(text + 6 + 1000, "\n\n", 2);
		all.n = 6 + 1000 + 2;
		assert_int_equal(run(all, step, 1000, out, sizeof(out)), 0);
		assert_int_equal(strlen(out), 1000 + 7);
		memcpy(text + 6 + 1000, "a\n\n", 3);
		all.n++;
		assert_int_equal(run(all, step, 1000, out, sizeof(out)), -1);
		memset(text + 6 + 1000, 'a', 3);
	}
	/* No line end at all, and many lines, and the small fields. */
	all.n = 20000;
	assert_int_equal(run(all, 100, 1000, out, sizeof(out)), -1);
	memcpy(text, "id: ", 4);
	memcpy(text + 5000, "\n\n", 2);
	all.n = 5002;
	assert_int_equal(run(all, 9999, 10000, out, sizeof(out)), -1);
	memset(text, '\n', sizeof(text));
	for (step = 0; step + 7 < 2000; step += 7)
		memcpy(text + step, "data:x\n", 7);
	assert_int_equal(run(all, 100, 500, out, sizeof(out)), -1);
}

static void
writes(void **state)
{
	struct buf b;

	buf_init(&b, 200);
	assert_int_equal(sse_write(&b, span_make(NULL, 0), SPAN_LIT("{}")),
	    0);
	assert_int_equal(sse_write(&b, SPAN_LIT("9"), SPAN_LIT("")), 0);
	assert_true(span_is(buf_span(&b), "event: message\ndata: {}\n\n"
	    "event: message\nid: 9\ndata: \n\n"));
	buf_reset(&b, 200);
	assert_int_equal(sse_write(&b, SPAN_LIT("a"),
	    SPAN_LIT("{\r\n\"x\":\n1}")), 0);
	assert_true(span_is(buf_span(&b),
	    "event: message\nid: a\ndata: {  \"x\": 1}\n\n"));
	buf_reset(&b, 200);
	assert_int_equal(sse_write(&b, SPAN_LIT("a\ndata: evil"),
	    SPAN_LIT("{}")), -1);
	assert_int_equal(sse_write(&b, SPAN_LIT("a\r"), SPAN_LIT("{}")), -1);
	assert_int_equal(sse_write(&b, SPAN_LIT("a\0"), SPAN_LIT("{}")), -1);
	assert_int_equal(b.n, 0);
	assert_false(b.overflow);
	buf_free(&b);
	buf_init(&b, 40);
	assert_int_equal(sse_write(&b, SPAN_LIT(""), SPAN_LIT("123456789")),
	    -1);
	assert_int_equal(b.n, 0);
	assert_true(b.overflow);
	buf_free(&b);
}

/* An event's data taken while it comes is the data it would have had. */
static void
data_in_pieces(void **state)
{
	static const struct span in = TEXT("data:{\"a\":\n"
	    "data:  \"b c\"\r\ndata\ndata: }\nid: 5\n\n");
	static const char want[] = "{\"a\":\n \"b c\"\n\n}";
	struct sse_parser s;
	struct sse_event ev;
	struct span part;
	struct err e;
	char got[100];
	size_t step, at, n, taken;
	int rv;

	for (step = 1; step <= in.n; step++) {
		sse_parser_init(&s, 1000);
		n = at = 0;
		for (rv = 0; rv == 0; at += taken) {
			part = span_skip(in, at);
			assert_true(part.n > 0);
			if (part.n > step)
				part.n = step;
			rv = sse_parse(&s, part, &taken, &ev, &e);
			part = rv == 0 ? sse_parser_data(&s) : ev.data;
			if (part.n > 0)
				memcpy(got + n, part.p, part.n);
			n += part.n;
			if (rv == 0)
				sse_parser_forget(&s);
		}
		assert_int_equal(rv, 1);
		assert_true(span_is(ev.id, "5"));
		assert_int_equal(n, sizeof(want) - 1);
		assert_memory_equal(got, want, n);
		assert_int_equal(sse_parser_pending(&s), 0);
		sse_parser_free(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams),
		cmocka_unit_test(sizes_are_bounded),
		cmocka_unit_test(writes),
		cmocka_unit_test(data_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
