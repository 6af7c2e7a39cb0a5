/*
 * sandbox -- what a stdio server may not do, whatever it is: see and signal
 * other processes, write outside of its own directories, use the network if
 * it has none, make the kernel do odd things.
 *
 * Children of stdiod, between fork and execve. Made of namespaces, a
 * read-only file system with a few holes, Landlock and seccomp; needs no
 * privilege and no container engine. What the kernel or the administrator
 * does not allow is left out and said. Never makes a server start slower by
 * waiting for something.
 */
#ifndef OMNI2_STDIO_SANDBOX_H
#define OMNI2_STDIO_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sandbox_spec {			/* borrowed */
	bool		is_on, has_network;
	bool		is_required;	/* not without every part of it */
	const char	*cwd;		/* writable; "": none */
	char *const	*writable;	/* absolute paths; NULL-terminated */
	char *const	*hidden;	/* of omni2: files and directories that
					 * servers must not see */
	char *const	*also_hidden;	/* likewise, for this one */
	const char	*home;		/* of who runs it; hidden; "": none */
	const char	*command;	/* not hidden, nor is what these name */
	char *const	*args, *const *env;
	int64_t		processes;	/* at most, with threads; 0: any */
};

/* What can be missing; the texts are in sandbox_part_text(). */
enum sandbox_part { SANDBOX_NAMESPACES, SANDBOX_READ_ONLY, SANDBOX_HIDDEN,
	SANDBOX_TMP, SANDBOX_PROC, SANDBOX_PROCESSES, SANDBOX_LOOPBACK,
	SANDBOX_CAPABILITIES, SANDBOX_LANDLOCK, SANDBOX_SECCOMP,
	SANDBOX_PARTS };

struct sandbox {			/* of one process, as far as it came */
	const struct sandbox_spec *spec;
	bool		has_namespaces;
	bool		has_user_namespace;
	bool		changes_user;	/* it is going to */
	uid_t		uid;		/* who we are outside of it */
	gid_t		gid;
	int		error;		/* why it has none */
	bool		tmp_is_private, shm_is_private;
	const char	*failed;	/* the path that errno is about */
	/* Told as it happens. */
	void		(*missing)(void *arg, enum sandbox_part, int error);
	void		*arg;
};

const char *sandbox_part_text(enum sandbox_part);

/* As fork(2); the child is process 1 of its own namespaces if these could be
 * made. A user namespace is for those who are not privileged, and of no use
 * to a child that is going to change its user. */
pid_t	sandbox_fork(struct sandbox *, bool may_use_user_namespace);

/* In the child. Mounts and loopback, with the privilege there is. -1 with
 * errno: a configured path cannot be made writable. */
int	sandbox_mounts(struct sandbox *);
/* In the process that becomes the server, unprivileged by now, last thing
 * before execve. -1 with errno: the network cannot be kept from it. */
int	sandbox_lock(struct sandbox *);
/* Gives up all capabilities, for ever. */
void	sandbox_drop_capabilities(struct sandbox *);

/* sandbox_check.c: tries it out, in a process of its own, as we are. What is
 * missing has an errno, else 0. -1 with errno: it cannot be tried. */
int	sandbox_check(int missing[SANDBOX_PARTS]);

/* seccomp.c: 0 or -1 with errno */
int	seccomp_deny(bool deny_network);
/* landlock.c: writing only below the paths. 0 or -1 with errno. */
int	landlock_restrict(const char *const *paths, size_t n);

#endif
