/*
 * c_backup -- omni2ctl backup: everything that is worth keeping in one file,
 * while the daemon runs.
 *
 * Database and journal must fit each other: the database knows up to which
 * byte of the journal it has the records. So segments of the journal are held
 * (by hard links) from before the dump begins until after it has ended: the
 * journal in the backup reaches from before the position in the dump to
 * behind it, and nothing is missing between the two. The links are in
 * state_dir, the dump is beside FILE, where there must be room anyway.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "config.h"
#include "ctl/bundle.h"
#include "ctl/run.h"
#include "ctl/screen.h"
#include "store/admin.h"

struct backup {
	struct ctl	*c;
	const char	*stage;		/* manifest, configuration, dump */
	const char	*held;		/* state; on the disk of the journal */
	const char	*state_dir;
	struct bundle	 manifest;
	unsigned	 n_files;
};

static const char *unfinished;		/* the file while it is being written */

static void
remove_unfinished(void)
{
	if (unfinished != NULL)
		unlink(unfinished);
}

static const char *
directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return ".";
	return slash == path ? "/" :
	    ctl_text("%.*s", (int)(slash - path), path);
}

/* ---- configuration ------------------------------------------------------- */

static void
add_file(struct backup *b, const char *file, const char *base)
{
	char real[PATH_MAX];
	const char *to;
	size_t n = strlen(base);

	if (realpath(file, real) == NULL)
		ctl_fail_file(file);
	if (strncmp(real, base, n) == 0 && real[n] == '/')
		to = ctl_text("%s/etc/%s", b->stage, real + n + 1);
	else
		to = ctl_text("%s/other%s", b->stage, real);
	bundle_make_parents(to);
	if (bundle_copy(real, to) < 0 && errno != EEXIST)
		ctl_fail_file(errno == ENOSPC ? to : real);
	b->n_files++;
}

static void
add_configuration(struct backup *b)
{
	const struct model *m = &b->c->model;
	const char *base = directory_of(b->c->conf.file);
	const char *slash = strrchr(b->c->conf.file, '/');
	size_t i;

	span_copy(b->manifest.main, sizeof(b->manifest.main), span_str(
	    slash == NULL ? b->c->conf.file : slash + 1));
	for (i = 0; i < m->files.n; i++)
		add_file(b, m->files.v[i], base);
	for (i = 0; i < m->secret_files.n; i++)
		add_file(b, m->secret_files.v[i], base);
}

/* ---- journal ------------------------------------------------------------- */

/* Segments by links: they cost nothing, and stay when the auditor removes its
 * own names. The small files by copies: they are written anew. */
static void
hold_file(struct backup *b, const char *name)
{
	const char *from = ctl_text("%s/%s", b->state_dir, name);
	const char *to = ctl_text("%s/state/%s", b->held, name);
	size_t n = strlen(name);
	bool is_segment = n > 8 && strcmp(name + n - 8, ".journal") == 0;

	if ((is_segment ? link(from, to) : bundle_copy(from, to)) < 0 &&
	    errno != EEXIST && errno != ENOENT)
		ctl_fail_file(errno == ENOSPC ? to : from);
}

static void
hold_journal(void *arg)
{
	struct backup *b = arg;
	const char *path = ctl_text("%s/journal", b->state_dir);
	struct dirent *de;
	DIR *dir = opendir(path);

	if (dir == NULL && errno == ENOENT)
		return;
	if (dir == NULL)
		ctl_fail_file(path);
	while ((de = readdir(dir)) != NULL)
		if (de->d_name[0] != '.' && strcmp(de->d_name, "lock") != 0)
			hold_file(b, ctl_text("journal/%s", de->d_name));
	closedir(dir);
}

static void
begin_state(struct backup *b)
{
	if (access(b->state_dir, F_OK) < 0 && errno == ENOENT) {
		b->held = b->stage;	/* the daemon never ran here */
		bundle_make_parents(ctl_text("%s/state/x", b->held));
		return;
	}
	b->held = bundle_temp_dir(b->state_dir, ".backup");
	bundle_make_parents(ctl_text("%s/state/journal/x", b->held));
	hold_file(b, "token_secret");
	hold_journal(b);
}

/* ---- database ------------------------------------------------------------ */

static void
find_schema(struct backup *b)
{
	struct migration_status st;
	struct buf out;
	struct err e;

	buf_init(&out, 1u << 20);
	if (store_migrate_status(b->c->db, ctl_sql_dir(), &st, &out, &e) < 0)
		ctl_fail_err(&e);
	if (st.current <= 0)
		ctl_fail(EXIT_SCHEMA, "the database has no tables of omni2; "
		    "\"omni2ctl db init\" makes them");
	b->manifest.schema = st.current;
	b->manifest.has_database = true;
	buf_free(&out);
}

static void
dump_database(struct backup *b)
{
	struct run r = { .argv = { "pg_dump", "--format=custom",
	    "--compress=0", "--schema=omni2", "--no-password" }, .in = -1,
	    .tick = hold_journal, .tick_arg = b };
	const char *path = ctl_text("%s/database.dump", b->stage);
	struct err e;
	int status;

	ctl_db(b->c);
	find_schema(b);
	if (conninfo_environment(b->c->conf.database_url, &r.env, &e) < 0)
		ctl_fail_err(&e);
	r.as = b->c->db_as_service ? ctl_service_user(b->c) : NULL;
	r.out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r.out < 0)
		ctl_fail_file(path);
	r.dir = "/";
	status = run_program(&r);
	close(r.out);
	if (status != 0)
		ctl_fail_program(path, status == 127 ? "there is no pg_dump "
		    "here; install PostgreSQL's client programs" :
		    "pg_dump failed; no backup was made");
	hold_journal(b);
	strlist_free(&r.env);
}

/* ---- the file ------------------------------------------------------------ */

static void
pack(struct backup *b, const char *file)
{
	bool has_other = access(ctl_text("%s/other", b->stage), F_OK) == 0;
	struct run r = { .argv = { "tar", "-czSf", "-", "--numeric-owner",
	    "--warning=no-file-changed", "--owner=0", "--group=0", "-C",
	    b->held, "state", "-C", b->stage, "manifest.json", "etc" },
	    .in = -1 };
	int n = 14, status;

	if (b->manifest.has_database)
		r.argv[n++] = "database.dump";
	if (has_other)
		r.argv[n++] = "other";
	atexit(remove_unfinished);
	unfinished = ctl_text("%s.%d", file, (int)getpid());
	r.out = open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (r.out < 0)
		ctl_fail_file(unfinished);
	status = run_program(&r);
	/* 1: the journal grew while it was read; its readers know that */
	if (status == 127)
		ctl_fail(EXIT_FAILED, "there is no tar here; install it");
	if (status > 1 || fsync(r.out) < 0)
		ctl_fail_program(unfinished, "tar failed; no backup was "
		    "made");
	close(r.out);
	if (rename(unfinished, file) < 0)
		ctl_fail_file(file);
	unfinished = NULL;
}

static void
print_result(const struct backup *b, const char *file)
{
	struct json_out j;
	struct stat st;
	struct buf out;

	if (stat(file, &st) < 0)
		ctl_fail_file(file);
	if (!b->c->json) {
		printf("%s: %.*f MB, configuration files: %u%s\n", file,
		    st.st_size < 1000000 ? 3 : 1, (double)st.st_size / 1e6,
		    b->n_files,
		    b->manifest.has_database ? ctl_text(", tables of version "
		    "%lld", (long long)b->manifest.schema) :
		    ", no database is configured");
		puts("It holds secrets: keep it where only you can read it.");
		return;
	}
	buf_init(&out, 65536);
	json_out_init(&j, &out);
	json_object_begin(&j, NULL);
	json_put_str(&j, "file", file);
	json_put_int(&j, "bytes", st.st_size);
	json_put_int(&j, "schema", b->manifest.schema);
	json_put_str(&j, "created", b->manifest.created);
	json_object_end(&j);
	printf("%.*s\n", (int)out.n, out.p);
	buf_free(&out);
}

int
ctl_backup(struct ctl *c)
{
	struct backup b = { .c = c, .manifest = { .format = BUNDLE_FORMAT,
	    .version = PACKAGE_VERSION } };
	char directory[PATH_MAX];
	struct stat st;
	const char *file;

	args_done(c, 1, 1);
	file = c->argv[0];
	if (file[0] == '\0')
		ctl_usage(c);
	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode))
		ctl_fail(EXIT_USAGE, "%s is there and is no file", file);
	/* tar goes into one directory from another */
	if (realpath(directory_of(file), directory) == NULL)
		ctl_fail_file(directory_of(file));
	ctl_conf(c);
	umask(077);
	run_catch_signals();
	clock_format_iso(b.manifest.created, sizeof(b.manifest.created),
	    clock_wall_us());
	b.state_dir = c->conf.state_dir;
	b.stage = bundle_temp_dir(directory, ".omni2-backup");
	screen_progress("reading the configuration and the journal");
	add_configuration(&b);
	begin_state(&b);
	if (c->conf.database_url[0] != '\0') {
		screen_progress("dumping the database");
		dump_database(&b);
	}
	bundle_write(ctl_text("%s/manifest.json", b.stage), &b.manifest);
	screen_progress("packing %s", file);
	pack(&b, file);
	screen_progress(NULL);
	print_result(&b, file);
	return EXIT_OK;
}
