/*
 * keeper -- the process that owns every socket nobody is working on.
 *
 * Accepts, waits (epoll) until a connection has a complete request head, hands
 * it to a worker, gets it back. Slow clients die here; overload is answered
 * here (503 and Retry-After). No third-party code, no parsing beyond the end
 * of the head and the first characters of the path.
 */
#ifndef OMNI2_KEEPER_KEEPER_H
#define OMNI2_KEEPER_KEEPER_H

#include "keeper/lane.h"
#include "shm/shm.h"

/* Main loop. Returns at SIGTERM: listeners are closed at once, idle
 * connections too, connections at workers are forgotten. */
int	keeper_main(struct shm *, uint32_t slot, const struct lanes *,
	    const int *listen_fds, int n_listen);

#endif
