/*
 * c_doctor -- omni2ctl doctor: what is wrong here, and how to mend it.
 *
 * This file: the order of the checks, the database, the upstream servers.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/doctor.h"
#include "ctl/fit.h"
#include "ctl/screen.h"
#include "net/sock.h"
#include "net/url.h"
#include "store/admin.h"

#define CONNECT_MS	3000
#define CLOCK_WARN_US	1000000
#define CLOCK_FAIL_US	30000000

static const char *const names[] = { "ok", "warn", "FAIL" };

void
doctor_say(struct doctor *d, enum finding f, const char *check,
    const char *text, const char *mend)
{
	const char *style = screen_has_colour() ? fit_style(names[f]) : "";

	d->n[f]++;
	table_row(d->findings, names[f], check, text, mend);
	if (d->c->json)
		return;
	printf("%s%-4s%s  %-13s  %s%s%s\n", style, names[f],
	    *style != '\0' ? FIT_PLAIN : "", check, table_clean(text),
	    mend != NULL ? "; " : "", mend != NULL ? table_clean(mend) : "");
	fflush(stdout);
}

/* ---- database ------------------------------------------------------------ */

static void
check_server(struct doctor *d)
{
	struct admin_server s;
	int64_t away;
	struct err e;

	if (admin_server(d->c->db, &s, &e) < 0) {
		doctor_say(d, FINDING_FAIL, "database", e.text, NULL);
		return;
	}
	if (s.version < 130000)
		doctor_say(d, FINDING_FAIL, "database", ctl_text("PostgreSQL "
		    "%s is too old", s.version_text),
		    "upgrade it to 13 or newer");
	else if (s.read_only)
		doctor_say(d, FINDING_FAIL, "database", "it takes no changes "
		    "(a standby?)", "name the primary server in database.url");
	else
		doctor_say(d, FINDING_OK, "database", ctl_text("PostgreSQL %s "
		    "answers in %.1f ms", s.version_text,
		    (double)s.round_trip_us / 1000), NULL);
	away = llabs(s.ahead_us) - s.round_trip_us / 2;
	doctor_say(d, away > CLOCK_FAIL_US ? FINDING_FAIL : away >
	    CLOCK_WARN_US ? FINDING_WARN : FINDING_OK, "clock", ctl_text(
	    "PostgreSQL's differs from this machine's by %.3f s",
	    (double)(away > 0 ? llabs(s.ahead_us) : 0) / 1000000),
	    away > CLOCK_WARN_US ? "keep both on time, with chrony or "
	    "systemd-timesyncd" : NULL);
}

static void
check_migrations(struct doctor *d)
{
	struct migration_status st;
	struct buf out;
	struct err e;

	buf_init(&out, 1u << 20);
	if (store_migrate_status(d->c->db, ctl_sql_dir(), &st, &out, &e) < 0)
		doctor_say(d, FINDING_FAIL, "tables", e.text, NULL);
	else if (st.current > st.available)
		doctor_say(d, FINDING_FAIL, "tables", ctl_text("they are of a "
		    "newer omni2 (version %d, this one knows %d)", st.current,
		    st.available), STORE_NEWER_HINT);
	else if (st.pending > 0)
		doctor_say(d, FINDING_FAIL, "tables", st.current <= 0 ?
		    "there are none" : ctl_text("version %d, and %d is "
		    "needed", st.current, st.available), "run: omni2ctl db migrate");
	else if (st.changed > 0)
		doctor_say(d, FINDING_WARN, "tables", ctl_text("migrations "
		    "that are not the files that were applied: %d",
		    st.changed),
		    "\"omni2ctl db status\" names them");
	else
		doctor_say(d, FINDING_OK, "tables", ctl_text("up to date "
		    "(version %d)", st.current), NULL);
	buf_free(&out);
}

static void
check_database(struct doctor *d)
{
	const char *url = d->c->conf.database_url;
	char *shown;
	struct err e;

	if (url[0] == '\0') {
		doctor_say(d, FINDING_WARN, "database", "none is configured; "
		    "there are no users and no audit trail but the journal",
		    "run: omni2ctl setup");
		return;
	}
	if (d->c->db == NULL)
		d->c->db = ctl_db_open(d->c, url,
		    d->c->conf.database_timeout_ms, &e);
	if (d->c->db == NULL) {
		shown = conninfo_shown(url);
		doctor_say(d, FINDING_FAIL, "database", e.text, ctl_text(
		    "database.url is \"%s\"", shown));
		free(shown);
		return;
	}
	check_server(d);
	check_migrations(d);
}

/* ---- upstream servers ---------------------------------------------------- */

static int
connect_http(const struct model_server *s, struct err *e)
{
	const char *path;
	struct url u;

	if (url_parse(&u, span_str(s->url), e) < 0)
		return -1;
	if (!span_is(u.scheme, "unix"))
		return sock_connect_tcp(u.host, u.port, clock_mono_ms() +
		    CONNECT_MS, e);
	path = ctl_text("%.*s", SPAN_FMT(u.host));
	return sock_connect_unix(path, SOCK_STREAM, e);
}

/* https: or wss:, and then its host as a string. */
static bool
is_tls(const struct model_server *s, const char **host)
{
	struct url u;
	struct err e;

	if (url_parse(&u, span_str(s->url), &e) < 0 || !u.tls)
		return false;
	*host = ctl_text("%.*s", SPAN_FMT(u.host));
	return true;
}

/* As the daemon would find the program of a stdio server. */
static bool
is_there(const struct doctor *d, const struct model_server *s)
{
	const char *path = "/usr/local/bin:/usr/bin:/bin", *at;
	bool found = false;
	size_t i, n;

	ctl_act_as(d->user, true);
	for (i = 0; i < s->env.n; i++)
		if (strncmp(s->env.v[i], "PATH=", 5) == 0)
			path = s->env.v[i] + 5;
	if (strchr(s->command, '/') != NULL)
		found = faccessat(AT_FDCWD, s->command, X_OK, AT_EACCESS) == 0;
	else
		for (at = path; *at != '\0' && !found;
		    at += n + (at[n] == ':')) {
			n = strcspn(at, ":");
			found = faccessat(AT_FDCWD, ctl_text("%.*s/%s", (int)n,
			    at, s->command), X_OK, AT_EACCESS) == 0;
		}
	ctl_act_as(d->user, false);
	return found;
}

static void
check_upstream(struct doctor *d, const struct model_server *s)
{
	const char *check = ctl_text("server %s", s->name), *host;
	struct err e;
	int fd;

	if (s->transport == TRANSPORT_STDIO) {
		if (is_there(d, s))
			doctor_say(d, FINDING_OK, check, ctl_text("its program "
			    "%s is there", s->command), NULL);
		else
			doctor_say(d, FINDING_FAIL, check, ctl_text("its "
			    "program %s cannot be run by omni2d", s->command),
			    "install it, or give its whole path");
		return;
	}
	screen_progress("connecting to %s", s->name);
	fd = connect_http(s, &e);
	screen_progress(NULL);
	if (fd < 0) {
		doctor_say(d, FINDING_FAIL, check, e.text, ctl_text("does it "
		    "run? \"omni2ctl server test %s\" says more", s->name));
		return;
	}
	if (!is_tls(s, &host) || !doctor_certificate(d, check, host, fd))
		doctor_say(d, FINDING_OK, check, ctl_text("%s takes "
		    "connections", s->url), NULL);
	close(fd);
}

static void
check_upstreams(struct doctor *d)
{
	const struct model *m = &d->c->model;
	unsigned enabled = 0;
	size_t i;

	for (i = 0; i < m->n_servers; i++)
		if (m->server[i].enabled) {
			check_upstream(d, &m->server[i]);
			enabled++;
		}
	if (enabled == 0)
		doctor_say(d, FINDING_WARN, "servers", "there are none behind "
		    "omni2", "add one: omni2ctl server add");
}

/* ---- all of it ----------------------------------------------------------- */

static void
print_json(struct doctor *d)
{
	struct json_out j;
	struct buf b;

	buf_init(&b, 1u << 24);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	json_put_int(&j, "ok", d->n[FINDING_OK]);
	json_put_int(&j, "warnings", d->n[FINDING_WARN]);
	json_put_int(&j, "failures", d->n[FINDING_FAIL]);
	table_json(d->findings, &j, "findings");
	json_object_end(&j);
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

int
ctl_doctor(struct ctl *c)
{
	static const char *const columns[] = { "state", "check", "text",
	    "mend", NULL };
	struct doctor d = { .c = c, .findings = table_new(columns) };

	args_done(c, 0, 0);
	doctor_unit_read(&d);
	doctor_configuration(&d);
	if (d.has_conf) {
		doctor_files(&d);
		doctor_own_certificate(&d);
		check_database(&d);
		doctor_daemon(&d);
		doctor_audit(&d);
		doctor_disk(&d);
		doctor_descriptors(&d);
		doctor_sandbox(&d);
	}
	doctor_unit(&d);
	if (d.has_conf)
		check_upstreams(&d);
	if (c->json)
		print_json(&d);
	table_free(&d.findings);
	buf_free(&d.unit);
	return d.n[FINDING_FAIL] > 0 ? EXIT_FAILED : EXIT_OK;
}
