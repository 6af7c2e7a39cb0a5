/*
 * spill -- bytes that are too many for memory, in a file without a name.
 *
 * The file ends with its last descriptor, so nothing is left behind however
 * the process ends. Writing and reading may wait for the disk, as any file
 * does; some of the disk stays free for others. How much there may be is
 * counted by quotas: one of a server, say, with that of all servers above it.
 * One process; a quota outlives its files.
 */
#ifndef OMNI2_BASE_SPILL_H
#define OMNI2_BASE_SPILL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/span.h"

struct spill_quota {
	struct spill_quota *up;		/* NULL: none above */
	const char	*dir, *name;	/* on a disk; of the setting */
	uint64_t	used, max;
};

struct spill {
	int		fd;		/* -1: none */
	struct spill_quota *quota;
	uint64_t	size, pos;	/* pos: what was read of it */
	uint64_t	looked;		/* how far the disk has room, roughly */
};

/* 0, or -1 with err INTERNAL: there can be no such file. */
int	spill_open(struct spill *, struct spill_quota *, struct err *);
/* -1 with err UNAVAILABLE: a quota or the disk is full. */
int	spill_add(struct spill *, struct span, struct err *);
/* What follows pos into a socket that does not block. 1 all is out, 0 the
 * socket is full, -1 errno. */
int	spill_send(struct spill *, int sock);
/* What follows pos. 0 at the end, -1 errno. */
ssize_t	spill_read(struct spill *, void *, size_t);
void	spill_close(struct spill *);

#endif
