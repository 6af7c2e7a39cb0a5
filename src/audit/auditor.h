/*
 * auditor -- the process that moves audit records from the pipe into the
 * journal (splice) and from the journal into PostgreSQL, exactly once.
 *
 * It owns <state_dir>/journal. It writes the shm zones audit_state (words of
 * enum below) and audit_ack. SIGKILL at any instant loses nothing: a byte
 * leaves the pipe only by entering the file; position and rows commit in one
 * transaction; a new auditor goes on at the end of the file.
 *
 * Its parent-death signal is SIGTERM, and it does not hold the pipe's write
 * end: when the master is killed it saves what is in the pipe and goes.
 */
#ifndef OMNI2_AUDIT_AUDITOR_H
#define OMNI2_AUDIT_AUDITOR_H

#include "conf/conf.h"
#include "shm/shm.h"

/* Main loop of the child; returns at SIGTERM after the pipe is drained into
 * the journal (shipping gets what is left of drain_timeout), and without its
 * master (of the shm's slots; else the parent) within half a second, when the
 * pipe has no writer or time is up. SIGTERM may be blocked until it is called.
 * Reads settings again when the configuration generation changes. */
int	auditor_main(struct shm *, uint32_t slot, int pipe_read_fd);

/* For omni2ctl audit verify: checks chain, numbers and hashes in the database
 * and against the journal files still there. Findings to out, one a line;
 * returns their number, or -1 with err. */
struct db;
long	audit_verify(struct db *, const char *journal_dir /* or NULL */,
	    struct buf *out, struct err *);
/* As above, and checks the signatures of the check points with the key that
 * comes from auth.token_secret. */
long	audit_verify_signed(struct db *, const char *journal_dir,
	    const char *token_secret, struct buf *out, struct err *);

#endif
