/*
 * hearing -- one session at a server, and what is heard on its stream: who is
 * told, and when it is listened to again.
 *
 * Listeners only; each on a fiber if there may be several.
 */
#include "proc/listener_int.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/log.h"
#include "mcp/heard.h"
#include "shm/legacy.h"
#include "shm/slot.h"
#include "upstream/hear.h"

#define EVENT_MAX	(1u << 20)
#define EVENTS_S	500	/* a second */
#define RETRY_MIN_MS	100
#define WAKE_MS		50

static bool
may_send(struct hearing *h)
{
	int64_t now = clock_mono_ms();
	int64_t more = (now - h->tokens_ms) * EVENTS_S / 1000;

	if (more > 0) {
		h->tokens_ms = now;
		h->tokens += more;
		if (h->tokens > EVENTS_S)
			h->tokens = EVENTS_S;
	}
	if (h->tokens <= 0)
		return false;
	h->tokens--;
	return true;
}

static void
updated(struct hearing *h, struct json_value params)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	static const char *const names[] = { "uri" };
	struct json_value v;
	char text[SHM_SUB_TEXT];
	struct span uri;
	long n;

	if (params.type != JSON_OBJECT ||
	    json_object(params.raw, names, &v, 1) != JSON_OK ||
	    (n = json_string_decode(v, text, sizeof(text))) <= 0)
		return;
	uri = span_make(text, (size_t)n);
	if (!shm_subs_wanted(h->shm, h->target->server_id, uri,
	    clock_wall_us() / 1000000))
		return;
	/* what a session of its own hears is for that client only */
	if ((!may_send(h) || lane_send_updated(h->all->back,
	    h->target->server_id, h->session.client_session, uri) < 0) &&
	    log_limit_ok(&ll))
		log_warn("server \"%s\": too many updates of resources; some "
		    "are left out", h->target->name);
}

/* A task changed. */
static void
task_changed(struct hearing *h, struct span message, struct json_value params)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	static const char *const names[] = { "taskId" };
	struct lane_event ev = { .server_id = h->target->server_id,
	    .kind = LANE_TASK };
	struct json_value v;
	char id[SHM_SUB_TEXT];
	long n;

	if (params.type != JSON_OBJECT ||
	    json_object(params.raw, names, &v, 1) != JSON_OK ||
	    (n = json_string_decode(v, id, sizeof(id))) <= 0 ||
	    !shm_subs_others(h->shm, 0, -ev.server_id,
	    shm_sub_hash(span_make(id, (size_t)n)), clock_wall_us() / 1000000))
		return;
	if ((!may_send(h) || lane_send(h->all->back, &ev, message) < 0) &&
	    log_limit_ok(&ll))
		log_warn("server \"%s\": too much news of tasks; some is left "
		    "out", h->target->name);
}

/* ---- what is meant for one client ---- */

static bool
client_listens(const struct hearing *h)
{
	return shm_subs_others(h->shm, 0, 0, h->session.client_session,
	    clock_wall_us() / 1000000);
}

/* On its own stream, if it may still use the server. */
static int
say(struct hearing *h, struct span message)
{
	struct lane_event ev = { .server_id = h->target->server_id,
	    .session = h->session.client_session, .kind = LANE_SAY,
	    .health = h->target->health };

	return lane_send(h->all->back, &ev, message);
}

/* False: nobody can be asked. */
static bool
ask_client(struct hearing *h, struct span message, struct span method,
    struct json_value params, struct span id)
{
	uint64_t session = h->session.client_session;
	struct arena *mem;
	bool asked;

	/* a call under way waits for the answer with more patience */
	if (heard_by_call(h->shm, h->all->run_dir, h->target->name, session,
	    message))
		return true;
	if (!client_listens(h))
		return false;
	mem = arena_new(4096);
	asked = say(h, heard_question(mem, h->target->server_id, session,
	    method, params.raw, id, clock_wall_us() / 1000000 +
	    h->all->input_timeout_s)) == 0;
	arena_free(&mem);
	return asked;
}

static void
tell_client(struct hearing *h, struct span message, struct span method,
    struct json_value params)
{
	uint64_t session = h->session.client_session;

	if (!heard_may_pass(h->shm, session, method, params) || !may_send(h))
		return;
	if (client_listens(h))
		say(h, message);
	else
		heard_by_call(h->shm, h->all->run_dir, h->target->name,
		    session, message);
}

/* ---- what is heard ---- */

/* Of what nobody else answers only ping is answered; on the shared session
 * we declared nothing. */
static void
answer_request(struct hearing *h, struct span method, struct span id)
{
	struct buf b;
	struct err e;

	buf_init(&b, 65536);
	buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s}", SPAN_FMT(id),
	    span_is(method, "ping") ? "\"result\":{}" :
	    "\"error\":{\"code\":-32601,\"message\":\"Method not found\"}");
	if (!b.overflow && upstream_post(h->pool, h->target, &h->session,
	    buf_span(&b), &e) < 0)
		log_debug("%s", e.text);
	buf_free(&b);
}

/* So that it looks at once at what was marked. */
static void
wake_poller(struct hearing *h)
{
	int64_t now = clock_mono_ms();

	if (now - h->woke_ms < WAKE_MS || getppid() != h->all->poller)
		return;
	h->woke_ms = now;
	kill(h->all->poller, SIGUSR1);
}

/* upstream_message_fn; changed lists were noted before it (sink.c). */
int
hearing_hear(void *arg, struct span message, struct err *e)
{
	static const char *const names[] = { "method", "params", "id" };
	struct hearing *h = arg;
	struct json_value v[3];
	struct span method;

	if (json_object(message, names, v, 3) != JSON_OK ||
	    !json_string_plain(v[0], &method))
		return 0;
	if (v[2].type == JSON_NUMBER || v[2].type == JSON_STRING) {
		if (h->session.client_session == 0 ||
		    span_is(method, "ping") || !may_send(h) ||
		    !ask_client(h, message, method, v[1], v[2].raw))
			answer_request(h, method, v[2].raw);
	} else if (span_is(method, "notifications/resources/updated"))
		updated(h, v[1]);
	else if (span_is(method, "notifications/tasks") &&
	    h->session.era == ERA_MODERN)
		task_changed(h, message, v[1]);
	else if (h->session.client_session != 0)
		tell_client(h, message, method, v[1]);
	if (method.n > 13 && span_is(span_skip(method, method.n - 13),
	    "/list_changed"))
		wake_poller(h);
	return 0;
}

void
hearing_call(struct hearing *h, struct upstream_call *c, const char *method,
    int64_t ms)
{
	memset(c, 0, sizeof(*c));
	c->method = span_str(method);
	c->id = slot_next_call(h->shm);
	c->session = h->session;
	c->deadline_ms = clock_mono_ms() + ms;
	c->response_max = EVENT_MAX;
	c->client_fd = -1;
	c->cancel_word = h->stop;
	c->cancel_value = 1;
	c->on_message = hearing_hear;
	c->arg = h;
	c->response = &h->response;
	buf_reset(&h->response, 1 << 16);
}

/* The session may be a new one, or the server another process: it learns
 * again what is watched. */
void
hearing_subscribe(void *arg, const struct shm_sub *s)
{
	struct hearing *h = arg;
	struct upstream_call c;
	struct err e;

	if (s->kind == SUB_STANDALONE || atomic_load(h->stop) != 0)
		return;
	buf_reset(&h->params, 1 << 16);
	buf_add_str(&h->params, "{\"uri\":");
	json_quote(&h->params, span_str(s->text + s->own));
	buf_add_char(&h->params, '}');
	hearing_call(h, &c, "resources/subscribe", h->target->timeout_ms);
	c.params = buf_span(&h->params);
	if (upstream_exchange(h->pool, h->target, &c, &e) < 0)
		log_debug("%s", e.text);
}

/* Whoever opened the session waits no longer. */
void
hearing_is_open(void *arg)
{
	struct hearing *h = arg;

	h->is_open = true;
	if (h->told_fd >= 0)
		close(h->told_fd);
	h->told_fd = -1;
}

/* Before the next try: longer and longer while none is good for anything. */
static void
pause_hearing(struct hearing *h, int64_t *wait_ms, bool was_good,
    int64_t at_least_ms)
{
	int64_t ms, end_ms;

	if (was_good)
		*wait_ms = 0;
	else if (*wait_ms == 0)
		*wait_ms = LISTENER_BACKOFF_MIN_MS;
	else if (*wait_ms < LISTENER_BACKOFF_MAX_MS)
		*wait_ms *= 2;
	ms = *wait_ms > at_least_ms ? *wait_ms : at_least_ms;
	end_ms = clock_mono_ms() + (ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms);
	while (clock_mono_ms() < end_ms && atomic_load(h->stop) == 0)
		fiber_sleep(RETRY_MIN_MS);
}

/* It is modern, and clients have legacy sessions all the same. */
bool
ears_are_dual(const struct ears *all)
{
	const struct upstream_target *t = all->target;

	return all->shared.session.era == ERA_MODERN &&
	    t->health < SHM_SERVERS_MAX &&
	    legacy_known(shm_health(all->shm, t->health), t->config_hash,
	    clock_mono_ms(), NULL) == LEGACY_YES;
}

/* What it said while nobody listened is lost. */
static void
mark_dirty(const struct hearing *h)
{
	if (h->target->health < SHM_SERVERS_MAX)
		atomic_store(&shm_health(h->shm, h->target->health)->dirty, 1);
}

/*
 * The GET stream, again and again: servers close it when they like and want
 * us back after a while, with the id of the last event if there was one.
 */
int
hearing_stream(struct hearing *h, struct upstream_call *c, struct err *e)
{
	int64_t began, wait_ms = 0;
	char last[sizeof(c->event_id)];
	int rv;

	hearing_call(h, c, "listen", HEARING_STREAM_MS);
	c->is_listen = true;
	c->on_stream = hearing_is_open;
	for (;;) {
		if (h->session.client_session == 0 && c->event_id[0] == '\0')
			shm_subs_each(h->shm, 0, h->target->server_id,
			    clock_wall_us() / 1000000, hearing_subscribe, h);
		memcpy(last, c->event_id, sizeof(last));
		began = clock_mono_ms();
		c->deadline_ms = began + HEARING_STREAM_MS;
		rv = upstream_exchange(h->pool, h->target, c, e);
		if (atomic_load(h->stop) != 0)
			return ENDED;
		/* MCP: 405 says that there is no such stream; some say it
		 * otherwise */
		if (rv < 0 && (c->http_status == 405 || c->http_status == 501 ||
		    c->http_status == 400 || (c->http_status == 404 &&
		    !c->session_gone)))
			return REFUSED;
		if (c->session_gone)
			return FAILED;
		if (c->event_id[0] == '\0' && c->http_status == 200)
			mark_dirty(h);
		pause_hearing(h, &wait_ms, clock_mono_ms() - began >= LISTENER_LONG_MS ||
		    strcmp(last, c->event_id) != 0, c->retry_ms);
	}
}

int
hearing_legacy(struct hearing *h, struct err *e)
{
	struct upstream_call c;
	int rv;

	rv = hearing_stream(h, &c, e);
	if (rv == FAILED && c.session_gone && upstream_open(h->pool, h->target,
	    h->session.opened, false, clock_mono_ms() + h->target->timeout_ms,
	    &h->session, NULL, e) == 0)
		return ENDED;
	return rv;
}

static void
add_uri(void *arg, const struct shm_sub *s)
{
	struct buf *b = arg;

	if (s->kind == SUB_STANDALONE)
		return;
	buf_add_str(b, b->p[b->n - 1] == '[' ? "" : ",");
	json_quote(b, span_str(s->text + s->own));
}

static void
add_task(void *arg, const struct shm_sub *s)
{
	struct buf *b = arg;

	if (s->kind != SUB_STREAM_TASK)
		return;
	buf_add_str(b, b->p[b->n - 1] == '[' ? "" : ",");
	json_quote(b, span_str(s->text + s->own));
}

static int
hear_modern(struct hearing *h, struct err *e)
{
	static const char *const names[] = { "error" };
	static const char *const enames[] = { "code" };
	struct buf *b = &h->params;
	struct upstream_call c;
	struct json_value v;
	int64_t code = 0;

	buf_reset(b, 1 << 16);
	buf_add_str(b, "{\"_meta\":{");
	upstream_modern_meta(b, h->session.version, SPAN_LIT("{\"extensions\":"
	    "{\"io.modelcontextprotocol/tasks\":{}}}"));
	buf_add_str(b, "},\"notifications\":{\"toolsListChanged\":true,"
	    "\"promptsListChanged\":true,\"resourcesListChanged\":true,"
	    "\"resourceSubscriptions\":[");
	shm_subs_each(h->shm, 0, h->target->server_id,
	    clock_wall_us() / 1000000, add_uri, b);
	buf_add_str(b, "],\"taskIds\":[");
	shm_subs_each(h->shm, 0, -h->target->server_id,
	    clock_wall_us() / 1000000, add_task, b);
	buf_add_str(b, "]}}");
	if (b->overflow)
		return FAILED;
	hearing_call(h, &c, "subscriptions/listen", HEARING_STREAM_MS);
	c.params = buf_span(b);
	if (upstream_exchange(h->pool, h->target, &c, e) < 0)
		return c.http_status == 404 || c.http_status == 405 ?
		    REFUSED : FAILED;
	if (json_object(buf_span(&h->response), names, &v, 1) == JSON_OK &&
	    v.type == JSON_OBJECT &&
	    json_object(v.raw, enames, &v, 1) == JSON_OK && json_int(v, &code))
		return code == -32601 ? REFUSED : FAILED;
	return ENDED;
}

/* The same again whenever something else is watched. Where others go on when
 * this one ends, it comes back by itself. */
int
hearing_news(struct hearing *h, struct err *e)
{
	int64_t began, wait_ms = 0;
	bool was_good;
	int rv;

	for (;;) {
		atomic_store(h->all->again, 0);
		if (atomic_load(h->all->stop) != 0)
			return ENDED;
		began = clock_mono_ms();
		rv = h->session.era == ERA_MODERN ? hear_modern(h, e) :
		    hearing_legacy(h, e);
		if (atomic_load(h->all->again) != 0)
			continue;
		if (rv == REFUSED || (!ears_are_dual(h->all) && !h->all->has_links))
			return rv;
		was_good = clock_mono_ms() - began >= LISTENER_LONG_MS;
		if (was_good)
			mark_dirty(h);
		pause_hearing(h, &wait_ms, was_good, 0);
	}
}

void
hearing_init(struct hearing *h, struct ears *all, _Atomic uint64_t *stop_at)
{
	memset(h, 0, sizeof(*h));
	h->shm = all->shm;
	h->target = all->target;
	h->all = all;
	h->stop = stop_at;
	h->told_fd = -1;
	h->tokens_ms = clock_mono_ms();
	h->tokens = EVENTS_S;
	buf_init(&h->params, 8u << 20);
	buf_init(&h->response, EVENT_MAX);
	h->pool = upstream_pool_new(all->shm, all->stdio_socket);
	upstream_pool_own_links(h->pool);
	upstream_pool_spool(h->pool, &all->spool);
	h->state = EAR_HEARS;
}

void
hearing_free(struct hearing *h)
{
	upstream_pool_free(&h->pool);
	buf_free(&h->params);
	buf_free(&h->response);
}
