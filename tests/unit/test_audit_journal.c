/*
 * The journal and what writes and reads it: rotation, recovery, failing
 * disks (by --wrap), emitters, and the auditor without a database.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/auditor_int.h"
#include "audit/emit.h"
#include "audit/journal.h"
#include "audit/journal_read.h"
#include "base/clock.h"
#include "base/log.h"
#include "pgtest.h"
#include "shm/gen.h"
#include "shm/slot.h"

int	__wrap_fdatasync(int);
int	__real_fdatasync(int);
ssize_t	__wrap_splice(int, loff_t *, int, loff_t *, size_t, unsigned);
ssize_t	__real_splice(int, loff_t *, int, loff_t *, size_t, unsigned);

/* Shared with the auditor's process. */
static struct disk {
	_Atomic int fail_syncs, fail_splices;
	_Atomic long room;		/* bytes a file may have; 0: any */
	_Atomic int auditor;		/* its process id */
} *disk;

int
__wrap_fdatasync(int fd)
{
	if (atomic_load(&disk->fail_syncs) > 0) {
		atomic_fetch_sub(&disk->fail_syncs, 1);
		errno = EIO;
		return -1;
	}
	return __real_fdatasync(fd);
}

ssize_t
__wrap_splice(int in, loff_t *in_at, int out, loff_t *out_at, size_t n,
    unsigned flags)
{
	long room = atomic_load(&disk->room);
	struct stat st;

	if (room > 0 && fstat(out, &st) == 0) {
		room -= (long)st.st_blocks * 512;
		if (room > 0 && (size_t)room < n)
			n = (size_t)room;
	}
	if (atomic_load(&disk->fail_splices) > 0 || room < 0 ||
	    (room == 0 && atomic_load(&disk->room) > 0)) {
		errno = ENOSPC;
		return -1;
	}
	return __real_splice(in, in_at, out, out_at, n, flags);
}

#define SEGMENT	65536

static char dir[200];
static int pipe_fd[2];
static struct err e;

static void
fresh_dir(void)
{
	static int n;

	snprintf(dir, sizeof(dir), "%s/j%d", pgtest_dir(), n++);
}

static int
fresh_pipe(void **state)
{
	(void)state;
	fresh_dir();
	return pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK);
}

static int
close_pipe(void **state)
{
	(void)state;
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return 0;
}

/* Writes a record of n bytes of payload as frames of a slot. */
static void
put_record(uint32_t slot, uint64_t seq, size_t n)
{
	struct buf json, out;
	size_t at[65], i;
	int k, frames;

	buf_init(&json, 1 << 20);
	buf_init(&out, 1 << 20);
	for (i = 0; i < n; i++)
		buf_add_char(&json, (char)('a' + seq % 26));
	frames = audit_frames(buf_span(&json), slot, seq, &out, at, 64);
	assert_true(frames > 0);
	at[frames] = out.n;
	for (k = 0; k < frames; k++)
		assert_int_equal(write(pipe_fd[1], out.p + at[k],
		    at[k + 1] - at[k]), at[k + 1] - at[k]);
	buf_free(&json);
	buf_free(&out);
}

static void
move_all(struct journal *j)
{
	ssize_t n;

	while ((n = journal_splice(j, pipe_fd[0], 100000)) > 0)
		;
	assert_int_equal(n, 0);
}

/* Reads on: returns how many frames; checks that their numbers follow. */
static int
read_frames(struct journal_reader *r, uint64_t *next)
{
	struct span frame, payload;
	struct audit_frame f;
	int n = 0;

	while (journal_reader_next(r, &f, &frame, &payload) == 1) {
		assert_int_equal(f.seq, (*next)++);
		n++;
	}
	return n;
}

static void
names_and_lock(void **state)
{
	struct journal a, b;
	char id[37];

	(void)state;
	assert_int_equal(journal_open(&a, dir, SEGMENT, &e), 0);
	assert_int_equal(strlen(a.id), 36);
	assert_int_equal(a.segment, 1);
	assert_int_equal(journal_open(&b, dir, SEGMENT, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(journal_probe(&a), 0);
	strcpy(id, a.id);
	journal_close(&a);
	assert_int_equal(journal_open(&b, dir, SEGMENT, &e), 0);
	assert_string_equal(b.id, id);
	journal_close(&b);
	assert_int_equal(journal_open(&a, "/proc/none/x", SEGMENT, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
}

static void
rotation(void **state)
{
	struct journal_reader r;
	int64_t oldest, newest, segment, offset;
	uint64_t seq, next = 0;
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, dir, SEGMENT, &e), 0);
	journal_reader_init(&r, j.dir_fd, 0, 0);
	assert_int_equal(read_frames(&r, &next), 0);
	for (seq = 0; seq < 1000; seq++) {
		put_record(1, seq, 300 + seq % 7);
		if (seq % 10 == 9)
			move_all(&j);
		/* A writer that is replaced goes on at the end. */
		if (seq % 300 == 299) {
			journal_close(&j);
			assert_int_equal(journal_open(&j, dir, SEGMENT, &e),
			    0);
			r.dir_fd = j.dir_fd;
		}
		if (seq % 35 == 0)
			read_frames(&r, &next);
	}
	read_frames(&r, &next);
	assert_int_equal(next, 1000);
	assert_int_equal(r.damaged + r.gaps, 0);
	assert_int_equal(journal_range(j.dir_fd, &oldest, &newest), 0);
	assert_int_equal(oldest, 1);
	assert_int_equal(newest, 1000 * 335 / SEGMENT + 1);
	journal_reader_at(&r, &segment, &offset);
	assert_int_equal(segment, newest);
	assert_int_equal(offset, j.size);
	journal_reader_free(&r);
	journal_close(&j);
}

/* From every position that was handed out, reading goes on just there. */
static void
positions(void **state)
{
	struct { int64_t segment, offset; } at[400];
	struct span frame, payload;
	struct journal_reader r;
	struct audit_frame f;
	struct journal j;
	uint64_t seq, next;
	int i;

	(void)state;
	assert_int_equal(journal_open(&j, dir, SEGMENT, &e), 0);
	for (seq = 0; seq < 400; seq++) {
		put_record(1, seq, 500);
		move_all(&j);
	}
	journal_reader_init(&r, j.dir_fd, 1, 0);
	for (i = 0; i < 400; i++) {
		journal_reader_at(&r, &at[i].segment, &at[i].offset);
		assert_int_equal(journal_reader_next(&r, &f, &frame, &payload),
		    1);
	}
	journal_reader_free(&r);
	for (i = 0; i < 400; i += 7) {
		journal_reader_init(&r, j.dir_fd, at[i].segment, at[i].offset);
		next = (uint64_t)i;
		assert_int_equal(read_frames(&r, &next), 400 - i);
		assert_int_equal(r.damaged + r.gaps, 0);
		journal_reader_free(&r);
	}
	journal_close(&j);
}

static void
damage(void **state)
{
	struct span frame, payload;
	struct journal_reader r;
	struct audit_frame f;
	struct journal j;
	int n = 0;

	(void)state;
	assert_int_equal(journal_open(&j, dir, 1 << 20, &e), 0);
	put_record(1, 0, 100);
	put_record(1, 1, 100);
	put_record(1, 2, 100);
	put_record(1, 3, 100);
	move_all(&j);
	/* One byte of the second, and the end cut off, then more. */
	assert_int_equal(pwrite(j.fd, "X", 1, 150), 1);
	assert_int_equal(ftruncate(j.fd, 500), 0);
	journal_close(&j);
	assert_int_equal(journal_open(&j, dir, 1 << 20, &e), 0);
	put_record(1, 4, 100);
	move_all(&j);
	journal_reader_init(&r, j.dir_fd, 0, 0);
	while (journal_reader_next(&r, &f, &frame, &payload) == 1)
		n += 1 << f.seq;
	assert_int_equal(n, 1 + 4 + 16);
	assert_int_equal(r.damaged, 2);
	journal_reader_free(&r);
	journal_close(&j);
}

static void
missing_segments(void **state)
{
	struct journal_reader r;
	struct span frame, payload;
	struct audit_frame f;
	struct journal j;
	uint64_t seq;
	int n = 0;

	(void)state;
	assert_int_equal(journal_open(&j, dir, SEGMENT, &e), 0);
	for (seq = 0; seq < 600; seq++) {
		put_record(1, seq, 600);
		move_all(&j);
	}
	assert_true(j.segment >= 5);
	assert_int_equal(unlinkat(j.dir_fd, "0000000003.journal", 0), 0);
	journal_reader_init(&r, j.dir_fd, 2, 0);
	while (journal_reader_next(&r, &f, &frame, &payload) == 1)
		n++;
	assert_int_equal(r.gaps, 1);
	assert_true(n > 350);
	assert_int_equal(f.seq, 599);
	journal_reader_free(&r);
	/* Begins at one that is gone. */
	journal_reader_init(&r, j.dir_fd, 3, 77);
	assert_int_equal(journal_reader_next(&r, &f, &frame, &payload), 1);
	assert_int_equal(r.gaps, 1);
	journal_reader_free(&r);
	journal_close(&j);
	/* All gone: numbers that were shipped do not come again. */
	{
		char cmd[300];
		int fd = open(dir, O_RDONLY | O_DIRECTORY);

		journal_note_shipped(fd, 6, 100);
		close(fd);
		snprintf(cmd, sizeof(cmd), "rm %s/*.journal", dir);
		assert_int_equal(system(cmd), 0);
	}
	assert_int_equal(journal_open(&j, dir, SEGMENT, &e), 0);
	assert_int_equal(j.segment, 7);
	journal_close(&j);
}

static void
sync_fails(void **state)
{
	struct journal_reader ahead, late;
	int64_t segment, offset;
	struct journal j;
	uint64_t seq, next = 0, late_next = 0;

	(void)state;
	assert_int_equal(journal_open(&j, dir, 1 << 20, &e), 0);
	for (seq = 0; seq < 10; seq++)
		put_record(1, seq, 100);
	move_all(&j);
	assert_int_equal(journal_sync(&j), 0);
	for (; seq < 20; seq++)
		put_record(1, seq, 100);
	move_all(&j);
	/* One reader has read everything, another comes later. */
	journal_reader_init(&ahead, j.dir_fd, 1, 0);
	assert_int_equal(read_frames(&ahead, &next), 20);
	disk->fail_syncs = 1;
	assert_int_equal(journal_sync(&j), 0);
	assert_int_equal(j.segment, 2);
	assert_int_equal(j.size, 10 * 132);
	for (; seq < 30; seq++)
		put_record(1, seq, 100);
	move_all(&j);
	assert_int_equal(read_frames(&ahead, &next), 10);
	journal_reader_at(&ahead, &segment, &offset);
	assert_int_equal(segment, 2);
	assert_int_equal(offset, j.size);
	journal_reader_init(&late, j.dir_fd, 1, 0);
	assert_int_equal(read_frames(&late, &late_next), 30);
	assert_int_equal(ahead.damaged + late.damaged, 0);
	journal_reader_free(&ahead);
	journal_reader_free(&late);
	/* A position from before the move is still the same place. */
	next = 17;
	journal_reader_init(&ahead, j.dir_fd, 1, 17 * 132);
	assert_int_equal(read_frames(&ahead, &next), 13);
	journal_reader_free(&ahead);
	/* The disk takes nothing at all: said, nothing is lost. */
	put_record(1, seq, 100);
	move_all(&j);
	disk->fail_syncs = 2;
	assert_int_equal(journal_sync(&j), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(journal_sync(&j), 0);
	next = 0;
	journal_reader_init(&ahead, j.dir_fd, 0, 0);
	assert_int_equal(read_frames(&ahead, &next), 31);
	journal_reader_free(&ahead);
	journal_close(&j);
}

/* Killed between the steps of moving a tail. */
static void
tail_recovery(void **state)
{
	struct journal_reader r;
	struct journal j;
	uint64_t seq, next = 0;
	char cmd[700];

	(void)state;
	assert_int_equal(journal_open(&j, dir, 1 << 20, &e), 0);
	for (seq = 0; seq < 20; seq++)
		put_record(1, seq, 100);
	move_all(&j);
	journal_close(&j);
	snprintf(cmd, sizeof(cmd), "cd %s && tail -c %d 0000000001.journal "
	    ">0000000002.tail-%d && touch 0000000002.copy", dir, 5 * 132,
	    15 * 132);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(journal_open(&j, dir, 1 << 20, &e), 0);
	assert_int_equal(j.segment, 2);
	assert_int_equal(j.size, 5 * 132);
	journal_reader_init(&r, j.dir_fd, 0, 0);
	assert_int_equal(read_frames(&r, &next), 20);
	assert_int_equal(r.damaged, 0);
	journal_reader_free(&r);
	journal_close(&j);
}

static void
splice_fails(void **state)
{
	struct journal_reader r;
	uint64_t next = 0;
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, dir, SEGMENT, &e), 0);
	put_record(1, 0, 100);
	disk->fail_splices = 1;
	assert_int_equal(journal_splice(&j, pipe_fd[0], 1000), -1);
	assert_int_equal(errno, ENOSPC);
	disk->fail_splices = 0;
	move_all(&j);
	journal_reader_init(&r, j.dir_fd, 0, 0);
	assert_int_equal(read_frames(&r, &next), 1);
	journal_reader_free(&r);
	/* No writer is left: the end, not an error. */
	close(pipe_fd[1]);
	assert_int_equal(journal_splice(&j, pipe_fd[0], 1000), 0);
	pipe_fd[1] = -1;
	journal_close(&j);
}

/* --- emitter and auditor --- */

static struct shm shm;

static void
publish(enum audit_sync sync, int64_t spool_max)
{
	size_t size;
	int b = shm_gen_free(&shm, SNAP_CONF);
	struct conf *c = shm_gen_buffer(&shm, SNAP_CONF, b, &size);

	conf_defaults(c);
	snprintf(c->state_dir, sizeof(c->state_dir), "%s", dir);
	c->audit_sync = sync;
	c->spool_max = spool_max;
	c->drain_timeout_ms = 2000;
	shm_gen_publish(&shm, SNAP_CONF, b);
}

static int
with_shm(void **state)
{
	struct shm_sizes sizes = { .slots = 32, .perm_entries = 64,
		.rate_principals = 64, .connections = 16,
		.rate_window_ms = 3600000, .conf_size = sizeof(struct conf),
		.policy_size = 4096, .catalog_size = 4096 };

	if (shm_create(&shm, &sizes, &e) < 0)
		return -1;
	return fresh_pipe(state);
}

static int
without_shm(void **state)
{
	shm_destroy(&shm);
	return close_pipe(state);
}

static struct audit_record
record(size_t size)
{
	static char args[200000];
	struct audit_record r = { .node = SPAN_LIT("n"),
		.principal = SPAN_LIT("p@example.com"),
		.method = SPAN_LIT("tools/call") };

	assert_true(size >= 2 && size < sizeof(args));
	memset(args, 'x', size);
	args[0] = args[size - 1] = '"';
	r.wall_us = clock_wall_us();
	audit_record_id(r.id, r.wall_us);
	r.arguments = span_make(args, size);
	return r;
}

static void
ready(void **state)
{
	static const struct {
		enum shm_audit_state state;
		enum audit_failure on_failure;
		int rv;
	} t[] = {
		{ AUDIT_STATE_STARTING, AUDIT_FAIL_DENY, 0 },
		{ AUDIT_STATE_OK, AUDIT_FAIL_DENY, 0 },
		{ AUDIT_STATE_FAILING, AUDIT_FAIL_DENY, -1 },
		{ AUDIT_STATE_SPOOL_FULL, AUDIT_FAIL_DENY, -1 },
		{ AUDIT_STATE_FAILING, AUDIT_FAIL_ALLOW, 0 },
		{ AUDIT_STATE_SPOOL_FULL, AUDIT_FAIL_ALLOW, 0 },
	};
	struct audit_emitter em;
	size_t i;

	(void)state;
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		atomic_store(&shm_audit(&shm)->state, t[i].state);
		e = (struct err){ 0 };
		assert_int_equal(audit_ready(&em, t[i].on_failure, &e),
		    t[i].rv);
		if (t[i].rv < 0) {
			assert_int_equal(e.code, ERR_AUDIT);
			assert_int_equal(e.retry_after_s, 1);
		}
	}
}

static void
emitting(void **state)
{
	struct audit_record r = record(10), big = record(10000);
	struct audit_emitter em, again;
	char bytes[65536];
	struct span in, payload;
	struct audit_frame f;
	uint64_t first, seq;
	int n = 0;

	(void)state;
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	first = atomic_load(&shm_slot(&shm, 9)->audit_seq);
	assert_true(first > 0);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_ASYNC, 0, &e), 0);
	r = record(10000);
	assert_int_equal(audit_emit(&em, &big, AUDIT_SYNC_ASYNC, 0, &e), 0);
	/* The next child of the slot counts on. */
	audit_emitter_init(&again, &shm, pipe_fd[1], 9);
	assert_int_equal(audit_emit(&again, &r, AUDIT_SYNC_ASYNC, 0, &e), 0);
	in = span_make(bytes, (size_t)read(pipe_fd[0], bytes, sizeof(bytes)));
	seq = first;
	while (in.n > 0) {
		long used = audit_frame_read(in, &f, &payload);

		assert_true(used > 0);
		if ((f.flags & 2) != 0)
			seq++;
		assert_int_equal(f.seq, seq);
		assert_int_equal(f.slot, 9);
		in = span_skip(in, (size_t)used);
		n++;
	}
	assert_int_equal(seq, first + 3);
	assert_int_equal(n, 1 + 3 + 3);
	buf_free(&em.json);
	buf_free(&em.frames);
	buf_free(&again.json);
	buf_free(&again.frames);
}

static void
emitting_fails(void **state)
{
	struct audit_record r = record(3000);
	struct audit_emitter em;
	int i;

	(void)state;
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	/* Nobody reads: full at some time, and then a deadline counts. */
	for (i = 0; i < 1000; i++)
		if (audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
		    clock_mono_ms() + 20, &e) < 0)
			break;
	assert_true(i > 5 && i < 1000);
	assert_int_equal(e.code, ERR_AUDIT);
	assert_non_null(strstr(e.text, "full"));
	/* Nobody confirms. */
	while (read(pipe_fd[0], (char[65536]){ 0 }, 65536) > 0)
		;
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_FSYNC,
	    clock_mono_ms() + 20, &e), -1);
	assert_int_equal(e.code, ERR_AUDIT);
	assert_non_null(strstr(e.text, "confirm"));
	/* An old answer is none. */
	atomic_store(&shm_ack_word(&shm, 9)->v,
	    atomic_load(&shm_slot(&shm, 9)->audit_seq));
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_JOURNAL,
	    clock_mono_ms() + 20, &e), -1);
	/* The pipe is gone. */
	signal(SIGPIPE, SIG_IGN);
	close(pipe_fd[0]);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
	    clock_mono_ms() + 1000, &e), -1);
	pipe_fd[0] = -1;
	buf_free(&em.json);
	buf_free(&em.frames);
}

static int lock_fd = -1;

static void
run_auditor(void)
{
	if (lock_fd >= 0)
		close(lock_fd);
	shm.slot = shm_kind_first(KIND_AUDITOR);
	log_init("auditor");
	_exit(auditor_run(&shm, shm.slot, pipe_fd[0], 1 << 20));
}

static pid_t
start_auditor(void)
{
	pid_t pid;

	/* Until it says something else. */
	atomic_store(&shm_audit(&shm)->state, AUDIT_STATE_STARTING);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_auditor();
	return pid;
}

static void
wait_state(enum shm_audit_state want)
{
	struct timespec ts = { 0, 5000000 };
	int64_t deadline_ms = clock_mono_ms() + 20000;

	while (atomic_load(&shm_audit(&shm)->state) != (uint64_t)want) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("state %d did not come", want);
		nanosleep(&ts, NULL);
	}
}

static void
end_auditor(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
auditor_modes(void **state)
{
	static const enum audit_sync modes[] = { AUDIT_SYNC_ASYNC,
		AUDIT_SYNC_JOURNAL, AUDIT_SYNC_FSYNC };
	const struct shm_audit *a = shm_audit(&shm);
	struct audit_record r = record(500);
	struct audit_emitter em;
	uint64_t before = 0;
	pid_t pid;
	int i, k;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	pid = start_auditor();
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	for (i = 0; i < 3; i++) {
		publish(modes[i], 1 << 30);
		for (k = 0; k < 50; k++)
			if (audit_emit(&em, &r, modes[i],
			    clock_mono_ms() + 20000, &e) < 0)
				fail_msg("%s", e.text);
		if (modes[i] == AUDIT_SYNC_ASYNC)
			continue;
		/* What was confirmed is where it should be. */
		assert_true(atomic_load(&shm_ack_word(&shm, 9)->v) ==
		    atomic_load(&shm_slot(&shm, 9)->audit_seq));
		if (modes[i] == AUDIT_SYNC_FSYNC)
			assert_true(atomic_load(&a->durable_bytes) > before);
		before = atomic_load(&a->journal_bytes);
	}
	end_auditor(pid);
	assert_int_equal(atomic_load(&a->records), 150);
	assert_int_equal(atomic_load(&a->damaged), 0);
	assert_true(atomic_load(&a->durable_bytes) >=
	    atomic_load(&a->journal_bytes));
	assert_int_equal(atomic_load(&a->waiters_mode), AUDIT_SYNC_FSYNC);
	buf_free(&em.json);
	buf_free(&em.frames);
}

static void
auditor_failing_disk(void **state)
{
	struct audit_record r = record(500);
	struct audit_emitter em;
	pid_t pid;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_FSYNC, 1 << 30);
	pid = start_auditor();
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	wait_state(AUDIT_STATE_OK);
	/* Disk full: refused, kept in the pipe, and in time taken. */
	atomic_store(&disk->fail_splices, 1);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_FSYNC,
	    clock_mono_ms() + 300, &e), -1);
	wait_state(AUDIT_STATE_FAILING);
	assert_int_equal(audit_ready(&em, AUDIT_FAIL_DENY, &e), -1);
	atomic_store(&disk->fail_splices, 0);
	wait_state(AUDIT_STATE_OK);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_FSYNC,
	    clock_mono_ms() + 20000, &e), 0);
	/* The disk loses what it was given: the tail moves on. */
	atomic_store(&disk->fail_syncs, 1);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_FSYNC,
	    clock_mono_ms() + 20000, &e), 0);
	/* It takes nothing for a while: no confirmation, then one. */
	atomic_store(&disk->fail_syncs, 1000000);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_FSYNC,
	    clock_mono_ms() + 300, &e), -1);
	wait_state(AUDIT_STATE_FAILING);
	atomic_store(&disk->fail_syncs, 0);
	wait_state(AUDIT_STATE_OK);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_FSYNC,
	    clock_mono_ms() + 20000, &e), 0);
	end_auditor(pid);
	assert_int_equal(atomic_load(&shm_audit(&shm)->records), 5);
	buf_free(&em.json);
	buf_free(&em.frames);
}

/* The directory cannot be made, then it can; the spool is full, then not. */
static void
auditor_states(void **state)
{
	struct audit_record r = record(50000);
	struct audit_emitter em;
	char path[300];
	pid_t pid;
	int i;

	(void)state;
	publish(AUDIT_SYNC_ASYNC, 1 << 20);
	pid = start_auditor();
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	wait_state(AUDIT_STATE_FAILING);
	assert_int_equal(mkdir(dir, 0700), 0);
	wait_state(AUDIT_STATE_OK);
	for (i = 0; i < 30; i++)
		assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
		    clock_mono_ms() + 20000, &e), 0);
	wait_state(AUDIT_STATE_SPOOL_FULL);
	assert_int_equal(audit_ready(&em, AUDIT_FAIL_DENY, &e), -1);
	/* Killed: the next one knows it too. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	atomic_store(&shm_audit(&shm)->state, AUDIT_STATE_OK);
	pid = start_auditor();
	wait_state(AUDIT_STATE_SPOOL_FULL);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	wait_state(AUDIT_STATE_OK);
	end_auditor(pid);
	assert_int_equal(atomic_load(&shm_audit(&shm)->records), 30);
	snprintf(path, sizeof(path), "%s/journal/id", dir);
	assert_int_equal(access(path, R_OK), 0);
	buf_free(&em.json);
	buf_free(&em.frames);
}

/* Frames that a killed auditor moved but never confirmed. */
static void
auditor_confirms_late(void **state)
{
	struct audit_record r = record(100);
	struct audit_emitter em;
	struct journal j;
	char path[300];
	pid_t pid;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(path, sizeof(path), "%s/journal", dir);
	publish(AUDIT_SYNC_JOURNAL, 1 << 30);
	pid = start_auditor();
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_JOURNAL,
	    clock_mono_ms() + 20000, &e), 0);
	end_auditor(pid);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_JOURNAL,
	    clock_mono_ms() + 10, &e), -1);
	assert_int_equal(journal_open(&j, path, 1 << 20, &e), 0);
	move_all(&j);
	journal_close(&j);
	pid = start_auditor();
	wait_state(AUDIT_STATE_OK);
	end_auditor(pid);
	assert_true(atomic_load(&shm_ack_word(&shm, 9)->v) ==
	    atomic_load(&shm_slot(&shm, 9)->audit_seq));
	assert_int_equal(atomic_load(&shm_audit(&shm)->records), 2);
	buf_free(&em.json);
	buf_free(&em.frames);
}

/* The numbers of slot 9 in the journal, from the oldest one there is. */
static int
count_frames(uint64_t *first, uint64_t *last)
{
	struct span frame, payload;
	struct journal_reader r;
	struct audit_frame f;
	char path[300];
	int fd, n = 0;

	snprintf(path, sizeof(path), "%s/journal", dir);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	journal_reader_init(&r, fd, 0, 0);
	r.in_damage = true;		/* may begin with a hole */
	while (journal_reader_next(&r, &f, &frame, &payload) == 1) {
		if (n++ == 0)
			*first = f.seq;
		else
			assert_int_equal(f.seq, *last + 1);
		*last = f.seq;
	}
	assert_int_equal(r.damaged, 0);
	journal_reader_free(&r);
	close(fd);
	return n;
}

#define SHIP_RECORDS	500

/* Plays the shipper, and waits until the journal grows again. */
static void
ship(uint64_t upto)
{
	struct shm_audit *a = shm_audit(&shm);
	int64_t deadline_ms = clock_mono_ms() + 20000;
	uint64_t end = atomic_load(&a->journal_bytes);

	atomic_store(&a->shipped_bytes, upto);
	while (atomic_load(&a->journal_bytes) == end &&
	    atomic_load(&a->records) < SHIP_RECORDS) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("no space came back");
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
}

/* What is shipped gives its space back, what is not stays. */
static void
auditor_full_disk(void **state)
{
	struct shm_audit *a = shm_audit(&shm);
	struct audit_record r = record(700);
	struct audit_emitter em;
	uint64_t first, last, begin;
	pid_t pid;
	int i, n;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	atomic_store(&disk->room, 200000);
	pid = start_auditor();
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	begin = atomic_load(&shm_slot(&shm, 9)->audit_seq);
	for (n = 0; n < SHIP_RECORDS; n++)
		assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
		    clock_mono_ms() + 20000, &e), 0);
	wait_state(AUDIT_STATE_FAILING);
	/* Half of it: the other half is still there, and the rest of the
	 * pipe comes behind it. */
	i = count_frames(&first, &last);
	assert_true(i > 100 && i < SHIP_RECORDS);
	assert_int_equal(first, begin + 1);
	ship(atomic_load(&a->journal_bytes) / 2);
	count_frames(&first, &last);
	assert_true(first > begin + 50);
	assert_true(first <= begin + 1 + (uint64_t)i / 2);
	assert_true(last > begin + (uint64_t)i);
	/* All of it, but for the frame that is cut off by the end. */
	while (last != begin + SHIP_RECORDS) {
		ship(atomic_load(&a->journal_bytes));
		count_frames(&first, &last);
	}
	wait_state(AUDIT_STATE_OK);
	assert_int_equal(audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
	    clock_mono_ms() + 20000, &e), 0);
	end_auditor(pid);
	count_frames(&first, &last);
	assert_int_equal(last, begin + SHIP_RECORDS + 1);
	assert_int_equal(atomic_load(&a->records), SHIP_RECORDS + 1);
	assert_int_equal(atomic_load(&a->damaged), 0);
	atomic_store(&disk->room, 0);
	buf_free(&em.json);
	buf_free(&em.frames);
}

/* Removes what is before, never the newest. */
static void
give_back(void **state)
{
	int64_t oldest, newest;
	struct journal j;
	struct stat st;
	uint64_t seq;

	(void)state;
	assert_int_equal(journal_open(&j, dir, SEGMENT, &e), 0);
	for (seq = 0; seq < 1000; seq++) {
		put_record(1, seq, 300);
		move_all(&j);
	}
	assert_int_equal(j.segment, 6);
	journal_give_back(&j, 1, 100);
	assert_int_equal(journal_range(j.dir_fd, &oldest, &newest), 0);
	assert_int_equal(oldest, 1);
	journal_give_back(&j, 3, 4097);
	assert_int_equal(journal_range(j.dir_fd, &oldest, &newest), 0);
	assert_int_equal(oldest, 3);
	assert_int_equal(fstatat(j.dir_fd, "0000000003.journal", &st, 0), 0);
	assert_int_equal(st.st_size, SEGMENT);
	assert_int_equal(st.st_blocks * 512, SEGMENT - 4096);
	journal_give_back(&j, 7, 0);
	assert_int_equal(journal_range(j.dir_fd, &oldest, &newest), 0);
	assert_int_equal(oldest, 6);
	assert_int_equal(newest, 6);
	journal_close(&j);
}

/* --- without the master --- */

/* A master that has started an auditor, as master_spawn.c does. */
static pid_t
start_master(void)
{
	pid_t master;

	atomic_store(&disk->auditor, 0);
	master = fork();
	assert_true(master >= 0);
	if (master > 0) {
		while (atomic_load(&disk->auditor) == 0)
			nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
		return master;
	}
	close(pipe_fd[1]);
	if (fork() > 0) {
		if (lock_fd >= 0)
			close(lock_fd);
		pause();
		_exit(0);
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	atomic_store(&disk->auditor, getpid());
	run_auditor();
	return 0;
}

/* Milliseconds from the master's death to that of the auditor. */
static int64_t
kill_master(pid_t master, void (*meanwhile)(void))
{
	pid_t auditor = atomic_load(&disk->auditor);
	int64_t begin_ms = clock_mono_ms();
	int status;

	kill(master, SIGKILL);
	assert_int_equal(waitpid(master, &status, 0), master);
	if (meanwhile != NULL)
		meanwhile();
	/* It is ours now (PR_SET_CHILD_SUBREAPER). */
	while (waitpid(auditor, &status, WNOHANG) == 0) {
		if (clock_mono_ms() - begin_ms > 10000)
			kill(auditor, SIGKILL);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return clock_mono_ms() - begin_ms;
}

static struct audit_emitter late;

static void
emit_late(int n)
{
	struct audit_record r = record(500);

	while (n-- > 0)
		assert_int_equal(audit_emit(&late, &r, AUDIT_SYNC_ASYNC,
		    clock_mono_ms() + 20000, &e), 0);
}

static void
release_lock(void)
{
	close(lock_fd);
	lock_fd = -1;
}

/* Writers that die a little later, and a journal that somebody else has. */
static void
last_words(void)
{
	emit_late(50);
	nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	release_lock();
	nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	emit_late(50);
	close(pipe_fd[1]);
	pipe_fd[1] = -1;
}

static void
hold_lock(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/journal", dir);
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/journal/lock", dir);
	lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(lock_fd >= 0);
	assert_int_equal(flock(lock_fd, LOCK_EX | LOCK_NB), 0);
}

static void
master_killed(void **state)
{
	uint64_t first, last;
	int64_t took_ms;
	pid_t master;

	(void)state;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	/* Locked: nothing leaves the pipe before the master is dead. */
	hold_lock();
	audit_emitter_init(&late, &shm, pipe_fd[1], 9);
	master = start_master();
	emit_late(50);
	took_ms = kill_master(master, last_words);
	assert_true(took_ms < 900);
	assert_int_equal(count_frames(&first, &last), 150);
	buf_free(&late.json);
	buf_free(&late.frames);
}

/* Somebody keeps the pipe open: the auditor goes all the same. */
static void
master_killed_writer_stays(void **state)
{
	uint64_t first, last;
	int64_t took_ms;
	pid_t master;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	audit_emitter_init(&late, &shm, pipe_fd[1], 9);
	master = start_master();
	wait_state(AUDIT_STATE_OK);
	emit_late(50);
	took_ms = kill_master(master, NULL);
	assert_true(took_ms >= 400 && took_ms < 1000);
	assert_int_equal(count_frames(&first, &last), 50);
	buf_free(&late.json);
	buf_free(&late.frames);
}

/* While a stopping auditor waits for its shipper. */
static void
master_killed_late(void **state)
{
	int64_t took_ms;
	pid_t master;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	atomic_store(&disk->fail_splices, 1);
	master = start_master();
	audit_emitter_init(&late, &shm, pipe_fd[1], 9);
	emit_late(1);
	wait_state(AUDIT_STATE_FAILING);
	kill(atomic_load(&disk->auditor), SIGTERM);
	took_ms = kill_master(master, NULL);
	assert_true(took_ms < 1000);
	atomic_store(&disk->fail_splices, 0);
	buf_free(&late.json);
	buf_free(&late.frames);
}

/* A predecessor that still writes is waited for, but not for ever. */
static void
lock_is_waited_for(void **state)
{
	int64_t begin_ms;
	pid_t pid;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	publish(AUDIT_SYNC_ASYNC, 1 << 30);
	hold_lock();
	begin_ms = clock_mono_ms();
	pid = start_auditor();
	release_lock();
	wait_state(AUDIT_STATE_OK);
	assert_true(clock_mono_ms() - begin_ms < 2000);
	end_auditor(pid);
	hold_lock();
	begin_ms = clock_mono_ms();
	pid = start_auditor();
	wait_state(AUDIT_STATE_FAILING);
	assert_true(clock_mono_ms() - begin_ms >= 1900);
	release_lock();
	wait_state(AUDIT_STATE_OK);
	end_auditor(pid);
}

#define ON_PIPE(f) \
	cmocka_unit_test_setup_teardown(f, fresh_pipe, close_pipe)
#define ON_SHM(f) \
	cmocka_unit_test_setup_teardown(f, with_shm, without_shm)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PIPE(names_and_lock),
		ON_PIPE(rotation),
		ON_PIPE(positions),
		ON_PIPE(damage),
		ON_PIPE(missing_segments),
		ON_PIPE(sync_fails),
		ON_PIPE(tail_recovery),
		ON_PIPE(splice_fails),
		ON_PIPE(give_back),
		ON_SHM(ready),
		ON_SHM(emitting),
		ON_SHM(emitting_fails),
		ON_SHM(auditor_modes),
		ON_SHM(auditor_failing_disk),
		ON_SHM(auditor_states),
		ON_SHM(auditor_confirms_late),
		ON_SHM(auditor_full_disk),
		ON_SHM(master_killed),
		ON_SHM(master_killed_writer_stays),
		ON_SHM(master_killed_late),
		ON_SHM(lock_is_waited_for),
	};

	disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (disk == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
