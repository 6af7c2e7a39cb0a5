/*
 * http_field -- questions about parsed heads and their values.
 *
 * Keeper and workers; the other half of http_head.h. Pure. Lists and media
 * types are read as RFC 9110 section 5.6 writes them: commas and semicolons
 * inside quotes do not separate.
 */
#include "net/http_head.h"

struct span
http_header_find(const struct http_head *h, const char *name)
{
	size_t n = strlen(name);
	int i;

	for (i = 0; i < h->header_count; i++)
		if (h->headers[i].name.n == n &&
		    strncasecmp(h->headers[i].name.p, name, n) == 0)
			return h->headers[i].value;
	return span_make(NULL, 0);
}

const char *
http_reason(int status)
{
	static const struct {
		int		 status;
		const char	*reason;
	} reasons[] = {
		{ 100, "Continue" }, { 101, "Switching Protocols" },
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" },
		{ 204, "No Content" }, { 206, "Partial Content" },
		{ 301, "Moved Permanently" }, { 302, "Found" },
		{ 303, "See Other" }, { 304, "Not Modified" },
		{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 403, "Forbidden" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
		{ 408, "Request Timeout" }, { 409, "Conflict" },
		{ 410, "Gone" }, { 411, "Length Required" },
		{ 412, "Precondition Failed" }, { 413, "Content Too Large" },
		{ 414, "URI Too Long" }, { 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" }, { 426, "Upgrade Required" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 499, "Client Closed Request" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

bool
http_is_token(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') &&
		    (c < 'A' || c > 'Z') &&
		    (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return s.n > 0;
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_skip(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Cuts the piece before the next separator off *rest. False at the end. */
static bool
next_piece(struct span *rest, char separator, struct span *piece)
{
	bool quoted = false;
	size_t i;

	if (rest->p == NULL)
		return false;
	for (i = 0; i < rest->n; i++) {
		if (rest->p[i] == '"')
			quoted = !quoted;
		else if (quoted && rest->p[i] == '\\' && i + 1 < rest->n)
			i++;
		else if (!quoted && rest->p[i] == separator)
			break;
	}
	*piece = trim(span_make(rest->p, i));
	*rest = i < rest->n ? span_skip(*rest, i + 1) : span_make(NULL, 0);
	return true;
}

bool
http_list_has(struct span list, const char *token)
{
	struct span element, name;

	while (next_piece(&list, ',', &element)) {
		if (next_piece(&element, ';', &name) &&
		    span_is_nocase(name, token))
			return true;
	}
	return false;
}

/* Is there a parameter q that is zero (or no qvalue at all)? */
static bool
q_is_zero(struct span parameters)
{
	struct span p;
	size_t i;

	while (next_piece(&parameters, ';', &p)) {
		if (p.n < 2 || (p.p[0] | 0x20) != 'q' || p.p[1] != '=')
			continue;
		p = span_skip(p, 2);
		for (i = 0; i < p.n; i++)
			if (p.p[i] >= '1' && p.p[i] <= '9')
				return false;
		return true;
	}
	return false;
}

/* 3: the type itself, 2: "type/" and a star, 1: two stars, 0: no match. */
static int
range_match(struct span range, const char *type)
{
	const char *slash = strchr(type, '/');
	size_t n = slash == NULL ? 0 : (size_t)(slash - type) + 1;

	if (span_is_nocase(range, type))
		return 3;
	if (n > 0 && range.n == n + 1 && range.p[n] == '*' &&
	    strncasecmp(range.p, type, n) == 0)
		return 2;
	return span_is(range, "*/*") ? 1 : 0;
}

bool
http_accepts(struct span accept, const char *type)
{
	struct span element, range;
	int best = 0, match;
	bool accepted = false;

	/* The most specific range decides (RFC 9110 section 12.5.1). */
	while (next_piece(&accept, ',', &element)) {
		if (!next_piece(&element, ';', &range))
			continue;
		match = range_match(range, type);
		if (match > best) {
			best = match;
			accepted = !q_is_zero(element);
		}
	}
	return accepted;
}

bool
http_media_is(struct span content_type, const char *type)
{
	struct span media;

	/* nearly all say just this, or something quite different */
	if (span_is_nocase(content_type, type))
		return true;
	content_type = trim(content_type);
	if (content_type.n == 0 || (content_type.p[0] | 0x20) != type[0])
		return false;
	return next_piece(&content_type, ';', &media) &&
	    span_is_nocase(media, type);
}
