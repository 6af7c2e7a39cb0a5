/*
 * back -- what workers say of the connections they had: parked, closed, given
 * away as a stream, or new; and the events for streams.
 */
#include "keeper/keeper_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fdio.h"
#include "base/log.h"
#include "shm/client.h"

static void
parked(struct keeper *k, uint32_t i, const char *bytes, size_t n, int64_t now)
{
	struct connection *c = &k->c[i];

	/* what is said of the worker that had it is nothing of the next one's */
	c->use++;
	keeper_move(k, i, IDLE, now);
	if (n == 0) {
		keeper_arm(k, i, false);
		return;
	}
	c->cap = n < 2048 ? 2048 : n;
	c->in = xmalloc(c->cap);
	memcpy(c->in, bytes, n);
	c->n = n;
	keeper_look(k, i, now);
}

/* An event that was too long for the lane. */
static void
large_event(struct keeper *k, struct span ev, int fd, int64_t now)
{
	struct stat st;
	struct buf b;

	buf_init(&b, sizeof(struct lane_event) + LANE_EVENT_MAX);
	if (ev.n == sizeof(struct lane_event) && fstat(fd, &st) == 0 &&
	    st.st_size > 0 && st.st_size <= LANE_EVENT_MAX &&
	    buf_reserve(&b, ev.n + (size_t)st.st_size) == 0) {
		buf_add_span(&b, ev);
		if (pread(fd, b.p + b.n, (size_t)st.st_size, 0) == st.st_size) {
			b.n += (size_t)st.st_size;
			stream_event(k, buf_span(&b), now);
		}
	}
	buf_free(&b);
	close(fd);
}

/* true: it was about a stream that is here. */
static bool
of_stream(struct keeper *k, const struct lane_back *b, struct span bytes,
    int fd, int64_t now)
{
	uint32_t i;

	if (fd >= 0 && b->what == LANE_EVENT) {
		large_event(k, bytes, fd, now);
		return true;
	}
	if (fd >= 0)
		return false;
	if (b->what == LANE_PUSH || b->what == LANE_EVENT) {
		if (b->what == LANE_PUSH)
			stream_push(k, b->id, bytes, now);
		else
			stream_event(k, bytes, now);
		return true;
	}
	/* its worker died before it was given away; one that died at once
	 * afterwards is none of the stream's business */
	if (b->what == LANE_DEAD && keeper_find(k, b->id, STREAM) == NONE)
		shm_subs_remove_owner(k->shm, b->id);
	if (b->what != LANE_CLOSED)
		return false;
	stream_answered(k, b->id);
	if ((i = keeper_find(k, b->id, STREAM)) == NONE)
		return false;
	stream_end(k, i, now);
	return true;
}

static void
came_back(struct keeper *k, const struct lane_back *b, const char *bytes,
    size_t n, int fd, int64_t now)
{
	uint32_t i = keeper_find(k, b->id, AWAY);

	if (of_stream(k, b, span_make(bytes, n), fd, now))
		return;
	if (b->what == LANE_ADOPT && fd >= 0) {
		i = keeper_admit(k, fd, b->peer, now);
		if (i != NONE && n > 0)
			parked(k, i, bytes, n, now);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (i == NONE)
		return;
	if (b->what == LANE_PARK)
		parked(k, i, bytes, n, now);
	else if (b->what == LANE_STREAM)
		stream_open(k, i, span_make(bytes, n), now);
	else
		keeper_drop(k, i);
}

void
back_read(struct keeper *k, int64_t now)
{
	char message[sizeof(struct lane_back) + LANE_BYTES_MAX];
	struct lane_back b;
	int fd, round;

	for (round = 0; round < 256; round++) {
		ssize_t n = fdpass_recv(k->lanes->back[0], message,
		    sizeof(message), &fd, MSG_DONTWAIT);

		if (n < (ssize_t)sizeof(b))
			return;
		memcpy(&b, message, sizeof(b));
		if (b.bytes != (size_t)n - sizeof(b))
			die_bug(__FILE__, __LINE__, "length of a lane message");
		came_back(k, &b, message + sizeof(b), b.bytes, fd, now);
	}
}
