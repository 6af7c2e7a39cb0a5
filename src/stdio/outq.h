/*
 * outq -- bytes on their way to a descriptor that does not block.
 *
 * Bounded by the buf inside. Counts all bytes that were ever queued and
 * written, so that a position in the stream tells what has left. stdiod only.
 */
#ifndef OMNI2_STDIO_OUTQ_H
#define OMNI2_STDIO_OUTQ_H

#include <stdint.h>

#include "base/buf.h"

struct outq {
	struct buf	b;
	size_t		pos;		/* bytes of b that are written */
	uint64_t	queued;		/* all time; the position of the next */
	uint64_t	written;	/* all time */
};

void	outq_init(struct outq *, size_t max);
void	outq_free(struct outq *);
/* Appends all parts, or nothing: -1 if they do not fit. */
int	outq_add(struct outq *, const struct span *parts, int n);
/* Writes what can be written. 1 all is out, 0 some is left, -1 errno. */
int	outq_flush(struct outq *, int fd);

static inline size_t
outq_left(const struct outq *q)
{
	return q->b.n - q->pos;
}

#endif
