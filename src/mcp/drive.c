/*
 * drive -- tools of a modern server that answer with a task only, for legacy
 * clients: they wait for a result, so we do the polling.
 *
 * Worker. A server may not make a task of a call whose client did not declare
 * the extension, so it is declared only where the server refuses the call
 * without it (-32021; nothing has been executed then). What the task asks for
 * becomes questions on the stream of the call. A call that is cancelled or
 * takes too long cancels the task.
 */
#include "mcp/forward_int.h"

#include "base/clock.h"
#include "base/fiber.h"

#define POLL_MS		1000	/* the server does not say */
#define POLL_MIN_MS	50
#define POLL_MAX_MS	5000
#define NAP_MS		100	/* the cancel word is looked at this often */
#define CANCEL_MS	2000
#define NEEDS_CAPABILITY (-32021)

bool
drive_is_refused(const struct forward *f)
{
	struct json_value error, v;
	int64_t code = 0;

	if (f->c->modern || f->up.session.era != ERA_MODERN || f->drives ||
	    !f->up.answer_is_error || !span_is(f->c->msg.method, "tools/call"))
		return false;
	error = forward_answer(f, "error");
	v = json_member(json_member(error, "data"), "requiredCapabilities");
	return json_int(json_member(error, "code"), &code) &&
	    code == NEEDS_CAPABILITY && json_member(json_member(v, "extensions"),
	    TASKS_EXTENSION).type == JSON_OBJECT;
}

void
drive_declare(struct forward *f)
{
	struct span caps = f->caps_json;

	caps.n--;			/* the brace */
	f->caps_json = span_str(arena_printf(f->c->mcp->mem, "%.*s%s"
	    "\"extensions\":{\"" TASKS_EXTENSION "\":{}}}", SPAN_FMT(caps),
	    caps.n > 1 ? "," : ""));
	f->answered = arena_alloc(f->c->mcp->mem,
	    ROUNDS_MAX * sizeof(f->answered[0]));
	f->drives = true;
}

bool
drive_has_task(const struct forward *f)
{
	return f->drives && !f->up.answer_is_error &&
	    span_is(json_member(forward_answer(f, "result"),
	    "resultType").raw, "\"task\"");
}

/* ---- requests of our own -------------------------------------------------- */

/* upstream_compose_fn */
int
drive_compose(void *arg, const struct sess_info *s, struct buf *b, struct err *e)
{
	struct forward *f = arg;

	buf_reset(b, 1 << 20);
	buf_add_str(b, "{\"taskId\":");
	json_quote(b, f->up.name);
	if (span_is(f->up.method, "tasks/update")) {
		buf_add_str(b, ",\"inputResponses\":");
		buf_add_span(b, f->input_responses);
	}
	buf_add_str(b, ",\"_meta\":{");
	upstream_modern_meta(b, s->version, f->caps_json);
	buf_add_str(b, "}}");
	return b->overflow ? err_set(e, ERR_TOOBIG,
	    "the parameters are too large") : 0;
}

static int
request(struct forward *f, const char *method, int64_t deadline_ms,
    struct err *e)
{
	struct mcp *m = f->c->mcp;

	f->up.method = span_str(method);
	f->up.id = slot_next_call(m->shm);
	f->up.deadline_ms = clock_mono_ms() + f->target.timeout_ms;
	if (f->up.deadline_ms > deadline_ms)
		f->up.deadline_ms = deadline_ms;
	f->up.extra_fd = -1;
	buf_reset(&m->response, 1 << 20);
	if (upstream_request(m->pool, &f->target, &f->up, drive_compose, f,
	    &m->params, e) < 0)
		return -1;
	if (f->up.answer_is_error)
		return err_set(e, ERR_UPSTREAM, "server \"%s\" refused %s of "
		    "its task", f->target.name, method);
	return 0;
}

/* Nobody waits for it any more. */
static void
cancel(struct forward *f)
{
	struct err ignored;

	f->up.cancel_value = UINT64_MAX;	/* this one is not cancelled */
	request(f, "tasks/cancel", clock_mono_ms() + CANCEL_MS, &ignored);
}

static int
nap(struct forward *f, struct json_value interval, int64_t deadline_ms,
    struct err *e)
{
	int64_t ms = POLL_MS, until;

	json_int(interval, &ms);
	ms = ms < POLL_MIN_MS ? POLL_MIN_MS : ms > POLL_MAX_MS ? POLL_MAX_MS :
	    ms;
	until = clock_mono_ms() + ms;
	while ((ms = until - clock_mono_ms()) > 0) {
		if (atomic_load(f->up.cancel_word) == f->up.cancel_value)
			return err_set(e, ERR_CANCELLED,
			    "cancelled by the client");
		if (clock_mono_ms() >= deadline_ms)
			return err_set(e, ERR_TIMEOUT, "server \"%s\": its "
			    "task did not end in time", f->target.name);
		if (atomic_load(&shm_ctl(f->c->mcp->shm)->draining) != 0)
			return err_set(e, ERR_UNAVAILABLE, "shutting down");
		fiber_sleep((int)(ms < NAP_MS ? ms : NAP_MS));
	}
	return 0;
}

/* ---- questions ------------------------------------------------------------ */

static bool
is_answered(const struct forward *f, struct span key)
{
	uint32_t i;

	for (i = 0; i < f->n_answered; i++)
		if (span_eq(f->answered[i], key))
			return true;
	return false;
}

/* Those that were not asked before; the server may show a question for a
 * while after it was answered. .n 0: none. */
static struct span
new_questions(struct forward *f, struct json_value requests)
{
	struct json_value v;
	struct span name, r = { NULL, 0 };
	size_t pos = 0;
	struct buf b;

	buf_init(&b, requests.raw.n + 64);
	while (requests.type == JSON_OBJECT &&
	    json_next_member(requests.raw, &pos, &name, &v)) {
		if (is_answered(f, name) || f->n_answered == ROUNDS_MAX)
			continue;
		f->answered[f->n_answered++] = arena_dup(f->c->mcp->mem, name);
		buf_printf(&b, "%s\"%.*s\":", b.n > 0 ? "," :
		    "{\"inputRequests\":{", SPAN_FMT(name));
		buf_add_span(&b, v.raw);
	}
	if (b.n > 0) {
		buf_add_str(&b, "}}");
		r = arena_dup(f->c->mcp->mem, buf_span(&b));
	}
	buf_free(&b);
	return r;
}

/* 1: asked and answered; 0: nothing new; -1. */
static int
ask(struct forward *f, struct json_value task, int64_t deadline_ms,
    struct err *e)
{
	struct span questions = new_questions(f, json_member(task,
	    "inputRequests"));

	if (questions.n == 0)
		return 0;
	if (ask_input(f, questions, e) < 0 ||
	    request(f, "tasks/update", deadline_ms, e) < 0)
		return -1;
	return 1;
}

/* ---- the loop ------------------------------------------------------------- */

/* 1: it goes on; 0: f->driven is what came of it; -1. */
static int
step(struct forward *f, struct json_value task, int64_t deadline_ms,
    struct err *e)
{
	struct span status = json_member(task, "status").raw;
	struct json_value interval = json_member(task, "pollIntervalMs");
	int rc = 0;

	f->driven_is_error = span_is(status, "\"failed\"");
	if (span_is(status, "\"completed\"") || f->driven_is_error) {
		f->driven = json_member(task, f->driven_is_error ? "error" :
		    "result");
		return f->driven.type == JSON_OBJECT ? 0 :
		    err_set(e, ERR_UPSTREAM, "server \"%s\": its task ended "
		    "without a result", f->target.name);
	}
	if (span_is(status, "\"cancelled\""))
		return err_set(e, ERR_UPSTREAM, "server \"%s\" cancelled the "
		    "task", f->target.name);
	if (span_is(status, "\"input_required\"") &&
	    (rc = ask(f, task, deadline_ms, e)) < 0)
		return -1;
	if (rc == 0 && nap(f, interval, deadline_ms, e) < 0)
		return -1;
	return request(f, "tasks/get", deadline_ms, e) < 0 ? -1 : 1;
}

int
drive_wait(struct forward *f, struct err *e)
{
	const struct mcp *m = f->c->mcp;
	int64_t wait = f->target.timeout_ms > m->conf.input_timeout_ms ?
	    f->target.timeout_ms : m->conf.input_timeout_ms;
	int64_t deadline_ms = clock_mono_ms() + wait;
	int rc;

	do
		rc = step(f, forward_answer(f, "result"), deadline_ms, e);
	while (rc > 0);
	return rc;
}

int
drive_request(struct forward *f, const char *method, int64_t deadline_ms,
    struct err *e)
{
	return request(f, method, deadline_ms, e);
}

int
drive_to_end(struct forward *f, struct err *e)
{
	struct json_value id = json_member(forward_answer(f, "result"), "taskId");
	char *text = arena_alloc(f->c->mcp->mem, id.raw.n + 1);
	long n = json_string_decode(id, text, id.raw.n + 1);
	int rc;

	if (n <= 0)
		return err_set(e, ERR_UPSTREAM, "server \"%s\": its task has "
		    "no id", f->target.name);
	f->up.name = span_make(text, (size_t)n);
	f->up.headers.n -= f->param_headers.n;	/* of the tool, at the end */
	if ((rc = drive_wait(f, e)) < 0)
		cancel(f);
	return rc;
}
