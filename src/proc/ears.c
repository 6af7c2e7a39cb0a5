/*
 * ears -- all that a listener hears of its server: the session that all share,
 * those of single clients, and the links of clients.
 */
#include "proc/listener_int.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/log.h"
#include "conf/model.h"
#include "mcp/state.h"
#include "upstream/hear.h"

#define LOOK_MS		2000	/* for those that have come or gone */

static _Atomic uint64_t stop;
static _Atomic uint64_t again;

static void
on_term(int sig)
{
	atomic_store(&stop, 1);
	atomic_store(&again, 1);
}

static void
on_again(int sig)
{
	atomic_store(&again, 1);
}

/* The fiber of an ear. A session that has no stream, or is no more, is not
 * tried again: when it proves gone the client gets another one. */
static void
ear_main(void *arg)
{
	struct hearing *h = arg;
	struct upstream_call c;
	struct err e = { .code = ERR_NONE };

	if (hearing_stream(h, &c, &e) == FAILED)
		log_debug("listening: %s", e.text);
	h->state = EAR_IS_DEAF;
	hearing_is_open(h);		/* or never will be */
	hearing_free(h);
}

static void
shared_main(void *arg)
{
	struct ears *all = arg;
	struct err e = { .code = ERR_NONE };

	all->status = all->shared.stop == &again ?
	    hearing_news(&all->shared, &e) : hearing_legacy(&all->shared, &e);
	if (all->status == FAILED && atomic_load(&stop) == 0)
		log_debug("listening: %s", e.text);
	all->shared_ended = true;
}

static struct hearing *
find_ear(struct ears *all, uint64_t client_session, uint64_t opened)
{
	int i;

	for (i = 0; i < EARS_MAX; i++)
		if (all->ear[i].state != EAR_FREE &&
		    all->ear[i].session.client_session == client_session &&
		    all->ear[i].session.opened == opened)
			return &all->ear[i];
	return NULL;
}

/* shm_sess_client_each(): one more ear, unless there is one. */
static void
hear_session(void *arg, const struct sess_info *s)
{
	struct ears *all = arg;
	struct hearing *h;
	int i;

	if (s->era != ERA_LEGACY || s->id[0] == '\0' ||
	    (s->flags & SESS_SSE) != 0 || s->client_session <= UPSTREAM_PLAIN ||
	    shm_client_is_ended(all->shm, s->client_session))
		return;
	if ((h = find_ear(all, s->client_session, s->opened)) != NULL) {
		h->seen = true;
		return;
	}
	for (i = 0; i < EARS_MAX && all->ear[i].state != EAR_FREE;)
		i++;
	if (i == EARS_MAX)
		return;			/* it goes without */
	h = &all->ear[i];
	hearing_init(h, all, &h->own_stop);
	h->session = *s;
	h->seen = true;
	if (!fiber_start(ear_main, h)) {
		upstream_pool_free(&h->pool);
		h->state = EAR_FREE;
	}
}

/* Ears for the sessions that there are, and no others. */
static void
look_for_sessions(struct ears *all)
{
	struct hearing *h;
	int i;

	for (i = 0; i < EARS_MAX; i++)
		all->ear[i].seen = all->ear[i].is_link &&
		    client_link_is_used(all, &all->ear[i]);
	shm_sess_client_each(all->shm, all->target->server_id, hear_session,
	    all);
	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->seen || h->state == EAR_FREE ||
		    (h->is_link && h->state != EAR_HEARS))
			continue;
		if (h->state == EAR_IS_DEAF)
			h->state = EAR_FREE;
		else
			atomic_store(&h->own_stop, 1);
	}
}

/* A worker has opened a session and waits until we hear. */
static void
take_word(struct ears *all, int listener)
{
	uint64_t client_session = 0;
	int fd = upstream_hear_take(listener, &client_session), i;
	struct hearing *h;

	if (fd < 0)
		return;
	look_for_sessions(all);
	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->state != EAR_HEARS || !h->seen || h->is_open ||
		    h->told_fd >= 0 ||
		    h->session.client_session != client_session)
			continue;
		h->told_fd = fd;
		return;
	}
	close(fd);
}

static int
hear_all(struct ears *all)
{
	struct pollfd p[2] = { { .fd = -1, .events = POLLIN },
	    { .fd = -1, .events = POLLIN } };
	int64_t next_ms = 0;
	struct err e;

	/* a modern one may prove to be of both eras */
	if ((p[0].fd = upstream_hear_listen(all->stdio_socket,
	    all->target->server_id, &e)) < 0)
		log_warn("%s", e.text);
	if (all->has_links && (p[1].fd = upstream_link_listen(
	    all->stdio_socket, all->target->server_id, &e)) < 0)
		log_warn("%s", e.text);
	fibers_init(EARS_MAX + 1 + (all->has_links ? 2 * LINKS_CONNS :
	    0));
	fiber_start(shared_main, all);
	while (atomic_load(&stop) == 0 && (!all->shared_ended ||
	    ((ears_are_dual(all) || all->has_links) && all->status == REFUSED))) {
		if (clock_mono_ms() >= next_ms) {
			look_for_sessions(all);
			next_ms = clock_mono_ms() + LOOK_MS;
		}
		if (all->is_wanted)
			client_links_start(all);
		links_send_files(&all->links);
		p[0].revents = p[1].revents = 0;
		if (fibers_wait(p, 2, LOOK_MS) <= 0)
			continue;
		if (p[0].revents != 0)
			take_word(all, p[0].fd);
		if (p[1].revents != 0)
			links_accept(&all->links, p[1].fd);
	}
	/* what is said of the modern era says nothing of the legacy one: whoever
	 * opens a session there waits for the next listener */
	if (all->shared.session.era == ERA_MODERN)
		upstream_hear_forget(all->stdio_socket, all->target->server_id);
	return atomic_load(&stop) != 0 ? ENDED : all->status;
}

int
ears_run(struct shm *shm, const char *stdio_socket,
    const struct upstream_target *t, const struct listener_want *w, int back)
{
	static struct ears all;
	struct sigaction sa = { .sa_handler = on_term };
	struct hearing *h = &all.shared;
	struct err e = { .code = ERR_NONE };
	const struct conf *c = w->conf;

	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = on_again;
	sigaction(SIGUSR1, &sa, NULL);
	all.shm = shm;
	all.stop = &stop;
	all.again = &again;
	all.target = t;
	all.stdio_socket = stdio_socket;
	all.back = back;
	all.poller = getppid();
	memcpy(all.run_dir, c->run_dir, sizeof(all.run_dir));
	all.input_timeout_s = c->input_timeout_ms / 1000;
	all.result_max = (size_t)c->result_max;
	all.streamed_max = (size_t)c->streamed_max;
	memcpy(all.state_dir, c->state_dir, sizeof(all.state_dir));
	all.spool.dir = all.state_dir;
	all.spool.name = "limits.spool";
	all.spool.max = (uint64_t)c->large_max;
	state_init(c->token_secret);
	hearing_init(h, &all, &stop);
	if (upstream_open(h->pool, t, 0, false,
	    clock_mono_ms() + t->timeout_ms, &h->session, NULL, &e) < 0) {
		if (atomic_load(&stop) == 0)
			log_debug("listening: %s", e.text);
		return FAILED;
	}
	all.has_links = (h->session.flags & SESS_SSE) != 0 ||
	    t->transport == TRANSPORT_WEBSOCKET;
	links_init(&all.links, &client_link_ops, &all);
	if (h->session.era == ERA_MODERN || all.has_links)
		h->stop = &again;
	return hear_all(&all);
}
