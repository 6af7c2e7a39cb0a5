/*
 * mcp_int -- what the files of this folder share. Not for others.
 */
#ifndef OMNI2_MCP_MCP_INT_H
#define OMNI2_MCP_MCP_INT_H

#include "audit/emit.h"
#include "auth/auth.h"
#include "auth/session.h"
#include "base/arena.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/spill.h"
#include "mcp/catalog.h"
#include "mcp/mcp.h"
#include "mcp/spool.h"
#include "policy/rbac.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "shm/stream.h"
#include "upstream/upstream.h"

#define MCP_LATEST_LEGACY	20251125u
#define MCP_MODERN		20260728u
#define META_PREFIX		"io.modelcontextprotocol/"
#define VISIBLE_CACHE		8

/* One cached listing: the items a user may see (visible.c). */
struct visible {
	uint64_t	policy, catalog;	/* generation words */
	uint32_t	user, kind, server;	/* server: CAT_NONE all */
	uint32_t	n, cap;
	uint64_t	used_at;
	uint64_t	hash;		/* of what is listed; 0: not made yet */
	uint32_t	*item;
};

struct mcp {
	struct shm	*shm;
	int		 mailbox;	/* listener (mailbox.h); -1: none */
	struct upstream_pool *pool;
	struct spill_quota spool;	/* what its large answers may take */
	struct audit_emitter audit;
	struct arena	*mem;
	struct conf	 conf;
	uint64_t	 conf_generation;
	struct audit_redaction redaction;	/* by conf.redact */
	struct buf	 params, response, redacted, event;
	struct visible	 visible[VISIBLE_CACHE];
	uint64_t	 visible_clock;
	char		 node[64];
};

/* Members of params that methods ask for; found in one pass (decode.c). */
enum mcp_param { PARAM_META, PARAM_ARGUMENTS, PARAM_NAME, PARAM_URI,
	PARAM_CURSOR, PARAM_REF, PARAM_LEVEL, PARAM_REQUEST_STATE,
	PARAM_INPUT_RESPONSES, PARAM_TASK, PARAM_TASK_ID, PARAM_COUNT };

/* A decoded JSON-RPC message; spans into the body. */
struct mcp_message {
	bool		is_request, is_notification, is_response;
	struct span	id;		/* raw JSON; .n 0 none */
	struct span	method;
	struct json_value params;	/* object or JSON_NONE */
	struct json_value param[PARAM_COUNT];
	struct json_value meta;		/* params._meta, object or JSON_NONE */
	struct span	progress_token;	/* raw; .n 0 none */
	struct json_value m_version, m_capabilities, m_client, m_log_level;
	bool		has_envelope;	/* _meta names a protocol version */
};

/* The life of one MCP request. */
struct mcp_call {
	struct mcp	*mcp;
	const struct mcp_http *http;
	struct mcp_message msg;
	bool		 modern;
	uint32_t	 revision;	/* 20251125 */
	bool		 has_session;
	struct session	 session;
	bool		 in_batch;
	bool		 is_admitted;	/* origin, identity and endpoint */
	bool		 may_stream;	/* Accept lists text/event-stream */
	bool		 prefers_stream;	/* ... before application/json */

	/* pinned: valid until mcp_unpin() */
	const struct pol_head *policy;
	uint64_t	 policy_generation;
	const struct cat_head *catalog;
	uint64_t	 catalog_generation;

	/* who: copied, valid throughout */
	struct principal who;
	bool		 known;
	char		 org[32], email[96], role[32];
	uint32_t	 limit_per_hour;

	/* what, for limits and audit */
	uint32_t	 server;	/* policy index; POL_NONE */
	char		 server_name[64];
	char		 object[256];
	struct span	 arguments;
	bool		 counted;	/* took from the rate limit */
	enum audit_decision decision;
	char		 rule[192];
	char		 trace_id[36];
	int64_t		 start_us, wall_us, upstream_us;
	uint64_t	 call_id;
	bool		 released;	/* answered and given away (held.c) */
	bool		 resumed;	/* a stream was replayed (resume.c) */
	struct spool	 spool;		/* of the call's stream; fd -1: none */
	bool		 response_error;	/* the upstream's answer is an error */
	bool		 flows;		/* the result passes as it comes (flow.c) */
	bool		 flow_is_event;
	uint64_t	 flow_bytes;
	/* an event stream that the keeper takes over (stream.c); NULL: none */
	struct stream_info *stream;
	struct span	 stream_first;	/* its first events */
	bool		 stream_ends;	/* there is nothing to wait for */
	int		 rpc_code;
	struct err	 err;
};

/* decode.c */
int	mcp_decode(struct span body, struct mcp_message *, struct err *);
int	mcp_classify(struct mcp_call *, struct err *);
uint32_t mcp_revision_number(struct span text);	/* 0: not one of ours */
const char *mcp_revision_text(uint32_t);
/* Decodes "=?base64?...?=" (MCP 2026-07-28, Value Encoding). */
bool	mcp_header_decode(struct span, char *out, size_t size, struct span *value);
/* A string member of params, decoded into the call's arena. 1, 0, -1. */
int	mcp_param_string(struct mcp_call *, enum mcp_param, struct span *out,
	    struct err *);

/* access.c */
int	mcp_check_origin(struct mcp_call *, struct err *);
void	mcp_cors_headers(struct mcp_call *, bool preflight);
/* discovery.c: nothing may be pinned */
void	mcp_await_discovery(struct shm *);
int	mcp_pin(struct mcp_call *, struct err *);
void	mcp_unpin(struct mcp_call *);
int	mcp_authenticate(struct mcp_call *, struct err *);
int	mcp_check_session(struct mcp_call *, struct err *);
struct span mcp_endpoint(const struct mcp_call *);
struct span mcp_accept(const struct mcp_call *);
/* The one permission check; item CAT_NONE: not in the catalog (a URI). */
bool	mcp_may(struct mcp_call *, uint32_t server, enum item_kind,
	    struct span name, uint32_t item, bool explain);
int	mcp_limit(struct mcp_call *, struct err *);

/* visible.c: items of a kind that the caller may see, in order. */
const struct visible *mcp_visible(struct mcp_call *, enum item_kind,
	    uint32_t server);
uint32_t mcp_policy_server(struct mcp_call *, const struct cat_server *);

/* forward.c: whose resource is it, and may the caller read it? */
int	mcp_resource_decision(struct mcp_call *, struct span uri,
	    struct span *own, struct err *);

/* handlers: fill reply->body with the result object, or -1 with err */
typedef int (*mcp_handler)(struct mcp_call *, struct buf *result, struct err *);
int	mcp_m_initialize(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_discover(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_empty(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_list_tools(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_list_resources(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_list_templates(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_list_prompts(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_call_tool(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_read_resource(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_get_prompt(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_complete(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_task(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_list_tasks(struct mcp_call *, struct buf *, struct err *);
int	mcp_n_cancelled(struct mcp_call *, struct buf *, struct err *);
int	mcp_n_ignored(struct mcp_call *, struct buf *, struct err *);
int	mcp_n_task_status(struct mcp_call *, struct buf *, struct err *);

/* caps.c: enum session_cap bits of a ClientCapabilities object, and back.
 * Clients of 2025-11-25 alone know tasks of their own. */
uint32_t mcp_caps_of_json(struct json_value, bool knows_tasks);
struct span mcp_caps_to_json(struct arena *, uint32_t caps);

/* m_task.c: what the servers behind the endpoint can do with tasks; pinned. */
#define TASKS_EXTENSION	META_PREFIX "tasks"
enum mcp_tasks { TASKS_CALL = 1, TASKS_LIST = 2, TASKS_CANCEL = 4,
	TASKS_EXT = 8 };
uint32_t mcp_tasks_offered(struct mcp_call *);
uint32_t mcp_tasks_of_server(const struct mcp_call *, int64_t server_id);

/* resume.c */
int	mcp_resume(struct mcp_call *, struct span last_id, struct err *);

/* trail.c */
int	mcp_trail(struct mcp_call *, struct err *);

#endif
