/*
 * gen -- pins and publication of snapshots. Every process pins; only the
 * publisher of a snapshot (master; poller for the catalog) publishes.
 *
 * Never blocks, never allocates (but shm_snap_copy, which is for omni2ctl).
 * Why a pinned buffer is never rebuilt stands in README, "Pins".
 */
#include "shm/gen.h"

#include <stdlib.h>

#include "base/log.h"
#include "shm/shm_int.h"

#define BUFFERS		3
#define BUFFER_MASK	3u	/* low bits of a generation word */
#define COPY_TRIES	16

static _Atomic uint64_t *
generation_word(const struct shm *shm, enum shm_snap snap)
{
	if (snap == SNAP_CATALOG)
		return &shm_poll(shm)->generation;
	return &shm_ctl(shm)->generation[snap];
}

static uint64_t
buffer_size(const struct shm *shm, enum shm_snap snap)
{
	switch (snap) {
	case SNAP_CONF:
		return shm->sizes.conf_size;
	case SNAP_POLICY:
		return shm->sizes.policy_size;
	case SNAP_CATALOG:
		return shm->sizes.catalog_size;
	case SNAP_COUNT:
		break;
	}
	die_bug(__FILE__, __LINE__, "no such snapshot");
}

static const enum shm_zone snap_zone[SNAP_COUNT] = {
	[SNAP_CONF] = ZONE_CONF,
	[SNAP_POLICY] = ZONE_POLICY,
	[SNAP_CATALOG] = ZONE_CATALOG,
};

static char *
buffer_start(const struct shm *shm, enum shm_snap snap, unsigned buffer)
{
	return (char *)shm->zone[snap_zone[snap]] +
	    buffer * buffer_size(shm, snap);
}

const void *
shm_pin(struct shm *shm, enum shm_snap snap, uint64_t *generation)
{
	_Atomic uint64_t *word = generation_word(shm, snap);
	_Atomic uint64_t *pin = &shm_self(shm)->pin[snap];
	uint64_t g = atomic_load_explicit(word, memory_order_relaxed), again;

	ASSERT_ALWAYS(atomic_load_explicit(pin, memory_order_relaxed) == 0);
	for (;; g = again) {
		if (g == 0)
			return NULL;
		/* Both sequentially consistent: either this sees the newer
		 * generation, or its publisher sees this pin. (Exchange, for
		 * some compilers make a store a store and a slow fence.) */
		(void)atomic_exchange_explicit(pin, g, memory_order_seq_cst);
		again = atomic_load_explicit(word, memory_order_seq_cst);
		if (again == g)
			break;
	}
	if (generation != NULL)
		*generation = g;
	return buffer_start(shm, snap, (unsigned)(g & BUFFER_MASK));
}

void
shm_unpin(struct shm *shm, enum shm_snap snap)
{
	/* Release: what was read while pinned is read before this. */
	atomic_store_explicit(&shm_self(shm)->pin[snap], 0,
	    memory_order_release);
}

bool
shm_is_pinned(const struct shm *shm, enum shm_snap snap)
{
	return atomic_load_explicit(&shm_self(shm)->pin[snap],
	    memory_order_relaxed) != 0;
}

uint64_t
shm_generation(const struct shm *shm, enum shm_snap snap)
{
	return atomic_load_explicit(generation_word(shm, snap),
	    memory_order_acquire);
}

void *
shm_snap_copy(const struct shm *shm, enum shm_snap snap, size_t *size)
{
	_Atomic uint64_t *word = generation_word(shm, snap);
	uint64_t g, n = buffer_size(shm, snap);
	void *copy;

	if (shm->zone[snap_zone[snap]] == NULL || (copy = malloc(n)) == NULL)
		return NULL;
	for (int i = 0; i < COPY_TRIES; i++) {
		g = atomic_load_explicit(word, memory_order_seq_cst);
		if (g == 0)
			break;
		shm_words_load(copy, buffer_start(shm, snap,
		    (unsigned)(g & BUFFER_MASK)), n);
		/* Current before and after: nobody built in it meanwhile. */
		if (atomic_load_explicit(word, memory_order_seq_cst) == g) {
			*size = n;
			return copy;
		}
	}
	free(copy);
	return NULL;
}

static bool
buffer_is_pinned(const struct shm *shm, enum shm_snap snap, unsigned buffer)
{
	for (uint32_t i = 0; i < shm->sizes.slots; i++) {
		uint64_t pin = atomic_load_explicit(
		    &shm_slot(shm, i)->pin[snap], memory_order_seq_cst);

		if (pin != 0 && (pin & BUFFER_MASK) == buffer)
			return true;
	}
	return false;
}

int
shm_gen_free(const struct shm *shm, enum shm_snap snap)
{
	uint64_t current = atomic_load_explicit(generation_word(shm, snap),
	    memory_order_seq_cst);

	for (unsigned b = 0; b < BUFFERS; b++) {
		if (current != 0 && (current & BUFFER_MASK) == b)
			continue;
		if (!buffer_is_pinned(shm, snap, b))
			return (int)b;
	}
	return -1;
}

void *
shm_gen_buffer(const struct shm *shm, enum shm_snap snap, int buffer,
    size_t *size)
{
	ASSERT_ALWAYS(buffer >= 0 && buffer < BUFFERS);
	if (size != NULL)
		*size = buffer_size(shm, snap);
	return buffer_start(shm, snap, (unsigned)buffer);
}

uint64_t
shm_gen_publish(struct shm *shm, enum shm_snap snap, int buffer)
{
	_Atomic uint64_t *word = generation_word(shm, snap);
	uint64_t g = atomic_load_explicit(word, memory_order_relaxed);

	ASSERT_ALWAYS(buffer >= 0 && buffer < BUFFERS);
	ASSERT_ALWAYS(g == 0 || (g & BUFFER_MASK) != (unsigned)buffer);
	g = ((g >> 2) + 1) << 2 | (unsigned)buffer;
	atomic_store_explicit(word, g, memory_order_seq_cst);
	return g;
}
