/*
 * db -- see db.h. The connection is non-blocking, so that every wait has a
 * deadline, also when PostgreSQL hangs instead of refusing. A connection that
 * missed a deadline is in an unknown state and is not used again.
 *
 * Error texts come from PQerrorMessage(), which never holds a password; the
 * conninfo parser's do, so they are replaced.
 */
#include "store/db.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <libpq-fe.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"

#define DB_PARAMS_MAX	32

struct db {
	PGconn	*conn;
	int64_t	 timeout_ms;
	bool	 broken;		/* a deadline passed in the middle */
	char	 sqlstate[6];
};

/* struct db_result is never defined: it is libpq's PGresult, renamed. */
static PGresult *
res(const struct db_result *r)
{
	return (PGresult *)(uintptr_t)r;
}

static int
fail(struct db *db, struct err *e, const PGresult *r, const char *what)
{
	const char *state = r == NULL ? NULL :
	    PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *text = r == NULL ? NULL :
	    PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	enum err_code code = ERR_UNAVAILABLE;

	snprintf(db->sqlstate, sizeof(db->sqlstate), "%s",
	    state == NULL ? "" : state);
	if (text == NULL)
		text = PQerrorMessage(db->conn);
	if (state != NULL && strncmp(state, "23", 2) == 0)
		code = ERR_CONFLICT;
	else if (state != NULL && strncmp(state, "22", 2) == 0)
		code = ERR_INVALID;
	return err_set(e, code, "database: %s: %.*s", what,
	    (int)strcspn(text, "\n"), text);
}

/*
 * Where the SQLSTATE stands in the text of a refused connection, which libpq
 * hands out in no other way: "FATAL:  28P01: password ...", words in the
 * language of the server. NULL: PostgreSQL was not reached.
 */
static const char *
find_state(const char *text)
{
	static const char of_state[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	while ((text = strstr(text, ":  ")) != NULL) {
		text += 3;
		if (strspn(text, of_state) == 5 && text[5] == ':')
			return text;
	}
	return NULL;
}

struct refusal {
	const char	*state;		/* as it begins */
	enum err_code	 code;
	const char	*way_out;
};

static const struct refusal *
refusal_of(const char *state)
{
	static const struct refusal known[] = {
		{ "28", ERR_DENIED, "; correct the user and password of "
		    "database.url, or let it in in pg_hba.conf" },
		{ "3D000", ERR_NOTFOUND, "; make that database, or correct "
		    "database.url" },
		{ "53300", ERR_UNAVAILABLE, "; raise max_connections of "
		    "PostgreSQL" },
		{ "", ERR_UNAVAILABLE, "" },
	};
	size_t i = 0;

	while (strncmp(known[i].state, state, strlen(known[i].state)) != 0)
		i++;
	return &known[i];
}

static int
fail_connect(struct db *db, struct err *e)
{
	const char *text = PQerrorMessage(db->conn), *at, *line;
	const struct refusal *r;

	if ((at = find_state(text)) == NULL)
		return err_set(e, ERR_UNAVAILABLE, "database: cannot connect: "
		    "%.*s; does PostgreSQL run there?",
		    (int)strcspn(text, "\n"), text);
	/* of several addresses the one that answered */
	for (line = at; line > text && line[-1] != '\n'; line--)
		;
	r = refusal_of(at);
	return err_set(e, r->code, "database: cannot connect: %.*s%.*s%s",
	    (int)(at - line), line, (int)strcspn(at + 7, "\n"), at + 7,
	    r->way_out);
}

static int
late(struct db *db, struct err *e, const char *what)
{
	db->broken = true;
	db->sqlstate[0] = '\0';
	return err_set(e, ERR_UNAVAILABLE,
	    "database: %s: no answer in %lld ms", what,
	    (long long)db->timeout_ms);
}

/* The parser's own messages repeat what it read, so they stay here. */
static int
check_conninfo(const char *conninfo, struct err *e)
{
	PQconninfoOption *opts = PQconninfoParse(conninfo, NULL);

	if (opts == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "database: the connection string is malformed");
	PQconninfoFree(opts);
	return 0;
}

static int
finish_connect(struct db *db, int64_t deadline_ms, struct err *e)
{
	PostgresPollingStatusType st = PGRES_POLLING_WRITING;

	for (;;) {
		int n;

		if (st == PGRES_POLLING_OK)
			return 0;
		if (st == PGRES_POLLING_FAILED || PQsocket(db->conn) < 0)
			return fail_connect(db, e);
		n = fdio_wait(PQsocket(db->conn), st == PGRES_POLLING_READING ?
		    POLLIN : POLLOUT, deadline_ms);
		if (n == 0)
			return late(db, e, "cannot connect");
		if (n < 0 && errno != EINTR)
			return fail_connect(db, e);
		if (n > 0)
			st = PQconnectPoll(db->conn);
	}
}

static void
drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

struct db *
db_open(const char *conninfo, int64_t timeout_ms, struct err *e)
{
	const char *keys[] = { "application_name", "dbname", NULL };
	const char *values[] = { "omni2", conninfo, NULL };
	struct db *db;

	if (check_conninfo(conninfo, e) < 0)
		return NULL;
	db = xcalloc(1, sizeof(*db));
	db->timeout_ms = timeout_ms;
	db->conn = PQconnectStartParams(keys, values, 1);
	if (db->conn == NULL || PQstatus(db->conn) == CONNECTION_BAD) {
		fail_connect(db, e);
		db_close(&db);
		return NULL;
	}
	PQsetNoticeReceiver(db->conn, drop_notice, NULL);
	PQsetErrorVerbosity(db->conn, PQERRORS_VERBOSE); /* with SQLSTATE */
	if (finish_connect(db, clock_mono_ms() + timeout_ms, e) < 0 ||
	    PQsetnonblocking(db->conn, 1) != 0 ||
	    db_exec(db, e, "SET search_path = omni2, public", (char *)NULL) < 0)
		db_close(&db);
	return db;
}

void
db_close(struct db **p)
{
	if (*p == NULL)
		return;
	PQfinish((*p)->conn);
	free(*p);
	*p = NULL;
}

bool
db_is_ok(const struct db *db)
{
	return db != NULL && !db->broken &&
	    PQstatus(db->conn) == CONNECTION_OK;
}

int
db_fd(const struct db *db)
{
	return PQsocket(db->conn);
}

const char *
db_sqlstate(const struct db *db)
{
	return db->sqlstate;
}

/* Sends what libpq still holds. While PostgreSQL does not read, its own
 * messages must be taken in, or both sides would wait for each other. */
static int
flush(struct db *db, int64_t deadline_ms, struct err *e, const char *what)
{
	for (;;) {
		int n = PQflush(db->conn);

		if (n == 0)
			return 0;
		if (n < 0)
			return fail(db, e, NULL, what);
		n = fdio_wait(PQsocket(db->conn), POLLIN | POLLOUT, deadline_ms);
		if (n == 0)
			return late(db, e, what);
		if (n > 0 && PQconsumeInput(db->conn) == 0)
			return fail(db, e, NULL, what);
	}
}

/* The next result of the running command; *out NULL at its end. */
static int
next_result(struct db *db, int64_t deadline_ms, PGresult **out, struct err *e)
{
	*out = NULL;
	while (PQisBusy(db->conn)) {
		int n = fdio_wait(PQsocket(db->conn), POLLIN, deadline_ms);

		if (n == 0)
			return late(db, e, "query");
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || PQconsumeInput(db->conn) == 0)
			return fail(db, e, NULL, "query");
	}
	*out = PQgetResult(db->conn);
	return 0;
}

/* Reads all results of the running command; keeps the last good one. */
static struct db_result *
collect(struct db *db, int64_t deadline_ms, struct err *e)
{
	PGresult *keep = NULL, *r;
	bool failed = false;

	for (;;) {
		if (next_result(db, deadline_ms, &r, e) < 0) {
			failed = true;
			break;
		}
		if (r == NULL)
			break;
		switch ((int)PQresultStatus(r)) {
		case PGRES_COMMAND_OK: case PGRES_TUPLES_OK:
		case PGRES_COPY_IN: case PGRES_EMPTY_QUERY:
			PQclear(keep);
			keep = r;
			break;
		default:
			if (!failed)
				fail(db, e, r, "query");
			failed = true;
			PQclear(r);
			break;
		}
		if (keep != NULL && PQresultStatus(keep) == PGRES_COPY_IN)
			break;
	}
	if (failed || keep == NULL) {
		if (!failed)
			fail(db, e, NULL, "query");
		PQclear(keep);
		return NULL;
	}
	db->sqlstate[0] = '\0';
	return (struct db_result *)keep;
}

struct db_result *
db_query(struct db *db, struct err *e, const char *sql, int n,
    const char *const *params)
{
	int64_t deadline_ms = clock_mono_ms() + db->timeout_ms;

	if (db->broken) {
		err_set(e, ERR_UNAVAILABLE, "database: connection is lost");
		return NULL;
	}
	if (PQsendQueryParams(db->conn, sql, n, NULL, params, NULL, NULL,
	    0) == 0) {
		fail(db, e, NULL, "query");
		return NULL;
	}
	if (flush(db, deadline_ms, e, "query") < 0)
		return NULL;
	return collect(db, deadline_ms, e);
}

int
db_exec(struct db *db, struct err *e, const char *sql, ...)
{
	const char *params[DB_PARAMS_MAX], *p;
	struct db_result *r;
	va_list ap;
	int n = 0;

	va_start(ap, sql);
	while ((p = va_arg(ap, const char *)) != NULL) {
		ASSERT_ALWAYS(n < DB_PARAMS_MAX);
		params[n++] = p;
	}
	va_end(ap);
	if ((r = db_query(db, e, sql, n, params)) == NULL)
		return -1;
	db_result_free(&r);
	return 0;
}

int
db_script(struct db *db, struct err *e, const char *sql)
{
	int64_t deadline_ms = clock_mono_ms() + db->timeout_ms;
	struct db_result *r;

	if (db->broken)
		return err_set(e, ERR_UNAVAILABLE,
		    "database: connection is lost");
	if (PQsendQuery(db->conn, sql) == 0)
		return fail(db, e, NULL, "script");
	if (flush(db, deadline_ms, e, "script") < 0)
		return -1;
	if ((r = collect(db, deadline_ms, e)) == NULL)
		return -1;
	db_result_free(&r);
	return 0;
}

int
db_begin(struct db *db, struct err *e)
{
	return db_exec(db, e, "BEGIN", (char *)NULL);
}

/* COMMIT of a failed transaction says ROLLBACK and no error: look. */
int
db_commit(struct db *db, struct err *e)
{
	struct db_result *r = db_query(db, e, "COMMIT", 0, NULL);
	int rv = 0;

	if (r == NULL)
		return -1;
	if (strcmp(PQcmdStatus(res(r)), "COMMIT") != 0)
		rv = err_set(e, ERR_UNAVAILABLE,
		    "database: the transaction was rolled back");
	db_result_free(&r);
	return rv;
}

void
db_rollback(struct db *db)
{
	struct err ignored;

	if (db_is_ok(db) && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
		(void)db_exec(db, &ignored, "ROLLBACK", (char *)NULL);
}

bool
db_in_transaction(const struct db *db)
{
	PGTransactionStatusType st = PQtransactionStatus(db->conn);

	return st == PQTRANS_INTRANS || st == PQTRANS_INERROR;
}

void
db_result_free(struct db_result **p)
{
	PQclear(res(*p));
	*p = NULL;
}

int
db_rows(const struct db_result *r)
{
	return PQntuples(res(r));
}

int
db_affected(const struct db_result *r)
{
	return (int)strtol(PQcmdTuples(res(r)), NULL, 10);
}

bool
db_is_null(const struct db_result *r, int row, int col)
{
	return PQgetisnull(res(r), row, col) != 0;
}

const char *
db_text(const struct db_result *r, int row, int col)
{
	return PQgetvalue(res(r), row, col);
}

int64_t
db_int(const struct db_result *r, int row, int col)
{
	return strtoll(PQgetvalue(res(r), row, col), NULL, 10);
}

bool
db_bool(const struct db_result *r, int row, int col)
{
	return PQgetvalue(res(r), row, col)[0] == 't';
}

int
db_copy_begin(struct db *db, struct err *e, const char *sql)
{
	struct db_result *r = db_query(db, e, sql, 0, NULL);
	int rv = 0;

	if (r == NULL)
		return -1;
	if (PQresultStatus(res(r)) != PGRES_COPY_IN)
		rv = err_set(e, ERR_INTERNAL, "database: not a COPY FROM STDIN");
	db_result_free(&r);
	return rv;
}

int
db_copy_data(struct db *db, struct err *e, struct span data)
{
	int64_t deadline_ms = clock_mono_ms() + db->timeout_ms;
	int n;

	while ((n = PQputCopyData(db->conn, data.p, (int)data.n)) == 0)
		if (flush(db, deadline_ms, e, "copy") < 0)
			return -1;
	/* Nothing stays behind: libpq would let it grow without bound. */
	return n < 0 ? fail(db, e, NULL, "copy") :
	    flush(db, deadline_ms, e, "copy");
}

int
db_copy_end(struct db *db, struct err *e)
{
	int64_t deadline_ms = clock_mono_ms() + db->timeout_ms;
	struct db_result *r;
	int n;

	while ((n = PQputCopyEnd(db->conn, NULL)) == 0)
		if (flush(db, deadline_ms, e, "copy") < 0)
			return -1;
	if (n < 0)
		return fail(db, e, NULL, "copy");
	if (flush(db, deadline_ms, e, "copy") < 0)
		return -1;
	if ((r = collect(db, deadline_ms, e)) == NULL)
		return -1;
	db_result_free(&r);
	return 0;
}

int
db_listen(struct db *db, struct err *e, const char *channel)
{
	char *id = PQescapeIdentifier(db->conn, channel, strlen(channel));
	char *sql;
	int rv;

	if (id == NULL)
		return fail(db, e, NULL, "listen");
	sql = xasprintf("LISTEN %s", id);
	rv = db_exec(db, e, sql, (char *)NULL);
	free(sql);
	PQfreemem(id);
	return rv;
}

bool
db_notified(struct db *db)
{
	PGnotify *n;
	bool any = false;

	if (!db_is_ok(db) || PQconsumeInput(db->conn) == 0)
		return false;
	while ((n = PQnotifies(db->conn)) != NULL) {
		any = true;
		PQfreemem(n);
	}
	return any;
}
