/*
 * journal_read -- see journal_read.h.
 *
 * Segment n is complete as soon as n + 1 exists, because the writer syncs and
 * leaves n first. The size of n is therefore asked for after n + 1 was seen.
 * A position behind the end of n (its tail was moved, see journal.c) is the
 * position at the same distance in n + 1.
 */
#include "audit/journal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/journal.h"

#define CHUNK		(256u << 10)
#define DATA_MAX	(4u << 20)

void
journal_reader_init(struct journal_reader *r, int dir_fd, int64_t segment,
    int64_t offset)
{
	*r = (struct journal_reader){ .dir_fd = dir_fd, .fd = -1,
	    .segment = segment, .offset = offset };
	buf_init(&r->data, DATA_MAX);
}

void
journal_reader_free(struct journal_reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	buf_free(&r->data);
}

static int
open_segment(struct journal_reader *r, int64_t segment)
{
	char name[32];
	int fd;

	journal_segment_name(segment, name);
	fd = openat(r->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = fd;
	r->segment = segment;
	return 0;
}

/* The segment asked for is not there: go on at the next one that is. */
static int
open_first(struct journal_reader *r)
{
	int64_t oldest, newest, next;

	if (r->segment > 0 && open_segment(r, r->segment) == 0)
		return 1;
	if (r->segment > 0 && errno != ENOENT)
		return -1;
	if (journal_range(r->dir_fd, &oldest, &newest) < 0)
		return -1;
	if (newest == 0)
		return 0;
	next = r->segment > 0 && r->segment < newest ?
	    journal_next_segment(r->dir_fd, r->segment) : oldest;
	if (r->segment > 0)
		r->gaps++;
	r->offset = 0;
	return open_segment(r, next) == 0 ? 1 : -1;
}

/* At the end of the current segment. 1: moved on, or there is more after
 * all; 0: the writer is still here. */
static int
next_segment(struct journal_reader *r)
{
	int64_t next = r->segment + 1, size;
	struct stat st;
	char name[32];

	journal_segment_name(next, name);
	if (faccessat(r->dir_fd, name, F_OK, 0) < 0) {
		next = journal_next_segment(r->dir_fd, r->segment);
		if (next == 0)
			return 0;
		r->gaps++;
	}
	if (fstat(r->fd, &st) < 0)
		return -1;
	size = st.st_size;
	if (r->offset < size)
		return 1;
	if (open_segment(r, next) < 0)
		return -1;
	r->offset -= size;
	return 1;
}

static void
add_mark(struct journal_reader *r)
{
	int n = r->n_marks;

	if (n > 0 && r->mark[n - 1].segment == r->segment)
		return;
	r->mark[n].at = r->data.n;
	r->mark[n].segment = r->segment;
	r->mark[n].offset = r->offset;
	r->n_marks++;
}

/* Forgets what was handed out; the first mark stays, moved to the front. */
static void
compact(struct journal_reader *r)
{
	int64_t segment, offset;
	int i, n = 0;

	if (r->used == 0 || r->n_marks == 0)
		return;
	journal_reader_at(r, &segment, &offset);
	for (i = 0; i < r->n_marks; i++)
		if (r->mark[i].at > r->used) {
			r->mark[n + 1] = r->mark[i];
			r->mark[n + 1].at -= r->used;
			n++;
		}
	r->mark[0].at = 0;
	r->mark[0].segment = segment;
	r->mark[0].offset = offset;
	r->n_marks = n + 1;
	buf_consume(&r->data, r->used);
	r->used = 0;
}

void
journal_reader_end(struct journal_reader *r, int64_t segment, int64_t offset)
{
	r->end_segment = segment;
	r->end_offset = offset;
}

/* Bytes, 0: none yet, -1. */
static ssize_t
fill(struct journal_reader *r)
{
	ssize_t n;
	int rv;

	if (r->end_segment > 0 && r->segment == r->end_segment &&
	    r->offset == r->end_offset)
		return 0;
	compact(r);
	if (r->fd < 0 && (rv = open_first(r)) <= 0)
		return rv;
	for (;;) {
		if (buf_reserve(&r->data, CHUNK) < 0)
			return 0;
		n = pread(r->fd, r->data.p + r->data.n, CHUNK, r->offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n > 0)
			break;
		if (r->n_marks == JOURNAL_MARKS - 1 ||
		    (rv = next_segment(r)) == 0)
			return 0;
		if (rv < 0)
			return -1;
	}
	add_mark(r);
	r->data.n += (size_t)n;
	r->offset += n;
	return n;
}

static void
skip_damage(struct journal_reader *r, struct span in)
{
	long n = audit_frame_resync(in);

	if (!r->in_damage)
		r->damaged++;
	r->in_damage = true;
	/* The last bytes may be the beginning of a magic number. */
	r->used += n > 0 ? (size_t)n : in.n > 3 ? in.n - 3 : 1;
}

int
journal_reader_next(struct journal_reader *r, struct audit_frame *f,
    struct span *frame, struct span *payload)
{
	for (;;) {
		struct span in = span_skip(buf_span(&r->data), r->used);
		long n = in.n == 0 ? 0 : audit_frame_read(in, f, payload);
		ssize_t got;

		if (n > 0) {
			r->in_damage = false;
			*frame = span_make(in.p, (size_t)n);
			r->used += (size_t)n;
			return 1;
		}
		if (n < 0) {
			skip_damage(r, in);
			continue;
		}
		if ((got = fill(r)) <= 0)
			return (int)got;
	}
}

void
journal_reader_at(const struct journal_reader *r, int64_t *segment,
    int64_t *offset)
{
	int i = r->n_marks;

	*segment = r->segment;
	*offset = r->offset;
	while (i-- > 0)
		if (r->mark[i].at <= r->used) {
			*segment = r->mark[i].segment;
			*offset = r->mark[i].offset +
			    (int64_t)(r->used - r->mark[i].at);
			return;
		}
}

int
journal_reader_sync(const struct journal_reader *r)
{
	return r->fd < 0 ? 0 : fdatasync(r->fd);
}
