/*
 * test_upstream_http -- exchanges over plain HTTP with scripted servers, the
 * hostile ones above all: an answer is delivered only if it is ours, whole,
 * and the only one; whatever else comes costs one call and one connection.
 */
#include "upstream_test.h"

#include <errno.h>

#include "net/sock.h"

/* The linker sends the library's calls here (-Wl,--wrap). */
static _Atomic int sends, recvs, connects;

ssize_t	__real_send(int, const void *, size_t, int);
ssize_t	__wrap_send(int, const void *, size_t, int);
ssize_t	__real_recv(int, void *, size_t, int);
ssize_t	__wrap_recv(int, void *, size_t, int);
int	__wrap_sock_connect_tcp(struct span, uint16_t, int64_t, struct err *);
int	__real_sock_connect_tcp(struct span, uint16_t, int64_t, struct err *);

ssize_t
__wrap_send(int fd, const void *p, size_t n, int flags)
{
	sends++;
	return __real_send(fd, p, n, flags);
}

ssize_t
__wrap_recv(int fd, void *p, size_t n, int flags)
{
	recvs++;
	return __real_recv(fd, p, n, flags);
}

int
__wrap_sock_connect_tcp(struct span host, uint16_t port, int64_t deadline_ms,
    struct err *e)
{
	connects++;
	return __real_sock_connect_tcp(host, port, deadline_ms, e);
}

struct world {
	struct fake	 f;
	struct upstream_pool *pool;
	struct upstream_target t;
	struct upstream_call call;
	struct buf	 response;
	struct err	 e;
};

static void
world_start(struct world *w, const char *scheme,
    void (*serve)(struct fake *, int, int), void *arg)
{
	fake_start(&w->f, scheme, serve, arg);
	w->pool = upstream_pool_new(NULL, NULL);
	test_target(&w->t, &w->f);
	test_call(&w->call, &w->response);
}

static void
world_stop(struct world *w)
{
	upstream_pool_free(&w->pool);
	assert_null(w->pool);
	fake_stop(&w->f);
	buf_free(&w->response);
}

static int
exchange(struct world *w)
{
	err_clear(&w->e);
	w->call.deadline_ms = clock_mono_ms() + 5000;
	return upstream_exchange(w->pool, &w->t, &w->call, &w->e);
}

static void
assert_answer(struct world *w, const char *text)
{
	assert_true(span_is(buf_span(&w->response), text));
}

static void
assert_failed(struct world *w, enum err_code code, const char *part)
{
	if (w->e.code != code || strstr(w->e.text, part) == NULL ||
	    strncmp(w->e.text, "server \"x\": ", 12) != 0)
		fail_msg("%s: %s, wanted %s: %s", err_name(w->e.code),
		    w->e.text, err_name(code), part);
	assert_int_equal(w->response.n, 0);
}

/* ---- what is sent ---- */

static void
serve_ok(struct fake *f, int fd, int connection)
{
	while (fake_read(f, fd))
		fake_json(fd, OK7);
}

static void
test_request_bytes(void **state)
{
	static struct world w;
	char want[1024];

	world_start(&w, "http", serve_ok, NULL);
	w.t.auth_header = "Authorization: Bearer s3cret";
	w.call.headers = SPAN_LIT("X-More: 1\r\n");
	assert_int_equal(exchange(&w), 0);
	assert_answer(&w, OK7);
	assert_int_equal(w.call.http_status, 200);
	snprintf(want, sizeof(want), "POST /mcp HTTP/1.1\r\n"
	    "Host: 127.0.0.1:%u\r\nUser-Agent: omni2/", w.f.port);
	assert_memory_equal(w.f.request[0], want, strlen(want));
	assert_non_null(strstr(w.f.request[0],
	    "\r\nContent-Type: application/json\r\n"
	    "Accept: application/json, text/event-stream\r\n"
	    "Accept-Encoding: identity\r\n"
	    "Authorization: Bearer s3cret\r\n"
	    "MCP-Protocol-Version: 2025-11-25\r\n"
	    "Mcp-Session-Id: abc\r\nX-More: 1\r\n"
	    "Content-Length: 71\r\n\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\","
	    "\"params\":{\"name\":\"echo\"}}"));
	world_stop(&w);
}

static void
test_modern_headers(void **state)
{
	static const struct { const char *name, *header; } cases[] = {
		{ "echo", "Mcp-Name: echo\r\n" },
		{ "a b", "Mcp-Name: a b\r\n" },
		{ " a", "Mcp-Name: =?base64?IGE=?=\r\n" },
		{ "a\r\nX: y", "Mcp-Name: =?base64?YQ0KWDogeQ==?=\r\n" },
		{ "\xc3\xa4", "Mcp-Name: =?base64?w6Q=?=\r\n" },
		{ "=?base64?", "Mcp-Name: =?base64?PT9iYXNlNjQ/?=\r\n" },
	};
	static struct world w;
	size_t i;

	world_start(&w, "http", serve_ok, NULL);
	memset(&w.call.session, 0, sizeof(w.call.session));
	w.call.session.era = ERA_MODERN;
	span_copy(w.call.session.version, sizeof(w.call.session.version),
	    SPAN_LIT("2026-07-28"));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		w.call.name = span_str(cases[i].name);
		assert_int_equal(exchange(&w), 0);
		assert_non_null(strstr(w.f.request[i], cases[i].header));
		assert_non_null(strstr(w.f.request[i],
		    "MCP-Protocol-Version: 2026-07-28\r\n"
		    "Mcp-Method: tools/call\r\n"));
		assert_null(strstr(w.f.request[i], "Mcp-Session-Id"));
	}
	assert_int_equal(w.f.connections, 1);
	w.call.method = SPAN_LIT("tools/\"x");
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_BADREQ, "method name");
	world_stop(&w);
}

/* A new session or configuration is seen at once. */
static void
test_head_is_rewritten(void **state)
{
	static struct world w;

	world_start(&w, "http", serve_ok, NULL);
	assert_int_equal(exchange(&w), 0);
	span_copy(w.call.session.id, sizeof(w.call.session.id),
	    SPAN_LIT("def"));
	w.call.session.opened++;
	assert_int_equal(exchange(&w), 0);
	assert_non_null(strstr(w.f.request[1], "Mcp-Session-Id: def\r\n"));
	assert_int_equal(w.f.connections, 1);
	w.t.auth_header = "X-Key: k";
	w.t.config_hash++;
	assert_int_equal(exchange(&w), 0);
	assert_non_null(strstr(w.f.request[2], "X-Key: k\r\n"));
	assert_int_equal(w.f.connections, 2);
	w.t.auth_header = "X-Key: k\r\nEvil: 1";
	w.t.config_hash++;
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_UPSTREAM, "line break");
	world_stop(&w);
}

static void
test_two_calls_a_request(void **state)
{
	static struct world w;
	int i;

	world_start(&w, "http", serve_ok, NULL);
	assert_int_equal(exchange(&w), 0);
	sends = recvs = connects = 0;
	for (i = 0; i < 50; i++)
		assert_int_equal(exchange(&w), 0);
	assert_int_equal(sends, 50);
	/* One more only if the server took longer than the first wait. */
	assert_in_range(recvs, 50, 60);
	assert_int_equal(connects, 0);
	world_stop(&w);
}

/* ---- answers ---- */

#define HEAD	"HTTP/1.1 200 OK\r\n"
#define JSON	"Content-Type: application/json\r\n"
#define EVENTS	"Content-Type: text/event-stream\r\n"
#define CLOSE	"Connection: close\r\n"
#define CHUNKED	"Transfer-Encoding: chunked\r\n"
#define LEN41	"Content-Length: 41\r\n"
#define N7	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}"
#define OK8	"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}"
#define ERR7	"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32602," \
		"\"message\":\"no\"}}"

static const struct answer {
	const char	*name, *bytes;
	enum err_code	 code;		/* NONE: delivered */
	const char	*part;		/* of the text, or the answer */
} answers[] = {
	{ "length", HEAD JSON LEN41 "\r\n" OK7, ERR_NONE, OK7 },
	{ "until close", HEAD JSON "\r\n" OK7, ERR_NONE, OK7 },
	{ "chunked", HEAD JSON CHUNKED "\r\n5\r\n{\"jso\r\n24\r\n"
	    "nrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1}}\r\n0\r\n\r\n",
	    ERR_NONE, OK7 },
	{ "white space", HEAD JSON "\r\n \n" OK7 "\t ", ERR_NONE, OK7 },
	{ "charset", HEAD "Content-Type: application/json; charset=utf-8\r\n"
	    "\r\n" OK7, ERR_NONE, OK7 },
	{ "error response", HEAD JSON "\r\n" ERR7, ERR_NONE, ERR7 },
	{ "error with 500", "HTTP/1.1 500 X\r\n" JSON "\r\n" ERR7, ERR_NONE,
	    ERR7 },
	{ "interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n"
	    "Link: x\r\n\r\n" HEAD JSON "\r\n" OK7, ERR_NONE, OK7 },
	{ "identity", HEAD JSON "Content-Encoding: identity\r\n\r\n" OK7,
	    ERR_NONE, OK7 },
	{ "batch", HEAD JSON "\r\n[" N7 ", " OK7 "]", ERR_NONE, OK7 },
	{ "batch backwards", HEAD JSON "\r\n[" OK7 "," N7 "]", ERR_NONE, OK7 },
	{ "events", HEAD EVENTS "\r\n: hello\n\nid: 1\nretry: 5\ndata:\n\n"
	    "event: message\ndata: " N7 "\n\nevent: ping\ndata: x\n\n"
	    "data: " OK7 "\n\n", ERR_NONE, OK7 },
	{ "event of lines", HEAD EVENTS "\r\n"
	    "data: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":7,\"result\":{}}\r\n"
	    "\r\n", ERR_NONE,
	    "{\"jsonrpc\":\"2.0\",\n\"id\":7,\"result\":{}}" },
	{ "event batch", HEAD EVENTS "\r\ndata: [" N7 "," OK7 "]\n\n",
	    ERR_NONE, OK7 },
	{ "404 unknown method", "HTTP/1.1 404 X\r\n" JSON "\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32601,"
	    "\"message\":\"m\"}}", ERR_NONE, "{\"jsonrpc\":\"2.0\",\"id\":7,"
	    "\"error\":{\"code\":-32601,\"message\":\"m\"}}" },

	{ "wrong id", HEAD JSON "\r\n" OK8, ERR_UPSTREAM, "not ours" },
	{ "wrong id in events", HEAD EVENTS "\r\ndata: " OK8 "\n\n",
	    ERR_UPSTREAM, "not ours" },
	{ "id as string", HEAD JSON "\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"result\":{}}", ERR_UPSTREAM,
	    "not ours" },
	{ "id as fraction", HEAD JSON "\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":7.5,\"result\":{}}", ERR_UPSTREAM,
	    "not ours" },
	{ "no id", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\",\"result\":{}}",
	    ERR_UPSTREAM, "not ours" },
	{ "two ids", HEAD JSON "\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"id\":8,\"result\":{}}",
	    ERR_UPSTREAM, "bad answer" },
	{ "escaped id", HEAD JSON "\r\n"
	    "{\"jsonrpc\":\"2.0\",\"\\u0069d\":7,\"result\":{}}",
	    ERR_UPSTREAM, "bad answer" },
	{ "null id", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\",\"id\":null,"
	    "\"error\":{\"code\":-32700,\"message\":\"pa\\nrse\"}}",
	    ERR_UPSTREAM, "-32700 pa?rse" },
	{ "result and error", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\",\"id\":7,"
	    "\"result\":{},\"error\":{}}", ERR_UPSTREAM, "result and error" },
	{ "neither", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\",\"id\":7}",
	    ERR_UPSTREAM, "result and error" },
	{ "result and null error", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\","
	    "\"id\":7,\"result\":{},\"error\":null}", ERR_UPSTREAM,
	    "result and error" },
	{ "result is text", HEAD JSON "\r\n"
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"x\"}", ERR_UPSTREAM,
	    "result and error" },
	{ "method and result", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\",\"id\":7,"
	    "\"method\":\"m\",\"result\":{}}", ERR_UPSTREAM, "neither" },
	{ "no jsonrpc", HEAD JSON "\r\n{\"id\":7,\"result\":{}}",
	    ERR_UPSTREAM, "2.0" },
	{ "jsonrpc 1.0", HEAD JSON "\r\n"
	    "{\"jsonrpc\":\"1.0\",\"id\":7,\"result\":{}}", ERR_UPSTREAM,
	    "2.0" },
	{ "two answers", HEAD EVENTS "\r\ndata: " OK7 "\n\ndata: " OK7
	    "\n\n", ERR_UPSTREAM, "twice" },
	{ "two in a batch", HEAD JSON "\r\n[" OK7 "," OK7 "]", ERR_UPSTREAM,
	    "twice" },
	{ "batch of numbers", HEAD JSON "\r\n[1]", ERR_UPSTREAM, "batch" },
	{ "empty batch", HEAD JSON "\r\n[]", ERR_UPSTREAM, "no response" },
	{ "only a notification", HEAD JSON "\r\n" N7, ERR_UPSTREAM,
	    "no response" },
	{ "events without", HEAD EVENTS "\r\ndata: " N7 "\n\n", ERR_UPSTREAM,
	    "no response" },
	{ "garbage", HEAD JSON "\r\n<html>", ERR_UPSTREAM, "bad answer" },
	{ "garbage event", HEAD EVENTS "\r\ndata: <html>\n\n", ERR_UPSTREAM,
	    "bad answer" },
	{ "bad UTF-8", HEAD JSON "\r\n{\"jsonrpc\":\"2.0\",\"id\":7,"
	    "\"result\":{\"a\":\"\xff\"}}", ERR_UPSTREAM, "bad answer" },
	{ "trailing text", HEAD JSON "\r\n" OK7 "x", ERR_UPSTREAM,
	    "bad answer" },
	{ "a number", HEAD JSON "\r\n7", ERR_UPSTREAM, "not a JSON object" },
	{ "empty body", HEAD JSON "Content-Length: 0\r\n\r\n", ERR_UPSTREAM,
	    "bad answer" },
	{ "lying length", HEAD JSON "Content-Length: 99\r\n\r\n" OK7,
	    ERR_UPSTREAM, "cut short" },
	{ "short length", HEAD JSON "Content-Length: 40\r\n\r\n" OK7,
	    ERR_UPSTREAM, "bad answer" },
	{ "huge length", HEAD JSON "Content-Length: 99999999\r\n\r\n" OK7,
	    ERR_TOOBIG, "99999999" },
	{ "two lengths", HEAD JSON LEN41 "Content-Length: 42\r\n\r\n" OK7,
	    ERR_UPSTREAM, "bad answer" },
	{ "length and chunks", HEAD JSON LEN41 CHUNKED "\r\n0\r\n\r\n",
	    ERR_UPSTREAM, "bad answer" },
	{ "bad chunk", HEAD JSON CHUNKED "\r\n5 \r\n{\"jso\r\n",
	    ERR_UPSTREAM, "bad answer" },
	{ "not HTTP", "SSH-2.0-OpenSSH_9.2\r\n", ERR_UPSTREAM, "" },
	{ "bare LF", "HTTP/1.1 200 OK\n\n" OK7, ERR_UPSTREAM, "no HTTP head" },
	{ "gzip", HEAD JSON "Content-Encoding: gzip\r\n\r\n\x1f\x8b",
	    ERR_UPSTREAM, "encoded" },
	{ "text", HEAD "Content-Type: text/html\r\n\r\n" OK7, ERR_UPSTREAM,
	    "neither JSON" },
	{ "no type", HEAD "\r\n" OK7, ERR_UPSTREAM, "neither JSON" },
	{ "redirect", "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\n"
	    "Content-Length: 0\r\n\r\n", ERR_UPSTREAM, "HTTP 307" },
	{ "unauthorized", "HTTP/1.1 401 X\r\n\r\n", ERR_UPSTREAM,
	    "refused our credentials (HTTP 401)" },
	{ "forbidden", "HTTP/1.1 403 X\r\n\r\n" ERR7, ERR_UPSTREAM,
	    "refused our credentials (HTTP 403)" },
	{ "accepted", "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n",
	    ERR_UPSTREAM, "HTTP 202" },
	{ "switching", "HTTP/1.1 101 X\r\n\r\n", ERR_UPSTREAM, "HTTP 101" },
	{ "plain 500", "HTTP/1.1 500 X\r\n\r\noops", ERR_UPSTREAM,
	    "HTTP 500" },
	{ "odd session id", HEAD JSON "Mcp-Session-Id: a b\r\n\r\n" OK7,
	    ERR_UPSTREAM, "odd bytes" },
};

static void
serve_bytes(struct fake *f, int fd, int connection)
{
	const struct answer *a = f->arg;

	if (fake_read(f, fd))
		fake_send(fd, a->bytes);
}

static void
test_answers(void **state)
{
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct answer a = answers[i];
		int rv;

		world_start(&w, "http", serve_bytes, &a);
		rv = exchange(&w);
		if ((rv == 0) != (a.code == ERR_NONE))
			fail_msg("%s: %d %s", a.name, rv, w.e.text);
		if (rv == 0)
			assert_answer(&w, a.part);
		else
			assert_failed(&w, a.code, a.part);
		assert_false(w.call.session_gone);
		world_stop(&w);
	}
}

/* Whatever the server sends when, a part of it is never an answer. (Closing
 * unannounced could hit the next call, which is another test.) */
struct cut {
	const char	*bytes;
	_Atomic size_t	 n;		/* the server reads them */
	_Atomic bool	 dribble;
};

static void
serve_cut(struct fake *f, int fd, int connection)
{
	const struct cut *c = f->arg;
	size_t i;

	if (!fake_read(f, fd))
		return;
	for (i = 0; c->dribble && i < c->n; i++)
		fake_send_n(fd, c->bytes + i, 1);
	if (!c->dribble)
		fake_send_n(fd, c->bytes, c->n);
	shutdown(fd, SHUT_WR);
	fake_wait_closed(fd);
}

static void
test_cut_anywhere(void **state)
{
	static const struct { const char *bytes; size_t whole; } cases[] = {
		{ HEAD CLOSE JSON LEN41 "\r\n" OK7, 0 },
		{ HEAD CLOSE JSON CHUNKED "\r\n5\r\n{\"jso\r\n24\r\n"
		    "nrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1}}\r\n0\r\n"
		    "\r\n", 0 },
		/* In a stream the answer counts when its event is whole. */
		{ HEAD EVENTS "\r\ndata: " N7 "\n\ndata: " OK7 "\n\n: bye\n",
		    7 },
	};
	static struct world w;
	struct cut c;
	size_t i, n;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = strlen(cases[i].bytes);
		c = (struct cut){ cases[i].bytes, 0, false };
		world_start(&w, "http", serve_cut, &c);
		for (; c.n < n - cases[i].whole - 1; c.n++) {
			assert_int_equal(exchange(&w), -1);
			assert_int_equal(w.e.code, ERR_UPSTREAM);
			assert_int_equal(w.response.n, 0);
		}
		c.n = n;
		assert_int_equal(exchange(&w), 0);
		assert_answer(&w, OK7);
		c.dribble = true;
		assert_int_equal(exchange(&w), 0);
		assert_answer(&w, OK7);
		world_stop(&w);
	}
}

static void
serve_flood(struct fake *f, int fd, int connection)
{
	const char *start = f->arg;
	char line[1024];
	int i;

	if (!fake_read(f, fd))
		return;
	fake_send(fd, start);
	memset(line, 'a', sizeof(line));
	if (start[strlen(start) - 1] == '\n') {
		memcpy(line, "X: ", 3);
		memcpy(line + sizeof(line) - 2, "\r\n", 2);
	}
	/* Ends because the client closes the connection. */
	for (i = 0; i < 1 << 20; i++)
		if (write(fd, line, sizeof(line)) <= 0)
			return;
	fail_msg("the client read a gigabyte");
}

static void
test_floods(void **state)
{
	static const struct answer cases[] = {
		{ "endless head", HEAD, ERR_UPSTREAM, "no HTTP head" },
		{ "endless JSON", HEAD JSON "\r\n\"", ERR_TOOBIG, "larger" },
		{ "endless event", HEAD EVENTS "\r\ndata: ", ERR_TOOBIG,
		    "larger" },
		{ "endless error", "HTTP/1.1 500 X\r\n\r\n", ERR_UPSTREAM,
		    "HTTP 500" },
		{ "endless interim", "HTTP/1.1 100 A\r\n\r\nHTTP/1.1 100 A\r\n",
		    ERR_UPSTREAM, "no HTTP head" },
	};
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char start[128];

		snprintf(start, sizeof(start), "%s", cases[i].bytes);
		world_start(&w, "http", serve_flood, start);
		assert_int_equal(exchange(&w), -1);
		assert_failed(&w, cases[i].code, cases[i].part);
		world_stop(&w);
	}
}

/* ---- sessions ---- */

static void
test_session_gone(void **state)
{
	static const struct {
		const char *bytes;
		bool	    has_session, gone;
	} cases[] = {
		{ "HTTP/1.1 404 X\r\n\r\n", true, true },
		{ "HTTP/1.1 404 X\r\n\r\n", false, false },
		{ "HTTP/1.1 400 X\r\n\r\n{\"jsonrpc\":\"2.0\",\"error\":{"
		    "\"code\":-32000,\"message\":\"Bad Request: No valid "
		    "session\"},\"id\":null}", true, true },
		{ "HTTP/1.1 400 X\r\n\r\nSession not found", true, true },
		{ "HTTP/1.1 400 X\r\n\r\nSession not found", false, false },
		{ "HTTP/1.1 400 X\r\n\r\nwhat?", true, false },
		{ "HTTP/1.1 409 X\r\n\r\nsession", true, false },
	};
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer a = { "", cases[i].bytes, ERR_UPSTREAM, "" };

		world_start(&w, "http", serve_bytes, &a);
		if (!cases[i].has_session)
			w.call.session.id[0] = '\0';
		assert_int_equal(exchange(&w), -1);
		assert_int_equal(w.call.session_gone, cases[i].gone);
		assert_false(w.call.maybe_executed);
		world_stop(&w);
	}
}

static void
serve_session(struct fake *f, int fd, int connection)
{
	if (fake_read(f, fd))
		fake_answer(fd, "200 OK", "application/json",
		    "mcp-session-id: new-1\r\n", OK7);
	fake_wait_closed(fd);
}

static void
test_new_session_id(void **state)
{
	static struct world w;

	world_start(&w, "http", serve_session, NULL);
	assert_int_equal(exchange(&w), 0);
	assert_string_equal(w.call.new_session, "new-1");
	world_stop(&w);
}

/* ---- keeping and losing connections ---- */

/* Answers once a connection; arg says how it ends. */
enum ending { CLOSE_AFTER, RESET_AFTER, TAKE_AND_CLOSE, ANSWER_408 };

static void
serve_once(struct fake *f, int fd, int connection)
{
	struct linger hard = { 1, 0 };

	if (!fake_read(f, fd))
		return;
	fake_json(fd, OK7);
	switch (*(enum ending *)f->arg) {
	case TAKE_AND_CLOSE:
		fake_read(f, fd);	/* taken, and then it crashes */
		break;
	case ANSWER_408:
		fake_read(f, fd);
		f->n--;
		fake_send(fd, "HTTP/1.1 408 X\r\nConnection: close\r\n\r\n");
		break;
	case RESET_AFTER:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		break;
	case CLOSE_AFTER:
		break;
	}
}

static void
test_stale_connection(void **state)
{
	static struct world w;
	enum ending ending;

	for (ending = CLOSE_AFTER; ending <= RESET_AFTER; ending++) {
		world_start(&w, "http", serve_once, &ending);
		assert_int_equal(exchange(&w), 0);
		fake_wait_idle(&w.f);
		assert_int_equal(exchange(&w), 0);
		assert_answer(&w, OK7);
		assert_int_equal(w.f.n, 2);
		world_stop(&w);
	}
	ending = ANSWER_408;
	world_start(&w, "http", serve_once, &ending);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), 0);
	world_stop(&w);
}

/* A tool that the server may have run is not run again; a list is read. */
static void
test_taken_and_lost(void **state)
{
	static struct world w;
	enum ending ending = TAKE_AND_CLOSE;
	const char *schemes[] = { "http", "unix" };
	size_t i;

	for (i = 0; i < 2; i++) {
		world_start(&w, schemes[i], serve_once, &ending);
		assert_int_equal(exchange(&w), 0);
		assert_int_equal(exchange(&w), -1);
		assert_failed(&w, ERR_UPSTREAM, "no answer: closed");
		assert_true(w.call.maybe_executed);
		assert_int_equal(w.f.n, 2);
		assert_int_equal(exchange(&w), 0);
		w.call.method = SPAN_LIT("tools/list");
		assert_int_equal(exchange(&w), 0);
		assert_int_equal(w.f.n, 5);
		world_stop(&w);
	}
}

static void
serve_twice_in_one(struct fake *f, int fd, int connection)
{
	if (!fake_read(f, fd))
		return;
	if (connection == 0)		/* a second answer that nobody asked */
		fake_send(fd, HEAD JSON LEN41 "\r\n" OK7
		    HEAD JSON LEN41 "\r\n" OK7);
	else
		fake_json(fd, OK7);
	fake_wait_closed(fd);
}

static void
test_unsolicited_bytes_close(void **state)
{
	static struct world w;

	world_start(&w, "http", serve_twice_in_one, NULL);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.f.connections, 2);
	world_stop(&w);
}

/* The end of a stream comes after its answer: the connection is used again
 * when it has come by then, and closed when more comes than the end. */
static void
serve_late_end(struct fake *f, int fd, int connection)
{
	const char *tail = f->arg;
	char event[512];

	while (fake_read(f, fd)) {
		fake_send(fd, HEAD EVENTS CHUNKED "\r\n");
		snprintf(event, sizeof(event), "%zx\r\ndata: %s\n\n\r\n",
		    strlen(OK7) + 8, OK7);
		fake_send(fd, event);
		fake_send(fd, tail);
	}
}

static void
test_end_of_stream(void **state)
{
	static struct world w;
	char end[] = "0\r\n\r\n", more[] = "3\r\n: x\r\n0\r\n\r\n";
	int i;

	world_start(&w, "http", serve_late_end, end);
	for (i = 0; i < 5; i++) {
		assert_int_equal(exchange(&w), 0);
		assert_answer(&w, OK7);
	}
	world_stop(&w);
	world_start(&w, "http", serve_late_end, more);
	for (i = 0; i < 5; i++)
		assert_int_equal(exchange(&w), 0);
	world_stop(&w);
}

static void
serve_keep_alive(struct fake *f, int fd, int connection)
{
	while (fake_read(f, fd))
		fake_answer(fd, "200 OK", "application/json",
		    f->arg, OK7);
}

static void
test_connection_close(void **state)
{
	static struct world w;
	char close_it[] = "Connection: close\r\n";

	world_start(&w, "http", serve_keep_alive, close_it);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.f.connections, 2);
	world_stop(&w);
	world_start(&w, "http", serve_keep_alive,
	    (char[]){ "Keep-Alive: timeout=5\r\n" });
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.f.connections, 1);
	upstream_pool_trim(w.pool, 0);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.f.connections, 2);
	world_stop(&w);
}

static void
test_unix_socket(void **state)
{
	static struct world w;

	world_start(&w, "unix", serve_ok, NULL);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.f.connections, 1);
	assert_non_null(strstr(w.f.request[0],
	    "POST /mcp HTTP/1.1\r\nHost: localhost\r\n"));
	world_stop(&w);
}

static void
test_cannot_connect(void **state)
{
	static struct world w;
	struct upstream_target t;
	size_t i;
	static const struct { const char *url; uint32_t transport;
	    const char *part; } cases[] = {
		{ "http://127.0.0.1:1/", TRANSPORT_HTTP, "refused" },
		{ "unix:/nonexistent/s", TRANSPORT_HTTP, "No such file" },
		{ "gopher://x/", TRANSPORT_HTTP, "scheme" },
		{ "ws://127.0.0.1:1/", TRANSPORT_HTTP, "scheme" },
		{ "ws://127.0.0.1:1/", TRANSPORT_SSE, "no scheme of an HTTP" },
		{ "http://127.0.0.1:1/", TRANSPORT_WEBSOCKET,
		    "no scheme of a WebSocket" },
	};

	world_start(&w, "http", serve_ok, NULL);
	t = w.t;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		w.t = t;
		w.t.url = cases[i].url;
		w.t.transport = cases[i].transport;
		w.t.config_hash = 100 + i;
		assert_int_equal(exchange(&w), -1);
		assert_failed(&w, ERR_UPSTREAM, cases[i].part);
		assert_false(w.call.maybe_executed);
	}
	w.t = t;
	assert_int_equal(exchange(&w), 0);
	world_stop(&w);
}

/* ---- ending early ---- */

static void
serve_silence(struct fake *f, int fd, int connection)
{
	if (!fake_read(f, fd))
		return;
	if (strstr(f->request[f->n - 1], "notifications/cancelled") != NULL)
		fake_send(fd, "HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n");
	else if (f->arg != NULL)
		close(*(int *)f->arg);	/* the client hangs up */
	fake_wait_closed(fd);
}

static void
test_timeout_cancels(void **state)
{
	static struct world w;
	int64_t start = clock_mono_ms();

	world_start(&w, "http", serve_silence, NULL);
	w.call.deadline_ms = start + 60;
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), -1);
	assert_failed(&w, ERR_TIMEOUT, "in time");
	assert_in_range(clock_mono_ms() - start, 60, 1000);
	assert_true(w.call.maybe_executed);
	world_stop(&w);
	assert_int_equal(w.f.n, 2);
	assert_non_null(strstr(w.f.request[1], "Mcp-Session-Id: abc\r\n"));
	assert_non_null(strstr(w.f.request[1], "{\"jsonrpc\":\"2.0\","
	    "\"method\":\"notifications/cancelled\",\"params\":{"
	    "\"requestId\":7,\"reason\":\"time-out\"}}"));

	/* A modern server sees the connection closing, and only that. */
	world_start(&w, "http", serve_silence, NULL);
	w.call.session.era = ERA_MODERN;
	w.call.deadline_ms = clock_mono_ms() + 30;
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), -1);
	assert_failed(&w, ERR_TIMEOUT, "in time");
	/* No time at all: nothing is sent. */
	w.call.deadline_ms = clock_mono_ms();
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), -1);
	assert_failed(&w, ERR_TIMEOUT, "in time");
	assert_false(w.call.maybe_executed);
	world_stop(&w);
	assert_int_equal(w.f.n, 1);
}

static void
serve_drip(struct fake *f, int fd, int connection)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (!fake_read(f, fd) || connection > 0)
		return;
	fake_send(fd, f->arg);
	while (poll(&p, 1, 5) == 0)
		if (write(fd, " ", 1) <= 0)
			return;
}

static void
test_drip_ends_at_deadline(void **state)
{
	static struct world w;
	char json[] = HEAD JSON "\r\n", head[] = "HTTP/1.1 200 OK\r\nX:",
	    events[] = HEAD EVENTS "\r\n:";
	char *start[] = { json, head, events };
	int64_t began;
	size_t i;

	for (i = 0; i < 3; i++) {
		world_start(&w, "http", serve_drip, start[i]);
		began = clock_mono_ms();
		w.call.deadline_ms = began + 100;
		assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call,
		    &w.e), -1);
		assert_failed(&w, ERR_TIMEOUT, "in time");
		assert_in_range(clock_mono_ms() - began, 100, 1000);
		world_stop(&w);
	}
}

static void
test_client_hangs_up(void **state)
{
	static struct world w;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	world_start(&w, "http", serve_silence, &pair[1]);
	w.call.client_fd = pair[0];
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_CANCELLED, "hung up");
	close(pair[0]);
	world_stop(&w);
	assert_non_null(strstr(w.f.request[1], "cancelled by the client"));
}

static _Atomic uint64_t cancel_word;

static void
serve_cancelling(struct fake *f, int fd, int connection)
{
	if (!fake_read(f, fd))
		return;
	if (connection > 0)
		return;
	cancel_word = 5;
	/* As the gateway does: the word, then a signal to the worker. */
	pthread_kill(*(pthread_t *)f->arg, SIGUSR1);
	fake_wait_closed(fd);
}

static void
on_signal(int number)
{
}

static void
test_cancel_word(void **state)
{
	static struct world w;
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t self = pthread_self();
	int64_t began = clock_mono_ms();

	sigaction(SIGUSR1, &sa, NULL);
	cancel_word = 4;
	world_start(&w, "http", serve_cancelling, &self);
	w.call.cancel_word = &cancel_word;
	w.call.cancel_value = 5;
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_CANCELLED, "cancelled");
	assert_true(w.call.maybe_executed);
	assert_true(clock_mono_ms() - began < 1000);
	/* Cancelled before it began: nothing is sent. */
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_CANCELLED, "cancelled");
	assert_false(w.call.maybe_executed);
	world_stop(&w);
	assert_int_equal(w.f.n, 2);
}

/* ---- messages beside the answer ---- */

static int
on_message(void *arg, struct span message, struct err *e)
{
	struct buf *b = arg;

	buf_add_span(b, message);
	buf_add_char(b, '\n');
	if (b->max == 1000)
		return err_set(e, ERR_CANCELLED, "client gone");
	return 0;
}

static void
test_on_message(void **state)
{
	static struct world w;
	struct answer a = { "", HEAD EVENTS "\r\ndata: " N7 "\n\ndata: " N7
	    "\n\ndata: " OK7 "\n\n", ERR_NONE, "" };
	struct buf seen;

	world_start(&w, "http", serve_bytes, &a);
	buf_init(&seen, 4096);
	w.call.on_message = on_message;
	w.call.arg = &seen;
	assert_int_equal(exchange(&w), 0);
	assert_true(span_is(buf_span(&seen), N7 "\n" N7 "\n"));
	world_stop(&w);

	/* It may end the exchange; then the server is told. */
	world_start(&w, "http", serve_bytes, &a);
	buf_reset(&seen, 0);
	seen.max = 1000;
	w.call.on_message = on_message;
	w.call.arg = &seen;
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_CANCELLED, "client gone");
	world_stop(&w);
	assert_int_equal(w.f.n, 2);
	buf_free(&seen);
}

static void
serve_ping(struct fake *f, int fd, int connection)
{
	int beside, i;

	if (!fake_read(f, fd))
		return;
	fake_send(fd, HEAD EVENTS "\r\n"
	    "data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n\n"
	    "data: {\"jsonrpc\":\"2.0\",\"id\":3,"
	    "\"method\":\"roots/list\"}\n\n");
	for (i = 0; i < 2; i++) {
		beside = fake_accept(f);
		if (fake_read(f, beside))
			fake_send(beside, "HTTP/1.1 202 X\r\n\r\n");
		close(beside);
	}
	fake_send(fd, "data: " OK7 "\n\n");
}

/* Requests of the server are answered on connections of their own. */
static void
test_server_requests(void **state)
{
	static struct world w;

	world_start(&w, "http", serve_ping, NULL);
	assert_int_equal(exchange(&w), 0);
	assert_answer(&w, OK7);
	assert_non_null(strstr(w.f.request[1],
	    "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}"));
	assert_non_null(strstr(w.f.request[2],
	    "\"id\":3,\"error\":{\"code\":-32601,"));
	world_stop(&w);
}

/* Asks, and takes no answer: the other connections are never accepted. */
static void
serve_questions(struct fake *f, int fd, int connection)
{
	int i;

	if (connection > 0 || !fake_read(f, fd))
		return;
	fake_send(fd, HEAD EVENTS "\r\n");
	for (i = 0; i < 8; i++)
		fake_send(fd, "data: {\"jsonrpc\":\"2.0\",\"id\":1,"
		    "\"method\":\"ping\"}\n\n");
	fake_wait_closed(fd);
}

/* They do not make a call longer than it may be. */
static void
test_untaken_answers(void **state)
{
	static struct world w;
	int64_t start = clock_mono_ms();

	world_start(&w, "http", serve_questions, NULL);
	w.call.deadline_ms = start + 300;
	assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call, &w.e), -1);
	assert_failed(&w, ERR_TIMEOUT, "in time");
	assert_in_range(clock_mono_ms() - start, 300, 1500);
	world_stop(&w);
}

static void
serve_accepted(struct fake *f, int fd, int connection)
{
	while (fake_read(f, fd))
		fake_send(fd, "HTTP/1.1 202 Accepted\r\n"
		    "Content-Length: 0\r\n\r\n");
}

static void
test_notification(void **state)
{
	static struct world w;
	struct answer a = { "", "HTTP/1.1 404 X\r\n\r\n", ERR_NONE, "" };

	world_start(&w, "http", serve_accepted, NULL);
	w.call.is_notification = true;
	w.call.method = SPAN_LIT("notifications/initialized");
	w.call.params = span_make(NULL, 0);
	w.call.response_max = 0;
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.f.connections, 1);
	assert_non_null(strstr(w.f.request[0], "\r\n\r\n{\"jsonrpc\":\"2.0\","
	    "\"method\":\"notifications/initialized\"}"));
	world_stop(&w);
	world_start(&w, "http", serve_bytes, &a);
	w.call.is_notification = true;
	assert_int_equal(exchange(&w), -1);
	assert_failed(&w, ERR_UPSTREAM, "HTTP 404");
	world_stop(&w);
}

/* A large request and answer go through whole. */
static void
serve_large(struct fake *f, int fd, int connection)
{
	char text[4096];
	size_t body = 0, want = strlen(OK7) + 300000;
	struct buf b;
	ssize_t n;

	while (body < 300000 && (n = read(fd, text, sizeof(text))) > 0)
		body += (size_t)n;
	buf_init(&b, 1 << 20);
	buf_printf(&b, HEAD JSON "Content-Length: %zu\r\n\r\n", want);
	buf_add_str(&b, OK7);
	buf_reserve(&b, 300000);
	memset(b.p + b.n, ' ', 300000);
	fake_send_n(fd, b.p, b.n + 300000);
	buf_free(&b);
	fake_wait_closed(fd);
}

static void
test_large(void **state)
{
	static struct world w;
	struct buf params;

	buf_init(&params, 1 << 20);
	buf_add_str(&params, "{\"a\":\"");
	buf_reserve(&params, 400000);
	memset(params.p + params.n, 'b', 400000);
	params.n += 400000;
	buf_add_str(&params, "\"}");
	world_start(&w, "http", serve_large, NULL);
	w.call.params = buf_span(&params);
	w.call.response_max = 1 << 20;
	assert_int_equal(exchange(&w), 0);
	assert_answer(&w, OK7);
	world_stop(&w);
	buf_free(&params);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_bytes),
		cmocka_unit_test(test_modern_headers),
		cmocka_unit_test(test_head_is_rewritten),
		cmocka_unit_test(test_two_calls_a_request),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_session_gone),
		cmocka_unit_test(test_new_session_id),
		cmocka_unit_test(test_stale_connection),
		cmocka_unit_test(test_taken_and_lost),
		cmocka_unit_test(test_unsolicited_bytes_close),
		cmocka_unit_test(test_end_of_stream),
		cmocka_unit_test(test_connection_close),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_cannot_connect),
		cmocka_unit_test(test_timeout_cancels),
		cmocka_unit_test(test_drip_ends_at_deadline),
		cmocka_unit_test(test_client_hangs_up),
		cmocka_unit_test(test_cancel_word),
		cmocka_unit_test(test_on_message),
		cmocka_unit_test(test_server_requests),
		cmocka_unit_test(test_untaken_answers),
		cmocka_unit_test(test_notification),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
