/*
 * opening -- speaking with a server for the first time: which era it is of,
 * initialize, and the end of a session.
 *
 * Workers, poller, tools. Knows nothing of who else uses the session and
 * keeps nothing; session.c does.
 */
#include "upstream/opening_int.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json_read.h"
#include "config.h"

#define ERROR_HEADER	(-32020)	/* errors that only a modern server */
#define ERROR_CAPABILITY (-32021)	/* knows (MCP 2026-07-28) */
#define ERROR_VERSION	(-32022)
#define TRY_MS		5000	/* for a transport that was not configured */

static const char *const legacy_versions[] = {
	"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", NULL
};
static const char *const modern_versions[] = { UPSTREAM_VERSION_MODERN, NULL };

static void
session_blank(struct opening *o, enum sess_era era)
{
	memset(&o->session, 0, sizeof(o->session));
	o->session.era = era;
	o->session.client_session = o->client;
}

static int
ask(struct opening *o, const char *method, struct span params, struct err *e)
{
	struct upstream_call *call = &o->call;

	memset(call, 0, sizeof(*call));
	call->method = span_str(method);
	call->params = params;
	call->is_notification = strncmp(method, "notifications/", 14) == 0;
	call->id = call->is_notification ? 0 : pool_next_id(o->pool);
	call->session = o->session;
	call->deadline_ms = o->watch->deadline_ms;
	call->client_fd = o->watch->client_fd;
	call->cancel_word = o->watch->cancel_word;
	call->cancel_value = o->watch->cancel_value;
	call->on_extra = o->watch->on_extra;
	call->extra_fd = o->watch->extra_fd;
	call->arg = o->watch->arg;
	call->response = &o->answer;
	call->response_max = UPSTREAM_OPENED_MAX;
	return upstream_exchange(o->pool, o->target, call, e);
}

static bool
version_is_one_of(struct json_value v, const char *const *list)
{
	struct span text;

	if (!json_string_plain(v, &text))
		return false;
	for (; *list != NULL; list++)
		if (span_is(text, *list))
			return true;
	return false;
}

/* Does the array of strings hold a version of the list? */
static bool
names_one_of(struct json_value array, const char *const *list)
{
	struct json_value v;
	size_t pos = 0;

	if (array.type != JSON_ARRAY)
		return false;
	while (json_next_element(array.raw, &pos, &v))
		if (version_is_one_of(v, list))
			return true;
	return false;
}

/* Result and error of the answer; one is there (sink.c has seen to that). */
static void
answer_members(const struct opening *o, struct json_value *result,
    struct json_value *error)
{
	static const char *const names[] = { "result", "error" };
	struct json_value v[2] = { { JSON_NONE, { NULL, 0 } } };

	json_object(buf_span(&o->answer), names, v, 2);
	*result = v[0];
	*error = v[1];
}

/* 400, 404 and the like say "I do not know this"; a server that is broken,
 * overloaded or does not know us says nothing about its era. */
static bool
status_is_evidence(int status)
{
	if (status < 200 || (status >= 300 && status < 400) || status >= 500)
		return false;
	return status != 401 && status != 403 && status != 407 &&
	    status != 408 && status != 429;
}

/* What an error response to the probe means: as probe(). */
static int
judge_refusal(const struct opening *o, struct json_value error, struct err *e)
{
	static const char *const data_name[] = { "data" };
	static const char *const supported_name[] = { "supported" };
	struct json_value data, supported = { JSON_NONE, { NULL, 0 } };
	char text[200];
	int64_t code = sink_error_text(error, text, sizeof(text));

	if (code == ERROR_HEADER || code == ERROR_CAPABILITY)
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": server/discover refused: %s",
		    o->target->name, text);
	if (code != ERROR_VERSION)
		return 0;
	if (json_object(error.raw, data_name, &data, 1) == JSON_OK &&
	    data.type == JSON_OBJECT &&
	    json_object(data.raw, supported_name, &supported, 1) != JSON_OK)
		supported.type = JSON_NONE;
	if (names_one_of(supported, modern_versions))
		return 1;
	if (supported.type == JSON_NONE ||
	    names_one_of(supported, legacy_versions))
		return 0;
	return err_set(e, ERR_UPSTREAM,
	    "server \"%s\": no protocol version in common", o->target->name);
}

/* One question. 1: a modern server; 0: try initialize; -1: neither can be
 * said; 2: a modern one, but the answer is no result: ask again. */
static int
probe_once(struct opening *o, struct err *e)
{
	static const char *const names[] = { "supportedVersions" };
	struct json_value result, error, versions;
	struct buf params;
	int rv;

	session_blank(o, ERA_MODERN);
	span_copy(o->session.version, sizeof(o->session.version),
	    SPAN_LIT(UPSTREAM_VERSION_MODERN));
	buf_init(&params, 4096);
	buf_add_str(&params, "{\"_meta\":{");
	upstream_modern_meta(&params, o->session.version, SPAN_LIT("{}"));
	buf_add_str(&params, "}}");
	rv = ask(o, "server/discover", buf_span(&params), e);
	buf_free(&params);
	if (rv < 0)
		return e->code == ERR_UPSTREAM &&
		    status_is_evidence(o->call.http_status) ? 0 : -1;
	answer_members(o, &result, &error);
	if (error.type == JSON_OBJECT)
		return (rv = judge_refusal(o, error, e)) == 1 ? 2 : rv;
	return json_object(result.raw, names, &versions, 1) == JSON_OK &&
	    names_one_of(versions, modern_versions);
}

static int
probe(struct opening *o, struct err *e)
{
	int rv = probe_once(o, e);

	if (rv == 2)
		rv = probe_once(o, e);
	return rv < 2 ? rv : err_set(e, ERR_UPSTREAM, "server \"%s\": refuses "
	    "the version that it names", o->target->name);
}

/* The answer to initialize, into the session. */
static int
take_initialized(struct opening *o, struct err *e)
{
	static const char *const names[] = { "protocolVersion" };
	struct json_value result, error, version;
	struct span text = { NULL, 0 };
	char why[200];

	answer_members(o, &result, &error);
	if (error.type == JSON_OBJECT) {
		sink_error_text(error, why, sizeof(why));
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": initialize refused: %s", o->target->name,
		    why);
	}
	if (json_object(result.raw, names, &version, 1) != JSON_OK ||
	    !version_is_one_of(version, legacy_versions))
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": initialize: no protocol version in common",
		    o->target->name);
	json_string_plain(version, &text);
	span_copy(o->session.version, sizeof(o->session.version), text);
	span_copy(o->session.id, sizeof(o->session.id),
	    span_str(o->call.new_session));
	return 0;
}

static int
add_result(const struct opening *o, struct buf *result, struct err *e)
{
	struct json_value v, error;

	if (result == NULL)
		return 0;
	answer_members(o, &v, &error);
	if (buf_add_span(result, v.raw) == 0)
		return 0;
	return err_set(e, ERR_TOOBIG,
	    "server \"%s\": the opening answer has %zu bytes",
	    o->target->name, v.raw.n);
}

/* May the server send log messages? We filter, so it should send all. */
static bool
offers_logging(const struct opening *o)
{
	static const char *const caps_name[] = { "capabilities" };
	static const char *const log_name[] = { "logging" };
	struct json_value result, error, caps, logging;

	answer_members(o, &result, &error);
	return json_object(result.raw, caps_name, &caps, 1) == JSON_OK &&
	    caps.type == JSON_OBJECT &&
	    json_object(caps.raw, log_name, &logging, 1) == JSON_OK &&
	    logging.type == JSON_OBJECT;
}

static int
set_level(struct opening *o, struct err *e)
{
	if (ask(o, "logging/setLevel", SPAN_LIT("{\"level\":\"debug\"}"),
	    e) == 0 || (e->code != ERR_TIMEOUT && e->code != ERR_CANCELLED))
		return 0;		/* then it logs as it likes */
	return -1;
}

static int
ask_initialize(struct opening *o, struct err *e)
{
	const char *caps = o->client == 0 ||
	    o->target->client_caps_json == NULL ? "{}" :
	    o->target->client_caps_json;
	struct buf params;
	int rv;

	session_blank(o, ERA_LEGACY);
	buf_init(&params, 65536);
	if (buf_printf(&params, "{\"protocolVersion\":\""
	    UPSTREAM_VERSION_LEGACY "\",\"capabilities\":%s,\"clientInfo\":"
	    "{\"name\":\"omni2\",\"version\":\"" PACKAGE_VERSION "\"}}",
	    caps) < 0)
		rv = err_set(e, ERR_TOOBIG, "capabilities too large");
	else
		rv = ask(o, "initialize", buf_span(&params), e);
	buf_free(&params);
	return rv;
}

/* initialize was answered; the rest. */
static int
initialized(struct opening *o, struct buf *result, struct err *e)
{
	bool logging;

	if (take_initialized(o, e) < 0 || add_result(o, result, e) < 0)
		return -1;
	logging = offers_logging(o);
	if (ask(o, "notifications/initialized", span_make(NULL, 0), e) < 0)
		return -1;
	return logging ? set_level(o, e) : 0;
}

/* The connection is the session, and what it speaks is of the legacy era. */
static int
open_link(struct opening *o, struct buf *result, struct err *e)
{
	int rv;

	link_is_gone(o->entry);
	rv = o->entry->via == VIA_SSE ?
	    sse_connect(o->pool, o->entry, o->target, o->watch, e) :
	    ws_connect(o->pool, o->entry, o->target, o->watch, e);
	if (rv < 0)
		return err_wrap(e, "server \"%s\"", o->target->name);
	if (ask_initialize(o, e) < 0 || initialized(o, result, e) < 0) {
		link_is_gone(o->entry);
		return -1;
	}
	if (o->entry->via == VIA_SSE)
		o->session.flags = SESS_SSE;
	o->session.opened = o->entry->session.opened + 1;
	o->entry->session = o->session;
	return 0;
}

/* Statuses with which a server says that it does not know this transport. */
static bool
may_be_sse(const struct opening *o)
{
	int status = o->call.http_status;

	return status == 400 || status == 404 || status == 405;
}

/*
 * The server does not take initialize as Streamable HTTP, so perhaps it is one
 * of 2024-11-05 and this is the URL of its event stream. If not, what it said
 * first is what counts.
 */
static int
try_sse(struct opening *o, struct buf *result, struct err *e)
{
	struct upstream_call *watch = o->watch;
	struct upstream_call brief = *watch;
	struct err inner;
	int rv;

	if (brief.deadline_ms > clock_mono_ms() + TRY_MS)
		brief.deadline_ms = clock_mono_ms() + TRY_MS;
	o->entry->via = VIA_SSE;
	o->entry->via_detected = true;
	o->watch = &brief;
	rv = open_link(o, result, &inner);
	o->watch = watch;
	if (rv == 0)
		return 0;
	link_is_gone(o->entry);
	o->entry->via = VIA_HTTP;
	o->entry->via_detected = false;
	if (inner.code == ERR_CANCELLED)
		*e = inner;
	return -1;
}

static int
open_http(struct opening *o, struct buf *result, struct err *e)
{
	int modern = 0;

	/* Who asks for a client's own session knows the era already. */
	if (o->client == 0 && (modern = probe(o, e)) < 0)
		return -1;
	if (modern == 1)
		return add_result(o, result, e);
	if (ask_initialize(o, e) == 0)
		return initialized(o, result, e);
	if (o->client == 0 && e->code == ERR_UPSTREAM && may_be_sse(o))
		return try_sse(o, result, e);
	return -1;
}

int
opening_run(struct opening *o, struct buf *result, struct err *e)
{
	int rv;

	if (o->entry->via == VIA_STDIO || o->entry->via == VIA_OWNER) {
		rv = stdio_open(o->pool, o->entry, o->watch, o->client,
		    o->target->client_caps_json, &o->session, result, e);
		o->session.client_session = o->client;
		return rv == 0 ? 0 :
		    err_wrap(e, "server \"%s\"", o->target->name);
	}
	buf_init(&o->answer, UPSTREAM_OPENED_MAX);
	rv = entry_is_link(o->entry) ? open_link(o, result, e) :
	    open_http(o, result, e);
	buf_free(&o->answer);
	return rv;
}

bool
opening_is_refused(const struct opening *o, const struct err *e)
{
	if (e->code != ERR_UPSTREAM)
		return false;
	if (o->entry->via == VIA_STDIO || o->entry->via == VIA_OWNER)
		return !o->watch->is_blameless;
	return status_is_evidence(o->call.http_status);
}

void
opening_end(struct upstream_pool *pool, struct upstream_entry *x,
    const struct upstream_target *t, const struct sess_info *session,
    bool may_connect)
{
	int64_t deadline_ms = clock_mono_ms() + UPSTREAM_CANCEL_MS;
	struct span none = { NULL, 0 };
	struct err e;

	if (x->via == VIA_STDIO && session->client_session != 0)
		stdio_post(pool, x, session->client_session, none,
		    deadline_ms, &e);
	if (x->via != VIA_HTTP || session->era != ERA_LEGACY ||
	    session->id[0] == '\0')
		return;
	if (x->url.tls)
		curl_post(t, session, none, deadline_ms, &e);
	else if (may_connect || x->http.peer_len > 0)
		http_post(x, t, session, none, deadline_ms, &e);
}
