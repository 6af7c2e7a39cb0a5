/*
 * setup -- what the files of "omni2ctl setup" share.
 *
 * Each part looks first and does only what is missing, so that running it
 * again is harmless; with --dry-run nothing but the looking happens. A part
 * that fails ends the command in one line; what was done before stays, and
 * the next run goes on behind it.
 */
#ifndef OMNI2_CTL_SETUP_H
#define OMNI2_CTL_SETUP_H

#include <pwd.h>

#include "ctl/ctl.h"

struct setup {
	struct ctl	*c;
	const char	*database;	/* --database */
	bool		 local;		/* --local */
	const char	*listen, *admin;
	bool		 dry, no_start;

	const struct passwd *user;	/* of the daemon */
	bool		 loaded;	/* c->conf is what the file says */
	const char	*url;		/* connection string to work with */
	const char	*socket_dir, *port;	/* of a local PostgreSQL */

	char		*path;		/* of the configuration, resolved */
	bool		 is_new;	/* it is not there yet */
	struct buf	 text;		/* of it, as it will be */
	const char	*changes;	/* keys new in it; NULL: none */
	const char	*secret_file;	/* for a url with a password; or NULL */
	struct conf_report report;	/* of the file as it was */

	bool		 has_tables;	/* those of this version */
	struct table	*steps;
	char		 doing[256];	/* the step that setup_begin() began */
	unsigned	 n_done;	/* done, or would be */
	const char	*key;		/* new API key; secret */
};

/* c_setup.c: a step. begin() says whether to do it; not with --dry-run. */
bool	setup_begin(struct setup *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
void	setup_done(struct setup *);
/* Nothing to do here: it is so already. */
void	setup_ok(struct setup *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* setup_conf.c */
void	setup_read(struct setup *);	/* finds loaded and user */
/* What will be the connection string; refuses what contradicts the file. */
void	setup_check(struct setup *);
void	setup_write(struct setup *);	/* the files; reads them again */

/* setup_db.c */
void	setup_find_local(struct setup *);	/* socket_dir, port, url */
void	setup_make_local(struct setup *);	/* role and database */
void	setup_connect(struct setup *);	/* as the daemon will */
void	setup_migrate(struct setup *);
void	setup_admin(struct setup *);		/* and key */

#endif
