/*
 * The store against a real PostgreSQL: connection, migrations, seeding,
 * loading, and every row that can be written.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "pgtest.h"
#include "store/store.h"

static const char *conninfo;
static struct db *db;
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

static int64_t
version(void)
{
	int64_t v;

	assert_int_equal(store_policy_version(db, &v, &e), 0);
	return v;
}

/* --- connection --- */

static void
bad_connections(void **state)
{
	static const char *const bad[] = {
		"host=/nonexistent user=x password=hunter2",
		"postgres://u:hunter2@[", "hunter2",
		"host=/nonexistent bogus=hunter2" };
	struct db *other;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		other = db_open(bad[i], 500, &e);
		assert_null(other);
		assert_int_equal(e.code, ERR_UNAVAILABLE);
		assert_null(strstr(e.text, "hunter2"));
		assert_null(strchr(e.text, '\n'));
	}
	db_close(&other);		/* NULL is fine */
	assert_false(db_is_ok(NULL));
}

/* Which of the ways it is refused shows in the code, and not in a language. */
static void
refused_connections(void **state)
{
	char text[512];
	struct db *other;

	(void)state;
	snprintf(text, sizeof(text), "%s dbname=there_is_none", conninfo);
	other = db_open(text, 5000, &e);
	assert_null(other);
	assert_int_equal(e.code, ERR_NOTFOUND);
	assert_non_null(strstr(e.text, "there_is_none"));
	assert_non_null(strstr(e.text, "; make that database"));
	assert_null(strstr(e.text, "3D000"));
	snprintf(text, sizeof(text), "%s user=there_is_none password=hunter2",
	    conninfo);
	other = db_open(text, 5000, &e);
	assert_null(other);
	assert_int_equal(e.code, ERR_DENIED);
	assert_non_null(strstr(e.text, "; correct the user and password"));
	assert_null(strstr(e.text, "hunter2"));
	assert_null(strchr(e.text, '\n'));
}

static void
values(void **state)
{
	const char *params[] = { NULL, "it's \"x\"; DROP TABLE y", "42", "t" };
	struct db_result *r;

	(void)state;
	r = db_query(db, &e, "SELECT $1::text, $2::text, $3::bigint, "
	    "$4::boolean UNION ALL SELECT 'a', 'b', -7, false", 4, params);
	assert_non_null(r);
	assert_int_equal(db_rows(r), 2);
	assert_int_equal(db_affected(r), 2);
	assert_true(db_is_null(r, 0, 0));
	assert_string_equal(db_text(r, 0, 0), "");
	assert_string_equal(db_text(r, 0, 1), params[1]);
	assert_int_equal(db_int(r, 0, 2), 42);
	assert_int_equal(db_int(r, 1, 2), -7);
	assert_int_equal(db_int(r, 0, 0), 0);
	assert_true(db_bool(r, 0, 3));
	assert_false(db_bool(r, 1, 3));
	db_result_free(&r);
	assert_null(r);
}

static void
sql_errors(void **state)
{
	(void)state;
	assert_int_equal(db_exec(db, &e, "SELECT nonsense", (char *)NULL), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_string_equal(db_sqlstate(db), "42703");
	assert_int_equal(db_exec(db, &e, "SELECT $1::integer", "x",
	    (char *)NULL), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(db_exec(db, &e, "SELECT 1", (char *)NULL), 0);
	assert_string_equal(db_sqlstate(db), "");
	/* A failed transaction cannot be committed. */
	assert_int_equal(db_begin(db, &e), 0);
	assert_true(db_in_transaction(db));
	assert_int_equal(db_exec(db, &e, "SELECT 1/0", (char *)NULL), -1);
	assert_int_equal(db_commit(db, &e), -1);
	assert_false(db_in_transaction(db));
	assert_int_equal(db_copy_begin(db, &e, "SELECT 1"), -1);
	assert_true(db_is_ok(db));
}

static void
copy(void **state)
{
	(void)state;
	run("CREATE TEMP TABLE c (n integer)");
	assert_int_equal(db_copy_begin(db, &e, "COPY c FROM STDIN"), 0);
	assert_int_equal(db_copy_data(db, &e, SPAN_LIT("1\n2\n")), 0);
	assert_int_equal(db_copy_data(db, &e, SPAN_LIT("3\n")), 0);
	assert_int_equal(db_copy_end(db, &e), 0);
	assert_int_equal(number("SELECT sum(n) FROM c"), 6);
	assert_int_equal(db_copy_begin(db, &e, "COPY c FROM STDIN"), 0);
	assert_int_equal(db_copy_data(db, &e, SPAN_LIT("4\nx\n")), 0);
	assert_int_equal(db_copy_end(db, &e), -1);
	assert_string_equal(db_sqlstate(db), "22P02");
	assert_int_equal(number("SELECT sum(n) FROM c"), 6);
	run("DROP TABLE c");
}

/* More than any socket buffer takes at once. */
static void
copy_large(void **state)
{
	const size_t n = 32u << 20, line = 1024;
	char *big = malloc(n);
	size_t i;

	(void)state;
	assert_non_null(big);
	memset(big, 'x', n);
	for (i = line - 1; i < n; i += line)
		big[i] = '\n';
	run("CREATE TEMP TABLE c (t text)");
	assert_int_equal(db_copy_begin(db, &e, "COPY c FROM STDIN"), 0);
	assert_int_equal(db_copy_data(db, &e, span_make(big, n)), 0);
	assert_int_equal(db_copy_end(db, &e), 0);
	assert_int_equal(number("SELECT count(*) FROM c"), n / line);
	free(big);
	run("DROP TABLE c");
}

static void
deadline(void **state)
{
	struct db *slow = db_open(conninfo, 300, &e);
	int64_t begin_ms = clock_mono_ms();

	(void)state;
	assert_non_null(slow);
	assert_int_equal(db_exec(slow, &e, "SELECT pg_sleep(20)",
	    (char *)NULL), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_true(clock_mono_ms() - begin_ms < 5000);
	/* What state it is in nobody knows. */
	assert_false(db_is_ok(slow));
	assert_int_equal(db_exec(slow, &e, "SELECT 1", (char *)NULL), -1);
	assert_int_equal(db_script(slow, &e, "SELECT 1"), -1);
	db_close(&slow);
}

static void
server_gone(void **state)
{
	struct db *other = db_open(conninfo, 5000, &e);
	char sql[100];
	struct db_result *r;

	(void)state;
	assert_non_null(other);
	r = db_query(other, &e, "SELECT pg_backend_pid()", 0, NULL);
	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%lld, 5000)",
	    (long long)db_int(r, 0, 0));
	db_result_free(&r);
	run(sql);
	assert_int_equal(db_exec(other, &e, "SELECT 1", (char *)NULL), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_false(db_is_ok(other));
	assert_false(db_notified(other));
	db_rollback(other);		/* harmless */
	db_close(&other);
}

/* --- migrations --- */

static void
write_file(const char *dir, const char *name, const char *text)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
migrations(void **state)
{
	struct migration_status st;
	struct buf out;
	int i;

	(void)state;
	buf_init(&out, 65536);
	assert_int_equal(store_migrate_status(db, pgtest_source("sql"), &st,
	    &out, &e), 0);
	assert_int_equal(st.current, -1);
	assert_true(st.available >= 3);
	assert_int_equal(st.pending, st.available);
	/* Half of the work was done by hand with psql. */
	{
		static char text[1 << 20];

		assert_true(fdio_read_file(pgtest_source(
		    "sql/0001_schema.sql"), text, sizeof(text)) > 0);
		run(text);
	}
	for (i = 0; i < 2; i++) {
		buf_reset(&out, 65536);
		if (store_migrate(db, pgtest_source("sql"), &out, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(i == 0, out.n > 0);
		buf_reset(&out, 65536);
		assert_int_equal(store_migrate_status(db, pgtest_source("sql"),
		    &st, &out, &e), 0);
		assert_int_equal(st.current, st.available);
		assert_int_equal(st.pending + st.changed, 0);
	}
	assert_int_equal(number("SELECT count(*) FROM omni2.schema_migrations "
	    "WHERE checksum IS NULL"), 0);
	buf_free(&out);
}

static void
migrations_refused(void **state)
{
	static char dir[200];
	struct migration_status st;
	char cmd[600];
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	snprintf(dir, sizeof(dir), "%s/sql", pgtest_dir());
	assert_int_equal(store_migrate(db, dir, &out, &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);
	snprintf(cmd, sizeof(cmd), "cp -r %s %s", pgtest_source("sql"), dir);
	assert_int_equal(system(cmd), 0);
	/* A file that ran was changed. */
	write_file(dir, "0002_audit.sql", "-- changed\n");
	assert_int_equal(store_migrate(db, dir, &out, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_non_null(strstr(e.text, "0002_audit.sql"));
	assert_int_equal(store_migrate_status(db, dir, &st, &out, &e), 0);
	assert_int_equal(st.changed, 1);
	/* One that fails leaves nothing behind. */
	snprintf(cmd, sizeof(cmd), "rm -r %s; cp -r %s %s", dir,
	    pgtest_source("sql"), dir);
	assert_int_equal(system(cmd), 0);
	write_file(dir, "0004_bad.sql",
	    "CREATE TABLE omni2.half (x integer); SELECT 1/0;");
	assert_int_equal(store_migrate(db, dir, &out, &e), -1);
	assert_non_null(strstr(e.text, "0004_bad.sql"));
	assert_int_equal(number("SELECT count(*) FROM pg_class "
	    "WHERE relname = 'half'"), 0);
	/* A number is missing. */
	snprintf(cmd, sizeof(cmd), "mv %s/0004_bad.sql %s/0005_bad.sql", dir,
	    dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(store_migrate(db, dir, &out, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	/* The database is newer. */
	snprintf(cmd, sizeof(cmd), "rm %s/0005* %s/0003*", dir, dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(store_migrate(db, dir, &out, &e), -1);
	assert_non_null(strstr(e.text, "newer"));
	buf_free(&out);
}

static void
other_tables(void **state)
{
	struct migration_status st;
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	assert_int_equal(store_migrate_status(db, pgtest_source("sql"), &st,
	    &out, &e), 0);
	assert_int_equal(st.available, STORE_SCHEMA);
	buf_free(&out);
	assert_int_equal(store_schema_check(db, &e), 0);
	run("INSERT INTO schema_migrations (version, name) VALUES (99, 'x')");
	assert_int_equal(store_schema_check(db, &e), -1);
	assert_int_equal(e.code, ERR_VERSION);
	assert_non_null(strstr(e.text, "newer omni2"));
	run("DELETE FROM schema_migrations WHERE version = 99");
	run("CREATE TEMP TABLE kept AS TABLE schema_migrations; "
	    "DELETE FROM schema_migrations WHERE version > 1");
	assert_int_equal(store_schema_check(db, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "omni2ctl db migrate"));
	run("INSERT INTO schema_migrations SELECT * FROM kept "
	    "WHERE version > 1; DROP TABLE kept; "
	    "ALTER TABLE schema_migrations RENAME TO kept");
	assert_int_equal(store_schema_check(db, &e), -1);
	assert_int_equal(e.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(e.text, "omni2ctl db init"));
	run("ALTER TABLE kept RENAME TO schema_migrations");
	assert_int_equal(store_schema_check(db, &e), 0);
}

static void
partitions(void **state)
{
	(void)state;
	assert_int_equal(number("SELECT omni2.ensure_partitions(3)"), 0);
	assert_int_equal(number("SELECT omni2.ensure_partitions(5)"), 4);
	assert_int_equal(number("SELECT count(*) FROM omni2.expired_partitions("
	    "'audit_log', now())"), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.expired_partitions("
	    "'audit_log', now() + interval '70 days')"), 2);
	run("SELECT count(*) FROM omni2.audit_logs");
	/* Neither function fails the query. */
	assert_int_equal(number("SELECT count(*) WHERE "
	    "omni2.try_jsonb('{\"a\":\"\\u0000\"}') IS NULL "
	    "AND omni2.try_jsonb('{\"a\":1}') IS NOT NULL "
	    "AND omni2.try_inet('unix') IS NULL "
	    "AND omni2.try_inet('192.0.2.1') IS NOT NULL"), 1);
}

/* --- rows of the file --- */

static void
yaml_model(struct model *m)
{
	struct model_server *s;
	struct model_role *r;
	struct model_user *u;
	struct model_access *a;

	model_init(m);
	s = model_add_server(m, "alpha");
	model_set(&s->url, "http://127.0.0.1:1/mcp");
	s->auth = SERVER_AUTH_BEARER;
	model_set(&s->auth_header, "Authorization: Bearer sekret");
	strlist_add(&s->env, "TOKEN=sekret");
	strlist_add(&s->tool_globs, "get_*");
	s->tool_policy = TOOL_POLICY_ALLOW_ONLY;
	s = model_add_server(m, "beta");
	s->transport = TRANSPORT_STDIO;
	model_set(&s->command, "/bin/cat");
	r = model_add_role(m, "dba");
	r->requests_per_hour = 200;
	u = model_add_user(m, "ann@example.com");
	model_set(&u->name, "Ann \"A\" \xc3\x84");
	model_set(&u->role, "dba");
	a = model_add_access(&u->grants, "alpha");
	a->mode = ACCESS_CUSTOM;
	strlist_add(&a->tools, "get_*");
	u = model_add_user(m, "bob@example.com");
	model_add_seed_roles(m);
}

static void
seeding(void **state)
{
	struct model m, other;
	int64_t v;

	(void)state;
	yaml_model(&m);
	v = version();
	if (store_seed(db, &m, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(version(), v + 1);	/* once a transaction */
	assert_true(m.server[0].id > 0 && m.server[1].id > 0);
	assert_true(m.user[0].id > 0 && m.user[1].id > 0);
	assert_true(model_find_role(&m, "default", "dba")->id > 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.roles"), 1);
	/* Who only reads has the same ids. */
	model_init(&other);
	model_add_server(&other, "alpha");
	model_add_server(&other, "elsewhere");
	assert_int_equal(store_load(db, &other, &e), 0);
	assert_int_equal(other.server[0].id, m.server[0].id);
	assert_int_equal(other.server[1].id, 0);
	assert_int_equal(version(), v + 1);
	model_free(&other);
	/* No secret of the file is in the database. */
	assert_int_equal(number("SELECT count(*) FROM omni2.mcp_servers t "
	    "WHERE t::text LIKE '%sekret%'"), 0);
	model_free(&m);
}

static void
seeding_again(void **state)
{
	struct db *listener = db_open(conninfo, 5000, &e);
	int64_t v = version(), id;
	struct model m;

	(void)state;
	assert_int_equal(db_listen(listener, &e, "omni2_policy"), 0);
	yaml_model(&m);
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(version(), v);
	assert_int_equal(db_exec(listener, &e, "SELECT 1", (char *)NULL), 0);
	assert_false(db_notified(listener));
	/* One thing changes: told once; ids stay. */
	id = m.server[0].id;
	model_set(&m.server[0].description, "new");
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(version(), v + 1);
	assert_int_equal(m.server[0].id, id);
	assert_int_equal(fdio_wait(db_fd(listener), 1 /* POLLIN */,
	    clock_mono_ms() + 5000), 1);
	assert_true(db_notified(listener));
	assert_false(db_notified(listener));
	assert_int_equal(store_policy_changed(db, &e), 0);
	assert_int_equal(version(), v + 2);
	model_free(&m);
	db_close(&listener);
}

static void
seeding_removes(void **state)
{
	struct model m;

	(void)state;
	/* A row of the database with the same name: the file wins. */
	run("UPDATE omni2.mcp_servers SET source = 'db', url = 'http://x' "
	    "WHERE name = 'alpha'");
	yaml_model(&m);
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.mcp_servers "
	    "WHERE name = 'alpha' AND source = 'yaml' AND url LIKE '%mcp'"),
	    1);
	model_free(&m);
	model_init(&m);
	model_add_server(&m, "beta");
	model_set(&m.server[0].org, "acme");
	model_add_user(&m, "bob@example.com");
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.mcp_servers"), 1);
	assert_int_equal(number("SELECT count(*) FROM omni2.roles"), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.organisations "
	    "WHERE name = 'acme'"), 1);
	/* People stay, for the log. */
	assert_int_equal(number("SELECT count(*) FROM omni2.users "
	    "WHERE active"), 1);
	assert_int_equal(number("SELECT count(*) FROM omni2.users"), 2);
	model_free(&m);
	yaml_model(&m);
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(number("SELECT count(*) FROM omni2.users "
	    "WHERE active"), 2);
	model_free(&m);
}

static void
seeding_fails(void **state)
{
	int64_t v = version();
	struct model m;

	(void)state;
	yaml_model(&m);
	model_set(&m.server[0].description, "never stored");
	model_set(&m.user[0].email, "Upper@example.com");	/* CHECK */
	assert_int_equal(store_seed(db, &m, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(version(), v);
	assert_int_equal(number("SELECT count(*) FROM omni2.mcp_servers "
	    "WHERE description = 'never stored'"), 0);
	assert_false(db_in_transaction(db));
	model_free(&m);
}

/* --- rows of the database --- */

static void
users_and_keys(void **state)
{
	static const uint8_t sum1[32] = { 1 }, sum2[32] = { 2 }, sum3[32] = { 3 };
	struct model_user *u;
	struct db_result *r;
	struct model m;
	int64_t v, id1, id2, id3;

	(void)state;
	model_init(&m);
	u = model_add_user(&m, "carl@example.com");
	model_set(&u->role, "qa");
	u->requests_per_hour = 12;
	strlist_add(&u->databases, "dev_db");
	model_add_access(&u->grants, "beta")->mode = ACCESS_ALL;
	v = version();
	assert_int_equal(store_user_put(db, u, true, &e), 0);
	assert_int_equal(version(), v + 1);
	assert_int_equal(store_user_put(db, u, true, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(store_user_put(db, u, false, &e), 0);
	assert_int_equal(version(), v + 1);	/* nothing differs */
	model_set(&u->org, "nowhere");
	assert_int_equal(store_user_put(db, u, false, &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);
	model_set(&u->org, "default");
	model_set(&u->email, "ann@example.com");
	assert_int_equal(store_user_put(db, u, false, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_non_null(strstr(e.text, "configuration file"));
	model_free(&m);

	assert_int_equal(store_key_add(db, "default", "carl@example.com", "k1",
	    sum1, "o2_abc", 0, &id1, &e), 0);
	assert_int_equal(store_key_add(db, "default", "carl@example.com", "k2",
	    sum2, "o2_def", 4102444800, &id2, &e), 0);
	assert_int_equal(store_key_add(db, "default", "ann@example.com", "old",
	    sum3, "o2_old", 1000, &id3, &e), 0);
	assert_int_equal(store_key_add(db, "default", "carl@example.com", "k1",
	    sum1, "o2_abc", 0, &id1, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(store_key_add(db, "default", "no@example.com", "k",
	    sum3, "o2", 0, &id3, &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);
	r = store_key_list(db, "default", NULL, &e);
	assert_int_equal(db_rows(r), 3);
	assert_string_equal(db_text(r, 1, 3), "o2_def");
	assert_string_equal(db_text(r, 1, 5), "2100-01-01T00:00:00Z");
	assert_true(db_is_null(r, 0, 5) && db_is_null(r, 0, 6));
	db_result_free(&r);
	r = store_key_list(db, "default", "ann@example.com", &e);
	assert_int_equal(db_rows(r), 1);
	db_result_free(&r);

	yaml_model(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_int_equal(m.n_keys, 2);		/* not the expired one */
	assert_int_equal(m.key[0].id, id1);
	assert_memory_equal(m.key[0].sha256, sum1, 32);
	assert_string_equal(m.key[0].email, "carl@example.com");
	assert_int_equal(m.key[0].expires_at, 0);
	assert_int_equal(m.key[1].expires_at, 4102444800);
	model_free(&m);

	v = version();
	assert_int_equal(store_key_revoke(db, "acme", id1, &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);	/* of another organisation */
	assert_int_equal(version(), v);
	assert_int_equal(store_key_revoke(db, "default", id1, &e), 0);
	assert_int_equal(version(), v + 1);
	assert_int_equal(store_key_revoke(db, "default", id1, &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);
	model_init(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_int_equal(m.n_keys, 1);
	model_free(&m);
}

static void
deactivation(void **state)
{
	struct model m;
	int64_t v = version();

	(void)state;
	assert_int_equal(store_user_set_active(db, "default",
	    "carl@example.com", false, &e), 0);
	assert_int_equal(version(), v + 1);
	/* Of the file: it comes back active with each load, but stays out. */
	assert_int_equal(store_user_set_active(db, "default",
	    "ann@example.com", false, &e), 0);
	yaml_model(&m);
	assert_int_equal(store_seed(db, &m, &e), 0);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_false(model_find_user(&m, "default", "ann@example.com")->active);
	assert_true(model_find_user(&m, "default", "bob@example.com")->active);
	assert_false(model_find_user(&m, "default",
	    "carl@example.com")->active);
	assert_int_equal(m.n_keys, 0);
	model_free(&m);
	assert_int_equal(store_user_set_active(db, "default",
	    "ann@example.com", true, &e), 0);
	assert_int_equal(store_user_set_active(db, "default",
	    "carl@example.com", true, &e), 0);
	yaml_model(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_true(model_find_user(&m, "default", "ann@example.com")->active);
	assert_int_equal(m.n_keys, 1);
	model_free(&m);
	assert_int_equal(store_user_set_active(db, "default",
	    "no@example.com", true, &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);
}

static void
servers(void **state)
{
	const struct model_server *got;
	struct model_server *s;
	struct model m;

	(void)state;
	model_init(&m);
	s = model_add_server(&m, "gamma");
	model_set(&s->url, "https://example.com/mcp");
	s->auth = SERVER_AUTH_HEADER;
	model_set(&s->auth_header, "X-Key: s3");
	s->timeout_ms = 1234;
	s->rate_per_minute = 60;
	strlist_add(&s->tags, "t1");
	strlist_add(&s->tags, "t\"2");
	assert_int_equal(store_server_put(db, s, true, &e), 0);
	assert_int_equal(store_server_put(db, s, true, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	model_set(&s->name, "alpha");
	assert_int_equal(store_server_put(db, s, false, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	model_free(&m);
	yaml_model(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_int_equal(m.n_servers, 3);
	got = model_find_server(&m, "default", "gamma");
	assert_int_equal(got->origin.source, SOURCE_DB);
	assert_true(got->id > 0);
	assert_string_equal(got->auth_header, "X-Key: s3");
	assert_int_equal(got->auth, SERVER_AUTH_HEADER);
	assert_int_equal(got->timeout_ms, 1234);
	assert_int_equal(got->rate_per_minute, 60);
	assert_int_equal(got->tags.n, 2);
	assert_string_equal(got->tags.v[1], "t\"2");
	/* The file's row kept what only the file has. */
	got = model_find_server(&m, "default", "alpha");
	assert_string_equal(got->auth_header, "Authorization: Bearer sekret");
	model_free(&m);
	/* Rules that cannot be read disable the server, never open it. */
	run("UPDATE omni2.mcp_servers SET role_restrictions = '{\"x\":7}' "
	    "WHERE name = 'gamma'");
	model_init(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_false(model_find_server(&m, "default", "gamma")->enabled);
	model_free(&m);
	assert_int_equal(store_server_remove(db, "default", "gamma", &e), 0);
	assert_int_equal(store_server_remove(db, "default", "gamma", &e), -1);
	assert_int_equal(e.code, ERR_NOTFOUND);
	assert_int_equal(store_server_remove(db, "default", "alpha", &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
	/* Reports never reload. */
	{
		int64_t v = version();

		run("UPDATE omni2.mcp_servers SET health_status = 'healthy'");
		run("UPDATE omni2.users SET last_login_at = now()");
		run("UPDATE omni2.api_keys SET last_used_at = now()");
		assert_int_equal(version(), v);
	}
}

static void
roles(void **state)
{
	struct model m;

	(void)state;
	run("INSERT INTO omni2.roles (org_id, name, requests_per_hour, "
	    "allowed_mcps, denied_tools) SELECT id, 'analyst', 7, "
	    "NULL, '[\"drop_*\"]' FROM omni2.organisations "
	    "WHERE name = 'default'");
	yaml_model(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	/* It replaces the built-in one of that name. */
	assert_int_equal(model_find_role(&m, "default",
	    "analyst")->requests_per_hour, 7);
	assert_string_equal(model_find_role(&m, "default",
	    "analyst")->denied_tools.v[0], "drop_*");
	assert_int_equal(m.db_version, version());
	assert_true(m.db_loaded);
	model_free(&m);
	run("UPDATE omni2.roles SET allowed_mcps = '{broken'");
	model_init(&m);
	assert_int_equal(store_load(db, &m, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_false(m.db_loaded);
	assert_false(db_in_transaction(db));
	model_free(&m);
	run("DELETE FROM omni2.roles");
}

static void
tokens_and_changes(void **state)
{
	struct model m;
	int64_t v = version();

	(void)state;
	assert_int_equal(store_token_revoke(db, "jti-1", 4102444800, &e), 0);
	assert_int_equal(version(), v + 1);
	assert_int_equal(store_token_revoke(db, "jti-1", 4102444800, &e), 0);
	assert_int_equal(store_token_revoke(db, "jti-0", 1000, &e), 0);
	model_init(&m);
	assert_int_equal(store_load(db, &m, &e), 0);
	assert_int_equal(m.n_revoked, 1);
	assert_string_equal(m.revoked[0].jti, "jti-1");
	assert_int_equal(m.revoked[0].expires_at, 4102444800);
	model_free(&m);
	assert_int_equal(store_change_log(db, "root", "user.create",
	    "carl@example.com", NULL, "{\"role\":\"qa\"}", &e), 0);
	assert_int_equal(store_change_log(db, "root", "x", "y", "{", NULL, &e),
	    -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_int_equal(number("SELECT count(*) FROM omni2.change_log "
	    "WHERE new_value->>'role' = 'qa' AND old_value IS NULL"), 1);
}

static int
start(void **state)
{
	(void)state;
	conninfo = pgtest_start();
	db = db_open(conninfo, 20000, &e);
	return db == NULL;
}

static int
end(void **state)
{
	(void)state;
	db_close(&db);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_connections),
		cmocka_unit_test(refused_connections),
		cmocka_unit_test(values),
		cmocka_unit_test(sql_errors),
		cmocka_unit_test(copy),
		cmocka_unit_test(copy_large),
		cmocka_unit_test(deadline),
		cmocka_unit_test(server_gone),
		cmocka_unit_test(migrations),
		cmocka_unit_test(migrations_refused),
		cmocka_unit_test(other_tables),
		cmocka_unit_test(partitions),
		cmocka_unit_test(seeding),
		cmocka_unit_test(seeding_again),
		cmocka_unit_test(seeding_removes),
		cmocka_unit_test(seeding_fails),
		cmocka_unit_test(users_and_keys),
		cmocka_unit_test(deactivation),
		cmocka_unit_test(servers),
		cmocka_unit_test(roles),
		cmocka_unit_test(tokens_and_changes),
	};

	return cmocka_run_group_tests(tests, start, end);
}
