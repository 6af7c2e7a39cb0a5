/*
 * shm_int -- what the files of this folder share: copying under a seqlock and
 * the words "owner slot:16 | sequence:48".
 *
 * The copies go word by word, loads with acquire and stores with release
 * order, instead of memcpy between fences: on x86-64 and arm64 that costs the
 * same, is defined by C11, and thread sanitizers understand it. Why it is
 * enough: a reader that sees a new word also sees the odd sequence that was
 * stored before it, so its second look at the sequence cannot match.
 */
#ifndef OMNI2_SHM_SHM_INT_H
#define OMNI2_SHM_SHM_INT_H

#include <string.h>

#include "shm/shm.h"

typedef uint64_t shm_word64 __attribute__((may_alias));

/* n is a multiple of 8, dst is aligned to 8. */
static inline void
shm_words_store(void *dst, const void *src, size_t n)
{
	shm_word64 *d = dst;
	const char *s = src;
	uint64_t v;

	for (size_t i = 0; i < n / sizeof(v); i++) {
		memcpy(&v, s + i * sizeof(v), sizeof(v));
		__atomic_store_n(&d[i], v, __ATOMIC_RELEASE);
	}
}

/* n is a multiple of 8, src is aligned to 8. */
static inline void
shm_words_load(void *dst, const void *src, size_t n)
{
	const shm_word64 *s = src;
	char *d = dst;
	uint64_t v;

	for (size_t i = 0; i < n / sizeof(v); i++) {
		v = __atomic_load_n(&s[i], __ATOMIC_ACQUIRE);
		memcpy(d + i * sizeof(v), &v, sizeof(v));
	}
}

#define SHM_SEQ_BITS	48
#define SHM_SEQ_MASK	((UINT64_C(1) << SHM_SEQ_BITS) - 1)

static inline bool
shm_owned_busy(uint64_t word)
{
	return (word & 1) != 0;
}

static inline uint32_t
shm_owned_slot(uint64_t word)
{
	return (uint32_t)(word >> SHM_SEQ_BITS);
}

/* The word that follows: sequence one up, owner as given. */
static inline uint64_t
shm_owned_next(uint64_t word, uint32_t slot)
{
	return (uint64_t)slot << SHM_SEQ_BITS | ((word + 1) & SHM_SEQ_MASK);
}

/* sess.c */
struct shm_sess *shm_sess_at(const struct shm *, uint32_t place);

static inline bool
shm_sess_set_used(const struct shm_sess_zone *z, uint32_t set)
{
	return atomic_load_explicit(&z->used[set / 64],
	    memory_order_relaxed) >> set % 64 & 1;
}

#endif
