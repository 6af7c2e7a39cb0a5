/*
 * rate -- exact sliding windows: per principal a ring of the times of its
 * last grants. Workers take; nobody sweeps, because a killed worker leaves
 * nothing that the next one cannot finish.
 *
 * Never waits and never grants more than the limit in a window; the proof,
 * and what the words below mean step by step, stand in README, "Rate".
 *
 * The zone: one struct rate_zone; then per size class its buckets, then its
 * rings. Cell i of bucket b owns ring b * CELLS + i for ever.
 *
 *   cell   lock:1 | spare:4 | version:9 | key:50	0: never used
 *   op     pending:1 | cell:4 | version:9 | key:50	last insertion
 *   place  lap:24 | time:40				0: never granted
 */
#include "shm/rate.h"

#include "base/hash.h"
#include "base/log.h"

#define CELLS		15u
#define CLASSES		3
#define TRIES		256	/* others may be in the way so often at most */

#define KEY_BITS	50
#define ID_BITS		48
#define KEY_MASK	((UINT64_C(1) << KEY_BITS) - 1)
#define VERSION_MASK	UINT64_C(0x1ff)
#define TOP_BIT		(UINT64_C(1) << 63)	/* lock, or pending */
#define TIME_BITS	40
#define TIME_MASK	((UINT64_C(1) << TIME_BITS) - 1)
#define LAP_MASK	UINT64_C(0xffffff)

struct rate_zone {			/* writer: whoever reclaims or takes */
	_Alignas(SHM_LINE) _Atomic int64_t reclaimed_ms;
	_Atomic int64_t	 window_max_ms;
};

struct bucket {				/* writer: whoever inserts or helps */
	_Alignas(SHM_LINE) _Atomic uint64_t op;
	_Atomic uint64_t cell[CELLS];
};

struct ring {				/* writer: whoever takes or helps */
	_Alignas(SHM_LINE) _Atomic uint64_t head;	/* grants so far; may
							 * lag by one */
	_Alignas(SHM_LINE) _Atomic uint64_t place[];
};

struct class {
	unsigned	bits;		/* 2^bits places per ring */
	uint64_t	buckets;
	size_t		buckets_at, rings_at;	/* offsets in the zone */
	size_t		ring_size;
};

/* One look-up: everything that the steps of a take need. */
struct look {
	struct rate_zone *zone;
	struct class	 class;
	struct bucket	*bucket;
	uint64_t	 key;
	int64_t		 now_ms;
};

static const struct {
	uint32_t bits;
	uint32_t share, least;		/* principals / share, at least least */
} classes[CLASSES] = {
	{ 8, 1, 1 }, { 12, 16, 64 }, { 17, 512, 8 },
};

_Static_assert(SHM_RATE_LIMIT_MAX == 1u << 17, "the largest class holds it");

static uint64_t
places_of(const struct class *class)
{
	return UINT64_C(1) << class->bits;
}

/* Fills in class c; returns the offset behind it. Four principals per bucket
 * of fifteen cells on average, so that hardly any bucket runs full. */
static size_t
class_place(const struct shm_sizes *sz, int c, size_t at, struct class *out)
{
	uint64_t n = sz->rate_principals / classes[c].share;

	if (n < classes[c].least)
		n = classes[c].least;
	out->bits = classes[c].bits;
	out->buckets = (n + 3) / 4;
	out->buckets_at = at;
	at += out->buckets * sizeof(struct bucket);
	out->rings_at = at;
	out->ring_size = sizeof(struct ring) +
	    places_of(out) * sizeof(uint64_t);
	return at + out->buckets * CELLS * out->ring_size;
}

size_t
shm_rate_size(const struct shm_sizes *sz)
{
	size_t at = sizeof(struct rate_zone);
	struct class class;

	for (int c = 0; c < CLASSES; c++)
		at = class_place(sz, c, at, &class);
	return at;
}

void
shm_rate_init(struct shm *shm)
{
	struct rate_zone *zone = shm->zone[ZONE_RATE];

	/* All else begins as zero, which is how the mapping is born. */
	atomic_store_explicit(&zone->window_max_ms,
	    (int64_t)shm->sizes.rate_window_ms, memory_order_relaxed);
}

static uint64_t
version_of(uint64_t word)
{
	return word >> KEY_BITS & VERSION_MASK;
}

static unsigned
cell_of(uint64_t op)
{
	return (unsigned)(op >> 59 & 15) % CELLS;
}

static uint64_t
make_op(unsigned cell, uint64_t version, uint64_t key)
{
	return TOP_BIT | (uint64_t)cell << 59 |
	    (version & VERSION_MASK) << KEY_BITS | key;
}

static uint64_t
make_key(enum rate_scope scope, uint64_t id)
{
	/* Database ids stay as they are; hashes of addresses lose 16 bits. */
	if (id >> ID_BITS != 0)
		id = hash_mix(id) & ((UINT64_C(1) << ID_BITS) - 1);
	return (uint64_t)scope << ID_BITS | id;
}

static uint64_t
lap_of(const struct class *class, uint64_t grant)
{
	return ((grant >> class->bits) + 1) & LAP_MASK;
}

static _Atomic uint64_t *
place_of(const struct class *class, struct ring *r, uint64_t grant)
{
	return &r->place[grant & (places_of(class) - 1)];
}

static uint64_t
make_place(uint64_t lap, int64_t time_ms)
{
	return lap << TIME_BITS | ((uint64_t)time_ms & TIME_MASK);
}

static int64_t
time_of(uint64_t place)
{
	return (int64_t)(place & TIME_MASK);
}

static struct ring *
ring_of(const struct look *l, unsigned cell)
{
	size_t bucket = (size_t)(l->bucket - (struct bucket *)
	    ((char *)l->zone + l->class.buckets_at));

	return (struct ring *)((char *)l->zone + l->class.rings_at +
	    (bucket * CELLS + cell) * l->class.ring_size);
}

static void
look_init(struct look *l, const struct shm *shm, enum rate_scope scope,
    uint64_t id, uint32_t limit, int64_t now_ms)
{
	const struct shm_head *head = shm->zone[ZONE_HEAD];
	size_t at = sizeof(struct rate_zone);
	int c = 0;

	l->zone = shm->zone[ZONE_RATE];
	do {
		at = class_place(&shm->sizes, c++, at, &l->class);
	} while (limit > places_of(&l->class));
	l->key = make_key(scope, id);
	l->now_ms = now_ms < 0 ? 0 : now_ms;
	/* Seeded: who picks his address cannot pick his bucket. */
	l->bucket = (struct bucket *)((char *)l->zone + l->class.buckets_at) +
	    ((hash_mix(l->key ^ head->hash_seed) >> 32) *
	    l->class.buckets >> 32);
}

/*
 * Reads the place of a grant. 1: the grant is there, *time_ms is its time;
 * 0: not made yet; -1: overwritten since, the caller's head is old.
 */
static int
read_grant(const struct class *class, struct ring *r, uint64_t grant,
    uint64_t *word)
{
	uint64_t lap = lap_of(class, grant);

	*word = atomic_load_explicit(place_of(class, r, grant),
	    memory_order_seq_cst);
	if (*word >> TIME_BITS == lap)
		return 1;
	return *word >> TIME_BITS == ((lap - 1) & LAP_MASK) ? 0 : -1;
}

/* The number of grants made: a head that a killed writer, or one not yet
 * done, has left behind is moved on. */
static uint64_t
ring_head(const struct class *class, struct ring *r, uint64_t *free_word)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_seq_cst);

	for (;;) {
		switch (read_grant(class, r, head, free_word)) {
		case 0:
			return head;
		case 1:
			if (atomic_compare_exchange_strong_explicit(&r->head,
			    &head, head + 1, memory_order_seq_cst,
			    memory_order_seq_cst))
				head++;
			break;
		default:
			head = atomic_load_explicit(&r->head,
			    memory_order_seq_cst);
			break;
		}
	}
}

/* The time of the newest grant; 0: none. False: overtaken, read again. */
static bool
ring_newest(const struct class *class, struct ring *r, uint64_t head,
    int64_t *time_ms)
{
	uint64_t word;

	*time_ms = 0;
	if (head == 0)
		return true;
	if (read_grant(class, r, head - 1, &word) != 1)
		return false;
	*time_ms = time_of(word);
	return true;
}

/* How many of the grants before head are younger than the window. Times in
 * the ring never go down, so halving finds the first. */
static uint64_t
ring_used(const struct class *class, struct ring *r, uint64_t head,
    int64_t now_ms, int64_t window_ms)
{
	uint64_t most = places_of(class);
	uint64_t low = head > most ? head - most : 0;
	uint64_t high = head;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2, word;

		/* Overwritten meanwhile: old enough then, so old now. */
		if (read_grant(class, r, mid, &word) == 1 &&
		    time_of(word) + window_ms > now_ms)
			high = mid;
		else
			low = mid + 1;
	}
	return head - low;
}

/* head counts the grants, a new one included. */
static void
fill_info(const struct look *l, struct ring *r, uint64_t head, uint32_t limit,
    int64_t window_ms, int64_t at_ms, struct rate_info *info)
{
	uint64_t word;

	if (info == NULL)
		return;
	info->limit = limit;
	info->at_ms = info->reset_ms = at_ms;
	info->used = (uint32_t)ring_used(&l->class, r, head, at_ms, window_ms);
	if (info->used >= limit &&
	    read_grant(&l->class, r, head - limit, &word) == 1)
		info->reset_ms = time_of(word) + window_ms;
}

/* Is the cell's principal idle for longer than any window in use? */
static bool
cell_is_stale(const struct look *l, unsigned cell)
{
	int64_t window_ms = atomic_load_explicit(&l->zone->window_max_ms,
	    memory_order_seq_cst), newest;
	struct ring *r = ring_of(l, cell);
	uint64_t word;

	while (!ring_newest(&l->class, r, ring_head(&l->class, r, &word),
	    &newest))
		;
	return newest + window_ms <= l->now_ms;
}

/* A monotonic maximum. */
static void
raise_to(_Atomic int64_t *v, int64_t to)
{
	int64_t old = atomic_load_explicit(v, memory_order_seq_cst);

	while (old < to && !atomic_compare_exchange_weak_explicit(v, &old, to,
	    memory_order_seq_cst, memory_order_seq_cst))
		;
}

/*
 * Brings the pending insertion to its end, whoever began it: an empty cell
 * gets the key; a used one is locked first and then, if its principal is
 * still idle, given to the new key, else given back.
 */
static void
finish_op(const struct look *l, uint64_t op)
{
	unsigned i = cell_of(op);
	_Atomic uint64_t *cell = &l->bucket->cell[i];
	uint64_t version = version_of(op) << KEY_BITS, to;

	for (;;) {
		uint64_t c = atomic_load_explicit(cell, memory_order_seq_cst);

		/* Still pending after c was read: c belongs to this op. */
		if (atomic_load_explicit(&l->bucket->op,
		    memory_order_seq_cst) != op)
			return;
		if ((c & TOP_BIT) != 0) {
			/* Before it can come back: README, "late clocks". */
			raise_to(&l->zone->reclaimed_ms, l->now_ms);
			to = version | (cell_is_stale(l, i) ?
			    op & KEY_MASK : c & KEY_MASK);
		} else if (c != 0 && version_of(c) == version_of(op))
			break;
		else
			to = c == 0 ? version | (op & KEY_MASK) : c | TOP_BIT;
		atomic_compare_exchange_strong_explicit(cell, &c, to,
		    memory_order_seq_cst, memory_order_seq_cst);
	}
	atomic_compare_exchange_strong_explicit(&l->bucket->op, &op,
	    op & ~TOP_BIT, memory_order_seq_cst, memory_order_seq_cst);
}

enum found { FOUND, ABSENT, BUSY };

static enum found
find_cell(const struct look *l, unsigned *cell)
{
	for (unsigned i = 0; i < CELLS; i++) {
		uint64_t c = atomic_load_explicit(&l->bucket->cell[i],
		    memory_order_seq_cst);

		if ((c & KEY_MASK) != l->key)
			continue;
		*cell = i;
		return (c & TOP_BIT) != 0 ? BUSY : FOUND;
	}
	return ABSENT;
}

/* A cell for a new key: one whose principal is idle (its memory has been
 * touched already), else an unused one. CELLS: no room. */
static unsigned
find_room(const struct look *l)
{
	unsigned empty = CELLS;

	for (unsigned i = 0; i < CELLS; i++) {
		uint64_t c = atomic_load_explicit(&l->bucket->cell[i],
		    memory_order_seq_cst);

		if (c == 0) {
			if (empty == CELLS)
				empty = i;
		} else if (cell_is_stale(l, i))
			return i;
	}
	return empty;
}

/* Finds the cell of the key, puts the key into one if need be. False: every
 * principal of the bucket is active, or others were in the way too long. */
static bool
get_cell(const struct look *l, unsigned *cell)
{
	_Atomic uint64_t *opp = &l->bucket->op;

	for (int i = 0; i < TRIES; i++) {
		uint64_t op = atomic_load_explicit(opp, memory_order_seq_cst);
		enum found found = find_cell(l, cell);
		unsigned room;

		if (found == FOUND)
			return true;
		if ((op & TOP_BIT) != 0) {
			finish_op(l, op);
			continue;
		}
		if (found == BUSY)
			continue;
		/* Absent, and op was idle before the search: if it is still
		 * the same in the CAS, nobody has inserted meanwhile. */
		if ((room = find_room(l)) == CELLS)
			return false;
		op = op & ~TOP_BIT;
		atomic_compare_exchange_strong_explicit(opp, &op,
		    make_op(room, version_of(op) + 1, l->key),
		    memory_order_seq_cst, memory_order_seq_cst);
	}
	return false;
}

/* Was what happened in the ring between find and now the key's own? */
static bool
cell_is_mine(const struct look *l, unsigned cell)
{
	uint64_t c = atomic_load_explicit(&l->bucket->cell[cell],
	    memory_order_seq_cst);

	return (c & (TOP_BIT | KEY_MASK)) == l->key;
}

/* The later of the caller's clock, the newest grant, the last reclaim. */
static bool
entry_time(const struct look *l, struct ring *r, uint64_t head,
    int64_t *at_ms)
{
	int64_t floor_ms = atomic_load_explicit(&l->zone->reclaimed_ms,
	    memory_order_seq_cst);

	if (!ring_newest(&l->class, r, head, at_ms))
		return false;
	if (*at_ms < floor_ms)
		*at_ms = floor_ms;
	if (*at_ms < l->now_ms)
		*at_ms = l->now_ms;
	return true;
}

/* One grant in the ring, or none. The CAS on the free place settles it. */
static enum rate_verdict
ring_take(const struct look *l, struct ring *r, uint32_t limit,
    int64_t window_ms, bool take, struct rate_info *info)
{
	const struct class *class = &l->class;
	uint64_t head, next, word, limiting;
	int64_t at_ms;

	for (;;) {
		head = ring_head(class, r, &word);
		if (!entry_time(l, r, head, &at_ms))
			continue;
		if (head >= limit) {
			if (read_grant(class, r, head - limit, &limiting) != 1)
				continue;
			if (time_of(limiting) + window_ms > at_ms) {
				fill_info(l, r, head, limit, window_ms, at_ms,
				    info);
				return RATE_LIMITED;
			}
		}
		if (!take)
			break;
		if (!atomic_compare_exchange_strong_explicit(
		    place_of(class, r, head), &word,
		    make_place(lap_of(class, head), at_ms),
		    memory_order_seq_cst, memory_order_relaxed))
			continue;
		/* Killed here: ring_head() of the next one does this. */
		next = head++;
		atomic_compare_exchange_strong_explicit(&r->head, &next, head,
		    memory_order_release, memory_order_relaxed);
		break;
	}
	fill_info(l, r, head, limit, window_ms, at_ms, info);
	return RATE_GRANTED;
}

enum rate_verdict
shm_rate_take(struct shm *shm, enum rate_scope scope, uint64_t id,
    uint32_t limit, int64_t window_ms, int64_t now_ms, struct rate_info *info)
{
	enum rate_verdict verdict;
	struct look l;
	unsigned cell;

	ASSERT_ALWAYS(limit >= 1 && limit <= SHM_RATE_LIMIT_MAX);
	look_init(&l, shm, scope, id, limit, now_ms);
	raise_to(&l.zone->window_max_ms, window_ms);
	if (info != NULL)
		*info = (struct rate_info){ 0, limit, now_ms, now_ms };
	for (int i = 0; i < TRIES; i++) {
		if (!get_cell(&l, &cell))
			return RATE_NO_ROOM;
		verdict = ring_take(&l, ring_of(&l, cell), limit, window_ms,
		    true, info);
		/* Else the ring went to another principal between: whatever
		 * was granted there counts against that one; once more. */
		if (cell_is_mine(&l, cell))
			return verdict;
	}
	return RATE_NO_ROOM;
}

enum rate_verdict
shm_rate_peek(struct shm *shm, enum rate_scope scope, uint64_t id,
    uint32_t limit, int64_t window_ms, int64_t now_ms, struct rate_info *info)
{
	enum rate_verdict verdict;
	struct look l;
	unsigned cell;

	ASSERT_ALWAYS(limit >= 1 && limit <= SHM_RATE_LIMIT_MAX);
	look_init(&l, shm, scope, id, limit, now_ms);
	if (info != NULL)
		*info = (struct rate_info){ 0, limit, now_ms, now_ms };
	if (find_cell(&l, &cell) != ABSENT) {
		verdict = ring_take(&l, ring_of(&l, cell), limit, window_ms,
		    false, info);
		if (cell_is_mine(&l, cell))
			return verdict;
		if (info != NULL)
			*info = (struct rate_info){ 0, limit, now_ms, now_ms };
	}
	return find_room(&l) == CELLS ? RATE_NO_ROOM : RATE_GRANTED;
}
