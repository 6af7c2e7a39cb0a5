/*
 * probe -- asks one upstream server what it is and what it offers.
 *
 * Runs in a child of the poller, one per probe, blocking, with a deadline: a
 * server that hangs delays nobody. The result goes through a pipe as a
 * sequence of parts; the last part says how it ended.
 */
#ifndef OMNI2_PROC_PROBE_H
#define OMNI2_PROC_PROBE_H

#include "base/buf.h"
#include "upstream/upstream.h"

enum probe_part { PROBE_OPENED = 1, PROBE_RESULT, PROBE_TOOL, PROBE_RESOURCE,
	PROBE_TEMPLATE, PROBE_PROMPT, PROBE_DONE, PROBE_FAILED };

struct probe_head {			/* then size bytes */
	uint32_t	part;
	uint32_t	size;
};

struct probe_opened {
	uint32_t	era;
	uint32_t	reserved;
	char		version[16];
};

/* Writes parts to fd; full: read all lists, else only see if it answers. */
void	probe_run(struct shm *, const char *stdio_socket,
	    const struct upstream_target *, bool full, int fd);

#endif
