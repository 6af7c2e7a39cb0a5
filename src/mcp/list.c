/*
 * list -- tools/list, resources/list, resources/templates/list, prompts/list.
 *
 * Answered from the catalog snapshot; no upstream is asked. Order is the
 * catalog's, so it is the same for everybody and stays the same. A cursor is
 * good for the catalog it was made from and the caller's own list only.
 */
#include "mcp/mcp_int.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/num.h"

#define LIST_TTL_MS 60000

/* cursor: 16 hex digits binding catalog, user and kind, then the position */
static uint64_t
cursor_bind(const struct mcp_call *c, enum item_kind kind)
{
	return hash_mix(c->catalog->content ^
	    hash_mix((uint64_t)c->who.user_id * 8 + kind));
}

static int
read_cursor(struct mcp_call *c, enum item_kind kind, uint32_t *from,
    struct err *e)
{
	struct span text;
	uint64_t bind, at;
	int rc = mcp_param_string(c, PARAM_CURSOR, &text, e);

	*from = 0;
	if (rc <= 0)
		return rc;
	if (text.n < 18 || text.n > 30 || text.p[16] != '.' ||
	    num_hex(span_make(text.p, 16), UINT64_MAX, &bind) < 0 ||
	    num_u64(span_skip(text, 17), 0, UINT32_MAX, &at) < 0)
		return err_set(e, ERR_PARAMS, "params.cursor is not a cursor of "
		    "this server");
	if (bind != cursor_bind(c, kind))
		return err_set(e, ERR_PARAMS, "params.cursor is out of date: "
		    "the list has changed; list again without a cursor");
	*from = (uint32_t)at;
	return 0;
}

/* The catalog's number of the endpoint's server; CAT_NONE for all. */
static int
endpoint_server(struct mcp_call *c, uint32_t *server)
{
	*server = CAT_NONE;
	if (c->http->server.p == NULL)
		return 1;
	if (c->catalog == NULL)
		return 0;
	*server = catalog_find_server(c->catalog,
	    pol_server(c->policy, c->server)->id);
	return *server != CAT_NONE;
}

/*
 * A server with the tasks extension says nothing of single tools; a client of
 * 2025-11-25 may want a task only of those that say something (retro.c).
 */
static void
add_task_support(struct mcp_call *c, const struct cat_item *it,
    struct buf *out)
{
	static const char *const names[] = { "execution" };
	const struct cat_server *s = cat_server(c->catalog, it->server);
	struct span raw = cat_span(c->catalog, it->raw);
	struct json_value v;

	if (s->era != ERA_MODERN || out->n == 0 || out->overflow ||
	    (mcp_tasks_of_server(c, s->server_id) & TASKS_EXT) == 0 ||
	    json_object(raw, names, &v, 1) != JSON_OK || v.type != JSON_NONE)
		return;
	out->n--;			/* the brace; a tool has a name */
	buf_add_str(out, ",\"execution\":{\"taskSupport\":\"optional\"}}");
}

static int
list(struct mcp_call *c, enum item_kind kind, const char *member,
    struct buf *out, struct err *e)
{
	const struct visible *v;
	uint32_t i, from, server, end;
	bool exposed = c->http->server.p == NULL;

	buf_printf(out, "{\"%s\":[", member);
	if (c->catalog != NULL && endpoint_server(c, &server)) {
		if (read_cursor(c, kind, &from, e) < 0)
			return -1;
		v = mcp_visible(c, kind, server);
		end = v->n - (from > v->n ? v->n : from) >
		    (uint64_t)c->mcp->conf.page_size ?
		    from + (uint32_t)c->mcp->conf.page_size : v->n;
		for (i = from; i < end; i++) {
			if (i > from)
				buf_add_char(out, ',');
			catalog_item_json(c->catalog,
			    cat_item(c->catalog, v->item[i]), exposed, out);
			if (kind == ITEM_TOOL &&
			    c->revision == MCP_LATEST_LEGACY)
				add_task_support(c,
				    cat_item(c->catalog, v->item[i]), out);
		}
		buf_add_char(out, ']');
		if (end < v->n)
			buf_printf(out, ",\"nextCursor\":\"%016llx.%u\"",
			    (unsigned long long)cursor_bind(c, kind), end);
	} else
		buf_add_char(out, ']');
	if (c->modern)
		buf_printf(out, ",\"resultType\":\"complete\",\"ttlMs\":%d,"
		    "\"cacheScope\":\"private\"", LIST_TTL_MS);
	buf_add_char(out, '}');
	if (out->overflow)
		return err_set(e, ERR_INTERNAL, "the list is too large; lower "
		    "mcp.page_size");
	return 0;
}

int
mcp_m_list_tools(struct mcp_call *c, struct buf *out, struct err *e)
{
	return list(c, ITEM_TOOL, "tools", out, e);
}

int
mcp_m_list_resources(struct mcp_call *c, struct buf *out, struct err *e)
{
	return list(c, ITEM_RESOURCE, "resources", out, e);
}

int
mcp_m_list_templates(struct mcp_call *c, struct buf *out, struct err *e)
{
	return list(c, ITEM_TEMPLATE, "resourceTemplates", out, e);
}

int
mcp_m_list_prompts(struct mcp_call *c, struct buf *out, struct err *e)
{
	return list(c, ITEM_PROMPT, "prompts", out, e);
}
