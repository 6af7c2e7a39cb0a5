/*
 * h_status -- status and reload: what the running daemon knows, out of shared
 * memory. No database.
 */
#include "api/api_int.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "mcp/catalog.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "shm/slot.h"

static const char *
db_state_name(uint64_t s)
{
	static const char *const names[] = { "unknown", "up", "down",
	    "not configured" };

	return s < 4 ? names[s] : "unknown";
}

static const char *
audit_state_name(uint64_t s)
{
	static const char *const names[] = { "starting", "ok", "failing",
	    "spool full" };

	return s < 4 ? names[s] : "unknown";
}

static const char *
state_name(uint32_t s)
{
	static const char *const names[] = { "free", "starting", "idle",
	    "reading", "calling", "writing", "holding", "exiting" };

	return s < sizeof(names) / sizeof(names[0]) ? names[s] : "?";
}

static void
put_u64(struct json_out *j, const char *name, uint64_t v)
{
	json_put_int(j, name, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

static void
put_daemon(struct api *a, struct json_out *j)
{
	struct shm *shm = a->shm;
	const struct shm_head *h = shm->zone[ZONE_HEAD];
	const struct shm_audit *audit = shm_audit(shm);
	const struct shm_queue *q = shm_queue(shm);
	struct shm_ctl *k = shm_ctl(shm);
	const char *why = a->host->why_not_ready(a);
	uint64_t written = atomic_load(&audit->journal_bytes);
	uint64_t shipped = atomic_load(&audit->shipped_bytes);

	json_object_begin(j, "daemon");
	json_put_string(j, "version", span_make(h->build,
	    strcspn(h->build, "/")));
	json_put_int(j, "pid", h->master_pid);
	json_put_str(j, "ready", why == NULL ? "yes" :
	    arena_printf(a->mem, "no: %s", why));
	json_put_int(j, "uptime_seconds", (clock_mono_ms() -
	    atomic_load(&k->started_mono_ms)) / 1000);
	put_u64(j, "workers", atomic_load(&k->workers));
	put_u64(j, "workers_idle", atomic_load(&q->idle));
	put_u64(j, "connections", atomic_load(&q->connections));
	put_u64(j, "requests", shm_counter_sum(shm, C_HTTP_REQUESTS));
	json_put_str(j, "database",
	    db_state_name(atomic_load(&shm_poll(shm)->db_state)));
	json_put_str(j, "audit", audit_state_name(atomic_load(&audit->state)));
	put_u64(j, "audit_spool_bytes", written > shipped ?
	    written - shipped : 0);
	put_u64(j, "reloads", atomic_load(&k->reloads));
	put_u64(j, "reloads_failed", atomic_load(&k->reloads_failed));
	json_object_end(j);
}

static void
put_server(struct json_out *j, const struct shm_health *h)
{
	uint64_t status = atomic_load(&h->status);

	json_object_begin(j, NULL);
	json_put_string(j, "name", span_make(h->name,
	    strnlen(h->name, sizeof(h->name) - 1)));
	json_put_str(j, "status",
	    health_status_name((enum shm_health_status)status));
	json_put_str(j, "circuit", breaker_state_name(breaker_state(h)));
	put_u64(j, "tools", atomic_load(&h->tools));
	put_u64(j, "calls", atomic_load(&h->calls));
	put_u64(j, "failures", atomic_load(&h->failures));
	put_u64(j, "latency_us", atomic_load(&h->latency_us));
	if (status == HEALTH_HEALTHY)
		json_put_null(j, "error");
	else
		json_put_string(j, "error", span_make(h->error,
		    strnlen(h->error, sizeof(h->error) - 1)));
	json_object_end(j);
}

/* Servers as the running daemon knows them; asks no database. */
static void
put_servers(struct api_call *c, struct json_out *j)
{
	const struct cat_head *cat = api_catalog(c);
	uint32_t i, k;

	json_array_begin(j, "servers");
	for (i = 0; cat != NULL && i < cat->n_servers; i++)
		for (k = 0; k < SHM_SERVERS_MAX; k++) {
			const struct shm_health *h = shm_health(c->api->shm,
			    k);

			if (atomic_load(&h->server_id) ==
			    cat_server(cat, i)->server_id)
				put_server(j, h);
		}
	json_array_end(j);
}

/* A worker has several slots; of those that idle one says it all. */
static bool
is_another_idle(const struct shm *shm, uint32_t i)
{
	const struct shm_slot *s = shm_slot(shm, i);

	return i > 0 && atomic_load(&s->state) == SLOT_IDLE &&
	    atomic_load(&s->pid) == atomic_load(&shm_slot(shm, i - 1)->pid);
}

static void
put_process(struct json_out *j, const struct shm *shm, uint32_t i)
{
	const struct shm_slot *s = shm_slot(shm, i);
	struct shm_request r;
	char seconds[32];
	bool any = slot_request_get(shm, i, &r) && r.call != 0;

	snprintf(seconds, sizeof(seconds), "%.1f", (double)(clock_mono_ms() -
	    atomic_load(&s->since_ms)) / 1000);
	json_object_begin(j, NULL);
	json_put_int(j, "slot", i);
	json_put_str(j, "role",
	    shm_kind_name((enum shm_kind)atomic_load(&s->kind)));
	json_put_int(j, "pid", atomic_load(&s->pid));
	json_put_str(j, "state", state_name(atomic_load(&s->state)));
	json_put_raw(j, "seconds", span_str(seconds));
	put_u64(j, "served", atomic_load(&s->served));
	json_put_str(j, "principal", any ? r.principal : NULL);
	json_put_str(j, "method", any ? r.method : NULL);
	json_put_str(j, "server", any ? r.server : NULL);
	json_put_str(j, "object", any ? r.object : NULL);
	json_object_end(j);
}

int
api_get_status(struct api_call *c, struct json_out *j, struct err *e)
{
	struct api *a = c->api;
	uint32_t i;

	if (a->host->need_shm(a, true, e) < 0)
		return -1;
	json_object_begin(j, NULL);
	put_daemon(a, j);
	put_servers(c, j);
	json_array_begin(j, "processes");
	for (i = 0; i < a->shm->sizes.slots; i++)
		if (atomic_load(&shm_slot(a->shm, i)->pid) != 0 &&
		    !is_another_idle(a->shm, i))
			put_process(j, a->shm, i);
	json_array_end(j);
	json_object_end(j);
	return 0;
}

static void
put_lines(struct json_out *j, const char *name, struct span text)
{
	json_array_begin(j, name);
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end == NULL ? text.n : (size_t)(end - text.p);

		if (n > 0)
			json_put_string(j, NULL, span_make(text.p, n));
		text = span_skip(text, n + 1);
	}
	json_array_end(j);
}

/* What is wrong with it is part of the answer, also when it was loaded. */
int
api_reload(struct api_call *c, struct json_out *j, struct err *e)
{
	struct buf findings;
	int rv;

	buf_init(&findings, 1u << 20);
	rv = c->api->host->reload(c->api, &findings, e);
	if (rv == 0 || e->code == ERR_CONFIG) {
		json_object_begin(j, NULL);
		json_put_bool(j, "ok", rv == 0);
		put_lines(j, "findings", buf_span(&findings));
		json_object_end(j);
	}
	buf_free(&findings);
	return rv;
}
