/*
 * web -- routes of everything that is not MCP. See web.h.
 */
#include "web/web.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "config.h"
#include "mcp/mcp.h"
#include "policy/snapshot.h"
#include "shm/gen.h"

/* A browser page of another name must not read them (DNS rebinding). */
static bool
may_see_details(const struct conf *conf, const struct http_head *h,
    const char *client)
{
	struct span host = h->known[HTTP_H_HOST];
	uint32_t i;

	if ((host.p != NULL && !mcp_host_is_allowed(conf, host)) ||
	    h->known[HTTP_H_ORIGIN].p != NULL)
		return false;

	if (strcmp(client, "unix") == 0)
		return true;
	for (i = 0; i < conf->metrics_clients.n; i++)
		if (strcmp(conf->metrics_clients.item[i], client) == 0)
			return true;
	return false;
}

static void
live(struct buf *b)
{
	struct json_out j;
	char when[32];

	json_out_init(&j, b);
	json_object_begin(&j, NULL);
	json_put_bool(&j, "alive", true);
	json_put_str(&j, "version", PACKAGE_VERSION);
	json_put_str(&j, "timestamp",
	    clock_format_iso(when, sizeof(when), clock_wall_us()));
	json_object_end(&j);
}

const char *
web_why_not_ready(struct shm *shm)
{
	uint64_t audit = atomic_load(&shm_audit(shm)->state);

	if (atomic_load(&shm_ctl(shm)->draining) != 0)
		return "Shutting down";
	if (atomic_load(&shm_ctl(shm)->generation[SNAP_POLICY]) == 0)
		return "No configuration loaded yet";
	if (atomic_load(&shm_poll(shm)->db_state) != DB_UP ||
	    atomic_load(&shm_ctl(shm)->db_loaded) == 0)
		return "Database unavailable";
	if (audit == AUDIT_STATE_FAILING)
		return "Audit journal cannot be written";
	if (audit == AUDIT_STATE_SPOOL_FULL)
		return "Audit journal is full";
	if (audit != AUDIT_STATE_OK)
		return "Auditor is starting";
	if (mcp_is_discovering(shm))
		return "Servers are being discovered";
	return NULL;
}

static void
ready(struct shm *shm, struct http_reply *r)
{
	const char *reason = web_why_not_ready(shm);
	struct json_out j;

	json_out_init(&j, &r->body);
	json_object_begin(&j, NULL);
	json_put_bool(&j, "ready", reason == NULL);
	if (reason != NULL) {
		json_put_str(&j, "reason", reason);
		r->status = 503;
		http_reply_header(r, "Retry-After", "1");
	}
	json_object_end(&j);
}

static void
refuse(struct http_reply *r, int status, const char *detail)
{
	struct json_out j;

	r->status = status;
	json_out_init(&j, &r->body);
	json_object_begin(&j, NULL);
	json_put_str(&j, "detail", detail);
	json_object_end(&j);
}

static void
root(struct buf *b)
{
	struct json_out j;

	json_out_init(&j, b);
	json_object_begin(&j, NULL);
	json_put_str(&j, "name", "omni2");
	json_put_str(&j, "description", "MCP gateway");
	json_put_str(&j, "version", PACKAGE_VERSION);
	json_put_str(&j, "mcp", "/mcp");
	json_put_str(&j, "health", "/health");
	json_put_str(&j, "status", "running");
	json_object_end(&j);
}

int
web_serve(struct shm *shm, const struct conf *conf, const struct http_head *h,
    const char *client, struct http_reply *r)
{
	bool is_get = h->method == HTTP_GET || h->method == HTTP_HEAD;
	bool known = true;

	r->content_type = "application/json";
	if (span_is(h->path, "/health/live"))
		live(&r->body);
	else if (span_is(h->path, "/health/ready"))
		ready(shm, r);
	else if (span_is(h->path, "/health"))
		health_write(shm, conf, may_see_details(conf, h, client),
		    &r->body);
	else if (span_is(h->path, "/metrics")) {
		r->content_type = "text/plain; version=0.0.4; charset=utf-8";
		if (may_see_details(conf, h, client))
			metrics_write(shm, &r->body);
		else {
			r->content_type = "application/json";
			refuse(r, 403, "add the client's address to "
			    "server.metrics_clients");
		}
	} else if (span_is(h->path, "/"))
		root(&r->body);
	else
		known = false;
	if (!known) {
		refuse(r, 404, "Not Found");
	} else if (!is_get) {
		buf_reset(&r->body, 65536);
		r->content_type = "application/json";
		http_reply_header(r, "Allow", "GET, HEAD");
		refuse(r, 405, "Method Not Allowed");
	}
	return http_reply_send(r);
}
