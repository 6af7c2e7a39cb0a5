/*
 * record_read -- see record_read.h.
 *
 * First one look at all bytes: no control character means that none stands in
 * a string unescaped; bytes beyond ASCII mean that the whole is checked to be
 * UTF-8; no backslash means that a quote ends a string and that COPY has
 * nothing to escape. Then label after label in the order of record.c.
 */
#include "audit/record_read.h"

#include <stdint.h>

#include "base/json_read.h"
#include "base/swar.h"
#include "base/utf8.h"

#define LABEL_MAX	24
#define DIGITS_MAX	18		/* what fits an int64_t whatever it is */
#define NO_COLUMN	(-1)

enum kind { STRING, INTEGER, TRUE, JSON };

struct member {
	union {
		char	 text[LABEL_MAX];
		uint64_t word[LABEL_MAX / 8];
	} label;			/* "name": */
	uint8_t		 n;
	enum kind	 kind;
	int		 column;
};

#define MEMBER(name, kind, column) \
	{ { "\"" name "\":" }, sizeof("\"" name "\":") - 1, kind, column }

/* In the order of audit_record_json(). */
static const struct member members[] = {
	MEMBER("id", STRING, AUDITLOG_id),
	MEMBER("ts", STRING, AUDITLOG_ts),
	MEMBER("node", STRING, NO_COLUMN),
	MEMBER("org", STRING, AUDITLOG_org),
	MEMBER("principal", STRING, AUDITLOG_principal),
	MEMBER("role", STRING, AUDITLOG_role),
	MEMBER("credential", STRING, AUDITLOG_credential),
	MEMBER("source", STRING, AUDITLOG_source),
	MEMBER("client", STRING, AUDITLOG_client),
	MEMBER("user_agent", STRING, AUDITLOG_user_agent),
	MEMBER("trace_id", STRING, AUDITLOG_trace_id),
	MEMBER("session", STRING, AUDITLOG_session),
	MEMBER("method", STRING, AUDITLOG_method),
	MEMBER("server", STRING, AUDITLOG_server),
	MEMBER("object", STRING, AUDITLOG_object),
	MEMBER("arguments", JSON, NO_COLUMN),
	MEMBER("arguments_cut", TRUE, NO_COLUMN),
	MEMBER("decision", STRING, AUDITLOG_decision),
	MEMBER("rule", STRING, AUDITLOG_rule),
	MEMBER("result", STRING, AUDITLOG_result),
	MEMBER("http_status", INTEGER, AUDITLOG_http_status),
	MEMBER("rpc_code", INTEGER, AUDITLOG_rpc_code),
	MEMBER("error", STRING, AUDITLOG_error),
	MEMBER("duration_us", INTEGER, AUDITLOG_duration_us),
	MEMBER("upstream_us", INTEGER, AUDITLOG_upstream_us),
	MEMBER("request_bytes", INTEGER, AUDITLOG_request_bytes),
	MEMBER("response_bytes", INTEGER, AUDITLOG_response_bytes),
	MEMBER("incomplete", TRUE, NO_COLUMN),
};

#define N_MEMBERS	(sizeof(members) / sizeof(members[0]))

typedef uint8_t bytes16 __attribute__((vector_size(16)));

static inline bool
any_set(bytes16 v)
{
	uint64_t word[2];

	memcpy(word, &v, sizeof(v));
	return (word[0] | word[1]) != 0;
}

struct look {
	bool	control, backslash, high;
};

static struct look
look_at(struct span s)
{
	bytes16 control = { 0 }, backslash = { 0 }, high = { 0 }, x;
	struct look k;
	size_t i = 0;

	for (; i + 16 <= s.n; i += 16) {
		memcpy(&x, s.p + i, 16);
		control |= (bytes16)(x < 0x20);
		backslash |= (bytes16)(x == '\\');
		high |= x & 0x80;
	}
	k = (struct look){ any_set(control), any_set(backslash),
	    any_set(high) };
	for (; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		k.control |= c < 0x20;
		k.backslash |= c == '\\';
		k.high |= c >= 0x80;
	}
	return k;
}

static bool
is_utf8(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i = 0, n;

	for (; i < s.n; i += n) {
		if (i + 8 <= s.n && (swar_load(p + i) & SWAR_HIGH) == 0)
			n = 8;
		else if ((n = utf8_sequence(p + i, s.n - i)) == 0)
			return false;
	}
	return true;
}

/* Does the text begin with this label? */
static inline bool
is_label(const char *p, const char *end, const struct member *m)
{
	uint64_t left, word;
	unsigned i;

	if (end - p < LABEL_MAX)
		return end - p >= m->n && memcmp(p, m->label.text, m->n) == 0;
	for (i = 0, left = m->n; left > 8; i++, left -= 8)
		if (swar_load(p + 8 * i) != m->label.word[i])
			return false;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	word = swar_load(p + 8 * i) << 8 * (8 - left);
	return word == m->label.word[i] << 8 * (8 - left);
#else
	(void)word;
	return memcmp(p + 8 * i, m->label.text + 8 * i, left) == 0;
#endif
}

/* Each read_ function takes the place where its value begins and returns the
 * place behind it, or NULL. */
static inline const char *
read_string(const char *p, const char *end, bool backslash, struct span *v)
{
	const char *begin;

	if (p == end || *p++ != '"')
		return NULL;
	for (begin = p; end - p >= 8; p += 8) {
		uint64_t quotes = swar_equal(swar_load(p), '"');

		if (quotes != 0) {
			p += swar_skip(quotes);
			break;
		}
	}
	while (p < end && *p != '"')
		p++;
	*v = span_make(begin, (size_t)(p - begin));
	if (p == end || (backslash && memchr(v->p, '\\', v->n) != NULL))
		return NULL;
	return p + 1;
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *
read_integer(const char *p, const char *end, struct span *v)
{
	const char *begin = p, *digits;

	if (p < end && *p == '-')
		p++;
	for (digits = p; p < end && is_digit(*p); p++)
		;
	*v = span_make(begin, (size_t)(p - begin));
	return p == digits || p - digits > DIGITS_MAX ||
	    (*digits == '0' && p - digits > 1) ? NULL : p;
}

static const char *
read_true(const char *p, const char *end)
{
	return end - p >= 4 && memcmp(p, "true", 4) == 0 ? p + 4 : NULL;
}

/* The value of the member whose label is at `label`. */
static const char *
read_json(struct span record, const char *label)
{
	size_t pos = (size_t)(label - record.p) - 1;	/* of the comma */
	struct json_value v, checked;
	struct span name;

	if (!json_next_member(record, &pos, &name, &v) ||
	    json_check(v.raw, &checked, NULL) != JSON_OK)
		return NULL;
	return v.raw.p + v.raw.n;
}

static const char *
read_value(const struct member *m, struct span record, const char *label,
    bool backslash, struct span *v)
{
	const char *p = label + m->n, *end = record.p + record.n;

	switch (m->kind) {
	case STRING:
		return read_string(p, end, backslash, v);
	case INTEGER:
		return read_integer(p, end, v);
	case TRUE:
		return read_true(p, end);
	case JSON:
		return read_json(record, label);
	}
	return NULL;
}

bool
record_read(struct span record, struct auditlog_row *row)
{
	const char *p = record.p, *end = p + record.n;
	struct look k = look_at(record);
	struct span v = { NULL, 0 };
	char before = '{';
	unsigned i;

	if (k.control || (k.high && !is_utf8(record)))
		return false;
	for (i = 0; i < AUDITLOG_COLUMNS; i++)
		row->v[i] = span_make("", 0);
	for (i = 0; i < N_MEMBERS; i++) {
		const struct member *m = &members[i];

		if (p == end || *p != before || !is_label(p + 1, end, m)) {
			if (i < 2)
				return false;	/* id and ts must be there */
			continue;
		}
		p = read_value(m, record, p + 1, k.backslash, &v);
		if (p == NULL)
			return false;
		if (m->column != NO_COLUMN)
			row->v[m->column] = v;
		before = ',';
	}
	row->record = record;
	row->plain = true;
	row->record_plain = !k.backslash;
	return end - p == 1 && *p == '}';
}
