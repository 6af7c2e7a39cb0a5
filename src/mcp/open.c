/*
 * open -- initialize, server/discover, ping, and notifications that only need
 * to be taken note of.
 */
#include "mcp/mcp_int.h"

#include <signal.h>

#include "base/clock.h"
#include "base/hash.h"

#ifndef PACKAGE_VERSION
#include "config.h"
#endif

static void
server_info(struct json_out *j, const char *name)
{
	json_object_begin(j, name);
	json_put_str(j, "name", "omni2");
	json_put_str(j, "title", "omni2 MCP gateway");
	json_put_str(j, "version", PACKAGE_VERSION);
	json_object_end(j);
}

static void
capability(struct json_out *j, const char *name, bool changes)
{
	json_object_begin(j, name);
	if (changes)
		json_put_bool(j, "listChanged", true);
	json_object_end(j);
}

/* Where a server behind the endpoint has them, of either era (bridge.c,
 * retro.c). */
static void
task_capabilities(struct mcp_call *c, struct json_out *j)
{
	uint32_t offers = mcp_tasks_offered(c);

	if (c->modern && (offers & (TASKS_EXT | TASKS_CALL)) != 0) {
		json_object_begin(j, "extensions");
		capability(j, TASKS_EXTENSION, false);
		json_object_end(j);
	}
	if (c->revision != MCP_LATEST_LEGACY ||
	    (offers & (TASKS_CALL | TASKS_EXT)) == 0)
		return;
	json_object_begin(j, "tasks");
	if ((offers & (TASKS_LIST | TASKS_EXT)) != 0)
		capability(j, "list", false);
	if ((offers & (TASKS_CANCEL | TASKS_EXT)) != 0)
		capability(j, "cancel", false);
	json_object_begin(j, "requests");
	json_object_begin(j, "tools");
	capability(j, "call", false);
	json_object_end(j);
	json_object_end(j);
	json_object_end(j);
}

/* Union over the servers behind the endpoint: what is listed is offered. */
static void
capabilities(struct mcp_call *c, struct json_out *j)
{
	json_object_begin(j, "capabilities");
	capability(j, "tools", true);
	json_object_begin(j, "resources");
	json_put_bool(j, "subscribe", true);
	json_put_bool(j, "listChanged", true);
	json_object_end(j);
	capability(j, "prompts", true);
	capability(j, "completions", false);
	capability(j, "logging", false);
	task_capabilities(c, j);
	json_object_end(j);
}

/* One server: its own instructions; all: each under its server's name. */
static void
instructions(struct mcp_call *c, struct json_out *j)
{
	struct buf text;
	uint32_t i, server;

	if (c->catalog == NULL)
		return;
	if (c->http->server.p != NULL) {
		i = catalog_find_server(c->catalog,
		    pol_server(c->policy, c->server)->id);
		if (i != CAT_NONE && cat_server(c->catalog, i)->instructions.len)
			json_put_raw(j, "instructions", cat_span(c->catalog,
			    cat_server(c->catalog, i)->instructions));
		return;
	}
	buf_init(&text, 65536);
	for (i = 0; i < c->catalog->n_servers; i++) {
		const struct cat_server *s = cat_server(c->catalog, i);
		struct span raw = cat_span(c->catalog, s->instructions);
		struct json_value v = { JSON_STRING, raw };
		char *plain;
		long n;

		if (raw.n == 0 || !span_is(cat_span(c->catalog, s->org), c->org))
			continue;
		server = mcp_policy_server(c, s);
		if (server == POL_NONE ||
		    !rbac_may_use_server(c->policy, c->who.user, server))
			continue;
		plain = arena_alloc(c->mcp->mem, raw.n + 1);
		n = json_string_decode(v, plain, raw.n + 1);
		if (n < 0)
			continue;
		buf_printf(&text, "%s## %.*s\n", text.n > 0 ? "\n\n" : "",
		    SPAN_FMT(cat_span(c->catalog, s->name)));
		buf_add(&text, plain, (size_t)n);
	}
	if (text.n > 0)
		json_put_string(j, "instructions", buf_span(&text));
	buf_free(&text);
}

int
mcp_m_initialize(struct mcp_call *c, struct buf *out, struct err *e)
{
	static const char *const names[] = { "protocolVersion", "capabilities",
	    "clientInfo" };
	struct json_value v[3];
	char id[SESSION_ID_SIZE];
	struct json_out j;
	struct span version;

	if (c->msg.params.type != JSON_OBJECT ||
	    json_object(c->msg.params.raw, names, v, 3) != JSON_OK ||
	    !json_string_plain(v[0], &version))
		return err_set(e, ERR_PARAMS,
		    "params.protocolVersion must be a string");
	c->revision = mcp_revision_number(version);
	if (c->revision == 0 || c->revision == MCP_MODERN)
		c->revision = MCP_LATEST_LEGACY;
	memset(&c->session, 0, sizeof(c->session));
	random_bytes(&c->session.id, sizeof(c->session.id));
	c->session.expires = c->wall_us / 1000000 +
	    c->mcp->conf.session_lifetime_ms / 1000;
	c->session.user_id = c->who.user_id;
	c->session.revision = c->revision;
	c->session.caps = mcp_caps_of_json(v[1],
	    c->revision == MCP_LATEST_LEGACY);
	session_seal(&c->session, mcp_endpoint(c), id);
	http_reply_header(c->http->reply, "Mcp-Session-Id", id);
	json_out_init(&j, out);
	json_object_begin(&j, NULL);
	json_put_str(&j, "protocolVersion", mcp_revision_text(c->revision));
	capabilities(c, &j);
	server_info(&j, "serverInfo");
	instructions(c, &j);
	json_object_end(&j);
	return 0;
}

int
mcp_m_discover(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct json_out j;

	json_out_init(&j, out);
	json_object_begin(&j, NULL);
	json_put_str(&j, "resultType", "complete");
	json_array_begin(&j, "supportedVersions");
	json_put_str(&j, NULL, mcp_revision_text(MCP_MODERN));
	json_array_end(&j);
	capabilities(c, &j);
	server_info(&j, "serverInfo");
	instructions(c, &j);
	json_put_int(&j, "ttlMs", 60000);
	json_put_str(&j, "cacheScope", "private");
	json_object_begin(&j, "_meta");
	server_info(&j, META_PREFIX "serverInfo");
	json_object_end(&j);
	json_object_end(&j);
	return 0;
}

int
mcp_m_empty(struct mcp_call *c, struct buf *out, struct err *e)
{
	return buf_add_str(out, "{}");
}

int
mcp_n_ignored(struct mcp_call *c, struct buf *out, struct err *e)
{
	return 0;
}

/*
 * A legacy client gives up a call that another worker is serving. The slot
 * that serves it is found by session and id; the session is bound to the
 * principal, so nobody cancels the calls of others. The number of the call
 * goes into that slot's cancel word, so a late cancellation cannot hit the
 * slot's next call; the signal only ends its wait.
 */
int
mcp_n_cancelled(struct mcp_call *c, struct buf *out, struct err *e)
{
	static const char *const names[] = { "requestId" };
	struct shm *shm = c->mcp->shm;
	struct json_value v;
	struct shm_request r;
	uint64_t id;
	uint32_t i;

	if (!c->has_session || c->msg.params.type != JSON_OBJECT ||
	    json_object(c->msg.params.raw, names, &v, 1) != JSON_OK ||
	    v.type == JSON_NONE)
		return 0;		/* nothing to be found by it */
	id = hash_bytes(11, v.raw.p, v.raw.n);
	for (i = shm_kind_first(KIND_CONTROL); i < shm->sizes.slots; i++) {
		int32_t pid;

		if (atomic_load_explicit(&shm_slot(shm, i)->state,
		    memory_order_relaxed) != SLOT_CALLING ||
		    !slot_request_get(shm, i, &r) || r.call == 0 ||
		    r.session != c->session.id || r.rpc_id != id)
			continue;
		pid = atomic_load(&shm_slot(shm, i)->pid);
		atomic_store(&shm_cancel_word(shm, i)->v, r.call);
		if (pid > 0)
			kill(pid, SIGUSR1);
	}
	return 0;
}
