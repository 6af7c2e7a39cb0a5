/*
 * link -- a connection to a server as a stream of bytes, plain or TLS.
 *
 * Workers, poller, tools; for the transports on which a connection lives
 * longer than a request. Never blocks; who waits does it with wire_wait(), and
 * in opening other fibers run. TLS is libcurl's (curl_link.c).
 */
#include "upstream/upstream_int.h"
#include "upstream/link_int.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fdio.h"
#include "net/sock.h"

void
link_init(struct link *l)
{
	l->fd = -1;
	l->tls = l->multi = NULL;
}

int
link_open(struct link *l, const struct upstream_entry *x, int64_t deadline_ms,
    struct err *e)
{
	link_init(l);
	if (x->url.tls)
		return curl_link_open(l, x, deadline_ms, e);
	if (span_is(x->url.scheme, "unix"))
		l->fd = wire_connect_unix(x->url.host, deadline_ms, e);
	else
		l->fd = sock_connect_tcp(x->url.host, x->url.port,
		    deadline_ms, e);
	return l->fd < 0 ? -1 : 0;
}

void
link_close(struct link *l)
{
	if (l->tls != NULL)
		curl_link_close(l);
	else if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

enum link_io
link_recv(struct link *l, char *p, size_t size, size_t *got)
{
	ssize_t n;

	*got = 0;
	if (l->tls != NULL)
		return curl_link_recv(l, p, size, got);
	do
		n = recv(l->fd, p, size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		*got = (size_t)n;
	if (n >= 0)
		return n > 0 ? LINK_OK : LINK_EOF;
	return errno == EAGAIN || errno == EWOULDBLOCK ? LINK_AGAIN :
	    LINK_BROKEN;
}

enum link_io
link_send(struct link *l, struct span s, size_t *sent)
{
	ssize_t n;

	*sent = 0;
	if (l->tls != NULL)
		return curl_link_send(l, s, sent);
	do
		n = send(l->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		*sent = (size_t)n;
		return LINK_OK;
	}
	return errno == EAGAIN || errno == EWOULDBLOCK ? LINK_AGAIN :
	    LINK_BROKEN;
}

int
link_send_all(struct link *l, struct span s, struct upstream_call *call,
    size_t *sent, struct err *e)
{
	struct pollfd own[2] = { { .fd = l->fd, .events = POLLOUT },
	    { .fd = -1 } };
	size_t n;

	for (*sent = 0; *sent < s.n; *sent += n) {
		switch (link_send(l, span_skip(s, *sent), &n)) {
		case LINK_OK:
			break;
		case LINK_AGAIN:
			if (wire_wait(own, call, e) < 0)
				return -1;
			break;
		case LINK_EOF:
		case LINK_BROKEN:
			return err_set(e, ERR_UPSTREAM, "send: %s",
			    strerror(errno));
		}
	}
	return 0;
}

int
link_head(struct link *l, char *buf, size_t *n, struct http_head *h,
    size_t *size, struct upstream_call *call, struct err *e)
{
	struct pollfd own[2] = { { .fd = l->fd, .events = POLLIN },
	    { .fd = -1 } };
	struct err inner;
	size_t scanned = 0, got;
	enum link_io io;
	long end;

	for (;;) {
		end = *n == 0 ? 0 : http_head_end(buf, *n, &scanned);
		if (end < 0)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: no HTTP head");
		if (end > 0)
			break;
		io = link_recv(l, buf + *n, UPSTREAM_IN_SIZE - *n, &got);
		*n += got;
		if (io == LINK_EOF)
			return err_set(e, ERR_UPSTREAM,
			    "no answer: closed the connection");
		if (io == LINK_BROKEN)
			return err_set(e, ERR_UPSTREAM, "no answer: %s",
			    strerror(errno));
		if (io == LINK_AGAIN && wire_wait(own, call, e) < 0)
			return -1;
	}
	*size = (size_t)end;
	if (http_response_parse(h, buf, *size, &inner) == 0)
		return 0;
	return err_set(e, ERR_UPSTREAM, "bad answer: %s", inner.text);
}

/* Often it is only the call that has ended; but not in the middle of a message
 * of which a part is not here any more. */
bool
link_may_stay(const struct sink *s, const struct err *e)
{
	return s->flow < FLOW_RESULT && (s->stopped || s->answered ||
	    e->code == ERR_TIMEOUT || e->code == ERR_CANCELLED);
}
