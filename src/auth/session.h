/*
 * session -- sealed MCP session ids (Mcp-Session-Id of the legacy revisions).
 *
 * The id is base64url of a capsule {version, flags, random, expiry, user,
 * revision, client capabilities} and an HMAC-SHA256 over capsule and
 * endpoint. Nothing is stored: any worker and any node can serve
 * it; it survives death, reload and restart. Opening it with another
 * principal or endpoint fails like an unknown id.
 */
#ifndef OMNI2_AUTH_SESSION_H
#define OMNI2_AUTH_SESSION_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

#define SESSION_ID_SIZE	200

enum session_cap { SESSION_CAP_SAMPLING = 1, SESSION_CAP_ELICITATION = 2,
	SESSION_CAP_ROOTS = 4, SESSION_CAP_ELICITATION_URL = 8,
	SESSION_CAP_SAMPLING_TASKS = 16, SESSION_CAP_SAMPLING_TOOLS = 32,
	SESSION_CAP_ELICITATION_TASKS = 64, SESSION_CAP_TASKS_LIST = 128,
	SESSION_CAP_TASKS_CANCEL = 256 };
#define SESSION_CAPS_TASKS	((uint32_t)(SESSION_CAP_SAMPLING_TASKS | \
	SESSION_CAP_ELICITATION_TASKS | SESSION_CAP_TASKS_LIST | \
	SESSION_CAP_TASKS_CANCEL))

struct session {
	uint64_t	id;		/* random; hash key for cancellation */
	int64_t		expires;	/* wall seconds */
	int64_t		user_id;
	uint32_t	revision;	/* 20251125 */
	uint32_t	caps;		/* enum session_cap bits */
};

/* Derives its key from the token secret. */
void	session_init(const char *token_secret);
void	session_seal(const struct session *, struct span endpoint,
	    char out[SESSION_ID_SIZE]);
/* 0 or -1 with err SESSION. */
int	session_open(struct span text, struct span endpoint, int64_t user_id,
	    int64_t now, struct session *, struct err *);

#endif
