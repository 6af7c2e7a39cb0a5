/*
 * journal -- see journal.h. The auditor writes; nobody else.
 *
 * Why a killed writer loses nothing: splice(2) takes bytes out of the pipe
 * only as it has written them to the file, and it is not interrupted in
 * between. The next writer goes on at the end of the file.
 *
 * When fdatasync fails, the kernel may have marked the unwritten pages clean,
 * so that a second fdatasync would succeed without having written them. The
 * unsynced tail is therefore copied from the page cache into the next segment:
 *   1. NNNNNNNNNN.copy, written and synced;
 *   2. renamed to NNNNNNNNNN.tail-<offset>: from here on the copy counts;
 *   3. the damaged segment is cut at <offset>;
 *   4. the copy is renamed to NNNNNNNNNN.journal.
 * A writer killed after 2 is finished by the next one (finish_tails). Readers
 * that stood behind the cut go on at the same distance in the next segment.
 */
#include "config.h"		/* _GNU_SOURCE: splice, fallocate */

#include "audit/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"

#define COPY_BYTES	65536
#define PROBE_BYTES	65536
#define HOLE_BYTES	4096		/* nothing smaller is given back */

void
journal_segment_name(int64_t segment, char out[32])
{
	snprintf(out, 32, "%010lld.journal", (long long)segment);
}

/* "0000000012.journal" or "0000000012.tail-4096"; false: another file. */
static bool
parse_name(const char *name, const char *suffix, int64_t *segment,
    int64_t *offset)
{
	size_t n = strlen(suffix);

	if (strlen(name) < 10 + n || strncmp(name + 10, suffix, n) != 0 ||
	    num_i64(span_make(name, 10), 1, INT64_MAX, segment) < 0)
		return false;
	if (offset == NULL)
		return name[10 + n] == '\0';
	return num_i64(span_str(name + 10 + n), 0, INT64_MAX, offset) == 0;
}

static DIR *
open_listing(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

int
journal_range(int dir_fd, int64_t *oldest, int64_t *newest)
{
	DIR *d = open_listing(dir_fd);
	struct dirent *de;
	int64_t n;

	*oldest = *newest = 0;
	if (d == NULL)
		return -1;
	while ((de = readdir(d)) != NULL) {
		if (!parse_name(de->d_name, ".journal", &n, NULL))
			continue;
		if (*oldest == 0 || n < *oldest)
			*oldest = n;
		if (n > *newest)
			*newest = n;
	}
	closedir(d);
	return 0;
}

int64_t
journal_next_segment(int dir_fd, int64_t above)
{
	DIR *d = open_listing(dir_fd);
	struct dirent *de;
	int64_t n, best = 0;

	if (d == NULL)
		return 0;
	while ((de = readdir(d)) != NULL)
		if (parse_name(de->d_name, ".journal", &n, NULL) &&
		    n > above && (best == 0 || n < best))
			best = n;
	closedir(d);
	return best;
}

/* A whole small file or nothing: written aside, then renamed. */
static int
write_small(int dir_fd, const char *name, const char *text)
{
	int fd = openat(dir_fd, "new", O_WRONLY | O_CREAT | O_TRUNC |
	    O_CLOEXEC, 0600);
	int rv;

	if (fd < 0)
		return -1;
	rv = fdio_write_all(fd, text, strlen(text));
	if (rv == 0)
		rv = fdatasync(fd);
	close(fd);
	if (rv == 0)
		rv = renameat(dir_fd, "new", dir_fd, name);
	return rv == 0 ? fsync(dir_fd) : -1;
}

int
journal_read_id(int dir_fd, char id[37])
{
	int fd = openat(dir_fd, "id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, id, 36);
	close(fd);
	id[36] = '\0';
	if (n != 36)
		errno = EINVAL;
	return n == 36 ? 0 : -1;
}

static int
make_id(int dir_fd, char id[37])
{
	uint8_t raw[18];

	if (journal_read_id(dir_fd, id) == 0)
		return 0;
	random_bytes(raw, sizeof(raw));
	hash_hex(raw, sizeof(raw), id);
	return write_small(dir_fd, "id", id);
}

void
journal_note_shipped(int dir_fd, int64_t segment, int64_t offset)
{
	char text[64];
	int fd = openat(dir_fd, "shipped", O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600);

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%020lld %020lld\n", (long long)segment,
	    (long long)offset);
	(void)!pwrite(fd, text, strlen(text), 0);
	close(fd);
}

void
journal_noted_shipped(int dir_fd, int64_t *segment, int64_t *offset)
{
	char text[64];
	int fd = openat(dir_fd, "shipped", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	*segment = *offset = 0;
	if (fd >= 0)
		close(fd);
	if (n < 41 || num_i64(span_make(text, 20), 0, INT64_MAX, segment) < 0 ||
	    num_i64(span_make(text + 21, 20), 0, INT64_MAX, offset) < 0)
		*segment = *offset = 0;
}

/* Steps 3 and 4 above. */
static int
finish_tail(int dir_fd, const char *tail, int64_t segment, int64_t offset)
{
	char damaged[32], name[32];
	struct stat st;
	int fd, rv = 0;

	journal_segment_name(segment - 1, damaged);
	journal_segment_name(segment, name);
	fd = openat(dir_fd, damaged, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || (st.st_size > offset &&
	    ftruncate(fd, offset) < 0))
		rv = -1;
	close(fd);
	if (rv < 0 || renameat(dir_fd, tail, dir_fd, name) < 0)
		return -1;
	return fsync(dir_fd);
}

static int
finish_tails(int dir_fd)
{
	DIR *d = open_listing(dir_fd);
	int64_t segment, offset;
	struct dirent *de;
	int rv = 0;

	if (d == NULL)
		return -1;
	while ((de = readdir(d)) != NULL && rv == 0)
		if (parse_name(de->d_name, ".tail-", &segment, &offset))
			rv = finish_tail(dir_fd, de->d_name, segment, offset);
	closedir(d);
	return rv;
}

static int
open_segment(struct journal *j, int64_t segment)
{
	struct stat st;
	char name[32];
	int fd;

	journal_segment_name(segment, name);
	fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || fsync(j->dir_fd) < 0) {
		close(fd);
		return -1;
	}
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->segment = segment;
	j->size = st.st_size;
	j->synced = 0;
	return 0;
}

static int
open_newest(struct journal *j)
{
	int64_t oldest, newest, offset;

	if (finish_tails(j->dir_fd) < 0 || make_id(j->dir_fd, j->id) < 0 ||
	    journal_range(j->dir_fd, &oldest, &newest) < 0)
		return -1;
	if (newest == 0) {
		/* Never a number again that was shipped already. */
		journal_noted_shipped(j->dir_fd, &newest, &offset);
		newest++;
	}
	return open_segment(j, newest);
}

int
journal_open(struct journal *j, const char *dir, int64_t segment_bytes,
    struct err *e)
{
	*j = (struct journal){ .dir_fd = -1, .lock_fd = -1, .fd = -1,
	    .segment_bytes = segment_bytes };
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		goto fail;
	j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir_fd < 0)
		goto fail;
	j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC,
	    0600);
	if (j->lock_fd < 0)
		goto fail;
	if (flock(j->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			goto fail;
		journal_close(j);
		return err_set(e, ERR_CONFLICT,
		    "%s: another process writes this journal", dir);
	}
	if (open_newest(j) < 0)
		goto fail;
	return 0;
fail:
	err_set(e, ERR_UNAVAILABLE, "%s: %s", dir, strerror(errno));
	journal_close(j);
	return -1;
}

void
journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	if (j->lock_fd >= 0)
		close(j->lock_fd);
	if (j->dir_fd >= 0)
		close(j->dir_fd);
	j->fd = j->lock_fd = j->dir_fd = -1;
}

/* A finished segment is on disk before the next one exists. */
static int
rotate(struct journal *j)
{
	if (journal_sync(j) < 0)
		return -1;
	return open_segment(j, j->segment + 1);
}

ssize_t
journal_splice(struct journal *j, int pipe_fd, size_t max)
{
	loff_t at;
	size_t room;
	ssize_t n;

	if (j->size >= j->segment_bytes && rotate(j) < 0)
		return -1;
	room = (size_t)(j->segment_bytes - j->size);
	at = j->size;
	do {
		n = splice(pipe_fd, NULL, j->fd, &at, max < room ? max : room,
		    SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n > 0)
		j->size += n;
	return n;
}

static int
copy_bytes(int from, int64_t begin, int64_t end, int to)
{
	char *chunk = xmalloc(COPY_BYTES);
	int rv = 0;

	while (begin < end && rv == 0) {
		size_t want = end - begin < COPY_BYTES ?
		    (size_t)(end - begin) : COPY_BYTES;
		ssize_t n = pread(from, chunk, want, begin);

		if (n <= 0)
			rv = -1;
		else
			rv = fdio_write_all(to, chunk, (size_t)n);
		begin += n;
	}
	free(chunk);
	return rv;
}

/* Steps 1 to 4 above. On failure nothing has changed, or finish_tails() goes
 * on with it at the next try. */
static int
move_tail(struct journal *j)
{
	char copy[40], tail[64];
	int fd, rv;

	snprintf(copy, sizeof(copy), "%010lld.copy",
	    (long long)j->segment + 1);
	snprintf(tail, sizeof(tail), "%010lld.tail-%lld",
	    (long long)j->segment + 1, (long long)j->synced);
	fd = openat(j->dir_fd, copy, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	if (fd < 0)
		return -1;
	rv = copy_bytes(j->fd, j->synced, j->size, fd);
	if (rv == 0)
		rv = fdatasync(fd);
	close(fd);
	if (rv < 0) {
		(void)unlinkat(j->dir_fd, copy, 0);
		return -1;
	}
	if (renameat(j->dir_fd, copy, j->dir_fd, tail) < 0 ||
	    finish_tail(j->dir_fd, tail, j->segment + 1, j->synced) < 0 ||
	    open_segment(j, j->segment + 1) < 0)
		return -1;
	j->synced = j->size;
	log_warn("journal segment %lld could not be synced; its end was moved "
	    "to segment %lld", (long long)j->segment - 1,
	    (long long)j->segment);
	return 0;
}

int
journal_sync(struct journal *j)
{
	int64_t size = j->size;

	if (j->synced == size)
		return 0;
	if (fdatasync(j->fd) == 0) {
		j->synced = size;
		return 0;
	}
	return move_tail(j);
}

int
journal_probe(const struct journal *j)
{
	static const char zeros[4096];
	int fd = openat(j->dir_fd, "probe", O_WRONLY | O_CREAT | O_TRUNC |
	    O_CLOEXEC, 0600);
	int rv = 0, n, saved;

	if (fd < 0)
		return -1;
	for (n = 0; n < PROBE_BYTES && rv == 0; n += (int)sizeof(zeros))
		rv = fdio_write_all(fd, zeros, sizeof(zeros));
	if (rv == 0)
		rv = fdatasync(fd);
	saved = errno;
	close(fd);
	(void)unlinkat(j->dir_fd, "probe", 0);
	errno = saved;
	return rv;
}

void
journal_give_back(const struct journal *j, int64_t segment, int64_t offset)
{
	static struct log_limit ll = { .interval_ms = 60000 };
	int64_t oldest, newest;
	char name[32];
	int fd;

	if (journal_range(j->dir_fd, &oldest, &newest) < 0)
		return;
	for (; oldest > 0 && oldest < segment && oldest < newest; oldest++) {
		journal_segment_name(oldest, name);
		(void)unlinkat(j->dir_fd, name, 0);
	}
	offset -= offset % HOLE_BYTES;
	journal_segment_name(segment, name);
	if (offset == 0 ||
	    (fd = openat(j->dir_fd, name, O_WRONLY | O_CLOEXEC)) < 0)
		return;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
	    offset) < 0 && log_limit_ok(&ll))
		log_warn("the space of shipped audit records stays in use: %s",
		    strerror(errno));
	close(fd);
}
