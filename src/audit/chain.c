/*
 * chain -- see chain.h.
 */
#include "audit/chain.h"

#include <string.h>

#include "audit/record_read.h"
#include "base/hash.h"
#include "base/json_read.h"
#include "store/auditlog.h"

static void
put64(uint8_t *p, uint64_t v)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * (7 - i));
}

void
chain_link(const uint8_t prev[32], int64_t seq, const uint8_t digest[32],
    uint8_t out[32])
{
	uint8_t text[32 + 8 + 32];

	memcpy(text, prev, 32);
	put64(text + 32, (uint64_t)seq);
	memcpy(text + 40, digest, 32);
	hash_sha256(text, sizeof(text), out);
}

void
chain_hash(const uint8_t prev[32], int64_t seq, struct span record,
    uint8_t out[32])
{
	uint8_t digest[32];

	hash_sha256(record.p, record.n, digest);
	chain_link(prev, seq, digest, out);
}

void
chain_key_init(struct chain_key *k, const char *secret)
{
	static const char label[] = "omni2 audit checkpoint 1";

	memset(k, 0, sizeof(*k));
	if (secret == NULL || *secret == '\0')
		return;
	hash_hmac_sha256(secret, strlen(secret), label, sizeof(label) - 1,
	    k->key);
	k->set = true;
}

bool
chain_sign(void *arg, const char *node, const char *kind, int64_t seq,
    const uint8_t hash[32], uint8_t mac[32])
{
	const struct chain_key *k = arg;
	uint8_t text[32 + 8 + 512], *p = text + 40;
	size_t node_n = strlen(node) + 1, kind_n = strlen(kind) + 1;

	if (!k->set || node_n + kind_n > 512)
		return false;
	memcpy(text, hash, 32);
	put64(text + 32, (uint64_t)seq);
	memcpy(p, kind, kind_n);
	memcpy(p + kind_n, node, node_n);
	hash_hmac_sha256(k->key, sizeof(k->key), text, 40 + kind_n + node_n,
	    mac);
	return true;
}

/* PostgreSQL has no NUL in text: it becomes U+FFFD here. */
static int
decode(struct json_value v, struct buf *scratch, size_t *at, size_t *n)
{
	long len, i;
	char *p;

	if (v.type != JSON_STRING) {
		*at = scratch->n;
		*n = v.raw.n;
		return buf_add_span(scratch, v.raw);
	}
	if (buf_reserve(scratch, 3 * v.raw.n) < 0)
		return -1;
	p = scratch->p + scratch->n;
	if ((len = json_string_decode(v, p, v.raw.n)) < 0)
		return -1;
	for (i = 0; i < len; i++) {
		if (p[i] != '\0')
			continue;
		memmove(p + i + 3, p + i + 1, (size_t)(len - i - 1));
		memcpy(p + i, "\xef\xbf\xbd", 3);
		len += 2;
		i += 2;
	}
	*at = scratch->n;
	*n = (size_t)len;
	scratch->n += (size_t)len;
	return 0;
}

int
chain_row_slowly(struct span record, struct auditlog_row *row,
    struct buf *scratch)
{
	static const char *const names[] = {
#define COLUMN(name, kind) #name,
#include "store/auditlog.def"
#undef COLUMN
	};
	struct json_value top, v[AUDITLOG_COLUMNS];
	size_t at[AUDITLOG_COLUMNS], n[AUDITLOG_COLUMNS] = { 0 };
	int i;

	if (json_check(record, &top, NULL) != JSON_OK ||
	    json_object(top.raw, names, v, AUDITLOG_COLUMNS) != JSON_OK)
		return -1;
	for (i = 0; i < AUDITLOG_COLUMNS; i++)
		if (v[i].type != JSON_NONE &&
		    decode(v[i], scratch, &at[i], &n[i]) < 0)
			return -1;
	/* Only now: the buffer may have moved while it grew. */
	for (i = 0; i < AUDITLOG_COLUMNS; i++)
		row->v[i] = n[i] == 0 ? span_make("", 0) :
		    span_make(scratch->p + at[i], n[i]);
	row->record = record;
	row->plain = row->record_plain = false;
	return v[AUDITLOG_ts].type == JSON_STRING &&
	    v[AUDITLOG_id].type == JSON_STRING ? 0 : -1;
}

int
chain_row(struct span record, struct auditlog_row *row, struct buf *scratch)
{
	return record_read(record, row) ? 0 :
	    chain_row_slowly(record, row, scratch);
}
