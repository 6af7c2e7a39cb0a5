/*
 * admin -- what omni2ctl asks of PostgreSQL beyond the rows of omni2: roles,
 * databases, versions, the schema as a whole; and what it reads out of
 * connection strings for programs that come with PostgreSQL.
 *
 * Only omni2ctl setup, doctor, backup and restore; never the daemon. Names
 * go to the server as parameters and are quoted there. No function prints,
 * and no text it returns holds a password.
 */
#ifndef OMNI2_STORE_ADMIN_H
#define OMNI2_STORE_ADMIN_H

#include "store/store.h"

/* conninfo.c: connection strings; nothing here connects. */
bool	conninfo_is_valid(const char *);
bool	conninfo_has_password(const char *);
bool	conninfo_is_local(const char *);	/* through a UNIX socket */
/* "host=... user=... dbname=..." without what is secret; malloc'ed. */
char	*conninfo_shown(const char *);
/* The same as variables ("PGHOST=...") for pg_dump and pg_restore, whose
 * arguments everybody could read. Appends. */
int	conninfo_environment(const char *, struct strlist *, struct err *);

/* admin.c */
struct admin_server {
	int	 version;		/* 150004 */
	char	 version_text[32];	/* "15.4" */
	bool	 read_only;		/* a standby, or told to be */
	int64_t	 round_trip_us;
	int64_t	 ahead_us;		/* its clock, of ours */
};
int	admin_server(struct db *, struct admin_server *, struct err *);

int	admin_role_exists(struct db *, const char *role, bool *, struct err *);
int	admin_role_create(struct db *, const char *role, struct err *);
/* *may_create: the role could make a schema in it. */
int	admin_database_exists(struct db *, const char *name, const char *role,
	    bool *exists, bool *may_create, struct err *);
int	admin_database_create(struct db *, const char *name, const char *owner,
	    struct err *);

/* Is there anything of omni2 in this database? */
int	admin_schema_exists(struct db *, bool *, struct err *);
/*
 * A restore puts the schema that is there aside, under another name, and
 * drops it only when the new one is complete. tidy() finishes or undoes what
 * a restore that was killed has left.
 */
int	admin_schema_tidy(struct db *, struct err *);
int	admin_schema_set_aside(struct db *, struct err *);
int	admin_schema_put_back(struct db *, struct err *);
int	admin_schema_drop_aside(struct db *, struct err *);
/* API keys of a user that still hold. */
int	admin_keys_of(struct db *, const char *org, const char *email,
	    int64_t *n, struct err *);

#endif
