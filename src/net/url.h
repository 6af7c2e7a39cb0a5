/*
 * url -- splits http(s)/ws(s) URLs and decodes paths and queries (RFC 3986).
 * Pure. Refuses user info, control bytes, spaces and fragments in upstreams.
 *
 * "unix:/socket/path" and "unix:/socket/path:/request/path" are URLs too:
 * host is the path of the socket and port is 0.
 */
#ifndef OMNI2_NET_URL_H
#define OMNI2_NET_URL_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct url {
	struct span	scheme;		/* "http", "https", "unix", ... */
	struct span	host;		/* without brackets */
	uint16_t	port;		/* default of the scheme filled in */
	struct span	path;		/* with query; "/" if empty */
	bool		tls;
	bool		ipv6;		/* host stood in brackets */
};

int	url_parse(struct url *, struct span text, struct err *);
/* Percent-decodes once into out, NUL-terminated. Returns the length; -1 on bad
 * escapes, NUL, or too small. */
long	url_decode(struct span, char *out, size_t size, bool plus_is_space);
/* Value of a query parameter, decoded. 1 found, 0 not there, -1 bad: it does
 * not decode or fit, or it stands there twice. */
int	url_query_get(struct span query, const char *name, char *out,
	    size_t size);
/* A path that is safe to route: starts with '/', no "//", no ".", ".."
 * segments, no %2f %5c %00, no backslash, no control bytes. */
bool	url_path_is_plain(struct span path);

#endif
