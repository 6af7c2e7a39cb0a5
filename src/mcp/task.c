/*
 * task -- see task.h. Pure but for the key.
 *
 * Capsule: version, server id, length of the tool's name, that name, the
 * server's id of the task; then 16 bytes of HMAC-SHA256 over principal and
 * capsule. What is inside is no news to its owner, so it is not encrypted.
 */
#include "mcp/task.h"

#include "base/hash.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/log.h"

#define VERSION		1u
#define HEAD		11u	/* version, server id, length */
#define SEAL		16u
#define TEXT_MAX	8192u

static uint8_t key[32];
static bool have_key;

void
task_init(const char *token_secret)
{
	static const char label[] = "omni2 task v1";

	hash_hmac_sha256(token_secret, strlen(token_secret), label,
	    sizeof(label) - 1, key);
	have_key = true;
}

static void
put64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static void
make_seal(struct arena *mem, int64_t user_id, const uint8_t *capsule, size_t n,
    uint8_t out[32])
{
	uint8_t *p = arena_alloc(mem, n + 8);

	ASSERT_ALWAYS(have_key);
	put64(p, (uint64_t)user_id);
	memcpy(p + 8, capsule, n);
	hash_hmac_sha256(key, sizeof(key), p, n + 8, out);
}

struct span
task_seal(struct arena *mem, int64_t user_id, const struct task_ref *r)
{
	size_t tool = r->tool.n < UINT16_MAX ? r->tool.n : UINT16_MAX;
	size_t n = HEAD + tool + r->id.n;
	uint8_t *raw = arena_alloc(mem, n + 32);
	char *text = arena_alloc(mem, (n + SEAL + 2) / 3 * 4 + 4);

	raw[0] = VERSION;
	put64(raw + 1, (uint64_t)r->server_id);
	raw[9] = (uint8_t)tool;
	raw[10] = (uint8_t)(tool >> 8);
	if (tool > 0)
		memcpy(raw + HEAD, r->tool.p, tool);
	if (r->id.n > 0)
		memcpy(raw + HEAD + tool, r->id.p, r->id.n);
	make_seal(mem, user_id, raw, n, raw + n);
	return span_make(text, base64url_encode(raw, n + SEAL, text));
}

bool
task_open(struct arena *mem, int64_t user_id, struct span text,
    struct task_ref *r)
{
	uint8_t want[32], *raw;
	uint64_t server = 0;
	size_t n, tool;
	long size;
	int i;

	if (text.n < (HEAD + SEAL) * 4 / 3 || text.n > TEXT_MAX)
		return false;
	raw = arena_alloc(mem, text.n);
	size = base64url_decode(text, raw, text.n);
	if (size < (long)(HEAD + SEAL))
		return false;
	n = (size_t)size - SEAL;
	make_seal(mem, user_id, raw, n, want);
	if (!secret_equal(want, raw + n, SEAL) || raw[0] != VERSION)
		return false;
	tool = (size_t)raw[9] | (size_t)raw[10] << 8;
	if (tool > n - HEAD)
		return false;
	for (i = 0; i < 8; i++)
		server |= (uint64_t)raw[1 + i] << 8 * i;
	r->server_id = (int64_t)server;
	r->tool = span_make((const char *)raw + HEAD, tool);
	r->id = span_make((const char *)raw + HEAD + tool, n - HEAD - tool);
	return true;
}

/* ---- ids inside messages ---------------------------------------------------- */

static void
put_id(const struct task_scope *s, struct json_value v, struct buf *out)
{
	struct task_ref r = { .server_id = s->server_id, .tool = s->tool };
	char *text = arena_alloc(s->mem, v.raw.n + 1);
	long n = json_string_decode(v, text, v.raw.n + 1);

	r.id = span_make(text, n < 0 ? 0 : (size_t)n);
	if (n < 0)
		buf_add_span(out, v.raw);
	else if (!s->inward)
		json_quote(out, task_seal(s->mem, s->user_id, &r));
	else if (task_open(s->mem, s->user_id, r.id, &r) &&
	    r.server_id == s->server_id)
		json_quote(out, r.id);
	else
		buf_add_span(out, v.raw);
}

/* The places inside this member of an object that has these places. */
static unsigned
places_inside(struct span name, unsigned places)
{
	if ((places & TASK_AT_TASK) != 0 && span_is(name, "task"))
		return TASK_AT_TOP;
	if ((places & TASK_AT_META) != 0 && span_is(name, "_meta"))
		return TASK_AT_RELATED;
	if ((places & TASK_AT_RELATED) != 0 &&
	    span_is(name, "io.modelcontextprotocol/related-task"))
		return TASK_AT_TOP;
	if (!span_is(name, "params"))
		return 0;
	if ((places & TASK_AT_PARAMS) != 0)
		return TASK_AT_TOP | TASK_AT_META;
	return (places & TASK_AT_PARAMS_META) != 0 ? TASK_AT_META : 0;
}

/* As deep as places go: params, _meta, related-task. */
void
task_rewrite(const struct task_scope *s, struct span object, unsigned places,
    struct buf *out)
{
	struct json_value v;
	struct span name;
	size_t pos = 0;
	bool first = true;
	unsigned inside;

	buf_add_char(out, '{');
	while (json_next_member(object, &pos, &name, &v)) {
		buf_add_str(out, first ? "\"" : ",\"");
		first = false;
		buf_add_span(out, name);
		buf_add(out, "\":", 2);
		inside = places_inside(name, places);
		if (inside != 0 && v.type == JSON_OBJECT)
			task_rewrite(s, v.raw, inside, out);
		else if ((places & TASK_AT_TOP) != 0 &&
		    span_is(name, "taskId") && v.type == JSON_STRING)
			put_id(s, v, out);
		else
			buf_add_span(out, v.raw);
	}
	buf_add_char(out, '}');
}
