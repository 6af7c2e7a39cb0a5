/*
 * slot -- the page of each child. The master takes, fills in and reaps; the
 * child says what it does; everybody reads.
 *
 * The master never follows anything that a child wrote here: the process id
 * to signal or to wait for is in its own memory. Texts out of a slot are cut,
 * numbers only counted or shown.
 */
#include "shm/slot.h"

#include "base/clock.h"
#include "base/log.h"
#include "shm/perm.h"
#include "shm/client.h"
#include "shm/sess.h"
#include "shm/shm_int.h"

#define READ_TRIES	16
#define CALL_SHIFT	40	/* 13 bits of slot, 40 of number: below 2^53 */

_Static_assert(offsetof(struct shm_slot, request) % 8 == 0 &&
    sizeof(struct shm_request) % 8 == 0, "the request goes word by word");

static bool
is_free(const struct shm_slot *s)
{
	return atomic_load_explicit(&s->pid, memory_order_relaxed) == 0 &&
	    atomic_load_explicit(&s->state, memory_order_relaxed) == SLOT_FREE;
}

static void
begin(struct shm_slot *s, enum shm_kind kind)
{
	atomic_store_explicit(&s->kind, kind, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->spawn, 1, memory_order_relaxed);
	atomic_store_explicit(&s->served, 0, memory_order_relaxed);
	atomic_store_explicit(&s->since_ms, clock_mono_ms(),
	    memory_order_relaxed);
	atomic_store_explicit(&s->alive_ms, clock_mono_ms(),
	    memory_order_relaxed);
	atomic_store_explicit(&s->state, SLOT_STARTING, memory_order_release);
}

uint32_t
slot_take_row(struct shm *shm, enum shm_kind kind, uint32_t n)
{
	uint32_t first = shm_kind_first(kind), i, k;
	uint32_t end = first + shm_kind_slots(shm, kind);

	for (i = first; i + n <= end; i += n) {
		for (k = 0; k < n && is_free(shm_slot(shm, i + k)); k++)
			;
		if (k < n)
			continue;
		for (k = 0; k < n; k++)
			begin(shm_slot(shm, i + k), kind);
		return i;
	}
	return UINT32_MAX;
}

uint32_t
slot_take(struct shm *shm, enum shm_kind kind)
{
	return slot_take_row(shm, kind, 1);
}

void
slot_started(struct shm *shm, uint32_t slot, int32_t pid)
{
	struct shm_slot *s = shm_slot(shm, slot);

	atomic_store_explicit(&s->started_ms, clock_mono_ms(),
	    memory_order_relaxed);
	atomic_store_explicit(&s->pid, pid, memory_order_release);
}

static void
move_counter(_Atomic uint64_t *to, _Atomic uint64_t *from)
{
	uint64_t n = atomic_load_explicit(from, memory_order_relaxed);

	atomic_store_explicit(to,
	    atomic_load_explicit(to, memory_order_relaxed) + n,
	    memory_order_release);
	atomic_store_explicit(from, 0, memory_order_release);
}

/* Under a seqlock, so that no sum counts anything twice or not at all. */
static void
fold_counters(struct shm *shm, struct shm_counters *from)
{
	_Atomic uint64_t *folds = &shm_ctl(shm)->folds;
	struct shm_counters *to = shm_totals(shm);
	uint64_t seq = atomic_load_explicit(folds, memory_order_relaxed) | 1;

	atomic_store_explicit(folds, seq, memory_order_relaxed);
	for (int i = 0; i < C_COUNT; i++)
		move_counter(&to->v[i], &from->v[i]);
	for (int i = 0; i < SHM_BUCKETS; i++)
		move_counter(&to->bucket[i], &from->bucket[i]);
	move_counter(&to->latency_count, &from->latency_count);
	move_counter(&to->latency_sum_us, &from->latency_sum_us);
	atomic_store_explicit(folds, seq + 1, memory_order_release);
}

#define CUT(text)	((text)[sizeof(text) - 1] = '\0')

/* A text of a torn or hostile request may lack its end. */
static void
cut_texts(struct shm_request *r)
{
	CUT(r->principal);
	CUT(r->org);
	CUT(r->role);
	CUT(r->method);
	CUT(r->server);
	CUT(r->object);
	CUT(r->client);
	CUT(r->trace_id);
}

static void
request_write(struct shm_slot *s, const struct shm_request *r)
{
	/* "| 1": a predecessor killed while writing left it odd already. */
	uint64_t seq = atomic_load_explicit(&s->request_seq,
	    memory_order_relaxed) | 1;
	static const uint64_t none = 0;

	atomic_store_explicit(&s->request_seq, seq, memory_order_relaxed);
	if (r != NULL)
		shm_words_store(&s->request, r, sizeof(*r));
	else
		shm_words_store(&s->request.call, &none, sizeof(none));
	atomic_store_explicit(&s->request_seq, seq + 1, memory_order_release);
}

uint64_t
slot_reap(struct shm *shm, uint32_t slot, struct shm_request *request)
{
	struct shm_slot *s = shm_slot(shm, slot);
	uint64_t connection = atomic_load_explicit(&s->connection,
	    memory_order_relaxed);

	if (request != NULL && !slot_request_get(shm, slot, request))
		memset(request, 0, sizeof(*request));
	for (int i = 0; i < SNAP_COUNT; i++)
		atomic_store_explicit(&s->pin[i], 0, memory_order_release);
	shm_perm_sweep(shm, slot);
	shm_sess_sweep(shm, slot);
	shm_subs_sweep(shm, slot);
	fold_counters(shm, &s->counters);
	request_write(s, NULL);
	atomic_store_explicit(&s->connection, 0, memory_order_relaxed);
	atomic_store_explicit(&shm_cancel_word(shm, slot)->v, 0,
	    memory_order_relaxed);
	atomic_store_explicit(&s->pid, 0, memory_order_relaxed);
	atomic_store_explicit(&s->state, SLOT_FREE, memory_order_release);
	return connection;
}

uint32_t
slot_count(const struct shm *shm, enum shm_kind kind, enum shm_state state)
{
	uint32_t first = shm_kind_first(kind), n = 0;
	uint32_t end = first + shm_kind_slots(shm, kind);

	for (uint32_t i = first; i < end; i++)
		if (atomic_load_explicit(&shm_slot(shm, i)->state,
		    memory_order_relaxed) == state)
			n++;
	return n;
}

void
slot_state(struct shm *shm, enum shm_state state)
{
	struct shm_slot *s = shm_self(shm);

	atomic_store_explicit(&s->since_ms, clock_mono_ms(),
	    memory_order_relaxed);
	atomic_store_explicit(&s->state, state, memory_order_release);
}

void
slot_alive(struct shm *shm)
{
	atomic_store_explicit(&shm_self(shm)->alive_ms, clock_mono_ms(),
	    memory_order_relaxed);
}

void
slot_request_set(struct shm *shm, const struct shm_request *request)
{
	request_write(shm_self(shm), request);
}

void
slot_request_clear(struct shm *shm)
{
	request_write(shm_self(shm), NULL);
}

uint64_t
slot_next_call(struct shm *shm)
{
	struct shm_slot *s = shm_self(shm);
	uint64_t n = atomic_load_explicit(&s->call_seq,
	    memory_order_relaxed) + 1;

	atomic_store_explicit(&s->call_seq, n, memory_order_relaxed);
	return (uint64_t)shm->slot << CALL_SHIFT |
	    (n & ((UINT64_C(1) << CALL_SHIFT) - 1));
}

bool
slot_request_get(const struct shm *shm, uint32_t slot,
    struct shm_request *request)
{
	const struct shm_slot *s = shm_slot(shm, slot);

	for (int i = 0; i < READ_TRIES; i++) {
		uint64_t seq = atomic_load_explicit(&s->request_seq,
		    memory_order_acquire);

		if ((seq & 1) != 0)
			continue;
		shm_words_load(request, &s->request, sizeof(*request));
		if (atomic_load_explicit(&s->request_seq,
		    memory_order_relaxed) != seq)
			continue;
		cut_texts(request);
		return request->call != 0;
	}
	return false;
}
