/* Sliding windows: exact, under concurrency, deaths, reuse and late clocks. */
#include "shm_test.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "shm/rate.h"

#define W	1000	/* the window of these tests, ms */

static enum rate_verdict
take(struct shm *shm, uint64_t id, uint32_t limit, int64_t now,
    struct rate_info *info)
{
	return shm_rate_take(shm, RATE_USER, id, limit, W, now, info);
}

static void
test_limit_of_twenty(void **state)
{
	struct rate_info info;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(take(&shm, 1, 20, 5000 + i, &info),
		    RATE_GRANTED);
		assert_int_equal(info.used, i + 1);
		assert_int_equal(info.limit, 20);
		assert_int_equal(info.at_ms, 5000 + i);
		assert_int_equal(info.reset_ms, i < 19 ? 5000 + i : 5000 + W);
	}
	assert_int_equal(take(&shm, 1, 20, 5020, &info), RATE_LIMITED);
	assert_int_equal(info.used, 20);
	assert_int_equal(info.reset_ms, 5000 + W);
	assert_int_equal(take(&shm, 1, 20, 5000 + W - 1, &info), RATE_LIMITED);
	/* The oldest is one window old: exactly one more. */
	assert_int_equal(take(&shm, 1, 20, 5000 + W, &info), RATE_GRANTED);
	assert_int_equal(info.used, 20);
	assert_int_equal(take(&shm, 1, 20, 5000 + W, &info), RATE_LIMITED);
	assert_int_equal(info.reset_ms, 5001 + W);
	assert_int_equal(take(&shm, 1, 20, 5001 + W, NULL), RATE_GRANTED);
	assert_int_equal(take(&shm, 1, 20, 5001 + W, NULL), RATE_LIMITED);
	/* A whole window of silence: all twenty again. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(take(&shm, 1, 20, 9000, NULL), RATE_GRANTED);
	assert_int_equal(take(&shm, 1, 20, 9000, NULL), RATE_LIMITED);
	shm_destroy(&shm);
}

static void
test_peek(void **state)
{
	struct rate_info info;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_int_equal(shm_rate_peek(&shm, RATE_USER, 1, 2, W, 100, &info),
	    RATE_GRANTED);
	assert_int_equal(info.used, 0);
	take(&shm, 1, 2, 100, NULL);
	assert_int_equal(shm_rate_peek(&shm, RATE_USER, 1, 2, W, 100, &info),
	    RATE_GRANTED);
	assert_int_equal(info.used, 1);
	take(&shm, 1, 2, 200, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(shm_rate_peek(&shm, RATE_USER, 1, 2, W, 300,
		    &info), RATE_LIMITED);
		assert_int_equal(info.used, 2);
		assert_int_equal(info.reset_ms, 100 + W);
	}
	assert_int_equal(shm_rate_peek(&shm, RATE_USER, 1, 2, W, 100 + W,
	    &info), RATE_GRANTED);
	assert_int_equal(info.used, 1);
	shm_destroy(&shm);
}

static void
test_principals_apart(void **state)
{
	static const uint64_t ids[] = { 0, 1, 2, UINT32_MAX,
	    (UINT64_C(1) << 48) - 1, UINT64_C(1) << 48, UINT64_MAX };
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (int s = RATE_USER; s <= RATE_ADDRESS; s++) {
			assert_int_equal(shm_rate_take(&shm,
			    (enum rate_scope)s, ids[i], 1, W, 50, NULL),
			    RATE_GRANTED);
			assert_int_equal(shm_rate_take(&shm,
			    (enum rate_scope)s, ids[i], 1, W, 50, NULL),
			    RATE_LIMITED);
		}
	shm_destroy(&shm);
}

static void
test_classes(void **state)
{
	static const uint32_t limits[] = { 1, 255, 256, 257, 4096, 4097,
	    SHM_RATE_LIMIT_MAX };
	struct rate_info info;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		uint32_t n = limits[i];

		/* Three windows, so that every ring goes round. */
		for (int64_t now = 0; now < 3 * W; now += W) {
			for (uint32_t j = 0; j < n; j++)
				if (take(&shm, 100 + i, n, now + 1, NULL) !=
				    RATE_GRANTED)
					fail_msg("limit %u: %u refused", n, j);
			assert_int_equal(take(&shm, 100 + i, n, now + 2,
			    &info), RATE_LIMITED);
			assert_int_equal(info.used, n);
			assert_int_equal(info.reset_ms, now + 1 + W);
		}
	}
	shm_destroy(&shm);
}

static void
test_limit_changes(void **state)
{
	struct rate_info info;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (int i = 0; i < 10; i++)
		assert_int_equal(take(&shm, 1, 10, 100 + i, NULL),
		    RATE_GRANTED);
	/* Lowered: more used than allowed; the third-last one decides. */
	assert_int_equal(take(&shm, 1, 3, 200, &info), RATE_LIMITED);
	assert_int_equal(info.used, 10);
	assert_int_equal(info.reset_ms, 107 + W);
	/* Raised within the class: the difference, at once. */
	for (int i = 0; i < 5; i++)
		assert_int_equal(take(&shm, 1, 15, 200, NULL), RATE_GRANTED);
	assert_int_equal(take(&shm, 1, 15, 200, NULL), RATE_LIMITED);
	shm_destroy(&shm);
}

static void
test_late_clock(void **state)
{
	struct rate_info info;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_int_equal(take(&shm, 1, 2, 5000, NULL), RATE_GRANTED);
	/* Entered with the newest time, so the ring stays in order. */
	assert_int_equal(take(&shm, 1, 2, 4000, &info), RATE_GRANTED);
	assert_int_equal(info.at_ms, 5000);
	assert_int_equal(take(&shm, 1, 2, 4000 + W, NULL), RATE_LIMITED);
	assert_int_equal(take(&shm, 1, 2, -1, NULL), RATE_LIMITED);
	assert_int_equal(take(&shm, 1, 2, 5000 + W, NULL), RATE_GRANTED);
	shm_destroy(&shm);
}

static void
test_no_room_and_reuse(void **state)
{
	int granted = 0, no_room = 0;
	struct rate_info info;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	/* 16 buckets of 15 cells; all principals are active. */
	for (uint64_t id = 1; id <= 2000; id++)
		switch (shm_rate_take(&shm, RATE_ADDRESS, id, 5, W, 5000,
		    NULL)) {
		case RATE_GRANTED:
			granted++;
			break;
		case RATE_NO_ROOM:
			no_room++;
			break;
		case RATE_LIMITED:
			fail();
		}
	assert_int_equal(granted, 16 * 15);
	assert_int_equal(no_room, 2000 - 16 * 15);
	assert_int_equal(shm_rate_peek(&shm, RATE_ADDRESS, 3000, 5, W, 5000,
	    &info), RATE_NO_ROOM);
	/* One ms before all are idle for a window, nobody may lose his cell. */
	assert_int_equal(shm_rate_take(&shm, RATE_ADDRESS, 3000, 5, W,
	    5000 + W - 1, NULL), RATE_NO_ROOM);
	/* Then strangers get them, each with a window of his own. */
	for (uint64_t id = 3000; id < 3010; id++) {
		for (int i = 0; i < 5; i++)
			assert_int_equal(shm_rate_take(&shm, RATE_ADDRESS, id,
			    5, W, 5000 + W, NULL), RATE_GRANTED);
		assert_int_equal(shm_rate_take(&shm, RATE_ADDRESS, id, 5, W,
		    5000 + W, &info), RATE_LIMITED);
		assert_int_equal(info.used, 5);
	}
	/* Any number of addresses, one after the other, finds room. */
	for (uint64_t id = 10000; id < 30000; id++)
		assert_int_equal(shm_rate_take(&shm, RATE_ADDRESS, id, 5, W,
		    (int64_t)id * W, NULL), RATE_GRANTED);
	shm_destroy(&shm);
}

/* Reclaimed by one whose window is short: the long one must not lose. */
static void
test_longest_window_counts(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_int_equal(shm_rate_take(&shm, RATE_USER, 1, 1, 60000, 1000,
	    NULL), RATE_GRANTED);
	for (uint64_t id = 1; id < 5000; id++)
		(void)shm_rate_take(&shm, RATE_ADDRESS, id, 1, 10,
		    1000 + (int64_t)id * 10, NULL);
	assert_int_equal(shm_rate_take(&shm, RATE_USER, 1, 1, 60000, 60999,
	    NULL), RATE_LIMITED);
	shm_destroy(&shm);
}

#define PROCESSES	8

struct shared {
	_Atomic int64_t clock;
	_Atomic uint64_t granted, limited, no_room;
};

static void
hammer(struct shm *shm, struct shared *sh, uint32_t limit, int rounds)
{
	for (int i = 0; i < rounds; i++)
		switch (take(shm, 7, limit, atomic_load(&sh->clock), NULL)) {
		case RATE_GRANTED:
			atomic_fetch_add(&sh->granted, 1);
			break;
		case RATE_LIMITED:
			atomic_fetch_add(&sh->limited, 1);
			break;
		case RATE_NO_ROOM:
			atomic_fetch_add(&sh->no_room, 1);
			break;
		}
}

static struct shared *
shared_new(void)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(sh, MAP_FAILED);
	atomic_store(&sh->clock, 10000);
	return sh;
}

static void
test_processes(void **state)
{
	static const uint32_t limits[] = { 1, 20, 256, 1000 };
	struct shared *sh = shared_new();
	struct shm shm;

	for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
		shm_test_create(&shm, KIND_MASTER);
		atomic_store(&sh->granted, 0);
		/* The clock goes on between the rounds: limit in each. */
		for (int round = 1; round <= 5; round++) {
			pid_t pid[PROCESSES];

			for (int i = 0; i < PROCESSES; i++)
				if ((pid[i] = fork()) == 0) {
					hammer(&shm, sh, limits[l], 2000);
					_exit(0);
				}
			for (int i = 0; i < PROCESSES; i++)
				assert_int_equal(waitpid(pid[i], NULL, 0),
				    pid[i]);
			assert_int_equal(atomic_load(&sh->granted),
			    (uint64_t)round * limits[l]);
			atomic_fetch_add(&sh->clock, W);
		}
		shm_destroy(&shm);
	}
	assert_int_equal(atomic_load(&sh->no_room), 0);
	munmap(sh, sizeof(*sh));
}

/* Killed anywhere: never more than the limit, and the next can go on. */
static void
test_deaths(void **state)
{
	struct shared *sh = shared_new();
	struct rate_info info;
	struct shm shm;
	int deaths = 0;

	shm_test_create(&shm, KIND_MASTER);
	for (int round = 0; round < 60; round++) {
		pid_t pid[2];

		atomic_store(&sh->granted, 0);
		for (int i = 0; i < 2; i++)
			if ((pid[i] = fork()) == 0) {
				for (;;)
					hammer(&shm, sh, 200, 100);
			}
		while (atomic_load(&sh->granted) < 20)
			;
		for (int i = 0; i < 2; i++) {
			kill(pid[i], SIGKILL);
			assert_int_equal(waitpid(pid[i], NULL, 0), pid[i]);
			deaths++;
		}
		assert_true(atomic_load(&sh->granted) <= 200);
		while (take(&shm, 7, 200, atomic_load(&sh->clock), &info) ==
		    RATE_GRANTED)
			atomic_fetch_add(&sh->granted, 1);
		assert_int_equal(info.used, 200);
		/* Each death may hide one grant that was not yet counted. */
		assert_in_range(atomic_load(&sh->granted), 198, 200);
		atomic_fetch_add(&sh->clock, W);
	}
	assert_int_equal(deaths, 120);
	shm_destroy(&shm);
	munmap(sh, sizeof(*sh));
}

static void
take_zero(struct shm *shm)
{
	(void)take(shm, 1, 0, 1, NULL);
}

static void
take_too_many(struct shm *shm)
{
	(void)take(shm, 1, SHM_RATE_LIMIT_MAX + 1, 1, NULL);
}

static void
test_bugs_die(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	assert_int_equal(WTERMSIG(shm_test_child(&shm, KIND_WORKER,
	    take_zero)), SIGABRT);
	assert_int_equal(WTERMSIG(shm_test_child(&shm, KIND_WORKER,
	    take_too_many)), SIGABRT);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit_of_twenty),
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_principals_apart),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_limit_changes),
		cmocka_unit_test(test_late_clock),
		cmocka_unit_test(test_no_room_and_reuse),
		cmocka_unit_test(test_longest_window_counts),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_deaths),
		cmocka_unit_test(test_bugs_die),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
