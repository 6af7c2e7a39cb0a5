/*
 * mailbox -- see mailbox.h. Workers only.
 */
#include "mcp/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "net/sock.h"

#define MAIL_MAGIC	0x6f326d6cu

static int listener = -1;

static void
path_of(char *out, size_t size, const char *run_dir, uint32_t slot)
{
	snprintf(out, size, "%s/ask.%u", run_dir, slot);
}

int
mailbox_open(const char *run_dir, uint32_t slot, struct err *e)
{
	char path[300];

	if (listener >= 0)
		return listener;
	path_of(path, sizeof(path), run_dir, slot);
	listener = sock_listen_unix(path, SOCK_STREAM, 0600, e);
	return listener;
}

int
mailbox_connect(const char *run_dir, uint32_t slot, struct err *e)
{
	char path[300];

	path_of(path, sizeof(path), run_dir, slot);
	return sock_connect_unix(path, SOCK_STREAM, e);
}

int
mailbox_accept(int64_t deadline_ms)
{
	int fd;

	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			fdio_set_nonblock(fd, false);
			return fd;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (fdio_wait(listener, POLLIN, deadline_ms) <= 0)
			return -1;
	}
}

int
mailbox_send(int fd, enum mail_type type, uint64_t call, uint64_t number,
    struct span body)
{
	struct mail m = { MAIL_MAGIC, type, call, number, body.n };

	/* SIGPIPE is ignored in every process of omni2d */
	if (fdio_write_all(fd, &m, sizeof(m)) < 0)
		return -1;
	return body.n == 0 ? 0 : fdio_write_all(fd, body.p, body.n);
}

static int
read_exactly(int fd, char *p, size_t n, int64_t deadline_ms)
{
	while (n > 0) {
		int rc = fdio_wait(fd, POLLIN, deadline_ms);
		ssize_t got;

		if (rc == 0)
			return -1;
		if (rc < 0 && errno == EINTR)
			return -1;	/* cancelled: the caller looks */
		if (rc < 0)
			return 0;
		got = read(fd, p, n);
		if (got <= 0)
			return 0;
		p += got;
		n -= (size_t)got;
	}
	return 1;
}

int
mailbox_recv(int fd, struct mail *m, struct buf *body, int64_t deadline_ms)
{
	int rc = read_exactly(fd, (char *)m, sizeof(*m), deadline_ms);

	if (rc <= 0)
		return rc;
	if (m->magic != MAIL_MAGIC || m->size > MAIL_BODY_MAX)
		return 0;
	buf_reset(body, 1u << 20);
	if (buf_reserve(body, m->size) < 0)
		return 0;
	/* the rest is under way: a short time is enough */
	rc = read_exactly(fd, body->p, m->size, clock_mono_ms() + 5000);
	if (rc == 1)
		body->n = m->size;
	return rc == 1 ? 1 : 0;
}
