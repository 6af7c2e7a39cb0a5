/*
 * serve -- the pipeline of one REST request: origin, route, identity,
 * permission, parameters, operation, audit record, answer.
 *
 * As for MCP: credentials are API keys and bearer tokens, a denied request
 * changes nothing, and no answer leaves without its record (audit.on_failure).
 * Who is asked for: a user of the organisation "default" whose role
 * administrates. Wrong credentials of one address are counted.
 */
#include "api/api_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit/emit.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/hash.h"
#include "mcp/mcp.h"
#include "policy/rbac.h"
#include "shm/gen.h"
#include "shm/rate.h"
#include "shm/slot.h"

#define FAILURES_MAX	30	/* wrong credentials of one address, */
#define FAILURES_MS	60000	/* in so long */

struct api_http {
	struct shm	*shm;
	struct audit_emitter audit;
	struct buf	 arguments, redacted;
};

struct request {
	struct api	*api;
	const struct http_head *head;
	struct span	 body;
	const char	*client;
	struct http_reply *reply;
	struct api_call	 call;
	/* who */
	bool		 is_known;
	bool		 is_off;	/* server.api: nobody was asked */
	struct principal who;
	char		 org[32], email[96], role[32], actor[128];
	/* for the trail */
	enum audit_decision decision;
	const char	*rule;
	int64_t		 start_us, wall_us;
	char		 trace[36];
	char		 allow[64];	/* of a wrong method */
	struct err	 err;
};

void
api_http_init(struct api *a, struct shm *shm, int audit_fd)
{
	a->http = xcalloc(1, sizeof(*a->http));
	a->http->shm = shm;
	a->mem = arena_new(32 * 1024);
	audit_emitter_init(&a->http->audit, shm, audit_fd, shm->slot);
	buf_init(&a->http->arguments, 1u << 20);
	buf_init(&a->http->redacted, 1u << 20);
}

void
api_http_free(struct api *a)
{
	if (a->http == NULL)
		return;
	buf_free(&a->http->arguments);
	buf_free(&a->http->redacted);
	arena_free(&a->mem);
	free(a->http);
	a->http = NULL;
}

/* ---- who ------------------------------------------------------------------------ */

/*
 * Wrong credentials: an address that sends many is told to wait. Good ones are
 * never held up by that, or a neighbour could lock an administrator out.
 */
static int
refuse(struct request *q, struct err *e)
{
	int64_t now = clock_mono_ms();
	struct rate_info info;

	q->decision = AUDIT_UNAUTHENTICATED;
	if (e->code != ERR_UNAUTHENTICATED ||
	    shm_rate_take(q->api->http->shm, RATE_ADDRESS,
	    hash_bytes(0, q->client, strlen(q->client)), FAILURES_MAX,
	    FAILURES_MS, now, &info) != RATE_LIMITED)
		return -1;
	q->decision = AUDIT_LIMIT;
	q->rule = "wrong credentials of one address";
	err_set(e, ERR_RATE, "Too many requests with wrong credentials from "
	    "%s", q->client);
	e->retry_after_s = (int)((info.reset_ms - now + 999) / 1000);
	return -1;
}

static struct span
org_name(const struct pol_head *p, uint32_t org)
{
	return pol_span(p, ((const struct pol_str *)pol_at(p,
	    p->orgs.off))[org]);
}

/* Under the pin: nothing here waits. *role_is_admin says whether it may. */
static int
identify(struct request *q, const struct pol_head *p, uint64_t generation,
    bool *role_is_admin, struct err *e)
{
	struct span value = q->head->known[HTTP_H_AUTHORIZATION];
	bool is_key_header = false;
	const struct pol_user *u;
	const struct pol_role *r;

	if (value.p == NULL && q->head->known[HTTP_H_X_API_KEY].p != NULL) {
		value = q->head->known[HTTP_H_X_API_KEY];
		is_key_header = true;
	}
	if (auth_check(p, generation, value, is_key_header, p->db_loaded != 0,
	    q->wall_us / 1000000, &q->who, e) < 0)
		return -1;
	u = pol_user(p, q->who.user);
	r = pol_role(p, u->role);
	span_copy(q->email, sizeof(q->email), pol_span(p, u->email));
	span_copy(q->role, sizeof(q->role), pol_span(p, r->name));
	span_copy(q->org, sizeof(q->org), org_name(p, u->org));
	*role_is_admin = r->is_admin != 0;
	return 0;
}

bool
api_admits(struct api *a, const struct http_head *head)
{
	struct request q = { .api = a, .head = head, .wall_us = clock_wall_us() };
	const struct pol_head *p;
	bool is_admin = false;
	uint64_t generation;
	struct err e;

	if (!a->conf->api || mcp_check_names(a->conf, head, &e) < 0 ||
	    (p = shm_pin(a->http->shm, SNAP_POLICY, &generation)) == NULL)
		return false;
	is_admin = identify(&q, p, generation, &is_admin, &e) == 0 &&
	    is_admin && strcmp(q.org, API_ORG) == 0;
	shm_unpin(a->http->shm, SNAP_POLICY);
	return is_admin;
}

static int
authenticate(struct request *q, struct err *e)
{
	struct shm *shm = q->api->http->shm;
	const struct pol_head *p;
	bool is_admin = false;
	uint64_t generation;
	int rv;

	if ((p = shm_pin(shm, SNAP_POLICY, &generation)) == NULL)
		return err_set(e, ERR_UNAVAILABLE, "no configuration is "
		    "loaded yet; try again");
	rv = identify(q, p, generation, &is_admin, e);
	shm_unpin(shm, SNAP_POLICY);
	if (rv < 0)
		return refuse(q, e);
	q->is_known = true;
	snprintf(q->actor, sizeof(q->actor), "%s (api)", q->email);
	q->api->actor = q->actor;
	q->decision = AUDIT_DENY;
	if (strcmp(q->org, API_ORG) != 0) {
		q->rule = "the user is of another organisation";
		return err_set(e, ERR_DENIED, "Administration is for users "
		    "of the organisation " API_ORG);
	}
	if (!is_admin) {
		q->rule = "the role is no administrator's";
		return err_set(e, ERR_DENIED, "The role %s may not "
		    "administrate omni2", q->role);
	}
	q->rule = rbac_rule_text(RULE_ADMIN);
	q->decision = AUDIT_ALLOW;
	return 0;
}

/* ---- the answer ------------------------------------------------------------------- */

static void
put_problem(struct request *q)
{
	const struct err *e = &q->err;
	struct http_reply *r = q->reply;
	struct span kept = SPAN_LIT("");
	char seconds[16];
	struct json_out j;

	/* an operation that failed may have something to say: findings */
	if (r->body.n > 2 && e->code == ERR_CONFIG)
		kept = arena_dup(q->api->mem, span_make(r->body.p + 1,
		    r->body.n - 2));
	buf_reset(&r->body, 65536);
	r->status = err_http_status(e->code);
	r->content_type = "application/problem+json";
	json_out_init(&j, &r->body);
	json_object_begin(&j, NULL);
	json_put_str(&j, "type", "about:blank");
	json_put_str(&j, "title", http_reason(r->status));
	json_put_int(&j, "status", r->status);
	json_put_str(&j, "detail", e->text);
	json_put_str(&j, "code", api_code(e->code));
	if (kept.n > 0) {
		buf_add_char(&r->body, ',');
		buf_add_span(&r->body, kept);
	}
	json_object_end(&j);
	if (e->code == ERR_UNAUTHENTICATED)
		http_reply_header(r, "WWW-Authenticate", "Bearer");
	if (e->code == ERR_HTTPMETHOD)
		http_reply_header(r, "Allow", q->allow);
	if (e->retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%d", e->retry_after_s);
		http_reply_header(r, "Retry-After", seconds);
	}
}

/* ---- the record ------------------------------------------------------------------- */

/* What was changed or asked for: the parameter of the path, or the name. */
static const char *
object_of(const struct api_call *c)
{
	static const char *const names[] = { "name", "email", "id", "user",
	    "server" };
	const char *text;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((text = api_text(c, names[i])) != NULL)
			return text;
	return "";
}

static void
add_arguments(struct request *q, struct audit_record *r)
{
	struct api_http *h = q->api->http;
	const struct conf *conf = q->api->conf;
	struct audit_redaction rules;

	if (q->call.n == 0)
		return;
	buf_reset(&h->arguments, 65536);
	buf_reset(&h->redacted, 65536);
	api_arguments(&q->call, &h->arguments);
	audit_redaction_init(&rules,
	    (const char (*)[CONF_ITEM])conf->redact.item, conf->redact.n);
	if (audit_redact(&rules, buf_span(&h->arguments),
	    (size_t)conf->audit_args_max, &h->redacted,
	    &r->arguments_cut) == 0)
		r->arguments = buf_span(&h->redacted);
	else
		r->arguments_cut = true;
}

static void
set_trace(struct request *q)
{
	struct span tp = q->head->known[HTTP_H_TRACEPARENT];
	uint8_t raw[16];

	if (tp.p == NULL || tp.n < 55 || tp.p[2] != '-' || tp.p[35] != '-' ||
	    hash_unhex(span_make(tp.p + 3, 32), raw, 16) < 0)
		random_bytes(raw, sizeof(raw));
	hash_hex(raw, 16, q->trace);
}

/* If this process dies meanwhile, the master writes the record. */
static void
announce(const struct request *q)
{
	struct shm *shm = q->api->http->shm;
	struct shm_request r;

	memset(&r, 0, sizeof(r));
	r.call = slot_next_call(shm);
	r.start_wall_us = q->wall_us;
	span_copy(r.principal, sizeof(r.principal), span_str(q->email));
	span_copy(r.org, sizeof(r.org), span_str(q->org));
	span_copy(r.role, sizeof(r.role), span_str(q->role));
	span_copy(r.method, sizeof(r.method), span_str(q->call.route->id));
	span_copy(r.object, sizeof(r.object), span_str(object_of(&q->call)));
	span_copy(r.client, sizeof(r.client), span_str(q->client));
	span_copy(r.trace_id, sizeof(r.trace_id), span_str(q->trace));
	slot_request_set(shm, &r);
}

static int
trail(struct request *q, struct err *e)
{
	const struct api_route *route = q->call.route;
	struct api_http *h = q->api->http;
	bool failed = q->err.code != ERR_NONE;
	struct audit_record r;
	char node[64];

	memset(&r, 0, sizeof(r));
	audit_record_id(r.id, q->wall_us);
	r.wall_us = q->wall_us;
	if (q->api->conf->node[0] != '\0')
		span_copy(node, sizeof(node), span_str(q->api->conf->node));
	else if (gethostname(node, sizeof(node) - 1) != 0)
		span_copy(node, sizeof(node), SPAN_LIT("localhost"));
	node[sizeof(node) - 1] = '\0';
	r.node = span_str(node);
	r.org = span_str(q->org);
	r.principal = span_str(q->email);
	r.role = span_str(q->role);
	if (q->is_known)
		r.credential = span_str(q->who.credential);
	r.source = SPAN_LIT("api");
	r.client = span_str(q->client);
	r.user_agent = q->head->known[HTTP_H_USER_AGENT];
	r.trace_id = span_str(q->trace);
	r.method = route != NULL ? span_str(route->id) : q->head->path;
	if (route != NULL && strncmp(route->id, "server.", 7) == 0)
		r.server = span_str(object_of(&q->call));
	r.object = span_str(object_of(&q->call));
	add_arguments(q, &r);
	r.decision = q->decision;
	r.rule = span_str(q->rule);
	r.result = q->decision != AUDIT_ALLOW ? AUDIT_DENIED :
	    failed ? AUDIT_ERROR : AUDIT_SUCCESS;
	r.http_status = q->reply->status;
	r.error = failed ? span_str(q->err.text) : SPAN_LIT("");
	r.duration_us = clock_mono_us() - q->start_us;
	r.request_bytes = (int64_t)(q->head->size + q->body.n);
	r.response_bytes = (int64_t)q->reply->body.n;
	return audit_emit_request(&h->audit, &r, q->api->conf->audit_sync, e);
}

/* ---- the pipeline ------------------------------------------------------------------ */

static int
http_rules(const struct request *q, struct err *e)
{
	struct span type = q->head->known[HTTP_H_CONTENT_TYPE];

	if (q->body.n == 0)
		return 0;
	if (q->body.n > API_BODY_MAX)
		return err_set(e, ERR_TOOBIG, "the request body is larger "
		    "than %u bytes", API_BODY_MAX);
	if (!http_media_is(type, "application/json"))
		return err_set(e, ERR_MEDIATYPE, "Unsupported Media Type: "
		    "Content-Type must be application/json");
	return 0;
}

static int
operate(struct request *q, struct span *segment, struct err *e)
{
	const struct conf *conf = q->api->conf;
	struct json_out j;

	if (api_input(&q->call, segment, q->head->query, q->body, e) < 0)
		return -1;
	if (q->call.route->audit == API_CHANGE && audit_ready(
	    &q->api->http->audit, conf->audit_on_failure, e) < 0)
		return -1;
	announce(q);
	q->reply->status = q->call.route->status;
	json_out_init(&j, &q->reply->body);
	if (q->call.route->run(&q->call, &j, e) < 0)
		return -1;
	return q->reply->body.overflow ? err_set(e, ERR_TOOBIG,
	    "the answer is too large") : 0;
}

/* Only who may administrate learns what there is. */
static int
run(struct request *q, struct err *e)
{
	struct span segment[API_SEGMENTS_MAX];
	struct err why;

	if (!q->api->conf->api) {
		q->is_off = true;
		return err_set(e, ERR_NOTFOUND, "There is no administration "
		    "over HTTP here: server.api is false");
	}
	if (mcp_check_names(q->api->conf, q->head, e) < 0)
		return -1;
	q->call.api = q->api;
	q->call.route = api_route_find(q->head->method, q->head->path,
	    segment, q->allow, &why);
	if ((q->call.route == NULL || q->call.route->needs != API_PUBLIC) &&
	    authenticate(q, e) < 0)
		return -1;
	if (q->call.route == NULL) {
		*e = why;
		return -1;
	}
	return http_rules(q, e) < 0 ? -1 : operate(q, segment, e);
}

int
api_serve(struct api *a, const struct http_head *head, struct span body,
    const char *client, struct http_reply *reply)
{
	struct request q = { .api = a, .head = head, .body = body,
	    .client = client, .reply = reply, .rule = "",
	    .decision = AUDIT_UNAUTHENTICATED, .start_us = clock_mono_us(),
	    .wall_us = clock_wall_us() };
	struct err audit_err;
	bool is_public;

	slot_state(a->http->shm, SLOT_CALLING);
	reply->content_type = "application/json";
	http_reply_header(reply, "Cache-Control", "no-store");
	set_trace(&q);
	if (run(&q, &q.err) < 0)
		put_problem(&q);
	else
		err_clear(&q.err);
	is_public = q.call.route != NULL && q.call.route->needs == API_PUBLIC;
	if (!is_public && !q.is_off && trail(&q, &audit_err) < 0 &&
	    a->conf->audit_on_failure == AUDIT_FAIL_DENY) {
		q.err = audit_err;
		put_problem(&q);
	}
	slot_request_clear(a->http->shm);
	arena_reset(a->mem);
	slot_state(a->http->shm, SLOT_WRITING);
	return http_reply_send(reply);
}
