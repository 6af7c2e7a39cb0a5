/*
 * stdiod -- the event loop: one epoll set, one thread, nothing that blocks.
 *
 * Clients (workers, poller) come in over a UNIX listener, servers run behind
 * pipes. Settings and commands come from snapshots in shared memory; both are
 * looked at again when their generation changes. This file owns the loop, the
 * signals and the shutdown; see server.c, process.c, route.c, client.c.
 */
#include "stdio/stdiod.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "conf/conf.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "stdio/subscribe.h"

#define EVENTS		64
#define TICK_MS		1000
#define STALL_MS	30000		/* abandoned and not reading */
#define STOP_RESERVE_MS	2000		/* of the drain time, to end servers */

/* ---- the epoll set ---- */

void
source_open(struct stdiod *sd, struct source *s, enum source_kind kind,
    int fd, uint32_t events, void *owner)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	s->kind = kind;
	s->fd = fd;
	s->events = events;
	s->owner = owner;
	if (epoll_ctl(sd->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die_sys("epoll_ctl");
}

void
source_events(struct stdiod *sd, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->fd < 0 || s->events == events)
		return;
	s->events = events;
	if (epoll_ctl(sd->epoll, EPOLL_CTL_MOD, s->fd, &ev) < 0)
		die_sys("epoll_ctl");
}

/* Taken out explicitly: a child that is just being made may still hold the
 * descriptor, and then close() alone would leave it in the set. */
void
source_close(struct stdiod *sd, struct source *s)
{
	if (s->fd < 0)
		return;
	epoll_ctl(sd->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
	s->fd = -1;
	if (sd->listener_paused) {
		sd->listener_paused = false;
		source_events(sd, &sd->listener, EPOLLIN);
	}
}

/* ---- settings ---- */

static void
settings_take(struct stdiod *sd, const struct conf *conf, char user[CONF_TEXT])
{
	sd->settings.max_processes = conf->stdio_max;
	sd->settings.idle_ms = conf->stdio_idle_ms;
	sd->settings.memory = conf->stdio_memory;
	sd->settings.processes = conf->stdio_processes;
	sd->settings.result_max = conf->result_max;
	sd->settings.streamed_max = conf->streamed_max;
	sd->settings.large_max = conf->large_max;
	memcpy(sd->settings.state_dir, conf->state_dir, CONF_TEXT);
	sd->spool.dir = sd->settings.state_dir;
	sd->spool.name = "limits.spool_total";
	sd->spool.max = (uint64_t)conf->large_total;
	sd->settings.drain_ms = conf->drain_timeout_ms;
	memcpy(sd->settings.launcher, conf->stdio_launcher, CONF_TEXT);
	sd->settings.launcher[CONF_TEXT - 1] = '\0';
	memcpy(user, conf->stdio_user, CONF_TEXT);
	user[CONF_TEXT - 1] = '\0';
	log_set_level((enum log_level)conf->log_level);
}

static const char *hidden_conf;

void
stdiod_hide(const char *conf_path)
{
	hidden_conf = conf_path;
}

/* The directory of the database's socket, if the setting names one: who has
 * our user could open it as we do. NULL: none. */
static char *
socket_dir(const char *database_url)
{
	static const char host[] = "host=";
	const char *at = strstr(database_url, host);

	at = at == NULL ? "" : at + sizeof(host) - 1;
	at += *at == '\'';
	return at[0] == '/' && at[1] != '\0' ?
	    xstrndup(at, strcspn(at, " &'")) : NULL;
}

/* What servers must not see, once: these settings need a restart. */
static void
hidden_take(struct stdiod *sd, const struct conf *conf)
{
	const char *slash;
	size_t n = 0;

	sd->hidden[n++] = xstrdup(conf->run_dir);
	sd->hidden[n++] = xstrdup(conf->state_dir);
	if ((sd->hidden[n] = socket_dir(conf->database_url)) != NULL)
		n++;
	if (hidden_conf == NULL)
		return;
	slash = strrchr(hidden_conf, '/');
	if (slash != NULL && memchr(hidden_conf + 1, '/',
	    (size_t)(slash - hidden_conf)) != slash)
		sd->hidden[n++] = xstrndup(hidden_conf,
		    (size_t)(slash - hidden_conf));
	sd->hidden[n++] = xstrdup(hidden_conf);
}

/* Of whom servers run as, if it is really theirs: service users have all kinds
 * of directories there. */
static void
home_take(struct stdiod *sd)
{
	uid_t uid = sd->user.is_set ? sd->user.uid : geteuid();
	const struct passwd *pw = getpwuid(uid);
	struct stat st;

	if (pw != NULL && stat(pw->pw_dir, &st) == 0 && st.st_uid == uid &&
	    S_ISDIR(st.st_mode))
		span_copy(sd->home, sizeof(sd->home), span_str(pw->pw_dir));
}

void
stdiod_settings_refresh(struct stdiod *sd)
{
	bool is_first = sd->conf == 0;
	char user[CONF_TEXT];
	const struct conf *conf;
	uint64_t generation;

	if (!is_first && sd->conf == shm_generation(sd->shm, SNAP_CONF))
		return;
	if ((conf = shm_pin(sd->shm, SNAP_CONF, &generation)) == NULL)
		return;
	settings_take(sd, conf, user);
	if (is_first)
		hidden_take(sd, conf);
	shm_unpin(sd->shm, SNAP_CONF);
	sd->conf = generation;
	if (!is_first)
		return;			/* the user needs a restart */
	err_clear(&sd->user_error);
	if (child_user_find(&sd->user, user, &sd->user_error) < 0)
		log_error("%s", sd->user_error.text);
	home_take(sd);
}

static void
settings_default(struct stdiod *sd)
{
	struct conf *conf = xcalloc(1, sizeof(*conf));
	char user[CONF_TEXT];

	conf_defaults(conf);
	settings_take(sd, conf, user);
	free(conf);
}

/* ---- calls ---- */

void
call_end(struct stdiod *sd, struct call *c)
{
	struct process *p = c->process;

	if (p != NULL) {
		asked_call_ended(sd, c);
		TAILQ_REMOVE(&p->pending, c, link);
		p->n_pending--;
		p->used_ms = sd->now_ms;
		if (p->n_pending == 0 && p->state == PROCESS_DRAINING)
			process_close(sd, p, true);
	} else if (c->server != NULL) {
		TAILQ_REMOVE(&c->server->waiting, c, link);
	}
	if (!c->is_open)
		mux_remove(&sd->mux, c);
	c->client->call = NULL;
	buf_free(&c->body);
	free(c);
}

/* ---- time ---- */

static void
check_idle(struct stdiod *sd, struct process *p)
{
	if (p->n_pending > 0)
		return;
	if (outq_left(&p->outq) > 0 && sd->now_ms - p->moved_ms >= STALL_MS) {
		log_warn("server \"%s\" has not read its input for %d s; "
		    "it is ended", p->name, STALL_MS / 1000);
		process_close(sd, p, true);
	} else if (sd->now_ms - p->used_ms >= sd->settings.idle_ms) {
		if (p->client_session == 0 &&
		    subscribe_is_watched(sd, p->server_id)) {
			p->used_ms = sd->now_ms;
			return;
		}
		log_info("server \"%s\" is idle and is ended", p->name);
		process_close(sd, p, true);
	}
}

static void
run_timers(struct stdiod *sd)
{
	struct process *p, *next;

	for (p = TAILQ_FIRST(&sd->processes); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state == PROCESS_READY)
			check_idle(sd, p);
		else if (p->deadline_ms != 0 && sd->now_ms >= p->deadline_ms)
			process_timer(sd, p);
	}
}

/* Milliseconds until something may be due; -1: nothing will be. */
static int
next_timeout(const struct stdiod *sd)
{
	int64_t ms = TICK_MS;
	const struct process *p;

	if (TAILQ_EMPTY(&sd->processes) && !sd->is_stopping &&
	    !sd->listener_paused)
		return -1;
	TAILQ_FOREACH(p, &sd->processes, link)
		if (p->deadline_ms != 0 && p->deadline_ms - sd->now_ms < ms)
			ms = p->deadline_ms - sd->now_ms;
	return ms < 0 ? 0 : (int)ms;
}

/* ---- signals and shutdown ---- */

static void
stop(struct stdiod *sd)
{
	int64_t drain = sd->settings.drain_ms - STOP_RESERVE_MS;
	struct process *p, *next;
	struct server *srv;
	struct err e;

	if (sd->is_stopping)
		return;
	sd->is_stopping = true;
	sd->stop_by_ms = sd->now_ms + sd->settings.drain_ms;
	slot_state(sd->shm, SLOT_EXITING);
	source_close(sd, &sd->listener);
	err_set(&e, ERR_UNAVAILABLE, "omni2 is shutting down");
	TAILQ_FOREACH(srv, &sd->servers, link)
		server_fail_waiting(sd, srv, &e);
	for (p = TAILQ_FIRST(&sd->processes); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state < PROCESS_DRAINING)
			process_drain(sd, p, sd->now_ms +
			    (drain > 0 ? drain : 0));
		else if (p->deadline_ms > sd->now_ms + STOP_RESERVE_MS / 2)
			p->deadline_ms = sd->now_ms + STOP_RESERVE_MS / 2;
	}
}

static void
read_signals(struct stdiod *sd)
{
	struct signalfd_siginfo si;

	while (read(sd->signals.fd, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo == SIGTERM)
			stop(sd);
	process_reap(sd);
}

static void
signals_open(struct stdiod *sd)
{
	struct sigaction ignore;
	sigset_t set;
	int fd;

	memset(&ignore, 0, sizeof(ignore));
	ignore.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &ignore, NULL);
	ignore.sa_handler = SIG_DFL;	/* ignored: nothing could be reaped */
	sigaction(SIGCHLD, &ignore, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if ((fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
		die_sys("signalfd");
	source_open(sd, &sd->signals, SOURCE_SIGNALS, fd, EPOLLIN, NULL);
}

/* Kills and reaps what servers left behind, for a second at most. */
static void
reap_leftovers(struct stdiod *sd)
{
	int i;

	for (i = 0; i < 200; i++) {
		process_kill_adopted(sd, 0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return;
		clock_nap_ms(5);
	}
}

/* ---- loop ---- */

static void
dispatch(struct stdiod *sd, struct source *s, uint32_t events)
{
	if (s->fd < 0)
		return;			/* closed earlier in this batch */
	switch (s->kind) {
	case SOURCE_SIGNALS:
		read_signals(sd);
		break;
	case SOURCE_LISTENER:
		client_accept(sd);
		break;
	case SOURCE_CLIENT:
		client_event(sd, s->owner, events);
		break;
	case SOURCE_IN:
	case SOURCE_OUT:
	case SOURCE_ERR:
	case SOURCE_REPORT:
		process_event(sd, s, events);
		break;
	}
}

/* Frees what ended; no event can point to it any more. */
static void
bury(struct stdiod *sd)
{
	struct client *cl;
	struct process *p;

	while ((cl = TAILQ_FIRST(&sd->dead_clients)) != NULL) {
		TAILQ_REMOVE(&sd->dead_clients, cl, link);
		client_free(cl);
	}
	while ((p = TAILQ_FIRST(&sd->dead_processes)) != NULL) {
		TAILQ_REMOVE(&sd->dead_processes, p, link);
		process_free(p);
	}
}

static void
show_state(struct stdiod *sd, bool *was_calling)
{
	bool is_calling = sd->mux.n > 0;

	if (sd->is_stopping || is_calling == *was_calling)
		return;
	*was_calling = is_calling;
	slot_state(sd->shm, is_calling ? SLOT_CALLING : SLOT_IDLE);
}

/* Is there anything left to do? After SIGTERM: until all servers have ended
 * and the clients have their answers, but for these only the drain time. */
static bool
goes_on(const struct stdiod *sd)
{
	const struct client *cl;

	if (!sd->is_stopping || sd->n_processes > 0)
		return true;
	if (sd->now_ms < sd->stop_by_ms)
		TAILQ_FOREACH(cl, &sd->clients, link)
			if (outq_left(&cl->out) > 0 ||
			    cl->file.fd >= 0)
				return true;
	return false;
}

static void
loop(struct stdiod *sd)
{
	struct epoll_event ev[EVENTS];
	bool was_calling = false;
	int64_t next_tick = 0;
	int i, n;

	while (goes_on(sd)) {
		show_state(sd, &was_calling);
		n = epoll_wait(sd->epoll, ev, EVENTS, next_timeout(sd));
		if (n < 0 && errno != EINTR)
			die_sys("epoll_wait");
		sd->now_ms = clock_mono_ms();
		for (i = 0; i < n; i++)
			dispatch(sd, ev[i].data.ptr, ev[i].events);
		run_timers(sd);
		if (sd->now_ms >= next_tick) {
			next_tick = sd->now_ms + TICK_MS;
			stdiod_settings_refresh(sd);
			if (!sd->is_stopping) {
				server_refresh_all(sd);
				subscribe_tick(sd);
			}
			watch_tick(sd);
			source_events(sd, &sd->listener, EPOLLIN);
			sd->listener_paused = false;
		}
		asked_move(sd);
		bury(sd);
	}
}

static void
stdiod_close(struct stdiod *sd)
{
	struct server *srv;
	struct room *room;
	size_t i;

	for (i = 0; sd->hidden[i] != NULL; i++)
		free(sd->hidden[i]);
	while (!TAILQ_EMPTY(&sd->clients))
		client_close(sd, TAILQ_FIRST(&sd->clients));
	bury(sd);
	while ((srv = TAILQ_FIRST(&sd->servers)) != NULL) {
		TAILQ_REMOVE(&sd->servers, srv, link);
		server_free(srv);
	}
	while ((room = SLIST_FIRST(&sd->rooms)) != NULL) {
		SLIST_REMOVE_HEAD(&sd->rooms, link);
		free(room);
	}
	source_close(sd, &sd->signals);
	close(sd->epoll);
	free(sd);
}

int
stdiod_main(struct shm *shm, uint32_t slot, int listen_fd, int event_fd)
{
	struct stdiod *sd = xcalloc(1, sizeof(*sd));
	struct rlimit rl;

	shm_protect(shm, KIND_STDIOD, slot);
	sd->shm = shm;
	sd->event_fd = event_fd;
	sd->now_ms = clock_mono_ms();
	TAILQ_INIT(&sd->clients);
	TAILQ_INIT(&sd->dead_clients);
	TAILQ_INIT(&sd->servers);
	TAILQ_INIT(&sd->processes);
	TAILQ_INIT(&sd->dead_processes);
	if ((sd->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		die_sys("epoll_create1");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		die_sys("PR_SET_CHILD_SUBREAPER");
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;	/* four for every server */
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	fdio_set_cloexec(listen_fd, true);
	fdio_set_nonblock(listen_fd, true);
	settings_default(sd);
	stdiod_settings_refresh(sd);
	signals_open(sd);
	source_open(sd, &sd->listener, SOURCE_LISTENER, listen_fd, EPOLLIN,
	    NULL);
	slot_state(shm, SLOT_IDLE);
	loop(sd);
	reap_leftovers(sd);
	stdiod_close(sd);
	return 0;
}
