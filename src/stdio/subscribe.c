/*
 * subscribe -- resources and tasks of stdio servers that clients watch:
 * keeping the servers informed and passing on what they announce.
 *
 * stdiod only. A legacy server is told by the worker that serves the client;
 * a process that was started anew is told here what is watched already. A
 * modern server gets one subscriptions/listen for everything. Announcements
 * go to the keeper, which knows whose streams they belong on.
 */
#include "stdio/subscribe.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "keeper/lane.h"
#include "shm/client.h"
#include "shm/slot.h"

#ifndef PACKAGE_VERSION
#include "config.h"
#endif

#define META		"io.modelcontextprotocol/"
#define EVENTS_S	500	/* a second, all servers together */

/* ---- what they announce ------------------------------------------------------ */

static bool
may_send(struct stdiod *sd)
{
	int64_t more = (sd->now_ms - sd->event_ms) * EVENTS_S / 1000;

	if (more > 0) {
		sd->event_ms = sd->now_ms;
		sd->event_tokens += more;
		if (sd->event_tokens > EVENTS_S)
			sd->event_tokens = EVENTS_S;
	}
	if (sd->event_tokens <= 0)
		return false;
	sd->event_tokens--;
	return true;
}

void
subscribe_updated(struct stdiod *sd, struct process *p,
    const struct mux_message *m)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	static const char *const params[] = { "params" };
	static const char *const uri[] = { "uri" };
	struct json_value v;
	char text[SHM_SUB_TEXT];
	long n;

	if (sd->event_fd < 0 || json_object(m->text, params, &v, 1) != JSON_OK ||
	    v.type != JSON_OBJECT ||
	    json_object(v.raw, uri, &v, 1) != JSON_OK ||
	    (n = json_string_decode(v, text, sizeof(text))) <= 0 ||
	    !shm_subs_wanted(sd->shm, p->server_id, span_make(text, (size_t)n),
	    clock_wall_us() / 1000000))
		return;
	if ((!may_send(sd) || lane_send_updated(sd->event_fd, p->server_id,
	    0, span_make(text, (size_t)n)) < 0) && log_limit_ok(&ll))
		log_warn("server \"%s\": too many updates of resources; some "
		    "are left out", p->name);
}

void
subscribe_task(struct stdiod *sd, struct process *p,
    const struct mux_message *m)
{
	static struct log_limit ll = { .interval_ms = 10000 };
	static const char *const params[] = { "params" };
	static const char *const task[] = { "taskId" };
	struct lane_event ev = { .server_id = p->server_id, .kind = LANE_TASK };
	struct json_value v;
	char id[SHM_SUB_TEXT];
	long n;

	if (sd->event_fd < 0 || p->listen_id == 0 ||
	    json_object(m->text, params, &v, 1) != JSON_OK ||
	    v.type != JSON_OBJECT ||
	    json_object(v.raw, task, &v, 1) != JSON_OK ||
	    (n = json_string_decode(v, id, sizeof(id))) <= 0 ||
	    !shm_subs_others(sd->shm, 0, -p->server_id,
	    shm_sub_hash(span_make(id, (size_t)n)), clock_wall_us() / 1000000))
		return;
	if ((!may_send(sd) || lane_send(sd->event_fd, &ev, m->text) < 0) &&
	    log_limit_ok(&ll))
		log_warn("server \"%s\": too much news of tasks; some is left "
		    "out", p->name);
}

/* ---- what they are told -------------------------------------------------------- */

struct telling {
	struct stdiod	*sd;
	struct process	*p;
	struct buf	 b;
	uint64_t	 hash;		/* of the union, in any order */
	bool		 any, any_task;
};

bool
subscribe_is_own(const struct stdiod *sd, uint64_t id)
{
	return id >> 40 == sd->shm->slot;
}

static void
tell_legacy(void *arg, const struct shm_sub *s)
{
	struct telling *t = arg;

	if (s->kind == SUB_STANDALONE)
		return;
	buf_reset(&t->b, 4096);
	buf_printf(&t->b, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":"
	    "\"resources/subscribe\",\"params\":{\"uri\":",
	    (unsigned long long)slot_next_call(t->sd->shm));
	json_quote(&t->b, span_str(s->text + s->own));
	buf_add_str(&t->b, "}}");
	process_send(t->sd, t->p, buf_span(&t->b));
}

static void
add_uri(void *arg, const struct shm_sub *s)
{
	struct telling *t = arg;

	if (s->kind == SUB_STANDALONE)
		return;
	t->hash += hash_mix(s->hash);
	buf_add_str(&t->b, t->any ? "," : ",\"resourceSubscriptions\":[");
	json_quote(&t->b, span_str(s->text + s->own));
	t->any = true;
}

static void
add_task(void *arg, const struct shm_sub *s)
{
	struct telling *t = arg;

	if (s->kind != SUB_STREAM_TASK)
		return;
	t->hash += hash_mix(~s->hash);
	buf_add_str(&t->b, t->any_task ? "," : ",\"taskIds\":[");
	json_quote(&t->b, span_str(s->text + s->own));
	t->any_task = true;
}

static void
listen_modern(struct telling *t)
{
	int64_t now = clock_wall_us() / 1000000;
	struct process *p = t->p;
	uint64_t id = slot_next_call(t->sd->shm);
	struct buf old;

	buf_printf(&t->b, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":"
	    "\"subscriptions/listen\",\"params\":{\"_meta\":{\"" META
	    "protocolVersion\":\"%s\",\"" META "clientInfo\":{\"name\":"
	    "\"omni2\",\"version\":\"" PACKAGE_VERSION "\"},\"" META
	    "clientCapabilities\":{\"extensions\":{\"" META "tasks\":{}}}},"
	    "\"notifications\":{\"toolsListChanged\":"
	    "true,\"promptsListChanged\":true,\"resourcesListChanged\":true",
	    (unsigned long long)id, p->version);
	shm_subs_each(t->sd->shm, 0, p->server_id, now, add_uri, t);
	buf_add_str(&t->b, t->any ? "]" : "");
	shm_subs_each(t->sd->shm, 0, -p->server_id, now, add_task, t);
	buf_add_str(&t->b, t->any_task ? "]}}}" : "}}}");
	if (t->b.overflow || (p->listen_id != 0 && p->listen_hash == t->hash))
		return;
	if (p->listen_id != 0) {
		buf_init(&old, 1024);
		buf_printf(&old, "{\"jsonrpc\":\"2.0\",\"method\":"
		    "\"notifications/cancelled\",\"params\":{\"requestId\":"
		    "%llu}}", (unsigned long long)p->listen_id);
		process_send(t->sd, p, buf_span(&old));
		buf_free(&old);
	}
	p->listen_id = id;
	p->listen_hash = t->hash;
	process_send(t->sd, p, buf_span(&t->b));
}

void
subscribe_ready(struct stdiod *sd, struct process *p)
{
	struct telling t = { .sd = sd, .p = p };

	buf_init(&t.b, 8u << 20);
	if (p->era == ERA_LEGACY)
		shm_subs_each(sd->shm, 0, p->server_id,
		    clock_wall_us() / 1000000, tell_legacy, &t);
	else
		listen_modern(&t);
	buf_free(&t.b);
}

void
subscribe_tick(struct stdiod *sd)
{
	uint64_t now = shm_subs_changes(sd->shm);
	struct process *p;

	if (now == sd->subs_seen)
		return;
	sd->subs_seen = now;
	TAILQ_FOREACH(p, &sd->processes, link)
		if (p->state == PROCESS_READY && p->era == ERA_MODERN)
			subscribe_ready(sd, p);
}

static void
note_any(void *arg, const struct shm_sub *s)
{
	bool *any = arg;

	*any |= s->kind != SUB_STANDALONE && s->kind != SUB_TASK;
}

bool
subscribe_is_watched(const struct stdiod *sd, int64_t server_id)
{
	bool any = false;

	shm_subs_each(sd->shm, 0, server_id, clock_wall_us() / 1000000,
	    note_any, &any);
	shm_subs_each(sd->shm, 0, -server_id, clock_wall_us() / 1000000,
	    note_any, &any);
	return any;
}
