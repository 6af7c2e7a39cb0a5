/*
 * health -- /health, /health/live, /health/ready as JSON.
 *
 * The fields are those of the documents (behaviour.md section 1.2). live says
 * that the process answers; ready that requests can be served: a policy with
 * the database's rows, and an audit trail that can be written.
 */
#include "web/web.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "config.h"
#include "conf/model.h"
#include "policy/snapshot.h"
#include "shm/gen.h"
#include "shm/health.h"

static const char *
database_status(struct shm *shm)
{
	switch (atomic_load(&shm_poll(shm)->db_state)) {
	case DB_UP:
		return "healthy";
	case DB_DOWN:
		return "unhealthy";
	case DB_NOT_CONFIGURED:
		return "not_configured";
	default:
		return "unknown";
	}
}

static const char *
audit_status(struct shm *shm)
{
	switch (atomic_load(&shm_audit(shm)->state)) {
	case AUDIT_STATE_OK:
		return "healthy";
	case AUDIT_STATE_FAILING:
		return "failing";
	case AUDIT_STATE_SPOOL_FULL:
		return "spool_full";
	default:
		return "starting";
	}
}

struct tally {
	unsigned	configured, enabled, healthy, unknown;
};

static const char *
transport_text(uint32_t t)
{
	switch ((enum transport)t) {
	case TRANSPORT_STDIO:
		return "stdio";
	case TRANSPORT_SSE:
		return "sse";
	case TRANSPORT_WEBSOCKET:
		return "websocket";
	case TRANSPORT_HTTP:
		break;
	}
	return "http";
}

static void
one_server(struct shm *shm, const struct pol_head *p, const struct pol_server *s,
    struct json_out *j)
{
	const struct shm_health *h = s->health < SHM_SERVERS_MAX ?
	    shm_health(shm, s->health) : NULL;
	enum shm_health_status st = h == NULL ? HEALTH_UNKNOWN :
	    (enum shm_health_status)atomic_load(&h->status);
	char error[sizeof(h->error)];

	json_object_begin(j, NULL);
	json_put_string(j, "name", pol_span(p, s->name));
	json_put_string(j, "display_name", pol_span(p, s->display_name));
	json_put_str(j, "protocol", transport_text(s->transport));
	json_put_bool(j, "enabled", s->enabled != 0);
	json_put_str(j, "status", !s->enabled ? "disabled" :
	    health_status_name(st));
	json_put_int(j, "tools", h == NULL ? 0 : (int64_t)atomic_load(&h->tools));
	if (h != NULL)
		json_put_str(j, "circuit_state",
		    breaker_state_name(breaker_state(h)));
	if (h != NULL && s->enabled && st != HEALTH_HEALTHY) {
		memcpy(error, h->error, sizeof(error));
		error[sizeof(error) - 1] = '\0';
		if (error[0] != '\0')
			json_put_str(j, "error", error);
	}
	json_object_end(j);
}

static void
count(struct shm *shm, const struct pol_server *s, struct tally *t)
{
	t->configured++;
	if (!s->enabled)
		return;
	t->enabled++;
	if (s->health >= SHM_SERVERS_MAX)
		return;
	switch ((enum shm_health_status)
	    atomic_load(&shm_health(shm, s->health)->status)) {
	case HEALTH_HEALTHY:
		t->healthy++;
		break;
	case HEALTH_UNKNOWN:
		t->unknown++;
		break;
	case HEALTH_UNHEALTHY:
	case HEALTH_UNREACHABLE:
	case HEALTH_DISABLED:
		break;
	}
}

static const char *
servers_status(const struct tally *t)
{
	if (t->enabled == 0)
		return "no_servers";
	if (t->healthy == t->enabled)
		return "healthy";
	if (t->unknown == t->enabled)
		return "unknown";
	return t->healthy > 0 ? "degraded" : "unhealthy";
}

static const char *
overall(struct shm *shm, const char *servers)
{
	uint64_t db = atomic_load(&shm_poll(shm)->db_state);
	uint64_t audit = atomic_load(&shm_audit(shm)->state);

	if (db == DB_DOWN || audit == AUDIT_STATE_FAILING ||
	    audit == AUDIT_STATE_SPOOL_FULL)
		return "unhealthy";
	return strcmp(servers, "degraded") == 0 ||
	    strcmp(servers, "unhealthy") == 0 ? "degraded" : "healthy";
}

static void
put_servers(struct shm *shm, const struct pol_head *p, const struct tally *t,
    struct json_out *j)
{
	uint32_t i;

	json_object_begin(j, "mcps");
	json_put_str(j, "status", servers_status(t));
	json_put_int(j, "healthy", t->healthy);
	json_put_int(j, "enabled", t->enabled);
	json_put_int(j, "configured", t->configured);
	json_array_begin(j, "servers");
	for (i = 0; p != NULL && i < p->servers.n; i++)
		one_server(shm, p, pol_server(p, i), j);
	json_array_end(j);
	json_object_end(j);
}

void
health_write(struct shm *shm, const struct conf *conf, bool details,
    struct buf *out)
{
	const struct pol_head *p = shm_pin(shm, SNAP_POLICY, NULL);
	struct tally t = { 0, 0, 0, 0 };
	struct json_out j;
	char when[32];
	uint32_t i;

	for (i = 0; p != NULL && i < p->servers.n; i++)
		count(shm, pol_server(p, i), &t);
	json_out_init(&j, out);
	json_object_begin(&j, NULL);
	json_put_str(&j, "status", overall(shm, servers_status(&t)));
	json_put_str(&j, "version", PACKAGE_VERSION);
	json_put_str(&j, "timestamp",
	    clock_format_iso(when, sizeof(when), clock_wall_us()));
	if (details) {
		json_object_begin(&j, "database");
		json_put_str(&j, "status", database_status(shm));
		json_object_end(&j);
		json_object_begin(&j, "audit");
		json_put_str(&j, "status", audit_status(shm));
		json_object_end(&j);
		put_servers(shm, p, &t, &j);
		json_put_int(&j, "uptime", (clock_mono_ms() -
		    atomic_load(&shm_ctl(shm)->started_mono_ms)) / 1000);
	}
	json_object_end(&j);
	if (p != NULL)
		shm_unpin(shm, SNAP_POLICY);
}
