/*
 * hand -- hands connections with a complete head over to the workers: which
 * lane they take, what happens when it is full, and who is asked for help.
 */
#include "keeper/keeper_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/log.h"
#include "shm/client.h"
#include "shm/slot.h"

/* The target as split_absolute() (net/http_head.c) cuts it: a worker that finds
 * another path in it than we would send it back for ever. */
static struct span
path_of(struct span rest)
{
	size_t n = rest.n > 7 && strncasecmp(rest.p, "http://", 7) == 0 ? 7 :
	    rest.n > 8 && strncasecmp(rest.p, "https://", 8) == 0 ? 8 : 0;

	if (n > 0)
		while (n < rest.n && strchr("/? \r", rest.p[n]) == NULL)
			n++;
	return span_skip(rest, n);
}

/* Health and metrics must answer while every worker is busy, and the API may
 * wait for the database. */
static uint32_t
lane_of(const struct connection *c)
{
	static const struct {
		const char	*path;
		uint32_t	 lane;
	} paths[] = { { "/health", LANE_CONTROL },
	    { "/metrics", LANE_CONTROL }, { LANE_API_PATH, LANE_API } };
	const char *sp = memchr(c->in, ' ', c->n);
	struct span path;
	size_t i;

	if (sp == NULL)
		return LANE_WORK;
	path = path_of(span_make(sp + 1, c->n - (size_t)(sp + 1 - c->in)));
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (span_starts(path, paths[i].path))
			return paths[i].lane;
	return LANE_WORK;
}

const uint32_t hand_tags[LANE_KINDS] = { TAG_WORK, TAG_CONTROL,
	TAG_API };

static void
arm_lane(struct keeper *k, uint32_t lane, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLOUT : 0,
	    .data.u32 = hand_tags[lane] };

	if (k->lane_armed[lane] == on)
		return;
	k->lane_armed[lane] = on;
	epoll_ctl(k->ep, EPOLL_CTL_MOD, k->lanes->hand[lane][0], &ev);
}

/* Requests that no worker has taken: in the lane and here. */
static uint64_t
waiting(const struct keeper *k)
{
	struct shm_queue *q = shm_queue(k->shm);
	uint64_t handed = atomic_load(&q->handed), taken = atomic_load(&q->taken);

	return (handed > taken ? handed - taken : 0) + k->queue[LANE_WORK].n;
}

void
hand_relieve(struct keeper *k)
{
	struct shm_queue *q = shm_queue(k->shm);
	uint64_t need = waiting(k), one = 1;
	uint32_t n, slots = k->shm->sizes.slots;
	uint32_t first = shm_kind_first(KIND_WORKER);

	if (need == 0 || atomic_load(&q->idle) >= need)
		return;
	for (n = first; n < slots && need > 0; n++) {
		struct shm_slot *s;
		int32_t pid;

		if (k->hint < first || k->hint >= slots)
			k->hint = first;
		s = shm_slot(k->shm, (uint32_t)k->hint++);
		pid = atomic_load_explicit(&s->pid, memory_order_relaxed);
		if (pid <= 0 || atomic_load_explicit(&s->state,
		    memory_order_relaxed) != SLOT_HOLDING)
			continue;
		kill(pid, SIGUSR1);
		need--;
	}
	if (need > 0)
		(void)!write(k->lanes->starve_fd, &one, sizeof(one));
}

/* 1 handed over, 0 the lane is full, -1 dropped. */
static int
hand_over(struct keeper *k, uint32_t i, int64_t now)
{
	struct connection *c = &k->c[i];
	char message[sizeof(struct lane_luggage) + LANE_BYTES_MAX];
	struct lane_luggage l;

	memset(&l, 0, sizeof(l));
	l.id = lane_id(k->spawn, c->use, i);
	l.bytes = (uint32_t)c->n;
	l.lane = c->lane;
	l.accepted_ms = c->accepted_ms;
	memcpy(l.peer, c->peer, sizeof(l.peer));
	memcpy(message, &l, sizeof(l));
	memcpy(message + sizeof(l), c->in, c->n);
	if (c->lane == LANE_WORK)
		atomic_fetch_add(&shm_queue(k->shm)->handed, 1);
	if (fdpass_send(k->lanes->hand[c->lane][0], message, sizeof(l) + c->n,
	    c->fd, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (c->lane == LANE_WORK)
			atomic_fetch_sub(&shm_queue(k->shm)->handed, 1);
		if (errno == EAGAIN || errno == EWOULDBLOCK ||
		    errno == ENOBUFS || errno == ETOOMANYREFS)
			return 0;
		log_error("hand-over failed: %s", strerror(errno));
		keeper_drop(k, i);
		return -1;
	}
	keeper_drop_input(c);
	c->has_asked = true;
	if (c->state != AWAY)
		keeper_move(k, i, AWAY, now);
	return 1;
}

void
hand_complete(struct keeper *k, uint32_t i, int64_t now)
{
	struct connection *c = &k->c[i];
	int rc;

	c->lane = lane_of(c);
	if (c->lane == LANE_WORK && waiting(k) >= k->queue_max) {
		shm_count_in(shm_self(k->shm), C_QUEUE_FULL, 1);
		keeper_refuse(k, i, REFUSE_BUSY, now);
		hand_relieve(k);
		return;
	}
	rc = k->queue[c->lane].n > 0 ? 0 : hand_over(k, i, now);
	if (rc == 0) {
		keeper_move(k, i, QUEUED, now);
		arm_lane(k, c->lane, true);
	}
	hand_relieve(k);
}

void
hand_writable(struct keeper *k, uint32_t lane, int64_t now)
{
	while (k->queue[lane].n > 0)
		if (hand_over(k, k->queue[lane].head, now) == 0)
			return;
	arm_lane(k, lane, false);
}
