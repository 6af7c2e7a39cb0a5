/*
 * compose -- what the upstream is sent: our own envelope around the client's
 * members, byte for byte.
 */
#include "mcp/forward_int.h"

#include <stdio.h>

#include "base/hash.h"

/* Members of _meta that belong to one hop only (docs/mcp.md section 2.3). */
static bool
is_hop_meta(struct span name)
{
	return span_is(name, "progressToken") ||
	    span_is(name, META_PREFIX "protocolVersion") ||
	    span_is(name, META_PREFIX "clientInfo") ||
	    span_is(name, META_PREFIX "clientCapabilities") ||
	    span_is(name, META_PREFIX "logLevel") ||
	    span_is(name, META_PREFIX "subscriptionId");
}

static void
add_member(struct buf *b, bool *first, struct span name, struct span value)
{
	buf_add_str(b, *first ? "\"" : ",\"");
	*first = false;
	buf_add_span(b, name);
	buf_add(b, "\":", 2);
	buf_add_span(b, value);
}

/* The level of logs the client wants: its own word, or its session's. */
static struct span
log_level(const struct forward *f)
{
	if (f->c->msg.m_log_level.type == JSON_STRING)
		return f->c->msg.m_log_level.raw;
	return f->c->modern || !f->c->may_stream ? span_make(NULL, 0) :
	    SPAN_LIT("\"debug\"");	/* filtered on its way (relay.c) */
}

static void
compose_meta(struct forward *f, const struct sess_info *s, struct buf *b,
    bool *first_param)
{
	const struct mcp_message *m = &f->c->msg;
	struct span name, level = log_level(f);
	struct json_value v;
	size_t pos = 0, start = b->n;
	bool first = true;
	char token[32];

	buf_add_str(b, *first_param ? "\"_meta\":{" : ",\"_meta\":{");
	if (m->meta.type == JSON_OBJECT)
		while (json_next_member(m->meta.raw, &pos, &name, &v))
			if (!is_hop_meta(name))
				add_member(b, &first, name, v.raw);
	if (m->progress_token.n > 0) {
		snprintf(token, sizeof(token), "%llu",
		    (unsigned long long)f->up.id);
		add_member(b, &first, SPAN_LIT("progressToken"),
		    span_str(token));
	}
	if (s->era == ERA_MODERN) {
		if (level.n > 0)
			add_member(b, &first, SPAN_LIT(META_PREFIX "logLevel"),
			    level);
		if (!first)
			buf_add_char(b, ',');
		upstream_modern_meta(b, s->version, f->caps_json);
		first = false;
	}
	if (first) {
		b->n = start;
		return;
	}
	*first_param = false;
	buf_add_char(b, '}');
}

/* To a server that does not know what it means it is not passed on. */
static bool
passes_task(const struct forward *f, const struct sess_info *s)
{
	if (s->era == ERA_MODERN)
		return f->c->modern;
	return f->wants_task;
}

int
forward_compose(void *arg, const struct sess_info *s, struct buf *b,
    struct err *e)
{
	struct forward *f = arg;
	struct span name;
	struct json_value v;
	size_t pos = 0;
	bool first = true;

	if (f->retro && f->tasks != NULL)
		return drive_compose(arg, s, b, e);
	buf_reset(b, 1 << 20);
	buf_add_char(b, '{');
	while (json_next_member(f->c->msg.params.raw, &pos, &name, &v)) {
		if (span_is(name, "_meta") || span_is(name, "requestState") ||
		    span_is(name, "inputResponses"))
			continue;
		if (span_is(name, "task") && !passes_task(f, s))
			continue;
		if (f->own.n == 0 && span_is(name, f->member))
			continue;
		add_member(b, &first, name,
		    span_is(name, f->member) ? f->own : v.raw);
	}
	if (s->era == ERA_MODERN && f->input_responses.n > 0)
		add_member(b, &first, SPAN_LIT("inputResponses"),
		    f->input_responses);
	if (s->era == ERA_MODERN && f->request_state.n > 0)
		add_member(b, &first, SPAN_LIT("requestState"),
		    f->request_state);
	if (f->bridges && span_is(f->up.method, "tools/call"))
		add_member(b, &first, SPAN_LIT("task"), SPAN_LIT("{}"));
	compose_meta(f, s, b, &first);
	buf_add_char(b, '}');
	if (b->overflow)
		return err_set(e, ERR_TOOBIG, "the parameters are too large");
	return 0;
}

/* ---- capabilities of the client, as far as a server may use them ---------- */

/*
 * A server is told no more than this client declared. A legacy server that
 * keeps sessions gets one for this client's, because it remembers what was
 * declared; a modern client has no session, so principal and capabilities
 * stand for it.
 */
void
forward_caps(struct forward *f)
{
	struct mcp_call *c = f->c;
	uint64_t h;

	f->caps_json = SPAN_LIT("{}");
	if (c->modern) {
		f->caps = mcp_caps_of_json(c->msg.m_capabilities, false);
		f->caps_json = c->msg.m_capabilities.raw;
	} else if (c->has_session && c->may_stream)
		f->caps = c->session.caps;
	if (f->caps == 0)
		return;
	if (!c->modern)		/* modern servers know no tasks of clients */
		f->caps_json = mcp_caps_to_json(c->mcp->mem,
		    f->caps & ~SESSION_CAPS_TASKS);
	h = c->modern ? hash_mix((uint64_t)c->who.user_id * 64 + f->caps) :
	    c->session.id;
	f->target.client_session = h != 0 ? h : 1;
	f->target.client_caps = f->caps;
	f->target.client_caps_json = arena_strdup(c->mcp->mem,
	    mcp_caps_to_json(c->mcp->mem, f->caps));
}

struct state_scope
forward_scope(const struct forward *f)
{
	return (struct state_scope){ .user_id = f->c->who.user_id,
	    .server_id = f->target.server_id, .method = f->c->msg.method,
	    .name = span_str(f->c->object) };
}
