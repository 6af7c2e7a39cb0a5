/*
 * pool -- this process's connections, one entry a server (and one a client
 * where the connection is the session), and the door to the ways of speaking
 * to one.
 *
 * Workers, poller, tools; one pool a process, never shared over a fork. An
 * entry whose server was configured differently meanwhile starts afresh.
 */
#include "upstream/opening_int.h"
#include "upstream/hear.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/model.h"
#include "shm/slot.h"

#define FIRST_PLACES	64	/* power of two */
#define RESUME_MS	1000	/* before a GET, unless the server says */
#define RESUME_MIN_MS	50
#define RESUME_IDLE_MAX	6	/* 50 ms << 6 */

void
upstream_global_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		die_config("libcurl cannot be initialised");
}

struct upstream_pool *
upstream_pool_new(struct shm *shm, const char *stdio_socket)
{
	struct upstream_pool *pool = xcalloc(1, sizeof(*pool));

	pool->shm = shm;
	pool->stdio_socket = stdio_socket == NULL ? NULL :
	    xstrdup(stdio_socket);
	pool->places = FIRST_PLACES;
	pool->place = xcalloc(pool->places, sizeof(pool->place[0]));
	pool->in = xmalloc(UPSTREAM_IN_SIZE);
	buf_init(&pool->out, UPSTREAM_OUT_MAX);
	pool->hangup_fd = -1;
	return pool;
}

void
entry_close(struct upstream_entry *x)
{
	http_conn_close(&x->http);
	if (x->stdio_fd >= 0)
		close(x->stdio_fd);
	x->stdio_fd = -1;
	curl_conn_free(&x->curl);
	if (entry_is_link(x))
		link_is_gone(x);
}

void
link_is_gone(struct upstream_entry *x)
{
	sse_link_free(&x->sse);
	ws_link_free(&x->ws);
	x->session.era = ERA_UNKNOWN;
}

static void
entry_free(struct upstream_entry *x)
{
	entry_close(x);
	buf_free(&x->head);
	free(x->url_text);
	free(x);
}

void
upstream_pool_own_links(struct upstream_pool *pool)
{
	pool->is_owner = true;
}

void
upstream_pool_spool(struct upstream_pool *pool, struct spill_quota *q)
{
	pool->spool = q;
}

void
upstream_pool_free(struct upstream_pool **pp)
{
	struct upstream_pool *pool = *pp;
	size_t i;

	*pp = NULL;
	if (pool == NULL)
		return;
	for (i = 0; i < pool->places; i++) {
		if (pool->place[i] == NULL)
			continue;
		entry_free(pool->place[i]);
	}
	if (pool->hangup_fd >= 0)
		close(pool->hangup_fd);
	buf_free(&pool->out);
	free(pool->place);
	free(pool->in);
	free(pool->stdio_socket);
	free(pool);
}

static struct upstream_entry **
find_place(struct upstream_entry **place, size_t places, int64_t server_id,
    uint64_t client_session)
{
	size_t i = hash_mix((uint64_t)server_id ^ client_session) &
	    (places - 1);

	while (place[i] != NULL && (place[i]->server_id != server_id ||
	    place[i]->client_session != client_session))
		i = (i + 1) & (places - 1);
	return &place[i];
}

/* Puts all entries into a new table. */
static void
rebuild(struct upstream_pool *pool, size_t places)
{
	struct upstream_entry **place = xcalloc(places, sizeof(place[0]));
	struct upstream_entry *x;
	size_t i;

	for (i = 0; i < pool->places; i++)
		if ((x = pool->place[i]) != NULL)
			*find_place(place, places, x->server_id,
			    x->client_session) = x;
	free(pool->place);
	pool->place = place;
	pool->places = places;
}

/* Frees entries of single clients that have been idle for so long. */
static void
drop_links(struct upstream_pool *pool, int64_t used_before_ms)
{
	struct upstream_entry *x;
	size_t i;

	for (i = 0; i < pool->places; i++) {
		x = pool->place[i];
		if (x == NULL || x->client_session == 0 ||
		    x->used_ms > used_before_ms)
			continue;
		entry_free(x);
		pool->place[i] = NULL;
		pool->used--;
		pool->n_links--;
	}
	rebuild(pool, pool->places);	/* there are holes now */
}

static int64_t
oldest_link(const struct upstream_pool *pool)
{
	int64_t oldest = INT64_MAX;
	size_t i;

	for (i = 0; i < pool->places; i++)
		if (pool->place[i] != NULL &&
		    pool->place[i]->client_session != 0 &&
		    pool->place[i]->used_ms < oldest)
			oldest = pool->place[i]->used_ms;
	return oldest;
}

void
upstream_pool_trim(struct upstream_pool *pool, int64_t idle_ms)
{
	int64_t before = clock_mono_ms() - idle_ms;
	size_t i;

	for (i = 0; i < pool->places; i++)
		if (pool->place[i] != NULL && pool->place[i]->used_ms <= before)
			entry_close(pool->place[i]);
	if (pool->n_links > 0)
		drop_links(pool, before);
	reap_some(pool);
}

static enum via
via_of(const struct upstream_target *t)
{
	switch ((enum transport)t->transport) {
	case TRANSPORT_STDIO:
		return VIA_STDIO;
	case TRANSPORT_SSE:
		return VIA_SSE;
	case TRANSPORT_WEBSOCKET:
		return VIA_WEBSOCKET;
	case TRANSPORT_HTTP:
		break;
	}
	return VIA_HTTP;
}

/* Everything of the entry that depends on the configuration. */
static int
configure(struct upstream_entry *x, const struct upstream_target *t,
    struct err *e)
{
	struct err inner;

	entry_close(x);
	buf_reset(&x->head, 0);
	memset(&x->session, 0, sizeof(x->session));
	x->http.peer_len = 0;
	x->is_configured = false;
	x->config_hash = t->config_hash;
	x->via = via_of(t);
	x->via_detected = x->is_direct = false;
	x->has_no_get = false;
	free(x->url_text);
	x->url_text = xstrdup(t->url == NULL ? "" : t->url);
	if (x->via != VIA_STDIO &&
	    url_parse(&x->url, span_str(x->url_text), &inner) < 0)
		return err_set(e, ERR_UPSTREAM, "%s", inner.text);
	x->is_configured = true;
	return 0;
}

static struct upstream_entry *
entry_get(struct upstream_pool *pool, const struct upstream_target *t,
    uint64_t client_session, struct err *e)
{
	struct upstream_entry **p, *x;

	p = find_place(pool->place, pool->places, t->server_id,
	    client_session);
	if ((x = *p) == NULL) {
		x = xcalloc(1, sizeof(*x));
		x->server_id = t->server_id;
		x->client_session = client_session;
		x->http.fd = x->stdio_fd = -1;
		x->used_ms = clock_mono_ms();
		buf_init(&x->head, 65536);
		*p = x;
		pool->n_links += client_session != 0;
		if (++pool->used > pool->places / 2)
			rebuild(pool, pool->places * 2);
	}
	if ((!x->is_configured || x->config_hash != t->config_hash) &&
	    configure(x, t, e) < 0)
		return NULL;
	return x;
}

struct upstream_entry *
pool_entry(struct upstream_pool *pool, const struct upstream_target *t,
    uint64_t client_session, struct err *e)
{
	struct upstream_entry *x = entry_get(pool, t, 0, e), *own;

	if (x == NULL || client_session == 0 || !entry_is_link(x))
		return x;
	/* Not while one may be in use: then there is room for one more. */
	if (pool->call == NULL && pool->n_links >= UPSTREAM_LINKS_MAX &&
	    *find_place(pool->place, pool->places, t->server_id,
	    client_session) == NULL)
		drop_links(pool, oldest_link(pool));
	if ((own = entry_get(pool, t, client_session, e)) == NULL)
		return NULL;
	own->via = !pool->is_owner && pool->stdio_socket != NULL && client_session > UPSTREAM_PLAIN &&
	    !own->is_direct ? VIA_OWNER : x->via;
	own->via_detected = x->via_detected;
	return own;
}

uint64_t
pool_next_id(struct upstream_pool *pool)
{
	if (pool->shm != NULL && pool->shm->slot != UINT32_MAX)
		return slot_next_call(pool->shm);
	return ++pool->last_id;
}

void
upstream_target_copy(struct upstream_target *t, struct arena *mem,
    const struct pol_head *p, uint32_t server, int64_t default_timeout_ms)
{
	const struct pol_server *s = pol_server(p, server);

	t->server_id = s->id;
	t->health = s->health;
	t->transport = s->transport;
	t->config_hash = s->config_hash;
	t->name = arena_strdup(mem, pol_span(p, s->name));
	t->url = arena_strdup(mem, pol_span(p, s->url));
	t->auth_header = arena_strdup(mem, pol_span(p, s->auth_header));
	t->timeout_ms = s->timeout_ms > 0 ? s->timeout_ms : default_timeout_ms;
	t->client_session = 0;
	t->client_caps = 0;
	t->client_caps_json = NULL;
	t->wants_legacy = false;
}

int
pool_check_transport(const struct upstream_entry *x, struct err *e)
{
	struct span scheme = x->url.scheme;

	if (x->via == VIA_STDIO || x->via == VIA_OWNER)
		return 0;
	if (x->via == VIA_WEBSOCKET) {
		if (span_is(scheme, "ws") || span_is(scheme, "wss"))
			return 0;
	} else if (span_is(scheme, "http") || span_is(scheme, "https") ||
	    span_is(scheme, "unix"))
		return 0;
	return err_set(e, ERR_UPSTREAM, "\"%.*s\" is no scheme of %s server",
	    SPAN_FMT(scheme), x->via == VIA_WEBSOCKET ? "a WebSocket" :
	    "an HTTP");
}

static int
post(struct upstream_pool *pool, struct upstream_entry *x,
    const struct upstream_target *t, const struct sess_info *session,
    struct span message, int64_t deadline_ms, struct err *e)
{
	switch (x->via) {
	case VIA_STDIO:
	case VIA_OWNER:
		return stdio_post(pool, x, session->client_session, message,
		    deadline_ms, e);
	case VIA_SSE:
		return sse_post(x, t, session, message, deadline_ms, e);
	case VIA_WEBSOCKET:
		return ws_post(x, message, deadline_ms, e);
	case VIA_HTTP:
		break;
	}
	if (x->url.tls)
		return curl_post(t, session, message, deadline_ms, e);
	return http_post(x, t, session, message, deadline_ms, e);
}

/*
 * Tells a legacy server that nobody waits any more. A modern one sees the
 * connection closing; stdio.c has told stdiod already.
 */
static void
tell_cancelled(struct upstream_pool *pool, struct upstream_entry *x,
    const struct upstream_target *t, struct upstream_call *call,
    const struct err *why)
{
	struct buf b;
	struct err e;

	if (x->via == VIA_STDIO || x->via == VIA_OWNER ||
	    !call->maybe_executed ||
	    call->is_notification || call->is_listen ||
	    span_is(call->method, "initialize") ||
	    (call->session.era != ERA_LEGACY && !entry_is_link(x)))
		return;
	buf_init(&b, 1024);
	message_cancelled(&b, call->id, why->code == ERR_TIMEOUT ?
	    "time-out" : "cancelled by the client");
	/* Best effort: the caller already knows how the call ended. */
	post(pool, x, t, &call->session, buf_span(&b), clock_mono_ms() +
	    UPSTREAM_CANCEL_MS, &e);
	buf_free(&b);
}

static int
exchange_via(struct upstream_pool *pool, struct upstream_entry *x,
    struct sink *sink, struct err *e)
{
	switch (x->via) {
	case VIA_STDIO:
	case VIA_OWNER:
		return stdio_exchange(pool, x, sink, e);
	case VIA_SSE:
		return sse_exchange(pool, x, sink, e);
	case VIA_WEBSOCKET:
		return ws_exchange(pool, x, sink, e);
	case VIA_HTTP:
		break;
	}
	return x->url.tls ? curl_exchange(pool, x, sink, e) :
	    http_exchange(pool, x, sink, e);
}

/*
 * Can the rest of the answer be fetched? MCP 2025-03-26 to 2025-11-25: a
 * server may close the stream of a request after an event with an id, and the
 * client comes back with GET and Last-Event-ID. The request is being served
 * all the while, so it is never sent again.
 */
static bool
may_resume(const struct upstream_entry *x, const struct sink *s)
{
	const struct upstream_call *call = s->call;

	return s->ended_early && !s->stopped && x->via == VIA_HTTP &&
	    !x->has_no_get && !call->is_listen &&
	    call->session.era == ERA_LEGACY && call->event_id[0] != '\0';
}

/* Until the server wants us back: as long as it says, or longer and longer
 * while nothing comes. */
static int
wait_for_resume(struct upstream_call *call, int idle_rounds, struct err *e)
{
	int64_t ms = call->retry_ms >= 0 ? call->retry_ms : RESUME_MS, until;

	if (ms < RESUME_MIN_MS << idle_rounds)
		ms = RESUME_MIN_MS << idle_rounds;
	until = clock_mono_ms() + ms;
	while ((ms = until - clock_mono_ms()) > 0)
		if (wire_nap(call, (int)(ms < 1000 ? ms : 1000), e) < 0)
			return -1;
	return 0;
}

/*
 * GET after GET until the answer is there, the deadline has passed or the
 * server says something else. *e holds why the stream ended; what keeps us
 * from going on replaces it only when it says more.
 */
static int
resume(struct upstream_pool *pool, struct upstream_entry *x, struct sink *s,
    struct err *e)
{
	struct upstream_call *call = s->call;
	char last[sizeof(call->event_id)];
	int idle = 0, rv = -1;

	call->is_resuming = true;
	while (rv < 0 && may_resume(x, s)) {
		memcpy(last, call->event_id, sizeof(last));
		if (wait_for_resume(call, idle, e) < 0)
			break;
		sink_again(s);
		rv = exchange_via(pool, x, s, e);
		if (rv < 0 && call->http_status == 405)
			x->has_no_get = true;
		if (rv < 0 && e->code == ERR_UPSTREAM && !s->stopped &&
		    (call->http_status == 0 || call->http_status >= 500))
			s->ended_early = true;	/* it may come back */
		if (strcmp(last, call->event_id) != 0)
			idle = 0;
		else if (idle < RESUME_IDLE_MAX)
			idle++;
	}
	call->is_resuming = false;
	if (rv < 0) {
		/* whatever the GET met: the request itself was taken */
		call->maybe_executed = true;
		call->session_gone = false;
	}
	return rv;
}

static int
exchange(struct upstream_pool *pool, const struct upstream_target *t,
    struct upstream_call *call, struct err *e)
{
	struct upstream_entry *x;
	struct sink sink;
	int rv;

	call->maybe_executed = call->session_gone = false;
	call->http_status = 0;
	if (wire_check(call, e) < 0 ||
	    message_check_method(call->method, e) < 0 ||
	    (x = pool_entry(pool, t, call->session.client_session, e)) ==
	    NULL || pool_check_transport(x, e) < 0)
		return -1;
	x->used_ms = clock_mono_ms();
	sink_init(&sink, pool, t, call);
	rv = exchange_via(pool, x, &sink, e);
	if (rv < 0 && may_resume(x, &sink))
		rv = resume(pool, x, &sink, e);
	if (rv < 0 && (sink.stopped || e->code == ERR_TIMEOUT ||
	    e->code == ERR_CANCELLED))
		tell_cancelled(pool, x, t, call, e);
	sink_free(&sink);
	return rv;
}

int
upstream_exchange(struct upstream_pool *pool, const struct upstream_target *t,
    struct upstream_call *call, struct err *e)
{
	bool has_slot = pool->shm != NULL && pool->shm->slot != UINT32_MAX;
	int rv;

	if (pool->call != NULL)
		return err_set(e, ERR_INTERNAL, "server \"%s\": a call inside "
		    "of on_message", t->name);
	pool->call = call;
	rv = exchange(pool, t, call, e);
	pool->call = NULL;
	if (has_slot)
		shm_count_in(shm_self(pool->shm), C_UPSTREAM_CALLS, 1);
	if (rv == 0)
		return 0;
	if (has_slot && e->code != ERR_CANCELLED)
		shm_count_in(shm_self(pool->shm), C_UPSTREAM_ERRORS, 1);
	if (call->response != NULL)
		buf_reset(call->response, SIZE_MAX);
	return err_wrap(e, "server \"%s\"", t->name);
}

/* However much a server asks, its call ends in time. */
static int
post_deadline(const struct upstream_pool *pool, int64_t *deadline_ms,
    struct err *e)
{
	const struct upstream_call *call = pool->call;
	int64_t now_ms = clock_mono_ms();

	*deadline_ms = now_ms + UPSTREAM_POST_MS;
	if (call != NULL && !call->is_listen && *deadline_ms >
	    call->deadline_ms)
		*deadline_ms = call->deadline_ms;
	return *deadline_ms > now_ms ? 0 :
	    err_set(e, ERR_TIMEOUT, "no time left");
}

int
upstream_post(struct upstream_pool *pool, const struct upstream_target *t,
    const struct sess_info *session, struct span message, struct err *e)
{
	struct upstream_entry *x;
	int64_t deadline_ms;

	if (post_deadline(pool, &deadline_ms, e) < 0 ||
	    (x = pool_entry(pool, t, session->client_session, e)) == NULL ||
	    pool_check_transport(x, e) < 0 ||
	    post(pool, x, t, session, message, deadline_ms, e) < 0)
		return err_wrap(e, "server \"%s\"", t->name);
	return 0;
}
