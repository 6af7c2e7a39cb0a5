/*
 * migrate -- applies numbered SQL files, each in one transaction.
 *
 * Run by omni2ctl, never by the daemon. pg_advisory_xact_lock makes two
 * runs at once safe, also through a transaction pooler. A file that ran is
 * remembered with its SHA-256, so a later change of it is found; a file run
 * by hand with psql has no checksum yet and gets it here.
 */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "base/num.h"
#include "store/store_int.h"

#define MIGRATE_MAX	1000
#define MIGRATE_FILE	(1024 * 1024)
#define MIGRATE_LOCK	"7086421930112"	/* any number nobody else uses */

struct migration {
	int	 version;
	char	 name[64];
	char	 file[128];
};
struct migrations {
	struct migration *v;
	int	 n;
};

/* "0001_schema.sql" */
static bool
parse_name(const char *file, struct migration *m)
{
	struct span s = span_str(file);
	uint64_t version;

	if (s.n < 10 || s.n >= sizeof(m->file) || s.n - 9 >= sizeof(m->name) ||
	    file[4] != '_' || strcmp(file + s.n - 4, ".sql") != 0 ||
	    num_u64(span_make(file, 4), 1, 9999, &version) < 0)
		return false;
	m->version = (int)version;
	span_copy(m->name, sizeof(m->name), span_make(file + 5, s.n - 9));
	span_copy(m->file, sizeof(m->file), s);
	return true;
}

static int
by_version(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;

	return x->version - y->version;
}

static int
list_dir(const char *dir, struct migrations *out, struct err *e)
{
	struct dirent *de;
	DIR *d;
	int i;

	out->v = xcalloc(MIGRATE_MAX, sizeof(*out->v));
	out->n = 0;
	if ((d = opendir(dir)) == NULL)
		return err_set(e, ERR_NOTFOUND, "%s: %s", dir, strerror(errno));
	while ((de = readdir(d)) != NULL && out->n < MIGRATE_MAX)
		if (parse_name(de->d_name, &out->v[out->n]))
			out->n++;
	closedir(d);
	qsort(out->v, (size_t)out->n, sizeof(*out->v), by_version);
	for (i = 0; i < out->n; i++)
		if (out->v[i].version != i + 1)
			return err_set(e, ERR_INVALID,
			    "%s: migration %04d is missing or twice there",
			    dir, i + 1);
	return out->n > 0 ? 0 : err_set(e, ERR_NOTFOUND,
	    "%s: no migrations there", dir);
}

static char *
read_file(const char *dir, const struct migration *m, char hex[65],
    struct err *e)
{
	char *path = xasprintf("%s/%s", dir, m->file);
	char *text = xmalloc(MIGRATE_FILE);
	uint8_t sum[32];
	ssize_t n = fdio_read_file(path, text, MIGRATE_FILE);

	if (n < 0) {
		err_set(e, ERR_NOTFOUND, "%s: %s", path, strerror(errno));
		free(text);
		text = NULL;
	} else {
		hash_sha256(text, (size_t)n, sum);
		hash_hex(sum, sizeof(sum), hex);
	}
	free(path);
	return text;
}

/* 1 there (changed says whether the file differs), 0 not there, -1 error. */
static int
applied(struct db *db, int version, const char *hex, bool *changed,
    struct err *e)
{
	char v[16];
	const char *params[] = { v };
	struct db_result *r;
	int there;

	snprintf(v, sizeof(v), "%d", version);
	r = db_query(db, e, "SELECT checksum FROM omni2.schema_migrations "
	    "WHERE version = $1", 1, params);
	if (r == NULL)
		return -1;
	there = db_rows(r) > 0;
	*changed = there && !db_is_null(r, 0, 0) &&
	    strcmp(db_text(r, 0, 0), hex) != 0;
	db_result_free(&r);
	return there;
}

static int
newest_applied(struct db *db, int *version, struct err *e)
{
	struct db_result *r;
	bool schema;

	r = db_query(db, e, "SELECT to_regclass('omni2.schema_migrations') "
	    "IS NOT NULL", 0, NULL);
	if (r == NULL)
		return -1;
	schema = db_bool(r, 0, 0);
	db_result_free(&r);
	*version = -1;
	if (!schema)
		return 0;
	r = db_query(db, e, "SELECT coalesce(max(version), 0) "
	    "FROM omni2.schema_migrations", 0, NULL);
	if (r == NULL)
		return -1;
	*version = (int)db_int(r, 0, 0);
	db_result_free(&r);
	return 0;
}

int
store_schema_check(struct db *db, struct err *e)
{
	int version;

	if (newest_applied(db, &version, e) < 0)
		return -1;
	if (version <= 0)
		return err_set(e, ERR_UNAVAILABLE, "database: there are no "
		    "tables of omni2; \"omni2ctl db init\" makes them");
	if (version < STORE_SCHEMA)
		return err_set(e, ERR_UNAVAILABLE, "database: the tables are "
		    "of version %d, this omni2 needs %d; \"omni2ctl db "
		    "migrate\" changes them", version, STORE_SCHEMA);
	if (version > STORE_SCHEMA)
		return err_set(e, ERR_VERSION, "database: the tables are of a "
		    "newer omni2 (version %d, this one knows %d); "
		    STORE_NEWER_HINT, version, STORE_SCHEMA);
	return 0;
}

/* The caller holds the lock. 1 applied, 0 was there, -1 error. */
static int
apply_locked(struct db *db, const struct migration *m, const char *sql,
    const char *hex, struct err *e)
{
	bool changed;
	char v[16];
	int there;

	if (db_script(db, e, "CREATE SCHEMA IF NOT EXISTS omni2;"
	    "CREATE TABLE IF NOT EXISTS omni2.schema_migrations ("
	    "version integer PRIMARY KEY, name text NOT NULL, checksum text, "
	    "applied_at timestamptz NOT NULL DEFAULT now())") < 0)
		return -1;
	if ((there = applied(db, m->version, hex, &changed, e)) < 0)
		return -1;
	if (changed)
		return err_set(e, ERR_CONFLICT, "migration %s was changed "
		    "after it had been applied", m->file);
	if (!there && db_script(db, e, sql) < 0) {
		if (db_is_ok(db))	/* it answers: another try is vain */
			e->code = ERR_INTERNAL;
		return err_wrap(e, "%s", m->file);
	}
	snprintf(v, sizeof(v), "%d", m->version);
	if (db_exec(db, e, "INSERT INTO omni2.schema_migrations "
	    "(version, name, checksum) VALUES ($1, $2, $3) "
	    "ON CONFLICT (version) DO UPDATE SET checksum = excluded.checksum "
	    "WHERE schema_migrations.checksum IS NULL",
	    v, m->name, hex, (char *)NULL) < 0)
		return -1;
	return !there;
}

static int
apply(struct db *db, const char *dir, const struct migration *m,
    struct buf *out, struct err *e)
{
	char hex[65], *sql;
	int rv = -1;

	if ((sql = read_file(dir, m, hex, e)) == NULL)
		return -1;
	if (db_begin(db, e) == 0 &&
	    db_exec(db, e, "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK ")",
	    (char *)NULL) == 0)
		rv = apply_locked(db, m, sql, hex, e);
	if (rv >= 0 && db_commit(db, e) < 0)
		rv = -1;
	if (rv < 0)
		db_rollback(db);
	if (rv > 0)
		buf_printf(out, "applied %s\n", m->file);
	free(sql);
	return rv < 0 ? -1 : 0;
}

int
store_migrate(struct db *db, const char *dir, struct buf *out, struct err *e)
{
	struct migrations ms;
	int i, current, rv = -1;

	if (list_dir(dir, &ms, e) < 0 || newest_applied(db, &current, e) < 0)
		goto out;
	if (current > ms.n) {
		err_set(e, ERR_VERSION, "the tables are of a newer omni2 "
		    "(version %d, this one knows %d); " STORE_NEWER_HINT,
		    current, ms.n);
		goto out;
	}
	for (i = 0; i < ms.n; i++)
		if (apply(db, dir, &ms.v[i], out, e) < 0)
			goto out;
	rv = 0;
out:
	free(ms.v);
	return rv;
}

static int
status_of(struct db *db, const char *dir, const struct migration *m,
    struct migration_status *st, struct buf *out, struct err *e)
{
	bool changed = false;
	char hex[65], *sql;
	int there = 0;

	if ((sql = read_file(dir, m, hex, e)) == NULL)
		return -1;
	free(sql);
	if (st->current >= 0 &&
	    (there = applied(db, m->version, hex, &changed, e)) < 0)
		return -1;
	if (!there)
		st->pending++;
	if (changed)
		st->changed++;
	buf_printf(out, "%04d %-8s %s\n", m->version, !there ? "pending" :
	    changed ? "changed" : "applied", m->name);
	return 0;
}

int
store_migrate_status(struct db *db, const char *dir,
    struct migration_status *st, struct buf *out, struct err *e)
{
	struct migrations ms;
	int i, rv = -1;

	*st = (struct migration_status){ 0 };
	if (list_dir(dir, &ms, e) < 0 ||
	    newest_applied(db, &st->current, e) < 0)
		goto out;
	st->available = ms.n;
	for (i = 0; i < ms.n; i++)
		if (status_of(db, dir, &ms.v[i], st, out, e) < 0)
			goto out;
	rv = 0;
out:
	free(ms.v);
	return rv;
}
