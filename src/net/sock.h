/*
 * sock -- listening and connecting: "host:port", "[::1]:80", "*:8080",
 * "unix:/path". No DNS in the master: listen addresses are numeric.
 */
#ifndef OMNI2_NET_SOCK_H
#define OMNI2_NET_SOCK_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/span.h"

struct sock_addr {
	struct sockaddr_storage	ss;
	socklen_t		len;
};

/* Parses a listen address; host part numeric, empty or "*" = all. */
int	sock_addr_parse(struct sock_addr *, const char *text, struct err *);
/* A non-blocking, close-on-exec listening socket (SO_REUSEADDR, TCP_NODELAY
 * inherited by accepted sockets). -1 with err naming the address. */
int	sock_listen(const struct sock_addr *, int backlog, struct err *);
int	sock_listen_unix(const char *path, int type, int mode, struct err *);
int	sock_connect_unix(const char *path, int type, struct err *);
/* Text of an address without port, for logs and audit: "127.0.0.1". */
void	sock_addr_text(const struct sockaddr *, char *out, size_t size);
/* Resolves (getaddrinfo) and connects with a deadline (monotonic ms). Blocking
 * socket with TCP_NODELAY on success. -1 with err UPSTREAM or TIMEOUT. */
int	sock_connect_tcp(struct span host, uint16_t port, int64_t deadline_ms,
	    struct err *);

#endif
