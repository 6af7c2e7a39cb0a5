/*
 * mcp -- serves the MCP endpoints /mcp (all servers) and /servers/NAME/mcp
 * (one server), both eras on one URL, one HTTP request at a time.
 *
 * Lives in a worker. Owns no socket: it reads a parsed request and fills a
 * reply. Nothing is pinned in shared memory while it blocks.
 */
#ifndef OMNI2_MCP_MCP_H
#define OMNI2_MCP_MCP_H

#include "conf/conf.h"
#include "net/http_head.h"
#include "net/http_reply.h"
#include "shm/shm.h"
#include "shm/stream.h"

struct mcp;

struct mcp_http {			/* one HTTP request, borrowed */
	const struct http_head *head;
	struct span	 body;
	struct span	 server;	/* of /servers/NAME/mcp; .p NULL: all */
	const char	*client;	/* address for audit */
	int		 client_fd;	/* watched for hang-up */
	struct http_reply *reply;
	/* Gives the connection away in the middle of mcp_serve(), after the
	 * reply was sent: a held call (ask.c) goes on without it. Neither reply
	 * nor client_fd may be touched afterwards. */
	void		(*release)(void *arg);
	void		*release_arg;	/* of the two below as well */
	uint64_t	 connection;	/* the keeper's id of it */
	/* Gives the connection to the keeper for good: a stream whose head is
	 * out. -1: it cannot be, close it. */
	int		(*hand_over)(void *arg, const struct stream_info *);
	/* The stream with this id must end. */
	void		(*end_stream)(void *arg, uint64_t id);
};

/* Per process. audit_fd: write end of the audit pipe. */
struct mcp *mcp_new(struct shm *, int audit_fd, const char *stdio_socket);
void	mcp_free(struct mcp **);
/* Takes over a new configuration generation when there is one. Returns the
 * settings in force; valid until the next call. */
const struct conf *mcp_refresh(struct mcp *);
/* Answers completely. Returns 0, or -1 when the connection must be closed. */
int	mcp_serve(struct mcp *, const struct mcp_http *);
/*
 * Looks at a stream again after a snapshot has changed. 1: *events holds what
 * is to be written to it; 0: nothing; -1: it must end, its owner may no longer
 * have it. *info is brought up to date.
 */
int	mcp_stream_recheck(struct mcp *, struct stream_info *,
	    struct buf *events);
/* Just after the start: not every server has been looked at. */
bool	mcp_is_discovering(struct shm *);
/* A Host that this server answers to: an address, localhost, or configured. */
bool	mcp_host_is_allowed(const struct conf *, struct span authority);
/* Host and Origin of a request: -1 with err ORIGIN for those of others. */
int	mcp_check_names(const struct conf *, const struct http_head *,
	    struct err *);
/* Between requests, now and then: closes idle upstream connections. */
void	mcp_idle(struct mcp *);

#endif
