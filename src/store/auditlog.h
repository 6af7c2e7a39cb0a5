/*
 * auditlog -- the audit log in PostgreSQL: appending to it exactly once, its
 * partitions and check points, and reading it back to verify it.
 *
 * Callers: the shipper (one transaction a batch) and omni2ctl audit verify.
 * Hashing is the caller's business; this module only stores and reads.
 */
#ifndef OMNI2_STORE_AUDITLOG_H
#define OMNI2_STORE_AUDITLOG_H

#include "base/buf.h"
#include "store/db.h"

enum auditlog_column {
#define COLUMN(name, kind) AUDITLOG_##name,
#include "store/auditlog.def"
#undef COLUMN
	AUDITLOG_COLUMNS
};

/* One row: the members of the record as text, the record, its link. */
struct auditlog_row {
	struct span	 v[AUDITLOG_COLUMNS];
	struct span	 record;
	/* Known to hold nothing that COPY escapes: v, record. */
	bool		 plain, record_plain;
	const char	*node;
	int64_t		 seq;
	uint8_t		 prev_hash[32], hash[32];
};

/* What one transaction moves forward. */
struct auditlog_state {
	int64_t		 segment, offset;
	struct buf	 pending;	/* frames of unfinished records */
	int64_t		 seq;		/* newest of the node's chain; 0: none */
	uint8_t		 hash[32];	/* its hash, or zeros */
};

const char *auditlog_column_name(enum auditlog_column);
/* Of one that is, a record without the member gives 0. */
bool	auditlog_column_is_int(enum auditlog_column);

/* Begins the transaction and locks chain and position; *st gets them (segment
 * 0: nothing was shipped yet). The caller initialised st->pending. */
int	auditlog_begin(struct db *, const char *node, const char *journal,
	    struct auditlog_state *st, struct err *);
/* Rows as COPY text: append to a buffer, then send the buffer; or begin, send
 * pieces of whole rows, end. */
void	auditlog_row_copy(const struct auditlog_row *, struct buf *);
int	auditlog_copy(struct db *, struct span rows, struct err *);
int	auditlog_copy_begin(struct db *, struct err *);
int	auditlog_copy_rows(struct db *, struct span rows, struct err *);
int	auditlog_copy_end(struct db *, struct err *);
/* One row under a savepoint. 1: stored; 0: PostgreSQL does not take this row
 * (err says why), the transaction goes on; -1: the transaction is lost. */
int	auditlog_insert(struct db *, const struct auditlog_row *, struct err *);
int	auditlog_reject(struct db *, const char *node, const char *journal,
	    const struct auditlog_state *, const char *reason,
	    struct span record, struct err *);
/* True if the last error was about data, so that trying again is no use. */
bool	auditlog_is_bad_row(const struct db *);
int	auditlog_advance(struct db *, const char *node, const char *journal,
	    const struct auditlog_state *, struct err *);
int	auditlog_checkpoint(struct db *, const char *node, const char *kind,
	    int64_t seq, const uint8_t hash[32], const uint8_t *mac /* NULL */,
	    struct err *);

int	auditlog_partitions(struct db *, int months_ahead, struct err *);
/* Drops the months of all logs that ended before that many days ago. sign
 * makes the mac of a check point 'pruned'; false: no key. */
int	auditlog_prune(struct db *, int64_t retention_days,
	    bool (*sign)(void *arg, const char *node, const char *kind,
	    int64_t seq, const uint8_t hash[32], uint8_t mac[32]), void *arg,
	    struct err *);

/* Reading, for verification. */
struct auditlog_reader {
	struct db	*db;
	const char	*node;
	bool		 is_open;	/* the cursor */
	int		 at;
	struct db_result *r;
};
/* Names of all nodes with a chain: one text column. */
struct db_result *auditlog_nodes(struct db *, struct err *);
/* seq, hash (hex) of the chain's head. */
struct db_result *auditlog_head(struct db *, const char *node, struct err *);
/* kind, seq, hash, mac (hex, NULL) in order of seq. */
struct db_result *auditlog_checkpoints(struct db *, const char *node,
	    struct err *);
/* For the rest of the transaction. */
int	auditlog_use_indexes(struct db *, struct err *);
void	auditlog_reader_init(struct auditlog_reader *, struct db *,
	    const char *node);
/* Within a transaction, one at a time. Rows in order of seq: 1 a row (valid
 * until the next call), 0 end, -1. */
int	auditlog_reader_next(struct auditlog_reader *, struct auditlog_row *,
	    struct err *);
void	auditlog_reader_free(struct auditlog_reader *);
/* Position of a journal, without locking. segment 0: none. */
int	auditlog_position(struct db *, const char *journal, int64_t *segment,
	    int64_t *offset, struct err *);
/* For ids "{uuid,...}": one row each in their order: record or NULL. */
struct db_result *auditlog_find(struct db *, const char *ids, struct err *);
/* Number of rows of a node, and the time of the oldest ("" none). */
struct db_result *auditlog_extent(struct db *, const char *node, struct err *);
/* Is this record among the rejected? 1, 0, -1. */
int	auditlog_is_rejected(struct db *, struct span record, struct err *);

#endif
