/*
 * large -- a JSON-RPC response whose result is too large to be held: which
 * bytes of it are the result, and what stands around that.
 *
 * Pure. The message is followed in pieces; what is not the result is kept as
 * the "envelope", the message with {} for a result, which is judged like any
 * other at its end: "id" may stand behind "result" (the SDKs write it so).
 * That the result is JSON inside is not checked (json_scan.h).
 */
#ifndef OMNI2_BASE_LARGE_H
#define OMNI2_BASE_LARGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_scan.h"

#define LARGE_AT	(256u << 10)	/* smaller messages are collected */

struct large_head {			/* what stands before the result */
	bool		has_version, has_id;
	uint64_t	id;
	size_t		at;		/* where the result begins */
};

struct large {
	struct json_scan scan;
	enum { LARGE_RESULT, LARGE_REST, LARGE_DONE } part;
	struct buf	*envelope;
	size_t		rest;		/* bytes behind the result */
};

/* Looks at the first part of a message. False: no "result" that is an object
 * is seen behind nothing but version and id; it is to be collected. */
bool	large_look(struct span first, struct large_head *);
/* False: the result ends within the first part, or is none. */
bool	large_begin(struct large *, struct span first, size_t at);
/* Where the envelope goes; first may lie in that buffer. */
int	large_keep(struct large *, struct buf *, struct span first, size_t at,
	    struct err *);
/* The next bytes; *result says which of these are the result's. -1 with err:
 * it is no JSON-RPC message. */
int	large_take(struct large *, struct span in, struct span *result,
	    struct err *);

#endif
