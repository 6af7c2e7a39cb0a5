/*
 * run -- other programs: pg_dump, pg_restore, tar, systemctl. Never a shell:
 * execve(2) with arguments as they are, so no name needs quoting.
 */
#ifndef OMNI2_CTL_RUN_H
#define OMNI2_CTL_RUN_H

#include <pwd.h>

#include "base/buf.h"
#include "conf/model.h"

struct run {
	const char	*argv[24];	/* [0]: name or path; NULL ends it */
	struct strlist	 env;		/* "NAME=value", on top of ours */
	int		 in, out;	/* descriptors; -1: /dev/null */
	const struct passwd *as;	/* run as; NULL: as we are */
	const char	*dir;		/* working directory; NULL: ours */
	bool		 quiet;		/* standard error is thrown away */
	void		(*tick)(void *);	/* called now and then */
	void		*tick_arg;
};

/* Path of a program, looked for in PATH, the usual places and, for those of
 * PostgreSQL, the directories of its versions, newest first. NULL: nowhere. */
const char *run_find(const char *name);
/* Is this unit of systemd active? False without systemd. */
bool	run_unit_is_active(const char *unit);
/* Its exit status; 127 if it could not be started, 128 + the signal that
 * ended it. */
int	run_program(const struct run *);
/* From here on a signal that would end us ends the program that runs, and then
 * us by exit(3), so that temporary files go, too. */
void	run_catch_signals(void);
/* The same with standard output into a buffer (run->out is ignored). */
int	run_capture(const struct run *, struct buf *);

#endif
