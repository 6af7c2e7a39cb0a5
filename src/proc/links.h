/*
 * links -- the workers' side of the links that a listener has: where a
 * connection is the session (HTTP+SSE, WebSocket), all calls of one client go
 * over one.
 *
 * Speaks stdio_proto.h, as stdiod does, a fiber for each worker's connection.
 * Knows nothing of the links themselves: what they are and how they are
 * written to is the listener's (struct links_ops); what they say it hands in.
 */
#ifndef OMNI2_PROC_LINKS_H
#define OMNI2_PROC_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bulk.h"
#include "base/err.h"
#include "base/span.h"
#include "shm/sess.h"
#include "stdio/question.h"

#define LINKS_CONNS	256	/* of workers, at once */

struct links_ops {
	/* The link of this client: opened if needed, which may wait. NULL with
	 * err. caps: JSON of what is declared. */
	void	*(*open)(void *arg, uint64_t client, struct span caps,
		    struct sess_info *, struct err *);
	/* NULL: it is not open. */
	void	*(*find)(void *arg, uint64_t client);
	int	(*post)(void *arg, void *link, struct span message,
		    struct err *);
};

struct links_conn {
	struct links	*links;
	int		 fd;		/* -1: unused */
	uint32_t	 use;		/* counts the connections of this place */
	bool		 writing;
	void		*link;		/* of the call under way; NULL: none */
	uint64_t	 call, order;
	bool		 has_file, sends_file;
	struct spill	 file;		/* the answer to the call */
	bool		 holds;		/* STDIO_FLAG_HOLDS */
};

struct links {
	const struct links_ops *ops;
	void		*arg;
	uint64_t	 last_order;
	bool		 has_files;	/* some are not being sent yet */
	struct questions questions;	/* of all links */
	struct links_conn conn[LINKS_CONNS];
};

void	links_init(struct links *, const struct links_ops *, void *arg);
/* One more connection. Not from a fiber. */
void	links_accept(struct links *, int listener);
/* After anything has been handed in. Not from a fiber. */
void	links_send_files(struct links *);
/* What a link said. False: no such call is under way there. */
bool	links_response(struct links *, void *link, uint64_t call,
	    struct span message);
/* Takes the file. */
bool	links_large(struct links *, void *link, uint64_t call, struct bulk *);
/* call 0: the oldest one */
bool	links_message(struct links *, const void *link, uint64_t call,
	    struct span message);
/* A request of the server, to the newest call or one that carries none; when
 * that ends, to another one. False: there is none. */
bool	links_question(struct links *, const void *link, struct span message,
	    struct span id);
/* A notifications/cancelled of the server. */
void	links_withdrawn(struct links *, const void *link, struct span message);
bool	links_in_use(const struct links *, const void *link);
/* It is no more: its calls fail. */
void	links_ended(struct links *, const void *link, const struct err *why);

#endif
