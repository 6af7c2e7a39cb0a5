/*
 * journal_read -- reads the journal as one stream of frames, while another
 * process may be appending to it. Never writes.
 */
#ifndef OMNI2_AUDIT_JOURNAL_READ_H
#define OMNI2_AUDIT_JOURNAL_READ_H

#include "audit/record.h"

#define JOURNAL_MARKS	8

struct journal_reader {
	int	 dir_fd, fd;		/* dir_fd is borrowed */
	int64_t	 segment, offset;	/* of the next byte to read */
	struct buf data;
	size_t	 used;			/* bytes of data handed out */
	/* Where in data the bytes of a segment begin. */
	struct {
		size_t	at;
		int64_t	segment, offset;
	} mark[JOURNAL_MARKS];
	int	 n_marks;
	bool	 in_damage;
	uint64_t damaged;		/* places where no frame could be read */
	uint64_t gaps;			/* segments that were not there */
	int64_t	 end_segment, end_offset;	/* see journal_reader_end() */
};

/* Begins at a position; segment 0: the oldest there is. */
void	journal_reader_init(struct journal_reader *, int dir_fd,
	    int64_t segment, int64_t offset);
void	journal_reader_free(struct journal_reader *);
/* 1: the next frame (spans valid until the next call), 0: none yet, -1 with
 * errno. */
int	journal_reader_next(struct journal_reader *, struct audit_frame *,
	    struct span *frame, struct span *payload);
/* For the writer: where the journal ends, so that nobody looks for more. */
void	journal_reader_end(struct journal_reader *, int64_t segment,
	    int64_t offset);
/* The position behind the last frame handed out. */
void	journal_reader_at(const struct journal_reader *, int64_t *segment,
	    int64_t *offset);
/* What was read so far is on disk afterwards. */
int	journal_reader_sync(const struct journal_reader *);

#endif
