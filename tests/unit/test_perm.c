/* The decision cache: full keys, busy entries miss, sweeps free them. */
#include "shm_test.h"

#include "shm/perm.h"
#include "shm/shm_int.h"

static struct perm_key
key(uint64_t policy, uint64_t catalog, uint32_t user, uint32_t item)
{
	return (struct perm_key){ policy, catalog, user, item };
}

static void
test_put_get(void **state)
{
	struct perm_key k = key(4, 9, 1, 2);
	uint64_t v = 0;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_false(shm_perm_get(&shm, &k, &v));
	shm_perm_put(&shm, &k, 77);
	assert_true(shm_perm_get(&shm, &k, &v));
	assert_int_equal(v, 77);
	shm_perm_put(&shm, &k, 78);
	assert_true(shm_perm_get(&shm, &k, &v));
	assert_int_equal(v, 78);
	shm_perm_put(&shm, &k, UINT64_MAX);
	assert_true(shm_perm_get(&shm, &k, &v));
	assert_true(v == UINT64_MAX);
	shm_destroy(&shm);
}

static void
test_whole_key(void **state)
{
	struct perm_key k = key(4, 9, 1, 2), others[] = {
		key(8, 9, 1, 2), key(4, 13, 1, 2), key(4, 9, 2, 2),
		key(4, 9, 1, 3), key(9, 4, 1, 2), key(4, 9, 2, 1),
	};
	struct shm shm;
	uint64_t v;

	shm_test_create(&shm, KIND_WORKER);
	shm_perm_put(&shm, &k, 77);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(shm_perm_get(&shm, &others[i], &v));
	shm_destroy(&shm);
}

static void
test_not_cacheable(void **state)
{
	struct perm_key keys[] = {
		key(0, 0, 0, 0), key(0, 5, 1, 1),
		key(UINT64_C(1) << 32, 5, 1, 1),
		key(5, UINT64_C(1) << 32, 1, 1),
	};
	struct shm shm;
	uint64_t v;

	shm_test_create(&shm, KIND_WORKER);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_false(shm_perm_get(&shm, &keys[i], &v));
		shm_perm_put(&shm, &keys[i], 1);
		assert_false(shm_perm_get(&shm, &keys[i], &v));
	}
	shm_destroy(&shm);
}

/* Many more keys than entries: a hit is always the key's own value. */
static void
test_pressure(void **state)
{
	unsigned hits = 0;
	struct shm shm;
	uint64_t v;

	shm_test_create(&shm, KIND_WORKER);
	for (uint32_t i = 0; i < 5000; i++) {
		struct perm_key k = key(4, 8, i % 97, i % 31);

		if (shm_perm_get(&shm, &k, &v)) {
			assert_int_equal(v, (i % 97) * 1000 + i % 31);
			hits++;
		}
		shm_perm_put(&shm, &k, (i % 97) * 1000 + i % 31);
	}
	/* A new generation pushes the old out of every set. */
	for (uint32_t i = 0; i < 20; i++) {
		struct perm_key k = key(8, 8, i, i);

		shm_perm_put(&shm, &k, i);
		assert_true(shm_perm_get(&shm, &k, &v));
		assert_int_equal(v, i);
	}
	assert_true(hits < 5000);
	shm_destroy(&shm);
}

/* A writer killed inside, as the memory then looks. */
static void
test_killed_writer(void **state)
{
	struct shm_perm_entry *e;
	struct perm_key k = key(4, 9, 1, 2);
	struct shm shm;
	uint64_t v;
	int busy = 0;

	shm_test_create(&shm, KIND_WORKER);
	shm_perm_put(&shm, &k, 77);
	e = shm.zone[ZONE_PERM];
	for (uint32_t i = 0; i < shm.sizes.perm_entries; i++)
		if (e[i].key[0] != 0) {
			e[i].word = shm_owned_next(e[i].word, 9);
			busy++;
		}
	assert_int_equal(busy, 1);
	assert_false(shm_perm_get(&shm, &k, &v));
	shm_perm_put(&shm, &k, 78);		/* gives up or goes elsewhere */
	assert_int_equal(shm_perm_sweep(&shm, 8), 0);
	assert_int_equal(shm_perm_sweep(&shm, 9), 1);
	assert_int_equal(shm_perm_sweep(&shm, 9), 0);
	assert_false(shm_perm_get(&shm, &k, &v));
	shm_perm_put(&shm, &k, 79);
	assert_true(shm_perm_get(&shm, &k, &v));
	assert_int_equal(v, 79);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_get),
		cmocka_unit_test(test_whole_key),
		cmocka_unit_test(test_not_cacheable),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_killed_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
