/*
 * sse -- event streams in (from upstreams) and out (to clients).
 *
 * Workers. Reading follows the HTML standard: CR, LF and CRLF end a line, a
 * byte order mark at the start is dropped, unknown fields are ignored. Lines
 * that lie complete in the input are used there and not copied. Writing
 * knows no other field values than its own and one line of data.
 */
#include "net/sse.h"

#include "base/num.h"
#include "base/swar.h"

#define NAME_ROOM	32	/* a field name before the data of a line */
#define SMALL_MAX	4096	/* type and id */
#define KEEP		8192	/* memory held between events */

void
sse_parser_init(struct sse_parser *s, size_t event_max)
{
	memset(s, 0, sizeof(*s));
	buf_init(&s->line, event_max + NAME_ROOM);
	buf_init(&s->data, event_max);
	buf_init(&s->type, SMALL_MAX);
	buf_init(&s->id, SMALL_MAX);
	s->retry_ms = -1;
}

void
sse_parser_free(struct sse_parser *s)
{
	buf_free(&s->line);
	buf_free(&s->data);
	buf_free(&s->type);
	buf_free(&s->id);
}

/* What the last event left is needed until the next call, so it goes now. */
static void
begin_event(struct sse_parser *s)
{
	buf_reset(&s->data, KEEP);
	buf_reset(&s->type, KEEP);
	buf_reset(&s->id, KEEP);
	s->has_data = s->has_id = s->is_open = false;
	s->retry_ms = -1;
}

static size_t
line_length(struct span in)
{
	size_t i = 0;
	uint64_t x, stop;

	while (in.n - i >= 8) {
		x = swar_load(in.p + i);
		stop = swar_equal(x, '\n') | swar_equal(x, '\r');
		if (stop != 0) {
			i += swar_skip(stop);
			break;
		}
		i += 8;
	}
	while (i < in.n && in.p[i] != '\n' && in.p[i] != '\r')
		i++;
	return i;
}

static int
add_data(struct sse_parser *s, struct span value)
{
	if (s->has_data && !s->is_open && buf_add_char(&s->data, '\n') < 0)
		return -1;
	s->has_data = true;
	s->is_open = false;
	return buf_add_span(&s->data, value);
}

static int
field(struct sse_parser *s, struct span name, struct span value)
{
	uint64_t ms;

	if (span_is(name, "data"))
		return add_data(s, value);
	if (span_is(name, "event")) {
		buf_reset(&s->type, KEEP);
		return buf_add_span(&s->type, value);
	}
	if (span_is(name, "id")) {
		if (value.n > 0 && memchr(value.p, '\0', value.n) != NULL)
			return 0;
		buf_reset(&s->id, KEEP);
		s->has_id = true;
		return buf_add_span(&s->id, value);
	}
	if (span_is(name, "retry") && num_u64(value, 0, INT32_MAX, &ms) == 0)
		s->retry_ms = (long)ms;
	return 0;
}

static int
line(struct sse_parser *s, struct span text)
{
	const char *colon;
	struct span value;

	if (!s->bom_done) {
		s->bom_done = true;
		if (span_starts(text, "\xef\xbb\xbf"))
			text = span_skip(text, 3);
	}
	if (text.n == 0 || text.p[0] == ':')
		return 0;
	colon = memchr(text.p, ':', text.n);
	if (colon == NULL)
		return field(s, text, span_make(text.p + text.n, 0));
	value = span_skip(text, (size_t)(colon - text.p) + 1);
	if (value.n > 0 && value.p[0] == ' ')
		value = span_skip(value, 1);
	return field(s, span_make(text.p, (size_t)(colon - text.p)), value);
}

static void
finish_event(const struct sse_parser *s, struct sse_event *ev)
{
	ev->type = buf_span(&s->type);
	ev->data = buf_span(&s->data);
	ev->id = s->has_id ? span_make(s->id.n > 0 ? s->id.p : "", s->id.n) :
	    span_make(NULL, 0);
	ev->retry_ms = s->retry_ms;
	ev->has_data = s->has_data;
}

static int
too_large(const struct sse_parser *s, struct err *e)
{
	return err_set(e, ERR_UPSTREAM, "event larger than %zu bytes",
	    s->data.max);
}

/*
 * Takes one line with its end (or all of in, if it has no end). Returns the
 * bytes used, or -1; *ended and *empty say what was there.
 */
static long
take_line(struct sse_parser *s, struct span in, bool *ended, bool *empty)
{
	size_t n = line_length(in);
	struct span text = span_make(in.p, n);

	*ended = n < in.n;
	if (!*ended || s->line.n > 0) {
		if (buf_add_span(&s->line, text) < 0)
			return -1;
		text = buf_span(&s->line);
	}
	if (!*ended)
		return (long)n;
	if (text.n > s->line.max)
		return -1;
	s->skip_lf = in.p[n] == '\r';
	*empty = text.n == 0;
	if (line(s, text) < 0)
		return -1;
	buf_reset(&s->line, KEEP);
	return (long)n + 1;
}

int
sse_parse(struct sse_parser *s, struct span in, size_t *taken,
    struct sse_event *ev, struct err *e)
{
	bool ended, empty = false;
	long n;

	*taken = 0;
	if (s->event_done) {
		s->event_done = false;
		begin_event(s);
	}
	while (*taken < in.n) {
		if (s->skip_lf) {
			s->skip_lf = false;
			if (in.p[*taken] == '\n') {
				++*taken;
				continue;
			}
		}
		n = take_line(s, span_skip(in, *taken), &ended, &empty);
		if (n < 0)
			return too_large(s, e);
		*taken += (size_t)n;
		if (!ended || !empty)
			continue;
		if (s->has_data || s->has_id || s->retry_ms >= 0) {
			finish_event(s, ev);
			s->event_done = true;
			return 1;
		}
		begin_event(s);
	}
	return 0;
}

size_t
sse_parser_pending(const struct sse_parser *s)
{
	return s->event_done ? 0 : s->line.n + s->data.n;
}

/*
 * What stands in the open line moves to the data; the name of the field stays
 * and the line goes on behind it, with the one space that is no part of it.
 */
struct span
sse_parser_data(struct sse_parser *s)
{
	struct span text = buf_span(&s->line);

	if (s->event_done)
		return span_make(NULL, 0);
	if (text.n > 5 && span_starts(text, "data:")) {
		s->bom_done = true;
		text = span_skip(text, text.p[5] == ' ' ? 6 : 5);
		if (add_data(s, text) < 0)
			return span_make(NULL, 0);
		s->is_open = true;
		buf_reset(&s->line, KEEP);
		buf_add_str(&s->line, "data: ");
	}
	return buf_span(&s->data);
}

void
sse_parser_forget(struct sse_parser *s)
{
	buf_reset(&s->data, KEEP);
}

int
sse_write(struct buf *b, struct span id, struct span data)
{
	size_t i, start;

	for (i = 0; i < id.n; i++)
		if (id.p[i] == '\r' || id.p[i] == '\n' || id.p[i] == '\0')
			return -1;
	/* All or nothing: a cut event would run into the next. */
	if (b->overflow || buf_reserve(b, id.n + data.n + 32) < 0) {
		b->overflow = true;
		return -1;
	}
	buf_add_str(b, "event: message\n");
	if (id.n > 0) {
		buf_add_str(b, "id: ");
		buf_add_span(b, id);
		buf_add_char(b, '\n');
	}
	buf_add_str(b, "data: ");
	start = b->n;
	buf_add_span(b, data);
	for (i = start; i < b->n; i++)
		if (b->p[i] == '\r' || b->p[i] == '\n')
			b->p[i] = ' ';
	return buf_add_str(b, "\n\n");
}
