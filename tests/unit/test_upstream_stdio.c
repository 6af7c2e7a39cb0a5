/*
 * test_upstream_stdio -- the client side of stdio_proto.h with a scripted
 * stdiod in place of the real one.
 */
#include "upstream_test.h"

#include "stdio/stdio_proto.h"

enum trick { FINE, WRONG_ID, WRONG_CALL, GARBAGE, BAD_MAGIC, NOT_RUN,
	PERHAPS_RUN, TOO_LARGE, CUT, LOST, SILENT, ODD_TYPE };

struct world {
	struct fake	 f;
	_Atomic enum trick trick;	/* the server reads it */
	_Atomic int	 opens, calls, notifies, cancels;
	char		 body[1024];	/* of the last CALL or NOTIFY */
	struct upstream_pool *pool;
	struct upstream_target t;
	struct upstream_call call;
	struct buf	 response;
	struct err	 e;
};

#define PROGRESS7	"{\"jsonrpc\":\"2.0\"," \
	"\"method\":\"notifications/progress\"}"
#define WRONG8		"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}"
#define RESULT		"{\"protocolVersion\":\"2025-06-18\"}"

static bool
read_all(int fd, void *p, size_t n)
{
	char *to = p;
	ssize_t r;

	for (; n > 0; to += r, n -= (size_t)r)
		if ((r = read(fd, to, n)) <= 0)
			return false;
	return true;
}

static void
send_frame(int fd, struct stdio_frame f, const void *body, size_t n)
{
	f.magic = f.magic == 1 ? 1 : STDIO_FRAME_MAGIC;
	f.size = (uint32_t)n;
	fake_send_n(fd, (const char *)&f, sizeof(f));
	fake_send_n(fd, body, n);
}

static void
send_opened(int fd, struct stdio_frame f)
{
	struct stdio_opened o = { .era = ERA_LEGACY, .started = 3,
	    .version = "2025-06-18" };
	char body[sizeof(o) + sizeof(RESULT) - 1];

	memcpy(body, &o, sizeof(o));
	memcpy(body + sizeof(o), RESULT, sizeof(RESULT) - 1);
	f.type = STDIO_OPENED;
	send_frame(fd, f, body, sizeof(body));
}

/* Answers a CALL; false: close the connection now. */
static bool
answer(struct world *w, int fd, struct stdio_frame f)
{
	static const char text[] = "no such command";
	struct stdio_frame m = f;
	enum trick trick = w->trick;

	f.type = STDIO_RESPONSE;
	m.type = STDIO_MESSAGE;
	switch (trick) {
	case FINE:
		send_frame(fd, m, PROGRESS7, strlen(PROGRESS7));
		send_frame(fd, f, OK7, strlen(OK7));
		return true;
	case WRONG_ID:
		send_frame(fd, f, WRONG8, strlen(WRONG8));
		return true;
	case WRONG_CALL:
		f.id++;
		send_frame(fd, f, OK7, strlen(OK7));
		return true;
	case GARBAGE:
		send_frame(fd, f, "{", 1);
		return true;
	case BAD_MAGIC:
		f.magic = 1;
		send_frame(fd, f, OK7, strlen(OK7));
		return true;
	case NOT_RUN:
	case PERHAPS_RUN:
		f.type = STDIO_ERROR;
		f.flags = ERR_UNAVAILABLE;
		if (trick == NOT_RUN)
			f.flags |= STDIO_FLAG_NOT_EXECUTED;
		send_frame(fd, f, text, sizeof(text) - 1);
		return true;
	case TOO_LARGE:
		f.magic = STDIO_FRAME_MAGIC;
		f.size = 100000;
		fake_send_n(fd, (const char *)&f, sizeof(f));
		return true;
	case CUT:
		fake_send_n(fd, (const char *)&f, 10);
		return false;
	case ODD_TYPE:
		f.type = 99;
		send_frame(fd, f, "", 0);
		return true;
	case LOST:
		return false;
	case SILENT:
		return true;
	}
	return false;
}

static void
serve(struct fake *fake, int fd, int connection)
{
	struct world *w = fake->arg;
	struct stdio_frame f;
	bool go_on = true;

	while (go_on && read_all(fd, &f, sizeof(f))) {
		char body[sizeof(w->body)] = "";

		assert_int_equal(f.magic, STDIO_FRAME_MAGIC);
		assert_int_equal(f.server_id, 42);
		assert_true(f.size < sizeof(body));
		if (!read_all(fd, body, f.size))
			return;
		if (f.type == STDIO_CALL || f.type == STDIO_NOTIFY)
			memcpy(w->body, body, sizeof(body));
		if (f.type == STDIO_OPEN) {
			w->opens++;
			if (w->trick == LOST)
				return;
			if (w->trick == NOT_RUN || w->trick == ODD_TYPE)
				answer(w, fd, f);
			else if (w->trick != SILENT)
				send_opened(fd, f);
		} else if (f.type == STDIO_CALL) {
			w->calls++;
			go_on = answer(w, fd, f);
		} else if (f.type == STDIO_CANCEL) {
			assert_int_equal(f.id, 7);
			w->cancels++;
		} else {
			w->notifies++;
		}
	}
}

static void
world_start(struct world *w, enum trick trick)
{
	memset(w, 0, sizeof(*w));
	w->trick = trick;
	fake_start(&w->f, "unix", serve, w);
	w->pool = upstream_pool_new(NULL, w->f.path);
	test_target(&w->t, &w->f);
	test_call(&w->call, &w->response);
	w->t.transport = TRANSPORT_STDIO;
	w->t.url = "";
}

static void
world_stop(struct world *w)
{
	upstream_pool_free(&w->pool);
	fake_stop(&w->f);
	buf_free(&w->response);
}

static int
exchange(struct world *w)
{
	err_clear(&w->e);
	return upstream_exchange(w->pool, &w->t, &w->call, &w->e);
}

static int
on_message(void *arg, struct span message, struct err *e)
{
	assert_true(span_is(message, PROGRESS7));
	if (++*(int *)arg == 100)
		return err_set(e, ERR_CANCELLED, "client gone");
	return 0;
}

static void
test_call_and_open(void **state)
{
	static struct world w;
	struct sess_info info;
	struct buf result;
	int messages = 0, i;

	world_start(&w, FINE);
	buf_init(&result, 4096);
	assert_int_equal(upstream_open(w.pool, &w.t, 0, false,
	    w.call.deadline_ms, &info, &result, &w.e), 0);
	assert_int_equal(info.era, ERA_LEGACY);
	assert_string_equal(info.version, "2025-06-18");
	assert_true(span_is(buf_span(&result), RESULT));
	w.call.on_message = on_message;
	w.call.arg = &messages;
	w.call.params = SPAN_LIT("{\"a\":\r\n1}");
	for (i = 0; i < 3; i++) {
		assert_int_equal(exchange(&w), 0);
		assert_true(span_is(buf_span(&w.response), OK7));
	}
	assert_int_equal(messages, 3);
	assert_string_equal(w.body, "{\"jsonrpc\":\"2.0\",\"id\":7,"
	    "\"method\":\"tools/call\",\"params\":{\"a\":  1}}");
	assert_int_equal(w.f.connections, 1);
	assert_int_equal(w.cancels, 0);

	messages = 99;		/* the client goes away at the next one */
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.e.code, ERR_CANCELLED);
	buf_free(&result);
	world_stop(&w);
	assert_int_equal(w.cancels, 1);
}

static void
test_failures(void **state)
{
	static const struct { enum trick trick; enum err_code code;
	    const char *part; bool executed; } cases[] = {
		{ WRONG_ID, ERR_UPSTREAM, "not ours", true },
		{ WRONG_CALL, ERR_UPSTREAM, "another call", true },
		{ GARBAGE, ERR_UPSTREAM, "bad answer", true },
		{ BAD_MAGIC, ERR_UPSTREAM, "something else", true },
		{ NOT_RUN, ERR_UNAVAILABLE, "no such command", false },
		{ PERHAPS_RUN, ERR_UNAVAILABLE, "no such command", true },
		{ TOO_LARGE, ERR_TOOBIG, "100000", true },
		{ CUT, ERR_UPSTREAM, "stdiod is gone", true },
		{ LOST, ERR_UPSTREAM, "stdiod is gone", true },
		{ ODD_TYPE, ERR_UPSTREAM, "frame type 99", true },
	};
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world_start(&w, cases[i].trick);
		assert_int_equal(exchange(&w), -1);
		if (w.e.code != cases[i].code ||
		    strstr(w.e.text, cases[i].part) == NULL ||
		    strncmp(w.e.text, "server \"x\": ", 12) != 0)
			fail_msg("case %zu: %s", i, w.e.text);
		assert_int_equal(w.call.maybe_executed, cases[i].executed);
		assert_int_equal(w.response.n, 0);
		assert_int_equal(w.calls, 1);
		/* The death of stdiod is no failure of the server. */
		assert_int_equal(w.call.is_blameless, cases[i].trick == CUT ||
		    cases[i].trick == LOST);
		/* The next call starts clean. */
		w.trick = FINE;
		assert_int_equal(exchange(&w), 0);
		assert_int_equal(w.calls, 2);
		assert_false(w.call.is_blameless);
		world_stop(&w);
	}
}

static void
test_lost_connection(void **state)
{
	static struct world w;
	struct sess_info info;

	world_start(&w, FINE);
	assert_int_equal(exchange(&w), 0);
	w.trick = LOST;
	/* It was taken: a tool is not called twice ... */
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.calls, 2);
	w.trick = FINE;
	assert_int_equal(exchange(&w), 0);
	w.trick = LOST;
	/* ... a list may be, once. */
	w.call.method = SPAN_LIT("tools/list");
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.calls, 5);
	assert_int_equal(upstream_open(w.pool, &w.t, 0, true,
	    w.call.deadline_ms, &info, NULL, &w.e), -1);
	assert_int_equal(w.e.code, ERR_UPSTREAM);
	world_stop(&w);
}

static void
test_open_fails(void **state)
{
	static struct world w;
	struct sess_info info;

	world_start(&w, NOT_RUN);
	assert_int_equal(upstream_open(w.pool, &w.t, 0, false,
	    w.call.deadline_ms, &info, NULL, &w.e), -1);
	assert_int_equal(w.e.code, ERR_UNAVAILABLE);
	assert_string_equal(w.e.text, "server \"x\": no such command");
	w.trick = ODD_TYPE;
	assert_int_equal(upstream_open(w.pool, &w.t, 0, false,
	    w.call.deadline_ms, &info, NULL, &w.e), -1);
	assert_int_equal(w.e.code, ERR_UPSTREAM);
	world_stop(&w);
	world_start(&w, SILENT);
	assert_int_equal(upstream_open(w.pool, &w.t, 0, false,
	    clock_mono_ms() + 30, &info, NULL, &w.e), -1);
	assert_int_equal(w.e.code, ERR_TIMEOUT);
	world_stop(&w);
}

static void
test_timeout(void **state)
{
	static struct world w;

	world_start(&w, SILENT);
	w.call.deadline_ms = clock_mono_ms() + 40;
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.e.code, ERR_TIMEOUT);
	assert_true(w.call.maybe_executed);
	world_stop(&w);
	assert_int_equal(w.cancels, 1);
}

static void
test_notify_and_post(void **state)
{
	static struct world w;

	world_start(&w, FINE);
	w.call.is_notification = true;
	w.call.method = SPAN_LIT("notifications/x");
	w.call.params = span_make(NULL, 0);
	assert_int_equal(exchange(&w), 0);
	upstream_pool_trim(w.pool, 0);
	assert_int_equal(upstream_post(w.pool, &w.t, &w.call.session,
	    SPAN_LIT("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"), &w.e), 0);
	world_stop(&w);
	assert_int_equal(w.notifies, 2);
	assert_string_equal(w.body, "{\"jsonrpc\":\"2.0\",\"id\":1,"
	    "\"result\":{}}");
}

static void
test_no_stdiod(void **state)
{
	static struct world w;
	struct upstream_pool *pool = upstream_pool_new(NULL, NULL);

	world_start(&w, FINE);
	assert_int_equal(upstream_exchange(pool, &w.t, &w.call, &w.e), -1);
	assert_int_equal(w.e.code, ERR_UNAVAILABLE);
	upstream_pool_free(&pool);
	pool = upstream_pool_new(NULL, "/nonexistent/socket");
	assert_int_equal(upstream_exchange(pool, &w.t, &w.call, &w.e), -1);
	assert_int_equal(w.e.code, ERR_UPSTREAM);
	assert_non_null(strstr(w.e.text, "/nonexistent/socket"));
	upstream_pool_free(&pool);
	world_stop(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call_and_open),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_lost_connection),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_notify_and_post),
		cmocka_unit_test(test_no_stdiod),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
