/*
 * heard -- what a legacy server says on the standalone stream of the session
 * that a client has there: its requests become questions to that client, on
 * the stream of a call under way or on the client's own standalone stream.
 *
 * The listener (proc/listener.c) hears, a worker gets the client's answer. The
 * id of a question on the standalone stream holds all that is needed to take
 * the answer back: server and id of the request, sealed and bound to the
 * client session. Nobody keeps anything in between.
 */
#ifndef OMNI2_MCP_HEARD_H
#define OMNI2_MCP_HEARD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json_read.h"
#include "shm/shm.h"

struct mcp_call;

/* A request of the server as the client is to see it; raw spans. */
struct span heard_question(struct arena *, int64_t server_id,
	    uint64_t session, struct span method, struct span params,
	    struct span upstream_id, int64_t expires_wall_s);
/* May this notification go to the session? Not what belongs to a call or what
 * omni2 tells by itself, and no log message below its level. */
bool	heard_may_pass(const struct shm *, uint64_t session,
	    struct span method, struct json_value params);
/* Gives a request or notification to the worker that serves a call of this
 * session at this server. False: there is none, or it does not want it. */
bool	heard_by_call(const struct shm *, const char *run_dir,
	    const char *server, uint64_t session, struct span message);

/* Worker: is this the id of such a question; the answer to it. */
bool	heard_is_answer(struct span id);
int	heard_take_answer(struct mcp_call *, struct err *);
/* A message of the client into the session that it has at this server, which
 * the caller may use and whose session there is alive. Unpins. */
int	heard_pass_up(struct mcp_call *, int64_t server_id, struct span message,
	    struct err *);

#endif
