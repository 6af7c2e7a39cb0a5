/*
 * shm_test -- what the tests of shm/ share: small segments, and children that
 * run a function and report by their exit status.
 */
#ifndef OMNI2_TESTS_SHM_TEST_H
#define OMNI2_TESTS_SHM_TEST_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm/shm.h"
#include "shm/slot.h"

static const struct shm_sizes shm_test_sizes = {
	.slots = 24, .perm_entries = 64, .rate_principals = 64,
	.connections = 16, .rate_window_ms = 1000,
	.conf_size = 4096, .policy_size = 5000, .catalog_size = 8192,
};

static inline void
shm_test_create(struct shm *shm, enum shm_kind kind)
{
	struct err e;

	assert_int_equal(shm_create(shm, &shm_test_sizes, &e), 0);
	shm->slot = slot_take(shm, kind);
	assert_int_not_equal(shm->slot, UINT32_MAX);
}

/* Runs fn in a child with a slot of the kind; returns the wait status. */
static inline int
shm_test_child(struct shm *shm, enum shm_kind kind, void (*fn)(struct shm *))
{
	uint32_t slot = slot_take(shm, kind);
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		shm->slot = slot;
		fn(shm);
		_exit(0);
	}
	assert_true(pid > 0);
	slot_started(shm, slot, (int32_t)pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#endif
