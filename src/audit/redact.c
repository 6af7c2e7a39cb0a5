/*
 * redact -- copies JSON arguments without the values that must not be kept.
 *
 * Pure. One pass from left to right without recursion; so a text that is cut
 * at its limit holds nothing that would have been redacted further on.
 */
#include "audit/record.h"

#include <stdlib.h>

#include "base/glob.h"
#include "base/json_read.h"
#include "base/json_write.h"

#define NAME_MAX_BYTES	256
#define DEPTH_MAX	256

struct redactor {
	const struct audit_redaction *rules;
	struct buf	*out;
	size_t		 limit;		/* out->n beyond which nobody looks */
	uint8_t		 in_object[DEPTH_MAX];
	int		 depth;
};

/* "*word*" is by far the most frequent pattern: its length, or 0. */
static size_t
word_size(const char *glob)
{
	size_t n = strlen(glob);

	return n > 2 && glob[0] == '*' && glob[n - 1] == '*' &&
	    strcspn(glob + 1, "*?[") == n - 2 ? n - 2 : 0;
}

void
audit_redaction_init(struct audit_redaction *r, const char (*globs)[128],
    unsigned n)
{
	unsigned i;

	memset(r, 0, sizeof(*r));
	r->globs = globs;
	r->n = n;
	for (i = 0; i < n && i < 64; i++) {
		r->word_n[i] = (uint8_t)word_size(globs[i]);
		if (r->word_n[i] > 0)
			r->begins[globs[i][1] & 31] |= 1ULL << i;
	}
}

/* Does one of the words stand in the name? Most letters begin none. */
static bool
holds_word(const struct audit_redaction *r, struct span name)
{
	uint64_t words;
	unsigned k;
	size_t i;

	for (i = 0; i < name.n; i++)
		for (words = r->begins[name.p[i] & 31]; words != 0;
		    words &= words - 1) {
			k = (unsigned)__builtin_ctzll(words);
			if (name.n - i >= r->word_n[k] && memcmp(name.p + i,
			    r->globs[k] + 1, r->word_n[k]) == 0)
				return true;
		}
	return false;
}

static bool
matches(const struct audit_redaction *r, struct span name)
{
	unsigned i;

	if (holds_word(r, name))
		return true;
	for (i = 0; i < r->n; i++)
		if ((i >= 64 || r->word_n[i] == 0) &&
		    glob_match(r->globs[i], name))
			return true;
	return false;
}

/* raw: the name with its quotes. A name that cannot be read is redacted. */
static bool
is_secret(const struct redactor *r, struct span raw)
{
	struct json_value v = { JSON_STRING, raw };
	char name[NAME_MAX_BYTES];
	long n = json_string_decode(v, name, sizeof(name));
	long k;

	if (n < 0)
		return r->rules->n > 0;
	for (k = 0; k < n; k++)
		if (name[k] >= 'A' && name[k] <= 'Z')
			name[k] = (char)(name[k] + 'a' - 'A');
	return matches(r->rules, span_make(name, (size_t)n));
}

/* Bytes of the string that begins at s, quotes included. Checked text. */
static size_t
string_size(struct span s)
{
	size_t i = 1;

	while (i < s.n && s.p[i] != '"')
		i += s.p[i] == '\\' ? 2 : 1;
	return i < s.n ? i + 1 : s.n;
}

/* Bytes of the value that begins at s. */
static size_t
value_size(struct span s)
{
	size_t i = 0;
	int depth = 0;

	while (i < s.n) {
		if (s.p[i] == '"') {
			i += string_size(span_skip(s, i));
		} else if (s.p[i] == '{' || s.p[i] == '[') {
			depth++;
			i++;
		} else if (s.p[i] == '}' || s.p[i] == ']') {
			if (--depth < 0)
				break;
			i++;
		} else if (depth == 0) {
			while (i < s.n && strchr(",]} \t\r\n", s.p[i]) == NULL)
				i++;
		} else {
			i++;
		}
		if (depth == 0)
			break;
	}
	return i;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t
skip_space(struct span s, size_t i)
{
	while (i < s.n && is_space(s.p[i]))
		i++;
	return i;
}

/* A string in an object where a name is due: name, colon, perhaps value. */
static size_t
copy_name(struct redactor *r, struct span s)
{
	size_t n = string_size(s), at = skip_space(s, n);

	buf_add(r->out, s.p, n);
	if (at >= s.n || s.p[at] != ':')
		return n;
	buf_add_char(r->out, ':');
	at = skip_space(s, at + 1);
	if (is_secret(r, span_make(s.p, n))) {
		buf_add_str(r->out, "\"[redacted]\"");
		at += value_size(span_skip(s, at));
	}
	return at;
}

static void
copy(struct redactor *r, struct span s)
{
	bool want_name = false;
	size_t i = 0, n;
	char c;

	while (i < s.n && r->out->n <= r->limit && !r->out->overflow) {
		c = s.p[i];
		if (c == '"') {
			n = want_name ? copy_name(r, span_skip(s, i)) :
			    string_size(span_skip(s, i));
			if (!want_name)
				buf_add(r->out, s.p + i, n);
			want_name = false;
			i += n;
			continue;
		}
		if ((c == '{' || c == '[') && r->depth < DEPTH_MAX)
			r->in_object[r->depth++] = c == '{';
		else if ((c == '}' || c == ']') && r->depth > 0)
			r->depth--;
		if (c == '{' || c == ',')
			want_name = r->depth > 0 && r->in_object[r->depth - 1];
		else if (!is_space(c))
			want_name = false;
		if (!is_space(c))
			buf_add_char(r->out, c);
		i++;
	}
}

/* Keeps the first max bytes of what was appended, as a JSON string. */
static int
cut_at(struct buf *out, size_t begin, size_t max)
{
	struct buf text;
	size_t n = max;
	int rv;

	while (n > 0 && ((unsigned char)out->p[begin + n] & 0xc0) == 0x80)
		n--;
	buf_init(&text, 6 * max + 16);
	rv = json_quote(&text, span_make(out->p + begin, n));
	out->n = begin;
	if (rv == 0)
		rv = buf_add_span(out, buf_span(&text));
	buf_free(&text);
	return rv;
}

int
audit_redact(const struct audit_redaction *rules, struct span json, size_t max,
    struct buf *out, bool *cut)
{
	struct redactor r = { .rules = rules, .out = out,
	    .limit = out->n + max };
	size_t begin = out->n;

	*cut = false;
	copy(&r, json);
	if (out->overflow)
		return -1;
	if (out->n - begin <= max)
		return 0;
	*cut = true;
	return cut_at(out, begin, max);
}
