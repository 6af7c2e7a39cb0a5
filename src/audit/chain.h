/*
 * chain -- the link between audit records, and the signature of a point of
 * it. Pure; shipper and verification.
 */
#ifndef OMNI2_AUDIT_CHAIN_H
#define OMNI2_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct auditlog_row;

/* SHA-256 (prev || seq, eight bytes, highest first || SHA-256 (record)). The
 * record has a digest of its own so that those of many can be made at once. */
void	chain_hash(const uint8_t prev[32], int64_t seq, struct span record,
	    uint8_t out[32]);
void	chain_link(const uint8_t prev[32], int64_t seq,
	    const uint8_t digest[32], uint8_t out[32]);

struct chain_key {
	bool	set;
	uint8_t	key[32];
};
/* Derives the key from auth.token_secret; "" or NULL: no key. */
void	chain_key_init(struct chain_key *, const char *secret);
/* HMAC of a check point; false without a key. arg is a struct chain_key, so
 * that auditlog_prune() can call it. */
bool	chain_sign(void *arg, const char *node, const char *kind, int64_t seq,
	    const uint8_t hash[32], uint8_t mac[32]);

/*
 * Fills row->v from the members of the record, decoded into scratch (which
 * must outlive the row). -1: it is no audit record.
 */
struct buf;
int	chain_row(struct span record, struct auditlog_row *row,
	    struct buf *scratch);
/* The same for records in any spelling; chain_row() takes it where
 * record_read() says no. */
int	chain_row_slowly(struct span record, struct auditlog_row *row,
	    struct buf *scratch);

#endif
