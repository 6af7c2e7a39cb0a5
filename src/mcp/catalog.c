/*
 * catalog -- builds and reads the snapshot of everything that servers offer.
 *
 * catalog_build() runs in the poller (and in tests); the rest in any process
 * that has the snapshot pinned. The builder is a bump allocator over the
 * given buffer; nothing here keeps a pointer beyond the call.
 */
#include "mcp/catalog.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/json_read.h"
#include "base/json_write.h"

struct builder {
	char		*base;
	size_t		 used, size;
	bool		 full;
};

static void *
bump(struct builder *b, size_t n, size_t align)
{
	size_t at = (b->used + align - 1) & ~(align - 1);

	if (b->full || at > b->size || n > b->size - at) {
		b->full = true;
		return NULL;
	}
	b->used = at + n;
	return b->base + at;
}

static struct cat_str
put(struct builder *b, struct span s)
{
	struct cat_str r = { 0, 0 };
	char *p = bump(b, s.n + 1, 1);

	if (p == NULL)
		return r;
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	r.off = (uint32_t)(p - b->base);
	r.len = (uint32_t)s.n;
	return r;
}

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-';
}

void
catalog_expose_name(char out[CAT_EXPOSED_MAX + 1], struct span server,
    struct span name)
{
	bool changed = server.n + 2 + name.n > CAT_EXPOSED_MAX;
	size_t i, n = 0, limit;

	for (i = 0; i < name.n && !changed; i++)
		changed = !is_name_byte(name.p[i]);
	limit = changed ? CAT_EXPOSED_MAX - 9 : CAT_EXPOSED_MAX;
	for (i = 0; i < server.n && n < limit; i++)
		out[n++] = server.p[i];
	for (i = 0; i < 2 && n < limit; i++)
		out[n++] = '_';
	for (i = 0; i < name.n && n < limit; i++)
		out[n++] = is_name_byte(name.p[i]) ? name.p[i] : '_';
	if (changed) {
		uint64_t h = hash_bytes(hash_bytes(1, server.p, server.n),
		    name.p, name.n);

		n += (size_t)snprintf(out + n, 10, "_%08x", (unsigned)h);
	}
	out[n] = '\0';
}

void
catalog_slug(char *out, size_t size, struct span server)
{
	size_t i;

	/* RFC 3986 scheme: a letter first, then letters, digits, + - . */
	for (i = 0; i < server.n && i + 2 < size; i++) {
		char c = server.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '_')
			c = '-';
		if (i == 0 && c >= '0' && c <= '9')
			*out++ = 's';
		*out++ = c;
	}
	*out = '\0';
}

/* The member that names an item of this kind. */
static const char *
name_member(enum item_kind kind)
{
	if (kind == ITEM_RESOURCE)
		return "uri";
	if (kind == ITEM_TEMPLATE)
		return "uriTemplate";
	return "name";
}

static uint64_t
key_of(uint64_t seed, unsigned kind, uint64_t scope, struct span name)
{
	return hash_bytes(seed ^ (kind + 1) * 0x9e3779b97f4a7c15ULL ^ scope,
	    name.p, name.n);
}

static uint64_t
org_scope(struct span org)
{
	return hash_bytes(7, org.p, org.n);
}

static uint32_t
table_find(const struct cat_head *c, uint32_t table_off, uint64_t key,
    bool (*same)(const struct cat_head *, const struct cat_item *,
    const void *), const void *arg, uint32_t *place)
{
	const uint32_t *t = (const uint32_t *)(const void *)
	    ((const char *)c + table_off);
	uint32_t i = (uint32_t)key & (c->table_size - 1);

	while (t[i] != CAT_NONE) {
		if (same(c, cat_item(c, t[i]), arg))
			return t[i];
		i = (i + 1) & (c->table_size - 1);
	}
	if (place != NULL)
		*place = i;
	return CAT_NONE;
}

struct wanted {
	enum item_kind	kind;
	uint32_t	server;
	struct span	org, name;
};

static bool
same_exposed(const struct cat_head *c, const struct cat_item *it,
    const void *arg)
{
	const struct wanted *w = arg;

	return it->kind == w->kind && span_eq(cat_span(c, it->exposed), w->name) &&
	    span_eq(cat_span(c, cat_server(c, it->server)->org), w->org);
}

static bool
same_own(const struct cat_head *c, const struct cat_item *it, const void *arg)
{
	const struct wanted *w = arg;

	return it->kind == w->kind && it->server == w->server &&
	    span_eq(cat_span(c, it->name), w->name);
}

uint32_t
catalog_find_exposed(const struct cat_head *c, struct span org,
    enum item_kind kind, struct span exposed)
{
	struct wanted w = { kind, 0, org, exposed };

	return table_find(c, c->exposed_off,
	    key_of(c->seed, kind, org_scope(org), exposed), same_exposed, &w,
	    NULL);
}

uint32_t
catalog_find_own(const struct cat_head *c, uint32_t server, enum item_kind kind,
    struct span name)
{
	struct wanted w = { kind, server, { NULL, 0 }, name };

	return table_find(c, c->own_off, key_of(c->seed, kind, server, name),
	    same_own, &w, NULL);
}

uint32_t
catalog_find_server(const struct cat_head *c, int64_t server_id)
{
	uint32_t i;

	for (i = 0; i < c->n_servers; i++)
		if (cat_server(c, i)->server_id == server_id)
			return i;
	return CAT_NONE;
}

uint32_t
catalog_split_uri(const struct cat_head *c, struct span org, struct span uri,
    struct span *own)
{
	const char *plus = memchr(uri.p, '+', uri.n);
	struct span slug;
	uint32_t i;

	if (plus == NULL)
		return CAT_NONE;
	slug = span_make(uri.p, (size_t)(plus - uri.p));
	for (i = 0; i < c->n_servers; i++) {
		const struct cat_server *s = cat_server(c, i);

		if (span_eq(cat_span(c, s->slug), slug) &&
		    span_eq(cat_span(c, s->org), org)) {
			*own = span_skip(uri, slug.n + 1);
			return i;
		}
	}
	return CAT_NONE;
}

int
catalog_item_json(const struct cat_head *c, const struct cat_item *it,
    bool exposed, struct buf *b)
{
	struct span raw = cat_span(c, it->raw);

	if (!exposed)
		return buf_add_span(b, raw);
	buf_add(b, raw.p, it->value_off);
	json_quote(b, cat_span(c, it->exposed));
	return buf_add_span(b, span_skip(raw, it->value_off + it->value_len));
}

/* Decodes the item's name into out; false when it has no usable one. */
static bool
item_name(const struct cat_source_item *si, char *out, size_t size,
    struct span *name, struct json_value *value)
{
	const char *members[1] = { name_member(si->kind) };
	long n;
	size_t i;

	if (json_object(si->raw, members, value, 1) != JSON_OK ||
	    value->type != JSON_STRING)
		return false;
	n = json_string_decode(*value, out, size);
	if (n <= 0)
		return false;
	for (i = 0; i < (size_t)n; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			return false;
	*name = span_make(out, (size_t)n);
	return true;
}

static void
exposed_text(char *out, size_t size, enum item_kind kind, struct span server,
    struct span slug, struct span name)
{
	if (kind == ITEM_RESOURCE || kind == ITEM_TEMPLATE)
		snprintf(out, size, "%.*s+%.*s", SPAN_FMT(slug), SPAN_FMT(name));
	else
		catalog_expose_name(out, server, name);
}

/* One item into the snapshot and both tables. False: left out. */
static bool
add_item(struct builder *b, struct cat_head *c, uint32_t server,
    const struct cat_source_item *si)
{
	const struct cat_server *s = cat_server(c, server);
	char own[2048], exposed[2048 + 128];
	struct json_value value;
	struct cat_item *it;
	struct wanted w;
	uint32_t at_own, at_exposed, *table;

	w.kind = si->kind;
	w.server = server;
	w.org = cat_span(c, s->org);
	if (!item_name(si, own, sizeof(own), &w.name, &value))
		return false;
	if (table_find(c, c->own_off, key_of(c->seed, w.kind, server, w.name),
	    same_own, &w, &at_own) != CAT_NONE)
		return false;		/* a second one of that name */
	it = (struct cat_item *)(void *)(b->base + c->items_off) + c->n_items;
	memset(it, 0, sizeof(*it));
	it->server = server;
	it->kind = si->kind;
	it->name = put(b, w.name);
	it->raw = put(b, si->raw);
	if (memmem(si->raw.p, si->raw.n, "x-mcp-header", 12) != NULL)
		it->flags |= CAT_HAS_PARAM_HEADERS;
	it->value_off = (uint32_t)(value.raw.p - si->raw.p);
	it->value_len = (uint32_t)value.raw.n;
	exposed_text(exposed, sizeof(exposed), si->kind, cat_span(c, s->name),
	    cat_span(c, s->slug), w.name);
	it->exposed = put(b, span_str(exposed));
	if (b->full)
		return false;
	w.name = span_str(exposed);
	if (table_find(c, c->exposed_off, key_of(c->seed, w.kind,
	    org_scope(w.org), w.name), same_exposed, &w, &at_exposed) != CAT_NONE)
		return false;
	table = (uint32_t *)(void *)(b->base + c->own_off);
	table[at_own] = c->n_items;
	table = (uint32_t *)(void *)(b->base + c->exposed_off);
	table[at_exposed] = c->n_items;
	c->content = hash_mix(c->content ^
	    hash_bytes(c->n_items, si->raw.p, si->raw.n));
	c->n_items++;
	return true;
}

/* Is another server of the organisation called so? */
static bool
is_slug_of_another(const struct cat_source *src, uint32_t n, uint32_t i,
    const char *slug)
{
	char other[80];
	uint32_t k;

	for (k = 0; k < n; k++) {
		if (k == i || strcmp(src[k].org, src[i].org) != 0)
			continue;
		catalog_slug(other, sizeof(other), span_str(src[k].name));
		if (strcmp(other, slug) == 0)
			return true;
	}
	return false;
}

/*
 * "a_b" and "a-b" have the same slug: both get a hash, so that neither is
 * ever taken for the other.
 */
static struct cat_str
put_slug(struct builder *b, const struct cat_source *src, uint32_t n,
    uint32_t i)
{
	struct span name = span_str(src[i].name);
	char slug[80];
	size_t used;

	catalog_slug(slug, sizeof(slug) - 9, name);
	if (is_slug_of_another(src, n, i, slug)) {
		used = strlen(slug);
		snprintf(slug + used, sizeof(slug) - used, "-%08x",
		    (unsigned)hash_bytes(1, name.p, name.n));
	}
	return put(b, span_str(slug));
}

static void
add_server(struct builder *b, struct cat_head *c, const struct cat_source *all,
    uint32_t n, uint32_t i)
{
	const struct cat_source *src = &all[i];
	struct cat_server *s = (struct cat_server *)(void *)
	    (b->base + c->servers_off) + c->n_servers++;
	uint64_t h;

	memset(s, 0, sizeof(*s));
	s->server_id = src->server_id;
	s->era = src->era;
	s->listed = src->listed;
	s->org = put(b, span_str(src->org));
	s->name = put(b, span_str(src->name));
	s->slug = put_slug(b, all, n, i);
	s->version = put(b, span_str(src->version));
	s->capabilities = put(b, src->capabilities);
	s->info = put(b, src->info);
	s->instructions = put(b, src->instructions);
	h = hash_bytes((uint64_t)src->server_id, src->name, strlen(src->name));
	h ^= hash_bytes(2, src->capabilities.p, src->capabilities.n) * 3;
	h ^= hash_bytes(3, src->instructions.p, src->instructions.n) * 5;
	h ^= hash_bytes(4, src->version, strlen(src->version)) * 7;
	c->content = hash_mix(c->content ^ h ^ s->era ^ (s->listed * 77u));
}

int
catalog_build(void *out, size_t size, uint64_t seed,
    const struct cat_source *src, uint32_t n, uint32_t *dropped,
    struct err *e)
{
	struct builder b = { out, 0, size, false };
	struct cat_head *c = bump(&b, sizeof(*c), 64);
	uint64_t items = 0;
	uint32_t i, j, table = 64;
	char *p;

	*dropped = 0;
	for (i = 0; i < n; i++)
		items += src[i].n_items;
	while (table < items * 2)
		table *= 2;
	if (c == NULL)
		return err_set(e, ERR_INTERNAL, "catalog buffer too small");
	memset(c, 0, sizeof(*c));
	c->seed = seed;
	c->table_size = table;
	p = bump(&b, sizeof(struct cat_server) * (n + 1), 8);
	c->servers_off = p == NULL ? 0 : (uint32_t)(p - b.base);
	p = bump(&b, sizeof(struct cat_item) * (items + 1), 8);
	c->items_off = p == NULL ? 0 : (uint32_t)(p - b.base);
	p = bump(&b, sizeof(uint32_t) * table, 8);
	c->own_off = p == NULL ? 0 : (uint32_t)(p - b.base);
	if (p != NULL)
		memset(p, 0xff, sizeof(uint32_t) * table);
	p = bump(&b, sizeof(uint32_t) * table, 8);
	c->exposed_off = p == NULL ? 0 : (uint32_t)(p - b.base);
	if (p != NULL)
		memset(p, 0xff, sizeof(uint32_t) * table);
	for (i = 0; i < n && !b.full; i++) {
		struct cat_server *s;
		int kind;

		add_server(&b, c, src, n, i);
		s = (struct cat_server *)(void *)(b.base + c->servers_off) + i;
		for (kind = 0; kind < ITEM_KIND_COUNT; kind++) {
			s->first[kind] = c->n_items;
			for (j = 0; j < src[i].n_items && !b.full; j++) {
				if ((int)src[i].item[j].kind != kind)
					continue;
				if (!add_item(&b, c, i, &src[i].item[j]))
					++*dropped;
			}
			s->n[kind] = c->n_items - s->first[kind];
		}
	}
	if (b.full)
		return err_set(e, ERR_INTERNAL, "the catalog of %u servers "
		    "does not fit in %zu bytes", n, size);
	c->size = b.used;
	c->magic = CAT_MAGIC;
	return 0;
}
