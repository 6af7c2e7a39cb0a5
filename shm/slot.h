/*
 * slot -- one page per child: who it is, what it does, its pins and counters.
 */
#ifndef OMNI2_SHM_SLOT_H
#define OMNI2_SHM_SLOT_H

#include "shm/shm.h"

/* Master: takes a free slot of the kind before fork; UINT32_MAX if none. */
uint32_t slot_take(struct shm *, enum shm_kind);
/* The same for a child that serves several requests at once: n slots in a
 * row, at a multiple of n behind the kind's first. */
uint32_t slot_take_row(struct shm *, enum shm_kind, uint32_t n);
void	slot_started(struct shm *, uint32_t slot, int32_t pid);	/* master */
/* Master, after waitpid: folds counters into the totals, clears pins, sweeps
 * the perm and sess zones, frees the slot. *request gets the call that was
 * under way (request->call 0: none, or torn). Returns the connection id. */
uint64_t slot_reap(struct shm *, uint32_t slot, struct shm_request *request);

/* How many children of the kind are in the state: exact under any deaths,
 * unlike a counter that the dead cannot take back. */
uint32_t slot_count(const struct shm *, enum shm_kind, enum shm_state);

/* The child itself. */
void	slot_state(struct shm *, enum shm_state);
void	slot_alive(struct shm *);
void	slot_request_set(struct shm *, const struct shm_request *);
void	slot_request_clear(struct shm *);
uint64_t slot_next_call(struct shm *);	/* slot << 40 | number: unique */
/* Anyone: consistent copy; false if it kept changing or is empty. */
bool	slot_request_get(const struct shm *, uint32_t slot, struct shm_request *);

#endif
