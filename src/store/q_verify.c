/*
 * q_verify -- reads the audit log back, for omni2ctl audit verify. Read only.
 */
#include "base/hash.h"
#include "store/auditlog.h"

#define READ_ROWS	"1000"

static const char read_sql[] =
    "DECLARE omni2_verify NO SCROLL CURSOR FOR SELECT "
#define TEXT(name) #name ", "
#define INT(name) #name ", "
#define TIME(name) "to_char(" #name " AT TIME ZONE 'UTC', " \
	    "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
#define COLUMN(name, kind) kind(name)
#include "store/auditlog.def"
#undef COLUMN
#undef TEXT
#undef INT
#undef TIME
    "seq, record, encode(prev_hash, 'hex'), encode(hash, 'hex') "
    "FROM omni2.audit_log WHERE node = $1 ORDER BY seq";

/*
 * Right after many rows were added the planner takes the table for a small
 * one; then each look for a few hundred records would read all of it.
 */
int
auditlog_use_indexes(struct db *db, struct err *e)
{
	return db_exec(db, e, "SET LOCAL enable_seqscan = off",
	    (char *)NULL) == 0 && db_exec(db, e,
	    "SET LOCAL enable_hashjoin = off", (char *)NULL) == 0 ?
	    db_exec(db, e, "SET LOCAL enable_mergejoin = off",
	    (char *)NULL) : -1;
}

struct db_result *
auditlog_nodes(struct db *db, struct err *e)
{
	return db_query(db, e, "SELECT node FROM omni2.audit_chain "
	    "UNION SELECT node FROM omni2.audit_log ORDER BY 1", 0, NULL);
}

struct db_result *
auditlog_head(struct db *db, const char *node, struct err *e)
{
	const char *params[] = { node };

	return db_query(db, e, "SELECT seq, encode(hash, 'hex') "
	    "FROM omni2.audit_chain WHERE node = $1", 1, params);
}

struct db_result *
auditlog_checkpoints(struct db *db, const char *node, struct err *e)
{
	const char *params[] = { node };

	return db_query(db, e, "SELECT kind, seq, encode(hash, 'hex'), "
	    "encode(mac, 'hex') FROM omni2.audit_checkpoint WHERE node = $1 "
	    "ORDER BY seq, id", 1, params);
}

void
auditlog_reader_init(struct auditlog_reader *rd, struct db *db,
    const char *node)
{
	*rd = (struct auditlog_reader){ .db = db, .node = node };
}

void
auditlog_reader_free(struct auditlog_reader *rd)
{
	struct err e;

	db_result_free(&rd->r);
	if (rd->is_open)
		db_exec(rd->db, &e, "CLOSE omni2_verify", (char *)NULL);
	rd->is_open = false;
}

/* The next rows of the cursor, which is opened by the first call. */
static int
read_rows(struct auditlog_reader *rd, struct err *e)
{
	const char *params[] = { rd->node };
	struct db_result *r;

	if (!rd->is_open) {
		if ((r = db_query(rd->db, e, read_sql, 1, params)) == NULL)
			return -1;
		db_result_free(&r);
		rd->is_open = true;
	}
	db_result_free(&rd->r);
	rd->at = 0;
	rd->r = db_query(rd->db, e, "FETCH " READ_ROWS " FROM omni2_verify", 0,
	    NULL);
	return rd->r == NULL ? -1 : 0;
}

int
auditlog_reader_next(struct auditlog_reader *rd, struct auditlog_row *row,
    struct err *e)
{
	int i;

	if (rd->r == NULL || rd->at >= db_rows(rd->r)) {
		if (read_rows(rd, e) < 0)
			return -1;
		if (db_rows(rd->r) == 0)
			return 0;
	}
	for (i = 0; i < AUDITLOG_COLUMNS; i++)
		row->v[i] = span_str(db_text(rd->r, rd->at, i));
	row->plain = row->record_plain = false;
	row->node = rd->node;
	row->seq = db_int(rd->r, rd->at, i);
	row->record = span_str(db_text(rd->r, rd->at, i + 1));
	/* A column of another length is a damaged one: zeros never match. */
	if (hash_unhex(span_str(db_text(rd->r, rd->at, i + 2)),
	    row->prev_hash, 32) < 0)
		memset(row->prev_hash, 0, 32);
	if (hash_unhex(span_str(db_text(rd->r, rd->at, i + 3)),
	    row->hash, 32) < 0)
		memset(row->hash, 0, 32);
	rd->at++;
	return 1;
}

int
auditlog_position(struct db *db, const char *journal, int64_t *segment,
    int64_t *offset, struct err *e)
{
	const char *params[] = { journal };
	struct db_result *r = db_query(db, e, "SELECT segment, \"offset\" "
	    "FROM omni2.audit_position WHERE journal = $1", 1, params);

	if (r == NULL)
		return -1;
	*segment = db_rows(r) > 0 ? db_int(r, 0, 0) : 0;
	*offset = db_rows(r) > 0 ? db_int(r, 0, 1) : 0;
	db_result_free(&r);
	return 0;
}

struct db_result *
auditlog_find(struct db *db, const char *ids, struct err *e)
{
	const char *params[] = { ids };

	return db_query(db, e, "SELECT a.record "
	    "FROM unnest($1::uuid[]) WITH ORDINALITY AS w (id, n) "
	    "LEFT JOIN omni2.audit_log a ON a.id = w.id ORDER BY w.n", 1,
	    params);
}

struct db_result *
auditlog_extent(struct db *db, const char *node, struct err *e)
{
	const char *params[] = { node };

	return db_query(db, e, "SELECT count(*), to_char(min(ts) "
	    "AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
	    "FROM omni2.audit_log WHERE node = $1", 1, params);
}

int
auditlog_is_rejected(struct db *db, struct span record, struct err *e)
{
	static const char digits[] = "0123456789abcdef";
	const char *params[1];
	struct db_result *r;
	struct buf hex;
	size_t i;
	int n;

	buf_init(&hex, 1u << 30);
	buf_add_str(&hex, "\\x");
	for (i = 0; i < record.n; i++) {
		buf_add_char(&hex, digits[(unsigned char)record.p[i] >> 4]);
		buf_add_char(&hex, digits[(unsigned char)record.p[i] & 15]);
	}
	buf_add_char(&hex, '\0');
	params[0] = hex.p;
	r = db_query(db, e, "SELECT 1 FROM omni2.audit_rejected "
	    "WHERE record = $1::bytea LIMIT 1", 1, params);
	buf_free(&hex);
	if (r == NULL)
		return -1;
	n = db_rows(r) > 0;
	db_result_free(&r);
	return n;
}
