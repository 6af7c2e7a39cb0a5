/*
 * heard -- see heard.h.
 */
#include "mcp/heard.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "mcp/forward_int.h"
#include "mcp/mailbox.h"
#include "mcp/own_task.h"
#include "mcp/stream.h"
#include "shm/client.h"
#include "shm/sess.h"

#define PREFIX		"\"o2s-"
#define MAIL_WAIT_MS	2000		/* between two processes */

/* ---- the listener's side ------------------------------------------------------ */

static struct state_scope
scope_of(int64_t server_id, const uint64_t *session)
{
	return (struct state_scope){ .server_id = server_id,
	    .method = SPAN_LIT("heard"),
	    .name = span_make((const char *)session, sizeof(*session)) };
}

struct span
heard_question(struct arena *mem, int64_t server_id, uint64_t session,
    struct span method, struct span params, struct span upstream_id,
    int64_t expires)
{
	struct state st = { .kind = STATE_HEARD, .inner = upstream_id };
	struct state_scope scope = scope_of(server_id, &session);
	struct span sealed = state_seal(mem, &st, &scope, expires);

	return span_str(arena_printf(mem, "{\"jsonrpc\":\"2.0\",\"id\":" PREFIX
	    "%llx-%.*s\",\"method\":\"%.*s\"%s%.*s}",
	    (unsigned long long)server_id, SPAN_FMT(sealed), SPAN_FMT(method),
	    params.n > 0 ? ",\"params\":" : "", SPAN_FMT(params)));
}

bool
heard_may_pass(const struct shm *shm, uint64_t session, struct span method,
    struct json_value params)
{
	static const char *const names[] = { "level" };
	struct json_value level;
	int least;

	if (!span_starts(method, "notifications/") ||
	    span_is(method, "notifications/progress") ||
	    span_is(method, "notifications/cancelled") ||
	    span_is(method, "notifications/tools/list_changed") ||
	    span_is(method, "notifications/prompts/list_changed") ||
	    span_is(method, "notifications/resources/list_changed") ||
	    span_is(method, "notifications/resources/updated"))
		return false;
	if (!span_is(method, "notifications/message"))
		return true;
	least = shm_client_level(shm, session);
	return params.type == JSON_OBJECT &&
	    json_object(params.raw, names, &level, 1) == JSON_OK &&
	    relay_level(level) >= (least < 0 ? 1 : least);
}

static bool
tell(const char *run_dir, uint32_t slot, uint64_t call, struct span message)
{
	struct buf body;
	struct mail m;
	struct err e;
	int fd = mailbox_connect(run_dir, slot, &e);
	bool taken;

	if (fd < 0)
		return false;
	buf_init(&body, 4096);
	taken = mailbox_send(fd, MAIL_HEARD, call, 0, message) == 0 &&
	    mailbox_recv(fd, &m, &body, clock_mono_ms() + MAIL_WAIT_MS) == 1 &&
	    m.type == MAIL_ACK;
	buf_free(&body);
	close(fd);
	return taken;
}

/* The newest call that began before this time; its slot, or UINT32_MAX. */
static uint32_t
newest_call(const struct shm *shm, const char *server, uint64_t session,
    int64_t before_us, struct shm_request *found)
{
	struct shm_request r;
	uint32_t i, slot = UINT32_MAX;

	for (i = 0; i < shm->sizes.slots; i++)
		if (slot_request_get(shm, i, &r) && r.call != 0 &&
		    r.session == session && r.start_wall_us < before_us &&
		    (slot == UINT32_MAX ||
		    r.start_wall_us > found->start_wall_us) &&
		    strcmp(r.server, server) == 0) {
			*found = r;
			slot = i;
		}
	return slot;
}

/* Most calls that ask do so soon: the newest first, as in stdio/asked.c. */
bool
heard_by_call(const struct shm *shm, const char *run_dir, const char *server,
    uint64_t session, struct span message)
{
	struct shm_request r = { .start_wall_us = INT64_MAX };
	uint32_t slot;

	while ((slot = newest_call(shm, server, session, r.start_wall_us,
	    &r)) != UINT32_MAX)
		if (tell(run_dir, slot, r.call, message))
			return true;
	return false;
}

/* ---- the worker's side ---------------------------------------------------------- */

bool
heard_is_answer(struct span id)
{
	return id.n > sizeof(PREFIX) && span_starts(id, PREFIX);
}

static int
not_ours(struct err *e)
{
	return err_set(e, ERR_BADREQ,
	    "no request with this id waits for an answer");
}

/* Whose question was it? The seal says that this session was asked. */
static int
open_id(struct mcp_call *c, int64_t *server_id, struct span *upstream_id,
    struct err *e)
{
	struct span id = span_skip(c->msg.id, sizeof(PREFIX) - 1);
	struct state_scope scope;
	struct state st;
	struct err inner;
	uint64_t number;
	size_t i;

	for (i = 0; i < id.n && id.p[i] != '-';)
		i++;
	if (i == id.n || num_hex(span_make(id.p, i), INT64_MAX, &number) < 0)
		return not_ours(e);
	*server_id = (int64_t)number;
	scope = scope_of(*server_id, &c->session.id);
	id = span_skip(id, i + 1);
	id.n--;				/* the quote */
	if (state_open(c->mcp->mem, id, &scope, c->wall_us / 1000000, &st,
	    &inner) < 0 || st.kind != STATE_HEARD)
		return not_ours(e);
	*upstream_id = st.inner;
	return 0;
}

int
heard_pass_up(struct mcp_call *c, int64_t server_id, struct span message,
    struct err *e)
{
	struct upstream_target t;
	struct sess_info info;
	uint32_t server = mcp_server_by_id(c->policy, server_id), place;

	if (server == POL_NONE || !pol_server(c->policy, server)->enabled ||
	    !rbac_may_use_server(c->policy, c->who.user, server))
		return not_ours(e);
	upstream_target_copy(&t, c->mcp->mem, c->policy, server,
	    c->mcp->conf.default_timeout_ms);
	mcp_unpin(c);			/* what follows may wait */
	if (shm_sess_client_get(c->mcp->shm, server_id, c->session.id,
	    clock_mono_ms(), &info, &place) != SESS_THERE &&
	    !upstream_link_of(c->mcp->pool, &t, c->session.id, &info))
		return not_ours(e);
	return upstream_post(c->mcp->pool, &t, &info, message, e);
}

int
heard_take_answer(struct mcp_call *c, struct err *e)
{
	static const char *const names[] = { "result", "error" };
	struct json_value v[2];
	struct span id = { NULL, 0 };
	int64_t server_id = 0;
	int i;

	c->msg.method = SPAN_LIT("response");
	if (!c->has_session)
		return not_ours(e);
	if (open_id(c, &server_id, &id, e) < 0)
		return -1;
	if (json_object(c->http->body, names, v, 2) != JSON_OK)
		return not_ours(e);
	i = v[0].type != JSON_NONE ? 0 : 1;
	if (i == 0 && (c->session.caps & SESSION_CAPS_TASKS) != 0)
		own_task_note(c, server_id, v[0]);
	return heard_pass_up(c, server_id, span_str(arena_printf(c->mcp->mem,
	    "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"%s\":%.*s}", SPAN_FMT(id),
	    names[i], SPAN_FMT(v[i].raw))), e);
}
