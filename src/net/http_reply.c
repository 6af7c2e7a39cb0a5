/*
 * http_reply -- writes HTTP/1.1 answers. See http_reply.h.
 *
 * The head and the body leave in one sendmsg(2). Headers that every answer
 * carries stand here, once.
 */
#include "net/http_reply.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "base/clock.h"
#include "base/fiber.h"

#define HEAD_ROOM	4096

void
http_reply_init(struct http_reply *r, size_t body_max)
{
	memset(r, 0, sizeof(*r));
	r->fd = -1;
	buf_init(&r->headers, HEAD_ROOM / 2);
	buf_init(&r->body, body_max);
}

void
http_reply_free(struct http_reply *r)
{
	buf_free(&r->headers);
	buf_free(&r->body);
}

void
http_reply_start(struct http_reply *r, int fd, int64_t write_timeout_ms)
{
	buf_reset(&r->headers, 4096);
	buf_reset(&r->body, 256 * 1024);
	r->fd = fd;
	r->status = 200;
	r->content_type = NULL;
	r->keep_alive = true;
	r->is_http10 = r->is_head = false;
	r->streaming = r->sent = r->broken = false;
	r->write_timeout_ms = write_timeout_ms;
	r->sent_bytes = 0;
}

void
http_reply_header(struct http_reply *r, const char *name, const char *value)
{
	buf_add_str(&r->headers, name);
	buf_add(&r->headers, ": ", 2);
	buf_add_str(&r->headers, value);
	buf_add(&r->headers, "\r\n", 2);
}

/* "Date: ..." once a second. */
static struct span
date_line(void)
{
	static char text[64];
	static time_t last;
	static size_t n;
	time_t now = time(NULL);
	struct tm tm;

	if (now != last) {
		gmtime_r(&now, &tm);
		n = strftime(text, sizeof(text),
		    "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		last = now;
	}
	return span_make(text, n);
}

/* Sends all of iov, waiting at most write_timeout_ms without progress. */
static int
send_all(struct http_reply *r, struct iovec *iov, size_t n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };
	struct pollfd p = { .fd = r->fd, .events = POLLOUT };

	r->sent = true;
	while (m.msg_iovlen > 0) {
		ssize_t k = sendmsg(r->fd, &m, MSG_DONTWAIT |
		    MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			int rc = fiber_poll(&p, 1, (int)r->write_timeout_ms);

			if (rc > 0 || (rc < 0 && errno == EINTR))
				continue;
			errno = ETIMEDOUT;
		}
		if (k < 0) {
			r->broken = true;
			r->keep_alive = false;
			return -1;
		}
		r->sent_bytes += (uint64_t)k;
		while (m.msg_iovlen > 0 && (size_t)k >= m.msg_iov->iov_len) {
			k -= (ssize_t)m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen > 0) {
			m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + k;
			m.msg_iov->iov_len -= (size_t)k;
		}
	}
	return 0;
}

static void
add(char *out, size_t *n, struct span s)
{
	if (s.n > 0)
		memcpy(out + *n, s.p, s.n);
	*n += s.n;
}

/* Status line and headers up to, not including, the framing header. */
static size_t
head_begin(const struct http_reply *r, char *out)
{
	size_t n;

	if (r->status == 200) {
		n = 0;
		add(out, &n, SPAN_LIT("HTTP/1.1 200 OK\r\n"));
	} else
		n = (size_t)snprintf(out, 128, "HTTP/1.1 %d %s\r\n", r->status,
		    http_reason(r->status));
	add(out, &n, date_line());
	if (r->content_type != NULL) {
		add(out, &n, SPAN_LIT("Content-Type: "));
		add(out, &n, span_str(r->content_type));
		add(out, &n, SPAN_LIT("\r\n"));
	}
	add(out, &n, SPAN_LIT("X-Content-Type-Options: nosniff\r\n"
	    "Cache-Control: no-store\r\n"));
	if (!r->keep_alive)
		add(out, &n, SPAN_LIT("Connection: close\r\n"));
	else if (r->is_http10)
		add(out, &n, SPAN_LIT("Connection: keep-alive\r\n"));
	add(out, &n, buf_span(&r->headers));
	return n;
}

static size_t
decimal(char *out, uint64_t v)
{
	char tmp[24];
	size_t i = sizeof(tmp), n;

	do {
		tmp[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	n = sizeof(tmp) - i;
	memcpy(out, tmp + i, n);
	return n;
}

int
http_reply_send(struct http_reply *r)
{
	char head[HEAD_ROOM + 1024];
	struct iovec iov[2];
	size_t n;

	if (r->broken)
		return -1;
	n = head_begin(r, head);
	if (r->status != 204 && r->status != 304 && r->status >= 200) {
		add(head, &n, SPAN_LIT("Content-Length: "));
		n += decimal(head + n, r->body.n);
		add(head, &n, SPAN_LIT("\r\n"));
	}
	add(head, &n, SPAN_LIT("\r\n"));
	iov[0].iov_base = head;
	iov[0].iov_len = n;
	iov[1].iov_base = r->body.p;
	iov[1].iov_len = r->is_head ? 0 : r->body.n;
	return send_all(r, iov, iov[1].iov_len > 0 ? 2 : 1);
}

int
http_reply_stream_begin(struct http_reply *r, const char *content_type)
{
	char head[HEAD_ROOM + 1024];
	struct iovec iov[1];
	size_t n;

	if (r->broken)
		return -1;
	r->content_type = content_type;
	if (r->is_http10)
		r->keep_alive = false;
	n = head_begin(r, head);
	if (!r->is_http10)
		add(head, &n, SPAN_LIT("Transfer-Encoding: chunked\r\n"));
	add(head, &n, SPAN_LIT("X-Accel-Buffering: no\r\n\r\n"));
	r->streaming = true;
	iov[0].iov_base = head;
	iov[0].iov_len = n;
	return send_all(r, iov, 1);
}

int
http_reply_stream_write(struct http_reply *r, struct span s)
{
	char size[32];
	char crlf[] = "\r\n";
	struct iovec iov[3];

	if (r->broken)
		return -1;
	if (s.n == 0)
		return 0;
	iov[1].iov_base = (void *)(uintptr_t)s.p;
	iov[1].iov_len = s.n;
	if (r->is_http10)
		return send_all(r, &iov[1], 1);
	iov[0].iov_base = size;
	iov[0].iov_len = (size_t)snprintf(size, sizeof(size), "%zx\r\n", s.n);
	iov[2].iov_base = crlf;
	iov[2].iov_len = 2;
	return send_all(r, iov, 3);
}

int
http_reply_stream_end(struct http_reply *r)
{
	char last[] = "0\r\n\r\n";
	struct iovec iov[1] = { { last, 5 } };

	r->streaming = false;
	if (r->broken)
		return -1;
	return r->is_http10 ? 0 : send_all(r, iov, 1);
}
