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

static void
put_id(struct json_out *o, const uint8_t id[16])
{
	char hex[33], text[36];
	int i, n = 0;

	hash_hex(id, 16, hex);
	for (i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20)
			text[n++] = '-';
		text[n++] = hex[i];
	}
	json_put_string(o, "id", span_make(text, sizeof(text)));
}

static void
put(struct json_out *o, const char *name, struct span s)
{
	if (s.n > 0)
		json_put_string(o, name, s);
}

static void
put_int(struct json_out *o, const char *name, int64_t v)
{
	if (v != 0)
		json_put_int(o, name, v);
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
	struct json_out o;

	json_out_init(&o, b);
	json_object_begin(&o, NULL);
	put_id(&o, r->id);
	json_put_string(&o, "ts", format_time(r->wall_us));
	put(&o, "node", r->node);
	put(&o, "org", r->org);
	put(&o, "principal", r->principal);
	put(&o, "role", r->role);
	put(&o, "credential", r->credential);
	put(&o, "source", r->source);
	put(&o, "client", r->client);
	put(&o, "user_agent", r->user_agent);
	put(&o, "trace_id", r->trace_id);
	put(&o, "session", r->session);
	put(&o, "method", r->method);
	put(&o, "server", r->server);
	put(&o, "object", r->object);
	if (r->arguments.n > 0)
		json_put_raw(&o, "arguments", r->arguments);
	if (r->arguments_cut)
		json_put_bool(&o, "arguments_cut", true);
	json_put_str(&o, "decision", decision_names[r->decision]);
	put(&o, "rule", r->rule);
	json_put_str(&o, "result", result_names[r->result]);
	put_int(&o, "http_status", r->http_status);
	put_int(&o, "rpc_code", r->rpc_code);
	put(&o, "error", r->error);
	json_put_int(&o, "duration_us", r->duration_us);
	put_int(&o, "upstream_us", r->upstream_us);
	put_int(&o, "request_bytes", r->request_bytes);
	put_int(&o, "response_bytes", r->response_bytes);
	json_object_end(&o);
	return b->overflow ? -1 : 0;
}
