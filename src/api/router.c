/*
 * router -- from method and path to one row of routes.def; and running it.
 */
#include "api/api_int.h"

#include <ctype.h>
#include <stdio.h>

#include "base/log.h"

const struct api_route api_routes[] = {
#define ROUTE(id, method, path, fn, needs, audit, status, summary) \
	{ id, HTTP_##method, path, fn, API_##needs, API_##audit, status, \
	    summary },
#include "api/routes.def"
#undef ROUTE
	{ .id = NULL }
};

static const struct {
	const char	*text;
	enum http_method method;
} methods[] = { { "GET", HTTP_GET }, { "HEAD", HTTP_HEAD },
	{ "POST", HTTP_POST }, { "PUT", HTTP_PUT }, { "DELETE", HTTP_DELETE },
	{ "PATCH", HTTP_PATCH }, { "OPTIONS", HTTP_OPTIONS } };

const char *
api_method_text(enum http_method method)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].method == method)
			return methods[i].text;
	return "?";
}

/* The next segment of a path; false: there is none. */
static bool
next_segment(struct span *path, struct span *segment)
{
	const char *end;

	if (path->n == 0 || path->p[0] != '/')
		return false;
	*path = span_skip(*path, 1);
	end = memchr(path->p, '/', path->n);
	*segment = span_make(path->p, end == NULL ? path->n :
	    (size_t)(end - path->p));
	*path = span_skip(*path, segment->n);
	return true;
}

/* Does the path fit the pattern? value gets what stands for its {names}. */
static bool
fits(const char *pattern, struct span path, struct span *value)
{
	struct span want = span_str(pattern), w, s;
	int n = 0;

	while (next_segment(&want, &w)) {
		if (!next_segment(&path, &s))
			return false;
		if (w.n > 0 && w.p[0] == '{') {
			if (s.n == 0 || n == API_SEGMENTS_MAX)
				return false;
			value[n++] = s;
		} else if (!span_eq(w, s))
			return false;
	}
	return path.n == 0;
}

const struct api_route *
api_route_find(enum http_method method, struct span path,
    struct span value[API_SEGMENTS_MAX], char *allow, struct err *e)
{
	const struct api_route *r;
	size_t n = 0;

	if (method == HTTP_HEAD)
		method = HTTP_GET;
	allow[0] = '\0';
	for (r = api_routes; r->id != NULL; r++) {
		if (!fits(r->path, path, value))
			continue;
		if (r->method == method)
			return r;
		n += (size_t)snprintf(allow + n, 64 - n, "%s%s%s",
		    n > 0 ? ", " : "", api_method_text(r->method),
		    r->method == HTTP_GET ? ", HEAD" : "");
	}
	if (n > 0)
		err_set(e, ERR_HTTPMETHOD, "%.*s takes %s",
		    (int)(path.n > 200 ? 200 : path.n), path.p, allow);
	else
		err_set(e, ERR_NOTFOUND, "There is nothing at %.*s",
		    (int)(path.n > 200 ? 200 : path.n), path.p);
	return NULL;
}

int
api_run(struct api *a, enum http_method method, struct span path,
    struct span query, struct span body, struct buf *out, struct err *e)
{
	struct span segment[API_SEGMENTS_MAX];
	struct api_call c = { .api = a };
	struct json_out j;
	char allow[64];

	c.route = api_route_find(method, path, segment, allow, e);
	if (c.route == NULL || api_input(&c, segment, query, body, e) < 0)
		return -1;
	json_out_init(&j, out);
	if (c.route->run(&c, &j, e) < 0)
		return -1;
	return out->overflow ? err_set(e, ERR_TOOBIG,
	    "the answer is too large") : 0;
}

/* ---- names --------------------------------------------------------------------- */

static const struct {
	enum err_code	 code;
	const char	*name;
} codes[] = {
	{ ERR_PARSE, "not_json" }, { ERR_BADREQ, "bad_request" },
	{ ERR_INVALID, "invalid" }, { ERR_UNAUTHENTICATED, "unauthenticated" },
	{ ERR_DENIED, "denied" }, { ERR_ORIGIN, "origin" },
	{ ERR_NOTFOUND, "not_found" }, { ERR_HTTPMETHOD, "method" },
	{ ERR_CONFLICT, "conflict" }, { ERR_TOOBIG, "too_large" },
	{ ERR_MEDIATYPE, "media_type" }, { ERR_RATE, "rate" },
	{ ERR_CONFIG, "configuration" }, { ERR_VERSION, "version" },
	{ ERR_UPSTREAM, "upstream" }, { ERR_TIMEOUT, "timeout" },
	{ ERR_UNAVAILABLE, "unavailable" }, { ERR_AUDIT, "audit" },
	{ ERR_INTERNAL, "internal" },
};

const char *
api_code(enum err_code code)
{
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "internal";
}

enum err_code
api_code_find(struct span name)
{
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (span_is(name, codes[i].name))
			return codes[i].code;
	return ERR_COUNT;
}

void
api_url_add(struct buf *b, struct span s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (isalnum(c) || strchr("-._~@", c) != NULL)
			buf_add_char(b, (char)c);
		else
			buf_printf(b, "%%%02X", c);
	}
}

/* ---- what the operations share ------------------------------------------------ */

int
api_db(struct api_call *c, struct err *e)
{
	return c->api->host->need_db(c->api, e);
}

int
api_model(struct api_call *c, bool seeded, struct err *e)
{
	return c->api->host->need_model(c->api, seeded, e);
}

int
api_changed(struct api_call *c, const char *action, const char *object,
    const char *new_json, struct err *e)
{
	struct api *a = c->api;

	if (store_change_log(a->db, a->actor, action, object, NULL, new_json,
	    e) < 0 || store_policy_changed(a->db, e) < 0)
		return -1;
	return a->host->changed(a, e);
}

int
api_get_openapi(struct api_call *c, struct json_out *j, struct err *e)
{
	api_openapi(j->b);
	return 0;
}
