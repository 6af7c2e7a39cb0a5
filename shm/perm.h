/*
 * perm -- the permission decision cache: (policy generation, catalog
 * generation, user, item) -> decision.
 *
 * The whole key stands in the entry, so a stale or torn entry can only be a
 * miss. Writers try once and give up; a killed writer's entry stays odd until
 * the master sweeps it (shm_perm_sweep); readers miss meanwhile.
 */
#ifndef OMNI2_SHM_PERM_H
#define OMNI2_SHM_PERM_H

#include "shm/shm.h"

struct perm_key {
	uint64_t policy, catalog;	/* generation words */
	uint32_t user, item;		/* indexes in these snapshots */
};

bool	shm_perm_get(struct shm *, const struct perm_key *, uint64_t *value);
void	shm_perm_put(struct shm *, const struct perm_key *, uint64_t value);
/* Master, after slot died: frees what it was writing. Returns their number. */
unsigned shm_perm_sweep(struct shm *, uint32_t slot);

#endif
