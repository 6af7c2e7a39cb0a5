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
#include "base/hash.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/log.h"
#include "conf/model.h"
#include "shm/client.h"
#include "shm/slot.h"

#define STREAM_MS	3600000	/* then it is opened anew */
#define EVENT_MAX	(1u << 20)
#define BACKOFF_MIN_MS	1000
#define BACKOFF_MAX_MS	60000
#define LONG_MS		10000	/* a stream that lived was a good one */
#define END_MS		5000	/* from SIGTERM to SIGKILL */
#define EVENTS_S	500	/* a second */

enum { ENDED, FAILED, REFUSED };	/* exit status */

/* ---- the child ------------------------------------------------------------------ */

struct hearing {
	struct shm	*shm;
	struct upstream_pool *pool;
	const struct upstream_target *target;
	struct sess_info session;
	int		 back;
	int64_t		 tokens_ms, tokens;
	struct buf	 params, response;
};

static _Atomic uint64_t stop;

static void
on_term(int sig)
{
	atomic_store(&stop, 1);
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
	if ((!may_send(h) || lane_send_event(h->back, h->target->server_id,
	    uri) < 0) && log_limit_ok(&ll))
		log_warn("server \"%s\": too many updates of resources; some "
		    "are left out", h->target->name);
}

/* We declared nothing on the shared session: only ping is answered. */
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
	if (v[2].type == JSON_NUMBER || v[2].type == JSON_STRING)
		answer_request(h, method, v[2].raw);
	else if (span_is(method, "notifications/resources/updated"))
		updated(h, v[1]);
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
	c->cancel_word = &stop;
	c->cancel_value = 1;
	c->on_message = hear;
	c->arg = h;
	c->response = &h->response;
	buf_reset(&h->response, 1 << 16);
}

/* The session may be a new one: it learns again what is watched. */
static void
subscribe(void *arg, const struct shm_sub *s)
{
	struct hearing *h = arg;
	struct upstream_call c;
	struct err e;

	if (s->kind == SUB_STANDALONE || atomic_load(&stop) != 0)
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

static int
hear_legacy(struct hearing *h, struct err *e)
{
	struct upstream_call c;
	int rv;

	shm_subs_each(h->shm, 0, h->target->server_id,
	    clock_wall_us() / 1000000, subscribe, h);
	call_init(h, &c, "listen", STREAM_MS);
	c.is_listen = true;
	rv = upstream_exchange(h->pool, h->target, &c, e);
	if (rv == 0)
		return ENDED;
	/* MCP: 405 says that there is no such stream; some say it otherwise */
	if (c.http_status == 405 || c.http_status == 501 ||
	    c.http_status == 400 || (c.http_status == 404 && !c.session_gone))
		return REFUSED;
	if (c.session_gone && upstream_open(h->pool, h->target,
	    h->session.opened, false, clock_mono_ms() + h->target->timeout_ms,
	    &h->session, NULL, e) == 0)
		return ENDED;
	return FAILED;
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
	upstream_modern_meta(b, h->session.version, SPAN_LIT("{}"));
	buf_add_str(b, "},\"notifications\":{\"toolsListChanged\":true,"
	    "\"promptsListChanged\":true,\"resourcesListChanged\":true,"
	    "\"resourceSubscriptions\":[");
	shm_subs_each(h->shm, 0, h->target->server_id,
	    clock_wall_us() / 1000000, add_uri, b);
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

static int
run(struct shm *shm, const char *stdio_socket,
    const struct upstream_target *t, int back)
{
	struct sigaction sa = { .sa_handler = on_term };
	struct hearing h = { .shm = shm, .target = t, .back = back };
	struct err e = { .code = ERR_NONE };
	int rv;

	sigaction(SIGTERM, &sa, NULL);
	h.tokens_ms = clock_mono_ms();
	h.tokens = EVENTS_S;
	buf_init(&h.params, 8u << 20);
	buf_init(&h.response, EVENT_MAX);
	h.pool = upstream_pool_new(shm, stdio_socket);
	if (upstream_open(h.pool, t, 0, false,
	    clock_mono_ms() + t->timeout_ms, &h.session, NULL, &e) < 0)
		rv = FAILED;
	else
		rv = h.session.era == ERA_MODERN ? hear_modern(&h, &e) :
		    hear_legacy(&h, &e);
	if (rv == FAILED && atomic_load(&stop) == 0)
		log_debug("listening: %s", e.text);
	upstream_pool_free(&h.pool);
	return rv;
}

/* ---- the poller's side ------------------------------------------------------------ */

static void
add_hash(void *arg, const struct shm_sub *s)
{
	uint64_t *h = arg;

	if (s->kind != SUB_STANDALONE)
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
	return h;
}

static void
start(struct listener *l, struct proc *p, const struct upstream_target *t,
    int64_t now)
{
	pid_t parent = getpid();
	struct sess_info s;

	memset(&s, 0, sizeof(s));
	shm_sess_get(&p->shm, t->health, t->server_id, &s);
	l->opened = s.opened;
	l->asked = asked_of(&p->shm, t->server_id);
	l->pid = fork();
	if (l->pid == 0) {
		signal(SIGTERM, SIG_DFL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		_exit(run(&p->shm, p->stdio_path, t, p->lanes.back[1]));
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

/* Must the one that runs make place for a better informed one? */
static bool
is_outdated(struct listener *l, const struct shm *shm,
    const struct upstream_target *t, const struct listener_want *w)
{
	struct sess_info s;

	if (w->era == ERA_MODERN)
		return w->news && asked_of(shm, t->server_id) != l->asked;
	if (!shm_sess_get(shm, t->health, t->server_id, &s))
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
	if (l->pid != 0 && l->kill_ms != 0 && now >= l->kill_ms)
		kill(l->pid, SIGKILL);
	if (!w->wanted)
		l->refused = false;	/* it may come back as another */
	if (l->pid == 0 && w->wanted && !l->refused && now >= l->next_ms)
		start(l, p, t, now);
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
