/*
 * mux -- table of calls by id, and a first look at messages of servers.
 *
 * stdiod only. Everything a server writes goes through json_check() first;
 * objects that decide a route are read with json_object(), which refuses
 * duplicate members.
 */
#include "stdio/mux.h"

#include "base/hash.h"

#define SUBSCRIPTION_ID	"io.modelcontextprotocol/subscriptionId"

static struct call **
bucket_of(struct mux *m, uint64_t id)
{
	return &m->bucket[hash_mix(id) % MUX_BUCKETS];
}

struct call *
mux_find(const struct mux *m, uint64_t id)
{
	struct call *c = m->bucket[hash_mix(id) % MUX_BUCKETS];

	while (c != NULL && c->id != id)
		c = c->next;
	return c;
}

int
mux_add(struct mux *m, struct call *c)
{
	struct call **b = bucket_of(m, c->id);

	if (mux_find(m, c->id) != NULL)
		return -1;
	c->next = *b;
	*b = c;
	m->n++;
	return 0;
}

void
mux_remove(struct mux *m, struct call *c)
{
	struct call **p;

	for (p = bucket_of(m, c->id); *p != NULL; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			m->n--;
			return;
		}
	}
}

static bool
is_list_changed(struct span method)
{
	return span_is(method, "notifications/tools/list_changed") ||
	    span_is(method, "notifications/resources/list_changed") ||
	    span_is(method, "notifications/prompts/list_changed");
}

static bool
take_call(struct mux_message *m, struct json_value v)
{
	int64_t id;

	if (v.type != JSON_NUMBER || !json_int(v, &id) || id < 0)
		return false;
	m->call = (uint64_t)id;
	m->has_call = true;
	return true;
}

/* A notification belongs to the call of its progressToken, or of the
 * subscription id in its _meta. */
static void
read_params(struct mux_message *m, struct json_value params)
{
	static const char *const names[] = { "progressToken", "_meta" };
	static const char *const meta_names[] = { SUBSCRIPTION_ID };
	struct json_value v[2], subscription;

	if (params.type != JSON_OBJECT ||
	    json_object(params.raw, names, v, 2) != JSON_OK)
		return;
	if (span_is(m->method, "notifications/progress") && take_call(m, v[0]))
		return;
	if (v[1].type == JSON_OBJECT && json_object(v[1].raw, meta_names,
	    &subscription, 1) == JSON_OK)
		take_call(m, subscription);
}

static void
read_object(struct span object, struct mux_message *m)
{
	static const char *const names[] = { "id", "method", "params",
		"result", "error" };
	struct json_value v[5];

	if (json_object(object, names, v, 5) != JSON_OK)
		return;
	m->id = v[0];
	m->result = v[3];
	m->error = v[4];
	if (v[1].type != JSON_NONE) {
		if (!json_string_plain(v[1], &m->method))
			return;
		if (v[0].type == JSON_NUMBER || v[0].type == JSON_STRING) {
			m->kind = MUX_REQUEST;
			return;
		}
		read_params(m, v[2]);
		m->kind = is_list_changed(m->method) ? MUX_LIST_CHANGED :
		    MUX_NOTIFICATION;
		return;
	}
	if ((v[3].type == JSON_NONE) == (v[4].type == JSON_NONE))
		return;
	m->kind = MUX_RESPONSE;
	take_call(m, v[0]);
}

void
mux_read(struct span line, struct mux_message *m)
{
	struct json_value value;

	memset(m, 0, sizeof(*m));
	m->kind = MUX_GARBAGE;
	if (json_check(line, &value, NULL) != JSON_OK)
		return;
	m->text = value.raw;
	if (value.type == JSON_ARRAY)
		m->kind = MUX_BATCH;
	else if (value.type == JSON_OBJECT)
		read_object(value.raw, m);
}

void
mux_one_line(char *p, size_t n)
{
	char *at, *end = p + n;

	if (n == 0)
		return;
	for (at = p; (at = memchr(at, '\n', (size_t)(end - at))) != NULL;)
		*at = ' ';
	for (at = p; (at = memchr(at, '\r', (size_t)(end - at))) != NULL;)
		*at = ' ';
}
