/*
 * spool -- see spool.h. Records are {seq, size, data}; seq 0 ends the stream.
 * A record is one write, so a reader sees it whole or not yet; what a killed
 * writer left incomplete reads as "nothing more yet" and times out.
 */
#include "mcp/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#define EVENT_MAX	(64u << 20)

struct head {
	uint64_t	session;
};

struct record {
	uint32_t	seq, size;
};

static void
dir_of(char *out, size_t size, const char *run_dir)
{
	snprintf(out, size, "%s/streams", run_dir);
}

static void
path_of(char *out, size_t size, const char *run_dir, uint32_t slot,
    uint64_t call)
{
	snprintf(out, size, "%s/streams/%x-%llx", run_dir, slot,
	    (unsigned long long)call);
}

int
spool_begin(struct spool *s, const char *run_dir, uint64_t session,
    uint32_t slot, uint64_t call)
{
	struct head h = { session };
	char path[400];

	s->session = session;
	s->slot = slot;
	s->call = call;
	s->seq = 0;
	dir_of(path, sizeof(path), run_dir);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -1;
	path_of(path, sizeof(path), run_dir, slot, call);
	s->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -1;
	if (write(s->fd, &h, sizeof(h)) != (ssize_t)sizeof(h)) {
		spool_close(s);
		unlink(path);
		return -1;
	}
	return 0;
}

static void
add(struct spool *s, uint32_t seq, struct span data)
{
	struct record r = { seq, (uint32_t)data.n };
	struct iovec iov[2] = { { &r, sizeof(r) },
	    { (void *)(uintptr_t)data.p, data.n } };

	/* a full disk costs the redelivery, not the call */
	if (s->fd >= 0 &&
	    writev(s->fd, iov, 2) != (ssize_t)(sizeof(r) + data.n))
		spool_close(s);
}

void
spool_event(struct spool *s, struct span data, char id[SPOOL_ID_SIZE])
{
	s->seq++;
	snprintf(id, SPOOL_ID_SIZE, "%x-%llx-%x", s->slot,
	    (unsigned long long)s->call, s->seq);
	add(s, s->seq, data);
}

void
spool_end(struct spool *s)
{
	add(s, 0, span_make(NULL, 0));
	spool_close(s);
}

void
spool_close(struct spool *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static bool
parse_id(struct span id, uint64_t part[3])
{
	size_t i, from = 0;
	int n = 0;

	for (i = 0; i <= id.n; i++) {
		if (i < id.n && id.p[i] != '-')
			continue;
		if (n == 3 || num_hex(span_make(id.p + from, i - from),
		    UINT64_MAX, &part[n]) < 0)
			return false;
		n++;
		from = i + 1;
	}
	return n == 3 && part[0] <= UINT32_MAX && part[2] <= UINT32_MAX;
}

int
spool_open(struct spool *s, const char *run_dir, struct span id,
    uint64_t session, uint32_t *after_seq, struct err *e)
{
	uint64_t part[3];
	char path[400];
	struct head h;

	s->fd = -1;
	if (!parse_id(id, part))
		return err_set(e, ERR_NOTFOUND,
		    "Last-Event-ID is not an id of this server");
	path_of(path, sizeof(path), run_dir, (uint32_t)part[0], part[1]);
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || read(s->fd, &h, sizeof(h)) != (ssize_t)sizeof(h) ||
	    h.session != session) {
		spool_close(s);
		return err_set(e, ERR_NOTFOUND, "the stream of Last-Event-ID is "
		    "over and forgotten, or another session's");
	}
	*after_seq = (uint32_t)part[2];
	return 0;
}

int
spool_next(struct spool *s, uint32_t after_seq, struct buf *data, uint32_t *seq)
{
	struct record r;

	for (;;) {
		off_t at = lseek(s->fd, 0, SEEK_CUR);

		if (read(s->fd, &r, sizeof(r)) != (ssize_t)sizeof(r) ||
		    r.size > EVENT_MAX)
			goto not_yet;
		if (r.seq == 0)
			return 0;
		buf_reset(data, 1u << 20);
		if (buf_reserve(data, r.size) < 0 ||
		    read(s->fd, data->p, r.size) != (ssize_t)r.size)
			goto not_yet;
		data->n = r.size;
		*seq = r.seq;
		if (r.seq > after_seq)
			return 1;
		continue;
not_yet:
		(void)!lseek(s->fd, at, SEEK_SET);
		return -1;
	}
}

void
spool_sweep(const char *run_dir)
{
	time_t old = time(NULL) - SPOOL_KEEP_S;
	struct dirent *d;
	char path[400];
	struct stat st;
	DIR *dir;

	dir_of(path, sizeof(path), run_dir);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.' &&
		    fstatat(dirfd(dir), d->d_name, &st, 0) == 0 &&
		    st.st_mtime < old)
			unlinkat(dirfd(dir), d->d_name, 0);
	closedir(dir);
}
