/*
 * utf8 -- is this a well-formed UTF-8 sequence? (RFC 3629)
 *
 * Over-long forms, surrogates and anything above U+10FFFF are not. Pure,
 * used wherever bytes from outside are checked or shown.
 */
#ifndef OMNI2_BASE_UTF8_H
#define OMNI2_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

static inline bool
utf8_is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Length (1..4) of the sequence that p begins with, or 0 if malformed. */
static inline size_t
utf8_sequence(const unsigned char *p, size_t n)
{
	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n < 2 || !utf8_is_tail(p[1]))
		return 0;
	if (p[0] < 0xe0)
		return 2;
	if (n < 3 || !utf8_is_tail(p[2]))
		return 0;
	if (p[0] < 0xf0) {
		if ((p[0] == 0xe0 && p[1] < 0xa0) ||
		    (p[0] == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (n < 4 || !utf8_is_tail(p[3]))
		return 0;
	if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

/* Is all of it UTF-8? */
static inline bool
utf8_is_valid(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t at, step;

	for (at = 0; at < n; at += step)
		if ((step = utf8_sequence(p + at, n - at)) == 0)
			return false;
	return true;
}

#endif
