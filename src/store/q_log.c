/*
 * q_log -- appends to the audit log. See auditlog.h; the shipper calls it.
 *
 * One transaction: lock chain and position of the node (so two shippers that
 * overlap, because one was killed, take turns and the second sees what the
 * first did), rows, position and chain, commit.
 */
#include "store/auditlog.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/json_read.h"
#include "store/store_int.h"

static const char columns_sql[] =
#define COLUMN(name, kind) #name ", "
#include "store/auditlog.def"
#undef COLUMN
    "node, seq, record, prev_hash, hash";

const char *
auditlog_column_name(enum auditlog_column c)
{
	static const char *const names[] = {
#define COLUMN(name, kind) #name,
#include "store/auditlog.def"
#undef COLUMN
	};

	return names[c];
}

static const bool column_is_int[] = {
#define TEXT	false
#define TIME	false
#define INT	true
#define COLUMN(name, kind) kind,
#include "store/auditlog.def"
#undef COLUMN
#undef TEXT
#undef TIME
#undef INT
};

bool
auditlog_column_is_int(enum auditlog_column c)
{
	return column_is_int[c];
}

/* The rows that are locked: they are there from the first shipment on. */
static int
insert_state(struct db *db, const char *node, const char *journal,
    struct err *e)
{
	if (db_exec(db, e, "INSERT INTO omni2.audit_chain (node, seq, hash) "
	    "VALUES ($1, 0, decode(repeat('00', 32), 'hex')) "
	    "ON CONFLICT (node) DO NOTHING", node, (char *)NULL) < 0)
		return -1;
	return db_exec(db, e, "INSERT INTO omni2.audit_position "
	    "(node, journal, segment, \"offset\") VALUES ($1, $2, 0, 0) "
	    "ON CONFLICT (node, journal) DO NOTHING", node, journal,
	    (char *)NULL);
}

static struct db_result *
lock_state(struct db *db, const char *node, const char *journal,
    struct err *e)
{
	const char *params[] = { node, journal };

	return db_query(db, e, "SELECT c.seq, encode(c.hash, 'hex'), "
	    "p.segment, p.\"offset\", encode(p.pending, 'hex') "
	    "FROM omni2.audit_chain c JOIN omni2.audit_position p "
	    "ON p.node = c.node WHERE c.node = $1 AND p.journal = $2 "
	    "FOR UPDATE", 2, params);
}

static int
read_state(const struct db_result *r, struct auditlog_state *st,
    struct err *e)
{
	struct span pending = span_str(db_text(r, 0, 4));
	size_t n = pending.n / 2;

	if (hash_unhex(span_str(db_text(r, 0, 1)), st->hash, 32) < 0)
		return err_set(e, ERR_INTERNAL, "audit_chain is damaged");
	st->seq = db_int(r, 0, 0);
	st->segment = db_int(r, 0, 2);
	st->offset = db_int(r, 0, 3);
	buf_reset(&st->pending, 1 << 20);
	if (n > 0 && buf_reserve(&st->pending, n) == 0 &&
	    hash_unhex(pending, (uint8_t *)st->pending.p, n) == 0)
		st->pending.n = n;
	return 0;
}

int
auditlog_begin(struct db *db, const char *node, const char *journal,
    struct auditlog_state *st, struct err *e)
{
	struct db_result *r = NULL;
	int rv = -1;

	if (db_begin(db, e) < 0 ||
	    (r = lock_state(db, node, journal, e)) == NULL)
		return -1;
	if (db_rows(r) == 0) {
		db_result_free(&r);
		if (insert_state(db, node, journal, e) < 0 ||
		    (r = lock_state(db, node, journal, e)) == NULL)
			return -1;
	}
	if (db_rows(r) == 1)
		rv = read_state(r, st, e);
	else
		err_set(e, ERR_INTERNAL, "audit_chain is damaged");
	db_result_free(&r);
	return rv;
}

/* COPY text format: backslash, tab and line ends are escaped. */
static void
copy_text(struct buf *b, struct span s)
{
	size_t i, start = 0;
	char c;

	for (i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case '\\': c = '\\'; break;
		case '\t': c = 't'; break;
		case '\n': c = 'n'; break;
		case '\r': c = 'r'; break;
		default: continue;
		}
		buf_add(b, s.p + start, i - start);
		buf_add_char(b, '\\');
		buf_add_char(b, c);
		start = i + 1;
	}
	if (s.n > start)
		buf_add(b, s.p + start, s.n - start);
}

static void
copy_columns(const struct auditlog_row *row, struct buf *b)
{
	int i;

	for (i = 0; i < AUDITLOG_COLUMNS; i++) {
		if (row->v[i].n == 0 && column_is_int[i])
			buf_add_char(b, '0');
		else
			copy_text(b, row->v[i]);
		buf_add_char(b, '\t');
	}
}

/* The same, with room made once. */
static void
copy_plain_columns(const struct auditlog_row *row, struct buf *b)
{
	size_t n = 2 * AUDITLOG_COLUMNS;
	char *p;
	int i;

	for (i = 0; i < AUDITLOG_COLUMNS; i++)
		n += row->v[i].n;
	if (buf_reserve(b, n) < 0) {
		b->overflow = true;
		return;
	}
	p = b->p + b->n;
	for (i = 0; i < AUDITLOG_COLUMNS; i++) {
		n = row->v[i].n;
		memcpy(p, row->v[i].p, n);
		p += n;
		if (n == 0 && column_is_int[i])
			*p++ = '0';
		*p++ = '\t';
	}
	b->n = (size_t)(p - b->p);
}

/* Tab, \x and the hash. */
static void
copy_hash(struct buf *b, const uint8_t hash[32])
{
	char text[5 + 64 + 1] = "\t\\\\x";

	hash_hex(hash, 32, text + 4);
	buf_add(b, text, 4 + 64);
}

void
auditlog_row_copy(const struct auditlog_row *row, struct buf *b)
{
	if (row->plain)
		copy_plain_columns(row, b);
	else
		copy_columns(row, b);
	copy_text(b, span_str(row->node));
	buf_add_char(b, '\t');
	buf_add_i64(b, row->seq);
	buf_add_char(b, '\t');
	if (row->record_plain)
		buf_add_span(b, row->record);
	else
		copy_text(b, row->record);
	copy_hash(b, row->prev_hash);
	copy_hash(b, row->hash);
	buf_add_char(b, '\n');
}

int
auditlog_copy_begin(struct db *db, struct err *e)
{
	char sql[1024];

	snprintf(sql, sizeof(sql), "COPY omni2.audit_log (%s) FROM STDIN",
	    columns_sql);
	return db_copy_begin(db, e, sql);
}

int
auditlog_copy_rows(struct db *db, struct span rows, struct err *e)
{
	return db_copy_data(db, e, rows);
}

int
auditlog_copy_end(struct db *db, struct err *e)
{
	return db_copy_end(db, e);
}

int
auditlog_copy(struct db *db, struct span rows, struct err *e)
{
	if (auditlog_copy_begin(db, e) < 0 ||
	    auditlog_copy_rows(db, rows, e) < 0)
		return -1;
	return auditlog_copy_end(db, e);
}

/* Data exceptions, constraints, program limits, malformed COPY text. */
bool
auditlog_is_bad_row(const struct db *db)
{
	const char *s = db_sqlstate(db);

	return strncmp(s, "22", 2) == 0 || strncmp(s, "23", 2) == 0 ||
	    strncmp(s, "54", 2) == 0;
}

int
auditlog_insert(struct db *db, const struct auditlog_row *row, struct err *e)
{
	struct err ignored;
	struct buf b;
	int rv;

	if (db_exec(db, e, "SAVEPOINT one", (char *)NULL) < 0)
		return -1;
	buf_init(&b, 1u << 30);
	auditlog_row_copy(row, &b);
	rv = auditlog_copy(db, buf_span(&b), e);
	buf_free(&b);
	if (rv == 0)
		return db_exec(db, e, "RELEASE one", (char *)NULL) < 0 ? -1 : 1;
	if (!auditlog_is_bad_row(db) || !db_is_ok(db))
		return -1;
	return db_exec(db, &ignored, "ROLLBACK TO one", (char *)NULL) < 0 ?
	    -1 : 0;
}

/* bytea as a text parameter. */
static void
bytea_text(struct span s, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	buf_add_str(out, "\\x");
	for (i = 0; i < s.n; i++) {
		buf_add_char(out, digits[(unsigned char)s.p[i] >> 4]);
		buf_add_char(out, digits[(unsigned char)s.p[i] & 15]);
	}
	buf_add_char(out, '\0');
}

int
auditlog_reject(struct db *db, const char *node, const char *journal,
    const struct auditlog_state *st, const char *reason, struct span record,
    struct err *e)
{
	char segment[24], offset[24];
	struct buf hex;
	int rv;

	snprintf(segment, sizeof(segment), "%lld", (long long)st->segment);
	snprintf(offset, sizeof(offset), "%lld", (long long)st->offset);
	buf_init(&hex, 1u << 30);
	bytea_text(record, &hex);
	rv = db_exec(db, e, "INSERT INTO omni2.audit_rejected (node, journal, "
	    "segment, \"offset\", reason, record) VALUES ($1, $2, $3, $4, $5, "
	    "$6)", node, journal, segment, offset, reason, hex.p, (char *)NULL);
	buf_free(&hex);
	return rv;
}

/* One statement, because each costs a round trip. */
int
auditlog_advance(struct db *db, const char *node, const char *journal,
    const struct auditlog_state *st, struct err *e)
{
	char segment[24], offset[24], seq[24], hash[65];
	struct buf hex;
	int rv;

	snprintf(segment, sizeof(segment), "%lld", (long long)st->segment);
	snprintf(offset, sizeof(offset), "%lld", (long long)st->offset);
	snprintf(seq, sizeof(seq), "%lld", (long long)st->seq);
	hash_hex(st->hash, 32, hash);
	buf_init(&hex, 1u << 30);
	bytea_text(buf_span(&st->pending), &hex);
	rv = db_exec(db, e, "WITH moved AS (UPDATE omni2.audit_position "
	    "SET segment = $3, \"offset\" = $4, pending = $5, "
	    "changed_at = now() WHERE node = $1 AND journal = $2) "
	    "UPDATE omni2.audit_chain SET seq = $6, "
	    "hash = decode($7, 'hex'), changed_at = now() "
	    "WHERE node = $1 AND seq <> $6", node, journal, segment, offset,
	    hex.p, seq, hash, (char *)NULL);
	buf_free(&hex);
	return rv;
}

int
auditlog_checkpoint(struct db *db, const char *node, const char *kind,
    int64_t seq, const uint8_t hash[32], const uint8_t *mac, struct err *e)
{
	char text[24], hash_text[65], mac_text[65];
	const char *params[] = { node, kind, text, hash_text,
	    mac == NULL ? NULL : mac_text };
	struct db_result *r;

	snprintf(text, sizeof(text), "%lld", (long long)seq);
	hash_hex(hash, 32, hash_text);
	if (mac != NULL)
		hash_hex(mac, 32, mac_text);
	r = db_query(db, e, "INSERT INTO omni2.audit_checkpoint "
	    "(node, kind, seq, hash, mac) VALUES ($1, $2, $3, "
	    "decode($4, 'hex'), decode($5, 'hex'))", 5, params);
	if (r == NULL)
		return -1;
	db_result_free(&r);
	return 0;
}

int
auditlog_partitions(struct db *db, int months_ahead, struct err *e)
{
	char n[16];

	snprintf(n, sizeof(n), "%d", months_ahead);
	return db_exec(db, e, "SELECT omni2.ensure_partitions($1)", n,
	    (char *)NULL);
}

typedef bool sign_fn(void *, const char *, const char *, int64_t,
    const uint8_t *, uint8_t *);

/* The newest dropped row of each node becomes a check point. */
static int
note_pruned(struct db *db, const char *table, sign_fn *sign, void *arg,
    struct err *e)
{
	char sql[256];
	uint8_t hash[32], mac[32];
	struct db_result *r;
	int i, rv = 0;

	snprintf(sql, sizeof(sql), "SELECT DISTINCT ON (node) node, seq, "
	    "encode(hash, 'hex') FROM omni2.\"%s\" ORDER BY node, seq DESC",
	    table);
	if ((r = db_query(db, e, sql, 0, NULL)) == NULL)
		return -1;
	for (i = 0; i < db_rows(r) && rv == 0; i++) {
		const char *node = db_text(r, i, 0);
		int64_t seq = db_int(r, i, 1);

		if (hash_unhex(span_str(db_text(r, i, 2)), hash, 32) < 0)
			rv = err_set(e, ERR_INTERNAL, "%s: bad hash", table);
		else
			rv = auditlog_checkpoint(db, node, "pruned", seq, hash,
			    sign(arg, node, "pruned", seq, hash, mac) ? mac :
			    NULL, e);
	}
	db_result_free(&r);
	return rv;
}

/* Own transaction; a short lock_timeout, so that readers are not queued
 * behind a drop that itself waits for a long query. */
static int
drop_partition(struct db *db, const char *parent, const char *table,
    sign_fn *sign, void *arg, struct err *e)
{
	struct store_tx tx;
	char sql[256];
	int rv = -1;

	if (store_tx_begin(db, &tx, e) < 0)
		return -1;
	snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = '2s'; "
	    "ALTER TABLE omni2.%s DETACH PARTITION omni2.\"%s\"", parent,
	    table);
	if (db_script(db, e, sql) == 0 && (strcmp(parent, "audit_log") != 0 ||
	    note_pruned(db, table, sign, arg, e) == 0)) {
		snprintf(sql, sizeof(sql), "DROP TABLE omni2.\"%s\"", table);
		rv = db_exec(db, e, sql, (char *)NULL);
	}
	return store_tx_end(db, &tx, rv, e);
}

static int
prune_parent(struct db *db, const char *parent, const char *days,
    sign_fn *sign, void *arg, struct err *e)
{
	const char *params[] = { parent, days };
	struct db_result *r;
	int i, rv = 0;

	r = db_query(db, e, "SELECT omni2.expired_partitions($1, "
	    "now() - make_interval(days => $2::integer))", 2, params);
	if (r == NULL)
		return -1;
	for (i = 0; i < db_rows(r) && rv == 0; i++)
		rv = drop_partition(db, parent, db_text(r, i, 0), sign, arg, e);
	db_result_free(&r);
	return rv;
}

int
auditlog_prune(struct db *db, int64_t retention_days, sign_fn *sign,
    void *arg, struct err *e)
{
	char days[24];

	snprintf(days, sizeof(days), "%lld", (long long)retention_days);
	if (prune_parent(db, "audit_log", days, sign, arg, e) < 0)
		return -1;
	return prune_parent(db, "request_log", days, sign, arg, e);
}
