/*
 * process -- one running stdio server: its pipes, its states, its end.
 *
 * stdiod only. An end always takes the same way: input closed, SIGTERM to the
 * process group, SIGKILL to the group; the object lives until the process is
 * reaped, and what it still wrote is routed first. An unexpected end soon
 * after the start makes the server back off.
 */
#include "stdio/stdiod_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "policy/snapshot.h"

#define READ_SIZE	65536u
#define READS		16		/* a turn, so that others get theirs */
#define BACKLOG_MAX	(8u << 20)	/* unread requests of a server */
#define START_MS	30000		/* servers without a timeout */
#define LONG_LIFE_MS	10000		/* less is a quick death */
#define EXIT_MS		1000		/* from closed output to exit */
#define CLOSE_MS	2000		/* from closed input to SIGTERM */
#define TERM_MS		3000		/* from SIGTERM to SIGKILL */
#define STOP_CLOSE_MS	500		/* the same when omni2d ends */
#define STOP_TERM_MS	1000
#define QUESTIONS_MAX	(8u << 20)	/* bytes of unanswered requests */
#define ERR_BURST	50		/* lines of stderr that are logged */
#define ERR_PER_S	20

/* ---- life ---- */

/* Hiding takes mounts, which a unit has for all servers or not at all. */
static int
check_hidden(const struct stdiod *sd, const struct spec *spec, struct err *e)
{
	static const char why[] = "sandbox.hidden has no effect with "
	    "stdio.launcher; use InaccessiblePaths= of its unit";

	if (sd->settings.launcher[0] == '\0' || spec->hidden[0] == NULL)
		return 0;
	if (spec->sandbox_required)
		return err_set(e, ERR_UPSTREAM, "server \"%s\": %s",
		    spec->name, why);
	log_warn("server \"%s\": %s", spec->name, why);
	return 0;
}

struct process *
process_start(struct stdiod *sd, struct server *srv, struct err *e)
{
	int64_t memory = srv->spec.memory != 0 ? srv->spec.memory :
	    sd->settings.memory;
	int64_t processes = srv->spec.processes != 0 ? srv->spec.processes :
	    sd->settings.processes;
	struct sandbox_spec sandbox = {
		.is_on = srv->spec.sandbox != POL_SANDBOX_OFF,
		.is_required = srv->spec.sandbox_required,
		.has_network = srv->spec.sandbox != POL_SANDBOX_NO_NETWORK,
		.cwd = srv->spec.cwd, .writable = srv->spec.writable,
		.hidden = sd->hidden, .also_hidden = srv->spec.hidden,
		.home = sd->home, .command = srv->spec.command,
		.args = srv->spec.args, .env = srv->spec.env,
		.processes = processes,
	};
	struct child_spec spec = {
		.name = srv->spec.name, .command = srv->spec.command,
		.args = srv->spec.args, .env = srv->spec.env,
		.cwd = srv->spec.cwd, .memory = memory,
		.launcher = sd->settings.launcher,
		.user = &sd->user, .sandbox = &sandbox,
	};
	struct process *p;
	struct child c;

	if (sd->user_error.code != ERR_NONE) {
		*e = sd->user_error;
		return NULL;
	}
	if (check_hidden(sd, &srv->spec, e) < 0 ||
	    child_spawn(&spec, &c, e) < 0)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->server = srv;
	p->server_id = srv->id;
	p->client_session = srv->client_session;
	p->has_caps = srv->caps != NULL && strcmp(srv->caps, "{}") != 0;
	p->health = srv->spec.health;
	p->started = ++srv->started;
	p->name = xstrdup(srv->spec.name);
	p->command = xstrdup(srv->spec.command);
	p->cwd = xstrdup(srv->spec.cwd);
	p->pid = c.pid;
	p->status_fd = c.status;
	p->memory = memory;
	p->processes = processes;
	p->timeout_ms = srv->spec.timeout_ms > 0 ? srv->spec.timeout_ms :
	    START_MS;
	p->started_ms = p->used_ms = p->moved_ms = p->err_ms = sd->now_ms;
	p->deadline_ms = sd->now_ms + p->timeout_ms;
	p->err_tokens = ERR_BURST * 1000;
	TAILQ_INIT(&p->pending);
	buf_init(&p->line, 0);
	questions_init(&p->questions, QUESTIONS_MAX);
	outq_init(&p->outq, STDIO_BODY_MAX + 2 * BACKLOG_MAX);
	source_open(sd, &p->in, SOURCE_IN, c.in, 0, p);
	source_open(sd, &p->out, SOURCE_OUT, c.out, EPOLLIN, p);
	source_open(sd, &p->err, SOURCE_ERR, c.err, EPOLLIN, p);
	source_open(sd, &p->report, SOURCE_REPORT, c.report, EPOLLIN, p);
	TAILQ_INSERT_TAIL(&sd->processes, p, link);
	sd->n_processes++;
	log_info("server \"%s\": started %s as process %d", p->name,
	    p->command, (int)p->pid);
	route_begin(sd, p);
	return p;
}

void
process_free(struct process *p)
{
	free(p->name);
	free(p->command);
	free(p->cwd);
	buf_free(&p->line);
	bulk_drop(&p->bulk);
	buf_free(&p->result);
	questions_free(&p->questions);
	outq_free(&p->outq);
	free(p);
}

void
process_detach(struct process *p)
{
	if (p->server != NULL)
		p->server->process = NULL;
	p->server = NULL;
}

/* An end that nobody asked for. */
static void
account_end(struct stdiod *sd, struct process *p, const char *why)
{
	if (p->is_accounted || p->server == NULL)
		return;
	p->is_accounted = true;
	if (p->is_probing && !p->is_initialized)
		return;			/* what it was asked, not its fault */
	if (p->is_initialized && sd->now_ms - p->started_ms >= LONG_LIFE_MS)
		p->server->backoff_ms = 0;
	else
		server_backoff(sd, p->server, why);
}

void
process_close(struct stdiod *sd, struct process *p, bool is_expected)
{
	if (is_expected) {
		p->is_accounted = true;
		process_detach(p);
	}
	if (p->state >= PROCESS_CLOSING)
		return;
	p->state = PROCESS_CLOSING;
	source_close(sd, &p->in);
	p->deadline_ms = sd->now_ms + (sd->is_stopping ? STOP_CLOSE_MS :
	    is_expected ? CLOSE_MS : EXIT_MS);
}

void
process_kill(struct stdiod *sd, struct process *p)
{
	source_close(sd, &p->in);
	child_signal_group(p->pid, SIGKILL);
	p->state = PROCESS_KILLED;
	p->deadline_ms = 0;
}

void
process_drain(struct stdiod *sd, struct process *p, int64_t deadline_ms)
{
	process_detach(p);
	p->is_accounted = true;
	p->state = PROCESS_DRAINING;
	p->deadline_ms = deadline_ms;
	if (p->n_pending == 0)
		process_close(sd, p, true);
}

void
process_fail_start(struct stdiod *sd, struct process *p, const struct err *e)
{
	struct server *srv = p->server;

	log_warn("%s", e->text);
	account_end(sd, p, e->text);
	process_close(sd, p, true);
	if (srv != NULL)
		server_fail_waiting(sd, srv, e);
}

void
process_timer(struct stdiod *sd, struct process *p)
{
	struct err e;

	switch (p->state) {
	case PROCESS_STARTING:
	case PROCESS_DISCOVERING:
		if (p->is_probing) {	/* it is started again, as legacy */
			process_kill(sd, p);
			break;
		}
		err_set(&e, ERR_TIMEOUT, "server \"%s\" did not answer %s "
		    "within %lld ms", p->name, p->state == PROCESS_STARTING ?
		    "initialize" : "server/discover",
		    (long long)p->timeout_ms);
		process_fail_start(sd, p, &e);
		break;
	case PROCESS_READY:
		break;
	case PROCESS_DRAINING:
		process_close(sd, p, true);
		break;
	case PROCESS_CLOSING:
		child_signal_group(p->pid, SIGTERM);
		p->state = PROCESS_TERMINATING;
		p->deadline_ms = sd->now_ms + (sd->is_stopping ?
		    STOP_TERM_MS : TERM_MS);
		break;
	case PROCESS_TERMINATING:
	case PROCESS_KILLED:
		process_kill(sd, p);
		break;
	}
}

/* ---- its input ---- */

static void
process_flush(struct stdiod *sd, struct process *p)
{
	uint64_t written = p->outq.written;
	int rv;

	if (p->in.fd < 0)
		return;
	rv = outq_flush(&p->outq, p->in.fd);
	if (p->outq.written != written)
		p->moved_ms = sd->now_ms;
	if (rv < 0)
		process_close(sd, p, false);
	else
		source_events(sd, &p->in, rv == 1 ? 0 : EPOLLOUT);
}

int
process_send(struct stdiod *sd, struct process *p, struct span text)
{
	struct span parts[2] = { text, SPAN_LIT("\n") };

	if (p->in.fd < 0)
		return 0;		/* it ends; calls fail when it has */
	if (outq_left(&p->outq) == 0)
		p->moved_ms = sd->now_ms;
	else if (outq_left(&p->outq) + text.n > BACKLOG_MAX)
		return -1;
	if (outq_add(&p->outq, parts, 2) < 0)
		return -1;
	process_flush(sd, p);
	return 0;
}

void
process_call(struct stdiod *sd, struct process *p, struct call *c,
    struct span body)
{
	struct err e;

	if (c->server != NULL)
		TAILQ_REMOVE(&c->server->waiting, c, link);
	c->server = NULL;
	c->process = p;
	c->position = p->outq.queued;
	c->order = ++p->calls;
	TAILQ_INSERT_TAIL(&p->pending, c, link);
	p->n_pending++;
	if (process_send(sd, p, body) < 0) {
		err_set(&e, ERR_UNAVAILABLE, "server \"%s\" does not read its "
		    "input; %zu bytes wait", p->name, outq_left(&p->outq));
		client_error(sd, c, &e, STDIO_FLAG_NOT_EXECUTED);
		return;
	}
	buf_free(&c->body);
	asked_call_began(sd, p);
}

/* ---- its log ---- */

static void
err_line_out(struct stdiod *sd, struct process *p)
{
	int64_t since = sd->now_ms - p->err_ms;

	if (p->err_n == 0)
		return;
	p->err_ms = sd->now_ms;
	p->err_tokens += since * ERR_PER_S;
	if (p->err_tokens > ERR_BURST * 1000)
		p->err_tokens = ERR_BURST * 1000;
	if (p->err_tokens < 1000) {
		p->err_dropped++;
	} else {
		p->err_tokens -= 1000;
		if (p->err_dropped > 0)
			log_info("server \"%s\": (%lu lines left out)",
			    p->name, p->err_dropped);
		p->err_dropped = 0;
		log_info("server \"%s\": %.*s", p->name, (int)p->err_n,
		    p->err_line);
	}
	p->err_n = 0;
}

/* NULs would end the line early in the log. */
static void
err_text(struct stdiod *sd, struct process *p, const char *text, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (text[i] == '\n' || p->err_n == sizeof(p->err_line))
			err_line_out(sd, p);
		if (text[i] != '\n' && text[i] != '\r')
			p->err_line[p->err_n++] = text[i] == '\0' ? '?' :
			    text[i];
	}
}

static void
process_read_err(struct stdiod *sd, struct process *p)
{
	char text[READ_SIZE];
	ssize_t n;

	if (p->err.fd < 0)
		return;
	n = read(p->err.fd, text, sizeof(text));
	if (n > 0)
		err_text(sd, p, text, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		source_close(sd, &p->err);
}

/* ---- events ---- */

static void
process_report(struct stdiod *sd, struct process *p)
{
	struct err e;
	int rv = child_exec_status(p->report.fd, p->name, p->command, p->cwd,
	    &e);

	if (rv == 0)
		return;
	source_close(sd, &p->report);
	if (rv < 0)
		process_fail_start(sd, p, &e);
}

void
process_event(struct stdiod *sd, struct source *s, uint32_t events)
{
	struct process *p = s->owner;

	switch (s->kind) {
	case SOURCE_IN:
		if (events & EPOLLERR)
			process_close(sd, p, false);
		else
			process_flush(sd, p);
		break;
	case SOURCE_OUT:
		output_read(sd, p, READS);
		break;
	case SOURCE_ERR:
		process_read_err(sd, p);
		break;
	case SOURCE_REPORT:
		process_report(sd, p);
		break;
	case SOURCE_SIGNALS:
	case SOURCE_LISTENER:
	case SOURCE_CLIENT:
		break;
	}
}

/* ---- the end ---- */

static void
end_error(struct process *p, int status, bool we_killed, struct err *e)
{
	char text[64];

	child_status_text(status, text, sizeof(text));
	if (p->killed_for[0] != '\0')
		err_set(e, ERR_UPSTREAM, "server \"%s\" was ended: %s",
		    p->name, p->killed_for);
	else if (we_killed && WIFSIGNALED(status))
		err_set(e, ERR_UPSTREAM, "server \"%s\" %s during %s", p->name,
		    p->has_closed_output ? "closed its output" :
		    "was ended", p->is_initialized ? "the call" : "its start");
	else
		err_set(e, ERR_UPSTREAM, "server \"%s\" ended (%s) during %s",
		    p->name, text,
		    p->is_initialized ? "the call" : "its start");
}

/* The process is reaped; status is how it ended. */
static void
process_ended(struct stdiod *sd, struct process *p, int status)
{
	bool we_killed = p->state >= PROCESS_TERMINATING;
	struct server *srv;
	char text[256], why[64];
	struct err e;

	status = child_server_status(p->status_fd, status);
	close(p->status_fd);
	p->state = PROCESS_KILLED;
	source_close(sd, &p->in);
	if (p->report.fd >= 0)
		process_report(sd, p);
	output_read(sd, p, 4096);
	process_read_err(sd, p);
	err_line_out(sd, p);
	child_status_text(status, why, sizeof(why));
	snprintf(text, sizeof(text), "server \"%s\" ended (%s) %lld ms after "
	    "its start", p->name, why,
	    (long long)(sd->now_ms - p->started_ms));
	log_info("%s", text);
	end_error(p, status, we_killed, &e);
	account_end(sd, p, text);
	output_fail_pending(sd, p, &e);
	srv = p->server;
	process_detach(p);
	source_close(sd, &p->out);
	source_close(sd, &p->err);
	source_close(sd, &p->report);
	TAILQ_REMOVE(&sd->processes, p, link);
	TAILQ_INSERT_TAIL(&sd->dead_processes, p, link);
	sd->n_processes--;
	process_kill_adopted(sd, p->pid);
	if (srv != NULL && !p->is_initialized && p->is_probing) {
		srv->is_legacy = true;
		server_start(sd, srv);
	} else if (srv != NULL && !p->is_initialized)
		server_fail_waiting(sd, srv, &e);
	else if (srv != NULL && !TAILQ_EMPTY(&srv->waiting))
		server_start(sd, srv);
}

static struct process *
process_by_pid(struct stdiod *sd, pid_t pid)
{
	struct process *p;

	TAILQ_FOREACH(p, &sd->processes, link)
		if (p->pid == pid)
			return p;
	return NULL;
}

static bool
is_process(void *arg, pid_t pid)
{
	return process_by_pid(arg, pid) != NULL;
}

/* Descendants of servers become our children when their parents end. Those
 * in the session of a server that has ended are killed; those that made a
 * session of their own cannot be told apart, and are killed when no server is
 * left. session 0: all. */
unsigned
process_kill_adopted(struct stdiod *sd, pid_t session)
{
	if (TAILQ_EMPTY(&sd->processes))
		session = 0;
	return child_kill_adopted(session, is_process, sd);
}

void
process_reap(struct stdiod *sd)
{
	struct process *p;
	pid_t pid, session;

	while ((pid = child_next_ended()) > 0) {
		if ((p = process_by_pid(sd, pid)) != NULL) {
			process_ended(sd, p, child_reap(pid));
			continue;
		}
		session = getsid(pid);
		waitpid(pid, NULL, 0);
		if (session > 0 && !is_process(sd, session))
			process_kill_adopted(sd, session);
	}
	server_start_waiting(sd);
}
