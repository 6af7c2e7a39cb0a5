/*
 * poll_db -- the poller's connection to the database: is it there, and has the
 * policy in it changed?
 *
 * Publishes the state in shared memory (shm_poll) and asks the master for a
 * reload; reads no policy itself, that is the loader's.
 */
#ifndef OMNI2_PROC_POLL_DB_H
#define OMNI2_PROC_POLL_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/model.h"
#include "proc/proc.h"

struct poll_db {			/* all 0 to begin with */
	struct db	*db;		/* NULL: away */
	bool		 was_up;
	int64_t		 next_ms;	/* of the next try to connect */
	int64_t		 asked_ms;	/* when a reload was asked for last */
};

/* Once a round; readable: poll(2) says so of poll_db_fd(). Blocks for two
 * seconds at most, when the database does not answer. */
void	poll_db_tend(struct poll_db *, struct proc *, const struct conf *,
	    bool readable);
int	poll_db_fd(const struct poll_db *);	/* -1: none */
void	poll_db_close(struct poll_db *);

#endif
