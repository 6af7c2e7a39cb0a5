/*
 * call -- see call.h.
 */
#include "ctl/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "ctl/ready.h"
#include "proc/ask.h"

#define ANSWER_MAX	(1u << 30)
#define COLUMNS_MAX	32

/* ---- what is asked --------------------------------------------------------------- */

const char *
call_path(const char *base, const char *parameter, const char *tail)
{
	const char *kept;
	struct buf b;

	buf_init(&b, 65536);
	buf_add_str(&b, base);
	api_url_add(&b, span_str(parameter));
	buf_add_str(&b, tail);
	kept = ctl_text("%.*s", (int)b.n, b.p);
	buf_free(&b);
	return kept;
}

void
call_query(const char **path, const char *name, const char *value)
{
	if (value != NULL)
		*path = call_path(ctl_text("%s%c%s=", *path,
		    strchr(*path, '?') == NULL ? '?' : '&', name), value, "");
}

/* ---- on this machine -------------------------------------------------------------- */

/* All of these end the program by themselves when they fail. */
static int
need_db(struct api *a, struct err *e)
{
	struct ctl *c = a->host_arg;

	ctl_db(c);
	a->db = c->db;
	return 0;
}

static int
need_model(struct api *a, bool seeded, struct err *e)
{
	struct ctl *c = a->host_arg;

	if (seeded)
		ctl_model_seeded(c);
	else
		ctl_model(c);
	a->db = c->db;
	a->model = &c->model;
	return 0;
}

static const struct pol_head *
policy(struct api *a, struct err *e)
{
	return ctl_policy(a->host_arg);
}

static int
need_shm(struct api *a, bool must, struct err *e)
{
	struct ctl *c = a->host_arg;

	if (!ctl_attach(c, must))
		return -1;
	a->shm = &c->shm;
	return 0;
}

static int
changed(struct api *a, struct err *e)
{
	ctl_changed(a->host_arg);
	return 0;
}

static int
reload(struct api *a, struct buf *findings, struct err *e)
{
	struct ctl *c = a->host_arg;
	struct buf out;
	int rc;

	buf_init(&out, 1u << 20);
	/* the daemon reads its own file; ours only names its socket */
	rc = ctl_ask(c, "reload", &out, NULL);
	if (rc < 0)
		ctl_no_daemon(c);
	buf_add_span(findings, control_text(&out));
	buf_free(&out);
	return rc > 0 ? 0 : err_set(e, ERR_CONFIG, "the configuration was not "
	    "loaded; the one before keeps running");
}

static const char *
why_not_ready(struct api *a)
{
	return ready_why_not(a->conf);
}

static struct api *
local_api(struct ctl *c)
{
	static const struct api_host host = { need_db, need_model, policy,
	    need_shm, changed, reload, why_not_ready };
	static struct api api;

	if (api.host != NULL)
		return &api;
	api.host = &host;
	api.host_arg = c;
	api.is_local = true;
	api.actor = ctl_actor();
	api.conf = &c->conf;
	api.mem = arena_new(65536);
	/* a model without a database is that of the files */
	if (c->have_conf && c->conf.database_url[0] == '\0')
		api.model = &c->model;
	return &api;
}

/* ---- the answer ------------------------------------------------------------------- */

static struct json_value
parse(struct span text)
{
	struct json_value v = { JSON_NONE, { NULL, 0 } };

	if (json_check(text, &v, NULL) != JSON_OK || v.type != JSON_OBJECT)
		v.type = JSON_NONE;
	return v;
}

struct json_value
call_member(struct json_value object, const char *name)
{
	struct json_value v = { JSON_NONE, { NULL, 0 } };

	if (object.type == JSON_OBJECT &&
	    json_object(object.raw, &name, &v, 1) != JSON_OK)
		v.type = JSON_NONE;
	return v;
}

const char *
call_cell(struct json_value v)
{
	const char *kept;
	char *text;
	long n;

	if (v.type == JSON_NONE || v.type == JSON_NULL)
		return NULL;
	if (v.type == JSON_BOOL)
		return json_is_true(v) ? "yes" : "no";
	if (v.type != JSON_STRING)
		return ctl_text("%.*s", SPAN_FMT(v.raw));
	text = xmalloc(v.raw.n + 1);
	n = json_string_decode(v, text, v.raw.n);
	text[n < 0 ? 0 : n] = '\0';
	kept = ctl_text("%s", text);
	explicit_bzero(text, v.raw.n);
	free(text);
	return kept;
}

const char *
call_text(struct json_value object, const char *name)
{
	return call_cell(call_member(object, name));
}

/* Lines that belong to the failure or the success: what is wrong with a
 * configuration. */
static void
print_findings(struct json_value answer)
{
	struct json_value list = call_member(answer, "findings"), line;
	size_t pos = 0;

	if (list.type != JSON_ARRAY)
		return;
	while (json_next_element(list.raw, &pos, &line))
		if (line.type == JSON_STRING)
			fprintf(stderr, "%s\n", table_clean(call_cell(line)));
}

/* What an omni2 elsewhere refused, as it would have been refused here. */
static void __attribute__((noreturn))
fail_remote(const struct ctl *c, int status, struct json_value problem)
{
	const char *detail = call_text(problem, "detail");
	const char *word = call_text(problem, "code");
	struct err e = { .code = ERR_COUNT };

	if (word != NULL)
		e.code = api_code_find(span_str(word));
	if (e.code == ERR_COUNT || detail == NULL)
		ctl_fail(EXIT_UNREACHABLE, "%s answers %d, and not as omni2 "
		    "does; is it the address of one, of this version?",
		    c->url, status);
	if (e.code == ERR_UNAUTHENTICATED || e.code == ERR_ORIGIN)
		e.code = ERR_DENIED;
	else if (e.code == ERR_BREAKER || e.code == ERR_AUDIT)
		e.code = ERR_UNAVAILABLE;
	span_copy(e.text, sizeof(e.text), span_str(table_clean(detail)));
	ctl_fail_err(&e);
}

struct json_value
call_run(struct ctl *c, enum http_method method, const char *path,
    struct buf *body)
{
	static struct buf out;		/* what the answer points into */
	struct span text = body == NULL ? SPAN_LIT("") : buf_span(body);
	size_t n = strcspn(path, "?");
	struct json_value answer;
	int status = 200;
	struct err e;

	if (out.max == 0)
		buf_init(&out, ANSWER_MAX);
	buf_reset(&out, ANSWER_MAX);
	err_clear(&e);
	if (c->url != NULL)
		status = remote_run(c, method, path, text, &out);
	else if (api_run(local_api(c), method, span_make(path, n),
	    span_str(path[n] == '?' ? path + n + 1 : ""), text, &out, &e) < 0)
		status = 0;
	answer = parse(buf_span(&out));
	print_findings(answer);
	if (status == 0)
		ctl_fail_err(&e);
	if (status >= 300 || answer.type == JSON_NONE)
		fail_remote(c, status, answer);
	return answer;
}

/* ---- tables ------------------------------------------------------------------------ */

struct table *
call_table(struct json_value array, const char *const *columns)
{
	const char *name[COLUMNS_MAX], *cell[COLUMNS_MAX];
	struct json_value one, v[COLUMNS_MAX];
	struct table *t = table_new(columns);
	size_t pos = 0;
	int i, n;

	for (n = 0; columns[n] != NULL && n < COLUMNS_MAX; n++)
		name[n] = columns[n] + (strchr("#?{", columns[n][0]) != NULL);
	while (array.type == JSON_ARRAY &&
	    json_next_element(array.raw, &pos, &one)) {
		if (one.type != JSON_OBJECT ||
		    json_object(one.raw, name, v, n) != JSON_OK)
			continue;
		for (i = 0; i < n; i++)
			cell[i] = call_cell(v[i]);
		table_row_of(t, cell);
	}
	return t;
}

void
call_print_json(struct json_value v)
{
	printf("%.*s\n", SPAN_FMT(v.raw));
}

void
call_print(struct ctl *c, struct json_value array, const char *const *columns)
{
	struct table *t;

	if (c->json) {
		call_print_json(array);
		return;
	}
	t = call_table(array, columns);
	table_print(t, false);
	table_free(&t);
}

/* As an array of one. */
void
call_print_record(struct ctl *c, struct json_value object,
    const char *const *columns)
{
	struct json_value array = { JSON_ARRAY, { NULL, 0 } };
	struct table *t;

	if (c->json) {
		call_print_json(object);
		return;
	}
	array.raw = span_str(ctl_text("[%.*s]", SPAN_FMT(object.raw)));
	t = call_table(array, columns);
	table_print_record(t, false);
	table_free(&t);
}
