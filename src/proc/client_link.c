/*
 * client_link -- where the connection is the session: that of one client, over
 * which it calls (links.h) and on which it is asked and told things in between.
 *
 * Listeners only, each on a fiber.
 */
#include "proc/listener_int.h"

#include <string.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/json_read.h"
#include "base/log.h"

#define LINK_IDLE_MS	1800000
#define LINK_NAP_MS	5

bool
client_link_is_used(struct ears *all, struct hearing *h)
{
	if (links_in_use(&all->links, h))
		h->used_ms = clock_mono_ms();
	return !shm_client_is_ended(all->shm, h->own.client_session) &&
	    clock_mono_ms() - h->used_ms < LINK_IDLE_MS;
}

/* upstream_message_fn: answers go to their calls, and so does what is said
 * while there are any. */
static int
hear_link(void *arg, struct span message, struct err *e)
{
	static const char *const names[] = { "method", "params", "id" };
	static const char *const pnames[] = { "progressToken" };
	struct hearing *h = arg;
	struct links *l = &h->all->links;
	struct json_value v[3], token;
	struct span method = { NULL, 0 };
	int64_t id = 0;

	if (json_object(message, names, v, 3) != JSON_OK)
		return 0;
	if (v[0].type == JSON_NONE) {
		if (json_int(v[2], &id) && id > 0)
			links_response(l, h, (uint64_t)id, message);
		return 0;
	}
	json_string_plain(v[0], &method);
	if (span_is(method, "notifications/progress")) {
		if (v[1].type == JSON_OBJECT &&
		    json_object(v[1].raw, pnames, &token, 1) == JSON_OK &&
		    json_int(token, &id) && id > 0)
			links_message(l, h, (uint64_t)id, message);
		return 0;
	}
	if (span_is(method, "notifications/cancelled"))
		links_withdrawn(l, h, message);
	if (span_is(method, "ping") ||
	    span_is(method, "notifications/resources/updated") ||
	    (method.n > 13 && span_is(span_skip(method, method.n - 13),
	    "/list_changed")))
		return hearing_hear(arg, message, e);
	if (v[2].type == JSON_NUMBER || v[2].type == JSON_STRING ?
	    links_question(l, h, message, v[2].raw) :
	    links_message(l, h, 0, message))
		return 0;
	return hearing_hear(arg, message, e);
}

/* upstream_large_fn: only answers become large. */
static int
hear_large(void *arg, struct bulk *b, struct err *e)
{
	static const char *const names[] = { "id" };
	struct hearing *h = arg;
	struct json_value v;
	int64_t id = 0;

	if (b->is_bad || json_check(buf_span(&b->envelope), &v, NULL) !=
	    JSON_OK)
		id = b->head.has_id ? (int64_t)b->head.id : 0;
	else if (json_object(v.raw, names, &v, 1) != JSON_OK ||
	    !json_int(v, &id))
		return 0;
	if (id > 0)
		links_large(&h->all->links, h, (uint64_t)id, b);
	return 0;
}

static int
hold_link(struct hearing *h, struct err *e)
{
	struct upstream_call c;
	int rv;

	if (upstream_open(h->pool, h->target, 0, false, clock_mono_ms() +
	    h->target->timeout_ms, &h->session, NULL, e) < 0)
		return -1;
	shm_subs_each(h->shm, h->own.client_session, h->target->server_id,
	    clock_wall_us() / 1000000, hearing_subscribe, h);
	hearing_call(h, &c, "listen", HEARING_STREAM_MS);
	c.is_listen = true;
	c.on_message = hear_link;
	c.response_max = h->all->result_max;
	c.on_large = hear_large;
	c.result_max = h->all->streamed_max;
	h->is_open = true;
	do {
		c.deadline_ms = clock_mono_ms() + HEARING_STREAM_MS;
		rv = upstream_exchange(h->pool, h->target, &c, e);
	} while (rv < 0 && e->code == ERR_TIMEOUT);
	return rv < 0 ? -1 : err_set(e, ERR_UPSTREAM, "the link has ended");
}

static void
link_main(void *arg)
{
	struct hearing *h = arg;
	struct err e;

	if (hold_link(h, &e) < 0)
		log_debug("%s", e.text);
	h->is_open = false;
	h->why = e;
	h->state = EAR_IS_DEAF;
	links_ended(&h->all->links, h, &e);
	while (h->users > 0)
		fiber_sleep(LINK_NAP_MS);
	hearing_free(h);
	h->is_link = false;		/* its place is free */
	h->state = EAR_FREE;
}

static struct hearing *
find_link(struct ears *all, uint64_t client)
{
	struct hearing *h;
	int i;

	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->is_link && h->own.client_session == client &&
		    (h->state == EAR_IS_WANTED || h->state == EAR_HEARS))
			return h;
	}
	return NULL;
}

/* The main loop starts its fiber. */
static struct hearing *
want_link(struct ears *all, uint64_t client, struct span caps)
{
	struct hearing *h;
	int i;

	for (i = 0; i < EARS_MAX && all->ear[i].state != EAR_FREE;)
		i++;
	if (i == EARS_MAX || caps.n >= CAPS_MAX)
		return NULL;
	h = &all->ear[i];
	hearing_init(h, all, &h->own_stop);
	h->is_link = true;
	h->own = *all->target;
	h->own.client_session = client;
	h->own.client_caps = UINT32_MAX;	/* as the JSON says */
	span_copy(h->caps_json, sizeof(h->caps_json), caps.n == 0 ?
	    SPAN_LIT("{}") : caps);
	h->own.client_caps_json = h->caps_json;
	h->target = &h->own;
	h->used_ms = clock_mono_ms();
	h->state = EAR_IS_WANTED;
	all->is_wanted = true;
	return h;
}

static void *
link_open(void *arg, uint64_t client, struct span caps, struct sess_info *s,
    struct err *e)
{
	struct ears *all = arg;
	struct hearing *h = find_link(all, client);
	bool is_open;

	if (h == NULL && (h = want_link(all, client, caps)) == NULL) {
		err_set(e, ERR_UNAVAILABLE, "server \"%s\": too many clients "
		    "have links of their own", all->target->name);
		return NULL;
	}
	h->users++;
	h->used_ms = clock_mono_ms();
	while (!h->is_open && h->state != EAR_IS_DEAF)
		fiber_sleep(LINK_NAP_MS);	/* ends with its own deadline */
	is_open = h->is_open;
	*s = h->session;
	if (!is_open)
		*e = h->why;
	h->users--;
	return is_open ? h : NULL;
}

static void *
link_find(void *arg, uint64_t client)
{
	struct hearing *h = find_link(arg, client);

	return h != NULL && h->is_open ? h : NULL;
}

static int
link_post(void *arg, void *link, struct span message, struct err *e)
{
	struct hearing *h = link;
	int rv;

	if (!h->is_open)
		return err_set(e, ERR_UPSTREAM, "the link is gone");
	h->users++;
	h->used_ms = clock_mono_ms();
	rv = upstream_post(h->pool, h->target, &h->session, message, e);
	h->users--;
	return rv;
}

const struct links_ops client_link_ops = { link_open, link_find, link_post };

void
client_links_start(struct ears *all)
{
	struct hearing *h;
	int i;

	all->is_wanted = false;
	for (i = 0; i < EARS_MAX; i++) {
		h = &all->ear[i];
		if (h->state != EAR_IS_WANTED)
			continue;
		h->state = EAR_HEARS;
		if (!fiber_start(link_main, h)) {
			h->state = EAR_IS_WANTED;
			all->is_wanted = true;	/* one will end */
		}
	}
}
