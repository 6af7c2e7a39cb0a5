/*
 * session -- configuration, database, policy and daemon for the commands.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "conf/model_forms.h"
#include "ctl/ctl.h"
#include "policy/build.h"
#include "proc/ask.h"
#include "proc/proc.h"
#include "shm/gen.h"
#include "store/admin.h"

#define POLICY_MAX (64u << 20)

static int
read_conf(struct ctl *c, struct buf *findings)
{
	if (access(c->conf_path, R_OK) < 0)
		ctl_fail(errno == EACCES ? EXIT_DENIED : EXIT_CONFIG,
		    errno == EACCES ? "%s: %s; be root or the user of omni2d" :
		    "%s: %s; name the configuration with -c", c->conf_path,
		    strerror(errno));
	model_init(&c->model);
	c->have_conf = loader_read(c->conf_path, &c->conf, &c->model, findings,
	    LOADER_YAML, &c->conf_status) == 0;
	return c->have_conf ? 0 : -1;
}

void
ctl_conf(struct ctl *c)
{
	struct buf text;

	if (c->have_conf)
		return;
	buf_init(&text, 1u << 20);
	if (read_conf(c, &text) < 0) {
		(void)!write(STDERR_FILENO, text.p, text.n);
		ctl_fail(c->conf_status == EX_NOPERM ? EXIT_DENIED :
		    EXIT_CONFIG, "the configuration is wrong; mend what the "
		    "lines above name");
	}
	buf_free(&text);
}

/*
 * Where the daemon's sockets are. While the file is wrong the daemon runs on
 * with what it loaded before, so here a wrong file is good enough.
 */
static const char *
run_dir(struct ctl *c)
{
	struct buf text;

	if (!c->have_conf && c->conf.run_dir[0] == '\0') {
		buf_init(&text, 1u << 20);
		(void)read_conf(c, &text);
		buf_free(&text);
	}
	return c->conf.run_dir;
}

const struct passwd *
ctl_service_user(const struct ctl *c)
{
	if (getuid() != 0)
		return NULL;
	return getpwnam(c->conf.user[0] != '\0' ? c->conf.user : "omni2");
}

/* The group first and last: only root may change it. */
void
ctl_act_as(const struct passwd *pw, bool on)
{
	if (pw == NULL)
		return;
	if (on ? setegid(pw->pw_gid) < 0 || seteuid(pw->pw_uid) < 0 :
	    seteuid(0) < 0 || setegid(getgid()) < 0)
		ctl_fail(EXIT_FAILED, "cannot become %s: %s", on ? pw->pw_name :
		    "root", strerror(errno));
}

struct db *
ctl_db_open(struct ctl *c, const char *conninfo, int64_t timeout_ms,
    struct err *e)
{
	struct db *db = db_open(conninfo, timeout_ms, e);
	const struct passwd *pw;

	if (db != NULL || !conninfo_is_local(conninfo) ||
	    (pw = ctl_service_user(c)) == NULL)
		return db;
	ctl_act_as(pw, true);
	db = db_open(conninfo, timeout_ms, e);
	ctl_act_as(pw, false);
	c->db_as_service = db != NULL;
	return db;
}

/* As the loader of the daemon does it (LOADER_READ). */
int
ctl_read(struct ctl *c, struct conf_report *r)
{
	struct err e;

	c->have_conf = conf_load(c->conf_path, &c->conf, &c->model, r) == 0;
	if (c->have_conf && c->conf.database_url[0] != '\0') {
		c->db = ctl_db_open(c, c->conf.database_url,
		    c->conf.database_timeout_ms, &e);
		if (c->db == NULL || store_load(c->db, &c->model, &e) < 0)
			conf_report_add(r, false, c->conf_path, 0, 0, "%s",
			    e.text);
		else {
			model_add_seed_roles(&c->model);
			model_check(&c->model, r);
		}
	}
	conf_report_sort(r);
	return c->have_conf && r->errors == 0 ? 0 : -1;
}

void
ctl_db(struct ctl *c)
{
	struct err e;

	if (c->db != NULL)
		return;
	ctl_conf(c);
	if (c->conf.database_url[0] == '\0')
		ctl_fail(EXIT_CONFIG, "%s: set database.url, or run \"omni2ctl "
		    "setup\"", c->conf_path);
	c->db = ctl_db_open(c, c->conf.database_url,
	    c->conf.database_timeout_ms, &e);
	if (c->db == NULL)
		ctl_fail_err(&e);
}

void
ctl_model(struct ctl *c)
{
	struct err e;

	ctl_db(c);
	if (c->model.db_loaded)
		return;
	if (store_load(c->db, &c->model, &e) < 0)
		ctl_fail_err(&e);
}

void
ctl_model_seeded(struct ctl *c)
{
	struct err e;

	ctl_db(c);
	if (!c->model.db_loaded && store_seed(c->db, &c->model, &e) < 0)
		ctl_fail_err(&e);
	ctl_model(c);
}

const struct pol_head *
ctl_policy(struct ctl *c)
{
	static void *policy;
	struct err e;

	if (policy != NULL)
		return policy;
	ctl_model(c);
	policy = xcalloc(1, POLICY_MAX);
	if (policy_build(policy, POLICY_MAX, &c->model, &c->conf, NULL, &e) < 0)
		ctl_fail_err(&e);
	return policy;
}

int
ctl_ask(struct ctl *c, const char *line, struct buf *out, int *fd)
{
	return control_ask(run_dir(c), line, out, fd, &c->refused);
}

void
ctl_no_daemon(const struct ctl *c)
{
	if (c->refused)
		ctl_fail(EXIT_DENIED, "omni2d does not talk to this user on "
		    "%s/control.sock; be root or its user", c->conf.run_dir);
	ctl_fail(EXIT_UNREACHABLE, "omni2d does not answer on "
	    "%s/control.sock; is it running?", c->conf.run_dir);
}

bool
ctl_attach(struct ctl *c, bool must)
{
	struct buf out;
	struct err e;
	int fd = -1;

	if (c->attached)
		return true;
	buf_init(&out, 65536);
	if (ctl_ask(c, "shm", &out, &fd) == 1 && fd >= 0) {
		if (shm_attach(&c->shm, fd, &e) < 0)
			ctl_fail_err(&e);
		c->attached = true;
	} else if (must)
		ctl_no_daemon(c);
	buf_free(&out);
	return c->attached;
}

const char *
ctl_actor(void)
{
	const char *sudo = getenv("SUDO_USER"), *user = getenv("USER");

	return ctl_text("%s (local)", sudo != NULL ? sudo : user != NULL ?
	    user : "root");
}

void
ctl_changed(struct ctl *c)
{
	struct buf out;
	int rc;

	buf_init(&out, 1u << 20);
	rc = ctl_ask(c, "reload", &out, NULL);
	if (rc == 0) {
		fprintf(stderr, "%.*s", (int)out.n, out.p);
		ctl_fail(EXIT_CONFIG, "stored, but the daemon could not load "
		    "its configuration; it goes on with the one before");
	}
	buf_free(&out);
}
