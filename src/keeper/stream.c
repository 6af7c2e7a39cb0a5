/*
 * stream -- event streams: connections that a worker gave to the keeper for
 * life, with a struct stream_info that says whose they are.
 *
 * The keeper writes what workers push, updates of resources that somebody
 * subscribed to (shm/client.h), heartbeats and the end. It decides nothing: a
 * change of policy or catalog makes every stream stale, and a worker looks at
 * each again, a few at a time. Who does not read is dropped.
 */
#include "keeper/keeper_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/log.h"
#include "net/sse.h"
#include "shm/client.h"
#include "shm/gen.h"

#define OUT_MAX		(256u << 10)	/* unread; then it is too slow */
#define FRAME_MAX	(2 * LANE_EVENT_MAX)
#define HEARTBEAT_MS	15000
#define ASKED_MS	10000	/* then the worker has died over it */
#define IGNORED_MAX	(64u << 10)

static int64_t
wall_s(void)
{
	return clock_wall_us() / 1000000;
}

void
stream_setup(struct keeper *k)
{
	uint32_t i;

	k->ring = xcalloc(k->max, sizeof(k->ring[0]));
	for (i = 0; i < SESSION_BUCKETS; i++)
		k->session[i] = NONE;
	buf_init(&k->frame, FRAME_MAX);
	buf_init(&k->text, FRAME_MAX);
	/* those of a keeper before this one are gone with their sockets */
	shm_subs_remove_streams(k->shm);
	k->policy = shm_generation(k->shm, SNAP_POLICY);
	k->catalog = shm_generation(k->shm, SNAP_CATALOG);
}

/* ---- sessions --------------------------------------------------------------- */

static uint32_t *
bucket(struct keeper *k, uint64_t session)
{
	return &k->session[hash_mix(session) % SESSION_BUCKETS];
}

static uint32_t
find_session(struct keeper *k, uint64_t session)
{
	uint32_t i = *bucket(k, session);

	while (i != NONE && k->c[i].stream->info.session != session)
		i = k->c[i].stream->next;
	return i;
}

static void
forget_session(struct keeper *k, uint32_t i)
{
	uint32_t *at = bucket(k, k->c[i].stream->info.session);

	while (*at != NONE && *at != i)
		at = &k->c[*at].stream->next;
	if (*at == i)
		*at = k->c[i].stream->next;
}

/* ---- stale streams ------------------------------------------------------------ */

static void
make_stale(struct keeper *k, uint32_t i)
{
	struct connection *c = &k->c[i];

	c->stream->stale = true;
	if (c->in_ring)
		return;
	c->in_ring = true;
	k->ring[(k->ring_at + k->ring_n++) % k->max] = i;
}

static void
note_generations(struct keeper *k)
{
	uint64_t policy = shm_generation(k->shm, SNAP_POLICY);
	uint64_t catalog = shm_generation(k->shm, SNAP_CATALOG);
	uint32_t i;

	if (policy == k->policy && catalog == k->catalog)
		return;
	k->policy = policy;
	k->catalog = catalog;
	for (i = k->list[STREAM].head; i != NONE; i = k->c[i].next)
		make_stale(k, i);
}

/* false: the lane is full. */
static bool
ask_worker(struct keeper *k, struct asked *a, uint32_t i, int64_t now)
{
	const struct stream *s = k->c[i].stream;
	struct shm_queue *q = shm_queue(k->shm);
	struct lane_luggage l;
	char message[sizeof(l) + sizeof(s->info)];

	memset(&l, 0, sizeof(l));
	l.id = s->info.id;
	l.bytes = sizeof(s->info);
	l.job = LANE_RECHECK;
	l.accepted_ms = now;
	memcpy(message, &l, sizeof(l));
	memcpy(message + sizeof(l), &s->info, sizeof(s->info));
	atomic_fetch_add(&q->handed, 1);
	if (fdpass_send(k->lanes->hand[LANE_WORK][0], message,
	    sizeof(message), -1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		atomic_fetch_sub(&q->handed, 1);
		return false;
	}
	a->id = s->info.id;
	a->since_ms = now;
	return true;
}

static struct asked *
free_place(struct keeper *k)
{
	int i;

	for (i = 0; i < RECHECKS_MAX; i++)
		if (k->asked[i].id == 0)
			return &k->asked[i];
	return NULL;
}

/* A worker that was killed over a look says nothing: somebody looks again. */
static void
note_lost(struct keeper *k, int64_t now)
{
	uint32_t i;
	int n;

	for (n = 0; n < RECHECKS_MAX; n++) {
		struct asked *a = &k->asked[n];

		if (a->id == 0 || now - a->since_ms < ASKED_MS)
			continue;
		if ((i = keeper_find(k, a->id, STREAM)) != NONE)
			make_stale(k, i);
		a->id = 0;
	}
}

static bool
is_asked(const struct keeper *k, uint64_t id)
{
	int i;

	for (i = 0; i < RECHECKS_MAX; i++)
		if (k->asked[i].id == id)
			return true;
	return false;
}

/* Hands out looks while there are stale streams and free places. */
static void
pump(struct keeper *k, int64_t now)
{
	uint32_t left = k->ring_n;
	bool sent = false;

	while (left-- > 0) {
		struct asked *a = free_place(k);
		uint32_t i = k->ring[k->ring_at];
		struct connection *c = &k->c[i];

		if (a == NULL)
			break;
		if (c->state == STREAM && c->stream->stale &&
		    !is_asked(k, c->stream->info.id)) {
			if (!ask_worker(k, a, i, now))
				break;
			c->stream->stale = false;
			sent = true;
		}
		k->ring_at = (k->ring_at + 1) % k->max;
		k->ring_n--;
		c->in_ring = false;
		/* it became stale again while a worker looks: once more */
		if (c->state == STREAM && c->stream->stale)
			make_stale(k, i);
	}
	if (sent)
		hand_relieve(k);
}

void
stream_answered(struct keeper *k, uint64_t id)
{
	int i;

	for (i = 0; i < RECHECKS_MAX; i++)
		if (k->asked[i].id == id)
			k->asked[i].id = 0;
}

/* ---- life ------------------------------------------------------------------------ */

void
stream_open(struct keeper *k, uint32_t i, struct span bytes, int64_t now)
{
	struct connection *c = &k->c[i];
	struct stream *s;

	if (bytes.n != sizeof(s->info))
		die_bug(__FILE__, __LINE__, "length of a stream's description");
	s = xcalloc(1, sizeof(*s));
	memcpy(&s->info, bytes.p, sizeof(s->info));
	if (s->info.subscription_n > STREAM_SUBSCRIPTION_MAX)
		die_bug(__FILE__, __LINE__, "a stream's subscription id");
	s->info.id = lane_id(k->spawn, c->use, i);
	buf_init(&s->out, OUT_MAX);
	s->next = NONE;
	c->stream = s;
	keeper_move(k, i, STREAM, now);
	if (s->info.session != 0) {
		s->next = *bucket(k, s->info.session);
		*bucket(k, s->info.session) = i;
	}
	keeper_arm(k, i, false);
	if (s->info.policy != k->policy || s->info.catalog != k->catalog)
		make_stale(k, i);
}

void
stream_forget(struct keeper *k, uint32_t i)
{
	struct stream *s = k->c[i].stream;

	if (s == NULL)
		return;
	if (s->info.session != 0)
		forget_session(k, i);
	shm_subs_remove_owner(k->shm, s->info.id);
	buf_free(&s->out);
	free(s);
	k->c[i].stream = NULL;
}

/* Sends what the socket takes. false: the connection is gone. */
static bool
flush(struct keeper *k, uint32_t i)
{
	struct connection *c = &k->c[i];
	struct stream *s = c->stream;

	while (s->out_at < s->out.n) {
		ssize_t n = send(c->fd, s->out.p + s->out_at,
		    s->out.n - s->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0) {
			keeper_drop(k, i);
			return false;
		}
		s->out_at += (size_t)n;
	}
	buf_consume(&s->out, s->out_at);
	s->out_at = 0;
	if (s->out.n == 0)
		buf_reset(&s->out, 4096);
	keeper_arm(k, i, s->out.n > 0);
	return true;
}

/* Appends payload as one chunk. */
static void
frame(struct stream *s, struct span payload)
{
	if (!s->info.is_http10)
		buf_printf(&s->out, "%zx\r\n", payload.n);
	buf_add_span(&s->out, payload);
	if (!s->info.is_http10)
		buf_add_str(&s->out, "\r\n");
}

/* false: the connection is gone. */
static bool
put(struct keeper *k, uint32_t i, struct span payload, int64_t now)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	struct stream *s = k->c[i].stream;

	if (payload.n == 0)
		return true;
	s->out.max = OUT_MAX + payload.n;	/* one large one may pass */
	frame(s, payload);
	if (s->out.overflow) {
		if (log_limit_ok(&ll))
			log_info("a client does not read its event stream; "
			    "closed");
		keeper_drop(k, i);
		return false;
	}
	keeper_move(k, i, STREAM, now);
	return flush(k, i);
}

void
stream_end(struct keeper *k, uint32_t i, int64_t now)
{
	struct stream *s = k->c[i].stream;
	struct span id = span_make(s->info.subscription,
	    s->info.subscription_n);

	if (id.n > 0) {
		buf_reset(&k->text, 65536);
		buf_printf(&k->text, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,"
		    "\"result\":{\"resultType\":\"complete\",\"_meta\":{\""
		    STREAM_META_SUBSCRIPTION "\":%.*s}}}", SPAN_FMT(id),
		    SPAN_FMT(id));
		buf_reset(&k->frame, 65536);
		sse_write(&k->frame, span_make(NULL, 0), buf_span(&k->text));
		frame(s, buf_span(&k->frame));
	}
	if (!s->info.is_http10)
		buf_add_str(&s->out, "0\r\n\r\n");
	if (!flush(k, i))
		return;
	shutdown(k->c[i].fd, SHUT_WR);
	keeper_drop(k, i);
}

void
stream_ready(struct keeper *k, uint32_t i, uint32_t events, int64_t now)
{
	struct connection *c = &k->c[i];
	char junk[4096];
	ssize_t n;

	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
		keeper_drop(k, i);
		return;
	}
	if ((events & EPOLLIN) != 0) {
		/* the answer to a further request would never come */
		n = recv(c->fd, junk, sizeof(junk), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			keeper_drop(k, i);
			return;
		}
		c->stream->ignored += n > 0 ? (size_t)n : 0;
		if (c->stream->ignored > IGNORED_MAX) {
			keeper_drop(k, i);
			return;
		}
	}
	flush(k, i);
}

void
stream_push(struct keeper *k, uint64_t id, struct span bytes, int64_t now)
{
	uint32_t i = keeper_find(k, id, STREAM);
	struct lane_push p;
	struct stream *s;

	if (bytes.n < sizeof(p))
		die_bug(__FILE__, __LINE__, "length of a push");
	memcpy(&p, bytes.p, sizeof(p));
	if (p.is_recheck)
		stream_answered(k, id);
	if (i == NONE)
		return;
	s = k->c[i].stream;
	if (p.is_recheck) {
		s->info.policy = p.policy;
		s->info.catalog = p.catalog;
		memcpy(s->info.list, p.list, sizeof(p.list));
		memcpy(s->info.servers, p.servers, sizeof(p.servers));
		s->info.user = p.user;
		if (p.policy != k->policy || p.catalog != k->catalog)
			make_stale(k, i);
	}
	put(k, i, span_skip(bytes, sizeof(p)), now);
}

/* ---- updates of resources ---------------------------------------------------------- */

struct update {
	struct keeper	*k;
	struct span	 uri;		/* as the server knows it */
	uint64_t	 session;	/* of which client; 0: of any */
	int64_t		 now;
};

static void
deliver(void *arg, const struct shm_sub *sub)
{
	struct update *u = arg;
	struct keeper *k = u->k;
	const struct stream_info *info;
	struct json_out j;
	uint32_t i;

	if ((sub->kind != SUB_SESSION && sub->kind != SUB_STREAM) ||
	    !shm_sub_matches(sub, u->uri) ||
	    (u->session != 0 && sub->kind == SUB_SESSION &&
	    sub->owner != u->session))
		return;
	i = sub->kind == SUB_STREAM ? keeper_find(k, sub->owner, STREAM) :
	    find_session(k, sub->owner);
	if (i == NONE)
		return;
	info = &k->c[i].stream->info;
	/* the client's prefix, and what the server said */
	buf_reset(&k->frame, 65536);
	buf_add(&k->frame, sub->text, sub->own);
	buf_add_span(&k->frame, u->uri);
	buf_reset(&k->text, 65536);
	json_out_init(&j, &k->text);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_str(&j, "method", "notifications/resources/updated");
	json_object_begin(&j, "params");
	json_put_string(&j, "uri", buf_span(&k->frame));
	if (info->subscription_n > 0) {
		json_object_begin(&j, "_meta");
		json_put_raw(&j, STREAM_META_SUBSCRIPTION,
		    span_make(info->subscription, info->subscription_n));
		json_object_end(&j);
	}
	json_object_end(&j);
	json_object_end(&j);
	buf_reset(&k->frame, 65536);
	sse_write(&k->frame, span_make(NULL, 0), buf_span(&k->text));
	put(k, i, buf_span(&k->frame), u->now);
}

/* What a server says to the client of one session, if that may use it. */
static void
say(struct keeper *k, const struct lane_event *ev, struct span message,
    int64_t now)
{
	uint32_t i = find_session(k, ev->session);
	const struct stream_info *info;

	if (i == NONE || ev->health >= SHM_SERVERS_MAX)
		return;
	info = &k->c[i].stream->info;
	if ((info->server_id != 0 && info->server_id != ev->server_id) ||
	    (info->servers[ev->health / 64] >> ev->health % 64 & 1) == 0)
		return;
	buf_reset(&k->frame, 65536);
	sse_write(&k->frame, span_make(NULL, 0), message);
	put(k, i, buf_span(&k->frame), now);
}

/* ---- tasks that somebody watches ------------------------------------------ */

struct news {
	struct keeper	*k;
	struct json_value params;
	struct span	 id;		/* as the server knows it */
	int64_t		 now;
};

/* Name and value as they stood in another object. */
static void
put_as_it_is(struct json_out *j, struct span name, struct span value)
{
	buf_add_str(j->b, j->need_comma ? ",\"" : "\"");
	buf_add_span(j->b, name);
	buf_add_str(j->b, "\":");
	buf_add_span(j->b, value);
	j->need_comma = true;
}

static void
put_task_meta(struct json_out *j, struct json_value meta,
    const struct stream_info *info)
{
	struct json_value v;
	struct span name;
	size_t pos = 0;

	json_object_begin(j, "_meta");
	if (meta.type == JSON_OBJECT)
		while (json_next_member(meta.raw, &pos, &name, &v))
			if (!span_is(name, STREAM_META_SUBSCRIPTION))
				put_as_it_is(j, name, v.raw);
	json_put_raw(j, STREAM_META_SUBSCRIPTION,
	    span_make(info->subscription, info->subscription_n));
	json_object_end(j);
}

/* The task as the server told of it, with the id that the client knows. */
static void
deliver_task(void *arg, const struct shm_sub *sub)
{
	struct news *w = arg;
	struct keeper *k = w->k;
	struct json_value v, meta = { JSON_NONE, { NULL, 0 } };
	struct json_out j;
	struct span name;
	size_t pos = 0;
	uint32_t i;

	if (sub->kind != SUB_STREAM_TASK || sub->own == 0 ||
	    !span_eq(span_str(sub->text + sub->own), w->id) ||
	    (i = keeper_find(k, sub->owner, STREAM)) == NONE)
		return;
	buf_reset(&k->text, 65536);
	json_out_init(&j, &k->text);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_str(&j, "method", "notifications/tasks");
	json_object_begin(&j, "params");
	while (json_next_member(w->params.raw, &pos, &name, &v)) {
		if (span_is(name, "_meta"))
			meta = v;
		else if (span_is(name, "taskId"))
			json_put_string(&j, "taskId",
			    span_make(sub->text, sub->own - 1));
		else
			put_as_it_is(&j, name, v.raw);
	}
	put_task_meta(&j, meta, &k->c[i].stream->info);
	json_object_end(&j);
	json_object_end(&j);
	buf_reset(&k->frame, 65536);
	sse_write(&k->frame, span_make(NULL, 0), buf_span(&k->text));
	if (!k->frame.overflow && !k->text.overflow)
		put(k, i, buf_span(&k->frame), w->now);
}

static void
tell_task(struct keeper *k, int64_t server_id, struct span message,
    int64_t now)
{
	static const char *const names[] = { "params" };
	static const char *const pnames[] = { "taskId" };
	struct news w = { .k = k, .now = now };
	char id[SHM_SUB_TEXT];
	struct json_value v;
	long n;

	if (json_check(message, &v, NULL) != JSON_OK ||
	    v.type != JSON_OBJECT ||
	    json_object(message, names, &w.params, 1) != JSON_OK ||
	    w.params.type != JSON_OBJECT ||
	    json_object(w.params.raw, pnames, &v, 1) != JSON_OK ||
	    (n = json_string_decode(v, id, sizeof(id))) <= 0)
		return;
	w.id = span_make(id, (size_t)n);
	shm_subs_each(k->shm, 0, -server_id, wall_s(), deliver_task, &w);
}

void
stream_event(struct keeper *k, struct span bytes, int64_t now)
{
	struct update u = { .k = k, .now = now };
	struct lane_event ev;

	if (bytes.n < sizeof(ev))
		die_bug(__FILE__, __LINE__, "length of an event");
	if (k->list[STREAM].n == 0)
		return;
	memcpy(&ev, bytes.p, sizeof(ev));
	bytes = span_skip(bytes, sizeof(ev));
	switch ((enum lane_event_kind)ev.kind) {
	case LANE_SAY:
		say(k, &ev, bytes, now);
		break;
	case LANE_UPDATED:
		u.session = ev.session;
		u.uri = bytes;
		shm_subs_each(k->shm, 0, ev.server_id, wall_s(), deliver, &u);
		break;
	case LANE_TASK:
		tell_task(k, ev.server_id, bytes, now);
		break;
	}
}

/* ---- time ------------------------------------------------------------------------------ */

void
stream_tick(struct keeper *k, int64_t now)
{
	struct list *l = &k->list[STREAM];

	note_generations(k);
	note_lost(k, now);
	if (l->n == 0)
		return;
	pump(k, now);
	while (l->head != NONE &&
	    now - k->c[l->head].since_ms >= HEARTBEAT_MS) {
		uint32_t i = l->head;
		int64_t expires = k->c[i].stream->info.expires;

		if (expires != 0 && wall_s() >= expires)
			stream_end(k, i, now);
		else
			put(k, i, SPAN_LIT(": keep-alive\n\n"), now);
	}
}
