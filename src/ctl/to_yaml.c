/*
 * to_yaml -- see to_yaml.h. Block style as people write it; strings are
 * quoted as soon as a YAML 1.1 or 1.2 reader could take them for something
 * else. No recursion: the depth of JSON is bounded, so is the stack here.
 */
#include "ctl/to_yaml.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json_read.h"
#include "base/utf8.h"

struct level {			/* a container that is being written */
	struct span	raw;
	size_t		pos;
	int		indent;
	bool		is_array;
	bool		glued;	/* its first entry goes on the line that is */
};

static bool
is_word_of_yaml(struct span s)
{
	static const char *const words[] = { "null", "true", "false", "yes",
	    "no", "on", "off", "y", "n" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is_nocase(s, words[i]))
			return true;
	return false;
}

/* Can it stand without quotes? */
static bool
is_plain(struct span s)
{
	size_t i;

	if (s.n == 0 || is_word_of_yaml(s) || s.p[s.n - 1] == ' ' ||
	    s.p[s.n - 1] == ':' || !(isalpha((unsigned char)s.p[0]) ||
	    s.p[0] == '/' || s.p[0] == '_'))
		return false;
	for (i = 0; i < s.n; i++) {
		if (!isalnum((unsigned char)s.p[i]) &&
		    strchr(" _./:@%+-,()=;*", s.p[i]) == NULL)
			return false;
		if (s.p[i] == '\0' || (s.p[i] == ':' && s.p[i + 1] == ' '))
			return false;
	}
	return true;
}

static void
put_escaped(struct buf *b, const unsigned char *p, size_t n)
{
	static const char names[] = "\"\"\\\\\nn\tt\rr";
	unsigned c = n == 1 ? p[0] : n == 2 ?
	    (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu) : n == 3 ?
	    (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu) :
	    0x10000;
	size_t i;

	for (i = 0; i + 1 < sizeof(names); i += 2)
		if (n == 1 && c == (unsigned char)names[i]) {
			buf_add_char(b, '\\');
			buf_add_char(b, names[i + 1]);
			return;
		}
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		buf_printf(b, "\\x%02x", c);
	else if (c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe ||
	    c == 0xffff)
		buf_printf(b, "\\u%04x", c);
	else
		buf_add(b, p, n);
}

static void
put_text(struct buf *b, struct span s)
{
	size_t i, n;

	if (is_plain(s)) {
		buf_add_span(b, s);
		return;
	}
	buf_add_char(b, '"');
	for (i = 0; i < s.n; i += n) {
		const unsigned char *p = (const unsigned char *)s.p + i;

		n = utf8_sequence(p, s.n - i);
		if (n == 0)
			n = 1;
		put_escaped(b, p, n);
	}
	buf_add_char(b, '"');
}

static void
put_string(struct buf *b, struct json_value v)
{
	struct span plain;
	char *text;
	long n;

	if (json_string_plain(v, &plain)) {
		put_text(b, plain);
		return;
	}
	text = xmalloc(v.raw.n + 1);
	n = json_string_decode(v, text, v.raw.n + 1);
	if (n >= 0)
		put_text(b, span_make(text, (size_t)n));
	else
		buf_add_str(b, "\"\\uFFFD\"");	/* half a surrogate pair */
	free(text);
}

static bool
is_empty(struct json_value v)
{
	struct span name;
	struct json_value first;
	size_t pos = 0;

	return v.type == JSON_ARRAY ? !json_next_element(v.raw, &pos, &first) :
	    !json_next_member(v.raw, &pos, &name, &first);
}

/* All but containers with something in them; false for those. */
static bool
put_on_line(struct buf *b, struct json_value v, const char *before)
{
	bool is_container = v.type == JSON_ARRAY || v.type == JSON_OBJECT;

	if (is_container && !is_empty(v))
		return false;
	buf_add_str(b, before);
	if (is_container)
		buf_add_str(b, v.type == JSON_ARRAY ? "[]" : "{}");
	else if (v.type == JSON_STRING)
		put_string(b, v);
	else
		buf_add_span(b, v.raw);
	buf_add_char(b, '\n');
	return true;
}

/* One entry of the container; a container in it becomes *inner. */
static bool
put_entry(struct buf *b, struct level *l, struct span name,
    struct json_value v, struct level *inner)
{
	if (!l->glued)
		buf_printf(b, "%*s", l->indent, "");
	l->glued = false;
	if (l->is_array)
		buf_add_str(b, "- ");
	else {
		put_string(b, (struct json_value){ JSON_STRING,
		    span_make(name.p - 1, name.n + 2) });
		buf_add_char(b, ':');
	}
	if (put_on_line(b, v, l->is_array ? "" : " "))
		return false;
	if (!l->is_array)
		buf_add_char(b, '\n');
	*inner = (struct level){ .raw = v.raw, .is_array = v.type == JSON_ARRAY,
	    .glued = l->is_array, .indent = l->indent + (l->is_array ||
	    v.type == JSON_OBJECT ? 2 : 0) };
	return true;
}

static void
put_document(struct buf *b, struct json_value root)
{
	struct level stack[JSON_DEPTH_MAX + 1];
	int depth = 1;

	if (put_on_line(b, root, ""))
		return;
	stack[0] = (struct level){ .raw = root.raw,
	    .is_array = root.type == JSON_ARRAY };
	while (depth > 0) {
		struct level *l = &stack[depth - 1];
		struct span name = SPAN_LIT("");
		struct json_value v;

		if (l->is_array ? !json_next_element(l->raw, &l->pos, &v) :
		    !json_next_member(l->raw, &l->pos, &name, &v))
			depth--;
		else if (put_entry(b, l, name, v, &stack[depth]))
			depth++;
	}
}

/* Bytes of the value that the text begins with. */
static size_t
value_size(struct span s)
{
	bool in_string = false;
	int depth = 0;
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
		if (!in_string && depth == 0 && (c == '}' || c == ']' ||
		    c == '"' || c == '\n'))
			return i + 1;
	}
	return s.n;
}

int
json_to_yaml(struct span text, struct buf *out, unsigned *documents)
{
	struct json_value root;
	size_t n;

	while (text.n > 0) {
		if (isspace((unsigned char)text.p[0])) {
			text = span_skip(text, 1);
			continue;
		}
		n = value_size(text);
		if (n > text.n || json_check(span_make(text.p, n), &root,
		    NULL) != JSON_OK)
			return -1;
		if ((*documents)++ > 0)
			buf_add_str(out, "---\n");
		put_document(out, root);
		text = span_skip(text, n);
	}
	return 0;
}
