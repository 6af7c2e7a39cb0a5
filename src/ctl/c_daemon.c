/*
 * c_daemon -- status, top, reload, stop, check, shm dump.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/ready.h"
#include "ctl/screen.h"
#include "mcp/catalog.h"
#include "proc/proc.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "shm/slot.h"

static const char *
number(uint64_t v)
{
	return ctl_text("%" PRIu64, v);
}

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

/* A worker has several slots; of those that idle one says it all. */
static bool
is_another_idle(struct ctl *c, uint32_t i)
{
	const struct shm_slot *s = shm_slot(&c->shm, i);

	return i > 0 && atomic_load(&s->state) == SLOT_IDLE &&
	    atomic_load(&s->pid) == atomic_load(&shm_slot(&c->shm, i - 1)->pid);
}

static struct table *
process_table(struct ctl *c)
{
	static const char *const columns[] = { "#slot", "role", "#pid", "state",
	    "#seconds", "#served", "principal", "method", "server", "object",
	    NULL };
	struct table *t = table_new(columns);
	uint32_t i;

	for (i = 0; i < c->shm.sizes.slots; i++) {
		const struct shm_slot *s = shm_slot(&c->shm, i);
		struct shm_request r;
		int32_t pid = atomic_load(&s->pid);

		if (pid == 0 || is_another_idle(c, i))
			continue;
		if (!slot_request_get(&c->shm, i, &r) || r.call == 0)
			memset(&r, 0, sizeof(r));
		table_row(t, number(i),
		    shm_kind_name((enum shm_kind)atomic_load(&s->kind)),
		    number((uint64_t)pid), state_name(atomic_load(&s->state)),
		    ctl_text("%.1f", (double)(clock_mono_ms() -
		    atomic_load(&s->since_ms)) / 1000),
		    number(atomic_load(&s->served)),
		    r.call == 0 ? NULL : r.principal, r.call == 0 ? NULL :
		    r.method, r.call == 0 ? NULL : r.server,
		    r.call == 0 ? NULL : r.object);
	}
	return t;
}

static void
print_slots(struct ctl *c)
{
	struct table *t = process_table(c);

	table_print(t, c->json);
	table_free(&t);
}

static const struct cat_head *
catalog(struct ctl *c)
{
	size_t size;

	return shm_snap_copy(&c->shm, SNAP_CATALOG, &size);
}

/* Servers as the running daemon knows them; asks no database. */
static struct table *
server_table(struct ctl *c)
{
	static const char *const columns[] = { "name", "status", "circuit",
	    "#tools", "#calls", "#failures", "#latency_us", "error", NULL };
	const struct cat_head *cat = catalog(c);
	struct table *t = table_new(columns);
	uint32_t i, k;

	for (i = 0; cat != NULL && i < cat->n_servers; i++)
		for (k = 0; k < SHM_SERVERS_MAX; k++) {
			const struct shm_health *h = shm_health(&c->shm, k);
			uint64_t status = atomic_load(&h->status);

			if (atomic_load(&h->server_id) !=
			    cat_server(cat, i)->server_id)
				continue;
			table_row(t, ctl_text("%.*s", (int)sizeof(h->name) - 1,
			    h->name), health_status_name(
			    (enum shm_health_status)status),
			    breaker_state_name(breaker_state(h)),
			    number(atomic_load(&h->tools)),
			    number(atomic_load(&h->calls)),
			    number(atomic_load(&h->failures)),
			    number(atomic_load(&h->latency_us)),
			    status == HEALTH_HEALTHY ? NULL :
			    ctl_text("%.*s", (int)sizeof(h->error) - 1,
			    h->error));
		}
	return t;
}

static struct table *
daemon_record(struct ctl *c)
{
	static const char *const columns[] = { "version", "#pid", "ready",
	    "#uptime_seconds", "#workers", "#workers_idle", "#connections",
	    "#requests", "database", "audit", "#audit_spool_bytes", "#reloads",
	    "#reloads_failed", NULL };
	const struct shm_head *h = c->shm.zone[ZONE_HEAD];
	const struct shm_audit *a = shm_audit(&c->shm);
	const struct shm_queue *q = shm_queue(&c->shm);
	struct shm_ctl *k = shm_ctl(&c->shm);
	const char *why = ready_why_not(&c->conf);
	uint64_t written = atomic_load(&a->journal_bytes);
	uint64_t shipped = atomic_load(&a->shipped_bytes);
	struct table *t = table_new(columns);

	table_row(t, ctl_text("%.*s", (int)strcspn(h->build, "/"), h->build),
	    number((uint64_t)h->master_pid), why == NULL ? "yes" :
	    ctl_text("no: %s", why), number((uint64_t)(clock_mono_ms() -
	    atomic_load(&k->started_mono_ms)) / 1000),
	    number(atomic_load(&k->workers)), number(atomic_load(&q->idle)),
	    number(atomic_load(&q->connections)),
	    number(shm_counter_sum(&c->shm, C_HTTP_REQUESTS)),
	    db_state_name(atomic_load(&shm_poll(&c->shm)->db_state)),
	    audit_state_name(atomic_load(&a->state)),
	    number(written > shipped ? written - shipped : 0),
	    number(atomic_load(&k->reloads)),
	    number(atomic_load(&k->reloads_failed)));
	return t;
}

int
ctl_status(struct ctl *c)
{
	struct table *daemon, *servers, *processes;
	struct json_out j;
	struct buf b;

	args_done(c, 0, 0);
	ctl_attach(c, true);
	daemon = daemon_record(c);
	servers = server_table(c);
	processes = process_table(c);
	if (c->json) {
		buf_init(&b, 1u << 30);
		json_out_init(&j, &b);
		json_object_begin(&j, NULL);
		table_json_record(daemon, &j, "daemon");
		table_json(servers, &j, "servers");
		table_json(processes, &j, "processes");
		json_object_end(&j);
		printf("%.*s\n", (int)b.n, b.p);
		buf_free(&b);
	} else {
		table_print_record(daemon, false);
		putchar('\n');
		table_print(servers, false);
	}
	table_free(&daemon);
	table_free(&servers);
	table_free(&processes);
	return EXIT_OK;
}

int
ctl_top(struct ctl *c)
{
	bool once = args_flag(c, "--once") || !isatty(STDOUT_FILENO);

	args_done(c, 0, 0);
	ctl_attach(c, true);
	for (;;) {
		if (!once)
			fputs("\033[H\033[J", stdout);
		print_slots(c);
		fflush(stdout);
		screen_yaml_flush();
		if (once)
			return EXIT_OK;
		nanosleep(&(struct timespec){ 1, 0 }, NULL);
	}
}

static int
simple(struct ctl *c, const char *line, const char *done, const char *failed)
{
	struct buf out;
	struct span text;
	const char *nl;
	int rc;

	args_done(c, 0, 0);
	buf_init(&out, 1u << 20);
	screen_progress("waiting for omni2d");
	rc = ctl_ask(c, line, &out, NULL);
	screen_progress(NULL);
	if (rc < 0)
		ctl_no_daemon(c);
	nl = memchr(out.p, '\n', out.n);
	text = nl == NULL ? SPAN_LIT("") :
	    span_skip(buf_span(&out), (size_t)(nl + 1 - out.p));
	fprintf(stderr, "%.*s", SPAN_FMT(text));
	if (rc == 0)
		ctl_fail(EXIT_CONFIG, "%s", failed);
	if (!c->json)
		puts(done);
	else
		puts("{\"ok\":true}");
	return EXIT_OK;
}

int
ctl_reload(struct ctl *c)
{
	/* the daemon reads its own file; ours only names its socket */
	return simple(c, "reload", "configuration loaded",
	    "the configuration was not loaded; the one before keeps running");
}

int
ctl_stop(struct ctl *c)
{
	return simple(c, "stop", "stopping", "not stopped");
}

int
ctl_check(struct ctl *c)
{
	struct conf_report report = { NULL, 0, 0 };
	struct buf text;
	int rc;

	args_done(c, 0, 0);
	buf_init(&text, 1u << 20);
	rc = ctl_read(c, &report);
	conf_report_print(&report, &text);
	fprintf(stderr, "%.*s", (int)text.n, text.p);
	if (rc < 0)
		ctl_fail(conf_report_is_denied(&report) ? EXIT_DENIED :
		    EXIT_CONFIG, "the configuration is wrong; mend what the "
		    "lines above name");
	conf_report_free(&report);
	buf_free(&text);
	puts(c->json ? "{\"ok\":true}" : "configuration OK");
	return EXIT_OK;
}

int
ctl_shm_dump(struct ctl *c)
{
	static const char *const columns[] = { "zone", "segment", "#bytes",
	    "writers", "purpose", NULL };
	const struct shm_head *h;
	struct table *t;
	uint32_t i, k;

	args_done(c, 0, 0);
	ctl_attach(c, true);
	h = c->shm.zone[ZONE_HEAD];
	t = table_new(columns);
	for (i = 0; i < h->n_zones; i++) {
		struct buf w;

		buf_init(&w, 256);
		for (k = 0; k < KIND_COUNT; k++)
			if (h->zone[i].writers & 1u << k)
				buf_printf(&w, "%s%s", w.n > 0 ? "," : "",
				    shm_kind_name((enum shm_kind)k));
		buf_add_char(&w, '\0');
		table_row(t, h->zone[i].name, h->zone[i].segment == 0 ?
		    "observable" : "private", number(h->zone[i].size), w.p,
		    shm_zone_doc((enum shm_zone)i));
		buf_free(&w);
	}
	table_print(t, c->json);
	table_free(&t);
	if (!c->json) {
		printf("\nbuild %s, layout %u, generations: conf %" PRIu64
		    ", policy %" PRIu64 ", catalog %" PRIu64 "\n\n", h->build,
		    h->layout,
		    shm_generation(&c->shm, SNAP_CONF) >> 2,
		    shm_generation(&c->shm, SNAP_POLICY) >> 2,
		    shm_generation(&c->shm, SNAP_CATALOG) >> 2);
		print_slots(c);
	}
	return EXIT_OK;
}
