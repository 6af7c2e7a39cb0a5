/*
 * c_server -- server add, list, show, remove, test; tool list.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/json_read.h"
#include "ctl/ctl.h"
#include "mcp/catalog.h"
#include "net/url.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "upstream/upstream.h"

#define ORG "default"

/* Everything behind --command is the command; the last option there is. */
static bool
take_command(struct ctl *c, struct model_server *s)
{
	int i, k;

	for (i = 0; i < c->argc; i++)
		if (strcmp(c->argv[i], "--command") == 0)
			break;
	if (i == c->argc)
		return false;
	if (i + 1 >= c->argc)
		ctl_fail(EXIT_USAGE, "--command needs a program");
	free(s->command);
	s->command = xstrdup(c->argv[i + 1]);
	for (k = i + 2; k < c->argc; k++)
		strlist_add(&s->args, c->argv[k]);
	c->argc = i;
	s->transport = TRANSPORT_STDIO;
	return true;
}

static void
set_url(struct model_server *s, const char *url)
{
	struct url u;
	struct err e;

	if (url_parse(&u, span_str(url), &e) < 0)
		ctl_fail(EXIT_USAGE, "--url: %s", e.text);
	if (!span_is(u.scheme, "http") && !span_is(u.scheme, "https") &&
	    !span_is(u.scheme, "unix"))
		ctl_fail(EXIT_USAGE, "--url: the scheme must be http or https");
	free(s->url);
	s->url = xstrdup(url);
}

int
ctl_server_add(struct ctl *c)
{
	struct model m;
	struct model_server *s;
	const char *url, *header, *env;
	char why[256];
	struct err e;

	model_init(&m);
	s = model_add_server(&m, "x");
	url = args_value(c, "--url");
	header = args_value(c, "--header");
	s->timeout_ms = args_int(c, "--timeout", 0, 3600, 0) * 1000;
	while ((env = args_next_value(c, "--env")) != NULL) {
		if (strchr(env, '=') == NULL)
			ctl_fail(EXIT_USAGE, "--env takes NAME=VALUE");
		strlist_add(&s->env, env);
	}
	if (take_command(c, s) == (url != NULL))
		ctl_fail(EXIT_USAGE, "give either --url or --command");
	args_done(c, 1, 1);
	if (model_check_server_name(c->argv[0], why, sizeof(why)) < 0)
		ctl_fail(EXIT_USAGE, "%s", why);
	free(s->name);
	s->name = xstrdup(c->argv[0]);
	free(s->display_name);
	s->display_name = xstrdup(s->name);
	if (url != NULL)
		set_url(s, url);
	if (header != NULL) {
		if (strchr(header, ':') == NULL || strpbrk(header, "\r\n"))
			ctl_fail(EXIT_USAGE, "--header takes 'Name: value'");
		free(s->auth_header);
		s->auth_header = xstrdup(header);
		s->auth = SERVER_AUTH_HEADER;
	}
	ctl_model(c);
	if (store_server_put(c->db, s, true, &e) < 0 ||
	    store_change_log(c->db, ctl_actor(), "server add", s->name,
	    NULL, ctl_text("{\"transport\":\"%s\"}", url != NULL ? "http" :
	    "stdio"), &e) < 0)
		ctl_fail_err(&e);
	ctl_changed(c);
	if (c->json)
		printf("{\"name\":\"%s\"}\n", s->name);
	else
		printf("server %s added; \"omni2ctl server list\" shows its "
		    "health\n", s->name);
	return EXIT_OK;
}

static const char *
transport_name(enum transport t)
{
	static const char *const names[] = { "http", "stdio", "sse", "websocket" };

	return names[t];
}

static const struct shm_health *
health_of(struct ctl *c, const char *name)
{
	uint32_t i;

	if (!ctl_attach(c, false))
		return NULL;
	for (i = 0; i < SHM_SERVERS_MAX; i++) {
		const struct shm_health *h = shm_health(&c->shm, i);

		if (atomic_load(&h->server_id) != 0 &&
		    strncmp(h->name, name, sizeof(h->name)) == 0)
			return h;
	}
	return NULL;
}

static void
server_row(struct ctl *c, struct table *t, const struct model_server *s)
{
	const struct shm_health *h = health_of(c, s->name);
	struct buf where;
	size_t i;

	buf_init(&where, 4096);
	if (s->transport == TRANSPORT_STDIO) {
		buf_add_str(&where, s->command);
		for (i = 0; i < s->args.n; i++)
			buf_printf(&where, " %s", s->args.v[i]);
	} else
		buf_add_str(&where, s->url);
	if (where.overflow)
		where.n = where.n > 4000 ? 4000 : where.n;
	where.overflow = false;
	buf_add_char(&where, '\0');
	table_row(t, s->name, transport_name(s->transport),
	    !s->enabled ? "disabled" : h == NULL ? "unknown" :
	    health_status_name((enum shm_health_status)atomic_load(&h->status)),
	    h == NULL ? NULL : breaker_state_name(breaker_state(h)),
	    h == NULL ? "" : ctl_text("%llu",
	    (unsigned long long)atomic_load(&h->tools)),
	    h == NULL ? "" : ctl_text("%llu",
	    (unsigned long long)atomic_load(&h->calls)),
	    h == NULL ? "" : ctl_text("%llu",
	    (unsigned long long)atomic_load(&h->failures)),
	    s->origin.source == SOURCE_YAML ? "yaml" : "db", where.p);
	buf_free(&where);
}

static const char *const server_columns[] = { "name", "transport", "status",
    "circuit", "#tools", "#calls", "#failures", "source", "url", "command",
    NULL };

int
ctl_server_list(struct ctl *c)
{
	struct table *t = table_new(server_columns);
	size_t i;

	args_done(c, 0, 0);
	ctl_model(c);
	for (i = 0; i < c->model.n_servers; i++)
		server_row(c, t, &c->model.server[i]);
	table_print(t, c->json);
	table_free(&t);
	return EXIT_OK;
}

static struct model_server *
find_server(struct ctl *c, const char *name)
{
	struct model_server *s = model_find_server(&c->model, ORG, name);

	if (s == NULL)
		ctl_fail(EXIT_NOT_FOUND, "there is no server \"%s\"; \"omni2ctl "
		    "server list\" shows them", name);
	return s;
}

int
ctl_server_show(struct ctl *c)
{
	struct table *t = table_new(server_columns);

	args_done(c, 1, 1);
	ctl_model(c);
	server_row(c, t, find_server(c, c->argv[0]));
	table_print_record(t, c->json);
	table_free(&t);
	return EXIT_OK;
}

int
ctl_server_remove(struct ctl *c)
{
	struct model_server *s;
	struct err e;

	args_done(c, 1, 1);
	ctl_model(c);
	s = find_server(c, c->argv[0]);
	if (s->origin.source == SOURCE_YAML)
		ctl_fail(EXIT_CONFLICT, "server %s stands in %s line %d; remove "
		    "it there and reload", s->name, s->origin.file,
		    s->origin.line);
	if (store_server_remove(c->db, ORG, s->name, &e) < 0 ||
	    store_change_log(c->db, ctl_actor(), "server remove",
	    s->name, NULL, NULL, &e) < 0)
		ctl_fail_err(&e);
	ctl_changed(c);
	if (c->json)
		printf("{\"name\":\"%s\",\"removed\":true}\n", s->name);
	else
		printf("server %s removed\n", s->name);
	return EXIT_OK;
}

/* Connects like a worker would, but with nothing shared. */
int
ctl_server_test(struct ctl *c)
{
	static const char *const names[] = { "serverInfo", "capabilities" };
	const struct pol_head *p;
	struct upstream_pool *pool;
	struct upstream_target t;
	struct arena *mem;
	struct sess_info s;
	struct json_value root, v[2];
	struct buf result;
	uint32_t i;
	int64_t start;
	struct err e;

	args_done(c, 1, 1);
	p = ctl_policy(c);
	i = pol_find_server(p, 0, span_str(c->argv[0]));
	if (i == POL_NONE)
		find_server(c, c->argv[0]);
	upstream_global_init();
	mem = arena_new(65536);
	upstream_target_copy(&t, mem, p, i, c->conf.default_timeout_ms);
	pool = upstream_pool_new(NULL, ctl_text("%s/stdio.sock",
	    c->conf.run_dir));
	buf_init(&result, 16u << 20);
	start = clock_mono_us();
	if (upstream_open(pool, &t, 0, true, clock_mono_ms() + t.timeout_ms, &s,
	    &result, &e) < 0)
		ctl_fail_err(&e);
	start = clock_mono_us() - start;
	if (json_check(buf_span(&result), &root, NULL) != JSON_OK ||
	    json_object(root.raw, names, v, 2) != JSON_OK)
		ctl_fail(EXIT_FAILED, "server %s: its initialize result is not "
		    "a JSON object", c->argv[0]);
	for (i = 0; i < 2; i++)
		if (v[i].type == JSON_NONE)
			v[i].raw = SPAN_LIT("null");
	if (c->json)
		printf("{\"name\":\"%s\",\"ok\":true,\"era\":\"%s\","
		    "\"version\":\"%s\",\"milliseconds\":%.1f,\"serverInfo\":%.*s,"
		    "\"capabilities\":%.*s}\n", t.name, s.era == ERA_MODERN ?
		    "modern" : "legacy", s.version, (double)start / 1000,
		    SPAN_FMT(v[0].raw), SPAN_FMT(v[1].raw));
	else
		printf("server %s answers (%.1f ms): MCP %s\n  info         "
		    "%.*s\n  capabilities %.*s\n", t.name, (double)start / 1000,
		    s.version, SPAN_FMT(v[0].raw), SPAN_FMT(v[1].raw));
	upstream_pool_free(&pool);
	arena_free(&mem);
	buf_free(&result);
	return EXIT_OK;
}

static const struct cat_head *
catalog(struct ctl *c)
{
	size_t size;

	ctl_attach(c, true);
	return shm_snap_copy(&c->shm, SNAP_CATALOG, &size);
}

int
ctl_tool_list(struct ctl *c)
{
	static const char *const columns[] = { "name", "server", "tool", NULL };
	const char *server = args_value(c, "--server");
	const char *email = args_value(c, "--user");
	const struct pol_head *p = NULL;
	const struct cat_head *cat;
	struct table *t = table_new(columns);
	uint32_t i, user = POL_NONE, s;

	args_done(c, 0, 0);
	cat = catalog(c);
	if (email != NULL) {
		p = ctl_policy(c);
		user = pol_find_user(p, span_str(email));
		if (user == POL_NONE)
			ctl_fail(EXIT_NOT_FOUND, "there is no user %s", email);
	}
	for (i = 0; cat != NULL && i < cat->n_items; i++) {
		const struct cat_item *it = cat_item(cat, i);
		struct span name = cat_span(cat,
		    cat_server(cat, it->server)->name);

		if (it->kind != ITEM_TOOL ||
		    (server != NULL && !span_is(name, server)))
			continue;
		s = p == NULL ? POL_NONE : pol_find_server(p, 0, name);
		if (p != NULL && (s == POL_NONE || !rbac_decide(p, user, s,
		    ITEM_TOOL, cat_span(cat, it->name).p).allow))
			continue;
		table_row(t, cat_span(cat, it->exposed).p, name.p,
		    cat_span(cat, it->name).p);
	}
	table_print(t, c->json);
	table_free(&t);
	return EXIT_OK;
}

/* What would this user see, and why not. */
int
ctl_policy_test(struct ctl *c)
{
	static const char *const columns[] = { "server", "tool", "?allowed",
	    "rule", NULL };
	const char *email = args_value(c, "--user");
	const char *server = args_value(c, "--server");
	const char *tool = args_value(c, "--tool");
	const struct cat_head *cat = NULL;
	const struct pol_head *p;
	struct table *t = table_new(columns);
	uint32_t user, s, i;
	char why[256];
	size_t size;

	args_done(c, 0, 0);
	if (email == NULL)
		ctl_fail(EXIT_USAGE, "--user is missing");
	p = ctl_policy(c);
	user = pol_find_user(p, span_str(email));
	if (user == POL_NONE)
		ctl_fail(EXIT_NOT_FOUND, "there is no user %s", email);
	if (server != NULL && pol_find_server(p, 0, span_str(server)) == POL_NONE)
		find_server(c, server);
	if (ctl_attach(c, false))
		cat = shm_snap_copy(&c->shm, SNAP_CATALOG, &size);
	for (s = 0; s < p->servers.n; s++) {
		const struct pol_server *ps = pol_server(p, s);
		const char *name = pol_cstr(p, ps->name);
		uint32_t k = cat == NULL ? CAT_NONE :
		    catalog_find_server(cat, ps->id);
		struct rbac_verdict v;

		if (server != NULL && strcmp(server, name) != 0)
			continue;
		if (tool != NULL || k == CAT_NONE) {
			v = rbac_decide(p, user, s, ITEM_TOOL,
			    tool == NULL ? "*" : tool);
			rbac_explain(p, user, s, &v, why, sizeof(why));
			table_row(t, name, tool == NULL ?
			    "(tools not known: no running daemon lists them)" :
			    tool, v.allow ? "yes" : "no", why);
			continue;
		}
		for (i = 0; i < cat_server(cat, k)->n[ITEM_TOOL]; i++) {
			const struct cat_item *it = cat_item(cat,
			    cat_server(cat, k)->first[ITEM_TOOL] + i);

			v = rbac_decide(p, user, s, ITEM_TOOL,
			    cat_span(cat, it->name).p);
			rbac_explain(p, user, s, &v, why, sizeof(why));
			table_row(t, name, cat_span(cat, it->name).p,
			    v.allow ? "yes" : "no", why);
		}
	}
	table_print(t, c->json);
	table_free(&t);
	return EXIT_OK;
}
