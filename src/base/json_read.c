/*
 * json_read -- walks over checked JSON text, in place.
 *
 * Workers, keeper-side decoders and tools. Never builds a tree, never
 * recurses. The only allocation is the set of names of an object with more
 * members than fit on the stack (see names_are_unique).
 *
 * The text was checked (json_check.c), so a string ends at the first quote
 * that is not escaped and brackets outside strings are balanced. The bounds
 * are kept all the same.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/json_int.h"
#include "base/swar.h"

#define NAMES_MAX	32	/* that json_object() looks for */
#define SMALL_OBJECT	16	/* members compared one by one */
#define STACK_SLOTS	256	/* name set without allocation */

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
