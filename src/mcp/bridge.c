/*
 * bridge -- tasks of a modern client (the tasks extension of 2026-07-28) at a
 * server of 2025-11-25.
 *
 * Worker. The modern era has no word for "as a task, please": the server
 * decides, so a tool becomes a task where its server says that it cannot be
 * called otherwise (execution.taskSupport "required"). tasks/get of a task
 * that has ended takes a second request, tasks/result, because the modern
 * answer holds the result. What a legacy server asks in the middle of a task:
 * bridge_ask.c; without a question to show, input_required is working.
 */
#include "mcp/forward_int.h"

#include "base/hash.h"

static bool
member_is(struct json_value object, const char *name, const char *text)
{
	struct span s;

	return json_string_plain(json_member(object, name), &s) &&
	    span_is(s, text);
}

bool
bridge_needs_task(struct span tool)
{
	static const char *const names[] = { "execution" };
	struct json_value v;

	/* schemas are long, and few say it */
	return memmem(tool.p, tool.n, "taskSupport", 11) != NULL &&
	    json_object(tool, names, &v, 1) == JSON_OK &&
	    member_is(v, "taskSupport", "required");
}

struct span
bridge_method(const struct mcp_call *c, uint32_t offers)
{
	/* the others need to know that it is there, no more */
	return span_is(c->msg.method, "tasks/cancel") &&
	    (offers & TASKS_CANCEL) != 0 ? c->msg.method :
	    SPAN_LIT("tasks/get");
}

/* ---- the task in the words of the other era ------------------------------- */

static void
put_name(struct buf *out, const char *name)
{
	buf_add_str(out, ",\"");
	buf_add_str(out, name);
	buf_add_str(out, "\":");
}

static void
put_id(struct forward *f, struct json_value v, struct buf *out)
{
	struct arena *mem = f->c->mcp->mem;
	struct task_ref r = { f->target.server_id, f->task.tool, { NULL, 0 } };
	char *text = arena_alloc(mem, v.raw.n + 1);
	long n = json_string_decode(v, text, v.raw.n + 1);

	r.id = span_make(text, n < 0 ? 0 : (size_t)n);
	json_quote(out, task_seal(mem, f->c->who.user_id, &r));
}

/* The members of a legacy task; status NULL: its own. */
static void
put_task(struct forward *f, struct span task, const char *status,
    struct buf *out)
{
	struct json_value v;
	struct span name;
	size_t pos = 0;

	while (json_next_member(task, &pos, &name, &v)) {
		if (span_is(name, "taskId")) {
			put_name(out, "taskId");
			put_id(f, v, out);
		} else if (span_is(name, "status")) {
			put_name(out, "status");
			if (status == NULL && span_is(v.raw,
			    "\"input_required\""))
				status = "working";
			if (status == NULL)
				buf_add_span(out, v.raw);
			else
				json_quote(out, span_str(status));
		} else if (span_is(name, "ttl") ||
		    span_is(name, "pollInterval")) {
			put_name(out, span_is(name, "ttl") ? "ttlMs" :
			    "pollIntervalMs");
			buf_add_span(out, v.raw);
		} else if (span_is(name, "statusMessage") ||
		    span_is(name, "createdAt") ||
		    span_is(name, "lastUpdatedAt")) {
			buf_add_str(out, ",\"");
			buf_add_span(out, name);
			buf_add_str(out, "\":");
			buf_add_span(out, v.raw);
		}
	}
}

/* A whole result object around it; payload "result", "error" or NULL. */
static int
put_result(struct forward *f, const char *type, struct span task,
    const char *status, const char *payload, struct span value, struct buf *out)
{
	buf_add_str(out, "{\"resultType\":\"");
	buf_add_str(out, type);
	buf_add_char(out, '"');
	put_task(f, task, status, out);
	if (payload != NULL) {
		put_name(out, payload);
		buf_add_span(out, value);
	}
	return buf_add_char(out, '}');
}

/* ---- answers -------------------------------------------------------------- */

/* Is this the status of the task that the server has told? */
bool
bridge_status_is(const struct forward *f, const char *status,
    struct span *task)
{
	struct json_value v = forward_answer(f, "result");

	if (!member_is(v, "status", status))
		return false;
	*task = v.raw;
	return true;
}

bool
bridge_wants_result(struct forward *f)
{
	struct span task;

	if (!f->bridges || f->bridged.n > 0 ||
	    !span_is(f->c->msg.method, "tasks/get") ||
	    (!bridge_status_is(f, "completed", &task) &&
	    !bridge_status_is(f, "failed", &task)))
		return false;
	f->bridged = arena_dup(f->c->mcp->mem, task);
	f->up.method = SPAN_LIT("tasks/result");
	return true;
}

/* The task, and what it asks for. */
static int
put_asked(struct forward *f, struct span questions, struct buf *out)
{
	if (span_is(questions, "{}"))
		return put_result(f, "complete", f->bridged, NULL, NULL,
		    f->bridged, out);
	return put_result(f, "complete", f->bridged, "input_required",
	    "inputRequests", questions, out);
}

int
bridge_release(struct forward *f, struct err *e)
{
	struct span result;
	struct buf b;
	int rc;

	buf_init(&b, f->c->mcp->response.max);
	put_asked(f, bridge_questions(f), &b);
	result = arena_dup(f->c->mcp->mem, buf_span(&b));
	rc = b.overflow ? err_set(e, ERR_TOOBIG, "the question is too large") :
	    held_release(f, result, e);
	buf_free(&b);
	return rc;
}

/*
 * What the tool said. "failed" means another thing in the two eras: with a
 * result (isError) the modern one calls it completed.
 */
static int
take_ended(struct forward *f, struct json_value result, struct json_value error,
    struct buf *out)
{
	bool failed = error.type == JSON_OBJECT;

	return put_result(f, "complete", f->bridged, failed ? "failed" :
	    "completed", failed ? "error" : "result",
	    failed ? error.raw : task_related(f, result.raw), out);
}

int
bridge_take_answer(struct forward *f, struct json_value result,
    struct json_value error, struct buf *out)
{
	static const char *const names[] = { "task" };
	struct span method = f->c->msg.method;
	struct json_value task;

	if (!f->bridges)
		return 0;
	if (f->asked.n > 0)
		return put_asked(f, f->asked, out) < 0 ? -1 : 1;
	if (f->bridged.n > 0)
		return take_ended(f, result, error, out) < 0 ? -1 : 1;
	if (error.type == JSON_OBJECT)
		return 0;
	if (span_is(method, "tasks/get"))
		return put_result(f, "complete", result.raw, NULL, NULL,
		    result.raw, out) < 0 ? -1 : 1;
	if (!span_is(method, "tools/call"))
		return buf_add_str(out, "{\"resultType\":\"complete\"}") < 0 ?
		    -1 : 1;
	if (json_object(result.raw, names, &task, 1) != JSON_OK ||
	    task.type != JSON_OBJECT)
		return 0;		/* it has a result already */
	task_note_created(f, result.raw);
	return put_result(f, "task", task.raw, NULL, NULL, task.raw, out) < 0 ?
	    -1 : 1;
}
