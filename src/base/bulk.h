/*
 * bulk -- a large response that goes into a file while it comes, because
 * nobody knows yet whose it is, or because who waits for it must not hold up
 * the others that its server speaks to.
 *
 * stdiod, listeners, workers: whoever reads what a server writes for several
 * calls. If it cannot be kept (disk, quota, limit) it is followed to its end
 * all the same, so that whoever waits for it can be told and the next message
 * is found. Memory holds the envelope only.
 */
#ifndef OMNI2_BASE_BULK_H
#define OMNI2_BASE_BULK_H

#include "base/large.h"
#include "base/spill.h"

struct bulk {
	bool		is_on;		/* one is under way */
	bool		is_bad;		/* it is no JSON-RPC response */
	struct err	why;		/* not NONE: it is not kept */
	struct spill	file;		/* the whole message */
	struct large_head head;
	struct large	large;
	struct buf	envelope;	/* the message with an empty result */
	uint64_t	size, max;
	uint64_t	result_n;	/* bytes of the result, from head.at on */
};

/* Is it the beginning of one? Then all of it was taken. */
bool	bulk_begin(struct bulk *, struct spill_quota *, uint64_t max,
	    struct span first);
/* The next bytes. False: it does not end, for all that can be known. */
bool	bulk_add(struct bulk *, struct span);
/* Nobody waits for it any more. */
void	bulk_forget(struct bulk *);
/* It is complete: 0, and envelope says what it is; -1: is_bad. why is set if
 * it was not kept, in either case. */
int	bulk_end(struct bulk *);
void	bulk_drop(struct bulk *);

#endif
