/*
 * test_upstream_resume -- an answer whose event stream ends before it: the
 * rest is fetched with GET and Last-Event-ID, never by asking again, and all
 * of it within the deadline of the call.
 */
#include "upstream_test.h"

#define HEAD	"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNKED	"Transfer-Encoding: chunked\r\n"
#define PRIMING	"id: e1\nretry: 60\ndata:\n\n"
#define NOTE	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}"
#define STEPS	8

/* What the server says on its first, second, ... connection. */
struct world {
	struct fake	 f;
	struct upstream_pool *pool;
	struct upstream_target t;
	struct upstream_call call;
	struct buf	 response, seen;
	struct err	 e;
	const char	*say[STEPS];
	int64_t		 came_ms[STEPS];
};

static void
serve(struct fake *f, int fd, int connection)
{
	struct world *w = f->arg;
	int i = connection;

	if (!fake_read(f, fd))
		return;
	if (connection < STEPS)
		w->came_ms[connection] = clock_mono_ms();
	while (i > 0 && (i >= STEPS || w->say[i] == NULL))
		i--;			/* the last one again and again */
	fake_send(fd, w->say[i]);
}

static int
on_message(void *arg, struct span message, struct err *e)
{
	buf_add_span(arg, message);
	return buf_add_char(arg, '\n');
}

static int
run(struct world *w, int64_t timeout_ms, const char *first, const char *second,
    const char *third)
{
	memset(w, 0, sizeof(*w));
	fake_start(&w->f, "http", serve, w);
	w->say[0] = first;
	w->say[1] = second;
	w->say[2] = third;
	w->pool = upstream_pool_new(NULL, NULL);
	test_target(&w->t, &w->f);
	test_call(&w->call, &w->response);
	buf_init(&w->seen, 65536);
	w->call.on_message = on_message;
	w->call.arg = &w->seen;
	w->call.deadline_ms = clock_mono_ms() + timeout_ms;
	return upstream_exchange(w->pool, &w->t, &w->call, &w->e);
}

static void
stop(struct world *w)
{
	upstream_pool_free(&w->pool);
	fake_stop(&w->f);
	buf_free(&w->response);
	buf_free(&w->seen);
}

static void
assert_is_get(const struct world *w, int i, const char *id)
{
	char line[64];

	assert_memory_equal(w->f.request[i], "GET /mcp HTTP/1.1\r\n", 19);
	snprintf(line, sizeof(line), "\r\nLast-Event-ID: %s\r\n", id);
	assert_non_null(strstr(w->f.request[i], line));
	assert_non_null(strstr(w->f.request[i], "Mcp-Session-Id: abc\r\n"));
	assert_non_null(strstr(w->f.request[i],
	    "MCP-Protocol-Version: 2025-11-25\r\n"));
	assert_null(strstr(w->f.request[i], "Content-Length"));
}

/* However the stream ends, it is gone on with, at the time the server said. */
static void
test_resumed(void **state)
{
	static const char *const firsts[] = {
		HEAD "\r\n" PRIMING,
		HEAD CHUNKED "\r\n18\r\n" PRIMING "\r\n0\r\n\r\n",
		HEAD CHUNKED "\r\n18\r\n" PRIMING "\r\n",
		HEAD CHUNKED "\r\n18\r\n" PRIMING "\r\n7\r\nda",
	};
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		assert_int_equal(run(&w, 5000, firsts[i], HEAD "\r\n"
		    "id: e2\ndata: " NOTE "\n\nid: e3\ndata: " OK7 "\n\n",
		    NULL), 0);
		assert_true(span_is(buf_span(&w.response), OK7));
		assert_true(span_is(buf_span(&w.seen), NOTE "\n"));
		assert_int_equal(w.f.n, 2);
		assert_is_get(&w, 1, "e1");
		assert_in_range(w.came_ms[1] - w.came_ms[0], 59, 900);
		stop(&w);
	}
}

/* As often as it takes; each time after the last event that came. */
static void
test_resumed_again(void **state)
{
	static struct world w;

	assert_int_equal(run(&w, 5000, HEAD "\r\nid: e1\nretry: 1\ndata: "
	    NOTE "\n\n", HEAD "\r\nid: e2\ndata:\n\n", HEAD "\r\ndata: " OK7
	    "\n\n"), 0);
	assert_int_equal(w.f.n, 3);
	assert_is_get(&w, 1, "e1");
	assert_is_get(&w, 2, "e2");
	assert_true(span_is(buf_span(&w.seen), NOTE "\n"));
	stop(&w);
}

/* A server that is being restarted. */
static void
test_server_comes_back(void **state)
{
	static struct world w;

	assert_int_equal(run(&w, 5000, HEAD "\r\nid: e1\nretry: 1\ndata:\n\n",
	    "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", HEAD "\r\ndata: "
	    OK7 "\n\n"), 0);
	assert_int_equal(w.f.n, 3);
	assert_is_get(&w, 2, "e1");
	stop(&w);
	assert_int_equal(run(&w, 5000, HEAD "\r\nid: e1\nretry: 1\ndata:\n\n",
	    "", HEAD "\r\ndata: " OK7 "\n\n"), 0);
	assert_int_equal(w.f.n, 3);
	stop(&w);
}

/* Not resumed: no id, an id that no header can hold, another era. What came
 * of the answer is judged as ever. */
static void
test_not_resumable(void **state)
{
	static const struct { const char *first, *part; } cases[] = {
		{ HEAD "\r\ndata: " NOTE "\n\n", "no response" },
		{ HEAD "\r\nid: e1\ndata:\n\nid:\ndata:\n\n", "no response" },
		{ HEAD "\r\nid: a\tb\ndata:\n\n", "no response" },
		{ HEAD "\r\nid: \xc3\xa4\ndata:\n\n", "no response" },
		{ HEAD CHUNKED "\r\n3\r\n: x\r\n", "cut short" },
		{ HEAD "\r\nid: e1\ndata: {\n\n", "bad answer" },
		{ HEAD "\r\nid: e1\ndata: {\"jsonrpc\":\"2.0\",\"id\":8,"
		    "\"result\":{}}\n\n", "not ours" },
	};
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(run(&w, 5000, cases[i].first, NULL, NULL), -1);
		assert_int_equal(w.e.code, ERR_UPSTREAM);
		if (strstr(w.e.text, cases[i].part) == NULL)
			fail_msg("%s", w.e.text);
		assert_int_equal(w.f.n, 1);
		assert_true(w.call.maybe_executed);
		stop(&w);
	}
	assert_int_equal(run(&w, 5000, HEAD "\r\ndata: " OK7 "\n\n", NULL,
	    NULL), 0);
	w.call.session.era = ERA_MODERN;
	w.say[1] = HEAD "\r\n" PRIMING;
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), -1);
	assert_int_equal(w.f.n, 2);
	stop(&w);
}

/* A server without GET is asked once, and then never again. */
static void
test_405_is_remembered(void **state)
{
	static struct world w;

	assert_int_equal(run(&w, 5000, HEAD "\r\n" PRIMING,
	    "HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n", HEAD "\r\n" PRIMING),
	    -1);
	assert_non_null(strstr(w.e.text, "HTTP 405"));
	assert_true(w.call.maybe_executed);
	assert_int_equal(w.f.n, 2);
	w.call.deadline_ms = clock_mono_ms() + 5000;
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), -1);
	assert_non_null(strstr(w.e.text, "no response"));
	assert_int_equal(w.f.n, 3);
	stop(&w);
}

/* The session ended meanwhile: the call must not be made once more. */
static void
test_session_gone(void **state)
{
	static struct world w;

	assert_int_equal(run(&w, 5000, HEAD "\r\n" PRIMING,
	    "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", NULL), -1);
	assert_false(w.call.session_gone);
	assert_true(w.call.maybe_executed);
	assert_int_equal(w.f.n, 2);
	stop(&w);
}

/* The deadline holds while we wait and while nothing comes; then the server
 * is told. A server that closes at once is not asked without a pause. */
static void
test_deadline(void **state)
{
	static struct world w;
	int64_t began = clock_mono_ms();

	assert_int_equal(run(&w, 200, HEAD "\r\nid: e1\nretry: 60000\ndata:\n\n",
	    "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n", NULL), -1);
	assert_int_equal(w.e.code, ERR_TIMEOUT);
	assert_in_range(clock_mono_ms() - began, 199, 2000);
	assert_int_equal(w.f.n, 2);
	assert_non_null(strstr(w.f.request[1], "notifications/cancelled"));
	stop(&w);
	assert_int_equal(run(&w, 400, HEAD "\r\nid: e1\nretry: 0\ndata:\n\n",
	    HEAD "\r\nretry: 0\n\n", NULL), -1);
	assert_int_equal(w.e.code, ERR_TIMEOUT);
	assert_in_range(w.f.n, 3, 7);
	stop(&w);
}

/* The standalone stream is listened to from the given event on. */
static void
test_listen(void **state)
{
	static struct world w;

	assert_int_equal(run(&w, 5000, HEAD "\r\ndata: " OK7 "\n\n",
	    HEAD "\r\nid: s2\nretry: 7\ndata: " NOTE "\n\n", HEAD "\r\n"), 0);
	w.call.is_listen = true;
	w.call.deadline_ms = clock_mono_ms() + 5000;
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), 0);
	assert_null(strstr(w.f.request[1], "Last-Event-ID"));
	assert_string_equal(w.call.event_id, "s2");
	assert_int_equal(w.call.retry_ms, 7);
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), 0);
	assert_is_get(&w, 2, "s2");
	stop(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_resumed_again),
		cmocka_unit_test(test_server_comes_back),
		cmocka_unit_test(test_not_resumable),
		cmocka_unit_test(test_405_is_remembered),
		cmocka_unit_test(test_session_gone),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
