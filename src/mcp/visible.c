/*
 * visible -- which items of the catalog a caller may see, remembered.
 *
 * A listing over thousands of tools would ask the permission cache once per
 * tool; the worker keeps the few results it made last, keyed by user and both
 * generations, so a list costs what it shows, not what it hides.
 */
#include "mcp/stream.h"

#include "base/hash.h"

uint32_t
mcp_server_by_id(const struct pol_head *p, int64_t server_id)
{
	uint32_t i;

	for (i = 0; i < p->servers.n; i++)
		if (pol_server(p, i)->id == server_id)
			return i;
	return POL_NONE;
}

uint32_t
mcp_policy_server(struct mcp_call *c, const struct cat_server *s)
{
	uint32_t i, org = pol_user(c->policy, c->who.user)->org;

	i = pol_find_server(c->policy, org, cat_span(c->catalog, s->name));
	if (i != POL_NONE && pol_server(c->policy, i)->id != s->server_id)
		return POL_NONE;	/* replaced by another one of that name */
	return i;
}

static void
remember(struct visible *v, uint32_t item)
{
	if (v->n == v->cap) {
		v->cap = v->cap == 0 ? 64 : v->cap * 2;
		v->item = xrealloc(v->item, v->cap * sizeof(v->item[0]));
	}
	v->item[v->n++] = item;
}

static void
fill(struct mcp_call *c, struct visible *v)
{
	const struct cat_head *cat = c->catalog;
	uint32_t i, k, server;

	v->n = 0;
	for (i = 0; i < cat->n_servers; i++) {
		const struct cat_server *s = cat_server(cat, i);

		if (v->server != CAT_NONE && v->server != i)
			continue;
		if (!span_is(cat_span(cat, s->org), c->org))
			continue;
		server = mcp_policy_server(c, s);
		if (server == POL_NONE ||
		    !rbac_may_use_server(c->policy, c->who.user, server))
			continue;
		for (k = 0; k < s->n[v->kind]; k++) {
			uint32_t item = s->first[v->kind] + k;
			const struct cat_item *it = cat_item(cat, item);

			if (mcp_may(c, server, (enum item_kind)it->kind,
			    cat_span(cat, it->name), item, false))
				remember(v, item);
		}
	}
}

static struct visible *
find(struct mcp_call *c, enum item_kind kind, uint32_t server)
{
	struct mcp *m = c->mcp;
	struct visible *v, *oldest = &m->visible[0];
	int i;

	m->visible_clock++;
	for (i = 0; i < VISIBLE_CACHE; i++) {
		v = &m->visible[i];
		if (v->used_at != 0 && v->policy == c->policy_generation &&
		    v->catalog == c->catalog_generation &&
		    v->user == c->who.user && v->kind == (uint32_t)kind &&
		    v->server == server) {
			v->used_at = m->visible_clock;
			return v;
		}
		if (v->used_at < oldest->used_at)
			oldest = v;
	}
	v = oldest;
	v->policy = c->policy_generation;
	v->catalog = c->catalog_generation;
	v->user = c->who.user;
	v->kind = kind;
	v->server = server;
	v->hash = 0;
	fill(c, v);
	v->used_at = m->visible_clock;
	return v;
}

const struct visible *
mcp_visible(struct mcp_call *c, enum item_kind kind, uint32_t server)
{
	return find(c, kind, server);
}

uint64_t
mcp_visible_hash(struct mcp_call *c, enum item_kind kind, uint32_t server)
{
	struct visible *v = find(c, kind, server);
	uint64_t h = hash_mix((uint64_t)kind + 1);
	uint32_t i;

	if (v->hash != 0)
		return v->hash;
	for (i = 0; i < v->n; i++) {
		const struct cat_item *it = cat_item(c->catalog, v->item[i]);
		struct span raw = cat_span(c->catalog, it->raw);
		struct span name = cat_span(c->catalog, it->exposed);

		h = hash_bytes(h, name.p, name.n);
		h = hash_bytes(h, raw.p, raw.n);
	}
	v->hash = h | 1;
	return v->hash;
}
