/*
 * json_write -- the writing half of JSON: commas, names, escapes.
 *
 * Every process. Balanced begin/end is the caller's business; what is made
 * here is valid JSON in valid UTF-8 whatever bytes come in.
 */
#include "base/json_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

void
json_out_init(struct json_out *o, struct buf *b)
{
	o->b = b;
	o->need_comma = false;
}

static void
begin_value(struct json_out *o, const char *name)
{
	if (o->need_comma)
		buf_add_char(o->b, ',');
	o->need_comma = true;
	if (name != NULL) {
		json_quote(o->b, span_str(name));
		buf_add_char(o->b, ':');
	}
}

void
json_object_begin(struct json_out *o, const char *name)
{
	begin_value(o, name);
	buf_add_char(o->b, '{');
	o->need_comma = false;
}

void
json_object_end(struct json_out *o)
{
	buf_add_char(o->b, '}');
	o->need_comma = true;
}

void
json_array_begin(struct json_out *o, const char *name)
{
	begin_value(o, name);
	buf_add_char(o->b, '[');
	o->need_comma = false;
}

void
json_array_end(struct json_out *o)
{
	buf_add_char(o->b, ']');
	o->need_comma = true;
}

void
json_put_string(struct json_out *o, const char *name, struct span s)
{
	begin_value(o, name);
	json_quote(o->b, s);
}

void
json_put_str(struct json_out *o, const char *name, const char *s)
{
	if (s == NULL)
		json_put_null(o, name);
	else
		json_put_string(o, name, span_str(s));
}

void
json_put_int(struct json_out *o, const char *name, int64_t v)
{
	begin_value(o, name);
	buf_add_i64(o->b, v);
}

void
json_put_double(struct json_out *o, const char *name, double v)
{
	char text[40];
	int precision;

	begin_value(o, name);
	if (!isfinite(v)) {
		buf_add_str(o->b, "null");
		return;
	}
	/* The shortest that reads back as the same number. */
	for (precision = 15; precision <= 17; precision++) {
		snprintf(text, sizeof(text), "%.*g", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_add_str(o->b, text);
}

void
json_put_bool(struct json_out *o, const char *name, bool v)
{
	begin_value(o, name);
	buf_add_str(o->b, v ? "true" : "false");
}

void
json_put_null(struct json_out *o, const char *name)
{
	begin_value(o, name);
	buf_add_str(o->b, "null");
}

void
json_put_raw(struct json_out *o, const char *name, struct span raw)
{
	begin_value(o, name);
	if (raw.n == 0)
		buf_add_str(o->b, "null");
	else
		buf_add_span(o->b, raw);
}

static void
quote_byte(struct buf *b, unsigned char c)
{
	static const char letters[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
		['\r'] = 'r',
	};

	if (c >= 0x80) {
		buf_add_str(b, "\xef\xbf\xbd");		/* U+FFFD */
	} else if (c >= 0x20 || letters[c] != '\0') {
		buf_add_char(b, '\\');
		buf_add_char(b, c >= 0x20 ? (char)c : letters[c]);
	} else {
		buf_printf(b, "\\u%04x", c);
	}
}

int
json_quote(struct buf *b, struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0, start = 0, n;

	buf_add_char(b, '"');
	while (i < s.n) {
		if (p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' &&
		    p[i] != '\\') {
			i++;
			continue;
		}
		n = p[i] < 0x80 ? 0 : utf8_sequence(p + i, s.n - i);
		if (n > 0) {
			i += n;
			continue;
		}
		buf_add(b, s.p + start, i - start);
		quote_byte(b, p[i]);
		start = ++i;
	}
	if (s.n > start)
		buf_add(b, s.p + start, s.n - start);
	return buf_add_char(b, '"');
}
