/*
 * tlsd -- the processes that end TLS.
 *
 * They hold the key and the SSL objects, which nobody else has, and give the
 * keeper one end of a socket pair for each connection: behind it everything
 * speaks plain HTTP. (An SSL state cannot travel with a descriptor.) SIGKILL
 * costs the connections it has; the keeper sees them end.
 */
#ifndef OMNI2_TLS_TLSD_H
#define OMNI2_TLS_TLSD_H

#include "shm/shm.h"

/* back: the workers' end of the lane to the keeper. Returns the exit status. */
int	tlsd_main(struct shm *, uint32_t slot, const int *listen_fds,
	    int n_listen, int back);

#endif
