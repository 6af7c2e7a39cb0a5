/*
 * ctl -- omni2ctl: what the commands share.
 *
 * Short-lived, one command per run. Talks to the database (administration), to
 * the control socket of the local daemon (reload, stop) and reads the
 * observable shared memory. Every failure ends in one line that says what to
 * do, and in an exit status that scripts can tell apart.
 */
#ifndef OMNI2_CTL_CTL_H
#define OMNI2_CTL_CTL_H

#include "base/buf.h"
#include "base/json_write.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "policy/snapshot.h"
#include "shm/shm.h"
#include "store/store.h"

enum ctl_exit { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2,
	EXIT_NOT_FOUND = 3, EXIT_DENIED = 4, EXIT_UNREACHABLE = 5,
	EXIT_CONFLICT = 6, EXIT_CONFIG = 7, EXIT_SCHEMA = 8, EXIT_FULL = 9 };

struct passwd;

struct ctl {
	const char	*conf_path;
	bool		 json;
	bool		 yaml;		/* and then json, too: see screen.h */
	struct conf	 conf;		/* after ctl_conf() */
	struct model	 model;
	bool		 have_conf;
	int		 conf_status;	/* why not: as loader_read() */
	struct db	*db;
	bool		 db_as_service;	/* connected as ctl_service_user() */
	struct shm	 shm;		/* after ctl_attach() */
	bool		 attached;
	bool		 refused;	/* the daemon does not talk to us */
	const char	*url;		/* of another omni2; NULL: this one */
	bool		 url_from_environment;
	const char	*ca_file;	/* for url; NULL: those of the system */
	/* arguments of the command */
	int		 argc;
	char		**argv;
};

struct command {
	const char	*name;		/* "user add" */
	const char	*args;		/* synopsis behind it */
	const char	*help;		/* one line */
	int		(*run)(struct ctl *);
	enum { ANYWHERE, HERE } where;	/* HERE: never with --url */
};
extern const struct command ctl_commands[];	/* ends with name NULL */

/* args.c: options are taken out of argv; what is left is positional. */
bool	args_flag(struct ctl *, const char *name);
const char *args_value(struct ctl *, const char *name);	/* last, or NULL */
const char *args_next_value(struct ctl *, const char *name);	/* first */
/* Exactly min..max positional arguments and no option left, else usage(). */
void	args_done(struct ctl *, int min, int max);
int64_t	args_int(struct ctl *, const char *name, int64_t min, int64_t max,
	    int64_t def);
const char *ctl_email(const char *);	/* in lower case, checked */
int64_t	args_duration_ms(struct ctl *, const char *name, int64_t def);

/* What ends a command. */
void	ctl_fail(enum ctl_exit, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3), noreturn));
void	ctl_fail_err(const struct err *) __attribute__((noreturn));
void	ctl_fail_file(const char *path)	/* by errno */
	    __attribute__((noreturn));
/* The same for a program that wrote to the disk of path, and said why. */
void	ctl_fail_program(const char *path, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3), noreturn));
void	ctl_usage(const struct ctl *) __attribute__((noreturn));

/* session.c: what a command works with; each fails by itself. */
void	ctl_conf(struct ctl *);		/* reads settings and YAML model */
/* The same, and the rows of the database, into c->conf, model and db; what is
 * found goes to the report (a database that is away is a warning). -1 if it is
 * wrong. Does not fail by itself. */
int	ctl_read(struct ctl *, struct conf_report *);
void	ctl_db(struct ctl *);		/* connects */
/* Connects; root does it as the daemon's user if PostgreSQL wants that one
 * (peer authentication). NULL with err. */
struct db *ctl_db_open(struct ctl *, const char *conninfo, int64_t timeout_ms,
	    struct err *);
/* The user of the daemon, for root: server.user, or omni2. NULL: not root, or
 * there is no such user. Wants the settings to be read, if they can be. */
const struct passwd *ctl_service_user(const struct ctl *);
/* Acts as this user (NULL: nothing happens) until it is called with false. */
void	ctl_act_as(const struct passwd *, bool);
const char *ctl_sql_dir(void);		/* of the migrations */
void	ctl_model(struct ctl *);	/* YAML and database; reads only */
/* The same for commands that change something: rows of the YAML files are put
 * into the database first, so that what is added can refer to them. */
void	ctl_model_seeded(struct ctl *);
const struct pol_head *ctl_policy(struct ctl *);	/* built on the heap */
bool	ctl_attach(struct ctl *, bool must);	/* the daemon's shared memory */
/* The policy was changed: waits until the daemon has it in force. */
void	ctl_changed(struct ctl *);
/* Sends one line to the control socket, also while the file is wrong; answer
 * to out; *fd gets a descriptor if one came. 1 OK, 0 ERR, -1 nobody there. */
int	ctl_ask(struct ctl *, const char *line, struct buf *out, int *fd);
void	ctl_no_daemon(const struct ctl *) __attribute__((noreturn));

/* table.c: rows of text, as a table for people or as a JSON array. */
struct table;
struct table *table_new(const char *const *columns);	/* NULL-terminated;
					 * "#name": numbers, "?name": booleans,
					 * "{name": JSON */
void	table_row(struct table *, ...);		/* one const char * per column;
						 * NULL: none */
void	table_row_of(struct table *, const char *const *cells);
void	table_print(struct table *, bool json);
void	table_rows(struct table *, bool with_head);	/* never JSON */
void	table_print_record(struct table *, bool json);	/* its only row */
void	table_json(const struct table *, struct json_out *, const char *name);
void	table_json_record(const struct table *, struct json_out *,
	    const char *name);
void	table_free(struct table **);
const char *table_clean(const char *);	/* fit for a terminal */
const char *ctl_text(const char *fmt, ...)	/* kept until the end */
	    __attribute__((format(printf, 1, 2)));

/* What the change log says who did it. */
const char *ctl_actor(void);

/* commands */
#define CMD(name, args, help, fn, where) int fn(struct ctl *);
#include "ctl/commands.def"
#undef CMD

#endif
