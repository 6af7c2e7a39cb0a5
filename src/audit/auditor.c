/*
 * auditor -- see auditor.h. The process that drains the audit pipe.
 *
 * It never talks to the database and never waits for anything but the disk;
 * shipping is done by a child (ship.c) that may hang or be killed.
 *
 * Order of things for one record: splice into the journal; with audit.sync
 * fsync: fdatasync; then the frames are read back and the slot's number is
 * stored into its acknowledgement word. So an acknowledgement can never be
 * earlier than what it says. While it naps (audit.sync async) the pipe fills;
 * a full pipe blocks the writers, which is the back-pressure wanted.
 *
 * When the master is killed everybody else is killed with it, and what is in
 * the pipe then would die with the last process that has it open. So the
 * auditor alone gets SIGTERM instead: it moves the rest into the journal,
 * syncs it and is gone too (save).
 */
#include "config.h"		/* _GNU_SOURCE: F_SETPIPE_SZ */

#include "audit/auditor_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "audit/journal.h"
#include "audit/journal_read.h"
#include "audit/record.h"
#include "audit/ship.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "shm/gen.h"
#include "shm/slot.h"

#define PIPE_BYTES	(1 << 20)
#define ROUND_BYTES	(1 << 20)
#define NAP_BUSY_MS	5		/* when much comes */
#define NAP_IDLE_MS	20
#define MUCH_OF_PIPE	8		/* an eighth of it at once */
#define IDLE_NAPS	50		/* then it sleeps in poll */
#define POLL_MS		200
#define FAILING_MS	200
#define CHECK_MS	100		/* shipper, configuration, spool */
#define SHIPPER_PAUSE_MS 1000
#define LOCK_WAIT_MS	2000		/* that a predecessor may still write */
#define SAVE_MS		500		/* for the last words of the killed */
#define FLAG_LAST	1u

struct auditor {
	struct shm	*shm;
	struct shm_audit *words;
	int		 pipe_fd;
	int		 pipe_bytes;
	int64_t		 segment_bytes;
	struct conf	*conf;
	uint64_t	 conf_generation;
	char		 dir[CONF_TEXT + 16];
	char		 node[CONF_TEXT];
	struct journal	 journal;
	bool		 journal_open, failing, unsynced, other_shipper;
	bool		 disk_full;	/* why it is failing */
	pid_t		 master;
	int64_t		 locked_ms;	/* somebody has the lock: since when */
	struct journal_reader reader;
	int64_t		 fresh_from;
	pid_t		 shipper;
	int64_t		 shipper_ms;	/* not before this time */
	int64_t		 check_ms;
	unsigned	 idle;
};

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int64_t
logical(const struct auditor *a, int64_t segment, int64_t offset)
{
	return ship_logical(a->segment_bytes, segment, offset);
}

/* Copies the current settings if they are not those already here. */
static void
read_conf(struct auditor *a)
{
	struct conf *old = a->conf;
	const struct conf *now;

	if (old != NULL &&
	    shm_generation(a->shm, SNAP_CONF) == a->conf_generation)
		return;
	a->conf = xmalloc(sizeof(*a->conf));
	now = shm_pin(a->shm, SNAP_CONF, &a->conf_generation);
	if (now != NULL) {
		memcpy(a->conf, now, sizeof(*now));
		shm_unpin(a->shm, SNAP_CONF);
	} else {
		conf_defaults(a->conf);
	}
	atomic_store(&a->words->waiters_mode, (uint64_t)a->conf->audit_sync);
	if (old != NULL && (
	    strcmp(old->database_url, a->conf->database_url) != 0 ||
	    strcmp(old->token_secret, a->conf->token_secret) != 0 ||
	    old->database_timeout_ms != a->conf->database_timeout_ms ||
	    old->retention_days != a->conf->retention_days ||
	    old->drain_timeout_ms != a->conf->drain_timeout_ms ||
	    old->spool_max != a->conf->spool_max))
		a->other_shipper = true;
	free(old);
}

static void
set_names(struct auditor *a)
{
	snprintf(a->dir, sizeof(a->dir), "%s/journal", a->conf->state_dir);
	snprintf(a->node, sizeof(a->node), "%s", a->conf->node);
	if (a->node[0] == '\0' && gethostname(a->node, sizeof(a->node)) < 0)
		snprintf(a->node, sizeof(a->node), "unnamed");
	a->node[sizeof(a->node) - 1] = '\0';
}

static void
set_failing(struct auditor *a, const char *what, const char *why)
{
	static struct log_limit ll = { .interval_ms = 10000 };

	if (log_limit_ok(&ll))
		log_error("%s: %s", what, why);
	a->failing = true;
	a->disk_full = false;
	atomic_store(&a->words->state, AUDIT_STATE_FAILING);
}

static void
set_unwritable(struct auditor *a, const char *what)
{
	int error = errno;

	set_failing(a, what, strerror(error));
	a->disk_full = error == ENOSPC || error == EDQUOT;
}

/*
 * Where reading back begins. In a fresh shm nobody waits for anything that
 * is in the journal already: at its end. Else a killed predecessor may have
 * moved frames without acknowledging them: where it had got to.
 */
static void
start_reader(struct auditor *a)
{
	int64_t end = logical(a, a->journal.segment, a->journal.size);
	int64_t at = (int64_t)atomic_load(&a->words->journal_bytes);
	int64_t segment, offset;

	if (at > 0 && at <= end) {
		journal_reader_init(&a->reader, a->journal.dir_fd,
		    at / a->segment_bytes + 1, at % a->segment_bytes);
		return;
	}
	a->fresh_from = end;
	journal_reader_init(&a->reader, a->journal.dir_fd,
	    a->journal.segment, a->journal.size);
	/* The end may be inside a frame; the rest of it is in the pipe. */
	a->reader.in_damage = true;
	atomic_store(&a->words->journal_bytes, (uint64_t)end);
	journal_noted_shipped(a->journal.dir_fd, &segment, &offset);
	if (segment == 0 && journal_range(a->journal.dir_fd, &segment,
	    &offset) == 0)
		offset = 0;
	at = logical(a, segment, offset);
	atomic_store(&a->words->shipped_bytes, (uint64_t)(at < end ? at : end));
}

static bool
open_journal(struct auditor *a)
{
	struct err e;

	if (journal_open(&a->journal, a->dir, a->segment_bytes, &e) < 0) {
		/* The auditor of a master that was killed may still save what
		 * was in its pipe. */
		if (a->locked_ms == 0)
			a->locked_ms = clock_mono_ms();
		if (e.code != ERR_CONFLICT ||
		    clock_mono_ms() - a->locked_ms > LOCK_WAIT_MS)
			set_failing(a, "cannot open the journal", e.text);
		return false;
	}
	a->journal_open = true;
	a->locked_ms = 0;
	a->unsynced = true;
	start_reader(a);
	return true;
}

/* Stores the slot's number and wakes who waits for it. */
static void
acknowledge(struct auditor *a, const struct audit_frame *f)
{
	_Atomic uint64_t *word;

	if (f->slot >= a->shm->sizes.slots)
		return;
	word = &shm_ack_word(a->shm, f->slot)->v;
	atomic_store_explicit(word, f->seq, memory_order_release);
	if (a->conf->audit_sync != AUDIT_SYNC_ASYNC)
		(void)syscall(SYS_futex, (uintptr_t)word +
		    (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0),
		    FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Reads back what is new in the journal. */
static void
read_back(struct auditor *a)
{
	struct span frame, payload;
	struct audit_frame f;
	int64_t segment, offset;
	uint64_t records = 0;
	int n;

	journal_reader_end(&a->reader, a->journal.segment, a->journal.size);
	while ((n = journal_reader_next(&a->reader, &f, &frame,
	    &payload)) > 0) {
		if ((f.flags & FLAG_LAST) == 0)
			continue;
		records++;
		acknowledge(a, &f);
	}
	if (n < 0)
		set_failing(a, "cannot read the journal back", strerror(errno));
	if (records > 0)
		atomic_fetch_add(&a->words->records, records);
	if (a->reader.damaged > 0) {
		atomic_fetch_add(&a->words->damaged, a->reader.damaged);
		log_error("%llu damaged places in the audit stream",
		    (unsigned long long)a->reader.damaged);
		a->reader.damaged = 0;
	}
	journal_reader_at(&a->reader, &segment, &offset);
	if (segment > 0)
		atomic_store(&a->words->journal_bytes,
		    (uint64_t)logical(a, segment, offset));
}

static int
sync_journal(struct auditor *a)
{
	if (!a->unsynced)
		return 0;
	if (journal_sync(&a->journal) < 0) {
		set_unwritable(a, "cannot sync the journal");
		return -1;
	}
	a->unsynced = false;
	atomic_store(&a->words->durable_bytes, (uint64_t)logical(a,
	    a->journal.segment, a->journal.size));
	return 0;
}

/* Empties the pipe into the journal, at most one round. Bytes or -1. */
static ssize_t
drain(struct auditor *a)
{
	ssize_t n, sum = 0;

	while (sum < ROUND_BYTES) {
		n = journal_splice(&a->journal, a->pipe_fd,
		    (size_t)(ROUND_BYTES - sum));
		if (n < 0) {
			set_unwritable(a, "cannot write the journal");
			return sum > 0 ? sum : -1;
		}
		if (n == 0)
			break;
		sum += n;
		a->unsynced = true;
	}
	return sum;
}

static void
update_state(struct auditor *a)
{
	uint64_t end = atomic_load(&a->words->journal_bytes);
	uint64_t shipped = atomic_load(&a->words->shipped_bytes);
	enum shm_audit_state state = AUDIT_STATE_OK;

	if (a->failing)
		state = AUDIT_STATE_FAILING;
	else if (end > shipped &&
	    end - shipped > (uint64_t)a->conf->spool_max)
		state = AUDIT_STATE_SPOOL_FULL;
	if (atomic_load(&a->words->state) != (uint64_t)state)
		atomic_store(&a->words->state, (uint64_t)state);
}

static void
run_shipper(struct auditor *a, pid_t parent)
{
	struct ship_settings set = {
		.dir = a->dir, .node = a->node,
		.database_url = a->conf->database_url,
		.token_secret = a->conf->token_secret,
		.database_timeout_ms = a->conf->database_timeout_ms,
		.retention_days = a->conf->retention_days,
		.spool_max = a->conf->spool_max,
		.drain_timeout_ms = a->conf->drain_timeout_ms,
		.segment_bytes = a->segment_bytes,
		.fresh_from = a->fresh_from,
	};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(0);
	log_init("shipper");
	/* The lock must be the auditor's alone, or it would outlive it. */
	journal_close(&a->journal);
	journal_reader_free(&a->reader);
	close(a->pipe_fd);
	ship_main(a->shm, &set);
	_exit(0);
}

static void
start_shipper(struct auditor *a)
{
	pid_t parent = getpid();

	if (a->shipper > 0 || clock_mono_ms() < a->shipper_ms)
		return;
	a->shipper_ms = clock_mono_ms() + SHIPPER_PAUSE_MS;
	a->shipper = fork();
	if (a->shipper == 0)
		run_shipper(a, parent);
	if (a->shipper < 0)
		log_warn("cannot start the shipper: %s", strerror(errno));
}

/* How a shipper ends says nothing about the records: see ship.c. */
static void
reap_shipper(struct auditor *a, int flags)
{
	int status = 0;

	if (a->shipper <= 0 || waitpid(a->shipper, &status, flags) == 0)
		return;
	a->shipper = 0;
	atomic_store(&a->words->db_ok, 0);
	if (!stop && !WIFEXITED(status))
		log_warn("the shipper was ended by signal %d",
		    WTERMSIG(status));
}

static void
kill_shipper(struct auditor *a)
{
	if (a->shipper <= 0)
		return;
	kill(a->shipper, SIGKILL);
	reap_shipper(a, 0);
	a->shipper_ms = 0;
}

static void
check(struct auditor *a)
{
	if (clock_mono_ms() < a->check_ms)
		return;
	a->check_ms = clock_mono_ms() + CHECK_MS;
	if (a->other_shipper)
		kill_shipper(a);
	a->other_shipper = false;
	reap_shipper(a, WNOHANG);
	if (a->journal_open)
		start_shipper(a);
}

/* A full disk gets back the space of what PostgreSQL has. Not beyond what
 * was read back here: the reader must not find a hole in its way. */
static void
give_back(struct auditor *a)
{
	uint64_t at = atomic_load(&a->words->shipped_bytes);
	uint64_t end = atomic_load(&a->words->journal_bytes);
	uint64_t size = (uint64_t)a->segment_bytes;

	if (at > end)
		at = end;
	journal_give_back(&a->journal, (int64_t)(at / size) + 1,
	    (int64_t)(at % size));
}

/* One round. Bytes moved, or -1 while the journal cannot be written. */
static ssize_t
turn(struct auditor *a)
{
	ssize_t n;

	if (!a->journal_open && !open_journal(a))
		return -1;
	if (a->disk_full)
		give_back(a);
	if (a->failing && journal_probe(&a->journal) < 0)
		return -1;
	a->failing = a->disk_full = false;
	n = drain(a);
	/* After, not before: who wrote what was just moved may have known the
	 * newest audit.sync, and must be answered by it. */
	read_conf(a);
	if (n < 0 || (a->conf->audit_sync == AUDIT_SYNC_FSYNC &&
	    sync_journal(a) < 0))
		return -1;
	read_back(a);
	update_state(a);
	return a->failing ? -1 : n;
}

static void
wait_more(struct auditor *a, ssize_t moved)
{
	struct pollfd p = { .fd = a->pipe_fd, .events = POLLIN };
	bool waited_for = a->conf->audit_sync != AUDIT_SYNC_ASYNC;

	if (moved < 0) {
		clock_nap_ms(a->journal_open ? FAILING_MS : NAP_IDLE_MS);
		return;
	}
	a->idle = moved > 0 ? 0 : a->idle + 1;
	if (moved > 0 && waited_for)
		return;
	if (moved > 0)
		clock_nap_ms(moved > a->pipe_bytes / MUCH_OF_PIPE ? NAP_BUSY_MS :
		    NAP_IDLE_MS);
	else if (!waited_for && a->idle < IDLE_NAPS)
		clock_nap_ms(NAP_IDLE_MS);
	else if (poll(&p, 1, POLL_MS) > 0 && (p.revents & POLLIN) == 0)
		clock_nap_ms(NAP_IDLE_MS);	/* no writer is left: not a busy loop */
}

static bool
is_orphan(const struct auditor *a)
{
	return getppid() != a->master;
}

/*
 * The master is dead. The writers are, or are dying; once the pipe has no
 * writer and is empty, it has all that was ever answered for. Nobody waits
 * for an acknowledgement, and the next omni2d ships.
 */
static void
save(struct auditor *a)
{
	int64_t deadline_ms = clock_mono_ms() + SAVE_MS, left_ms;
	struct pollfd p = { .fd = a->pipe_fd, .events = POLLIN };
	ssize_t n;

	if (a->shipper > 0)
		kill(a->shipper, SIGKILL);
	while ((left_ms = deadline_ms - clock_mono_ms()) > 0) {
		n = a->journal_open || open_journal(a) ? drain(a) : -1;
		if (n < 0)
			clock_nap_ms(NAP_BUSY_MS);
		else if (n == 0 && poll(&p, 1, (int)left_ms) > 0 &&
		    (p.revents & POLLIN) == 0)
			break;
	}
	if (a->journal_open)
		(void)sync_journal(a);
}

/* After SIGTERM: the pipe is emptied; the shipper gets what time is left. */
static void
finish(struct auditor *a)
{
	int64_t deadline_ms = clock_mono_ms() + a->conf->drain_timeout_ms;
	ssize_t n;

	while (!is_orphan(a) && (n = turn(a)) != 0 &&
	    clock_mono_ms() < deadline_ms)
		if (n < 0)
			clock_nap_ms(NAP_IDLE_MS);
	if (a->journal_open && !is_orphan(a))
		(void)sync_journal(a);
	if (a->shipper > 0)
		kill(a->shipper, SIGTERM);
	while (!is_orphan(a) && a->shipper > 0 &&
	    clock_mono_ms() < deadline_ms) {
		(void)turn(a);
		clock_nap_ms(NAP_BUSY_MS);
		reap_shipper(a, WNOHANG);
	}
	if (is_orphan(a)) {
		save(a);
		return;
	}
	kill_shipper(a);
	(void)turn(a);
}

static void
start(struct auditor *a, struct shm *shm, int pipe_fd, int64_t segment_bytes)
{
	struct sigaction sa = { .sa_handler = on_term };
	sigset_t term;

	a->shm = shm;
	a->words = shm_audit(shm);
	a->pipe_fd = pipe_fd;
	a->segment_bytes = segment_bytes;
	/* By its slot: it may have died before we could ask who it is. */
	a->master = atomic_load(&shm_slot(shm,
	    shm_kind_first(KIND_MASTER))->pid);
	if (a->master == 0)
		a->master = getppid();
	sigaction(SIGTERM, &sa, NULL);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
	(void)fcntl(pipe_fd, F_SETPIPE_SZ, PIPE_BYTES);
	a->pipe_bytes = fcntl(pipe_fd, F_GETPIPE_SZ);
	atomic_store(&a->words->state, AUDIT_STATE_STARTING);
	read_conf(a);
	set_names(a);
}

int
auditor_run(struct shm *shm, uint32_t slot, int pipe_read_fd,
    int64_t segment_bytes)
{
	struct auditor *a = xcalloc(1, sizeof(*a));

	(void)slot;
	start(a, shm, pipe_read_fd, segment_bytes);
	slot_state(shm, SLOT_IDLE);
	while (!stop && !is_orphan(a)) {
		ssize_t moved = turn(a);

		check(a);
		if (!stop)
			wait_more(a, moved);
	}
	finish(a);
	if (a->journal_open) {
		journal_reader_free(&a->reader);
		journal_close(&a->journal);
	}
	free(a->conf);
	free(a);
	return 0;
}

int
auditor_main(struct shm *shm, uint32_t slot, int pipe_read_fd)
{
	return auditor_run(shm, slot, pipe_read_fd, JOURNAL_SEGMENT_BYTES);
}
