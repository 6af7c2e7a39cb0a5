/*
 * opening -- speaking with a server for the first time: which era it is of,
 * initialize, and the end of a session.
 *
 * Workers, poller, tools. Knows nothing of who else uses the session and
 * keeps nothing; session.c does.
 */
#include "upstream/upstream_int.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json_read.h"
#include "config.h"

#define ERROR_HEADER	(-32020)	/* errors that only a modern server */
#define ERROR_CAPABILITY (-32021)	/* knows (MCP 2026-07-28) */
#define ERROR_VERSION	(-32022)

static const char *const legacy_versions[] = {
	"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", NULL
};
static const char *const modern_versions[] = { UPSTREAM_VERSION_MODERN, NULL };

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

/* 1: a modern server; 0: try initialize; -1: neither can be said. */
static int
probe(struct opening *o, struct err *e)
{
	static const char *const names[] = { "supportedVersions" };
	struct json_value result, error, versions;
	struct buf params;
	int rv;

	memset(&o->session, 0, sizeof(o->session));
	o->session.era = ERA_MODERN;
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
		return judge_refusal(o, error, e);
	return json_object(result.raw, names, &versions, 1) == JSON_OK &&
	    names_one_of(versions, modern_versions);
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

static int
initialize(struct opening *o, struct buf *result, struct err *e)
{
	memset(&o->session, 0, sizeof(o->session));
	o->session.era = ERA_LEGACY;
	if (ask(o, "initialize", SPAN_LIT("{\"protocolVersion\":\""
	    UPSTREAM_VERSION_LEGACY "\",\"capabilities\":{},\"clientInfo\":"
	    "{\"name\":\"omni2\",\"version\":\"" PACKAGE_VERSION "\"}}"),
	    e) < 0 || take_initialized(o, e) < 0 ||
	    add_result(o, result, e) < 0)
		return -1;
	return ask(o, "notifications/initialized", span_make(NULL, 0), e);
}

static int
open_now(struct opening *o, struct buf *result, struct err *e)
{
	int modern, rv;

	if (o->entry->is_stdio) {
		rv = stdio_open(o->pool, o->entry, o->watch, &o->session,
		    result, e);
		return rv == 0 ? 0 :
		    err_wrap(e, "server \"%s\"", o->target->name);
	}
	buf_init(&o->answer, UPSTREAM_OPENED_MAX);
	if ((modern = probe(o, e)) == 1 && o->answer.n > 0)
		rv = add_result(o, result, e);
	else
		rv = modern < 0 ? -1 : initialize(o, result, e);
	buf_free(&o->answer);
	return rv;
}

/* Best effort: a server may also let sessions grow old. */
static void
end_session(struct opening *o)
{
	struct err e;

	if (o->session.era != ERA_LEGACY || o->session.id[0] == '\0')
		return;
	if (o->entry->url.tls)
		curl_post(o->target, &o->session, span_make(NULL, 0), &e);
	else
		http_post(o->entry, o->target, &o->session,
		    span_make(NULL, 0), &e);
}

