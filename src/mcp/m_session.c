/*
 * m_session -- what a legacy session remembers: its log level, the resources
 * it watches, and that it has ended.
 *
 * Worker. The state lies in shared memory (shm/client.h), so any worker sees
 * it. Watching a resource takes the right to read it. The upstream is told on
 * the client's own session there or else on the one that all share; what it announces is fetched by stdiod and the
 * listeners, never here.
 */
#include "mcp/forward_int.h"
#include "mcp/stream.h"

#include "base/clock.h"
#include "base/log.h"
#include "shm/client.h"

#define DELETE_MAX	64	/* watched resources that are let go upstream */
#define WATCHED_A_USER	1024u	/* an eighth of the table */

int
mcp_m_set_level(struct mcp_call *c, struct buf *out, struct err *e)
{
	static const char *const names[] = { "debug", "info", "notice",
	    "warning", "error", "critical", "alert", "emergency" };
	struct span level;
	int i, rc;

	rc = mcp_param_string(c, PARAM_LEVEL, &level, e);
	if (rc <= 0)
		return rc < 0 ? -1 :
		    err_set(e, ERR_PARAMS, "params.level is missing");
	for (i = 0; i < 8 && !span_is(level, names[i]); i++)
		;
	if (i == 8)
		return err_set(e, ERR_PARAMS, "params.level must be debug, "
		    "info, notice, warning, error, critical, alert or "
		    "emergency");
	if (c->has_session)
		shm_client_set_level(c->mcp->shm, c->session.id, i);
	return buf_add_str(out, "{}");
}

/* ---- watching resources --------------------------------------------------- */

/* capabilities.resources.subscribe of the server that the call has noted */
static bool
declares_subscribe(const struct mcp_call *c)
{
	static const char *const resources[] = { "resources" };
	static const char *const subscribe[] = { "subscribe" };
	struct json_value v;
	struct span raw;
	uint32_t i;

	if (c->catalog == NULL)
		return false;
	i = catalog_find_server(c->catalog,
	    pol_server(c->policy, c->server)->id);
	if (i == CAT_NONE)
		return false;
	raw = cat_span(c->catalog, cat_server(c->catalog, i)->capabilities);
	return raw.n > 0 && json_object(raw, resources, &v, 1) == JSON_OK &&
	    v.type == JSON_OBJECT &&
	    json_object(v.raw, subscribe, &v, 1) == JSON_OK && json_is_true(v);
}

/* A client that has a session of its own at the server watches there: servers
 * tell who subscribed, and its calls go there too. */
static void
own_session(struct mcp_call *c, struct upstream_target *target)
{
	struct forward f;

	if (c->modern)
		return;			/* the listeners ask for all */
	memset(&f, 0, sizeof(f));
	f.c = c;
	f.target = *target;
	forward_caps(&f);
	*target = f.target;
}

int
mcp_watch_find(struct mcp_call *c, struct span uri, struct mcp_watched *w,
    struct err *e)
{
	struct span own;

	if (uri.n >= SHM_SUB_TEXT || memchr(uri.p, '\0', uri.n) != NULL)
		return err_set(e, ERR_PARAMS, "the URI is too long to watch");
	if (mcp_resource_decision(c, uri, &own, e) < 0)
		return -1;
	if (own.n == 0 || own.n > SHM_SUB_URI)
		return err_set(e, ERR_PARAMS, "the URI is too long to watch");
	upstream_target_copy(&w->target, c->mcp->mem, c->policy, c->server,
	    c->mcp->conf.default_timeout_ms);
	own_session(c, &w->target);
	w->text = arena_dup(c->mcp->mem, uri);
	w->own = span_skip(w->text, uri.n - own.n);	/* always its tail */
	w->declared = declares_subscribe(c);
	return 0;
}

static int
compose(void *arg, const struct sess_info *s, struct buf *b, struct err *e)
{
	const struct mcp_watched *w = arg;

	buf_add_str(b, "{\"uri\":");
	json_quote(b, w->own);
	return buf_add_char(b, '}');
}

static int
judge(const struct mcp_watched *w, struct span response, struct err *e)
{
	static const char *const names[] = { "error" };
	static const char *const enames[] = { "code", "message" };
	struct json_value v, ev[2];
	int64_t code = 0;
	char text[200];
	long n;

	if (json_object(response, names, &v, 1) != JSON_OK ||
	    v.type != JSON_OBJECT ||
	    json_object(v.raw, enames, ev, 2) != JSON_OK)
		return 0;
	json_int(ev[0], &code);
	if (code == -32601)
		return 0;		/* it only said that it could */
	n = json_string_decode(ev[1], text, sizeof(text));
	return err_set(e, code == -32602 || code == -32002 ? ERR_PARAMS :
	    ERR_UPSTREAM, "server \"%s\": %.*s", w->target.name,
	    n < 0 ? 0 : (int)n, text);
}

int
mcp_watch_tell(struct mcp_call *c, const struct mcp_watched *w,
    const char *method, struct err *e)
{
	struct mcp *m = c->mcp;
	struct mcp_watched copy = *w;	/* compose takes no const */
	struct upstream_call up;
	struct sess_info s;
	int64_t deadline = clock_mono_ms() + w->target.timeout_ms;
	int64_t start = clock_mono_us();
	int rc;

	ASSERT_ALWAYS(c->policy == NULL);
	/* stdiod and listeners ask modern servers, for all at once */
	if (!w->declared)
		return 0;
	if (upstream_open(m->pool, &w->target, 0, false, deadline, &s, NULL,
	    e) < 0)
		return -1;
	if (s.era != ERA_LEGACY)
		return 0;
	memset(&up, 0, sizeof(up));
	up.method = span_str(method);
	up.id = slot_next_call(m->shm);
	up.deadline_ms = deadline;
	up.response_max = 1 << 20;
	up.client_fd = -1;
	up.response = &m->response;
	buf_reset(&m->response, 1 << 20);
	rc = upstream_request(m->pool, &w->target, &up, compose, &copy,
	    &m->params, e);
	c->upstream_us += clock_mono_us() - start;
	return rc < 0 ? -1 : judge(w, buf_span(&m->response), e);
}

int
mcp_watch_add(struct mcp_call *c, const struct mcp_watched *w, uint64_t owner,
    uint32_t kind, int64_t expires, struct err *e)
{
	int64_t now = c->wall_us / 1000000;
	struct shm_sub s;

	memset(&s, 0, sizeof(s));
	s.owner = owner;
	s.user_id = c->who.user_id;
	s.server_id = w->target.server_id;
	s.hash = shm_sub_hash(w->own);
	s.expires = expires;
	s.kind = kind;
	s.own = (uint32_t)(w->own.p - w->text.p);
	span_copy(s.text, sizeof(s.text), w->text);
	/* the table is everybody's, and sessions are for the asking */
	if (shm_subs_of_user(c->mcp->shm, s.user_id, now) >= WATCHED_A_USER ||
	    shm_subs_add(c->mcp->shm, &s, now) < 0)
		return err_set(e, ERR_UNAVAILABLE, "no more resources can be "
		    "watched at this time");
	return 0;
}

static int
watched_of_params(struct mcp_call *c, struct mcp_watched *w, struct err *e)
{
	struct span uri;
	int rc = mcp_param_string(c, PARAM_URI, &uri, e);

	if (rc <= 0)
		return rc < 0 ? -1 :
		    err_set(e, ERR_PARAMS, "params.uri is missing");
	if (!c->has_session)
		return err_set(e, ERR_NOSESSION, "Bad Request: watching a "
		    "resource needs a session (Mcp-Session-Id)");
	return mcp_watch_find(c, uri, w, e);
}

int
mcp_m_subscribe(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct shm *shm = c->mcp->shm;
	struct mcp_watched w;

	if (watched_of_params(c, &w, e) < 0 || mcp_limit(c, e) < 0)
		return -1;
	mcp_unpin(c);
	/* first ours: an update may come before the answer */
	if (mcp_watch_add(c, &w, c->session.id, SUB_SESSION,
	    c->session.expires, e) < 0)
		return -1;
	if (mcp_watch_tell(c, &w, "resources/subscribe", e) < 0) {
		shm_subs_remove(shm, c->session.id, w.target.server_id,
		    shm_sub_hash(w.own));
		return -1;
	}
	return buf_add_str(out, "{}");
}

/* The upstream is let go when nobody else watches. That it fails to hear it
 * harms nobody. */
static void
let_go(struct mcp_call *c, const struct mcp_watched *w, uint64_t owner)
{
	struct err e;

	if (w->target.client_session == 0 &&
	    shm_subs_others(c->mcp->shm, owner, w->target.server_id,
	    shm_sub_hash(w->own), c->wall_us / 1000000))
		return;
	if (mcp_watch_tell(c, w, "resources/unsubscribe", &e) < 0)
		log_debug("resources/unsubscribe: %s", e.text);
}

int
mcp_m_unsubscribe(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct mcp_watched w;

	if (watched_of_params(c, &w, e) < 0)
		return -1;
	mcp_unpin(c);
	if (shm_subs_remove(c->mcp->shm, c->session.id, w.target.server_id,
	    shm_sub_hash(w.own)))
		let_go(c, &w, c->session.id);
	return buf_add_str(out, "{}");
}

/* ---- the end of a session -------------------------------------------------- */

struct leaving {
	struct mcp_call	*c;
	struct mcp_watched *w;		/* DELETE_MAX of them */
	unsigned	 n;
};

static void
note_watched(void *arg, const struct shm_sub *s)
{
	struct leaving *l = arg;
	struct mcp_call *c = l->c;
	struct mcp_watched *w = &l->w[l->n];
	uint32_t server = mcp_server_by_id(c->policy, s->server_id);

	if (s->kind != SUB_SESSION || l->n == DELETE_MAX || server == POL_NONE)
		return;
	upstream_target_copy(&w->target, c->mcp->mem, c->policy, server,
	    c->mcp->conf.default_timeout_ms);
	own_session(c, &w->target);
	w->text = arena_dup(c->mcp->mem, span_str(s->text));
	w->own = span_skip(w->text, s->own);
	w->declared = true;
	l->n++;
}

struct marks {
	struct mcp_call	*c;
	uint64_t	 session;
};

static void
end_stream(void *arg, const struct shm_sub *s)
{
	struct marks *m = arg;

	if (s->kind == SUB_STANDALONE && s->hash == m->session &&
	    m->c->http->end_stream != NULL)
		m->c->http->end_stream(m->c->http->release_arg, s->owner);
}

/* DELETE: the id is known to nobody any more. */
int
mcp_session_delete(struct mcp_call *c, struct err *e)
{
	struct shm *shm = c->mcp->shm;
	int64_t now = c->wall_us / 1000000;
	struct leaving l = { .c = c };
	struct marks m = { c, c->session.id };
	unsigned i;

	if (!shm_client_end(shm, c->session.id, c->session.expires))
		return err_set(e, ERR_UNAVAILABLE, "too many sessions were "
		    "ended; this one will expire");
	l.w = arena_alloc(c->mcp->mem, DELETE_MAX * sizeof(l.w[0]));
	shm_subs_each(shm, c->session.id, 0, now, note_watched, &l);
	shm_subs_each(shm, 0, 0, now, end_stream, &m);
	shm_subs_remove_owner(shm, c->session.id);
	mcp_unpin(c);
	for (i = 0; i < l.n; i++)
		let_go(c, &l.w[i], c->session.id);
	return 0;
}
