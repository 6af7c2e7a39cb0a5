/*
 * model -- rows of servers, users, roles and keys: add, find, free.
 *
 * Plain growing arrays; only short-lived processes build one, from YAML and
 * from the database. Knows nothing of where rows come from but their origin.
 */
#include "conf/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define DEFAULT_ORG	"default"

static const struct seed {
	const char	*name;
	int64_t		 requests_per_hour;
	bool		 is_admin, is_super;
	const char	*description;
} seeds[] = {
#define ROLE(name, rph, admin, super, text) { name, rph, admin, super, text },
#include "conf/roles.def"
#undef ROLE
};
#define N_SEEDS	(sizeof(seeds) / sizeof(seeds[0]))

/* Room for one more element; arrays grow at powers of two. */
static void *
grow(void *array, size_t n, size_t size)
{
	if ((n & (n - 1)) == 0)
		array = xrealloc(array, (n == 0 ? 1 : 2 * n) * size);
	memset((char *)array + n * size, 0, size);
	return array;
}

void
strlist_add(struct strlist *l, const char *s)
{
	l->v = grow(l->v, l->n, sizeof(*l->v));
	l->v[l->n++] = xstrdup(s);
}

bool
strlist_has(const struct strlist *l, const char *s)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}

void
strlist_free(struct strlist *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct strlist){ 0 };
}

void
model_set(char **field, const char *value)
{
	char *copy = xstrdup(value);

	free(*field);
	*field = copy;
}

const char *
model_add_file(struct model *m, const char *file)
{
	size_t i;

	for (i = 0; i < m->files.n; i++)
		if (strcmp(m->files.v[i], file) == 0)
			return m->files.v[i];
	strlist_add(&m->files, file);
	return m->files.v[m->files.n - 1];
}

void
model_init(struct model *m)
{
	*m = (struct model){ 0 };
}

struct model_server *
model_add_server(struct model *m, const char *name)
{
	struct model_server *s;

	m->server = grow(m->server, m->n_servers, sizeof(*s));
	s = &m->server[m->n_servers++];
	s->org = xstrdup(DEFAULT_ORG);
	s->name = xstrdup(name);
	s->display_name = xstrdup(name);
	s->description = xstrdup("");
	s->enabled = true;
	s->transport = TRANSPORT_HTTP;
	s->url = xstrdup("");
	s->command = xstrdup("");
	s->cwd = xstrdup("");
	s->sandbox = s->network = true;
	s->max_attempts = 2;
	s->retry_delay_ms = 1000;
	s->auth_header = xstrdup("");
	return s;
}

struct model_role *
model_add_role(struct model *m, const char *name)
{
	struct model_role *r;

	m->role = grow(m->role, m->n_roles, sizeof(*r));
	r = &m->role[m->n_roles++];
	r->org = xstrdup(DEFAULT_ORG);
	r->name = xstrdup(name);
	r->display_name = xstrdup(name);
	r->description = xstrdup("");
	return r;
}

static void
user_defaults(struct model_user *u, const char *email)
{
	u->org = xstrdup(DEFAULT_ORG);
	u->email = xstrdup(email);
	u->name = xstrdup("");
	u->role = xstrdup("read_only");
	u->active = true;
	u->requests_per_hour = -1;
	u->slack_user_id = xstrdup("");
}

struct model_user *
model_add_user(struct model *m, const char *email)
{
	struct model_user *u;

	m->user = grow(m->user, m->n_users, sizeof(*u));
	u = &m->user[m->n_users++];
	user_defaults(u, email);
	return u;
}

struct model_user *
model_set_default_user(struct model *m)
{
	if (!m->has_default_user) {
		user_defaults(&m->default_user, "");
		model_set(&m->default_user.name, "Guest User");
		m->has_default_user = true;
	}
	return &m->default_user;
}

struct model_key *
model_add_key(struct model *m)
{
	struct model_key *k;

	m->key = grow(m->key, m->n_keys, sizeof(*k));
	k = &m->key[m->n_keys++];
	k->org = xstrdup(DEFAULT_ORG);
	k->email = xstrdup("");
	return k;
}

struct model_access *
model_add_access(struct model_grants *g, const char *server)
{
	struct model_access *a;

	g->given = true;
	g->access = grow(g->access, g->n, sizeof(*a));
	a = &g->access[g->n++];
	a->server = xstrdup(server);
	a->mode = ACCESS_INHERIT;
	return a;
}

struct model_restriction *
model_add_restriction(struct model_server *s, const char *role)
{
	struct model_restriction *r;

	s->restriction = grow(s->restriction, s->n_restrictions, sizeof(*r));
	r = &s->restriction[s->n_restrictions++];
	r->role = xstrdup(role);
	return r;
}

void
model_grants_free(struct model_grants *g)
{
	size_t i;

	for (i = 0; i < g->n; i++) {
		free(g->access[i].server);
		strlist_free(&g->access[i].tools);
		strlist_free(&g->access[i].deny);
		strlist_free(&g->access[i].resources);
		strlist_free(&g->access[i].deny_resources);
		strlist_free(&g->access[i].prompts);
	}
	free(g->access);
	*g = (struct model_grants){ 0 };
}

void
model_restrictions_free(struct model_server *s)
{
	size_t i;

	for (i = 0; i < s->n_restrictions; i++) {
		free(s->restriction[i].role);
		strlist_free(&s->restriction[i].globs);
	}
	free(s->restriction);
	s->restriction = NULL;
	s->n_restrictions = 0;
}

static void
server_free(struct model_server *s)
{
	free(s->org);
	free(s->name);
	free(s->display_name);
	free(s->description);
	free(s->url);
	free(s->command);
	strlist_free(&s->args);
	strlist_free(&s->env);
	free(s->cwd);
	strlist_free(&s->writable);
	strlist_free(&s->hidden);
	if (s->auth_header != NULL)
		explicit_bzero(s->auth_header, strlen(s->auth_header));
	free(s->auth_header);
	strlist_free(&s->tool_globs);
	model_restrictions_free(s);
	strlist_free(&s->tags);
}

static void
role_free(struct model_role *r)
{
	free(r->org);
	free(r->name);
	free(r->display_name);
	free(r->description);
	model_grants_free(&r->grants);
	strlist_free(&r->allowed_tools);
	strlist_free(&r->denied_tools);
}

static void
user_free(struct model_user *u)
{
	free(u->org);
	free(u->email);
	free(u->name);
	free(u->role);
	model_grants_free(&u->grants);
	strlist_free(&u->domains);
	strlist_free(&u->databases);
	strlist_free(&u->teams);
	free(u->slack_user_id);
}

void
model_free(struct model *m)
{
	size_t i;

	for (i = 0; i < m->n_servers; i++)
		server_free(&m->server[i]);
	for (i = 0; i < m->n_roles; i++)
		role_free(&m->role[i]);
	for (i = 0; i < m->n_users; i++)
		user_free(&m->user[i]);
	for (i = 0; i < m->n_keys; i++) {
		free(m->key[i].org);
		free(m->key[i].email);
	}
	for (i = 0; i < m->n_revoked; i++)
		free(m->revoked[i].jti);
	if (m->has_default_user)
		user_free(&m->default_user);
	free(m->server);
	free(m->role);
	free(m->user);
	free(m->key);
	free(m->revoked);
	strlist_free(&m->blocked_tools);
	strlist_free(&m->admin_only_tools);
	strlist_free(&m->files);
	strlist_free(&m->secret_files);
	*m = (struct model){ 0 };
}

struct model_server *
model_find_server(const struct model *m, const char *org, const char *name)
{
	size_t i;

	for (i = 0; i < m->n_servers; i++)
		if (strcmp(m->server[i].name, name) == 0 &&
		    strcmp(m->server[i].org, org) == 0)
			return &m->server[i];
	return NULL;
}

/* A seed is found only when no other row has its name. */
struct model_role *
model_find_role(const struct model *m, const char *org, const char *name)
{
	struct model_role *seed = NULL;
	size_t i;

	for (i = 0; i < m->n_roles; i++) {
		if (strcmp(m->role[i].name, name) != 0 ||
		    strcmp(m->role[i].org, org) != 0)
			continue;
		if (!m->role[i].is_seed)
			return &m->role[i];
		seed = &m->role[i];
	}
	return seed;
}

struct model_user *
model_find_user(const struct model *m, const char *org, const char *email)
{
	size_t i;

	for (i = 0; i < m->n_users; i++)
		if (strcmp(m->user[i].email, email) == 0 &&
		    strcmp(m->user[i].org, org) == 0)
			return &m->user[i];
	return NULL;
}

void
model_seed_role(struct model_role *r)
{
	size_t i;

	for (i = 0; i < N_SEEDS; i++) {
		if (strcmp(seeds[i].name, r->name) != 0)
			continue;
		model_set(&r->description, seeds[i].description);
		r->requests_per_hour = seeds[i].requests_per_hour;
		r->is_admin = seeds[i].is_admin;
		r->is_super = seeds[i].is_super;
		return;
	}
	r->requests_per_hour = MODEL_REQUESTS_PER_HOUR;
}

static void
drop_replaced_seeds(struct model *m)
{
	struct model_role *r;
	size_t i;

	for (i = m->n_roles; i-- > 0;) {
		r = &m->role[i];
		if (!r->is_seed ||
		    model_find_role(m, r->org, r->name)->is_seed)
			continue;
		role_free(r);
		/* The order of rows says nothing. */
		*r = m->role[--m->n_roles];
	}
	/* grow() counts on the array being a power of two. */
	for (i = 1; i < m->n_roles; i *= 2)
		;
	m->role = xrealloc(m->role, i * sizeof(*m->role));
}

void
model_add_seed_roles(struct model *m)
{
	struct model_role *r;
	size_t i;

	for (i = 0; i < N_SEEDS; i++) {
		if (model_find_role(m, DEFAULT_ORG, seeds[i].name) != NULL)
			continue;
		r = model_add_role(m, seeds[i].name);
		r->is_seed = true;
		model_seed_role(r);
	}
	drop_replaced_seeds(m);
}
