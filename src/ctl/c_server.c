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
#include "ctl/screen.h"
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

static const char *
number(uint64_t v)
{
	return ctl_text("%llu", (unsigned long long)v);
}

/* The program and its arguments, for people; "" for other servers. */
static const char *
command_text(const struct model_server *s)
{
	struct buf text;
	const char *kept;
	size_t i;

	if (s->transport != TRANSPORT_STDIO)
		return "";
	buf_init(&text, 1u << 20);
	buf_add_str(&text, s->command);
	for (i = 0; i < s->args.n; i++)
		buf_printf(&text, " %s", s->args.v[i]);
	kept = ctl_text("%.*s", (int)text.n, text.p);
	buf_free(&text);
	return kept;
}

static const char *
status_text(const struct model_server *s, const struct shm_health *h)
{
	if (!s->enabled)
		return "disabled";
	return h == NULL ? "unknown" : health_status_name(
	    (enum shm_health_status)atomic_load(&h->status));
}

static void
server_row(struct ctl *c, struct table *t, const struct model_server *s)
{
	const struct shm_health *h = health_of(c, s->name);

	table_row(t, s->name, transport_name(s->transport), status_text(s, h),
	    h == NULL ? NULL : breaker_state_name(breaker_state(h)),
	    h == NULL ? NULL : number(atomic_load(&h->tools)),
	    h == NULL ? NULL : number(atomic_load(&h->calls)),
	    h == NULL ? NULL : number(atomic_load(&h->failures)),
	    s->origin.source == SOURCE_YAML ? "yaml" : "db",
	    s->transport == TRANSPORT_STDIO ? command_text(s) : s->url);
}

int
ctl_server_list(struct ctl *c)
{
	static const char *const columns[] = { "name", "transport", "status",
	    "circuit", "#tools", "#calls", "#failures", "source", "where",
	    NULL };
	struct table *t = table_new(columns);
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

static void
server_record(struct table *t, const struct model_server *s,
    const struct shm_health *h)
{
	bool is_well = h == NULL || !s->enabled ||
	    atomic_load(&h->status) == HEALTH_HEALTHY;
	int64_t timeout_s = s->timeout_ms / 1000;

	table_row(t, s->name, transport_name(s->transport), s->url,
	    command_text(s), s->enabled ? "yes" : "no", status_text(s, h),
	    is_well ? NULL : ctl_text("%.*s", (int)sizeof(h->error) - 1,
	    h->error),
	    h == NULL ? NULL : breaker_state_name(breaker_state(h)),
	    h == NULL ? NULL : number(atomic_load(&h->tools)),
	    h == NULL ? NULL : number(atomic_load(&h->resources)),
	    h == NULL ? NULL : number(atomic_load(&h->prompts)),
	    h == NULL ? NULL : number(atomic_load(&h->calls)),
	    h == NULL ? NULL : number(atomic_load(&h->failures)),
	    h == NULL ? NULL : number(atomic_load(&h->latency_us)),
	    timeout_s == 0 ? NULL : number((uint64_t)timeout_s),
	    s->origin.source == SOURCE_YAML ? ctl_text("%s:%d", s->origin.file,
	    s->origin.line) : "db");
}

int
ctl_server_show(struct ctl *c)
{
	static const char *const columns[] = { "name", "transport", "url",
	    "command", "?enabled", "status", "error", "circuit", "#tools",
	    "#resources", "#prompts", "#calls", "#failures", "#latency_us",
	    "#timeout_seconds", "source", NULL };
	struct table *t = table_new(columns);
	const struct model_server *s;

	args_done(c, 1, 1);
	ctl_model(c);
	s = find_server(c, c->argv[0]);
	server_record(t, s, health_of(c, s->name));
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
	screen_progress("connecting to %s", c->argv[0]);
	if (upstream_open(pool, &t, 0, true, clock_mono_ms() + t.timeout_ms, &s,
	    &result, &e) < 0)
		ctl_fail_err(&e);
	start = clock_mono_us() - start;
	screen_progress(NULL);
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
	if (server != NULL) {
		ctl_model(c);
		find_server(c, server);
	}
	cat = catalog(c);
	if (email != NULL) {
		p = ctl_policy(c);
		user = pol_find_user(p, span_str(ctl_email(email)));
		if (user == POL_NONE)
			ctl_fail(EXIT_NOT_FOUND, "there is no user %s; "
			    "\"omni2ctl user list\" shows them", email);
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

struct policy_test {
	const struct pol_head	*p;
	const struct cat_head	*cat;	/* NULL: no daemon */
	uint32_t		 user;
	const char		*tool;	/* NULL: those of the catalog */
	struct table		*t;
	bool			 allowed;	/* anything of it */
};

static void
test_tool(struct policy_test *pt, uint32_t server, const char *tool)
{
	struct rbac_verdict v = rbac_decide(pt->p, pt->user, server, ITEM_TOOL,
	    tool);
	char why[256];

	rbac_explain(pt->p, pt->user, server, &v, why, sizeof(why));
	table_row(pt->t, pol_cstr(pt->p, pol_server(pt->p, server)->name), tool,
	    v.allow ? "allow" : "deny", why);
	pt->allowed |= v.allow;
}

static void
test_server(struct policy_test *pt, uint32_t server)
{
	const struct pol_server *ps = pol_server(pt->p, server);
	uint32_t i, k = pt->cat == NULL ? CAT_NONE :
	    catalog_find_server(pt->cat, ps->id);
	const struct cat_server *cs;

	if (pt->tool != NULL) {
		test_tool(pt, server, pt->tool);
		return;
	}
	if (k == CAT_NONE) {
		table_row(pt->t, pol_cstr(pt->p, ps->name), NULL,
		    rbac_may_use_server(pt->p, pt->user, server) ? NULL :
		    "deny",
		    "its tools are not known; name one with --tool");
		return;
	}
	cs = cat_server(pt->cat, k);
	for (i = 0; i < cs->n[ITEM_TOOL]; i++)
		test_tool(pt, server, cat_span(pt->cat, cat_item(pt->cat,
		    cs->first[ITEM_TOOL] + i)->name).p);
}

/* What would this user see, and why not. */
int
ctl_policy_test(struct ctl *c)
{
	static const char *const columns[] = { "server", "tool", "decision",
	    "rule", NULL };
	const char *email = args_value(c, "--user");
	const char *server = args_value(c, "--server");
	struct policy_test pt = { .tool = args_value(c, "--tool") };
	uint32_t s;
	size_t size;

	args_done(c, 0, 0);
	if (email == NULL)
		ctl_fail(EXIT_USAGE, "--user is missing");
	pt.p = ctl_policy(c);
	pt.user = pol_find_user(pt.p, span_str(ctl_email(email)));
	if (pt.user == POL_NONE)
		ctl_fail(EXIT_NOT_FOUND, "there is no user %s; \"omni2ctl user "
		    "list\" shows them", email);
	if (server != NULL)
		find_server(c, server);
	if (ctl_attach(c, false))
		pt.cat = shm_snap_copy(&c->shm, SNAP_CATALOG, &size);
	pt.t = table_new(columns);
	for (s = 0; s < pt.p->servers.n; s++)
		if (server == NULL || strcmp(server, pol_cstr(pt.p,
		    pol_server(pt.p, s)->name)) == 0)
			test_server(&pt, s);
	table_print(pt.t, c->json);
	table_free(&pt.t);
	return pt.tool != NULL && !pt.allowed ? EXIT_DENIED : EXIT_OK;
}
