/*
 * bind_users -- users, super_admins and default_user to struct model_user.
 *
 * E-mail addresses are kept in lower case, as callers are looked up. A super
 * admin has the role super_admin and every server, whatever else is written.
 */
#include "conf/bind.h"

#include <ctype.h>
#include <string.h>

#define NAME_LEN_MAX	127

enum { EMAIL, NAME, ROLE, ACTIVE, ALLOWED_MCPS, DOMAINS, DATABASES, TEAMS,
	SLACK, RATE, DESCRIPTION };

static const struct bind_key keys[] = {
	[EMAIL] = { "email", false, NULL },
	[NAME] = { "name", false, NULL },
	[ROLE] = { "role", false, NULL },
	[ACTIVE] = { "active", false, NULL },
	[ALLOWED_MCPS] = { "allowed_mcps", false, NULL },
	[DOMAINS] = { "allowed_domains", false, NULL },
	[DATABASES] = { "allowed_databases", false, NULL },
	[TEAMS] = { "teams", false, NULL },
	[SLACK] = { "slack_user_id", false, NULL },
	[RATE] = { "rate_limit", false, NULL },
	[DESCRIPTION] = { "description", true, NULL },
};
#define N_KEYS	BIND_COUNT(keys)

static const char *
key_path(struct bind *b, const char *path, int key)
{
	return bind_path(b, path, keys[key].name);
}

/* Kept and shown; a restriction that is not enforced must not be silent. */
static void
bind_shown_only(struct bind *b, const struct yaml_node *node,
    const char *path, struct strlist *out)
{
	if (bind_texts(b, node, path, out) == 0 &&
	    !(out->n == 1 && strcmp(out->v[0], "*") == 0))
		bind_warn(b, node, path,
		    "is shown but not enforced in this version");
}

static void
bind_user_rate(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_user *u)
{
	static const struct bind_key rate_keys[] = {
		{ "requests_per_hour", false, NULL },
	};
	const struct yaml_node *v[1];

	if (bind_map(b, node, path, rate_keys, 1, v) == 0 && v[0] != NULL)
		bind_int(b, v[0], bind_path(b, path, "requests_per_hour"), 0,
		    MODEL_RATE_MAX, &u->requests_per_hour);
}

static void
bind_role(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_user *u)
{
	char why[128];

	if (bind_is_scalar(b, node, path) < 0)
		return;
	if (check_role_name(node->text, why, sizeof(why)) < 0) {
		bind_error(b, node, path, "\"%s\" %s", bind_show(b, node),
		    why);
		return;
	}
	model_set(&u->role, node->text);
	u->role_line = node->line;
	u->role_column = node->column;
}

/* What all three kinds of users have in common. */
static void
bind_common(struct bind *b, const struct yaml_node *const *v,
    const char *path, struct model_user *u)
{
	if (v[NAME] != NULL)
		bind_text(b, v[NAME], key_path(b, path, NAME), NAME_LEN_MAX,
		    &u->name);
	if (v[ACTIVE] != NULL)
		bind_bool(b, v[ACTIVE], key_path(b, path, ACTIVE), &u->active);
	if (v[DOMAINS] != NULL)
		bind_shown_only(b, v[DOMAINS], key_path(b, path, DOMAINS),
		    &u->domains);
	if (v[DATABASES] != NULL)
		bind_shown_only(b, v[DATABASES], key_path(b, path, DATABASES),
		    &u->databases);
	if (v[TEAMS] != NULL)
		bind_texts(b, v[TEAMS], key_path(b, path, TEAMS), &u->teams);
	if (v[SLACK] != NULL)
		bind_text(b, v[SLACK], key_path(b, path, SLACK), NAME_LEN_MAX,
		    &u->slack_user_id);
	if (v[RATE] != NULL)
		bind_user_rate(b, v[RATE], key_path(b, path, RATE), u);
}

/* In lower case, or NULL after a finding. */
static const char *
bind_email(struct bind *b, const struct yaml_node *email,
    const struct yaml_node *node, const char *path)
{
	char why[128];
	char *text, *p;

	if (email == NULL) {
		bind_error(b, node, path, "has no email");
		return NULL;
	}
	path = bind_path(b, path, "email");
	if (bind_is_scalar(b, email, path) < 0)
		return NULL;
	if (check_email(email->text, why, sizeof(why)) < 0) {
		bind_error(b, email, path, "\"%s\" %s", bind_show(b, email),
		    why);
		return NULL;
	}
	text = arena_strdup(b->mem, span_str(email->text));
	for (p = text; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return text;
}

static void
super_role(struct bind *b, const struct yaml_node *const *v,
    const char *path, struct model_user *u)
{
	const struct yaml_node *role = v[ROLE], *mcps = v[ALLOWED_MCPS];

	model_set(&u->role, "super_admin");
	u->grants.given = true;
	u->grants.all = true;
	if (role != NULL &&
	    bind_is_scalar(b, role, key_path(b, path, ROLE)) == 0 &&
	    strcmp(role->text, "super_admin") != 0)
		bind_warn(b, role, key_path(b, path, ROLE), "is ignored; the "
		    "role of a super admin is super_admin");
	if (mcps != NULL && !mcps->bad && (mcps->kind != YAML_TREE_SCALAR ||
	    strcmp(mcps->text, "*") != 0))
		bind_error(b, mcps, key_path(b, path, ALLOWED_MCPS), "must be "
		    "\"*\" for a super admin; list others under users");
}

static void
bind_user(struct bind *b, const struct yaml_node *node, const char *path,
    bool super)
{
	const struct yaml_node *v[N_KEYS];
	struct model_user *u;
	const char *email;

	if (bind_map(b, node, path, keys, N_KEYS, v) < 0)
		return;
	email = bind_email(b, v[EMAIL], node, path);
	u = model_add_user(b->model, email != NULL ? email : "");
	bind_origin(b, node, &u->origin);
	bind_common(b, v, path, u);
	if (super) {
		super_role(b, v, path, u);
		return;
	}
	if (v[ROLE] == NULL)
		bind_error(b, node, path, "has no role");
	else
		bind_role(b, v[ROLE], key_path(b, path, ROLE), u);
	if (v[ALLOWED_MCPS] != NULL)
		bind_grants(b, v[ALLOWED_MCPS],
		    key_path(b, path, ALLOWED_MCPS), &u->grants);
}

static void
bind_list(struct bind *b, const struct yaml_node *node, const char *path,
    bool super)
{
	size_t i;

	if (bind_is_list(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++)
		bind_user(b, node->item[i], bind_index(b, path, i), super);
}

void
bind_users(struct bind *b, const struct yaml_node *node, const char *path)
{
	bind_list(b, node, path, false);
}

void
bind_super_admins(struct bind *b, const struct yaml_node *node,
    const char *path)
{
	bind_list(b, node, path, true);
}

void
bind_default_user(struct bind *b, const struct yaml_node *node,
    const char *path)
{
	const struct yaml_node *v[N_KEYS];
	struct model_user *u;

	if (bind_once(b, node, path, path) < 0 ||
	    bind_map(b, node, path, keys, N_KEYS, v) < 0)
		return;
	u = model_set_default_user(b->model);
	bind_origin(b, node, &u->origin);
	if (v[EMAIL] != NULL)
		bind_error(b, v[EMAIL], key_path(b, path, EMAIL),
		    "the default user has no email");
	bind_common(b, v, path, u);
	if (v[ROLE] != NULL)
		bind_role(b, v[ROLE], key_path(b, path, ROLE), u);
	if (v[ALLOWED_MCPS] != NULL)
		bind_grants(b, v[ALLOWED_MCPS],
		    key_path(b, path, ALLOWED_MCPS), &u->grants);
}
