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
#define REST_MS	5000	/* for what is under way */

static void
path_of(char *out, size_t size, const char *run_dir, uint32_t slot)
{
	snprintf(out, size, "%s/ask.%u", run_dir, slot);
}

int
mailbox_open(int *listener, const char *run_dir, uint32_t slot, struct err *e)
{
	char path[300];

	if (*listener >= 0)
		return *listener;
	path_of(path, sizeof(path), run_dir, slot);
	*listener = sock_listen_unix(path, SOCK_STREAM, 0600, e);
	return *listener;
}

int
mailbox_connect(const char *run_dir, uint32_t slot, struct err *e)
{
	char path[300];

	path_of(path, sizeof(path), run_dir, slot);
	return sock_connect_unix(path, SOCK_STREAM, e);
}

int
mailbox_accept(int listener, int64_t deadline_ms)
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

void
mailbox_refuse_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

/* The reader may be another fiber of this process: never blocks. */
static int
write_exactly(int fd, const char *p, size_t n)
{
	int64_t deadline = clock_mono_ms() + REST_MS;

	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (fdio_wait(fd, POLLOUT, deadline) == 0)
			return -1;
	}
	return 0;
}

int
mailbox_send(int fd, enum mail_type type, uint64_t call, uint64_t number,
    struct span body)
{
	struct mail m = { MAIL_MAGIC, type, call, number, body.n };

	if (write_exactly(fd, (const char *)&m, sizeof(m)) < 0)
		return -1;
	return write_exactly(fd, body.p, body.n);
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
	rc = read_exactly(fd, body->p, m->size, clock_mono_ms() + REST_MS);
	if (rc == 1)
		body->n = m->size;
	return rc == 1 ? 1 : 0;
}
