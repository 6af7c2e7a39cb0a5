/*
 * json_text -- what a value of checked JSON text stands for: strings without
 * their escapes, integers, booleans. See json_read.h.
 */
#include "base/json_int.h"
#include "base/num.h"

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
		int d = num_hex_digit(p[i]);

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
