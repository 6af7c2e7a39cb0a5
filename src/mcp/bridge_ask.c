/*
 * bridge_ask -- what a server of 2025-11-25 asks in the middle of a modern
 * client's task.
 *
 * Worker. Such a server asks on tasks/result only, of who waits there. So the
 * first tasks/get that finds the task in need of input becomes the one that
 * waits: it sends tasks/result, answers its client with the question, gives
 * the connection back and stays, as held.c does. Further tasks/get and
 * tasks/update find it by the slot it serves and ask or tell it by mail. The
 * name of a question holds the number of that call, so it is never used twice
 * within a task. When nothing was asked for a while it ends; the next
 * tasks/get takes its place.
 */
#include "mcp/forward_int.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/num.h"
#include "mcp/mailbox.h"
#include "shm/slot.h"

#define FIRST_MS	3000	/* a question is waited for that long */
#define MAIL_MS		2000	/* between two workers of one machine */
#define METHOD		"tasks/result"	/* of who waits, in its slot */

/* ---- who waits ------------------------------------------------------------ */

static uint64_t
hash_of_task(const struct forward *f)
{
	return hash_bytes(12, f->task.id.p, f->task.id.n);
}

static bool
waits(const struct forward *f, const struct shm_request *r)
{
	return r->call != 0 && r->call != f->c->call_id &&
	    r->session == f->target.client_session &&
	    r->rpc_id == hash_of_task(f) && strcmp(r->method, METHOD) == 0 &&
	    strcmp(r->server, f->c->server_name) == 0;
}

static bool
find_waiting(const struct forward *f, uint32_t *slot, uint64_t *call)
{
	const struct shm *shm = f->c->mcp->shm;
	struct shm_request r;
	uint32_t i;

	for (i = 0; i < shm->sizes.slots; i++) {
		if (!slot_request_get(shm, i, &r) || !waits(f, &r))
			continue;
		*slot = i;
		*call = r.call;
		return true;
	}
	return false;
}

/* From now on it is us. */
static void
be_found(const struct forward *f)
{
	struct shm *shm = f->c->mcp->shm;
	struct shm_request r;

	if (!slot_request_get(shm, shm->slot, &r))
		return;
	r.rpc_id = hash_of_task(f);
	span_copy(r.method, sizeof(r.method), SPAN_LIT(METHOD));
	slot_request_set(shm, &r);
}

/* One mail and what comes back; false: nobody took it. */
static bool
talk(const struct forward *f, uint32_t slot, struct mail *m, struct span text,
    struct buf *back)
{
	int64_t deadline = clock_mono_ms() + MAIL_MS;
	struct err ignored;
	int fd = mailbox_connect(f->c->mcp->conf.run_dir, slot, &ignored);
	bool taken;

	if (fd < 0)
		return false;
	taken = mailbox_send(fd, (enum mail_type)m->type, m->call, m->number,
	    text) == 0 && mailbox_recv(fd, m, back, deadline) == 1 &&
	    m->type != MAIL_GONE;
	close(fd);
	return taken;
}

/* ---- questions ------------------------------------------------------------ */

int
bridge_take_question(struct forward *f, struct span method, struct span params,
    struct span id, struct err *e)
{
	struct arena *mem = f->c->mcp->mem;
	struct question *q;

	if (f->n_questions == QUESTIONS_MAX)
		return ask_refuse(f, id, e);
	if (params.n > 0)
		params = task_related(f, params);
	q = &f->q[f->n_questions++];
	memset(q, 0, sizeof(*q));
	q->number = ++f->next_number;
	q->upstream_id = id;
	q->key = span_str(arena_printf(mem, "{\"method\":\"%.*s\",\"params\":"
	    "%.*s}", SPAN_FMT(method), params.n > 0 ? (int)params.n : 2,
	    params.n > 0 ? params.p : "{}"));
	if (!f->waits)
		return 0;		/* somebody else does, or we soon do */
	f->up.deadline_ms = clock_mono_ms() + f->c->mcp->conf.input_timeout_ms;
	return f->held ? 0 : bridge_release(f, e);
}

/* inputRequests */
struct span
bridge_questions(const struct forward *f)
{
	struct buf b;
	struct span r;
	uint32_t i;

	buf_init(&b, MAIL_BODY_MAX);
	buf_add_char(&b, '{');
	for (i = 0; i < f->n_questions; i++) {
		buf_printf(&b, "%s\"%llx-%x\":", i > 0 ? "," : "",
		    (unsigned long long)f->c->call_id, f->q[i].number);
		buf_add_span(&b, f->q[i].key);
	}
	buf_add_char(&b, '}');
	r = b.overflow ? SPAN_LIT("{}") : arena_dup(f->c->mcp->mem,
	    buf_span(&b));
	buf_free(&b);
	return r;
}

static bool
is_empty(struct span object)
{
	size_t i = 1;

	while (i < object.n && strchr(" \t\r\n", object.p[i]) != NULL)
		i++;
	return i < object.n && object.p[i] == '}';
}

/* The client's answer, as the server wants it: it names the task. */
struct span
bridge_answer(struct forward *f, struct span result)
{
	static const char *const names[] = { "_meta" };
	struct json_value meta;

	if (json_object(result, names, &meta, 1) != JSON_OK ||
	    meta.type != JSON_NONE)
		return task_answer(f, result);
	return span_str(arena_printf(f->c->mcp->mem, "{\"_meta\":{"
	    "\"io.modelcontextprotocol/related-task\":{\"taskId\":%.*s}}%s%.*s",
	    SPAN_FMT(f->own), is_empty(result) ? "" : ",",
	    SPAN_FMT(span_skip(result, 1))));
}

/* Questions that came with another request, to who waits for them. */
static void
pass_on(struct forward *f, uint32_t slot, uint64_t call)
{
	struct mail m;
	struct buf back;
	struct question *q;

	buf_init(&back, 4096);
	while (f->n_questions > 0) {
		q = &f->q[--f->n_questions];
		m = (struct mail){ .type = MAIL_HEARD, .call = call };
		/* the key is an object that lacks what a request has more */
		talk(f, slot, &m, span_str(arena_printf(f->c->mcp->mem,
		    "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%.*s",
		    SPAN_FMT(q->upstream_id),
		    SPAN_FMT(span_skip(q->key, 1)))), &back);
	}
	buf_free(&back);
}

/* ---- tasks/get ------------------------------------------------------------ */

/* What somebody else waits for, in f->asked. */
static bool
ask_waiting(struct forward *f)
{
	struct mail m = { .type = MAIL_ASKED };
	struct buf back;
	uint32_t slot;
	bool taken;

	if (!find_waiting(f, &slot, &m.call))
		return false;
	if (f->n_questions > 0)
		pass_on(f, slot, m.call);
	buf_init(&back, MAIL_BODY_MAX);
	taken = talk(f, slot, &m, SPAN_LIT(""), &back) && m.type == MAIL_ASK;
	if (taken)
		f->asked = arena_dup(f->c->mcp->mem, buf_span(&back));
	buf_free(&back);
	return taken;
}

/* tasks/result: until the task has ended, nothing is asked any more, or no
 * question has come at all. */
static int
wait_for_questions(struct forward *f, struct err *e)
{
	struct mcp *m = f->c->mcp;

	f->up.method = SPAN_LIT(METHOD);
	f->up.id = slot_next_call(m->shm);
	f->up.on_result = NULL;
	f->up.extra_fd = mailbox_open(&m->mailbox, m->conf.run_dir,
	    m->shm->slot, e);
	if (f->up.extra_fd < 0)
		return -1;
	f->up.on_extra = ask_on_mail;
	f->up.deadline_ms = clock_mono_ms() + (f->n_questions > 0 ?
	    m->conf.input_timeout_ms : FIRST_MS);
	f->waits = true;
	be_found(f);
	if (f->n_questions > 0 && bridge_release(f, e) < 0)
		return -1;
	buf_reset(&m->response, 1 << 20);
	return upstream_request(m->pool, &f->target, &f->up, forward_compose,
	    f, &m->params, e);
}

bool
bridge_wants_input(struct forward *f)
{
	struct span task;

	if (!f->bridges || f->caps == 0 || f->bridged.n > 0 ||
	    !span_is(f->c->msg.method, "tasks/get") ||
	    !bridge_status_is(f, "input_required", &task))
		return false;
	f->bridged = arena_dup(f->c->mcp->mem, task);
	return true;
}

int
bridge_ask(struct forward *f, struct err *e)
{
	int rc = 0;

	if (ask_waiting(f))
		return 0;
	rc = wait_for_questions(f, e);
	while (f->n_questions > 0)	/* the server need not wait any more */
		ask_refuse(f, f->q[--f->n_questions].upstream_id, e);
	if (f->held)
		return 0;
	if (rc < 0 && e->code == ERR_TIMEOUT) {
		f->asked = SPAN_LIT("{}");	/* others may have the answer */
		return 0;
	}
	return rc;
}

/* ---- tasks/update --------------------------------------------------------- */

/* "call-number" */
static bool
read_key(struct span key, uint64_t out[2])
{
	size_t i;

	for (i = 0; i < key.n && key.p[i] != '-';)
		i++;
	return i < key.n && num_hex(span_make(key.p, i), UINT64_MAX,
	    &out[0]) == 0 && num_hex(span_skip(key, i + 1), UINT32_MAX,
	    &out[1]) == 0;
}

void
bridge_update(struct forward *f)
{
	struct json_value v;
	struct span key;
	struct buf back;
	struct mail m;
	uint64_t id[2], call;
	uint32_t slot;
	size_t pos = 0;

	if (f->caps == 0 || f->input_responses.n == 0 ||
	    !span_is(f->c->msg.method, "tasks/update") ||
	    !find_waiting(f, &slot, &call))
		return;
	buf_init(&back, 4096);
	while (json_next_member(f->input_responses, &pos, &key, &v)) {
		/* what is not ours, or was answered, is of no interest */
		if (v.type != JSON_OBJECT || !read_key(key, id) ||
		    id[0] != call)
			continue;
		m = (struct mail){ .type = MAIL_RESPONSE, .call = call,
		    .number = id[1] };
		talk(f, slot, &m, span_str(arena_printf(f->c->mcp->mem,
		    "{\"result\":%.*s}", SPAN_FMT(v.raw))), &back);
	}
	buf_free(&back);
}

/* The request has been answered: what was asked on it meanwhile. */
void
bridge_hand_on(struct forward *f)
{
	struct err ignored;
	uint64_t call;
	uint32_t slot;

	if (!f->bridges || f->n_questions == 0 || f->held)
		return;
	if (find_waiting(f, &slot, &call))
		pass_on(f, slot, call);
	while (f->n_questions > 0)
		ask_refuse(f, f->q[--f->n_questions].upstream_id, &ignored);
}
