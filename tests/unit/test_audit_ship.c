/*
 * From the pipe to PostgreSQL and back: shipping, records that PostgreSQL
 * refuses, a database that is away, verification of an altered log,
 * retention.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/auditor_int.h"
#include "audit/chain.h"
#include "audit/emit.h"
#include "audit/ship.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "pgtest.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "store/auditlog.h"
#include "store/store.h"

#define SECRET	"a secret of at least 32 characters"
#define SEGMENT	(1 << 20)

static const char *conninfo;
static char journal_dir[200];
static struct db *db;
static struct shm shm;
static struct audit_emitter em;
static int pipe_fd[2];
static pid_t auditor;
static struct err e;

static int64_t
number(const char *sql)
{
	struct db_result *r = db_query(db, &e, sql, 0, NULL);
	int64_t n;

	if (r == NULL)
		fail_msg("%s: %s", sql, e.text);
	n = db_rows(r) > 0 ? db_int(r, 0, 0) : -1;
	db_result_free(&r);
	return n;
}

static void
run(const char *sql)
{
	if (db_script(db, &e, sql) < 0)
		fail_msg("%s: %s", sql, e.text);
}

static void
publish(const char *url)
{
	size_t size;
	int b = shm_gen_free(&shm, SNAP_CONF);
	struct conf *c = shm_gen_buffer(&shm, SNAP_CONF, b, &size);

	conf_defaults(c);
	snprintf(c->state_dir, sizeof(c->state_dir), "%s", pgtest_dir());
	snprintf(c->node, sizeof(c->node), "n1");
	snprintf(c->database_url, sizeof(c->database_url), "%s", url);
	snprintf(c->token_secret, sizeof(c->token_secret), "%s", SECRET);
	c->drain_timeout_ms = 20000;
	c->retention_days = 3650;
	shm_gen_publish(&shm, SNAP_CONF, b);
}

static void
start_auditor(void)
{
	auditor = fork();
	assert_true(auditor >= 0);
	if (auditor == 0) {
		shm.slot = shm_kind_first(KIND_AUDITOR);
		log_init("auditor");
		_exit(auditor_run(&shm, shm.slot, pipe_fd[0], SEGMENT));
	}
}

static void
wait_shipped(uint64_t records)
{
	struct timespec ts = { 0, 10000000 };
	int64_t deadline_ms = clock_mono_ms() + 30000;

	while (atomic_load(&shm_audit(&shm)->records_shipped) < records) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%llu records did not arrive",
			    (unsigned long long)records);
		nanosleep(&ts, NULL);
	}
}

static uint64_t emitted;

static void
emit(struct audit_record *r)
{
	static const struct audit_record none;

	if (r->wall_us == 0)
		r->wall_us = clock_wall_us();
	if (memcmp(r->id, none.id, 16) == 0)
		audit_record_id(r->id, r->wall_us);
	if (audit_emit(&em, r, AUDIT_SYNC_ASYNC, clock_mono_ms() + 20000,
	    &e) < 0)
		fail_msg("%s", e.text);
	emitted++;
}

static void
emit_raw(const char *json)
{
	struct buf out;
	size_t at[2];

	buf_init(&out, 65536);
	assert_int_equal(audit_frames(span_str(json), 10, ++emitted, &out, at,
	    2), 1);
	assert_int_equal(write(pipe_fd[1], out.p, out.n), out.n);
	buf_free(&out);
}

/* Findings of the verification; they must be want, and one must say text. */
static void
verify(long want, const char *text)
{
	struct buf out;
	long n;

	buf_init(&out, 1 << 20);
	n = audit_verify_signed(db, journal_dir, SECRET, &out, &e);
	buf_add_char(&out, '\0');
	if (n != want || (text != NULL && strstr(out.p, text) == NULL))
		fail_msg("%ld findings, not %ld with \"%s\": %s%s", n, want,
		    text == NULL ? "" : text, out.p, n < 0 ? e.text : "");
	buf_free(&out);
}

static void
plain(void **state)
{
	struct audit_record r = { .node = SPAN_LIT("n1"),
		.org = SPAN_LIT("default"), .principal = SPAN_LIT("a@x.com"),
		.method = SPAN_LIT("tools/call"), .server = SPAN_LIT("db"),
		.object = SPAN_LIT("get_top"), .client = SPAN_LIT("192.0.2.7"),
		.arguments = SPAN_LIT("{\"n\": [1, 2]}"),
		.decision = AUDIT_DENY, .rule = SPAN_LIT("role:dba"),
		.result = AUDIT_DENIED, .http_status = 403,
		.rpc_code = -32003, .duration_us = 5000 };

	(void)state;
	emit(&r);
	wait_shipped(emitted);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log "
	    "WHERE node = 'n1' AND seq = 1 AND principal = 'a@x.com' "
	    "AND decision = 'deny' AND http_status = 403 "
	    "AND rpc_code = -32003 AND duration_us = 5000 "
	    "AND record::json->>'rule' = 'role:dba' AND ts > now() - "
	    "interval '1 minute'"), 1);
	/* The documented names. */
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_logs "
	    "WHERE user_email = 'a@x.com' AND \"timestamp\" <= now() "
	    "AND result = 'DENIED' AND was_blocked AND NOT success "
	    "AND mcps_accessed = '{db}' AND tool_params->'n'->>1 = '2' "
	    "AND ip_address = '192.0.2.7' AND duration_ms = 5"), 1);
	verify(0, NULL);
}

/* What clients may send in; none of it stops or alters the log. */
static void
hostile(void **state)
{
	static char big[1 << 20];
	struct audit_record r[] = {
		{ .user_agent = { "tab\t nl\n nul\0 bs\\ \\. end", 25 } },
		{ .object = SPAN_LIT("\\.\n\\N\tx"), .error = SPAN_LIT("\\N") },
		{ .principal = SPAN_LIT("bad \xff\xfe utf8 \xc3") },
		{ .arguments = SPAN_LIT("{\"a\":\"\\u0000\",\"b\":\"\\ud800\"}") },
		{ .arguments = SPAN_LIT("{\"n\":1e999999,\"m\":-0.0}") },
		{ .principal = SPAN_LIT("'; DROP TABLE omni2.audit_log; --") },
		{ .arguments = { big, sizeof(big) } },
		{ .client = SPAN_LIT("unix"), .server = SPAN_LIT("s") },
		{ .duration_us = INT64_MAX, .request_bytes = -1 },
	};
	size_t i;

	(void)state;
	memset(big, 'z', sizeof(big));
	big[0] = big[sizeof(big) - 1] = '"';
	for (i = 0; i < sizeof(r) / sizeof(r[0]); i++)
		emit(&r[i]);
	wait_shipped(emitted);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log"),
	    (int64_t)emitted);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_rejected"),
	    0);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_logs"),
	    (int64_t)emitted);
	verify(0, NULL);
}

static void
rejected(void **state)
{
	static const char twice[] = "{\"id\":\"01020304-0506-7708-890a-"
	    "0b0c0d0e0f10\",\"ts\":\"2026-11-20T23:15:00.123456Z\","
	    "\"decision\":\"allow\",\"result\":\"success\"}";
	struct audit_record r = { .principal = SPAN_LIT("good") };
	int64_t before = number("SELECT count(*) FROM omni2.audit_log");
	int i;

	(void)state;
	/* In the middle of good ones. */
	for (i = 0; i < 3; i++) {
		memset(r.id, 0, 16);
		r.wall_us = 0;
		emit(&r);
	}
	emit_raw("no JSON at all");
	emit_raw("{\"id\":\"x\",\"ts\":\"2026-11-20T23:15:00Z\"}");
	emit_raw("{\"id\":\"01020304-0506-7708-890a-0b0c0d0e0f11\","
	    "\"ts\":\"2026-11-20T23:15:00Z\",\"http_status\":99999999999}");
	emit_raw("{\"id\":\"01020304-0506-7708-890a-0b0c0d0e0f12\","
	    "\"ts\":\"yesterdayish\"}");
	emit_raw(twice);
	emit_raw(twice);
	memset(r.id, 0, 16);
	emit(&r);
	wait_shipped(emitted);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log"),
	    before + 5);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_rejected"),
	    5);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_rejected "
	    "WHERE convert_from(record, 'UTF8') = 'no JSON at all'"), 1);
	verify(0, NULL);
}

/* A writer that died in the middle of a record, and garbage in the pipe. */
static void
unfinished(void **state)
{
	struct audit_record r = { .principal = SPAN_LIT("after") };
	struct buf json, out;
	size_t at[8];
	int64_t dropped;

	(void)state;
	dropped = (int64_t)atomic_load(&shm_audit(&shm)->damaged);
	buf_init(&json, 65536);
	buf_init(&out, 65536);
	while (json.n < 9000)
		buf_add_str(&json, "half a record ");
	assert_int_equal(audit_frames(buf_span(&json), 9, 5, &out, at, 8), 3);
	assert_int_equal(write(pipe_fd[1], out.p, at[1]), at[1]);
	assert_int_equal(write(pipe_fd[1], "garbage", 7), 7);
	emit(&r);		/* slot 9 begins another one */
	wait_shipped(emitted);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log "
	    "WHERE principal = 'after'"), 1);
	assert_true((int64_t)atomic_load(&shm_audit(&shm)->damaged) >=
	    dropped + 2);
	verify(1, "journal: 1 damaged places");
	buf_free(&json);
	buf_free(&out);
}

static void
database_away(void **state)
{
	struct audit_record r = { .principal = SPAN_LIT("away") };
	struct timespec ts = { 0, 10000000 };
	int64_t rows = number("SELECT count(*) FROM omni2.audit_log");
	int i;

	(void)state;
	db_close(&db);
	pgtest_stop(1);
	for (i = 0; i < 500; i++) {
		memset(r.id, 0, 16);
		r.wall_us = 0;
		emit(&r);
	}
	while (atomic_load(&shm_audit(&shm)->db_ok) != 0)
		nanosleep(&ts, NULL);
	pgtest_again();
	wait_shipped(emitted);
	assert_int_equal(atomic_load(&shm_audit(&shm)->db_ok), 1);
	db = db_open(conninfo, 20000, &e);
	assert_non_null(db);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log"),
	    rows + 500);
	/* Another address by a new configuration: the shipper is replaced. */
	publish("host=/nonexistent user=x");
	while (atomic_load(&shm_audit(&shm)->db_ok) != 0)
		nanosleep(&ts, NULL);
	memset(r.id, 0, 16);
	emit(&r);
	publish(conninfo);
	wait_shipped(emitted);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log"),
	    rows + 501);
}

/* Ends in peace: everything is there; segments that were shipped are not. */
static void
the_end(void **state)
{
	static char args[60000];
	struct audit_record r = { .principal = SPAN_LIT("end") };
	char cmd[300];
	int i, status;

	(void)state;
	memset(args, 'y', sizeof(args));
	args[0] = args[sizeof(args) - 1] = '"';
	r.arguments = span_make(args, sizeof(args));
	for (i = 0; i < 100; i++) {
		memset(r.id, 0, 16);
		emit(&r);
	}
	kill(auditor, SIGTERM);
	assert_int_equal(waitpid(auditor, &status, 0), auditor);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log "
	    "WHERE principal = 'end'"), 100);
	assert_int_equal(atomic_load(&shm_audit(&shm)->shipped_bytes),
	    atomic_load(&shm_audit(&shm)->journal_bytes));
	assert_int_equal(atomic_load(&shm_audit(&shm)->records_shipped),
	    emitted);
	snprintf(cmd, sizeof(cmd), "[ $(ls %s/*.journal | wc -l) = 2 ]",
	    journal_dir);
	assert_int_equal(system(cmd), 0);
	verify(0, NULL);
}

/* The log as it was, for the next alteration. */
static void
restore(void)
{
	run("TRUNCATE omni2.audit_log, omni2.audit_chain, "
	    "omni2.audit_checkpoint; "
	    "INSERT INTO omni2.audit_log SELECT * FROM keep_log; "
	    "INSERT INTO omni2.audit_chain SELECT * FROM keep_chain; "
	    "INSERT INTO omni2.audit_checkpoint OVERRIDING SYSTEM VALUE "
	    "SELECT * FROM keep_checkpoint");
}

static void
alterations(void **state)
{
	static const struct {
		const char *sql;
		long findings;
		const char *text;
	} t[] = {
		{ "UPDATE omni2.audit_log SET principal = 'b@x.com' "
		    "WHERE seq = 1", 1, "column principal was altered" },
		{ "UPDATE omni2.audit_log SET decision = 'allow' "
		    "WHERE seq = 1", 1, "\"allow\"" },
		{ "UPDATE omni2.audit_log SET ts = ts + interval '1 s' "
		    "WHERE seq = 1", 1, "column ts" },
		{ "UPDATE omni2.audit_log SET http_status = 0 WHERE seq = 1",
		    1, "column http_status" },
		{ "UPDATE omni2.audit_log SET session = '0' WHERE seq = 1 "
		    "AND session = ''", 1, "column session" },
		{ "UPDATE omni2.audit_log SET record = replace(record, 'deny', "
		    "'allow'), decision = 'allow' WHERE seq = 1", 1,
		    "record 1 was altered" },
		{ "UPDATE omni2.audit_log SET record = 'x' WHERE seq = 1",
		    2, "is not an audit record" },
		{ "UPDATE omni2.audit_log SET hash = prev_hash WHERE seq = 5",
		    2, "record 6 does not follow record 5" },
		{ "UPDATE omni2.audit_log SET hash = '\\x00' WHERE seq = 5",
		    2, "record 5 was altered" },
		{ "DELETE FROM omni2.audit_log WHERE seq BETWEEN 5 AND 7",
		    1, "records 5 to 7 are missing" },
		{ "DELETE FROM omni2.audit_log WHERE seq = 1", 1,
		    "records 1 to 1 are missing" },
		{ "UPDATE omni2.audit_log SET seq = seq + 100000 "
		    "WHERE seq > (SELECT max(seq) - 1 FROM omni2.audit_log)",
		    3, "are missing" },
		{ "INSERT INTO omni2.audit_log SELECT (r).* FROM (SELECT "
		    "jsonb_populate_record(a, jsonb_build_object('id', "
		    "gen_random_uuid(), 'ts', a.ts + interval '1 s')) AS r "
		    "FROM omni2.audit_log a WHERE seq = 3) x", 3,
		    "number 3 is there twice" },
		{ "DELETE FROM omni2.audit_chain", 1, "head of the chain" },
		{ "UPDATE omni2.audit_chain SET hash = '\\x00'", 1,
		    "another hash" },
		{ "DELETE FROM omni2.audit_checkpoint", 0, NULL },
		{ "UPDATE omni2.audit_checkpoint SET mac = NULL", 1,
		    "not signed" },
		{ "UPDATE omni2.audit_checkpoint SET kind = 'pruned'", 1,
		    "(pruned)" },
		{ "UPDATE omni2.audit_checkpoint SET seq = seq - 1", 2,
		    "is not the one of its check point" },
	};
	size_t i;

	(void)state;
	run("DELETE FROM omni2.audit_checkpoint");
	{
		struct chain_key k;
		uint8_t hash[32], mac[32];
		struct db_result *r = auditlog_head(db, "n1", &e);
		int64_t seq;

		/* A check point in the middle. */
		assert_non_null(r);
		db_result_free(&r);
		r = db_query(db, &e, "SELECT seq, encode(hash, 'hex') "
		    "FROM omni2.audit_log WHERE seq = 50", 0, NULL);
		seq = db_int(r, 0, 0);
		assert_int_equal(hash_unhex(span_str(db_text(r, 0, 1)), hash,
		    32), 0);
		db_result_free(&r);
		chain_key_init(&k, SECRET);
		assert_true(chain_sign(&k, "n1", "head", seq, hash, mac));
		assert_int_equal(auditlog_checkpoint(db, "n1", "head", seq,
		    hash, mac, &e), 0);
	}
	run("CREATE TABLE keep_log AS SELECT * FROM omni2.audit_log; "
	    "CREATE TABLE keep_chain AS SELECT * FROM omni2.audit_chain; "
	    "CREATE TABLE keep_checkpoint AS "
	    "SELECT * FROM omni2.audit_checkpoint");
	verify(0, NULL);
	/* The chain as it is documented. */
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log WHERE "
	    "hash <> sha256(prev_hash || int8send(seq) || "
	    "sha256(convert_to(record, 'UTF8')))"), 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		run(t[i].sql);
		verify(t[i].findings, t[i].text);
		restore();
	}
	verify(0, NULL);
}

/* Somebody rewrote the whole chain: only the journal and the signed check
 * points know better. */
static void
rewritten(void **state)
{
	struct auditlog_reader rd;
	struct auditlog_row row;
	struct chain_end { int64_t seq; uint8_t hash[32]; } end = { 0 };
	struct buf rows;
	char hex[65], sql[300];

	(void)state;
	buf_init(&rows, 1u << 30);
	assert_int_equal(db_begin(db, &e), 0);
	auditlog_reader_init(&rd, db, "n1");
	while (auditlog_reader_next(&rd, &row, &e) > 0) {
		if (row.seq == 40)
			continue;
		row.seq = ++end.seq;
		memcpy(row.prev_hash, end.hash, 32);
		chain_hash(row.prev_hash, row.seq, row.record, row.hash);
		memcpy(end.hash, row.hash, 32);
		auditlog_row_copy(&row, &rows);
	}
	auditlog_reader_free(&rd);
	assert_int_equal(db_commit(db, &e), 0);
	run("TRUNCATE omni2.audit_log");
	assert_int_equal(auditlog_copy(db, buf_span(&rows), &e), 0);
	hash_hex(end.hash, 32, hex);
	snprintf(sql, sizeof(sql), "UPDATE omni2.audit_chain SET seq = %lld, "
	    "hash = decode('%s', 'hex')", (long long)end.seq, hex);
	run(sql);
	verify(1, "is not the one of its check point");
	buf_free(&rows);
	restore();
	/* And one that the journal still has. */
	run("DELETE FROM omni2.audit_log WHERE seq = (SELECT max(seq) "
	    "FROM omni2.audit_log)");
	verify(2, "was shipped but is not in the database");
	restore();
}

static void
retention(void **state)
{
	struct chain_key k;
	int64_t last;

	(void)state;
	chain_key_init(&k, SECRET);
	/* The first 30 rows are made old, hashes and all. */
	run("DROP TABLE keep_log, keep_chain, keep_checkpoint; "
	    "TRUNCATE omni2.audit_log, omni2.audit_chain, "
	    "omni2.audit_checkpoint, omni2.audit_position; "
	    "CREATE TABLE omni2.audit_log_2020_01 PARTITION OF "
	    "omni2.audit_log FOR VALUES FROM ('2020-01-01 00:00+00') "
	    "TO ('2020-02-01 00:00+00'); "
	    "CREATE TABLE omni2.audit_log_2020_02 PARTITION OF "
	    "omni2.audit_log FOR VALUES FROM ('2020-02-01 00:00+00') "
	    "TO ('2020-03-01 00:00+00')");
	publish(conninfo);
	start_auditor();
	/* Months are not quite in order, as calls are not either. */
	{
		static const struct { int64_t from_us; int n; } months[] = {
			{ 1578000000000000, 30 }, { 1580600000000000, 1 },
			{ 1578100000000000, 1 }, { 1580700000000000, 30 },
			{ 0, 30 } };
		uint64_t before =
		    atomic_load(&shm_audit(&shm)->records_shipped);
		size_t m;
		int i;

		for (m = 0; m < 5; m++)
			for (i = 0; i < months[m].n; i++) {
				struct audit_record r = {
					.principal = SPAN_LIT("old") };

				r.wall_us = months[m].from_us == 0 ?
				    clock_wall_us() : months[m].from_us + i;
				emit(&r);
			}
		wait_shipped(before + 92);
	}
	kill(auditor, SIGTERM);
	waitpid(auditor, NULL, 0);
	/* The journal was read from its oldest segment again. */
	last = number("SELECT max(seq) FROM omni2.audit_log "
	    "WHERE ts < '2020-02-01 00:00+00'");
	verify(0, NULL);
	run("DROP TABLE IF EXISTS x");
	assert_int_equal(auditlog_prune(db, 365 * 100, chain_sign, &k, &e), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log "
	    "WHERE ts < '2020-02-01 00:00+00'"), 31);
	/* Only January is old enough: as if it were the end of February. */
	{
		int64_t days = number("SELECT extract(day FROM now() - "
		    "'2020-02-20 00:00+00'::timestamptz)::bigint");

		if (auditlog_prune(db, days, chain_sign, &k, &e) < 0)
			fail_msg("%s", e.text);
	}
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_log "
	    "WHERE ts < '2020-02-01 00:00+00'"), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.audit_checkpoint "
	    "WHERE kind = 'pruned' AND mac IS NOT NULL"), 1);
	assert_int_equal(number("SELECT max(seq) FROM omni2.audit_checkpoint "
	    "WHERE kind = 'pruned'"), last);
	verify(0, NULL);
	/* What is missing after it still shows. */
	run("DELETE FROM omni2.audit_log WHERE seq = (SELECT max(seq) FROM "
	    "omni2.audit_checkpoint WHERE kind = 'pruned') + 1");
	verify(2, "are missing");	/* the journal has it, too */
}

static int
start(void **state)
{
	struct shm_sizes sizes = { .slots = 32, .perm_entries = 64,
		.rate_principals = 64, .connections = 16,
		.rate_window_ms = 3600000, .conf_size = sizeof(struct conf),
		.policy_size = 4096, .catalog_size = 4096 };
	struct buf out;

	(void)state;
	conninfo = pgtest_start();
	snprintf(journal_dir, sizeof(journal_dir), "%s/journal", pgtest_dir());
	if ((db = db_open(conninfo, 60000, &e)) == NULL ||
	    shm_create(&shm, &sizes, &e) < 0 ||
	    pipe2(pipe_fd, O_CLOEXEC) < 0 ||
	    fcntl(pipe_fd[1], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	buf_init(&out, 65536);
	if (store_migrate(db, pgtest_source("sql"), &out, &e) < 0)
		return -1;
	buf_free(&out);
	audit_emitter_init(&em, &shm, pipe_fd[1], 9);
	publish(conninfo);
	start_auditor();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	db_close(&db);
	shm_destroy(&shm);
	buf_free(&em.json);
	buf_free(&em.frames);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(hostile),
		cmocka_unit_test(rejected),
		cmocka_unit_test(unfinished),
		cmocka_unit_test(database_away),
		cmocka_unit_test(the_end),
		cmocka_unit_test(alterations),
		cmocka_unit_test(rewritten),
		cmocka_unit_test(retention),
	};

	return cmocka_run_group_tests(tests, start, end);
}
