/*
 * task -- ids of tasks (MCP 2025-11-25, and the tasks extension of 2026-07-28)
 * as clients see them: the server's own id sealed together with the server and
 * the tool, bound to the principal.
 *
 * Nothing is stored for it: any worker opens it, after a restart as well. The
 * same task always has the same id. With another principal it is unknown.
 */
#ifndef OMNI2_MCP_TASK_H
#define OMNI2_MCP_TASK_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"

struct task_ref {
	int64_t		server_id;
	struct span	tool;		/* own name: its permission decides */
	struct span	id;		/* the server's */
};

/* Derives its key from the token secret. */
void	task_init(const char *token_secret);
/* base64url text in the arena. */
struct span task_seal(struct arena *, int64_t user_id, const struct task_ref *);
/* False: not ours, or another principal's. tool and id lie in the arena. */
bool	task_open(struct arena *, int64_t user_id, struct span text,
	    struct task_ref *);

/* Where ids stand in an object. */
enum task_place {
	TASK_AT_TOP = 1,	/* taskId */
	TASK_AT_TASK = 2,	/* task.taskId */
	TASK_AT_META = 4,	/* _meta.".../related-task".taskId */
	TASK_AT_RELATED = 8,	/* ".../related-task".taskId */
	TASK_AT_PARAMS_META = 16,	/* params._meta... */
	TASK_AT_PARAMS = 32	/* params.taskId and params._meta... */
};

/* Who speaks to whom, of which tool at which server. */
struct task_scope {
	struct arena	*mem;
	int64_t		 user_id;
	int64_t		 server_id;
	struct span	 tool;
	bool		 inward;	/* to the server: ids are opened */
};

/* Appends the object with the ids at these places sealed (or opened); all
 * else byte for byte. Checked text only. */
void	task_rewrite(const struct task_scope *, struct span object,
	    unsigned places, struct buf *out);

#endif
