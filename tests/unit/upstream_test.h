/*
 * upstream_test -- a scripted server in a thread, for the tests of upstream/.
 *
 * The test gives a function that serves one accepted connection with exact
 * bytes. Connections are served one after the other. Only read() and write()
 * are used here, so that tests can count the calls of send() and recv().
 */
#ifndef OMNI2_TESTS_UPSTREAM_TEST_H
#define OMNI2_TESTS_UPSTREAM_TEST_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/num.h"
#include "conf/model.h"
#include "upstream/upstream.h"

#define FAKE_REQUESTS	64
#define FAKE_SIZE	8192

struct fake {
	int		 listener, stop[2];
	uint16_t	 port;
	char		 path[64];	/* of a UNIX listener */
	char		 url[128];
	pthread_t	 thread;
	void		(*serve)(struct fake *, int fd, int connection);
	void		*arg;
	int		 connections;
	_Atomic int	 n;		/* requests read */
	char		 request[FAKE_REQUESTS][FAKE_SIZE];
};

static inline void
fake_send_n(int fd, const char *p, size_t n)
{
	ssize_t w;

	for (; n > 0; p += w, n -= (size_t)w)
		if ((w = write(fd, p, n)) <= 0)
			return;		/* the client left: may be wanted */
}

static inline void
fake_send(int fd, const char *text)
{
	fake_send_n(fd, text, strlen(text));
}

/* An HTTP request with its body. False: the client closed. */
static inline bool
fake_read(struct fake *f, int fd)
{
	char *p = f->request[f->n % FAKE_REQUESTS], *end = NULL, *length;
	size_t used = 0, want = 0;
	uint64_t body = 0;
	ssize_t n;

	p[0] = '\0';
	while (end == NULL || used < want) {
		n = read(fd, p + used, FAKE_SIZE - 1 - used);
		if (n <= 0)
			return false;
		used += (size_t)n;
		p[used] = '\0';
		if (end != NULL || (end = strstr(p, "\r\n\r\n")) == NULL)
			continue;
		length = strstr(p, "Content-Length: ");
		if (length != NULL)
			assert_int_equal(num_u64(span_make(length + 16,
			    strcspn(length + 16, "\r")), 0, FAKE_SIZE, &body),
			    0);
		want = (size_t)(end - p) + 4 + (size_t)body;
	}
	f->n++;
	return true;
}

/* A complete answer with Content-Length. */
static inline void
fake_answer(int fd, const char *status, const char *type, const char *more,
    const char *body)
{
	char text[FAKE_SIZE];

	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: %s\r\n%s"
	    "Content-Length: %zu\r\n\r\n%s", status, type, more, strlen(body),
	    body);
	fake_send(fd, text);
}

static inline void
fake_json(int fd, const char *body)
{
	fake_answer(fd, "200 OK", "application/json", "", body);
}

static inline void
fake_wait_closed(int fd)
{
	char c[512];

	while (read(fd, c, sizeof(c)) > 0)
		;
}

static inline int
fake_accept(struct fake *f)
{
	struct pollfd p[2] = {
		{ .fd = f->listener, .events = POLLIN },
		{ .fd = f->stop[0], .events = POLLIN },
	};

	while (poll(p, 2, -1) < 0)
		;
	return p[0].revents & POLLIN ? accept(f->listener, NULL, NULL) : -1;
}

static inline void *
fake_main(void *arg)
{
	struct fake *f = arg;
	int fd;

	while ((fd = fake_accept(f)) >= 0) {
		f->serve(f, fd, f->connections++);
		close(fd);
	}
	return NULL;
}

static inline void
fake_start(struct fake *f, const char *scheme,
    void (*serve)(struct fake *, int, int), void *arg)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t n = sizeof(in);
	bool is_unix = strcmp(scheme, "unix") == 0;

	signal(SIGPIPE, SIG_IGN);
	memset(f, 0, sizeof(*f));
	f->serve = serve;
	f->arg = arg;
	f->listener = socket(is_unix ? AF_UNIX : AF_INET,
	    SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (is_unix) {
		snprintf(f->path, sizeof(f->path), "/tmp/upstream-test-%d",
		    (int)getpid());
		unlink(f->path);
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", f->path);
		assert_int_equal(bind(f->listener, (struct sockaddr *)&un,
		    sizeof(un)), 0);
		snprintf(f->url, sizeof(f->url), "unix:%s:/mcp", f->path);
	} else {
		assert_int_equal(bind(f->listener, (struct sockaddr *)&in,
		    sizeof(in)), 0);
		getsockname(f->listener, (struct sockaddr *)&in, &n);
		f->port = ntohs(in.sin_port);
		snprintf(f->url, sizeof(f->url), "%s://127.0.0.1:%u/mcp",
		    scheme, f->port);
	}
	assert_int_equal(listen(f->listener, 64), 0);
	assert_int_equal(pipe(f->stop), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

/* Connections are served in order, so when this one has been, the server has
 * closed those before it. */
static inline void
fake_wait_idle(struct fake *f)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons(f->port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	shutdown(fd, SHUT_WR);
	fake_wait_closed(fd);
	close(fd);
}

/* Waits until the client's connections are closed and served. */
static inline void
fake_stop(struct fake *f)
{
	assert_int_equal(write(f->stop[1], "x", 1), 1);
	pthread_join(f->thread, NULL);
	close(f->listener);
	close(f->stop[0]);
	close(f->stop[1]);
	if (f->path[0] != '\0')
		unlink(f->path);
}

/* A tools/call with id 7 that has a second of time. */
static inline void
test_call(struct upstream_call *c, struct buf *response)
{
	memset(c, 0, sizeof(*c));
	buf_init(response, 1 << 20);
	c->method = SPAN_LIT("tools/call");
	c->params = SPAN_LIT("{\"name\":\"echo\"}");
	c->id = 7;
	c->session.era = ERA_LEGACY;
	span_copy(c->session.version, sizeof(c->session.version),
	    SPAN_LIT("2025-11-25"));
	span_copy(c->session.id, sizeof(c->session.id), SPAN_LIT("abc"));
	c->deadline_ms = clock_mono_ms() + 5000;
	c->response_max = 65536;
	c->client_fd = -1;
	c->response = response;
}

static inline void
test_target(struct upstream_target *t, const struct fake *f)
{
	memset(t, 0, sizeof(*t));
	t->server_id = 42;
	t->health = UINT32_MAX;
	t->transport = TRANSPORT_HTTP;
	t->config_hash = 1;
	t->name = "x";
	t->url = f->url;
	t->auth_header = "";
}

#define OK7	"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":1}}"

#endif
