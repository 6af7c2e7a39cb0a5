/*
 * conf -- the settings of one configuration generation.
 *
 * One flat struct without pointers, so that the loader can build it on its
 * heap and publish it by one copy into shared memory. keys.def is the one
 * table behind binder, defaults, man page and reload class. Read in every
 * process (const, while pinned or copied at start); written by the loader.
 */
#ifndef OMNI2_CONF_CONF_H
#define OMNI2_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

struct model;

#define CONF_TEXT	256
#define CONF_LIST_MAX	32
#define CONF_ITEM	128

struct conf_list {
	uint32_t	n;
	char		item[CONF_LIST_MAX][CONF_ITEM];
};

enum audit_sync { AUDIT_SYNC_ASYNC, AUDIT_SYNC_JOURNAL, AUDIT_SYNC_FSYNC };
enum audit_failure { AUDIT_FAIL_DENY, AUDIT_FAIL_ALLOW };
enum unlisted { UNLISTED_DENY, UNLISTED_ALLOW };
enum conf_log_level { CONF_LOG_ERROR, CONF_LOG_WARN, CONF_LOG_INFO,
	CONF_LOG_DEBUG };			/* as enum log_level */

/* Members are generated from keys.def: name_field per key, by C type. */
struct conf {
	uint32_t	 magic;			/* CONF_MAGIC */
	char		 file[CONF_TEXT];	/* absolute path it came from */
#define KEY_BOOL(path, f, def, reload, doc)			bool f;
#define KEY_INT(path, f, def, min, max, reload, doc)		int64_t f;
#define KEY_MS(path, f, def, min, max, reload, doc)		int64_t f;
#define KEY_SIZE(path, f, def, min, max, reload, doc)		int64_t f;
#define KEY_TEXT(path, f, def, reload, doc)			char f[CONF_TEXT];
#define KEY_SECRET(path, f, reload, doc)			char f[CONF_TEXT];
#define KEY_FILE(path, f, reload, doc)				char f[CONF_TEXT];
#define KEY_ENUM(path, f, type, names, def, reload, doc)	enum type f;
#define KEY_LIST(path, f, def, reload, doc)			struct conf_list f;
#include "conf/keys.def"
#undef KEY_BOOL
#undef KEY_INT
#undef KEY_MS
#undef KEY_SIZE
#undef KEY_TEXT
#undef KEY_SECRET
#undef KEY_FILE
#undef KEY_ENUM
#undef KEY_LIST
};
#define CONF_MAGIC	0x6f32636fu

/* One finding about the configuration; sorted by file, line, column. */
struct conf_msg {
	bool	 is_error;		/* else a warning */
	bool	 is_denied;		/* a file that may not be read */
	char	*file;
	int	 line, column;		/* from 1; 0: not in a file */
	char	*text;			/* "key: what is wrong; did you mean ..." */
};
struct conf_report {
	struct conf_msg	*msg;
	size_t		 n, errors;
};

/*
 * Reads path and what it includes into *conf and *model, both initialised
 * here; the caller frees the model, also after an error. All findings of one
 * run are added to *report (zeroed by the caller) and sorted. 0 when there was
 * no error. Calls model_check() unless a database is configured: then names
 * may live there, and the caller checks once its rows are in. Loader, omni2d
 * -t, omni2ctl.
 */
int	conf_load(const char *path, struct conf *, struct model *,
	    struct conf_report *);
/*
 * The same from memory, for tests and fuzzing: include and _file keys are
 * refused, so nothing of the machine but its environment is read.
 */
int	conf_load_text(const char *name, const char *text, size_t n,
	    struct conf *, struct model *, struct conf_report *);
/* The built-in defaults of keys.def. */
void	conf_defaults(struct conf *);
void	conf_report_add(struct conf_report *, bool is_error, const char *file,
	    int line, int column, const char *fmt, ...)
	    __attribute__((format(printf, 6, 7)));
/* The finding that was just added is about a file that may not be read. */
void	conf_report_denied(struct conf_report *);
bool	conf_report_is_denied(const struct conf_report *);
void	conf_report_sort(struct conf_report *);
/* "file:line:column: text" lines, as the compiler does it. */
void	conf_report_print(const struct conf_report *, struct buf *);
void	conf_report_free(struct conf_report *);
/* Keys that changed between two generations and need a restart, one a line,
 * appended to out. Returns their number. */
int	conf_diff_restart(const struct conf *old, const struct conf *new_conf,
	    struct buf *out);
/* Prints every key with type, default, range, reload class and text, in mdoc
 * (for omni2.yaml.5) -- used at build time. */
void	conf_print_mdoc(FILE *);

#endif
