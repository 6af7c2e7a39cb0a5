/*
 * http_conn -- the persistent plain HTTP connection of a server: opening it,
 * judging whether it may be used again, and short posts beside it.
 *
 * Workers, poller, tools. A connection is used again only when the last
 * answer was framed to its end. It never decides what an answer means.
 */
#include "upstream/upstream_int.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "net/sock.h"

void
http_conn_close(struct http_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->used = c->draining = false;
	c->sent = 0;
	c->idle_max_ms = 0;
}

/*
 * What was left of the last answer when its message had come: usually just
 * the end of the event stream. 0 if nothing else stood there.
 */
static int
drain(struct http_conn *c, char *scratch)
{
	struct span in, payload;
	struct err e;
	size_t taken;
	ssize_t n;

	n = recv(c->fd, scratch, UPSTREAM_IN_SIZE, MSG_DONTWAIT);
	if (n <= 0)
		return -1;
	in = span_make(scratch, (size_t)n);
	while (!c->rest.done) {
		if (http_body_feed(&c->rest, in, &taken, &payload, &e) < 0 ||
		    payload.n > 0)
			return -1;
		in = span_skip(in, taken);
		if (taken == 0)
			break;
	}
	c->draining = false;
	return c->rest.done && in.n == 0 ? 0 : -1;
}

static int
connect_new(struct upstream_entry *x, int64_t deadline_ms, struct err *e)
{
	struct http_conn *c = &x->http;
	int fd;

	if (span_is(x->url.scheme, "unix"))
		fd = wire_connect_unix(x->url.host, deadline_ms, e);
	else
		fd = sock_connect_tcp(x->url.host, x->url.port, deadline_ms,
		    e);
	if (fd < 0)
		return -1;
	c->peer_len = sizeof(c->peer);
	if (wire_set_timeouts(fd) < 0 ||
	    getpeername(fd, (struct sockaddr *)&c->peer, &c->peer_len) < 0) {
		err_set(e, ERR_UPSTREAM, "new connection: %s",
		    strerror(errno));
		c->peer_len = 0;
		close(fd);
		return -1;
	}
	c->fd = fd;
	return 0;
}

/* scratch: UPSTREAM_IN_SIZE bytes. */
int
http_conn_ready(struct upstream_entry *x, struct upstream_call *call,
    char *scratch, struct err *e)
{
	struct http_conn *c = &x->http;

	if (c->fd >= 0 && c->idle_max_ms > 0 &&
	    clock_mono_ms() - c->used_ms >= c->idle_max_ms)
		http_conn_close(c);
	if (c->fd >= 0 && c->draining && drain(c, scratch) < 0)
		http_conn_close(c);
	return c->fd >= 0 ? 0 : connect_new(x, call->deadline_ms, e);
}

/*
 * The connection ended before any byte of the answer. When it had been idle,
 * the server may just have closed it; then the request is sent once more --
 * but nothing that does something is ever done twice: a tool is called again
 * only if the server's kernel cannot have handed the request to the server.
 */
bool
http_conn_may_repeat(const struct http_conn *c, enum wire how,
    struct upstream_call *call)
{
	if (!c->used)
		return false;
	if (call_is_repeatable(call))
		return true;
	if (c->peer.ss_family == AF_UNIX)
		return how == WIRE_BROKEN;
	return !wire_peer_took(c->fd, c->sent);
}

/* Sends and waits for the first byte of an answer, so that the server has
 * read everything before it sees us leave. */
static int
post_on(int fd, struct span request, int64_t deadline_ms, struct err *e)
{
	char answer[512];
	ssize_t n;

	while (request.n > 0) {
		n = send(fd, request.p, request.n,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			request = span_skip(request, (size_t)n);
		else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (wire_await(fd, POLLOUT, deadline_ms) <= 0)
				return err_set(e, ERR_TIMEOUT, "not taken");
		} else if (errno != EINTR)
			return err_set(e, ERR_UPSTREAM, "send: %s",
			    strerror(errno));
	}
	if (wire_await(fd, POLLIN, deadline_ms) == 1 &&
	    recv(fd, answer, sizeof(answer), MSG_DONTWAIT) < 0)
		return err_set(e, ERR_UPSTREAM, "recv: %s", strerror(errno));
	return 0;
}

/* Beside the connection of the call, to the address that one had: no DNS. */
int
http_post(struct upstream_entry *x, const struct upstream_target *t,
    const struct sess_info *session, struct span message, int64_t deadline_ms,
    struct err *e)
{
	struct http_conn *c = &x->http;
	struct buf b;
	int fd = -1, rv = -1;

	/* never connected: the connection is for the next exchange */
	if (c->peer_len == 0 && connect_new(x, deadline_ms, e) < 0)
		return -1;
	buf_init(&b, UPSTREAM_OUT_MAX);
	if (head_write(&b, message.n == 0 ? "DELETE" : "POST", x, t, session,
	    e) < 0)
		goto out;
	buf_printf(&b, "Connection: close\r\nContent-Length: %zu\r\n\r\n",
	    message.n);
	if (buf_add_span(&b, message) < 0) {
		err_set(e, ERR_TOOBIG, "message too large");
		goto out;
	}
	fd = wire_connect((const struct sockaddr *)&c->peer, c->peer_len,
	    deadline_ms, e);
	if (fd >= 0)
		rv = post_on(fd, buf_span(&b), deadline_ms, e);
out:
	if (fd >= 0)
		close(fd);
	buf_free(&b);
	return rv;
}
