/*
 * bind_roles -- the "roles" map to rows of struct model_role.
 *
 * A role may be described in two files (mcps.yaml and users.yaml both know
 * roles), each key once. A role that roles.def knows starts with the limits
 * and rights from there, so that a description alone lifts no limit.
 */
#include "conf/bind.h"

#include <string.h>

#define CONCURRENT_MAX	1000000000

enum { DISPLAY, DESCRIPTION, COLOR, ADMIN, PERMISSIONS, BYPASS, MANAGE_USERS,
	MODIFY_CONFIG, ALLOWED_MCPS, MCP_TOOLS, PATTERNS, DENIED, RATE };

static const struct bind_key keys[] = {
	[DISPLAY] = { "display_name", false, NULL },
	[DESCRIPTION] = { "description", false, NULL },
	[COLOR] = { "color", true, NULL },
	[ADMIN] = { "admin", false, NULL },
	[PERMISSIONS] = { "permissions", false, NULL },
	[BYPASS] = { "can_bypass_restrictions", false, NULL },
	[MANAGE_USERS] = { "can_manage_users", true, "use admin" },
	[MODIFY_CONFIG] = { "can_modify_config", true, "use admin" },
	[ALLOWED_MCPS] = { "allowed_mcps", false, NULL },
	[MCP_TOOLS] = { "allowed_mcp_tools", true, "use allowed_mcps" },
	[PATTERNS] = { "allowed_tool_patterns", false, NULL },
	[DENIED] = { "denied_tools", false, NULL },
	[RATE] = { "rate_limit", false, NULL },
};
#define N_KEYS	BIND_COUNT(keys)

static void
bind_super(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_role *r)
{
	if (bind_bool(b, node, path, &r->is_super) == 0 && !r->is_super &&
	    strcmp(r->name, "super_admin") == 0)
		bind_error(b, node, path,
		    "cannot be false for the role super_admin");
}

static void
bind_permissions(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_role *r)
{
	static const struct bind_key permission_keys[] = {
		{ "can_bypass_tool_restrictions", false, NULL },
		{ "can_manage_users", true, "use admin" },
		{ "can_modify_config", true, "use admin" },
		{ "can_view_audit_logs", true, NULL },
		{ "can_execute_dangerous_tools", true, NULL },
		{ "can_access_all_databases", true, NULL },
		{ "can_promote_users", true, "use admin" },
		{ "can_delete_data", true, NULL },
	};
	const struct yaml_node *v[BIND_COUNT(permission_keys)];

	if (bind_map(b, node, path, permission_keys,
	    BIND_COUNT(permission_keys), v) == 0 && v[0] != NULL)
		bind_super(b, v[0], bind_path(b, path,
		    permission_keys[0].name), r);
}

static void
bind_role_rate(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_role *r)
{
	static const struct bind_key rate_keys[] = {
		{ "requests_per_hour", false, NULL },
		{ "concurrent_requests", true, NULL },
	};
	const struct yaml_node *v[BIND_COUNT(rate_keys)];

	if (bind_map(b, node, path, rate_keys, BIND_COUNT(rate_keys), v) < 0)
		return;
	if (v[0] != NULL)
		bind_int(b, v[0], bind_path(b, path, rate_keys[0].name), 0,
		    MODEL_RATE_MAX, &r->requests_per_hour);
	if (v[1] != NULL)
		bind_int(b, v[1], bind_path(b, path, rate_keys[1].name), 0,
		    CONCURRENT_MAX, &r->concurrent);
}

static void
bind_admin(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_role *r)
{
	bool always = strcmp(r->name, "admin") == 0 ||
	    strcmp(r->name, "super_admin") == 0;

	if (bind_bool(b, node, path, &r->is_admin) == 0 && !r->is_admin &&
	    always)
		bind_error(b, node, path,
		    "cannot be false for the role %s", r->name);
}

static void
bind_role_value(struct bind *b, int key, const struct yaml_node *node,
    const char *path, struct model_role *r)
{
	switch (key) {
	case DISPLAY:
		bind_text(b, node, path, 127, &r->display_name);
		break;
	case DESCRIPTION:
		bind_prose(b, node, path, 4095, &r->description);
		break;
	case ADMIN:
		bind_admin(b, node, path, r);
		break;
	case PERMISSIONS:
		bind_permissions(b, node, path, r);
		break;
	case BYPASS:
		bind_super(b, node, path, r);
		break;
	case ALLOWED_MCPS:
		bind_grants(b, node, path, &r->grants);
		break;
	case PATTERNS:
		bind_globs(b, node, path, &r->allowed_tools);
		break;
	case DENIED:
		bind_globs(b, node, path, &r->denied_tools);
		break;
	case RATE:
		bind_role_rate(b, node, path, r);
		break;
	default:
		break;
	}
}

static void
bind_role(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_role *r)
{
	const struct yaml_node *v[N_KEYS];
	const char *at;
	size_t i;

	if (bind_map(b, node, path, keys, N_KEYS, v) < 0)
		return;
	for (i = 0; i < N_KEYS; i++) {
		if (v[i] == NULL)
			continue;
		at = bind_path(b, path, keys[i].name);
		if (bind_once(b, v[i], at, at) == 0)
			bind_role_value(b, (int)i, v[i], at, r);
	}
}

static struct model_role *
find_or_add(struct bind *b, const struct yaml_node *key)
{
	struct model_role *r;

	r = model_find_role(b->model, "default", key->text);
	if (r != NULL)
		return r;
	r = model_add_role(b->model, key->text);
	model_seed_role(r);
	bind_origin(b, key, &r->origin);
	return r;
}

void
bind_roles(struct bind *b, const struct yaml_node *node, const char *path)
{
	const struct yaml_pair *p;
	const char *at;
	char why[128];
	size_t i;

	if (bind_is_map(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++) {
		p = &node->pair[i];
		if (p->key->bad)
			continue;
		at = bind_path(b, path, p->key->text);
		if (check_role_name(p->key->text, why, sizeof(why)) < 0)
			bind_error(b, p->key, at, "%s", why);
		else
			bind_role(b, p->value, at, find_or_add(b, p->key));
	}
}
