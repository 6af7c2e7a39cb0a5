/*
 * listener -- hears what an HTTP upstream says by itself: changed lists,
 * updated resources, and what is meant for a single client.
 *
 * One child of the poller per server, like a probe (probe.h), but it stays:
 * the GET streams of the session that all share and of those that clients have
 * of their own (legacy), or one subscriptions/listen for everything that
 * clients watch (modern). It marks the server as dirty, tells the keeper about
 * resources, and passes on what a client is asked or told (mcp/heard.h).
 */
#ifndef OMNI2_PROC_LISTENER_H
#define OMNI2_PROC_LISTENER_H

#include <sys/types.h>

#include "proc/proc.h"
#include "upstream/upstream.h"

struct listener {			/* the poller's view of one */
	pid_t		 pid;		/* 0: none */
	int64_t		 started_ms, next_ms, backoff_ms;
	int64_t		 kill_ms;	/* it was told to end; 0: it was not */
	uint64_t	 asked;		/* hash of what a modern one asks for */
	uint64_t	 opened;	/* the shared session it began with */
	bool		 refused;	/* the server has no such stream */
	bool		 is_dual;	/* as it was when that one began */
};

struct listener_want {
	bool		 wanted;	/* the server is enabled and healthy */
	bool		 news;		/* subscriptions have changed */
	enum sess_era	 era;
	bool		 is_dual;	/* and of the legacy era, too */
	bool		 has_links;	/* it runs, and calls go through it */
	const struct conf *conf;	/* the poller's: its slot has one pin */
};

/* Starts, restarts, reaps. Returns true while it waits for one to end. */
bool	listener_tend(struct listener *, struct proc *,
	    const struct upstream_target *, const struct listener_want *,
	    int64_t now_ms);
/* Ends it and waits for that; forgets what it knew. */
void	listener_end(struct listener *);

#endif
