/*
 * bind_policy -- what a server shows and to which roles: tool_policy and
 * role_restrictions. A list that its mode would ignore is an error.
 */
#include "conf/bind.h"

#include <string.h>

/* A list that has no meaning in this mode; an empty one does no harm. */
static void
refuse_list(struct bind *b, const struct yaml_node *node, const char *path,
    const char *mode)
{
	if (node != NULL && !node->bad &&
	    !(node->kind == YAML_TREE_LIST && node->n == 0))
		bind_error(b, node, path, "has no meaning with mode %s", mode);
}

void
bind_tool_policy(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_server *s)
{
	enum { MODE, ALLOW, EXCLUDE };
	static const struct bind_key keys[] = {
		[MODE] = { "mode", false, NULL },
		[ALLOW] = { "allow", false, NULL },
		[EXCLUDE] = { "exclude", false, NULL },
	};
	static const char names[] = "allow_all|allow_only|allow_all_except";
	static const char *const texts[] = { "allow_all", "allow_only",
		"allow_all_except" };
	const struct yaml_node *v[BIND_COUNT(keys)];
	const char *allow_path, *exclude_path;
	int mode;

	if (bind_map(b, node, path, keys, BIND_COUNT(keys), v) < 0)
		return;
	allow_path = bind_path(b, path, "allow");
	exclude_path = bind_path(b, path, "exclude");
	if (v[MODE] == NULL) {
		bind_error(b, node, path, "has no mode (%s)", names);
		return;
	}
	if (bind_enum(b, v[MODE], bind_path(b, path, "mode"), names,
	    &mode) < 0)
		return;
	s->tool_policy = (enum tool_policy)mode;
	if (mode != TOOL_POLICY_ALLOW_ONLY)
		refuse_list(b, v[ALLOW], allow_path, texts[mode]);
	else if (v[ALLOW] == NULL)
		bind_error(b, node, path, "mode allow_only needs allow");
	else
		bind_globs(b, v[ALLOW], allow_path, &s->tool_globs);
	if (mode != TOOL_POLICY_ALLOW_ALL_EXCEPT)
		refuse_list(b, v[EXCLUDE], exclude_path, texts[mode]);
	else if (v[EXCLUDE] == NULL)
		bind_error(b, node, path,
		    "mode allow_all_except needs exclude");
	else
		bind_globs(b, v[EXCLUDE], exclude_path, &s->tool_globs);
}

/* "allow_all" or "deny_all" as a word, or {allow_all: true}. */
static void
bind_whole(struct bind *b, const struct yaml_node *node, const char *path)
{
	bool on;

	if (bind_bool(b, node, path, &on) == 0 && !on)
		bind_error(b, node, path,
		    "can only be true; leave the key out instead");
}

static void
bind_restriction_map(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_restriction *r)
{
	static const struct bind_key keys[] = {
		[RESTRICT_ALLOW_ALL] = { "allow_all", false, NULL },
		[RESTRICT_DENY_ALL] = { "deny_all", false, NULL },
		[RESTRICT_ALLOW_ONLY] = { "allow_only", false, NULL },
		[RESTRICT_DENY] = { "deny", false, NULL },
		[RESTRICT_ALLOW_ALL_EXCEPT] = { "allow_all_except", false,
		    NULL },
	};
	const struct yaml_node *v[BIND_COUNT(keys)];
	size_t i, n = 0, mode = 0;

	if (bind_map(b, node, path, keys, BIND_COUNT(keys), v) < 0)
		return;
	for (i = 0; i < BIND_COUNT(keys); i++)
		if (v[i] != NULL) {
			mode = i;
			n++;
		}
	if (n != 1) {
		bind_error(b, node, path, "needs exactly one of allow_all, "
		    "deny_all, allow_only, deny and allow_all_except");
		return;
	}
	r->mode = (enum restriction)mode;
	path = bind_path(b, path, keys[mode].name);
	if (mode == RESTRICT_ALLOW_ALL || mode == RESTRICT_DENY_ALL)
		bind_whole(b, v[mode], path);
	else
		bind_globs(b, v[mode], path, &r->globs);
}

static void
bind_restriction(struct bind *b, const struct yaml_pair *p, const char *path,
    struct model_server *s)
{
	struct model_restriction *r;
	int mode;

	r = model_add_restriction(s, p->key->text);
	r->mode = RESTRICT_DENY_ALL;
	r->line = p->key->line;
	r->column = p->key->column;
	if (p->value->kind != YAML_TREE_SCALAR)
		bind_restriction_map(b, p->value, path, r);
	else if (bind_enum(b, p->value, path, "allow_all|deny_all",
	    &mode) == 0)
		r->mode = mode == 0 ? RESTRICT_ALLOW_ALL : RESTRICT_DENY_ALL;
}

void
bind_restrictions(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_server *s)
{
	const struct yaml_pair *p;
	size_t i;

	if (bind_is_map(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++) {
		p = &node->pair[i];
		if (!p->key->bad)
			bind_restriction(b, p,
			    bind_path(b, path, p->key->text), s);
	}
}
