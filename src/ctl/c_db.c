/*
 * c_db -- db init, migrate, status.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl.h"
#include "ctl/screen.h"

const char *
ctl_sql_dir(void)
{
	const char *dir = getenv("OMNI2_SQL_DIR");

	return dir != NULL ? dir : OMNI2_PKGDATADIR "/sql";
}

static int
migrate(struct ctl *c)
{
	struct buf out;
	struct err e;

	args_done(c, 0, 0);
	ctl_db(c);
	buf_init(&out, 1u << 20);
	screen_progress("applying migrations");
	if (store_migrate(c->db, ctl_sql_dir(), &out, &e) < 0) {
		fprintf(stderr, "%.*s", (int)out.n, out.p);
		ctl_fail_err(&e);
	}
	screen_progress(NULL);
	if (c->json)
		puts("{\"ok\":true}");
	else if (out.n > 0)
		printf("%.*s", (int)out.n, out.p);
	else
		puts("the schema is up to date");
	buf_free(&out);
	return EXIT_OK;
}

int
ctl_db_init(struct ctl *c)
{
	return migrate(c);
}

int
ctl_db_migrate(struct ctl *c)
{
	return migrate(c);
}

int
ctl_db_status(struct ctl *c)
{
	struct migration_status s;
	struct buf out;
	struct err e;

	args_done(c, 0, 0);
	ctl_db(c);
	buf_init(&out, 1u << 20);
	if (store_migrate_status(c->db, ctl_sql_dir(), &s, &out, &e) < 0)
		ctl_fail_err(&e);
	if (c->json)
		printf("{\"current\":%d,\"available\":%d,\"pending\":%d,"
		    "\"changed\":%d}\n", s.current, s.available, s.pending,
		    s.changed);
	else
		printf("%.*scurrent %d, available %d, pending %d, changed %d\n",
		    (int)out.n, out.p, s.current, s.available, s.pending,
		    s.changed);
	buf_free(&out);
	if (s.current > s.available)
		ctl_fail(EXIT_CONFLICT, "the tables are of a newer omni2; "
		    STORE_NEWER_HINT);
	if (s.pending > 0)
		return EXIT_SCHEMA;
	return s.changed > 0 ? EXIT_FAILED : EXIT_OK;
}
