/*
 * spill -- see spill.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SEND_SIZE	(1u << 20)
#define LEAVE		(64u << 20)	/* free on the disk, for others */
#define LOOK_EVERY	(4u << 20)	/* bytes written */

/* Not every file system has files without names. */
static int
named_for_a_moment(const char *dir)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/.large.XXXXXX", dir);
	if ((fd = mkostemp(path, O_CLOEXEC)) >= 0)
		unlink(path);
	return fd;
}

int
spill_open(struct spill *s, struct spill_quota *q, struct err *e)
{
	memset(s, 0, sizeof(*s));
	s->quota = q;
	s->fd = open(q->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd < 0)
		s->fd = named_for_a_moment(q->dir);
	if (s->fd >= 0)
		return 0;
	return err_set(e, ERR_INTERNAL, "no file for a large answer (server.state_dir): %s",
	    strerror(errno));
}

/* The audit journal may be on the same disk. 0 or -1 with errno. */
static int
leave_some(struct spill *s, size_t more)
{
	struct statvfs v;

	if (s->size + more < s->looked)
		return 0;
	s->looked = s->size + more + LOOK_EVERY;
	if (fstatvfs(s->fd, &v) < 0 || (uint64_t)v.f_bavail * v.f_frsize >=
	    (uint64_t)LEAVE + LOOK_EVERY)
		return 0;
	errno = ENOSPC;
	return -1;
}

static int
write_all(struct spill *s, struct span data)
{
	ssize_t n;

	if (leave_some(s, data.n) < 0)
		return -1;
	while (data.n > 0) {
		n = pwrite(s->fd, data.p, data.n, (off_t)s->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s->size += (uint64_t)n;
		data = span_skip(data, (size_t)n);
	}
	return 0;
}

int
spill_add(struct spill *s, struct span data, struct err *e)
{
	struct spill_quota *q;
	uint64_t before = s->size;

	for (q = s->quota; q != NULL; q = q->up)
		if (q->used > q->max || data.n > q->max - q->used)
			return err_set(e, ERR_UNAVAILABLE, "no room for a "
			    "large answer: %llu bytes of others wait on disk "
			    "(%s)", (unsigned long long)(q->used - s->size),
			    q->name);
	if (write_all(s, data) < 0)
		err_set(e, ERR_UNAVAILABLE, "no room for a large answer: %s",
		    strerror(errno));
	for (q = s->quota; q != NULL; q = q->up)
		q->used += s->size - before;
	return s->size == before + data.n ? 0 : -1;
}

int
spill_send(struct spill *s, int sock)
{
	off_t pos = (off_t)s->pos;
	ssize_t n;

	while (s->pos < s->size) {
		n = sendfile(sock, s->fd, &pos, SEND_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		s->pos = (uint64_t)pos;
	}
	return 1;
}

ssize_t
spill_read(struct spill *s, void *out, size_t size)
{
	ssize_t n;

	do
		n = pread(s->fd, out, size, (off_t)s->pos);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		s->pos += (uint64_t)n;
	return n;
}

void
spill_close(struct spill *s)
{
	struct spill_quota *q;

	if (s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	for (q = s->quota; q != NULL; q = q->up)
		q->used -= s->size;
}
