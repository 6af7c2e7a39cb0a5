/*
 * c_daemon -- status, top, reload, stop, check, shm dump.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/call.h"
#include "ctl/screen.h"
#include "shm/gen.h"

static const char *const daemon_columns[] = { "version", "#pid", "ready",
    "#uptime_seconds", "#workers", "#workers_idle", "#connections",
    "#requests", "database", "audit", "#audit_spool_bytes", "#reloads",
    "#reloads_failed", NULL };
static const char *const server_columns[] = { "name", "status", "circuit",
    "#tools", "#calls", "#failures", "#latency_us", "error", NULL };
static const char *const process_columns[] = { "#slot", "role", "#pid",
    "state", "#seconds", "#served", "principal", "method", "server", "object",
    NULL };

static struct json_value
get_status(struct ctl *c)
{
	return call_run(c, HTTP_GET, "/api/v1/status", NULL);
}

int
ctl_status(struct ctl *c)
{
	struct json_value answer;

	args_done(c, 0, 0);
	answer = get_status(c);
	if (c->json) {
		call_print_json(answer);
		return EXIT_OK;
	}
	call_print_record(c, call_member(answer, "daemon"), daemon_columns);
	putchar('\n');
	call_print(c, call_member(answer, "servers"), server_columns);
	return EXIT_OK;
}

static void
print_processes(struct ctl *c)
{
	call_print(c, call_member(get_status(c), "processes"),
	    process_columns);
}

int
ctl_top(struct ctl *c)
{
	bool once = args_flag(c, "--once") || !isatty(STDOUT_FILENO);

	args_done(c, 0, 0);
	for (;;) {
		if (!once)
			fputs("\033[H\033[J", stdout);
		print_processes(c);
		screen_flush();
		if (once)
			return EXIT_OK;
		clock_nap_ms(1000);
	}
}

int
ctl_reload(struct ctl *c)
{
	args_done(c, 0, 0);
	screen_progress("waiting for omni2d");
	call_run(c, HTTP_POST, "/api/v1/reload", NULL);
	screen_progress(NULL);
	puts(c->json ? "{\"ok\":true}" : "configuration loaded");
	return EXIT_OK;
}

int
ctl_stop(struct ctl *c)
{
	struct buf out;
	int rc;

	args_done(c, 0, 0);
	buf_init(&out, 1u << 20);
	screen_progress("waiting for omni2d");
	rc = ctl_ask(c, "stop", &out, NULL);
	screen_progress(NULL);
	if (rc < 0)
		ctl_no_daemon(c);
	buf_free(&out);
	if (rc == 0)
		ctl_fail(EXIT_FAILED, "not stopped");
	puts(c->json ? "{\"ok\":true}" : "stopping");
	return EXIT_OK;
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
		    "observable" : "private", ctl_text("%" PRIu64, h->zone[i].size), w.p,
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
		print_processes(c);
	}
	return EXIT_OK;
}
