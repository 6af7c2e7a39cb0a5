/*
 * bundle -- see bundle.h.
 */
#include "ctl/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fdio.h"
#include "base/json_read.h"
#include "base/log.h"
#include "ctl/run.h"

#define MANIFEST_MAX	65536
#define TEMP_MAX	4
#define DEPTH_MAX	16

/* ---- manifest ------------------------------------------------------------ */

void
bundle_write(const char *path, const struct bundle *m)
{
	struct json_out j;
	struct buf b;
	int fd;

	buf_init(&b, MANIFEST_MAX);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	json_put_int(&j, "format", m->format);
	json_put_str(&j, "omni2", m->version);
	json_put_int(&j, "schema", m->schema);
	json_put_bool(&j, "database", m->has_database);
	json_put_str(&j, "created", m->created);
	json_put_str(&j, "main", m->main);
	json_object_end(&j);
	buf_add_char(&b, '\n');
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || fdio_write_all(fd, b.p, b.n) < 0)
		ctl_fail_file(path);
	close(fd);
	buf_free(&b);
}

static bool
get_text(struct json_value v, char *out, size_t size)
{
	long n = json_string_decode(v, out, size - 1);

	if (n < 0)
		return false;
	out[n] = '\0';
	return strlen(out) == (size_t)n;
}

/* The name of a file in a directory, and not of one elsewhere. */
static bool
is_plain_name(const char *s)
{
	return s[0] != '\0' && s[0] != '.' && strchr(s, '/') == NULL;
}

int
bundle_read(const char *path, struct bundle *m, struct err *e)
{
	static const char *const names[] = { "format", "omni2", "schema",
	    "database", "created", "main" };
	struct json_value root, v[6];
	char text[MANIFEST_MAX];
	ssize_t n = fdio_read_file(path, text, sizeof(text));

	if (n < 0 || json_check(span_make(text, (size_t)n), &root, NULL) !=
	    JSON_OK || json_object(root.raw, names, v, 6) != JSON_OK ||
	    !json_int(v[0], &m->format))
		return err_set(e, ERR_INVALID, "not a backup of omni2");
	if (m->format != BUNDLE_FORMAT)
		return err_set(e, ERR_CONFLICT, "a backup of a newer omni2 "
		    "(format %lld)", (long long)m->format);
	m->has_database = json_is_true(v[3]);
	if (!get_text(v[1], m->version, sizeof(m->version)) ||
	    !json_int(v[2], &m->schema) ||
	    !get_text(v[4], m->created, sizeof(m->created)) ||
	    !get_text(v[5], m->main, sizeof(m->main)) ||
	    !is_plain_name(m->main))
		return err_set(e, ERR_INVALID, "its manifest is damaged");
	return 0;
}

/* ---- files --------------------------------------------------------------- */

static const char *temp[TEMP_MAX];
static int n_temp;
static pid_t temp_owner;

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	(void)remove(path);
	return 0;
}

static void
remove_temp(void)
{
	if (getpid() != temp_owner)
		return;
	while (n_temp > 0)
		(void)nftw(temp[--n_temp], remove_one, DEPTH_MAX,
		    FTW_DEPTH | FTW_PHYS);
}

const char *
bundle_temp_dir(const char *parent, const char *name)
{
	char *path = xasprintf("%s/%s.XXXXXX", parent, name);

	ASSERT_ALWAYS(n_temp < TEMP_MAX);
	if (mkdtemp(path) == NULL)
		ctl_fail_file(parent);
	if (n_temp == 0) {
		temp_owner = getpid();
		atexit(remove_temp);
	}
	temp[n_temp++] = path;
	return path;
}

void
bundle_make_parents(const char *path)
{
	char *copy = xstrdup(path), *slash;

	for (slash = strchr(copy + 1, '/'); slash != NULL;
	    slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			ctl_fail_file(copy);
		*slash = '/';
	}
	free(copy);
}

static int
copy_bytes(int in, int out)
{
	char bytes[65536];
	ssize_t n;

	while ((n = read(in, bytes, sizeof(bytes))) > 0)
		if (fdio_write_all(out, bytes, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

int
bundle_copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out, rv = -1, saved;
	struct stat st;

	if (in < 0)
		return -1;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out >= 0 && fstat(in, &st) == 0 &&
	    fchmod(out, st.st_mode & 0777) == 0 && copy_bytes(in, out) == 0 &&
	    fsync(out) == 0)
		rv = 0;
	saved = errno;
	close(in);
	if (out >= 0)
		close(out);
	errno = saved;
	return rv;
}

bool
bundle_is_same(const char *a, const char *b)
{
	FILE *x = fopen(a, "re"), *y = fopen(b, "re");
	bool same = x != NULL && y != NULL;
	int c;

	while (same && (c = getc(x)) != EOF)
		same = c == getc(y);
	same = same && getc(y) == EOF && !ferror(x) && !ferror(y);
	if (x != NULL)
		fclose(x);
	if (y != NULL)
		fclose(y);
	return same;
}

/* ---- walking ------------------------------------------------------------- */

static struct {
	const char	*dir;
	void		(*fn)(void *, const char *);
	void		*arg;
} walk;

static int
visit(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)f;
	if (flag == FTW_D)
		return 0;
	if (flag != FTW_F || !S_ISREG(st->st_mode))
		ctl_fail(EXIT_FAILED, "the backup holds something that is no "
		    "file: %s", table_clean(path + strlen(walk.dir) + 1));
	walk.fn(walk.arg, path + strlen(walk.dir) + 1);
	return 0;
}

void
bundle_walk(const char *dir, void (*fn)(void *, const char *), void *arg)
{
	if (access(dir, F_OK) < 0)
		return;
	walk.dir = dir;
	walk.fn = fn;
	walk.arg = arg;
	if (nftw(dir, visit, DEPTH_MAX, FTW_PHYS) < 0)
		ctl_fail_file(dir);
}

static void
ignore(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

void
bundle_extract(const char *file, const char *dir, const char *const *members)
{
	struct run r = { .argv = { "tar", "-xzf", "-", "-C", dir,
	    "--no-same-owner", "--same-permissions", "--" }, .out = -1 };
	int n = 8, status;

	while (*members != NULL)
		r.argv[n++] = *members++;
	r.in = open(file, O_RDONLY | O_CLOEXEC);
	if (r.in < 0)
		ctl_fail_file(file);
	status = run_program(&r);
	close(r.in);
	if (status != 0)
		ctl_fail(EXIT_FAILED, "%s: %s", file, status == 127 ?
		    "there is no tar to unpack it" : "it is damaged, or not a "
		    "backup of omni2");
	bundle_walk(dir, ignore, NULL);
}
