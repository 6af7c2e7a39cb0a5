/*
 * legacy -- what is known of a modern server: does it speak the legacy era,
 * too, with sessions? Learned by the first worker that needs to know, by
 * asking (upstream/session.c).
 */
#ifndef OMNI2_SHM_LEGACY_H
#define OMNI2_SHM_LEGACY_H

#include "shm/shm.h"

enum legacy_known { LEGACY_UNKNOWN, LEGACY_NO, LEGACY_YES };

/* UNKNOWN, too, if it was configured differently when it was asked, or NO is
 * too old. *word, if not NULL, is for legacy_learned(). */
enum legacy_known legacy_known(const struct shm_health *, uint64_t config_hash,
	    int64_t now_ms, uint64_t *word);
/* What came of asking; again_ms: when NO is asked again. Thrown away if the
 * word is another one by now. */
void	legacy_learned(struct shm_health *, uint64_t word,
	    uint64_t config_hash, enum legacy_known, int64_t again_ms);
/* The server was away, or says something else than it did. */
void	legacy_forget(struct shm_health *);

#endif
