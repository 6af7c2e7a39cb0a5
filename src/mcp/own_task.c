/*
 * own_task -- see own_task.h.
 *
 * A task stands in the table of subscriptions, as those of servers do
 * (m_task.c), where nobody else looks: the owner is the principal, the server's
 * number is negative. text: the session, LF, the client's id.
 */
#include "mcp/own_task.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "mcp/heard.h"
#include "mcp/mcp_int.h"
#include "shm/client.h"

#define TASKS_A_USER	64u
#define KEEP_S		86400		/* no ttl; the longest */

static uint64_t
owner_of(const struct mcp_call *c)
{
	return hash_mix((uint64_t)c->who.user_id ^ 0x6f776e7461736b) | 1;
}

/* What stands in the table; 0: it has no room there. */
static size_t
text_of(const struct mcp_call *c, struct json_value id, char *out, size_t size)
{
	int n = snprintf(out, size, "%016llx\n",
	    (unsigned long long)c->session.id);
	long k = id.type != JSON_STRING ? -1 :
	    json_string_decode(id, out + n, size - (size_t)n);

	if (k <= 0 || (size_t)(n + k) >= size ||
	    memchr(out + n, '\0', (size_t)k) != NULL)
		return 0;
	out[n + k] = '\0';
	return (size_t)(n + k);
}

static void
count_one(void *arg, const struct shm_sub *s)
{
	++*(unsigned *)arg;
}

void
own_task_note(struct mcp_call *c, int64_t server_id, struct json_value result)
{
	static const char *const names[] = { "task" };
	static const char *const tnames[] = { "taskId", "ttl" };
	struct shm *shm = c->mcp->shm;
	int64_t now = clock_wall_us() / 1000000, ttl_ms = 0;
	struct json_value v, t[2];
	struct shm_sub s;
	unsigned n = 0;
	size_t size;

	memset(&s, 0, sizeof(s));
	if (result.type != JSON_OBJECT ||
	    json_object(result.raw, names, &v, 1) != JSON_OK ||
	    v.type != JSON_OBJECT ||
	    json_object(v.raw, tnames, t, 2) != JSON_OK ||
	    (size = text_of(c, t[0], s.text, sizeof(s.text))) == 0)
		return;
	json_int(t[1], &ttl_ms);
	shm_subs_each(shm, owner_of(c), 0, now, count_one, &n);
	if (n >= TASKS_A_USER)
		return;			/* the server has to ask */
	s.owner = owner_of(c);
	s.server_id = -server_id;
	s.hash = shm_sub_hash(span_make(s.text, size));
	s.expires = now + (ttl_ms > 0 && ttl_ms / 1000 + 60 < KEEP_S ?
	    ttl_ms / 1000 + 60 : KEEP_S);
	s.kind = SUB_TASK;
	shm_subs_add(shm, &s, now);
}

struct search {
	const char	*text;
	int64_t		 server_id;	/* 0: not found */
	uint64_t	 hash;
};

static void
compare(void *arg, const struct shm_sub *s)
{
	struct search *k = arg;

	if (strcmp(s->text, k->text) != 0)
		return;
	k->server_id = -s->server_id;
	k->hash = s->hash;
}

/* Nothing more will come of it. */
static bool
has_ended(struct json_value status)
{
	return span_is(status.raw, "\"completed\"") ||
	    span_is(status.raw, "\"failed\"") ||
	    span_is(status.raw, "\"cancelled\"");
}

/* The server may ask instead, so nothing of this fails. */
int
mcp_n_task_status(struct mcp_call *c, struct buf *out, struct err *e)
{
	static const char *const names[] = { "taskId", "status" };
	struct shm *shm = c->mcp->shm;
	char text[SHM_SUB_TEXT];
	struct search k = { .text = text };
	struct json_value v[2];
	struct err why;

	if (!c->has_session || (c->session.caps & SESSION_CAPS_TASKS) == 0 ||
	    c->msg.params.type != JSON_OBJECT ||
	    json_object(c->msg.params.raw, names, v, 2) != JSON_OK ||
	    text_of(c, v[0], text, sizeof(text)) == 0)
		return 0;
	shm_subs_each(shm, owner_of(c), 0, c->wall_us / 1000000, compare, &k);
	if (k.server_id == 0)
		return 0;		/* of no server that is known */
	if (has_ended(v[1]))
		shm_subs_remove(shm, owner_of(c), -k.server_id, k.hash);
	if (heard_pass_up(c, k.server_id,
	    span_str(arena_printf(c->mcp->mem, "{\"jsonrpc\":\"2.0\","
	    "\"method\":\"notifications/tasks/status\",\"params\":%.*s}",
	    SPAN_FMT(c->msg.params.raw))), &why) < 0)
		log_debug("notifications/tasks/status: %s", why.text);
	return 0;
}
