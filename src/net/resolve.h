/*
 * resolve -- host names to addresses without holding up other fibers.
 */
#ifndef OMNI2_NET_RESOLVE_H
#define OMNI2_NET_RESOLVE_H

#include <netdb.h>
#include <stdint.h>

/* As getaddrinfo(3) for TCP; in a fiber the others run meanwhile, and it ends
 * at the deadline (monotonic ms, -1: none) with EAI_AGAIN. */
int	resolve(const char *name, const char *service, int64_t deadline_ms,
	    struct addrinfo **list);

#endif
