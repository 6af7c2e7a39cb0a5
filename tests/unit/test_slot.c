/* Slots: taken, filled, reaped; counters survive their children. */
#include "shm_test.h"

#include "shm/perm.h"
#include "shm/sess.h"
#include "shm/shm_int.h"

static void
test_take_by_kind(void **state)
{
	struct shm shm;
	struct err e;

	assert_int_equal(shm_create(&shm, &shm_test_sizes, &e), 0);
	for (int k = 0; k < KIND_COUNT; k++) {
		enum shm_kind kind = (enum shm_kind)k;
		uint32_t n = shm_kind_slots(&shm, kind);

		assert_true(n >= 1);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(slot_take(&shm, kind),
			    shm_kind_first(kind) + i);
		assert_int_equal(slot_take(&shm, kind), UINT32_MAX);
		assert_int_equal(slot_count(&shm, kind, SLOT_STARTING), n);
		assert_int_equal(slot_count(&shm, kind, SLOT_FREE), 0);
		assert_non_null(shm_kind_name(kind));
	}
	assert_int_equal(shm_kind_slots(&shm, KIND_WORKER),
	    shm_test_sizes.slots - shm_kind_first(KIND_WORKER));
	slot_reap(&shm, 12, NULL);
	assert_int_equal(slot_take(&shm, KIND_WORKER), 12);
	assert_int_equal(shm_slot(&shm, 12)->spawn, 2);
	shm_destroy(&shm);
}

static void
test_state(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	slot_started(&shm, shm.slot, 4711);
	assert_int_equal(shm_self(&shm)->pid, 4711);
	assert_int_equal(shm_self(&shm)->kind, KIND_WORKER);
	slot_state(&shm, SLOT_CALLING);
	assert_int_equal(shm_self(&shm)->state, SLOT_CALLING);
	assert_true(shm_self(&shm)->since_ms > 0);
	assert_int_equal(slot_count(&shm, KIND_WORKER, SLOT_CALLING), 1);
	shm_destroy(&shm);
}

static struct shm_request
request(uint64_t call)
{
	struct shm_request r;

	memset(&r, 0, sizeof(r));
	r.call = call;
	r.session = 5;
	memcpy(r.principal, "alice", 6);
	memset(r.object, 'x', sizeof(r.object));	/* no end */
	return r;
}

static void
test_request(void **state)
{
	struct shm_request r, got;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_false(slot_request_get(&shm, shm.slot, &got));
	r = request(42);
	slot_request_set(&shm, &r);
	assert_true(slot_request_get(&shm, shm.slot, &got));
	assert_int_equal(got.call, 42);
	assert_int_equal(got.session, 5);
	assert_string_equal(got.principal, "alice");
	assert_int_equal(strlen(got.object), sizeof(got.object) - 1);
	slot_request_clear(&shm);
	assert_false(slot_request_get(&shm, shm.slot, &got));
	/* Killed while writing: odd, not to be read; the next writes on. */
	slot_request_set(&shm, &r);
	atomic_fetch_add(&shm_self(&shm)->request_seq, 1);
	assert_false(slot_request_get(&shm, shm.slot, &got));
	r.call = 43;
	slot_request_set(&shm, &r);
	assert_true(slot_request_get(&shm, shm.slot, &got));
	assert_int_equal(got.call, 43);
	shm_destroy(&shm);
}

static void
test_call_numbers(void **state)
{
	uint64_t first, last;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	shm.slot = shm.sizes.slots - 1;
	first = slot_next_call(&shm);
	assert_int_equal(first, (uint64_t)shm.slot << 40 | 1);
	assert_int_equal(slot_next_call(&shm), first + 1);
	/* Goes on over spawns, so no number comes twice. */
	slot_reap(&shm, shm.slot, NULL);
	last = slot_next_call(&shm);
	assert_int_equal(last, first + 2);
	/* The largest possible one is an exact double. */
	assert_true((UINT64_C(4095) << 40 | ((UINT64_C(1) << 40) - 1)) <
	    UINT64_C(1) << 53);
	shm_destroy(&shm);
}

static void
busy_child(struct shm *shm)
{
	struct shm_request r = request(99);
	struct perm_key k = { 4, 4, 1, 1 };
	struct shm_perm_entry *e = shm->zone[ZONE_PERM];

	shm_protect(shm, KIND_WORKER, shm->slot);
	slot_state(shm, SLOT_CALLING);
	slot_request_set(shm, &r);
	atomic_store(&shm_self(shm)->connection, 1234);
	atomic_store(&shm_self(shm)->pin[SNAP_POLICY], 5);
	shm_count_in(shm_self(shm), C_HTTP_REQUESTS, 3);
	shm_latency_add(shm_self(shm), 700);
	shm_perm_put(shm, &k, 1);
	for (uint32_t i = 0; i < shm->sizes.perm_entries; i++)
		if (e[i].key[0] != 0)
			e[i].word = shm_owned_next(e[i].word, shm->slot);
	if (!shm_sess_claim(shm, 3, 0))
		_exit(1);
	raise(SIGKILL);
}

static void
test_reap(void **state)
{
	uint64_t buckets[SHM_BUCKETS], count, sum_us;
	struct shm_request got;
	struct shm shm;
	uint32_t slot;

	shm_test_create(&shm, KIND_MASTER);
	slot = shm_kind_first(KIND_WORKER);
	for (uint64_t round = 1; round <= 3; round++) {
		shm_cancel_word(&shm, slot)->v = 99;
		assert_true(WIFSIGNALED(shm_test_child(&shm, KIND_WORKER,
		    busy_child)));
		assert_int_equal(shm_counter_sum(&shm, C_HTTP_REQUESTS),
		    3 * round);
		assert_int_equal(slot_reap(&shm, slot, &got), 1234);
		assert_int_equal(got.call, 99);
		assert_string_equal(got.principal, "alice");
		assert_int_equal(shm_slot(&shm, slot)->pid, 0);
		assert_int_equal(shm_slot(&shm, slot)->state, SLOT_FREE);
		assert_int_equal(shm_slot(&shm, slot)->pin[SNAP_POLICY], 0);
		assert_int_equal(shm_slot(&shm, slot)->spawn, round);
		assert_int_equal(shm_cancel_word(&shm, slot)->v, 0);
		assert_int_equal(shm_counter_sum(&shm, C_HTTP_REQUESTS),
		    3 * round);
		assert_int_equal(shm_totals(&shm)->v[C_HTTP_REQUESTS],
		    3 * round);
		shm_latency_sum(&shm, buckets, &count, &sum_us);
		assert_int_equal(count, round);
		assert_int_equal(sum_us, 700 * round);
		assert_int_equal(buckets[2], round);
		/* Swept: nothing busy is left. */
		assert_int_equal(shm_perm_sweep(&shm, slot), 0);
		assert_int_equal(shm_sess_sweep(&shm, slot), 0);
	}
	/* Reaped without a request, and with a torn one. */
	slot_take(&shm, KIND_WORKER);
	slot_reap(&shm, slot, &got);
	assert_int_equal(got.call, 0);
	atomic_fetch_or(&shm_slot(&shm, slot)->request_seq, 1);
	shm_slot(&shm, slot)->request.call = 5;
	slot_reap(&shm, slot, &got);
	assert_int_equal(got.call, 0);
	shm_destroy(&shm);
}

static void
test_latency_buckets(void **state)
{
	uint64_t buckets[SHM_BUCKETS], count, sum_us;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (int i = 0; i < SHM_BUCKETS - 1; i++) {
		assert_true(i == 0 || shm_bucket_us[i] > shm_bucket_us[i - 1]);
		shm_latency_add(shm_self(&shm), shm_bucket_us[i]);
	}
	assert_int_equal(shm_bucket_us[SHM_BUCKETS - 1], 0);
	shm_latency_add(shm_self(&shm), INT64_C(1) << 40);
	shm_latency_add(shm_self(&shm), -1);
	shm_latency_sum(&shm, buckets, &count, &sum_us);
	assert_int_equal(count, SHM_BUCKETS + 1);
	assert_int_equal(buckets[0], 2);
	for (int i = 1; i < SHM_BUCKETS; i++)
		assert_int_equal(buckets[i], 1);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_by_kind),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_call_numbers),
		cmocka_unit_test(test_reap),
		cmocka_unit_test(test_latency_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
