/*
 * place -- room for one request in a worker: its slot in shared memory, its
 * MCP state and upstream connections, its client connection.
 */
#ifndef OMNI2_PROC_PLACE_H
#define OMNI2_PROC_PLACE_H

#include <signal.h>

#include "api/api.h"
#include "mcp/mcp.h"
#include "net/http_reply.h"
#include "proc/conn.h"
#include "proc/proc.h"

struct place {
	struct proc	*proc;
	struct shm	 copy;		/* the process's, with the own slot */
	struct shm	*shm;		/* &copy */
	struct mcp	*mcp;		/* NULL: never used */
	struct api	*api;		/* of LANE_API only */
	enum lane_kind	 lane;
	struct conn	 conn;
	struct http_reply reply;
	struct http_memo request;	/* its head */
	struct buf	 events;	/* of a stream that was looked at */
	uint64_t	 served;
	bool		 released;	/* the connection is no longer ours */
	bool		 passes_on;	/* what follows is for the keeper */
	const volatile sig_atomic_t *stop;
	/* set by the worker, who then starts place_serve() on a fiber */
	bool		 busy;
	int		 fd;		/* of a hand-over, or -1 */
	size_t		 n;
	char		 message[sizeof(struct lane_luggage) + LANE_BYTES_MAX];
};

/* The place is free from now on and counted as such. */
void	place_init(struct place *, struct proc *, uint32_t slot,
	    enum lane_kind, const volatile sig_atomic_t *stop);
/* Before its first use: what takes memory. */
void	place_open(struct place *);
/* Serves what is in message until the connection is given back. */
void	place_serve(void *place);
/* A free place goes out of use. */
void	place_close(struct place *);

#endif
