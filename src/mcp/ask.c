/*
 * ask -- questions to a legacy client: sampling/createMessage,
 * elicitation/create, roots/list, pushed on the stream of the call they belong
 * to; the answers come as POSTs, perhaps to another worker (mailbox.h).
 *
 * The id of a pushed request names slot, call and question. It is no secret:
 * the worker that gets the answer looks at whose call the slot serves, and
 * only the same principal and session may answer.
 */
#include "mcp/forward_int.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/num.h"
#include "mcp/heard.h"
#include "mcp/mailbox.h"
#include "mcp/own_task.h"

#define MAIL_WAIT_MS	2000		/* between two workers of one machine */

/* Tasks that the client keeps for what it is asked: between peers of
 * 2025-11-25 alone. Its ids need no mapping, for the server's session is of
 * this client only. */
static bool
has_tasks(const struct forward *f, uint32_t caps)
{
	return !f->c->modern && f->up.session.era == ERA_LEGACY &&
	    (f->caps & caps) != 0;
}

bool
ask_client_can(const struct forward *f, struct span method)
{
	if (!f->c->modern && !f->c->may_stream)
		return false;
	if (span_is(method, "tasks/get") || span_is(method, "tasks/result"))
		return has_tasks(f, SESSION_CAPS_TASKS);
	if (span_is(method, "tasks/list"))
		return has_tasks(f, SESSION_CAP_TASKS_LIST);
	if (span_is(method, "tasks/cancel"))
		return has_tasks(f, SESSION_CAP_TASKS_CANCEL);
	if (span_is(method, "sampling/createMessage"))
		return (f->caps & SESSION_CAP_SAMPLING) != 0;
	if (span_is(method, "elicitation/create"))
		return (f->caps & SESSION_CAP_ELICITATION) != 0;
	if (span_is(method, "roots/list"))
		return (f->caps & SESSION_CAP_ROOTS) != 0;
	return false;
}

/*
 * Has the call been given up? Its wait may not have noticed yet, and a client
 * that has gone never answers: the question must not end with it. -1 with err.
 */
int
ask_is_over(const struct forward *f, struct err *e)
{
	struct pollfd p = { .fd = f->up.client_fd, .events = POLLRDHUP };

	if (atomic_load(f->up.cancel_word) == f->up.cancel_value)
		return err_set(e, ERR_CANCELLED, "cancelled");
	if (p.fd >= 0 && poll(&p, 1, 0) > 0)
		return err_set(e, ERR_CANCELLED, "client hung up");
	return 0;
}

/* The server asked for what this client never declared. */
int
ask_refuse(struct forward *f, struct span upstream_id, struct err *e)
{
	struct err ignored;
	char *text = arena_printf(f->c->mcp->mem, "{\"jsonrpc\":\"2.0\","
	    "\"id\":%.*s,\"error\":{\"code\":-32601,\"message\":"
	    "\"The client does not support this request\"}}",
	    SPAN_FMT(upstream_id));

	upstream_post(f->c->mcp->pool, &f->target, &f->up.session,
	    span_str(text), &ignored);
	return 0;
}

/*
 * MCP 2025-11-25: who declared no tasks for a request handles it as one without
 * "task". Not every client knows that, so it does not see the member.
 */
static struct span
without_task(struct forward *f, struct span method, struct span params)
{
	static const char *const names[] = { "task" };
	uint32_t needs = span_is(method, "sampling/createMessage") ?
	    SESSION_CAP_SAMPLING_TASKS : span_is(method, "elicitation/create") ?
	    SESSION_CAP_ELICITATION_TASKS : 0;
	struct json_value v;
	struct span name, r;
	struct buf b;
	size_t pos = 0;

	if (params.n == 0 || has_tasks(f, needs) ||
	    json_object(params, names, &v, 1) != JSON_OK ||
	    v.type == JSON_NONE)
		return params;
	buf_init(&b, params.n);
	while (json_next_member(params, &pos, &name, &v)) {
		if (span_is(name, "task"))
			continue;
		buf_printf(&b, "%s\"%.*s\":", b.n > 0 ? "," : "{",
		    SPAN_FMT(name));
		buf_add_span(&b, v.raw);
	}
	buf_add_str(&b, b.n > 0 ? "}" : "{}");
	r = arena_dup(f->c->mcp->mem, buf_span(&b));
	buf_free(&b);
	return r;
}

int
ask_push(struct forward *f, struct span method, struct span params,
    struct span upstream_id, struct span key, struct err *e)
{
	struct mcp *m = f->c->mcp;
	struct question *q;
	struct span text;
	int fd;

	if (f->n_questions == QUESTIONS_MAX)
		return err_set(e, ERR_UPSTREAM, "server \"%s\" asks more than %d "
		    "questions at once", f->target.name, QUESTIONS_MAX);
	fd = mailbox_open(&m->mailbox, m->conf.run_dir, m->shm->slot, e);
	if (fd < 0)
		return -1;
	q = &f->q[f->n_questions++];
	memset(q, 0, sizeof(*q));
	q->number = ++f->next_number;
	q->upstream_id = upstream_id;
	q->key = key;
	f->up.extra_fd = fd;
	f->up.on_extra = ask_on_mail;
	params = without_task(f, method, params);
	text = span_str(arena_printf(m->mem, "{\"jsonrpc\":\"2.0\",\"id\":"
	    "\"o2-%x-%llx-%x\",\"method\":\"%.*s\"%s%.*s}", m->shm->slot,
	    (unsigned long long)f->c->call_id, q->number, SPAN_FMT(method),
	    params.n > 0 ? ",\"params\":" : "", SPAN_FMT(params)));
	if (relay_stream_event(f->c, text) < 0)
		return err_set(e, ERR_CANCELLED,
		    "the client has gone and cannot be asked");
	/* a person may have to answer */
	if (f->up.deadline_ms < clock_mono_ms() + m->conf.input_timeout_ms)
		f->up.deadline_ms = clock_mono_ms() + m->conf.input_timeout_ms;
	return 0;
}

/* The answer goes to the server under the id of its own request. */
static void
pass_answer(struct forward *f, struct question *q)
{
	static const char *const names[] = { "result", "error" };
	struct json_value v[2];
	struct span raw;
	struct err e;
	char *text;
	int i;

	if (json_object(q->answer, names, v, 2) != JSON_OK)
		return;
	i = v[0].type != JSON_NONE ? 0 : 1;
	if (i == 0 && has_tasks(f, SESSION_CAPS_TASKS))
		own_task_note(f->c, f->target.server_id, v[0]);
	raw = f->bridges && v[i].type == JSON_OBJECT ?
	    bridge_answer(f, v[i].raw) : f->is_task && v[i].type == JSON_OBJECT ?
	    task_answer(f, v[i].raw) : v[i].raw;
	text = arena_printf(f->c->mcp->mem, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,"
	    "\"%s\":%.*s}", SPAN_FMT(q->upstream_id), names[i],
	    SPAN_FMT(raw));
	if (upstream_post(f->c->mcp->pool, &f->target, &f->up.session,
	    span_str(text), &e) < 0)
		log_warn("server \"%s\": the client's answer was not taken: %s",
		    f->target.name, e.text);
}

static struct question *
find_question(struct forward *f, uint64_t number)
{
	uint32_t i;

	for (i = 0; i < f->n_questions; i++)
		if (f->q[i].number == number && !f->q[i].answered)
			return &f->q[i];
	return NULL;
}

/* upstream_extra_fn: another worker has an answer for us, or the server's
 * listener has heard something. */
int
ask_on_mail(void *arg, struct err *e)
{
	struct forward *f = arg;
	struct question *q = NULL;
	bool heard = false;
	struct buf body;
	struct mail m = { .type = 0 };
	int rc = ask_is_over(f, e);
	int fd = mailbox_accept(f->c->mcp->mailbox, clock_mono_ms());

	if (fd < 0)
		return rc;
	buf_init(&body, MAIL_BODY_MAX);
	if (mailbox_recv(fd, &m, &body, clock_mono_ms() + MAIL_WAIT_MS) == 1 &&
	    m.call == f->c->call_id && rc == 0) {
		heard = m.type == MAIL_HEARD;
		if (m.type == MAIL_RESPONSE)
			q = find_question(f, m.number);
	}
	if (rc == 0 && m.type == MAIL_ASKED && f->held &&
	    m.call == f->c->call_id) {
		mailbox_send(fd, MAIL_ASK, m.call, 0, bridge_questions(f));
		close(fd);
		buf_free(&body);
		return 0;
	}
	/* a listener that is tired of waiting has given it to another */
	if (mailbox_send(fd, q != NULL || heard ? MAIL_ACK : MAIL_GONE, m.call,
	    0, SPAN_LIT("")) < 0)
		heard = false;
	close(fd);
	if (heard)
		rc = relay_message(f, arena_dup(f->c->mcp->mem,
		    buf_span(&body)), e);
	if (q != NULL) {
		q->answered = true;
		q->answer = arena_dup(f->c->mcp->mem, buf_span(&body));
		if (q->upstream_id.n > 0) {
			pass_answer(f, q);
			*q = f->q[--f->n_questions];	/* its place is free */
			if (f->waits && f->n_questions == 0)
				f->up.deadline_ms = clock_mono_ms() +
				    f->target.timeout_ms;
		}
	}
	buf_free(&body);
	return rc;
}

/* ---- a modern server and a legacy client ------------------------------------- */

static bool
all_answered(const struct forward *f)
{
	uint32_t i;

	for (i = 0; i < f->n_questions; i++)
		if (!f->q[i].answered)
			return false;
	return true;
}

static int
wait_answers(struct forward *f, struct err *e)
{
	int64_t deadline = clock_mono_ms() + f->c->mcp->conf.input_timeout_ms;
	int64_t beat = clock_mono_ms() + 15000;

	while (!all_answered(f)) {
		int64_t now = clock_mono_ms();

		if (atomic_load(f->up.cancel_word) == f->up.cancel_value)
			return err_set(e, ERR_CANCELLED, "cancelled by the client");
		if (now >= deadline)
			return err_set(e, ERR_CANCELLED, "the client did not answer "
			    "in time");
		if (now >= beat) {	/* proxies between us close silent ones */
			http_reply_stream_write(f->c->http->reply,
			    SPAN_LIT(": waiting for your answer\n\n"));
			beat = now + 15000;
		}
		if (fdio_wait(f->up.extra_fd, POLLIN, now + 1000) > 0 &&
		    ask_on_mail(f, e) < 0)
			return -1;
	}
	return 0;
}

/* One entry of inputResponses; a client's error ends the call with it. */
static int
add_response(struct forward *f, const struct question *q, struct buf *b,
    struct err *e)
{
	static const char *const names[] = { "result", "error" };
	static const char *const enames[] = { "message" };
	struct json_value v[2], text;
	char message[200];
	long n = 0;

	if (json_object(q->answer, names, v, 2) != JSON_OK)
		return err_set(e, ERR_BADREQ, "the client's answer is malformed");
	if (v[0].type == JSON_OBJECT) {
		buf_printf(b, "%s\"%.*s\":", b->n > 1 ? "," : "",
		    SPAN_FMT(q->key));
		return buf_add_span(b, v[0].raw);
	}
	if (v[1].type == JSON_OBJECT &&
	    json_object(v[1].raw, enames, &text, 1) == JSON_OK)
		n = json_string_decode(text, message, sizeof(message));
	return err_set(e, ERR_CANCELLED, "the client refused a request of server "
	    "\"%s\": %.*s", f->target.name, n > 0 ? (int)n : 8,
	    n > 0 ? message : "no text");
}

static int
push_all(struct forward *f, struct json_value requests, struct err *e)
{
	static const char *const names[] = { "method", "params" };
	struct json_value one, v[2];
	struct span key, method;
	size_t pos = 0;

	f->n_questions = 0;
	while (json_next_member(requests.raw, &pos, &key, &one)) {
		if (one.type != JSON_OBJECT ||
		    json_object(one.raw, names, v, 2) != JSON_OK ||
		    !json_string_plain(v[0], &method))
			return err_set(e, ERR_UPSTREAM, "server \"%s\": its "
			    "inputRequests are malformed", f->target.name);
		if (!ask_client_can(f, method))
			return err_set(e, ERR_UPSTREAM, "server \"%s\" asks for "
			    "%.*s, which this client did not declare",
			    f->target.name, SPAN_FMT(method));
		if (ask_push(f, method, retro_is_on(f) && f->is_task ?
		    retro_question(f, v[1].raw) : v[1].raw,
		    span_make(NULL, 0), key, e) < 0)
			return -1;
	}
	return 0;
}

int
ask_input(struct forward *f, struct span result, struct err *e)
{
	static const char *const names[] = { "inputRequests", "requestState" };
	struct arena *mem = f->c->mcp->mem;
	struct json_value v[2];
	struct buf b;
	uint32_t i;
	int rc = 0;

	/* the response buffer is used again: keep what is needed */
	result = arena_dup(mem, result);
	if (json_object(result, names, v, 2) != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "server \"%s\": its "
		    "input_required result is malformed", f->target.name);
	f->request_state = v[1].type == JSON_STRING ? v[1].raw :
	    span_make(NULL, 0);
	f->input_responses = span_make(NULL, 0);
	if (v[0].type != JSON_OBJECT)
		return 0;
	if (push_all(f, v[0], e) < 0 || wait_answers(f, e) < 0)
		return -1;
	buf_init(&b, MAIL_BODY_MAX);
	buf_add_char(&b, '{');
	for (i = 0; i < f->n_questions && rc == 0; i++)
		rc = add_response(f, &f->q[i], &b, e);
	buf_add_char(&b, '}');
	f->input_responses = arena_dup(mem, buf_span(&b));
	f->n_questions = 0;
	buf_free(&b);
	return rc;
}

/* ---- the answer's way to the worker that asked -------------------------------- */

static bool
parse_id(struct span id, uint64_t out[3])
{
	size_t i, from = 4;
	int part = 0;

	if (id.n < 9 || !span_starts(id, "\"o2-") || id.p[id.n - 1] != '"')
		return false;
	for (i = from; i < id.n; i++) {
		if (id.p[i] != '-' && i != id.n - 1)
			continue;
		if (part == 3 || num_hex(span_make(id.p + from, i - from),
		    UINT64_MAX, &out[part]) < 0)
			return false;
		part++;
		from = i + 1;
	}
	return part == 3;
}

static bool
is_callers_own(struct mcp_call *c, uint64_t slot, uint64_t call)
{
	struct shm_request r;

	return slot < c->mcp->shm->sizes.slots &&
	    slot_request_get(c->mcp->shm, (uint32_t)slot, &r) &&
	    r.call == call && r.session == c->session.id &&
	    span_is(span_str(c->email), r.principal) &&
	    span_is(span_str(c->org), r.org);
}

int
ask_take_response(struct mcp_call *c, struct err *e)
{
	uint64_t id[3];
	struct mail m;
	struct buf body;
	bool taken = false;
	int fd;

	if (heard_is_answer(c->msg.id))
		return heard_take_answer(c, e);
	mcp_unpin(c);			/* what follows may wait */
	c->msg.method = SPAN_LIT("response");
	if (!c->has_session || !parse_id(c->msg.id, id) ||
	    !is_callers_own(c, id[0], id[1]))
		return err_set(e, ERR_BADREQ,
		    "no request with this id waits for an answer");
	fd = mailbox_connect(c->mcp->conf.run_dir, (uint32_t)id[0], e);
	if (fd < 0)
		return -1;
	buf_init(&body, 4096);
	taken = mailbox_send(fd, MAIL_RESPONSE, id[1], id[2],
	    c->http->body) == 0 && mailbox_recv(fd, &m, &body,
	    clock_mono_ms() + 2 * MAIL_WAIT_MS) == 1 && m.type == MAIL_ACK;
	buf_free(&body);
	close(fd);
	return taken ? 0 : err_set(e, ERR_BADREQ,
	    "no request with this id waits for an answer");
}
