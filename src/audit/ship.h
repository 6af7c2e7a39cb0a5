/*
 * ship -- journal to PostgreSQL, in a process of its own, so that a database
 * that hangs never stops the pipe from being drained.
 *
 * Reads the journal's files and talks to PostgreSQL; never writes to the
 * journal. May be killed at any instant.
 */
#ifndef OMNI2_AUDIT_SHIP_H
#define OMNI2_AUDIT_SHIP_H

#include "shm/shm.h"

struct ship_settings {
	const char	*dir;		/* of the journal */
	const char	*node;
	const char	*database_url;	/* "": none */
	const char	*token_secret;	/* signs check points; "": unsigned */
	int64_t		 database_timeout_ms;
	int64_t		 retention_days;
	int64_t		 spool_max;
	int64_t		 drain_timeout_ms;
	int64_t		 segment_bytes;
	int64_t		 fresh_from;	/* records before this logical offset
					 * were written by an earlier omni2d */
};

/* Runs until SIGTERM, then until all is shipped or drain_timeout is over. */
void	ship_main(struct shm *, const struct ship_settings *);

/* Logical offset of a position: segments count as full ones. */
static inline int64_t
ship_logical(int64_t segment_bytes, int64_t segment, int64_t offset)
{
	return segment <= 0 ? 0 : (segment - 1) * segment_bytes + offset;
}

#endif
