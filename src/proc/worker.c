/*
 * worker -- takes requests from its lane and serves several at once, each as
 * blocking code on a fiber of its own (place.c).
 *
 * While nothing is under way it blocks in the lane. Else one poll waits for
 * the lane and for all requests, so that under load a worker sleeps once for
 * several of them.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/fiber.h"
#include "base/log.h"
#include "proc/place.h"
#include "shm/slot.h"

#define LANE_S	1	/* a signal between a look and the lane costs that */
#define LOOK_MS	250	/* busy: the master sees that it is not stuck */
#define TRIM_S	30	/* idle upstream connections are looked at */

struct worker {
	struct proc	*proc;
	struct place	*place;
	uint32_t	 n;
	enum lane_kind	 lane;
	int		 lane_fd;
	int64_t		 trim_ms;	/* next time */
};

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	stop = 1;
}

static void
on_usr1(int sig)
{
	/* ends a wait; what for is read from shared memory */
}

/* The free place that was used last: its upstream connections are warm. */
static struct place *
free_place(struct worker *w)
{
	struct place *best = NULL;
	uint32_t i;

	for (i = 0; i < w->n; i++) {
		struct place *p = &w->place[i];

		if (p->busy)
			continue;
		if (p->mcp != NULL)
			return p;
		if (best == NULL)
			best = p;
	}
	return best;
}

static uint64_t
served(const struct worker *w)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < w->n; i++)
		n += w->place[i].served;
	return n;
}

static void
trim(struct worker *w)
{
	int64_t now = clock_mono_ms();
	uint32_t i;

	if (now < w->trim_ms)
		return;
	w->trim_ms = now + TRIM_S * 1000;
	for (i = 0; i < w->n; i++)
		if (w->place[i].mcp != NULL && !w->place[i].busy)
			mcp_idle(w->place[i].mcp);
}

/* Takes one request from the lane. The kernel wakes only one of those who
 * block in it. */
static void
take(struct worker *w, struct place *p, int flags)
{
	struct shm_queue *q = shm_queue(&w->proc->shm);
	ssize_t n = fdpass_recv(w->lane_fd, p->message, sizeof(p->message),
	    &p->fd, flags);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		if (flags == 0)
			trim(w);
		return;
	}
	if (n <= 0)
		die_sys("lane");
	if (w->lane == LANE_WORK) {
		atomic_fetch_sub(&q->idle, 1);
		atomic_fetch_add(&q->taken, 1);
	}
	slot_alive(&w->proc->shm);
	p->n = (size_t)n;
	p->busy = true;
	place_open(p);
	if (w->lane == LANE_API) {	/* may block, and alone */
		place_serve(p);
		return;
	}
	if (!fiber_start(place_serve, p))
		die_bug(__FILE__, __LINE__, "no fiber for a free place");
}

static bool
may_take(const struct worker *w)
{
	int64_t max = w->proc->conf.max_requests;

	return !stop && (max == 0 || (int64_t)served(w) < max);
}

static void
loop(struct worker *w)
{
	for (;;) {
		/* asked once: a SIGTERM may come between two questions */
		struct place *p = may_take(w) ? free_place(w) : NULL;
		struct pollfd lane = { .fd = p != NULL ? w->lane_fd : -1,
		    .events = POLLIN };

		if (p == NULL && fibers_running() == 0)
			return;
		slot_alive(&w->proc->shm);
		if (fibers_running() == 0)
			take(w, p, 0);
		else if (fibers_wait(&lane, 1, LOOK_MS) > 0)
			take(w, p, MSG_DONTWAIT);
	}
}

int
worker_main(struct proc *p, uint32_t slot, enum lane_kind lane)
{
	struct sched_param param = { .sched_priority = 0 };
	struct sigaction sa = { .sa_handler = on_term };
	struct worker w = { .proc = p, .lane = lane, .n = 1,
	    .lane_fd = p->lanes.hand[lane][1] };
	struct timeval idle = { .tv_sec = LANE_S };
	sigset_t usr1;
	uint32_t i;

	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = on_usr1;
	sigaction(SIGUSR1, &sa, NULL);
	setsockopt(w.lane_fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	/* a worker sleeps and wakes a lot: batch spares pre-emptions */
	sched_setscheduler(0, SCHED_BATCH, &param);
	if (lane == LANE_WORK)
		w.n = (uint32_t)p->conf.worker_requests;
	fibers_init(w.n);
	/* one that came while a fiber runs must end the others' waits, too */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	w.place = xcalloc(w.n, sizeof(w.place[0]));
	for (i = 0; i < w.n; i++)
		place_init(&w.place[i], p, slot + i, lane, &stop);
	loop(&w);
	for (i = 0; i < w.n; i++)
		place_close(&w.place[i]);
	free(w.place);
	fibers_free();
	return 0;
}
