/*
 * bench_shm -- what the hot paths of shared memory cost, in ns per operation:
 * alone, and with as many processes as given on one key at the same time.
 * Not part of the tests; figures go into the documentation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "shm/perm.h"
#include "shm/rate.h"
#include "shm/sess.h"
#include "shm/slot.h"

#define ROUNDS	2000000

static volatile uint64_t sink;

static void
bench_pin(struct shm *shm, uint64_t i)
{
	const uint64_t *p = shm_pin(shm, SNAP_POLICY, NULL);

	sink += *p;
	shm_unpin(shm, SNAP_POLICY);
}

static void
bench_perm_hit(struct shm *shm, uint64_t i)
{
	struct perm_key k = { 4, 4, (uint32_t)i & 255, (uint32_t)i & 3 };
	uint64_t v = 0;

	if (!shm_perm_get(shm, &k, &v))
		shm_perm_put(shm, &k, 1);
	sink += v;
}

static void
bench_rate_no_info(struct shm *shm, uint64_t i)
{
	sink += shm_rate_take(shm, RATE_USER, 1 + shm->slot, 200, 1,
	    (int64_t)i / 100, NULL);
}

static void
bench_rate_granted(struct shm *shm, uint64_t i)
{
	struct rate_info info;

	sink += shm_rate_take(shm, RATE_USER, 1 + shm->slot, 200, 1,
	    (int64_t)i / 100, &info);
}

static void
bench_rate_many(struct shm *shm, uint64_t i)
{
	struct rate_info info;

	sink += shm_rate_take(shm, RATE_USER, i & 1023, 100, 1000,
	    (int64_t)i / 50, &info);
}

static void
bench_rate_hot(struct shm *shm, uint64_t i)
{
	sink += shm_rate_take(shm, RATE_SERVER, 1, 4000, 1,
	    (int64_t)i / 100, NULL);
}

static void
bench_rate_limited(struct shm *shm, uint64_t i)
{
	struct rate_info info;

	sink += shm_rate_take(shm, RATE_USER, 5000 + shm->slot, 100, 1000, 1,
	    &info);
}

static void
bench_breaker(struct shm *shm, uint64_t i)
{
	static const struct breaker_rules rules = { 5, 1000, 3 };
	int64_t retry;

	sink += breaker_allow(shm_health(shm, 1), &rules, 1, &retry);
	breaker_success(shm_health(shm, 1), 100);
}

static void
bench_sess_get(struct shm *shm, uint64_t i)
{
	struct sess_info info;

	sink += shm_sess_get(shm, 1, 1, &info);
}

static void
bench_request_set(struct shm *shm, uint64_t i)
{
	static struct shm_request r;

	r.call = i + 1;
	slot_request_set(shm, &r);
}

static void
bench_slot_state(struct shm *shm, uint64_t i)
{
	slot_state(shm, SLOT_CALLING);
}

static const struct {
	const char	*name;
	void		(*fn)(struct shm *, uint64_t);
} benches[] = {
	{ "pin + unpin", bench_pin },
	{ "perm get, hit", bench_perm_hit },
	{ "rate take, granted, no info", bench_rate_no_info },
	{ "rate take, granted, with info", bench_rate_granted },
	{ "rate take, 1,024 principals", bench_rate_many },
	{ "rate take, one hot key", bench_rate_hot },
	{ "rate take, limited", bench_rate_limited },
	{ "breaker allow + success", bench_breaker },
	{ "sess get", bench_sess_get },
	{ "slot request set", bench_request_set },
	{ "slot state", bench_slot_state },
};

static int64_t
measure(struct shm *shm, void (*fn)(struct shm *, uint64_t))
{
	int64_t start_us;

	for (uint64_t i = 0; i < ROUNDS / 10; i++)
		fn(shm, i);
	start_us = clock_mono_us();
	for (uint64_t i = ROUNDS / 10; i < ROUNDS; i++)
		fn(shm, i);
	return (clock_mono_us() - start_us) * 10000 / (ROUNDS * 9 / 10);
}

static void
measure_in(struct shm *shm, size_t b, int processes)
{
	int64_t tenths_ns;
	int status;

	for (int i = 1; i < processes; i++)
		if (fork() == 0) {
			shm->slot = 8 + (uint32_t)i;
			(void)measure(shm, benches[b].fn);
			_exit(0);
		}
	tenths_ns = measure(shm, benches[b].fn);
	while (wait(&status) > 0)
		;
	printf("%-32s %2d processes %6lld.%lld ns\n", benches[b].name,
	    processes, (long long)tenths_ns / 10, (long long)tenths_ns % 10);
}

int
main(int argc, char **argv)
{
	static const struct shm_sizes sizes = {
		.slots = 72, .perm_entries = 4096, .rate_principals = 4096,
		.connections = 1, .rate_window_ms = 1, .conf_size = 4096,
		.policy_size = 4096, .catalog_size = 4096,
	};
	uint64_t processes = 2;
	struct sess_info info;
	struct shm shm;
	struct err e;

	if (argc > 1 && num_u64(span_str(argv[1]), 1, 64, &processes) < 0)
		die_config("%s: not 1..64 processes", argv[1]);
	if (shm_create(&shm, &sizes, &e) < 0)
		die_config("%s", e.text);
	shm.slot = slot_take(&shm, KIND_WORKER);
	shm_gen_publish(&shm, SNAP_POLICY, 0);
	memset(&info, 0, sizeof(info));
	if (shm_sess_claim(&shm, 1, 0))
		shm_sess_put(&shm, 1, 1, &info);
	for (size_t b = 0; b < sizeof(benches) / sizeof(benches[0]); b++) {
		measure_in(&shm, b, 1);
		measure_in(&shm, b, (int)processes);
	}
	return 0;
}
