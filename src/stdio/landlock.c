/*
 * landlock -- writing only below a few paths, enforced by Linux 5.13 and
 * newer for a process and all that come from it.
 *
 * Children of stdiod, before execve. Reading and executing stay as file
 * permissions say. Newer kernels also keep the process from signalling and
 * from connecting to abstract sockets outside. Needs no_new_privs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "stdio/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Versions of the interface that our headers may not know. */
#define ACCESS_REFER	(UINT64_C(1) << 13)	/* 2 */
#define ACCESS_TRUNCATE	(UINT64_C(1) << 14)	/* 3 */
#define SCOPE_ALL	UINT64_C(3)		/* 6: abstract sockets, signals */

#define ACCESS_FILE	LANDLOCK_ACCESS_FS_WRITE_FILE
#define ACCESS_ALL	(LANDLOCK_ACCESS_FS_WRITE_FILE | \
			LANDLOCK_ACCESS_FS_REMOVE_DIR | \
			LANDLOCK_ACCESS_FS_REMOVE_FILE | \
			LANDLOCK_ACCESS_FS_MAKE_CHAR | \
			LANDLOCK_ACCESS_FS_MAKE_DIR | \
			LANDLOCK_ACCESS_FS_MAKE_REG | \
			LANDLOCK_ACCESS_FS_MAKE_SOCK | \
			LANDLOCK_ACCESS_FS_MAKE_FIFO | \
			LANDLOCK_ACCESS_FS_MAKE_BLOCK | \
			LANDLOCK_ACCESS_FS_MAKE_SYM)

/* As the kernel's own struct grew. */
struct ruleset {
	uint64_t	fs, net, scoped;
};

static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full",
	"/dev/tty", "/dev/ptmx", "/dev/pts" };

static uint64_t
access_of(long abi)
{
	return ACCESS_ALL | (abi >= 2 ? ACCESS_REFER : 0) |
	    (abi >= 3 ? ACCESS_TRUNCATE : 0);
}

/* What is not there needs no rule. */
static int
allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	struct stat st;
	int rv;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT || errno == ENXIO ? 0 : -1;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= ACCESS_FILE | ACCESS_TRUNCATE;
	rv = (int)syscall(SYS_landlock_add_rule, rules,
	    LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return rv;
}

int
landlock_restrict(const char *const *paths, size_t n)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset attr = { .fs = access_of(abi) };
	int rules, rv = 0;
	size_t i;

	if (abi < 0)
		return -1;
	if (abi >= 6)
		attr.scoped = SCOPE_ALL;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attr,
	    abi >= 6 ? sizeof(attr) : sizeof(attr.fs), 0);
	if (rules < 0)
		return -1;
	for (i = 0; i < n && rv == 0; i++)
		rv = allow(rules, paths[i], attr.fs);
	for (i = 0; i < sizeof(devices) / sizeof(devices[0]) && rv == 0; i++)
		rv = allow(rules, devices[i], ACCESS_FILE |
		    (attr.fs & ACCESS_TRUNCATE));
	if (rv == 0)
		rv = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
	return rv;
}
