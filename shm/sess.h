/*
 * sess -- sessions at upstream servers: per server the one that all workers
 * share, and those opened for a single client session.
 *
 * Opened once: whoever claims the word by CAS opens it, the others wait or go
 * without. A killed claimer's word is swept by the master. "place" is the
 * index of an entry: for shared ones that of shm_health.
 */
#ifndef OMNI2_SHM_SESS_H
#define OMNI2_SHM_SESS_H

#include "shm/shm.h"

#define SHM_SESS_PLACES	(SHM_SERVERS_MAX + SHM_SESS_SETS * SHM_SESS_WAYS)
#define SHM_SESS_NONE	UINT32_MAX

enum sess_era { ERA_UNKNOWN, ERA_LEGACY, ERA_MODERN };

enum sess_flag {
	SESS_SSE = 1		/* speaks HTTP+SSE (2024-11-05): a session is
				 * a stream, and belongs to one process */
};

struct sess_info {
	enum sess_era	era;
	uint64_t	opened;		/* which session this is */
	char		version[16];
	char		id[232];
	uint64_t	client_session;	/* 0: shared */
	uint64_t	flags;		/* enum sess_flag */
};

/* Consistent copy; false if there is none for this server id. */
bool	shm_sess_get(const struct shm *, uint32_t place, int64_t server_id,
	    struct sess_info *);
/* Claims the right to (re)open; false if another has it. opened is the value
 * the caller saw: if it has changed meanwhile somebody was faster (false). */
bool	shm_sess_claim(struct shm *, uint32_t place, uint64_t opened);
/* Publishes and releases the claim (info->opened is counted up here; whose
 * session it is was decided by the claim). */
void	shm_sess_put(struct shm *, uint32_t place, int64_t server_id,
	    const struct sess_info *);
void	shm_sess_release(struct shm *, uint32_t place);	/* failed */
unsigned shm_sess_sweep(struct shm *, uint32_t slot);		/* master */

/* ---- sessions of single clients (client_session is not 0) ---- */

enum sess_found { SESS_NONE, SESS_THERE, SESS_OPENING };

/* THERE: *info and *place are filled, and it counts as used now. OPENING:
 * somebody has claimed it. */
enum sess_found shm_sess_client_get(const struct shm *, int64_t server_id,
	    uint64_t client_session, int64_t now_ms, struct sess_info *info,
	    uint32_t *place);

enum sess_claim { SESS_CLAIMED, SESS_BUSY, SESS_FULL };

/* What lay in an entry before it was claimed for something else. */
struct sess_old {
	int64_t		server_id;	/* 0: nothing */
	struct sess_info info;
};

/*
 * Claims an entry for a session that is not there: an unused one, or else the
 * one that nobody has used for the longest time, at least idle_ms. BUSY: look
 * again in a moment; FULL: all of them are in use.
 */
enum sess_claim shm_sess_client_claim(struct shm *, int64_t server_id,
	    uint64_t client_session, int64_t now_ms, int64_t idle_ms,
	    uint32_t *place, struct sess_old *old);
/* Empties a claimed entry and releases it: failed, or ended. */
void	shm_sess_client_drop(struct shm *, uint32_t place);
/* Calls fn with a copy of each session at this server; they do not count as
 * used by that. */
void	shm_sess_client_each(const struct shm *, int64_t server_id,
	    void (*fn)(void *arg, const struct sess_info *), void *arg);
/*
 * Looks at up to n sets that were ever used, from *cursor on, and claims the
 * first entry not used since before_ms or whose client session is over.
 * False: none; *cursor is where to go on.
 */
bool	shm_sess_client_reap(struct shm *, uint32_t *cursor, unsigned n,
	    int64_t before_ms,
	    bool (*is_over)(const struct shm *, uint64_t client_session),
	    uint32_t *place, struct sess_old *old);

#endif
