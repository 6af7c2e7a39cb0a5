/*
 * ship -- see ship.h. A child of the auditor.
 *
 * Exactly once, and why. What is shipped is a fold over the stream of bytes
 * in the journal:
 *
 *	state = (position, frames of unfinished records, chain head)
 *	step: bytes -> state', rows
 *
 * The step depends on nothing but state and bytes: frames are recognised by
 * magic, size and CRC wherever reads begin or end; parts are put together by
 * slot. The bytes behind a position never change (journal.c moves a tail only
 * together with all positions in it). state' is stored in the transaction
 * that stores the rows, under a lock on the state's rows, and a batch is only
 * committed if the state it started from is the stored one. So:
 *  - killed before COMMIT: neither rows nor state' exist; the next shipper
 *    folds the same bytes to the same rows. Nothing lost, nothing doubled;
 *  - killed after COMMIT, or COMMIT's answer lost: both exist; whoever comes
 *    next reads state' and goes on behind it;
 *  - two at once (a killed one's backend still commits): the lock orders
 *    them; the second finds another state than its own and starts over;
 *  - PostgreSQL crashes: it keeps both or neither.
 * Before a COMMIT the journal up to the position is synced, so a power cut
 * cannot leave a position behind the journal's end. A segment is removed
 * only when the committed position has left it, and one more is kept.
 * UNIQUE (id, ts) in the table guards against a mistake in this reasoning.
 *
 * A record that PostgreSQL does not take as a row goes, byte for byte, to
 * audit_rejected in the same transaction; the chain goes on without it.
 */
#include "audit/ship.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/assemble.h"
#include "audit/chain.h"
#include "audit/journal.h"
#include "audit/journal_read.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "store/auditlog.h"

#define BATCH_RECORDS	4096
#define BATCH_BYTES	(4u << 20)
#define BATCH_MAX	(16u << 20)	/* one record may be beyond BATCH_BYTES */
#define GROUP_RECORDS	128		/* hashed at once, while in the cache */
#define SEND_BYTES	65536u		/* of rows, likewise */
#define NAP_MS		200		/* each batch costs several round trips */
#define BUSY_RATE	2000		/* calls a second */
#define NAP_STOP_MS	20
#define RETRY_MS	1000
#define RETRY_JITTER_MS	250
#define SYNC_MS		1000
#define UPKEEP_MS	600000
#define UPKEEP_RETRY_MS	60000
#define MONTHS_AHEAD	3
#define CHECKPOINT_MS	60000
#define CHECKPOINT_ROWS	10000
#define KEEP_SEGMENTS	1		/* shipped ones before the current */

struct batch {
	struct buf	 text;
	size_t		 at[BATCH_RECORDS + 1];
	int		 n;
	uint8_t		 digest[BATCH_RECORDS][32];
	int		 n_digests;
	int		 bad[BATCH_RECORDS];	/* those that are no records */
	int		 n_bad;
};

struct shipper {
	struct shm	*shm;
	const struct ship_settings *set;
	int		 dir_fd;
	char		 journal[37];
	struct chain_key key;
	struct db	*db;
	int64_t		 retry_ms, sync_ms, upkeep_ms, note_ms, removed_below;
	uint64_t	 calls;		/* served so far, when last looked */
	int64_t		 calls_ms;
	bool		 known;		/* base is what the database holds */
	struct auditlog_state base, next, seen;
	struct journal_reader reader;
	struct assembler assembler;
	struct batch	 batch;
	struct buf	 rows, scratch;
	int64_t		 checkpoint_ms, checkpoint_seq;
};

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int64_t
logical(const struct shipper *s, int64_t segment, int64_t offset)
{
	return ship_logical(s->set->segment_bytes, segment, offset);
}

static void
batch_reset(struct batch *b)
{
	b->n = b->n_digests = b->n_bad = 0;
	buf_reset(&b->text, 2 * BATCH_BYTES);
}

static struct span
batch_record(const struct batch *b, int i)
{
	return span_make(b->text.p + b->at[i], b->at[i + 1] - b->at[i]);
}

static void
batch_add(struct batch *b, struct span record)
{
	b->at[b->n++] = b->text.n;
	buf_add_span(&b->text, record);
	b->at[b->n] = b->text.n;
}

/* Hashes those that are not hashed yet. */
static void
batch_hash(struct batch *b)
{
	struct span record;

	for (; b->n_digests < b->n; b->n_digests++) {
		record = batch_record(b, b->n_digests);
		hash_sha256(record.p, record.n, b->digest[b->n_digests]);
	}
}

/* Takes over the state that the database holds and reads on from there. */
static int
take_state(struct shipper *s, const struct auditlog_state *st, struct err *e)
{
	int64_t oldest = st->segment, newest;

	s->base.segment = st->segment;
	s->base.offset = st->offset;
	s->base.seq = st->seq;
	memcpy(s->base.hash, st->hash, 32);
	if (st->segment > 0 ||
	    journal_range(s->dir_fd, &oldest, &newest) == 0)
		atomic_store(&shm_audit(s->shm)->shipped_bytes,
		    (uint64_t)logical(s, oldest, st->offset));
	journal_reader_free(&s->reader);
	journal_reader_init(&s->reader, s->dir_fd, st->segment, st->offset);
	if (assembler_restore(&s->assembler, buf_span(&st->pending)) < 0)
		return err_set(e, ERR_INTERNAL,
		    "audit_position.pending is damaged");
	batch_reset(&s->batch);
	s->checkpoint_seq = st->seq;
	s->known = true;
	return 0;
}

static int
load_state(struct shipper *s, struct err *e)
{
	if (auditlog_begin(s->db, s->set->node, s->journal, &s->seen, e) < 0 ||
	    db_commit(s->db, e) < 0)
		return -1;
	return take_state(s, &s->seen, e);
}

/* Reads frames until the batch is full or there are no more. */
static int
fill_batch(struct shipper *s)
{
	struct batch *b = &s->batch;
	struct span frame, payload, record;
	struct audit_frame f;
	int n = 0;

	while (b->n < BATCH_RECORDS && b->text.n < BATCH_BYTES) {
		n = journal_reader_next(&s->reader, &f, &frame, &payload);
		if (n <= 0)
			break;
		if (assembler_add(&s->assembler, &f, frame, payload,
		    &record) == 0)
			continue;
		batch_add(b, record);
		if (b->n - b->n_digests == GROUP_RECORDS)
			batch_hash(b);
	}
	batch_hash(b);
	return n < 0 ? -1 : 0;
}

/* The next link of the chain for this record; seq and hash of *st move only
 * when the caller says so (link_commit). */
static int
make_row(struct shipper *s, int i, struct auditlog_row *row)
{
	buf_reset(&s->scratch, BATCH_BYTES);
	if (chain_row(batch_record(&s->batch, i), row, &s->scratch) < 0)
		return -1;
	row->node = s->set->node;
	row->seq = s->next.seq + 1;
	memcpy(row->prev_hash, s->next.hash, 32);
	chain_link(row->prev_hash, row->seq, s->batch.digest[i], row->hash);
	return 0;
}

static void
link_commit(struct shipper *s, const struct auditlog_row *row)
{
	s->next.seq = row->seq;
	memcpy(s->next.hash, row->hash, 32);
}

static int
reject(struct shipper *s, int i, const char *reason, struct err *e)
{
	log_warn("an audit record was rejected: %s", reason);
	return auditlog_reject(s->db, s->set->node, s->journal, &s->next,
	    reason, batch_record(&s->batch, i), e);
}

static int
send_rows(struct shipper *s, struct err *e)
{
	int rv = auditlog_copy_rows(s->db, buf_span(&s->rows), e);

	buf_reset(&s->rows, 4 * SEND_BYTES);
	return rv;
}

static int
copy_rows(struct shipper *s, struct err *e)
{
	struct auditlog_row row;
	bool begun = false;
	int i;

	buf_reset(&s->rows, 4 * SEND_BYTES);
	for (i = 0; i < s->batch.n; i++) {
		if (make_row(s, i, &row) < 0) {
			s->batch.bad[s->batch.n_bad++] = i;
			continue;
		}
		if (!begun && auditlog_copy_begin(s->db, e) < 0)
			return -1;
		begun = true;
		auditlog_row_copy(&row, &s->rows);
		link_commit(s, &row);
		if (s->rows.n >= SEND_BYTES && send_rows(s, e) < 0)
			return -1;
	}
	if (begun && (send_rows(s, e) < 0 || auditlog_copy_end(s->db, e) < 0))
		return -1;
	return 0;
}

static int
put_all(struct shipper *s, struct err *e)
{
	int i;

	s->batch.n_bad = 0;
	if (copy_rows(s, e) < 0)
		return -1;
	for (i = 0; i < s->batch.n_bad; i++)
		if (reject(s, s->batch.bad[i], "not an audit record", e) < 0)
			return -1;
	return 0;
}

static int
put_each(struct shipper *s, struct err *e)
{
	struct auditlog_row row;
	int i, rv;

	for (i = 0; i < s->batch.n; i++) {
		if (make_row(s, i, &row) < 0) {
			if (reject(s, i, "not an audit record", e) < 0)
				return -1;
			continue;
		}
		rv = auditlog_insert(s->db, &row, e);
		if (rv < 0 || (rv == 0 && reject(s, i, e->text, e) < 0))
			return -1;
		if (rv > 0)
			link_commit(s, &row);
	}
	return 0;
}

/* The state behind the batch; chain head as yet that of the base. */
static void
prepare_next(struct shipper *s)
{
	journal_reader_at(&s->reader, &s->next.segment, &s->next.offset);
	buf_reset(&s->next.pending, BATCH_BYTES);
	assembler_pending(&s->assembler, &s->next.pending);
	s->next.seq = s->base.seq;
	memcpy(s->next.hash, s->base.hash, 32);
}

/* Begins and makes sure that nobody else has moved on. 1, 0 (start over), -1 */
static int
begin(struct shipper *s, struct err *e)
{
	if (auditlog_begin(s->db, s->set->node, s->journal, &s->seen, e) < 0)
		return -1;
	if (s->seen.segment == s->base.segment &&
	    s->seen.offset == s->base.offset && s->seen.seq == s->base.seq)
		return 1;
	db_rollback(s->db);
	return take_state(s, &s->seen, e);
}

static int
checkpoint_if_due(struct shipper *s, struct err *e)
{
	int64_t now_ms = clock_mono_ms();
	uint8_t mac[32];

	if (s->next.seq == s->checkpoint_seq ||
	    (s->next.seq - s->checkpoint_seq < CHECKPOINT_ROWS &&
	    now_ms < s->checkpoint_ms))
		return 0;
	s->checkpoint_ms = now_ms + CHECKPOINT_MS;
	s->checkpoint_seq = s->next.seq;
	return auditlog_checkpoint(s->db, s->set->node, "head", s->next.seq,
	    s->next.hash, chain_sign(&s->key, s->set->node, "head",
	    s->next.seq, s->next.hash, mac) ? mac : NULL, e);
}

static int
finish(struct shipper *s, struct err *e)
{
	if (checkpoint_if_due(s, e) < 0 ||
	    auditlog_advance(s->db, s->set->node, s->journal, &s->next, e) < 0)
		return -1;
	if ((int64_t)atomic_load(&shm_audit(s->shm)->durable_bytes) <
	    logical(s, s->next.segment, s->next.offset) &&
	    journal_reader_sync(&s->reader) < 0)
		return err_set(e, ERR_AUDIT, "the journal cannot be synced: %s",
		    strerror(errno));
	return db_commit(s->db, e);
}

static void
raise_to(_Atomic uint64_t *word, uint64_t v)
{
	uint64_t old = atomic_load(word);

	while (old < v && !atomic_compare_exchange_weak(word, &old, v))
		;
}

static void
remove_shipped(struct shipper *s, int64_t segment)
{
	int64_t oldest, newest;
	char name[32];

	if (segment - KEEP_SEGMENTS <= s->removed_below ||
	    journal_range(s->dir_fd, &oldest, &newest) < 0)
		return;
	for (; oldest > 0 && oldest < segment - KEEP_SEGMENTS; oldest++) {
		journal_segment_name(oldest, name);
		(void)unlinkat(s->dir_fd, name, 0);
	}
	s->removed_below = segment - KEEP_SEGMENTS;
}

/* After the commit: the new state is the base; the world is told. */
static void
committed(struct shipper *s)
{
	struct shm_audit *a = shm_audit(s->shm);
	int64_t end = logical(s, s->next.segment, s->next.offset);
	int64_t now_ms = clock_mono_ms();

	if (logical(s, s->base.segment, s->base.offset) < s->set->fresh_from)
		atomic_fetch_add(&a->records, (uint64_t)s->batch.n);
	atomic_fetch_add(&a->records_shipped, (uint64_t)s->batch.n);
	atomic_store(&a->shipped_bytes, (uint64_t)end);
	raise_to(&a->durable_bytes, (uint64_t)end);
	if (s->assembler.dropped > 0) {
		atomic_fetch_add(&a->damaged, s->assembler.dropped);
		log_warn("%llu unfinished audit records of dead processes "
		    "were dropped", (unsigned long long)s->assembler.dropped);
		s->assembler.dropped = 0;
	}
	if (s->reader.gaps > 0) {
		log_error("%llu journal segments were missing",
		    (unsigned long long)s->reader.gaps);
		s->reader.gaps = 0;
	}
	s->base.segment = s->next.segment;
	s->base.offset = s->next.offset;
	s->base.seq = s->next.seq;
	memcpy(s->base.hash, s->next.hash, 32);
	batch_reset(&s->batch);
	if (now_ms >= s->note_ms) {
		s->note_ms = now_ms + SYNC_MS;
		journal_note_shipped(s->dir_fd, s->base.segment,
		    s->base.offset);
	}
	remove_shipped(s, s->base.segment);
}

static int
ship_batch(struct shipper *s, struct err *e)
{
	int rv;

	prepare_next(s);
	if ((rv = begin(s, e)) <= 0)
		return rv;
	if (put_all(s, e) < 0) {
		if (!db_is_ok(s->db) || !auditlog_is_bad_row(s->db))
			return -1;
		db_rollback(s->db);
		prepare_next(s);
		if ((rv = begin(s, e)) <= 0)
			return rv;
		if (put_each(s, e) < 0)
			return -1;
	}
	if (finish(s, e) < 0)
		return -1;
	committed(s);
	return 0;
}

static bool
connect_due(struct shipper *s)
{
	return *s->set->database_url != '\0' && clock_mono_ms() >= s->retry_ms;
}

/* Nothing is assumed about what happened: the state is read again. */
static void
lost(struct shipper *s, const struct err *e)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	uint8_t r;

	if (log_limit_ok(&ll))
		log_warn("audit records stay in the journal: %s", e->text);
	atomic_store(&shm_audit(s->shm)->db_ok, 0);
	random_bytes(&r, 1);
	s->retry_ms = clock_mono_ms() + RETRY_MS + r % RETRY_JITTER_MS;
	s->known = false;
	db_close(&s->db);
}

/* Partitions ahead, old ones dropped. Not being able to is no reason to stop
 * shipping: rows then go to the default partition. */
static void
upkeep(struct shipper *s)
{
	struct err e;

	s->upkeep_ms = clock_mono_ms() + UPKEEP_MS;
	if (auditlog_partitions(s->db, MONTHS_AHEAD, &e) < 0 ||
	    auditlog_prune(s->db, s->set->retention_days, chain_sign, &s->key,
	    &e) < 0) {
		log_warn("audit partitions: %s", e.text);
		s->upkeep_ms = clock_mono_ms() + UPKEEP_RETRY_MS;
		db_rollback(s->db);
	}
}

/* In audit.sync async nobody else does: bounds what a power cut can take. */
static void
sync_newest(struct shipper *s)
{
	int64_t oldest, newest, now_ms = clock_mono_ms();
	struct stat st;
	char name[32];
	int fd;

	if (now_ms < s->sync_ms)
		return;
	s->sync_ms = now_ms + SYNC_MS;
	if (journal_range(s->dir_fd, &oldest, &newest) < 0 || newest == 0)
		return;
	journal_segment_name(newest, name);
	if ((fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC)) < 0)
		return;
	if (fstat(fd, &st) == 0 && logical(s, newest, st.st_size) >
	    (int64_t)atomic_load(&shm_audit(s->shm)->durable_bytes) &&
	    fdatasync(fd) == 0)
		raise_to(&shm_audit(s->shm)->durable_bytes,
		    (uint64_t)logical(s, newest, st.st_size));
	close(fd);
}

/* Without a database the journal is the log: it is kept as long as rows
 * would be. */
static void
expire_segments(struct shipper *s)
{
	int64_t oldest, newest, old = time(NULL) - s->set->retention_days * 86400;
	struct stat st;
	char name[32];

	if (clock_mono_ms() < s->upkeep_ms)
		return;
	s->upkeep_ms = clock_mono_ms() + UPKEEP_RETRY_MS;
	if (journal_range(s->dir_fd, &oldest, &newest) < 0)
		return;
	for (; oldest > 0 && oldest < newest - KEEP_SEGMENTS; oldest++) {
		journal_segment_name(oldest, name);
		if (fstatat(s->dir_fd, name, &st, 0) == 0) {
			if (st.st_mtime > old)
				break;
			(void)unlinkat(s->dir_fd, name, 0);
		}
	}
	/* What is gone no longer fills the spool. */
	raise_to(&shm_audit(s->shm)->shipped_bytes,
	    (uint64_t)logical(s, oldest, 0));
}

/* One turn. True: there may be more at once. */
static bool
turn(struct shipper *s)
{
	struct err e = { 0 };
	int64_t segment, offset;
	bool full;

	sync_newest(s);
	if (*s->set->database_url == '\0') {
		expire_segments(s);
		return false;
	}
	if (s->db == NULL && (!connect_due(s) || (s->db = db_open(
	    s->set->database_url, s->set->database_timeout_ms, &e)) == NULL)) {
		if (e.text[0] != '\0')
			lost(s, &e);
		return false;
	}
	if ((!s->known && load_state(s, &e) < 0) || fill_batch(s) < 0) {
		if (e.text[0] == '\0')
			err_set(&e, ERR_AUDIT, "the journal cannot be read: %s",
			    strerror(errno));
		lost(s, &e);
		return false;
	}
	full = s->batch.n >= BATCH_RECORDS || s->batch.text.n >= BATCH_BYTES;
	journal_reader_at(&s->reader, &segment, &offset);
	if ((segment != s->base.segment || offset != s->base.offset) &&
	    ship_batch(s, &e) < 0) {
		lost(s, &e);
		return false;
	}
	atomic_store(&shm_audit(s->shm)->db_ok, 1);
	if (clock_mono_ms() >= s->upkeep_ms)
		upkeep(s);
	return full;
}

static bool
all_shipped(const struct shipper *s)
{
	const struct shm_audit *a = shm_audit(s->shm);

	return atomic_load(&a->shipped_bytes) >= atomic_load(&a->journal_bytes);
}

static void
start(struct shipper *s, struct shm *shm, const struct ship_settings *set)
{
	struct sigaction sa = { .sa_handler = on_term };

	sigaction(SIGTERM, &sa, NULL);
	*s = (struct shipper){ .shm = shm, .set = set, .dir_fd = -1 };
	s->dir_fd = open(set->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0 || journal_read_id(s->dir_fd, s->journal) < 0)
		die_sys("%s", set->dir);
	chain_key_init(&s->key, set->token_secret);
	journal_reader_init(&s->reader, s->dir_fd, 0, 0);
	assembler_init(&s->assembler);
	buf_init(&s->batch.text, BATCH_MAX);
	buf_init(&s->rows, 1u << 30);
	buf_init(&s->scratch, 1u << 30);
	buf_init(&s->next.pending, 1u << 30);
	buf_init(&s->seen.pending, 1u << 30);
	s->checkpoint_ms = clock_mono_ms() + CHECKPOINT_MS;
}

/*
 * Calls come first: while many are served, shipping takes a quarter of the time
 * it could, because PostgreSQL works on the same processors. The journal holds
 * what waits; when that is a lot, or the rush is over, shipping runs on.
 */
static void
yield_to_calls(struct shipper *s, int64_t took_us)
{
	const struct shm_audit *a = shm_audit(s->shm);
	uint64_t waiting = atomic_load(&a->journal_bytes) -
	    atomic_load(&a->shipped_bytes);
	uint64_t calls = shm_counter_sum(s->shm, C_MCP_CALLS);
	int64_t now = clock_mono_ms();
	uint64_t rate = now <= s->calls_ms ? 0 :
	    (calls - s->calls) * 1000 / (uint64_t)(now - s->calls_ms);

	s->calls = calls;
	s->calls_ms = now;
	if (rate > BUSY_RATE && waiting < (uint64_t)s->set->spool_max / 16)
		clock_nap_ms(took_us / 1000 * 3 > 500 ? 500 : took_us / 1000 * 3);
}

void
ship_main(struct shm *shm, const struct ship_settings *set)
{
	struct shipper *s = xmalloc(sizeof(*s));
	int64_t give_up_ms = INT64_MAX, begun_us;
	bool more;

	start(s, shm, set);
	while (clock_mono_ms() < give_up_ms) {
		begun_us = clock_mono_us();
		more = turn(s);
		if (stop && give_up_ms == INT64_MAX)
			give_up_ms = clock_mono_ms() + set->drain_timeout_ms;
		/* Records are safe in the journal: no waiting for a database
		 * that is away. */
		if (stop && (s->db == NULL || all_shipped(s)))
			break;
		if (more && !stop)
			yield_to_calls(s, clock_mono_us() - begun_us);
		else if (!more)
			clock_nap_ms(stop ? NAP_STOP_MS : NAP_MS);
	}
	if (s->known)
		journal_note_shipped(s->dir_fd, s->base.segment,
		    s->base.offset);
	db_close(&s->db);
	journal_reader_free(&s->reader);
	assembler_free(&s->assembler);
	buf_free(&s->batch.text);
	buf_free(&s->rows);
	buf_free(&s->scratch);
	buf_free(&s->next.pending);
	buf_free(&s->seen.pending);
	close(s->dir_fd);
	free(s);
}
