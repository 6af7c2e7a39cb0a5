/*
 * json_read -- checks JSON text and walks over it, in place.
 *
 * Workers, keeper-side decoders and tools; over every request and result, so
 * the strings, which are most of any text, are passed eight bytes at a time.
 * Never builds a tree, never recurses; open containers are bits in one word.
 * The only allocation is the set of names of an object with more members
 * than fit on the stack (see names_are_unique).
 */
#include "base/json_read.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/swar.h"
#include "base/utf8.h"

#define NAMES_MAX	32	/* that json_object() looks for */
#define SMALL_OBJECT	16	/* members compared one by one */
#define STACK_SLOTS	256	/* name set without allocation */

typedef unsigned char byte;

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

static enum json_type
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

static int
hex_value(byte c)
{
	if (is_digit(c))
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
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
		if (hex_value(p[i]) < 0)
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

/*
 * From here on the text is known to be valid, so a string ends at the first
 * quote that is not escaped and brackets outside strings are balanced. The
 * bounds are kept all the same.
 */
static const byte *
pass_string(const byte *p, const byte *end)
{
	uint64_t x, special;

	for (p++; p < end;) {
		if (end - p >= 8) {
			x = swar_load(p);
			special = swar_equal(x, '"') | swar_equal(x, '\\');
			if (special == 0) {
				p += 8;
				continue;
			}
			p += swar_skip(special);
		}
		if (*p == '"')
			return p + 1;
		p += *p == '\\' ? 2 : 1;
	}
	return NULL;
}

static const byte *
pass_container(const byte *p, const byte *end)
{
	size_t depth = 0;

	while (p != NULL && p < end) {
		switch (*p) {
		case '"':
			p = pass_string(p, end);
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (--depth == 0)
				return p + 1;
			break;
		default:
			break;
		}
		p++;
	}
	return NULL;
}

static const byte *
pass_value(const byte *p, const byte *end, struct json_value *value)
{
	const byte *start = p;

	if (p == end)
		return NULL;
	value->type = type_of(*p);
	switch (value->type) {
	case JSON_STRING:
		p = pass_string(p, end);
		break;
	case JSON_OBJECT:
	case JSON_ARRAY:
		p = pass_container(p, end);
		break;
	case JSON_NONE:
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
		while (p < end && !is_space(*p) && *p != ',' && *p != '}' &&
		    *p != ']')
			p++;
		break;
	}
	if (p == NULL || p == start)
		return NULL;
	value->raw = span_make((const char *)start, (size_t)(p - start));
	return p;
}

/*
 * Steps to the next member or element of a container: behind the bracket or
 * the comma. NULL at its end.
 */
static const byte *
step(struct span container, char open, size_t pos)
{
	const byte *p = (const byte *)container.p, *end = p + container.n;

	if (pos > container.n || container.n == 0 || container.p[0] != open)
		return NULL;
	p = skip_space(p + (pos == 0 ? 1 : pos), end);
	if (pos > 0 && p < end && *p == ',')
		p = skip_space(p + 1, end);
	return p == end || *p == '}' || *p == ']' ? NULL : p;
}

bool
json_next_member(struct span object, size_t *pos, struct span *name,
    struct json_value *value)
{
	const byte *start = (const byte *)object.p, *p, *end, *name_end;

	if ((p = step(object, '{', *pos)) == NULL || *p != '"')
		return false;
	end = start + object.n;
	if ((name_end = pass_string(p, end)) == NULL)
		return false;
	*name = span_make((const char *)p + 1, (size_t)(name_end - p) - 2);
	p = skip_space(name_end, end);
	if (p == end || *p != ':')
		return false;
	p = pass_value(skip_space(p + 1, end), end, value);
	if (p == NULL)
		return false;
	*pos = (size_t)(p - start);
	return true;
}

bool
json_next_element(struct span array, size_t *pos, struct json_value *value)
{
	const byte *start = (const byte *)array.p, *p;

	if ((p = step(array, '[', *pos)) == NULL)
		return false;
	if ((p = pass_value(p, start + array.n, value)) == NULL)
		return false;
	*pos = (size_t)(p - start);
	return true;
}

/*
 * Puts a name into the set. The set holds offsets + 1 of names in text; as
 * no name has an escape in it, the quote that follows ends it.
 */
static bool
set_insert(size_t *slots, size_t mask, uint64_t seed, struct span text,
    struct span name)
{
	size_t i = (size_t)hash_bytes(seed, name.p, name.n) & mask;

	for (; slots[i] != 0; i = (i + 1) & mask) {
		struct span other = span_skip(text, slots[i] - 1);

		if (other.n > name.n && other.p[name.n] == '"' &&
		    memcmp(other.p, name.p, name.n) == 0)
			return false;
	}
	slots[i] = (size_t)(name.p - text.p) + 1;
	return true;
}

/*
 * For objects with many members. The hash is seeded at random, so that a
 * text made to collide cannot make this quadratic.
 */
static bool
names_are_unique(struct span object, size_t members)
{
	static uint64_t seed;
	size_t on_stack[STACK_SLOTS], *slots = on_stack, n = STACK_SLOTS;
	size_t pos = 0;
	struct json_value value;
	struct span name;
	bool unique = true;

	while (seed == 0)
		random_bytes(&seed, sizeof(seed));
	while (n < members * 2)
		n *= 2;
	if (n > STACK_SLOTS)
		slots = xcalloc(n, sizeof(*slots));
	else
		memset(on_stack, 0, sizeof(on_stack));
	while (unique && json_next_member(object, &pos, &name, &value))
		unique = set_insert(slots, n - 1, seed, object, name);
	if (slots != on_stack)
		free(slots);
	return unique;
}

/* Nearly all names differ in their length or their first letter. */
static inline bool
same_name(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || (a.p[0] == b.p[0] &&
	    memcmp(a.p, b.p, a.n) == 0));
}

static bool
among_first(const struct span *seen, size_t n, struct span name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (same_name(seen[i], name))
			return true;
	return false;
}

/* name has no NUL in it: the text was checked. */
static inline bool
is_wanted(const char *wanted, struct span name)
{
	return name.n > 0 && wanted[0] == name.p[0] &&
	    strncmp(wanted, name.p, name.n) == 0 && wanted[name.n] == '\0';
}

/* Where a walk over the members of an object is. */
struct walk {
	const struct json_index *x;	/* NULL: over the text itself */
	uint32_t	 number, end;
	struct span	 object;
	size_t		 pos;
};

/* The node of this value, or NULL: they are in the order of the text. */
static const struct json_node *
find_node(const struct json_index *x, struct span value)
{
	size_t at = (size_t)(value.p - x->text);
	uint32_t low = 1, high = x->n, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (x->node[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low <= x->n && x->node[low].at == at &&
	    x->node[low].end == at + value.n ? &x->node[low] : NULL;
}

static void
walk_begin(struct walk *w, const struct json_index *x, struct span object)
{
	const struct json_node *node = x == NULL ? NULL : find_node(x, object);

	w->x = NULL;
	w->object = object;
	w->pos = 0;
	if (node == NULL || !node->is_upper || node->next == 0)
		return;
	w->x = x;
	w->number = (uint32_t)(node - x->node) + 1;
	w->end = node->next;
}

static inline bool
walk_next(struct walk *w, struct span *name, struct json_value *value)
{
	const struct json_node *node;

	if (w->x == NULL)
		return json_next_member(w->object, &w->pos, name, value);
	if (w->number == w->end)
		return false;
	node = &w->x->node[w->number];
	*name = span_make(w->x->text + node->name_at, node->name_n);
	value->raw = span_make(w->x->text + node->at, node->end - node->at);
	value->type = type_of((byte)value->raw.p[0]);
	w->number = node->next;
	return true;
}

enum json_status
json_object_at(const struct json_index *x, struct span object,
    const char *const *names, struct json_value *values, int n)
{
	struct span seen[SMALL_OBJECT], name;
	struct json_value value;
	size_t members = 0;
	struct walk w;
	int i;

	if (object.n == 0 || object.p[0] != '{')
		return JSON_WRONG_TYPE;
	for (i = 0; i < n && i < NAMES_MAX; i++)
		values[i] = (struct json_value){ JSON_NONE, { NULL, 0 } };
	walk_begin(&w, x, object);
	for (; walk_next(&w, &name, &value); members++) {
		if (memchr(name.p, '\\', name.n) != NULL)
			return JSON_ESCAPED_NAME;
		if (members < SMALL_OBJECT) {
			if (among_first(seen, members, name))
				return JSON_DUPLICATE;
			seen[members] = name;
		}
		for (i = 0; i < n && i < NAMES_MAX; i++) {
			if (is_wanted(names[i], name)) {
				values[i] = value;
				break;
			}
		}
	}
	if (members > SMALL_OBJECT && !names_are_unique(object, members))
		return JSON_DUPLICATE;
	return JSON_OK;
}

enum json_status
json_object(struct span object, const char *const *names,
    struct json_value *values, int n)
{
	return json_object_at(NULL, object, names, values, n);
}

struct json_value
json_member(struct json_value object, const char *name)
{
	const char *names[1] = { name };
	struct json_value v = { JSON_NONE, { NULL, 0 } };

	if (object.type != JSON_OBJECT ||
	    json_object(object.raw, names, &v, 1) != JSON_OK)
		v.type = JSON_NONE;
	return v;
}

bool
json_string_plain(struct json_value v, struct span *out)
{
	if (v.type != JSON_STRING || v.raw.n < 2)
		return false;
	if (memchr(v.raw.p, '\\', v.raw.n) != NULL)
		return false;
	*out = span_make(v.raw.p + 1, v.raw.n - 2);
	return true;
}

static long
hex4(const byte *p, const byte *end)
{
	long v = 0;
	int i;

	if (end - p < 4)
		return -1;
	for (i = 0; i < 4; i++) {
		int d = hex_value(p[i]);

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static size_t
put_utf8(char out[4], long c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 63));
		out[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 63));
	out[2] = (char)(0x80 | (c >> 6 & 63));
	out[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Decodes \uXXXX, with its second half if it is a surrogate. *p is moved. */
static long
decode_u(const byte **p, const byte *end)
{
	long high, low;

	if ((high = hex4(*p + 2, end)) < 0)
		return -1;
	*p += 6;
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high > 0xdbff || end - *p < 6 || (*p)[0] != '\\' ||
	    (*p)[1] != 'u')
		return -1;
	low = hex4(*p + 2, end);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	*p += 6;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* Decodes the escape at the backslash *p into out; 0 if it is none. */
static size_t
decode_escape(const byte **p, const byte *end, char out[4])
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	long c;

	if (end - *p < 2)
		return 0;
	if ((*p)[1] == 'u') {
		c = decode_u(p, end);
		return c < 0 ? 0 : put_utf8(out, c);
	}
	at = memchr(from, (*p)[1], sizeof(from) - 1);
	if (at == NULL)
		return 0;
	out[0] = to[at - from];
	*p += 2;
	return 1;
}

long
json_string_decode(struct json_value v, char *out, size_t size)
{
	const byte *p, *end, *plain;
	char decoded[4];
	size_t used = 0, n;

	if (v.type != JSON_STRING || v.raw.n < 2)
		return -1;
	p = (const byte *)v.raw.p + 1;
	end = (const byte *)v.raw.p + v.raw.n - 1;
	while (p < end) {
		plain = memchr(p, '\\', (size_t)(end - p));
		n = (size_t)((plain != NULL ? plain : end) - p);
		if (n > size - used)
			return -1;
		memcpy(out + used, p, n);
		used += n;
		p += n;
		if (p == end)
			break;
		n = decode_escape(&p, end, decoded);
		if (n == 0 || n > size - used)
			return -1;
		memcpy(out + used, decoded, n);
		used += n;
	}
	return (long)used;
}

bool
json_int(struct json_value v, int64_t *out)
{
	return v.type == JSON_NUMBER &&
	    num_i64(v.raw, INT64_MIN, INT64_MAX, out) == 0;
}

bool
json_is_true(struct json_value v)
{
	return v.type == JSON_BOOL && v.raw.n == 4;
}
