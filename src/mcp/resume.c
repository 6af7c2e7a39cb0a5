/*
 * resume -- GET with Last-Event-ID: the rest of a call's stream (spool.h).
 *
 * Blocks this worker until the call ends, like the call itself; polls the
 * file, because its writer must not care whether anybody reads.
 */
#include "mcp/mcp_int.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "mcp/spool.h"
#include "net/sse.h"

static bool
client_left(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static int
send_event(struct mcp_call *c, struct span id, struct span data)
{
	buf_reset(&c->mcp->event, 1u << 20);
	sse_write(&c->mcp->event, id, data);
	return http_reply_stream_write(c->http->reply, buf_span(&c->mcp->event));
}

static void
follow(struct mcp_call *c, struct spool *s, struct span first_id,
    uint32_t after)
{
	int64_t until = clock_mono_ms() + c->mcp->conf.input_timeout_ms;
	const char *dash = memrchr(first_id.p, '-', first_id.n);
	struct buf *data = &c->mcp->response;
	uint32_t seq;
	char id[SPOOL_ID_SIZE];
	int rc;

	while ((rc = spool_next(s, after, data, &seq)) != 0) {
		if (rc < 0) {
			if (clock_mono_ms() >= until ||
			    client_left(c->http->client_fd))
				return;
			fiber_sleep(20);
			continue;
		}
		snprintf(id, sizeof(id), "%.*s-%x",
		    (int)(dash - first_id.p), first_id.p, seq);
		if (send_event(c, span_str(id), buf_span(data)) < 0)
			return;
		after = seq;
	}
}

/* Answers completely (the stream has ended), or -1 with err before its head. */
int
mcp_resume(struct mcp_call *c, struct span last_id, struct err *e)
{
	struct spool s;
	uint32_t after;

	if (spool_open(&s, c->mcp->conf.run_dir, last_id, c->session.id, &after,
	    e) < 0)
		return -1;
	mcp_unpin(c);
	span_copy(c->object, sizeof(c->object), last_id);
	if (http_reply_stream_begin(c->http->reply, "text/event-stream") == 0) {
		slot_state(c->mcp->shm, SLOT_CALLING);
		follow(c, &s, last_id, after);
	}
	spool_close(&s);
	c->resumed = true;
	return 0;
}
