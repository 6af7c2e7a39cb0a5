/*
 * child -- starts a stdio MCP server as a process and takes note of its end.
 *
 * stdiod only. No shell ever: execve(2) with an explicit environment, an own
 * session and process group, descriptors 0, 1 and 2 and no other, dead when
 * stdiod dies (PDEATHSIG). Our child is the parent of the server and waits for
 * it; all that the server started ends with it: in a sandbox with namespaces
 * (sandbox.h) because our child is their process 1, else because it adopts
 * and kills what is left. Holds no state; the caller owns the descriptors.
 */
#ifndef OMNI2_STDIO_CHILD_H
#define OMNI2_STDIO_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "stdio/sandbox.h"

#define CHILD_GROUPS_MAX	64

/* Whom servers run as; resolved before any server is started. */
struct child_user {
	bool	 is_set;
	uid_t	 uid;
	gid_t	 gid, groups[CHILD_GROUPS_MAX];
	int	 n_groups;
	char	 name[64];
	char	 home[256];
};

struct child_spec {			/* borrowed for child_spawn() */
	const char	*name;		/* of the server, for messages */
	const char	*command;	/* path, or a name to find in PATH */
	char *const	*args;		/* without argv[0]; NULL-terminated */
	char *const	*env;		/* "K=V"; NULL-terminated */
	const char	*cwd;		/* "": the root directory */
	int64_t		 memory;	/* of each process; 0: no limit */
	const char	*launcher;	/* starts it elsewhere, see launch.h;
					 * NULL or "": it is our child */
	const struct child_user *user;
	const struct sandbox_spec *sandbox;	/* NULL: none */
};

struct child {
	pid_t	pid;
	int	in, out, err;		/* our ends; non-blocking */
	int	report;			/* end of file: the program runs */
	int	status;			/* says how the server has ended, if
					 * pid is not itself the server */
};

/* Empty name: the user of stdiod. Only root may become somebody else. */
int	child_user_find(struct child_user *, const char *name, struct err *);

/* 0, or -1 with err (text begins with 'server "name": '). */
int	child_spawn(const struct child_spec *, struct child *, struct err *);

/* Reads child.report: 1 the program runs, 0 not known yet, -1 with err saying
 * exactly what failed. Parts of the sandbox that are missing are logged, each
 * once. */
int	child_exec_status(int report_fd, const char *name, const char *command,
	    const char *cwd, struct err *);

/* A child that has ended and is not yet reaped: its pid stays taken, so that
 * its group can be signalled safely. 0 if there is none. */
pid_t	child_next_ended(void);
/* Kills what is left of the group of an ended child and reaps it. */
int	child_reap(pid_t);		/* wait status */
/* That of the server, if another process told it. */
int	child_server_status(int status_fd, int wait_status);
void	child_signal_group(pid_t, int signo);
/* "exit status 3", "signal 9 (Killed)" */
void	child_status_text(int status, char *out, size_t size);

/* SIGKILL for adopted processes: those of the session, or (session 0) every
 * child for which is_server(arg, pid) is false. Returns their number. */
unsigned child_kill_adopted(pid_t session,
	    bool (*is_server)(void *arg, pid_t), void *arg);

#endif
