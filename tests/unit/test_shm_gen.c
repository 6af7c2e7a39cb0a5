/* Snapshots: pins keep buffers, publication moves on, copies are current. */
#include "shm_test.h"

#include <stdlib.h>

#include "shm/gen.h"

static void
publish(struct shm *shm, enum shm_snap snap, const char *text)
{
	int b = shm_gen_free(shm, snap);
	size_t size;
	char *p;

	assert_in_range(b, 0, 2);
	p = shm_gen_buffer(shm, snap, b, &size);
	memset(p, 0, size);
	memcpy(p, text, strlen(text));
	shm_gen_publish(shm, snap, b);
}

static void
test_nothing_published(void **state)
{
	uint64_t g = 7;
	struct shm shm;
	size_t size;

	shm_test_create(&shm, KIND_MASTER);
	for (int s = 0; s < SNAP_COUNT; s++) {
		assert_null(shm_pin(&shm, (enum shm_snap)s, &g));
		assert_false(shm_is_pinned(&shm, (enum shm_snap)s));
		assert_int_equal(shm_generation(&shm, (enum shm_snap)s), 0);
		assert_null(shm_snap_copy(&shm, (enum shm_snap)s, &size));
	}
	assert_int_equal(g, 7);
	shm_destroy(&shm);
}

static void
test_pin_and_publish(void **state)
{
	const char *p;
	uint64_t g, g2;
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	publish(&shm, SNAP_CONF, "one");
	p = shm_pin(&shm, SNAP_CONF, &g);
	assert_string_equal(p, "one");
	assert_int_equal(g >> 2, 1);
	assert_true(shm_is_pinned(&shm, SNAP_CONF));
	assert_false(shm_is_pinned(&shm, SNAP_POLICY));
	/* Two more publications do not touch what is pinned. */
	publish(&shm, SNAP_CONF, "two");
	publish(&shm, SNAP_CONF, "three");
	assert_string_equal(p, "one");
	shm_unpin(&shm, SNAP_CONF);
	assert_string_equal(shm_pin(&shm, SNAP_CONF, &g2), "three");
	assert_int_equal(g2 >> 2, 3);
	assert_int_equal(shm_generation(&shm, SNAP_CONF), g2);
	shm_unpin(&shm, SNAP_CONF);
	shm_destroy(&shm);
}

static void
test_no_free_buffer(void **state)
{
	struct shm shm, other;

	shm_test_create(&shm, KIND_MASTER);
	other = shm;
	other.slot = slot_take(&shm, KIND_WORKER);
	publish(&shm, SNAP_POLICY, "one");
	assert_non_null(shm_pin(&shm, SNAP_POLICY, NULL));
	publish(&shm, SNAP_POLICY, "two");
	assert_non_null(shm_pin(&other, SNAP_POLICY, NULL));
	publish(&shm, SNAP_POLICY, "three");
	/* one and two are pinned, three is current. */
	assert_int_equal(shm_gen_free(&shm, SNAP_POLICY), -1);
	shm_unpin(&other, SNAP_POLICY);
	assert_in_range(shm_gen_free(&shm, SNAP_POLICY), 0, 2);
	/* Other snapshots have pins of their own. */
	assert_in_range(shm_gen_free(&shm, SNAP_CONF), 0, 2);
	shm_unpin(&shm, SNAP_POLICY);
	shm_destroy(&shm);
}

static void
test_buffers_apart(void **state)
{
	char *p[3];
	size_t size;
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	for (int s = 0; s < SNAP_COUNT; s++)
		for (int b = 0; b < 3; b++) {
			p[b] = shm_gen_buffer(&shm, (enum shm_snap)s, b, &size);
			assert_int_equal((uintptr_t)p[b] % 4096, 0);
			assert_true(size >= 4096);
			memset(p[b], b + 1, size);
			if (b > 0)
				assert_int_equal(p[b - 1][size - 1], b);
		}
	shm_destroy(&shm);
}

static void
die_pinned(struct shm *shm)
{
	if (shm_pin(shm, SNAP_CONF, NULL) == NULL)
		_exit(1);
	raise(SIGKILL);
}

static void
test_killed_reader(void **state)
{
	struct shm shm;
	uint32_t slot;

	shm_test_create(&shm, KIND_MASTER);
	publish(&shm, SNAP_CONF, "one");
	slot = shm_kind_first(KIND_WORKER);
	assert_true(WIFSIGNALED(shm_test_child(&shm, KIND_WORKER,
	    die_pinned)));
	publish(&shm, SNAP_CONF, "two");
	publish(&shm, SNAP_CONF, "three");
	for (int i = 0; i < 9; i++)	/* two buffers go round */
		publish(&shm, SNAP_CONF, "more");
	assert_int_not_equal(shm_slot(&shm, slot)->pin[SNAP_CONF], 0);
	slot_reap(&shm, slot, NULL);
	assert_int_equal(shm_slot(&shm, slot)->pin[SNAP_CONF], 0);
	shm_destroy(&shm);
}

static void
nest(struct shm *shm)
{
	shm_pin(shm, SNAP_CONF, NULL);
	shm_pin(shm, SNAP_CONF, NULL);
}

static void
publish_current(struct shm *shm)
{
	shm_gen_publish(shm, SNAP_CONF,
	    (int)(shm_generation(shm, SNAP_CONF) & 3));
}

static void
test_bugs_die(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	publish(&shm, SNAP_CONF, "one");
	assert_int_equal(WTERMSIG(shm_test_child(&shm, KIND_WORKER, nest)),
	    SIGABRT);
	assert_int_equal(WTERMSIG(shm_test_child(&shm, KIND_WORKER,
	    publish_current)), SIGABRT);
	shm_destroy(&shm);
}

static void
test_attached_copy(void **state)
{
	struct shm shm, seen;
	struct err e;
	size_t size;
	char *copy;
	int fd;

	shm_test_create(&shm, KIND_MASTER);
	publish(&shm, SNAP_CATALOG, "tools");
	publish(&shm, SNAP_CONF, "secret");
	fd = shm_export_fd(&shm, &e);
	assert_true(fd >= 0);
	assert_int_equal(shm_attach(&seen, fd, &e), 0);
	close(fd);
	copy = shm_snap_copy(&seen, SNAP_CATALOG, &size);
	assert_non_null(copy);
	assert_int_equal(size, shm_test_sizes.catalog_size);
	assert_string_equal(copy, "tools");
	free(copy);
	assert_null(shm_snap_copy(&seen, SNAP_CONF, &size));
	shm_destroy(&seen);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_published),
		cmocka_unit_test(test_pin_and_publish),
		cmocka_unit_test(test_no_free_buffer),
		cmocka_unit_test(test_buffers_apart),
		cmocka_unit_test(test_killed_reader),
		cmocka_unit_test(test_bugs_die),
		cmocka_unit_test(test_attached_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
