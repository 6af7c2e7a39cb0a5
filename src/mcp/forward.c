/*
 * forward -- tools/call, resources/read, prompts/get and completion/complete:
 * find, decide, call, hand back.
 *
 * Each handler is a list of decisions; a denied call never reaches the
 * upstream. What the client sent as arguments and what the server answers as
 * result pass byte for byte; the envelope around them is always our own.
 */
#include "mcp/forward_int.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/model.h"
#include "mcp/mailbox.h"
#include "mcp/stream.h"
#include "shm/health.h"

/* ---- the call ------------------------------------------------------------ */

static void
slot_fill(struct forward *f)
{
	struct mcp_call *c = f->c;
	struct shm_request r;

	memset(&r, 0, sizeof(r));
	r.call = c->call_id;
	r.start_wall_us = c->wall_us;
	/* a modern client's calls are found by what stands for its session */
	r.session = c->modern ? f->target.client_session : c->session.id;
	r.rpc_id = hash_bytes(11, c->msg.id.p, c->msg.id.n);
	span_copy(r.principal, sizeof(r.principal), span_str(c->email));
	span_copy(r.org, sizeof(r.org), span_str(c->org));
	span_copy(r.role, sizeof(r.role), span_str(c->role));
	span_copy(r.method, sizeof(r.method), c->msg.method);
	span_copy(r.server, sizeof(r.server), span_str(c->server_name));
	span_copy(r.object, sizeof(r.object), span_str(c->object));
	span_copy(r.client, sizeof(r.client), span_str(c->http->client));
	span_copy(r.trace_id, sizeof(r.trace_id), span_str(c->trace_id));
	slot_request_set(c->mcp->shm, &r);
}

/* Only what certainly was not executed is tried again. */
static int
call_with_retry(struct forward *f, struct err *e)
{
	struct mcp *m = f->c->mcp;
	uint32_t attempt;
	int rc;

	for (attempt = 1;; attempt++) {
		rc = upstream_request(m->pool, &f->target, &f->up,
		    forward_compose, f, &m->params, e);
		if (rc == 0 || attempt >= f->max_attempts ||
		    f->up.maybe_executed || e->code != ERR_UPSTREAM ||
		    f->c->http->reply->streaming ||
		    clock_mono_ms() + f->retry_delay_ms >= f->up.deadline_ms)
			return rc;
		log_info("server \"%s\": attempt %u of %u failed: %s",
		    f->target.name, attempt, f->max_attempts, e->text);
		fiber_sleep((int)f->retry_delay_ms);
	}
}

static void
report_outcome(struct forward *f, int rc, const struct err *e,
    const struct breaker_rules *rules)
{
	struct shm_health *h = shm_health(f->c->mcp->shm, f->target.health);

	if (rc == 0)
		breaker_success(h, f->c->upstream_us);
	else if (e->code == ERR_CANCELLED || e->code == ERR_UNAVAILABLE ||
	    f->up.is_blameless)
		breaker_forget(h);	/* not the server's doing */
	else
		breaker_failure(h, rules, clock_mono_ms());
}

/* What the server says on the stream of the client's own session, its
 * listener brings us (heard.h). */
static void
watch_mailbox(struct forward *f)
{
	struct mcp *m = f->c->mcp;
	struct err ignored;

	if (f->caps == 0 || f->target.transport != TRANSPORT_HTTP)
		return;
	f->up.extra_fd = mailbox_open(&m->mailbox, m->conf.run_dir,
	    m->shm->slot, &ignored);
	f->up.on_extra = f->up.extra_fd < 0 ? NULL : ask_on_mail;
}

/* Whether it speaks the legacy era, too, is asked when it is needed. */
static bool
is_modern_server(const struct mcp_call *c, const struct pol_server *s)
{
	uint32_t i = c->catalog == NULL ? CAT_NONE :
	    catalog_find_server(c->catalog, s->id);

	return i != CAT_NONE && cat_server(c->catalog, i)->era ==
	    ERA_MODERN;
}

static void
prepare(struct forward *f, const struct pol_server *s)
{
	struct mcp_call *c = f->c;
	struct mcp *m = c->mcp;
	static const char head[] = "traceparent: 00-", tail[] = "-01\r\n";
	uint64_t span_id = hash_mix(c->call_id + 1);
	char *trace = arena_alloc(m->mem, 80 + f->param_headers.n), *at = trace;

	at = (char *)memcpy(at, head, sizeof(head) - 1) + sizeof(head) - 1;
	at = (char *)memcpy(at, c->trace_id, 32) + 32;
	*at++ = '-';
	hash_hex((const uint8_t *)&span_id, 8, at);
	at = (char *)memcpy(at + 16, tail, sizeof(tail) - 1) + sizeof(tail) - 1;
	if (f->param_headers.n > 0)
		memcpy(at, f->param_headers.p, f->param_headers.n);
	at += f->param_headers.n;

	upstream_target_copy(&f->target, m->mem, c->policy, c->server,
	    m->conf.default_timeout_ms);
	f->max_attempts = s->max_attempts;
	f->retry_delay_ms = s->retry_delay_ms;
	f->up.method = f->method.n > 0 ? f->method : c->msg.method;
	f->up.id = c->call_id;
	f->up.headers = span_make(trace, (size_t)(at - trace));
	f->up.deadline_ms = clock_mono_ms() + (f->is_long &&
	    f->target.timeout_ms < m->conf.input_timeout_ms ?
	    m->conf.input_timeout_ms : f->target.timeout_ms);
	f->up.response_max = (size_t)m->conf.result_max;
	f->up.result_max = (size_t)m->conf.streamed_max;
	f->up.client_fd = c->modern ? c->http->client_fd : -1;
	f->up.holds = c->modern;
	f->up.cancel_word = &shm_cancel_word(m->shm, m->shm->slot)->v;
	f->up.cancel_value = c->call_id;
	f->up.on_message = relay_message;
	f->up.on_result = flow_result;
	f->up.extra_fd = -1;
	f->up.arg = f;
	f->resume_fd = -1;
	forward_caps(f);
	if (f->retro)
		drive_declare(f);
	f->target.wants_legacy = !c->modern && !f->retro &&
	    is_modern_server(c, s);
	watch_mailbox(f);
	f->up.response = &m->response;
	buf_reset(&m->response, 1 << 20);
}

/* The upstream's answer becomes ours: result into out, or its error. */
/* result and error of the answer; the upstream layer has looked already,
 * unless it came from another worker (held.c). */
static void
answer_values(struct forward *f, struct json_value v[2])
{
	static const char *const names[] = { "result", "error" };
	struct span text = buf_span(&f->c->mcp->response);
	int i = f->up.answer_is_error;

	memset(v, 0, 2 * sizeof(v[0]));
	if (f->up.answer_n > 0) {
		v[i].type = JSON_OBJECT;
		v[i].raw = span_make(text.p + f->up.answer_at, f->up.answer_n);
	} else if (json_object(text, names, v, 2) != JSON_OK)
		v[0].type = v[1].type = JSON_NONE;
}

int
forward_take_response(struct forward *f, struct buf *out, struct err *e)
{
	static const char *const rnames[] = { "resultType", "ttlMs",
	    "cacheScope" };
	static const char *const enames[] = { "code" };
	struct mcp_call *c = f->c;
	struct json_value v[2], r[3], code;
	int64_t number = 0;
	int rc;

	answer_values(f, v);
	if (f->driven.type == JSON_OBJECT) {
		v[!f->driven_is_error].type = JSON_NONE;
		v[f->driven_is_error] = f->driven;
	}
	if (v[0].type != JSON_OBJECT && v[1].type != JSON_OBJECT &&
	    f->asked.n == 0)
		return err_set(e, ERR_UPSTREAM, "server \"%s\" answered with "
		    "neither result nor error object", c->server_name);
	if ((rc = bridge_take_answer(f, v[0], v[1], out)) != 0)
		return rc < 0 ? -1 : 0;
	if (v[1].type == JSON_OBJECT) {
		if (json_object(v[1].raw, enames, &code, 1) != JSON_OK ||
		    !json_int(code, &number))
			return err_set(e, ERR_UPSTREAM, "server \"%s\" answered "
			    "with an error without a code", c->server_name);
		/* what the server says of capabilities it says of the client's:
		 * they were passed on as they are */
		if (number == -32021 && c->modern)
			c->http->reply->status = 400;
		else if (number <= -32020 && number >= -32022)
			return err_set(e, ERR_UPSTREAM, "server \"%s\" refused "
			    "our request (%lld)", c->server_name,
			    (long long)number);
		c->response_error = true;
		c->rpc_code = (int)number;
		out->n = 0;
		buf_add_str(out, "{\"jsonrpc\":\"2.0\",\"id\":");
		buf_add_span(out, c->msg.id);
		buf_add_str(out, ",\"error\":");
		return buf_add_span(out, v[1].raw);
	}
	if (retro_is_on(f) &&
	    (v[0].raw = retro_result(f, v[0].raw, e)).n == 0)
		return -1;
	if ((f->is_task || f->wants_task) && !f->bridges)
		v[0].raw = task_take_result(f, v[0].raw);
	/* the eras agree: the result passes as it is */
	if (!c->modern && f->up.session.era != ERA_MODERN)
		return buf_add_span(out, v[0].raw);
	if (json_object(v[0].raw, rnames, r, 3) != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "server \"%s\" answered with a "
		    "result that names a member twice", c->server_name);
	if (c->modern && span_is(r[0].raw, "\"task\"") && !f->is_task)
		return buf_add_span(out, task_take_result(f, v[0].raw));
	if (c->modern && span_is(r[0].raw, "\"input_required\""))
		return held_seal_result(f, v[0].raw, out, e);
	if (!c->modern || (r[0].type != JSON_NONE &&
	    (r[1].type != JSON_NONE || !span_is(c->msg.method, "resources/read"))))
		return buf_add_span(out, v[0].raw);
	buf_add_char(out, '{');
	if (r[0].type == JSON_NONE)
		buf_add_str(out, "\"resultType\":\"complete\"");
	if (r[1].type == JSON_NONE && span_is(c->msg.method, "resources/read"))
		buf_printf(out, "%s\"ttlMs\":0,\"cacheScope\":\"private\"",
		    r[0].type == JSON_NONE ? "," : "");
	if (v[0].raw.n > 2 && !span_is(v[0].raw, "{}")) {
		size_t i = 1;

		while (i < v[0].raw.n && strchr(" \t\r\n", v[0].raw.p[i]))
			i++;
		if (v[0].raw.p[i] != '}')
			buf_add_char(out, ',');
		return buf_add_span(out, span_skip(v[0].raw, i));
	}
	return buf_add_char(out, '}');
}

struct json_value
forward_answer(const struct forward *f, const char *name)
{
	struct json_value message = { JSON_OBJECT,
	    buf_span(&f->c->mcp->response) };

	return json_member(message, name);
}

/* Does the answer ask a legacy client for something? Its result, then. */
static bool
wants_input(struct forward *f, struct span *result)
{
	struct json_value v;

	if (f->c->modern || f->up.session.era != ERA_MODERN)
		return false;
	v = forward_answer(f, "result");
	*result = v.raw;
	return span_is(json_member(v, "resultType").raw,
	    "\"input_required\"");
}

/* A further request of the same call. */
static int
call_again(struct forward *f, struct err *e)
{
	struct mcp *m = f->c->mcp;

	f->up.id = slot_next_call(m->shm);
	f->up.deadline_ms = clock_mono_ms() + f->target.timeout_ms;
	f->up.extra_fd = -1;
	buf_reset(&m->response, 1 << 20);
	return call_with_retry(f, e);
}

/* The call, and as many rounds of questions as it takes. */
static int
call_in_rounds(struct forward *f, struct err *e)
{
	struct span result;
	int round, rc;

	if (f->bridges)
		bridge_update(f);
	rc = call_with_retry(f, e);

	if (rc == 0 && drive_is_refused(f)) {
		drive_declare(f);
		rc = call_again(f, e);
	}
	for (round = 0; rc == 0 && wants_input(f, &result); round++) {
		if (round == ROUNDS_MAX)
			return err_set(e, ERR_UPSTREAM, "server \"%s\" asked for "
			    "input %d times", f->target.name, ROUNDS_MAX);
		if (ask_input(f, result, e) < 0)
			return -1;
		rc = call_again(f, e);
	}
	if (rc == 0 && retro_is_on(f))
		return retro_go_on(f, e);
	if (rc == 0 && drive_has_task(f))
		return drive_to_end(f, e);
	if (rc == 0 && bridge_wants_input(f))
		rc = bridge_ask(f, e);
	else if (rc == 0 && bridge_wants_result(f))
		rc = call_again(f, e);
	bridge_hand_on(f);
	return rc;
}

/*
 * A modern client's retry: what it brings along for the server, or the call
 * that is held for it. 1: held, *st says where; 0: an ordinary call; -1.
 */
static int
read_retry(struct forward *f, struct state *st, struct err *e)
{
	struct mcp_call *c = f->c;
	const struct json_value v[2] = { c->msg.param[PARAM_REQUEST_STATE],
	    c->msg.param[PARAM_INPUT_RESPONSES] };
	struct state_scope scope = forward_scope(f);
	struct span text;

	if (!c->modern)
		return 0;
	if (v[1].type == JSON_OBJECT)
		f->input_responses = v[1].raw;
	else if (v[1].type != JSON_NONE)
		return err_set(e, ERR_PARAMS,
		    "params.inputResponses must be an object");
	if (v[0].type == JSON_NONE)
		return 0;
	if (!json_string_plain(v[0], &text))
		return err_set(e, ERR_PARAMS,
		    "params.requestState must be a string of ours");
	if (state_open(c->mcp->mem, text, &scope, c->wall_us / 1000000, st,
	    e) < 0)
		return -1;
	if (st->kind == STATE_HELD)
		return 1;
	f->request_state = st->inner;
	return 0;
}

static int
resume(struct forward *f, const struct state *st, struct buf *out,
    struct err *e)
{
	struct mcp_call *c = f->c;
	int64_t start = clock_mono_us();
	int rc;

	slot_state(c->mcp->shm, SLOT_CALLING);
	mcp_unpin(c);
	rc = held_resume(f, st, f->input_responses, out, e);
	c->upstream_us = clock_mono_us() - start;
	slot_state(c->mcp->shm, SLOT_WRITING);
	return rc;
}

int
forward_run(struct forward *f, struct buf *out, struct err *e)
{
	struct mcp_call *c = f->c;
	struct mcp *m = c->mcp;
	const struct pol_server *s = pol_server(c->policy, c->server);
	struct breaker_rules rules = {
		.threshold = (uint32_t)m->conf.breaker_threshold,
		.timeout_ms = m->conf.breaker_timeout_ms,
		.half_open_max = (uint32_t)m->conf.breaker_half_open };
	int64_t wait_ms = 0, start;
	struct state st;
	int rc;

	if (audit_ready(&m->audit, m->conf.audit_on_failure, e) < 0)
		return -1;
	c->call_id = slot_next_call(m->shm);
	prepare(f, s);
	if ((rc = read_retry(f, &st, e)) != 0)
		return rc < 0 ? -1 : resume(f, &st, out, e);
	if (!breaker_allow(shm_health(m->shm, s->health), &rules,
	    clock_mono_ms(), &wait_ms)) {
		shm_count_in(shm_self(m->shm), C_BREAKER_REFUSED, 1);
		err_set(e, ERR_BREAKER, "MCP '%s' temporarily unavailable "
		    "(circuit breaker open)", c->server_name);
		e->retry_after_s = (int)((wait_ms + 999) / 1000);
		return -1;
	}
	if (mcp_limit(c, e) < 0) {
		breaker_forget(shm_health(m->shm, s->health));
		return -1;
	}
	slot_fill(f);
	slot_state(m->shm, SLOT_CALLING);
	mcp_unpin(c);
	start = clock_mono_us();
	rc = call_in_rounds(f, e);
	c->upstream_us = clock_mono_us() - start;
	report_outcome(f, rc, e, &rules);
	slot_request_clear(m->shm);
	if (f->held || (rc < 0 && f->up.extra_fd >= 0))
		mailbox_refuse_all(m->mailbox);
	slot_state(m->shm, SLOT_WRITING);
	if (f->held) {
		held_finish(f, rc, e);
		c->released = true;
		return 0;
	}
	if (rc == 0 && f->up.has_flowed)
		return 0;
	return rc < 0 ? -1 : forward_take_response(f, out, e);
}

struct span
forward_quoted(struct mcp_call *c, struct span text)
{
	struct buf *b = &c->mcp->event;		/* free before the call begins */

	buf_reset(b, 1 << 20);
	json_quote(b, text);
	return arena_dup(c->mcp->mem, buf_span(b));
}

bool
forward_note_server(struct mcp_call *c, uint32_t cat_index)
{
	const struct cat_server *s = cat_server(c->catalog, cat_index);

	c->server = mcp_policy_server(c, s);
	span_copy(c->server_name, sizeof(c->server_name),
	    cat_span(c->catalog, s->name));
	return c->server != POL_NONE;
}

/* Finds the item that the request names; CAT_NONE in *item if it is none. */
static void
find_item(struct mcp_call *c, enum item_kind kind, struct span name,
    uint32_t *item)
{
	uint32_t server;

	*item = CAT_NONE;
	if (c->catalog == NULL)
		return;
	if (c->http->server.p == NULL) {
		*item = catalog_find_exposed(c->catalog, span_str(c->org), kind,
		    name);
		return;
	}
	server = catalog_find_server(c->catalog,
	    pol_server(c->policy, c->server)->id);
	if (server != CAT_NONE)
		*item = catalog_find_own(c->catalog, server, kind, name);
}

int
forward_denied(struct mcp_call *c, struct span name, struct err *e)
{
	c->decision = AUDIT_DENY;
	return err_set(e, ERR_DENIED, "Access denied to %.*s",
	    (int)(name.n > 200 ? 200 : name.n), name.p);
}

/* A tool of a legacy server that a modern client can have as a task only. */
static bool
needs_bridge(const struct mcp_call *c, uint32_t item)
{
	return c->modern && bridge_needs_task(cat_span(c->catalog,
	    cat_item(c->catalog, item)->raw)) && (mcp_tasks_of_server(c,
	    pol_server(c->policy, c->server)->id) & TASKS_CALL) != 0;
}

/* tools/call and prompts/get differ in the kind only. */
static int
call_named(struct mcp_call *c, enum item_kind kind, struct buf *out,
    struct err *e)
{
	struct forward f;
	struct span name, own;
	uint32_t item, tasks;
	int rc;

	rc = mcp_param_string(c, PARAM_NAME, &name, e);
	if (rc <= 0)
		return rc < 0 ? -1 :
		    err_set(e, ERR_PARAMS, "params.name is missing");
	span_copy(c->object, sizeof(c->object), name);
	find_item(c, kind, name, &item);
	if (item == CAT_NONE || !forward_note_server(c,
	    cat_item(c->catalog, item)->server))
		return err_set(e, ERR_PARAMS, "Unknown %s: %.*s",
		    kind == ITEM_TOOL ? "tool" : "prompt",
		    (int)(name.n > 200 ? 200 : name.n), name.p);
	own = cat_span(c->catalog, cat_item(c->catalog, item)->name);
	span_copy(c->object, sizeof(c->object), own);
	if (!mcp_may(c, c->server, kind, own, item, true))
		return forward_denied(c, name, e);
	memset(&f, 0, sizeof(f));
	f.c = c;
	f.member = "name";
	f.own = forward_quoted(c, own);
	f.up.name = arena_dup(c->mcp->mem, own);
	f.task.tool = f.up.name;
	if (kind == ITEM_TOOL && !c->modern &&
	    c->revision == MCP_LATEST_LEGACY &&
	    c->msg.param[PARAM_TASK].type == JSON_OBJECT) {
		tasks = mcp_tasks_of_server(c,
		    pol_server(c->policy, c->server)->id);
		f.retro = (tasks & TASKS_EXT) != 0;
		f.wants_task = (tasks & (TASKS_EXT | TASKS_CALL)) != 0;
	}
	if (kind == ITEM_TOOL && (cat_item(c->catalog, item)->flags &
	    CAT_HAS_PARAM_HEADERS) && mcp_param_headers(c, cat_span(c->catalog,
	    cat_item(c->catalog, item)->raw), &f.param_headers, e) < 0)
		return -1;
	if (kind == ITEM_TOOL && needs_bridge(c, item)) {
		if (mcp_needs_tasks(c, e) < 0)
			return -1;
		f.bridges = true;
	}
	return forward_run(&f, out, e);
}

int
mcp_m_call_tool(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct json_value v = c->msg.param[PARAM_ARGUMENTS];

	if (v.type != JSON_NONE && v.type != JSON_OBJECT)
		return err_set(e, ERR_PARAMS,
		    "params.arguments must be an object");
	c->arguments = v.raw;
	return call_named(c, ITEM_TOOL, out, e);
}

int
mcp_m_get_prompt(struct mcp_call *c, struct buf *out, struct err *e)
{
	c->arguments = c->msg.param[PARAM_ARGUMENTS].raw;
	return call_named(c, ITEM_PROMPT, out, e);
}

/* The one server of those that the caller may use that lists this URI. */
static uint32_t
find_listed(struct mcp_call *c, struct span uri)
{
	uint32_t i, server, found = CAT_NONE;

	for (i = 0; i < c->catalog->n_servers; i++) {
		const struct cat_server *s = cat_server(c->catalog, i);

		if (!span_is(cat_span(c->catalog, s->org), c->org) ||
		    catalog_find_own(c->catalog, i, ITEM_RESOURCE, uri) ==
		    CAT_NONE)
			continue;
		server = mcp_policy_server(c, s);
		if (server == POL_NONE ||
		    !rbac_may_use_server(c->policy, c->who.user, server))
			continue;
		if (found != CAT_NONE)
			return CAT_NONE;
		found = i;
	}
	return found;
}

/* Whose resource is this? Slug first; then the one server that lists it. */
static uint32_t
find_resource(struct mcp_call *c, struct span uri, struct span *own)
{
	uint32_t i;

	*own = uri;
	if (c->catalog == NULL)
		return CAT_NONE;
	if (c->http->server.p != NULL)
		return catalog_find_server(c->catalog,
		    pol_server(c->policy, c->server)->id);
	i = catalog_split_uri(c->catalog, span_str(c->org), uri, own);
	return i != CAT_NONE ? i : find_listed(c, uri);
}

int
mcp_resource_decision(struct mcp_call *c, struct span uri, struct span *own,
    struct err *e)
{
	uint32_t server = find_resource(c, uri, own);

	span_copy(c->object, sizeof(c->object), *own);
	if (server == CAT_NONE || !forward_note_server(c, server))
		return err_set(e, ERR_PARAMS, "Resource not found: %.*s",
		    (int)(uri.n > 200 ? 200 : uri.n), uri.p);
	if (!mcp_may(c, c->server, ITEM_RESOURCE, *own, CAT_NONE, true))
		return forward_denied(c, uri, e);
	return 0;
}

int
mcp_m_read_resource(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct forward f;
	struct span uri, own;
	int rc;

	rc = mcp_param_string(c, PARAM_URI, &uri, e);
	if (rc <= 0)
		return rc < 0 ? -1 :
		    err_set(e, ERR_PARAMS, "params.uri is missing");
	if (mcp_resource_decision(c, uri, &own, e) < 0)
		return -1;
	memset(&f, 0, sizeof(f));
	f.c = c;
	f.member = "uri";
	f.own = forward_quoted(c, own);
	f.up.name = arena_dup(c->mcp->mem, own);
	return forward_run(&f, out, e);
}

/* The reference names a prompt or a template; it is un-prefixed, checked like
 * the thing itself, and the rest passes. */
int
mcp_m_complete(struct mcp_call *c, struct buf *out, struct err *e)
{
	static const char *const names[] = { "ref" };
	static const char *const rnames[] = { "type", "name", "uri" };
	struct json_value ref, v[3];
	struct forward f;
	struct span text, own;
	bool is_prompt;
	uint32_t item;

	if (c->msg.params.type != JSON_OBJECT ||
	    json_object(c->msg.params.raw, names, &ref, 1) != JSON_OK ||
	    ref.type != JSON_OBJECT ||
	    json_object(ref.raw, rnames, v, 3) != JSON_OK)
		return err_set(e, ERR_PARAMS, "params.ref must be an object");
	is_prompt = span_is(v[0].raw, "\"ref/prompt\"");
	if (!is_prompt && !span_is(v[0].raw, "\"ref/resource\""))
		return err_set(e, ERR_PARAMS, "params.ref.type must be "
		    "\"ref/prompt\" or \"ref/resource\"");
	if (!json_string_plain(v[is_prompt ? 1 : 2], &text))
		return err_set(e, ERR_PARAMS, "params.ref.%s must be a string",
		    is_prompt ? "name" : "uri");
	if (is_prompt) {
		find_item(c, ITEM_PROMPT, text, &item);
		if (item == CAT_NONE ||
		    !forward_note_server(c,
		    cat_item(c->catalog, item)->server))
			return err_set(e, ERR_PARAMS, "Unknown prompt: %.*s",
			    (int)(text.n > 200 ? 200 : text.n), text.p);
		own = cat_span(c->catalog, cat_item(c->catalog, item)->name);
		span_copy(c->object, sizeof(c->object), own);
		if (!mcp_may(c, c->server, ITEM_PROMPT, own, item, true))
			return forward_denied(c, text, e);
	} else if (mcp_resource_decision(c, text, &own, e) < 0)
		return -1;
	memset(&f, 0, sizeof(f));
	f.c = c;
	f.member = "ref";
	f.own = span_str(arena_printf(c->mcp->mem, "{\"type\":%.*s,\"%s\":%.*s}",
	    SPAN_FMT(v[0].raw), is_prompt ? "name" : "uri",
	    SPAN_FMT(forward_quoted(c, own))));
	return forward_run(&f, out, e);
}
