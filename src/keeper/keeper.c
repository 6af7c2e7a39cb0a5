/*
 * keeper -- one epoll loop over listeners, idle connections and the lane back
 * from the workers. See keeper.h and lane.h.
 *
 * A connection is READING (here, waiting for a head), QUEUED (complete, the
 * lane is full), AWAY (a worker has it; our descriptor stays registered but
 * disarmed, EPOLLONESHOT), or a STREAM (stream.c). Time-outs: one list ordered
 * by deadline per state class, because each class has one constant time-out.
 */
#include "keeper/keeper_int.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

#define TAG_BACK	0xfffffffeu
#define TAG_WORK	0xfffffffdu
#define TAG_CONTROL	0xfffffffcu
#define TAG_API		0xfffffffbu
#define TAG_LISTEN	0xfff00000u	/* + number */
#define STREAM_WAIT_MS	100	/* for a look at the generations */
#define DRAIN_MS	2000
#define JUST_CAME_MS	1000	/* at the end: for its first request */
#define ORPHAN_MS	3000	/* away, and in no slot */
#define ORPHANS_EVERY_MS 1000

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

void
keeper_arm(struct keeper *k, uint32_t i, bool out)
{
	struct epoll_event ev = { .data.u32 = i, .events = EPOLLIN |
	    EPOLLRDHUP | EPOLLONESHOT | (out ? EPOLLOUT : 0) };

	epoll_ctl(k->ep, EPOLL_CTL_MOD, k->c[i].fd, &ev);
}

static void
drop_input(struct connection *c)
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
	drop_input(c);
	c->use++;
	keeper_move(k, i, FREE, clock_mono_ms());
}

static void
refuse(struct keeper *k, uint32_t i, const char *answer)
{
	struct connection *c = &k->c[i];

	(void)!send(c->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
	shutdown(c->fd, SHUT_WR);
	keeper_drop(k, i);
}

static const char answer_408[] = "HTTP/1.1 408 Request Timeout\r\n"
    "Connection: close\r\nContent-Length: 0\r\n\r\n";
static const char answer_503[] = "HTTP/1.1 503 Service Unavailable\r\n"
    "Retry-After: 1\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 27\r\n\r\nall workers are busy; retry";
static const char answer_400[] = "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 30\r\n\r\nthe request head is malformed\r\n";
static const char answer_431[] =
    "HTTP/1.1 431 Request Header Fields Too Large\r\n"
    "Content-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 27\r\n\r\nthe request head is too big";

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
	const char *sp = memchr(c->in, ' ', c->n < 16 ? c->n : 16);
	size_t left, i;

	if (sp == NULL)
		return LANE_WORK;
	left = c->n - (size_t)(sp + 1 - c->in);
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (left > strlen(paths[i].path) &&
		    memcmp(sp + 1, paths[i].path, strlen(paths[i].path)) == 0)
			return paths[i].lane;
	return LANE_WORK;
}

/* ---- handing over ---------------------------------------------------------- */

static const uint32_t lane_tags[LANE_KINDS] = { TAG_WORK, TAG_CONTROL,
	TAG_API };

static void
arm_lane(struct keeper *k, uint32_t lane, bool on)
{
	struct epoll_event ev = { .events = on ? EPOLLOUT : 0,
	    .data.u32 = lane_tags[lane] };

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

/*
 * Requests wait and no worker is idle: ask workers that only hold a quiet
 * keep-alive connection to give it back, and the master for more workers.
 */
void
keeper_relieve(struct keeper *k)
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
	drop_input(c);
	c->has_asked = true;
	if (c->state != AWAY)
		keeper_move(k, i, AWAY, now);
	return 1;
}

static void
head_complete(struct keeper *k, uint32_t i, int64_t now)
{
	struct connection *c = &k->c[i];
	int rc;

	c->lane = lane_of(c);
	if (c->lane == LANE_WORK && waiting(k) >= k->queue_max) {
		shm_count_in(shm_self(k->shm), C_QUEUE_FULL, 1);
		refuse(k, i, answer_503);
		keeper_relieve(k);
		return;
	}
	rc = k->queue[c->lane].n > 0 ? 0 : hand_over(k, i, now);
	if (rc == 0) {
		keeper_move(k, i, QUEUED, now);
		arm_lane(k, c->lane, true);
	}
	keeper_relieve(k);
}

static void
lane_writable(struct keeper *k, uint32_t lane, int64_t now)
{
	while (k->queue[lane].n > 0)
		if (hand_over(k, k->queue[lane].head, now) == 0)
			return;
	arm_lane(k, lane, false);
}

/* ---- reading ---------------------------------------------------------------- */

/* Looks whether what was read is a complete head. */
static void
look(struct keeper *k, uint32_t i, int64_t now)
{
	struct connection *c = &k->c[i];
	long end = http_head_end(c->in, c->n, &c->scanned);

	if (end > 0) {
		head_complete(k, i, now);
		return;
	}
	if (end < 0 || c->n >= HTTP_HEAD_MAX) {
		shm_count_in(shm_self(k->shm), C_HTTP_MALFORMED, 1);
		refuse(k, i, end < 0 && c->n < HTTP_HEAD_MAX ? answer_400 :
		    answer_431);
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
	look(k, i, now);
}

static uint32_t
admit(struct keeper *k, int fd, const char *peer, int64_t now)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT };
	uint32_t i = k->list[FREE].head;
	struct connection *c;

	if (i == NONE)
		return NONE;
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
		if (k->list[FREE].n == 0 && k->list[IDLE].n > 0)
			keeper_drop(k, k->list[IDLE].head);
		fd = accept4(listener, (struct sockaddr *)&ss, &len,
		    SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOMEM || errno == ENOBUFS) {
				if (log_limit_ok(&ll))
					log_warn("accept: %s", strerror(errno));
				pause_accept(k, true);
			}
			return;
		}
		if (k->list[FREE].n == 0) {
			shm_count_in(shm_self(k->shm), C_CONNECTIONS_REFUSED, 1);
			(void)!send(fd, answer_503, sizeof(answer_503) - 1,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
			close(fd);
			continue;
		}
		sock_addr_text((struct sockaddr *)&ss, peer, sizeof(peer));
		shm_count_in(shm_self(k->shm), C_CONNECTIONS, 1);
		if (admit(k, fd, peer, now) == NONE)
			close(fd);
	}
}

/* ---- the way back ----------------------------------------------------------- */

uint32_t
keeper_find(const struct keeper *k, uint64_t id, enum state state)
{
	uint32_t i = (uint32_t)(id & 0xffffff);

	if (i >= k->max || k->c[i].state != state ||
	    lane_id(k->spawn, k->c[i].use, i) != id)
		return NONE;
	return i;
}

static void
parked(struct keeper *k, uint32_t i, const char *bytes, size_t n, int64_t now)
{
	struct connection *c = &k->c[i];

	keeper_move(k, i, IDLE, now);
	if (n == 0) {
		keeper_arm(k, i, false);
		return;
	}
	c->cap = n < 2048 ? 2048 : n;
	c->in = xmalloc(c->cap);
	memcpy(c->in, bytes, n);
	c->n = n;
	look(k, i, now);
}

/* An event that was too long for the lane. */
static void
large_event(struct keeper *k, struct span ev, int fd, int64_t now)
{
	struct stat st;
	struct buf b;

	buf_init(&b, sizeof(struct lane_event) + LANE_EVENT_MAX);
	if (ev.n == sizeof(struct lane_event) && fstat(fd, &st) == 0 &&
	    st.st_size > 0 && st.st_size <= LANE_EVENT_MAX &&
	    buf_reserve(&b, ev.n + (size_t)st.st_size) == 0) {
		buf_add_span(&b, ev);
		if (pread(fd, b.p + b.n, (size_t)st.st_size, 0) == st.st_size) {
			b.n += (size_t)st.st_size;
			stream_event(k, buf_span(&b), now);
		}
	}
	buf_free(&b);
	close(fd);
}

/* true: it was about a stream that is here. */
static bool
of_stream(struct keeper *k, const struct lane_back *b, struct span bytes,
    int fd, int64_t now)
{
	uint32_t i;

	if (fd >= 0 && b->what == LANE_EVENT) {
		large_event(k, bytes, fd, now);
		return true;
	}
	if (fd >= 0)
		return false;
	if (b->what == LANE_PUSH || b->what == LANE_EVENT) {
		if (b->what == LANE_PUSH)
			stream_push(k, b->id, bytes, now);
		else
			stream_event(k, bytes, now);
		return true;
	}
	/* its worker died before it was given away */
	if (b->what == LANE_DEAD)
		shm_subs_remove_owner(k->shm, b->id);
	if (b->what != LANE_CLOSED)
		return false;
	stream_answered(k, b->id);
	if ((i = keeper_find(k, b->id, STREAM)) == NONE)
		return false;
	stream_end(k, i, now);
	return true;
}

static void
came_back(struct keeper *k, const struct lane_back *b, const char *bytes,
    size_t n, int fd, int64_t now)
{
	uint32_t i = keeper_find(k, b->id, AWAY);

	if (of_stream(k, b, span_make(bytes, n), fd, now))
		return;
	if (b->what == LANE_ADOPT && fd >= 0) {
		i = admit(k, fd, b->peer, now);
		if (i == NONE) {
			close(fd);
			return;
		}
		if (n > 0) {
			k->c[i].state = IDLE;
			keeper_move(k, i, AWAY, now);
			parked(k, i, bytes, n, now);
		}
		return;
	}
	if (fd >= 0)
		close(fd);
	if (i == NONE)
		return;
	if (b->what == LANE_PARK)
		parked(k, i, bytes, n, now);
	else if (b->what == LANE_STREAM)
		stream_open(k, i, span_make(bytes, n), now);
	else
		keeper_drop(k, i);
}

static void
read_back(struct keeper *k, int64_t now)
{
	char message[sizeof(struct lane_back) + LANE_BYTES_MAX];
	struct lane_back b;
	int fd, round;

	for (round = 0; round < 256; round++) {
		ssize_t n = fdpass_recv(k->lanes->back[0], message,
		    sizeof(message), &fd, MSG_DONTWAIT);

		if (n < (ssize_t)sizeof(b))
			return;
		memcpy(&b, message, sizeof(b));
		if (b.bytes != (size_t)n - sizeof(b))
			die_bug(__FILE__, __LINE__, "length of a lane message");
		came_back(k, &b, message + sizeof(b), b.bytes, fd, now);
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
		refuse(k, l->head, answer_408);
	if (k->paused && k->list[FREE].n > 0)
		pause_accept(k, false);
}

/* Which connections do workers have? Each slot is looked at once. */
static void
note_owners(struct keeper *k)
{
	uint32_t s, i;
	uint64_t id;

	k->look++;
	for (s = 0; s < k->shm->sizes.slots; s++) {
		id = atomic_load_explicit(&shm_slot(k->shm, s)->connection,
		    memory_order_relaxed);
		if ((i = keeper_find(k, id, AWAY)) != NONE)
			k->c[i].seen_owned = k->look;
	}
}

/* May it lie in its lane, taken by nobody yet? */
static bool
may_lie_in_lane(const struct keeper *k, const struct connection *c)
{
	const struct shm_queue *q = shm_queue(k->shm);
	int unread;

	if (atomic_load(&q->handed) != atomic_load(&q->taken))
		return true;
	return c->lane == LANE_API && (ioctl(k->lanes->hand[LANE_API][0],
	    SIOCOUTQ, &unread) < 0 || unread > 0);
}

/*
 * A worker that is killed between taking a connection from the lane and
 * writing its number into the slot leaves a connection nobody owns. That may
 * happen to whoever comes in the moment of the kill: a sleeper that is woken
 * by a message takes it before it dies. Those that have been away for a while
 * and stand in no slot are closed, so that their clients try again.
 */
static void
close_orphans(struct keeper *k, int64_t now)
{
	uint32_t i = k->list[AWAY].head, next;

	if (now < k->next_orphans_ms)
		return;
	k->next_orphans_ms = now + ORPHANS_EVERY_MS;
	if (i == NONE || now - k->c[i].since_ms < ORPHAN_MS)
		return;			/* the list is ordered by time */
	note_owners(k);
	for (; i != NONE && now - k->c[i].since_ms >= ORPHAN_MS; i = next) {
		struct connection *c = &k->c[i];
		bool again = c->suspected == k->look - 1;

		next = c->next;
		if (c->seen_owned == k->look || may_lie_in_lane(k, c))
			continue;
		c->suspected = k->look;
		if (!again)		/* it may have been taken just now */
			continue;
		log_warn("closing a connection that no worker owns");
		shm_subs_remove_owner(k->shm, lane_id(k->spawn, c->use, i));
		keeper_drop(k, i);
	}
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
		watch(k, k->lanes->hand[s][0], lane_tags[s], 0);
}

static void
dispatch(struct keeper *k, const struct epoll_event *ev, int64_t now)
{
	uint32_t tag = ev->data.u32;

	if (tag == TAG_BACK)
		read_back(k, now);
	else if (tag == TAG_WORK)
		lane_writable(k, LANE_WORK, now);
	else if (tag == TAG_CONTROL)
		lane_writable(k, LANE_CONTROL, now);
	else if (tag == TAG_API)
		lane_writable(k, LANE_API, now);
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
		keeper_relieve(k);
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
			keeper_relieve(&k);
		expire(&k, now);
		close_orphans(&k, now);
		stream_tick(&k, now);
		count_connections(&k);
	}
	drain(&k);
	return 0;
}
