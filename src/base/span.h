/*
 * span -- borrowed bytes: a pointer and a length, never NUL-terminated.
 *
 * A span owns nothing and is valid as long as what it points into. Used in
 * every process. Functions here never allocate.
 */
#ifndef OMNI2_BASE_SPAN_H
#define OMNI2_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
	const char	*p;
	size_t		 n;
};

#define SPAN_LIT(s)	((struct span){ "" s, sizeof(s) - 1 })
#define SPAN_FMT(s)	(int)(s).n, (s).p	/* for "%.*s" */

static inline struct span
span_make(const char *p, size_t n)
{
	return (struct span){ p, n };
}

static inline struct span
span_str(const char *s)
{
	return (struct span){ s, s == NULL ? 0 : strlen(s) };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
span_is(struct span a, const char *s)
{
	size_t n = strlen(s);

	return a.n == n && memcmp(a.p, s, n) == 0;
}

static inline bool
span_is_nocase(struct span a, const char *s)
{
	size_t n = strlen(s);

	return a.n == n && strncasecmp(a.p, s, n) == 0;
}

static inline bool
span_starts(struct span a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && memcmp(a.p, prefix, n) == 0;
}

/* The bytes of a after its first n; n is cut to the length. */
static inline struct span
span_skip(struct span a, size_t n)
{
	if (n > a.n)
		n = a.n;
	return (struct span){ a.p + n, a.n - n };
}

/* Copies at most size - 1 bytes and a NUL. Returns false if cut. */
static inline bool
span_copy(char *dst, size_t size, struct span s)
{
	size_t n = s.n < size ? s.n : size - 1;

	if (n > 0)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	return n == s.n;
}

#endif
