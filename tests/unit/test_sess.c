/* Upstream sessions: one claims, the dead are swept, readers see whole ones. */
#include "shm_test.h"

#include "shm/sess.h"

static struct sess_info
info(const char *id)
{
	struct sess_info i;

	memset(&i, 0, sizeof(i));
	i.era = ERA_LEGACY;
	memcpy(i.version, "2025-06-18", 11);
	memcpy(i.id, id, strlen(id) + 1);
	return i;
}

static void
test_open(void **state)
{
	struct sess_info i = info("abc"), got;
	struct shm shm, other;

	shm_test_create(&shm, KIND_WORKER);
	other = shm;
	other.slot = shm.slot + 1;
	assert_false(shm_sess_get(&shm, 3, 50, &got));
	assert_int_equal(got.opened, 0);
	assert_true(shm_sess_claim(&shm, 3, 0));
	assert_false(shm_sess_claim(&other, 3, 0));
	assert_false(shm_sess_get(&other, 3, 50, &got));
	shm_sess_put(&shm, 3, 50, &i);
	assert_true(shm_sess_get(&other, 3, 50, &got));
	assert_int_equal(got.era, ERA_LEGACY);
	assert_int_equal(got.opened, 1);
	assert_string_equal(got.version, "2025-06-18");
	assert_string_equal(got.id, "abc");
	/* Another server, another entry. */
	assert_false(shm_sess_get(&other, 3, 51, &got));
	assert_false(shm_sess_get(&other, 4, 50, &got));
	/* Who still thinks of session 0 is too late. */
	assert_false(shm_sess_claim(&other, 3, 0));
	assert_true(shm_sess_claim(&other, 3, 1));
	shm_sess_release(&other, 3);
	assert_true(shm_sess_get(&shm, 3, 50, &got));
	assert_int_equal(got.opened, 1);
	assert_true(shm_sess_claim(&shm, 3, 1));
	i.era = ERA_MODERN;
	i.id[0] = '\0';
	shm_sess_put(&shm, 3, 51, &i);
	assert_true(shm_sess_get(&other, 3, 51, &got));
	assert_int_equal(got.era, ERA_MODERN);
	assert_int_equal(got.opened, 2);
	assert_string_equal(got.id, "");
	shm_destroy(&shm);
}

static void
claim_and_die(struct shm *shm)
{
	if (!shm_sess_claim(shm, 7, 1))
		_exit(1);
	raise(SIGKILL);
}

static void
test_killed_claimer(void **state)
{
	struct sess_info i = info("abc"), got;
	struct shm shm;
	uint32_t slot;

	shm_test_create(&shm, KIND_MASTER);
	slot = shm_kind_first(KIND_WORKER);
	assert_true(shm_sess_claim(&shm, 7, 0));
	shm_sess_put(&shm, 7, 50, &i);
	assert_true(WIFSIGNALED(shm_test_child(&shm, KIND_WORKER,
	    claim_and_die)));
	assert_false(shm_sess_claim(&shm, 7, 1));
	assert_int_equal(shm_sess_sweep(&shm, slot + 1), 0);
	assert_int_equal(shm_sess_sweep(&shm, slot), 1);
	/* May be half written: none, but its number goes on. */
	assert_false(shm_sess_get(&shm, 7, 50, &got));
	assert_int_equal(got.opened, 1);
	assert_true(shm_sess_claim(&shm, 7, 1));
	shm_sess_put(&shm, 7, 50, &i);
	assert_true(shm_sess_get(&shm, 7, 50, &got));
	assert_int_equal(got.opened, 2);
	shm_destroy(&shm);
}

static void
put_unclaimed(struct shm *shm)
{
	struct sess_info i = info("abc");

	shm_sess_put(shm, 1, 1, &i);
}

static void
release_unclaimed(struct shm *shm)
{
	shm_sess_release(shm, 1);
}

static void
test_bugs_die(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	assert_int_equal(WTERMSIG(shm_test_child(&shm, KIND_WORKER,
	    put_unclaimed)), SIGABRT);
	assert_int_equal(WTERMSIG(shm_test_child(&shm, KIND_WORKER,
	    release_unclaimed)), SIGABRT);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_killed_claimer),
		cmocka_unit_test(test_bugs_die),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
