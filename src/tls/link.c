/*
 * link -- see link.h. Each direction holds one piece at most: who does not
 * take what he asked for is not sent more.
 */
#include "tls/link.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"

#define STEPS_MAX	16

static char piece[LINK_PIECE];		/* scratch: nothing stays in it */

static void
keep(struct link_rest *r, const char *p, size_t n)
{
	r->p = xmalloc(n);
	memcpy(r->p, p, n);
	r->at = 0;
	r->n = n;
}

static void
took(struct link_rest *r, size_t n)
{
	r->at += n;
	if (r->at < r->n)
		return;
	free(r->p);
	memset(r, 0, sizeof(*r));
}

/* 1: that many bytes in *n; 0: not now; -1: broken. */
static int
net_write(struct link *l, const char *p, size_t size, size_t *n)
{
	ERR_clear_error();
	if (SSL_write_ex(l->ssl, p, size, n) == 1)
		return 1;
	switch (SSL_get_error(l->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		return -1;
	}
}

static int
plain_write(struct link *l, const char *p, size_t size, size_t *n)
{
	ssize_t w = send(l->plain, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (w >= 0) {
		*n = (size_t)w;
		return 1;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return 0;
	/* It may have answered and closed: the answer still goes out. */
	l->deaf = true;
	*n = size;
	return 1;
}

/* Each returns 1 when something was done, 0 when it waits, -1: broken. */
static int
from_net(struct link *l)
{
	size_t n, sent = 0;
	int rv;

	if (l->to_plain.p != NULL) {
		rv = l->deaf ? 1 : plain_write(l, l->to_plain.p +
		    l->to_plain.at, l->to_plain.n - l->to_plain.at, &sent);
		if (rv > 0)
			took(&l->to_plain, l->deaf ? l->to_plain.n : sent);
		return rv;
	}
	if (l->net_ended)
		return 0;
	ERR_clear_error();
	if (SSL_read_ex(l->ssl, piece, sizeof(piece), &n) == 1) {
		if (l->deaf)
			return 1;
		if (plain_write(l, piece, n, &sent) < 1)
			sent = 0;
		if (sent < n)
			keep(&l->to_plain, piece + sent, n - sent);
		return 1;
	}
	switch (SSL_get_error(l->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		l->net_ended = true;
		shutdown(l->plain, SHUT_WR);
		return 1;
	default:
		return -1;
	}
}

/* 2: the plain side has ended, and all it said is out. */
static int
from_plain(struct link *l)
{
	size_t sent = 0;
	ssize_t n;
	int rv;

	if (l->to_net.p != NULL) {
		rv = net_write(l, l->to_net.p + l->to_net.at,
		    l->to_net.n - l->to_net.at, &sent);
		if (rv > 0)
			took(&l->to_net, sent);
		return rv;
	}
	n = recv(l->plain, piece, sizeof(piece), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return 2;
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ||
		    errno == EINTR ? 0 : -1;
	if ((rv = net_write(l, piece, (size_t)n, &sent)) < 0)
		return -1;
	if (rv == 0)
		sent = 0;
	if (sent < (size_t)n)
		keep(&l->to_net, piece + sent, (size_t)n - sent);
	return 1;
}

static enum link_step
handshake(struct link *l)
{
	int rv;

	ERR_clear_error();
	if ((rv = SSL_accept(l->ssl)) == 1)
		return LINK_READY;
	switch (SSL_get_error(l->ssl, rv)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return LINK_WAITS;
	default:
		return LINK_BROKEN;
	}
}

/* What the client still says is thrown away, until it has closed: closing
 * over unread bytes would destroy the answer on its way. */
static enum link_step
linger(struct link *l)
{
	ssize_t n = recv(l->net, piece, sizeof(piece), MSG_DONTWAIT);

	if (n > 0)
		return LINK_GOES_ON;
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK ||
	    errno == EINTR) ? LINK_WAITS : LINK_BROKEN;
}

enum link_step
link_step(struct link *l)
{
	int i, in, out;

	if (l->state == LINK_HANDSHAKE)
		return handshake(l);
	if (l->state == LINK_LINGERING)
		return linger(l);
	for (i = 0; i < STEPS_MAX; i++) {
		if ((out = from_plain(l)) < 0 || (in = from_net(l)) < 0)
			return LINK_BROKEN;
		if (out == 2)
			return LINK_OVER;
		if (out == 0 && in == 0)
			return LINK_WAITS;
	}
	return LINK_GOES_ON;
}

void
link_free(struct link *l)
{
	free(l->to_plain.p);
	free(l->to_net.p);
	SSL_free(l->ssl);
	close(l->net);
	if (l->plain >= 0)
		close(l->plain);
	free(l);
}
