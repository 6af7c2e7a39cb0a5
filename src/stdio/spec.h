/*
 * spec -- what stdiod needs to know to run a server, in its own memory.
 *
 * The only way a command gets into stdiod: copied out of the policy snapshot,
 * by id, while it is pinned; nothing is done with it before it is unpinned.
 */
#ifndef OMNI2_STDIO_SPEC_H
#define OMNI2_STDIO_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "shm/shm.h"

struct spec {
	uint32_t	health;		/* index of shm_health and shm_sess */
	uint64_t	config_hash;
	char		*name, *command, *cwd;
	char		**args, **env;	/* NULL-terminated */
	char		**writable, **hidden;	/* likewise */
	uint32_t	sandbox;	/* enum pol_sandbox */
	bool		sandbox_required;
	int64_t		memory, processes;	/* 0: as all servers */
	int64_t		timeout_ms;	/* 0: none of its own */
};

/* Copies server id of the current policy; spec must be free. -1 with err if
 * there is no such stdio server or it is disabled. */
int	spec_read(struct spec *, struct shm *, int64_t id, struct err *);
void	spec_free(struct spec *);

#endif
