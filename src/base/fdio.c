/*
 * fdio -- file descriptor helpers, and descriptors through UNIX sockets.
 *
 * Every process. Nothing here logs or dies; errno says why. A descriptor
 * that was received and not asked for is closed at once, so that no peer can
 * fill the table of a process.
 */
#include "base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fiber.h"

/* More descriptors than ours in one message are seen and closed. */
#define FDS_MAX	8

int
fdio_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -1;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -1 : 0;
}

int
fdio_set_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -1;
	flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
	return fcntl(fd, F_SETFD, flags) < 0 ? -1 : 0;
}

int
fdio_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	ssize_t rv;

	while (n > 0) {
		rv = write(fd, p, n);
		if (rv < 0 && errno == EINTR)
			continue;
		if (rv < 0)
			return -1;
		p += rv;
		n -= (size_t)rv;
	}
	return 0;
}

/* Reads until end of file or n bytes. Returns how many, or -1. */
static ssize_t
read_up_to(int fd, char *out, size_t n)
{
	size_t got = 0;
	ssize_t rv;

	while (got < n) {
		rv = read(fd, out + got, n - got);
		if (rv < 0 && errno == EINTR)
			continue;
		if (rv < 0)
			return -1;
		if (rv == 0)
			break;
		got += (size_t)rv;
	}
	return (ssize_t)got;
}

ssize_t
fdio_read_file(const char *path, char *out, size_t size)
{
	int fd, saved_errno;
	ssize_t n;

	if (size == 0) {
		errno = EINVAL;
		return -1;
	}
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) < 0)
		return -1;
	n = read_up_to(fd, out, size);
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	if (n < 0)
		return -1;
	if ((size_t)n == size) {
		errno = EFBIG;
		return -1;
	}
	out[n] = '\0';
	return n;
}

int
fdio_wait(int fd, short events, int64_t deadline_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t left = -1;
	int rv;

	do {
		if (deadline_ms >= 0) {
			left = deadline_ms - clock_mono_ms();
			if (left < 0)
				left = 0;
			if (left > INT_MAX)
				left = INT_MAX;
		}
		rv = fiber_poll(&pfd, 1, (int)left);
	} while (rv == 0 && left != 0);
	return rv > 0 ? 1 : rv;
}

ssize_t
fdpass_send(int sock, const void *data, size_t n, int fd, int flags)
{
	union {
		struct cmsghdr	align;
		char		bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data,
	    .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
}

/* Takes the first descriptor of a control message if *fd has none yet. */
static void
take_fd(const struct cmsghdr *c, int *fd)
{
	int fds[FDS_MAX];
	size_t bytes = c->cmsg_len - CMSG_LEN(0), n, i;

	if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return;
	if (bytes > sizeof(fds))
		bytes = sizeof(fds);
	memcpy(fds, CMSG_DATA(c), bytes);
	n = bytes / sizeof(fds[0]);
	for (i = 0; i < n; i++) {
		if (*fd < 0)
			*fd = fds[i];
		else
			close(fds[i]);
	}
}

ssize_t
fdpass_recv(int sock, void *out, size_t n, int *fd, int flags)
{
	union {
		struct cmsghdr	align;
		char		bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = out, .iov_len = n };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c;
	ssize_t rv;

	*fd = -1;
	rv = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	if (rv < 0)
		return -1;
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
		take_fd(c, fd);
	return rv;
}
