/*
 * state -- see state.h. Pure but for the key.
 */
#include "mcp/state.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"

#define STATE_MAX	(256u << 10)

static uint8_t key[32];
static bool have_key;

struct capsule {			/* then inner, then 32 bytes of MAC */
	uint8_t		version, kind, pad[2];
	uint32_t	slot;
	uint64_t	call;
	int64_t		expires;
};

void
state_init(const char *token_secret)
{
	static const char label[] = "omni2 request state v1";

	hash_hmac_sha256(token_secret, strlen(token_secret), label,
	    sizeof(label) - 1, key);
	have_key = true;
}

/* MAC over capsule, inner and scope, each with its length. */
static void
mac(struct arena *mem, const char *bytes, size_t n,
    const struct state_scope *s, uint8_t out[32])
{
	size_t size = n + 32 + s->method.n + s->name.n;
	uint64_t lengths[4] = { (uint64_t)s->user_id, (uint64_t)s->server_id,
	    s->method.n, s->name.n };
	char *p = arena_alloc(mem, size), *at = p;

	ASSERT_ALWAYS(have_key);
	memcpy(at, lengths, sizeof(lengths));
	at += sizeof(lengths);
	memcpy(at, s->method.p, s->method.n);
	at += s->method.n;
	if (s->name.n > 0)
		memcpy(at, s->name.p, s->name.n);
	at += s->name.n;
	memcpy(at, bytes, n);
	hash_hmac_sha256(key, sizeof(key), p, size, out);
}

struct span
state_seal(struct arena *mem, const struct state *st,
    const struct state_scope *scope, int64_t expires)
{
	struct capsule c = { .version = 1, .kind = (uint8_t)st->kind,
	    .slot = st->slot, .call = st->call, .expires = expires };
	size_t n = sizeof(c) + st->inner.n;
	uint8_t *raw = arena_alloc(mem, n + 32);
	char *text = arena_alloc(mem, (n + 32 + 2) / 3 * 4 + 4);

	memcpy(raw, &c, sizeof(c));
	if (st->inner.n > 0)
		memcpy(raw + sizeof(c), st->inner.p, st->inner.n);
	mac(mem, (const char *)raw, n, scope, raw + n);
	return span_make(text, base64url_encode(raw, n + 32, text));
}

int
state_open(struct arena *mem, struct span text, const struct state_scope *scope,
    int64_t now, struct state *st, struct err *e)
{
	struct capsule c;
	uint8_t want[32], *raw;
	long n;

	if (text.n > STATE_MAX || text.n < (sizeof(c) + 32) * 4 / 3)
		return err_set(e, ERR_PARAMS, "params.requestState is not ours");
	raw = arena_alloc(mem, text.n);
	n = base64url_decode(text, raw, text.n);
	if (n < (long)sizeof(c) + 32)
		return err_set(e, ERR_PARAMS, "params.requestState is not ours");
	mac(mem, (const char *)raw, (size_t)n - 32, scope, want);
	if (!secret_equal(want, raw + n - 32, 32))
		return err_set(e, ERR_PARAMS, "params.requestState was changed, "
		    "or belongs to another request or caller");
	memcpy(&c, raw, sizeof(c));
	if (c.version != 1 || now >= c.expires)
		return err_set(e, ERR_PARAMS, "params.requestState has expired");
	st->kind = (enum state_kind)c.kind;
	st->slot = c.slot;
	st->call = c.call;
	st->inner = span_make((const char *)raw + sizeof(c),
	    (size_t)n - sizeof(c) - 32);
	return 0;
}
