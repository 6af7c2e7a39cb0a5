/*
 * json_int -- what the readers of JSON text share: the smallest steps over it.
 * Inline, because they stand in the innermost loops. Only for json_*.c.
 */
#ifndef OMNI2_BASE_JSON_INT_H
#define OMNI2_BASE_JSON_INT_H

#include "base/json_read.h"

typedef unsigned char byte;

static inline bool
is_space(byte c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const byte *
skip_space(const byte *p, const byte *end)
{
	while (p < end && is_space(*p))
		p++;
	return p;
}

static inline bool
is_digit(byte c)
{
	return c >= '0' && c <= '9';
}

static inline enum json_type
type_of(byte first)
{
	switch (first) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL;
	default:
		return JSON_NUMBER;
	}
}

#endif
