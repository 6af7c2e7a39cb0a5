/* The circuit breaker and the server entries. */
#include "shm_test.h"

#include <stdio.h>

#include "shm/health.h"

static const struct breaker_rules rules = { 3, 1000, 2 };

static void
test_opens_and_closes(void **state)
{
	struct shm_health h;
	int64_t retry = 0;

	memset(&h, 0, sizeof(h));
	assert_int_equal(breaker_state(&h), BREAKER_CLOSED);
	/* Not in a row. */
	for (int i = 0; i < 5; i++) {
		assert_true(breaker_allow(&h, &rules, 100, &retry));
		breaker_failure(&h, &rules, 100);
		breaker_failure(&h, &rules, 100);
		breaker_success(&h, 800);
	}
	assert_int_equal(breaker_state(&h), BREAKER_CLOSED);
	for (int i = 0; i < 3; i++)
		breaker_failure(&h, &rules, 5000);
	assert_int_equal(breaker_state(&h), BREAKER_OPEN);
	assert_int_equal(h.opened, 1);
	assert_int_equal(h.calls, 18);
	assert_int_equal(h.failures, 13);
	assert_false(breaker_allow(&h, &rules, 5400, &retry));
	assert_int_equal(retry, 600);
	/* Late outcomes of calls that left before change nothing. */
	breaker_failure(&h, &rules, 5500);
	breaker_success(&h, 800);
	assert_int_equal(breaker_state(&h), BREAKER_OPEN);
	assert_false(breaker_allow(&h, &rules, 5999, NULL));
	/* Two trials, no more. */
	assert_true(breaker_allow(&h, &rules, 6000, &retry));
	assert_int_equal(breaker_state(&h), BREAKER_HALF_OPEN);
	assert_true(breaker_allow(&h, &rules, 6001, &retry));
	assert_false(breaker_allow(&h, &rules, 6002, &retry));
	assert_int_equal(retry, 998);
	breaker_success(&h, 800);
	assert_int_equal(breaker_state(&h), BREAKER_CLOSED);
	/* All forgotten: three more failures are needed. */
	breaker_failure(&h, &rules, 6100);
	breaker_failure(&h, &rules, 6100);
	assert_int_equal(breaker_state(&h), BREAKER_CLOSED);
}

static void
test_half_open_fails(void **state)
{
	struct shm_health h;
	int64_t retry = 0;

	memset(&h, 0, sizeof(h));
	for (int i = 0; i < 3; i++)
		breaker_failure(&h, &rules, 5000);
	assert_true(breaker_allow(&h, &rules, 6000, &retry));
	breaker_failure(&h, &rules, 6500);
	assert_int_equal(breaker_state(&h), BREAKER_OPEN);
	assert_int_equal(h.opened, 2);
	assert_false(breaker_allow(&h, &rules, 7000, &retry));
	assert_int_equal(retry, 500);
	assert_true(breaker_allow(&h, &rules, 7500, &retry));
}

static void
test_forgotten_and_killed_trials(void **state)
{
	struct shm_health h;
	int64_t retry = 0;

	memset(&h, 0, sizeof(h));
	breaker_forget(&h);			/* closed: nothing to do */
	for (int i = 0; i < 3; i++)
		breaker_failure(&h, &rules, 5000);
	assert_true(breaker_allow(&h, &rules, 6000, &retry));
	assert_true(breaker_allow(&h, &rules, 6000, &retry));
	assert_false(breaker_allow(&h, &rules, 6000, &retry));
	breaker_forget(&h);
	assert_true(breaker_allow(&h, &rules, 6000, &retry));
	assert_false(breaker_allow(&h, &rules, 6999, &retry));
	/* Both killed: after the timeout others may try. */
	assert_true(breaker_allow(&h, &rules, 7000, &retry));
	assert_true(breaker_allow(&h, &rules, 7000, &retry));
	assert_false(breaker_allow(&h, &rules, 7000, &retry));
	for (int i = 0; i < 5; i++)
		breaker_forget(&h);
	assert_int_equal(breaker_state(&h), BREAKER_HALF_OPEN);
	breaker_reset(&h);
	assert_int_equal(breaker_state(&h), BREAKER_CLOSED);
}

static void
test_edges(void **state)
{
	struct breaker_rules odd = { 0, 1000, 0 };
	int64_t wrap = INT64_C(1) << 32, retry = 0;
	struct shm_health h;

	memset(&h, 0, sizeof(h));
	/* Zero means one. */
	breaker_failure(&h, &odd, wrap - 500);
	assert_int_equal(breaker_state(&h), BREAKER_OPEN);
	/* A clock read earlier by another process is no 49 days. */
	assert_false(breaker_allow(&h, &odd, wrap - 501, &retry));
	assert_int_equal(retry, 1000);
	assert_false(breaker_allow(&h, &odd, wrap + 499, &retry));
	assert_true(breaker_allow(&h, &odd, wrap + 500, &retry));
	assert_false(breaker_allow(&h, &odd, wrap + 500, &retry));
	/* The count of failures does not run into its neighbours. */
	memset(&h, 0, sizeof(h));
	odd.threshold = UINT32_MAX;
	for (int i = 0; i < 70000 && breaker_state(&h) == BREAKER_CLOSED; i++)
		breaker_failure(&h, &odd, 1);
	assert_int_equal(breaker_state(&h), BREAKER_OPEN);
	assert_int_equal(h.failures, 65535);
	/* Latency: the first, then an average; never negative. */
	memset(&h, 0, sizeof(h));
	breaker_success(&h, 800);
	assert_int_equal(h.latency_us, 800);
	breaker_success(&h, 1600);
	assert_int_equal(h.latency_us, 900);
	breaker_success(&h, -5);
	assert_in_range(h.latency_us, 700, 800);
}

static void
fail_often(struct shm *shm)
{
	struct breaker_rules many = { 4000, 1000, 2 };

	for (int i = 0; i < 500; i++)
		breaker_failure(shm_health(shm, 0), &many, 1000);
}

static void
test_processes(void **state)
{
	pid_t pid[8];
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	for (int i = 0; i < 8; i++)
		if ((pid[i] = fork()) == 0) {
			fail_often(&shm);
			_exit(0);
		}
	for (int i = 0; i < 8; i++)
		assert_int_equal(waitpid(pid[i], NULL, 0), pid[i]);
	/* No failure was lost: it opened at exactly the 4,000th. */
	assert_int_equal(breaker_state(shm_health(&shm, 0)), BREAKER_OPEN);
	assert_int_equal(shm_health(&shm, 0)->opened, 1);
	assert_int_equal(shm_health(&shm, 0)->failures, 4000);
	shm_destroy(&shm);
}

static void
test_index(void **state)
{
	struct shm shm;
	char name[80];

	shm_test_create(&shm, KIND_LOADER);
	for (int i = 0; i < (int)SHM_SERVERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "server-%d", i);
		assert_int_equal(shm_health_index(&shm, i + 10, name), i);
	}
	assert_int_equal(shm_health_index(&shm, 5, "full"), UINT32_MAX);
	assert_int_equal(shm_health_index(&shm, 30, "renamed"), 20);
	assert_string_equal(shm_health(&shm, 20)->name, "renamed");
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(shm_health_index(&shm, 31, name), 21);
	assert_int_equal(strlen(shm_health(&shm, 21)->name), 63);
	shm_destroy(&shm);
}

static void
test_names(void **state)
{
	assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
	assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
	assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN),
	    "half_open");
	assert_string_equal(health_status_name(HEALTH_UNKNOWN), "unknown");
	assert_string_equal(health_status_name(HEALTH_HEALTHY), "healthy");
	assert_string_equal(health_status_name(HEALTH_UNHEALTHY),
	    "unhealthy");
	assert_string_equal(health_status_name(HEALTH_UNREACHABLE),
	    "unreachable");
	assert_string_equal(health_status_name(HEALTH_DISABLED), "disabled");
	assert_string_equal(health_status_name((enum shm_health_status)99),
	    "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens_and_closes),
		cmocka_unit_test(test_half_open_fails),
		cmocka_unit_test(test_forgotten_and_killed_trials),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
