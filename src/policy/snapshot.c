/*
 * snapshot -- look-ups in a policy snapshot.
 *
 * Runs wherever a snapshot is pinned (workers, poller) or built (loader,
 * omni2ctl). Reads only: no allocation, no lock, and no trust in anything
 * but the snapshot itself. Tables are at most half full, so every probe ends
 * at an empty place.
 */
#include "policy/snapshot.h"

#include "base/hash.h"

/* Order of names in sorted arrays: bytes, the shorter first. */
static int
compare_spans(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (order != 0)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

static int
compare_named(const struct pol_head *p, uint32_t org, struct span name,
    uint32_t have_org, struct pol_str have)
{
	if (org != have_org)
		return org < have_org ? -1 : 1;
	return compare_spans(name, pol_span(p, have));
}

/* The next user with this e-mail at or behind *place; moves *place on. */
static uint32_t
next_user(const struct pol_head *p, struct span email, uint64_t *place)
{
	const uint32_t *table = pol_at(p, p->user_table.off);
	uint64_t mask = (uint64_t)p->user_table.n - 1;
	uint32_t user;

	if (p->user_table.n == 0)
		return POL_NONE;
	while ((user = table[(*place)++ & mask]) != POL_NONE)
		if (span_eq(pol_span(p, pol_user(p, user)->email), email))
			return user;
	return POL_NONE;
}

uint32_t
pol_find_user(const struct pol_head *p, struct span email)
{
	uint64_t place = hash_bytes(p->seed, email.p, email.n);
	uint32_t user = next_user(p, email, &place);

	/* Two organisations have this e-mail: it alone names nobody. */
	if (user != POL_NONE && next_user(p, email, &place) != POL_NONE)
		return POL_NONE;
	return user;
}

uint32_t
pol_find_user_in(const struct pol_head *p, uint32_t org, struct span email)
{
	uint64_t place = hash_bytes(p->seed, email.p, email.n);
	uint32_t user;

	do {
		user = next_user(p, email, &place);
	} while (user != POL_NONE && pol_user(p, user)->org != org);
	return user;
}

uint32_t
pol_find_org(const struct pol_head *p, struct span name)
{
	const struct pol_str *org = pol_at(p, p->orgs.off);
	uint32_t low = 1, high = p->orgs.n, middle;
	int order;

	if (p->orgs.n > 0 && span_eq(pol_span(p, org[0]), name))
		return 0;		/* "default" stands before the rest */
	while (low < high) {
		middle = low + (high - low) / 2;
		order = compare_spans(name, pol_span(p, org[middle]));
		if (order == 0)
			return middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return POL_NONE;
}

uint32_t
pol_find_server(const struct pol_head *p, uint32_t org, struct span name)
{
	uint32_t low = 0, high = p->servers.n, middle;
	const struct pol_server *s;
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		s = pol_server(p, middle);
		order = compare_named(p, org, name, s->org, s->name);
		if (order == 0)
			return middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return POL_NONE;
}

uint32_t
pol_find_role(const struct pol_head *p, uint32_t org, struct span name)
{
	uint32_t low = 0, high = p->roles.n, middle;
	const struct pol_role *r;
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		r = pol_role(p, middle);
		order = compare_named(p, org, name, r->org, r->name);
		if (order == 0)
			return middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return POL_NONE;
}

const struct pol_key *
pol_find_key(const struct pol_head *p, const uint8_t sha256[32])
{
	const struct pol_key *place = pol_at(p, p->key_table.off);
	uint64_t mask = (uint64_t)p->key_table.n - 1, i;

	if (p->key_table.n == 0)
		return NULL;
	memcpy(&i, sha256, sizeof(i));
	for (i &= mask; place[i].used; i = (i + 1) & mask)
		if (secret_equal(place[i].sha256, sha256, 32))
			return &place[i];
	return NULL;
}

bool
pol_is_revoked(const struct pol_head *p, struct span jti)
{
	const uint64_t *hash = pol_at(p, p->revoked.off);
	uint64_t wanted = hash_bytes(p->seed, jti.p, jti.n);
	uint32_t low = 0, high = p->revoked.n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (hash[middle] == wanted)
			return true;
		if (wanted < hash[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}
