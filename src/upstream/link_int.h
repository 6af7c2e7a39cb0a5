/*
 * link_int -- a connection as a byte stream, plain or TLS, that never blocks
 * (link.c, curl_link.c); for the transports on which it outlives a request.
 */
#ifndef OMNI2_UPSTREAM_LINK_INT_H
#define OMNI2_UPSTREAM_LINK_INT_H

#include "net/http_head.h"
#include "upstream/upstream.h"

struct sink;
struct upstream_entry;

struct link {
	int		 fd;		/* to poll; -1: not connected */
	void		*tls;		/* libcurl's handle; NULL: plain */
	void		*multi;		/* of that handle: has the connection */
};
enum link_io { LINK_OK, LINK_AGAIN, LINK_EOF, LINK_BROKEN };
void	link_init(struct link *);
int	link_open(struct link *, const struct upstream_entry *,
	    int64_t deadline_ms, struct err *);
void	link_close(struct link *);
/* LINK_BROKEN: errno. */
enum link_io link_recv(struct link *, char *, size_t, size_t *got);
enum link_io link_send(struct link *, struct span, size_t *sent);
/* All of it, with everything that may end the call early. -1 with err;
 * *sent says how much has left. */
int	link_send_all(struct link *, struct span,
	    struct upstream_call *, size_t *sent, struct err *);
/* One head: 1 it is in *h, and what follows it begins at *size; 0 not yet all
 * there; -1 with err. buf has the bytes received so far. */
int	link_head(struct link *, char *buf, size_t *n, struct http_head *h,
	    size_t *size, struct upstream_call *, struct err *);
/* An exchange failed: can the link be used further? */
bool	link_may_stay(const struct sink *, const struct err *);
int	curl_link_open(struct link *, const struct upstream_entry *,
	    int64_t deadline_ms, struct err *);
void	curl_link_close(struct link *);
enum link_io curl_link_recv(struct link *, char *, size_t, size_t *got);
enum link_io curl_link_send(struct link *, struct span, size_t *sent);

#endif
