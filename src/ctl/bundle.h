/*
 * bundle -- the file that "omni2ctl backup" makes and "restore" reads: a
 * tar.gz of
 *
 *	manifest.json	what it is of (struct bundle)
 *	etc/		the configuration, as below its directory
 *	other/		files that it names elsewhere, by their whole path
 *	database.dump	pg_dump -Fc of the schema omni2
 *	state/		token_secret, journal/
 *
 * It holds secrets, so nobody but its owner may read it. tar, pg_dump and
 * pg_restore are run without a shell. Temporary directories go when the
 * command ends, whatever way.
 */
#ifndef OMNI2_CTL_BUNDLE_H
#define OMNI2_CTL_BUNDLE_H

#include "ctl/ctl.h"

#define BUNDLE_FORMAT	1

struct bundle {
	int64_t	format;
	char	version[32];		/* of omni2 */
	int64_t	schema;			/* newest migration; 0: no database */
	bool	has_database;
	char	created[32];
	char	main[256];		/* of the configuration, below etc/ */
};

void	bundle_write(const char *path, const struct bundle *);
int	bundle_read(const char *path, struct bundle *, struct err *);

/* A new directory parent/name.XXXXXX, mode 0700; removed at the end. */
const char *bundle_temp_dir(const char *parent, const char *name);
/* Makes the directories above path. */
void	bundle_make_parents(const char *path);
/* New file with the mode of the old one. 0, or -1 with errno. */
int	bundle_copy(const char *from, const char *to);
bool	bundle_is_same(const char *a, const char *b);	/* same bytes */
/* Calls fn for each file below dir, with its path below dir; refuses all that
 * is neither file nor directory. */
void	bundle_walk(const char *dir, void (*fn)(void *, const char *name),
	    void *arg);
/* Members of the archive into dir. Fails by itself. */
void	bundle_extract(const char *file, const char *dir,
	    const char *const *members);

#endif
