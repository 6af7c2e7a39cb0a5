/*
 * state -- sealed requestState (MCP 2026-07-28, multi round-trip requests).
 *
 * What a client gets back in input_required and must repeat: either the
 * server's own requestState, or the address of a call that a worker holds
 * open. Sealed with HMAC-SHA256, bound to principal, server, method and name,
 * and short-lived; a state of another principal or request is refused.
 */
#ifndef OMNI2_MCP_STATE_H
#define OMNI2_MCP_STATE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

enum state_kind { STATE_UPSTREAM = 1, STATE_HELD = 2, STATE_TASKS = 3,
	STATE_HEARD = 4 };

struct state {
	enum state_kind	kind;
	uint32_t	slot;		/* STATE_HELD */
	uint64_t	call;		/* STATE_TASKS: server id */
	struct span	inner;		/* JSON string, raw; STATE_HEARD: the
					 * server's id of its request */
};

/* What it is bound to. */
struct state_scope {
	int64_t		user_id, server_id;
	struct span	method, name;
};

void	state_init(const char *token_secret);
/* base64url text in the arena. */
struct span state_seal(struct arena *, const struct state *,
	    const struct state_scope *, int64_t expires_wall_s);
/* 0, or -1 with err PARAMS. inner lies in the arena. */
int	state_open(struct arena *, struct span text, const struct state_scope *,
	    int64_t now_wall_s, struct state *, struct err *);

#endif
