/*
 * c_user -- user add, list, show, set, disable, enable; key; token.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/glob.h"
#include "base/num.h"
#include "conf/model_forms.h"
#include "ctl/call.h"
#include "proc/secret.h"

#define USERS	"/api/v1/users"
#define KEYS	"/api/v1/keys"

/* SERVER, or SERVER:GLOB,GLOB */
static void
allow(struct model_grants *grants, const char *spec)
{
	const char *colon = strchr(spec, ':');
	char *server = colon == NULL ? xstrdup(spec) :
	    xstrndup(spec, (size_t)(colon - spec));
	struct model_access *a = model_add_access(grants, server);
	char *globs, *g, *save = NULL;

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
put_grants(struct ctl *c, struct json_out *j)
{
	struct model_grants grants = { .given = false };
	const char *spec;
	char *text;

	while ((spec = args_next_value(c, "--allow")) != NULL) {
		grants.given = true;
		allow(&grants, spec);
	}
	if (args_flag(c, "--allow-all"))
		grants.given = grants.all = true;
	if (!grants.given)
		return;
	text = model_grants_to_json(&grants);
	json_put_raw(j, "allowed_mcps", span_str(text));
	free(text);
	model_grants_free(&grants);
}

static void
put_options(struct ctl *c, struct json_out *j, bool is_new)
{
	const char *role = args_value(c, "--role");
	const char *name = args_value(c, "--name");
	int64_t limit = args_int(c, "--limit", -1, 131072, INT64_MIN);

	if (role == NULL && is_new)
		ctl_fail(EXIT_USAGE, "--role is missing");
	if (role != NULL)
		json_put_str(j, "role", role);
	if (name != NULL)
		json_put_str(j, "name", name);
	if (limit != INT64_MIN)
		json_put_int(j, "requests_per_hour", limit);
	put_grants(c, j);
}

static void
begin(struct buf *body, struct json_out *j)
{
	buf_init(body, 1u << 20);
	json_out_init(j, body);
	json_object_begin(j, NULL);
}

int
ctl_user_add(struct ctl *c)
{
	struct json_value answer;
	const char *email;
	struct json_out j;
	struct buf body;

	if (c->argc == 0)
		ctl_usage(c);
	begin(&body, &j);
	put_options(c, &j, true);
	args_done(c, 1, 1);
	email = ctl_email(c->argv[0]);
	json_put_str(&j, "email", email);
	json_object_end(&j);
	answer = call_run(c, HTTP_POST, USERS, &body);
	buf_free(&body);
	if (c->json)
		call_print_json(answer);
	else
		printf("user %s added with role %s; give it a key with: "
		    "omni2ctl key create %s\n", email,
		    table_clean(call_text(answer, "role")), email);
	return EXIT_OK;
}

/* ---- list, show ------------------------------------------------------------------ */

static const char *const user_columns[] = { "email", "name", "role", "?active",
    "#per_hour", "source", "{allowed_mcps", NULL };

static void
user_row(struct table *t, struct json_value u)
{
	const char *limit = call_text(u, "per_hour");
	const char *grants = call_text(u, "allowed_mcps");

	table_row(t, call_text(u, "email"), call_text(u, "name"),
	    call_text(u, "role"), call_text(u, "active"),
	    limit != NULL && strcmp(limit, "0") == 0 ? "unlimited" : limit,
	    call_text(u, "source"), grants == NULL ? "as the role" : grants);
}

int
ctl_user_list(struct ctl *c)
{
	struct json_value array, one;
	struct table *t;
	size_t pos = 0;

	args_done(c, 0, 0);
	array = call_member(call_run(c, HTTP_GET, USERS, NULL), "items");
	if (c->json) {
		call_print_json(array);
		return EXIT_OK;
	}
	t = table_new(user_columns);
	while (array.type == JSON_ARRAY &&
	    json_next_element(array.raw, &pos, &one))
		user_row(t, one);
	table_print(t, false);
	table_free(&t);
	return EXIT_OK;
}

int
ctl_user_show(struct ctl *c)
{
	struct json_value u;
	struct table *t;

	args_done(c, 1, 1);
	u = call_run(c, HTTP_GET, call_path(USERS "/", ctl_email(c->argv[0]),
	    ""), NULL);
	if (c->json) {
		call_print_json(u);
		return EXIT_OK;
	}
	t = table_new(user_columns);
	user_row(t, u);
	table_print_record(t, false);
	table_free(&t);
	return EXIT_OK;
}

/* ---- change ---------------------------------------------------------------------- */

static struct json_value
change(struct ctl *c, struct buf *body, struct json_out *j)
{
	struct json_value answer;

	args_done(c, 1, 1);
	json_object_end(j);
	answer = call_run(c, HTTP_PATCH, call_path(USERS "/",
	    ctl_email(c->argv[0]), ""), body);
	buf_free(body);
	return answer;
}

int
ctl_user_set(struct ctl *c)
{
	struct json_value answer;
	struct json_out j;
	struct buf body;

	if (c->argc < 1)
		ctl_usage(c);
	begin(&body, &j);
	put_options(c, &j, false);
	if (body.n == 1)
		ctl_fail(EXIT_USAGE, "nothing to change is given");
	answer = change(c, &body, &j);
	if (!c->json)
		printf("user %s changed\n", ctl_email(c->argv[0]));
	else
		call_print_json(answer);
	return EXIT_OK;
}

static int
set_active(struct ctl *c, bool active)
{
	struct json_value answer;
	struct json_out j;
	struct buf body;

	begin(&body, &j);
	json_put_bool(&j, "active", active);
	answer = change(c, &body, &j);
	if (c->json)
		call_print_json(answer);
	else
		printf("user %s %s\n", ctl_email(c->argv[0]), active ?
		    "enabled" : "disabled");
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

/* What is made is all that is printed, so that scripts can take it. */
static int
print_secret(struct ctl *c, struct json_value answer, const char *member)
{
	const char *text = call_text(answer, member);

	if (c->json)
		call_print_json(answer);
	else {
		if (isatty(STDOUT_FILENO) && strcmp(member, "key") == 0)
			fprintf(stderr, "This key is shown once:\n");
		puts(table_clean(text == NULL ? "" : text));
	}
	return EXIT_OK;
}

int
ctl_key_create(struct ctl *c)
{
	const char *name = args_value(c, "--name");
	int64_t expires = args_duration_ms(c, "--expires", 0);
	struct json_value answer;
	struct json_out j;
	struct buf body;

	args_done(c, 1, 1);
	begin(&body, &j);
	if (name != NULL)
		json_put_str(&j, "name", name);
	if (expires > 0)
		json_put_int(&j, "expires_in_seconds", (expires + 999) / 1000);
	json_object_end(&j);
	answer = call_run(c, HTTP_POST, call_path(USERS "/",
	    ctl_email(c->argv[0]), "/keys"), &body);
	buf_free(&body);
	return print_secret(c, answer, "key");
}

int
ctl_key_list(struct ctl *c)
{
	static const char *const columns[] = { "#id", "email", "name", "prefix",
	    "created_at", "expires_at", "revoked_at", NULL };
	const char *path = KEYS;

	args_done(c, 0, 1);
	if (c->argc > 0)
		call_query(&path, "user", ctl_email(c->argv[0]));
	call_print(c, call_member(call_run(c, HTTP_GET, path, NULL), "items"),
	    columns);
	return EXIT_OK;
}

int
ctl_key_revoke(struct ctl *c)
{
	struct json_value answer;
	int64_t id;

	args_done(c, 1, 1);
	if (num_i64(span_str(c->argv[0]), 1, INT64_MAX, &id) < 0)
		ctl_fail(EXIT_USAGE, "\"%s\" is not the id of a key; \"omni2ctl "
		    "key list\" shows them", c->argv[0]);
	answer = call_run(c, HTTP_DELETE, call_path(KEYS "/", c->argv[0], ""),
	    NULL);
	if (c->json)
		call_print_json(answer);
	else
		printf("key %s revoked\n", c->argv[0]);
	return EXIT_OK;
}

int
ctl_token(struct ctl *c)
{
	int64_t lifetime = args_duration_ms(c, "--lifetime", 0);
	struct json_value answer;
	struct json_out j;
	struct buf body;
	struct err e;

	args_done(c, 1, 1);
	if (c->url == NULL) {		/* signed here */
		ctl_conf(c);
		if (secret_token(&c->conf, &e) < 0)
			ctl_fail_err(&e);
	}
	begin(&body, &j);
	if (lifetime > 0)
		json_put_int(&j, "lifetime_seconds", (lifetime + 999) / 1000);
	json_object_end(&j);
	answer = call_run(c, HTTP_POST, call_path(USERS "/",
	    ctl_email(c->argv[0]), "/tokens"), &body);
	buf_free(&body);
	return print_secret(c, answer, "token");
}
