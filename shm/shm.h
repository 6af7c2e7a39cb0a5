/*
 * shm -- the shared memory of one omni2d: two segments, mapped before the
 * first fork, divided into zones (zones.def). README in this folder is the
 * contract: who writes what, by which protocol, and what happens when the
 * writer is killed inside.
 *
 * No pointer and no mutex ever stands in shared memory. Nothing in it is the
 * only copy of anything.
 */
#ifndef OMNI2_SHM_SHM_H
#define OMNI2_SHM_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "shm/layout.h"

enum shm_zone {
#define ZONE(id, name, segment, bytes, writers, doc) ZONE_##id,
#include "shm/zones.def"
#undef ZONE
	ZONE_COUNT
};

/* One process's view. Offsets are the same for all; base addresses too,
 * because children inherit the mappings. */
struct shm {
	char		*segment[2];
	size_t		 segment_size[2];
	int		 observable_fd;	/* memfd; -1 in an attached view */
	uint32_t	 slot;		/* own slot, UINT32_MAX: none */
	struct shm_sizes sizes;
	void		*zone[ZONE_COUNT];	/* PRIVATE ones NULL if attached */
	size_t		 zone_size[ZONE_COUNT];
};

/* Creates and clears both segments. Master, before the first fork. */
int	shm_create(struct shm *, const struct shm_sizes *, struct err *);
/* Maps the observable segment read-only from a descriptor that the control
 * socket gave out; checks magic, layout and build. omni2ctl. */
int	shm_attach(struct shm *, int fd, struct err *);
/* A new read-only descriptor of the observable segment, to give to omni2ctl. */
int	shm_export_fd(const struct shm *, struct err *);
void	shm_destroy(struct shm *);
/* After fork: remembers the own slot and makes every zone read-only that kind
 * may not write (own slot page stays writable). Dies on failure. */
void	shm_protect(struct shm *, enum shm_kind, uint32_t slot);
/* The same for a child with n slots in a row. */
void	shm_protect_row(struct shm *, enum shm_kind, uint32_t slot, uint32_t n);
const char *shm_zone_name(enum shm_zone);
const char *shm_zone_doc(enum shm_zone);

/* Typed access. */
struct shm_ctl	 *shm_ctl(const struct shm *);
struct shm_queue *shm_queue(const struct shm *);
struct shm_audit *shm_audit(const struct shm *);
struct shm_poll	 *shm_poll(const struct shm *);
struct shm_slot	 *shm_slot(const struct shm *, uint32_t i);
struct shm_slot	 *shm_self(const struct shm *);
struct shm_counters *shm_totals(const struct shm *);
struct shm_health *shm_health(const struct shm *, uint32_t i);
struct shm_word	 *shm_cancel_word(const struct shm *, uint32_t slot);
struct shm_word	 *shm_ack_word(const struct shm *, uint32_t slot);
const char *shm_kind_name(enum shm_kind);
uint32_t shm_kind_first(enum shm_kind);
uint32_t shm_kind_slots(const struct shm *, enum shm_kind);

/* The own counter, one relaxed add. */
static inline void
shm_count_in(struct shm_slot *s, enum shm_counter c, uint64_t n)
{
	atomic_store_explicit(&s->counters.v[c],
	    atomic_load_explicit(&s->counters.v[c], memory_order_relaxed) + n,
	    memory_order_relaxed);
}
/* Sum over all slots and the totals of the dead. */
uint64_t shm_counter_sum(const struct shm *, enum shm_counter);
/* One observation, in the own slot. Buckets are not cumulative. */
void	shm_latency_add(struct shm_slot *, int64_t us);
void	shm_latency_sum(const struct shm *, uint64_t buckets[SHM_BUCKETS],
	    uint64_t *count, uint64_t *sum_us);
extern const uint32_t shm_bucket_us[SHM_BUCKETS];	/* upper bounds; last 0: +Inf */

#endif
