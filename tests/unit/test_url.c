/* Unit tests of net/url: one reading of every URL, or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/url.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define TEXT(s)		{ "" s, sizeof(s) - 1 }

static void
good_urls(void **state)
{
	static const struct {
		const char *text, *scheme, *host;
		unsigned port;
		const char *path;
		bool tls, ipv6;
	} cases[] = {
		{ "http://a", "http", "a", 80, "/", false, false },
		{ "HTTPS://a.b/c?d=e", "https", "a.b", 443, "/c?d=e", true,
		    false },
		{ "ws://h:1/x", "ws", "h", 1, "/x", false, false },
		{ "wss://h:65535/", "wss", "h", 65535, "/", true, false },
		{ "http://[::1]:8080/m", "http", "::1", 8080, "/m", false,
		    true },
		{ "http://[fe80::1]", "http", "fe80::1", 80, "/", false,
		    true },
		{ "http://127.0.0.1:3000/mcp", "http", "127.0.0.1", 3000,
		    "/mcp", false, false },
		{ "http://h/a:b@c", "http", "h", 80, "/a:b@c", false, false },
		{ "unix:/run/x.sock", "unix", "/run/x.sock", 0, "/", false,
		    false },
		{ "unix:/run/x.sock:/mcp?a", "unix", "/run/x.sock", 0,
		    "/mcp?a", false, false },
	};
	struct url u;
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		if (url_parse(&u, span_str(cases[i].text), &e) < 0)
			fail_msg("%s: %s", cases[i].text, e.text);
		assert_true(span_is(u.scheme, cases[i].scheme));
		assert_true(span_is(u.host, cases[i].host));
		assert_int_equal(u.port, cases[i].port);
		assert_true(span_is(u.path, cases[i].path));
		assert_int_equal(u.tls, cases[i].tls);
		assert_int_equal(u.ipv6, cases[i].ipv6);
	}
}

static void
bad_urls(void **state)
{
	static const struct span cases[] = {
		TEXT(""), TEXT("a"), TEXT("/a"), TEXT("http:"),
		TEXT("http:/a"), TEXT("http://"), TEXT("http:///a"),
		TEXT("http://:80/"), TEXT("ftp://a/"), TEXT("file:///etc"),
		TEXT("javascript:alert(1)"), TEXT("http://u@a/"),
		TEXT("http://u:p@a/"), TEXT("http://@a/"),
		TEXT("http://a:/"), TEXT("http://a:0/"),
		TEXT("http://a:65536/"), TEXT("http://a:8x/"),
		TEXT("http://a:+80/"), TEXT("http://a:80:80/"),
		TEXT("http://a b/"), TEXT("http://a/b c"),
		TEXT("http://a/\n"), TEXT("http://a/\x7f"),
		TEXT("http://a/\xc3\xa9"), TEXT("http://a\0b/"),
		TEXT("http://a/#f"), TEXT("http://a#f"), TEXT("http://a?b"),
		TEXT("http://a\\b/"), TEXT("http://a/\\b"),
		TEXT("http://a%2fb/"), TEXT("http://a_b!/"),
		TEXT("http://[::1/"), TEXT("http://[::1]x/"),
		TEXT("http://[1.2.3.4]/"), TEXT("http://[::g]/"),
		TEXT("http://[::1%25eth0]/"), TEXT("http://[]/"),
		TEXT("http://::1/"), TEXT(" http://a/"), TEXT("http://a/ "),
		TEXT("unix:"), TEXT("unix:x"), TEXT("unix:/a:"),
		TEXT("unix:/a:b"), TEXT("http://a/{b}"), TEXT("http://a/<b>"),
		TEXT("https"), TEXT("wss:/"),
	};
	struct url u;
	struct err e;
	char label[300];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		if (url_parse(&u, cases[i], &e) == 0)
			fail_msg("%s", cases[i].p);
		assert_int_equal(e.code, ERR_INVALID);
	}
	memset(label, 'a', sizeof(label));
	memcpy(label, "http://", 7);
	assert_int_equal(url_parse(&u, span_make(label, 7 + 253), &e), 0);
	assert_int_equal(url_parse(&u, span_make(label, 7 + 254), &e), -1);
}

static void
decodes_once(void **state)
{
	static const struct {
		const char *text;
		bool plus;
		const char *want;	/* NULL: refused */
	} cases[] = {
		{ "", false, "" }, { "abc", false, "abc" },
		{ "a%20b", false, "a b" }, { "a+b", false, "a+b" },
		{ "a+b%2B", true, "a b+" }, { "%252f", false, "%2f" },
		{ "%c3%A9", false, "\xc3\xa9" }, { "%", false, NULL },
		{ "%4", false, NULL }, { "%4g", false, NULL },
		{ "%g4", false, NULL }, { "a%00", false, NULL },
		{ "%%41", false, NULL }, { "%u0041", false, NULL },
	};
	char out[16];
	size_t i;
	long n;

	for (i = 0; i < COUNT(cases); i++) {
		n = url_decode(span_str(cases[i].text), out, sizeof(out),
		    cases[i].plus);
		if (cases[i].want == NULL) {
			assert_int_equal(n, -1);
			continue;
		}
		assert_int_equal(n, strlen(cases[i].want));
		assert_string_equal(out, cases[i].want);
	}
	assert_int_equal(url_decode(SPAN_LIT("abc"), out, 4, false), 3);
	assert_int_equal(url_decode(SPAN_LIT("abc"), out, 3, false), -1);
	assert_int_equal(url_decode(SPAN_LIT(""), out, 1, false), 0);
	assert_int_equal(url_decode(SPAN_LIT(""), out, 0, false), -1);
	assert_int_equal(url_decode(SPAN_LIT("a\0b"), out, 16, false), -1);
}

static void
queries(void **state)
{
	static const struct {
		const char *query, *name;
		int rv;
		const char *want;
	} cases[] = {
		{ "a=1&b=2", "a", 1, "1" }, { "a=1&b=2", "b", 1, "2" },
		{ "a=1&b=2", "c", 0, NULL }, { "", "a", 0, NULL },
		{ "a", "a", 1, "" }, { "a=", "a", 1, "" },
		{ "&&a=1&", "a", 1, "1" }, { "ab=1", "a", 0, NULL },
		{ "a=b=c", "a", 1, "b=c" }, { "a=x+y%26", "a", 1, "x y&" },
		{ "%61=1", "a", 1, "1" }, { "a=1&a=2", "a", -1, NULL },
		{ "a=1&%61=1", "a", -1, NULL }, { "a=%zz", "a", -1, NULL },
		{ "a=%00", "a", -1, NULL }, { "%zz=1&a=2", "a", 1, "2" },
		{ "a=0123456789abcdef", "a", -1, NULL },
		{ "=x&a=1", "a", 1, "1" },
	};
	char out[16];
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		assert_int_equal(url_query_get(span_str(cases[i].query),
		    cases[i].name, out, sizeof(out)), cases[i].rv);
		if (cases[i].rv == 1)
			assert_string_equal(out, cases[i].want);
	}
}

static void
plain_paths(void **state)
{
	static const char *const good[] = { "/", "/a", "/a/b/", "/a.b/..c",
	    "/.well-known/x", "/...", "/a%20b", "/%252e", "/a;b=c,d@e:f",
	    "/%2e%2e%2e", "/a%c3%a9" };
	static const char *const bad[] = { "", "a", "//", "//a", "/a//b",
	    "/a//", "/.", "/..", "/./a", "/a/.", "/a/../b", "/a/..",
	    "/%2e", "/%2E%2e", "/.%2e/a", "/a/%2e./b", "/a%2fb", "/a%2Fb",
	    "/a%5cb", "/a%5Cb", "/a\\b", "/%00", "/%0a", "/%1F", "/%7f",
	    "/%", "/%4", "/%zz", "/a b", "/a\tb", "/a\x01", "/a\x7f",
	    "/\xc3\xa9", "/a?b", "/a#b" };
	size_t i;

	for (i = 0; i < COUNT(good); i++)
		if (!url_path_is_plain(span_str(good[i])))
			fail_msg("%s", good[i]);
	for (i = 0; i < COUNT(bad); i++)
		if (url_path_is_plain(span_str(bad[i])))
			fail_msg("%s", bad[i]);
	assert_false(url_path_is_plain(SPAN_LIT("/a\0b")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_urls),
		cmocka_unit_test(bad_urls),
		cmocka_unit_test(decodes_once),
		cmocka_unit_test(queries),
		cmocka_unit_test(plain_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
