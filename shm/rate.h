/*
 * rate -- exact sliding windows without a lock.
 *
 * Each principal has a ring of the times of its last grants. A grant is
 * allowed when the limit-th last one is older than the window; it is made by
 * one CAS on the oldest place of the ring (lap number and time in one word),
 * then the head moves on; a writer killed between the two is helped by the
 * next. So: never more than limit grants in any window, exactly one more each
 * time the oldest leaves it, under any concurrency and any deaths.
 *
 * Rings come in size classes (256, 4,096, 131,072 grants); limits above the
 * largest are refused by the configuration.
 */
#ifndef OMNI2_SHM_RATE_H
#define OMNI2_SHM_RATE_H

#include "shm/shm.h"

#define SHM_RATE_LIMIT_MAX	131072u

enum rate_scope { RATE_USER = 1, RATE_SERVER = 2, RATE_ADDRESS = 3 };
enum rate_verdict { RATE_GRANTED, RATE_LIMITED, RATE_NO_ROOM };

struct rate_info {
	uint32_t used;		/* grants in the window, this one included */
	uint32_t limit;
	int64_t	 reset_ms;	/* monotonic: when the next may pass */
	int64_t	 at_ms;		/* the time that this grant is entered with;
				 * now_ms, or a little later if others of this
				 * principal had a later one */
};

size_t	shm_rate_size(const struct shm_sizes *);
void	shm_rate_init(struct shm *);
/* limit 1..SHM_RATE_LIMIT_MAX; now and window in monotonic ms. */
enum rate_verdict shm_rate_take(struct shm *, enum rate_scope, uint64_t id,
	    uint32_t limit, int64_t window_ms, int64_t now_ms,
	    struct rate_info *);
/* What it would say, without taking. */
enum rate_verdict shm_rate_peek(struct shm *, enum rate_scope, uint64_t id,
	    uint32_t limit, int64_t window_ms, int64_t now_ms,
	    struct rate_info *);

#endif
