/*
 * retro -- tasks of a client of 2025-11-25 at a server of 2026-07-28 with the
 * tasks extension.
 *
 * Worker. The server alone decides what becomes a task, so the extension is
 * declared when the client wants one; what the server answers at once is kept
 * here for a few minutes as a task that has ended (a file of spool.h, its
 * number is the id). tasks/result, which waits, and tasks/list, which the
 * extension lacks, are made of tasks/get; what a task asks for is asked on the
 * stream of tasks/result. Nobody's task is cancelled because nobody waits.
 */
#include "mcp/forward_int.h"

#include <time.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/hash.h"
#include "mcp/spool.h"

#define MARK		'\001'	/* ids of tasks that are kept here */
#define CHUNK		(256u << 10)
#define KEPT_MAX	(16u << 20)	/* of one result; it takes memory */
#define PAGE		32u	/* each task is a request */
#define CANCEL_MS	2000	/* for the server to do it */
#define CANCEL_NAP_MS	20
#define RELATED		META_PREFIX "related-task"

static bool
is_text(struct json_value v, const char *text)
{
	struct span s;

	return json_string_plain(v, &s) && span_is(s, text);
}

static bool
has_ended(struct json_value status)
{
	return is_text(status, "completed") || is_text(status, "failed") ||
	    is_text(status, "cancelled");
}

bool
retro_is_on(const struct forward *f)
{
	return f->retro && f->up.session.era == ERA_MODERN;
}

/* ---- the words of 2025-11-25 ---------------------------------------------- */

static void
put_member(struct buf *b, struct span name, struct span value)
{
	buf_add_str(b, b->n > 0 && b->p[b->n - 1] != '{' ? ",\"" : "\"");
	buf_add_span(b, name);
	buf_add_str(b, "\":");
	buf_add_span(b, value);
}

/* A tool that says isError has failed, in this revision. */
static struct span
status_of(struct json_value task, struct json_value status)
{
	return is_text(status, "completed") && span_is(json_member(json_member(task,
	    "result"), "isError").raw, "true") ? SPAN_LIT("\"failed\"") :
	    status.raw;
}

/* The members of a task; a new one is at work, whatever it does. */
static void
put_task(struct json_value task, bool is_new, struct buf *b)
{
	struct json_value v;
	struct span name;
	bool has_ttl = false;
	size_t pos = 0;

	while (json_next_member(task.raw, &pos, &name, &v)) {
		if (span_is(name, "resultType") || span_is(name, "result") ||
		    span_is(name, "error") || span_is(name, "inputRequests") ||
		    (is_new && span_is(name, "_meta")))
			continue;
		has_ttl |= span_is(name, "ttlMs");
		if (span_is(name, "status"))
			put_member(b, name, is_new ? SPAN_LIT("\"working\"") :
			    status_of(task, v));
		else
			put_member(b, span_is(name, "ttlMs") ?
			    SPAN_LIT("ttl") : span_is(name, "pollIntervalMs") ?
			    SPAN_LIT("pollInterval") : name, v.raw);
	}
	if (!has_ttl)
		put_member(b, SPAN_LIT("ttl"), SPAN_LIT("null"));
}

/* The object, and in its _meta whose task it belongs to (raw JSON). */
static int
put_related(struct span object, struct span id, struct buf *b)
{
	struct json_value v, m;
	struct span name, inner;
	size_t pos = 0, at = 0;

	buf_add_str(b, "{\"_meta\":{\"" RELATED "\":{\"taskId\":");
	buf_add_span(b, id);
	buf_add_char(b, '}');
	v = json_member((struct json_value){ JSON_OBJECT, object }, "_meta");
	while (v.type == JSON_OBJECT &&
	    json_next_member(v.raw, &at, &inner, &m))
		if (!span_is(inner, RELATED))
			put_member(b, inner, m.raw);
	buf_add_char(b, '}');
	while (json_next_member(object, &pos, &name, &v))
		if (!span_is(name, "_meta"))
			put_member(b, name, v.raw);
	return buf_add_char(b, '}');
}

static struct span
keep_text(struct forward *f, struct buf *b)
{
	struct span r = b->overflow ? span_make(NULL, 0) :
	    arena_dup(f->c->mcp->mem, buf_span(b));

	buf_free(b);
	return r;
}

struct span
retro_question(struct forward *f, struct span params)
{
	struct span r;
	struct buf b;

	buf_init(&b, params.n + 16384);
	put_related(params.n > 0 ? params : SPAN_LIT("{}"),
	    f->c->msg.param[PARAM_TASK_ID].raw, &b);
	r = keep_text(f, &b);
	return r.n > 0 ? r : params;
}

/* ---- what is kept here ---------------------------------------------------- */

bool
retro_is_kept(struct span id)
{
	return id.n > 1 && id.p[0] == MARK;
}

static uint64_t
owner_of(const struct mcp_call *c)
{
	return hash_mix((uint64_t)c->who.user_id ^ 0x6b657074) | 1;
}

/* The task, but for its id and status. */
static struct span
ended_task(struct mcp_call *c)
{
	time_t now = clock_wall_us() / 1000000;
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ",
	    gmtime_r(&now, &tm));
	return span_str(arena_printf(c->mcp->mem, "\"createdAt\":\"%s\","
	    "\"lastUpdatedAt\":\"%s\",\"ttl\":%d", text, text,
	    SPOOL_KEEP_S * 1000));
}

/* CreateTaskResult of a call that the server answered at once. */
static struct span
keep(struct forward *f, struct span result, struct err *e)
{
	struct json_value v = { JSON_OBJECT, result };
	struct mcp *m = f->c->mcp;
	struct spool s;
	char id[SPOOL_ID_SIZE];
	struct span task = ended_task(f->c);
	struct buf b;
	size_t n;
	bool is_whole;

	if (result.n > KEPT_MAX) {
		err_set(e, ERR_TOOBIG, "the result has %zu bytes, too many to "
		    "be kept for a task", result.n);
		return span_make(NULL, 0);
	}
	if (spool_begin(&s, m->conf.run_dir, owner_of(f->c), m->shm->slot,
	    slot_next_call(m->shm)) < 0)
		goto failed;
	spool_event(&s, span_str(arena_printf(m->mem, "\"status\":\"%s\","
	    "%.*s", span_is(json_member(v, "isError").raw, "true") ? "failed" :
	    "completed", SPAN_FMT(task))), id);
	for (; result.n > 0; result = span_skip(result, n)) {
		n = result.n < CHUNK ? result.n : CHUNK;
		spool_event(&s, span_make(result.p, n), id);
	}
	is_whole = s.fd >= 0;
	spool_end(&s);
	if (!is_whole)
		goto failed;
	buf_init(&b, 16384);
	/* at work, as a task begins */
	buf_printf(&b, "{\"task\":{\"taskId\":\"\\u0001%s\",\"status\":"
	    "\"working\",%.*s}}", id, SPAN_FMT(task));
	return keep_text(f, &b);
failed:
	err_set(e, ERR_INTERNAL, "the result could not be kept");
	return span_make(NULL, 0);
}

static int
put_kept(struct mcp_call *c, struct span task, struct span result,
    struct buf *out, struct err *e)
{
	struct span id = c->msg.param[PARAM_TASK_ID].raw;

	if (span_is(c->msg.method, "tasks/cancel"))
		return err_set(e, ERR_PARAMS,
		    "Cannot cancel task: it has ended");
	if (span_is(c->msg.method, "tasks/result"))
		return put_related(result, id, out);
	buf_add_char(out, '{');
	put_member(out, SPAN_LIT("taskId"), id);
	buf_add_char(out, ',');
	buf_add_span(out, task);
	return buf_add_char(out, '}');
}

/* Both parts; false: it is gone. */
static bool
read_kept(struct mcp_call *c, struct span id, struct span *task,
    struct buf *result)
{
	struct buf piece;
	struct spool s;
	struct err e;
	uint32_t after, seq;
	int rc;

	if (spool_open(&s, c->mcp->conf.run_dir, span_skip(id, 1), owner_of(c),
	    &after, &e) < 0)
		return false;
	*task = span_make(NULL, 0);
	buf_init(&piece, 2 * CHUNK);
	while ((rc = spool_next(&s, 0, &piece, &seq)) == 1)
		if (seq == 1)
			*task = arena_dup(c->mcp->mem, buf_span(&piece));
		else if (result != NULL)
			buf_add_span(result, buf_span(&piece));
	spool_close(&s);
	buf_free(&piece);
	return rc == 0 && task->n > 0 && (result == NULL || !result->overflow);
}

int
retro_kept(struct mcp_call *c, const struct task_ref *r, struct buf *out,
    struct err *e)
{
	struct span task;
	struct buf result;
	int rv;

	mcp_unpin(c);
	buf_init(&result, (size_t)c->mcp->conf.result_max + 1);
	rv = read_kept(c, r->id, &task, &result) ?
	    put_kept(c, task, buf_span(&result), out, e) :
	    err_set(e, ERR_PARAMS, "Task not found");
	buf_free(&result);
	return rv;
}

/* ---- answers -------------------------------------------------------------- */

/* What the tools/call became. */
static struct span
created(struct forward *f, struct json_value result, struct err *e)
{
	struct json_value meta;
	struct span r;
	struct buf b;

	if (!is_text(json_member(result, "resultType"), "task"))
		return keep(f, result.raw, e);
	buf_init(&b, result.raw.n + 16384);
	buf_add_str(&b, "{\"task\":{");
	put_task(result, true, &b);
	buf_add_char(&b, '}');
	if ((meta = json_member(result, "_meta")).type == JSON_OBJECT)
		put_member(&b, SPAN_LIT("_meta"), meta.raw);
	buf_add_char(&b, '}');
	r = keep_text(f, &b);
	if (r.n == 0)
		err_set(e, ERR_TOOBIG, "the task is too large");
	return r;
}

struct span
retro_result(struct forward *f, struct span result, struct err *e)
{
	struct json_value v = { JSON_OBJECT, result };
	struct span r, id;
	struct buf b;

	if (span_is(f->c->msg.method, "tools/call"))
		return created(f, v, e);
	if (f->tasks != NULL)
		return result;
	buf_init(&b, result.n + 16384);
	if (span_is(f->c->msg.method, "tasks/result")) {
		json_quote(&b, f->task.id);
		id = arena_dup(f->c->mcp->mem, buf_span(&b));
		buf_reset(&b, result.n);
		put_related(result, id, &b);
	} else {
		buf_add_char(&b, '{');
		put_task(v, false, &b);
		buf_add_char(&b, '}');
	}
	r = keep_text(f, &b);
	if (r.n == 0)
		err_set(e, ERR_TOOBIG, "the answer is too large");
	return r;
}

/* ---- tasks/list ----------------------------------------------------------- */

static uint32_t
page_end(const struct forward *f)
{
	return f->tasks->n - f->first_listed > PAGE ? f->first_listed + PAGE :
	    f->tasks->n;
}

static void
put_listed(struct forward *f, uint32_t i, struct buf *b)
{
	struct span id = f->tasks->task[i].id, task;
	bool is_kept = retro_is_kept(id);
	struct json_value result = forward_answer(f, "result");

	if (is_kept ? !read_kept(f->c, id, &task, NULL) :
	    result.type != JSON_OBJECT)
		return;			/* it is no more */
	buf_add_str(b, b->p[b->n - 1] == '[' ? "{" : ",{");
	if (is_kept) {
		buf_add_str(b, "\"taskId\":");
		json_quote(b, id);
		buf_add_char(b, ',');
		buf_add_span(b, task);
	} else
		put_task(result, false, b);
	buf_add_char(b, '}');
}

/* All of this page; the answer of the first one at the server is there. */
static int
list_page(struct forward *f, bool asks, struct err *e)
{
	int64_t deadline_ms = clock_mono_ms() + f->target.timeout_ms;
	uint32_t i, end = page_end(f);
	struct buf b;
	int rc = 0;

	buf_init(&b, 4u << 20);
	buf_add_str(&b, "{\"tasks\":[");
	for (i = f->first_listed; i < end && rc == 0; i++) {
		if (asks && !retro_is_kept(f->tasks->task[i].id) &&
		    !span_eq(f->up.name, f->tasks->task[i].id)) {
			f->up.name = f->tasks->task[i].id;
			if (drive_request(f, "tasks/get", deadline_ms, e) < 0 &&
			    !f->up.answer_is_error)
				rc = -1;
		}
		if (rc == 0)
			put_listed(f, i, &b);
	}
	buf_add_char(&b, ']');
	if (end < f->tasks->n)
		buf_printf(&b, ",\"nextCursor\":\"%u\"", end);
	buf_add_char(&b, '}');
	f->driven_is_error = false;
	f->driven.type = JSON_OBJECT;
	f->driven.raw = keep_text(f, &b);
	return rc < 0 || f->driven.raw.n > 0 ? rc : err_set(e, ERR_TOOBIG,
	    "the list is too large");
}

int
retro_list(struct forward *f)
{
	struct json_value cursor = { JSON_NUMBER, { NULL, 0 } };
	int64_t from = 0;
	struct err none;
	uint32_t i;

	if (f->own.n > 2) {
		cursor.raw = span_make(f->own.p + 1, f->own.n - 2);
		if (!json_int(cursor, &from) || from < 0 || from > f->tasks->n)
			from = 0;
	}
	f->first_listed = (uint32_t)from;
	for (i = f->first_listed; i < page_end(f); i++) {
		if (retro_is_kept(f->tasks->task[i].id))
			continue;
		f->up.name = f->tasks->task[i].id;
		f->method = SPAN_LIT("tasks/get");
		return 1;
	}
	mcp_unpin(f->c);
	if (list_page(f, false, &none) < 0)
		f->driven.raw = SPAN_LIT("{}");
	return 0;
}

/* ---- further requests ----------------------------------------------------- */

/* The server only says that it heard; the client wants to know. */
static int
cancel(struct forward *f, struct err *e)
{
	int64_t end_ms = clock_mono_ms() + f->target.timeout_ms, until_ms;

	if (has_ended(json_member(forward_answer(f, "result"), "status"))) {
		f->up.is_blameless = true;
		return err_set(e, ERR_PARAMS,
		    "Cannot cancel task: it has ended");
	}
	if (drive_request(f, "tasks/cancel", end_ms, e) < 0)
		return -1;
	until_ms = clock_mono_ms() + CANCEL_MS;
	while (drive_request(f, "tasks/get", end_ms, e) == 0) {
		if (has_ended(json_member(forward_answer(f, "result"), "status")) ||
		    clock_mono_ms() >= until_ms)
			return 0;
		fiber_sleep(CANCEL_NAP_MS);
	}
	return -1;
}

/* That the task takes long, or was cancelled, is no failure of the server. */
static int
wait_result(struct forward *f, struct err *e)
{
	if (drive_wait(f, e) == 0)
		return 0;
	if (!f->up.answer_is_error && is_text(json_member(forward_answer(f, "result"),
	    "status"), "cancelled"))
		err_set(e, ERR_PARAMS, "the task was cancelled");
	f->up.is_blameless |= e->code == ERR_PARAMS || e->code == ERR_TIMEOUT;
	return -1;
}

int
retro_go_on(struct forward *f, struct err *e)
{
	if (f->tasks != NULL)
		return list_page(f, true, e);
	if (f->up.answer_is_error)
		return 0;
	if (span_is(f->c->msg.method, "tasks/cancel"))
		return cancel(f, e);
	return span_is(f->c->msg.method, "tasks/result") ?
	    wait_result(f, e) : 0;
}
