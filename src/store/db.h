/*
 * db -- the only libpq in omni2: one connection, parameters only, deadlines.
 *
 * Used by short-lived or background processes (loader, poller, auditor,
 * omni2ctl), never by a worker on the hot path and never by the master.
 * No named statements and no session state, so pgbouncer works
 * (transaction pooling); LISTEN wants a direct connection.
 */
#ifndef OMNI2_STORE_DB_H
#define OMNI2_STORE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct db;
struct db_result;

/* Connects (search_path is the schema "omni2"). NULL with err UNAVAILABLE, or
 * DENIED (wrong user or password), or NOTFOUND (no such database); the text
 * names the way out and never holds the password. */
struct db *db_open(const char *conninfo, int64_t timeout_ms, struct err *);
void	db_close(struct db **);
bool	db_is_ok(const struct db *);
int	db_fd(const struct db *);	/* for poll */

/* Runs one statement with text parameters ($1...; NULL = SQL NULL). Returns a
 * result to free, or NULL with err. deadline per statement = timeout_ms. */
struct db_result *db_query(struct db *, struct err *, const char *sql, int n,
	    const char *const *params);
/* Convenience: db_exec(db, e, sql, "a", "b", (char *)NULL). 0 or -1. */
int	db_exec(struct db *, struct err *, const char *sql, ...)
	    __attribute__((sentinel));
/* Several statements without parameters (migrations). */
int	db_script(struct db *, struct err *, const char *sql);
int	db_begin(struct db *, struct err *);
int	db_commit(struct db *, struct err *);
void	db_rollback(struct db *);
bool	db_in_transaction(const struct db *);
/* SQLSTATE of the last error, or "". */
const char *db_sqlstate(const struct db *);

void	db_result_free(struct db_result **);
int	db_rows(const struct db_result *);
int	db_affected(const struct db_result *);
bool	db_is_null(const struct db_result *, int row, int col);
const char *db_text(const struct db_result *, int row, int col); /* "" if NULL */
int64_t	db_int(const struct db_result *, int row, int col);	  /* 0 if NULL */
bool	db_bool(const struct db_result *, int row, int col);

/* COPY ... FROM STDIN: start, rows as text format lines, end. */
int	db_copy_begin(struct db *, struct err *, const char *sql);
int	db_copy_data(struct db *, struct err *, struct span);
int	db_copy_end(struct db *, struct err *);

/* LISTEN on a channel; db_notified() reads what came without blocking. */
int	db_listen(struct db *, struct err *, const char *channel);
bool	db_notified(struct db *);

#endif
