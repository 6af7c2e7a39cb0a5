/*
 * Unit tests of net/http_head: what a client sends, what an attacker sends.
 *
 * Every hostile head stands in front of a good one on the same connection;
 * it must be refused, whatever the next parser would make of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_head.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)		{ "" s, sizeof(s) - 1 }
#define GET		"GET / HTTP/1.1\r\n"
#define POST		"POST / HTTP/1.1\r\n"
#define H		"Host: a\r\n"
#define END		"\r\n"

/* Parses from a copy of exact size, so that a sanitizer sees over-reads. */
static int
parse(struct http_head *h, struct span text, struct err *e)
{
	static char *copy;	/* the spans in h need it until next time */
	size_t scanned = 0;
	long n;

	free(copy);
	copy = malloc(text.n);
	assert_non_null(copy);
	memcpy(copy, text.p, text.n);
	err_clear(e);
	n = http_head_end(copy, text.n, &scanned);
	if (n < 0)
		return err_set(e, ERR_BADREQ, "http_head_end");
	if ((size_t)n != text.n)
		return err_set(e, ERR_BADREQ, "not one head: %ld", n);
	return http_request_parse(h, copy, text.n, e);
}

static void
typical_request(void **state)
{
	static struct http_head h;
	struct err e;

	assert_int_equal(parse(&h, SPAN_LIT("POST /servers/7/mcp?x=1&y HTTP/1.1"
	    "\r\nhOsT: gw.example.com:8080\r\nAccept:\t application/json, "
	    "text/event-stream \t\r\nCONTENT-LENGTH: 042\r\nAuthorization: "
	    "Bearer x\r\nX-Empty:\r\nMcp-Session-Id: s1\r\n"
	    "MCP-Protocol-Version: 2025-11-25\r\nX-Other: a:b\xe9\r\n"
	    "Connection: Upgrade, Keep-Alive\r\n\r\n"), &e), 0);
	assert_int_equal(h.method, HTTP_POST);
	assert_true(span_is(h.method_text, "POST"));
	assert_true(span_is(h.target, "/servers/7/mcp?x=1&y"));
	assert_true(span_is(h.path, "/servers/7/mcp"));
	assert_true(span_is(h.query, "x=1&y"));
	assert_int_equal(h.minor, 1);
	assert_int_equal(h.header_count, 9);
	assert_true(h.keep_alive);
	assert_true(h.has_length);
	assert_int_equal(h.content_length, 42);
	assert_false(h.chunked);
	assert_false(h.expect_continue);
	assert_true(span_is(h.known[HTTP_H_HOST], "gw.example.com:8080"));
	assert_true(span_is(h.known[HTTP_H_ACCEPT],
	    "application/json, text/event-stream"));
	assert_true(span_is(h.known[HTTP_H_MCP_SESSION_ID], "s1"));
	assert_true(span_is(h.known[HTTP_H_MCP_VERSION], "2025-11-25"));
	assert_null(h.known[HTTP_H_ORIGIN].p);
	assert_int_equal(h.known_count[HTTP_H_ORIGIN], 0);
	assert_int_equal(h.known_count[HTTP_H_HOST], 1);
	assert_true(span_is(http_header_find(&h, "x-OTHER"), "a:b\xe9"));
	assert_non_null(http_header_find(&h, "x-empty").p);
	assert_int_equal(http_header_find(&h, "x-empty").n, 0);
	assert_null(http_header_find(&h, "x-none").p);
}

static void
accepted_requests(void **state)
{
	static const struct {
		struct span text;
		enum http_method method;
		const char *path, *query;
		bool keep_alive;
	} cases[] = {
		{ TEXT(GET H END), HTTP_GET, "/", "", true },
		{ TEXT("\r\n" GET H END), HTTP_GET, "/", "", true },
		{ TEXT("HEAD /a HTTP/1.1\r\n" H END), HTTP_HEAD, "/a", "",
		    true },
		{ TEXT("PUT /a? HTTP/1.1\r\n" H END), HTTP_PUT, "/a", "",
		    true },
		{ TEXT("PATCH /a?b?c HTTP/1.1\r\n" H END), HTTP_PATCH, "/a",
		    "b?c", true },
		{ TEXT("DELETE /%2f HTTP/1.1\r\n" H END), HTTP_DELETE, "/%2f",
		    "", true },
		{ TEXT("OPTIONS * HTTP/1.1\r\n" H END), HTTP_OPTIONS, "*", "",
		    true },
		{ TEXT("OPTIONS /x HTTP/1.1\r\n" H END), HTTP_OPTIONS, "/x",
		    "", true },
		{ TEXT("get / HTTP/1.1\r\n" H END), HTTP_METHOD_OTHER, "/",
		    "", true },
		{ TEXT("M-SEARCH / HTTP/1.1\r\n" H END), HTTP_METHOD_OTHER,
		    "/", "", true },
		{ TEXT("GET / HTTP/1.0\r\n\r\n"), HTTP_GET, "/", "", false },
		{ TEXT("GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n"
		    END), HTTP_GET, "/", "", true },
		{ TEXT("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n"
		    END), HTTP_GET, "/", "", false },
		{ TEXT(GET H "Connection: Close\r\n" END), HTTP_GET, "/", "",
		    false },
		{ TEXT(GET H "Connection: te\r\nConnection: close\r\n" END),
		    HTTP_GET, "/", "", false },
		{ TEXT(GET H "Connection: closed\r\n" END), HTTP_GET, "/",
		    "", true },
		{ TEXT(GET "Host:a\r\n" END), HTTP_GET, "/", "", true },
		{ TEXT(GET "Host: [::1]:80\r\n" END), HTTP_GET, "/", "",
		    true },
		{ TEXT("GET http://A.b:8/x?y HTTP/1.1\r\nHost: a.B:8\r\n"
		    END), HTTP_GET, "/x", "y", true },
		{ TEXT("GET HTTPS://a HTTP/1.1\r\n" H END), HTTP_GET, "/",
		    "", true },
		{ TEXT(GET H "Accept: a\r\nAccept: b\r\n" END), HTTP_GET,
		    "/", "", true },
		{ TEXT(GET H "X: a\tb\r\n" END), HTTP_GET, "/", "", true },
		{ TEXT(GET H "!#$%&'*+-.^_`|~09aZ: x\r\n" END), HTTP_GET,
		    "/", "", true },
		{ TEXT(POST H "Content-Length: 9223372036854775807\r\n" END),
		    HTTP_POST, "/", "", true },
		{ TEXT(POST H "Transfer-Encoding: CHUNKED\r\n" END),
		    HTTP_POST, "/", "", true },
	};
	static struct http_head h;
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		if (parse(&h, cases[i].text, &e) < 0)
			fail_msg("%s: %s", e.text, cases[i].text.p);
		assert_int_equal(h.method, cases[i].method);
		assert_true(span_is(h.path, cases[i].path));
		assert_true(span_is(h.query, cases[i].query));
		assert_int_equal(h.keep_alive, cases[i].keep_alive);
		assert_int_equal(h.size, cases[i].text.n);
	}
}

static const struct {
	struct span	text;
	enum err_code	code;
} hostile[] = {
	/* first line */
	{ TEXT("GET /\r\n\r\n"), ERR_BADREQ },
	{ TEXT("GET / \r\n" H END), ERR_BADREQ },
	{ TEXT("GET  / HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET /  HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.1 \r\n" H END), ERR_BADREQ },
	{ TEXT("GET\t/ HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / x HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT(" GET / HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("G(T / HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET: / HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("/ HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / http/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/11\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.11\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.1x\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTPS/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/+1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.2\r\n" H END), ERR_HTTPVERSION },
	{ TEXT("GET / HTTP/0.9\r\n" H END), ERR_HTTPVERSION },
	{ TEXT("GET / HTTP/9.9\r\n" H END), ERR_HTTPVERSION },
	{ TEXT("PRI * HTTP/2.0\r\n\r\n"), ERR_HTTPVERSION },
	{ TEXT("\r\n\r\n" GET H END), ERR_BADREQ },
	{ TEXT("\n" GET H END), ERR_BADREQ },
	/* target */
	{ TEXT("GET /\x01 HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET /\x7f HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET /\xc3\xa9 HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET /a#b HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET /a\tb HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET a HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET ?a HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET * HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("OPTIONS *x HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n" END), ERR_BADREQ },
	{ TEXT("GET http://b/ HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET http://a@b/ HTTP/1.1\r\nHost: b\r\n" END), ERR_BADREQ },
	{ TEXT("GET http:///x HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET http://a?x HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET http://a HTTP/1.0\r\n" END), ERR_BADREQ },
	{ TEXT("GET ftp://a/ HTTP/1.1\r\n" H END), ERR_BADREQ },
	{ TEXT("GET http:a HTTP/1.1\r\n" H END), ERR_BADREQ },
	/* lines */
	{ TEXT("GET / HTTP/1.1\n" H END), ERR_BADREQ },
	{ TEXT(GET "Host: a\n" END), ERR_BADREQ },
	{ TEXT(GET H "\n"), ERR_BADREQ },
	{ TEXT(GET H "X: a\nContent-Length: 3\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X: a\rTransfer-Encoding: chunked\r\n" END),
	    ERR_BADREQ },
	{ TEXT(GET H "X: a\r\r\n" END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.1\r" H END), ERR_BADREQ },
	{ TEXT(GET H "X: a\0b\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X: a\x0b\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X: \x7f\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X: \x1b[0m\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X: a\r\n b\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X: a\r\n\tb\r\n" END), ERR_BADREQ },
	{ TEXT(GET " Host: a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H " \r\n" END), ERR_BADREQ },
	/* names */
	{ TEXT(GET "Host : a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "Content-Length : 3\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "Transfer-Encoding\t: chunked\r\n" END), ERR_BADREQ },
	{ TEXT(GET H ": a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X Y: a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X\0Y: a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "X(c): a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "\xc3\xa9: a\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "Content\x01-Length: 3\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "\"Content-Length\": 3\r\n" END), ERR_BADREQ },
	/* Host */
	{ TEXT(GET "\r\n"), ERR_BADREQ },
	{ TEXT(GET H H END), ERR_BADREQ },
	{ TEXT(GET H "hOST: b\r\n" END), ERR_BADREQ },
	{ TEXT("GET / HTTP/1.0\r\n" H H END), ERR_BADREQ },
	{ TEXT(GET "Host:\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: \t \r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a, b\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a,b\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a b\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a/b\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a@b\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a?b\r\n" END), ERR_BADREQ },
	{ TEXT(GET "Host: a\xe9\r\n" END), ERR_BADREQ },
	/* framing */
	{ TEXT(POST H "Content-Length: 3\r\nContent-Length: 3\r\n" END),
	    ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 3\r\nContent-Length: 4\r\n" END),
	    ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 3, 3\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: +3\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: -3\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 0x3\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 3 3\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 3.0\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 3;\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length:\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: \xd9\xa3\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 9223372036854775808\r\n" END),
	    ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 18446744073709551619\r\n" END),
	    ERR_BADREQ },
	{ TEXT(POST H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"
	    END), ERR_BADREQ },
	{ TEXT(POST H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"
	    END), ERR_BADREQ },
	{ TEXT(POST H "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"
	    END), ERR_BADREQ },
	{ TEXT(POST H "Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: chunked\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Transfer-Encoding: chunked\r\n"
	    "Transfer-Encoding: identity\r\n" END), ERR_BADREQ },
	{ TEXT("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n" END),
	    ERR_BADREQ },
	{ TEXT(POST H "Transfer-Encoding: gzip, chunked\r\n" END),
	    ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding: chunked, identity\r\n" END),
	    ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding: identity\r\n" END), ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding: xchunked\r\n" END), ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding: \"chunked\"\r\n" END),
	    ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding: chunked;q=1\r\n" END),
	    ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding:\r\n" END), ERR_NOTIMPL },
	{ TEXT(POST H "Transfer-Encoding: \x0b" "chunked\r\n" END),
	    ERR_BADREQ },
	{ TEXT(POST H "Transfer-Encoding:\r\n chunked\r\n" END),
	    ERR_BADREQ },
	/* others that decide something */
	{ TEXT(GET H "Authorization: a\r\nauthorization: b\r\n" END),
	    ERR_BADREQ },
	{ TEXT(GET H "X-API-Key: a\r\nX-Api-Key: b\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "Mcp-Session-Id: a\r\nMcp-Session-Id: a\r\n" END),
	    ERR_BADREQ },
	{ TEXT(GET H "Mcp-Protocol-Version: a\r\nMcp-Protocol-Version: b\r\n"
	    END), ERR_BADREQ },
	{ TEXT(GET H "Mcp-Method: a\r\nMcp-Method: b\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "Mcp-Name: a\r\nMcp-Name: b\r\n" END), ERR_BADREQ },
	{ TEXT(GET H "Origin: a\r\nOrigin: b\r\n" END), ERR_BADREQ },
	{ TEXT(POST H "Content-Type: a/b\r\nContent-Type: c/d\r\n" END),
	    ERR_BADREQ },
	{ TEXT(GET H "Expect: 200-ok\r\n" END), ERR_BADREQ },
	/* more than one head */
	{ TEXT(GET H END GET H END), ERR_BADREQ },
};

static void
hostile_requests(void **state)
{
	static struct http_head h;
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(hostile); i++) {
		if (parse(&h, hostile[i].text, &e) == 0)
			fail_msg("accepted: %s", hostile[i].text.p);
		if (e.code != hostile[i].code)
			fail_msg("%s (%s): %s", err_name(e.code), e.text,
			    hostile[i].text.p);
	}
}

/* The same without http_head_end() in front: the parser stands alone. */
static void
parser_alone_refuses_too(void **state)
{
	static struct http_head h;
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(hostile); i++)
		if (http_request_parse(&h, hostile[i].text.p,
		    hostile[i].text.n, &e) == 0)
			fail_msg("accepted: %s", hostile[i].text.p);
	/* Every cut of a good head. */
	for (i = 0; i < sizeof(GET H END) - 1; i++)
		assert_int_equal(http_request_parse(&h, GET H END, i, &e),
		    -1);
}

static void
expectations(void **state)
{
	static struct http_head h;
	struct err e;

	assert_int_equal(parse(&h, SPAN_LIT(POST H "Expect: 100-Continue\r\n"
	    END), &e), 0);
	assert_true(h.expect_continue);
	assert_int_equal(parse(&h, SPAN_LIT("POST / HTTP/1.0\r\n"
	    "Expect: 100-continue\r\n" END), &e), 0);
	assert_false(h.expect_continue);
}

static size_t
many_headers(char *out, size_t size, int n)
{
	size_t used = (size_t)snprintf(out, size, GET H);
	int i;

	for (i = 1; i < n; i++)
		used += (size_t)snprintf(out + used, size - used,
		    "X-%d: v\r\n", i);
	used += (size_t)snprintf(out + used, size - used, "\r\n");
	return used;
}

static void
limits(void **state)
{
	static struct http_head h;
	static char text[HTTP_HEAD_MAX + 100];
	size_t scanned = 0, n;
	struct err e;

	n = many_headers(text, sizeof(text), HTTP_HEADERS_MAX);
	assert_int_equal(http_request_parse(&h, text, n, &e), 0);
	assert_int_equal(h.header_count, HTTP_HEADERS_MAX);
	assert_true(span_is(http_header_find(&h, "x-99"), "v"));
	n = many_headers(text, sizeof(text), HTTP_HEADERS_MAX + 1);
	assert_int_equal(http_request_parse(&h, text, n, &e), -1);
	assert_int_equal(e.code, ERR_HEADTOOBIG);

	memset(text, 'a', sizeof(text));
	memcpy(text, GET H "X: ", sizeof(GET H "X: ") - 1);
	memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(http_head_end(text, HTTP_HEAD_MAX - 1, &scanned), 0);
	assert_int_equal(http_head_end(text, HTTP_HEAD_MAX, &scanned),
	    HTTP_HEAD_MAX);
	scanned = 0;
	assert_int_equal(http_head_end(text, sizeof(text), &scanned),
	    HTTP_HEAD_MAX);
	assert_int_equal(http_request_parse(&h, text, HTTP_HEAD_MAX, &e), 0);
	memcpy(text + HTTP_HEAD_MAX - 4, "a\r\n\r\n", 5);
	scanned = 0;
	assert_int_equal(http_head_end(text, HTTP_HEAD_MAX + 1, &scanned),
	    -1);
	assert_int_equal(http_request_parse(&h, text, HTTP_HEAD_MAX + 1, &e),
	    -1);
	assert_int_equal(e.code, ERR_HEADTOOBIG);
}

/* However the bytes come, the end is found once and at the same place. */
static void
end_of_head_byte_by_byte(void **state)
{
	static const char text[] = "\r\n" GET H "X: y\r\n\r\nbody\n\0";
	size_t head = sizeof("\r\n" GET H "X: y\r\n\r\n") - 1, n, scanned = 0;
	char *copy;

	for (n = 0; n < head; n++) {
		copy = malloc(n + 1);
		assert_non_null(copy);
		memcpy(copy, text, n);
		assert_int_equal(http_head_end(copy, n, &scanned), 0);
		assert_int_equal(scanned, n);
		free(copy);
	}
	assert_int_equal(http_head_end(text, sizeof(text), &scanned), head);
	scanned = 0;
	assert_int_equal(http_head_end("GET \n", 5, &scanned), -1);
	scanned = 0;
	assert_int_equal(http_head_end("\n", 1, &scanned), -1);
	scanned = 0;
	assert_int_equal(http_head_end("G\0", 2, &scanned), -1);
	scanned = 0;
	assert_int_equal(http_head_end("\r\n\r\n", 4, &scanned), -1);
	scanned = 0;
	assert_int_equal(http_head_end("\x16\x03\x01\0\xa5", 5, &scanned),
	    -1);
}

static void
responses(void **state)
{
	static const struct {
		struct span text;
		int status;		/* 0: refused */
		enum err_code code;
	} cases[] = {
		{ TEXT("HTTP/1.1 200 OK\r\n\r\n"), 200, ERR_NONE },
		{ TEXT("HTTP/1.1 200 \r\n\r\n"), 200, ERR_NONE },
		{ TEXT("HTTP/1.1 200\r\n\r\n"), 200, ERR_NONE },
		{ TEXT("HTTP/1.0 404 Not \xc3\xa9 Found\r\nA: b\r\n\r\n"),
		    404, ERR_NONE },
		{ TEXT("HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n"), 599,
		    ERR_NONE },
		{ TEXT("\r\nHTTP/1.1 200 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 20 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 2000 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 099 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 600 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1  200 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 2x0 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 200 O\x01K\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 200OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/2.0 200 OK\r\n\r\n"), 0, ERR_HTTPVERSION },
		{ TEXT("ICY 200 OK\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		    "Content-Length: 1\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
		    0, ERR_NOTIMPL },
		{ TEXT("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"), 0,
		    ERR_BADREQ },
		{ TEXT("HTTP/1.1 200 OK\n\n"), 0, ERR_BADREQ },
		{ TEXT("HTTP/1.1 200 OK\r\n\r\nx"), 0, ERR_BADREQ },
	};
	static struct http_head h;
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		err_clear(&e);
		if (http_response_parse(&h, cases[i].text.p, cases[i].text.n,
		    &e) != (cases[i].status == 0 ? -1 : 0))
			fail_msg("%s", cases[i].text.p);
		assert_int_equal(e.code, cases[i].code);
		if (cases[i].status != 0)
			assert_int_equal(h.status, cases[i].status);
	}
}

/* Each name of http_headers.def is found under its index, in any case. */
static void
all_known_names(void **state)
{
	static const char *const names[] = {
#define HDR(id, name) name,
#include "net/http_headers.def"
#undef HDR
	};
	static struct http_head h;
	char text[256], *p;
	struct err e;
	int i, j, upper, n;

	for (i = 0; i < HTTP_H_COUNT; i++) {
		for (upper = 0; upper < 2; upper++) {
			n = snprintf(text, sizeof(text),
			    "HTTP/1.1 200 OK\r\n%s: 7\r\n\r\n", names[i]);
			for (p = text + 17; upper && *p != ':'; p++)
				if (*p >= 'a' && *p <= 'z')
					*p -= 'a' - 'A';
			if (i == HTTP_H_TRANSFER_ENCODING)
				continue;
			assert_int_equal(http_response_parse(&h, text,
			    (size_t)n, &e), 0);
			for (j = 0; j < HTTP_H_COUNT; j++)
				assert_int_equal(h.known_count[j], i == j);
			assert_true(span_is(h.known[i], "7"));
		}
	}
}

/* The same bytes at the same place: parsed once. Anything else is not. */
static void
memo(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nbody";
	static struct http_memo m;
	char a[sizeof(text)], b[sizeof(text)], big[HTTP_MEMO_MAX + 1];
	size_t n = sizeof(text) - 1 - 4;
	struct err e;

	(void)state;
	memcpy(a, text, sizeof(text));
	memcpy(b, text, sizeof(text));
	assert_int_equal(http_memo_find(&m, a, n), 0);
	assert_int_equal(http_request_parse(&m.head, a, n, &e), 0);
	http_memo_note(&m, a, n);
	assert_int_equal(http_memo_find(&m, a, n + 4), n);
	/* found once only, unless it is noted again */
	assert_int_equal(http_memo_find(&m, a, n + 4), 0);
	http_memo_note(&m, a, n);
	assert_int_equal(http_memo_find(&m, b, n), 0);
	http_memo_note(&m, a, n);
	assert_int_equal(http_memo_find(&m, a, n - 1), 0);
	http_memo_note(&m, a, n);
	a[5] = 'b';
	assert_int_equal(http_memo_find(&m, a, n), 0);
	a[5] = 'a';
	assert_int_equal(http_memo_find(&m, a, n), 0);
	memset(big, 'x', sizeof(big));
	http_memo_note(&m, big, sizeof(big));
	assert_int_equal(http_memo_find(&m, big, sizeof(big)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typical_request),
		cmocka_unit_test(accepted_requests),
		cmocka_unit_test(hostile_requests),
		cmocka_unit_test(parser_alone_refuses_too),
		cmocka_unit_test(expectations),
		cmocka_unit_test(limits),
		cmocka_unit_test(end_of_head_byte_by_byte),
		cmocka_unit_test(responses),
		cmocka_unit_test(all_known_names),
		cmocka_unit_test(memo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
