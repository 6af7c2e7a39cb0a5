/*
 * lane -- how client connections travel between keeper and workers.
 *
 * The master makes four SOCK_SEQPACKET pairs before the first fork and keeps
 * both ends of each, so messages (and the descriptors in them) survive the
 * death of either side.
 *   work, control, api
 *                   keeper -> workers: struct lane_luggage, the bytes read so
 *                   far, and the connection's descriptor. All idle workers of
 *                   a lane block on the same end: the kernel schedules.
 *   back            workers -> keeper: struct lane_back; no descriptor, the
 *                   keeper has kept its own. (A keeper that was started after
 *                   the connection was accepted knows nothing of it: then the
 *                   worker sends the descriptor with LANE_ADOPT.)
 */
#ifndef OMNI2_KEEPER_LANE_H
#define OMNI2_KEEPER_LANE_H

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fdio.h"
#include "net/http_head.h"
#include "shm/stream.h"

enum lane_kind { LANE_WORK, LANE_CONTROL, LANE_API, LANE_KINDS };

/* What the api processes serve; they ask the database, others never do. */
#define LANE_API_PATH	"/api/"

enum lane_job { LANE_REQUEST, LANE_RECHECK };

struct lane_luggage {
	uint64_t	id;		/* spawn:16 | use:24 | index:24 */
	uint32_t	bytes;		/* of request that follow */
	uint32_t	lane;
	uint32_t	job;		/* enum lane_job; RECHECK comes without
					 * descriptor: a struct stream_info */
	uint32_t	reserved;
	int64_t		accepted_ms;	/* monotonic */
	char		peer[48];
};

/*
 * STREAM: the head of an event stream is out, the keeper has the connection
 * for life; struct stream_info follows. PUSH: struct lane_push and bytes that
 * are written to the stream. CLOSED also ends a stream. EVENT: struct
 * lane_event and the URI of a resource, as its server knows it, or a message
 * to the client of one session or to those who watch a task; id is unused.
 * What does not fit comes as a descriptor of memory.
 */
enum lane_what { LANE_PARK = 1, LANE_CLOSED, LANE_ADOPT, LANE_DEAD,
	LANE_STREAM, LANE_PUSH, LANE_EVENT };

struct lane_back {
	uint64_t	id;
	uint32_t	what;		/* enum lane_what */
	uint32_t	bytes;		/* read beyond the last request; follow */
	char		peer[48];	/* LANE_ADOPT only */
};

struct lane_push {
	uint64_t	policy, catalog;	/* generations the look was at; */
	uint64_t	list[STREAM_LISTS];	/* what it saw */
	uint64_t	servers[SHM_SERVERS_MAX / 64];
	uint32_t	user;
	uint32_t	is_recheck;	/* 0: the fields above say nothing */
};

enum lane_event_kind {
	LANE_SAY,		/* a message to the client of that session */
	LANE_UPDATED,		/* the URI of a resource */
	LANE_TASK		/* a checked notifications/tasks */
};

struct lane_event {
	int64_t		server_id;
	uint64_t	session;	/* of which client; 0: of any */
	uint32_t	kind;		/* enum lane_event_kind */
	uint32_t	health;		/* of the server; SAY only */
};

#define LANE_BYTES_MAX	HTTP_HEAD_MAX
#define LANE_EVENT_MAX	(2u << 20)

struct lanes {
	int	hand[LANE_KINDS][2];	/* [0] keeper's end, [1] workers' */
	int	back[2];		/* [0] keeper's end, [1] workers' */
	int	starve_fd;		/* eventfd: keeper tells the master that
					 * requests wait and nobody is idle */
};

static inline uint64_t
lane_id(uint64_t spawn, uint32_t use, uint32_t index)
{
	return (spawn & 0xffff) << 48 | (uint64_t)(use & 0xffffff) << 24 |
	    (index & 0xffffff);
}

/* bytes in memory of their own, which the keeper reads. */
static __attribute__((noinline, unused)) int
lane_send_large(int back, const struct lane_event *ev, struct span bytes)
{
	struct lane_back b = { .what = LANE_EVENT, .bytes = sizeof(*ev) };
	char message[sizeof(b) + sizeof(*ev)];
	int rv = -1, fd;

	if (bytes.n > LANE_EVENT_MAX ||
	    (fd = memfd_create("omni2 event", MFD_CLOEXEC)) < 0)
		return -1;
	memcpy(message, &b, sizeof(b));
	memcpy(message + sizeof(b), ev, sizeof(*ev));
	if (write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n &&
	    fdpass_send(back, message, sizeof(message), fd, MSG_DONTWAIT) >= 0)
		rv = 0;
	close(fd);
	return rv;
}

/* To the keeper, through back[1]. Never waits: -1 when it cannot be told now,
 * or is too long. */
static inline int
lane_send(int back, const struct lane_event *ev, struct span bytes)
{
	struct lane_back b = { .what = LANE_EVENT };
	struct iovec part[3] = {
		{ .iov_base = &b, .iov_len = sizeof(b) },
		{ .iov_base = (void *)(uintptr_t)ev, .iov_len = sizeof(*ev) },
		{ .iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n },
	};
	struct msghdr m = { .msg_iov = part, .msg_iovlen = 3 };

	if (bytes.n > LANE_BYTES_MAX - sizeof(*ev))
		return lane_send_large(back, ev, bytes);
	b.bytes = (uint32_t)(sizeof(*ev) + bytes.n);
	return sendmsg(back, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* A resource was updated (session 0: whoever watches it). */
static inline int
lane_send_updated(int back, int64_t server_id, uint64_t session,
    struct span uri)
{
	struct lane_event ev = { .server_id = server_id, .session = session,
	    .kind = LANE_UPDATED };

	return lane_send(back, &ev, uri);
}

#endif
