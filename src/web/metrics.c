/*
 * metrics -- the Prometheus text of /metrics: counters of all slots summed
 * (shm/metrics.def), gauges of processes, queue, audit and upstream servers.
 */
#include "web/web.h"

#include <inttypes.h>
#include <string.h>

#include "config.h"
#include "base/clock.h"
#include "shm/health.h"

static const struct {
	const char *name, *labels, *help;
} counters[C_COUNT] = {
#define COUNTER(id, name, labels, help) [C_##id] = { name, labels, help },
#include "shm/metrics.def"
#undef COUNTER
};

static void
family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
put_counters(const struct shm *shm, struct buf *b)
{
	int i;

	for (i = 0; i < C_COUNT; i++) {
		if (counters[i].help[0] != '\0')
			family(b, counters[i].name, "counter", counters[i].help);
		if (counters[i].labels[0] != '\0')
			buf_printf(b, "%s{%s} %" PRIu64 "\n", counters[i].name,
			    counters[i].labels,
			    shm_counter_sum(shm, (enum shm_counter)i));
		else
			buf_printf(b, "%s %" PRIu64 "\n", counters[i].name,
			    shm_counter_sum(shm, (enum shm_counter)i));
	}
}

static void
put_latency(const struct shm *shm, struct buf *b)
{
	uint64_t bucket[SHM_BUCKETS], n, sum, total = 0;
	int i;

	shm_latency_sum(shm, bucket, &n, &sum);
	family(b, "omni2_request_duration_seconds", "histogram",
	    "Time from a complete MCP request to its answer.");
	for (i = 0; i < SHM_BUCKETS; i++) {
		total += bucket[i];
		if (shm_bucket_us[i] == 0)
			break;
		buf_printf(b, "omni2_request_duration_seconds_bucket"
		    "{le=\"%g\"} %" PRIu64 "\n", shm_bucket_us[i] / 1e6, total);
	}
	buf_printf(b, "omni2_request_duration_seconds_bucket{le=\"+Inf\"} %"
	    PRIu64 "\nomni2_request_duration_seconds_sum %g\n"
	    "omni2_request_duration_seconds_count %" PRIu64 "\n", total,
	    (double)sum / 1e6, total);
}

static void
gauge(struct buf *b, const char *name, const char *help, uint64_t v)
{
	family(b, name, "gauge", help);
	buf_printf(b, "%s %" PRIu64 "\n", name, v);
}

static const char *
state_name(uint32_t s)
{
	switch ((enum shm_state)s) {
	case SLOT_STARTING:
		return "starting";
	case SLOT_IDLE:
		return "idle";
	case SLOT_READING:
		return "reading";
	case SLOT_CALLING:
		return "calling";
	case SLOT_WRITING:
		return "writing";
	case SLOT_HOLDING:
		return "holding";
	case SLOT_EXITING:
		return "exiting";
	case SLOT_FREE:
		break;
	}
	return "free";
}

static void
put_processes(const struct shm *shm, struct buf *b)
{
	uint64_t states[SLOT_EXITING + 1] = { 0 };
	uint32_t i;

	for (i = shm_kind_first(KIND_WORKER); i < shm->sizes.slots; i++) {
		const struct shm_slot *s = shm_slot(shm, i);
		uint32_t st = atomic_load(&s->state);

		if (atomic_load(&s->pid) != 0 && st <= SLOT_EXITING)
			states[st]++;
	}
	family(b, "omni2_workers", "gauge", "Workers by what they do.");
	for (i = SLOT_STARTING; i <= SLOT_EXITING; i++)
		buf_printf(b, "omni2_workers{state=\"%s\"} %" PRIu64 "\n",
		    state_name(i), states[i]);
}

static void
put_audit(const struct shm *shm, struct buf *b)
{
	const struct shm_audit *a = shm_audit(shm);
	uint64_t written = atomic_load(&a->journal_bytes);
	uint64_t shipped = atomic_load(&a->shipped_bytes);

	gauge(b, "omni2_audit_state", "0 starting, 1 ok, 2 failing, 3 spool full.",
	    atomic_load(&a->state));
	gauge(b, "omni2_audit_spool_bytes", "Journal not yet in PostgreSQL.",
	    written > shipped ? written - shipped : 0);
	gauge(b, "omni2_audit_spool_records", "Records not yet in PostgreSQL.",
	    atomic_load(&a->records) > atomic_load(&a->records_shipped) ?
	    atomic_load(&a->records) - atomic_load(&a->records_shipped) : 0);
	gauge(b, "omni2_audit_database_up", "1 when the last shipment worked.",
	    atomic_load(&a->db_ok));
	family(b, "omni2_audit_damaged_total", "counter",
	    "Journal frames that could not be read.");
	buf_printf(b, "omni2_audit_damaged_total %" PRIu64 "\n",
	    atomic_load(&a->damaged));
}

/* Server names are [A-Za-z0-9_-]: no escaping needed. */
#define EACH_SERVER(expr) do { \
	for (i = 0; i < SHM_SERVERS_MAX; i++) { \
		const struct shm_health *h = shm_health(shm, i); \
		if (atomic_load(&h->server_id) != 0) \
			buf_printf(b, "%s{server=\"%.63s\"} %" PRIu64 "\n", \
			    name, h->name, (uint64_t)(expr)); \
	} \
} while (0)

static void
put_servers(const struct shm *shm, struct buf *b)
{
	const char *name;
	uint32_t i;

	name = "omni2_server_up";
	family(b, name, "gauge", "1 when the last health check succeeded.");
	EACH_SERVER(atomic_load(&h->status) == HEALTH_HEALTHY);
	name = "omni2_server_circuit";
	family(b, name, "gauge", "Circuit: 0 closed, 1 open, 2 half open.");
	EACH_SERVER(breaker_state(h));
	name = "omni2_server_tools";
	family(b, name, "gauge", "Tools that the server lists.");
	EACH_SERVER(atomic_load(&h->tools));
	name = "omni2_server_calls_total";
	family(b, name, "counter", "Calls to the server.");
	EACH_SERVER(atomic_load(&h->calls));
	name = "omni2_server_failures_total";
	family(b, name, "counter", "Calls to the server that failed.");
	EACH_SERVER(atomic_load(&h->failures));
	family(b, "omni2_server_latency_seconds", "gauge",
	    "Moving average of the time of the server's answers.");
	for (i = 0; i < SHM_SERVERS_MAX; i++) {
		const struct shm_health *h = shm_health(shm, i);

		if (atomic_load(&h->server_id) != 0)
			buf_printf(b, "omni2_server_latency_seconds"
			    "{server=\"%.63s\"} %g\n", h->name,
			    (double)atomic_load(&h->latency_us) / 1e6);
	}
}

void
metrics_write(const struct shm *shm, struct buf *b)
{
	const struct shm_queue *q = shm_queue(shm);
	uint64_t handed = atomic_load(&q->handed), taken = atomic_load(&q->taken);

	family(b, "omni2_build_info", "gauge", "Version of this omni2.");
	buf_printf(b, "omni2_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	gauge(b, "omni2_uptime_seconds", "Seconds since the start.",
	    (uint64_t)(clock_mono_ms() -
	    atomic_load(&shm_ctl(shm)->started_mono_ms)) / 1000);
	put_counters(shm, b);
	put_latency(shm, b);
	put_processes(shm, b);
	gauge(b, "omni2_connections", "Client connections open.",
	    atomic_load(&q->connections));
	gauge(b, "omni2_connections_idle", "Of these, idle.",
	    atomic_load(&q->parked));
	gauge(b, "omni2_streams", "Of these, event streams.",
	    atomic_load(&q->streams));
	gauge(b, "omni2_queue_waiting", "Requests waiting for a worker.",
	    handed > taken ? handed - taken : 0);
	gauge(b, "omni2_database_up", "1 when PostgreSQL answers.",
	    atomic_load(&shm_poll(shm)->db_state) == DB_UP);
	family(b, "omni2_reloads_total", "counter", "Configurations loaded.");
	buf_printf(b, "omni2_reloads_total %" PRIu64 "\n",
	    atomic_load(&shm_ctl(shm)->reloads));
	family(b, "omni2_reloads_failed_total", "counter",
	    "Configurations refused.");
	buf_printf(b, "omni2_reloads_failed_total %" PRIu64 "\n",
	    atomic_load(&shm_ctl(shm)->reloads_failed));
	put_audit(shm, b);
	put_servers(shm, b);
}
