/*
 * glob -- pattern matching for names of tools, servers, resources.
 *
 * Every process. Only the last "*" is ever retried, so the work is at most
 * pattern times name. In "[seq]" a "]" that comes first is itself a member
 * and "a-z" is a range, as in fnmatch(3). A malformed pattern matches
 * nothing; configuration refuses it with glob_valid().
 */
#include "base/glob.h"

/* The byte after the "]" of the set that begins behind "[", or NULL. */
static const char *
set_end(const char *p)
{
	if (*p == '!')
		p++;
	if (*p == ']')
		p++;
	p = strchr(p, ']');
	return p == NULL ? NULL : p + 1;
}

static bool
set_has(const char *p, const char *end, unsigned char c)
{
	bool negated = *p == '!', found = false;
	const char *last = end - 1;		/* the "]" */

	if (negated)
		p++;
	while (p < last) {
		unsigned char low = (unsigned char)*p++, high = low;

		if (last - p >= 2 && *p == '-') {
			high = (unsigned char)p[1];
			p += 2;
		}
		if (c >= low && c <= high)
			found = true;
	}
	return found != negated;
}

/*
 * Does the one-byte element at *p match c? Moves *p behind it.
 * *p stays where it is at the end of the pattern or at a broken set.
 */
static bool
one_matches(const char **p, unsigned char c)
{
	const char *end;

	switch (**p) {
	case '\0':
		return false;
	case '?':
		(*p)++;
		return true;
	case '[':
		if ((end = set_end(*p + 1)) == NULL)
			return false;
		if (!set_has(*p + 1, end, c))
			return false;
		*p = end;
		return true;
	default:
		return (unsigned char)*(*p)++ == c;
	}
}

bool
glob_match(const char *pattern, struct span name)
{
	const char *p = pattern, *after_star = NULL, *next;
	size_t i = 0, star_at = 0;

	while (i < name.n) {
		if (*p == '*') {
			after_star = ++p;
			star_at = i;
			continue;
		}
		next = p;
		if (one_matches(&next, (unsigned char)name.p[i])) {
			p = next;
			i++;
		} else if (after_star != NULL) {
			p = after_star;		/* let "*" take one more */
			i = ++star_at;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}

bool
glob_valid(const char *pattern)
{
	const char *p = pattern;

	while (*p != '\0')
		if (*p++ == '[' && (p = set_end(p)) == NULL)
			return false;
	return true;
}
