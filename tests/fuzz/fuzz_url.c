/*
 * Properties of net/url: a URL put together from its parts has the same
 * parts; what is decoded and encoded again comes back; a plain path, decoded
 * once, has no step upwards and no other segments than before.
 */
#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "net/url.h"

#define TEXT_MAX	4096

static void
check_url(struct span text)
{
	struct url u, again;
	struct err e;
	struct buf b;

	if (url_parse(&u, text, &e) < 0) {
		FUZZ_CHECK(e.code == ERR_INVALID);
		return;
	}
	FUZZ_CHECK(u.host.n > 0 && u.path.n > 0 && u.path.p[0] == '/');
	FUZZ_CHECK(memchr(u.host.p, '@', u.host.n) == NULL ||
	    span_is(u.scheme, "unix"));
	buf_init(&b, 2 * TEXT_MAX + 100);
	if (span_is(u.scheme, "unix"))
		buf_printf(&b, "unix:%.*s:%.*s", SPAN_FMT(u.host),
		    SPAN_FMT(u.path));
	else
		buf_printf(&b, "%.*s://%s%.*s%s:%u%.*s", SPAN_FMT(u.scheme),
		    u.ipv6 ? "[" : "", SPAN_FMT(u.host), u.ipv6 ? "]" : "",
		    u.port, SPAN_FMT(u.path));
	FUZZ_CHECK(url_parse(&again, buf_span(&b), &e) == 0);
	FUZZ_CHECK(span_eq(u.scheme, again.scheme) && u.tls == again.tls);
	FUZZ_CHECK(span_eq(u.host, again.host) && u.port == again.port);
	FUZZ_CHECK(span_eq(u.path, again.path) && u.ipv6 == again.ipv6);
	buf_free(&b);
}

static void
check_decode(struct span text)
{
	static char out[TEXT_MAX + 1], back[TEXT_MAX + 1];
	long n = url_decode(text, out, sizeof(out), true), i;
	struct buf b;

	if (n < 0)
		return;
	FUZZ_CHECK((size_t)n <= text.n && strlen(out) == (size_t)n);
	buf_init(&b, 4 * TEXT_MAX);
	for (i = 0; i < n; i++)
		buf_printf(&b, "%%%02x", (unsigned char)out[i]);
	FUZZ_CHECK(url_decode(buf_span(&b), back, sizeof(back), true) == n);
	FUZZ_CHECK(memcmp(out, back, (size_t)n) == 0);
	buf_free(&b);
}

static void
check_path(struct span path)
{
	static char out[TEXT_MAX + 1];
	size_t i, slashes = 0;
	const char *p;

	if (!url_path_is_plain(path))
		return;
	FUZZ_CHECK(url_decode(path, out, sizeof(out), false) > 0);
	FUZZ_CHECK(strstr(out, "//") == NULL && strstr(out, "/./") == NULL);
	FUZZ_CHECK(strstr(out, "/../") == NULL && strchr(out, '\\') == NULL);
	p = strrchr(out, '/');
	FUZZ_CHECK(strcmp(p, "/.") != 0 && strcmp(p, "/..") != 0);
	for (i = 0; i < path.n; i++)
		slashes += path.p[i] == '/';
	for (p = out; *p != '\0'; p++)
		slashes -= *p == '/';
	FUZZ_CHECK(slashes == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = { (const char *)data, n };
	char out[64];
	int rv;

	if (n > TEXT_MAX)
		return 0;
	check_url(text);
	check_decode(text);
	check_path(text);
	rv = url_query_get(text, "id", out, sizeof(out));
	FUZZ_CHECK(rv >= -1 && rv <= 1);
	FUZZ_CHECK(rv != 1 || strlen(out) < sizeof(out));
	return 0;
}
