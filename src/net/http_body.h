/*
 * http_body -- decodes a message body from bytes as they come: by length,
 * chunked (strict CRLF, no extensions with control bytes, trailers skipped
 * with a limit), or until end of file (responses only).
 *
 * Pure state machine, no allocation. Feed it; it says how much it took.
 */
#ifndef OMNI2_NET_HTTP_BODY_H
#define OMNI2_NET_HTTP_BODY_H

#include <stdint.h>

#include "base/err.h"
#include "net/http_head.h"

enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED,
	HTTP_BODY_EOF };

struct http_body {
	enum http_body_kind kind;
	bool		 done;
	uint64_t	 left;		/* of the length or of this chunk */
	uint64_t	 seen;		/* payload bytes given out */
	int		 state;		/* chunked machine, private */
	uint32_t	 overhead;	/* bytes of trailers and extensions */
	uint32_t	 digits;	/* of this chunk size */
};

void	http_body_init(struct http_body *, enum http_body_kind,
	    uint64_t length);
/* The kind a request head announces (RFC 9112 section 6.3). */
void	http_body_for_request(struct http_body *, const struct http_head *);
void	http_body_for_response(struct http_body *, const struct http_head *,
	    bool request_was_head);
/*
 * Takes bytes from in. *taken says how many of them were used; *payload is
 * the next piece of body (may be empty). Call again with the rest until
 * nothing is taken and payload is empty, or done. -1 and err BADREQ when the
 * framing is wrong.
 */
int	http_body_feed(struct http_body *, struct span in, size_t *taken,
	    struct span *payload, struct err *);
/* The peer closed. 0 if the body may end here (done is set), else -1. */
int	http_body_eof(struct http_body *);

#endif
