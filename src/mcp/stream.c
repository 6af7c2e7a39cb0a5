/*
 * stream -- opening event streams: GET of a legacy session and the modern
 * subscriptions/listen; and looking at them again when a snapshot changed.
 *
 * Worker. It authenticates, decides, writes the head and the first events and
 * gives the connection to the keeper for life. What may be told on a stream
 * is decided here alone, at the opening and in mcp_stream_recheck().
 */
#include "mcp/stream.h"

#include <time.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/hash.h"
#include "net/sse.h"
#include "shm/client.h"

#define LISTEN_URIS	64	/* resources that one stream watches */
#define LISTEN_TASKS	64
#define CONFLICT_MS	100	/* for the keeper to notice a hang-up */

/* ---- what the caller sees --------------------------------------------------- */

static const struct {
	const char	*filter, *method;
} lists[STREAM_LISTS] = {
	[STREAM_TOOLS] = { "toolsListChanged",
	    "notifications/tools/list_changed" },
	[STREAM_PROMPTS] = { "promptsListChanged",
	    "notifications/prompts/list_changed" },
	[STREAM_RESOURCES] = { "resourcesListChanged",
	    "notifications/resources/list_changed" },
};

static uint64_t
list_hash(struct mcp_call *c, int64_t server_id, enum stream_list l)
{
	uint32_t server = CAT_NONE;

	if (c->catalog == NULL)
		return 1;
	if (server_id != 0) {
		server = catalog_find_server(c->catalog, server_id);
		if (server == CAT_NONE)
			return 1;
	}
	if (l == STREAM_TOOLS)
		return mcp_visible_hash(c, ITEM_TOOL, server);
	if (l == STREAM_PROMPTS)
		return mcp_visible_hash(c, ITEM_PROMPT, server);
	return hash_mix(mcp_visible_hash(c, ITEM_RESOURCE, server)) ^
	    mcp_visible_hash(c, ITEM_TEMPLATE, server);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

static void
note_servers(const struct mcp_call *c, struct stream_info *s)
{
	uint32_t i, health;

	memset(s->servers, 0, sizeof(s->servers));
	for (i = 0; s->session != 0 && i < c->policy->servers.n; i++) {
		health = pol_server(c->policy, i)->health;
		if (health < SHM_SERVERS_MAX &&
		    rbac_may_use_server(c->policy, c->who.user, i))
			s->servers[health / 64] |= UINT64_C(1) << health % 64;
	}
}

/* Everything the keeper has to know; the call is pinned. */
static struct stream_info *
describe(struct mcp_call *c, uint32_t wanted)
{
	struct stream_info *s = arena_alloc(c->mcp->mem, sizeof(*s));
	int i;

	s->id = c->http->connection;
	s->session = c->has_session ? c->session.id : 0;
	s->user_id = c->who.user_id;
	s->user = c->who.user;
	s->server_id = c->http->server.p == NULL ? 0 :
	    pol_server(c->policy, c->server)->id;
	s->expires = earlier(c->who.expires,
	    c->has_session ? c->session.expires : 0);
	s->policy = c->policy_generation;
	s->catalog = c->catalog_generation;
	s->wanted = wanted;
	s->is_http10 = c->http->reply->is_http10;
	note_servers(c, s);
	for (i = 0; i < STREAM_LISTS; i++)
		if ((wanted & 1u << i) != 0)
			s->list[i] = list_hash(c, s->server_id,
			    (enum stream_list)i);
	span_copy(s->org, sizeof(s->org), span_str(c->org));
	span_copy(s->credential, sizeof(s->credential),
	    span_str(c->who.credential));
	return s;
}

static void
add_event(struct buf *out, struct span message)
{
	sse_write(out, span_make(NULL, 0), message);
}

/* ---- GET and DELETE ------------------------------------------------------------ */

/*
 * The mark of the one standalone stream of a session. Who adds it and sees
 * another takes it back; two at the same instant may both do so. A client
 * that has just closed its stream may be faster than the keeper's notice of
 * that, hence the little time.
 */
static int
claim_standalone(struct mcp_call *c, const struct stream_info *s,
    struct err *e)
{
	int64_t until = clock_mono_ms() + CONFLICT_MS;
	struct shm *shm = c->mcp->shm;
	struct shm_sub mark;

	memset(&mark, 0, sizeof(mark));
	mark.owner = s->id;
	mark.hash = s->session;
	mark.expires = INT64_MAX;
	mark.kind = SUB_STANDALONE;
	for (;;) {
		if (shm_subs_add(shm, &mark, c->wall_us / 1000000) < 0)
			return err_set(e, ERR_UNAVAILABLE, "no more streams "
			    "can be opened at this time");
		if (!shm_subs_others(shm, s->id, 0, s->session, 0))
			return 0;
		shm_subs_remove(shm, s->id, 0, s->session);
		if (clock_mono_ms() >= until)
			return err_set(e, ERR_CONFLICT, "Conflict: this "
			    "session has an event stream already");
		fiber_sleep(5);
	}
}

/* Who may not read a resource any more does not watch it either. arg: the
 * call, pinned, of the owner. */
static void
recheck_watched(void *arg, const struct shm_sub *s)
{
	struct mcp_call *c = arg;
	uint32_t server;

	if (s->kind == SUB_STANDALONE || (s->kind == SUB_STREAM_TASK &&
	    mcp_task_still_watched(c, span_make(s->text, s->own - 1))))
		return;
	server = s->kind == SUB_STREAM_TASK ? POL_NONE :
	    mcp_server_by_id(c->policy, s->server_id);
	if (server != POL_NONE && pol_server(c->policy, server)->enabled &&
	    mcp_may(c, server, ITEM_RESOURCE, span_str(s->text + s->own),
	    CAT_NONE, false))
		return;
	shm_subs_remove(c->mcp->shm, s->owner, s->server_id, s->hash);
}

/* What the session watches was not looked at again while it had no stream. */
static int
open_standalone(struct mcp_call *c, struct err *e)
{
	struct stream_info *s = describe(c, (1u << STREAM_LISTS) - 1);

	shm_subs_each(c->mcp->shm, s->session, 0, 0, recheck_watched, c);
	mcp_unpin(c);
	if (claim_standalone(c, s, e) < 0)
		return -1;
	c->stream = s;
	c->stream_first = SPAN_LIT(": open\n\n");
	return 0;
}

int
mcp_bodyless(struct mcp_call *c, struct err *e)
{
	const struct http_head *h = c->http->head;
	struct span version = h->known[HTTP_H_MCP_VERSION];
	struct span accept = mcp_accept(c);
	bool is_get = h->method == HTTP_GET;

	c->msg.method = is_get ? SPAN_LIT("stream/open") :
	    SPAN_LIT("session/delete");
	if (version.p != NULL) {
		c->revision = mcp_revision_number(version);
		if (c->revision == 0)
			return err_set(e, ERR_BADREQ, "Bad Request: "
			    "Unsupported protocol version: %.*s",
			    (int)(version.n > 32 ? 32 : version.n), version.p);
		if (c->revision == MCP_MODERN)
			return err_set(e, ERR_HTTPMETHOD, "Method Not "
			    "Allowed: revision 2026-07-28 has no sessions");
	}
	if (is_get && (accept.p == NULL ||
	    !http_accepts(accept, "text/event-stream")))
		return err_set(e, ERR_ACCEPT, "Not Acceptable: Client must "
		    "accept text/event-stream");
	if (h->known[HTTP_H_MCP_SESSION_ID].p == NULL)
		return err_set(e, ERR_NOSESSION, "Bad Request: "
		    "Mcp-Session-Id header is required");
	if (mcp_check_session(c, e) < 0)
		return -1;
	/* the rest of a call's stream; any other id: the standalone stream */
	if (is_get && h->known[HTTP_H_LAST_EVENT_ID].p != NULL &&
	    mcp_resume(c, h->known[HTTP_H_LAST_EVENT_ID], e) == 0)
		return 0;
	return is_get ? open_standalone(c, e) : mcp_session_delete(c, e);
}

/* ---- subscriptions/listen ------------------------------------------------------- */

struct listen {
	uint32_t	 wanted;
	struct mcp_watched *w;
	unsigned	 n;
	struct mcp_watched_task *task;
	unsigned	 n_tasks;
};

static int
read_filter(struct mcp_call *c, struct listen *l, struct json_value *uris,
    struct json_value *tasks, struct err *e)
{
	static const char *const member[] = { "notifications" };
	const char *names[STREAM_LISTS + 2];
	struct json_value filter, v[STREAM_LISTS + 2];
	int i;

	for (i = 0; i < STREAM_LISTS; i++)
		names[i] = lists[i].filter;
	names[STREAM_LISTS] = "resourceSubscriptions";
	names[STREAM_LISTS + 1] = "taskIds";
	if (c->msg.params.type != JSON_OBJECT ||
	    json_object(c->msg.params.raw, member, &filter, 1) != JSON_OK ||
	    filter.type != JSON_OBJECT ||
	    json_object(filter.raw, names, v, STREAM_LISTS + 2) != JSON_OK)
		return err_set(e, ERR_PARAMS,
		    "params.notifications must be an object");
	for (i = 0; i < STREAM_LISTS; i++) {
		if (v[i].type != JSON_NONE && v[i].type != JSON_BOOL)
			return err_set(e, ERR_PARAMS, "params.notifications.%s "
			    "must be true or false", names[i]);
		if (json_is_true(v[i]))
			l->wanted |= 1u << i;
	}
	*uris = v[STREAM_LISTS];
	if (uris->type != JSON_NONE && uris->type != JSON_ARRAY)
		return err_set(e, ERR_PARAMS, "params.notifications."
		    "resourceSubscriptions must be an array");
	*tasks = v[STREAM_LISTS + 1];
	if (tasks->type == JSON_NONE)
		return 0;
	if (tasks->type != JSON_ARRAY)
		return err_set(e, ERR_PARAMS, "params.notifications."
		    "taskIds must be an array");
	return mcp_needs_tasks(c, e);
}

/* One URI of the filter. What the caller may not read is not honoured and
 * said so by leaving it out of the acknowledgement. */
static int
watch_one(struct mcp_call *c, struct listen *l, struct json_value v,
    struct err *e)
{
	char *text = arena_alloc(c->mcp->mem, v.raw.n + 1);
	long n = json_string_decode(v, text, v.raw.n + 1);
	struct mcp_watched *w = &l->w[l->n];
	struct err why;

	if (n < 0)
		return err_set(e, ERR_PARAMS, "params.notifications."
		    "resourceSubscriptions must hold strings");
	if (l->n == LISTEN_URIS)
		return err_set(e, ERR_PARAMS, "params.notifications."
		    "resourceSubscriptions has more than %d items",
		    LISTEN_URIS);
	if (mcp_watch_find(c, span_make(text, (size_t)n), w, &why) == 0 &&
	    w->declared)
		l->n++;
	return 0;
}

static int
read_uris(struct mcp_call *c, struct listen *l, struct json_value uris,
    struct err *e)
{
	enum audit_decision decision = c->decision;
	uint32_t server = c->server;
	struct json_value v;
	size_t pos = 0;

	if (uris.type == JSON_NONE)
		return 0;
	l->w = arena_alloc(c->mcp->mem, (LISTEN_URIS + 1) * sizeof(l->w[0]));
	while (json_next_element(uris.raw, &pos, &v)) {
		if (watch_one(c, l, v, e) < 0)
			return -1;
		/* the endpoint's own, which the next decision starts from */
		c->server = server;
		c->decision = decision;
	}
	return 0;
}

/* Tasks that are not the caller's, or not to be heard of, are left out. */
static int
read_tasks(struct mcp_call *c, struct listen *l, struct json_value tasks,
    struct err *e)
{
	enum audit_decision decision = c->decision;
	uint32_t server = c->server;
	struct json_value v;
	size_t pos = 0;
	char *text;
	long n;

	if (tasks.type == JSON_NONE)
		return 0;
	l->task = arena_alloc(c->mcp->mem, LISTEN_TASKS * sizeof(l->task[0]));
	while (json_next_element(tasks.raw, &pos, &v)) {
		text = arena_alloc(c->mcp->mem, v.raw.n + 1);
		if ((n = json_string_decode(v, text, v.raw.n + 1)) < 0)
			return err_set(e, ERR_PARAMS, "params.notifications."
			    "taskIds must hold strings");
		if (l->n_tasks == LISTEN_TASKS)
			return err_set(e, ERR_PARAMS, "params.notifications."
			    "taskIds has more than %d items", LISTEN_TASKS);
		if (mcp_task_watch_find(c, span_make(text, (size_t)n),
		    &l->task[l->n_tasks]))
			l->n_tasks++;
		c->server = server;
		c->decision = decision;
	}
	return 0;
}

/* stdiod notices and tells the server. */
static int
watch_task(struct mcp_call *c, const struct mcp_watched_task *w, uint64_t owner,
    struct err *e)
{
	struct shm_sub s;

	memset(&s, 0, sizeof(s));
	s.owner = owner;
	s.server_id = -w->server_id;
	s.hash = shm_sub_hash(w->id);
	s.expires = INT64_MAX;
	s.kind = SUB_STREAM_TASK;
	s.own = (uint32_t)w->exposed.n + 1;
	memcpy(s.text, w->exposed.p, w->exposed.n);
	s.text[w->exposed.n] = '\n';
	memcpy(s.text + s.own, w->id.p, w->id.n);
	return shm_subs_add(c->mcp->shm, &s, c->wall_us / 1000000) < 0 ?
	    err_set(e, ERR_UNAVAILABLE, "no more tasks can be watched at this "
	    "time") : 0;
}

static int
watch_tasks(struct mcp_call *c, const struct listen *l,
    const struct stream_info *s, struct err *e)
{
	unsigned i;

	for (i = 0; i < l->n_tasks; i++)
		if (watch_task(c, &l->task[i], s->id, e) < 0) {
			shm_subs_remove_owner(c->mcp->shm, s->id);
			return -1;
		}
	return 0;
}

/* Unpinned. A server that does not take it is not honoured either. */
static int
watch_all(struct mcp_call *c, struct listen *l, const struct stream_info *s,
    struct err *e)
{
	unsigned i, kept = 0;
	struct err why;

	for (i = 0; i < l->n; i++) {
		if (mcp_watch_add(c, &l->w[i], s->id, SUB_STREAM, INT64_MAX,
		    e) < 0) {
			shm_subs_remove_owner(c->mcp->shm, s->id);
			return -1;
		}
		if (mcp_watch_tell(c, &l->w[i], "resources/subscribe",
		    &why) == 0) {
			l->w[kept++] = l->w[i];
			continue;
		}
		shm_subs_remove(c->mcp->shm, s->id, l->w[i].target.server_id,
		    shm_sub_hash(l->w[i].own));
	}
	l->n = kept;
	return 0;
}

static void
put_meta(struct json_out *j, struct span subscription)
{
	json_object_begin(j, "_meta");
	json_put_raw(j, STREAM_META_SUBSCRIPTION, subscription);
	json_object_end(j);
}

static void
acknowledge(struct mcp_call *c, const struct listen *l, struct buf *b)
{
	struct json_out j;
	unsigned i;

	json_out_init(&j, b);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_str(&j, "method", "notifications/subscriptions/acknowledged");
	json_object_begin(&j, "params");
	put_meta(&j, c->msg.id);
	json_object_begin(&j, "notifications");
	for (i = 0; i < STREAM_LISTS; i++)
		if ((l->wanted & 1u << i) != 0)
			json_put_bool(&j, lists[i].filter, true);
	if (l->n > 0) {
		json_array_begin(&j, "resourceSubscriptions");
		for (i = 0; i < l->n; i++)
			json_put_string(&j, NULL, l->w[i].text);
		json_array_end(&j);
	}
	if (l->n_tasks > 0) {
		json_array_begin(&j, "taskIds");
		for (i = 0; i < l->n_tasks; i++)
			json_put_string(&j, NULL, l->task[i].exposed);
		json_array_end(&j);
	}
	json_object_end(&j);
	json_object_end(&j);
	json_object_end(&j);
}

static void
finish(struct mcp_call *c, struct buf *b)
{
	struct json_out j;

	json_out_init(&j, b);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_raw(&j, "id", c->msg.id);
	json_object_begin(&j, "result");
	json_put_str(&j, "resultType", "complete");
	put_meta(&j, c->msg.id);
	json_object_end(&j);
	json_object_end(&j);
}

/* The first events: the acknowledgement; if nothing is honoured the end. */
static void
first_events(struct mcp_call *c, const struct listen *l)
{
	struct mcp *m = c->mcp;

	buf_reset(&m->event, 1 << 20);
	buf_reset(&m->params, 1 << 20);
	acknowledge(c, l, &m->params);
	add_event(&m->event, buf_span(&m->params));
	if (l->wanted == 0 && l->n == 0 && l->n_tasks == 0) {
		buf_reset(&m->params, 1 << 20);
		finish(c, &m->params);
		add_event(&m->event, buf_span(&m->params));
		c->stream_ends = true;
	}
	c->stream_first = arena_dup(m->mem, buf_span(&m->event));
}

int
mcp_m_listen(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct listen l = { .wanted = 0 };
	struct json_value uris = { JSON_NONE, { NULL, 0 } }, tasks = uris;
	struct stream_info *s;

	if (!c->may_stream)
		return err_set(e, ERR_ACCEPT, "Not Acceptable: Client must "
		    "accept text/event-stream");
	if (c->msg.is_notification || c->msg.id.n > STREAM_SUBSCRIPTION_MAX)
		return err_set(e, ERR_BADREQ, "subscriptions/listen needs an "
		    "id of at most %d bytes", STREAM_SUBSCRIPTION_MAX);
	if (read_filter(c, &l, &uris, &tasks, e) < 0 ||
	    read_uris(c, &l, uris, e) < 0 || read_tasks(c, &l, tasks, e) < 0)
		return -1;
	s = describe(c, l.wanted);
	memcpy(s->subscription, c->msg.id.p, c->msg.id.n);
	s->subscription_n = (uint32_t)c->msg.id.n;
	mcp_unpin(c);
	if (watch_all(c, &l, s, e) < 0 || watch_tasks(c, &l, s, e) < 0)
		return -1;
	first_events(c, &l);
	c->stream = s;
	return 0;
}

/* ---- giving it away ---------------------------------------------------------------- */

static int
give_up(struct mcp_call *c)
{
	shm_subs_remove_owner(c->mcp->shm, c->stream->id);
	return -1;
}

int
mcp_stream_answer(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;

	if (c->err.code != ERR_NONE) {	/* its record could not be written */
		give_up(c);
		return http_reply_send(r);
	}
	buf_reset(&r->body, 1 << 20);
	r->keep_alive = c->stream_ends && r->keep_alive;
	if (http_reply_stream_begin(r, "text/event-stream") < 0 ||
	    http_reply_stream_write(r, c->stream_first) < 0)
		return give_up(c);
	if (c->stream_ends)
		return http_reply_stream_end(r);
	if (c->http->hand_over == NULL ||
	    c->http->hand_over(c->http->release_arg, c->stream) < 0)
		return give_up(c);
	return 0;
}

/* ---- looking again ------------------------------------------------------------------- */

static void
list_changed(struct mcp *m, const struct stream_info *s, enum stream_list l,
    struct buf *events)
{
	struct json_out j;

	buf_reset(&m->params, 1 << 20);
	json_out_init(&j, &m->params);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_str(&j, "method", lists[l].method);
	if (s->subscription_n > 0) {
		json_object_begin(&j, "params");
		put_meta(&j, span_make(s->subscription, s->subscription_n));
		json_object_end(&j);
	}
	json_object_end(&j);
	add_event(events, buf_span(&m->params));
}

/* Is the stream still its owner's? Sets who asks. */
static bool
is_still_good(struct mcp_call *c, const struct stream_info *s)
{
	uint32_t server;

	c->who.user = s->user;
	c->who.user_id = s->user_id;
	if (!auth_still_good(c->policy, s->credential, s->user_id,
	    c->wall_us / 1000000, &c->who.user))
		return false;
	if (s->session != 0 && shm_client_is_ended(c->mcp->shm, s->session))
		return false;
	span_copy(c->org, sizeof(c->org), pol_span(c->policy,
	    ((const struct pol_str *)pol_at(c->policy, c->policy->orgs.off))
	    [pol_user(c->policy, c->who.user)->org]));
	if (strcmp(c->org, s->org) != 0)
		return false;
	if (s->server_id == 0)
		return true;
	server = mcp_server_by_id(c->policy, s->server_id);
	return server != POL_NONE && pol_server(c->policy, server)->enabled &&
	    rbac_may_use_server(c->policy, c->who.user, server);
}

int
mcp_stream_recheck(struct mcp *m, struct stream_info *s, struct buf *events)
{
	static const struct http_head head;
	const struct mcp_http http = { .head = &head };
	struct mcp_call c;
	struct err e;
	int i, rv = -1;

	memset(&c, 0, sizeof(c));
	c.mcp = m;
	c.http = &http;
	c.wall_us = clock_wall_us();
	arena_reset(m->mem);
	buf_reset(events, 1 << 16);
	if (mcp_pin(&c, &e) < 0)
		return 0;
	if (is_still_good(&c, s)) {
		s->user = c.who.user;
		for (i = 0; i < STREAM_LISTS; i++) {
			uint64_t h = (s->wanted & 1u << i) == 0 ? 0 :
			    list_hash(&c, s->server_id, (enum stream_list)i);

			if (h != s->list[i])
				list_changed(m, s, (enum stream_list)i, events);
			s->list[i] = h;
		}
		if (s->policy != c.policy_generation) {
			note_servers(&c, s);
			shm_subs_each(m->shm, s->session != 0 ? s->session :
			    s->id, 0, 0, recheck_watched, &c);
		}
		s->policy = c.policy_generation;
		s->catalog = c.catalog_generation;
		rv = events->n > 0;
	}
	mcp_unpin(&c);
	return rv;
}
