/*
 * legacy -- whether a modern server speaks the legacy era, too. Workers learn
 * it, the poller forgets it.
 *
 * One word, known:2 | config:14 | changes:16 | again:32, changed by one CAS:
 * whoever is killed leaves it as it was before or after. "changes" counts
 * what was forgotten, so that an answer which was under way meanwhile is not
 * taken for one of now; "again" is in seconds, 0 is never.
 */
#include "shm/legacy.h"

#include "base/hash.h"

#define CONFIG_BITS	0x3fffu
#define CHANGES_BITS	0xffffu

static uint64_t
pack(enum legacy_known known, uint64_t config_hash, uint64_t changes,
    int64_t again_ms)
{
	return (uint64_t)known << 62 |
	    (hash_mix(config_hash) & CONFIG_BITS) << 48 |
	    (changes & CHANGES_BITS) << 32 |
	    (uint32_t)((again_ms + 999) / 1000);
}

static uint64_t
changes_of(uint64_t word)
{
	return word >> 32 & CHANGES_BITS;
}

enum legacy_known
legacy_known(const struct shm_health *h, uint64_t config_hash, int64_t now_ms,
    uint64_t *word)
{
	uint64_t w = atomic_load_explicit(&h->legacy, memory_order_relaxed);

	if (word != NULL)
		*word = w;
	if ((w >> 48 & CONFIG_BITS) != (hash_mix(config_hash) & CONFIG_BITS))
		return LEGACY_UNKNOWN;
	switch (w >> 62) {
	case LEGACY_YES:
		return LEGACY_YES;
	case LEGACY_NO:
		return (uint32_t)w == 0 || now_ms / 1000 < (uint32_t)w ?
		    LEGACY_NO : LEGACY_UNKNOWN;
	}
	return LEGACY_UNKNOWN;
}

void
legacy_learned(struct shm_health *h, uint64_t word, uint64_t config_hash,
    enum legacy_known known, int64_t again_ms)
{
	atomic_compare_exchange_strong_explicit(&h->legacy, &word,
	    pack(known, config_hash, changes_of(word),
	    known == LEGACY_NO ? again_ms : 0), memory_order_relaxed,
	    memory_order_relaxed);
}

void
legacy_forget(struct shm_health *h)
{
	uint64_t w = atomic_load_explicit(&h->legacy, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&h->legacy, &w,
	    pack(LEGACY_UNKNOWN, 0, changes_of(w) + 1, 0),
	    memory_order_relaxed, memory_order_relaxed))
		;
}
