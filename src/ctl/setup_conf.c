/*
 * setup_conf -- the configuration file of omni2ctl setup.
 *
 * What an administrator wrote is never changed: a setting is added where none
 * is, or where there is only a variable that nobody has set; anything else is
 * refused with the words to write. The new text is checked as a whole, beside
 * the old file, before it takes its place.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fdio.h"
#include "ctl/screen.h"
#include "ctl/setup.h"
#include "ctl/yaml_edit.h"
#include "net/sock.h"
#include "store/admin.h"

#define FILE_MAX	(8u << 20)
#define SECRET_NAME	"database-url"

static const char fresh[] =
    "# omni2.yaml -- made by \"omni2ctl setup\". omni2.yaml(5) describes all\n"
    "# settings; " OMNI2_PKGDATADIR "/examples has samples with comments.\n"
    "\n"
    "include:\n"
    "  - conf.d/*.yaml\n"
    "\n"
    "server:\n"
    "  #listen: 127.0.0.1:8090\n"
    "\n"
    "database:\n";

static void
find_user(struct setup *s)
{
	static struct passwd copy;
	const struct passwd *pw;

	if (getuid() == 0)
		pw = ctl_service_user(s->c);
	else
		pw = getpwuid(getuid());
	if (pw == NULL)
		ctl_fail(EXIT_NOT_FOUND, "there is no user \"%s\" for the "
		    "daemon; make it with \"useradd --system omni2\", or name "
		    "another in server.user", s->c->conf.user[0] != '\0' ?
		    s->c->conf.user : "omni2");
	copy = *pw;
	copy.pw_name = xstrdup(pw->pw_name);
	copy.pw_dir = xstrdup(pw->pw_dir);
	s->user = &copy;
}

static void
read_file(struct setup *s)
{
	ssize_t n;

	if (buf_reserve(&s->text, FILE_MAX) < 0)
		ctl_fail(EXIT_FAILED, "out of memory");
	n = fdio_read_file(s->path, s->text.p, FILE_MAX);
	if (n < 0)
		ctl_fail_file(s->path);
	s->text.n = (size_t)n;
}

void
setup_read(struct setup *s)
{
	char *real = realpath(s->c->conf_path, NULL);

	buf_init(&s->text, FILE_MAX + 1);
	s->is_new = real == NULL && errno == ENOENT;
	if (real == NULL && !s->is_new)
		ctl_fail_file(s->c->conf_path);
	s->path = s->is_new ? xstrdup(s->c->conf_path) : real;
	if (s->is_new) {
		conf_defaults(&s->c->conf);
		buf_add_str(&s->text, fresh);
	} else {
		read_file(s);
		s->loaded = conf_load(s->path, &s->c->conf, &s->c->model,
		    &s->report) == 0;
	}
	find_user(s);
}

/* ---- what shall be in it ------------------------------------------------- */

static void
print_report(const struct conf_report *r)
{
	struct buf text;

	buf_init(&text, 1u << 20);
	conf_report_print(r, &text);
	(void)!write(STDERR_FILENO, text.p, text.n);
	buf_free(&text);
}

static void __attribute__((noreturn))
is_wrong(const struct setup *s, const struct conf_report *r)
{
	print_report(r);
	ctl_fail(EXIT_CONFIG, "%s: the configuration is wrong; mend it and run "
	    "this again", s->path);
}

/* "section:" and the line below it, for people. */
static const char *
lines_for(const char *section, const char *key, const char *value)
{
	struct buf b;
	const char *kept;

	buf_init(&b, 65536);
	buf_printf(&b, "  %s:\n    ", section);
	yaml_edit_line(&b, key, value);
	kept = ctl_text("%.*s", (int)b.n, b.p);
	buf_free(&b);
	return kept;
}

static void
set(struct setup *s, const char *section, const char *key, const char *value)
{
	struct err e;

	if (yaml_edit_set(&s->text, section, key, value, &e) < 0)
		ctl_fail(EXIT_FAILED, "%s: %s; write this yourself:\n%s",
		    s->path, e.text, lines_for(section, key, value));
	s->changes = s->changes == NULL ? ctl_text("%s.%s", section, key) :
	    ctl_text("%s, %s.%s", s->changes, section, key);
}

static enum yaml_edit
look(const struct setup *s, const char *section, const char *key)
{
	struct err e;
	enum yaml_edit state = yaml_edit_look(buf_span(&s->text), section, key,
	    &e);

	if (state == YAML_EDIT_BROKEN)
		is_wrong(s, &s->report);
	return state;
}

static const char *
line_of_stdin(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, stdin);

	if (n > 0 && line[n - 1] == '\n')
		line[n - 1] = '\0';
	if (n <= 0 || line[0] == '\0')
		ctl_fail(EXIT_USAGE, "--database -: nothing came on standard "
		    "input");
	return line;
}

static void
want_url(struct setup *s, bool is_given)
{
	if (s->database != NULL) {
		s->url = strcmp(s->database, "-") == 0 ? line_of_stdin() :
		    s->database;
		if (!conninfo_is_valid(s->url) || strlen(s->url) >= CONF_TEXT)
			ctl_fail(EXIT_USAGE, "--database: not a connection "
			    "string, such as \"host=db.example.org user=omni2 "
			    "dbname=omni2\" or postgresql://...");
	} else if (s->local || !is_given)
		setup_find_local(s);
	else
		s->url = s->c->conf.database_url;
}

static void
check_url(struct setup *s)
{
	const char *has = s->c->conf.database_url;
	bool is_given = look(s, "database", "url") == YAML_EDIT_GIVEN ||
	    look(s, "database", "url_file") == YAML_EDIT_GIVEN ||
	    (s->loaded && has[0] != '\0');

	if (is_given && !s->loaded)
		is_wrong(s, &s->report);
	want_url(s, is_given);
	if (is_given && strcmp(s->url, has) != 0)
		ctl_fail(EXIT_CONFLICT, "%s: database.url is \"%s\"; to use "
		    "another database change it there, to\n%s", s->path,
		    conninfo_shown(has), conninfo_has_password(s->url) ?
		    lines_for("database", "url_file", SECRET_NAME) :
		    lines_for("database", "url", s->url));
	if (is_given)
		return;
	if (!conninfo_has_password(s->url)) {
		set(s, "database", "url", s->url);
		return;
	}
	s->secret_file = ctl_text("%.*s" SECRET_NAME, strrchr(s->path, '/') ==
	    NULL ? 0 : (int)(strrchr(s->path, '/') + 1 - s->path), s->path);
	if (look(s, "database", "url") == YAML_EDIT_PLACEHOLDER) {
		struct err e;

		(void)yaml_edit_drop(&s->text, "database", "url", &e);
	}
	set(s, "database", "url_file", SECRET_NAME);
}

static void
check_listen(struct setup *s)
{
	const struct conf_list *has = &s->c->conf.listen;
	static struct conf defaults;
	struct sock_addr a;
	struct err e;
	bool is_given;

	if (s->listen == NULL)
		return;
	if (sock_addr_parse(&a, s->listen, &e) < 0)
		ctl_fail(EXIT_USAGE, "--listen: %s", e.text);
	if (s->loaded && has->n == 1 && strcmp(has->item[0], s->listen) == 0)
		return;
	conf_defaults(&defaults);
	is_given = look(s, "server", "listen") == YAML_EDIT_GIVEN ||
	    (s->loaded && memcmp(has, &defaults.listen, sizeof(*has)) != 0);
	if (is_given)
		ctl_fail(EXIT_CONFLICT, "%s: server.listen is set; to listen "
		    "on another address change it there, to\n%s", s->path,
		    lines_for("server", "listen", s->listen));
	set(s, "server", "listen", s->listen);
}

void
setup_check(struct setup *s)
{
	struct err e;

	check_url(s);
	check_listen(s);
	if (getuid() == 0 && s->c->conf.user[0] == '\0' &&
	    look(s, "server", "user") != YAML_EDIT_GIVEN)
		set(s, "server", "user", s->user->pw_name);
	/* without it the daemon makes a secret of its own in state_dir */
	if (look(s, "auth", "token_secret") == YAML_EDIT_PLACEHOLDER) {
		if (yaml_edit_drop(&s->text, "auth", "token_secret", &e) < 0)
			ctl_fail(EXIT_FAILED, "%s: %s; set auth.token_secret "
			    "there", s->path, e.text);
		s->changes = s->changes == NULL ? "auth.token_secret" :
		    ctl_text("%s, auth.token_secret", s->changes);
	}
}

/* ---- writing it ---------------------------------------------------------- */

/* Writes, for the daemon to read and nobody else, or as the file before. */
static void
write_file(struct setup *s, const char *path, struct span text,
    const struct stat *like)
{
	mode_t mode = like != NULL ? like->st_mode & 07777 : 0640;
	uid_t uid = like != NULL ? like->st_uid : getuid();
	gid_t gid = like != NULL ? like->st_gid : s->user->pw_gid;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		ctl_fail_file(path);
	if ((getuid() == 0 && fchown(fd, uid, gid) < 0) ||
	    fchmod(fd, mode) < 0 || fdio_write_all(fd, text.p, text.n) < 0 ||
	    fsync(fd) < 0) {
		int saved = errno;

		unlink(path);
		errno = saved;
		ctl_fail_file(path);
	}
	close(fd);
}

static void
write_secret(struct setup *s)
{
	char has[4096];
	ssize_t n = fdio_read_file(s->secret_file, has, sizeof(has));

	if (n > 0 && has[n - 1] == '\n')
		has[--n] = '\0';
	if (n >= 0 && strcmp(has, s->url) != 0)
		ctl_fail(EXIT_CONFLICT, "%s is there already and says "
		    "something else; remove it first", s->secret_file);
	if (n < 0)
		write_file(s, s->secret_file, span_str(ctl_text("%s\n",
		    s->url)), NULL);
}

static void
make_directory(struct setup *s)
{
	char *slash = strrchr(s->path, '/');

	if (!s->is_new || slash == NULL || slash == s->path)
		return;
	*slash = '\0';
	if (mkdir(s->path, 0755) < 0 && errno != EEXIST)
		ctl_fail_file(s->path);
	*slash = '/';
}

/* The file under its temporary name; the includes are found from there. */
static void
check_new(struct setup *s, const char *path)
{
	struct conf_report r = { NULL, 0, 0 };

	model_free(&s->c->model);
	if (conf_load(path, &s->c->conf, &s->c->model, &r) < 0) {
		unlink(path);
		is_wrong(s, &r);
	}
	conf_report_free(&r);
}

/* As the daemon will find it, with its name in what refers to it. */
static void
read_again(struct setup *s)
{
	struct conf_report r = { NULL, 0, 0 };

	model_free(&s->c->model);
	if (conf_load(s->path, &s->c->conf, &s->c->model, &r) < 0)
		is_wrong(s, &r);
	conf_report_free(&r);
	s->loaded = s->c->have_conf = true;
	s->url = s->c->conf.database_url;
}

void
setup_write(struct setup *s)
{
	const char *temporary = ctl_text("%s.%d", s->path, (int)getpid());
	struct stat st;

	if (s->changes == NULL) {
		setup_ok(s, "%s has all that is needed", s->path);
		s->c->have_conf = s->loaded;
		return;
	}
	if (s->secret_file != NULL && setup_begin(s, "write the connection "
	    "string, which has a password, to %s", s->secret_file)) {
		make_directory(s);
		write_secret(s);
		setup_done(s);
	}
	if (!setup_begin(s, "%s %s: %s", s->is_new ? "make" : "add to",
	    s->path, s->changes))
		return;
	make_directory(s);
	write_file(s, temporary, buf_span(&s->text),
	    !s->is_new && stat(s->path, &st) == 0 ? &st : NULL);
	check_new(s, temporary);
	if (rename(temporary, s->path) < 0)
		ctl_fail_file(s->path);
	read_again(s);
	setup_done(s);
}
