/*
 * session -- the sessions at upstream servers: one that all processes share,
 * and one for each client session that wants its own; the calls that need
 * one.
 *
 * Workers, poller, tools. A session is opened by whoever claims it in shared
 * memory; the others look again every 2 ms until it is there or their own
 * deadline passes. A claimer that was killed is swept by the master, then
 * another one claims. Never retries more than once. How one is opened is told
 * in opening.c.
 */
#include "upstream/opening_int.h"

#include "base/clock.h"
#include "base/log.h"

#define NAP_MS		2
#define EVICT_MS	60000	/* a session unused for less is not given up */
#define LEARN_MS	5000	/* for an era that may not be there */
#define AGAIN_MS	3600000	/* one that refused it is asked again */
#define AGAIN_SOON_MS	60000	/* one that did not say */

static bool
has_shm(const struct upstream_pool *pool)
{
	return pool->shm != NULL && pool->shm->slot != UINT32_MAX &&
	    pool->shm->zone[ZONE_SESS] != NULL;
}

/* Kept by this process: a link, or there is no shared memory. */
static int
open_private(struct opening *o, uint64_t stale, bool force,
    struct sess_info *out, struct buf *result, struct err *e)
{
	struct sess_info *own = &o->entry->session;
	uint64_t opened = own->opened;

	if (force || own->era == ERA_UNKNOWN || own->opened == stale) {
		if (opening_run(o, result, e) < 0)
			return -1;
		*own = o->session;	/* links: it stands there already */
		own->opened = opened + 1;
	}
	*out = *own;
	return 0;
}

/* ---- the shared one ---- */

/* Opens it with the claim in hand, which is given back in any case. */
static int
open_claimed(struct opening *o, struct sess_info *out, struct buf *result,
    struct err *e)
{
	struct shm *shm = o->pool->shm;
	uint32_t place = o->target->health;

	if (opening_run(o, result, e) < 0) {
		shm_sess_release(shm, place);
		return -1;
	}
	shm_sess_put(shm, place, o->target->server_id, &o->session);
	if (!shm_sess_get(shm, place, o->target->server_id, out)) {
		/* Opened again already by somebody else; ours still lives. */
		*out = o->session;
	}
	return 0;
}

/*
 * For the raw result, while the others go on with the session they have: no
 * claim is held during the opening, and the new session is ended at once,
 * unless the server speaks differently now. 1: there is no shared session or
 * it is stale, so open that one.
 */
static int
open_beside(struct opening *o, uint64_t stale, struct sess_info *out,
    struct buf *result, struct err *e)
{
	struct shm *shm = o->pool->shm;
	uint32_t place = o->target->health;
	int64_t server_id = o->target->server_id;
	struct sess_info now;

	if (!shm_sess_get(shm, place, server_id, &now) || now.opened == stale)
		return 1;
	if (opening_run(o, result, e) < 0)
		return -1;
	*out = now;
	if (o->session.era == now.era && o->session.flags == now.flags &&
	    strcmp(o->session.version, now.version) == 0) {
		opening_end(o->pool, o->entry, o->target, &o->session, false);
	} else if (shm_sess_claim(shm, place, now.opened)) {
		shm_sess_put(shm, place, server_id, &o->session);
		*out = o->session;
		out->opened = now.opened + 1;
	}
	return 0;
}

static int
open_shared(struct opening *o, uint64_t stale, bool force,
    struct sess_info *out, struct buf *result, struct err *e)
{
	const struct upstream_target *t = o->target;
	struct sess_info now;
	bool there;
	int rv;

	for (;;) {
		if (force && (rv = open_beside(o, stale, out, result, e)) <= 0)
			return rv;
		there = shm_sess_get(o->pool->shm, t->health, t->server_id,
		    &now);
		if (there && !force && now.opened != stale) {
			*out = now;
			return 0;
		}
		if (shm_sess_claim(o->pool->shm, t->health, now.opened))
			return open_claimed(o, out, result, e);
		if (wire_nap(o->watch, NAP_MS, e) < 0)
			return err_wrap(e, "server \"%s\": opening",
			    t->name);
	}
}

/* ---- those of single clients ---- */

/* 0: of none, so the shared one. */
static uint64_t
client_of(const struct upstream_target *t)
{
	if (t->client_caps != 0)
		return t->client_session;
	return t->wants_legacy ? UPSTREAM_PLAIN : 0;
}

/*
 * The answer to initialize says whether a modern server speaks the legacy era,
 * too. One that keeps no sessions there has nothing for legacy clients that
 * they lack in the modern era. rv and e: of opening_run().
 */
static int
note_legacy(struct opening *o, int rv, struct err *e)
{
	const struct upstream_target *t = o->target;
	int64_t now_ms = clock_mono_ms();
	bool has_none = rv == 0 && o->entry->via == VIA_HTTP &&
	    o->session.id[0] == '\0';
	bool is_sure = has_none || (rv < 0 && opening_is_refused(o, e));

	if (rv < 0 && !is_sure && (e->code == ERR_CANCELLED ||
	    o->legacy == LEGACY_YES))
		return -1;		/* says nothing */
	legacy_learned(shm_health(o->pool->shm, t->health), o->legacy_word,
	    t->config_hash, rv < 0 || has_none ? LEGACY_NO : LEGACY_YES,
	    now_ms + (is_sure ? AGAIN_MS : AGAIN_SOON_MS));
	return !has_none ? rv : err_set(e, ERR_UPSTREAM, "server \"%s\": it "
	    "keeps no sessions in the legacy era", t->name);
}

static int
client_claimed(struct opening *o, uint32_t place, struct sess_info *out,
    struct buf *result, struct err *e)
{
	struct shm *shm = o->pool->shm;
	int rv = opening_run(o, result, e);

	if (o->is_beside)
		rv = note_legacy(o, rv, e);
	if (rv < 0) {
		shm_sess_client_drop(shm, place);
		return -1;
	}
	shm_sess_put(shm, place, o->target->server_id, &o->session);
	if (!shm_sess_get(shm, place, o->target->server_id, out))
		*out = o->session;
	hear_tell(o);
	return 0;
}

/* One look. 1: *out is filled; 2: *place is claimed; 0: look again; -1. */
static int
client_look(struct opening *o, uint64_t stale, struct sess_info *out,
    uint32_t *place, struct err *e)
{
	const struct upstream_target *t = o->target;
	struct shm *shm = o->pool->shm;
	int64_t now_ms = clock_mono_ms();
	enum sess_claim claim;
	struct sess_old old;

	switch (shm_sess_client_get(shm, t->server_id, o->client, now_ms, out,
	    place)) {
	case SESS_THERE:
		if (out->opened != stale)
			return 1;
		return shm_sess_claim(shm, *place, stale) ? 2 : 0;
	case SESS_OPENING:
		return 0;
	case SESS_NONE:
		break;
	}
	claim = shm_sess_client_claim(shm, t->server_id, o->client, now_ms,
	    EVICT_MS, place, &old);
	if (old.server_id != 0)
		reap_old(o->pool, &old, false);
	if (claim == SESS_FULL)
		return err_set(e, ERR_UNAVAILABLE, "server \"%s\": too many "
		    "clients have sessions of their own", t->name);
	return claim == SESS_CLAIMED ? 2 : 0;
}

/* Not in step with who may be doing the same. */
static int
client_nap(struct opening *o, struct err *e)
{
	return wire_nap(o->watch, NAP_MS + (int)(o->pool->shm->slot % 4), e);
}

static int
open_client(struct opening *o, uint64_t stale, struct sess_info *out,
    struct buf *result, struct err *e)
{
	uint32_t place = SHM_SESS_NONE;
	int rv;

	o->client = client_of(o->target);
	for (;;) {
		if ((rv = client_look(o, stale, out, &place, e)) == 2)
			return client_claimed(o, place, out, result, e);
		if (rv != 0)
			return rv < 0 ? -1 : 0;
		if (client_nap(o, e) < 0)
			return err_wrap(e, "server \"%s\": opening",
			    o->target->name);
	}
}

/* ---- which ---- */

static void
look_legacy(struct opening *o)
{
	o->legacy = legacy_known(shm_health(o->pool->shm, o->target->health),
	    o->target->config_hash, clock_mono_ms(), &o->legacy_word);
}

/* Would a session of one client differ from the shared one? */
static bool
is_different(struct opening *o, const struct sess_info *shared)
{
	const struct upstream_target *t = o->target;

	if (shared->era == ERA_MODERN) {
		if (!t->wants_legacy)
			return false;
		look_legacy(o);
		return o->legacy == LEGACY_YES ||
		    (o->legacy == LEGACY_UNKNOWN && t->client_caps != 0);
	}
	return shared->era == ERA_LEGACY && t->client_caps != 0 &&
	    (o->entry->via == VIA_STDIO || shared->id[0] != '\0');
}

/* Who asked before may have learned it, and gone, since we looked. */
static int
claimed_to_learn(struct opening *o, uint32_t place, struct err *e)
{
	struct sess_info s;

	look_legacy(o);
	if (o->legacy == LEGACY_UNKNOWN)
		return client_claimed(o, place, &s, NULL, e);
	shm_sess_client_drop(o->pool->shm, place);
	return 0;
}

/*
 * Does this modern server speak the legacy era, too? Only initialize tells. One
 * asks, the others wait for what comes of it. The session stays, for all that
 * need none of their own; one from before may be dead. -1: cancelled.
 */
static int
learn_legacy(struct opening *o, struct err *e)
{
	struct upstream_target plain = *o->target;
	struct upstream_call brief = *o->watch;
	struct opening q = { .pool = o->pool, .target = &plain,
	    .entry = o->entry, .watch = &brief, .client = UPSTREAM_PLAIN,
	    .is_beside = true };
	int64_t now_ms = clock_mono_ms();
	int64_t half_ms = (brief.deadline_ms - now_ms) / 2;
	uint32_t place = SHM_SESS_NONE;
	uint64_t stale = 0;
	struct sess_info s;
	int rv = 0;

	plain.client_caps = 0;
	plain.client_caps_json = NULL;
	/* a process has to be started first */
	brief.deadline_ms = now_ms + (half_ms < LEARN_MS ||
	    o->entry->via == VIA_STDIO ? half_ms : LEARN_MS);
	for (look_legacy(&q); q.legacy == LEGACY_UNKNOWN && rv >= 0;
	    look_legacy(&q)) {
		if ((rv = client_look(&q, stale, &s, &place, e)) == 1)
			stale = s.opened;
		else if (rv == 2)
			rv = claimed_to_learn(&q, place, e);
		else if (rv == 0)
			rv = client_nap(&q, e);
	}
	look_legacy(o);
	if (rv >= 0)
		return 0;
	if (e->code == ERR_CANCELLED)
		return -1;
	log_debug("%s", e->text);
	err_clear(e);
	return 0;
}

/* That of the client. Without it a modern server is still there for all, and
 * nothing has happened yet. */
static int
open_different(struct opening *o, const struct sess_info *shared,
    uint64_t stale, struct sess_info *out, struct buf *result, struct err *e)
{
	o->is_beside = shared->era == ERA_MODERN;
	if (o->is_beside && o->legacy == LEGACY_UNKNOWN &&
	    learn_legacy(o, e) < 0)
		return -1;
	if (!o->is_beside || o->legacy == LEGACY_YES) {
		if (open_client(o, stale, out, result, e) == 0)
			return 0;
		if (!o->is_beside || e->code == ERR_CANCELLED ||
		    e->code == ERR_TIMEOUT)
			return -1;
		log_debug("%s", e->text);
		err_clear(e);
	}
	*out = *shared;
	return 0;
}

/* The connection is the session: of this process alone, or its owner's. */
static int
open_own_link(struct opening *o, uint64_t stale, bool force,
    struct sess_info *out, struct buf *result, struct err *e)
{
	o->client = client_of(o->target);
	if ((o->entry = pool_entry(o->pool, o->target, o->client, e)) == NULL)
		return err_wrap(e, "server \"%s\"", o->target->name);
	if (open_private(o, stale, force, out, result, e) == 0)
		return 0;
	if (o->entry->via != VIA_OWNER || !o->watch->is_blameless ||
	    e->code == ERR_TIMEOUT || e->code == ERR_CANCELLED)
		return -1;
	/* nobody hears what it says in between, but calls work */
	o->entry->is_direct = true;
	o->watch->is_blameless = false;
	if ((o->entry = pool_entry(o->pool, o->target, o->client, e)) == NULL)
		return -1;
	return open_private(o, stale, force, out, result, e);
}

/* What was found out about a server configured as "http", here or in another
 * process. */
static void
set_detected(struct upstream_entry *x, bool is_sse)
{
	if (x->via_detected == is_sse)
		return;
	if (!is_sse)
		link_is_gone(x);
	x->via = is_sse ? VIA_SSE : VIA_HTTP;
	x->via_detected = is_sse;
}

/* It was found to speak HTTP+SSE. If it does not any more, that is found out
 * again. */
static int
open_detected(struct opening *o, const struct sess_info *shared,
    uint64_t stale, struct sess_info *out, struct buf *result, struct err *e)
{
	struct upstream_entry *x = o->entry;
	struct err inner;

	if (open_own_link(o, stale, false, out, result, e) == 0)
		return 0;
	if (e->code != ERR_UPSTREAM)
		return -1;
	set_detected(x, false);
	o->entry = x;
	o->client = 0;
	if (open_shared(o, shared->opened, false, out, NULL, &inner) < 0)
		return -1;		/* what the stream said counts */
	set_detected(x, out->flags & SESS_SSE);
	return x->via_detected ? open_own_link(o, 0, false, out, result, e) :
	    0;
}

static int
open_via_shm(struct opening *o, uint64_t stale, bool force,
    struct sess_info *out, struct buf *result, struct err *e)
{
	const struct upstream_target *t = o->target;
	bool wants_own = client_of(t) != 0 && !force, there;
	struct sess_info now;

	there = shm_sess_get(o->pool->shm, t->health, t->server_id, &now);
	if (there)
		set_detected(o->entry, now.flags & SESS_SSE);
	if (there && wants_own && is_different(o, &now))
		return open_different(o, &now, stale, out, result, e);
	/* The number of a link says nothing about the shared session. */
	if (open_shared(o, entry_is_link(o->entry) ? 0 : stale, force, out,
	    result, e) < 0)
		return -1;
	set_detected(o->entry, out->flags & SESS_SSE);
	if (o->entry->via_detected) {
		now = *out;
		return open_detected(o, &now, stale, out, result, e);
	}
	if (!wants_own || !is_different(o, out))
		return 0;
	now = *out;
	return open_different(o, &now, 0, out, NULL, e);
}

static int
open_session(struct upstream_pool *pool, const struct upstream_target *t,
    uint64_t stale, bool force, struct upstream_call *watch,
    struct sess_info *out, struct buf *result, struct err *e)
{
	struct opening o = { .pool = pool, .target = t, .watch = watch };

	if (pool->call != NULL)
		return err_set(e, ERR_INTERNAL,
		    "server \"%s\": opening inside of on_message", t->name);
	if ((o.entry = pool_entry(pool, t, 0, e)) == NULL ||
	    pool_check_transport(o.entry, e) < 0)
		return err_wrap(e, "server \"%s\"", t->name);
	if (entry_is_link(o.entry) && !o.entry->via_detected)
		return open_own_link(&o, stale, force, out, result, e);
	if (!has_shm(pool) || t->health >= SHM_SERVERS_MAX)
		return entry_is_link(o.entry) ?
		    open_own_link(&o, stale, force, out, result, e) :
		    open_private(&o, stale, force, out, result, e);
	return open_via_shm(&o, stale, force, out, result, e);
}

int
upstream_open(struct upstream_pool *pool, const struct upstream_target *t,
    uint64_t stale, bool force, int64_t deadline_ms, struct sess_info *out,
    struct buf *result, struct err *e)
{
	struct upstream_call watch = { .client_fd = -1,
	    .deadline_ms = deadline_ms };

	return open_session(pool, t, stale, force, &watch, out, result, e);
}

bool
upstream_link_of(struct upstream_pool *pool, const struct upstream_target *t,
    uint64_t client_session, struct sess_info *out)
{
	struct upstream_entry *x;
	struct err e;

	if ((x = pool_entry(pool, t, 0, &e)) == NULL)
		return false;
	memset(out, 0, sizeof(*out));
	if (!entry_is_link(x) && has_shm(pool) && t->health < SHM_SERVERS_MAX &&
	    shm_sess_get(pool->shm, t->health, t->server_id, out))
		set_detected(x, out->flags & SESS_SSE);
	memset(out, 0, sizeof(*out));
	out->era = ERA_LEGACY;
	out->client_session = client_session;
	return entry_is_link(x);
}

int
upstream_request(struct upstream_pool *pool, const struct upstream_target *t,
    struct upstream_call *call, upstream_compose_fn compose, void *arg,
    struct buf *params_buf, struct err *e)
{
	uint64_t stale = 0;
	int i;

	call->maybe_executed = false;
	for (i = 0; i < 2; i++) {
		call->session_gone = false;
		if (open_session(pool, t, stale, false, call, &call->session,
		    NULL, e) < 0)
			return -1;
		buf_reset(params_buf, UPSTREAM_OUT_KEEP);
		if (compose(arg, &call->session, params_buf, e) < 0)
			return -1;
		call->params = buf_span(params_buf);
		if (upstream_exchange(pool, t, call, e) == 0)
			return 0;
		if (!call->session_gone || call->maybe_executed)
			return -1;
		stale = call->session.opened;
	}
	return -1;
}
