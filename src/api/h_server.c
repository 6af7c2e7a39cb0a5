/*
 * h_server -- upstream servers: list, show, add, remove, test.
 *
 * A stdio server is a command that runs here: only an administrator of the
 * machine adds one. Over HTTP it is refused whatever the caller's role is, and
 * so are sockets of the machine.
 */
#include "api/api_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "conf/model_forms.h"
#include "net/url.h"
#include "shm/health.h"
#include "upstream/upstream.h"

static const char *
transport_name(enum transport t)
{
	static const char *const names[] = { "http", "stdio", "sse",
	    "websocket" };

	return names[t];
}

struct model_server *
api_find_server(struct api_call *c, const char *name, struct err *e)
{
	struct model_server *s = model_find_server(c->api->model, API_ORG,
	    name);

	if (s == NULL)
		err_set(e, ERR_NOTFOUND, "there is no server \"%s\"; \"omni2ctl "
		    "server list\" shows them", name);
	return s;
}

/* ---- list, show ----------------------------------------------------------------- */

static const struct shm_health *
health_of(struct api *a, const char *name)
{
	struct err e;
	uint32_t i;

	if (a->host->need_shm(a, false, &e) < 0)
		return NULL;
	for (i = 0; i < SHM_SERVERS_MAX; i++) {
		const struct shm_health *h = shm_health(a->shm, i);

		if (atomic_load(&h->server_id) != 0 &&
		    strncmp(h->name, name, sizeof(h->name)) == 0)
			return h;
	}
	return NULL;
}

/* The program and its arguments, for people; "" for other servers. */
static void
put_command(struct json_out *j, const char *name, const struct model_server *s)
{
	struct buf text;
	size_t i;

	buf_init(&text, 1u << 20);
	if (s->transport == TRANSPORT_STDIO) {
		buf_add_str(&text, s->command);
		for (i = 0; i < s->args.n; i++)
			buf_printf(&text, " %s", s->args.v[i]);
	}
	json_put_string(j, name, buf_span(&text));
	buf_free(&text);
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
put_u64(struct json_out *j, const char *name, const struct shm_health *h,
    uint64_t v)
{
	if (h == NULL)
		json_put_null(j, name);
	else
		json_put_int(j, name, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}
#define HEALTH(h, member)	((h) == NULL ? 0 : atomic_load(&(h)->member))

static void
put_row(struct api_call *c, struct json_out *j, const struct model_server *s)
{
	const struct shm_health *h = health_of(c->api, s->name);

	json_object_begin(j, NULL);
	json_put_str(j, "name", s->name);
	json_put_str(j, "transport", transport_name(s->transport));
	json_put_str(j, "status", status_text(s, h));
	json_put_str(j, "circuit", h == NULL ? NULL :
	    breaker_state_name(breaker_state(h)));
	put_u64(j, "tools", h, HEALTH(h, tools));
	put_u64(j, "calls", h, HEALTH(h, calls));
	put_u64(j, "failures", h, HEALTH(h, failures));
	json_put_str(j, "source", s->origin.source == SOURCE_YAML ? "yaml" :
	    "db");
	if (s->transport == TRANSPORT_STDIO)
		put_command(j, "where", s);
	else
		json_put_str(j, "where", s->url);
	json_object_end(j);
}

int
api_list_servers(struct api_call *c, struct json_out *j, struct err *e)
{
	size_t i;

	if (api_model(c, false, e) < 0)
		return -1;
	json_object_begin(j, NULL);
	json_array_begin(j, "items");
	for (i = 0; i < c->api->model->n_servers; i++)
		put_row(c, j, &c->api->model->server[i]);
	json_array_end(j);
	json_object_end(j);
	return 0;
}

static void
put_error(struct json_out *j, const struct model_server *s,
    const struct shm_health *h)
{
	if (h == NULL || !s->enabled ||
	    atomic_load(&h->status) == HEALTH_HEALTHY)
		json_put_null(j, "error");
	else
		json_put_string(j, "error", span_make(h->error,
		    strnlen(h->error, sizeof(h->error) - 1)));
}

static void
put_record(struct api_call *c, struct json_out *j,
    const struct model_server *s, const struct shm_health *h)
{
	json_object_begin(j, NULL);
	json_put_str(j, "name", s->name);
	json_put_str(j, "transport", transport_name(s->transport));
	json_put_str(j, "url", s->url);
	put_command(j, "command", s);
	json_put_bool(j, "enabled", s->enabled);
	json_put_str(j, "status", status_text(s, h));
	put_error(j, s, h);
	json_put_str(j, "circuit", h == NULL ? NULL :
	    breaker_state_name(breaker_state(h)));
	put_u64(j, "tools", h, HEALTH(h, tools));
	put_u64(j, "resources", h, HEALTH(h, resources));
	put_u64(j, "prompts", h, HEALTH(h, prompts));
	put_u64(j, "calls", h, HEALTH(h, calls));
	put_u64(j, "failures", h, HEALTH(h, failures));
	put_u64(j, "latency_us", h, HEALTH(h, latency_us));
	if (s->timeout_ms == 0)
		json_put_null(j, "timeout_seconds");
	else
		json_put_int(j, "timeout_seconds", s->timeout_ms / 1000);
	json_put_str(j, "source", s->origin.source != SOURCE_YAML ? "db" :
	    arena_printf(c->api->mem, "%s:%d", s->origin.file,
	    s->origin.line));
	json_object_end(j);
}

int
api_show_server(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct model_server *s;

	if (api_model(c, false, e) < 0 ||
	    (s = api_find_server(c, api_text(c, "name"), e)) == NULL)
		return -1;
	put_record(c, j, s, health_of(c->api, s->name));
	return 0;
}

/* ---- add ------------------------------------------------------------------------ */

static int
set_url(struct api_call *c, struct model_server *s, struct err *e)
{
	const char *url = api_text(c, "url");
	struct url u;
	struct err why;

	if (url_parse(&u, span_str(url), &why) < 0)
		return err_set(e, ERR_INVALID, "url: %s", why.text);
	if (span_is(u.scheme, "unix") && !c->api->is_local)
		return err_set(e, ERR_DENIED, "url: sockets of the machine "
		    "are added on the machine itself, with omni2ctl");
	if (!span_is(u.scheme, "http") && !span_is(u.scheme, "https") &&
	    !span_is(u.scheme, "unix"))
		return err_set(e, ERR_INVALID, "url: the scheme must be http "
		    "or https");
	model_set(&s->url, url);
	return 0;
}

static int
set_command(struct api_call *c, struct model_server *s, struct err *e)
{
	size_t i;

	s->transport = TRANSPORT_STDIO;
	model_set(&s->command, api_text(c, "command"));
	if (api_texts(c, "args", &s->args, e) < 0 ||
	    api_texts(c, "env", &s->env, e) < 0)
		return -1;
	for (i = 0; i < s->env.n; i++)
		if (strcspn(s->env.v[i], "=") == 0 ||
		    strchr(s->env.v[i], '=') == NULL)
			return err_set(e, ERR_INVALID, "env: \"%s\" is not "
			    "NAME=VALUE", s->env.v[i]);
	return 0;
}

static int
set_header(struct api_call *c, struct model_server *s, struct err *e)
{
	const char *header = api_text(c, "header"), *name;

	if (header == NULL)
		return 0;
	name = arena_strdup(c->api->mem, span_make(header,
	    strcspn(header, ":")));
	if (strchr(header, ':') == NULL || !model_is_header_name(name) ||
	    !model_is_header_value(header))
		return err_set(e, ERR_INVALID, "header: takes 'Name: value'");
	if (model_header_is_ours(name))
		return err_set(e, ERR_INVALID, "header: \"%s\" is a header "
		    "that omni2 sets itself", name);
	model_set(&s->auth_header, header);
	s->auth = SERVER_AUTH_HEADER;
	return 0;
}

static int
fill(struct api_call *c, struct model_server *s, struct err *e)
{
	bool runs = api_given(c, "command") || api_given(c, "args") ||
	    api_given(c, "env");
	char why[256];

	if (runs && !c->api->is_local)
		return err_set(e, ERR_DENIED, "a command is never taken over "
		    "HTTP: add stdio servers on the machine itself, with "
		    "omni2ctl server add --command or in the configuration");
	if (api_given(c, "command") == api_given(c, "url"))
		return err_set(e, ERR_INVALID, c->api->is_local ?
		    "give either --url or --command" : "url: is missing");
	if (api_given(c, "url") && runs)
		return err_set(e, ERR_INVALID, "%s: is for stdio servers",
		    api_given(c, "env") ? "env" : "args");
	if (api_given(c, "command") && api_given(c, "header"))
		return err_set(e, ERR_INVALID, "header: is for servers with "
		    "an address");
	if (model_check_server_name(api_text(c, "name"), why,
	    sizeof(why)) < 0)
		return err_set(e, ERR_INVALID, "name: %s", why);
	model_set(&s->name, api_text(c, "name"));
	model_set(&s->display_name, s->name);
	s->timeout_ms = api_int(c, "timeout_seconds", 0) * 1000;
	if (set_header(c, s, e) < 0)
		return -1;
	return api_given(c, "url") ? set_url(c, s, e) : set_command(c, s, e);
}

static int
add(struct api_call *c, struct model_server *s, struct json_out *j,
    struct err *e)
{
	if (fill(c, s, e) < 0 || api_model(c, false, e) < 0 ||
	    store_server_put(c->api->db, s, true, e) < 0 ||
	    api_changed(c, "server add", s->name, s->transport ==
	    TRANSPORT_STDIO ? "{\"transport\":\"stdio\"}" :
	    "{\"transport\":\"http\"}", e) < 0)
		return -1;
	json_object_begin(j, NULL);
	json_put_str(j, "name", s->name);
	json_object_end(j);
	return 0;
}

int
api_add_server(struct api_call *c, struct json_out *j, struct err *e)
{
	struct model m;
	int rv;

	model_init(&m);
	rv = add(c, model_add_server(&m, "x"), j, e);
	model_free(&m);
	return rv;
}

int
api_remove_server(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct model_server *s;

	if (api_model(c, false, e) < 0 ||
	    (s = api_find_server(c, api_text(c, "name"), e)) == NULL)
		return -1;
	if (s->origin.source == SOURCE_YAML)
		return err_set(e, ERR_CONFLICT, "server %s stands in %s line "
		    "%d; remove it there and reload", s->name, s->origin.file,
		    s->origin.line);
	if (store_server_remove(c->api->db, API_ORG, s->name, e) < 0 ||
	    api_changed(c, "server remove", s->name, NULL, e) < 0)
		return -1;
	json_object_begin(j, NULL);
	json_put_str(j, "name", s->name);
	json_put_bool(j, "removed", true);
	json_object_end(j);
	return 0;
}

/* ---- test ----------------------------------------------------------------------- */

static int
put_answer(struct json_out *j, const struct upstream_target *t,
    const struct sess_info *s, struct span result, int64_t took_us,
    struct err *e)
{
	static const char *const names[] = { "serverInfo", "capabilities" };
	struct json_value root, v[2];
	char ms[32];
	int i;

	if (json_check(result, &root, NULL) != JSON_OK ||
	    json_object(root.raw, names, v, 2) != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "server %s: its initialize "
		    "result is not a JSON object", t->name);
	snprintf(ms, sizeof(ms), "%.1f", (double)took_us / 1000);
	json_object_begin(j, NULL);
	json_put_str(j, "name", t->name);
	json_put_bool(j, "ok", true);
	json_put_str(j, "era", s->era == ERA_MODERN ? "modern" : "legacy");
	json_put_str(j, "version", s->version);
	json_put_raw(j, "milliseconds", span_str(ms));
	for (i = 0; i < 2; i++)
		if (v[i].type == JSON_NONE)
			json_put_null(j, names[i]);
		else
			json_put_raw(j, names[i], v[i].raw);
	json_object_end(j);
	return 0;
}

/* Connects like a worker would, but with nothing shared. */
int
api_test_server(struct api_call *c, struct json_out *j, struct err *e)
{
	struct api *a = c->api;
	const struct pol_head *p = a->host->policy(a, e);
	struct upstream_pool *pool;
	struct upstream_target t;
	struct sess_info s;
	struct buf result;
	uint32_t i;
	int64_t start;
	int rv;

	if (p == NULL)
		return -1;
	i = pol_find_server(p, 0, span_str(api_text(c, "name")));
	if (i == POL_NONE)
		return err_set(e, ERR_NOTFOUND, "there is no server \"%s\"; "
		    "\"omni2ctl server list\" shows them",
		    api_text(c, "name"));
	upstream_target_copy(&t, a->mem, p, i, a->conf->default_timeout_ms);
	pool = upstream_pool_new(NULL, arena_printf(a->mem, "%s/stdio.sock",
	    a->conf->run_dir));
	buf_init(&result, 16u << 20);
	start = clock_mono_us();
	rv = upstream_open(pool, &t, 0, true, clock_mono_ms() + t.timeout_ms,
	    &s, &result, e);
	if (rv == 0)
		rv = put_answer(j, &t, &s, buf_span(&result),
		    clock_mono_us() - start, e);
	upstream_pool_free(&pool);
	buf_free(&result);
	return rv;
}
