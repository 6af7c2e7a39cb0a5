/*
 * bind_grants -- the forms of allowed_mcps.
 *
 *	"*"			every server, every tool
 *	[server, ...]		these, with the tools of the role
 *	server: "*"		all tools of this one
 *	server: {mode, tools, deny, resources, deny_resources, prompts}
 *
 * Anything that could be read in two ways is refused, because each reading
 * is a permission.
 */
#include "conf/bind.h"

#include <string.h>

enum { MODE, TOOLS, DENY, DENIED_TOOLS, RESOURCES, DENY_RESOURCES,
	DENIED_RESOURCES, PROMPTS };

static const struct bind_key keys[] = {
	[MODE] = { "mode", false, NULL },
	[TOOLS] = { "tools", false, NULL },
	[DENY] = { "deny", false, NULL },
	[DENIED_TOOLS] = { "denied_tools", false, NULL },
	[RESOURCES] = { "resources", false, NULL },
	[DENY_RESOURCES] = { "deny_resources", false, NULL },
	[DENIED_RESOURCES] = { "denied_resources", false, NULL },
	[PROMPTS] = { "prompts", false, NULL },
};
#define N_KEYS	BIND_COUNT(keys)

static void
globs(struct bind *b, const struct yaml_node *const *v, int key,
    const char *path, struct strlist *out)
{
	if (v[key] != NULL)
		bind_globs(b, v[key], bind_path(b, path, keys[key].name), out);
}

/* tools and deny belong to mode custom, which needs tools. */
static void
bind_tools(struct bind *b, const struct yaml_node *const *v,
    const struct yaml_node *node, const char *path, struct model_access *a)
{
	static const int custom_only[] = { TOOLS, DENY, DENIED_TOOLS };
	size_t i;

	if (a->mode == ACCESS_CUSTOM) {
		if (v[TOOLS] == NULL)
			bind_error(b, node, path, "mode custom needs tools "
			    "([] allows none)");
		globs(b, v, TOOLS, path, &a->tools);
		globs(b, v, DENY, path, &a->deny);
		globs(b, v, DENIED_TOOLS, path, &a->deny);
		return;
	}
	for (i = 0; i < BIND_COUNT(custom_only); i++)
		if (v[custom_only[i]] != NULL)
			bind_error(b, v[custom_only[i]], bind_path(b, path,
			    keys[custom_only[i]].name), "needs mode: custom");
}

static void
bind_access_map(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_access *a)
{
	const struct yaml_node *v[N_KEYS];
	int mode;

	if (bind_map(b, node, path, keys, N_KEYS, v) < 0)
		return;
	if (v[MODE] == NULL) {
		bind_error(b, node, path, "has no mode (inherit|custom|all)");
		return;
	}
	if (bind_enum(b, v[MODE], bind_path(b, path, "mode"),
	    "inherit|custom|all", &mode) < 0)
		return;
	a->mode = (enum access_mode)mode;
	bind_tools(b, v, node, path, a);
	a->has_resources = v[RESOURCES] != NULL;
	a->has_prompts = v[PROMPTS] != NULL;
	globs(b, v, RESOURCES, path, &a->resources);
	globs(b, v, DENY_RESOURCES, path, &a->deny_resources);
	globs(b, v, DENIED_RESOURCES, path, &a->deny_resources);
	globs(b, v, PROMPTS, path, &a->prompts);
}

static struct model_access *
add_access(const struct yaml_node *name, struct model_grants *g)
{
	struct model_access *a = model_add_access(g, name->text);

	a->line = name->line;
	a->column = name->column;
	return a;
}

static void
bind_access(struct bind *b, const struct yaml_pair *p, const char *path,
    struct model_grants *g)
{
	struct model_access *a = add_access(p->key, g);

	if (p->value->kind != YAML_TREE_SCALAR)
		bind_access_map(b, p->value, path, a);
	else if (bind_is_scalar(b, p->value, path) < 0)
		return;
	else if (strcmp(p->value->text, "*") == 0)
		a->mode = ACCESS_ALL;
	else
		bind_error(b, p->value, path, "must be \"*\" or a map with a "
		    "mode, not \"%s\"", bind_show(b, p->value));
}

static void
bind_server_list(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_grants *g)
{
	struct yaml_node *item;
	const char *at;
	size_t i, j;

	for (i = 0; i < node->n; i++) {
		item = node->item[i];
		at = bind_index(b, path, i);
		if (bind_is_scalar(b, item, at) < 0)
			continue;
		for (j = 0; j < g->n; j++)
			if (strcmp(g->access[j].server, item->text) == 0)
				break;
		if (j < g->n)
			bind_error(b, item, at, "\"%s\" is in the list twice",
			    bind_show(b, item));
		else
			add_access(item, g);
	}
}

void
bind_grants(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_grants *g)
{
	const struct yaml_pair *p;
	size_t i;

	g->given = true;
	if (node->kind == YAML_TREE_LIST) {
		bind_server_list(b, node, path, g);
		return;
	}
	if (node->kind == YAML_TREE_SCALAR) {
		if (bind_is_scalar(b, node, path) < 0)
			return;
		if (strcmp(node->text, "*") == 0)
			g->all = true;
		else
			bind_error(b, node, path, "must be \"*\", a list or a "
			    "map of servers, not \"%s\"; [] allows none",
			    bind_show(b, node));
		return;
	}
	for (i = 0; i < node->n; i++) {
		p = &node->pair[i];
		if (!p->key->bad)
			bind_access(b, p, bind_path(b, path, p->key->text), g);
	}
}
