/*
 * record -- one audit record as JSON, and its id.
 *
 * Pure but for the random numbers. Members that are empty are left out; the
 * order of the others never changes, because records are hashed as text.
 */
#include "audit/record.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/swar.h"

static const char *const decision_names[] = { "allow", "deny", "limit",
	"unauthenticated" };
static const char *const result_names[] = { "success", "error", "denied",
	"cancelled", "aborted" };

static uint8_t pool[1024];
static size_t pool_left;

/* A child must not draw the numbers that its parent draws too. */
static void
empty_pool(void)
{
	pool_left = 0;
}

static void
draw(uint8_t *out, size_t n)
{
	static bool registered;

	if (pool_left < n) {
		if (!registered)
			ASSERT_ALWAYS(pthread_atfork(NULL, NULL,
			    empty_pool) == 0);
		registered = true;
		random_bytes(pool, sizeof(pool));
		pool_left = sizeof(pool);
	}
	pool_left -= n;
	memcpy(out, pool + pool_left, n);
}

/* RFC 9562, version 7; rand_a holds the fraction of the millisecond. */
void
audit_record_id(uint8_t id[16], int64_t wall_us)
{
	uint64_t ms = (uint64_t)(wall_us / 1000);
	unsigned fraction = (unsigned)(wall_us % 1000) * 4096 / 1000;
	int i;

	for (i = 0; i < 6; i++)
		id[i] = (uint8_t)(ms >> 8 * (5 - i));
	draw(id + 8, 8);
	id[6] = (uint8_t)(0x70 | (fraction >> 8 & 0x0f));
	id[7] = (uint8_t)fraction;
	id[8] = (uint8_t)(0x80 | (id[8] & 0x3f));
}

static inline uint64_t
special(uint64_t x)
{
	return (x & SWAR_HIGH) | swar_below(x, 0x20) | swar_equal(x, '"') |
	    swar_equal(x, '\\');
}

/*
 * Copies what has nothing to escape and is ASCII only, as nearly every value
 * is. False if this one is not; then out holds rubbish. Eight bytes at a
 * time; the last eight again, whatever the length.
 */
static bool
copy_plain(char *out, struct span s)
{
	uint64_t x, found = 0;
	size_t i;

	if (s.n < 8) {
		for (i = 0; i < s.n; i++) {
			if (s.p[i] < 0x20 || s.p[i] == '"' || s.p[i] == '\\' ||
			    (s.p[i] & 0x80) != 0)
				return false;
			out[i] = s.p[i];
		}
		return true;
	}
	for (i = 0; i + 8 <= s.n; i += 8) {
		x = swar_load(s.p + i);
		found |= special(x);
		memcpy(out + i, &x, 8);
	}
	x = swar_load(s.p + s.n - 8);
	memcpy(out + s.n - 8, &x, 8);
	return (found | special(x)) == 0;
}

/* Room for the label and the value in its quotes is there. */
static void
put_value(struct buf *b, struct span s)
{
	char *p = b->p + b->n;

	if (!copy_plain(p + 1, s)) {
		json_quote(b, s);
		return;
	}
	p[0] = p[s.n + 1] = '"';
	b->n += s.n + 2;
}

/* label: ,"name": - a literal, so that copying it takes a few moves. */
static inline __attribute__((always_inline)) void
put(struct buf *b, struct span label, struct span s)
{
	if (s.n == 0)
		return;
	if (buf_reserve(b, label.n + s.n + 2) < 0) {
		b->overflow = true;
		return;
	}
	memcpy(b->p + b->n, label.p, label.n);
	b->n += label.n;
	put_value(b, s);
}

static void
put_int(struct buf *b, struct span label, int64_t v)
{
	buf_add_span(b, label);
	buf_add_i64(b, v);
}

static void
put_int_if(struct buf *b, struct span label, int64_t v)
{
	if (v != 0)
		put_int(b, label, v);
}

static void
put_id(struct buf *b, const uint8_t id[16])
{
	char hex[33], text[36];
	int i, n = 0;

	hash_hex(id, 16, hex);
	for (i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			text[n++] = '-';
		text[n++] = hex[i];
	}
	put(b, SPAN_LIT("{\"id\":"), span_make(text, sizeof(text)));
}

/* Most records of one process come within the same second. */
static struct span
format_time(int64_t wall_us)
{
	static char text[40];
	static int64_t second = -1;
	int64_t us = wall_us % 1000000;
	int i;

	if (us < 0 || wall_us / 1000000 != second) {
		clock_format_iso(text, sizeof(text), wall_us);
		second = us < 0 ? -1 : wall_us / 1000000;
		return span_str(text);
	}
	for (i = 25; i >= 20; i--, us /= 10)
		text[i] = (char)('0' + us % 10);
	return span_make(text, 27);
}

int
audit_record_json(const struct audit_record *r, struct buf *b)
{
	put_id(b, r->id);
	put(b, SPAN_LIT(",\"ts\":"), format_time(r->wall_us));
	put(b, SPAN_LIT(",\"node\":"), r->node);
	put(b, SPAN_LIT(",\"org\":"), r->org);
	put(b, SPAN_LIT(",\"principal\":"), r->principal);
	put(b, SPAN_LIT(",\"role\":"), r->role);
	put(b, SPAN_LIT(",\"credential\":"), r->credential);
	put(b, SPAN_LIT(",\"source\":"), r->source);
	put(b, SPAN_LIT(",\"client\":"), r->client);
	put(b, SPAN_LIT(",\"user_agent\":"), r->user_agent);
	put(b, SPAN_LIT(",\"trace_id\":"), r->trace_id);
	put(b, SPAN_LIT(",\"session\":"), r->session);
	put(b, SPAN_LIT(",\"method\":"), r->method);
	put(b, SPAN_LIT(",\"server\":"), r->server);
	put(b, SPAN_LIT(",\"object\":"), r->object);
	if (r->arguments.n > 0) {
		buf_add_span(b, SPAN_LIT(",\"arguments\":"));
		buf_add_span(b, r->arguments);
	}
	if (r->arguments_cut)
		buf_add_str(b, ",\"arguments_cut\":true");
	put(b, SPAN_LIT(",\"decision\":"), span_str(decision_names[r->decision]));
	put(b, SPAN_LIT(",\"rule\":"), r->rule);
	put(b, SPAN_LIT(",\"result\":"), span_str(result_names[r->result]));
	put_int_if(b, SPAN_LIT(",\"http_status\":"), r->http_status);
	put_int_if(b, SPAN_LIT(",\"rpc_code\":"), r->rpc_code);
	put(b, SPAN_LIT(",\"error\":"), r->error);
	put_int(b, SPAN_LIT(",\"duration_us\":"), r->duration_us);
	put_int_if(b, SPAN_LIT(",\"upstream_us\":"), r->upstream_us);
	put_int_if(b, SPAN_LIT(",\"request_bytes\":"), r->request_bytes);
	put_int_if(b, SPAN_LIT(",\"response_bytes\":"), r->response_bytes);
	if (r->incomplete)
		buf_add_str(b, ",\"incomplete\":true");
	buf_add_char(b, '}');
	return b->overflow ? -1 : 0;
}
