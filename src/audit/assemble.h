/*
 * assemble -- puts records together again from frames whose parts stand
 * between those of other slots.
 *
 * A slot writes one record at a time. A record of a writer that died in the
 * middle stays open until its slot begins another one; then it is dropped
 * and counted. (Its call was never answered.)
 */
#ifndef OMNI2_AUDIT_ASSEMBLE_H
#define OMNI2_AUDIT_ASSEMBLE_H

#include "audit/record.h"

struct assemble_open;

struct assembler {
	struct assemble_open **slot;	/* by slot number; NULL: none yet */
	uint32_t	 n_slots;
	struct buf	 record;
	uint64_t	 dropped;	/* records that will never be whole */
};

void	assembler_init(struct assembler *);
void	assembler_free(struct assembler *);
/* frame: the bytes of f with header. 1: *record is a whole record, valid
 * until the next call; 0: none yet. */
int	assembler_add(struct assembler *, const struct audit_frame *f,
	    struct span frame, struct span payload, struct span *record);
/* The frames of all open records, as they came. */
void	assembler_pending(const struct assembler *, struct buf *out);
/* Forgets all and takes these frames. -1 if they are damaged. */
int	assembler_restore(struct assembler *, struct span pending);

#endif
