/*
 * listener -- see listener.h.
 */
#include "proc/listener.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fiber.h"
#include "base/hash.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/log.h"
#include "conf/model.h"
#include "mcp/heard.h"
#include "mcp/state.h"
#include "proc/links.h"
#include "shm/client.h"
#include "shm/legacy.h"
#include "shm/slot.h"
#include "upstream/hear.h"

#define STREAM_MS	3600000	/* then it is opened anew */
#define EVENT_MAX	(1u << 20)
#define BACKOFF_MIN_MS	1000
#define BACKOFF_MAX_MS	60000
#define LONG_MS		10000	/* a stream that lived was a good one */
#define END_MS		5000	/* from SIGTERM to SIGKILL */
#define EVENTS_S	500	/* a second */
#define RETRY_MIN_MS	100
#define EARS_MAX	256	/* sessions of single clients that are heard */
#define WAKE_MS		50
#define LOOK_MS		2000	/* for those that have come or gone */
#define LINK_IDLE_MS	1800000	/* of the link of one client */
#define LINK_NAP_MS	5
#define CAPS_MAX	512

enum { ENDED, FAILED, REFUSED };	/* exit status */

/* ---- the child ------------------------------------------------------------------ */

/* One session and its stream; on a fiber if there may be several. */
struct hearing {
	struct shm	*shm;
	struct upstream_pool *pool;
	const struct upstream_target *target;
	struct sess_info session;	/* .client_session: whose; 0: shared */
	struct ears	*all;
	int64_t		 tokens_ms, tokens, woke_ms;
	struct buf	 params, response;
	_Atomic uint64_t *stop;
	/* of an ear */
	_Atomic uint64_t own_stop;
	enum { EAR_FREE, EAR_IS_WANTED, EAR_HEARS, EAR_IS_DEAF } state;
	int		 told_fd;	/* waits for the stream; -1: nobody does */
	bool		 is_open, seen;
	/* of an ear that is the client's link, over which it calls */
	bool		 is_link;
	struct upstream_target own;
	char		 caps_json[CAPS_MAX];
	unsigned	 users;		/* fibers that need it to stay */
	int64_t		 used_ms;
	struct err	 why;		/* it ended */
};

/* All that a process hears. */
struct ears {
	struct shm	*shm;
	const struct upstream_target *target;
	const char	*stdio_socket;
	int		 back;
	pid_t		 poller;
	char		 run_dir[CONF_TEXT], state_dir[CONF_TEXT];
	int64_t		 input_timeout_s;
	struct hearing	 shared;
	bool		 shared_ended;
	int		 status;	/* of the shared one, then */
	bool		 has_links;	/* HTTP+SSE */
	bool		 is_wanted;	/* an ear is EAR_IS_WANTED */
	size_t		 result_max, streamed_max;
	struct spill_quota spool;	/* of large answers on links */
	struct links	 links;
	struct hearing	 ear[EARS_MAX];
};

static _Atomic uint64_t stop;
static _Atomic uint64_t again;	/* a modern one: ask for what is watched now */

static void
on_term(int sig)
{
	atomic_store(&stop, 1);
	atomic_store(&again, 1);
}

static void
on_again(int sig)
{
	atomic_store(&again, 1);
}

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
	if ((!may_send(h) || lane_send_event(h->all->back,
	    h->target->server_id, h->session.client_session, true, uri) < 0) &&
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
	asked = lane_send_event(h->all->back, h->target->server_id, session,
	    false, heard_question(mem, h->target->server_id, session, method,
	    params.raw, id, clock_wall_us() / 1000000 +
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
		lane_send_event(h->all->back, h->target->server_id, session,
		    false, message);
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
static int
hear(void *arg, struct span message, struct err *e)
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

static void
call_init(struct hearing *h, struct upstream_call *c, const char *method,
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
	c->on_message = hear;
	c->arg = h;
	c->response = &h->response;
	buf_reset(&h->response, 1 << 16);
}

/* The session may be a new one, or the server another process: it learns
 * again what is watched. */
static void
subscribe(void *arg, const struct shm_sub *s)
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
	call_init(h, &c, "resources/subscribe", h->target->timeout_ms);
	c.params = buf_span(&h->params);
	if (upstream_exchange(h->pool, h->target, &c, &e) < 0)
		log_debug("%s", e.text);
}

/* Whoever opened the session waits no longer. */
static void
stream_is_open(void *arg)
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
		*wait_ms = BACKOFF_MIN_MS;
	else if (*wait_ms < BACKOFF_MAX_MS)
		*wait_ms *= 2;
	ms = *wait_ms > at_least_ms ? *wait_ms : at_least_ms;
	end_ms = clock_mono_ms() + (ms < RETRY_MIN_MS ? RETRY_MIN_MS : ms);
	while (clock_mono_ms() < end_ms && atomic_load(h->stop) == 0)
		fiber_sleep(RETRY_MIN_MS);
}

/* It is modern, and clients have legacy sessions all the same. */
static bool
is_dual(const struct ears *all)
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
static int
hear_stream(struct hearing *h, struct upstream_call *c, struct err *e)
{
	int64_t began, wait_ms = 0;
	char last[sizeof(c->event_id)];
	int rv;

	call_init(h, c, "listen", STREAM_MS);
	c->is_listen = true;
	c->on_stream = stream_is_open;
	for (;;) {
		if (h->session.client_session == 0 && c->event_id[0] == '\0')
			shm_subs_each(h->shm, 0, h->target->server_id,
			    clock_wall_us() / 1000000, subscribe, h);
		memcpy(last, c->event_id, sizeof(last));
		began = clock_mono_ms();
		c->deadline_ms = began + STREAM_MS;
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
		pause_hearing(h, &wait_ms, clock_mono_ms() - began >= LONG_MS ||
		    strcmp(last, c->event_id) != 0, c->retry_ms);
	}
}

static int
hear_legacy(struct hearing *h, struct err *e)
{
	struct upstream_call c;
	int rv;

	rv = hear_stream(h, &c, e);
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
	call_init(h, &c, "subscriptions/listen", STREAM_MS);
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
static int
hear_news(struct hearing *h, struct err *e)
{
	int64_t began, wait_ms = 0;
	bool was_good;
	int rv;

	for (;;) {
		atomic_store(&again, 0);
		if (atomic_load(&stop) != 0)
			return ENDED;
		began = clock_mono_ms();
		rv = h->session.era == ERA_MODERN ? hear_modern(h, e) :
		    hear_legacy(h, e);
		if (atomic_load(&again) != 0)
			continue;
		if (rv == REFUSED || (!is_dual(h->all) && !h->all->has_links))
			return rv;
		was_good = clock_mono_ms() - began >= LONG_MS;
		if (was_good)
			mark_dirty(h);
		pause_hearing(h, &wait_ms, was_good, 0);
	}
}

/* ---- one stream, or many ---- */

static void
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

/* The fiber of an ear. A session that has no stream, or is no more, is not
 * tried again: when it proves gone the client gets another one. */
static void
ear_main(void *arg)
{
	struct hearing *h = arg;
	struct upstream_call c;
	struct err e = { .code = ERR_NONE };

	if (hear_stream(h, &c, &e) == FAILED)
		log_debug("listening: %s", e.text);
	h->state = EAR_IS_DEAF;
	stream_is_open(h);		/* or never will be */
	upstream_pool_free(&h->pool);
	buf_free(&h->params);
	buf_free(&h->response);
}

static void
shared_main(void *arg)
{
	struct ears *all = arg;
	struct err e = { .code = ERR_NONE };

	all->status = all->shared.stop == &again ?
	    hear_news(&all->shared, &e) : hear_legacy(&all->shared, &e);
	if (all->status == FAILED && atomic_load(&stop) == 0)
		log_debug("listening: %s", e.text);
	all->shared_ended = true;
}

static struct hearing *
find_ear(struct ears *all, uint64_t client_session, uint64_t opened)
{
	int i;

	for (i = 0; i < EARS_MAX; i++)
		if (all->ear[i].state != EAR_FREE &&
		    all->ear[i].session.client_session == client_session &&
		    all->ear[i].session.opened == opened)
			return &all->ear[i];
	return NULL;
}

/* shm_sess_client_each(): one more ear, unless there is one. */
static void
hear_session(void *arg, const struct sess_info *s)
{
	struct ears *all = arg;
	struct hearing *h;
	int i;

	if (s->era != ERA_LEGACY || s->id[0] == '\0' ||
	    (s->flags & SESS_SSE) != 0 || s->client_session <= UPSTREAM_PLAIN ||
	    shm_client_is_ended(all->shm, s->client_session))
		return;
	if ((h = find_ear(all, s->client_session, s->opened)) != NULL) {
		h->seen = true;
		return;
	}
	for (i = 0; i < EARS_MAX && all->ear[i].state != EAR_FREE;)
		i++;
	if (i == EARS_MAX)
		return;			/* it goes without */
	h = &all->ear[i];
	hearing_init(h, all, &h->own_stop);
	h->session = *s;
	h->seen = true;
	if (!fiber_start(ear_main, h)) {
		upstream_pool_free(&h->pool);
		h->state = EAR_FREE;
	}
}

/* ---- links ---- */

static bool
link_is_used(struct ears *all, struct hearing *h)
{
	if (links_in_use(&all->links, h))
		h->used_ms = clock_mono_ms();
	return !shm_client_is_ended(all->shm, h->own.client_session) &&
	    clock_mono_ms() - h->used_ms < LINK_IDLE_MS;
}

/* upstream_message_fn: answers go to their calls, and so does what is said
 * while there are any. */
static int
hear_link(void *arg, struct span message, struct err *e)
{
	static const char *const names[] = { "method", "params", "id" };
	static const char *const pnames[] = { "progressToken" };
	struct hearing *h = arg;
	struct links *l = &h->all->links;
	struct json_value v[3], token;
	struct span method = { NULL, 0 };
	int64_t id = 0;

	if (json_object(message, names, v, 3) != JSON_OK)
		return 0;
	if (v[0].type == JSON_NONE) {
		if (json_int(v[2], &id) && id > 0)
			links_response(l, h, (uint64_t)id, message);
		return 0;
	}
	json_string_plain(v[0], &method);
	if (span_is(method, "notifications/progress")) {
		if (v[1].type == JSON_OBJECT &&
		    json_object(v[1].raw, pnames, &token, 1) == JSON_OK &&
		    json_int(token, &id) && id > 0)
			links_message(l, h, (uint64_t)id, message);
		return 0;
	}
	if (span_is(method, "notifications/cancelled"))
		links_withdrawn(l, h, message);
	if (span_is(method, "ping") ||
	    span_is(method, "notifications/resources/updated") ||
	    (method.n > 13 && span_is(span_skip(method, method.n - 13),
	    "/list_changed")))
		return hear(arg, message, e);
	if (v[2].type == JSON_NUMBER || v[2].type == JSON_STRING ?
	    links_question(l, h, message, v[2].raw) :
	    links_message(l, h, 0, message))
		return 0;
	return hear(arg, message, e);
}

/* upstream_large_fn: only answers become large. */
static int
hear_large(void *arg, struct bulk *b, struct err *e)
{
	static const char *const names[] = { "id" };
	struct hearing *h = arg;
	struct json_value v;
	int64_t id = 0;

	if (b->is_bad || json_check(buf_span(&b->envelope), &v, NULL) !=
	    JSON_OK)
		id = b->head.has_id ? (int64_t)b->head.id : 0;
	else if (json_object(v.raw, names, &v, 1) != JSON_OK ||
	    !json_int(v, &id))
		return 0;
	if (id > 0)
		links_large(&h->all->links, h, (uint64_t)id, b);
	return 0;
}

static int
hold_link(struct hearing *h, struct err *e)
{
	struct upstream_call c;
	int rv;

	if (upstream_open(h->pool, h->target, 0, false, clock_mono_ms() +
	    h->target->timeout_ms, &h->session, NULL, e) < 0)
		return -1;
	shm_subs_each(h->shm, h->own.client_session, h->target->server_id,
	    clock_wall_us() / 1000000, subscribe, h);
	call_init(h, &c, "listen", STREAM_MS);
	c.is_listen = true;
	c.on_message = hear_link;
	c.response_max = h->all->result_max;
	c.on_large = hear_large;
	c.result_max = h->all->streamed_max;
	h->is_open = true;
	do {
		c.deadline_ms = clock_mono_ms() + STREAM_MS;
		rv = upstream_exchange(h->pool, h->target, &c, e);
	} while (rv < 0 && e->code == ERR_TIMEOUT);
	return rv < 0 ? -1 : err_set(e, ERR_UPSTREAM, "the link has ended");
}

static void
link_main(void *arg)
{
	struct hearing *h = arg;
	struct err e;

	if (hold_link(h, &e) < 0)
		log_debug("%s", e.text);
	h->is_open = false;
	h->why = e;
	h->state = EAR_IS_DEAF;
	links_ended(&h->all->links, h, &e);
	while (h->users > 0)
		fiber_sleep(LINK_NAP_MS);
	upstream_pool_free(&h->pool);
	buf_free(&h->params);
	buf_free(&h->response);
	h->is_link = false;		/* its place is free */
	h->state = EAR_FREE;
}

static struct hearing *
find_link(struct ears *all, uint64_t client)
{
	struct hearing *h;
	int i;

	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->is_link && h->own.client_session == client &&
		    (h->state == EAR_IS_WANTED || h->state == EAR_HEARS))
			return h;
	}
	return NULL;
}

/* The main loop starts its fiber. */
static struct hearing *
want_link(struct ears *all, uint64_t client, struct span caps)
{
	struct hearing *h;
	int i;

	for (i = 0; i < EARS_MAX && all->ear[i].state != EAR_FREE;)
		i++;
	if (i == EARS_MAX || caps.n >= CAPS_MAX)
		return NULL;
	h = &all->ear[i];
	hearing_init(h, all, &h->own_stop);
	h->is_link = true;
	h->own = *all->target;
	h->own.client_session = client;
	h->own.client_caps = UINT32_MAX;	/* as the JSON says */
	span_copy(h->caps_json, sizeof(h->caps_json), caps.n == 0 ?
	    SPAN_LIT("{}") : caps);
	h->own.client_caps_json = h->caps_json;
	h->target = &h->own;
	h->used_ms = clock_mono_ms();
	h->state = EAR_IS_WANTED;
	all->is_wanted = true;
	return h;
}

static void *
link_open(void *arg, uint64_t client, struct span caps, struct sess_info *s,
    struct err *e)
{
	struct ears *all = arg;
	struct hearing *h = find_link(all, client);
	bool is_open;

	if (h == NULL && (h = want_link(all, client, caps)) == NULL) {
		err_set(e, ERR_UNAVAILABLE, "server \"%s\": too many clients "
		    "have links of their own", all->target->name);
		return NULL;
	}
	h->users++;
	h->used_ms = clock_mono_ms();
	while (!h->is_open && h->state != EAR_IS_DEAF)
		fiber_sleep(LINK_NAP_MS);	/* ends with its own deadline */
	is_open = h->is_open;
	*s = h->session;
	if (!is_open)
		*e = h->why;
	h->users--;
	return is_open ? h : NULL;
}

static void *
link_find(void *arg, uint64_t client)
{
	struct hearing *h = find_link(arg, client);

	return h != NULL && h->is_open ? h : NULL;
}

static int
link_post(void *arg, void *link, struct span message, struct err *e)
{
	struct hearing *h = link;
	int rv;

	if (!h->is_open)
		return err_set(e, ERR_UPSTREAM, "the link is gone");
	h->users++;
	h->used_ms = clock_mono_ms();
	rv = upstream_post(h->pool, h->target, &h->session, message, e);
	h->users--;
	return rv;
}

static const struct links_ops link_ops = { link_open, link_find, link_post };

static void
start_links(struct ears *all)
{
	struct hearing *h;
	int i;

	all->is_wanted = false;
	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->state != EAR_IS_WANTED)
			continue;
		h->state = EAR_HEARS;
		if (!fiber_start(link_main, h)) {
			h->state = EAR_IS_WANTED;
			all->is_wanted = true;	/* one will end */
		}
	}
}

/* ---- all ears ---- */

/* Ears for the sessions that there are, and no others. */
static void
look_for_sessions(struct ears *all)
{
	struct hearing *h;
	int i;

	for (i = 0; i < EARS_MAX; i++)
		all->ear[i].seen = all->ear[i].is_link &&
		    link_is_used(all, &all->ear[i]);
	shm_sess_client_each(all->shm, all->target->server_id, hear_session,
	    all);
	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->seen || h->state == EAR_FREE ||
		    (h->is_link && h->state != EAR_HEARS))
			continue;
		if (h->state == EAR_IS_DEAF)
			h->state = EAR_FREE;
		else
			atomic_store(&h->own_stop, 1);
	}
}

/* A worker has opened a session and waits until we hear. */
static void
take_word(struct ears *all, int listener)
{
	uint64_t client_session = 0;
	int fd = upstream_hear_take(listener, &client_session), i;
	struct hearing *h;

	if (fd < 0)
		return;
	look_for_sessions(all);
	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->state != EAR_HEARS || !h->seen || h->is_open ||
		    h->told_fd >= 0 ||
		    h->session.client_session != client_session)
			continue;
		h->told_fd = fd;
		return;
	}
	close(fd);
}

static int
hear_all(struct ears *all)
{
	struct pollfd p[2] = { { .fd = -1, .events = POLLIN },
	    { .fd = -1, .events = POLLIN } };
	int64_t next_ms = 0;
	struct err e;

	/* a modern one may prove to be of both eras */
	if ((p[0].fd = upstream_hear_listen(all->stdio_socket,
	    all->target->server_id, &e)) < 0)
		log_warn("%s", e.text);
	if (all->has_links && (p[1].fd = upstream_link_listen(
	    all->stdio_socket, all->target->server_id, &e)) < 0)
		log_warn("%s", e.text);
	fibers_init(EARS_MAX + 1 + (all->has_links ? 2 * LINKS_CONNS :
	    0));
	fiber_start(shared_main, all);
	while (atomic_load(&stop) == 0 && (!all->shared_ended ||
	    ((is_dual(all) || all->has_links) && all->status == REFUSED))) {
		if (clock_mono_ms() >= next_ms) {
			look_for_sessions(all);
			next_ms = clock_mono_ms() + LOOK_MS;
		}
		if (all->is_wanted)
			start_links(all);
		links_send_files(&all->links);
		p[0].revents = p[1].revents = 0;
		if (fibers_wait(p, 2, LOOK_MS) <= 0)
			continue;
		if (p[0].revents != 0)
			take_word(all, p[0].fd);
		if (p[1].revents != 0)
			links_accept(&all->links, p[1].fd);
	}
	return atomic_load(&stop) != 0 ? ENDED : all->status;
}

static int
run(struct shm *shm, const char *stdio_socket,
    const struct upstream_target *t, const struct listener_want *w, int back)
{
	static struct ears all;
	struct sigaction sa = { .sa_handler = on_term };
	struct hearing *h = &all.shared;
	struct err e = { .code = ERR_NONE };
	const struct conf *c = w->conf;

	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = on_again;
	sigaction(SIGUSR1, &sa, NULL);
	all.shm = shm;
	all.target = t;
	all.stdio_socket = stdio_socket;
	all.back = back;
	all.poller = getppid();
	memcpy(all.run_dir, c->run_dir, sizeof(all.run_dir));
	all.input_timeout_s = c->input_timeout_ms / 1000;
	all.result_max = (size_t)c->result_max;
	all.streamed_max = (size_t)c->streamed_max;
	memcpy(all.state_dir, c->state_dir, sizeof(all.state_dir));
	all.spool.dir = all.state_dir;
	all.spool.name = "limits.spool";
	all.spool.max = (uint64_t)c->large_max;
	state_init(c->token_secret);
	hearing_init(h, &all, &stop);
	if (upstream_open(h->pool, t, 0, false,
	    clock_mono_ms() + t->timeout_ms, &h->session, NULL, &e) < 0) {
		if (atomic_load(&stop) == 0)
			log_debug("listening: %s", e.text);
		return FAILED;
	}
	all.has_links = (h->session.flags & SESS_SSE) != 0;
	links_init(&all.links, &link_ops, &all);
	if (h->session.era == ERA_MODERN || all.has_links)
		h->stop = &again;
	return hear_all(&all);
}

/* ---- the poller's side ------------------------------------------------------------ */

static void
add_hash(void *arg, const struct shm_sub *s)
{
	uint64_t *h = arg;

	if (s->kind == SUB_STREAM_TASK)
		*h += hash_mix(~s->hash);
	else if (s->kind != SUB_STANDALONE && s->kind != SUB_TASK)
		*h += hash_mix(s->hash);
}

/* Of the set of what is watched at the server, whoever watches it how often:
 * counting twice costs one new stream, no more. */
static uint64_t
asked_of(const struct shm *shm, int64_t server_id)
{
	uint64_t h = 0;

	shm_subs_each(shm, 0, server_id, clock_wall_us() / 1000000, add_hash,
	    &h);
	shm_subs_each(shm, 0, -server_id, clock_wall_us() / 1000000, add_hash,
	    &h);
	return h;
}

static void
start(struct listener *l, struct proc *p, const struct upstream_target *t,
    const struct listener_want *w, int64_t now)
{
	pid_t parent = getpid();
	struct sess_info s;

	memset(&s, 0, sizeof(s));
	shm_sess_get(&p->shm, t->health, t->server_id, &s);
	l->opened = s.opened;
	l->asked = asked_of(&p->shm, t->server_id);
	l->is_dual = w->is_dual;
	l->pid = fork();
	if (l->pid == 0) {
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		_exit(run(&p->shm, p->stdio_path, t, w, p->lanes.back[1]));
	}
	if (l->pid < 0) {
		log_warn("fork: %s", strerror(errno));
		l->pid = 0;
		l->next_ms = now + BACKOFF_MAX_MS;
		return;
	}
	l->started_ms = now;
	l->kill_ms = 0;
}

/* When to try again: at once after we ended it ourselves, soon after a stream
 * that lived, later and later otherwise. */
static void
plan(struct listener *l, int status, int64_t now)
{
	uint32_t jitter;

	if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED)
		l->refused = true;
	if (l->kill_ms != 0) {
		l->next_ms = now;
		return;
	}
	if (now - l->started_ms >= LONG_MS)
		l->backoff_ms = 0;
	l->backoff_ms = l->backoff_ms == 0 ? BACKOFF_MIN_MS :
	    l->backoff_ms * 2;
	if (l->backoff_ms > BACKOFF_MAX_MS)
		l->backoff_ms = BACKOFF_MAX_MS;
	random_bytes(&jitter, sizeof(jitter));
	l->next_ms = now + l->backoff_ms - jitter % (l->backoff_ms / 4 + 1);
}

static void
reap(struct listener *l, const struct shm *shm,
    const struct upstream_target *t, int64_t now)
{
	int status = 0;

	if (waitpid(l->pid, &status, WNOHANG) == 0)
		return;
	l->pid = 0;
	/* what it said while nobody listened is lost */
	if (l->kill_ms == 0 && now - l->started_ms >= LONG_MS &&
	    t->health < SHM_SERVERS_MAX)
		atomic_store(&shm_health(shm, t->health)->dirty, 1);
	plan(l, status, now);
}

/* One that asks for what is watched does so again if that has changed. */
static void
tell_news(struct listener *l, const struct shm *shm,
    const struct upstream_target *t)
{
	uint64_t asked = asked_of(shm, t->server_id);

	if (asked == l->asked)
		return;
	l->asked = asked;
	kill(l->pid, SIGUSR1);
}

/* Must the one that runs make place for a better informed one? */
static bool
is_outdated(struct listener *l, const struct shm *shm,
    const struct upstream_target *t, const struct listener_want *w)
{
	struct sess_info s;

	if (w->era == ERA_MODERN ||
	    !shm_sess_get(shm, t->health, t->server_id, &s))
		return false;
	if (l->opened == 0)
		l->opened = s.opened;	/* it opened the first one itself */
	return s.opened != l->opened;
}

bool
listener_tend(struct listener *l, struct proc *p,
    const struct upstream_target *t, const struct listener_want *w,
    int64_t now)
{
	if (l->pid != 0)
		reap(l, &p->shm, t, now);
	if (l->pid != 0 && l->kill_ms == 0 &&
	    (!w->wanted || is_outdated(l, &p->shm, t, w))) {
		kill(l->pid, SIGTERM);
		l->kill_ms = now + t->timeout_ms + END_MS;
	}
	if (l->pid != 0 && l->kill_ms == 0 && w->news &&
	    (w->era == ERA_MODERN || w->has_links))
		tell_news(l, &p->shm, t);
	if (l->pid != 0 && l->kill_ms != 0 && now >= l->kill_ms)
		kill(l->pid, SIGKILL);
	if (!w->wanted || w->is_dual != l->is_dual)
		l->refused = false;	/* it may come back as another */
	if (l->pid == 0 && w->wanted && !l->refused && now >= l->next_ms)
		start(l, p, t, w, now);
	return l->pid != 0 && l->kill_ms != 0;
}

void
listener_end(struct listener *l)
{
	if (l->pid != 0) {
		kill(l->pid, SIGKILL);
		waitpid(l->pid, NULL, 0);
	}
	memset(l, 0, sizeof(*l));
}
