/*
 * auditor_int -- the auditor with sizes that a test can choose.
 */
#ifndef OMNI2_AUDIT_AUDITOR_INT_H
#define OMNI2_AUDIT_AUDITOR_INT_H

#include "audit/auditor.h"

/* As auditor_main(), with another segment size. */
int	auditor_run(struct shm *, uint32_t slot, int pipe_read_fd,
	    int64_t segment_bytes);

#endif
