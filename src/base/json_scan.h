/*
 * json_scan -- where a JSON object ends, in pieces: for one that is passed on
 * while it comes.
 *
 * Follows strings and brackets only. What it finds whole is delimited as JSON
 * says; that it is JSON inside is not checked. Allocates nothing.
 */
#ifndef OMNI2_BASE_JSON_SCAN_H
#define OMNI2_BASE_JSON_SCAN_H

#include <stdint.h>

#include "base/span.h"

struct json_scan {
	uint64_t	braces;		/* a bit a level: object, not array */
	unsigned	depth;
	bool		in_string, escaped;
	bool		done;		/* the object is complete */
	bool		bad;		/* it is none, or deeper than allowed */
};

/* depth 0: the first byte begins it; 1: it has begun already. */
void	json_scan_init(struct json_scan *, unsigned depth);
/* Takes the next piece; returns how much of it belongs to the object. */
size_t	json_scan(struct json_scan *, struct span);

#endif
