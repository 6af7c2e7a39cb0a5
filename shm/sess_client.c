/*
 * sess_client -- upstream sessions of single client sessions: which entry is
 * whose. Workers claim, open, use and end them; the master sweeps (sess.c).
 *
 * A set of entries is chosen by the key. Nothing waits, nothing is opened
 * here, and what another process does in the meantime can only make the
 * answer "look again".
 */
#include "shm/sess.h"

#include "base/hash.h"
#include "base/log.h"
#include "shm/shm_int.h"

struct key {
	int64_t		server_id;
	uint64_t	client_session;
};

static struct shm_sess_zone *
zone(const struct shm *shm)
{
	return shm->zone[ZONE_SESS];
}

static uint32_t
set_of(struct key k)
{
	return (uint32_t)(hash_mix(hash_mix((uint64_t)k.server_id) ^
	    k.client_session) % SHM_SESS_SETS);
}

static uint32_t
place_of(uint32_t set, uint32_t way)
{
	return SHM_SERVERS_MAX + set * SHM_SESS_WAYS + way;
}

/* Also of an entry that is being opened: the key is written first. */
static bool
has_key(const struct shm_sess *s, struct key k)
{
	return atomic_load(&s->server_id) == k.server_id &&
	    atomic_load(&s->client_session) == k.client_session;
}

enum sess_found
shm_sess_client_get(const struct shm *shm, int64_t server_id,
    uint64_t client_session, int64_t now_ms, struct sess_info *info,
    uint32_t *place)
{
	struct key k = { server_id, client_session };
	uint32_t set = set_of(k), i;
	struct shm_sess *s;

	if (!shm_sess_set_used(zone(shm), set))
		return SESS_NONE;
	for (i = 0; i < SHM_SESS_WAYS; i++) {
		s = &zone(shm)->client[set][i];
		if (!has_key(s, k))
			continue;
		*place = place_of(set, i);
		if (!shm_sess_get(shm, *place, server_id, info) ||
		    info->client_session != client_session)
			return SESS_OPENING;
		atomic_store_explicit(&s->used_ms, now_ms,
		    memory_order_relaxed);
		return SESS_THERE;
	}
	return SESS_NONE;
}

/* The entry to take: an empty one, else the one idle for the longest time.
 * *opened is what it counted when it was chosen. */
static struct shm_sess *
choose(struct shm_sess_zone *z, uint32_t set, int64_t used_before_ms,
    uint32_t *way, uint64_t *opened)
{
	struct shm_sess *best = NULL, *s;
	int64_t used, oldest = used_before_ms;
	uint64_t count;
	uint32_t i;

	for (i = 0; i < SHM_SESS_WAYS; i++) {
		s = &z->client[set][i];
		count = atomic_load(&s->opened);
		if (shm_owned_busy(atomic_load(&s->word)))
			continue;
		used = atomic_load(&s->server_id) == 0 ? INT64_MIN :
		    atomic_load_explicit(&s->used_ms, memory_order_relaxed);
		if (used > oldest || (best != NULL && used == oldest))
			continue;
		best = s;
		oldest = used;
		*way = i;
		*opened = count;
	}
	return best;
}

/* What lies in an entry whose claim is ours. */
static void
take_old(const struct shm_sess *s, struct sess_old *old)
{
	struct sess_info *info = &old->info;

	memset(old, 0, sizeof(*old));
	old->server_id = atomic_load(&s->server_id);
	info->era = (enum sess_era)atomic_load(&s->era);
	info->client_session = atomic_load(&s->client_session);
	info->flags = atomic_load(&s->flags);
	shm_words_load(info->version, s->version, sizeof(info->version));
	shm_words_load(info->id, s->id, sizeof(info->id));
	info->version[sizeof(info->version) - 1] = '\0';
	info->id[sizeof(info->id) - 1] = '\0';
}

/* Has somebody else an entry for this key? Both write their key before they
 * look (seq_cst), so of two that claim at the same time one sees the other. */
static bool
is_twice(struct shm_sess_zone *z, uint32_t set, uint32_t way, struct key k)
{
	uint32_t i;

	for (i = 0; i < SHM_SESS_WAYS; i++)
		if (i != way && has_key(&z->client[set][i], k))
			return true;
	return false;
}

enum sess_claim
shm_sess_client_claim(struct shm *shm, int64_t server_id,
    uint64_t client_session, int64_t now_ms, int64_t idle_ms, uint32_t *place,
    struct sess_old *old)
{
	struct key k = { server_id, client_session };
	struct shm_sess_zone *z = zone(shm);
	uint32_t set = set_of(k), way = 0;
	uint64_t opened = 0;
	struct shm_sess *s;

	memset(old, 0, sizeof(*old));
	/* First, so that a sweep after our death looks into the set. */
	if (!shm_sess_set_used(z, set))
		atomic_fetch_or(&z->used[set / 64], UINT64_C(1) << set % 64);
	if (is_twice(z, set, SHM_SESS_WAYS, k))
		return SESS_BUSY;
	s = choose(z, set, now_ms - idle_ms, &way, &opened);
	if (s == NULL)
		return SESS_FULL;
	*place = place_of(set, way);
	if (!shm_sess_claim(shm, *place, opened))
		return SESS_BUSY;
	take_old(s, old);
	/* In this order: nobody finds the new key with an old session. */
	atomic_store(&s->server_id, 0);
	atomic_store(&s->client_session, client_session);
	atomic_fetch_add(&s->opened, 1);
	atomic_store(&s->used_ms, now_ms);
	atomic_store(&s->server_id, server_id);
	if (!is_twice(z, set, way, k))
		return SESS_CLAIMED;
	shm_sess_client_drop(shm, *place);
	return SESS_BUSY;
}

void
shm_sess_client_drop(struct shm *shm, uint32_t place)
{
	struct shm_sess *s = shm_sess_at(shm, place);

	ASSERT_ALWAYS(place >= SHM_SERVERS_MAX);
	atomic_store(&s->server_id, 0);
	/* Who saw this session must not claim the entry for it any more. */
	atomic_fetch_add(&s->opened, 1);
	shm_sess_release(shm, place);
}

void
shm_sess_client_each(const struct shm *shm, int64_t server_id,
    void (*fn)(void *arg, const struct sess_info *), void *arg)
{
	struct sess_info info;
	uint32_t set, i;

	for (set = 0; set < SHM_SESS_SETS; set++) {
		if (!shm_sess_set_used(zone(shm), set))
			continue;
		for (i = 0; i < SHM_SESS_WAYS; i++)
			if (atomic_load(&zone(shm)->client[set][i].server_id) ==
			    server_id && shm_sess_get(shm, place_of(set, i),
			    server_id, &info))
				fn(arg, &info);
	}
}

/* Claims s if it is idle or over. */
static bool
claim_ended(struct shm *shm, struct shm_sess *s, uint32_t place,
    int64_t before_ms, bool (*is_over)(const struct shm *, uint64_t))
{
	uint64_t opened = atomic_load(&s->opened);
	uint64_t client = atomic_load(&s->client_session);

	if (atomic_load(&s->server_id) == 0 ||
	    shm_owned_busy(atomic_load(&s->word)))
		return false;
	if (atomic_load_explicit(&s->used_ms, memory_order_relaxed) >=
	    before_ms && (is_over == NULL || !is_over(shm, client)))
		return false;
	return shm_sess_claim(shm, place, opened);
}

bool
shm_sess_client_reap(struct shm *shm, uint32_t *cursor, unsigned n,
    int64_t before_ms, bool (*is_over)(const struct shm *, uint64_t),
    uint32_t *place, struct sess_old *old)
{
	struct shm_sess_zone *z = zone(shm);
	uint32_t tries, i;

	for (tries = 0; tries < SHM_SESS_SETS && n > 0; tries++) {
		uint32_t set = *cursor % SHM_SESS_SETS;

		if (!shm_sess_set_used(z, set)) {
			*cursor = set + 1;
			continue;
		}
		for (i = 0; i < SHM_SESS_WAYS; i++) {
			*place = place_of(set, i);
			if (!claim_ended(shm, &z->client[set][i], *place,
			    before_ms, is_over))
				continue;
			take_old(&z->client[set][i], old);
			return true;
		}
		*cursor = set + 1;
		n--;
	}
	return false;
}
