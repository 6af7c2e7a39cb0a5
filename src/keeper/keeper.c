/*
 * keeper -- one epoll loop over listeners, idle connections and the lane back
 * from the workers. See keeper.h and lane.h; accepting, waiting for heads, time
 * and the way out stand here, the rest in the files that keeper_int.h names.
 *
 * A connection is READING (here, waiting for a head), QUEUED (complete, the
 * lane is full), AWAY (a worker has it; our descriptor stays registered but
 * disarmed, EPOLLONESHOT), a STREAM (stream.c), or LINGERs because it was
 * refused and its client may not have heard so yet. Time-outs: one list ordered
 * by deadline per state class, because each class has one constant time-out.
 */
#include "keeper/keeper_int.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "conf/conf.h"
#include "net/sock.h"
#include "shm/client.h"
#include "shm/gen.h"
#include "shm/slot.h"

#define STREAM_WAIT_MS	100	/* for a look at the generations */
#define PAUSE_MS	100	/* without descriptors, to the next accept */
#define DRAIN_MS	2000
#define LINGER_MS	1000	/* a client hears why it is refused */
#define JUST_CAME_MS	1000	/* at the end: for its first request */

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	stop = 1;
}

/* ---- lists ---------------------------------------------------------------- */

static void
list_add(struct keeper *k, struct list *l, uint32_t i)
{
	struct connection *c = &k->c[i];

	c->prev = l->tail;
	c->next = NONE;
	if (l->tail != NONE)
		k->c[l->tail].next = i;
	else
		l->head = i;
	l->tail = i;
	l->n++;
}

static void
list_del(struct keeper *k, struct list *l, uint32_t i)
{
	struct connection *c = &k->c[i];

	if (c->prev != NONE)
		k->c[c->prev].next = c->next;
	else
		l->head = c->next;
	if (c->next != NONE)
		k->c[c->next].prev = c->prev;
	else
		l->tail = c->prev;
	l->n--;
}

static struct list *
list_of(struct keeper *k, const struct connection *c)
{
	return c->state == QUEUED ? &k->queue[c->lane] : &k->list[c->state];
}

void
keeper_move(struct keeper *k, uint32_t i, enum state to, int64_t now)
{
	struct connection *c = &k->c[i];

	list_del(k, list_of(k, c), i);
	c->state = to;
	c->since_ms = now;
	list_add(k, list_of(k, c), i);
}

/* ---- connections ---------------------------------------------------------- */

uint32_t
keeper_find(const struct keeper *k, uint64_t id, enum state state)
{
	uint32_t i = (uint32_t)(id & 0xffffff);

	if (i >= k->max || k->c[i].state != state ||
	    lane_id(k->spawn, k->c[i].use, i) != id)
		return NONE;
	return i;
}

void
keeper_arm(struct keeper *k, uint32_t i, bool out)
{
	struct epoll_event ev = { .data.u32 = i, .events = EPOLLIN |
	    EPOLLRDHUP | EPOLLONESHOT | (out ? EPOLLOUT : 0) };

	epoll_ctl(k->ep, EPOLL_CTL_MOD, k->c[i].fd, &ev);
}

void
keeper_drop_input(struct connection *c)
{
	free(c->in);
	c->in = NULL;
	c->n = c->cap = c->scanned = 0;
}

static void
count_connections(struct keeper *k)
{
	struct shm_queue *q = shm_queue(k->shm);

	atomic_store_explicit(&q->connections, k->max - k->list[FREE].n,
	    memory_order_relaxed);
	atomic_store_explicit(&q->parked, k->list[IDLE].n, memory_order_relaxed);
	atomic_store_explicit(&q->streams, k->list[STREAM].n,
	    memory_order_relaxed);
}

void
keeper_drop(struct keeper *k, uint32_t i)
{
	struct connection *c = &k->c[i];

	/* workers may hold duplicates: take it out of the epoll set by hand */
	epoll_ctl(k->ep, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	c->fd = -1;
	stream_forget(k, i);
	keeper_drop_input(c);
	c->use++;
	keeper_move(k, i, FREE, clock_mono_ms());
}

/* What is said without a worker. */
static const struct {
	const char	*status, *more, *text;
} refusals[] = {
	[REFUSE_LATE] = { "408 Request Timeout", "",
	    "no complete request head came in time\n" },
	[REFUSE_MALFORMED] = { "400 Bad Request", "",
	    "the request head is malformed\n" },
	[REFUSE_LARGE] = { "431 Request Header Fields Too Large", "",
	    "the request head is too big\n" },
	[REFUSE_BUSY] = { "503 Service Unavailable", "Retry-After: 1\r\n",
	    "all workers are busy; retry\n" },
};

static void
say(int fd, enum refusal why)
{
	char answer[512];
	int n = snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\n%s"
	    "Content-Type: text/plain\r\nConnection: close\r\n"
	    "Content-Length: %zu\r\n\r\n%s", refusals[why].status,
	    refusals[why].more, strlen(refusals[why].text),
	    refusals[why].text);

	(void)!send(fd, answer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void
keeper_refuse(struct keeper *k, uint32_t i, enum refusal why, int64_t now)
{
	say(k->c[i].fd, why);
	shutdown(k->c[i].fd, SHUT_WR);
	keeper_drop_input(&k->c[i]);
	keeper_move(k, i, LINGER, now);
	keeper_arm(k, i, false);
}

/* A close(2) while the client still sends is a reset, which may overtake the
 * answer: what comes is thrown away until it is read, or LINGER_MS. */
static void
throw_away(struct keeper *k, uint32_t i)
{
	char junk[16384];
	ssize_t got = recv(k->c[i].fd, junk, sizeof(junk), MSG_DONTWAIT);

	if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
		keeper_arm(k, i, false);
	else
		keeper_drop(k, i);
}

/* ---- reading ---------------------------------------------------------------- */

void
keeper_look(struct keeper *k, uint32_t i, int64_t now)
{
	struct connection *c = &k->c[i];
	long end = http_head_end(c->in, c->n, &c->scanned);

	if (end > 0) {
		hand_complete(k, i, now);
		return;
	}
	if (end < 0 || c->n >= HTTP_HEAD_MAX) {
		shm_count_in(shm_self(k->shm), C_HTTP_MALFORMED, 1);
		keeper_refuse(k, i, end < 0 && c->n < HTTP_HEAD_MAX ?
		    REFUSE_MALFORMED : REFUSE_LARGE, now);
		return;
	}
	if (c->state != READING)
		keeper_move(k, i, READING, now);
	keeper_arm(k, i, false);
}

static void
readable(struct keeper *k, uint32_t i, int64_t now)
{
	struct connection *c = &k->c[i];
	ssize_t got;

	if (c->state == LINGER) {
		throw_away(k, i);
		return;
	}
	if (c->state != IDLE && c->state != READING)
		return;		/* late event of a connection that is away */
	if (c->n == c->cap) {
		size_t cap = c->cap == 0 ? 2048 : c->cap * 2;

		if (cap > HTTP_HEAD_MAX)
			cap = HTTP_HEAD_MAX;
		c->in = xrealloc(c->in, cap);
		c->cap = cap;
	}
	got = recv(c->fd, c->in + c->n, c->cap - c->n, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		keeper_arm(k, i, false);
		return;
	}
	if (got <= 0) {
		keeper_drop(k, i);
		return;
	}
	c->n += (size_t)got;
	keeper_look(k, i, now);
}

uint32_t
keeper_admit(struct keeper *k, int fd, const char *peer, int64_t now)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT };
	uint32_t i = k->list[FREE].head;
	struct connection *c;

	if (i == NONE) {
		close(fd);
		return NONE;
	}
	c = &k->c[i];
	ev.data.u32 = i;
	c->fd = fd;
	c->accepted_ms = now;
	c->has_asked = false;
	span_copy(c->peer, sizeof(c->peer), span_str(peer));
	keeper_move(k, i, IDLE, now);
	if (epoll_ctl(k->ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
		keeper_drop(k, i);
		return NONE;
	}
	return i;
}

static void
pause_accept(struct keeper *k, bool on)
{
	int i;

	if (k->paused == on)
		return;
	k->paused = on;
	for (i = 0; i < k->n_listen; i++) {
		struct epoll_event ev = { .events = on ? 0 : EPOLLIN,
		    .data.u32 = TAG_LISTEN + (uint32_t)i };

		epoll_ctl(k->ep, EPOLL_CTL_MOD, k->listen[i], &ev);
	}
}

static void
accept_some(struct keeper *k, int listener, int64_t now)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	struct sockaddr_storage ss;
	char peer[48];
	int n;

	for (n = 0; n < 64; n++) {
		socklen_t len = sizeof(ss);
		int fd;

		if (k->list[FREE].n == 0 && log_limit_ok(&ll))
			log_warn("server.connections is reached: %u "
			    "connections are open", k->max);
		/* the longest idle one makes room for somebody who asks */
		if (k->list[FREE].n == 0 && k->list[LINGER].n > 0)
			keeper_drop(k, k->list[LINGER].head);
		else if (k->list[FREE].n == 0 && k->list[IDLE].n > 0)
			keeper_drop(k, k->list[IDLE].head);
		fd = accept4(listener, (struct sockaddr *)&ss, &len,
		    SOCK_CLOEXEC);
		if (fd < 0) {
			int error = errno;

			if (error != EMFILE && error != ENFILE &&
			    error != ENOMEM && error != ENOBUFS)
				return;
			if (log_limit_ok(&ll))
				log_warn("accept: %s", strerror(error));
			/* an idle one has a descriptor, too */
			if (error == EMFILE && k->list[IDLE].n > 0) {
				keeper_drop(k, k->list[IDLE].head);
				continue;
			}
			pause_accept(k, true);
			k->paused_ms = now;
			return;
		}
		if (k->list[FREE].n == 0) {
			shm_count_in(shm_self(k->shm), C_CONNECTIONS_REFUSED, 1);
			say(fd, REFUSE_BUSY);
			close(fd);
			continue;
		}
		sock_addr_text((struct sockaddr *)&ss, peer, sizeof(peer));
		shm_count_in(shm_self(k->shm), C_CONNECTIONS, 1);
		keeper_admit(k, fd, peer, now);
	}
}

/* ---- time -------------------------------------------------------------------- */

static void
expire(struct keeper *k, int64_t now)
{
	struct list *l = &k->list[IDLE];

	while (l->head != NONE &&
	    now - k->c[l->head].since_ms >= k->idle_ms)
		keeper_drop(k, l->head);
	l = &k->list[READING];
	while (l->head != NONE &&
	    now - k->c[l->head].since_ms >= k->header_ms)
		keeper_refuse(k, l->head, REFUSE_LATE, now);
	l = &k->list[LINGER];
	while (l->head != NONE &&
	    now - k->c[l->head].since_ms >= LINGER_MS)
		keeper_drop(k, l->head);
	if (k->paused && now - k->paused_ms >= PAUSE_MS)
		pause_accept(k, false);
}

static void
refresh(struct keeper *k)
{
	const struct conf *c;

	if (shm_generation(k->shm, SNAP_CONF) == k->conf_generation)
		return;
	c = shm_pin(k->shm, SNAP_CONF, &k->conf_generation);
	if (c == NULL)
		return;
	k->header_ms = c->header_timeout_ms;
	k->idle_ms = c->idle_timeout_ms;
	k->queue_max = (uint32_t)c->queue_max;
	log_set_level((enum log_level)c->log_level);
	shm_unpin(k->shm, SNAP_CONF);
}

/* ---- life --------------------------------------------------------------------- */

static void
watch(struct keeper *k, int fd, uint32_t tag, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u32 = tag };

	if (epoll_ctl(k->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die_sys("epoll_ctl");
}

static void
setup(struct keeper *k, const int *listen_fds, int n_listen)
{
	uint32_t i;
	int s;

	k->spawn = atomic_load(&shm_ctl(k->shm)->keeper_spawn);
	k->ep = epoll_create1(EPOLL_CLOEXEC);
	if (k->ep < 0)
		die_sys("epoll_create1");
	k->max = k->shm->sizes.connections;
	k->look = 1;			/* 0: never suspected */
	k->c = xcalloc(k->max, sizeof(k->c[0]));
	for (s = 0; s < STATES; s++)
		k->list[s] = (struct list){ NONE, NONE, 0 };
	for (s = 0; s < LANE_KINDS; s++)
		k->queue[s] = (struct list){ NONE, NONE, 0 };
	for (i = 0; i < k->max; i++) {
		k->c[i].fd = -1;
		k->c[i].state = FREE;
		list_add(k, &k->list[FREE], i);
	}
	stream_setup(k);
	k->n_listen = n_listen;
	for (s = 0; s < n_listen; s++) {
		k->listen[s] = listen_fds[s];
		watch(k, listen_fds[s], TAG_LISTEN + (uint32_t)s, EPOLLIN);
	}
	watch(k, k->lanes->back[0], TAG_BACK, EPOLLIN);
	for (s = 0; s < LANE_KINDS; s++)
		watch(k, k->lanes->hand[s][0], hand_tags[s], 0);
}

static void
dispatch(struct keeper *k, const struct epoll_event *ev, int64_t now)
{
	uint32_t tag = ev->data.u32;

	if (tag == TAG_BACK)
		back_read(k, now);
	else if (tag == TAG_WORK)
		hand_writable(k, LANE_WORK, now);
	else if (tag == TAG_CONTROL)
		hand_writable(k, LANE_CONTROL, now);
	else if (tag == TAG_API)
		hand_writable(k, LANE_API, now);
	else if (tag >= TAG_LISTEN)
		accept_some(k, k->listen[tag - TAG_LISTEN], now);
	else if (tag < k->max && k->c[tag].state == STREAM)
		stream_ready(k, tag, ev->events, now);
	else
		readable(k, tag, now);
}

/* While requests wait, holders are asked again every few milliseconds: a
 * signal that came just before a worker's recv is lost. */
static int
wait_ms(const struct keeper *k)
{
	struct shm_queue *q = shm_queue(k->shm);

	if (atomic_load(&q->handed) != atomic_load(&q->taken) ||
	    k->queue[LANE_WORK].n > 0)
		return 2;
	return k->list[STREAM].n > 0 ? STREAM_WAIT_MS : 500;
}

/*
 * On the way out a connection between two requests is closed, which clients
 * expect. One whose request has come is heard, and so is one that was let in
 * just now: its client has seen nothing of us that would make it try again.
 */
static void
drain_idle(struct keeper *k, int64_t begun, int64_t now)
{
	uint32_t i, next;
	char byte;

	for (i = k->list[IDLE].head; i != NONE; i = next) {
		const struct connection *c = &k->c[i];

		next = c->next;
		if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			readable(k, i, now);
		else if (c->has_asked || now - begun >= JUST_CAME_MS ||
		    begun - c->accepted_ms >= JUST_CAME_MS)
			keeper_drop(k, i);
	}
}

/* The way out: nothing new; requests that are here still reach a worker; what
 * is away is the workers' to finish. */
static void
drain(struct keeper *k)
{
	struct epoll_event ev[64];
	int64_t begun = clock_mono_ms();
	int i, n;

	for (i = 0; i < k->n_listen; i++)
		epoll_ctl(k->ep, EPOLL_CTL_DEL, k->listen[i], NULL);
	k->paused = true;
	while (k->list[STREAM].head != NONE)
		stream_end(k, k->list[STREAM].head, clock_mono_ms());
	while (clock_mono_ms() - begun < DRAIN_MS) {
		drain_idle(k, begun, clock_mono_ms());
		if (k->list[IDLE].n == 0 && k->list[READING].n == 0 &&
		    k->queue[LANE_WORK].n == 0 &&
		    k->queue[LANE_CONTROL].n == 0 &&
		    k->queue[LANE_API].n == 0)
			return;
		n = epoll_wait(k->ep, ev, 64, 10);
		for (i = 0; i < n; i++)
			if (ev[i].data.u32 < TAG_LISTEN || ev[i].data.u32 > TAG_LISTEN + 64)
				dispatch(k, &ev[i], clock_mono_ms());
		hand_relieve(k);
	}
}

int
keeper_main(struct shm *shm, uint32_t slot, const struct lanes *lanes,
    const int *listen_fds, int n_listen)
{
	static struct keeper k;
	struct sigaction sa = { .sa_handler = on_term };
	struct epoll_event ev[256];

	sigaction(SIGTERM, &sa, NULL);
	k.shm = shm;
	k.lanes = lanes;
	setup(&k, listen_fds, n_listen);
	slot_state(shm, SLOT_IDLE);
	while (!stop) {
		int64_t now;
		int i, n;

		refresh(&k);
		n = epoll_wait(k.ep, ev, 256, wait_ms(&k));
		now = clock_mono_ms();
		for (i = 0; i < n; i++)
			dispatch(&k, &ev[i], now);
		if (n == 0 || atomic_load(&shm_queue(shm)->handed) !=
		    atomic_load(&shm_queue(shm)->taken))
			hand_relieve(&k);
		expire(&k, now);
		orphans_close(&k, now);
		stream_tick(&k, now);
		count_connections(&k);
	}
	drain(&k);
	return 0;
}
