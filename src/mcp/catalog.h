/*
 * catalog -- tools, resources, templates and prompts of all servers as one
 * snapshot in shared memory. Built by the poller; const, valid while pinned.
 *
 * Items keep the raw JSON object that the server sent; a listing under another
 * name replaces the bytes of the name member only. Items of one server stand
 * together in the server's own order; servers are sorted by org and name.
 */
#ifndef OMNI2_MCP_CATALOG_H
#define OMNI2_MCP_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "policy/rbac.h"
#include "shm/sess.h"

#define CAT_MAGIC	0x32746163u
#define CAT_NONE	UINT32_MAX
#define CAT_HAS_PARAM_HEADERS	1u	/* "x-mcp-header" stands in it */
#define CAT_EXPOSED_MAX	64	/* bytes of an exposed tool name */

struct cat_str { uint32_t off, len; };

struct cat_item {
	uint32_t	server;		/* index into cat_server */
	uint32_t	kind;		/* enum item_kind */
	struct cat_str	name;		/* own: tool/prompt name, URI, template */
	struct cat_str	exposed;	/* in the aggregate */
	struct cat_str	raw;		/* JSON object as the server sent it */
	uint32_t	flags;		/* CAT_HAS_* */
	uint32_t	value_off, value_len;	/* of the name value in raw, with
						 * its quotes */
};

struct cat_server {
	int64_t		server_id;
	uint32_t	first[ITEM_KIND_COUNT], n[ITEM_KIND_COUNT];
	uint32_t	era;		/* enum sess_era */
	uint32_t	listed;		/* 1: lists were read at least once */
	struct cat_str	org, name, slug;	/* slug: URI scheme prefix */
	struct cat_str	version;	/* negotiated revision */
	struct cat_str	capabilities;	/* raw JSON object */
	struct cat_str	info;		/* raw serverInfo object */
	struct cat_str	instructions;	/* JSON string, quotes included; len 0 */
};

struct cat_head {
	uint32_t	magic;
	uint32_t	n_servers, n_items;
	uint32_t	table_size;	/* power of two */
	uint64_t	size, seed;
	uint64_t	content;	/* hash of everything: unchanged = not published */
	uint32_t	servers_off, items_off;
	uint32_t	exposed_off;	/* uint32_t table over (kind, exposed) */
	uint32_t	own_off;	/* uint32_t table over (kind, server, name) */
};

/* What the poller knows of one server; raw spans live in its memory. */
struct cat_source_item {
	enum item_kind	kind;
	struct span	raw;
};
struct cat_source {
	int64_t		server_id;
	const char	*org, *name;
	enum sess_era	era;
	bool		listed;
	const char	*version;
	struct span	capabilities, info, instructions;
	const struct cat_source_item *item;
	uint32_t	n_items;
};

/* Builds from sources sorted by (org, name). Items without a usable name, and
 * second ones of the same name, are left out and counted in *dropped.
 * -1 with err when it does not fit in size. */
int	catalog_build(void *out, size_t size, uint64_t seed,
	    const struct cat_source *, uint32_t n, uint32_t *dropped,
	    struct err *);

static inline struct span
cat_span(const struct cat_head *c, struct cat_str s)
{
	return (struct span){ (const char *)c + s.off, s.len };
}
static inline const struct cat_server *
cat_server(const struct cat_head *c, uint32_t i)
{
	return (const struct cat_server *)(const void *)
	    ((const char *)c + c->servers_off) + i;
}
static inline const struct cat_item *
cat_item(const struct cat_head *c, uint32_t i)
{
	return (const struct cat_item *)(const void *)
	    ((const char *)c + c->items_off) + i;
}

uint32_t catalog_find_server(const struct cat_head *, int64_t server_id);
/* By the name in the aggregate; org keeps tenants apart. CAT_NONE if unknown. */
uint32_t catalog_find_exposed(const struct cat_head *, struct span org,
	    enum item_kind, struct span exposed);
uint32_t catalog_find_own(const struct cat_head *, uint32_t server,
	    enum item_kind, struct span name);
/* Server whose slug is the part of uri before the first '+', and the rest. */
uint32_t catalog_split_uri(const struct cat_head *, struct span org,
	    struct span uri, struct span *own);
/* Appends the item's JSON object under the exposed (or its own) name. */
int	catalog_item_json(const struct cat_head *, const struct cat_item *,
	    bool exposed, struct buf *);

/*
 * "<server>__<name>" for tools and prompts, in [A-Za-z0-9_-] and at most 64
 * bytes; where bytes had to be replaced or cut, '_' and 8 hex digits of the
 * hash of (server, name) follow. A pure function: names never change when
 * servers come and go. For resources: "<slug>+<uri>"; slugs of one text get a
 * hash, too.
 */
void	catalog_expose_name(char out[CAT_EXPOSED_MAX + 1], struct span server,
	    struct span name);
void	catalog_slug(char *out, size_t size, struct span server);

#endif
