/*
 * conn -- a client connection while a worker serves it: buffered reading of
 * one request after another.
 *
 * The descriptor is the worker's duplicate; the keeper has its own. Waiting
 * lets other fibers of the worker run.
 */
#ifndef OMNI2_PROC_CONN_H
#define OMNI2_PROC_CONN_H

#include "conf/conf.h"
#include "net/http_head.h"

struct conn {
	int		 fd;
	uint64_t	 id;		/* the keeper's */
	char		 peer[48];
	bool		 takes_bodies;
	const char	*elsewhere;	/* paths that begin so are served by
					 * others; NULL: none are */
	char		*in;		/* bytes read */
	size_t		 start, n, cap;	/* request begins at start; n is the end */
	char		*body;		/* decoded chunked body, own buffer */
	size_t		 body_cap;
};

void	conn_start(struct conn *, int fd, uint64_t id, const char *peer,
	    const char *bytes, size_t n);
/*
 * Reads one request. 1: head and body are there (spans valid until the next
 * call); 2: the head of one that others serve is there, nothing was taken; 0:
 * the peer closed before a request began; -1 with err: answer it and close.
 */
int	conn_read_request(struct conn *, const struct conf *, struct http_memo *,
	    struct span *body, struct err *);
/* Bytes that belong to the next request already. */
struct span conn_rest(const struct conn *);
/* Waits for the next request. 1: bytes are there; 0: nothing came in time or
 * a signal asks to give the connection back; -1: closed. */
int	conn_hold(struct conn *);

#endif
