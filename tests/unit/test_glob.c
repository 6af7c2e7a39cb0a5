/* Unit tests of base/glob, with fnmatch(3) as the second opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fnmatch.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/glob.h"

static void
matches(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool want;
	} cases[] = {
		{ "", "", true }, { "", "a", false }, { "*", "", true },
		{ "*", "a/b.c", true }, { "**", "", true },
		{ "a*", "a", true }, { "a*", "ba", false },
		{ "*a", "bca", true }, { "*a", "ab", false },
		{ "a*b*c", "aXbXbYc", true }, { "a*b*c", "aXcXb", false },
		{ "?", "", false }, { "?", "a", true }, { "?", "ab", false },
		{ "a?c", "abc", true }, { "read_*", "read_file", true },
		{ "read_*", "Read_file", false },
		{ "[abc]x", "bx", true }, { "[abc]x", "dx", false },
		{ "[a-c]x", "bx", true }, { "[a-c]x", "-x", false },
		{ "[!a-c]x", "dx", true }, { "[!a-c]x", "bx", false },
		{ "[]]x", "]x", true }, { "[!]]x", "]x", false },
		{ "[a-]x", "-x", true }, { "[-a]x", "-x", true },
		{ "[^a]", "^", true }, { "[^a]", "b", false },
		{ "*[0-9]", "v10", true }, { "*[0-9]", "v1x", false },
		{ "a\\*", "a\\b", true }, { "a\\*", "a*", false },
		{ "[abc", "a", false }, { "*[", "a[", false },
		{ "a[!", "ab", false }, { "[]", "]", false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (glob_match(cases[i].pattern, span_str(cases[i].name)) !=
		    cases[i].want)
			fail_msg("pattern %s, name %s", cases[i].pattern,
			    cases[i].name);
}

static void
names_are_bytes(void **state)
{
	assert_true(glob_match("a?b", SPAN_LIT("a\0b")));
	assert_true(glob_match("*", SPAN_LIT("\0\0")));
	assert_false(glob_match("a", SPAN_LIT("a\0")));
	assert_false(glob_match("a", span_make(NULL, 0)));
	assert_true(glob_match("[\x80-\xff]", SPAN_LIT("\x90")));
}

static void
validity(void **state)
{
	static const char *const good[] = { "", "*", "[a]", "[]]", "[!]]",
	    "a]", "[[]", "x[a-z]?*" };
	static const char *const wrong[] = { "[", "[]", "[!", "[!]", "a[b",
	    "[a]b[" };
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(glob_valid(good[i]));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(glob_valid(wrong[i]));
}

/* Every pattern and name of up to four letters out of small alphabets. */
static void
agrees_with_fnmatch(void **state)
{
	static const char letters[] = "ab*?[]!-";
	char pattern[6] = "", name[6] = "";
	unsigned p, n, k, x;

	for (p = 0; p < 8 * 8 * 8 * 8; p++) {
		for (k = 0, x = p; k < 4; k++, x /= 8)
			pattern[k] = letters[x % 8];
		if (!glob_valid(pattern))
			continue;
		for (n = 0; n < 81; n++) {
			for (k = 0, x = n; k < 4; k++, x /= 3)
				name[k] = "ab-"[x % 3];
			name[n % 5] = '\0';
			if (glob_match(pattern, span_str(name)) !=
			    (fnmatch(pattern, name, FNM_NOESCAPE) == 0))
				fail_msg("pattern %s, name %s", pattern, name);
		}
	}
}

static void
is_not_exponential(void **state)
{
	static char name[20001];
	int64_t start = clock_mono_ms();

	memset(name, 'a', sizeof(name) - 1);
	assert_false(glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*b",
	    span_str(name)));
	assert_true(clock_mono_ms() - start < 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(names_are_bytes),
		cmocka_unit_test(validity),
		cmocka_unit_test(agrees_with_fnmatch),
		cmocka_unit_test(is_not_exponential),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
