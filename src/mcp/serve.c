/*
 * serve -- the pipeline of one MCP request, and the worker's MCP state.
 *
 * origin -> identity -> HTTP rules -> decode -> era -> session -> method ->
 * audit -> answer. The audit record is written before the answer leaves.
 */
#include "mcp/forward_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "mcp/stream.h"

#define BATCH_MAX	100
#define BATCH_ERROR	8192u	/* an error with the longest id and text */
#define BATCH_ROOM	(BATCH_MAX * (BATCH_ERROR + 1) + 1)	/* if all are */

struct method {
	struct span	 name;
	bool		 legacy, modern;
	mcp_handler	 handler;
	enum shm_counter counter;
};

static const struct method methods[] = {
#define METHOD(name, legacy, modern, handler, counter) \
	{ { name, sizeof(name) - 1 }, legacy, modern, handler, counter },
#include "mcp/methods.def"
#undef METHOD
};

struct mcp *
mcp_new(struct shm *shm, int audit_fd, const char *stdio_socket)
{
	struct mcp *m = xcalloc(1, sizeof(*m));

	m->shm = shm;
	m->mailbox = -1;
	m->mem = arena_new(32 * 1024);
	m->pool = upstream_pool_new(shm, stdio_socket);
	upstream_pool_spool(m->pool, &m->spool);
	audit_emitter_init(&m->audit, shm, audit_fd, shm->slot);
	buf_init(&m->params, 1u << 30);
	buf_init(&m->response, 1u << 30);
	buf_init(&m->redacted, 1u << 30);
	buf_init(&m->event, 1u << 30);
	return m;
}

void
mcp_free(struct mcp **mp)
{
	struct mcp *m = *mp;
	int i;

	if (m == NULL)
		return;
	upstream_pool_free(&m->pool);
	if (m->mailbox >= 0)
		close(m->mailbox);
	arena_free(&m->mem);
	buf_free(&m->params);
	buf_free(&m->response);
	buf_free(&m->redacted);
	buf_free(&m->event);
	for (i = 0; i < VISIBLE_CACHE; i++)
		free(m->visible[i].item);
	free(m);
	*mp = NULL;
}

const struct conf *
mcp_refresh(struct mcp *m)
{
	uint64_t now = shm_generation(m->shm, SNAP_CONF);
	const struct conf *c;

	if (now == m->conf_generation || now == 0)
		return &m->conf;
	c = shm_pin(m->shm, SNAP_CONF, &m->conf_generation);
	m->conf = *c;
	shm_unpin(m->shm, SNAP_CONF);
	auth_init(m->conf.token_secret, m->conf.token_issuer);
	session_init(m->conf.token_secret);
	state_init(m->conf.token_secret);
	task_init(m->conf.token_secret);
	audit_redaction_init(&m->redaction,
	    (const char (*)[CONF_ITEM])m->conf.redact.item, m->conf.redact.n);
	log_set_level((enum log_level)m->conf.log_level);
	m->spool.dir = m->conf.state_dir;
	m->spool.name = "limits.spool";
	m->spool.max = (uint64_t)m->conf.large_max;
	if (m->conf.node[0] != '\0')
		span_copy(m->node, sizeof(m->node), span_str(m->conf.node));
	else if (gethostname(m->node, sizeof(m->node) - 1) != 0)
		span_copy(m->node, sizeof(m->node), SPAN_LIT("localhost"));
	return &m->conf;
}

void
mcp_idle(struct mcp *m)
{
	upstream_pool_trim(m->pool, 60000);
}

/*
 * Failures of the upstream are answers of the protocol, not of HTTP: clients
 * treat other statuses as a broken transport and drop the session.
 */
static int
http_status(enum err_code code)
{
	if (code == ERR_UPSTREAM || code == ERR_TIMEOUT || code == ERR_BREAKER ||
	    code == ERR_CANCELLED)
		return 200;
	return err_http_status(code);
}

static void
error_data(struct mcp_call *c, struct json_out *j)
{
	if (c->err.code == ERR_VERSION) {
		struct span v = { NULL, 0 };

		json_object_begin(j, "data");
		json_array_begin(j, "supported");
		/* of this era; the others are negotiated by initialize */
		json_put_str(j, NULL, mcp_revision_text(MCP_MODERN));
		json_array_end(j);
		json_string_plain(c->msg.m_version, &v);
		json_put_string(j, "requested", v);
		json_object_end(j);
	} else if (c->err.code == ERR_CAPABILITY) {
		/* the one thing that we need of clients ourselves */
		json_put_raw(j, "data", SPAN_LIT("{\"requiredCapabilities\":"
		    "{\"extensions\":{\"" TASKS_EXTENSION "\":{}}}}"));
	} else if (c->err.retry_after_s > 0) {
		json_object_begin(j, "data");
		json_put_int(j, "retry_after_seconds", c->err.retry_after_s);
		json_object_end(j);
	}
}

/* Replaces whatever the body holds by a JSON-RPC error. */
static void
write_error(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;
	struct json_out j;
	char seconds[16];

	buf_reset(&r->body, 1 << 20);
	json_out_init(&j, &r->body);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_raw(&j, "id", c->msg.id.n > 0 ? c->msg.id : SPAN_LIT("null"));
	json_object_begin(&j, "error");
	json_put_int(&j, "code", err_rpc_code(c->err.code));
	json_put_str(&j, "message", c->err.text);
	error_data(c, &j);
	json_object_end(&j);
	json_object_end(&j);
	if (r->streaming)
		return;
	r->status = http_status(c->err.code);
	r->content_type = "application/json";
	if (c->err.code == ERR_UNAUTHENTICATED)
		http_reply_header(r, "WWW-Authenticate", "Bearer");
	if (c->err.code == ERR_HTTPMETHOD)
		http_reply_header(r, "Allow", "POST, GET, DELETE, OPTIONS");
	if (c->err.retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%d", c->err.retry_after_s);
		http_reply_header(r, "Retry-After", seconds);
	}
}

/* What an Accept header means; a client sends the same one again and again. */
struct accepted {
	char	text[96];
	size_t	n;
	bool	json, stream, stream_first;
};

static const struct accepted *
read_accept(struct span accept)
{
	static struct accepted last;
	const char *stream, *json;

	if (accept.n == last.n && accept.n > 0 &&
	    memcmp(accept.p, last.text, accept.n) == 0)
		return &last;
	last.json = http_accepts(accept, "application/json");
	last.stream = http_list_has(accept, "text/event-stream");
	/* both are accepted; who names the event stream first gets one */
	stream = memmem(accept.p, accept.n, "text/event-stream", 17);
	json = memmem(accept.p, accept.n, "application/json", 16);
	last.stream_first = stream != NULL && (json == NULL || stream < json);
	last.n = accept.n <= sizeof(last.text) ? accept.n : 0;
	memcpy(last.text, accept.p, last.n);
	return &last;
}

/* A list may stand in several lines (RFC 9110 section 5.3). */
struct span
mcp_accept(const struct mcp_call *c)
{
	const struct http_head *h = c->http->head;
	size_t n = 0;
	char *all;
	int i;

	if (h->known_count[HTTP_H_ACCEPT] <= 1)
		return h->known[HTTP_H_ACCEPT];
	all = arena_alloc(c->mcp->mem, h->size);	/* has room for each */
	for (i = 0; i < h->header_count; i++) {
		struct span value = h->headers[i].value;

		if (!span_is_nocase(h->headers[i].name, "accept"))
			continue;
		memcpy(all + n, value.p, value.n);
		n += value.n;
		all[n++] = ',';
	}
	return span_make(all, n - 1);
}

static int
http_rules(struct mcp_call *c, struct err *e)
{
	const struct http_head *h = c->http->head;
	struct span accept = mcp_accept(c);
	const struct accepted *a;

	if (h->method == HTTP_GET || h->method == HTTP_DELETE)
		return 0;		/* mcp_bodyless() has its own */
	if (h->method != HTTP_POST)
		return err_set(e, ERR_HTTPMETHOD, "Method Not Allowed: this "
		    "endpoint takes POST, GET and DELETE");
	if (!span_is(h->known[HTTP_H_CONTENT_TYPE], "application/json") &&
	    !http_media_is(h->known[HTTP_H_CONTENT_TYPE], "application/json"))
		return err_set(e, ERR_MEDIATYPE, "Unsupported Media Type: "
		    "Content-Type must be application/json");
	if (accept.p == NULL)
		return 0;
	a = read_accept(accept);
	if (!a->json)
		return err_set(e, ERR_ACCEPT, "Not Acceptable: Client must "
		    "accept both application/json and text/event-stream");
	c->may_stream = a->stream && !c->in_batch;
	c->prefers_stream = c->may_stream && a->stream_first;
	return 0;
}

/* /servers/NAME: the server must exist and be the caller's to use. */
static int
bind_server(struct mcp_call *c, struct err *e)
{
	struct span name = c->http->server;
	uint32_t org = pol_user(c->policy, c->who.user)->org;

	c->server = POL_NONE;
	if (name.p == NULL)
		return 0;
	c->server = pol_find_server(c->policy, org, name);
	if (c->server == POL_NONE || !pol_server(c->policy, c->server)->enabled)
		return err_set(e, ERR_NOTFOUND, "No such server: %.*s",
		    (int)(name.n > 64 ? 64 : name.n), name.p);
	span_copy(c->server_name, sizeof(c->server_name), name);
	if (!rbac_may_use_server(c->policy, c->who.user, c->server)) {
		c->decision = AUDIT_DENY;
		snprintf(c->rule, sizeof(c->rule), "%s",
		    rbac_rule_text(RULE_SERVER_NOT_ALLOWED));
		return err_set(e, ERR_DENIED, "Access denied to %.*s",
		    (int)(name.n > 64 ? 64 : name.n), name.p);
	}
	return 0;
}

static const struct method *
find_method(struct span name)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (span_eq(name, methods[i].name))
			return &methods[i];
	return NULL;
}

static int
run_method(struct mcp_call *c, struct err *e)
{
	struct buf *body = &c->http->reply->body;
	const struct method *m = find_method(c->msg.method);

	shm_count_in(shm_self(c->mcp->shm), m != NULL ? m->counter : C_MCP_OTHER,
	    1);
	if (c->msg.is_notification && (m == NULL ||
	    !span_starts(c->msg.method, "notifications/")))
		return 0;		/* JSON-RPC: never answered */
	if (m == NULL || (c->modern ? !m->modern : !m->legacy) ||
	    (c->msg.is_request && span_starts(c->msg.method, "notifications/")))
		return err_set(e, c->modern ? ERR_METHOD_MODERN : ERR_METHOD,
		    "Method not found: %.*s", SPAN_FMT(c->msg.method));
	if (c->msg.is_notification)
		return m->handler(c, body, e);
	buf_add_str(body, "{\"jsonrpc\":\"2.0\",\"id\":");
	buf_add_span(body, c->msg.id);
	buf_add_str(body, ",\"result\":");
	if (m->handler(c, body, e) < 0 && !body->overflow)
		return -1;
	buf_add_char(body, '}');
	if (body->overflow)
		return err_set(e, ERR_TOOBIG, "the answer is too large");
	return 0;
}

static int
run(struct mcp_call *c, struct err *e)
{
	if (mcp_check_origin(c, e) < 0)
		return -1;
	mcp_cors_headers(c, false);
	mcp_await_discovery(c->mcp->shm);
	if (mcp_pin(c, e) < 0 || mcp_authenticate(c, e) < 0 ||
	    http_rules(c, e) < 0 || bind_server(c, e) < 0)
		return -1;
	c->is_admitted = true;
	if (c->http->head->method != HTTP_POST)
		return mcp_bodyless(c, e);
	if (mcp_decode(c->http->body, &c->msg, e) < 0 ||
	    mcp_classify(c, e) < 0 || mcp_check_session(c, e) < 0)
		return -1;
	if (c->in_batch && (span_is(c->msg.method, "initialize") ||
	    c->revision != 20250326))
		return err_set(e, ERR_BADREQ, span_is(c->msg.method,
		    "initialize") ? "initialize must not stand in a batch" :
		    "Batches exist in revision 2025-03-26 only");
	if (c->msg.is_response)
		return ask_take_response(c, e);
	return run_method(c, e);
}

/* The trace id of the caller's traceparent (W3C Trace Context), or a new one. */
static void
set_trace(struct mcp_call *c)
{
	static uint64_t seed;
	struct span tp = c->http->head->known[HTTP_H_TRACEPARENT];
	uint64_t a, b;
	uint8_t raw[16];
	int i;

	if (tp.p != NULL && tp.n >= 55 && tp.p[2] == '-' && tp.p[35] == '-' &&
	    hash_unhex(span_make(tp.p + 3, 32), raw, 16) == 0) {
		hash_hex(raw, 16, c->trace_id);
		return;
	}
	if (seed == 0)
		random_bytes(&seed, sizeof(seed));
	a = hash_mix(++seed);
	b = hash_mix(a ^ (uint64_t)c->start_us);
	for (i = 0; i < 8; i++) {
		raw[i] = (uint8_t)(a >> 8 * i);
		raw[8 + i] = (uint8_t)(b >> 8 * i);
	}
	hash_hex(raw, 16, c->trace_id);
}

static int
answer(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;

	if (c->stream != NULL)
		return mcp_stream_answer(c);
	if (c->flows)
		return flow_end(c);
	if (c->resumed)
		return r->streaming ? http_reply_stream_end(r) : -1;
	if (r->streaming || (c->prefers_stream && c->msg.is_request &&
	    r->status == 200)) {
		int rc = relay_stream_event(c, buf_span(&r->body));

		if (c->spool.fd >= 0)
			spool_end(&c->spool);
		return http_reply_stream_end(r) < 0 || rc < 0 ? -1 : 0;
	}
	if (c->err.code == ERR_NONE) {
		if (c->msg.is_notification || c->msg.is_response) {
			r->status = 202;
			r->content_type = NULL;
			buf_reset(&r->body, 1 << 20);
		} else if (c->http->head->method != HTTP_DELETE)
			r->content_type = "application/json";
	}
	return http_reply_send(r);
}

static int
preflight(struct mcp_call *c)
{
	struct http_reply *r = c->http->reply;

	if (mcp_check_origin(c, &c->err) < 0) {
		write_error(c);
		return http_reply_send(r);
	}
	mcp_cors_headers(c, true);
	http_reply_header(r, "Allow", "POST, GET, DELETE, OPTIONS");
	r->status = 204;
	return http_reply_send(r);
}

static void
begin(struct mcp_call *c, struct mcp *m, const struct mcp_http *http)
{
	memset(c, 0, sizeof(*c));
	c->mcp = m;
	c->http = http;
	c->server = POL_NONE;
	c->spool.fd = -1;
	c->decision = AUDIT_UNAUTHENTICATED;
	c->start_us = clock_mono_us();
	c->wall_us = clock_wall_us();
	arena_reset(m->mem);
}

/* One message to its body and its audit record; the answer waits for both. */
static void
process(struct mcp_call *c)
{
	struct mcp *m = c->mcp;
	struct err audit_err;

	set_trace(c);
	if (run(c, &c->err) < 0)
		write_error(c);
	else
		err_clear(&c->err);	/* of attempts before the good one */
	mcp_unpin(c);
	if (c->released)
		return;			/* held.c has answered and recorded */
	if (mcp_trail(c, &audit_err) < 0 &&
	    m->conf.audit_on_failure == AUDIT_FAIL_DENY) {
		/* what happened stays unsaid: no answer without its record */
		c->err = audit_err;
		write_error(c);
	}
	shm_latency_add(shm_self(m->shm), clock_mono_us() - c->start_us);
}

/* ---- batches: revision 2025-03-26 only ------------------------------------- */

/*
 * Each message of a batch has a request of its own, with a body of its own.
 * False: the HTTP request was refused, whatever is in it.
 */
static bool
batch_message(struct mcp *m, const struct mcp_http *outer, struct span message,
    struct http_reply *reply, struct buf *out)
{
	struct mcp_http http = *outer;
	struct mcp_call c;

	http_reply_start(reply, -1, 0);
	/* what the messages before have left; an error always has room */
	reply->body.max = BATCH_ERROR + (out->n < out->max - BATCH_ROOM ?
	    out->max - BATCH_ROOM - out->n : 0);
	http.body = message;
	http.reply = reply;
	begin(&c, m, &http);
	c.in_batch = true;
	process(&c);
	if (reply->body.n == 0 || (c.err.code == ERR_NONE &&
	    (c.msg.is_notification || c.msg.is_response)))
		return true;
	buf_add_char(out, out->n == 0 ? '[' : ',');
	buf_add_span(out, buf_span(&reply->body));
	return c.is_admitted && c.err.code != ERR_SESSION;
}

static void
batch_answer(struct mcp_call *c, struct http_reply *r, struct buf *out)
{
	mcp_cors_headers(c, false);
	r->status = out->n == 0 ? 202 : 200;
	if (out->n == 0)
		return;
	buf_add_char(out, ']');
	r->content_type = "application/json";
	buf_add_span(&r->body, buf_span(out));
}

/* As without a batch: clients look at the status. */
static void
batch_refused(struct http_reply *r, const struct http_reply *inner)
{
	r->status = inner->status;
	r->content_type = inner->content_type;
	buf_add_span(&r->headers, buf_span(&inner->headers));
	buf_add_span(&r->body, buf_span(&inner->body));
}

static int
serve_batch(struct mcp_call *c, struct json_value array)
{
	struct http_reply inner, *r = c->http->reply;
	struct mcp *m = c->mcp;
	struct json_value one;
	struct buf out;
	bool good = true, is_first = true;
	size_t pos = 0;

	http_reply_init(&inner, 0);
	buf_init(&out, (size_t)m->conf.result_max + BATCH_ROOM);
	for (; good && json_next_element(array.raw, &pos, &one);
	    is_first = false)
		good = batch_message(m, c->http, one.raw, &inner, &out) ||
		    !is_first;
	if (good)
		batch_answer(c, r, &out);
	else
		batch_refused(r, &inner);
	buf_free(&out);
	http_reply_free(&inner);
	return http_reply_send(r);
}

/* An array whose messages may be served one by one? Anything else goes the
 * ordinary way, which says what is wrong with it. */
static bool
is_batch(const struct mcp_http *http, struct json_value *array)
{
	struct span version = http->head->known[HTTP_H_MCP_VERSION];
	struct json_value one;
	size_t pos = 0, n = 0;

	while (n < http->body.n && strchr(" \t\r\n", http->body.p[n]) != NULL)
		n++;
	if (n == http->body.n || http->body.p[n] != '[' ||
	    http->head->method != HTTP_POST ||
	    (version.p != NULL && !span_is(version, "2025-03-26")) ||
	    json_check(http->body, array, NULL) != JSON_OK)
		return false;
	for (n = 0; json_next_element(array->raw, &pos, &one); n++)
		if (one.type != JSON_OBJECT || n == BATCH_MAX ||
		    memmem(one.raw.p, one.raw.n, META_PREFIX "protocolVersion",
		    sizeof(META_PREFIX "protocolVersion") - 1) != NULL)
			return false;
	return n > 0;
}

int
mcp_serve(struct mcp *m, const struct mcp_http *http)
{
	struct json_value array;
	struct mcp_call c;

	begin(&c, m, http);
	if (http->head->method == HTTP_OPTIONS)
		return preflight(&c);
	if (is_batch(http, &array))
		return serve_batch(&c, array);
	process(&c);
	return c.released ? 0 : answer(&c);
}
