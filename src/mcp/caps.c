/*
 * caps -- what a client declared that it can be asked: the object of its
 * initialize or its request, and the bits that session ids carry.
 *
 * Pure. Of a capability that we do not know a server is told nothing.
 */
#include "mcp/mcp_int.h"

static bool
has(struct json_value object, const char *name)
{
	return json_member(object, name).type == JSON_OBJECT;
}

/* Tasks that the client keeps for what it is asked. Without any there is
 * nothing to be listed or cancelled. */
static uint32_t
tasks_of(struct json_value tasks, uint32_t caps)
{
	struct json_value requests = json_member(tasks, "requests");
	uint32_t r = 0;

	if ((caps & SESSION_CAP_SAMPLING) != 0 &&
	    has(json_member(requests, "sampling"), "createMessage"))
		r |= SESSION_CAP_SAMPLING_TASKS;
	if ((caps & SESSION_CAP_ELICITATION) != 0 &&
	    has(json_member(requests, "elicitation"), "create"))
		r |= SESSION_CAP_ELICITATION_TASKS;
	if (r == 0)
		return 0;
	if (has(tasks, "list"))
		r |= SESSION_CAP_TASKS_LIST;
	if (has(tasks, "cancel"))
		r |= SESSION_CAP_TASKS_CANCEL;
	return r;
}

uint32_t
mcp_caps_of_json(struct json_value caps, bool knows_tasks)
{
	struct json_value elicitation = json_member(caps, "elicitation");
	uint32_t r = 0;

	if (has(caps, "sampling"))
		r |= SESSION_CAP_SAMPLING;
	if (elicitation.type == JSON_OBJECT)
		r |= SESSION_CAP_ELICITATION;
	if (has(elicitation, "url"))
		r |= SESSION_CAP_ELICITATION_URL;
	if (has(caps, "roots"))
		r |= SESSION_CAP_ROOTS;
	return knows_tasks ? r | tasks_of(json_member(caps, "tasks"), r) : r;
}

static void
put_empty(struct json_out *j, const char *name)
{
	json_object_begin(j, name);
	json_object_end(j);
}

static void
put_tasks(struct json_out *j, uint32_t caps)
{
	json_object_begin(j, "tasks");
	if ((caps & SESSION_CAP_TASKS_LIST) != 0)
		put_empty(j, "list");
	if ((caps & SESSION_CAP_TASKS_CANCEL) != 0)
		put_empty(j, "cancel");
	json_object_begin(j, "requests");
	if ((caps & SESSION_CAP_SAMPLING_TASKS) != 0) {
		json_object_begin(j, "sampling");
		put_empty(j, "createMessage");
		json_object_end(j);
	}
	if ((caps & SESSION_CAP_ELICITATION_TASKS) != 0) {
		json_object_begin(j, "elicitation");
		put_empty(j, "create");
		json_object_end(j);
	}
	json_object_end(j);
	json_object_end(j);
}

struct span
mcp_caps_to_json(struct arena *mem, uint32_t caps)
{
	struct json_out j;
	struct span r;
	struct buf b;

	buf_init(&b, 1024);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	if ((caps & SESSION_CAP_SAMPLING) != 0)
		put_empty(&j, "sampling");
	if ((caps & SESSION_CAP_ELICITATION) != 0) {
		json_object_begin(&j, "elicitation");
		put_empty(&j, "form");
		if ((caps & SESSION_CAP_ELICITATION_URL) != 0)
			put_empty(&j, "url");
		json_object_end(&j);
	}
	if ((caps & SESSION_CAP_ROOTS) != 0)
		put_empty(&j, "roots");
	if ((caps & (SESSION_CAP_SAMPLING_TASKS |
	    SESSION_CAP_ELICITATION_TASKS)) != 0)
		put_tasks(&j, caps);
	json_object_end(&j);
	r = arena_dup(mem, buf_span(&b));
	buf_free(&b);
	return r;
}
