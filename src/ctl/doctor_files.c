/*
 * doctor_files -- the configuration, who may read and write files, disks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fdio.h"
#include "ctl/doctor.h"
#include "ctl/yaml_edit.h"
#include "store/admin.h"

#define DISK_FAIL	((uint64_t)64 << 20)	/* one segment of the journal */
#define INODES_WARN	1000
#define FILE_MAX	(8u << 20)

/* ---- configuration ------------------------------------------------------- */

void
doctor_configuration(struct doctor *d)
{
	struct conf_report r = { NULL, 0, 0 };
	struct ctl *c = d->c;
	size_t i;
	int rc;

	if (access(c->conf_path, R_OK) < 0) {
		doctor_say(d, FINDING_FAIL, "configuration", ctl_text("%s: %s",
		    c->conf_path, strerror(errno)), errno == EACCES ?
		    "be root or the user of omni2d" : "run: omni2ctl setup");
		return;
	}
	rc = ctl_read(c, &r);
	d->has_conf = c->have_conf;
	d->user = ctl_service_user(c);
	if (d->has_conf && c->conf.user[0] != '\0' && getuid() == 0 &&
	    d->user == NULL)
		doctor_say(d, FINDING_FAIL, "user", ctl_text("server.user: "
		    "there is no user \"%s\"", c->conf.user),
		    ctl_text("make it (useradd --system %s), or name another",
		    c->conf.user));
	for (i = 0; i < r.n; i++) {
		const struct conf_msg *m = &r.msg[i];

		if (!m->is_error && strncmp(m->text, "database: ", 10) == 0)
			continue;	/* has a check of its own */
		doctor_say(d, m->is_error ? FINDING_FAIL : FINDING_WARN,
		    "configuration", m->line > 0 ? ctl_text("%s:%d: %s",
		    m->file, m->line, m->text) : ctl_text("%s: %s", m->file,
		    m->text), m->is_error ? "mend it; \"omni2ctl check\" "
		    "checks it" : NULL);
	}
	if (rc == 0)
		doctor_say(d, FINDING_OK, "configuration", ctl_text("%s is "
		    "right", c->conf_path), NULL);
	conf_report_free(&r);
}

/* ---- permissions --------------------------------------------------------- */

/* Can the daemon do this (R_OK ...)? */
static bool
daemon_may(const struct doctor *d, const char *path, int mode)
{
	bool may;

	ctl_act_as(d->user, true);
	may = faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0;
	ctl_act_as(d->user, false);
	return may;
}

static const char *
user_name(const struct doctor *d)
{
	return d->user != NULL ? d->user->pw_name : "omni2d";
}

static const char *
group_name(const struct doctor *d)
{
	return d->user != NULL ? d->user->pw_name : "its group";
}

/* True if there is nothing wrong with it. */
static bool
check_conf_file(struct doctor *d, const char *path, bool is_secret)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		doctor_say(d, FINDING_FAIL, "files", ctl_text("%s: %s", path,
		    strerror(errno)), NULL);
		return false;
	}
	if (st.st_mode & S_IWOTH) {
		doctor_say(d, FINDING_FAIL, "files", ctl_text("everybody may "
		    "write %s", path), ctl_text("chmod o-w %s", path));
		return false;
	}
	if (is_secret && (st.st_mode & S_IROTH)) {
		doctor_say(d, FINDING_WARN, "files", ctl_text("everybody may "
		    "read %s, which holds a secret", path),
		    ctl_text("chmod o-r %s", path));
		return false;
	}
	if (!doctor_unit_copies(d, path) && !daemon_may(d, path, R_OK)) {
		doctor_say(d, FINDING_FAIL, "files", ctl_text("%s cannot read "
		    "%s, and so not reload it", user_name(d), path),
		    ctl_text("chgrp %s %s; chmod g+r %s", group_name(d), path,
		    path));
		return false;
	}
	return true;
}

/* Does the text of the file itself give it, and not a variable? */
static bool
is_inline(struct span text, const char *section, const char *key)
{
	char *value = yaml_edit_get(text, section, key);
	bool is = value != NULL && strncmp(value, "${", 2) != 0;

	free(value);
	return is;
}

static bool
holds_secret(const struct doctor *d, const char *path)
{
	struct buf text;
	ssize_t n;
	bool holds = false;

	buf_init(&text, FILE_MAX + 1);
	if (buf_reserve(&text, FILE_MAX) == 0 &&
	    (n = fdio_read_file(path, text.p, FILE_MAX)) > 0) {
		text.n = (size_t)n;
		holds = is_inline(buf_span(&text), "auth", "token_secret") ||
		    (is_inline(buf_span(&text), "database", "url") &&
		    conninfo_has_password(d->c->conf.database_url));
	}
	buf_free(&text);
	return holds;
}

static void
check_conf_files(struct doctor *d)
{
	const struct model *m = &d->c->model;
	bool all_right = true;
	size_t i;

	for (i = 0; i < m->files.n; i++)
		all_right &= check_conf_file(d, m->files.v[i],
		    holds_secret(d, m->files.v[i]));
	for (i = 0; i < m->secret_files.n; i++)
		all_right &= check_conf_file(d, m->secret_files.v[i], true);
	if (all_right)
		doctor_say(d, FINDING_OK, "files", "owner and mode of the "
		    "configuration files are right", NULL);
}

/* ---- directories --------------------------------------------------------- */

static const char *
chown_text(const struct doctor *d, const char *path)
{
	return d->user != NULL ? ctl_text("chown %s: %s", d->user->pw_name,
	    path) : ctl_text("give %s to the user of omni2d", path);
}

/* False: it is not there, or this user cannot look. */
static bool
look_at(struct doctor *d, const char *check, const char *path,
    struct stat *st)
{
	if (stat(path, st) == 0)
		return true;
	if (errno == EACCES)
		doctor_say(d, FINDING_WARN, check, ctl_text("%s: %s", path,
		    strerror(errno)), "be root or the user of omni2d");
	return false;
}

static void
check_state_dir(struct doctor *d)
{
	const char *path = d->c->conf.state_dir;
	struct stat st;

	if (!look_at(d, "state", path, &st)) {
		if (errno == ENOENT)
			doctor_say(d, FINDING_WARN, "state", ctl_text("%s is "
			    "not there yet", path), "systemd, or omni2d when "
			    "root starts it, makes it");
	} else if (!daemon_may(d, path, R_OK | W_OK | X_OK))
		doctor_say(d, FINDING_FAIL, "state", ctl_text("%s cannot write "
		    "%s", user_name(d), path), chown_text(d, path));
	else if (st.st_mode & 077)
		doctor_say(d, FINDING_WARN, "state", ctl_text("others than "
		    "%s may look into %s (mode %03o)", user_name(d), path,
		    st.st_mode & 0777), ctl_text("chmod 700 %s", path));
	else
		doctor_say(d, FINDING_OK, "state", ctl_text("%s belongs to "
		    "omni2d alone", path), NULL);
}

static void
check_run_dir(struct doctor *d)
{
	const char *path = d->c->conf.run_dir;
	struct stat st;

	if (look_at(d, "run", path, &st) && !daemon_may(d, path, W_OK | X_OK))
		doctor_say(d, FINDING_FAIL, "run", ctl_text("%s cannot make "
		    "its sockets in %s", user_name(d), path),
		    chown_text(d, path));
}

/* The one that omni2d made for itself. */
static void
check_token_secret(struct doctor *d)
{
	const char *path = ctl_text("%s/token_secret", d->c->conf.state_dir);
	struct stat st;

	if (d->c->conf.token_secret[0] != '\0' || stat(path, &st) < 0)
		return;
	if (st.st_mode & 077)
		doctor_say(d, FINDING_FAIL, "token secret", ctl_text("others "
		    "may read %s, and make tokens with it", path),
		    ctl_text("remove it and restart omni2d; all tokens end"));
	else if (!daemon_may(d, path, R_OK))
		doctor_say(d, FINDING_FAIL, "token secret", ctl_text("%s "
		    "cannot read %s", user_name(d), path), chown_text(d, path));
}

void
doctor_files(struct doctor *d)
{
	check_conf_files(d);
	check_state_dir(d);
	check_run_dir(d);
	check_token_secret(d);
}

/* ---- disk ---------------------------------------------------------------- */

static const char *
size_text(uint64_t n)
{
	if (n >= (uint64_t)10 << 30)
		return ctl_text("%.0f GB", (double)n / (1 << 30));
	return n >= 1u << 30 ? ctl_text("%.1f GB", (double)n / (1 << 30)) :
	    ctl_text("%.0f MB", (double)n / (1 << 20));
}

void
doctor_disk(struct doctor *d)
{
	const char *path = ctl_text("%s/journal", d->c->conf.state_dir);
	uint64_t spool = (uint64_t)d->c->conf.spool_max, room;
	struct statvfs v;

	if (statvfs(path, &v) < 0 && statvfs(path = d->c->conf.state_dir,
	    &v) < 0)
		return;			/* not there yet: said already */
	room = (uint64_t)v.f_bavail * v.f_frsize;
	if (room < DISK_FAIL)
		doctor_say(d, FINDING_FAIL, "disk", ctl_text("%s free in %s; "
		    "calls are refused when it is full", size_text(room), path),
		    "make room");
	else if (v.f_files > 0 && v.f_favail < INODES_WARN)
		doctor_say(d, FINDING_WARN, "disk", ctl_text("%llu files can "
		    "be made in %s", (unsigned long long)v.f_favail, path),
		    "remove files from that file system");
	else if (room < spool)
		doctor_say(d, FINDING_WARN, "disk", ctl_text("%s free in %s, "
		    "less than audit.spool_max (%s)", size_text(room), path,
		    size_text(spool)), "make room, or lower audit.spool_max");
	else
		doctor_say(d, FINDING_OK, "disk", ctl_text("%s free in %s",
		    size_text(room), path), NULL);
}
