/*
 * listener -- see listener.h. This is the poller's side.
 */
#include "proc/listener_int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "shm/slot.h"

#define END_MS		5000	/* from SIGTERM to SIGKILL */

static void
add_hash(void *arg, const struct shm_sub *s)
{
	uint64_t *h = arg;

	if (s->kind == SUB_STREAM_TASK)
		*h += hash_mix(~s->hash);
	else if (s->kind != SUB_STANDALONE && s->kind != SUB_TASK)
		*h += hash_mix(s->hash);
}

/* Of the set of what is watched at the server, whoever watches it how often:
 * counting twice costs one new stream, no more. */
static uint64_t
asked_of(const struct shm *shm, int64_t server_id)
{
	uint64_t h = 0;

	shm_subs_each(shm, 0, server_id, clock_wall_us() / 1000000, add_hash,
	    &h);
	shm_subs_each(shm, 0, -server_id, clock_wall_us() / 1000000, add_hash,
	    &h);
	return h;
}

static void
start(struct listener *l, struct proc *p, const struct upstream_target *t,
    const struct listener_want *w, int64_t now)
{
	pid_t parent = getpid();
	struct sess_info s;

	memset(&s, 0, sizeof(s));
	shm_sess_get(&p->shm, t->health, t->server_id, &s);
	l->opened = s.opened;
	l->asked = asked_of(&p->shm, t->server_id);
	l->is_dual = w->is_dual;
	l->pid = fork();
	if (l->pid == 0) {
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		_exit(ears_run(&p->shm, p->stdio_path, t, w, p->lanes.back[1]));
	}
	if (l->pid < 0) {
		log_warn("fork: %s", strerror(errno));
		l->pid = 0;
		l->next_ms = now + LISTENER_BACKOFF_MAX_MS;
		return;
	}
	l->started_ms = now;
	l->kill_ms = 0;
}

/* When to try again: at once after we ended it ourselves, soon after a stream
 * that lived, later and later otherwise. */
static void
plan(struct listener *l, int status, int64_t now)
{
	uint32_t jitter;

	if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED)
		l->refused = true;
	if (l->kill_ms != 0) {
		l->next_ms = now;
		return;
	}
	if (now - l->started_ms >= LISTENER_LONG_MS)
		l->backoff_ms = 0;
	l->backoff_ms = l->backoff_ms == 0 ? LISTENER_BACKOFF_MIN_MS :
	    l->backoff_ms * 2;
	if (l->backoff_ms > LISTENER_BACKOFF_MAX_MS)
		l->backoff_ms = LISTENER_BACKOFF_MAX_MS;
	random_bytes(&jitter, sizeof(jitter));
	l->next_ms = now + l->backoff_ms - jitter % (l->backoff_ms / 4 + 1);
}

static void
reap(struct listener *l, const struct shm *shm,
    const struct upstream_target *t, int64_t now)
{
	int status = 0;

	if (waitpid(l->pid, &status, WNOHANG) == 0)
		return;
	l->pid = 0;
	/* what it said while nobody listened is lost */
	if (l->kill_ms == 0 && now - l->started_ms >= LISTENER_LONG_MS &&
	    t->health < SHM_SERVERS_MAX)
		atomic_store(&shm_health(shm, t->health)->dirty, 1);
	plan(l, status, now);
}

/* One that asks for what is watched does so again if that has changed. */
static void
tell_news(struct listener *l, const struct shm *shm,
    const struct upstream_target *t)
{
	uint64_t asked = asked_of(shm, t->server_id);

	if (asked == l->asked)
		return;
	l->asked = asked;
	kill(l->pid, SIGUSR1);
}

/* Must the one that runs make place for a better informed one? */
static bool
is_outdated(struct listener *l, const struct shm *shm,
    const struct upstream_target *t, const struct listener_want *w)
{
	struct sess_info s;

	if (w->era == ERA_MODERN ||
	    !shm_sess_get(shm, t->health, t->server_id, &s))
		return false;
	if (l->opened == 0)
		l->opened = s.opened;	/* it opened the first one itself */
	return s.opened != l->opened;
}

bool
listener_tend(struct listener *l, struct proc *p,
    const struct upstream_target *t, const struct listener_want *w,
    int64_t now)
{
	if (l->pid != 0)
		reap(l, &p->shm, t, now);
	if (l->pid != 0 && l->kill_ms == 0 &&
	    (!w->wanted || is_outdated(l, &p->shm, t, w))) {
		kill(l->pid, SIGTERM);
		l->kill_ms = now + t->timeout_ms + END_MS;
	}
	if (l->pid != 0 && l->kill_ms == 0 && w->news &&
	    (w->era == ERA_MODERN || w->has_links))
		tell_news(l, &p->shm, t);
	if (l->pid != 0 && l->kill_ms != 0 && now >= l->kill_ms)
		kill(l->pid, SIGKILL);
	if (!w->wanted || w->is_dual != l->is_dual)
		l->refused = false;	/* it may come back as another */
	if (l->pid == 0 && w->wanted && !l->refused && now >= l->next_ms)
		start(l, p, t, w, now);
	return l->pid != 0 && l->kill_ms != 0;
}

void
listener_end(struct listener *l)
{
	if (l->pid != 0) {
		kill(l->pid, SIGKILL);
		waitpid(l->pid, NULL, 0);
	}
	memset(l, 0, sizeof(*l));
}
