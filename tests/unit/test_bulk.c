/*
 * test_bulk -- large responses however they are cut into pieces; the file they
 * go into, and what it may take.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bulk.h"

static struct spill_quota total = { .name = "total", .max = 1 << 20 };
static struct spill_quota one = { .up = &total, .name = "one", .max = 1 << 19 };

static void
test_look(void **state)
{
	static const struct {
		const char *text;
		bool ok, version, id;
		size_t at;
	} t[] = {
		{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a", true, true,
		    true, 33 },
		{ " { \"id\" : 7 , \"result\" : { ", true, false, true, 25 },
		{ "{\"result\":{", true, false, false, 10 },
		{ "{\"result\":[", false, false, false, 0 },
		{ "{\"result\":", false, false, false, 0 },
		{ "{\"x\":1,\"result\":{", false, false, false, 0 },
		{ "{\"id\":7,\"id\":7,\"result\":{", false, false, false, 0 },
		{ "{\"id\":\"7\",\"result\":{", false, false, false, 0 },
		{ "{\"id\":-7,\"result\":{", false, false, false, 0 },
		{ "{\"jsonrpc\":\"1.0\",\"result\":{", false, false, false, 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"x\"", false, false,
		    false, 0 },
		{ "{\"r\\u0065sult\":{", false, false, false, 0 },
		{ "[{\"result\":{", false, false, false, 0 },
		{ "{", false, false, false, 0 }, { "", false, false, false, 0 },
	};
	struct large_head h;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (large_look(span_str(t[i].text), &h) != t[i].ok)
			fail_msg("%s", t[i].text);
		if (!t[i].ok)
			continue;
		assert_int_equal(h.has_version, t[i].version);
		assert_int_equal(h.has_id, t[i].id);
		if (h.has_id)
			assert_int_equal(h.id, 7);
		assert_int_equal(h.at, t[i].at);
	}
}

/* Feeds text from first on in pieces of this size. */
static int
feed(struct bulk *b, const char *text, size_t first, size_t piece)
{
	size_t n = strlen(text), at, m;

	if (!bulk_begin(b, &one, 1 << 16, span_make(text, first)))
		return 1;
	for (at = first; at < n; at += m) {
		m = n - at < piece ? n - at : piece;
		if (!bulk_add(b, span_make(text + at, m)))
			return 2;
	}
	return bulk_end(b);
}

static void
check_file(struct bulk *b, const char *text)
{
	char got[400];
	ssize_t n;

	b->file.pos = 0;
	n = spill_read(&b->file, got, sizeof(got));
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, (size_t)n);
	assert_int_equal(spill_read(&b->file, got, sizeof(got)), 0);
}

static void
test_pieces(void **state)
{
	static const char *const t[][2] = {
		{ "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":\"}\\\"\"}}",
		    "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}" },
		{ "{\"result\":{\"a\":[{}]} , \"id\":7,\"jsonrpc\":\"2.0\"} \r",
		    "{\"result\":{} , \"id\":7,\"jsonrpc\":\"2.0\"}" },
	};
	const char *open;
	struct bulk b;
	size_t i, first, piece;

	for (i = 0; i < 2; i++) {
		open = strstr(t[i][0], "{\"a\"");
		for (first = (size_t)(open - t[i][0]) + 1;
		    t[i][0][first - 1] != ']' && t[i][0][first] != '}';
		    first++)
			for (piece = 1; piece < 30; piece++) {
				assert_int_equal(feed(&b, t[i][0], first,
				    piece), 0);
				assert_int_equal(b.why.code, ERR_NONE);
				assert_int_equal(b.envelope.n,
				    strlen(t[i][1]));
				assert_memory_equal(b.envelope.p, t[i][1],
				    b.envelope.n);
				assert_int_equal(b.result_n, strlen(t[i][0]) -
				    strlen(t[i][1]) + 2 - (i == 1 ? 2 : 0));
				check_file(&b, t[i][0]);
				bulk_drop(&b);
				assert_int_equal(total.used, 0);
			}
	}
}

static void
test_bad(void **state)
{
	static const char *const t[] = {
		"{\"id\":7,\"result\":{\"a\":1}]", "{\"id\":7,\"result\":{\"a\"]",
		"{\"id\":7,\"result\":{\"a\":1}}x", "{\"id\":7,\"result\":{\"a\"",
		"{\"id\":7,\"result\":{\"a\":1}",
	};
	struct bulk b;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(feed(&b, t[i], 18, 3), -1);
		assert_true(b.is_bad);
		assert_int_equal(b.why.code, ERR_UPSTREAM);
		assert_int_equal(b.head.id, 7);
		assert_int_equal(total.used, 0);
		bulk_drop(&b);
	}
	/* it is small */
	assert_int_equal(feed(&b, "{\"result\":{}}", 12, 1), 1);
}

/* Whoever waits is told, and the next message is found. */
static void
add_long(struct bulk *b, size_t n)
{
	char block[4096];

	memset(block, ' ', sizeof(block));
	for (; n > 0; n -= sizeof(block))
		assert_true(bulk_add(b, span_make(block, sizeof(block))));
}

static void
test_limit(void **state)
{
	struct bulk b;
	char block[4096] = "";

	assert_true(bulk_begin(&b, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	add_long(&b, 1 << 16);
	assert_int_equal(b.why.code, ERR_TOOBIG);
	assert_int_equal(b.file.fd, -1);
	assert_int_equal(total.used, 0);
	assert_true(bulk_add(&b, SPAN_LIT("},\"id\":3}")));
	assert_int_equal(bulk_end(&b), 0);
	assert_string_equal((buf_add_char(&b.envelope, '\0'), b.envelope.p),
	    "{\"result\":{},\"id\":3}");
	bulk_drop(&b);
	/* but not for ever */
	assert_true(bulk_begin(&b, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	add_long(&b, (1 << 17) - 4096);
	memset(block, ' ', sizeof(block));
	assert_false(bulk_add(&b, span_make(block, 4096)));
	bulk_drop(&b);
}

static void
test_quota(void **state)
{
	struct bulk a, b;

	one.max = 20000;
	assert_true(bulk_begin(&a, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	assert_true(bulk_begin(&b, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	add_long(&a, 8192);
	add_long(&b, 16384);
	assert_int_equal(a.why.code, ERR_NONE);
	assert_int_equal(b.why.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(b.why.text, "(one)"));
	assert_int_equal(one.used, 8192 + 11);
	assert_int_equal(total.used, one.used);
	bulk_drop(&b);
	one.max = 1 << 19;
	total.max = 10000;
	add_long(&a, 4096);
	assert_non_null(strstr(a.why.text, "(total)"));
	assert_int_equal(one.used + total.used, 0);
	total.max = 1 << 20;
	/* a reload may leave less than is used */
	bulk_drop(&a);
	assert_true(bulk_begin(&a, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	one.max = 1;
	add_long(&a, 4096);
	assert_int_equal(a.why.code, ERR_UNAVAILABLE);
	one.max = 1 << 19;
	bulk_drop(&a);
	assert_int_equal(total.used, 0);
}

static void
test_disk(void **state)
{
	struct rlimit old, small = { 10000, 0 };
	struct bulk b;

	/* the disk is full: here, the file may not grow */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_true(bulk_begin(&b, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	add_long(&b, 16384);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(b.why.code, ERR_UNAVAILABLE);
	assert_int_equal(total.used, 0);
	bulk_drop(&b);
	one.dir = "/proc/nonexistent";
	assert_true(bulk_begin(&b, &one, 1 << 16, SPAN_LIT("{\"result\":{")));
	assert_int_equal(b.why.code, ERR_INTERNAL);
	bulk_forget(&b);
	assert_int_equal(b.why.code, ERR_INTERNAL);
	bulk_drop(&b);
	one.dir = "/tmp";
}

static void
test_send(void **state)
{
	static char block[100000], got[100000];
	struct spill s;
	struct err e;
	int sv[2], rv;
	ssize_t n, all = 0;

	memset(block, 'x', sizeof(block));
	assert_int_equal(spill_open(&s, &one, &e), 0);
	while (s.size < 500000)
		assert_int_equal(spill_add(&s, span_make(block,
		    sizeof(block)), &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    sv), 0);
	assert_int_equal(spill_send(&s, sv[0]), 0);	/* nobody reads */
	do {
		rv = spill_send(&s, sv[0]);
		assert_true(rv >= 0);
		while ((n = read(sv[1], got, sizeof(got))) > 0)
			all += n;
	} while (rv == 0);
	assert_int_equal(all, 500000);
	s.pos = 0;
	close(sv[1]);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(spill_send(&s, sv[0]), -1);
	close(sv[0]);
	spill_close(&s);
	spill_close(&s);
	assert_int_equal(total.used, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look), cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_bad), cmocka_unit_test(test_limit),
		cmocka_unit_test(test_quota), cmocka_unit_test(test_disk),
		cmocka_unit_test(test_send),
	};

	one.dir = "/tmp";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
