/*
 * m_task -- tasks/get, result, cancel, update and list, and what creating a
 * task changes in tools/call. Between the eras: bridge.c.
 *
 * Tasks live at the server; what we add is whose they are: ids are sealed
 * (task.h), and each request takes the same permission as the call that made
 * the task. tasks/list shows what this principal made: a server keeps one list
 * for all of us. Which tasks those are stands in shared memory, so a list is
 * empty after a restart, while the ids go on being good.
 */
#include "mcp/forward_int.h"

#include "base/clock.h"
#include "base/hash.h"
#include "mcp/stream.h"
#include "shm/client.h"

#define TASKS_A_USER	256u		/* that are listed */
#define KEEP_DEFAULT_S	86400		/* no ttl */
#define KEEP_MAX_S	(7 * 86400)
#define CURSOR_LIFE_S	3600

/* ---- what a server can do ------------------------------------------------------ */

static bool
has_object(struct json_value v, const char *name, struct json_value *out)
{
	const char *names[1] = { name };

	return v.type == JSON_OBJECT &&
	    json_object(v.raw, names, out, 1) == JSON_OK &&
	    out->type == JSON_OBJECT;
}

static uint32_t
server_offers(const struct cat_head *cat, const struct cat_server *s)
{
	struct json_value caps = { JSON_OBJECT, cat_span(cat, s->capabilities) };
	struct json_value v, w;
	uint32_t r = 0;

	if (caps.raw.n == 0)
		return 0;
	if (s->era == ERA_MODERN)
		return has_object(caps, "extensions", &v) &&
		    has_object(v, TASKS_EXTENSION, &w) ? TASKS_EXT : 0;
	if (!has_object(caps, "tasks", &v))
		return 0;
	if (has_object(v, "list", &w))
		r |= TASKS_LIST;
	if (has_object(v, "cancel", &w))
		r |= TASKS_CANCEL;
	if (has_object(v, "requests", &w) && has_object(w, "tools", &w) &&
	    has_object(w, "call", &w))
		r |= TASKS_CALL;
	return r;
}

static bool
may_use(struct mcp_call *c, const struct cat_server *s)
{
	uint32_t server;

	if (!span_is(cat_span(c->catalog, s->org), c->org))
		return false;
	server = mcp_policy_server(c, s);
	return server != POL_NONE && pol_server(c->policy, server)->enabled &&
	    rbac_may_use_server(c->policy, c->who.user, server);
}

uint32_t
mcp_tasks_offered(struct mcp_call *c)
{
	int64_t only = c->http->server.p == NULL ? 0 :
	    pol_server(c->policy, c->server)->id;
	uint32_t i, r = 0;

	for (i = 0; c->catalog != NULL && i < c->catalog->n_servers; i++) {
		const struct cat_server *s = cat_server(c->catalog, i);

		if ((only == 0 || s->server_id == only) && may_use(c, s))
			r |= server_offers(c->catalog, s);
	}
	return r;
}

uint32_t
mcp_tasks_of_server(const struct mcp_call *c, int64_t server_id)
{
	uint32_t i = c->catalog == NULL ? CAT_NONE :
	    catalog_find_server(c->catalog, server_id);

	return i == CAT_NONE ? 0 :
	    server_offers(c->catalog, cat_server(c->catalog, i));
}

/* ---- whose tasks --------------------------------------------------------------- */

/*
 * A task stands in the table of subscriptions, where nobody who looks for
 * those of a server or a session finds it: its owner is the principal, its
 * server's number is negative. text: the tool, LF, the server's id.
 */
static uint64_t
owner_of(const struct mcp_call *c)
{
	return hash_mix((uint64_t)c->who.user_id ^ 0x7461736b73) | 1;
}

static void
count_one(void *arg, const struct shm_sub *s)
{
	++*(unsigned *)arg;
}

static void
note_task(struct mcp_call *c, const struct task_ref *r, int64_t ttl_ms)
{
	struct shm *shm = c->mcp->shm;
	int64_t now = clock_wall_us() / 1000000;
	struct shm_sub s;
	unsigned n = 0;

	if (r->id.n == 0 || r->tool.n + 1 + r->id.n >= SHM_SUB_TEXT ||
	    memchr(r->id.p, '\0', r->id.n) != NULL)
		return;
	shm_subs_each(shm, owner_of(c), 0, now, count_one, &n);
	if (n >= TASKS_A_USER)
		return;
	memset(&s, 0, sizeof(s));
	s.owner = owner_of(c);
	s.server_id = -r->server_id;
	s.hash = shm_sub_hash(r->id);
	s.expires = now + (ttl_ms <= 0 ? KEEP_DEFAULT_S :
	    ttl_ms / 1000 + 60 < KEEP_MAX_S ? ttl_ms / 1000 + 60 : KEEP_MAX_S);
	s.kind = SUB_TASK;
	s.own = (uint32_t)r->tool.n + 1;
	memcpy(s.text, r->tool.p, r->tool.n);
	s.text[r->tool.n] = '\n';
	memcpy(s.text + s.own, r->id.p, r->id.n);
	/* a full table costs the listing only */
	shm_subs_add(shm, &s, now);
}

struct collecting {
	struct mcp_call	*c;
	struct task_list *list;
};

static void
collect(void *arg, const struct shm_sub *s)
{
	struct collecting *k = arg;
	struct mcp_call *c = k->c;
	struct task_ref *r = &k->list->task[k->list->n];

	if (s->kind != SUB_TASK || s->own == 0 || k->list->n == TASKS_A_USER)
		return;
	r->server_id = -s->server_id;
	r->tool = arena_dup(c->mcp->mem, span_make(s->text, s->own - 1));
	r->id = arena_dup(c->mcp->mem, span_str(s->text + s->own));
	k->list->n++;
}

/* The caller's tasks at a server (0: at all). */
static struct task_list *
list_of(struct mcp_call *c, int64_t server_id)
{
	struct collecting k = { c, arena_alloc(c->mcp->mem,
	    sizeof(struct task_list)) };

	k.list->n = 0;
	k.list->task = arena_alloc(c->mcp->mem,
	    TASKS_A_USER * sizeof(struct task_ref));
	shm_subs_each(c->mcp->shm, owner_of(c), -server_id,
	    c->wall_us / 1000000, collect, &k);
	return k.list;
}

static const struct task_ref *
find_task(const struct task_list *list, struct span id)
{
	uint32_t i;

	for (i = 0; i < list->n; i++)
		if (span_eq(list->task[i].id, id))
			return &list->task[i];
	return NULL;
}

/* ---- what comes from the server ------------------------------------------------- */

static struct task_scope
scope_of(const struct forward *f, bool inward)
{
	return (struct task_scope){ .mem = f->c->mcp->mem,
	    .user_id = f->c->who.user_id, .server_id = f->target.server_id,
	    .tool = f->task.tool, .inward = inward };
}

static struct span
rewritten(struct forward *f, struct span object, unsigned places, bool inward)
{
	struct task_scope s = scope_of(f, inward);
	struct span r;
	struct buf b;

	buf_init(&b, object.n + (64u << 10));
	task_rewrite(&s, object, places, &b);
	r = b.overflow ? object : arena_dup(f->c->mcp->mem, buf_span(&b));
	buf_free(&b);
	return r;
}

void
task_note_created(struct forward *f, struct span result)
{
	static const char *const names[] = { "task" };
	static const char *const tnames[] = { "taskId", "ttl" };
	struct task_ref r = { f->target.server_id, f->task.tool,
	    { NULL, 0 } };
	struct json_value task, v[2];
	int64_t ttl = 0;
	char *text;
	long n;

	if (json_object(result, names, &task, 1) != JSON_OK ||
	    task.type != JSON_OBJECT ||
	    json_object(task.raw, tnames, v, 2) != JSON_OK)
		return;
	json_int(v[1], &ttl);
	text = arena_alloc(f->c->mcp->mem, v[0].raw.n + 1);
	n = json_string_decode(v[0], text, v[0].raw.n + 1);
	r.id = span_make(text, n < 0 ? 0 : (size_t)n);
	note_task(f->c, &r, ttl);
}

static void
put_listed(struct forward *f, struct json_value task, struct buf *out,
    bool *first)
{
	static const char *const names[] = { "taskId" };
	struct task_scope s = scope_of(f, false);
	const struct task_ref *r;
	struct json_value v;
	char *text;
	long n;

	if (task.type != JSON_OBJECT ||
	    json_object(task.raw, names, &v, 1) != JSON_OK)
		return;
	text = arena_alloc(f->c->mcp->mem, v.raw.n + 1);
	n = json_string_decode(v, text, v.raw.n + 1);
	r = n < 0 ? NULL : find_task(f->tasks, span_make(text, (size_t)n));
	if (r == NULL)
		return;			/* somebody else's */
	s.tool = r->tool;
	if (!*first)
		buf_add_char(out, ',');
	*first = false;
	task_rewrite(&s, task.raw, TASK_AT_TOP | TASK_AT_META, out);
}

static struct span
seal_cursor(struct mcp_call *c, int64_t server_id, struct span cursor)
{
	struct state st = { .kind = STATE_TASKS, .call = (uint64_t)server_id,
	    .inner = cursor };
	struct state_scope scope = { .user_id = c->who.user_id,
	    .method = SPAN_LIT("tasks/list"), .name = mcp_endpoint(c) };

	return state_seal(c->mcp->mem, &st, &scope,
	    clock_wall_us() / 1000000 + CURSOR_LIFE_S);
}

/* The page of one server: its tasks that are the caller's. */
static struct span
listed(struct forward *f, struct span result)
{
	static const char *const names[] = { "tasks", "nextCursor" };
	struct mcp_call *c = f->c;
	struct json_value v[2], one;
	struct span r, next = { NULL, 0 };
	bool first = true;
	size_t pos = 0;
	struct buf b;

	memset(v, 0, sizeof(v));
	if (result.n > 0 && json_object(result, names, v, 2) != JSON_OK)
		memset(v, 0, sizeof(v));
	buf_init(&b, result.n + (1u << 20));
	buf_add_str(&b, "{\"tasks\":[");
	if (v[0].type == JSON_ARRAY)
		while (json_next_element(v[0].raw, &pos, &one))
			put_listed(f, one, &b, &first);
	buf_add_char(&b, ']');
	if (v[1].type == JSON_STRING)
		next = seal_cursor(c, f->target.server_id, v[1].raw);
	else if (f->next_server != 0)
		next = seal_cursor(c, f->next_server, span_make(NULL, 0));
	if (next.n > 0)
		buf_printf(&b, ",\"nextCursor\":\"%.*s\"", SPAN_FMT(next));
	buf_add_char(&b, '}');
	r = arena_dup(c->mcp->mem, buf_span(&b));
	buf_free(&b);
	return r;
}

struct span
task_take_result(struct forward *f, struct span result)
{
	struct span method = f->c->msg.method;

	if (span_is(method, "tasks/list"))
		return listed(f, result);
	if (span_is(method, "tasks/result"))
		return rewritten(f, result, TASK_AT_META, false);
	if (!span_is(method, "tools/call") || f->c->modern)
		return rewritten(f, result, TASK_AT_TOP | TASK_AT_META, false);
	task_note_created(f, result);
	return rewritten(f, result, TASK_AT_TASK | TASK_AT_META, false);
}

struct span
task_related(struct forward *f, struct span result)
{
	return rewritten(f, result, TASK_AT_META, false);
}

/* Of a shared session: is this status one of the caller's tasks? */
static bool
status_is_ours(struct forward *f, struct json_value params)
{
	static const char *const names[] = { "taskId" };
	const struct task_ref *r;
	struct json_value v;
	char *text;
	long n;

	if (params.type != JSON_OBJECT ||
	    json_object(params.raw, names, &v, 1) != JSON_OK)
		return false;
	text = arena_alloc(f->c->mcp->mem, v.raw.n + 1);
	n = json_string_decode(v, text, v.raw.n + 1);
	if (n < 0)
		return false;
	if (f->is_task && span_eq(f->task.id, span_make(text, (size_t)n)))
		return true;
	r = find_task(list_of(f->c, f->target.server_id),
	    span_make(text, (size_t)n));
	if (r == NULL)
		return false;
	f->task.tool = r->tool;
	return true;
}

bool
task_take_message(struct forward *f, struct span *message)
{
	static const char *const names[] = { "method", "params" };
	struct json_value v[2];
	struct span tool = f->task.tool;
	bool is_status;

	if (json_object(*message, names, v, 2) != JSON_OK)
		return true;
	is_status = span_is(v[0].raw, "\"notifications/tasks/status\"");
	if (is_status && !status_is_ours(f, v[1]))
		return false;
	if (is_status)
		*message = rewritten(f, *message, TASK_AT_PARAMS, false);
	else if (memmem(message->p, message->n, "related-task", 12) != NULL)
		*message = rewritten(f, *message, TASK_AT_PARAMS_META, false);
	f->task.tool = tool;
	return true;
}

struct span
task_answer(struct forward *f, struct span result)
{
	return memmem(result.p, result.n, "related-task", 12) == NULL ? result :
	    rewritten(f, result, TASK_AT_META, true);
}

/* ---- requests -------------------------------------------------------------------- */

/* One text for all reasons: no oracle for guessing. */
static int
no_such_task(struct err *e)
{
	return err_set(e, ERR_PARAMS, "Task not found");
}

static bool
knows_method(const struct mcp_call *c, uint32_t offers)
{
	if (c->modern)		/* the second is bridged */
		return (offers & (TASKS_EXT | TASKS_CALL)) != 0;
	if (c->revision != MCP_LATEST_LEGACY)
		return false;
	if (span_is(c->msg.method, "tasks/cancel"))
		return (offers & (TASKS_CANCEL | TASKS_EXT)) != 0;
	return (offers & (TASKS_CALL | TASKS_LIST | TASKS_CANCEL |
	    TASKS_EXT)) != 0;
}

static int
unknown_method(const struct mcp_call *c, struct err *e)
{
	return err_set(e, c->modern ? ERR_METHOD_MODERN : ERR_METHOD,
	    "Method not found: %.*s", SPAN_FMT(c->msg.method));
}

/* The task with this id, at a server that the caller may use. */
static int
find_exposed(struct mcp_call *c, struct task_ref *r, struct span exposed,
    struct err *e)
{
	uint32_t i, item;

	if (!task_open(c->mcp->mem, c->who.user_id, exposed, r) ||
	    (c->http->server.p != NULL &&
	    pol_server(c->policy, c->server)->id != r->server_id))
		return no_such_task(e);
	i = c->catalog == NULL ? CAT_NONE :
	    catalog_find_server(c->catalog, r->server_id);
	if (i == CAT_NONE || !may_use(c, cat_server(c->catalog, i)) ||
	    !forward_note_server(c, i))
		return no_such_task(e);
	span_copy(c->object, sizeof(c->object), r->tool);
	c->arguments = span_make(NULL, 0);
	item = catalog_find_own(c->catalog, i, ITEM_TOOL, r->tool);
	if (!mcp_may(c, c->server, ITEM_TOOL, r->tool, item, true))
		return forward_denied(c, r->tool, e);
	return 0;
}

/* The task that the request names. */
static int
find(struct mcp_call *c, struct task_ref *r, struct err *e)
{
	struct span exposed;
	int rc = mcp_param_string(c, PARAM_TASK_ID, &exposed, e);

	if (rc <= 0)
		return rc < 0 ? -1 :
		    err_set(e, ERR_PARAMS, "params.taskId is missing");
	return find_exposed(c, r, exposed, e);
}

int
mcp_needs_tasks(const struct mcp_call *c, struct err *e)
{
	struct json_value v;

	return has_object(c->msg.m_capabilities, "extensions", &v) &&
	    has_object(v, TASKS_EXTENSION, &v) ? 0 : err_set(e, ERR_CAPABILITY,
	    "Missing required client capability: extensions.\""
	    TASKS_EXTENSION "\"");
}

/* ---- subscriptions/listen ---------------------------------------------------------- */

bool
mcp_task_watch_find(struct mcp_call *c, struct span exposed,
    struct mcp_watched_task *w)
{
	struct task_ref r;
	struct err why;

	if (find_exposed(c, &r, exposed, &why) < 0 ||
	    (mcp_tasks_of_server(c, r.server_id) & TASKS_EXT) == 0 ||
	    r.id.n == 0 || exposed.n + 1 + r.id.n >= SHM_SUB_TEXT ||
	    memchr(r.id.p, '\0', r.id.n) != NULL)
		return false;
	w->exposed = exposed;
	w->id = r.id;
	w->server_id = r.server_id;
	return true;
}

bool
mcp_task_still_watched(struct mcp_call *c, struct span exposed)
{
	struct task_ref r;
	struct err why;

	return find_exposed(c, &r, exposed, &why) == 0;
}

/* ---- tasks/get, result, cancel, update ---------------------------------------------- */

static void
record_id(struct mcp_call *c, struct span id)
{
	c->arguments = span_str(arena_printf(c->mcp->mem, "{\"taskId\":%.*s}",
	    SPAN_FMT(forward_quoted(c, id))));
}

int
mcp_m_task(struct mcp_call *c, struct buf *out, struct err *e)
{
	struct forward f;
	uint32_t offers;

	if (!knows_method(c, mcp_tasks_offered(c)))
		return unknown_method(c, e);
	if (c->modern && mcp_needs_tasks(c, e) < 0)
		return -1;
	memset(&f, 0, sizeof(f));
	if (find(c, &f.task, e) < 0)
		return -1;
	offers = mcp_tasks_of_server(c, f.task.server_id);
	if (!knows_method(c, offers))
		return no_such_task(e);
	f.bridges = c->modern && (offers & TASKS_EXT) == 0;
	if (f.bridges)
		f.method = bridge_method(c, offers);
	record_id(c, f.task.id);
	if (!c->modern && retro_is_kept(f.task.id))
		return retro_kept(c, &f.task, out, e);
	f.retro = !c->modern && (offers & TASKS_EXT) != 0;
	if (f.retro)
		f.method = SPAN_LIT("tasks/get");	/* first (retro.c) */
	f.c = c;
	f.is_task = true;
	f.is_long = !f.retro && span_is(c->msg.method, "tasks/result");
	f.member = "taskId";
	f.own = forward_quoted(c, f.task.id);
	f.up.name = f.task.id;
	return forward_run(&f, out, e);
}

/* ---- tasks/list -------------------------------------------------------------------- */

/* Servers with tasks of the caller, in the catalog's order, from this one
 * (0: the first) on. */
static uint32_t
next_with_tasks(struct mcp_call *c, const struct task_list *all, uint32_t from)
{
	int64_t only = c->http->server.p == NULL ? 0 :
	    pol_server(c->policy, c->server)->id;
	uint32_t i, k;

	for (i = from; i < c->catalog->n_servers; i++) {
		const struct cat_server *s = cat_server(c->catalog, i);

		if ((only != 0 && s->server_id != only) || !may_use(c, s) ||
		    (server_offers(c->catalog, s) & (TASKS_LIST |
		    TASKS_EXT)) == 0)
			continue;
		for (k = 0; k < all->n; k++)
			if (all->task[k].server_id == s->server_id)
				return i;
	}
	return CAT_NONE;
}

static int
read_cursor(struct mcp_call *c, uint32_t *server, struct span *own,
    struct err *e)
{
	struct state_scope scope = { .user_id = c->who.user_id,
	    .method = SPAN_LIT("tasks/list"), .name = mcp_endpoint(c) };
	struct span text;
	struct state st;
	int rc = mcp_param_string(c, PARAM_CURSOR, &text, e);

	*server = 0;
	*own = span_make(NULL, 0);
	if (rc <= 0)
		return rc;
	if (state_open(c->mcp->mem, text, &scope, c->wall_us / 1000000, &st,
	    e) < 0 || st.kind != STATE_TASKS)
		return err_set(e, ERR_PARAMS, "params.cursor is not a cursor of "
		    "this list, or is too old");
	*server = catalog_find_server(c->catalog, (int64_t)st.call);
	*own = st.inner;
	return *server == CAT_NONE ? err_set(e, ERR_PARAMS, "params.cursor is "
	    "out of date: list again without a cursor") : 0;
}

/* Only tasks of tools that the caller may still call. */
static void
keep_permitted(struct mcp_call *c, uint32_t cat_index, struct task_list *list)
{
	uint32_t i, n = 0;

	for (i = 0; i < list->n; i++)
		if (mcp_may(c, c->server, ITEM_TOOL, list->task[i].tool,
		    catalog_find_own(c->catalog, cat_index, ITEM_TOOL,
		    list->task[i].tool), false))
			list->task[n++] = list->task[i];
	list->n = n;
}

int
mcp_m_list_tasks(struct mcp_call *c, struct buf *out, struct err *e)
{
	bool is_aggregate = c->http->server.p == NULL;
	struct task_list *all;
	struct forward f;
	uint32_t from, next;

	if ((mcp_tasks_offered(c) & (TASKS_LIST | TASKS_EXT)) == 0 ||
	    !knows_method(c, TASKS_LIST))
		return unknown_method(c, e);
	memset(&f, 0, sizeof(f));
	if (read_cursor(c, &from, &f.own, e) < 0)
		return -1;
	all = list_of(c, 0);
	next = next_with_tasks(c, all, from);
	if (next != from)
		f.own = span_make(NULL, 0);	/* the cursor of another */
	if (next == CAT_NONE || !forward_note_server(c, next))
		return buf_add_str(out, "{\"tasks\":[]}");
	f.c = c;
	f.is_task = true;
	f.member = "cursor";
	f.tasks = list_of(c, cat_server(c->catalog, next)->server_id);
	keep_permitted(c, next, f.tasks);
	from = next_with_tasks(c, all, next + 1);
	f.next_server = from == CAT_NONE ? 0 :
	    cat_server(c->catalog, from)->server_id;
	f.target.server_id = cat_server(c->catalog, next)->server_id;
	f.retro = (server_offers(c->catalog, cat_server(c->catalog, next)) &
	    TASKS_EXT) != 0;
	if (f.retro && retro_list(&f) == 0)
		return buf_add_span(out, listed(&f, f.driven.raw));
	if (forward_run(&f, out, e) == 0)
		return 0;
	/* one bad server does not hide the others' tasks */
	if (!is_aggregate || (e->code != ERR_UPSTREAM &&
	    e->code != ERR_TIMEOUT && e->code != ERR_BREAKER))
		return -1;
	return buf_add_span(out, listed(&f, span_make(NULL, 0)));
}
