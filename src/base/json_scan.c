/*
 * json_scan -- see json_scan.h. Pure. Inside strings it looks for quotes only
 * (memchr), which is where large results spend their bytes.
 */
#include "base/json_scan.h"

#include "base/json_read.h"

_Static_assert(JSON_DEPTH_MAX <= 64, "a bit for each level");

void
json_scan_init(struct json_scan *s, unsigned depth)
{
	memset(s, 0, sizeof(*s));
	s->depth = depth;
	s->braces = depth;
}

/* Inside a string: the bytes up to and with its end, or all there are. */
static size_t
skip_string(struct json_scan *s, struct span in)
{
	const char *quote, *p;
	size_t n, i = 0;

	while (i < in.n) {
		if (s->escaped) {
			s->escaped = false;
			i++;
			continue;
		}
		quote = memchr(in.p + i, '"', in.n - i);
		n = quote == NULL ? in.n : (size_t)(quote - in.p);
		for (p = in.p + n; p > in.p + i && p[-1] == '\\'; p--)
			;
		s->escaped = ((size_t)(in.p + n - p) & 1) != 0;
		i = n;
		if (quote == NULL || s->escaped)
			continue;
		s->in_string = false;
		return i + 1;
	}
	return i;
}

static void
open_level(struct json_scan *s, bool is_object)
{
	if (s->depth == JSON_DEPTH_MAX || (s->depth == 0 && !is_object)) {
		s->bad = true;
		return;
	}
	s->braces = s->braces << 1 | is_object;
	s->depth++;
}

static void
close_level(struct json_scan *s, bool is_object)
{
	if (s->depth == 0 || (s->braces & 1) != is_object) {
		s->bad = true;
		return;
	}
	s->braces >>= 1;
	s->done = --s->depth == 0;
}

size_t
json_scan(struct json_scan *s, struct span in)
{
	size_t i = 0;

	while (i < in.n && !s->done && !s->bad) {
		if (s->in_string) {
			i += skip_string(s, span_skip(in, i));
			continue;
		}
		switch (in.p[i++]) {
		case '"':
			s->in_string = true;
			s->bad = s->depth == 0;
			break;
		case '{':
		case '[':
			open_level(s, in.p[i - 1] == '{');
			break;
		case '}':
		case ']':
			close_level(s, in.p[i - 1] == '}');
			break;
		default:
			s->bad = s->depth == 0;
			break;
		}
	}
	return i;
}
