/*
 * opening_int -- the beginning and the end of sessions, for the files of this
 * folder.
 */
#ifndef OMNI2_UPSTREAM_OPENING_INT_H
#define OMNI2_UPSTREAM_OPENING_INT_H

#include "shm/legacy.h"
#include "upstream/upstream_int.h"

/* opening.c */
struct opening {
	struct upstream_pool *pool;
	const struct upstream_target *target;
	struct upstream_entry *entry;
	struct upstream_call *watch;
	uint64_t	 client;	/* whose session; 0: shared */
	struct sess_info session;	/* the opened one */
	struct buf	 answer;
	struct upstream_call call;	/* the last one */
	/* of a modern server */
	bool		 is_beside;	/* the session is of the legacy era */
	enum legacy_known legacy;	/* does it speak that? */
	uint64_t	 legacy_word;
};
int	opening_run(struct opening *, struct buf *result, struct err *);
/* It failed: by what the server is, not by the state it is in. */
bool	opening_is_refused(const struct opening *, const struct err *);
/* Best effort: a server may also let sessions grow old. may_connect: also to
 * a server that this process has not talked to yet. */
void	opening_end(struct upstream_pool *, struct upstream_entry *,
	    const struct upstream_target *, const struct sess_info *,
	    bool may_connect);

/* hear.c: a session of one client was opened, and published. */
void	hear_tell(const struct opening *);
/* To the owner of the links of clients at this server. */
int	hear_connect_owner(const struct upstream_pool *, int64_t server_id,
	    struct upstream_call *watch, struct err *);

/* reap.c */
/* Ends what lay in an entry of shared memory that is somebody else's now. */
void	reap_old(struct upstream_pool *, const struct sess_old *,
	    bool may_connect);
/* A few sessions that nobody uses any more. Now and then. */
void	reap_some(struct upstream_pool *);

#endif
