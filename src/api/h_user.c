/*
 * h_user -- users: list, show, add, change, disable.
 */
#include "api/api_int.h"

#include <stdlib.h>

#include "conf/model_forms.h"

struct model_user *
api_find_user(struct api_call *c, const char *email, struct err *e)
{
	struct model_user *u = model_find_user(c->api->model, API_ORG, email);

	if (u == NULL)
		err_set(e, ERR_NOTFOUND, "there is no user %s; \"omni2ctl "
		    "user list\" shows them", email);
	return u;
}

/* ---- list, show ----------------------------------------------------------------- */

static int64_t
limit_of(const struct model *m, const struct model_user *u)
{
	const struct model_role *r = model_find_role(m, u->org, u->role);

	return u->requests_per_hour >= 0 ? u->requests_per_hour :
	    r == NULL ? 0 : r->requests_per_hour;
}

static void
put_user(struct json_out *j, const struct model *m, const struct model_user *u)
{
	char *grants = model_grants_to_json(&u->grants);

	json_object_begin(j, NULL);
	json_put_str(j, "email", u->email);
	json_put_str(j, "name", u->name);
	json_put_str(j, "role", u->role);
	json_put_bool(j, "active", u->active);
	json_put_int(j, "per_hour", limit_of(m, u));
	json_put_str(j, "source", u->origin.source == SOURCE_YAML ? "yaml" :
	    "db");
	json_put_raw(j, "allowed_mcps", span_str(grants));
	json_object_end(j);
	free(grants);
}

int
api_list_users(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct model *m;
	size_t i;

	if (api_model(c, false, e) < 0)
		return -1;
	m = c->api->model;
	json_object_begin(j, NULL);
	json_array_begin(j, "items");
	for (i = 0; i < m->n_users; i++)
		put_user(j, m, &m->user[i]);
	json_array_end(j);
	json_object_end(j);
	return 0;
}

int
api_show_user(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct model_user *u;

	if (api_model(c, false, e) < 0 ||
	    (u = api_find_user(c, api_text(c, "email"), e)) == NULL)
		return -1;
	put_user(j, c->api->model, u);
	return 0;
}

/* ---- add, change ------------------------------------------------------------------ */

static int
set_role(struct api_call *c, struct model_user *u, struct err *e)
{
	const struct model *m = c->api->model;
	const char *role = api_text(c, "role");
	struct buf names;
	size_t i;

	if (role == NULL)
		return 0;
	if (model_find_role(m, API_ORG, role) != NULL) {
		model_set(&u->role, role);
		return 0;
	}
	buf_init(&names, 65536);
	for (i = 0; i < m->n_roles; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "", m->role[i].name);
	err_set(e, ERR_NOTFOUND, "there is no role \"%s\"; the roles are %.*s",
	    role, (int)names.n, names.p);
	buf_free(&names);
	return -1;
}

static int
set_grants(struct api_call *c, struct model_user *u, struct err *e)
{
	char why[256];
	size_t i;

	if (!api_given(c, "allowed_mcps"))
		return 0;
	u->grants = (struct model_grants){ 0 };	/* those before are others' */
	if (model_grants_from_json(&u->grants, arena_strdup(c->api->mem,
	    api_raw(c, "allowed_mcps")), why, sizeof(why)) < 0)
		return err_set(e, ERR_INVALID, "allowed_mcps: %s", why);
	for (i = 0; i < u->grants.n; i++)
		if (strcmp(u->grants.access[i].server, "*") != 0 &&
		    api_find_server(c, u->grants.access[i].server, e) == NULL)
			return -1;
	return 0;
}

static int
set_fields(struct api_call *c, struct model_user *u, struct err *e)
{
	if (api_given(c, "name"))
		model_set(&u->name, api_text(c, "name"));
	u->requests_per_hour = api_int(c, "requests_per_hour",
	    u->requests_per_hour);
	return set_role(c, u, e) < 0 ? -1 : set_grants(c, u, e);
}

static int
store(struct api_call *c, struct model_user *u, bool only_new,
    const char *action, struct err *e)
{
	char *grants = model_grants_to_json(&u->grants);
	struct json_out j;
	struct buf b;
	int rv;

	buf_init(&b, 1u << 20);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	json_put_str(&j, "email", u->email);
	json_put_str(&j, "role", u->role);
	json_put_int(&j, "requests_per_hour", u->requests_per_hour);
	json_put_raw(&j, "allowed_mcps", span_str(grants));
	json_object_end(&j);
	buf_add_char(&b, '\0');
	rv = store_user_put(c->api->db, u, only_new, e) < 0 ? -1 :
	    api_changed(c, action, u->email, b.p, e);
	buf_free(&b);
	free(grants);
	return rv;
}

static int
add(struct api_call *c, struct model_user *u, struct json_out *j,
    struct err *e)
{
	if (set_fields(c, u, e) < 0)
		return -1;
	if (u->name[0] == '\0')
		model_set(&u->name, u->email);
	if (store(c, u, true, "user add", e) < 0)
		return -1;
	json_object_begin(j, NULL);
	json_put_str(j, "email", u->email);
	json_put_str(j, "role", u->role);
	json_object_end(j);
	return 0;
}

int
api_add_user(struct api_call *c, struct json_out *j, struct err *e)
{
	struct model_user *u;
	struct model m;
	int rv;

	if (api_model(c, true, e) < 0)
		return -1;
	model_init(&m);
	u = model_add_user(&m, api_text(c, "email"));
	model_set(&u->org, API_ORG);
	u->requests_per_hour = -1;
	rv = add(c, u, j, e);
	model_free(&m);
	return rv;
}

static int
set_active(struct api_call *c, const struct model_user *u, struct err *e)
{
	bool active = api_bool(c, "active");

	if (api_given(c, "role") || api_given(c, "name") ||
	    api_given(c, "requests_per_hour") || api_given(c, "allowed_mcps"))
		return err_set(e, ERR_INVALID, "active: is changed by itself");
	return store_user_set_active(c->api->db, API_ORG, u->email, active,
	    e) < 0 ? -1 : api_changed(c, active ? "user enable" :
	    "user disable", u->email, active ? "{\"active\":true}" :
	    "{\"active\":false}", e);
}

/* A copy is changed, so that the model stays what it was read as. */
static int
set_others(struct api_call *c, const struct model_user *u, struct err *e)
{
	struct model_user change = *u;
	int rv;

	if (u->origin.source == SOURCE_YAML)
		return err_set(e, ERR_CONFLICT, "%s stands in %s line %d; "
		    "change it there and reload", u->email, u->origin.file,
		    u->origin.line);
	change.role = xstrdup(u->role);
	change.name = xstrdup(u->name);
	rv = set_fields(c, &change, e) < 0 ? -1 :
	    store(c, &change, false, "user set", e);
	free(change.role);
	free(change.name);
	if (api_given(c, "allowed_mcps"))
		model_grants_free(&change.grants);
	return rv;
}

int
api_set_user(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct model_user *u;

	if (api_model(c, true, e) < 0 ||
	    (u = api_find_user(c, api_text(c, "email"), e)) == NULL)
		return -1;
	if ((api_given(c, "active") ? set_active(c, u, e) :
	    set_others(c, u, e)) < 0)
		return -1;
	json_object_begin(j, NULL);
	json_put_str(j, "email", u->email);
	if (api_given(c, "active"))
		json_put_bool(j, "active", api_bool(c, "active"));
	json_object_end(j);
	return 0;
}
