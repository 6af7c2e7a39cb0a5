/*
 * doctor_host -- the running daemon, its audit trail and limits, its unit.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/num.h"
#include "ctl/doctor.h"
#include "ctl/ready.h"
#include "ctl/run.h"
#include "shm/shm.h"

#define DESCRIPTORS	256	/* besides those of the connections */
#define UNIT		"omni2.service"

/* ---- the daemon ---------------------------------------------------------- */

static void
check_build(struct doctor *d)
{
	struct ctl *c = d->c;
	struct buf out;
	struct err e;
	int fd = -1;

	buf_init(&out, 65536);
	if (ctl_ask(c, "shm", &out, &fd) == 1 && fd >= 0) {
		if (shm_attach(&c->shm, fd, &e) == 0)
			c->attached = true;
		else
			doctor_say(d, FINDING_FAIL, "daemon", e.text,
			    "start omni2d again");
	}
	buf_free(&out);
}

static void
check_ready(struct doctor *d)
{
	const struct conf *conf = &d->c->conf;
	const char *why = ready_why_not(conf);

	if (why != NULL && ready_status(conf, "/health/ready") < 0)
		doctor_say(d, FINDING_WARN, "daemon", ctl_text("it runs, but "
		    "%s", why), "start it again, unless its addresses come "
		    "from a socket unit");
	else if (why != NULL)
		doctor_say(d, FINDING_FAIL, "daemon", ctl_text("it is not "
		    "ready: %s", why), "see the other findings, and the log");
	else
		doctor_say(d, FINDING_OK, "daemon", ctl_text("omni2d runs (pid "
		    "%d) and is ready", d->daemon_pid), NULL);
}

/* What would keep it from starting. */
static void
check_listen(struct doctor *d)
{
	struct err e;

	if (!run_unit_is_active("omni2.socket") &&
	    !ready_may_listen(&d->c->conf, &e))
		doctor_say(d, FINDING_FAIL, "listen", e.text, NULL);
}

void
doctor_daemon(struct doctor *d)
{
	struct ctl *c = d->c;
	struct buf out;
	int64_t pid;

	buf_init(&out, 65536);
	d->is_running = ctl_ask(c, "ping", &out, NULL) == 1;
	if (d->is_running) {
		if (out.n > 3 && num_i64(span_make(out.p + 3,
		    strcspn(out.p + 3, "\n")), 1, INT32_MAX, &pid) == 0)
			d->daemon_pid = (int)pid;
		check_build(d);
		check_ready(d);
	} else if (c->refused)
		doctor_say(d, FINDING_WARN, "daemon", "omni2d does not talk to "
		    "this user", "be root or its user");
	else {
		doctor_say(d, FINDING_WARN, "daemon", ctl_text("omni2d does "
		    "not answer on %s/control.sock", c->conf.run_dir),
		    "start it: systemctl start omni2");
		check_listen(d);
	}
	buf_free(&out);
}

void
doctor_audit(struct doctor *d)
{
	const struct shm_audit *a;
	uint64_t state, written, shipped, spool;

	if (!d->c->attached)
		return;
	a = shm_audit(&d->c->shm);
	state = atomic_load(&a->state);
	written = atomic_load(&a->journal_bytes);
	shipped = atomic_load(&a->shipped_bytes);
	spool = written > shipped ? written - shipped : 0;
	if (state == AUDIT_STATE_SPOOL_FULL)
		doctor_say(d, FINDING_FAIL, "audit", "the spool is full",
		    "bring the database back, or raise audit.spool_max");
	else if (state == AUDIT_STATE_FAILING)
		doctor_say(d, FINDING_FAIL, "audit", "records cannot be "
		    "written", "the log of omni2d says why");
	else if (spool > (uint64_t)d->c->conf.spool_max / 2)
		doctor_say(d, FINDING_WARN, "audit", ctl_text("%llu MB are not "
		    "in the database yet, more than half of audit.spool_max",
		    (unsigned long long)(spool >> 20)), "bring the database "
		    "back");
	else if (atomic_load(&a->damaged) > 0)
		doctor_say(d, FINDING_WARN, "audit", ctl_text("%llu places of "
		    "the journal cannot be read",
		    (unsigned long long)atomic_load(&a->damaged)),
		    "\"omni2ctl audit verify\" says which records are missing");
	else
		doctor_say(d, FINDING_OK, "audit", state == AUDIT_STATE_OK ?
		    ctl_text("records are written; %llu bytes are not in the "
		    "database yet", (unsigned long long)spool) : "starting",
		    NULL);
}

/* ---- descriptors --------------------------------------------------------- */

/* "Max open files  1024  524288  files": the first number. 0: not known. */
static uint64_t
limit_of(int pid)
{
	static const char line[] = "Max open files";
	char text[4096];
	const char *at;
	uint64_t n = 0;

	if (pid == 0 || fdio_read_file(ctl_text("/proc/%d/limits", pid), text,
	    sizeof(text)) < 0 || (at = strstr(text, line)) == NULL)
		return 0;
	at += sizeof(line) - 1;
	at += strspn(at, " ");
	if (strncmp(at, "unlimited", 9) == 0)
		return UINT64_MAX;
	(void)num_u64(span_make(at, strcspn(at, " ")), 0, UINT64_MAX, &n);
	return n;
}

void
doctor_descriptors(struct doctor *d)
{
	uint64_t needed = (uint64_t)d->c->conf.connections_max + DESCRIPTORS;
	uint64_t has = limit_of(d->daemon_pid);
	struct rlimit r;

	if (has == 0 && d->is_running)
		return;
	if (has == 0 && getrlimit(RLIMIT_NOFILE, &r) == 0)
		has = r.rlim_max;	/* omni2d raises its own to that */
	if (has < needed)
		doctor_say(d, FINDING_WARN, "descriptors", ctl_text("%llu may "
		    "be open, server.connections asks for %llu",
		    (unsigned long long)has, (unsigned long long)needed),
		    ctl_text("set LimitNOFILE=%llu in the unit (ulimit -n "
		    "elsewhere)", (unsigned long long)needed));
	else
		doctor_say(d, FINDING_OK, "descriptors", ctl_text("%llu may be "
		    "open%s", (unsigned long long)has, d->is_running ? "" :
		    ", from this shell"), NULL);
}

/* ---- systemd ------------------------------------------------------------- */

/* Value of "NAME=value" in the output of systemctl show. */
static const char *
property(const struct buf *b, const char *name)
{
	size_t n = strlen(name);
	const char *at = b->p, *end = b->p + b->n, *nl;

	for (; b->n > 0 && at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if (nl == NULL)
			break;
		if ((size_t)(nl - at) > n && memcmp(at, name, n) == 0 &&
		    at[n] == '=')
			return ctl_text("%.*s", (int)(nl - at - (long)n - 1),
			    at + n + 1);
	}
	return "";
}

static void
say_unit(struct doctor *d, const struct buf *b)
{
	const char *active = property(b, "ActiveState");
	const char *enabled = property(b, "UnitFileState");

	if (strcmp(property(b, "LoadState"), "not-found") == 0)
		doctor_say(d, FINDING_WARN, "unit", "systemd knows no " UNIT,
		    "install it, and run: systemctl daemon-reload");
	else if (strcmp(active, "failed") == 0)
		doctor_say(d, FINDING_FAIL, "unit", ctl_text(UNIT " has failed "
		    "(%s, exit status %s)", property(b, "Result"),
		    property(b, "ExecMainStatus")), "\"journalctl -u omni2\" "
		    "says why");
	else if (strcmp(active, "active") != 0 &&
	    strcmp(active, "reloading") != 0)
		doctor_say(d, FINDING_WARN, "unit", ctl_text(UNIT " is %s",
		    active), "start it: systemctl start omni2");
	else if (strcmp(property(b, "NeedDaemonReload"), "yes") == 0)
		doctor_say(d, FINDING_WARN, "unit", "the files of " UNIT
		    " have changed", "run: systemctl daemon-reload");
	else if (strcmp(enabled, "enabled") != 0 &&
	    strcmp(enabled, "static") != 0)
		doctor_say(d, FINDING_WARN, "unit", UNIT " does not start at "
		    "boot", "run: systemctl enable omni2");
	else
		doctor_say(d, FINDING_OK, "unit", ctl_text(UNIT " is active; "
		    "%s restarts", property(b, "NRestarts")), NULL);
}

void
doctor_unit_read(struct doctor *d)
{
	struct run r = { .argv = { "systemctl", "show", UNIT,
	    "-pLoadState,ActiveState,UnitFileState,Result,ExecMainStatus,"
	    "NeedDaemonReload,NRestarts,LoadCredential" }, .in = -1,
	    .quiet = true };

	buf_init(&d->unit, 65536);
	if (access("/run/systemd/system", F_OK) == 0 &&
	    run_capture(&r, &d->unit) != 0)
		buf_free(&d->unit);
}

bool
doctor_unit_copies(const struct doctor *d, const char *path)
{
	return d->unit.n > 0 && memmem(d->unit.p, d->unit.n, path,
	    strlen(path)) != NULL;
}

void
doctor_unit(struct doctor *d)
{
	if (d->unit.n > 0)
		say_unit(d, &d->unit);
}
