/*
 * probe -- see probe.h.
 */
#include "proc/probe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "auth/session.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/json_read.h"
#include "base/json_write.h"
#include "base/log.h"
#include "conf/model.h"
#include "net/http_head.h"

#define PAGES_MAX	2000
#define BYTES_MAX	(12u << 20)	/* of lists of one server: probe, poller
					 * and catalog each hold a copy */
#define ITEMS_MAX	20000
#define MARKS_MAX	64		/* x-mcp-header of a tool */
#define WIDE_CAPS	"\"sampling\":{},\"elicitation\":{\"form\":{}," \
			"\"url\":{}},\"roots\":{\"listChanged\":true}"

struct probe {
	struct shm	*shm;
	struct upstream_pool *pool;
	const struct upstream_target *target;
	struct upstream_target wide;	/* declares all a client may have */
	const struct upstream_target *at;	/* of these, for ask() */
	int64_t		 deadline_ms;
	int		 fd;
	uint64_t	 next_id;
	size_t		 bytes;
	uint32_t	 items;
	bool		 is_modern;
	struct buf	 params, response;
	char		 cursor[4096];
	size_t		 cursor_n;
};

static void
put(struct probe *p, enum probe_part part, struct span s)
{
	struct probe_head h = { part, (uint32_t)s.n };

	if (fdio_write_all(p->fd, &h, sizeof(h)) < 0 ||
	    fdio_write_all(p->fd, s.p, s.n) < 0)
		_exit(1);		/* nobody reads any more */
}

static int
fail(struct probe *p, const struct err *e)
{
	put(p, PROBE_FAILED, span_str(e->text));
	return -1;
}

static int
compose(void *arg, const struct sess_info *s, struct buf *b, struct err *e)
{
	struct probe *p = arg;

	buf_reset(b, 1 << 20);
	buf_add_char(b, '{');
	if (p->cursor_n > 0) {
		buf_add_str(b, "\"cursor\":");
		json_quote(b, span_make(p->cursor, p->cursor_n));
	}
	if (s->era == ERA_MODERN) {
		buf_add_str(b, p->cursor_n > 0 ? ",\"_meta\":{" : "\"_meta\":{");
		upstream_modern_meta(b, s->version,
		    p->at->client_caps_json == NULL ? SPAN_LIT("{}") :
		    span_str(p->at->client_caps_json));
		buf_add_char(b, '}');
	}
	return buf_add_char(b, '}');
}

/* One request; 1: *result is its result object; 0: the method is unknown to
 * the server; -1 with err. */
static int
ask(struct probe *p, const char *method, struct json_value *result,
    struct err *e)
{
	static const char *const names[] = { "result", "error" };
	static const char *const enames[] = { "code", "message" };
	struct json_value v[2], ev[2];
	struct upstream_call c;
	int64_t code = 0;

	memset(&c, 0, sizeof(c));
	c.method = span_str(method);
	c.id = p->next_id++;
	c.deadline_ms = p->deadline_ms;
	c.response_max = BYTES_MAX;
	c.client_fd = -1;
	c.response = &p->response;
	buf_reset(&p->response, 1 << 20);
	if (upstream_request(p->pool, p->at, &c, compose, p, &p->params,
	    e) < 0)
		return -1;
	if (json_object(buf_span(&p->response), names, v, 2) != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "server \"%s\": %s: the answer "
		    "is no object", p->target->name, method);
	if (v[0].type == JSON_OBJECT) {
		*result = v[0];
		return 1;
	}
	if (v[1].type == JSON_OBJECT &&
	    json_object(v[1].raw, enames, ev, 2) == JSON_OK)
		json_int(ev[0], &code);
	if (code == -32601)
		return 0;
	return err_set(e, ERR_UPSTREAM, "server \"%s\": %s: error %lld %.*s",
	    p->target->name, method, (long long)code,
	    (int)(ev[1].raw.n > 200 ? 200 : ev[1].raw.n),
	    ev[1].raw.n > 0 ? ev[1].raw.p : "");
}

/* Is this property's x-mcp-header (MCP 2026-07-28) one that a client may
 * take? *mark: its name, .n 0 if there is none. */
static bool
mark_is_valid(struct json_value property, struct span *mark)
{
	static const char *const names[] = { "x-mcp-header", "type" };
	struct json_value v[2];
	struct span type;

	*mark = span_make(NULL, 0);
	if (property.type != JSON_OBJECT)
		return true;
	if (json_object(property.raw, names, v, 2) != JSON_OK)
		return false;
	if (v[0].type == JSON_NONE)
		return true;
	return json_string_plain(v[0], mark) && http_is_token(*mark) &&
	    json_string_plain(v[1], &type) && (span_is(type, "string") ||
	    span_is(type, "integer") || span_is(type, "boolean"));
}

/* A client must not offer a tool whose x-mcp-header are wrong: not a header
 * name, not on a primitive, or the same one twice. */
static bool
headers_are_valid(struct span tool)
{
	static const char *const tname[] = { "inputSchema" };
	static const char *const sname[] = { "properties" };
	struct span name, mark, seen[MARKS_MAX];
	struct json_value schema, props, one;
	size_t pos = 0, n = 0, i;

	if (memmem(tool.p, tool.n, "x-mcp-header", 12) == NULL)
		return true;
	if (json_object(tool, tname, &schema, 1) != JSON_OK ||
	    schema.type != JSON_OBJECT ||
	    json_object(schema.raw, sname, &props, 1) != JSON_OK)
		return false;
	if (props.type != JSON_OBJECT)
		return true;
	while (json_next_member(props.raw, &pos, &name, &one)) {
		if (!mark_is_valid(one, &mark))
			return false;
		if (mark.n == 0)
			continue;
		for (i = 0; i < n; i++)
			if (seen[i].n == mark.n && strncasecmp(seen[i].p,
			    mark.p, mark.n) == 0)
				return false;
		if (n == MARKS_MAX)
			return false;
		seen[n++] = mark;
	}
	return true;
}

static int
list(struct probe *p, const char *method, const char *member,
    enum probe_part part, struct err *e)
{
	const char *names[2] = { member, "nextCursor" };
	struct json_value result, v[2], item;
	int page, rc, left_out = 0;
	size_t pos;
	long n;

	p->cursor_n = 0;
	for (page = 0; page < PAGES_MAX; page++) {
		rc = ask(p, method, &result, e);
		if (rc <= 0)
			return rc;
		if (json_object(result.raw, names, v, 2) != JSON_OK ||
		    v[0].type != JSON_ARRAY)
			return err_set(e, ERR_UPSTREAM, "server \"%s\": %s: the "
			    "result has no array \"%s\"", p->target->name,
			    method, member);
		pos = 0;
		while (json_next_element(v[0].raw, &pos, &item)) {
			if (item.type != JSON_OBJECT)
				continue;
			p->bytes += item.raw.n;
			if (++p->items > ITEMS_MAX)
				return err_set(e, ERR_TOOBIG, "server \"%s\": "
				    "it lists more than %u items",
				    p->target->name, ITEMS_MAX);
			if (p->bytes > BYTES_MAX)
				return err_set(e, ERR_TOOBIG, "server \"%s\": "
				    "its lists are larger than %u bytes",
				    p->target->name, BYTES_MAX);
			if (part == PROBE_TOOL && p->is_modern &&
			    !headers_are_valid(item.raw))
				left_out++;
			else
				put(p, part, item.raw);
		}
		if (left_out > 0)
			log_warn("server \"%s\": %d tools have an x-mcp-header "
			    "that is not valid; left out", p->target->name,
			    left_out);
		left_out = 0;
		if (v[1].type != JSON_STRING)
			return 0;
		n = json_string_decode(v[1], p->cursor, sizeof(p->cursor));
		if (n <= 0)
			return n == 0 ? 0 : err_set(e, ERR_UPSTREAM, "server "
			    "\"%s\": %s: nextCursor is too long",
			    p->target->name, method);
		p->cursor_n = (size_t)n;
	}
	return err_set(e, ERR_UPSTREAM, "server \"%s\": %s: more than %d pages",
	    p->target->name, method, PAGES_MAX);
}

static bool
offers(struct json_value init, const char *capability)
{
	const char *names[1] = { "capabilities" };
	struct json_value caps, one;

	if (init.type != JSON_OBJECT ||
	    json_object(init.raw, names, &caps, 1) != JSON_OK ||
	    caps.type != JSON_OBJECT)
		return false;
	names[0] = capability;
	return json_object(caps.raw, names, &one, 1) == JSON_OK &&
	    one.type == JSON_OBJECT;
}

static int
read_lists(struct probe *p, struct json_value init, struct err *e)
{
	if (offers(init, "tools") &&
	    list(p, "tools/list", "tools", PROBE_TOOL, e) < 0)
		return -1;
	if (offers(init, "resources") &&
	    (list(p, "resources/list", "resources", PROBE_RESOURCE, e) < 0 ||
	    list(p, "resources/templates/list", "resourceTemplates",
	    PROBE_TEMPLATE, e) < 0))
		return -1;
	if (offers(init, "prompts") &&
	    list(p, "prompts/list", "prompts", PROBE_PROMPT, e) < 0)
		return -1;
	return 0;
}

static int
full_probe(struct probe *p, struct err *e)
{
	struct probe_opened o;
	struct json_value init;
	struct sess_info s;
	struct buf result;

	buf_init(&result, 16u << 20);
	if (upstream_open(p->pool, p->target, 0, true, p->deadline_ms, &s,
	    &result, e) < 0)
		return fail(p, e);
	memset(&o, 0, sizeof(o));
	o.era = s.era;
	memcpy(o.version, s.version, sizeof(o.version));
	put(p, PROBE_OPENED, span_make((const char *)&o, sizeof(o)));
	if (json_check(buf_span(&result), &init, NULL) != JSON_OK) {
		err_set(e, ERR_UPSTREAM, "server \"%s\": its initialize result "
		    "is not JSON", p->target->name);
		return fail(p, e);
	}
	put(p, PROBE_RESULT, init.raw);
	p->at = &p->wide;
	p->is_modern = s.era == ERA_MODERN;
	if (p->is_modern)		/* it knows no tasks of clients */
		p->wide.client_caps_json = "{" WIDE_CAPS "}";
	if (read_lists(p, init, e) < 0)
		return fail(p, e);
	buf_free(&result);
	put(p, PROBE_DONE, SPAN_LIT(""));
	return 0;
}

static int
light_probe(struct probe *p, struct err *e)
{
	struct json_value result;
	struct sess_info s;

	if (upstream_open(p->pool, p->target, 0, false, p->deadline_ms, &s,
	    NULL, e) < 0 ||
	    ask(p, s.era == ERA_MODERN ? "server/discover" : "ping", &result,
	    e) < 0)
		return fail(p, e);
	put(p, PROBE_DONE, SPAN_LIT(""));
	return 0;
}

void
probe_run(struct shm *shm, const char *stdio_socket,
    const struct upstream_target *t, bool full, int fd)
{
	struct probe p;
	struct err e;

	memset(&p, 0, sizeof(p));
	p.shm = shm;
	p.target = t;
	/* Servers hide tools from clients that lack what these need. What is
	 * listed is what some client may use; each call declares its own. */
	p.wide = *t;
	p.wide.client_session = UPSTREAM_PROBE;
	p.wide.client_caps = SESSION_CAP_SAMPLING | SESSION_CAP_ELICITATION |
	    SESSION_CAP_ELICITATION_URL | SESSION_CAP_ROOTS |
	    SESSION_CAPS_TASKS;
	p.wide.client_caps_json = "{" WIDE_CAPS ",\"tasks\":{\"list\":{},"
	    "\"cancel\":{},\"requests\":{"
	    "\"sampling\":{\"createMessage\":{}},"
	    "\"elicitation\":{\"create\":{}}}}}";
	p.at = t;
	p.fd = fd;
	p.deadline_ms = clock_mono_ms() + t->timeout_ms;
	/* unique beside those of other probes: they share the poller's slot */
	p.next_id = (uint64_t)shm->slot << 40 |
	    ((uint64_t)getpid() & 0x3fffff) << 18 | 1;
	buf_init(&p.params, 1u << 20);
	buf_init(&p.response, BYTES_MAX + (1u << 20));
	p.pool = upstream_pool_new(shm, stdio_socket);
	if (full)
		full_probe(&p, &e);
	else
		light_probe(&p, &e);
	upstream_pool_free(&p.pool);
}
