/*
 * url -- splitting URLs of upstreams, decoding paths and queries.
 *
 * Loader, workers, upstream client. Pure. One way to write a thing: what
 * another parser might read differently (user information, odd bytes, dots
 * in paths, a second decoding) is refused.
 */
#include "net/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/num.h"

static const struct {
	struct span	scheme;
	uint16_t	port;
	bool		tls;
} schemes[] = {
	{ { "http", 4 }, 80, false },
	{ { "https", 5 }, 443, true },
	{ { "ws", 2 }, 80, false },
	{ { "wss", 3 }, 443, true },
};

/* The byte that the escape at s.p stands for, or -1. */
static int
escaped_byte(struct span s)
{
	int high, low;

	if (s.n < 3)
		return -1;
	high = num_hex_digit(s.p[1]);
	low = num_hex_digit(s.p[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool
bytes_are_plain(struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= 0x20 || c >= 0x7f || strchr("\"#<>\\^`{|}", c) != NULL)
			return false;
	}
	return true;
}

static bool
host_name_is_valid(struct span host)
{
	size_t i;

	for (i = 0; i < host.n; i++) {
		char c = host.p[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') &&
		    (c < 'A' || c > 'Z') && strchr("-._", c) == NULL)
			return false;
	}
	return host.n > 0 && host.n <= 253;
}

static bool
ipv6_is_valid(struct span host)
{
	struct in6_addr addr;
	char text[INET6_ADDRSTRLEN];

	return span_copy(text, sizeof(text), host) &&
	    inet_pton(AF_INET6, text, &addr) == 1;
}

/* host[:port] or [ipv6][:port]; the port of the scheme is there already. */
static int
parse_authority(struct url *u, struct span a, struct err *e)
{
	const char *end;
	uint64_t port;

	u->ipv6 = a.n > 0 && a.p[0] == '[';
	if (u->ipv6) {
		if ((end = memchr(a.p, ']', a.n)) == NULL)
			return err_set(e, ERR_INVALID, "URL: no closing ]");
		u->host = span_make(a.p + 1, (size_t)(end - a.p) - 1);
		a = span_skip(a, (size_t)(end - a.p) + 1);
	} else {
		end = a.n == 0 ? NULL : memchr(a.p, ':', a.n);
		u->host = end == NULL ? a :
		    span_make(a.p, (size_t)(end - a.p));
		a = span_skip(a, u->host.n);
	}
	if (u->ipv6 ? !ipv6_is_valid(u->host) : !host_name_is_valid(u->host))
		return err_set(e, ERR_INVALID, "URL: bad host");
	if (a.n == 0)
		return 0;
	if (a.p[0] != ':' ||
	    num_u64(span_skip(a, 1), 1, UINT16_MAX, &port) < 0)
		return err_set(e, ERR_INVALID, "URL: bad port");
	u->port = (uint16_t)port;
	return 0;
}

/* unix:/socket/path or unix:/socket/path:/request/path */
static int
parse_unix(struct url *u, struct span rest, struct err *e)
{
	const char *colon;

	if (rest.n == 0 || rest.p[0] != '/')
		return err_set(e, ERR_INVALID,
		    "URL: unix: needs an absolute path");
	u->scheme = SPAN_LIT("unix");
	u->host = rest;
	u->path = SPAN_LIT("/");
	if ((colon = memchr(rest.p, ':', rest.n)) == NULL)
		return 0;
	u->host.n = (size_t)(colon - rest.p);
	u->path = span_skip(rest, u->host.n + 1);
	if (u->path.n == 0 || u->path.p[0] != '/')
		return err_set(e, ERR_INVALID,
		    "URL: the path behind the socket must begin with /");
	return 0;
}

/* Sets scheme, port, tls. Returns the length of "scheme://", or 0. */
static size_t
parse_scheme(struct url *u, struct span text)
{
	size_t i, n;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		n = schemes[i].scheme.n;
		if (text.n < n + 3 || memcmp(text.p + n, "://", 3) != 0 ||
		    strncasecmp(text.p, schemes[i].scheme.p, n) != 0)
			continue;
		u->scheme = schemes[i].scheme;
		u->port = schemes[i].port;
		u->tls = schemes[i].tls;
		return n + 3;
	}
	return 0;
}

int
url_parse(struct url *u, struct span text, struct err *e)
{
	struct span rest;
	size_t n;

	memset(u, 0, sizeof(*u));
	if (!bytes_are_plain(text))
		return err_set(e, ERR_INVALID,
		    "URL: a byte that cannot stand there");
	if (span_starts(text, "unix:"))
		return parse_unix(u, span_skip(text, 5), e);
	if ((n = parse_scheme(u, text)) == 0)
		return err_set(e, ERR_INVALID, "URL: unknown scheme");
	rest = span_skip(text, n);
	for (n = 0; n < rest.n && rest.p[n] != '/' && rest.p[n] != '?';)
		n++;
	if (memchr(rest.p, '@', n) != NULL)
		return err_set(e, ERR_INVALID,
		    "URL: user information does not belong here");
	if (parse_authority(u, span_make(rest.p, n), e) < 0)
		return -1;
	u->path = span_skip(rest, n);
	if (u->path.n == 0)
		u->path = SPAN_LIT("/");
	if (u->path.p[0] != '/')
		return err_set(e, ERR_INVALID, "URL: a query needs a path");
	return 0;
}

long
url_decode(struct span s, char *out, size_t size, bool plus_is_space)
{
	size_t used = 0;
	int c;

	while (s.n > 0) {
		c = (unsigned char)s.p[0];
		if (c == '%')
			c = escaped_byte(s);
		else if (c == '+' && plus_is_space)
			c = ' ';
		if (c <= 0 || used + 1 >= size)
			return -1;
		out[used++] = (char)c;
		s = span_skip(s, s.p[0] == '%' ? 3 : 1);
	}
	if (used >= size)
		return -1;
	out[used] = '\0';
	return (long)used;
}

int
url_query_get(struct span query, const char *name, char *out, size_t size)
{
	char key[64];
	struct span pair, value;
	const char *equals;
	int found = 0;
	size_t n;

	while (query.n > 0) {
		const char *amp = memchr(query.p, '&', query.n);

		n = amp == NULL ? query.n : (size_t)(amp - query.p);
		pair = span_make(query.p, n);
		query = span_skip(query, n + 1);
		equals = pair.n == 0 ? NULL : memchr(pair.p, '=', pair.n);
		n = equals == NULL ? pair.n : (size_t)(equals - pair.p);
		value = span_skip(pair, n + 1);
		/* A name that does not decode or fit is not the one. */
		if (url_decode(span_make(pair.p, n), key, sizeof(key),
		    true) < 0 || strcmp(key, name) != 0)
			continue;
		if (found || url_decode(value, out, size, true) < 0)
			return -1;
		found = 1;
	}
	return found;
}

/* Is the segment "." or "..", be it written with %2e? */
static bool
is_dots(struct span segment)
{
	size_t dots = 0;

	while (segment.n > 0) {
		if (segment.p[0] == '.')
			segment = span_skip(segment, 1);
		else if (segment.p[0] == '%' && escaped_byte(segment) == '.')
			segment = span_skip(segment, 3);
		else
			return false;
		dots++;
	}
	return dots == 1 || dots == 2;
}

static bool
segment_is_plain(struct span s)
{
	int c;

	if (is_dots(s))
		return false;
	for (; s.n > 0; s = span_skip(s, 1)) {
		c = (unsigned char)s.p[0];
		if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '?' ||
		    c == '#')
			return false;
		if (c != '%')
			continue;
		c = escaped_byte(s);
		if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
			return false;
	}
	return true;
}

bool
url_path_is_plain(struct span path)
{
	size_t n;

	if (path.n == 0 || path.p[0] != '/')
		return false;
	while (path.n > 0) {
		path = span_skip(path, 1);
		for (n = 0; n < path.n && path.p[n] != '/';)
			n++;
		/* An empty segment is right only at the end. */
		if (n == 0 && path.n > 0)
			return false;
		if (!segment_is_plain(span_make(path.p, n)))
			return false;
		path = span_skip(path, n);
	}
	return true;
}
