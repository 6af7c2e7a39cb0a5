/*
 * verify -- checks the audit log against itself and against the journal.
 *
 * omni2ctl only; reads in one snapshot and changes nothing. What is checked:
 *  - numbers of each node run without gap from 1, or from where retention
 *    dropped rows (check point 'pruned');
 *  - each row's hash is that of its predecessor's hash, number and record;
 *  - the columns of a row say what its record says;
 *  - the chain ends where audit_chain says, and runs through every check
 *    point; with the key, check points bear our signature;
 *  - every whole record of the journal before the shipped position is in the
 *    table byte for byte, or among the rejected.
 */
#include "audit/auditor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/assemble.h"
#include "audit/chain.h"
#include "audit/journal.h"
#include "audit/journal_read.h"
#include "base/arena.h"
#include "base/hash.h"
#include "store/auditlog.h"

#define FIND_BATCH	200

struct verify {
	struct db	*db;
	struct buf	*out;
	long		 findings;
	struct chain_key key;
	struct buf	 scratch;
};

struct chain_end {			/* how far a node's chain was followed */
	int64_t	 seq;
	uint8_t	 hash[32];
	int64_t	 pruned;
	int64_t	 rows;
};

static void
finding(struct verify *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
finding(struct verify *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(v->out, fmt, ap);
	va_end(ap);
	buf_add_char(v->out, '\n');
	v->findings++;
}

static void
check_columns(struct verify *v, const struct auditlog_row *row)
{
	struct auditlog_row want = { .node = row->node };
	int i;

	buf_reset(&v->scratch, 1 << 20);
	if (chain_row(row->record, &want, &v->scratch) < 0) {
		finding(v, "%s: record %lld: is not an audit record",
		    row->node, (long long)row->seq);
		return;
	}
	for (i = 0; i < AUDITLOG_COLUMNS; i++) {
		if (span_eq(row->v[i], want.v[i]) ||
		    (want.v[i].n == 0 && span_is(row->v[i], "0") &&
		    auditlog_column_is_int((enum auditlog_column)i)))
			continue;
		finding(v, "%s: record %lld: column %s was altered: it says "
		    "\"%.*s\", the record says \"%.*s\"", row->node,
		    (long long)row->seq, auditlog_column_name(
		    (enum auditlog_column)i), SPAN_FMT(row->v[i]),
		    SPAN_FMT(want.v[i]));
	}
}

static void
check_row(struct verify *v, const struct auditlog_row *row,
    struct chain_end *end)
{
	uint8_t hash[32];

	if (row->seq > end->seq + 1 && row->seq > end->pruned + 1)
		finding(v, "%s: records %lld to %lld are missing", row->node,
		    (long long)(end->seq > end->pruned ? end->seq :
		    end->pruned) + 1, (long long)row->seq - 1);
	if (row->seq == end->seq + 1 &&
	    memcmp(row->prev_hash, end->hash, 32) != 0)
		finding(v, "%s: record %lld does not follow record %lld",
		    row->node, (long long)row->seq, (long long)end->seq);
	chain_hash(row->prev_hash, row->seq, row->record, hash);
	if (memcmp(hash, row->hash, 32) != 0)
		finding(v, "%s: record %lld was altered: its hash does not "
		    "fit", row->node, (long long)row->seq);
	check_columns(v, row);
	end->seq = row->seq;
	memcpy(end->hash, row->hash, 32);
	end->rows++;
}

struct checkpoints {
	struct db_result *r;
	int	 at;
};

static void
check_signature(struct verify *v, const char *node,
    const struct checkpoints *c)
{
	int64_t seq = db_int(c->r, c->at, 1);
	const char *kind = db_text(c->r, c->at, 0);
	uint8_t hash[32], mac[32], want[32];

	if (!v->key.set)
		return;
	if (hash_unhex(span_str(db_text(c->r, c->at, 2)), hash, 32) < 0 ||
	    hash_unhex(span_str(db_text(c->r, c->at, 3)), mac, 32) < 0 ||
	    !chain_sign(&v->key, node, kind, seq, hash, want) ||
	    !secret_equal(mac, want, 32))
		finding(v, "%s: check point (%s) at %lld is not signed with "
		    "this key", node, kind, (long long)seq);
}

/* Check points up to seq, whose row (if any) has this hash. */
static void
check_points(struct verify *v, const char *node, struct checkpoints *c,
    const struct chain_end *end)
{
	uint8_t hash[32];

	while (c->at < db_rows(c->r) && db_int(c->r, c->at, 1) <= end->seq) {
		int64_t seq = db_int(c->r, c->at, 1);

		check_signature(v, node, c);
		if (seq == end->seq && (hash_unhex(span_str(db_text(c->r,
		    c->at, 2)), hash, 32) < 0 ||
		    memcmp(hash, end->hash, 32) != 0))
			finding(v, "%s: record %lld is not the one of its "
			    "check point", node, (long long)seq);
		c->at++;
	}
}

/* Where retention ended: the newest row it dropped. */
static void
find_pruned(const struct checkpoints *c, struct chain_end *end)
{
	int i;

	for (i = 0; i < db_rows(c->r); i++) {
		if (strcmp(db_text(c->r, i, 0), "pruned") != 0 ||
		    db_int(c->r, i, 1) < end->pruned)
			continue;
		end->pruned = db_int(c->r, i, 1);
		if (hash_unhex(span_str(db_text(c->r, i, 2)), end->hash,
		    32) == 0)
			end->seq = end->pruned;
	}
}

/* Rows before the dropped one that lie in kept months have holes between
 * them: they are checked one by one only. */
static int
check_rows(struct verify *v, const char *node, struct chain_end *end,
    struct checkpoints *c, struct err *e)
{
	struct chain_end old = { .pruned = INT64_MAX - 1 };
	struct auditlog_reader rd;
	struct auditlog_row row;
	int64_t last = 0;
	int rv;

	auditlog_reader_init(&rd, v->db, node);
	while ((rv = auditlog_reader_next(&rd, &row, e)) > 0) {
		if (row.seq == last)
			finding(v, "%s: number %lld is there twice", node,
			    (long long)last);
		last = row.seq;
		if (row.seq <= end->pruned) {
			old.seq = row.seq - 1;
			memcpy(old.hash, row.prev_hash, 32);
			check_row(v, &row, &old);
			continue;
		}
		check_points(v, node, c, end);
		check_row(v, &row, end);
	}
	check_points(v, node, c, end);
	end->rows += old.rows;
	auditlog_reader_free(&rd);
	return rv;
}

static int
check_end(struct verify *v, const char *node, const struct chain_end *end,
    const struct checkpoints *c, struct err *e)
{
	struct db_result *r = auditlog_head(v->db, node, e), *n;
	char hash[65];

	if (r == NULL)
		return -1;
	hash_hex(end->hash, 32, hash);
	if (db_rows(r) == 0)
		finding(v, "%s: the head of the chain is missing", node);
	else if (db_int(r, 0, 0) != end->seq)
		finding(v, "%s: the chain ends at %lld, not at %lld: records "
		    "are missing", node, (long long)end->seq,
		    (long long)db_int(r, 0, 0));
	else if (strcmp(db_text(r, 0, 1), hash) != 0)
		finding(v, "%s: the head of the chain has another hash", node);
	db_result_free(&r);
	if (c->at < db_rows(c->r))
		finding(v, "%s: a check point at %lld is beyond the end", node,
		    (long long)db_int(c->r, db_rows(c->r) - 1, 1));
	if ((n = auditlog_extent(v->db, node, e)) == NULL)
		return -1;
	if (db_int(n, 0, 0) != end->rows)
		finding(v, "%s: %lld more rows repeat a number", node,
		    (long long)(db_int(n, 0, 0) - end->rows));
	db_result_free(&n);
	return 0;
}

static int
check_node(struct verify *v, const char *node, struct err *e)
{
	struct chain_end end = { 0 };
	struct checkpoints c = { 0 };
	int rv = -1;

	if ((c.r = auditlog_checkpoints(v->db, node, e)) == NULL)
		return -1;
	find_pruned(&c, &end);
	if (check_rows(v, node, &end, &c, e) == 0)
		rv = check_end(v, node, &end, &c, e);
	db_result_free(&c.r);
	return rv;
}

struct wanted {				/* records of the journal to find */
	struct buf	 text, ids;
	size_t		 at[FIND_BATCH + 1];
	int		 n;
};

/* A record that is not there may have been rejected, or dropped by age. */
static int
check_missing(struct verify *v, struct span record, struct span id,
    const char *oldest, struct err *e)
{
	struct auditlog_row row;
	int rv = auditlog_is_rejected(v->db, record, e);

	if (rv != 0)
		return rv < 0 ? -1 : 0;
	buf_reset(&v->scratch, 1 << 20);
	if (chain_row(record, &row, &v->scratch) == 0 && *oldest != '\0' &&
	    strncmp(row.v[AUDITLOG_ts].p, oldest, 27) < 0)
		return 0;
	finding(v, "journal: record %.*s was shipped but is not in the "
	    "database", SPAN_FMT(id));
	return 0;
}

static int
find_wanted(struct verify *v, struct wanted *w, const char *oldest,
    struct err *e)
{
	struct db_result *r;
	int i, rv = 0;

	if (w->n == 0)
		return 0;
	buf_add(&w->ids, "}", 2);
	if ((r = auditlog_find(v->db, w->ids.p, e)) == NULL)
		return -1;
	for (i = 0; i < w->n && i < db_rows(r) && rv == 0; i++) {
		struct span record = span_make(w->text.p + w->at[i],
		    w->at[i + 1] - w->at[i]);
		struct span id = span_make(w->ids.p + 1 + 37 * i, 36);

		if (db_is_null(r, i, 0))
			rv = check_missing(v, record, id, oldest, e);
		else if (!span_is(record, db_text(r, i, 0)))
			finding(v, "journal: record %.*s is another one in "
			    "the database", SPAN_FMT(id));
	}
	if (db_rows(r) != w->n)
		finding(v, "journal: ids are repeated in the database");
	db_result_free(&r);
	w->n = 0;
	buf_reset(&w->text, 1 << 20);
	buf_reset(&w->ids, 1 << 20);
	return rv;
}

static void
want(struct verify *v, struct wanted *w, struct span record)
{
	struct auditlog_row row;

	buf_reset(&v->scratch, 1 << 20);
	if (chain_row(record, &row, &v->scratch) < 0 ||
	    row.v[AUDITLOG_id].n != 36)
		return;			/* such a one was rejected */
	buf_add_char(&w->ids, w->n == 0 ? '{' : ',');
	buf_add_span(&w->ids, row.v[AUDITLOG_id]);
	w->at[w->n++] = w->text.n;
	buf_add_span(&w->text, record);
	w->at[w->n] = w->text.n;
}

static int
read_journal(struct verify *v, struct journal_reader *rd, int64_t segment,
    int64_t offset, const char *oldest, struct err *e)
{
	struct wanted w = { .n = 0 };
	struct span frame, payload, record;
	struct assembler as;
	struct audit_frame f;
	int64_t seg, off;
	int rv = 0;

	assembler_init(&as);
	buf_init(&w.text, 1u << 30);
	buf_init(&w.ids, 1u << 20);
	while (rv == 0 && journal_reader_next(rd, &f, &frame, &payload) > 0) {
		journal_reader_at(rd, &seg, &off);
		if (seg > segment || (seg == segment && off > offset))
			break;
		if (assembler_add(&as, &f, frame, payload, &record) == 0)
			continue;
		want(v, &w, record);
		if (w.n == FIND_BATCH)
			rv = find_wanted(v, &w, oldest, e);
	}
	if (rv == 0)
		rv = find_wanted(v, &w, oldest, e);
	assembler_free(&as);
	buf_free(&w.text);
	buf_free(&w.ids);
	return rv;
}

static int
check_journal(struct verify *v, const char *dir, const char *oldest,
    struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rv;
	struct journal_reader rd;
	int64_t segment, offset;
	char id[37];

	if (fd < 0 || journal_read_id(fd, id) < 0) {
		rv = err_set(e, ERR_NOTFOUND, "%s: %s", dir, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rv;
	}
	rv = auditlog_position(v->db, id, &segment, &offset, e);
	journal_reader_init(&rd, fd, 0, 0);
	/* The oldest segment may begin inside a frame. */
	rd.in_damage = true;
	if (rv == 0)
		rv = read_journal(v, &rd, segment, offset, oldest, e);
	if (rd.damaged > 0)
		finding(v, "journal: %llu damaged places",
		    (unsigned long long)rd.damaged);
	if (rd.gaps > 0)
		finding(v, "journal: %llu segments are missing",
		    (unsigned long long)rd.gaps);
	journal_reader_free(&rd);
	close(fd);
	return rv;
}

/* Nodes one by one; *oldest gets the time of the oldest row of all. */
static int
check_nodes(struct verify *v, char oldest[40], struct err *e)
{
	struct db_result *nodes = auditlog_nodes(v->db, e), *r;
	int i, rv = nodes == NULL ? -1 : 0;

	oldest[0] = '\0';
	for (i = 0; rv == 0 && i < db_rows(nodes); i++) {
		rv = check_node(v, db_text(nodes, i, 0), e);
		if (rv < 0 || (r = auditlog_extent(v->db,
		    db_text(nodes, i, 0), e)) == NULL) {
			rv = -1;
			break;
		}
		if (!db_is_null(r, 0, 1) && (oldest[0] == '\0' ||
		    strcmp(db_text(r, 0, 1), oldest) < 0))
			span_copy(oldest, 40, span_str(db_text(r, 0, 1)));
		db_result_free(&r);
	}
	if (nodes != NULL)
		db_result_free(&nodes);
	return rv;
}

long
audit_verify_signed(struct db *db, const char *journal_dir,
    const char *token_secret, struct buf *out, struct err *e)
{
	struct verify v = { .db = db, .out = out };
	char oldest[40];
	int rv = -1;

	chain_key_init(&v.key, token_secret);
	buf_init(&v.scratch, 1u << 30);
	if (db_begin(db, e) == 0 && db_exec(db, e, "SET TRANSACTION ISOLATION "
	    "LEVEL REPEATABLE READ READ ONLY", (char *)NULL) == 0 &&
	    auditlog_use_indexes(db, e) == 0 && check_nodes(&v, oldest, e) == 0)
		rv = journal_dir == NULL ? 0 :
		    check_journal(&v, journal_dir, oldest, e);
	db_rollback(db);
	buf_free(&v.scratch);
	return rv < 0 ? -1 : v.findings;
}

long
audit_verify(struct db *db, const char *journal_dir, struct buf *out,
    struct err *e)
{
	return audit_verify_signed(db, journal_dir, NULL, out, e);
}
