/*
 * pool -- this process's connections, one entry a server, and the door to
 * the three ways of speaking to one.
 *
 * Workers, poller, tools; one pool a process, never shared over a fork. An
 * entry whose server was configured differently meanwhile starts afresh.
 */
#include "upstream/upstream_int.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/model.h"
#include "shm/slot.h"

#define FIRST_PLACES	64	/* power of two */

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
		entry_close(pool->place[i]);
		buf_free(&pool->place[i]->head);
		free(pool->place[i]->url_text);
		free(pool->place[i]);
	}
	if (pool->hangup_fd >= 0)
		close(pool->hangup_fd);
	buf_free(&pool->out);
	free(pool->place);
	free(pool->in);
	free(pool->stdio_socket);
	free(pool);
}

void
upstream_pool_trim(struct upstream_pool *pool, int64_t idle_ms)
{
	int64_t now = clock_mono_ms();
	size_t i;

	for (i = 0; i < pool->places; i++)
		if (pool->place[i] != NULL &&
		    now - pool->place[i]->used_ms >= idle_ms)
			entry_close(pool->place[i]);
}

static struct upstream_entry **
find_place(struct upstream_entry **place, size_t places, int64_t server_id)
{
	size_t i = hash_mix((uint64_t)server_id) & (places - 1);

	while (place[i] != NULL && place[i]->server_id != server_id)
		i = (i + 1) & (places - 1);
	return &place[i];
}

/* At most half full, so that looking for a stranger ends soon. */
static void
grow(struct upstream_pool *pool)
{
	size_t i, places = pool->places * 2;
	struct upstream_entry **place = xcalloc(places, sizeof(place[0]));

	for (i = 0; i < pool->places; i++)
		if (pool->place[i] != NULL)
			*find_place(place, places,
			    pool->place[i]->server_id) = pool->place[i];
	free(pool->place);
	pool->place = place;
	pool->places = places;
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
	x->config_hash = t->config_hash;
	x->is_stdio = t->transport == TRANSPORT_STDIO;
	free(x->url_text);
	x->url_text = NULL;
	if (x->is_stdio)
		return 0;
	x->url_text = xstrdup(t->url == NULL ? "" : t->url);
	if (url_parse(&x->url, span_str(x->url_text), &inner) == 0)
		return 0;
	free(x->url_text);
	x->url_text = NULL;
	return err_set(e, ERR_UPSTREAM, "%s", inner.text);
}

struct upstream_entry *
pool_entry(struct upstream_pool *pool, const struct upstream_target *t,
    struct err *e)
{
	struct upstream_entry **p, *x;

	p = find_place(pool->place, pool->places, t->server_id);
	if ((x = *p) == NULL) {
		x = xcalloc(1, sizeof(*x));
		x->server_id = t->server_id;
		x->http.fd = x->stdio_fd = -1;
		buf_init(&x->head, 65536);
		*p = x;
		if (++pool->used > pool->places / 2)
			grow(pool);
	}
	if ((x->url_text == NULL && !x->is_stdio) ||
	    x->config_hash != t->config_hash)
		if (configure(x, t, e) < 0)
			return NULL;
	return x;
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
}

int
pool_check_transport(const struct upstream_target *t,
    const struct upstream_entry *x, struct err *e)
{
	if (t->transport == TRANSPORT_SSE)
		return err_set(e, ERR_UPSTREAM,
		    "transport \"sse\" is not supported by this version");
	if (t->transport == TRANSPORT_WEBSOCKET)
		return err_set(e, ERR_UPSTREAM, "transport \"websocket\" is "
		    "not supported by this version");
	if (x->is_stdio || span_is(x->url.scheme, "http") ||
	    span_is(x->url.scheme, "https") || span_is(x->url.scheme, "unix"))
		return 0;
	return err_set(e, ERR_UPSTREAM, "\"%.*s\" is no scheme of an HTTP "
	    "server", SPAN_FMT(x->url.scheme));
}

/*
 * Tells a legacy HTTP server that nobody waits any more. A modern one sees
 * the connection closing; stdio.c has told stdiod already.
 */
static void
tell_cancelled(struct upstream_entry *x, const struct upstream_target *t,
    const struct upstream_call *call, const struct err *why)
{
	struct buf b;
	struct err e;

	if (x->is_stdio || !call->maybe_executed || call->is_notification ||
	    call->session.era != ERA_LEGACY ||
	    span_is(call->method, "initialize"))
		return;
	buf_init(&b, 1024);
	message_cancelled(&b, call->id, why->code == ERR_TIMEOUT ?
	    "time-out" : "cancelled by the client");
	/* Best effort: the caller already knows how the call ended. */
	if (x->url.tls)
		curl_post(t, &call->session, buf_span(&b), &e);
	else
		http_post(x, t, &call->session, buf_span(&b), &e);
	buf_free(&b);
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
	    (x = pool_entry(pool, t, e)) == NULL ||
	    pool_check_transport(t, x, e) < 0)
		return -1;
	x->used_ms = clock_mono_ms();
	sink_init(&sink, pool, t, call);
	if (x->is_stdio)
		rv = stdio_exchange(pool, x, &sink, e);
	else if (x->url.tls)
		rv = curl_exchange(pool, x, &sink, e);
	else
		rv = http_exchange(pool, x, &sink, e);
	if (rv < 0 && (sink.stopped || e->code == ERR_TIMEOUT ||
	    e->code == ERR_CANCELLED))
		tell_cancelled(x, t, call, e);
	sink_free(&sink);
	return rv;
}

int
upstream_exchange(struct upstream_pool *pool, const struct upstream_target *t,
    struct upstream_call *call, struct err *e)
{
	bool has_slot = pool->shm != NULL && pool->shm->slot != UINT32_MAX;
	int rv;

	if (pool->busy)
		return err_set(e, ERR_INTERNAL, "server \"%s\": a call inside "
		    "of on_message", t->name);
	pool->busy = true;
	rv = exchange(pool, t, call, e);
	pool->busy = false;
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

int
upstream_post(struct upstream_pool *pool, const struct upstream_target *t,
    const struct sess_info *session, struct span message, struct err *e)
{
	struct upstream_entry *x;
	int rv;

	if ((x = pool_entry(pool, t, e)) == NULL ||
	    pool_check_transport(t, x, e) < 0)
		rv = -1;
	else if (x->is_stdio)
		rv = stdio_post(pool, t, message, e);
	else if (x->url.tls)
		rv = curl_post(t, session, message, e);
	else
		rv = http_post(x, t, session, message, e);
	return rv == 0 ? 0 : err_wrap(e, "server \"%s\"", t->name);
}
