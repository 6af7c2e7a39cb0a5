/*
 * build -- flattens the loader's model into one policy snapshot.
 *
 * Runs in the loader (into a free buffer of the policy zone) and in omni2ctl
 * (on its heap). A bump allocator hands out the buffer; what does not fit
 * turns "full" on and nothing is ever written beyond the size. Equal strings
 * are stored once. What the snapshot answers is worked out here, so that the
 * workers only look up: effective grants and limits, ids, sorted arrays, hash
 * tables. Never publishes and never writes outside out, but for the health
 * entries it takes for new servers.
 *
 * Order: organisations, roles (names), servers (their restrictions name
 * roles), the roles' grants (they name servers), users, keys, the rest.
 */
#include "policy/build.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "shm/health.h"
#include "shm/rate.h"

_Static_assert(MODEL_RATE_MAX == SHM_RATE_LIMIT_MAX, "limits must fit");

struct builder {
	char			*base;
	size_t			 size, used;
	bool			 full;
	struct pol_head		*head;
	const struct model	*model;
	struct shm		*shm;
	struct err		*e;
	struct pol_str		*string;	/* table of all so far */
	size_t			 n_strings, string_places;
	struct pol_grants	*role_grants;	/* [role][org] */
	bool			*role_grants_done;
};

/*
 * n zeroed items of size bytes; *list gets where they are. NULL, and full,
 * when there is no room; the caller gives up then.
 */
static void *
take(struct builder *b, size_t n, size_t size, struct pol_list *list)
{
	size_t at = (b->used + 7) & ~(size_t)7;

	if (b->full || at > b->size || n > (b->size - at) / size) {
		b->full = true;
		*list = (struct pol_list){ 0, 0 };
		return NULL;
	}
	*list = (struct pol_list){ (uint32_t)at, (uint32_t)n };
	b->used = at + n * size;
	memset(b->base + at, 0, n * size);
	return b->base + at;
}

static void
grow_string_table(struct builder *b)
{
	struct pol_str *old = b->string;
	size_t n = b->string_places, i;
	uint64_t place;

	b->string_places = n == 0 ? 1024 : n * 2;
	b->string = xcalloc(b->string_places, sizeof(*b->string));
	for (i = 0; i < n; i++) {
		if (old[i].off == 0)
			continue;
		place = hash_bytes(b->head->seed, b->base + old[i].off,
		    old[i].len);
		while (b->string[place & (b->string_places - 1)].off != 0)
			place++;
		b->string[place & (b->string_places - 1)] = old[i];
	}
	free(old);
}

static struct pol_str
add_str(struct builder *b, const char *s)
{
	size_t n = strlen(s);
	uint64_t place = hash_bytes(b->head->seed, s, n);
	struct pol_str *str;

	if (b->n_strings * 2 >= b->string_places)
		grow_string_table(b);
	for (;; place++) {
		str = &b->string[place & (b->string_places - 1)];
		if (str->off == 0)	/* the head lies there: no string */
			break;
		if (str->len == n && memcmp(b->base + str->off, s, n) == 0)
			return *str;
	}
	if (b->full || n >= b->size - b->used) {
		b->full = true;
		return (struct pol_str){ 0, 0 };
	}
	memcpy(b->base + b->used, s, n + 1);
	*str = (struct pol_str){ (uint32_t)b->used, (uint32_t)n };
	b->used += n + 1;
	b->n_strings++;
	return *str;
}

static int
add_list(struct builder *b, const struct strlist *from, struct pol_list *to)
{
	struct pol_str *v = take(b, from->n, sizeof(*v), to);
	size_t i;

	if (v == NULL)
		return -1;
	for (i = 0; i < from->n; i++)
		v[i] = add_str(b, from->v[i]);
	return b->full ? -1 : 0;
}

static uint32_t
clamp_u32(int64_t v)
{
	return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

/* Of a row of the database: the configuration refuses what no ring holds. */
static uint32_t
clamp_limit(int64_t v)
{
	return clamp_u32(v < MODEL_RATE_MAX ? v : MODEL_RATE_MAX);
}

/* Digest of a sequence of strings: each is hashed, then chained. */
static void
chain(uint8_t digest[32], const char *s)
{
	uint8_t both[64];

	memcpy(both, digest, 32);
	hash_sha256(s, strlen(s), both + 32);
	hash_sha256(both, sizeof(both), digest);
}

static void
chain_list(uint8_t digest[32], const struct strlist *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		chain(digest, list->v[i]);
	digest[0] ^= 1;		/* where one list ends, the next begins */
}

/* The same on every node and after every restart; never equal to a row id. */
static int64_t
stable_id(int64_t row, const char *kind, const char *org, const char *name)
{
	uint8_t digest[32] = { 0 };
	uint64_t id;

	if (row > 0)
		return row;
	chain(digest, kind);
	chain(digest, org);
	chain(digest, name);
	memcpy(&id, digest, sizeof(id));
	return (int64_t)((id & ((1ULL << 62) - 1)) | 1ULL << 62);
}

static uint64_t
config_hash(const struct model_server *m)
{
	uint8_t digest[32] = { (uint8_t)m->transport };
	char limits[48];
	uint64_t hash;

	chain(digest, m->url);
	chain(digest, m->command);
	chain(digest, m->cwd);
	chain(digest, m->auth_header);
	chain_list(digest, &m->args);
	chain_list(digest, &m->env);
	chain(digest, !m->sandbox ? "open" : m->network ? "" : "no network");
	chain(digest, m->sandbox_required ? "required" : "");
	chain_list(digest, &m->writable);
	chain_list(digest, &m->hidden);
	snprintf(limits, sizeof(limits), "%lld %lld", (long long)m->memory,
	    (long long)m->processes);
	chain(digest, limits);
	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "default" first, then the others by name. */
static int
build_orgs(struct builder *b)
{
	const struct model *m = b->model;
	size_t max = m->n_servers + m->n_roles + m->n_users + 1, n = 0, i;
	const char **name = xcalloc(max, sizeof(*name));
	struct strlist list = { 0 };
	int rv;

	for (i = 0; i < m->n_servers; i++)
		name[n++] = m->server[i].org;
	for (i = 0; i < m->n_roles; i++)
		name[n++] = m->role[i].org;
	for (i = 0; i < m->n_users; i++)
		name[n++] = m->user[i].org;
	if (m->has_default_user)
		name[n++] = m->default_user.org;
	qsort(name, n, sizeof(*name), compare_strings);
	strlist_add(&list, "default");
	for (i = 0; i < n; i++)
		if (strcmp(name[i], list.v[list.n - 1]) != 0 &&
		    strcmp(name[i], "default") != 0)
			strlist_add(&list, name[i]);
	rv = add_list(b, &list, &b->head->orgs);
	strlist_free(&list);
	free(name);
	return rv;
}

static uint32_t
find_org(const struct builder *b, const char *name)
{
	return pol_find_org(b->head, span_str(name));
}

/* A role of the organisation, or else one that all share. */
static uint32_t
find_role(const struct builder *b, uint32_t org, const char *name)
{
	uint32_t role = pol_find_role(b->head, org, span_str(name));

	if (role == POL_NONE && org != 0)
		role = pol_find_role(b->head, 0, span_str(name));
	return role;
}

/* A row and the place where the sorted array has it. */
struct row {
	uint32_t	 org;
	const char	*name;
	size_t		 index;		/* in the model */
};

static int
compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->org != y->org)
		return x->org < y->org ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Two of one name: nobody could say whose permissions hold. */
static int
check_unique(struct builder *b, const struct row *row, size_t n,
    const char *what)
{
	size_t i;

	for (i = 1; i < n; i++)
		if (compare_rows(&row[i - 1], &row[i]) == 0)
			return err_set(b->e, ERR_INVALID,
			    "there are two %s named \"%s\"", what,
			    row[i].name);
	return 0;
}

static struct row *
sort_roles(const struct builder *b)
{
	const struct model *m = b->model;
	struct row *row = xcalloc(m->n_roles + 1, sizeof(*row));
	size_t i;

	for (i = 0; i < m->n_roles; i++)
		row[i] = (struct row){ find_org(b, m->role[i].org),
		    m->role[i].name, i };
	qsort(row, m->n_roles, sizeof(*row), compare_rows);
	return row;
}

static struct row *
sort_servers(const struct builder *b)
{
	const struct model *m = b->model;
	struct row *row = xcalloc(m->n_servers + 1, sizeof(*row));
	size_t i;

	for (i = 0; i < m->n_servers; i++)
		row[i] = (struct row){ find_org(b, m->server[i].org),
		    m->server[i].name, i };
	qsort(row, m->n_servers, sizeof(*row), compare_rows);
	return row;
}

static int
build_roles(struct builder *b, const struct row *row)
{
	const struct model_role *m;
	struct pol_role *r;
	size_t i;

	r = take(b, b->model->n_roles, sizeof(*r), &b->head->roles);
	if (r == NULL)
		return -1;
	for (i = 0; i < b->model->n_roles; i++, r++) {
		m = &b->model->role[row[i].index];
		r->name = add_str(b, m->name);
		r->org = row[i].org;
		r->is_admin = m->is_admin;
		r->is_super = m->is_super;
		r->requests_per_hour = clamp_limit(m->requests_per_hour);
		r->concurrent = clamp_u32(m->concurrent);
		if (add_list(b, &m->allowed_tools, &r->allowed_tools) < 0 ||
		    add_list(b, &m->denied_tools, &r->denied_tools) < 0)
			return -1;
	}
	return 0;
}

static int
add_restrictions(struct builder *b, const struct model_server *m,
    struct pol_server *s)
{
	struct pol_restriction *r;
	size_t i;

	r = take(b, m->n_restrictions, sizeof(*r), &s->restrictions);
	if (r == NULL)
		return -1;
	for (i = 0; i < m->n_restrictions; i++) {
		r[i].role = find_role(b, s->org, m->restriction[i].role);
		/* To leave it out could leave the server unrestricted. */
		if (r[i].role == POL_NONE)
			return err_set(b->e, ERR_INVALID,
			    "mcps[%s].role_restrictions: there is no role "
			    "named \"%s\"", m->name, m->restriction[i].role);
		r[i].mode = m->restriction[i].mode;
		if (add_list(b, &m->restriction[i].globs, &r[i].globs) < 0)
			return -1;
	}
	return 0;
}

static int
add_server(struct builder *b, const struct model_server *m,
    struct pol_server *s)
{
	s->id = stable_id(m->id, "server", m->org, m->name);
	s->health = POL_NONE;
	s->enabled = m->enabled;
	s->transport = m->transport;
	s->name = add_str(b, m->name);
	s->display_name = add_str(b, m->display_name);
	s->description = add_str(b, m->description);
	s->url = add_str(b, m->url);
	s->command = add_str(b, m->command);
	s->cwd = add_str(b, m->cwd);
	s->auth_header = add_str(b, m->auth_header);
	s->timeout_ms = m->timeout_ms;
	s->retry_delay_ms = m->retry_delay_ms;
	s->max_attempts = m->max_attempts < 1 ? 1 : (uint32_t)m->max_attempts;
	s->tool_policy = m->tool_policy;
	s->rate_per_minute = clamp_limit(m->rate_per_minute);
	s->burst = clamp_u32(m->burst);
	s->sandbox = !m->sandbox ? POL_SANDBOX_OFF : m->network ?
	    POL_SANDBOX_ON : POL_SANDBOX_NO_NETWORK;
	s->sandbox_required = m->sandbox_required;
	s->memory = m->memory;
	s->processes = m->processes;
	s->config_hash = config_hash(m);
	if (add_list(b, &m->args, &s->args) < 0 ||
	    add_list(b, &m->env, &s->env) < 0 ||
	    add_list(b, &m->writable, &s->writable) < 0 ||
	    add_list(b, &m->hidden, &s->hidden) < 0 ||
	    add_list(b, &m->tool_globs, &s->tool_globs) < 0 ||
	    add_restrictions(b, m, s) < 0)
		return -1;
	if (b->shm == NULL)
		return 0;
	s->health = shm_health_index(b->shm, s->id, m->name);
	if (s->health == UINT32_MAX)
		return err_set(b->e, ERR_INVALID,
		    "mcps[%s]: more than %u servers", m->name,
		    SHM_SERVERS_MAX);
	return 0;
}

static int
build_servers(struct builder *b, const struct row *row)
{
	struct pol_server *s;
	size_t i;

	s = take(b, b->model->n_servers, sizeof(*s), &b->head->servers);
	if (s == NULL)
		return -1;
	for (i = 0; i < b->model->n_servers; i++) {
		s[i].org = row[i].org;
		if (add_server(b, &b->model->server[row[i].index], &s[i]) < 0)
			return -1;
	}
	return 0;
}

struct grant {			/* one entry of an allowed_mcps, to be sorted */
	uint32_t			 server;
	const struct model_access	*access;
};

static int
compare_grants(const void *a, const void *b)
{
	const struct grant *x = a, *y = b;

	if (x->server != y->server)
		return x->server < y->server ? -1 : 1;
	return (x->access > y->access) - (x->access < y->access);
}

/*
 * The entries whose server exists in the organisation, sorted, each server
 * once (the first entry counts). Returns their number.
 */
static size_t
sort_grants(const struct builder *b, uint32_t org,
    const struct model_grants *m, struct grant *grant)
{
	size_t i, n = 0, kept = 0;
	uint32_t server;

	for (i = 0; i < m->n; i++) {
		server = pol_find_server(b->head, org,
		    span_str(m->access[i].server));
		if (server != POL_NONE || strcmp(m->access[i].server, "*") == 0)
			grant[n++] = (struct grant){ server, &m->access[i] };
	}
	qsort(grant, n, sizeof(*grant), compare_grants);
	for (i = 0; i < n; i++)
		if (kept == 0 || grant[i].server != grant[kept - 1].server)
			grant[kept++] = grant[i];
	return kept;
}

static int
add_access(struct builder *b, const struct grant *grant, struct pol_access *a)
{
	const struct model_access *m = grant->access;

	a->server = grant->server;
	a->mode = m->mode;
	a->has_resources = m->has_resources;
	a->has_prompts = m->has_prompts;
	if (add_list(b, &m->tools, &a->tools) < 0 ||
	    add_list(b, &m->deny, &a->deny) < 0 ||
	    add_list(b, &m->resources, &a->resources) < 0 ||
	    add_list(b, &m->deny_resources, &a->deny_resources) < 0 ||
	    add_list(b, &m->prompts, &a->prompts) < 0)
		return -1;
	return 0;
}

static int
add_grants(struct builder *b, uint32_t org, const struct model_grants *m,
    struct pol_grants *to)
{
	struct grant *grant = xcalloc(m->n + 1, sizeof(*grant));
	size_t n = sort_grants(b, org, m, grant), i;
	struct pol_access *a = take(b, n, sizeof(*a), &to->access);
	int rv = a == NULL ? -1 : 0;

	to->given = m->given;
	to->all = m->all;
	for (i = 0; rv == 0 && i < n; i++)
		rv = add_access(b, &grant[i], &a[i]);
	free(grant);
	return rv;
}

/* A role's grants as seen from an organisation: they name its servers. */
static int
role_grants(struct builder *b, const struct row *row, uint32_t role,
    uint32_t org, struct pol_grants *to)
{
	size_t at = (size_t)role * b->head->orgs.n + org;
	const struct model_role *m = &b->model->role[row[role].index];

	if (!b->role_grants_done[at]) {
		if (add_grants(b, org, &m->grants, &b->role_grants[at]) < 0)
			return -1;
		b->role_grants_done[at] = true;
	}
	*to = b->role_grants[at];
	return 0;
}

static int
build_role_grants(struct builder *b, const struct row *row)
{
	struct pol_role *r = (void *)(b->base + b->head->roles.off);
	size_t n = (size_t)b->head->roles.n * b->head->orgs.n;
	uint32_t i;

	b->role_grants = xcalloc(n + 1, sizeof(*b->role_grants));
	b->role_grants_done = xcalloc(n + 1, sizeof(*b->role_grants_done));
	for (i = 0; i < b->head->roles.n; i++)
		if (role_grants(b, row, i, r[i].org, &r[i].grants) < 0)
			return -1;
	return 0;
}

static int
add_user(struct builder *b, const struct row *roles,
    const struct model_user *m, struct pol_user *u)
{
	int64_t limit = m->requests_per_hour;

	u->id = stable_id(m->id, "user", m->org, m->email);
	u->org = find_org(b, m->org);
	u->role = find_role(b, u->org, m->role);
	if (u->role == POL_NONE)
		return err_set(b->e, ERR_INVALID,
		    "users[%s]: there is no role named \"%s\"", m->email,
		    m->role);
	u->active = m->active;
	u->limit_per_hour = limit >= 0 ? clamp_limit(limit) :
	    pol_role(b->head, u->role)->requests_per_hour;
	u->email = add_str(b, m->email);
	u->name = add_str(b, m->name);
	u->slack_user_id = add_str(b, m->slack_user_id);
	if (add_list(b, &m->domains, &u->domains) < 0 ||
	    add_list(b, &m->databases, &u->databases) < 0 ||
	    add_list(b, &m->teams, &u->teams) < 0)
		return -1;
	if (m->grants.given)
		return add_grants(b, u->org, &m->grants, &u->grants);
	if (role_grants(b, roles, u->role, u->org, &u->grants) < 0)
		return -1;
	u->grants.given = 0;
	return 0;
}

static size_t
table_places(size_t n)
{
	size_t places = 2;

	if (n == 0)
		return 0;
	while (places < 2 * n)
		places *= 2;
	return places;
}

/* The default user stands last and in no table: nobody is called so. */
static int
build_users(struct builder *b, const struct row *roles)
{
	const struct model *m = b->model;
	size_t n = m->n_users + (m->has_default_user ? 1 : 0), i;
	struct pol_user *u = take(b, n, sizeof(*u), &b->head->users);

	if (u == NULL)
		return -1;
	for (i = 0; i < n; i++)
		if (add_user(b, roles, i < m->n_users ? &m->user[i] :
		    &m->default_user, &u[i]) < 0)
			return -1;
	b->head->default_user = m->has_default_user ? (uint32_t)n - 1 :
	    POL_NONE;
	return 0;
}

static int
build_user_table(struct builder *b)
{
	size_t places = table_places(b->model->n_users), i;
	uint32_t *table = take(b, places, sizeof(*table),
	    &b->head->user_table);
	struct span email;
	uint64_t at;

	if (table == NULL)
		return -1;
	for (i = 0; i < places; i++)
		table[i] = POL_NONE;
	for (i = 0; i < b->model->n_users; i++) {
		email = pol_span(b->head, pol_user(b->head, i)->email);
		at = hash_bytes(b->head->seed, email.p, email.n);
		while (table[at & (places - 1)] != POL_NONE)
			at++;
		table[at & (places - 1)] = (uint32_t)i;
	}
	return 0;
}

static int
build_keys(struct builder *b)
{
	size_t places = table_places(b->model->n_keys), i;
	struct pol_key *table = take(b, places, sizeof(*table),
	    &b->head->key_table), *k;
	const struct model_key *m;
	uint32_t user, org;
	uint64_t at;

	if (table == NULL)
		return -1;
	for (i = 0; i < b->model->n_keys; i++) {
		m = &b->model->key[i];
		org = find_org(b, m->org);
		user = org == POL_NONE ? POL_NONE :
		    pol_find_user_in(b->head, org, span_str(m->email));
		if (user == POL_NONE || pol_find_key(b->head, m->sha256))
			continue;
		memcpy(&at, m->sha256, sizeof(at));
		while ((k = &table[at & (places - 1)])->used)
			at++;
		memcpy(k->sha256, m->sha256, sizeof(k->sha256));
		k->id = m->id;
		k->expires_at = m->expires_at;
		k->user = user;
		k->used = 1;
	}
	return 0;
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int
build_revoked(struct builder *b)
{
	size_t n = b->model->n_revoked, i;
	uint64_t *hash = take(b, n, sizeof(*hash), &b->head->revoked);
	const char *jti;

	if (hash == NULL)
		return -1;
	for (i = 0; i < n; i++) {
		jti = b->model->revoked[i].jti;
		hash[i] = hash_bytes(b->head->seed, jti, strlen(jti));
	}
	qsort(hash, n, sizeof(*hash), compare_u64);
	return 0;
}

static int
build_head(struct builder *b, const struct conf *conf)
{
	struct pol_list at;

	b->head = take(b, 1, sizeof(*b->head), &at);
	if (b->head == NULL)
		return -1;
	random_bytes(&b->head->seed, sizeof(b->head->seed));
	b->head->unlisted = conf->unlisted;
	b->head->built_wall_us = clock_wall_us();
	b->head->db_loaded = b->model->db_loaded;
	b->head->default_user = POL_NONE;
	return 0;
}

static int
build_all(struct builder *b, const struct conf *conf)
{
	struct row *roles = NULL, *servers = NULL;
	int rv = -1;

	if (build_head(b, conf) < 0 || build_orgs(b) < 0)
		goto out;
	roles = sort_roles(b);
	servers = sort_servers(b);
	if (check_unique(b, roles, b->model->n_roles, "roles") < 0 ||
	    check_unique(b, servers, b->model->n_servers, "servers") < 0)
		goto out;
	if (build_roles(b, roles) < 0 || build_servers(b, servers) < 0 ||
	    build_role_grants(b, roles) < 0 || build_users(b, roles) < 0 ||
	    build_user_table(b) < 0 || build_keys(b) < 0 ||
	    build_revoked(b) < 0 ||
	    add_list(b, &b->model->blocked_tools,
	    &b->head->blocked_tools) < 0 ||
	    add_list(b, &b->model->admin_only_tools,
	    &b->head->admin_only_tools) < 0)
		goto out;
	/* Last: until here nobody can take the buffer for a policy. */
	b->head->size = b->used;
	b->head->magic = POL_MAGIC;
	rv = 0;
out:
	free(roles);
	free(servers);
	return rv;
}

int
policy_build(void *out, size_t size, const struct model *model,
    const struct conf *conf, struct shm *shm, struct err *e)
{
	struct builder b = { .base = out, .model = model, .shm = shm, .e = e };
	int rv;

	ASSERT_ALWAYS(((uintptr_t)out & 7) == 0);
	b.size = size < UINT32_MAX ? size : UINT32_MAX;	/* 32-bit offsets */
	rv = build_all(&b, conf);
	if (b.full)
		rv = err_set(e, ERR_TOOBIG, "the policy needs more than %zu "
		    "bytes (%zu users, %zu servers, %zu keys)", b.size,
		    model->n_users, model->n_servers, model->n_keys);
	free(b.string);
	free(b.role_grants);
	free(b.role_grants_done);
	return rv;
}
