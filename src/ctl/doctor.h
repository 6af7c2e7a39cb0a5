/*
 * doctor -- what the files of "omni2ctl doctor" share.
 *
 * Looks, and changes nothing. Every check ends in one finding: what was looked
 * at, how it is, and the way to mend it. A check that cannot be made because
 * of an earlier one is left out.
 */
#ifndef OMNI2_CTL_DOCTOR_H
#define OMNI2_CTL_DOCTOR_H

#include <pwd.h>

#include "ctl/ctl.h"

enum finding { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
	struct ctl	*c;
	struct table	*findings;
	unsigned	 n[3];		/* by enum finding */
	const struct passwd *user;	/* of the daemon */
	bool		 has_conf;	/* the settings could be read */
	bool		 is_running;	/* the daemon, here */
	int		 daemon_pid;	/* 0: not known */
};

/* mend: what to do, or NULL. */
void	doctor_say(struct doctor *, enum finding, const char *check,
	    const char *text, const char *mend);

/* doctor_files.c */
void	doctor_configuration(struct doctor *);
void	doctor_files(struct doctor *);
void	doctor_disk(struct doctor *);

/* doctor_host.c */
void	doctor_daemon(struct doctor *);	/* finds is_running, daemon_pid */
void	doctor_audit(struct doctor *);
void	doctor_descriptors(struct doctor *);
void	doctor_unit(struct doctor *);

#endif
