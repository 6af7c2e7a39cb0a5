/*
 * hear -- what the listener of a server (proc/listener.h) and the processes
 * that call it have to do with each other: sockets beside that of stdiod.
 */
#ifndef OMNI2_UPSTREAM_HEAR_H
#define OMNI2_UPSTREAM_HEAR_H

#include "upstream/upstream.h"

/*
 * For the listener of a server: the socket on which it is told that a client
 * has a session of its own there. take gives that client session and a
 * descriptor to close as soon as the session's stream is open, or will not be.
 */
int	upstream_hear_listen(const char *stdio_socket, int64_t server_id,
	    struct err *);
int	upstream_hear_take(int listener, uint64_t *client_session);
/*
 * Where a connection is the session (HTTP+SSE, WebSocket), the listener has those of
 * single clients, so that all calls of one are of one session and somebody
 * hears it in between. Workers speak stdio_proto.h to this socket.
 */
int	upstream_link_listen(const char *stdio_socket, int64_t server_id,
	    struct err *);
void	upstream_pool_own_links(struct upstream_pool *);
/* The poller, of a server that is new or another one: it has none. */
void	upstream_hear_forget(const char *stdio_socket, int64_t server_id);

#endif
