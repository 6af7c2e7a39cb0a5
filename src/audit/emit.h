/*
 * emit -- hands audit records to the auditor. Workers and the master.
 *
 * The pipe is created by the master before the first fork and outlives every
 * process. A write blocks when the pipe is full (back-pressure), at most until
 * the deadline; then the call must fail closed (ERR_AUDIT).
 */
#ifndef OMNI2_AUDIT_EMIT_H
#define OMNI2_AUDIT_EMIT_H

#include "audit/record.h"
#include "conf/conf.h"
#include "shm/shm.h"

struct audit_emitter {
	int		 pipe_fd;	/* non-blocking write end */
	uint32_t	 slot;
	struct shm	*shm;
	struct buf	 json, frames;
};

void	audit_emitter_init(struct audit_emitter *, struct shm *, int pipe_fd,
	    uint32_t slot);
/* Before an upstream is called: may a record be written at all? -1 with err
 * AUDIT when the journal cannot be written and on_failure is deny. No syscall. */
int	audit_ready(const struct audit_emitter *, enum audit_failure, struct err *);
/* Writes the record and, as sync asks, waits until it is in the journal or on
 * disk. 0, or -1 with err AUDIT: then the answer must not leave. */
int	audit_emit(struct audit_emitter *, const struct audit_record *,
	    enum audit_sync, int64_t deadline_ms, struct err *);
/* The same for the one record of a request, within five seconds; counts what
 * was decided and whether the record was written. */
int	audit_emit_request(struct audit_emitter *, const struct audit_record *,
	    enum audit_sync, struct err *);

#endif
