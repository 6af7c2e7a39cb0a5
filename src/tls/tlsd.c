/*
 * tlsd -- see tlsd.h. One loop over epoll, edge-triggered: a link is stepped
 * when something happened to it, until it has to wait.
 *
 * Certificates are looked at once a second and on every reload, so a renewed
 * one is in use without a word; one that cannot be used is reported once, and
 * the one before stays.
 */
#include "config.h"		/* _GNU_SOURCE: accept4 */

#include "tls/tlsd.h"

#include <errno.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "keeper/lane.h"
#include "net/sock.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "tls/context.h"
#include "tls/link.h"

#define LISTEN_MAX	64
#define TICK_MS		1000
#define RETRY_MS	10		/* the keeper has no room just now */
#define LINGER_MS	2000

struct place {
	struct link	*link;		/* NULL: free */
	uint32_t	 next_free;
	bool		 again;		/* on the list of those to step */
	bool		 ungiven;	/* ready; the keeper did not take it */
};

struct tlsd {
	struct shm	*shm;
	int		 ep, back;
	int		 listen[LISTEN_MAX];
	int		 n_listen;
	bool		 paused;
	struct place	*place;
	uint32_t	 max, n, first_free;
	uint32_t	*again;
	uint32_t	 n_again, n_ungiven;
	SSL_CTX		*ctx;
	struct conf	*conf;
	uint64_t	 conf_generation;
	struct tls_files files;		/* as last seen */
	bool		 looked;
	int64_t		 tick_ms;
};

#define NONE		UINT32_MAX
#define TAG_LISTEN	(UINT64_C(1) << 32)

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	stop = 1;
}

/* ---- settings ---------------------------------------------------------------- */

static void
use_certificate(struct tlsd *t)
{
	char expires[16];
	struct err e;
	SSL_CTX *ctx;
	int days;

	tls_files_look(t->conf, &t->files);
	ctx = tls_context(t->conf, expires, &days, &e);
	if (ctx == NULL) {
		log_error("%s%s", e.text, t->ctx == NULL ? "" :
		    "; the one before stays in use");
		return;
	}
	if (days < 0)
		log_error("server.tls.certificate: %s: has ended on %s; put a "
		    "new one there", t->conf->tls_certificate, expires);
	else
		log_info("certificate %s, valid until %s",
		    t->conf->tls_certificate, expires);
	SSL_CTX_free(t->ctx);		/* links hold their own reference */
	t->ctx = ctx;
}

/* Is there another generation of settings? Then its copy is t->conf. */
static bool
read_conf(struct tlsd *t)
{
	const struct conf *now;

	if (t->conf != NULL &&
	    shm_generation(t->shm, SNAP_CONF) == t->conf_generation)
		return false;
	now = shm_pin(t->shm, SNAP_CONF, &t->conf_generation);
	if (now == NULL)
		return false;
	if (t->conf == NULL)
		t->conf = xmalloc(sizeof(*t->conf));
	memcpy(t->conf, now, sizeof(*now));
	shm_unpin(t->shm, SNAP_CONF);
	log_set_level((enum log_level)t->conf->log_level);
	return true;
}

static void
look_at_settings(struct tlsd *t)
{
	struct tls_files now;

	read_conf(t);
	if (t->conf == NULL)
		return;
	tls_files_look(t->conf, &now);
	if (!t->looked || !tls_files_same(&now, &t->files))
		use_certificate(t);
	t->looked = true;
}

/* ---- links ------------------------------------------------------------------- */

static void
pause_accept(struct tlsd *t, bool on)
{
	int i;

	if (t->paused == on || stop)
		return;
	t->paused = on;
	for (i = 0; i < t->n_listen; i++) {
		struct epoll_event ev = { .events = EPOLLIN,
		    .data.u64 = TAG_LISTEN + (uint64_t)i };

		epoll_ctl(t->ep, on ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
		    t->listen[i], &ev);
	}
}

static void
step_again(struct tlsd *t, uint32_t i)
{
	if (t->place[i].again)
		return;
	t->place[i].again = true;
	t->again[t->n_again++] = i;
}

static void
drop(struct tlsd *t, uint32_t i)
{
	struct place *p = &t->place[i];

	t->n_ungiven -= p->ungiven;
	p->ungiven = false;
	link_free(p->link);
	p->link = NULL;			/* on the list: then it is passed over */
	p->next_free = t->first_free;
	t->first_free = i;
	t->n--;
	pause_accept(t, false);
}

/* Both ends of both directions, until told otherwise. */
static int
watch(struct tlsd *t, int fd, uint32_t i)
{
	struct epoll_event ev = { .data.u64 = i,
	    .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };

	return epoll_ctl(t->ep, EPOLL_CTL_ADD, fd, &ev);
}

static void
begin(struct tlsd *t, int fd, const char *peer, int64_t now)
{
	uint32_t i = t->first_free;
	struct link *l = xcalloc(1, sizeof(*l));

	l->net = fd;
	l->plain = -1;
	l->since_ms = now;
	span_copy(l->peer, sizeof(l->peer), span_str(peer));
	l->ssl = SSL_new(t->ctx);
	ASSERT_ALWAYS(l->ssl != NULL && SSL_set_fd(l->ssl, fd) == 1);
	t->first_free = t->place[i].next_free;
	t->place[i].link = l;
	t->n++;
	if (watch(t, fd, i) < 0) {
		drop(t, i);
		return;
	}
	step_again(t, i);
}

static void
accept_some(struct tlsd *t, int listener, int64_t now)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	struct sockaddr_storage ss;
	char peer[48];
	int n, fd;

	for (n = 0; n < 64; n++) {
		socklen_t len = sizeof(ss);

		if (t->first_free == NONE || t->ctx == NULL) {
			pause_accept(t, true);
			return;
		}
		fd = accept4(listener, (struct sockaddr *)&ss, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno != EMFILE && errno != ENFILE &&
			    errno != ENOMEM && errno != ENOBUFS)
				return;
			if (log_limit_ok(&ll))
				log_warn("accept: %s", strerror(errno));
			pause_accept(t, true);
			return;
		}
		sock_addr_text((struct sockaddr *)&ss, peer, sizeof(peer));
		begin(t, fd, peer, now);
	}
}

/* Gives the keeper its end. False: later. */
static bool
give(struct tlsd *t, uint32_t i)
{
	struct link *l = t->place[i].link;
	struct lane_back b = { .what = LANE_ADOPT };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	memcpy(b.peer, l->peer, sizeof(b.peer));
	fdio_set_nonblock(pair[0], true);
	if (fdpass_send(t->back, &b, sizeof(b), pair[1], MSG_DONTWAIT) < 0 ||
	    watch(t, pair[0], i) < 0) {
		close(pair[0]);
		close(pair[1]);
		return false;
	}
	close(pair[1]);
	l->plain = pair[0];
	l->state = LINK_OPEN;
	shm_count_in(shm_self(t->shm), C_CONNECTIONS, 1);
	shm_count_in(shm_self(t->shm), C_TLS_OK, 1);
	return true;
}

static void
ready(struct tlsd *t, uint32_t i)
{
	struct place *p = &t->place[i];
	bool given = give(t, i);

	t->n_ungiven += !given - p->ungiven;
	p->ungiven = !given;
	if (given)
		step_again(t, i);
}

/* The plain side has said all: farewell, then until the client closes. */
static void
over(struct tlsd *t, uint32_t i, int64_t now)
{
	struct link *l = t->place[i].link;

	ERR_clear_error();
	(void)SSL_shutdown(l->ssl);
	if (stop || l->net_ended || shutdown(l->net, SHUT_WR) < 0) {
		drop(t, i);
		return;
	}
	close(l->plain);
	l->plain = -1;
	l->state = LINK_LINGERING;
	l->since_ms = now;
	step_again(t, i);
}

static void
step(struct tlsd *t, uint32_t i, int64_t now)
{
	struct link *l = t->place[i].link;

	if (l == NULL || t->place[i].ungiven)
		return;
	switch (link_step(l)) {
	case LINK_WAITS:
		break;
	case LINK_GOES_ON:
		step_again(t, i);
		break;
	case LINK_READY:
		ready(t, i);
		break;
	case LINK_OVER:
		over(t, i, now);
		break;
	case LINK_BROKEN:
		if (l->state == LINK_HANDSHAKE)
			shm_count_in(shm_self(t->shm), C_TLS_FAILED, 1);
		drop(t, i);
		break;
	}
}

static void
step_those(struct tlsd *t, int64_t now)
{
	uint32_t n = t->n_again, k;

	for (k = 0; k < n; k++) {
		t->place[t->again[k]].again = false;
		step(t, t->again[k], now);
	}
	memmove(t->again, t->again + n, (t->n_again - n) * sizeof(*t->again));
	t->n_again -= n;
}

/* ---- time -------------------------------------------------------------------- */

static void
give_again(struct tlsd *t)
{
	uint32_t i;

	for (i = 0; t->n_ungiven > 0 && i < t->max; i++)
		if (t->place[i].ungiven)
			ready(t, i);
}

static void
tick(struct tlsd *t, int64_t now)
{
	uint32_t i;

	if (t->n_ungiven > 0)
		give_again(t);
	if (now < t->tick_ms)
		return;
	t->tick_ms = now + TICK_MS;
	look_at_settings(t);
	for (i = 0; i < t->max; i++) {
		const struct link *l = t->place[i].link;

		if (l == NULL)
			continue;
		if (l->state == LINK_HANDSHAKE &&
		    now - l->since_ms >= (stop ? TICK_MS :
		    t->conf->header_timeout_ms)) {
			shm_count_in(shm_self(t->shm), C_TLS_FAILED, 1);
			drop(t, i);
		} else if (l->state == LINK_LINGERING &&
		    (stop || now - l->since_ms >= LINGER_MS))
			drop(t, i);
	}
	pause_accept(t, t->ctx == NULL || t->first_free == NONE);
}

/* ---- life -------------------------------------------------------------------- */

static void
setup(struct tlsd *t, const int *listen_fds, int n_listen)
{
	uint32_t i;

	t->ep = epoll_create1(EPOLL_CLOEXEC);
	if (t->ep < 0)
		die_sys("epoll_create1");
	t->max = t->shm->sizes.connections;
	t->place = xcalloc(t->max, sizeof(t->place[0]));
	/* once more for those that are stepped while the list is gone through */
	t->again = xcalloc((size_t)t->max * 2, sizeof(t->again[0]));
	for (i = 0; i < t->max; i++)
		t->place[i].next_free = i + 1 < t->max ? i + 1 : NONE;
	t->n_listen = n_listen;
	memcpy(t->listen, listen_fds, (size_t)n_listen * sizeof(int));
	t->paused = true;
	look_at_settings(t);
	if (t->conf == NULL)
		die_config("tlsd has no settings");
	pause_accept(t, t->ctx == NULL);
}

/* Those who are here are served to their end. */
static void
stop_accepting(struct tlsd *t)
{
	int i;

	for (i = 0; i < t->n_listen; i++)
		close(t->listen[i]);
	t->n_listen = 0;
	t->tick_ms = 0;
}

int
tlsd_main(struct shm *shm, uint32_t slot, const int *listen_fds, int n_listen,
    int back)
{
	static struct tlsd t;
	struct sigaction sa = { .sa_handler = on_term };
	struct epoll_event ev[256];
	int i, n, wait_ms;

	sigaction(SIGTERM, &sa, NULL);
	t.shm = shm;
	t.back = back;
	setup(&t, listen_fds, n_listen);
	slot_state(shm, SLOT_IDLE);
	while (!stop || t.n > 0) {
		int64_t now;

		if (stop && t.n_listen > 0)
			stop_accepting(&t);
		wait_ms = t.n_again > 0 ? 0 : t.n_ungiven > 0 ? RETRY_MS :
		    stop ? 50 : TICK_MS;
		n = epoll_wait(t.ep, ev, 256, wait_ms);
		if (n < 0 && errno != EINTR)
			die_sys("epoll_wait");
		now = clock_mono_ms();
		for (i = 0; i < n; i++) {
			if (ev[i].data.u64 < TAG_LISTEN)
				step(&t, (uint32_t)ev[i].data.u64, now);
			else if (!stop)
				accept_some(&t, t.listen[ev[i].data.u64 -
				    TAG_LISTEN], now);
		}
		step_those(&t, now);
		tick(&t, now);
	}
	return 0;
}
