/*
 * health -- circuit breaker and figures of each upstream server.
 */
#ifndef OMNI2_SHM_HEALTH_H
#define OMNI2_SHM_HEALTH_H

#include "shm/shm.h"

struct breaker_rules {
	uint32_t threshold;		/* consecutive failures */
	int64_t	 timeout_ms;
	uint32_t half_open_max;
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

/* Index of the server's entry; takes a free one (loader). UINT32_MAX: full. */
uint32_t shm_health_index(struct shm *, int64_t server_id, const char *name);
/* May a call go out? Open circuits turn half open after the timeout. When
 * not, *retry_after_ms says how long. */
bool	breaker_allow(struct shm_health *, const struct breaker_rules *,
	    int64_t now_ms, int64_t *retry_after_ms);
/* Every allowed call reports exactly one outcome. */
void	breaker_success(struct shm_health *, int64_t latency_us);
void	breaker_failure(struct shm_health *, const struct breaker_rules *,
	    int64_t now_ms);
/* The allowed call never happened (cancelled before sending). */
void	breaker_forget(struct shm_health *);
void	breaker_reset(struct shm_health *);	/* an operator closes it */
enum breaker_state breaker_state(const struct shm_health *);
const char *breaker_state_name(enum breaker_state);	/* "half_open" */
const char *health_status_name(enum shm_health_status);

#endif
