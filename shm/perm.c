/*
 * perm -- the permission decision cache. Workers get and put; the master
 * sweeps after the dead.
 *
 * Never waits: whoever finds an entry busy or changing goes without. Two
 * entries share a cache line and form the set of a key.
 */
#include "shm/perm.h"

#include "base/hash.h"
#include "shm/shm_int.h"

#define WAYS	2

_Static_assert(sizeof(struct shm_perm_entry) * WAYS == SHM_LINE,
    "a set is one cache line");

/* The key as it stands in an entry; exact, because generation words that do
 * not fit are not cached (2^30 publications). False: do not cache. */
static bool
pack(const struct perm_key *key, uint64_t k[2])
{
	if (key->policy == 0 || (key->policy | key->catalog) >> 32 != 0)
		return false;
	k[0] = key->policy << 32 | key->catalog;
	k[1] = (uint64_t)key->user << 32 | key->item;
	return true;
}

static struct shm_perm_entry *
find_set(const struct shm *shm, const uint64_t k[2])
{
	struct shm_perm_entry *entry = shm->zone[ZONE_PERM];
	uint64_t h = hash_mix(k[1] ^ hash_mix(k[0]));

	return entry + (h & (shm->sizes.perm_entries - 1) & ~(uint64_t)1);
}

bool
shm_perm_get(struct shm *shm, const struct perm_key *key, uint64_t *value)
{
	struct shm_perm_entry *e;
	uint64_t k[2];

	if (!pack(key, k))
		return false;
	e = find_set(shm, k);
	for (int i = 0; i < WAYS; i++, e++) {
		uint64_t word, k0, k1, v;

		word = atomic_load_explicit(&e->word, memory_order_acquire);
		k0 = atomic_load_explicit(&e->key[0], memory_order_acquire);
		k1 = atomic_load_explicit(&e->key[1], memory_order_acquire);
		v = atomic_load_explicit(&e->value, memory_order_acquire);
		if (shm_owned_busy(word) || k0 != k[0] || k1 != k[1])
			continue;
		/* Unchanged: key and value were written together. */
		if (atomic_load_explicit(&e->word, memory_order_relaxed) !=
		    word)
			continue;
		*value = v;
		return true;
	}
	return false;
}

/* The same key, else one of an older generation, else in turn. */
static struct shm_perm_entry *
choose(struct shm_perm_entry *set, const uint64_t k[2])
{
	struct shm_perm_entry *old = NULL;
	uint64_t turn = 0;

	for (int i = 0; i < WAYS; i++) {
		uint64_t k0 = atomic_load_explicit(&set[i].key[0],
		    memory_order_relaxed);
		uint64_t k1 = atomic_load_explicit(&set[i].key[1],
		    memory_order_relaxed);

		if (k0 == k[0] && k1 == k[1])
			return &set[i];
		if (k0 != k[0] && old == NULL)
			old = &set[i];
		turn += (atomic_load_explicit(&set[i].word,
		    memory_order_relaxed) & SHM_SEQ_MASK) >> 1;
	}
	return old != NULL ? old : &set[turn % WAYS];
}

static void
fill(struct shm_perm_entry *e, uint64_t k0, uint64_t k1, uint64_t value)
{
	/* Release: whoever sees one of these sees the odd word as well. */
	atomic_store_explicit(&e->key[0], k0, memory_order_release);
	atomic_store_explicit(&e->key[1], k1, memory_order_release);
	atomic_store_explicit(&e->value, value, memory_order_release);
}

void
shm_perm_put(struct shm *shm, const struct perm_key *key, uint64_t value)
{
	struct shm_perm_entry *e;
	uint64_t k[2], word, busy;

	if (!pack(key, k))
		return;
	e = choose(find_set(shm, k), k);
	word = atomic_load_explicit(&e->word, memory_order_relaxed);
	if (shm_owned_busy(word))
		return;
	busy = shm_owned_next(word, shm->slot);
	if (!atomic_compare_exchange_strong_explicit(&e->word, &word, busy,
	    memory_order_acquire, memory_order_relaxed))
		return;
	fill(e, k[0], k[1], value);
	atomic_store_explicit(&e->word, shm_owned_next(busy, shm->slot),
	    memory_order_release);
}

unsigned
shm_perm_sweep(struct shm *shm, uint32_t slot)
{
	struct shm_perm_entry *e = shm->zone[ZONE_PERM];
	unsigned n = 0;

	for (uint32_t i = 0; i < shm->sizes.perm_entries; i++, e++) {
		uint64_t word = atomic_load_explicit(&e->word,
		    memory_order_acquire);

		if (!shm_owned_busy(word) || shm_owned_slot(word) != slot)
			continue;
		/* Half written: no key at all. Odd, so nobody else writes. */
		fill(e, 0, 0, 0);
		atomic_store_explicit(&e->word, shm_owned_next(word, slot),
		    memory_order_release);
		n++;
	}
	return n;
}
