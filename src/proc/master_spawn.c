/*
 * master_spawn -- starts, counts, reaps and ends children.
 *
 * SIGKILL of any child at any instant is a supported operation: what it held
 * is taken back here (slot_reap), the keeper is told which connection lost its
 * worker, and a call that was under way gets its audit record.
 */
#include "proc/master.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/auditor.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "keeper/keeper.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "stdio/stdiod.h"
#include "tls/tlsd.h"

#define QUICK_MS	1000	/* a life shorter than this is a failed start */
#define GROW_MAX	128	/* workers started at once */

/* How many slots a child of the kind has: a worker one for each request. */
static uint32_t
proc_row(const struct proc *p, enum shm_kind kind)
{
	return kind == KIND_WORKER ? (uint32_t)p->conf.worker_requests : 1;
}

void
proc_child_start(struct proc *p, enum shm_kind kind, uint32_t slot,
    int master_pid)
{
	static const int reset[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD,
	    SIGUSR2 };
	char title[16];
	sigset_t blocked;
	size_t i;

	/* The auditor outlives us for a moment: it saves what is in the pipe.
	 * It takes SIGTERM when it is ready to. */
	prctl(PR_SET_PDEATHSIG, kind == KIND_AUDITOR ? SIGTERM : SIGKILL);
	if (getppid() != master_pid && kind != KIND_AUDITOR)
		_exit(0);		/* it died before we asked */
	for (i = 0; i < sizeof(reset) / sizeof(reset[0]); i++)
		signal(reset[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);	/* until a handler is there */
	signal(SIGHUP, SIG_IGN);	/* for the master; a group gets it all */
	signal(SIGINT, SIG_IGN);
	sigemptyset(&blocked);
	if (kind == KIND_AUDITOR)
		sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (kind == KIND_WORKER || kind == KIND_CONTROL || kind == KIND_API)
		snprintf(title, sizeof(title), "%s[%u]", shm_kind_name(kind),
		    slot);
	else
		snprintf(title, sizeof(title), "%s", shm_kind_name(kind));
	log_init(xstrdup(title));
	snprintf(title, sizeof(title), "omni2:%s", shm_kind_name(kind));
	prctl(PR_SET_NAME, title);
	shm_protect_row(&p->shm, kind, slot, proc_row(p, kind));
}

static int
child_main(struct proc *p, enum shm_kind kind, uint32_t slot)
{
	switch (kind) {
	case KIND_LOADER:
		return loader_main(p, slot);
	case KIND_KEEPER:
		return keeper_main(&p->shm, slot, &p->lanes, p->listen_fd,
		    p->n_listen);
	case KIND_POLLER:
		return poller_main(p, slot);
	case KIND_AUDITOR:
		return auditor_main(&p->shm, slot, p->audit_pipe[0]);
	case KIND_STDIOD:
		stdiod_hide(p->conf_path);
		return stdiod_main(&p->shm, slot, p->stdio_fd,
		    p->lanes.back[1]);
	case KIND_CONTROL:
		return worker_main(p, slot, LANE_CONTROL);
	case KIND_WORKER:
		return worker_main(p, slot, LANE_WORK);
	case KIND_API:
		return worker_main(p, slot, LANE_API);
	case KIND_TLSD:
		return tlsd_main(&p->shm, slot, p->tls_fd, p->n_tls,
		    p->lanes.back[1]);
	case KIND_MASTER:
	case KIND_COUNT:
		break;
	}
	return 1;
}

/* Descriptors that only the master uses. */
static void
close_masters_own(struct master *m)
{
	int i;

	close(m->signal_fd);
	close(m->ep);
	close(m->control_fd);
	close(m->reserve_fd);
	for (i = 0; i < CONTROL_MAX; i++)
		if (m->control[i].fd >= 0)
			close(m->control[i].fd);
}

/* Only the keeper accepts, only the auditor reads the pipe, and so on: what a
 * child does not need it does not have. */
static void
close_others(struct proc *p, enum shm_kind kind)
{
	int i;

	if (kind != KIND_KEEPER)
		for (i = 0; i < p->n_listen; i++)
			close(p->listen_fd[i]);
	if (kind != KIND_TLSD)
		for (i = 0; i < p->n_tls; i++)
			close(p->tls_fd[i]);
	if (kind != KIND_AUDITOR)
		close(p->audit_pipe[0]);
	/* Its end must come when the last who writes records is gone. */
	if (kind != KIND_WORKER && kind != KIND_CONTROL && kind != KIND_API)
		close(p->audit_pipe[1]);
	if (kind != KIND_STDIOD)
		close(p->stdio_fd);
	if (kind != KIND_LOADER)
		close(p->loader_pipe[1]);
	close(p->loader_pipe[0]);
	close(p->master_fd[0]);
	if (kind != KIND_KEEPER) {
		for (i = 0; i < LANE_KINDS; i++)
			close(p->lanes.hand[i][0]);
		close(p->lanes.back[0]);
	}
}

pid_t
master_spawn(struct master *m, enum shm_kind kind)
{
	pid_t pid, self = getpid();
	uint32_t row = proc_row(m->proc, kind), i;
	uint32_t slot = slot_take_row(m->shm, kind, row);

	if (slot == UINT32_MAX)
		return -1;
	if (kind == KIND_KEEPER)
		atomic_fetch_add(&shm_ctl(m->shm)->keeper_spawn, 1);
	pid = fork();
	if (pid < 0) {
		log_error("fork: %s", strerror(errno));
		for (i = slot; i < slot + row; i++)
			slot_reap(m->shm, i, &(struct shm_request){ 0 });
		return -1;
	}
	if (pid == 0) {
		close_masters_own(m);
		proc_child_start(m->proc, kind, slot, self);
		close_others(m->proc, kind);
		exit(child_main(m->proc, kind, slot));
	}
	m->child[slot] = (struct child){ .pid = pid, .kind = kind,
	    .started_ms = clock_mono_ms() };
	for (i = slot; i < slot + row; i++)
		slot_started(m->shm, i, pid);
	return pid;
}

unsigned
master_count(const struct master *m, enum shm_kind kind)
{
	uint32_t first = shm_kind_first(kind), i;
	uint32_t n = shm_kind_slots(m->shm, kind);
	unsigned count = 0;

	for (i = first; i < first + n; i++)
		count += m->child[i].pid != 0;
	return count;
}

void
master_signal(struct master *m, enum shm_kind kind, int sig)
{
	uint32_t first = shm_kind_first(kind), i;
	uint32_t n = shm_kind_slots(m->shm, kind);

	for (i = first; i < first + n; i++)
		if (m->child[i].pid != 0)
			kill(m->child[i].pid, sig);
}

/* ---- death -------------------------------------------------------------------- */

/* A call that nobody will answer: its record says so. */
static void
record_aborted(struct master *m, const struct shm_request *q, bool is_api)
{
	struct audit_record r;
	struct err e;

	memset(&r, 0, sizeof(r));
	audit_record_id(r.id, clock_wall_us());
	r.wall_us = q->start_wall_us;
	r.node = span_str(m->proc->conf.node);
	r.org = span_str(q->org);
	r.principal = span_str(q->principal);
	r.role = span_str(q->role);
	r.source = is_api ? SPAN_LIT("api") : SPAN_LIT("mcp");
	r.client = span_str(q->client);
	r.trace_id = span_str(q->trace_id);
	r.method = span_str(q->method);
	r.server = span_str(q->server);
	r.object = span_str(q->object);
	r.decision = AUDIT_ALLOW;
	r.result = AUDIT_ABORTED;
	r.error = is_api ? SPAN_LIT("the process died during the request") :
	    SPAN_LIT("the worker died during the call");
	r.duration_us = clock_wall_us() - q->start_wall_us;
	if (audit_emit(&m->audit, &r, AUDIT_SYNC_ASYNC, clock_mono_ms(), &e) < 0)
		log_error("a call that was cut off is not recorded: %s", e.text);
}

static void
tell_keeper_dead(struct master *m, uint64_t connection)
{
	struct lane_back b;

	memset(&b, 0, sizeof(b));
	b.id = connection;
	b.what = LANE_DEAD;
	(void)!send(m->proc->lanes.back[1], &b, sizeof(b),
	    MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
note_death(struct master *m, enum shm_kind kind, int status, int64_t life_ms,
    bool began)
{
	struct throttle *t = &m->throttle[kind];
	bool bad = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (sig == SIGSEGV || sig == SIGABRT || sig == SIGBUS || sig == SIGILL ||
	    sig == SIGFPE || sig == SIGSYS)
		shm_count_in(shm_self(m->shm), C_BUGS, 1);
	if (bad && !m->stopping) {
		if (sig != 0)
			log_warn("%s ended by signal %d (%s)",
			    shm_kind_name(kind), sig, strsignal(sig));
		else
			log_warn("%s ended with status %d", shm_kind_name(kind),
			    WEXITSTATUS(status));
		shm_count_in(shm_self(m->shm), C_RESPAWNS, 1);
	}
	/* Only one that never got to its work is a failed start; who was killed
	 * at work is replaced at once. Deaths of one burst count once. */
	if (!bad || life_ms >= QUICK_MS || began) {
		t->quick = 0;
		t->not_before_ms = 0;
		return;
	}
	if (clock_mono_ms() < t->not_before_ms)
		return;
	t->quick++;
	if (t->quick > 3) {
		int64_t wait = 100LL << (t->quick - 3 > 7 ? 7 : t->quick - 3);

		t->not_before_ms = clock_mono_ms() + wait;
		log_warn("%s dies at once; next start in %lld ms",
		    shm_kind_name(kind), (long long)wait);
	}
}

/* What the dead one held in this slot. */
static void
take_back(struct master *m, uint32_t slot, enum shm_kind kind, bool was_free)
{
	struct shm_request request = { 0 };
	uint64_t connection;

	if (was_free)
		atomic_fetch_sub(&shm_queue(m->shm)->idle, 1);
	connection = slot_reap(m->shm, slot, &request);
	if (connection != 0)
		tell_keeper_dead(m, connection);
	if (request.call != 0)
		record_aborted(m, &request, kind == KIND_API);
}

static void
child_died(struct master *m, uint32_t slot, int status)
{
	enum shm_kind kind = m->child[slot].kind;
	int64_t life = clock_mono_ms() - m->child[slot].started_ms;
	bool began = atomic_load(&shm_slot(m->shm, slot)->state) !=
	    SLOT_STARTING;
	uint32_t i;

	m->child[slot].pid = 0;
	/* One that ends by itself leaves every place as not idle. */
	for (i = slot; i < slot + proc_row(m->proc, kind); i++)
		take_back(m, i, kind, kind == KIND_WORKER &&
		    atomic_load(&shm_slot(m->shm, i)->state) == SLOT_IDLE);
	note_death(m, kind, status, life, began);
	if (kind == KIND_LOADER)
		master_loader_died(m, WIFEXITED(status) &&
		    WEXITSTATUS(status) == 0);
}

static uint32_t
slot_of(const struct master *m, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < m->shm->sizes.slots; i++)
		if (m->child[i].pid == pid)
			return i;
	return UINT32_MAX;
}

void
master_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		uint32_t slot = slot_of(m, pid);

		if (slot == UINT32_MAX)
			continue;
		if (WIFSTOPPED(status))
			m->child[slot].stopped_ms = clock_mono_ms();
		else if (WIFCONTINUED(status))
			m->child[slot].stopped_ms = 0;
		else
			child_died(m, slot, status);
	}
	master_keep_alive(m);
}

/* ---- watching ------------------------------------------------------------------- */

/* A request may take as long as its own limits say; the process it is in must
 * get to the others meanwhile. */
static bool
is_stuck(struct master *m, uint32_t slot, int64_t now, int64_t watchdog_ms)
{
	enum shm_kind kind = m->child[slot].kind;
	uint32_t i, n = proc_row(m->proc, kind);

	if (m->child[slot].stopped_ms != 0 &&
	    now - m->child[slot].stopped_ms > 5000)
		return true;
	if (kind != KIND_WORKER && kind != KIND_CONTROL)
		return false;
	/* written by the child: believed only as far as killing that child */
	if (now - atomic_load(&shm_slot(m->shm, slot)->alive_ms) <= watchdog_ms)
		return false;
	for (i = slot; i < slot + n; i++) {
		uint32_t state = atomic_load(&shm_slot(m->shm, i)->state);

		if (state == SLOT_READING || state == SLOT_CALLING ||
		    state == SLOT_WRITING)
			return true;
	}
	return false;
}

void
master_check_stuck(struct master *m)
{
	const struct conf *conf = &m->proc->conf;
	int64_t now = clock_mono_ms();
	uint32_t i;

	for (i = 0; i < m->shm->sizes.slots; i++) {
		if (m->child[i].pid == 0 ||
		    !is_stuck(m, i, now, conf->watchdog_ms))
			continue;
		log_warn("%s (pid %d) is stuck; killing it",
		    shm_kind_name(m->child[i].kind), (int)m->child[i].pid);
		kill(m->child[i].pid, SIGKILL);
	}
}

/* ---- numbers ---------------------------------------------------------------------- */

struct census {
	unsigned	total;		/* workers */
	unsigned	idle, starting;	/* requests they could serve, too */
	unsigned	quiet;		/* workers with nothing to do */
};

static struct census
count_workers(const struct master *m)
{
	uint32_t i, k, row = proc_row(m->proc, KIND_WORKER);
	struct census c = { 0, 0, 0, 0 };

	for (i = shm_kind_first(KIND_WORKER); i < m->shm->sizes.slots;
	    i += row) {
		unsigned idle = 0;

		if (m->child[i].pid == 0)
			continue;
		for (k = i; k < i + row; k++) {
			uint32_t state = atomic_load(&shm_slot(m->shm,
			    k)->state);

			idle += state == SLOT_IDLE;
			c.starting += state == SLOT_STARTING;
		}
		c.total++;
		c.idle += idle;
		c.quiet += idle == row;
	}
	return c;
}

/* Room for so many more requests. */

static void
spawn_workers(struct master *m, unsigned requests)
{
	uint32_t row = proc_row(m->proc, KIND_WORKER);
	unsigned n = (requests + row - 1) / row;

	if (clock_mono_ms() < m->throttle[KIND_WORKER].not_before_ms)
		return;
	if (n > GROW_MAX)
		n = GROW_MAX;
	while (n-- > 0 && master_spawn(m, KIND_WORKER) > 0)
		;
}

static uint64_t
waiting(const struct master *m)
{
	struct shm_queue *q = shm_queue(m->shm);
	uint64_t handed = atomic_load(&q->handed), taken = atomic_load(&q->taken);

	return handed > taken ? handed - taken : 0;
}

/* As many as there are processors, at least. */
static unsigned
workers_floor(const struct master *m)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < 1)
		n = 1;
	return n < m->proc->conf.max_workers ? (unsigned)n :
	    (unsigned)m->proc->conf.max_workers;
}

void
master_grow(struct master *m)
{
	struct census c = count_workers(m);
	uint64_t need = waiting(m) + (uint64_t)m->proc->conf.min_spare;

	if (m->stopping || !m->loaded_once || c.starting + c.idle >= need)
		return;
	spawn_workers(m, (unsigned)(need - c.starting - c.idle));
}

static bool
is_quiet(const struct master *m, uint32_t slot, uint32_t row)
{
	uint32_t i;

	for (i = slot; i < slot + row; i++)
		if (atomic_load(&shm_slot(m->shm, i)->state) != SLOT_IDLE)
			return false;
	return true;
}

/* Ends idle workers beyond max_spare; the lowest slots go last. */
static void
shrink(struct master *m, unsigned surplus)
{
	uint32_t first = shm_kind_first(KIND_WORKER);
	uint32_t row = proc_row(m->proc, KIND_WORKER);
	uint32_t i = first + shm_kind_slots(m->shm, KIND_WORKER) / row * row;

	if (surplus > 32)
		surplus = 32;		/* a second: gently */
	while (surplus > 0 && i > first) {
		i -= row;
		if (m->child[i].pid == 0 || m->child[i].told_to_end ||
		    !is_quiet(m, i, row))
			continue;
		m->child[i].told_to_end = true;
		kill(m->child[i].pid, SIGTERM);
		surplus--;
	}
}

/*
 * A worker killed between taking a request and counting it leaves the counters
 * apart for ever: when that stays so while workers idle and the lane is empty,
 * they are set right.
 */
static void
mend_queue(struct master *m, const struct census *c)
{
	struct shm_queue *q = shm_queue(m->shm);
	uint64_t handed = atomic_load(&q->handed), taken = atomic_load(&q->taken);
	char byte;

	if (handed != taken && c->idle > 0 &&
	    recv(m->proc->lanes.hand[LANE_WORK][1], &byte, 1,
	    MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		if (++m->lane_mismatch >= 3) {
			atomic_compare_exchange_strong(&q->taken, &taken, handed);
			m->lane_mismatch = 0;
		}
	} else
		m->lane_mismatch = 0;
	if (atomic_load(&q->idle) != c->idle) {
		if (++m->idle_mismatch >= 3) {
			atomic_store(&q->idle, c->idle);
			m->idle_mismatch = 0;
		}
	} else
		m->idle_mismatch = 0;
}

void
master_tune(struct master *m)
{
	const struct conf *conf = &m->proc->conf;
	struct census c = count_workers(m);
	uint32_t row = proc_row(m->proc, KIND_WORKER);
	unsigned surplus;

	atomic_store(&shm_ctl(m->shm)->workers, c.total);
	if (m->stopping || !m->loaded_once)
		return;
	mend_queue(m, &c);
	if (c.idle + c.starting < (unsigned)conf->min_spare)
		spawn_workers(m, (unsigned)conf->min_spare - c.idle - c.starting);
	else if (c.idle > (unsigned)conf->max_spare && waiting(m) == 0) {
		surplus = (c.idle - (unsigned)conf->max_spare) / row;
		if (surplus > c.quiet)
			surplus = c.quiet;
		if (c.total > workers_floor(m))
			shrink(m, surplus < c.total - workers_floor(m) ?
			    surplus : c.total - workers_floor(m));
	}
}

/* Every kind that must be there and is not, unless throttled. */
void
master_keep_alive(struct master *m)
{
	const struct {
		enum shm_kind kind;
		unsigned n;
	} want[] = { { KIND_AUDITOR, 1 }, { KIND_STDIOD, 1 }, { KIND_POLLER, 1 },
	    { KIND_CONTROL, 2 }, { KIND_API, 2 }, { KIND_KEEPER, 1 },
	    { KIND_TLSD, m->proc->n_tls > 0 ? 2 : 0 } };
	int64_t now = clock_mono_ms();
	struct census c;
	size_t i;

	if (m->stopping || !m->loaded_once)
		return;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		while (now >= m->throttle[want[i].kind].not_before_ms &&
		    master_count(m, want[i].kind) < want[i].n &&
		    master_spawn(m, want[i].kind) > 0)
			;
	c = count_workers(m);
	if (c.total < workers_floor(m))
		spawn_workers(m, (workers_floor(m) - c.total) *
		    proc_row(m->proc, KIND_WORKER));
}
