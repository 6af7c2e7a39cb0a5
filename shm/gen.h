/*
 * gen -- snapshots of which three buffers exist: one current, one that late
 * readers may still pin, one to build in.
 *
 * Reader: pin, read, unpin; never block while pinned (debug builds assert).
 * Publisher: one process per snapshot (master: conf, policy; poller: catalog);
 * the loader only builds. A killed reader's pin is cleared by the master; a
 * killed builder has published nothing.
 */
#ifndef OMNI2_SHM_GEN_H
#define OMNI2_SHM_GEN_H

#include "shm/shm.h"

/* The current snapshot, pinned in the own slot; NULL if none was published.
 * *generation, if not NULL, gets its word. Nested pins are a bug. */
const void *shm_pin(struct shm *, enum shm_snap, uint64_t *generation);
void	shm_unpin(struct shm *, enum shm_snap);
bool	shm_is_pinned(const struct shm *, enum shm_snap);
uint64_t shm_generation(const struct shm *, enum shm_snap);	/* current word */
/* For an attached reader (omni2ctl) that has no slot: copies the current
 * catalog out (malloc) and checks that it stayed current. NULL if none. */
void	*shm_snap_copy(const struct shm *, enum shm_snap, size_t *size);

/* A buffer that is neither current nor pinned, or -1: try again later. */
int	shm_gen_free(const struct shm *, enum shm_snap);
void	*shm_gen_buffer(const struct shm *, enum shm_snap, int buffer,
	    size_t *size);
/* Makes the buffer current; returns the new generation word. */
uint64_t shm_gen_publish(struct shm *, enum shm_snap, int buffer);

#endif
