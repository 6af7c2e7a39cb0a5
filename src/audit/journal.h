/*
 * journal -- the append-only files between the audit pipe and PostgreSQL.
 *
 * <dir>/NNNNNNNNNN.journal, numbered from 1, rotated at segment_bytes. The
 * segments are one stream of bytes, cut anywhere: a frame may begin in one
 * and end in the next. Only the process that holds the lock writes; the
 * kernel frees the lock when it dies. <dir>/id names the journal, so that a
 * position in it is never taken for one in another.
 */
#ifndef OMNI2_AUDIT_JOURNAL_H
#define OMNI2_AUDIT_JOURNAL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define JOURNAL_SEGMENT_BYTES	(64 << 20)

struct journal {
	int	 dir_fd, lock_fd, fd;
	char	 id[37];
	int64_t	 segment;
	int64_t	 size;			/* of the newest segment */
	int64_t	 synced;		/* bytes of it known to be on disk */
	int64_t	 segment_bytes;
};

/* Opens (creates) and locks. 0; -1 with err: ERR_CONFLICT: another process
 * has it. Finishes what a killed writer left half done. */
int	journal_open(struct journal *, const char *dir, int64_t segment_bytes,
	    struct err *);
void	journal_close(struct journal *);
/* Moves up to max bytes from the pipe to the end. Bytes, 0 when the pipe is
 * empty, -1 with errno: nothing was taken that is not in the file. */
ssize_t	journal_splice(struct journal *, int pipe_fd, size_t max);
/* Everything so far is on disk, or -1 with errno: call it again. */
int	journal_sync(struct journal *);
/* Can the directory be written? A small file, written and removed. */
int	journal_probe(const struct journal *);
/* For a full disk: the space of all before this position, which nobody will
 * read again. Segments before it are removed; its own gets a hole, so that
 * all positions stay what they are. */
void	journal_give_back(const struct journal *, int64_t segment,
	    int64_t offset);

/* Shared with the readers. */
void	journal_segment_name(int64_t segment, char out[32]);
/* Oldest and newest segment in the directory; 0, 0: none. -1: errno. */
int	journal_range(int dir_fd, int64_t *oldest, int64_t *newest);
/* The first segment above this one that exists; 0: none. */
int64_t	journal_next_segment(int dir_fd, int64_t above);
int	journal_read_id(int dir_fd, char id[37]);
/* What was shipped, remembered beside the journal for times without a
 * database; only an estimate depends on it. */
void	journal_note_shipped(int dir_fd, int64_t segment, int64_t offset);
void	journal_noted_shipped(int dir_fd, int64_t *segment, int64_t *offset);

#endif
