/*
 * c_user -- user add, list, show, set, disable, enable; key; token.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth/auth.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/hash.h"
#include "ctl/ctl.h"
#include "proc/secret.h"

#define ORG "default"

/* SERVER, or SERVER:GLOB,GLOB */
static void
allow(struct ctl *c, struct model_user *u, const char *spec)
{
	const char *colon = strchr(spec, ':');
	char *server = colon == NULL ? xstrdup(spec) :
	    xstrndup(spec, (size_t)(colon - spec));
	struct model_access *a;
	char *globs, *g, *save = NULL;

	if (strcmp(server, "*") != 0 &&
	    model_find_server(&c->model, ORG, server) == NULL)
		ctl_fail(EXIT_NOT_FOUND, "there is no server \"%s\"; \"omni2ctl "
		    "server list\" shows them", server);
	a = model_add_access(&u->grants, server);
	free(server);
	a->mode = colon == NULL ? ACCESS_INHERIT : ACCESS_CUSTOM;
	if (colon == NULL)
		return;
	globs = xstrdup(colon + 1);
	for (g = strtok_r(globs, ",", &save); g != NULL;
	    g = strtok_r(NULL, ",", &save)) {
		if (!glob_valid(g))
			ctl_fail(EXIT_USAGE, "--allow: \"%s\" is not a valid "
			    "pattern", g);
		strlist_add(&a->tools, g);
	}
	free(globs);
}

static void
no_role(struct ctl *c, const char *role)
{
	struct buf names;
	size_t i;

	buf_init(&names, 65536);
	for (i = 0; i < c->model.n_roles; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "",
		    c->model.role[i].name);
	ctl_fail(EXIT_NOT_FOUND, "there is no role \"%s\"; the roles are %.*s",
	    role, (int)names.n, names.p);
}

static void
user_options(struct ctl *c, struct model_user *u, bool is_new)
{
	const char *role = args_value(c, "--role");
	const char *name = args_value(c, "--name"), *spec;
	bool all = args_flag(c, "--allow-all"), cleared = false;

	u->requests_per_hour = args_int(c, "--limit", -1, 131072,
	    u->requests_per_hour);
	if (role == NULL && is_new)
		ctl_fail(EXIT_USAGE, "--role is missing");
	if (role != NULL) {
		if (model_find_role(&c->model, ORG, role) == NULL)
			no_role(c, role);
		free(u->role);
		u->role = xstrdup(role);
	}
	if (name != NULL) {
		free(u->name);
		u->name = xstrdup(name);
	}
	while ((spec = args_next_value(c, "--allow")) != NULL) {
		if (!cleared)
			u->grants = (struct model_grants){ 0 };
		cleared = true;
		u->grants.given = true;
		allow(c, u, spec);
	}
	if (all)
		u->grants = (struct model_grants){ .given = true, .all = true };
}

static void
store(struct ctl *c, struct model_user *u, bool only_new, const char *action)
{
	char *grants = model_grants_to_json(&u->grants);
	struct json_out j;
	struct buf b;
	struct err e;

	if (store_user_put(c->db, u, only_new, &e) < 0)
		ctl_fail_err(&e);
	buf_init(&b, 1u << 20);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	json_put_str(&j, "email", u->email);
	json_put_str(&j, "role", u->role);
	json_put_int(&j, "requests_per_hour", u->requests_per_hour);
	json_put_raw(&j, "allowed_mcps", span_str(grants));
	json_object_end(&j);
	buf_add_char(&b, '\0');
	if (store_change_log(c->db, ctl_actor(), action, u->email, NULL, b.p,
	    &e) < 0)
		ctl_fail_err(&e);
	buf_free(&b);
	free(grants);
	ctl_changed(c);
}

int
ctl_user_add(struct ctl *c)
{
	const char *email;
	struct model_user *u;

	if (c->argc == 0)
		ctl_usage(c);
	ctl_model_seeded(c);
	u = xcalloc(1, sizeof(*u));
	*u = (struct model_user){ .org = xstrdup(ORG), .active = true,
	    .name = xstrdup(""), .role = xstrdup(""), .requests_per_hour = -1,
	    .slack_user_id = xstrdup("") };
	user_options(c, u, true);
	args_done(c, 1, 1);
	email = ctl_email(c->argv[0]);
	u->email = xstrdup(email);
	if (u->name[0] == '\0')
		u->name = xstrdup(email);
	store(c, u, true, "user add");
	if (c->json)
		printf("{\"email\":\"%s\",\"role\":\"%s\"}\n", u->email, u->role);
	else
		printf("user %s added with role %s; give it a key with: "
		    "omni2ctl key create %s\n", u->email, u->role, u->email);
	return EXIT_OK;
}

static struct model_user *
find_user(struct ctl *c, const char *email)
{
	struct model_user *u;

	u = model_find_user(&c->model, ORG, ctl_email(email));
	if (u == NULL)
		ctl_fail(EXIT_NOT_FOUND, "there is no user %s; \"omni2ctl user "
		    "list\" shows them", email);
	return u;
}

static const char *
limit_text(struct ctl *c, const struct model_user *u)
{
	const struct model_role *r = model_find_role(&c->model, u->org, u->role);
	int64_t n = u->requests_per_hour >= 0 ? u->requests_per_hour :
	    r == NULL ? 0 : r->requests_per_hour;

	if (n == 0 && !c->json)
		return "unlimited";
	return ctl_text("%lld", (long long)n);
}

static void
user_row(struct ctl *c, struct table *t, const struct model_user *u)
{
	char *grants = model_grants_to_json(&u->grants);

	table_row(t, u->email, u->name, u->role, u->active ? "yes" : "no",
	    limit_text(c, u), u->origin.source == SOURCE_YAML ? "yaml" : "db",
	    u->grants.given ? grants : c->json ? NULL : "as the role");
	free(grants);
}

static const char *const user_columns[] = { "email", "name", "role", "?active",
    "#per_hour", "source", "{allowed_mcps", NULL };

int
ctl_user_list(struct ctl *c)
{
	struct table *t = table_new(user_columns);
	size_t i;

	args_done(c, 0, 0);
	ctl_model(c);
	for (i = 0; i < c->model.n_users; i++)
		user_row(c, t, &c->model.user[i]);
	table_print(t, c->json);
	table_free(&t);
	return EXIT_OK;
}

int
ctl_user_show(struct ctl *c)
{
	struct table *t = table_new(user_columns);

	args_done(c, 1, 1);
	ctl_model(c);
	user_row(c, t, find_user(c, c->argv[0]));
	table_print_record(t, c->json);
	table_free(&t);
	return EXIT_OK;
}

int
ctl_user_set(struct ctl *c)
{
	struct model_user *u, change;

	if (c->argc < 1)
		ctl_usage(c);
	ctl_model_seeded(c);
	u = find_user(c, c->argv[0]);
	if (u->origin.source == SOURCE_YAML)
		ctl_fail(EXIT_CONFLICT, "%s stands in %s line %d; change it "
		    "there and reload", u->email, u->origin.file,
		    u->origin.line);
	change = *u;
	change.role = xstrdup(u->role);
	change.name = xstrdup(u->name);
	user_options(c, &change, false);
	args_done(c, 1, 1);
	store(c, &change, false, "user set");
	if (!c->json)
		printf("user %s changed\n", u->email);
	else
		printf("{\"email\":\"%s\"}\n", u->email);
	return EXIT_OK;
}

static int
set_active(struct ctl *c, bool active)
{
	struct model_user *u;
	struct err e;

	args_done(c, 1, 1);
	ctl_model_seeded(c);
	u = find_user(c, c->argv[0]);
	if (store_user_set_active(c->db, ORG, u->email, active, &e) < 0 ||
	    store_change_log(c->db, ctl_actor(), active ? "user enable" :
	    "user disable", u->email, NULL, active ? "{\"active\":true}" :
	    "{\"active\":false}", &e) < 0)
		ctl_fail_err(&e);
	ctl_changed(c);
	if (c->json)
		printf("{\"email\":\"%s\",\"active\":%s}\n", u->email,
		    active ? "true" : "false");
	else
		printf("user %s %s\n", u->email, active ? "enabled" : "disabled");
	return EXIT_OK;
}

int
ctl_user_disable(struct ctl *c)
{
	return set_active(c, false);
}

int
ctl_user_enable(struct ctl *c)
{
	return set_active(c, true);
}

/* ---- keys ---------------------------------------------------------------------- */

int
ctl_key_create(struct ctl *c)
{
	const char *name = args_value(c, "--name");
	int64_t expires = args_duration_ms(c, "--expires", 0), id;
	char text[APIKEY_TEXT_SIZE], prefix[16];
	struct model_user *u;
	uint8_t digest[32];
	struct err e;

	args_done(c, 1, 1);
	ctl_model_seeded(c);
	u = find_user(c, c->argv[0]);
	apikey_new(text, digest, prefix);
	if (expires > 0)
		expires = clock_wall_us() / 1000000 + (expires + 999) / 1000;
	if (store_key_add(c->db, ORG, u->email, name == NULL ? "" : name, digest,
	    prefix, expires, &id, &e) < 0 ||
	    store_change_log(c->db, ctl_actor(), "key create", u->email, NULL,
	    ctl_text("{\"id\":%lld,\"prefix\":\"%s\"}", (long long)id, prefix),
	    &e) < 0)
		ctl_fail_err(&e);
	ctl_changed(c);
	if (c->json)
		printf("{\"id\":%lld,\"email\":\"%s\",\"key\":\"%s\","
		    "\"expires_at\":%lld}\n", (long long)id, u->email, text,
		    (long long)expires);
	else {
		if (isatty(STDOUT_FILENO))
			fprintf(stderr, "This key is shown once:\n");
		puts(text);
	}
	explicit_bzero(text, sizeof(text));
	return EXIT_OK;
}

int
ctl_key_list(struct ctl *c)
{
	static const char *const columns[] = { "#id", "email", "name", "prefix",
	    "created_at", "expires_at", "revoked_at", NULL };
	struct table *t = table_new(columns);
	struct db_result *r;
	struct err e;
	int i;

	args_done(c, 0, 1);
	ctl_db(c);
	r = store_key_list(c->db, ORG, c->argc > 0 ? ctl_email(c->argv[0]) : NULL,
	    &e);
	if (r == NULL)
		ctl_fail_err(&e);
	for (i = 0; i < db_rows(r); i++)
		table_row(t, db_text(r, i, 0), db_text(r, i, 1),
		    db_text(r, i, 2), db_text(r, i, 3), db_text(r, i, 4),
		    db_is_null(r, i, 5) ? NULL : db_text(r, i, 5),
		    db_is_null(r, i, 6) ? NULL : db_text(r, i, 6));
	table_print(t, c->json);
	table_free(&t);
	db_result_free(&r);
	return EXIT_OK;
}

int
ctl_key_revoke(struct ctl *c)
{
	int64_t id;
	struct err e;
	char *end;

	args_done(c, 1, 1);
	id = strtoll(c->argv[0], &end, 10);
	if (*end != '\0' || id <= 0)
		ctl_fail(EXIT_USAGE, "\"%s\" is not the id of a key; \"omni2ctl "
		    "key list\" shows them", c->argv[0]);
	ctl_db(c);
	if (store_key_revoke(c->db, id, &e) < 0 ||
	    store_change_log(c->db, ctl_actor(), "key revoke", c->argv[0], NULL,
	    NULL, &e) < 0)
		ctl_fail_err(&e);
	ctl_changed(c);
	if (c->json)
		printf("{\"id\":%lld,\"revoked\":true}\n", (long long)id);
	else
		printf("key %lld revoked\n", (long long)id);
	return EXIT_OK;
}

int
ctl_token(struct ctl *c)
{
	int64_t lifetime, now = clock_wall_us() / 1000000;
	struct model_user *u;
	char jti[40], *text;
	struct err e;

	ctl_conf(c);
	lifetime = args_duration_ms(c, "--lifetime", c->conf.token_lifetime_ms) /
	    1000;
	args_done(c, 1, 1);
	if (c->conf.database_url[0] != '\0')
		ctl_model(c);
	u = find_user(c, c->argv[0]);
	if (secret_token(&c->conf, &e) < 0)
		ctl_fail_err(&e);
	text = token_mint(c->conf.token_secret, c->conf.token_issuer, u->org,
	    u->email, u->name, u->role, now, lifetime, jti, &e);
	if (text == NULL)
		ctl_fail_err(&e);
	if (c->db != NULL && store_change_log(c->db, ctl_actor(), "token", u->email,
	    NULL, ctl_text("{\"jti\":\"%s\"}", jti), &e) < 0)
		ctl_fail_err(&e);
	if (c->json)
		printf("{\"token\":\"%s\",\"jti\":\"%s\",\"expires_at\":%lld}\n",
		    text, jti, (long long)(now + lifetime));
	else
		puts(text);
	explicit_bzero(text, strlen(text));
	free(text);
	return EXIT_OK;
}
