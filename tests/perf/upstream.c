/*
 * upstream -- a small, fast MCP server to measure gateways against.
 *
 * One process, one epoll loop, HTTP/1.1 keep-alive with Content-Length bodies.
 * It answers initialize, ping, tools/list and tools/call (legacy revisions,
 * without sessions; -m: the stateless revision 2026-07-28) and repeats the
 * arguments of a call in structuredContent, byte for byte, so that a caller
 * can prove that the answer is its own. GET /count tells what really arrived.
 *
 *	upstream [-p port] [-d delay_ms] [-n tools] [-m]
 *
 * A call may ask for a delay of its own with "delay_ms" in its arguments.
 * Prints "listening on PORT" when it is ready. Test program: it trusts its
 * peer to send well-formed JSON and never checks permissions.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_MAX		(8u << 20)	/* one request, head and body */
#define EVENTS		256

struct span {
	const char	*p;
	size_t		 n;
};

struct text {			/* a growing string */
	char	*p;
	size_t	 n, size;
};

struct conn {
	int		 fd;
	bool		 waits;		/* an answer is due later */
	bool		 wants_write;
	struct text	 in, out;
	size_t		 out_done;
};

struct delayed {
	struct delayed	*prev, *next;
	struct conn	*conn;		/* NULL: the client went away */
	int64_t		 due_ms;
	struct text	 body;
};

/* The members of a JSON-RPC message that matter here; .n 0: absent. */
struct message {
	struct span	id, method, version, arguments;
	int64_t		delay_ms;	/* -1: not asked for */
};

static struct {
	uint64_t	connections, requests, calls, lists, initialized;
	uint64_t	cancelled, gone, now, most;
} count;
static struct delayed delays = { &delays, &delays, NULL, 0, { NULL, 0, 0 } };
static struct text tools;
static int64_t delay_ms;
static bool is_modern;
static int epoll_fd;

static void
die(const char *what)
{
	fprintf(stderr, "upstream: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
text_reserve(struct text *t, size_t more)
{
	if (t->size - t->n >= more)
		return;
	t->size = (t->n + more) * 2;
	t->p = realloc(t->p, t->size);
	if (t->p == NULL)
		die("memory");
}

static void
text_add(struct text *t, const void *p, size_t n)
{
	text_reserve(t, n);
	if (n > 0)
		memcpy(t->p + t->n, p, n);
	t->n += n;
}

static void __attribute__((format(printf, 2, 3)))
text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	text_reserve(t, 1024);
	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, 1024, fmt, ap);
	va_end(ap);
	if (n > 0 && n < 1024)
		t->n += (size_t)n;
}

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	return p;
}

/* Behind the string that begins at p. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

/* Behind the value that begins at p. */
static const char *
skip_value(const char *p, const char *end)
{
	int depth = 0;

	while (p < end) {
		if (*p == '"') {
			p = skip_string(p, end);
			if (depth == 0)
				return p;
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if ((*p == '}' || *p == ']') && --depth <= 0)
			return depth < 0 ? p : p + 1;
		else if (depth == 0 && *p == ',')
			return p;
		p++;
	}
	return p;
}

/* The raw value of a member of the object in json; .n 0 if it has none. */
static struct span
member(struct span json, const char *name)
{
	const char *p, *end = json.p + json.n, *key, *value;
	size_t key_n, name_n = strlen(name);
	struct span none = { NULL, 0 };

	if (json.n == 0)
		return none;
	p = skip_space(json.p, end);
	if (p == end || *p != '{')
		return none;
	for (p = skip_space(p + 1, end); p < end && *p == '"';) {
		key = p + 1;
		p = skip_string(p, end);
		key_n = (size_t)(p - 1 - key);
		p = skip_space(p, end);
		if (p == end || *p != ':')
			return none;
		value = skip_space(p + 1, end);
		p = skip_value(value, end);
		if (key_n == name_n && memcmp(key, name, name_n) == 0)
			return (struct span){ value, (size_t)(p - value) };
		p = skip_space(p, end);
		if (p < end && *p == ',')
			p = skip_space(p + 1, end);
	}
	return none;
}

static bool
span_is(struct span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static void
message_read(struct message *m, struct span body)
{
	struct span params = member(body, "params"), ms;

	m->id = member(body, "id");
	m->method = member(body, "method");
	m->version = member(params, "protocolVersion");
	m->arguments = member(params, "arguments");
	ms = member(m->arguments, "delay_ms");
	m->delay_ms = ms.n > 0 ? strtoll(ms.p, NULL, 10) : -1;
}

static void
tools_build(long n)
{
	long i;

	text_printf(&tools, "{\"name\":\"echo\",\"description\":"
	    "\"Repeats its arguments\",\"inputSchema\":{\"type\":\"object\"}}");
	for (i = 1; i < n; i++)
		text_printf(&tools, ",{\"name\":\"tool_%05ld\",\"description\":"
		    "\"Tool number %ld\",\"inputSchema\":{\"type\":\"object\","
		    "\"properties\":{\"value\":{\"type\":\"string\"}}}}", i, i);
}

/* Members that every result of the stateless revision carries. */
static void
add_result_start(struct text *out, bool is_list)
{
	text_printf(out, "\"result\":{");
	if (is_modern)
		text_printf(out, "\"resultType\":\"complete\",");
	if (is_modern && is_list)
		text_printf(out, "\"ttlMs\":0,\"cacheScope\":\"private\",");
}

static void
add_initialize(struct text *out, const struct message *m)
{
	add_result_start(out, true);
	if (is_modern)
		text_printf(out, "\"supportedVersions\":[\"2026-07-28\"],");
	else if (m->version.n > 0 && m->version.n < 64)
		text_printf(out, "\"protocolVersion\":%.*s,",
		    (int)m->version.n, m->version.p);
	text_printf(out, "\"capabilities\":{\"tools\":{}},\"serverInfo\":"
	    "{\"name\":\"upstream\",\"version\":\"1\"}}");
}

static void
add_call(struct text *out, const struct message *m)
{
	add_result_start(out, false);
	text_printf(out, "\"content\":[{\"type\":\"text\",\"text\":\"ok\"}]");
	if (m->arguments.n > 0) {
		text_printf(out, ",\"structuredContent\":");
		text_add(out, m->arguments.p, m->arguments.n);
	}
	text_printf(out, "}");
}

/* The answer to a request. Returns its HTTP status. */
static int
answer(struct text *out, const struct message *m)
{
	int status = 200;

	text_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	text_add(out, m->id.p, m->id.n);
	text_printf(out, ",");
	if (span_is(m->method, "\"tools/call\"")) {
		count.calls++;
		add_call(out, m);
	} else if (span_is(m->method, "\"tools/list\"")) {
		count.lists++;
		add_result_start(out, true);
		text_printf(out, "\"tools\":[");
		text_add(out, tools.p, tools.n);
		text_printf(out, "]}");
	} else if (span_is(m->method,
	    is_modern ? "\"server/discover\"" : "\"initialize\"")) {
		count.initialized++;
		add_initialize(out, m);
	} else if (span_is(m->method, "\"ping\"") && !is_modern) {
		text_printf(out, "\"result\":{}");
	} else {
		status = is_modern ? 404 : 200;
		text_printf(out, "\"error\":{\"code\":-32601,"
		    "\"message\":\"Method not found\"}");
	}
	text_printf(out, "}");
	return status;
}

static void
reply(struct conn *c, int status, const struct text *body)
{
	text_printf(&c->out, "HTTP/1.1 %d %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    status, status == 200 ? "OK" : status == 202 ? "Accepted" : "Error",
	    body->n);
	text_add(&c->out, body->p, body->n);
}

static void
delay_add(struct conn *c, int64_t ms, const struct text *body)
{
	struct delayed *d = calloc(1, sizeof *d), *after = delays.prev;

	if (d == NULL)
		die("memory");
	d->conn = c;
	d->due_ms = now_ms() + ms;
	text_add(&d->body, body->p, body->n);
	while (after != &delays && after->due_ms > d->due_ms)
		after = after->prev;
	d->prev = after;
	d->next = after->next;
	after->next->prev = d;
	after->next = d;
	c->waits = true;
	if (++count.now > count.most)
		count.most = count.now;
}

static void
handle_post(struct conn *c, struct span body)
{
	static struct text text;
	struct message m;
	int64_t ms;
	int status;

	message_read(&m, body);
	text.n = 0;
	if (m.id.n == 0) {
		if (span_is(m.method, "\"notifications/cancelled\""))
			count.cancelled++;
		reply(c, 202, &text);
		return;
	}
	status = answer(&text, &m);
	ms = m.delay_ms >= 0 ? m.delay_ms : delay_ms;
	if (ms > 0 && span_is(m.method, "\"tools/call\""))
		delay_add(c, ms, &text);
	else
		reply(c, status, &text);
}

static void
handle_get(struct conn *c, struct span path)
{
	struct text body = { NULL, 0, 0 };

	if (!span_is(path, "/count")) {
		reply(c, 405, &body);
		return;
	}
	text_printf(&body, "{\"connections\":%ju,\"requests\":%ju,\"calls\":%ju,"
	    "\"lists\":%ju,\"initialized\":%ju,\"cancelled\":%ju,\"gone\":%ju,"
	    "\"now\":%ju,\"most\":%ju}\n", (uintmax_t)count.connections,
	    (uintmax_t)count.requests, (uintmax_t)count.calls,
	    (uintmax_t)count.lists, (uintmax_t)count.initialized,
	    (uintmax_t)count.cancelled, (uintmax_t)count.gone,
	    (uintmax_t)count.now, (uintmax_t)count.most);
	reply(c, 200, &body);
	free(body.p);
}

/* Bytes of the first request in the buffer, 0 if it is not complete; *body
 * gets its body. */
static size_t
request_size(struct span in, struct span *body)
{
	const char *end = memmem(in.p, in.n, "\r\n\r\n", 4), *p, *next;
	size_t head, length = 0;

	if (end == NULL)
		return 0;
	head = (size_t)(end - in.p) + 4;
	for (p = in.p; p < end; p = next + 2) {
		next = memmem(p, head - (size_t)(p - in.p), "\r\n", 2);
		if (next == NULL)
			break;
		if (next - p > 15 && strncasecmp(p, "content-length:", 15) == 0)
			length = strtoul(p + 15, NULL, 10);
	}
	if (in.n - head < length)
		return 0;
	*body = (struct span){ in.p + head, length };
	return head + length;
}

static void
requests_handle(struct conn *c)
{
	struct span in = { c->in.p, c->in.n }, body = { NULL, 0 }, path;
	const char *space;
	size_t size;

	while (!c->waits && in.n > 0 && (size = request_size(in, &body)) > 0) {
		count.requests++;
		if (in.n >= 5 && memcmp(in.p, "POST ", 5) == 0) {
			handle_post(c, body);
		} else {
			path.p = memchr(in.p, ' ', size);
			path.p = path.p == NULL ? in.p : path.p + 1;
			space = memchr(path.p, ' ',
			    size - (size_t)(path.p - in.p));
			path.n = space == NULL ? 0 : (size_t)(space - path.p);
			handle_get(c, path);
		}
		in.p += size;
		in.n -= size;
	}
	memmove(c->in.p, in.p, in.n);
	c->in.n = in.n;
}

static void
conn_close(struct conn *c)
{
	struct delayed *d;

	for (d = delays.next; c->waits && d != &delays; d = d->next) {
		if (d->conn == c) {
			d->conn = NULL;
			count.gone++;
		}
	}
	close(c->fd);
	free(c->in.p);
	free(c->out.p);
	free(c);
}

/* Sends what it can. -1: the connection is of no more use. */
static int
conn_flush(struct conn *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP,
	    .data.ptr = c };
	bool is_blocked = false;
	ssize_t n;

	while (c->out_done < c->out.n) {
		n = send(c->fd, c->out.p + c->out_done, c->out.n - c->out_done,
		    MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			is_blocked = true;
			break;
		}
		if (n < 0)
			return -1;
		c->out_done += (size_t)n;
	}
	if (!is_blocked)
		c->out.n = c->out_done = 0;
	if (is_blocked == c->wants_write)
		return 0;
	c->wants_write = is_blocked;
	if (is_blocked)
		ev.events |= EPOLLOUT;
	return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

static void
conn_event(struct conn *c, uint32_t events)
{
	ssize_t n;

	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_close(c);
		return;
	}
	for (;;) {
		text_reserve(&c->in, 16384);
		n = recv(c->fd, c->in.p + c->in.n, c->in.size - c->in.n, 0);
		if (n <= 0)
			break;
		c->in.n += (size_t)n;
		if (c->in.n > IN_MAX || c->in.n < c->in.size)
			break;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN) || c->in.n > IN_MAX) {
		conn_close(c);
		return;
	}
	requests_handle(c);
	if (conn_flush(c) < 0)
		conn_close(c);
}

static void
conns_accept(int listen_fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };
	struct conn *c;
	int fd, one = 1;

	while ((fd = accept4(listen_fd, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		c = calloc(1, sizeof *c);
		if (c == NULL)
			die("memory");
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		ev.data.ptr = c;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
		count.connections++;
	}
}

/* Sends the answers that are due. Milliseconds until the next, -1 if none. */
static int
delays_run(void)
{
	int64_t now = now_ms();
	struct delayed *d;
	struct conn *c;

	while ((d = delays.next) != &delays) {
		if (d->due_ms > now)
			return (int)(d->due_ms - now);
		delays.next = d->next;
		d->next->prev = &delays;
		count.now--;
		c = d->conn;
		if (c != NULL) {
			c->waits = false;
			reply(c, 200, &d->body);
			requests_handle(c);
			if (conn_flush(c) < 0)
				conn_close(c);
		}
		free(d->body.p);
		free(d);
	}
	return -1;
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	int one = 1, fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		die("listen");
	printf("listening on %u\n", (unsigned)ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void
serve(int listen_fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct epoll_event got[EVENTS];
	int i, n;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		die("epoll");
	for (;;) {
		n = epoll_wait(epoll_fd, got, EVENTS, delays_run());
		for (i = 0; i < n; i++) {
			if (got[i].data.ptr == NULL)
				conns_accept(listen_fd);
			else
				conn_event(got[i].data.ptr, got[i].events);
		}
	}
}

int
main(int argc, char **argv)
{
	long port = 0, n_tools = 1;
	int opt;

	while ((opt = getopt(argc, argv, "p:d:n:m")) != -1) {
		if (opt == 'p')
			port = strtol(optarg, NULL, 10);
		else if (opt == 'd')
			delay_ms = strtoll(optarg, NULL, 10);
		else if (opt == 'n')
			n_tools = strtol(optarg, NULL, 10);
		else if (opt == 'm')
			is_modern = true;
		else
			return 64;
	}
	if (port < 0 || port > 65535 || n_tools < 1 || delay_ms < 0)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	tools_build(n_tools);
	serve(listen_on((uint16_t)port));
	return 0;
}
