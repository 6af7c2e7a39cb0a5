/*
 * route -- what to do with a message of a server: the handshake, answers and
 * notifications of calls, requests that it makes of us.
 *
 * stdiod only. To the process that all share we declare no capabilities, so
 * its requests are refused, but for ping; those of a client session's own
 * process go to one of its calls (asked.c). Anything that cannot be routed is dropped and
 * said so, at most every ten seconds.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "stdio/subscribe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_write.h"
#include "shm/slot.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION	"0"
#endif
#define DROPPED_INTERVAL_MS	10000
#define BATCH_MAX	1000		/* messages; others wait meanwhile */
#define LEGACY_VERSION	"2025-11-25"
#define MODERN_VERSION	"2026-07-28"
#define META		"io.modelcontextprotocol/"
#define CLIENT_INFO	"{\"name\":\"omni2\",\"version\":\"" \
			PACKAGE_VERSION "\"}"

static void
drop(struct process *p, enum dropped kind)
{
	static const char *const text[DROPPED_COUNT] = {
		[DROPPED_GARBAGE] = "wrote what is no JSON-RPC message",
		[DROPPED_STRAY] = "answered a call that it does not have",
		[DROPPED_ANSWER] = "does not read the answers to its requests",
	};

	p->dropped[kind].interval_ms = DROPPED_INTERVAL_MS;
	if (log_limit_ok(&p->dropped[kind]))
		log_warn("server \"%s\": %s; dropped", p->name, text[kind]);
}

/* ---- handshake ---- */

static void
send_handshake(struct stdiod *sd, struct process *p, const char *rest)
{
	struct buf b;

	p->handshake = slot_next_call(sd->shm);
	buf_init(&b, strlen(rest) + 64);
	buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%llu,%s}",
	    (unsigned long long)p->handshake, rest);
	process_send(sd, p, buf_span(&b));
	buf_free(&b);
}

static void
initialize(struct stdiod *sd, struct process *p)
{
	const char *caps = p->server->caps;
	char *rest;

	p->state = PROCESS_STARTING;
	rest = xasprintf("\"method\":\"initialize\",\"params\":{"
	    "\"protocolVersion\":\"" LEGACY_VERSION "\",\"capabilities\":%s,"
	    "\"clientInfo\":" CLIENT_INFO "}", caps == NULL ? "{}" : caps);
	send_handshake(sd, p, rest);
	free(rest);
}

static void
discover(struct stdiod *sd, struct process *p)
{
	p->state = PROCESS_DISCOVERING;
	send_handshake(sd, p, "\"method\":\"server/discover\",\"params\":{"
	    "\"_meta\":{\"" META "protocolVersion\":\"" MODERN_VERSION "\","
	    "\"" META "clientInfo\":" CLIENT_INFO ","
	    "\"" META "clientCapabilities\":{}}}");
}

/*
 * The modern era is tried first: it serves clients of all eras over one
 * process. Most servers of the legacy era answer with an error and take
 * initialize then; one that exits or stays silent is started again and never
 * asked a second time. A process for one client's session is of the legacy era
 * by nature.
 */
void
route_begin(struct stdiod *sd, struct process *p)
{
	if (p->client_session != 0 || p->server->is_legacy) {
		initialize(sd, p);
		return;
	}
	p->is_probing = true;
	discover(sd, p);
}

/* The shared session entry, for workers that only want to know the era. If
 * somebody else is just opening this session, they will publish it. */
static void
publish_session(struct stdiod *sd, const struct process *p)
{
	struct sess_info si;

	if (p->health >= SHM_SERVERS_MAX || p->client_session != 0)
		return;
	memset(&si, 0, sizeof(si));
	shm_sess_get(sd->shm, p->health, p->server_id, &si);
	if (!shm_sess_claim(sd->shm, p->health, si.opened))
		return;
	si.era = p->era;
	memset(si.id, 0, sizeof(si.id));
	memcpy(si.version, p->version, sizeof(si.version));
	shm_sess_put(sd->shm, p->health, p->server_id, &si);
}

/* May the server send log messages? We filter, so it should send all. */
static bool
offers_logging(struct span result)
{
	static const char *const caps_name[] = { "capabilities" };
	static const char *const log_name[] = { "logging" };
	struct json_value caps, logging;

	return json_object(result, caps_name, &caps, 1) == JSON_OK &&
	    caps.type == JSON_OBJECT &&
	    json_object(caps.raw, log_name, &logging, 1) == JSON_OK &&
	    logging.type == JSON_OBJECT;
}

/* Nobody waits for the answer; its id is of our own slot. */
static void
set_level(struct stdiod *sd, struct process *p)
{
	char text[160];
	int n;

	n = snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%llu,"
	    "\"method\":\"logging/setLevel\",\"params\":{\"level\":"
	    "\"debug\"}}", (unsigned long long)slot_next_call(sd->shm));
	process_send(sd, p, span_make(text, (size_t)n));
}

static void
ready(struct stdiod *sd, struct process *p, enum sess_era era,
    struct span version, struct span result)
{
	struct server *srv = p->server;
	struct call *c;

	p->era = era;
	span_copy(p->version, sizeof(p->version), version);
	buf_init(&p->result, result.n);
	buf_add_span(&p->result, result);
	p->state = PROCESS_READY;
	p->is_initialized = true;
	p->deadline_ms = 0;
	p->used_ms = sd->now_ms;
	publish_session(sd, p);
	log_info("server \"%s\": ready, revision %s", p->name, p->version);
	if (era == ERA_LEGACY)
		process_send(sd, p, SPAN_LIT("{\"jsonrpc\":\"2.0\","
		    "\"method\":\"notifications/initialized\"}"));
	if (era == ERA_LEGACY && offers_logging(result))
		set_level(sd, p);
	if (p->state == PROCESS_READY && p->client_session == 0)
		subscribe_ready(sd, p);
	while (p->state == PROCESS_READY &&
	    (c = TAILQ_FIRST(&srv->waiting)) != NULL) {
		if (c->is_open)
			client_opened(sd, c, p);
		else
			process_call(sd, p, c, buf_span(&c->body));
	}
}

static bool
is_legacy(struct span version)
{
	return span_is(version, LEGACY_VERSION) ||
	    span_is(version, "2025-06-18") ||
	    span_is(version, "2025-03-26") || span_is(version, "2024-11-05");
}

static bool
lists_modern(struct json_value versions)
{
	struct json_value v;
	struct span text;
	size_t pos = 0;

	if (versions.type != JSON_ARRAY)
		return false;
	while (json_next_element(versions.raw, &pos, &v))
		if (json_string_plain(v, &text) &&
		    span_is(text, MODERN_VERSION))
			return true;
	return false;
}

/* The server refused both ways to begin. */
static void
refused(struct stdiod *sd, struct process *p, const struct mux_message *m)
{
	static const char *const names[] = { "message" };
	struct json_value v;
	char text[201] = "no revision in common";
	struct err e;
	long n = -1, i;

	if (m->error.type == JSON_OBJECT &&
	    json_object(m->error.raw, names, &v, 1) == JSON_OK)
		n = json_string_decode(v, text, sizeof(text) - 1);
	if (n >= 0)
		text[n] = '\0';
	for (i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	err_set(&e, ERR_UPSTREAM, "server \"%s\" refused to initialize: %s",
	    p->name, text);
	process_fail_start(sd, p, &e);
}

static void
handshake_answer(struct stdiod *sd, struct process *p,
    const struct mux_message *m)
{
	static const char *const legacy[] = { "protocolVersion" };
	static const char *const modern[] = { "supportedVersions" };
	struct json_value v;
	struct span version;

	if (p->state == PROCESS_STARTING) {
		if (m->result.type == JSON_OBJECT &&
		    json_object(m->result.raw, legacy, &v, 1) == JSON_OK &&
		    json_string_plain(v, &version) && is_legacy(version))
			ready(sd, p, ERA_LEGACY, version, m->result.raw);
		else
			discover(sd, p);
		return;
	}
	if (m->result.type == JSON_OBJECT &&
	    json_object(m->result.raw, modern, &v, 1) == JSON_OK &&
	    lists_modern(v))
		ready(sd, p, ERA_MODERN, SPAN_LIT(MODERN_VERSION),
		    m->result.raw);
	else if (p->is_probing) {
		p->is_probing = false;
		p->server->is_legacy = true;
		initialize(sd, p);
	} else
		refused(sd, p, m);
}

/* ---- messages ---- */

/* A server can only speak about calls that it was given. */
static struct call *
call_of(struct stdiod *sd, struct process *p, const struct mux_message *m)
{
	struct call *c;

	if (!m->has_call || (c = mux_find(&sd->mux, m->call)) == NULL)
		return NULL;
	return c->process == p ? c : NULL;
}

void
route_answer(struct stdiod *sd, struct process *p, struct span id, bool is_ping)
{
	struct json_out out;
	struct buf b;

	buf_init(&b, id.n + 512);
	json_out_init(&out, &b);
	json_object_begin(&out, NULL);
	json_put_str(&out, "jsonrpc", "2.0");
	json_put_raw(&out, "id", id);
	if (is_ping) {
		json_put_raw(&out, "result", SPAN_LIT("{}"));
	} else {
		json_object_begin(&out, "error");
		json_put_int(&out, "code", -32601);
		json_put_str(&out, "message", "Method not found");
		json_object_end(&out);
	}
	json_object_end(&out);
	if (process_send(sd, p, buf_span(&b)) < 0)
		drop(p, DROPPED_ANSWER);
	buf_free(&b);
}

/* A request of the server. The client whose process it is can answer it, over
 * a call that is under way; until there is one it waits. */
static void
request(struct stdiod *sd, struct process *p, const struct mux_message *m)
{
	bool is_ping = span_is(m->method, "ping");

	if (!p->has_caps || is_ping)
		route_answer(sd, p, m->id.raw, is_ping);
	else
		asked_take(sd, p, m);
}

static void
list_changed(struct stdiod *sd, struct process *p)
{
	if (p->health < SHM_SERVERS_MAX)
		atomic_store(&shm_health(sd->shm, p->health)->dirty, 1);
	atomic_store(&shm_poll(sd->shm)->dirty, 1);
}

static void
notification(struct stdiod *sd, struct process *p, const struct mux_message *m)
{
	struct call *c = call_of(sd, p, m);

	if (span_is(m->method, "notifications/cancelled"))
		questions_note_cancelled(&p->questions, p, m->text);
	if (span_is(m->method, "notifications/resources/updated")) {
		subscribe_updated(sd, p, m);
		return;
	}
	if (span_is(m->method, "notifications/tasks")) {
		subscribe_task(sd, p, m);
		return;
	}
	if (c == NULL && !m->has_call && p->n_pending > 0 &&
	    (p->n_pending == 1 || p->client_session != 0) &&
	    !span_is(m->method, "notifications/progress") &&
	    !span_is(m->method, "notifications/cancelled"))
		c = TAILQ_FIRST(&p->pending);
	if (c != NULL)
		client_message(sd, c, m->text);
	else if (p->is_initialized)
		log_debug("server \"%s\": %.*s belongs to no call", p->name,
		    SPAN_FMT(m->method));
}

static void
route_message(struct stdiod *sd, struct process *p,
    const struct mux_message *m)
{
	struct call *c;

	switch (m->kind) {
	case MUX_RESPONSE:
		if ((p->state == PROCESS_STARTING ||
		    p->state == PROCESS_DISCOVERING) &&
		    m->has_call && m->call == p->handshake)
			handshake_answer(sd, p, m);
		else if ((c = call_of(sd, p, m)) != NULL)
			client_response(sd, c, m->text);
		else if (!m->has_call || !subscribe_is_own(sd, m->call))
			drop(p, DROPPED_STRAY);
		break;
	case MUX_REQUEST:
		request(sd, p, m);
		break;
	case MUX_LIST_CHANGED:
		list_changed(sd, p);
		if ((c = call_of(sd, p, m)) != NULL)
			client_message(sd, c, m->text);
		break;
	case MUX_NOTIFICATION:
		notification(sd, p, m);
		break;
	case MUX_BATCH:
	case MUX_GARBAGE:
		drop(p, DROPPED_GARBAGE);
		break;
	}
}

void
route_line(struct stdiod *sd, struct process *p, struct span line)
{
	struct json_value element;
	struct mux_message m;
	struct span batch;
	size_t pos = 0, i = 0, n = 0;

	while (i < line.n && strchr(" \t\r", line.p[i]) != NULL &&
	    line.p[i] != '\0')
		i++;
	if (i == line.n)
		return;
	mux_read(line, &m);
	if (m.kind != MUX_BATCH) {
		route_message(sd, p, &m);
		return;
	}
	batch = m.text;			/* 2025-03-26 has batches */
	while (json_next_element(batch, &pos, &element)) {
		if (n++ == BATCH_MAX) {
			drop(p, DROPPED_GARBAGE);
			return;
		}
		mux_read(element.raw, &m);
		route_message(sd, p, &m);
	}
}

/* Only answers become large; the envelope says whose. */
void
route_bulk(struct stdiod *sd, struct process *p, struct bulk *b)
{
	struct mux_message m;
	struct call *c;

	mux_read(buf_span(&b->envelope), &m);
	if (b->is_bad && b->head.has_id) {
		m.kind = MUX_RESPONSE;	/* it said so before it went wrong */
		m.call = b->head.id;
		m.has_call = true;
	}
	if (m.kind != MUX_RESPONSE)
		drop(p, DROPPED_GARBAGE);
	else if ((c = call_of(sd, p, &m)) == NULL)
		drop(p, DROPPED_STRAY);
	else if (b->why.code != ERR_NONE)
		client_error(sd, c, &b->why, 0);
	else
		client_large(sd, c, b);
}
