/*
 * wire -- sending and receiving with everything that may end a call early:
 * the deadline, the client hanging up, the cancel word.
 *
 * Workers, poller, tools. A fast answer costs one send, a wait that it may
 * share with other fibers, and one recv; only when that takes longer is the
 * client watched too. Never raises SIGPIPE.
 */
#include "upstream/upstream_int.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/fiber.h"
#include "net/sock.h"

#define PATIENCE_MS	20	/* waiting for the answer only */
#define CHECK_MS	1000	/* the cancel word is looked at this often */

static int
timed_out(struct err *e)
{
	return err_set(e, ERR_TIMEOUT, "no answer in time");
}

/* Has somebody asked for the end, or has the time passed? */
int
wire_check(struct upstream_call *call, struct err *e)
{
	/* a server that sends without a pause must not keep us from it */
	call->looked_ms = clock_mono_ms();
	if (call->cancel_word != NULL && atomic_load_explicit(
	    call->cancel_word, memory_order_relaxed) == call->cancel_value)
		return err_set(e, ERR_CANCELLED, "cancelled");
	if (call->looked_ms >= call->deadline_ms)
		return timed_out(e);
	return 0;
}

int
wire_extra_fd(struct upstream_call *call)
{
	return call->on_extra != NULL ? call->extra_fd : -1;
}

/*
 * One poll of at most ms: the call's own descriptors (.fd -1: none), the
 * client, the extra one. -1 with err: the exchange ends. Descriptors of -1
 * are left out by poll itself.
 */
static int
look(struct pollfd own[2], struct upstream_call *call, int ms,
    struct err *e)
{
	struct pollfd p[4] = {
		own[0], own[1],
		{ .fd = call->client_fd, .events = POLLRDHUP },
		{ .fd = wire_extra_fd(call), .events = POLLIN },
	};
	int rv = fiber_poll(p, 4, ms);

	own[0].revents = own[1].revents = 0;
	if (rv < 0 && errno != EINTR)
		return err_set(e, ERR_INTERNAL, "poll: %s", strerror(errno));
	if (rv <= 0)
		return 0;
	own[0].revents = p[0].revents;
	own[1].revents = p[1].revents;
	call->looked_ms = clock_mono_ms();
	if (p[3].revents != 0 && call->on_extra(call->arg, e) < 0)
		return -1;
	if (p[2].revents != 0 && p[0].revents == 0 && p[1].revents == 0)
		return err_set(e, ERR_CANCELLED, "client hung up");
	return 0;
}

int
wire_wait(struct pollfd own[2], struct upstream_call *call,
    struct err *e)
{
	int64_t left;

	do {
		if (wire_check(call, e) < 0)
			return -1;
		left = call->deadline_ms - call->looked_ms;
		if (look(own, call, left < CHECK_MS ? (int)left : CHECK_MS,
		    e) < 0)
			return -1;
	} while (own[0].revents == 0 && own[1].revents == 0);
	return 0;
}

/* Until fd is ready. *revents says how. */
static int
wait_ready(int fd, short events, struct upstream_call *call,
    short *revents, struct err *e)
{
	struct pollfd own[2] = { { .fd = fd, .events = events },
	    { .fd = -1 } };

	if (wire_wait(own, call, e) < 0)
		return -1;
	*revents = own[0].revents;
	return 0;
}

int
wire_nap(struct upstream_call *call, int ms, struct err *e)
{
	struct pollfd none[2] = { { .fd = -1 }, { .fd = -1 } };

	if (look(none, call, ms, e) < 0)
		return -1;
	return wire_check(call, e);
}

/* Bytes have come; is it time to look at everything else? */
int
wire_glance(struct upstream_call *call, struct err *e)
{
	struct pollfd none[2] = { { .fd = -1 }, { .fd = -1 } };

	if (clock_mono_ms() - call->looked_ms < PATIENCE_MS)
		return 0;
	return wire_check(call, e) < 0 ? -1 : look(none, call, 0, e);
}

enum wire
wire_recv(int fd, char *p, size_t size, struct upstream_call *call,
    size_t *got, struct err *e)
{
	short revents;
	int64_t left;
	ssize_t n;

	for (;;) {
		left = call->deadline_ms - clock_mono_ms();
		n = left < PATIENCE_MS ? recv(fd, p, size, MSG_DONTWAIT) :
		    fiber_recv(fd, p, size, PATIENCE_MS);
		if (n > 0) {
			*got = (size_t)n;
			if (left > 0)
				return wire_glance(call, e) < 0 ? WIRE_ENDED :
				    WIRE_OK;
			/* A slow drip must not outlive the deadline. */
			timed_out(e);
			return WIRE_ENDED;
		}
		if (n == 0)
			return WIRE_EOF;
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return WIRE_BROKEN;
		if (wait_ready(fd, POLLIN, call, &revents, e) < 0)
			return WIRE_ENDED;
	}
}

enum wire
wire_send(int fd, struct span s, struct upstream_call *call,
    size_t *sent, struct err *e)
{
	short revents;
	ssize_t n;

	*sent = 0;
	while (*sent < s.n) {
		n = send(fd, s.p + *sent, s.n - *sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			*sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			return WIRE_BROKEN;
		if (wait_ready(fd, POLLOUT | POLLIN, call, &revents, e) < 0)
			return WIRE_ENDED;
		if (!(revents & POLLOUT))
			return WIRE_OK;
	}
	return WIRE_OK;
}

int
wire_set_timeouts(int fd)
{
	struct timeval tv = { .tv_usec = PATIENCE_MS * 1000 };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* As fdio_wait(), but a signal does not end it. */
int
wire_await(int fd, short events, int64_t deadline_ms)
{
	int rv;

	do
		rv = fdio_wait(fd, events, deadline_ms);
	while (rv < 0 && errno == EINTR);
	return rv;
}

/* Waits for a connect under way. 0, or -1 with errno. */
static int
await_connect(int fd, int64_t deadline_ms)
{
	socklen_t n = sizeof(int);
	int rv, so_error = 0;

	rv = wire_await(fd, POLLOUT, deadline_ms);
	if (rv == 0)
		errno = ETIMEDOUT;
	if (rv <= 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &n) < 0)
		return -1;
	errno = so_error;
	return so_error == 0 ? 0 : -1;
}

/* A UNIX listener whose queue is full says EAGAIN and has nothing to poll. */
static int
connect_until(int fd, const struct sockaddr *sa, socklen_t len,
    int64_t deadline_ms)
{
	for (;;) {
		if (connect(fd, sa, len) == 0)
			return 0;
		if (errno == EINPROGRESS || errno == EINTR)
			return await_connect(fd, deadline_ms);
		if (errno != EAGAIN)
			return -1;
		if (clock_mono_ms() >= deadline_ms) {
			errno = ETIMEDOUT;
			return -1;
		}
		fiber_sleep(2);
	}
}

int
wire_connect(const struct sockaddr *sa, socklen_t len, int64_t deadline_ms,
    struct err *e)
{
	int fd, saved_errno;

	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "socket: %s", strerror(errno));
	if (connect_until(fd, sa, len, deadline_ms) == 0 &&
	    fdio_set_nonblock(fd, false) == 0)
		return fd;
	saved_errno = errno;
	close(fd);
	return err_set(e, saved_errno == ETIMEDOUT ? ERR_TIMEOUT : ERR_UPSTREAM,
	    "connect: %s", strerror(saved_errno));
}

int
wire_connect_unix(struct span path, int64_t deadline_ms, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (!span_copy(un.sun_path, sizeof(un.sun_path), path))
		return err_set(e, ERR_UPSTREAM, "socket path too long");
	fd = wire_connect((const struct sockaddr *)&un, sizeof(un),
	    deadline_ms, e);
	if (fd >= 0)
		return fd;
	return err_wrap(e, "%s", un.sun_path);
}

/*
 * Linux counts the SYN among the bytes acknowledged, so one byte more than
 * was sent before proves nothing; a request is longer than that.
 */
bool
wire_peer_took(int fd, uint64_t before)
{
	struct tcp_info ti;
	socklen_t n = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0 ||
	    n < offsetof(struct tcp_info, tcpi_bytes_acked) +
	    sizeof(ti.tcpi_bytes_acked))
		return true;
	return ti.tcpi_bytes_acked > before + 1;
}
