/*
 * sess -- the upstream session that all workers share, per server.
 *
 * Opened once: whoever claims the word by CAS opens it, the others wait or go
 * without. A killed claimer's word is swept by the master.
 */
#ifndef OMNI2_SHM_SESS_H
#define OMNI2_SHM_SESS_H

#include "shm/shm.h"

enum sess_era { ERA_UNKNOWN, ERA_LEGACY, ERA_MODERN };

struct sess_info {
	enum sess_era	era;
	uint64_t	opened;		/* which session this is */
	char		version[16];
	char		id[232];
};

/* Consistent copy; false if there is none for this server id. */
bool	shm_sess_get(const struct shm *, uint32_t health, int64_t server_id,
	    struct sess_info *);
/* Claims the right to (re)open; false if another has it. opened is the value
 * the caller saw: if it has changed meanwhile somebody was faster (false). */
bool	shm_sess_claim(struct shm *, uint32_t health, uint64_t opened);
/* Publishes and releases the claim (info->opened is counted up here). */
void	shm_sess_put(struct shm *, uint32_t health, int64_t server_id,
	    const struct sess_info *);
void	shm_sess_release(struct shm *, uint32_t health);	/* failed */
unsigned shm_sess_sweep(struct shm *, uint32_t slot);		/* master */

#endif
