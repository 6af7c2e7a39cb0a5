/*
 * sess -- the entries of upstream sessions. Workers and the poller claim,
 * open and publish them; everybody with the zone reads; the master sweeps.
 * Which entry belongs to a client session is decided in sess_client.c.
 *
 * Never waits and opens nothing itself. While a claim is held there is no
 * session to read: it is claimed because there was none or it was dead.
 */
#include "shm/sess.h"

#include "base/log.h"
#include "shm/shm_int.h"

#define READ_TRIES	16

_Static_assert(offsetof(struct shm_sess, version) % 8 == 0 &&
    sizeof(((struct shm_sess *)0)->version) % 8 == 0 &&
    offsetof(struct shm_sess, id) % 8 == 0 &&
    sizeof(((struct shm_sess *)0)->id) % 8 == 0, "texts go word by word");

struct shm_sess *
shm_sess_at(const struct shm *shm, uint32_t place)
{
	ASSERT_ALWAYS(place < SHM_SESS_PLACES);
	return (struct shm_sess *)shm->zone[ZONE_SESS] + place;
}

bool
shm_sess_get(const struct shm *shm, uint32_t place, int64_t server_id,
    struct sess_info *info)
{
	struct shm_sess *s = shm_sess_at(shm, place);

	for (int i = 0; i < READ_TRIES; i++) {
		uint64_t word, era;
		int64_t id;

		word = atomic_load_explicit(&s->word, memory_order_acquire);
		info->opened = atomic_load_explicit(&s->opened,
		    memory_order_acquire);
		if (shm_owned_busy(word))
			return false;
		id = atomic_load_explicit(&s->server_id, memory_order_acquire);
		era = atomic_load_explicit(&s->era, memory_order_acquire);
		info->client_session = atomic_load_explicit(
		    &s->client_session, memory_order_acquire);
		info->flags = atomic_load_explicit(&s->flags,
		    memory_order_acquire);
		shm_words_load(info->version, s->version,
		    sizeof(info->version));
		shm_words_load(info->id, s->id, sizeof(info->id));
		if (atomic_load_explicit(&s->word, memory_order_relaxed) !=
		    word)
			continue;
		info->era = era <= ERA_MODERN ? (enum sess_era)era :
		    ERA_UNKNOWN;
		info->version[sizeof(info->version) - 1] = '\0';
		info->id[sizeof(info->id) - 1] = '\0';
		return id == server_id && id != 0;
	}
	return false;
}

bool
shm_sess_claim(struct shm *shm, uint32_t place, uint64_t opened)
{
	struct shm_sess *s = shm_sess_at(shm, place);
	uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);

	if (shm_owned_busy(word) || atomic_load_explicit(&s->opened,
	    memory_order_acquire) != opened)
		return false;
	/* opened belongs to this word: it only changes under an odd one. */
	return atomic_compare_exchange_strong_explicit(&s->word, &word,
	    shm_owned_next(word, shm->slot), memory_order_acquire,
	    memory_order_relaxed);
}

static uint64_t
own_claim(const struct shm *shm, const struct shm_sess *s)
{
	uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);

	ASSERT_ALWAYS(shm_owned_busy(word) &&
	    shm_owned_slot(word) == shm->slot);
	return word;
}

void
shm_sess_put(struct shm *shm, uint32_t place, int64_t server_id,
    const struct sess_info *info)
{
	struct shm_sess *s = shm_sess_at(shm, place);
	uint64_t word = own_claim(shm, s);

	atomic_store_explicit(&s->server_id, server_id, memory_order_release);
	atomic_store_explicit(&s->era, (uint64_t)info->era,
	    memory_order_release);
	atomic_store_explicit(&s->flags, info->flags, memory_order_release);
	shm_words_store(s->version, info->version, sizeof(s->version));
	shm_words_store(s->id, info->id, sizeof(s->id));
	atomic_fetch_add_explicit(&s->opened, 1, memory_order_release);
	atomic_store_explicit(&s->word, shm_owned_next(word, shm->slot),
	    memory_order_release);
}

void
shm_sess_release(struct shm *shm, uint32_t place)
{
	struct shm_sess *s = shm_sess_at(shm, place);
	uint64_t word = own_claim(shm, s);

	atomic_store_explicit(&s->word, shm_owned_next(word, shm->slot),
	    memory_order_release);
}

/* It may be half written, so there is none. */
static unsigned
sweep_one(struct shm_sess *s, uint32_t slot)
{
	uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);

	if (!shm_owned_busy(word) || shm_owned_slot(word) != slot)
		return 0;
	atomic_store_explicit(&s->server_id, 0, memory_order_release);
	atomic_store_explicit(&s->word, shm_owned_next(word, slot),
	    memory_order_release);
	return 1;
}

unsigned
shm_sess_sweep(struct shm *shm, uint32_t slot)
{
	struct shm_sess_zone *z = shm->zone[ZONE_SESS];
	unsigned n = 0;

	for (uint32_t i = 0; i < SHM_SERVERS_MAX; i++)
		n += sweep_one(&z->shared[i], slot);
	for (uint32_t set = 0; set < SHM_SESS_SETS; set++) {
		if (!shm_sess_set_used(z, set))
			continue;
		for (uint32_t i = 0; i < SHM_SESS_WAYS; i++)
			n += sweep_one(&z->client[set][i], slot);
	}
	return n;
}
