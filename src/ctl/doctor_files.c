/*
 * doctor_files -- the configuration, who may read and write files, disks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "store/admin.h"

#define DISK_FAIL	((uint64_t)64 << 20)	/* one segment of the journal */
#define INODES_WARN	1000

/* ---- configuration -------------------------------------------------------------- */

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
	for (i = 0; i < r.n; i++) {
		const struct conf_msg *m = &r.msg[i];

		if (!m->is_error && strncmp(m->text, "database: ", 10) == 0)
			continue;	/* has a check of its own */
		doctor_say(d, m->is_error ? FINDING_FAIL : FINDING_WARN,
		    "configuration", m->line > 0 ? ctl_text("%s:%d: %s",
		    m->file, m->line, m->text) : ctl_text("%s: %s", m->file,
		    m->text), m->is_error ? "mend it; \"omni2ctl check\" checks "
		    "it" : NULL);
	}
	if (rc == 0)
		doctor_say(d, FINDING_OK, "configuration", ctl_text("%s is "
		    "right", c->conf_path), NULL);
	conf_report_free(&r);
}

/* ---- permissions ---------------------------------------------------------------- */

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
	/* of a secret systemd hands the daemon a copy */
	if (!is_secret && !daemon_may(d, path, R_OK)) {
		doctor_say(d, FINDING_FAIL, "files", ctl_text("%s cannot read "
		    "%s, and so not reload it", user_name(d), path),
		    ctl_text("chgrp %s %s; chmod g+r %s", group_name(d), path,
		    path));
		return false;
	}
	return true;
}

static bool
has_secret(const struct conf *conf)
{
	return conf_secret_is_inline(conf);
}

static void
check_conf_files(struct doctor *d)
{
	const struct model *m = &d->c->model;
	bool all_right = true;
	size_t i;

	(void)has_secret;
	for (i = 0; i < m->files.n; i++)
		all_right &= check_conf_file(d, m->files.v[i], false);
	for (i = 0; i < m->secret_files.n; i++)
		all_right &= check_conf_file(d, m->secret_files.v[i], true);
	if (all_right)
		doctor_say(d, FINDING_OK, "files", ctl_text("%zu configuration "
		    "files: owner and mode are right", m->files.n +
		    m->secret_files.n), NULL);
}
