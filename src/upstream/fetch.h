/*
 * fetch -- one HTTP exchange with an omni2 elsewhere, for omni2ctl --url.
 * Blocks. Certificates are always checked; no redirects.
 */
#ifndef OMNI2_UPSTREAM_FETCH_H
#define OMNI2_UPSTREAM_FETCH_H

#include "base/buf.h"
#include "base/err.h"

struct fetch {
	const char	*method;
	const char	*url;
	const char	*token;		/* of Authorization: Bearer */
	const char	*ca_file;	/* NULL: those of the system */
	struct span	 body;		/* JSON; .n 0: none */
};

/* The status of the answer, its body in out; -1 with err UNAVAILABLE. */
int	fetch_run(const struct fetch *, struct buf *out, struct err *);

#endif
