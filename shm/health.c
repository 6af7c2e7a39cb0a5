/*
 * health -- the circuit breaker and figures of each upstream server. Workers
 * and the poller ask and report; the loader gives out the entries.
 *
 * The whole breaker is one word, changed by one CAS: whoever is killed leaves
 * the state before or after. What a killed trial never reports, time repairs:
 * half open for longer than the timeout lets new trials out.
 */
#include "shm/health.h"

#include "base/log.h"
#include "base/span.h"

#define TRIALS_MAX	0x3fffu
#define FAILURES_MAX	0xffffu
#define LAG_MAX_MS	600000u

struct breaker {
	enum breaker_state	state;
	uint32_t		trials;		/* out in half open */
	uint32_t		failures;	/* in a row */
	uint32_t		since;		/* ms modulo 2^32 */
};

static struct breaker
unpack(uint64_t w)
{
	struct breaker b;
	unsigned state = (unsigned)(w >> 62);

	b.state = state == BREAKER_OPEN ? BREAKER_OPEN :
	    state == BREAKER_HALF_OPEN ? BREAKER_HALF_OPEN : BREAKER_CLOSED;
	b.trials = (uint32_t)(w >> 48) & TRIALS_MAX;
	b.failures = (uint32_t)(w >> 32) & FAILURES_MAX;
	b.since = (uint32_t)w;
	return b;
}

static uint64_t
pack(struct breaker b)
{
	return (uint64_t)b.state << 62 | (uint64_t)b.trials << 48 |
	    (uint64_t)b.failures << 32 | b.since;
}

static uint64_t
breaker_word(const struct shm_health *h)
{
	return atomic_load_explicit(&h->breaker, memory_order_relaxed);
}

/* One word says it all, so no order with other memory is needed. */
static bool
replace(struct shm_health *h, uint64_t *old, struct breaker b)
{
	return atomic_compare_exchange_weak_explicit(&h->breaker, old,
	    pack(b), memory_order_relaxed, memory_order_relaxed);
}

uint32_t
shm_health_index(struct shm *shm, int64_t server_id, const char *name)
{
	uint32_t unused = UINT32_MAX;
	struct shm_health *h;

	for (uint32_t i = 0; i < SHM_SERVERS_MAX; i++) {
		int64_t id;

		h = shm_health(shm, i);
		id = atomic_load_explicit(&h->server_id,
		    memory_order_acquire);
		if (id == server_id) {
			/* Renamed; a reader may see a mixture, once. */
			if (!span_is(span_str(name), h->name))
				(void)span_copy(h->name, sizeof(h->name),
				    span_str(name));
			return i;
		}
		if (id == 0 && unused == UINT32_MAX)
			unused = i;
	}
	if (unused == UINT32_MAX)
		return UINT32_MAX;
	h = shm_health(shm, unused);
	(void)span_copy(h->name, sizeof(h->name), span_str(name));
	/* Last: a loader killed before leaves the entry free. */
	atomic_store_explicit(&h->server_id, server_id, memory_order_release);
	return unused;
}

/* A caller whose clock reading is a little older than since sees nearly 2^32:
 * that is no time at all, not 49 days. */
static int64_t
elapsed_ms(uint32_t now, uint32_t since)
{
	uint32_t d = now - since;

	return d > UINT32_MAX - LAG_MAX_MS ? 0 : (int64_t)d;
}

/* Changes b to the state with one more call out, or says how long to wait. */
static bool
let_out(struct breaker *b, const struct breaker_rules *rules, uint32_t now,
    int64_t *retry_after_ms)
{
	int64_t elapsed = elapsed_ms(now, b->since);
	uint32_t most = rules->half_open_max == 0 ? 1 : rules->half_open_max;

	if (most > TRIALS_MAX)
		most = TRIALS_MAX;
	if (b->state == BREAKER_HALF_OPEN && b->trials < most) {
		b->trials++;
		return true;
	}
	if (elapsed < rules->timeout_ms) {
		*retry_after_ms = rules->timeout_ms - elapsed;
		return false;
	}
	b->state = BREAKER_HALF_OPEN;
	b->trials = 1;
	b->since = now;
	return true;
}

bool
breaker_allow(struct shm_health *h, const struct breaker_rules *rules,
    int64_t now_ms, int64_t *retry_after_ms)
{
	uint64_t w = breaker_word(h);
	int64_t wait_ms = 0;
	struct breaker b;

	do {
		b = unpack(w);
		if (b.state == BREAKER_CLOSED)
			return true;
		if (!let_out(&b, rules, (uint32_t)now_ms, &wait_ms)) {
			if (retry_after_ms != NULL)
				*retry_after_ms = wait_ms;
			return false;
		}
	} while (!replace(h, &w, b));
	return true;
}

/* A moving average over about 8 calls; racing writers may lose one. */
static void
latency_average(struct shm_health *h, int64_t us)
{
	int64_t old = (int64_t)atomic_load_explicit(&h->latency_us,
	    memory_order_relaxed);

	if (us < 0)
		us = 0;
	atomic_store_explicit(&h->latency_us,
	    (uint64_t)(old == 0 ? us : old + (us - old) / 8),
	    memory_order_relaxed);
}

void
breaker_success(struct shm_health *h, int64_t latency_us)
{
	uint64_t w = breaker_word(h);

	atomic_fetch_add_explicit(&h->calls, 1, memory_order_relaxed);
	latency_average(h, latency_us);
	/* Open: a call that left before; it does not close the circuit. */
	while (w != 0 && unpack(w).state != BREAKER_OPEN)
		if (replace(h, &w, (struct breaker){ 0 }))
			return;
}

void
breaker_failure(struct shm_health *h, const struct breaker_rules *rules,
    int64_t now_ms)
{
	uint32_t threshold = rules->threshold == 0 ? 1 : rules->threshold;
	uint64_t w = breaker_word(h);
	struct breaker b;
	bool opens;

	if (threshold > FAILURES_MAX)
		threshold = FAILURES_MAX;
	atomic_fetch_add_explicit(&h->calls, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->failures, 1, memory_order_relaxed);
	do {
		b = unpack(w);
		if (b.state == BREAKER_OPEN)
			return;
		if (b.failures < FAILURES_MAX)
			b.failures++;
		opens = b.state == BREAKER_HALF_OPEN ||
		    b.failures >= threshold;
		if (opens) {
			b.state = BREAKER_OPEN;
			b.trials = 0;
			b.since = (uint32_t)now_ms;
		}
	} while (!replace(h, &w, b));
	if (opens)
		atomic_fetch_add_explicit(&h->opened, 1, memory_order_relaxed);
}

void
breaker_forget(struct shm_health *h)
{
	uint64_t w = breaker_word(h);
	struct breaker b;

	do {
		b = unpack(w);
		if (b.state != BREAKER_HALF_OPEN || b.trials == 0)
			return;
		b.trials--;
	} while (!replace(h, &w, b));
}

void
breaker_reset(struct shm_health *h)
{
	atomic_store_explicit(&h->breaker, 0, memory_order_relaxed);
}

enum breaker_state
breaker_state(const struct shm_health *h)
{
	return unpack(breaker_word(h)).state;
}

const char *
breaker_state_name(enum breaker_state state)
{
	switch (state) {
	case BREAKER_CLOSED:
		return "closed";
	case BREAKER_OPEN:
		return "open";
	case BREAKER_HALF_OPEN:
		return "half_open";
	}
	return "unknown";
}

const char *
health_status_name(enum shm_health_status status)
{
	switch (status) {
	case HEALTH_UNKNOWN:
		return "unknown";
	case HEALTH_HEALTHY:
		return "healthy";
	case HEALTH_UNHEALTHY:
		return "unhealthy";
	case HEALTH_UNREACHABLE:
		return "unreachable";
	case HEALTH_DISABLED:
		return "disabled";
	}
	return "unknown";
}
