/*
 * bench_audit -- what one audit record costs a worker, the auditor and the
 * shipper, and how many a second go from the pipe to PostgreSQL.
 *
 *	bench_audit [seconds]
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "audit/auditor.h"
#include "audit/emit.h"
#include "base/clock.h"
#include "base/log.h"
#include "pgtest.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "store/store.h"

static struct shm shm;
static int pipe_fd[2];

static void
publish(const char *url, enum audit_sync sync)
{
	size_t size;
	int b = shm_gen_free(&shm, SNAP_CONF);
	struct conf *c = shm_gen_buffer(&shm, SNAP_CONF, b, &size);

	conf_defaults(c);
	snprintf(c->state_dir, sizeof(c->state_dir), "%s", pgtest_dir());
	snprintf(c->node, sizeof(c->node), "bench");
	snprintf(c->database_url, sizeof(c->database_url), "%s", url);
	c->audit_sync = sync;
	shm_gen_publish(&shm, SNAP_CONF, b);
}

static struct audit_record
record(void)
{
	struct audit_record r = {
		.node = SPAN_LIT("bench"), .org = SPAN_LIT("default"),
		.principal = SPAN_LIT("ann@example.com"),
		.role = SPAN_LIT("developer"), .credential = SPAN_LIT("key:17"),
		.source = SPAN_LIT("mcp"), .client = SPAN_LIT("192.0.2.1"),
		.user_agent = SPAN_LIT("some-client/1.2.3 (linux; x86_64)"),
		.trace_id = SPAN_LIT("0af7651916cd43dd8448eb211c80319c"),
		.session = SPAN_LIT("5e884898da280471"),
		.method = SPAN_LIT("tools/call"), .server = SPAN_LIT("database"),
		.object = SPAN_LIT("get_top_queries"),
		.arguments = SPAN_LIT("{\"database\":\"way4\",\"limit\":10,"
		    "\"order_by\":\"elapsed_time\",\"token\":\"[redacted]\"}"),
		.rule = SPAN_LIT("role_restrictions.developer"),
		.http_status = 200, .duration_us = 12345, .upstream_us = 12000,
		.request_bytes = 300, .response_bytes = 4000 };

	r.wall_us = clock_wall_us();
	audit_record_id(r.id, r.wall_us);
	return r;
}

/* Processor time: others may be using the machine. */
static int64_t
cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void
bench_json(void)
{
	static const char globs[][128] = { "*password*", "*secret*", "*token*",
	    "*authorization*", "*api_key*", "*apikey*", "*credential*",
	    "*private_key*" };
	struct audit_record r = record();
	struct audit_redaction rules;
	int64_t begin_us;
	struct buf b;
	size_t size = 0;
	bool cut;
	int i;

	buf_init(&b, 1 << 20);
	audit_redaction_init(&rules, globs, 8);
	begin_us = cpu_us();
	for (i = 0; i < 500000; i++) {
		buf_reset(&b, 1 << 16);
		r.wall_us++;
		audit_record_json(&r, &b);
		size = b.n;
	}
	printf("audit_record_json (%zu bytes): %.2f us\n", size,
	    (double)(cpu_us() - begin_us) / 500000);
	begin_us = cpu_us();
	for (i = 0; i < 500000; i++) {
		buf_reset(&b, 1 << 16);
		audit_redact(&rules, r.arguments, 16384, &b, &cut);
	}
	printf("audit_redact (%zu bytes, 8 patterns): %.2f us\n",
	    r.arguments.n, (double)(cpu_us() - begin_us) / 500000);
	begin_us = cpu_us();
	for (i = 0; i < 500000; i++)
		audit_record_id(r.id, r.wall_us);
	printf("audit_record_id: %.3f us\n",
	    (double)(cpu_us() - begin_us) / 500000);
	buf_free(&b);
}

/* One writer at a pace; what a call pays. */
static void
bench_emit(const char *name, enum audit_sync sync, const char *url, int n)
{
	int64_t begin_us, sum_us = 0, at_us;
	struct audit_emitter em;
	struct timespec ts = { 0, 100000 };
	struct err e;
	int i;

	publish(url, sync);
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	for (i = 0; i < n; i++) {
		struct audit_record r = record();

		begin_us = cpu_us();
		if (audit_emit(&em, &r, sync, clock_mono_ms() + 60000, &e) < 0)
			abort();
		at_us = cpu_us();
		sum_us += at_us - begin_us;
		nanosleep(&ts, NULL);
	}
	printf("audit_emit %s: %.2f us of processor time\n", name, (double)sum_us / n);
}

/* Processor time of a process so far; 0: there is none. */
static int64_t
cpu_ns_of(int pid)
{
	char path[64];
	long long ns = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	if ((f = fopen(path, "r")) == NULL)
		return 0;
	if (fscanf(f, "%lld", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

/* The auditor's only child. */
static int
shipper_of(int auditor)
{
	char path[64];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", auditor,
	    auditor);
	if ((f = fopen(path, "r")) == NULL)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

static void
wait_shipped(int64_t timeout_ms)
{
	int64_t deadline_ms = clock_mono_ms() + timeout_ms;
	struct shm_audit *a = shm_audit(&shm);

	while (clock_mono_ms() < deadline_ms &&
	    (atomic_load(&a->shipped_bytes) < atomic_load(&a->journal_bytes) ||
	    atomic_load(&a->journal_bytes) == 0))
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

/* One writer, a burst every millisecond: what a record costs those behind. */
static void
bench_behind(int auditor, int per_second, int seconds)
{
	struct timespec ts = { 0, 1000000 };
	int shipper = shipper_of(auditor);
	struct audit_emitter em;
	int64_t a_ns, s_ns, begin_us = clock_mono_us(), due;
	struct err e;
	int n = 0;

	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	wait_shipped(20000);
	a_ns = cpu_ns_of(auditor);
	s_ns = cpu_ns_of(shipper);
	while (n < per_second * seconds) {
		due = (clock_mono_us() - begin_us) * per_second / 1000000;
		for (; n < due; n++) {
			struct audit_record r = record();

			if (audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
			    clock_mono_ms() + 60000, &e) < 0)
				abort();
		}
		nanosleep(&ts, NULL);
	}
	wait_shipped(20000);
	a_ns = cpu_ns_of(auditor) - a_ns;
	s_ns = cpu_ns_of(shipper) - s_ns;
	printf("behind %d records/s: %lld ns a record in the auditor, %lld in "
	    "the shipper\n", per_second, (long long)a_ns / n,
	    (long long)s_ns / n);
}

static void
bench_flood(int seconds)
{
	uint64_t from = atomic_load(&shm_audit(&shm)->records), sent, done;
	uint64_t shipped = atomic_load(&shm_audit(&shm)->records_shipped);
	int64_t begin_us = clock_mono_us(), now_us;
	pid_t pid[4];
	int w;

	for (w = 0; w < 4; w++) {
		if ((pid[w] = fork()) == 0) {
			struct audit_emitter em;
			struct err e;

			audit_emitter_init(&em, &shm, pipe_fd[1],
			    (uint32_t)(10 + w));
			while (clock_mono_us() - begin_us <
			    seconds * 1000000) {
				struct audit_record r = record();

				if (audit_emit(&em, &r, AUDIT_SYNC_ASYNC,
				    clock_mono_ms() + 60000, &e) < 0)
					_exit(1);
			}
			_exit(0);
		}
	}
	for (w = 0; w < 4; w++)
		waitpid(pid[w], NULL, 0);
	now_us = clock_mono_us() - begin_us;
	sent = atomic_load(&shm_audit(&shm)->records) - from;
	done = atomic_load(&shm_audit(&shm)->records_shipped) - shipped;
	printf("4 writers: %.0f records/s into the journal, meanwhile %.0f/s "
	    "into PostgreSQL\n", (double)sent * 1e6 / (double)now_us,
	    (double)done * 1e6 / (double)now_us);
	begin_us = clock_mono_us();
	from = atomic_load(&shm_audit(&shm)->records_shipped);
	wait_shipped(seconds * 1000);
	now_us = clock_mono_us() - begin_us;
	done = atomic_load(&shm_audit(&shm)->records_shipped) - from;
	printf("nobody writes: %.0f records/s into PostgreSQL\n",
	    (double)done * 1e6 / (double)now_us);
}

int
main(int argc, char **argv)
{
	struct shm_sizes sizes = { .slots = 32, .perm_entries = 64,
		.rate_principals = 64, .connections = 16,
		.rate_window_ms = 3600000, .conf_size = sizeof(struct conf),
		.policy_size = 4096, .catalog_size = 4096 };
	const char *url = pgtest_start();
	int seconds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
	struct err e = { 0 };
	struct buf out;
	struct db *db = db_open(url, 20000, &e);
	pid_t pid;

	buf_init(&out, 65536);
	if (db == NULL || shm_create(&shm, &sizes, &e) < 0 ||
	    store_migrate(db, pgtest_source("sql"), &out, &e) < 0 ||
	    pipe2(pipe_fd, O_CLOEXEC) < 0 ||
	    fcntl(pipe_fd[1], F_SETFL, O_NONBLOCK) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	db_close(&db);
	buf_free(&out);
	bench_json();
	publish(url, AUDIT_SYNC_ASYNC);
	fflush(stdout);
	if ((pid = fork()) == 0) {
		shm.slot = shm_kind_first(KIND_AUDITOR);
		log_init("auditor");
		_exit(auditor_main(&shm, shm.slot, pipe_fd[0]));
	}
	bench_emit("async", AUDIT_SYNC_ASYNC, url, 5000);
	bench_emit("journal", AUDIT_SYNC_JOURNAL, url, 2000);
	bench_emit("fsync", AUDIT_SYNC_FSYNC, url, 500);
	publish(url, AUDIT_SYNC_ASYNC);
	bench_behind(pid, 2000, seconds);
	bench_behind(pid, 10000, seconds);
	bench_behind(pid, 20000, seconds);
	bench_flood(seconds);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	shm_destroy(&shm);
	return 0;
}
