/*
 * output -- what a stdio server writes, taken apart into lines.
 *
 * stdiod only. A line that is large and looks like the answer to a call goes
 * on in a file (base/bulk.h): whose it is may stand at its end, and a client
 * that reads slowly must not keep the server from the others. Anything else is
 * held in memory, within limits.result.
 */
#include "stdio/stdiod_int.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"

#define READ_SIZE	65536u

void
output_fail_pending(struct stdiod *sd, struct process *p, const struct err *e)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&p->pending)) != NULL)
		client_error(sd, c, e, p->outq.written <= c->position ?
		    STDIO_FLAG_NOT_EXECUTED : 0);
}

static void
line_too_long(struct stdiod *sd, struct process *p, int64_t max)
{
	struct err e;

	err_set(&e, ERR_UPSTREAM, "server \"%s\" wrote a line longer than "
	    "%lld bytes", p->name, (long long)max);
	source_close(sd, &p->out);
	buf_free(&p->line);
	bulk_drop(&p->bulk);
	process_fail_start(sd, p, &e);
	process_kill(sd, p);
	output_fail_pending(sd, p, &e);
}

static struct spill_quota *
room_of(struct stdiod *sd, int64_t server_id)
{
	struct room *r;

	SLIST_FOREACH(r, &sd->rooms, link)
		if (r->server_id == server_id)
			break;
	if (r == NULL) {
		r = xcalloc(1, sizeof(*r));
		r->server_id = server_id;
		SLIST_INSERT_HEAD(&sd->rooms, r, link);
	}
	r->quota.up = &sd->spool;
	r->quota.dir = sd->spool.dir;
	r->quota.name = "limits.spool";
	r->quota.max = (uint64_t)sd->settings.large_max;
	return &r->quota;
}

/* A call that comes later cannot be answered by a line that has begun. */
static bool
is_wanted(const struct stdiod *sd, const struct process *p)
{
	const struct bulk *b = &p->bulk;

	return p->n_pending > 0 &&
	    (!b->head.has_id || mux_find(&sd->mux, b->head.id) != NULL);
}

/* The next bytes of a line that is in a file; is_end: and its last ones. */
static void
add_to_bulk(struct stdiod *sd, struct process *p, struct span in, bool is_end)
{
	if (!is_wanted(sd, p))
		bulk_forget(&p->bulk);
	if (!bulk_add(&p->bulk, in)) {
		line_too_long(sd, p, sd->settings.streamed_max);
		return;
	}
	if (!is_end)
		return;
	bulk_end(&p->bulk);
	route_bulk(sd, p, &p->bulk);
	bulk_drop(&p->bulk);
}

/* A line that is not complete: into a file, or is it too long? */
static void
unfinished(struct stdiod *sd, struct process *p)
{
	struct span in = buf_span(&p->line);

	if (p->bulk.is_on) {
		p->line.n = 0;
		add_to_bulk(sd, p, in, false);
	} else if (in.n > LARGE_AT && !p->is_collected) {
		p->is_collected = !bulk_begin(&p->bulk,
		    room_of(sd, p->server_id),
		    (uint64_t)sd->settings.streamed_max, in);
		if (p->bulk.is_on)
			buf_reset(&p->line, LARGE_AT);
	} else if (in.n > (size_t)sd->settings.result_max)
		line_too_long(sd, p, sd->settings.result_max);
	p->scanned = p->line.n;
	if (p->line.n == 0)
		buf_reset(&p->line, READ_SIZE);
}

/* Routes the complete lines. */
static void
take_lines(struct stdiod *sd, struct process *p)
{
	size_t max = (size_t)sd->settings.result_max, start = 0;
	struct span line;
	char *end;

	while (p->out.fd >= 0 && (end = memchr(p->line.p + p->scanned, '\n',
	    p->line.n - p->scanned)) != NULL) {
		p->scanned = (size_t)(end - p->line.p) + 1;
		line = span_make(p->line.p + start, p->scanned - start - 1);
		start = p->scanned;
		p->is_collected = false;
		if (p->bulk.is_on)
			add_to_bulk(sd, p, line, true);
		else if (line.n > max)
			line_too_long(sd, p, sd->settings.result_max);
		else
			route_line(sd, p, line);
	}
	if (p->out.fd < 0)
		return;
	buf_consume(&p->line, start);
	unfinished(sd, p);
}

void
output_read(struct stdiod *sd, struct process *p, int reads)
{
	ssize_t n;

	while (reads-- > 0 && p->out.fd >= 0) {
		p->line.max = (size_t)sd->settings.result_max + READ_SIZE + 1;
		if (buf_reserve(&p->line, READ_SIZE) < 0) {
			line_too_long(sd, p, sd->settings.result_max);
			return;
		}
		n = read(p->out.fd, p->line.p + p->line.n, READ_SIZE);
		if (n > 0) {
			p->line.n += (size_t)n;
			take_lines(sd, p);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		source_close(sd, &p->out);
		p->has_closed_output = true;
		process_close(sd, p, false);
	}
}
