/*
 * c_restore -- omni2ctl restore: puts back what "omni2ctl backup" saved.
 *
 * First everything is looked at, then everything is done: what is in the way
 * is found before anything has changed. With --force it is put aside under
 * another name (files) or kept until the new tables are complete (schema), so
 * that a restore that fails, or is killed, has lost nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "ctl/bundle.h"
#include "ctl/run.h"
#include "ctl/screen.h"
#include "store/admin.h"

struct restore {
	struct ctl	*c;
	const char	*file;
	bool		 force, keep_config;
	struct bundle	 manifest;
	const char	*small;		/* unpacked: manifest, configuration */
	const char	*large;		/* unpacked: dump, state */
	const char	*conf_dir;	/* where the configuration goes */
	const char	*suffix;	/* of what is put aside */
	unsigned	 n_new, n_aside;	/* configuration files */
	const char	*in_the_way;	/* the first that differs */
};

static void __attribute__((format(printf, 2, 3)))
say(const struct restore *r, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!r->c->json)
		puts(text);
}

/* ---- configuration ------------------------------------------------------- */

/* Where a file of etc/ goes. */
static const char *
target_of(const struct restore *r, const char *name)
{
	if (strcmp(name, r->manifest.main) == 0)
		return r->c->conf_path;
	return ctl_text("%s/%s", r->conf_dir, name);
}

static void
look_at_file(void *arg, const char *name)
{
	struct restore *r = arg;
	const char *from = ctl_text("%s/etc/%s", r->small, name);
	const char *to = target_of(r, name);

	if (access(to, F_OK) < 0)
		r->n_new++;
	else if (!bundle_is_same(from, to)) {
		r->n_aside++;
		if (r->in_the_way == NULL)
			r->in_the_way = to;
	}
}

/* The settings that will be in force. */
static void
read_configuration(struct restore *r)
{
	const char *path = r->c->conf_path;

	if (r->keep_config) {
		ctl_conf(r->c);
		return;
	}
	bundle_walk(ctl_text("%s/etc", r->small), look_at_file, r);
	if (r->in_the_way != NULL && !r->force)
		ctl_fail(EXIT_CONFLICT, "%s differs from the one in the "
		    "backup; --force replaces it (and keeps it as %s%s), "
		    "--keep-config keeps it", r->in_the_way, r->in_the_way, r->suffix);
	r->c->conf_path = ctl_text("%s/etc/%s", r->small, r->manifest.main);
	ctl_conf(r->c);
	r->c->conf_path = path;
}

static void
put_file(void *arg, const char *name)
{
	struct restore *r = arg;
	const char *from = ctl_text("%s/etc/%s", r->small, name);
	const char *to = target_of(r, name);
	const char *temporary = ctl_text("%s.%d", to, (int)getpid());
	const struct passwd *pw = ctl_service_user(r->c);

	if (bundle_is_same(from, to))
		return;
	bundle_make_parents(to);
	if (bundle_copy(from, temporary) < 0 ||
	    (pw != NULL && chown(temporary, 0, pw->pw_gid) < 0) ||
	    (access(to, F_OK) == 0 && rename(to, ctl_text("%s%s", to,
	    r->suffix)) < 0) || rename(temporary, to) < 0)
		ctl_fail_file(to);
}

static void
put_configuration(struct restore *r)
{
	if (r->keep_config) {
		say(r, "configuration: kept as it is");
		return;
	}
	umask(022);			/* directories that are made */
	bundle_walk(ctl_text("%s/etc", r->small), put_file, r);
	umask(077);
	say(r, "configuration: %u files new, %u replaced", r->n_new,
	    r->n_aside);
}

static void
name_other(void *arg, const char *name)
{
	struct restore *r = arg;

	if (access(ctl_text("/%s", name), F_OK) < 0)
		say(r, "not put back, because it is outside of %s: /%s (in the "
		    "archive: other/%s)", r->conf_dir, name, name);
}

/* ---- what is in the way -------------------------------------------------- */

static void
check_daemon(struct restore *r)
{
	struct buf out;

	buf_init(&out, 4096);
	if (ctl_ask(r->c, "ping", &out, NULL) >= 0 || r->c->refused)
		ctl_fail(EXIT_CONFLICT, "omni2d is running; end it first: "
		    "systemctl stop omni2, or omni2ctl stop");
	buf_free(&out);
}

static void
check_database(struct restore *r)
{
	struct migration_status st;
	struct buf out;
	bool exists;
	struct err e;

	if (!r->manifest.has_database)
		return;
	ctl_db(r->c);
	buf_init(&out, 1u << 20);
	if (admin_schema_tidy(r->c->db, &e) < 0 ||
	    admin_schema_exists(r->c->db, &exists, &e) < 0 ||
	    store_migrate_status(r->c->db, ctl_sql_dir(), &st, &out, &e) < 0)
		ctl_fail_err(&e);
	buf_free(&out);
	if (r->manifest.schema > st.available)
		ctl_fail(EXIT_CONFLICT, "the backup's tables are of a newer "
		    "omni2 (version %lld, this one knows %d); install that one",
		    (long long)r->manifest.schema, st.available);
	if (exists && !r->force)
		ctl_fail(EXIT_CONFLICT, "the database has tables of omni2; "
		    "--force replaces them");
}

static bool
has_segments(const char *journal)
{
	DIR *dir = opendir(journal);
	struct dirent *de;
	bool has = false;

	while (dir != NULL && (de = readdir(dir)) != NULL)
		has |= strstr(de->d_name, ".journal") != NULL;
	if (dir != NULL)
		closedir(dir);
	return has;
}

static void
check_state(struct restore *r)
{
	const char *state = r->c->conf.state_dir;
	const struct passwd *pw = ctl_service_user(r->c);

	if (mkdir(state, 0700) == 0) {
		if (pw != NULL && chown(state, pw->pw_uid, pw->pw_gid) < 0)
			ctl_fail_file(state);
	} else if (errno != EEXIST)
		ctl_fail_file(state);
	if (!r->force && has_segments(ctl_text("%s/journal", state)))
		ctl_fail(EXIT_CONFLICT, "%s/journal has audit records; --force "
		    "puts it aside, as journal%s", state, r->suffix);
}

static void
check_secret(struct restore *r)
{
	const char *from = ctl_text("%s/state/token_secret", r->large);
	const char *to = ctl_text("%s/token_secret", r->c->conf.state_dir);

	if (!r->force && access(from, F_OK) == 0 && access(to, F_OK) == 0 &&
	    !bundle_is_same(from, to))
		ctl_fail(EXIT_CONFLICT, "%s differs from the one in the "
		    "backup; --force puts it aside, as token_secret%s", to,
		    r->suffix);
}

static void
unpack(struct restore *r)
{
	static const char *const with[] = { "state", "database.dump", NULL };
	static const char *const without[] = { "state", NULL };

	screen_progress("unpacking %s", r->file);
	r->large = bundle_temp_dir(r->c->conf.state_dir, ".restore");
	bundle_extract(r->file, r->large, r->manifest.has_database ? with :
	    without);
	screen_progress(NULL);
}

/* ---- doing it ------------------------------------------------------------ */

/* In one transaction: all of it or nothing. */
static bool
load_dump(struct restore *r)
{
	struct run run = { .argv = { "pg_restore", "--single-transaction",
	    "--exit-on-error", "--no-owner", "--no-privileges",
	    "--no-password", "--dbname=" }, .out = -1, .dir = "/" };
	struct err e;
	size_t i;
	int status;

	if (conninfo_environment(r->c->conf.database_url, &run.env, &e) < 0)
		return false;
	for (i = 0; i < run.env.n; i++)
		if (strncmp(run.env.v[i], "PGDATABASE=", 11) == 0)
			run.argv[6] = ctl_text("--dbname=%s",
			    run.env.v[i] + 11);
	run.as = r->c->db_as_service ? ctl_service_user(r->c) : NULL;
	run.in = open(ctl_text("%s/database.dump", r->large),
	    O_RDONLY | O_CLOEXEC);
	status = run.in < 0 ? 127 : run_program(&run);
	close(run.in);
	strlist_free(&run.env);
	if (status == 127)
		fprintf(stderr, "omni2ctl: there is no pg_restore here; "
		    "install PostgreSQL's client programs\n");
	return status == 0;
}

static void
put_database(struct restore *r)
{
	struct buf out;
	bool exists;
	struct err e;

	if (!r->manifest.has_database) {
		say(r, "database: the backup has none");
		return;
	}
	screen_progress("restoring the database");
	if (admin_schema_exists(r->c->db, &exists, &e) < 0 ||
	    (exists && admin_schema_set_aside(r->c->db, &e) < 0))
		ctl_fail_err(&e);
	if (!load_dump(r)) {
		if (exists && admin_schema_put_back(r->c->db, &e) < 0)
			ctl_fail_err(&e);
		ctl_fail(EXIT_FAILED, "pg_restore failed; the database is as "
		    "it was");
	}
	buf_init(&out, 1u << 20);
	if (admin_schema_drop_aside(r->c->db, &e) < 0 ||
	    store_migrate(r->c->db, ctl_sql_dir(), &out, &e) < 0 ||
	    store_change_log(r->c->db, ctl_actor(), "restore",
	    r->manifest.created, NULL, NULL, &e) < 0)
		ctl_fail_err(&e);
	screen_progress(NULL);
	say(r, "database: as of %s (version %lld%s)", r->manifest.created,
	    (long long)r->manifest.schema, out.n > 0 ?
	    ", then migrated" : "");
	buf_free(&out);
}

static void
give_to_daemon(const struct restore *r, const char *path, mode_t mode)
{
	const struct passwd *pw = ctl_service_user(r->c);

	if (chmod(path, mode) < 0 ||
	    (pw != NULL && chown(path, pw->pw_uid, pw->pw_gid) < 0))
		ctl_fail_file(path);
}

static void
give_file(void *arg, const char *name)
{
	struct restore *r = arg;

	give_to_daemon(r, ctl_text("%s/state/%s", r->large, name), 0600);
}

/* From the unpacked state to its place; what is there is put aside. */
static void
put_state_entry(struct restore *r, const char *name)
{
	const char *from = ctl_text("%s/state/%s", r->large, name);
	const char *to = ctl_text("%s/%s", r->c->conf.state_dir, name);

	if (access(from, F_OK) < 0 || bundle_is_same(from, to))
		return;
	if ((rename(to, ctl_text("%s%s", to, r->suffix)) < 0 &&
	    errno != ENOENT) || rename(from, to) < 0)
		ctl_fail_file(to);
}

static void
put_state(struct restore *r)
{
	const char *journal = ctl_text("%s/state/journal", r->large);
	bool has = has_segments(journal);

	bundle_walk(ctl_text("%s/state", r->large), give_file, r);
	if (has) {
		give_to_daemon(r, journal, 0700);
		put_state_entry(r, "journal");
	}
	put_state_entry(r, "token_secret");
	say(r, "state: %s", has ? "journal and token secret are in place" :
	    "the backup has no journal");
}

static void
print_json(const struct restore *r)
{
	struct json_out j;
	struct buf b;

	buf_init(&b, 65536);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	json_put_str(&j, "file", r->file);
	json_put_str(&j, "created", r->manifest.created);
	json_put_int(&j, "schema", r->manifest.schema);
	json_put_int(&j, "files_new", r->n_new);
	json_put_int(&j, "files_replaced", r->n_aside);
	json_object_end(&j);
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static void
read_archive(struct restore *r)
{
	static const char *const first[] = { "manifest.json", "etc", NULL };
	const char *tmp = getenv("TMPDIR");
	struct err e;

	r->small = bundle_temp_dir(tmp != NULL && tmp[0] == '/' ? tmp : "/tmp",
	    "omni2-restore");
	screen_progress("reading %s", r->file);
	bundle_extract(r->file, r->small, first);
	screen_progress(NULL);
	if (bundle_read(ctl_text("%s/manifest.json", r->small), &r->manifest,
	    &e) < 0)
		ctl_fail(e.code == ERR_CONFLICT ? EXIT_CONFLICT : EXIT_FAILED,
		    "%s: %s", r->file, e.text);
}

static const char *
suffix_of_now(void)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[64];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), ".before-%Y%m%dT%H%M%SZ", &tm);
	return ctl_text("%s", text);
}

int
ctl_restore(struct ctl *c)
{
	struct restore r = { .c = c, .force = args_flag(c, "--force"),
	    .keep_config = args_flag(c, "--keep-config"),
	    .suffix = suffix_of_now() };
	const char *slash = strrchr(c->conf_path, '/');

	args_done(c, 1, 1);
	r.file = c->argv[0];
	r.conf_dir = slash == NULL ? "." : ctl_text("%.*s",
	    (int)(slash - c->conf_path), c->conf_path);
	umask(077);
	run_catch_signals();
	read_archive(&r);
	read_configuration(&r);
	check_daemon(&r);
	check_database(&r);
	check_state(&r);
	unpack(&r);
	check_secret(&r);
	put_database(&r);
	put_state(&r);
	put_configuration(&r);
	bundle_walk(ctl_text("%s/other", r.small), name_other, &r);
	if (c->json)
		print_json(&r);
	else
		puts("Now start omni2d, and check: omni2ctl doctor, omni2ctl "
		    "audit verify");
	return EXIT_OK;
}
