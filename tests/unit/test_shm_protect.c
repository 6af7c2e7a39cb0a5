/*
 * The segments: a zone that a kind may not write kills it by SIGSEGV, the
 * guard pages too; descriptors given out are read-only; strangers are refused.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "shm_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "shm/rate.h"

#define W(kind)	(1u << KIND_##kind)

static const uint32_t zone_writers[ZONE_COUNT] = {
#define ZONE(id, name, segment, bytes, writers, doc) writers,
#include "shm/zones.def"
#undef ZONE
};

/* The signal that ended a child which wrote at p; 0: it lived. A handler in
 * the way (a sanitizer's) would turn the signal into an exit status. */
static int
write_at(struct shm *shm, int kind, uint32_t slot, volatile char *p)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		if (kind >= 0)
			shm_protect(shm, (enum shm_kind)kind, slot);
		*p = *p;
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void
test_every_kind_and_zone(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	for (int k = 0; k < KIND_COUNT; k++)
		for (int z = 0; z < ZONE_COUNT; z++) {
			bool may = (zone_writers[z] & 1u << k) != 0;
			char *first = shm.zone[z];
			char *last = first + shm.zone_size[z] - 1;

			assert_int_equal(write_at(&shm, k, UINT32_MAX, first),
			    may ? 0 : SIGSEGV);
			assert_int_equal(write_at(&shm, k, UINT32_MAX, last),
			    may ? 0 : SIGSEGV);
		}
	shm_destroy(&shm);
}

static void
test_own_slot_only(void **state)
{
	uint32_t own = 9;
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	for (uint32_t i = 0; i < shm.sizes.slots; i++)
		assert_int_equal(write_at(&shm, KIND_WORKER, own,
		    (char *)shm_slot(&shm, i)), i == own ? 0 : SIGSEGV);
	shm_destroy(&shm);
}

static void
test_guard_pages(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	for (int z = 0; z < ZONE_COUNT; z++) {
		char *end = (char *)shm.zone[z] + shm.zone_size[z];

		assert_int_equal((uintptr_t)shm.zone[z] % 4096, 0);
		assert_int_equal(write_at(&shm, -1, UINT32_MAX, end), SIGSEGV);
	}
	shm_destroy(&shm);
}

static void
test_zones(void **state)
{
	struct shm shm;

	shm_test_create(&shm, KIND_MASTER);
	for (int z = 0; z < ZONE_COUNT; z++) {
		enum shm_zone zone = (enum shm_zone)z;
		const struct shm_head *head = shm.zone[ZONE_HEAD];

		assert_true(strlen(shm_zone_name(zone)) > 0);
		assert_true(strlen(shm_zone_doc(zone)) > 0);
		assert_string_equal(head->zone[z].name, shm_zone_name(zone));
		assert_int_equal(head->zone[z].writers, zone_writers[z]);
	}
	assert_true(shm.zone_size[ZONE_RATE] >= shm_rate_size(&shm.sizes));
	assert_int_equal(shm.sizes.policy_size, 8192);	/* whole pages */
	assert_ptr_equal(shm_cancel_word(&shm, 1),
	    shm_cancel_word(&shm, 0) + 1);
	assert_ptr_equal(shm_ack_word(&shm, 1), shm_ack_word(&shm, 0) + 1);
	assert_ptr_equal(shm_queue(&shm), shm.zone[ZONE_QUEUE]);
	assert_ptr_equal(shm_audit(&shm), shm.zone[ZONE_AUDIT]);
	shm_destroy(&shm);
	assert_int_equal(shm.observable_fd, -1);
}

static void
test_export_and_attach(void **state)
{
	struct shm shm, seen;
	struct err e;
	char path[40];
	int fd, again;

	shm_test_create(&shm, KIND_MASTER);
	fd = shm_export_fd(&shm, &e);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0), MAP_FAILED);
	/* Neither shorter nor writable, not even through the owner's own. */
	assert_int_equal(ftruncate(shm.observable_fd, 4096), -1);
	assert_int_equal(write(shm.observable_fd, "x", 1), -1);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if ((again = open(path, O_RDWR | O_CLOEXEC)) >= 0) {	/* root may */
		assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED, again, 0), MAP_FAILED);
		close(again);
	}
	assert_int_equal(shm_attach(&seen, fd, &e), 0);
	close(fd);
	assert_memory_equal(&seen.sizes, &shm.sizes, sizeof(shm.sizes));
	assert_null(seen.zone[ZONE_POLICY]);
	assert_null(seen.zone[ZONE_RATE]);
	assert_non_null(seen.zone[ZONE_HEALTH]);
	shm_count_in(shm_self(&shm), C_MCP_CALLS, 5);
	assert_int_equal(shm_counter_sum(&seen, C_MCP_CALLS), 5);
	assert_int_equal(write_at(&seen, -1, 0, seen.zone[ZONE_CTL]), SIGSEGV);
	assert_int_equal(shm_export_fd(&seen, &e), -1);
	shm_destroy(&seen);
	shm_destroy(&shm);
}

static int
forged(const struct shm_head *head, size_t size, unsigned seals)
{
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, head, sizeof(*head), 0), sizeof(*head));
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
test_attach_refuses(void **state)
{
	struct shm shm, seen;
	struct shm_head good, head;
	size_t size;
	struct err e;
	int fd;

	shm_test_create(&shm, KIND_MASTER);
	size = shm.segment_size[0];
	memcpy(&good, shm.zone[ZONE_HEAD], sizeof(good));
	assert_int_equal(shm_attach(&seen, -1, &e), -1);
	for (int i = 0; i <= 9; i++) {
		unsigned seals = F_SEAL_SHRINK;

		head = good;
		switch (i) {
		case 0: break;			/* the only good one */
		case 1: head.magic++; break;
		case 2: head.layout++; break;
		case 3: head.build[0]++; break;
		case 4: head.n_zones--; break;
		case 5: head.zone[ZONE_CATALOG].offset = size; break;
		case 6: head.zone[ZONE_CATALOG].size = UINT64_MAX; break;
		case 7: head.zone[ZONE_SLOTS].size = 4096; break;
		case 8: head.zone[ZONE_CTL].segment = 1; break;
		case 9: seals = 0; break;
		}
		fd = forged(&head, size, seals);
		assert_int_equal(shm_attach(&seen, fd, &e), i == 0 ? 0 : -1);
		close(fd);
		shm_destroy(&seen);
	}
	fd = forged(&good, 16, F_SEAL_SHRINK);
	assert_int_equal(shm_attach(&seen, fd, &e), -1);
	close(fd);
	shm_destroy(&shm);
}

static void
test_create_refuses(void **state)
{
	struct shm_sizes sz;
	struct shm shm;
	struct err e;

	for (int i = 0; i < 8; i++) {
		sz = shm_test_sizes;
		switch (i) {
		case 0: sz.slots = 12; break;
		case 1: sz.slots = 8193; break;
		case 2: sz.perm_entries = 0; break;
		case 3: sz.perm_entries = 100; break;
		case 4: sz.rate_principals = 0; break;
		case 5: sz.conf_size = UINT64_C(1) << 60; break;
		case 6: sz.policy_size = UINT64_MAX; break;
		/* Allowed, but more than there is address space for. */
		case 7: sz.rate_principals = UINT32_MAX;
			sz.catalog_size = (UINT64_C(1) << 40) - 4096;
			sz.conf_size = sz.policy_size = sz.catalog_size;
			break;
		}
		assert_int_equal(shm_create(&shm, &sz, &e), -1);
		assert_true(strlen(e.text) > 0);
		shm_destroy(&shm);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_and_zone),
		cmocka_unit_test(test_own_slot_only),
		cmocka_unit_test(test_guard_pages),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_export_and_attach),
		cmocka_unit_test(test_attach_refuses),
		cmocka_unit_test(test_create_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
