/*
 * json_read -- finds members in JSON text without building a tree.
 *
 * For the hot path: the text is checked once, completely (RFC 8259, UTF-8,
 * depth), and members are found as raw spans, so arguments and results pass
 * byte for byte. Objects whose members decide something are read with
 * json_object(): it refuses duplicate and escaped member names, because a
 * parser further on could read them differently. No allocation, no recursion.
 */
#ifndef OMNI2_BASE_JSON_READ_H
#define OMNI2_BASE_JSON_READ_H

#include <stdint.h>

#include "base/span.h"

#define JSON_DEPTH_MAX	64

enum json_type {
	JSON_NONE,	/* the member is not there */
	JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT
};

/* A value in the text: raw is exactly its bytes, without white space around. */
struct json_value {
	enum json_type	type;
	struct span	raw;
};

/*
 * Where the upper values of a checked text begin and end, so that nobody has
 * to pass over the text again. In the order of the text; numbers from 1.
 */
#define JSON_INDEX_NODES	96
#define JSON_INDEX_DEPTH	4
struct json_index {
	const char	*text;
	unsigned	 depth;		/* values below it are not in it */
	uint32_t	 n;
	bool		 is_full;	/* there are more than fit */
	size_t		 name_at, name_n;	/* while it is made */
	uint32_t	 open[JSON_INDEX_DEPTH + 1];
	struct json_node {
		size_t	 name_at, name_n;	/* of a member */
		size_t	 at, end;
		uint32_t next;		/* after it and all in it; 0: not known */
		bool	 is_upper;	/* what is in it is in the index, too */
	} node[JSON_INDEX_NODES + 1];
};

enum json_status {
	JSON_OK,
	JSON_SYNTAX,		/* not JSON, or not UTF-8 */
	JSON_TOO_DEEP,
	JSON_DUPLICATE,		/* a member name stands twice */
	JSON_ESCAPED_NAME,	/* a member name is written with escapes */
	JSON_WRONG_TYPE		/* not an object */
};

const char *json_status_text(enum json_status);

/*
 * Checks the whole text to be one JSON value and nothing more. *value gets
 * it. *error_at, if not NULL, gets the offset of the first wrong byte.
 */
enum json_status json_check(struct span text, struct json_value *value,
	    size_t *error_at);

/*
 * The same, and fills an index down to depth (0: the value alone) levels below
 * the value, at most JSON_INDEX_DEPTH; valid as long as the text.
 */
enum json_status json_check_index(struct span text, struct json_value *value,
	    size_t *error_at, struct json_index *, unsigned depth);

/*
 * Reads the members of an object in an already checked text. names[0..n-1]
 * are looked for; values[i] gets the value, or type JSON_NONE. Duplicates of
 * any member (named or not) and escaped names are refused. n <= 32.
 * With n = 0 it only checks the names.
 *
 * The linker knows it by another name: libjansson has a json_object too, and
 * libjwt would be led here instead.
 */
enum json_status json_object(struct span object, const char *const *names,
	    struct json_value *values, int n) __asm__("omni2_json_object");

/* The same with the help of the index of that text; which may hold this
 * object or not. */
enum json_status json_object_at(const struct json_index *, struct span object,
	    const char *const *names, struct json_value *values, int n);

/* One member of a value in a checked text. JSON_NONE: the value is no object,
 * is refused as above, or has no such member. */
struct json_value json_member(struct json_value object, const char *name);

/* Walks members or elements; start with *pos = 0. Checked text only.
 * Returns true while there is one. name is raw, without its quotes. */
bool	json_next_member(struct span object, size_t *pos, struct span *name,
	    struct json_value *value);
bool	json_next_element(struct span array, size_t *pos,
	    struct json_value *value);

/* The bytes between the quotes if nothing in them is escaped. */
bool	json_string_plain(struct json_value, struct span *out);
/* Decodes a string (escapes, surrogates) into out; returns its length, or -1
 * if it does not fit in size, is no string, or has a lone surrogate. NUL may
 * occur inside. Not NUL-terminated. */
long	json_string_decode(struct json_value, char *out, size_t size);
bool	json_int(struct json_value, int64_t *out);
bool	json_is_true(struct json_value);

#endif
