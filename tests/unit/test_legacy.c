/* What is known of the legacy era of a modern server. */
#include "shm_test.h"

#include "shm/legacy.h"

#define CONFIG	UINT64_C(0x123456789abcdef)

static void
learn(struct shm_health *h, enum legacy_known known, int64_t again_ms)
{
	uint64_t word;

	(void)legacy_known(h, CONFIG, 0, &word);
	legacy_learned(h, word, CONFIG, known, again_ms);
}

static void
test_learned(void **state)
{
	struct shm_health h;

	memset(&h, 0, sizeof(h));
	assert_int_equal(legacy_known(&h, CONFIG, 5, NULL), LEGACY_UNKNOWN);
	learn(&h, LEGACY_YES, 1);
	assert_int_equal(legacy_known(&h, CONFIG, INT64_MAX, NULL),
	    LEGACY_YES);
	assert_int_equal(legacy_known(&h, CONFIG + 1, 5, NULL),
	    LEGACY_UNKNOWN);
	learn(&h, LEGACY_NO, 60000);
	assert_int_equal(legacy_known(&h, CONFIG, 59999, NULL), LEGACY_NO);
	assert_int_equal(legacy_known(&h, CONFIG, 60000, NULL),
	    LEGACY_UNKNOWN);
	/* never too early */
	learn(&h, LEGACY_NO, 60001);
	assert_int_equal(legacy_known(&h, CONFIG, 60999, NULL), LEGACY_NO);
	learn(&h, LEGACY_NO, 0);
	assert_int_equal(legacy_known(&h, CONFIG, INT64_MAX, NULL), LEGACY_NO);
	/* a server without configuration hash */
	memset(&h, 0, sizeof(h));
	assert_int_equal(legacy_known(&h, 0, 5, NULL), LEGACY_UNKNOWN);
}

/* What was asked before it was forgotten, or learned otherwise, says nothing
 * any more. */
static void
test_late_answer(void **state)
{
	struct shm_health h;
	uint64_t before, word;
	unsigned i;

	memset(&h, 0, sizeof(h));
	for (i = 0; i < 3; i++) {
		(void)legacy_known(&h, CONFIG, 5, &before);
		legacy_forget(&h);
		legacy_learned(&h, before, CONFIG, LEGACY_YES, 0);
		assert_int_equal(legacy_known(&h, CONFIG, 5, &word),
		    LEGACY_UNKNOWN);
		assert_int_not_equal(word, before);
	}
	(void)legacy_known(&h, CONFIG, 5, &before);
	learn(&h, LEGACY_NO, 0);
	legacy_learned(&h, before, CONFIG, LEGACY_YES, 0);
	assert_int_equal(legacy_known(&h, CONFIG, 5, NULL), LEGACY_NO);
	/* the counter goes round */
	for (i = 0; i < 70000; i++)
		legacy_forget(&h);
	assert_int_equal(legacy_known(&h, CONFIG, 5, NULL), LEGACY_UNKNOWN);
	learn(&h, LEGACY_YES, 0);
	assert_int_equal(legacy_known(&h, CONFIG, 5, NULL), LEGACY_YES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learned),
		cmocka_unit_test(test_late_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
