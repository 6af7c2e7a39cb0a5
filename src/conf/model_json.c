/*
 * model_json -- allowed_mcps and role_restrictions as JSON text.
 *
 * The form the database stores and the API speaks:
 *	null | {"all":true} | {"servers":{"name":{"mode":"custom","tools":[],
 *	    "deny":[],"resources":[],"deny_resources":[],"prompts":[]}}}
 *	{"role":{"mode":"allow_only","globs":[]}}
 * Reading is strict: unknown members, modes and malformed globs are refused,
 * because a permission that is silently dropped is a wrong permission.
 */
#include "conf/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/glob.h"

static const char *const access_names[] = { "inherit", "custom", "all" };
static const char *const restriction_names[] = { "allow_all", "deny_all",
	"allow_only", "deny", "allow_all_except" };
#define COUNT(a)	((int)(sizeof(a) / sizeof((a)[0])))

static int	fail(char *, size_t, const char *, ...)
		    __attribute__((format(printf, 3, 4)));

static int
fail(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -1;
}

static int
name_index(const char *const *names, int n, const char *s)
{
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(names[i], s) == 0)
			return i;
	return -1;
}

static json_t *
list_to_json(const struct strlist *l)
{
	json_t *a = json_array();
	size_t i;

	for (i = 0; i < l->n; i++)
		json_array_append_new(a, json_string(l->v[i]));
	return a;
}

static int
list_from_json(struct strlist *out, const json_t *a, const char *where,
    const char *name, char *why, size_t size)
{
	const char *s;
	json_t *item;
	size_t i;

	if (!json_is_array(a))
		return fail(why, size, "%s: %s must be an array of strings",
		    where, name);
	json_array_foreach(a, i, item) {
		if ((s = json_string_value(item)) == NULL)
			return fail(why, size, "%s: %s must be an array of "
			    "strings", where, name);
		if (*s == '\0' || !glob_valid(s))
			return fail(why, size, "%s: %s: \"%s\" is not a "
			    "pattern", where, name, s);
		strlist_add(out, s);
	}
	return 0;
}

static char *
dump(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY), *copy;

	json_decref(j);
	copy = xstrdup(text != NULL ? text : "null");
	free(text);
	return copy;
}

static json_t *
parse(const char *text, char *why, size_t size)
{
	json_error_t e;
	json_t *j;

	j = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (j == NULL)
		fail(why, size, "not JSON: %s", e.text);
	return j;
}

static json_t *
access_to_json(const struct model_access *a)
{
	json_t *o = json_object();

	json_object_set_new(o, "mode", json_string(access_names[a->mode]));
	if (a->mode == ACCESS_CUSTOM || a->tools.n > 0)
		json_object_set_new(o, "tools", list_to_json(&a->tools));
	if (a->deny.n > 0)
		json_object_set_new(o, "deny", list_to_json(&a->deny));
	if (a->has_resources)
		json_object_set_new(o, "resources",
		    list_to_json(&a->resources));
	if (a->deny_resources.n > 0)
		json_object_set_new(o, "deny_resources",
		    list_to_json(&a->deny_resources));
	if (a->has_prompts)
		json_object_set_new(o, "prompts", list_to_json(&a->prompts));
	return o;
}

char *
model_grants_to_json(const struct model_grants *g)
{
	json_t *o, *servers;
	size_t i;

	if (!g->given)
		return dump(json_null());
	o = json_object();
	if (g->all) {
		json_object_set_new(o, "all", json_true());
		return dump(o);
	}
	servers = json_object();
	for (i = 0; i < g->n; i++)
		json_object_set_new(servers, g->access[i].server,
		    access_to_json(&g->access[i]));
	json_object_set_new(o, "servers", servers);
	return dump(o);
}

static int
access_member(struct model_access *a, const char *name, const json_t *v,
    char *why, size_t size)
{
	int mode;

	if (strcmp(name, "mode") == 0) {
		if (!json_is_string(v) || (mode = name_index(access_names,
		    COUNT(access_names), json_string_value(v))) < 0)
			return fail(why, size, "%s: mode must be inherit, "
			    "custom or all", a->server);
		a->mode = (enum access_mode)mode;
		return 0;
	}
	if (strcmp(name, "tools") == 0)
		return list_from_json(&a->tools, v, a->server, name, why, size);
	if (strcmp(name, "deny") == 0)
		return list_from_json(&a->deny, v, a->server, name, why, size);
	if (strcmp(name, "resources") == 0) {
		a->has_resources = true;
		return list_from_json(&a->resources, v, a->server, name, why,
		    size);
	}
	if (strcmp(name, "deny_resources") == 0)
		return list_from_json(&a->deny_resources, v, a->server, name,
		    why, size);
	if (strcmp(name, "prompts") == 0) {
		a->has_prompts = true;
		return list_from_json(&a->prompts, v, a->server, name, why,
		    size);
	}
	return fail(why, size, "%s: unknown member \"%s\"", a->server, name);
}

static int
access_from_json(struct model_access *a, const json_t *o, char *why,
    size_t size)
{
	const char *name;
	json_t *v;

	if (!json_is_object(o))
		return fail(why, size, "%s: must be an object", a->server);
	if (json_object_get(o, "mode") == NULL)
		return fail(why, size, "%s: mode is missing", a->server);
	json_object_foreach((json_t *)(uintptr_t)o, name, v)
		if (access_member(a, name, v, why, size) < 0)
			return -1;
	if (a->mode != ACCESS_CUSTOM && (a->tools.n > 0 || a->deny.n > 0))
		return fail(why, size, "%s: tools and deny need mode custom",
		    a->server);
	return 0;
}

static int
grants_read(struct model_grants *g, json_t *j, char *why, size_t size)
{
	json_t *all = json_object_get(j, "all");
	json_t *servers = json_object_get(j, "servers"), *v;
	const char *name;

	if (json_is_null(j))
		return 0;
	if (!json_is_object(j) || json_object_size(j) != 1 ||
	    (all == NULL && servers == NULL))
		return fail(why, size,
		    "must be null, {\"all\":true} or {\"servers\":{...}}");
	g->given = true;
	if (all != NULL) {
		if (!json_is_true(all))
			return fail(why, size, "all must be true");
		g->all = true;
		return 0;
	}
	if (!json_is_object(servers))
		return fail(why, size, "servers must be an object");
	json_object_foreach(servers, name, v) {
		if (*name == '\0')
			return fail(why, size, "a server without a name");
		if (access_from_json(model_add_access(g, name), v, why,
		    size) < 0)
			return -1;
	}
	return 0;
}

/* Replaces *g; left as "not given" after an error. */
int
model_grants_from_json(struct model_grants *g, const char *json, char *why,
    size_t why_size)
{
	json_t *j = parse(json, why, why_size);
	int rv;

	model_grants_free(g);
	if (j == NULL)
		return -1;
	if ((rv = grants_read(g, j, why, why_size)) < 0)
		model_grants_free(g);
	json_decref(j);
	return rv;
}

char *
model_restrictions_to_json(const struct model_server *s)
{
	const struct model_restriction *r;
	json_t *o = json_object(), *v;
	size_t i;

	for (i = 0; i < s->n_restrictions; i++) {
		r = &s->restriction[i];
		v = json_object();
		json_object_set_new(v, "mode",
		    json_string(restriction_names[r->mode]));
		json_object_set_new(v, "globs", list_to_json(&r->globs));
		json_object_set_new(o, r->role, v);
	}
	return dump(o);
}

static int
restriction_read(struct model_server *s, const char *role, const json_t *o,
    char *why, size_t size)
{
	const char *mode = json_string_value(json_object_get(o, "mode"));
	const json_t *globs = json_object_get(o, "globs");
	struct model_restriction *r;
	int i;

	if (*role == '\0')
		return fail(why, size, "a role without a name");
	if (mode == NULL || (i = name_index(restriction_names,
	    COUNT(restriction_names), mode)) < 0)
		return fail(why, size, "%s: mode must be allow_all, deny_all, "
		    "allow_only, deny or allow_all_except", role);
	if (json_object_size(o) != (globs != NULL ? 2u : 1u))
		return fail(why, size, "%s: only mode and globs are known",
		    role);
	if (globs == NULL && i != RESTRICT_ALLOW_ALL && i != RESTRICT_DENY_ALL)
		return fail(why, size, "%s: globs is missing", role);
	r = model_add_restriction(s, role);
	r->mode = (enum restriction)i;
	return globs == NULL ? 0 :
	    list_from_json(&r->globs, globs, role, "globs", why, size);
}

/* Replaces the restrictions of the server; none are left after an error. */
int
model_restrictions_from_json(struct model_server *s, const char *json,
    char *why, size_t why_size)
{
	json_t *j = parse(json, why, why_size), *v;
	const char *role;
	int rv = 0;

	model_restrictions_free(s);
	if (j == NULL)
		return -1;
	if (!json_is_object(j))
		rv = fail(why, why_size, "must be an object");
	json_object_foreach(j, role, v) {
		rv = restriction_read(s, role, v, why, why_size);
		if (rv < 0)
			break;
	}
	if (rv < 0)
		model_restrictions_free(s);
	json_decref(j);
	return rv;
}
