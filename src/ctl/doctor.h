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
	struct buf	 unit;		/* what systemd says of it; or empty */
};

/* mend: what to do, or NULL. */
void	doctor_say(struct doctor *, enum finding, const char *check,
	    const char *text, const char *mend);

/* doctor_files.c */
void	doctor_configuration(struct doctor *);
void	doctor_files(struct doctor *);
void	doctor_disk(struct doctor *);

/* doctor_tls.c: TLS on a socket that is connected to host. Says what is wrong
 * with its certificate; false: nothing is. */
bool	doctor_certificate(struct doctor *, const char *check,
	    const char *host, int fd);

/* That of server.tls, as the daemon's user would read it. */
void	doctor_own_certificate(struct doctor *);

/* doctor_host.c */
void	doctor_daemon(struct doctor *);	/* finds is_running, daemon_pid */
void	doctor_audit(struct doctor *);
void	doctor_descriptors(struct doctor *);
void	doctor_unit_read(struct doctor *);	/* before the others */
/* Does systemd hand the daemon a copy of this secret (LoadCredential=)? */
bool	doctor_unit_copies(const struct doctor *, const char *path);
void	doctor_unit(struct doctor *);

/* doctor_sandbox.c */
void	doctor_sandbox(struct doctor *);

#endif
