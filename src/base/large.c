/*
 * large -- see large.h. Pure.
 */
#include "base/large.h"

#include "base/num.h"

#define REST_MAX	(64u << 10)	/* behind the result */

static size_t
skip_space(struct span s, size_t i)
{
	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t' ||
	    s.p[i] == '\r' || s.p[i] == '\n'))
		i++;
	return i;
}

/* "name" at i, without escapes. Returns what follows it, or 0. */
static size_t
read_string(struct span s, size_t i, struct span *out)
{
	const char *end;

	if (i >= s.n || s.p[i] != '"')
		return 0;
	end = memchr(s.p + i + 1, '"', s.n - i - 1);
	if (end == NULL)
		return 0;
	*out = span_make(s.p + i + 1, (size_t)(end - s.p) - i - 1);
	if (memchr(out->p, '\\', out->n) != NULL)
		return 0;
	return (size_t)(end - s.p) + 1;
}

static size_t
read_number(struct span s, size_t i, uint64_t *out)
{
	size_t from = i;

	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	if (i == s.n || num_u64(span_make(s.p + from, i - from), 0, UINT64_MAX,
	    out) < 0)
		return 0;
	return i;
}

/* The value of a member before the result; where it ends, or 0. */
static size_t
read_member(struct span s, size_t i, struct span name, struct large_head *h)
{
	struct span version;

	if (span_is(name, "jsonrpc") && !h->has_version) {
		i = read_string(s, i, &version);
		h->has_version = i > 0 && span_is(version, "2.0");
		return h->has_version ? i : 0;
	}
	if (!span_is(name, "id") || h->has_id)
		return 0;
	i = read_number(s, i, &h->id);
	h->has_id = i > 0;
	return i;
}

bool
large_look(struct span s, struct large_head *h)
{
	struct span name;
	size_t i = skip_space(s, 0);

	memset(h, 0, sizeof(*h));
	if (i == s.n || s.p[i] != '{')
		return false;
	for (;;) {
		if ((i = read_string(s, skip_space(s, i + 1), &name)) == 0)
			return false;
		i = skip_space(s, i);
		if (i == s.n || s.p[i] != ':')
			return false;
		i = skip_space(s, i + 1);
		h->at = i;
		if (span_is(name, "result"))
			return i < s.n && s.p[i] == '{';
		if ((i = read_member(s, i, name, h)) == 0)
			return false;
		i = skip_space(s, i);
		if (i == s.n || s.p[i] != ',')
			return false;
	}
}

bool
large_begin(struct large *l, struct span first, size_t at)
{
	memset(l, 0, sizeof(*l));
	json_scan_init(&l->scan, 0);
	json_scan(&l->scan, span_skip(first, at));
	return !l->scan.done && !l->scan.bad;
}

int
large_keep(struct large *l, struct buf *b, struct span first, size_t at,
    struct err *e)
{
	l->envelope = b;
	if (first.p == b->p)
		b->n = at;
	else {
		b->n = 0;
		buf_add(b, first.p, at);
	}
	buf_add_str(b, "{}");
	return b->overflow ? err_set(e, ERR_TOOBIG, "the answer is too large") :
	    0;
}

static int
malformed(struct err *e)
{
	return err_set(e, ERR_UPSTREAM, "bad answer: not a JSON object");
}

/* Behind the result: small, so it is kept. */
static int
take_rest(struct large *l, struct span *in, struct err *e)
{
	size_t n = json_scan(&l->scan, *in);

	if (l->scan.bad)
		return malformed(e);
	if ((l->rest += n) > REST_MAX || buf_add(l->envelope, in->p, n) < 0)
		return err_set(e, ERR_UPSTREAM, "bad answer: too much behind "
		    "the result");
	*in = span_skip(*in, n);
	if (l->scan.done)
		l->part = LARGE_DONE;
	return 0;
}

int
large_take(struct large *l, struct span in, struct span *result,
    struct err *e)
{
	*result = span_make(in.p, 0);
	if (l->part == LARGE_RESULT) {
		result->n = json_scan(&l->scan, in);
		if (l->scan.bad)
			return malformed(e);
		if (!l->scan.done)
			return 0;
		in = span_skip(in, result->n);
		l->part = LARGE_REST;
		json_scan_init(&l->scan, 1);
	}
	if (l->part == LARGE_REST && take_rest(l, &in, e) < 0)
		return -1;
	return skip_space(in, 0) < in.n ? malformed(e) : 0;
}
