/*
 * subscribe -- resources and tasks of stdio servers that clients watch. stdiod
 * only; see subscribe.c.
 */
#ifndef OMNI2_STDIO_SUBSCRIBE_H
#define OMNI2_STDIO_SUBSCRIBE_H

#include "stdio/stdiod_int.h"

/* A resource of the server was updated. */
void	subscribe_updated(struct stdiod *, struct process *,
	    const struct mux_message *);
/* A task changed: a notifications/tasks. */
void	subscribe_task(struct stdiod *, struct process *,
	    const struct mux_message *);
/* The process is ready: it learns what is watched. */
void	subscribe_ready(struct stdiod *, struct process *);
void	subscribe_tick(struct stdiod *);
/* Is this the id of a request that stdiod itself made? */
bool	subscribe_is_own(const struct stdiod *, uint64_t id);
/* Does a client watch anything of the server? */
bool	subscribe_is_watched(const struct stdiod *, int64_t server_id);

#endif
