/*
 * json_check -- is this text one JSON value? See json_read.h.
 *
 * Over every request and result, so the strings, which are most of any text,
 * are passed eight bytes at a time. Never recurses; open containers are bits
 * in one word.
 */
#include "base/json_int.h"
#include "base/num.h"
#include "base/swar.h"
#include "base/utf8.h"

const char *
json_status_text(enum json_status status)
{
	switch (status) {
	case JSON_OK:
		return "valid";
	case JSON_SYNTAX:
		return "not valid JSON in UTF-8";
	case JSON_TOO_DEEP:
		return "nested too deeply";
	case JSON_DUPLICATE:
		return "a member name stands twice";
	case JSON_ESCAPED_NAME:
		return "a member name is written with escapes";
	case JSON_WRONG_TYPE:
		return "not an object";
	}
	return "unknown";
}

/* Passes the string bytes that stand for themselves in ASCII. */
static inline const byte *
skip_plain(const byte *p, const byte *end)
{
	uint64_t x, special;

	while (end - p >= 8) {
		x = swar_load(p);
		special = swar_below(x, 0x20) | swar_equal(x, '"') |
		    swar_equal(x, '\\') | (x & SWAR_HIGH);
		if (special != 0) {
			p += swar_skip(special);
			break;
		}
		p += 8;
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* Length of the escape that begins at the backslash p, or 0. */
static size_t
escape_length(const byte *p, const byte *end)
{
	int i;

	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return p[1] != '\0' && strchr("\"\\/bfnrt", p[1]) != NULL ?
		    2 : 0;
	if (end - p < 6)
		return 0;
	for (i = 2; i < 6; i++)
		if (num_hex_digit(p[i]) < 0)
			return 0;
	return 6;
}

/*
 * Every check_ function takes the first byte of its piece, returns the byte
 * behind it, or NULL with *at set to the byte that is wrong.
 */
static const byte *
check_string(const byte *p, const byte *end, const byte **at)
{
	size_t n;

	for (p++;;) {
		p = skip_plain(p, end);
		if (p == end)
			break;
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			n = escape_length(p, end);
		else if (*p >= 0x80)
			n = utf8_sequence(p, (size_t)(end - p));
		else
			n = 0;			/* a control character */
		if (n == 0)
			break;
		p += n;
	}
	*at = p;
	return NULL;
}

static const byte *
check_digits(const byte *p, const byte *end, const byte **at)
{
	if (p == end || !is_digit(*p)) {
		*at = p;
		return NULL;
	}
	while (p < end && is_digit(*p))
		p++;
	return p;
}

static const byte *
check_number(const byte *p, const byte *end, const byte **at)
{
	if (*p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else if ((p = check_digits(p, end, at)) == NULL)
		return NULL;
	if (p < end && *p == '.' &&
	    (p = check_digits(p + 1, end, at)) == NULL)
		return NULL;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = check_digits(p, end, at);
	}
	return p;
}

static const byte *
check_word(const byte *p, const byte *end, const char *word, const byte **at)
{
	for (; *word != '\0'; word++, p++) {
		if (p == end || *p != (byte)*word) {
			*at = p;
			return NULL;
		}
	}
	return p;
}

static const byte *
check_scalar(const byte *p, const byte *end, const byte **at)
{
	switch (*p) {
	case '"':
		return check_string(p, end, at);
	case 't':
		return check_word(p, end, "true", at);
	case 'f':
		return check_word(p, end, "false", at);
	case 'n':
		return check_word(p, end, "null", at);
	default:
		return check_number(p, end, at);
	}
}

/* A member name with its colon. x: an index is made. */
static inline __attribute__((always_inline)) const byte *
check_name(const byte *p, const byte *end, const byte **at,
    struct json_index *x)
{
	const byte *start = p;

	if (p == end || *p != '"') {
		*at = p;
		return NULL;
	}
	if ((p = check_string(p, end, at)) == NULL)
		return NULL;
	if (x != NULL) {
		x->name_at = (size_t)((const char *)start + 1 - x->text);
		x->name_n = (size_t)(p - start) - 2;
	}
	p = skip_space(p, end);
	if (p == end || *p != ':') {
		*at = p;
		return NULL;
	}
	return p + 1;
}

struct nesting {
	uint64_t objects;	/* bit d: the container at depth d is {} */
	int	 depth;
};

static inline bool
in_object(const struct nesting *nest)
{
	return nest->objects >> (nest->depth - 1) & 1;
}

/* A value begins at p, depth levels down: its number, or 0 without a node. */
static inline uint32_t
index_begin(struct json_index *x, const byte *p, int depth)
{
	struct json_node *node;

	if (depth > (int)x->depth)
		return 0;
	if (x->n == JSON_INDEX_NODES) {
		x->is_full = true;
		return 0;
	}
	node = &x->node[++x->n];
	node->name_at = x->name_at;
	node->name_n = x->name_n;
	node->at = (size_t)((const char *)p - x->text);
	node->next = 0;
	node->is_upper = depth < (int)x->depth;
	return x->n;
}

/* It ends before p. What did not fit leaves those around it without next. */
static inline void
index_end(struct json_index *x, uint32_t number, const byte *p)
{
	if (number == 0)
		return;
	x->node[number].end = (size_t)((const char *)p - x->text);
	x->node[number].next = x->is_full ? 0 : x->n + 1;
}

/*
 * Opens the container at p. Returns what follows: behind "{" and the first
 * name, or behind "[", or, with *closed, behind an empty container.
 */
static inline __attribute__((always_inline)) const byte *
check_open(struct nesting *nest, const byte *p, const byte *end,
    bool *closed, const byte **at, struct json_index *x)
{
	uint64_t bit = 1ULL << nest->depth;
	bool object = *p == '{';

	p = skip_space(p + 1, end);
	*closed = p < end && *p == (object ? '}' : ']');
	if (*closed)
		return p + 1;
	nest->objects = object ? nest->objects | bit : nest->objects & ~bit;
	nest->depth++;
	return object ? check_name(p, end, at, x) : p;
}

/*
 * Behind a value: closes what closes here. Returns the place of the next
 * value, or, with depth 0, the end of the whole value.
 */
static inline __attribute__((always_inline)) const byte *
check_after(struct nesting *nest, const byte *p, const byte *end,
    const byte **at, struct json_index *x)
{
	while (nest->depth > 0) {
		p = skip_space(p, end);
		if (p == end)
			break;
		if (*p == ',') {
			p = skip_space(p + 1, end);
			return in_object(nest) ? check_name(p, end, at, x) : p;
		}
		if (*p != (in_object(nest) ? '}' : ']'))
			break;
		nest->depth--;
		p++;
		if (x != NULL && nest->depth <= (int)x->depth)
			index_end(x, x->open[nest->depth], p);
	}
	if (nest->depth == 0)
		return p;
	*at = p;
	return NULL;
}

/* Checks one value that begins at p. Returns the byte behind it, or NULL.
 * Compiled twice: x is NULL or never. */
static inline __attribute__((always_inline)) const byte *
check_value(const byte *p, const byte *end, enum json_status *status,
    const byte **at, struct json_index *x)
{
	struct nesting nest = { 0, 0 };
	uint32_t number = 0;
	bool complete;

	*status = JSON_SYNTAX;
	do {
		p = skip_space(p, end);
		if (p == end) {
			*at = p;
			return NULL;
		}
		if (x != NULL)
			number = index_begin(x, p, nest.depth);
		if (*p == '{' || *p == '[') {
			if (nest.depth == JSON_DEPTH_MAX) {
				*status = JSON_TOO_DEEP;
				*at = p;
				return NULL;
			}
			if (x != NULL && nest.depth <= (int)x->depth)
				x->open[nest.depth] = number;
			p = check_open(&nest, p, end, &complete, at, x);
		} else {
			p = check_scalar(p, end, at);
			complete = true;
		}
		if (p != NULL && complete) {
			if (x != NULL)
				index_end(x, number, p);
			p = check_after(&nest, p, end, at, x);
		}
		if (p == NULL)
			return NULL;
	} while (nest.depth > 0);
	return p;
}

static inline __attribute__((always_inline)) enum json_status
check_text(struct span text, struct json_value *value, size_t *error_at,
    struct json_index *x)
{
	const byte *start = (const byte *)text.p, *end, *p, *at = NULL;
	enum json_status status = JSON_SYNTAX;

	if (text.n == 0) {
		if (error_at != NULL)
			*error_at = 0;
		return JSON_SYNTAX;
	}
	end = start + text.n;
	start = skip_space(start, end);
	p = check_value(start, end, &status, &at, x);
	if (p != NULL && (at = skip_space(p, end)) == end) {
		*value = (struct json_value){ type_of(*start),
		    { (const char *)start, (size_t)(p - start) } };
		return JSON_OK;
	}
	if (error_at != NULL)
		*error_at = (size_t)((const char *)at - text.p);
	return status;
}

enum json_status
json_check(struct span text, struct json_value *value, size_t *error_at)
{
	return check_text(text, value, error_at, NULL);
}

enum json_status
json_check_index(struct span text, struct json_value *value, size_t *error_at,
    struct json_index *x, unsigned depth)
{
	x->text = text.p;
	x->depth = depth < JSON_INDEX_DEPTH ? depth : JSON_INDEX_DEPTH;
	x->n = 0;
	x->is_full = false;
	x->name_at = x->name_n = 0;
	return check_text(text, value, error_at, x);
}
