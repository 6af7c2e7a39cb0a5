/*
 * server -- servers as configured: which process gets a call, when one is
 * started, how long to wait after quick deaths, who makes place for whom.
 *
 * stdiod only. Entries are made at the first call and go away when the
 * policy no longer has them.
 */
#include "stdio/stdiod_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "shm/gen.h"

#define BACKOFF_FIRST_MS	100
#define BACKOFF_MAX_MS		30000
#define DRAIN_MS		10000

static struct server *
server_lookup(struct stdiod *sd, int64_t id, uint64_t client_session)
{
	struct server *srv;

	TAILQ_FOREACH(srv, &sd->servers, link)
		if (srv->id == id && srv->client_session == client_session)
			return srv;
	return NULL;
}

void
server_free(struct server *srv)
{
	spec_free(&srv->spec);
	free(srv->caps);
	free(srv);
}

void
server_fail_waiting(struct stdiod *sd, struct server *srv,
    const struct err *e)
{
	struct call *c;

	srv->wants_place = false;
	while ((c = TAILQ_FIRST(&srv->waiting)) != NULL)
		client_error(sd, c, e, STDIO_FLAG_NOT_EXECUTED);
}

static void
drain_process(struct stdiod *sd, struct server *srv)
{
	struct process *p = srv->process;

	if (p == NULL)
		return;
	process_detach(p);
	if (p->state < PROCESS_DRAINING)
		process_drain(sd, p, sd->now_ms + DRAIN_MS);
}

static void
server_remove(struct stdiod *sd, struct server *srv)
{
	TAILQ_REMOVE(&sd->servers, srv, link);
	server_free(srv);
}

/* Reads the policy again. -1 with err: there is no such server any more, and
 * the entry is gone. */
static int
server_refresh(struct stdiod *sd, struct server *srv, struct err *e)
{
	struct spec spec;

	srv->policy = shm_generation(sd->shm, SNAP_POLICY);
	if (spec_read(&spec, sd->shm, srv->id, e) < 0) {
		drain_process(sd, srv);
		server_fail_waiting(sd, srv, e);
		server_remove(sd, srv);
		return -1;
	}
	if (srv->spec.name != NULL &&
	    spec.config_hash != srv->spec.config_hash) {
		log_info("server \"%s\": configuration changed", spec.name);
		drain_process(sd, srv);
		srv->backoff_ms = 0;
		srv->not_before_ms = 0;
	}
	spec_free(&srv->spec);
	srv->spec = spec;
	if (srv->process == NULL && !TAILQ_EMPTY(&srv->waiting))
		server_start(sd, srv);
	return 0;
}

/* Those of client sessions are kept only as long as they run, or have to wait
 * for that. */
static bool
is_over(const struct stdiod *sd, const struct server *srv)
{
	return srv->client_session != 0 && srv->process == NULL &&
	    TAILQ_EMPTY(&srv->waiting) && !srv->wants_place &&
	    sd->now_ms >= srv->not_before_ms;
}

void
server_refresh_all(struct stdiod *sd)
{
	uint64_t policy = shm_generation(sd->shm, SNAP_POLICY);
	struct server *srv, *next;
	struct err e;

	for (srv = TAILQ_FIRST(&sd->servers); srv != NULL; srv = next) {
		next = TAILQ_NEXT(srv, link);
		if (is_over(sd, srv))
			server_remove(sd, srv);
		else if (srv->policy != policy)
			server_refresh(sd, srv, &e);
	}
}

static struct server *
server_find(struct stdiod *sd, int64_t id, uint64_t client_session,
    struct err *e)
{
	struct server *srv = server_lookup(sd, id, client_session);

	if (srv == NULL) {
		srv = xcalloc(1, sizeof(*srv));
		srv->id = id;
		srv->client_session = client_session;
		TAILQ_INIT(&srv->waiting);
		TAILQ_INSERT_TAIL(&sd->servers, srv, link);
	} else if (srv->policy == shm_generation(sd->shm, SNAP_POLICY)) {
		return srv;
	}
	return server_refresh(sd, srv, e) < 0 ? NULL : srv;
}

/* What the client of this session can do, for the next start. */
static void
server_set_caps(struct server *srv, struct span caps)
{
	struct json_value v;

	free(srv->caps);
	srv->caps = json_check(caps, &v, NULL) == JSON_OK &&
	    v.type == JSON_OBJECT ? xstrndup(v.raw.p, v.raw.n) : NULL;
}

/* A call for a process of a client session that does not run: only OPEN says
 * what to declare to a new one. */
static bool
is_gone(struct stdiod *sd, const struct call *c)
{
	const struct server *srv;

	if (c->client_session == 0 || c->is_open)
		return false;
	srv = server_lookup(sd, c->server_id, c->client_session);
	return srv == NULL || (srv->process == NULL && !srv->wants_place);
}

static void
submit_to(struct stdiod *sd, struct server *srv, struct call *c,
    struct span body)
{
	if (srv->process != NULL && srv->process->state == PROCESS_READY) {
		if (c->is_open)
			client_opened(sd, c, srv->process);
		else
			process_call(sd, srv->process, c, body);
		return;
	}
	if (c->is_open && c->client_session != 0 && srv->process == NULL)
		server_set_caps(srv, body);
	buf_add_span(&c->body, body);
	c->server = srv;
	TAILQ_INSERT_TAIL(&srv->waiting, c, link);
	if (srv->process == NULL && !srv->wants_place)
		server_start(sd, srv);
}

void
server_submit(struct stdiod *sd, struct call *c, struct span body)
{
	unsigned flags = STDIO_FLAG_NOT_EXECUTED;
	struct server *srv = NULL;
	struct err e;

	if (sd->is_stopping) {
		err_set(&e, ERR_UNAVAILABLE, "omni2 is shutting down");
	} else if (is_gone(sd, c)) {
		err_set(&e, ERR_UPSTREAM, "its process has ended");
		flags |= STDIO_FLAG_GONE;
	} else {
		srv = server_find(sd, c->server_id, c->client_session, &e);
	}
	if (srv == NULL)
		client_error(sd, c, &e, flags);
	else
		submit_to(sd, srv, c, body);
}

/* Notifications are never worth a start. */
void
server_notify(struct stdiod *sd, int64_t id, uint64_t client_session,
    struct span body)
{
	struct server *srv = server_lookup(sd, id, client_session);

	if (srv == NULL || srv->process == NULL ||
	    srv->process->state != PROCESS_READY)
		return;
	questions_note_answer(&srv->process->questions, srv->process, body);
	process_send(sd, srv->process, body);
}

void
server_close(struct stdiod *sd, int64_t id, uint64_t client_session)
{
	struct server *srv = server_lookup(sd, id, client_session);

	if (srv != NULL && client_session != 0)
		drain_process(sd, srv);
}

void
server_cancel(struct stdiod *sd, struct call *c)
{
	struct process *p = c->process;
	uint64_t id = c->id;
	char text[160];
	int n;

	call_end(sd, c);
	if (p == NULL || p->in.fd < 0)
		return;
	n = snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\","
	    "\"method\":\"notifications/cancelled\",\"params\":"
	    "{\"requestId\":%llu,\"reason\":\"cancelled by the client\"}}",
	    (unsigned long long)id);
	process_send(sd, p, span_make(text, (size_t)n));
}

void
server_backoff(struct stdiod *sd, struct server *srv, const char *why)
{
	srv->backoff_ms = srv->backoff_ms == 0 ? BACKOFF_FIRST_MS :
	    srv->backoff_ms * 2;
	if (srv->backoff_ms > BACKOFF_MAX_MS)
		srv->backoff_ms = BACKOFF_MAX_MS;
	srv->not_before_ms = sd->now_ms + srv->backoff_ms;
	span_copy(srv->last_end, sizeof(srv->last_end), span_str(why));
}

/* Ends the process that has been idle for the longest time. */
static bool
evict_one(struct stdiod *sd)
{
	struct process *p, *oldest = NULL;

	TAILQ_FOREACH(p, &sd->processes, link)
		if (p->state == PROCESS_READY && p->n_pending == 0 &&
		    (oldest == NULL || p->used_ms < oldest->used_ms))
			oldest = p;
	if (oldest == NULL)
		return false;
	log_info("server \"%s\": ended to make place for another",
	    oldest->name);
	process_close(sd, oldest, true);
	return true;
}

/* May one more process be started for srv? 1 yes, 0 when another has ended,
 * -1 no. */
static int
find_place(struct stdiod *sd, struct server *srv)
{
	unsigned ending = 0, wanting = 0;
	struct server *other;
	struct process *p;

	if (sd->n_processes < (uint64_t)sd->settings.max_processes)
		return 1;
	TAILQ_FOREACH(p, &sd->processes, link)
		if (p->state >= PROCESS_CLOSING)
			ending++;
	TAILQ_FOREACH(other, &sd->servers, link)
		if (other != srv && other->wants_place)
			wanting++;
	return ending > wanting || evict_one(sd) ? 0 : -1;
}

void
server_start(struct stdiod *sd, struct server *srv)
{
	struct err e;
	int place;

	srv->wants_place = false;
	if (sd->is_stopping) {
		err_set(&e, ERR_UNAVAILABLE, "omni2 is shutting down");
		server_fail_waiting(sd, srv, &e);
		return;
	}
	if (sd->now_ms < srv->not_before_ms) {
		err_set(&e, ERR_UPSTREAM, "%s; next start in %lld ms",
		    srv->last_end,
		    (long long)(srv->not_before_ms - sd->now_ms));
		server_fail_waiting(sd, srv, &e);
		return;
	}
	stdiod_settings_refresh(sd);
	if ((place = find_place(sd, srv)) == 0) {
		srv->wants_place = true;
		return;
	}
	if (place < 0) {
		err_set(&e, ERR_UNAVAILABLE, "server \"%s\": all %lld "
		    "processes of stdio servers are busy", srv->spec.name,
		    (long long)sd->settings.max_processes);
		server_fail_waiting(sd, srv, &e);
		return;
	}
	if ((srv->process = process_start(sd, srv, &e)) == NULL) {
		server_backoff(sd, srv, e.text);
		server_fail_waiting(sd, srv, &e);
	}
}

void
server_start_waiting(struct stdiod *sd)
{
	struct server *srv;

	TAILQ_FOREACH(srv, &sd->servers, link) {
		if (!srv->wants_place)
			continue;
		if (TAILQ_EMPTY(&srv->waiting))
			srv->wants_place = false;
		else
			server_start(sd, srv);
	}
}
