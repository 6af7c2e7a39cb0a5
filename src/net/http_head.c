/*
 * http_head -- the HTTP/1.x head parser.
 *
 * Keeper and workers. One pass over the bytes, no allocation, no I/O. Every
 * place where RFC 9112 lets a recipient be lenient (bare LF, folded lines,
 * space before the colon, repeated lengths) is refused, because the next
 * parser in the chain may be lenient in another way.
 */
#include "net/http_head.h"

#include "base/num.h"
#include "base/swar.h"

#define KNOWN_SLOTS	128	/* power of two, well above HTTP_H_COUNT */
#define KNOWN_NAME_MAX	32

static const struct span known_names[HTTP_H_COUNT] = {
#define HDR(id, name) [HTTP_H_##id] = { name, sizeof(name) - 1 },
#include "net/http_headers.def"
#undef HDR
};

/* These decide something; two of them could be read as either one. */
static const bool known_single[HTTP_H_COUNT] = {
	[HTTP_H_HOST] = true,
	[HTTP_H_CONTENT_LENGTH] = true,
	[HTTP_H_CONTENT_TYPE] = true,
	[HTTP_H_CONTENT_ENCODING] = true,
	[HTTP_H_TRANSFER_ENCODING] = true,
	[HTTP_H_AUTHORIZATION] = true,
	[HTTP_H_ORIGIN] = true,
	[HTTP_H_EXPECT] = true,
	[HTTP_H_X_API_KEY] = true,
	[HTTP_H_MCP_SESSION_ID] = true,
	[HTTP_H_MCP_VERSION] = true,
	[HTTP_H_MCP_METHOD] = true,
	[HTTP_H_MCP_NAME] = true,
	[HTTP_H_LAST_EVENT_ID] = true,
	[HTTP_H_LOCATION] = true,
};

/* Token characters (RFC 9110 section 5.6.2) to their lower case; else 0. */
static const char token_lower[256] = {
	['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&',
	['\''] = '\'', ['*'] = '*', ['+'] = '+', ['-'] = '-', ['.'] = '.',
	['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4',
	['5'] = '5', ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9',
#define LETTER(upper, lower) [upper] = lower, [lower] = lower
	LETTER('A', 'a'), LETTER('B', 'b'), LETTER('C', 'c'),
	LETTER('D', 'd'), LETTER('E', 'e'), LETTER('F', 'f'),
	LETTER('G', 'g'), LETTER('H', 'h'), LETTER('I', 'i'),
	LETTER('J', 'j'), LETTER('K', 'k'), LETTER('L', 'l'),
	LETTER('M', 'm'), LETTER('N', 'n'), LETTER('O', 'o'),
	LETTER('P', 'p'), LETTER('Q', 'q'), LETTER('R', 'r'),
	LETTER('S', 's'), LETTER('T', 't'), LETTER('U', 'u'),
	LETTER('V', 'v'), LETTER('W', 'w'), LETTER('X', 'x'),
	LETTER('Y', 'y'), LETTER('Z', 'z'),
#undef LETTER
};

/* Where the parser stands in the head. */
struct cursor {
	const char	*p;
	const char	*end;
	struct err	*e;
};

static int
bad(struct err *e, const char *what)
{
	return err_set(e, ERR_BADREQ, "%s", what);
}

/* Two to four names share a length, so length and two letters tell most. */
static unsigned
known_slot(const char *name, size_t n)
{
	return ((unsigned)n * 11 + (unsigned char)name[0] * 5 +
	    (unsigned char)name[n - 1]) % KNOWN_SLOTS;
}

/* Index + 1 into known_names; open addressing; filled by the first call. */
static const uint8_t *
known_table(void)
{
	static uint8_t slots[KNOWN_SLOTS];
	static bool ready;
	unsigned i, slot;

	if (ready)
		return slots;
	for (i = 0; i < HTTP_H_COUNT; i++) {
		slot = known_slot(known_names[i].p, known_names[i].n);
		while (slots[slot] != 0 && slots[slot] != i + 1)
			slot = (slot + 1) % KNOWN_SLOTS;
		slots[slot] = (uint8_t)(i + 1);
	}
	ready = true;
	return slots;
}

/* The index of a name in lower case, or HTTP_H_COUNT. */
static unsigned
known_find(const char *lower, size_t n)
{
	const uint8_t *slots = known_table();
	unsigned slot = known_slot(lower, n), i;

	for (; slots[slot] != 0; slot = (slot + 1) % KNOWN_SLOTS) {
		i = slots[slot] - 1u;
		if (known_names[i].n == n &&
		    memcmp(known_names[i].p, lower, n) == 0)
			return i;
	}
	return HTTP_H_COUNT;
}

/* Passes what may stand in a field value: no control bytes but HTAB. */
static const char *
skip_value(const char *p, const char *end)
{
	uint64_t x, stop;

	for (;;) {
		while (end - p >= 8) {
			x = swar_load(p);
			stop = swar_below(x, 0x20) | swar_equal(x, 0x7f);
			if (stop != 0) {
				p += swar_skip(stop);
				break;
			}
			p += 8;
		}
		while (p < end && (unsigned char)*p >= 0x20 && *p != 0x7f)
			p++;
		if (p == end || *p != '\t')
			return p;
		p++;
	}
}

static struct span
trim_ows(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return span_make(p, (size_t)(end - p));
}

static int
expect_crlf(struct cursor *c)
{
	if (c->end - c->p < 2 || c->p[0] != '\r' || c->p[1] != '\n')
		return bad(c->e, "a line does not end in CRLF");
	c->p += 2;
	return 0;
}

static bool
at_empty_line(const struct cursor *c)
{
	return c->end - c->p >= 2 && c->p[0] == '\r' && c->p[1] == '\n';
}

/* One field line: the name is looked up while its case is folded. */
static int
parse_field(struct http_head *h, struct cursor *c)
{
	char lower[KNOWN_NAME_MAX];
	const char *start = c->p, *p = start;
	struct http_header *f;
	unsigned known;
	size_t n;

	for (n = 0; p < c->end && token_lower[(unsigned char)*p] != 0; n++) {
		if (n < sizeof(lower))
			lower[n] = token_lower[(unsigned char)*p];
		p++;
	}
	if (p == c->end || *p != ':' || n == 0)
		return bad(c->e, "a header line has no proper name");
	if (h->header_count == HTTP_HEADERS_MAX)
		return err_set(c->e, ERR_HEADTOOBIG, "more than %d headers",
		    HTTP_HEADERS_MAX);
	f = &h->headers[h->header_count++];
	f->name = span_make(start, n);
	c->p = skip_value(p + 1, c->end);
	f->value = trim_ows(p + 1, c->p);
	if (expect_crlf(c) < 0)
		return bad(c->e, "a header value has a control character");
	known = n > sizeof(lower) ? HTTP_H_COUNT : known_find(lower, n);
	if (known == HTTP_H_COUNT)
		return 0;
	if (h->known_count[known] == 0)
		h->known[known] = f->value;
	else if (known_single[known])
		return err_set(c->e, ERR_BADREQ, "%s stands twice",
		    known_names[known].p);
	h->known_count[known]++;
	return 0;
}

/* Connection may stand several times; each line counts. */
static void
apply_connection(struct http_head *h)
{
	bool close = false, keep = false;
	int i, left = h->known_count[HTTP_H_CONNECTION];

	for (i = 0; left > 0 && i < h->header_count; i++) {
		if (!span_is_nocase(h->headers[i].name, "connection"))
			continue;
		left--;
		if (http_list_has(h->headers[i].value, "close"))
			close = true;
		if (http_list_has(h->headers[i].value, "keep-alive"))
			keep = true;
	}
	h->keep_alive = !close && (h->minor == 1 || keep);
}

/* How long the body is must be said once and in one way. */
static int
apply_framing(struct http_head *h, struct err *e)
{
	struct span te = h->known[HTTP_H_TRANSFER_ENCODING];
	struct span length = h->known[HTTP_H_CONTENT_LENGTH];

	if (te.p != NULL && length.p != NULL)
		return bad(e, "Content-Length and Transfer-Encoding together");
	if (te.p != NULL) {
		if (h->minor == 0)
			return bad(e, "Transfer-Encoding in HTTP/1.0");
		if (!span_is_nocase(te, "chunked"))
			return err_set(e, ERR_NOTIMPL,
			    "transfer coding other than chunked");
		h->chunked = true;
	}
	if (length.p != NULL) {
		if (num_u64(length, 0, INT64_MAX, &h->content_length) < 0)
			return bad(e, "Content-Length is not a number");
		h->has_length = true;
	}
	return 0;
}

static int
parse_fields(struct http_head *h, struct cursor *c)
{
	while (!at_empty_line(c))
		if (parse_field(h, c) < 0)
			return -1;
	c->p += 2;
	if (c->p != c->end)
		return bad(c->e, "bytes behind the end of the head");
	apply_connection(h);
	return apply_framing(h, c->e);
}

/* "HTTP/1.0" or "HTTP/1.1", exactly. */
static int
parse_version(struct http_head *h, struct cursor *c)
{
	const char *p = c->p;

	if (c->end - p < 8 || memcmp(p, "HTTP/", 5) != 0 ||
	    p[5] < '0' || p[5] > '9' || p[6] != '.' ||
	    p[7] < '0' || p[7] > '9')
		return bad(c->e, "no HTTP version in the first line");
	if (p[5] != '1' || p[7] > '1')
		return err_set(c->e, ERR_HTTPVERSION, "HTTP/%c.%c", p[5],
		    p[7]);
	h->minor = p[7] - '0';
	c->p += 8;
	return 0;
}

static enum http_method
method_of(struct span text)
{
	static const struct {
		struct span		text;
		enum http_method	method;
	} methods[] = {
		{ { "POST", 4 }, HTTP_POST },
		{ { "GET", 3 }, HTTP_GET },
		{ { "DELETE", 6 }, HTTP_DELETE },
		{ { "OPTIONS", 7 }, HTTP_OPTIONS },
		{ { "HEAD", 4 }, HTTP_HEAD },
		{ { "PUT", 3 }, HTTP_PUT },
		{ { "PATCH", 5 }, HTTP_PATCH },
	};
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (span_eq(text, methods[i].text))
			return methods[i].method;
	return HTTP_METHOD_OTHER;
}

static int
parse_request_line(struct http_head *h, struct cursor *c)
{
	const char *start = c->p, *p = start;

	while (p < c->end && token_lower[(unsigned char)*p] != 0)
		p++;
	if (p == start || p == c->end || *p != ' ')
		return bad(c->e, "no method in the first line");
	h->method_text = span_make(start, (size_t)(p - start));
	h->method = method_of(h->method_text);
	start = ++p;
	while (p < c->end && (unsigned char)*p > 0x20 &&
	    (unsigned char)*p < 0x7f && *p != '#')
		p++;
	if (p == start || p == c->end || *p != ' ')
		return bad(c->e, "no proper target in the first line");
	h->target = span_make(start, (size_t)(p - start));
	c->p = p + 1;
	if (parse_version(h, c) < 0)
		return -1;
	return expect_crlf(c);
}

/* Splits origin-form at the '?'. */
static void
split_target(struct http_head *h, struct span t)
{
	const char *mark = memchr(t.p, '?', t.n);
	size_t n = mark == NULL ? t.n : (size_t)(mark - t.p);

	h->path = span_make(t.p, n);
	h->query = mark == NULL ? span_make(t.p + n, 0) : span_skip(t, n + 1);
}

/*
 * "http://authority/path": RFC 9112 section 3.2.2 wants it accepted. Only
 * with the authority that Host has, so that it does not matter which of the
 * two somebody looks at.
 */
static int
split_absolute(struct http_head *h, struct err *e)
{
	struct span rest, host = h->known[HTTP_H_HOST];
	size_t n = 0;

	if (h->target.n > 7 && strncasecmp(h->target.p, "http://", 7) == 0)
		rest = span_skip(h->target, 7);
	else if (h->target.n > 8 &&
	    strncasecmp(h->target.p, "https://", 8) == 0)
		rest = span_skip(h->target, 8);
	else
		return bad(e, "the target is not a path");
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	if (n == 0 || host.n != n || strncasecmp(host.p, rest.p, n) != 0)
		return bad(e, "Host differs from the target");
	rest = span_skip(rest, n);
	if (rest.n > 0 && rest.p[0] == '?')
		return bad(e, "the target has no path");
	split_target(h, rest.n == 0 ? SPAN_LIT("/") : rest);
	return 0;
}

static int
apply_target(struct http_head *h, struct err *e)
{
	if (h->target.p[0] == '/') {
		split_target(h, h->target);
		return 0;
	}
	if (!span_is(h->target, "*"))
		return split_absolute(h, e);
	if (h->method != HTTP_OPTIONS)
		return bad(e, "target * is for OPTIONS only");
	split_target(h, h->target);
	return 0;
}

/* Nothing that could be a list, a path or user information. */
static bool
host_is_proper(struct span host)
{
	size_t i;

	for (i = 0; i < host.n; i++) {
		char c = host.p[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') &&
		    (c < 'A' || c > 'Z') && strchr("-._:[]%", c) == NULL)
			return false;
	}
	return host.n > 0;
}

static int
apply_host(const struct http_head *h, struct err *e)
{
	struct span host = h->known[HTTP_H_HOST];

	if (host.p == NULL && h->minor == 1)
		return bad(e, "Host is missing");
	if (host.p != NULL && !host_is_proper(host))
		return bad(e, "Host is malformed");
	return 0;
}

static int
apply_expect(struct http_head *h, struct err *e)
{
	struct span expect = h->known[HTTP_H_EXPECT];

	if (expect.p == NULL)
		return 0;
	if (!span_is_nocase(expect, "100-continue"))
		return bad(e, "unknown expectation");
	h->expect_continue = h->minor == 1;
	return 0;
}

static void
begin(struct http_head *h, struct cursor *c, const char *p, size_t n,
    struct err *e)
{
	memset(h, 0, offsetof(struct http_head, headers));
	memset(h->known, 0, sizeof(h->known));
	memset(h->known_count, 0, sizeof(h->known_count));
	h->size = n;
	c->p = p;
	c->end = p + n;
	c->e = e;
}

int
http_request_parse(struct http_head *h, const char *p, size_t n,
    struct err *e)
{
	struct cursor c;

	begin(h, &c, p, n, e);
	if (n > HTTP_HEAD_MAX)
		return err_set(e, ERR_HEADTOOBIG, "head of %zu bytes", n);
	if (at_empty_line(&c))
		c.p += 2;
	if (parse_request_line(h, &c) < 0 || parse_fields(h, &c) < 0)
		return -1;
	if (apply_host(h, e) < 0 || apply_target(h, e) < 0)
		return -1;
	return apply_expect(h, e);
}

/* "HTTP/1.1 200 OK"; the reason, and the space before it, may be missing. */
static int
parse_status_line(struct http_head *h, struct cursor *c)
{
	uint64_t status;

	if (parse_version(h, c) < 0)
		return -1;
	if (c->end - c->p < 4 || c->p[0] != ' ' ||
	    num_u64(span_make(c->p + 1, 3), 100, 599, &status) < 0)
		return bad(c->e, "no status in the first line");
	h->status = (int)status;
	c->p += 4;
	if (c->p < c->end && *c->p == ' ')
		c->p = skip_value(c->p, c->end);
	return expect_crlf(c);
}

int
http_response_parse(struct http_head *h, const char *p, size_t n,
    struct err *e)
{
	struct cursor c;

	begin(h, &c, p, n, e);
	if (n > HTTP_HEAD_MAX)
		return err_set(e, ERR_HEADTOOBIG, "head of %zu bytes", n);
	if (parse_status_line(h, &c) < 0)
		return -1;
	return parse_fields(h, &c);
}

/*
 * An empty line is an LF two bytes behind another. Every LF must have its
 * CR; what else is wrong with the head is the parser's business.
 */
long
http_head_end(const char *p, size_t n, size_t *scanned)
{
	size_t limit = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX, at;
	const char *lf, *from = p + *scanned, *end = p + limit;

	while (from < end) {
		lf = memchr(from, '\n', (size_t)(end - from));
		if (memchr(from, '\0', (size_t)((lf == NULL ? end : lf) -
		    from)) != NULL)
			return -1;
		if (lf == NULL)
			break;
		at = (size_t)(lf - p);
		if (at == 0 || p[at - 1] != '\r')
			return -1;
		if (at == 3 && p[1] == '\n')
			return -1;		/* two empty lines */
		if (at >= 3 && p[at - 2] == '\n')
			return (long)at + 1;
		from = lf + 1;
	}
	if (limit == HTTP_HEAD_MAX)
		return -1;
	*scanned = limit;
	return 0;
}

size_t
http_memo_find(struct http_memo *m, const char *p, size_t n)
{
	bool same = m->at != NULL && m->at == p && n >= m->n &&
	    memcmp(p, m->bytes, m->n) == 0;

	m->at = NULL;
	return same ? m->n : 0;
}

void
http_memo_note(struct http_memo *m, const char *p, size_t n)
{
	if (n > sizeof(m->bytes))
		return;
	m->at = p;
	m->n = n;
	memcpy(m->bytes, p, n);
}
