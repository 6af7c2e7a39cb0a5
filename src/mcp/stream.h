/*
 * stream -- sessions and event streams of clients, shared by the files of
 * this folder (m_session.c, stream.c, visible.c). Not for others.
 */
#ifndef OMNI2_MCP_STREAM_H
#define OMNI2_MCP_STREAM_H

#include "mcp/mcp_int.h"

/* visible.c */
/* Of the whole list as this caller sees it; changes when it does. */
uint64_t mcp_visible_hash(struct mcp_call *, enum item_kind, uint32_t server);
/* By its stable id; POL_NONE. */
uint32_t mcp_server_by_id(const struct pol_head *, int64_t server_id);

/* m_session.c */
int	mcp_m_set_level(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_subscribe(struct mcp_call *, struct buf *, struct err *);
int	mcp_m_unsubscribe(struct mcp_call *, struct buf *, struct err *);
int	mcp_session_delete(struct mcp_call *, struct err *);
/* A resource that somebody subscribes to, copied out of the snapshots. */
struct mcp_watched {
	struct upstream_target target;
	struct span	own, text;	/* URI: the server's, the client's */
	bool		declared;	/* the server can be subscribed to */
};
/* Finds and decides; does not block. The call's server is set to it. */
int	mcp_watch_find(struct mcp_call *, struct span uri, struct mcp_watched *,
	    struct err *);
/* resources/subscribe or unsubscribe on the session that all share, if the
 * server is of the legacy era. Blocks: nothing is pinned. */
int	mcp_watch_tell(struct mcp_call *, const struct mcp_watched *,
	    const char *method, struct err *);
int	mcp_watch_add(struct mcp_call *, const struct mcp_watched *,
	    uint64_t owner, uint32_t kind, int64_t expires, struct err *);

/* m_task.c: a task that somebody wants to hear of. */
struct mcp_watched_task {
	struct span	exposed;	/* the client's id of it, */
	struct span	id;		/* the server's */
	int64_t		server_id;
};
/* Finds and decides; false: not to be heard of. The call's server is set. */
bool	mcp_task_watch_find(struct mcp_call *, struct span exposed,
	    struct mcp_watched_task *);
/* May the caller still use the tool behind a watched task? */
bool	mcp_task_still_watched(struct mcp_call *, struct span exposed);
/* Has the client declared the extension? -1 with err. */
int	mcp_needs_tasks(const struct mcp_call *, struct err *);

/* stream.c */
int	mcp_m_listen(struct mcp_call *, struct buf *, struct err *);
/* GET and DELETE. */
int	mcp_bodyless(struct mcp_call *, struct err *);
/* Sends the head and gives the connection away, or the error. */
int	mcp_stream_answer(struct mcp_call *);

#endif
