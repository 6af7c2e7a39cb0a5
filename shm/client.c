/*
 * client -- see client.h and README, "Clients".
 *
 * Sessions: sets of 16 pairs (key, value). The value holds check bits of the
 * key it is for, so a pair whose parts belong to two sessions is read as
 * nothing. Subscriptions: sets of 32 entries under owned words.
 */
#include "shm/client.h"

#include "base/hash.h"
#include "base/clock.h"
#include "base/log.h"
#include "shm/shm_int.h"

#define CLIENT_WAYS	16u
#define CLIENT_TRIES	32
#define SUB_WAYS	32u
#define READ_TRIES	16

/* value = check:16 | unused:10 | ended:1 | level + 1:4 | used:1 | time:32.
 * time: end of an ended session, else when the level was set (seconds). */
#define V_CHECK		48
#define V_ENDED		(UINT64_C(1) << 37)
#define V_LEVEL		33
#define V_USED		(UINT64_C(1) << 32)

struct pair {
	_Atomic uint64_t key, value;
};

struct head {				/* of a subscription */
	_Alignas(SHM_LINE) _Atomic uint64_t word;	/* owner slot | sequence */
	_Atomic uint64_t owner;		/* 0: free */
	_Atomic int64_t	 server_id;
	_Atomic uint64_t hash;
	_Atomic int64_t	 expires;
	_Atomic uint64_t kind_own;	/* kind << 32 | own */
	_Atomic int64_t	 user_id;
};

struct zone {
	_Alignas(SHM_LINE) _Atomic uint64_t changes;
	_Atomic uint64_t ever;		/* 1: there was a subscription once */
	struct pair	 client[SHM_CLIENTS];
	struct head	 sub[SHM_SUBS];
	_Alignas(8) char text[SHM_SUBS][SHM_SUB_TEXT];
};

_Static_assert(SHM_SUB_TEXT % 8 == 0, "texts go word by word");

size_t
shm_client_size(void)
{
	return sizeof(struct zone);
}

static struct zone *
zone(const struct shm *shm)
{
	return shm->zone[ZONE_CLIENT];
}

/* ---- sessions ---- */

static uint64_t
check_bits(uint64_t session)
{
	return hash_mix(session ^ 0x5851f42d4c957f2dULL) << V_CHECK;
}

static bool
value_is_of(uint64_t value, uint64_t session)
{
	return (value & V_USED) != 0 &&
	    ((value ^ check_bits(session)) >> V_CHECK) == 0;
}

static struct pair *
client_set(const struct shm *shm, uint64_t session)
{
	uint64_t sets = SHM_CLIENTS / CLIENT_WAYS;

	return zone(shm)->client + hash_mix(session) % sets * CLIENT_WAYS;
}

/* What is known of the session: its value, or 0. A process that died or was
 * slow can have left two pairs of one session; an end counts most. */
static uint64_t
client_value(const struct shm *shm, uint64_t session)
{
	struct pair *p = client_set(shm, session);
	uint64_t found = 0;

	if (session == 0)
		return 0;
	for (unsigned i = 0; i < CLIENT_WAYS; i++) {
		uint64_t v;

		if (atomic_load_explicit(&p[i].key, memory_order_acquire) !=
		    session)
			continue;
		v = atomic_load_explicit(&p[i].value, memory_order_acquire);
		if (value_is_of(v, session) &&
		    (found == 0 || (v & V_ENDED) != 0))
			found = v;
	}
	return found;
}

/* Could another session have the place? Lower is better; 0: never. */
static uint64_t
worth(uint64_t key, uint64_t value, int64_t now)
{
	uint64_t time = value & UINT32_MAX;

	if (key == 0)
		return 1;
	if (!value_is_of(value, key))
		return 2;
	if ((value & V_ENDED) != 0)
		return (int64_t)time < now ? 3 : 0;
	return 4 + time;		/* a level: the one set first */
}

/* The session's pair, or one claimed for it; NULL: full. */
static struct pair *
client_claim(struct shm *shm, uint64_t session, int64_t now)
{
	struct pair *p = client_set(shm, session);

	for (int tries = 0; tries < CLIENT_TRIES; tries++) {
		uint64_t best = 0, key, best_key = 0;
		unsigned i, at = 0;

		for (i = 0; i < CLIENT_WAYS; i++) {
			uint64_t w;

			key = atomic_load(&p[i].key);
			if (key == session)
				return &p[i];
			w = worth(key, atomic_load(&p[i].value), now);
			if (w != 0 && (best == 0 || w < best)) {
				best = w;
				best_key = key;
				at = i;
			}
		}
		if (best == 0)
			return NULL;
		if (atomic_compare_exchange_strong(&p[at].key, &best_key,
		    session))
			return &p[at];
	}
	return NULL;
}

/* Sets the bits of mask to those of set. */
static bool
client_update(struct shm *shm, uint64_t session, uint64_t mask, uint64_t set)
{
	int64_t now = clock_wall_us() / 1000000;

	ASSERT_ALWAYS(session != 0);
	for (int tries = 0; tries < CLIENT_TRIES; tries++) {
		struct pair *p = client_claim(shm, session, now);
		uint64_t old, new;

		if (p == NULL)
			return false;
		old = atomic_load(&p->value);
		new = value_is_of(old, session) ? old :
		    check_bits(session) | V_USED;
		if ((new & V_ENDED) != 0 && (set & V_ENDED) == 0)
			return true;	/* over: nothing changes any more */
		new = (new & ~mask) | set;
		/* The place may have been given away between the two. */
		if (atomic_compare_exchange_strong(&p->value, &old, new) &&
		    atomic_load(&p->key) == session)
			return true;
	}
	return false;
}

int
shm_client_level(const struct shm *shm, uint64_t session)
{
	uint64_t v = client_value(shm, session);

	return (int)(v >> V_LEVEL & 15) - 1;
}

void
shm_client_set_level(struct shm *shm, uint64_t session, int level)
{
	uint64_t now = (uint64_t)(clock_wall_us() / 1000000) & UINT32_MAX;

	ASSERT_ALWAYS(level >= 0 && level <= 7);
	client_update(shm, session, UINT64_C(15) << V_LEVEL | UINT32_MAX,
	    (uint64_t)(level + 1) << V_LEVEL | now);
}

bool
shm_client_is_ended(const struct shm *shm, uint64_t session)
{
	return (client_value(shm, session) & V_ENDED) != 0;
}

bool
shm_client_end(struct shm *shm, uint64_t session, int64_t expires_wall_s)
{
	uint64_t until = expires_wall_s < 0 ? 0 :
	    expires_wall_s > (int64_t)UINT32_MAX ? UINT32_MAX :
	    (uint64_t)expires_wall_s;

	return client_update(shm, session, V_ENDED | UINT32_MAX,
	    V_ENDED | until);
}

/* ---- subscriptions ---- */

uint64_t
shm_sub_hash(struct span own_uri)
{
	return hash_bytes(19, own_uri.p, own_uri.n);
}

static unsigned
sub_first(uint64_t owner, int64_t server_id, uint64_t hash)
{
	uint64_t h = hash_mix(owner ^ hash_mix(hash ^ (uint64_t)server_id));

	return (unsigned)(h % (SHM_SUBS / SUB_WAYS)) * SUB_WAYS;
}

/* A consistent copy of the entry without its text. False: free or changing. */
static bool
head_read(const struct zone *z, unsigned i, struct shm_sub *s, uint64_t *word)
{
	const struct head *h = &z->sub[i];
	uint64_t kind_own;

	for (int tries = 0; tries < READ_TRIES; tries++) {
		*word = atomic_load_explicit(&h->word, memory_order_acquire);
		if (shm_owned_busy(*word))
			return false;
		s->owner = atomic_load_explicit(&h->owner,
		    memory_order_acquire);
		if (s->owner == 0)
			return false;
		s->server_id = atomic_load_explicit(&h->server_id,
		    memory_order_acquire);
		s->hash = atomic_load_explicit(&h->hash, memory_order_acquire);
		s->expires = atomic_load_explicit(&h->expires,
		    memory_order_acquire);
		kind_own = atomic_load_explicit(&h->kind_own,
		    memory_order_acquire);
		s->user_id = atomic_load_explicit(&h->user_id,
		    memory_order_acquire);
		if (atomic_load_explicit(&h->word, memory_order_relaxed) !=
		    *word)
			continue;
		s->kind = (uint32_t)(kind_own >> 32);
		s->own = (uint32_t)kind_own;
		if (s->own >= SHM_SUB_TEXT)
			s->own = 0;
		return true;
	}
	return false;
}

static bool
text_read(const struct zone *z, unsigned i, struct shm_sub *s, uint64_t word)
{
	shm_words_load(s->text, z->text[i], SHM_SUB_TEXT);
	s->text[SHM_SUB_TEXT - 1] = '\0';
	return atomic_load_explicit(&z->sub[i].word, memory_order_relaxed) ==
	    word;
}

/* Takes the entry for writing, if its word is still that one. */
static bool
sub_claim(struct shm *shm, unsigned i, uint64_t word)
{
	return !shm_owned_busy(word) && atomic_compare_exchange_strong_explicit(
	    &zone(shm)->sub[i].word, &word, shm_owned_next(word, shm->slot),
	    memory_order_acquire, memory_order_relaxed);
}

static void
sub_release(struct shm *shm, unsigned i)
{
	struct head *h = &zone(shm)->sub[i];
	uint64_t word = atomic_load_explicit(&h->word, memory_order_relaxed);

	atomic_store_explicit(&h->word, shm_owned_next(word, shm->slot),
	    memory_order_release);
	atomic_fetch_add(&zone(shm)->changes, 1);
}

static bool
sub_clear(struct shm *shm, unsigned i, uint64_t word)
{
	struct head *h = &zone(shm)->sub[i];

	if (!sub_claim(shm, i, word))
		return false;
	atomic_store_explicit(&h->owner, 0, memory_order_release);
	sub_release(shm, i);
	return true;
}

static void
sub_write(struct shm *shm, unsigned i, const struct shm_sub *s)
{
	struct head *h = &zone(shm)->sub[i];

	atomic_store_explicit(&h->owner, s->owner, memory_order_release);
	atomic_store_explicit(&h->server_id, s->server_id,
	    memory_order_release);
	atomic_store_explicit(&h->hash, s->hash, memory_order_release);
	atomic_store_explicit(&h->expires, s->expires, memory_order_release);
	atomic_store_explicit(&h->kind_own, (uint64_t)s->kind << 32 | s->own,
	    memory_order_release);
	atomic_store_explicit(&h->user_id, s->user_id, memory_order_release);
	shm_words_store(zone(shm)->text[i], s->text, SHM_SUB_TEXT);
	sub_release(shm, i);
}

static bool
same_sub(const struct shm_sub *a, uint64_t owner, int64_t server_id,
    uint64_t hash)
{
	return a->owner == owner && a->server_id == server_id &&
	    a->hash == hash;
}

/* Looks through the set: 1 it is there, 0 *place could take it, -1 full. */
static int
sub_look(const struct shm *shm, const struct shm_sub *want, int64_t now,
    unsigned *place, uint64_t *word)
{
	const struct zone *z = zone(shm);
	unsigned first = sub_first(want->owner, want->server_id, want->hash);
	struct shm_sub s;
	int rv = -1;

	for (unsigned i = first; i < first + SUB_WAYS; i++) {
		uint64_t w;
		bool there = head_read(z, i, &s, &w);

		if (there && same_sub(&s, want->owner, want->server_id,
		    want->hash)) {
			*place = i;
			*word = w;
			return 1;
		}
		if (rv == 0 || shm_owned_busy(w) || (there && s.expires >= now))
			continue;
		*place = i;
		*word = w;
		rv = 0;
	}
	return rv;
}

int
shm_subs_add(struct shm *shm, const struct shm_sub *s, int64_t now)
{
	ASSERT_ALWAYS(s->owner != 0 && s->own < SHM_SUB_TEXT);
	/* before the first entry can be left half written */
	atomic_store(&zone(shm)->ever, 1);
	for (int tries = 0; tries < CLIENT_TRIES; tries++) {
		unsigned place = 0;
		uint64_t word = 0;
		int rv = sub_look(shm, s, now, &place, &word);

		if (rv < 0)
			return -1;
		if (!sub_claim(shm, place, word))
			continue;
		sub_write(shm, place, s);
		return rv == 0;
	}
	return -1;
}

bool
shm_subs_remove(struct shm *shm, uint64_t owner, int64_t server_id,
    uint64_t hash)
{
	unsigned first = sub_first(owner, server_id, hash);
	bool removed = false;
	struct shm_sub s;
	uint64_t word;

	for (unsigned i = first; i < first + SUB_WAYS; i++)
		if (head_read(zone(shm), i, &s, &word) &&
		    same_sub(&s, owner, server_id, hash))
			removed |= sub_clear(shm, i, word);
	return removed;
}

bool
shm_subs_has(const struct shm *shm, uint64_t owner, int64_t server_id,
    uint64_t hash)
{
	unsigned first = sub_first(owner, server_id, hash);
	struct shm_sub s;
	uint64_t word;

	for (unsigned i = first; i < first + SUB_WAYS; i++)
		if (head_read(zone(shm), i, &s, &word) &&
		    same_sub(&s, owner, server_id, hash))
			return true;
	return false;
}

static bool
never_used(const struct shm *shm)
{
	return atomic_load_explicit(&zone(shm)->ever,
	    memory_order_acquire) == 0;
}

unsigned
shm_subs_remove_owner(struct shm *shm, uint64_t owner)
{
	struct shm_sub s;
	unsigned n = 0;
	uint64_t word;

	if (never_used(shm))
		return 0;
	for (unsigned i = 0; i < SHM_SUBS; i++)
		if (head_read(zone(shm), i, &s, &word) && s.owner == owner)
			n += sub_clear(shm, i, word);
	return n;
}

unsigned
shm_subs_remove_streams(struct shm *shm)
{
	struct shm_sub s;
	unsigned n = 0;
	uint64_t word;

	if (never_used(shm))
		return 0;
	for (unsigned i = 0; i < SHM_SUBS; i++)
		if (head_read(zone(shm), i, &s, &word) &&
		    s.kind != SUB_SESSION && s.kind != SUB_TASK)
			n += sub_clear(shm, i, word);
	return n;
}

bool
shm_subs_others(const struct shm *shm, uint64_t owner, int64_t server_id,
    uint64_t hash, int64_t now)
{
	struct shm_sub s;
	uint64_t word;

	if (never_used(shm))
		return false;
	for (unsigned i = 0; i < SHM_SUBS; i++)
		if (head_read(zone(shm), i, &s, &word) && s.owner != owner &&
		    s.server_id == server_id && s.hash == hash &&
		    s.expires >= now)
			return true;
	return false;
}

void
shm_subs_each(const struct shm *shm, uint64_t owner, int64_t server_id,
    int64_t now, void (*fn)(void *, const struct shm_sub *), void *arg)
{
	struct shm_sub s;
	uint64_t word;

	if (never_used(shm))
		return;
	for (unsigned i = 0; i < SHM_SUBS; i++)
		if (head_read(zone(shm), i, &s, &word) &&
		    (owner == 0 || s.owner == owner) &&
		    (server_id == 0 || s.server_id == server_id) &&
		    s.expires >= now && text_read(zone(shm), i, &s, word))
			fn(arg, &s);
}

bool
shm_sub_matches(const struct shm_sub *s, struct span uri)
{
	struct span own = span_str(s->text + s->own);

	if (uri.n < own.n || own.n == 0 || memcmp(uri.p, own.p, own.n) != 0)
		return false;
	/* MCP: the update may name a part of what was subscribed to */
	return uri.n == own.n || own.p[own.n - 1] == '/' ||
	    uri.p[own.n] == '/';
}

struct wanted {
	struct span	uri;
	bool		found;
};

static void
look_wanted(void *arg, const struct shm_sub *s)
{
	struct wanted *w = arg;

	w->found |= s->kind != SUB_STANDALONE && shm_sub_matches(s, w->uri);
}

bool
shm_subs_wanted(const struct shm *shm, int64_t server_id, struct span uri,
    int64_t now)
{
	struct wanted w = { uri, false };

	shm_subs_each(shm, 0, server_id, now, look_wanted, &w);
	return w.found;
}

uint64_t
shm_subs_changes(const struct shm *shm)
{
	return atomic_load_explicit(&zone(shm)->changes, memory_order_acquire);
}

unsigned
shm_subs_count(const struct shm *shm)
{
	struct shm_sub s;
	unsigned n = 0;
	uint64_t word;

	if (never_used(shm))
		return 0;
	for (unsigned i = 0; i < SHM_SUBS; i++)
		n += head_read(zone(shm), i, &s, &word);
	return n;
}

unsigned
shm_subs_of_user(const struct shm *shm, int64_t user_id, int64_t now)
{
	struct shm_sub s;
	unsigned n = 0;
	uint64_t word;

	if (never_used(shm))
		return 0;
	for (unsigned i = 0; i < SHM_SUBS; i++)
		n += head_read(zone(shm), i, &s, &word) &&
		    (s.kind == SUB_SESSION || s.kind == SUB_STREAM) &&
		    s.user_id == user_id && s.expires >= now;
	return n;
}

unsigned
shm_subs_sweep(struct shm *shm, uint32_t slot)
{
	struct zone *z = zone(shm);
	unsigned n = 0;

	if (never_used(shm))
		return 0;
	for (unsigned i = 0; i < SHM_SUBS; i++) {
		struct head *h = &z->sub[i];
		uint64_t word = atomic_load_explicit(&h->word,
		    memory_order_acquire);

		if (!shm_owned_busy(word) || shm_owned_slot(word) != slot)
			continue;
		atomic_store_explicit(&h->owner, 0, memory_order_release);
		atomic_store_explicit(&h->word, shm_owned_next(word, slot),
		    memory_order_release);
		atomic_fetch_add(&z->changes, 1);
		n++;
	}
	return n;
}
