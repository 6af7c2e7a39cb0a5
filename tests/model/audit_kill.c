/*
 * audit_kill -- writers, an auditor that is killed again and again, and a
 * PostgreSQL that crashes now and then: no record is lost or doubled. Then a
 * master that is killed, and everybody with it: nothing is lost that a writer
 * went on from, and all are gone within a second.
 *
 * This program plays the master, and then starts others that do.
 * OMNI2_AUDIT_KILLS: how often (100), each audit.sync for a third of them;
 * OMNI2_AUDIT_MASTER_KILLS: how often (6). Prints what it measured.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "audit/auditor_int.h"
#include "audit/emit.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "pgtest.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "store/store.h"

#define WRITERS		4
#define FIRST_SLOT	8
#define SEGMENT_BYTES	(1 << 20)
#define ROUNDS_MAX	1000
#define GONE_MS		1000

struct progress {
	_Atomic int	stop;
	_Atomic long	sent[WRITERS], failed[WRITERS];
	_Atomic int	mode;
	_Atomic int	round;		/* of masters; 0: this program */
	_Atomic long	answered[ROUNDS_MAX + 1][WRITERS];
};

static struct shm shm;
static struct progress *progress;
static int pipe_fd[2];
static const char *conninfo;

static void
check(bool ok, const char *what, const struct err *e)
{
	if (ok)
		return;
	fprintf(stderr, "FAILED: %s: %s\n", what, e == NULL ? "" : e->text);
	if (progress != NULL)
		atomic_store(&progress->stop, 1);
	exit(1);
}

static unsigned
any(unsigned n)
{
	uint32_t r;

	random_bytes(&r, sizeof(r));
	return r % n;
}

static void
pause_ms(unsigned ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

static void
publish_conf(enum audit_sync sync)
{
	size_t size;
	int b = shm_gen_free(&shm, SNAP_CONF);
	struct conf *c;

	check(b >= 0, "a free configuration buffer", NULL);
	c = shm_gen_buffer(&shm, SNAP_CONF, b, &size);
	check(size >= sizeof(*c), "configuration buffer", NULL);
	conf_defaults(c);
	snprintf(c->state_dir, sizeof(c->state_dir), "%s", pgtest_dir());
	snprintf(c->node, sizeof(c->node), "testnode");
	snprintf(c->database_url, sizeof(c->database_url), "%s", conninfo);
	snprintf(c->token_secret, sizeof(c->token_secret),
	    "a secret of at least 32 characters");
	c->audit_sync = sync;
	c->drain_timeout_ms = 60000;
	shm_gen_publish(&shm, SNAP_CONF, b);
	atomic_store(&progress->mode, (int)sync);
}

/* Records of all sizes: one in eight may be of several frames. */
static void
write_one(struct audit_emitter *em, int w, long n)
{
	static char args[60000];
	char principal[32], object[32];
	struct audit_record r = {
		.node = SPAN_LIT("testnode"), .org = SPAN_LIT("default"),
		.method = SPAN_LIT("tools/call"), .server = SPAN_LIT("s1"),
		.role = SPAN_LIT("developer"), .client = SPAN_LIT("127.0.0.1"),
		.rule = SPAN_LIT("role"), .http_status = 200,
	};
	size_t len = n % 64 == 0 ? any(sizeof(args) - 3) :
	    n % 8 == 0 ? any(12000) : any(600);
	struct err e = { 0 };

	args[0] = '"';
	memset(args + 1, 'a' + w, len);
	args[len + 1] = '"';
	snprintf(principal, sizeof(principal), "writer%d.%d", w,
	    atomic_load(&progress->round));
	snprintf(object, sizeof(object), "%ld", n);
	r.principal = span_str(principal);
	r.object = span_str(object);
	r.arguments = span_make(args, len + 2);
	r.wall_us = clock_wall_us();
	audit_record_id(r.id, r.wall_us);
	if (audit_emit(em, &r, (enum audit_sync)atomic_load(&progress->mode),
	    clock_mono_ms() + 30000, &e) < 0) {
		fprintf(stderr, "writer %d: %s\n", w, e.text);
		atomic_fetch_add(&progress->failed[w], 1);
	}
}

static void
write_for_ever(int w)
{
	struct audit_emitter em;
	long n;

	close(pipe_fd[0]);
	shm.slot = (uint32_t)(FIRST_SLOT + w);
	audit_emitter_init(&em, &shm, pipe_fd[1], shm.slot);
	for (n = 0; !atomic_load(&progress->stop); n++) {
		write_one(&em, w, n);
		atomic_store(&progress->sent[w], n + 1);
		atomic_store(&progress->answered[progress->round][w], n + 1);
		if (n % 8 == 0)
			pause_ms(2);
	}
	_exit(0);
}

static void
start_writer(int w)
{
	if (fork() == 0)
		write_for_ever(w);
}

static void
run_auditor(void)
{
	close(pipe_fd[1]);
	shm.slot = shm_kind_first(KIND_AUDITOR);
	log_init("auditor");
	_exit(auditor_run(&shm, shm.slot, pipe_fd[0], SEGMENT_BYTES));
}

/* As the master does it: first what the dead one held is taken back. */
static pid_t
start_auditor(void)
{
	pid_t pid;

	slot_reap(&shm, shm_kind_first(KIND_AUDITOR), NULL);
	if ((pid = fork()) == 0)
		run_auditor();
	return pid;
}

static struct db *
open_db(void)
{
	struct err e = { 0 };
	struct db *db = db_open(conninfo, 60000, &e);

	check(db != NULL, "database", &e);
	return db;
}

static long
query_number(struct db *db, const char *sql)
{
	struct err e = { 0 };
	struct db_result *r = db_query(db, &e, sql, 0, NULL);
	long n;

	check(r != NULL, sql, &e);
	n = (long)db_int(r, 0, 0);
	db_result_free(&r);
	return n;
}

/* What a master makes before its first child. */
static void
make_channels(void)
{
	struct shm_sizes sizes = { .slots = 32, .perm_entries = 64,
		.rate_principals = 64, .connections = 16,
		.rate_window_ms = 3600000, .conf_size = sizeof(struct conf),
		.policy_size = 4096, .catalog_size = 4096 };
	struct err e = { 0 };

	check(shm_create(&shm, &sizes, &e) == 0, "shm", &e);
	check(pipe2(pipe_fd, O_CLOEXEC) == 0 &&
	    fcntl(pipe_fd[1], F_SETFL, O_NONBLOCK) == 0, "pipe", NULL);
	publish_conf(AUDIT_SYNC_ASYNC);
}

static void
prepare(void)
{
	struct err e = { 0 };
	struct buf out;
	struct db *db;

	conninfo = pgtest_start();
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(progress != MAP_FAILED, "mmap", NULL);
	make_channels();
	buf_init(&out, 65536);
	db = open_db();
	check(store_migrate(db, pgtest_source("sql"), &out, &e) == 0,
	    "migrate", &e);
	db_close(&db);
	buf_free(&out);
}

/* PostgreSQL may still be recovering from its own kill: a stopping auditor
 * would leave the rest in the journal, which is right but not what is counted
 * here. At most a minute. */
static void
wait_shipped(void)
{
	long sent = 0;
	struct db *db = open_db();
	int i;

	for (i = 0; i < WRITERS; i++)
		sent += progress->sent[i];
	for (i = 0; i < 600; i++) {
		if (query_number(db, "SELECT count(*) FROM omni2.audit_log") >=
		    sent)
			break;
		pause_ms(100);
	}
	db_close(&db);
}

static void
kill_often(int kills)
{
	pid_t auditor = start_auditor();
	int i, status;

	for (i = 0; i < kills; i++) {
		pause_ms(5 + any(60));
		kill(auditor, SIGKILL);
		waitpid(auditor, &status, 0);
		check(WIFSIGNALED(status), "the auditor ended by itself",
		    NULL);
		if (i == kills / 3)
			publish_conf(AUDIT_SYNC_JOURNAL);
		if (i == 2 * kills / 3)
			publish_conf(AUDIT_SYNC_FSYNC);
		auditor = start_auditor();
		if (i % 30 == 15) {
			pgtest_stop(1);
			pause_ms(any(300));
			pgtest_again();
		}
	}
	atomic_store(&progress->stop, 1);
	for (i = 0; i < WRITERS; i++)
		check(wait(&status) > 0 && WIFEXITED(status) &&
		    WEXITSTATUS(status) == 0, "a writer", NULL);
	wait_shipped();
	/* Now it ends in peace. */
	kill(auditor, SIGTERM);
	check(waitpid(auditor, &status, 0) == auditor && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0, "the auditor's end", NULL);
}

static void
verify_log(void)
{
	struct db *db = open_db();
	struct err e = { 0 };
	struct buf out;
	char dir[128];
	long findings;

	buf_init(&out, 1 << 20);
	snprintf(dir, sizeof(dir), "%s/journal", pgtest_dir());
	findings = audit_verify_signed(db, dir,
	    "a secret of at least 32 characters", &out, &e);
	printf("verify: %ld findings %s\n%.*s", findings, e.text,
	    SPAN_FMT(buf_span(&out)));
	check(findings == 0, "verify", &e);
	check(query_number(db, "SELECT count(*) FROM omni2.audit_rejected")
	    == 0, "nothing rejected", NULL);
	db_close(&db);
	buf_free(&out);
}

static void
judge(void)
{
	long sent = 0, failed = 0, rows, distinct, i;
	const struct shm_audit *a = shm_audit(&shm);
	struct db *db = open_db();

	for (i = 0; i < WRITERS; i++) {
		sent += progress->sent[i];
		failed += progress->failed[i];
	}
	rows = query_number(db, "SELECT count(*) FROM omni2.audit_log");
	distinct = query_number(db, "SELECT count(*) FROM (SELECT DISTINCT "
	    "principal, object FROM omni2.audit_log) x");
	printf("%ld records sent, %ld refused, %ld rows, %ld distinct, "
	    "%ld rejected, %llu damaged\n", sent, failed, rows, distinct,
	    query_number(db, "SELECT count(*) FROM omni2.audit_rejected"),
	    (unsigned long long)a->damaged);
	check(failed == 0 && rows == sent && distinct == sent, "0 lost, "
	    "0 doubled", NULL);
	check(a->damaged == 0, "nothing damaged", NULL);
	db_close(&db);
	verify_log();
}

/* --- the master is killed --- */

/* As master_spawn.c starts its children. */
static void
play_master(void)
{
	pid_t self = getpid();
	int w;

	make_channels();
	publish_conf((enum audit_sync)(progress->round % 3));
	for (w = 0; w <= WRITERS; w++) {
		if (fork() > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, w < WRITERS ? SIGKILL : SIGTERM);
		if (getppid() != self)
			_exit(0);
		if (w < WRITERS)
			write_for_ever(w);
		run_auditor();
	}
	for (;;)
		pause();
}

static long
answered_in(int round)
{
	long sum = 0;
	int w;

	for (w = 0; w < WRITERS; w++)
		sum += atomic_load(&progress->answered[round][w]);
	return sum;
}

/* Everybody is ours when the master is dead (PR_SET_CHILD_SUBREAPER). */
static int64_t
kill_master(pid_t master)
{
	int64_t begin_ms;

	while (answered_in(progress->round) < 50)
		pause_ms(1);
	pause_ms(any(300));
	begin_ms = clock_mono_ms();
	kill(master, SIGKILL);
	while (wait(NULL) > 0)
		;
	check(errno == ECHILD, "wait", NULL);
	return clock_mono_ms() - begin_ms;
}

static void
kill_masters(int kills)
{
	int64_t took_ms, longest_ms = 0;
	pid_t master;
	int i;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	progress->stop = 0;
	for (i = 1; i <= kills; i++) {
		progress->round = i;
		if ((master = fork()) == 0)
			play_master();
		took_ms = kill_master(master);
		if (took_ms > longest_ms)
			longest_ms = took_ms;
	}
	printf("%d kills of the master: all gone after at most %lld ms\n",
	    kills, (long long)longest_ms);
	check(longest_ms < GONE_MS, "all gone in time", NULL);
}

/* The last start: ships what the others left. */
static void
ship_rest(void)
{
	struct shm_audit *a;
	pid_t auditor;
	int i;

	make_channels();
	a = shm_audit(&shm);
	auditor = start_auditor();
	for (i = 0; i < 600; i++) {
		if (atomic_load(&a->db_ok) != 0 &&
		    atomic_load(&a->state) == AUDIT_STATE_OK &&
		    atomic_load(&a->shipped_bytes) >=
		    atomic_load(&a->journal_bytes))
			break;
		pause_ms(100);
	}
	kill(auditor, SIGTERM);
	waitpid(auditor, NULL, 0);
}

/* A record may be there whose writer was killed before it could go on; all
 * that it went on from must be. */
static void
judge_masters(int kills)
{
	struct db *db = open_db();
	long answered = 0, lost = 0, more = 0;
	char sql[300];
	int i, w;

	for (i = 1; i <= kills; i++)
		for (w = 0; w < WRITERS; w++) {
			long n = progress->answered[i][w];

			answered += n;
			snprintf(sql, sizeof(sql), "SELECT count(*) FROM "
			    "omni2.audit_log WHERE principal = 'writer%d.%d' "
			    "AND object::bigint < %ld", w, i, n);
			lost += n - query_number(db, sql);
			snprintf(sql, sizeof(sql), "SELECT count(*) FROM "
			    "omni2.audit_log WHERE principal = 'writer%d.%d' "
			    "AND object::bigint >= %ld", w, i, n);
			more += query_number(db, sql);
		}
	db_close(&db);
	printf("%ld records answered, %ld lost, %ld more\n", answered, lost,
	    more);
	check(lost == 0, "0 lost", NULL);
	check(more <= (long)kills * WRITERS, "none doubled", NULL);
	verify_log();
}

static int
times(const char *variable, int otherwise)
{
	const char *env = getenv(variable);
	int n = env == NULL ? otherwise : (int)strtol(env, NULL, 10);

	return n > ROUNDS_MAX ? ROUNDS_MAX : n;
}

int
main(void)
{
	int kills = times("OMNI2_AUDIT_KILLS", 100), i;
	int masters = times("OMNI2_AUDIT_MASTER_KILLS", 6);
	int64_t begin_ms;

	prepare();
	begin_ms = clock_mono_ms();
	for (i = 0; i < WRITERS; i++)
		start_writer(i);
	kill_often(kills);
	printf("%d kills in %lld ms\n", kills,
	    (long long)(clock_mono_ms() - begin_ms));
	judge();
	kill_masters(masters);
	ship_rest();
	judge_masters(masters);
	return 0;
}
