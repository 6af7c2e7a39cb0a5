/*
 * h_tool -- tools of the catalog, and what a user may call of them.
 */
#include "api/api_int.h"

#include <stdlib.h>

#include "mcp/catalog.h"
#include "shm/gen.h"

const struct cat_head *
api_catalog(struct api_call *c)
{
	size_t size;
	void *copy = shm_snap_copy(c->api->shm, SNAP_CATALOG, &size);

	if (copy != NULL)
		arena_defer(c->api->mem, free, copy);
	return copy;
}

static void
put_tool(struct json_out *j, const struct cat_head *cat,
    const struct cat_item *it)
{
	json_object_begin(j, NULL);
	json_put_string(j, "name", cat_span(cat, it->exposed));
	json_put_string(j, "server", cat_span(cat,
	    cat_server(cat, it->server)->name));
	json_put_string(j, "tool", cat_span(cat, it->name));
	json_object_end(j);
}

/* p NULL: nobody in particular is asked about. */
static bool
may_call(const struct pol_head *p, uint32_t user, const struct cat_head *cat,
    const struct cat_item *it)
{
	uint32_t s;

	if (p == NULL)
		return true;
	s = pol_find_server(p, 0, cat_span(cat,
	    cat_server(cat, it->server)->name));
	return s != POL_NONE && rbac_decide(p, user, s, ITEM_TOOL,
	    cat_span(cat, it->name).p).allow;
}

static uint32_t
find_user(const struct pol_head *p, const char *email, struct err *e)
{
	uint32_t user = pol_find_user(p, span_str(email));

	if (user == POL_NONE)
		err_set(e, ERR_NOTFOUND, "there is no user %s; \"omni2ctl "
		    "user list\" shows them", email);
	return user;
}

int
api_list_tools(struct api_call *c, struct json_out *j, struct err *e)
{
	const char *server = api_text(c, "server");
	const char *email = api_text(c, "user");
	const struct pol_head *p = NULL;
	const struct cat_head *cat;
	uint32_t i, user = POL_NONE;

	if (server != NULL && (api_model(c, false, e) < 0 ||
	    api_find_server(c, server, e) == NULL))
		return -1;
	if (c->api->host->need_shm(c->api, true, e) < 0)
		return -1;
	if (email != NULL && ((p = c->api->host->policy(c->api, e)) == NULL ||
	    (user = find_user(p, email, e)) == POL_NONE))
		return -1;
	cat = api_catalog(c);
	json_object_begin(j, NULL);
	json_array_begin(j, "items");
	for (i = 0; cat != NULL && i < cat->n_items; i++) {
		const struct cat_item *it = cat_item(cat, i);

		if (it->kind == ITEM_TOOL && (server == NULL || span_is(
		    cat_span(cat, cat_server(cat, it->server)->name),
		    server)) && may_call(p, user, cat, it))
			put_tool(j, cat, it);
	}
	json_array_end(j);
	json_object_end(j);
	return 0;
}

/* ---- policy test ------------------------------------------------------------------ */

struct policy_test {
	const struct pol_head	*p;
	const struct cat_head	*cat;	/* NULL: no daemon */
	uint32_t		 user;
	const char		*tool;	/* NULL: those of the catalog */
	struct json_out		*j;
	bool			 allowed;	/* anything of it */
};

static void
put_decision(struct policy_test *pt, uint32_t server, const char *tool,
    const char *decision, const char *rule)
{
	json_object_begin(pt->j, NULL);
	json_put_string(pt->j, "server", pol_span(pt->p,
	    pol_server(pt->p, server)->name));
	json_put_str(pt->j, "tool", tool);
	json_put_str(pt->j, "decision", decision);
	json_put_str(pt->j, "rule", rule);
	json_object_end(pt->j);
}

static void
test_tool(struct policy_test *pt, uint32_t server, const char *tool)
{
	struct rbac_verdict v = rbac_decide(pt->p, pt->user, server, ITEM_TOOL,
	    tool);
	char why[256];

	rbac_explain(pt->p, pt->user, server, &v, why, sizeof(why));
	put_decision(pt, server, tool, v.allow ? "allow" : "deny", why);
	pt->allowed |= v.allow;
}

static void
test_server(struct policy_test *pt, uint32_t server)
{
	const struct pol_server *ps = pol_server(pt->p, server);
	uint32_t i, k = pt->cat == NULL ? CAT_NONE :
	    catalog_find_server(pt->cat, ps->id);
	const struct cat_server *cs;

	if (pt->tool != NULL) {
		test_tool(pt, server, pt->tool);
		return;
	}
	if (k == CAT_NONE) {
		put_decision(pt, server, NULL, rbac_may_use_server(pt->p,
		    pt->user, server) ? NULL : "deny",
		    "its tools are not known; name one with --tool");
		return;
	}
	cs = cat_server(pt->cat, k);
	for (i = 0; i < cs->n[ITEM_TOOL]; i++)
		test_tool(pt, server, cat_span(pt->cat, cat_item(pt->cat,
		    cs->first[ITEM_TOOL] + i)->name).p);
}

/* What would this user see, and why not. */
int
api_test_policy(struct api_call *c, struct json_out *j, struct err *e)
{
	const char *server = api_text(c, "server");
	struct policy_test pt = { .tool = api_text(c, "tool"), .j = j };
	uint32_t s;

	if ((pt.p = c->api->host->policy(c->api, e)) == NULL ||
	    (pt.user = find_user(pt.p, api_text(c, "user"), e)) == POL_NONE)
		return -1;
	if (server != NULL &&
	    pol_find_server(pt.p, 0, span_str(server)) == POL_NONE)
		return err_set(e, ERR_NOTFOUND, "there is no server \"%s\"; "
		    "\"omni2ctl server list\" shows them", server);
	if (c->api->host->need_shm(c->api, false, e) == 0)
		pt.cat = api_catalog(c);
	json_object_begin(j, NULL);
	json_array_begin(j, "items");
	for (s = 0; s < pt.p->servers.n; s++)
		if (server == NULL || span_is(pol_span(pt.p,
		    pol_server(pt.p, s)->name), server))
			test_server(&pt, s);
	json_array_end(j);
	json_put_bool(j, "allowed", pt.allowed);
	json_object_end(j);
	return 0;
}
