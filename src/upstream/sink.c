/*
 * sink -- takes the answer of a server and judges it, whatever carried it:
 * our own HTTP client, libcurl, or a frame of stdiod.
 *
 * Workers, poller, tools. Servers are hostile: an answer counts only if it is
 * well-formed, is the response to our id, and is the only one. Nothing is
 * handed on before that is known, but pieces of large results (sink_flow.c).
 * The sink never closes a connection; its caller does when the sink fails and
 * did not say refused.
 */
#include "upstream/upstream_int.h"

#include <stdio.h>

#include "base/json_read.h"
#include "base/log.h"

#define REFUSAL_MAX	65536	/* bytes of an error body that are read */
#define RESPONSE_KEEP	(1u << 20)

enum { M_JSONRPC, M_ID, M_METHOD, M_RESULT, M_ERROR, M_COUNT };
static const char *const member_names[M_COUNT] = {
	"jsonrpc", "id", "method", "result", "error"
};

struct message {
	bool		is_response;
	bool		is_ours;	/* response with the id of the call */
	struct span	raw;
	struct json_value member[M_COUNT];
};

void
sink_init(struct sink *s, struct upstream_pool *pool,
    const struct upstream_target *t, struct upstream_call *call)
{
	memset(s, 0, sizeof(*s));
	s->pool = pool;
	s->target = t;
	s->call = call;
	call->answer_n = 0;
	call->has_flowed = false;
	call->retry_ms = -1;
	call->is_resuming = false;
	if (!call->is_listen)
		call->event_id[0] = '\0';
	if (call->response != NULL)
		buf_reset(call->response, RESPONSE_KEEP);
}

void
sink_again(struct sink *s)
{
	sink_free(s);
	s->refused = s->ended_early = false;
	s->discarded = 0;
	s->status = s->call->http_status = 0;
	buf_reset(s->call->response, RESPONSE_KEEP);
}

void
sink_free(struct sink *s)
{
	if (s->has_sse)
		sse_parser_free(&s->sse);
	s->has_sse = false;
	bulk_drop(&s->bulk);
}

static int
too_big(struct upstream_call *call, struct err *e)
{
	return err_set(e, ERR_TOOBIG, "the answer is larger than %zu bytes",
	    call->response_max);
}

static int
message_read(struct message *m, const struct json_index *x, struct span object,
    struct upstream_call *call, struct err *e)
{
	const struct json_value *v = m->member;
	enum json_status st;
	struct span version;
	int64_t id;

	m->raw = object;
	st = json_object_at(x, object, member_names, m->member, M_COUNT);
	if (st != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "bad answer: %s",
		    json_status_text(st));
	if (!json_string_plain(v[M_JSONRPC], &version) ||
	    !span_is(version, "2.0"))
		return err_set(e, ERR_UPSTREAM, "bad answer: not JSON-RPC 2.0");
	m->is_response = v[M_METHOD].type == JSON_NONE;
	m->is_ours = false;
	if (!m->is_response) {
		if (v[M_METHOD].type != JSON_STRING ||
		    v[M_RESULT].type != JSON_NONE ||
		    v[M_ERROR].type != JSON_NONE)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: neither request nor response");
		return 0;
	}
	if ((v[M_RESULT].type == JSON_OBJECT) ==
	    (v[M_ERROR].type == JSON_OBJECT) ||
	    (v[M_RESULT].type != JSON_NONE && v[M_ERROR].type != JSON_NONE))
		return err_set(e, ERR_UPSTREAM,
		    "bad answer: not one of result and error");
	m->is_ours = !call->is_notification &&
	    v[M_ID].type == JSON_NUMBER && json_int(v[M_ID], &id) &&
	    id >= 0 && (uint64_t)id == call->id;
	return 0;
}

int64_t
sink_error_text(struct json_value error, char *out, size_t size)
{
	static const char *const names[] = { "code", "message" };
	struct json_value v[2];
	char text[2048];
	int64_t code = 0;
	long i, n;

	out[0] = '\0';
	if (error.type != JSON_OBJECT ||
	    json_object(error.raw, names, v, 2) != JSON_OK)
		return 0;
	if (!json_int(v[0], &code))
		code = 0;
	n = json_string_decode(v[1], text, sizeof(text) - 1);
	for (i = 0; i < n; i++)
		if (text[i] < 0x20 || text[i] >= 0x7f)
			text[i] = '?';
	snprintf(out, size, "%lld %.*s", (long long)code,
	    n < 0 ? 0 : (int)(n < 160 ? n : 160), text);
	return code;
}

/*
 * A request that nobody on our side takes. It came on the connection of the
 * call, its answer goes on another one; when that fails the server has to do
 * without, which costs only its own call.
 */
static void
answer_request(struct sink *s, const struct message *m)
{
	static struct log_limit limit = { .interval_ms = 10000 };
	struct span method = { NULL, 0 };
	struct buf b;
	struct err e;

	json_string_plain(m->member[M_METHOD], &method);
	buf_init(&b, 65536);
	buf_printf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%.*s,%s}",
	    SPAN_FMT(m->member[M_ID].raw), span_is(method, "ping") ?
	    "\"result\":{}" : "\"error\":{\"code\":-32601,"
	    "\"message\":\"Method not found\"}");
	if (!b.overflow && upstream_post(s->pool, s->target, &s->call->session,
	    buf_span(&b), &e) < 0 && log_limit_ok(&limit))
		log_warn("server \"%s\": its request could not be refused: %s",
		    s->target->name, e.text);
	buf_free(&b);
}

/* The poller reads the lists of a server again that is marked. */
static void
note_list_changed(const struct sink *s, const struct message *m)
{
	const struct shm *shm = s->pool->shm;
	struct span method;

	if (shm == NULL || shm->slot == UINT32_MAX ||
	    s->target->health >= SHM_SERVERS_MAX ||
	    !json_string_plain(m->member[M_METHOD], &method) || method.n < 13 ||
	    !span_is(span_skip(method, method.n - 13), "/list_changed"))
		return;
	atomic_store(&shm_health(shm, s->target->health)->dirty, 1);
}

/*
 * On a link there may still be what belongs to calls before this one: their
 * progress, and whatever was said before we asked. Requests are for whoever
 * listens.
 */
static bool
is_stray(const struct sink *s, const struct message *m)
{
	static const char *const params_name[] = { "params" };
	static const char *const token_name[] = { "progressToken" };
	struct json_value params, token;
	struct span method;
	int64_t id;

	if (!s->is_link || s->call->is_listen ||
	    m->member[M_ID].type != JSON_NONE)
		return false;
	if (!s->is_asked)
		return true;
	if (!json_string_plain(m->member[M_METHOD], &method) ||
	    !span_is(method, "notifications/progress"))
		return false;
	return json_object(m->raw, params_name, &params, 1) != JSON_OK ||
	    params.type != JSON_OBJECT ||
	    json_object(params.raw, token_name, &token, 1) != JSON_OK ||
	    !json_int(token, &id) || id < 0 || (uint64_t)id != s->call->id;
}

static int
other_message(struct sink *s, const struct message *m, struct err *e)
{
	enum json_type id = m->member[M_ID].type;

	note_list_changed(s, m);
	if (s->answered || is_stray(s, m))
		return 0;		/* for nobody */
	if (s->call->on_message != NULL) {
		s->stopped = s->call->on_message(s->call->arg, m->raw, e) < 0;
		return s->stopped ? -1 : 0;
	}
	if (id == JSON_NUMBER || id == JSON_STRING)
		answer_request(s, m);
	return 0;
}

/* The id of this response is not the one we asked with. */
static int
not_ours(const struct message *m, struct err *e)
{
	char text[200];

	sink_error_text(m->member[M_ERROR], text, sizeof(text));
	if (m->member[M_ERROR].type == JSON_OBJECT &&
	    m->member[M_ID].type != JSON_NUMBER)
		return err_set(e, ERR_UPSTREAM,
		    "bad answer: error without our id: %s", text);
	return err_set(e, ERR_UPSTREAM, "bad answer: the id is not ours");
}

static int
one_message(struct sink *s, const struct json_index *x, struct span object,
    struct err *e)
{
	struct upstream_call *call = s->call;
	struct message m;
	struct span value;

	if (message_read(&m, x, object, call, e) < 0)
		return -1;
	if (!m.is_response)
		return other_message(s, &m, e);
	if (s->is_link && !m.is_ours)	/* to a call that was given up */
		return call->is_listen && call->on_message != NULL ?
		    other_message(s, &m, e) : 0;
	if (s->answered)
		return err_set(e, ERR_UPSTREAM, "bad answer: it came twice");
	if (!m.is_ours)
		return not_ours(&m, e);
	s->answered = true;
	call->answer_is_error = m.member[M_ERROR].type == JSON_OBJECT;
	value = m.member[call->answer_is_error ? M_ERROR : M_RESULT].raw;
	call->answer_at = (size_t)(value.p - object.p);
	call->answer_n = value.n;
	if (object.p == call->response->p && object.n == call->response->n)
		return 0;		/* it lies there already */
	if (object.n > call->response_max)
		return too_big(call, e);
	call->response->n = 0;
	if (buf_reserve(call->response, object.n) < 0)
		return too_big(call, e);
	memmove(call->response->p, object.p, object.n);
	call->response->n = object.n;
	return 0;
}

int
sink_envelope(struct sink *s, struct err *e)
{
	struct span text = buf_span(s->call->response);
	enum json_status st;
	struct json_value v;
	struct message m;

	if ((st = json_check(text, &v, NULL)) != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "bad answer: %s",
		    json_status_text(st));
	if (message_read(&m, NULL, v.raw, s->call, e) < 0)
		return -1;
	return m.is_response && m.is_ours ? 0 : not_ours(&m, e);
}

/*
 * A single message that fills call->response stays where it is. Elements of
 * a batch lie in there as well: ours is moved down only after the last one
 * was looked at.
 */
static int
batch(struct sink *s, struct span array, struct err *e)
{
	struct upstream_call *call = s->call;
	struct json_value v;
	struct message m;
	struct span ours = { NULL, 0 };
	size_t pos = 0;

	while (json_next_element(array, &pos, &v)) {
		if (v.type != JSON_OBJECT)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: a batch of something else");
		if (message_read(&m, NULL, v.raw, call, e) < 0)
			return -1;
		if (m.is_response && m.is_ours && ours.p == NULL &&
		    !s->answered)
			ours = v.raw;
		else if (one_message(s, NULL, v.raw, e) < 0)
			return -1;
		else if (m.is_response)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: it came twice");
	}
	return ours.p == NULL ? 0 : one_message(s, NULL, ours, e);
}

int
sink_message(struct sink *s, struct span text, struct err *e)
{
	struct json_index x;
	enum json_status st;
	struct json_value v;

	st = json_check_index(text, &v, NULL, &x, 1);
	if (st != JSON_OK)
		return err_set(e, ERR_UPSTREAM, "bad answer: %s",
		    json_status_text(st));
	if (v.type == JSON_OBJECT)
		return one_message(s, &x, v.raw, e);
	if (v.type == JSON_ARRAY)
		return batch(s, v.raw, e);
	return err_set(e, ERR_UPSTREAM, "bad answer: not a JSON object");
}

/* Ours to send back in a header, so only what may stand there. */
static int
take_session_id(struct upstream_call *call, struct span id, struct err *e)
{
	size_t i;

	for (i = 0; i < id.n; i++)
		if (id.p[i] <= 0x20 || id.p[i] >= 0x7f)
			return err_set(e, ERR_UPSTREAM,
			    "bad answer: odd bytes in Mcp-Session-Id");
	if (!span_copy(call->new_session, sizeof(call->new_session), id))
		return err_set(e, ERR_UPSTREAM,
		    "bad answer: Mcp-Session-Id is too long");
	return 0;
}

static int
head_of_success(struct sink *s, const struct answer_head *h, struct err *e)
{
	if (s->call->is_notification) {
		s->kind = SINK_NOTHING;
		return 0;
	}
	if (h->status != 200)
		return err_set(e, ERR_UPSTREAM,
		    "HTTP %d instead of an answer", h->status);
	if (http_media_is(h->content_type, "text/event-stream")) {
		s->kind = SINK_EVENTS;
		sse_parser_init(&s->sse, s->call->response_max);
		s->has_sse = true;
		if (s->call->is_listen && s->call->on_stream != NULL)
			s->call->on_stream(s->call->arg);
		return 0;
	}
	if (s->call->is_listen ||
	    !http_media_is(h->content_type, "application/json"))
		return err_set(e, ERR_UPSTREAM,
		    "bad answer: neither JSON nor an event stream");
	s->kind = SINK_JSON;
	return 0;
}

int
sink_head(struct sink *s, const struct answer_head *h, struct err *e)
{
	s->status = s->call->http_status = h->status;
	s->call->new_session[0] = '\0';
	if (h->content_encoding.n > 0 &&
	    !span_is_nocase(h->content_encoding, "identity"))
		return err_set(e, ERR_UPSTREAM,
		    "bad answer: encoded, which was not asked for");
	if (h->session_id.n > 0 &&
	    take_session_id(s->call, h->session_id, e) < 0)
		return -1;
	if (h->status >= 200 && h->status < 300)
		return head_of_success(s, h, e);
	if (h->status < 200 || h->status >= 400) {
		s->kind = s->call->response == NULL ? SINK_NOTHING : SINK_JSON;
		if (h->status != 401 && h->status != 403)
			return 0;
		s->call->maybe_executed = false;
		return err_set(e, ERR_UPSTREAM,
		    "the server refused our credentials (HTTP %d)", h->status);
	}
	s->call->maybe_executed = false;
	return err_set(e, ERR_UPSTREAM,
	    "redirects are not followed (HTTP %d)", h->status);
}

int
sink_count(struct sink *s, size_t n, struct err *e)
{
	size_t max = UPSTREAM_CHATTER_MAX + (s->flow < FLOW_RESULT ?
	    s->call->response_max : s->call->result_max);

	s->taken += n;
	if (s->taken <= max || s->call->is_listen)
		return 0;
	return err_set(e, ERR_UPSTREAM, "bad answer: more than %zu bytes, and "
	    "no end", max);
}

/*
 * Ours to send back in a header. An id that cannot stand there is none, and
 * so is an empty one (WHATWG HTML 9.2.6).
 */
static void
note_event(struct upstream_call *call, const struct sse_event *event)
{
	struct span id = event->id;
	size_t i;

	if (event->retry_ms >= 0)
		call->retry_ms = event->retry_ms;
	if (id.p == NULL)
		return;
	for (i = 0; i < id.n && id.p[i] >= 0x20 && id.p[i] < 0x7f;)
		i++;
	if (i < id.n || !span_copy(call->event_id, sizeof(call->event_id), id))
		call->event_id[0] = '\0';
}

static int
feed_events(struct sink *s, struct span in, struct err *e)
{
	struct sse_event event;
	size_t taken;
	int rv, flowed;

	if (sink_count(s, in.n, e) < 0)
		return -1;
	while ((rv = sse_parse(&s->sse, in, &taken, &event, e)) == 1) {
		in = span_skip(in, taken);
		note_event(s->call, &event);
		if ((flowed = sink_flow_event_end(s, event.data, e)) < 0)
			return -1;
		if (flowed > 0)
			continue;
		if (!event.has_data || event.data.n == 0 ||
		    (event.type.n > 0 && !span_is(event.type, "message")))
			continue;
		if (sink_message(s, event.data, e) < 0)
			return -1;
	}
	return rv < 0 ? too_big(s->call, e) : sink_flow_event(s, &s->sse, e);
}

int
sink_body(struct sink *s, struct span in, struct err *e)
{
	struct upstream_call *call = s->call;
	size_t max = call->response_max;
	bool is_refusal = s->status >= 300;
	int flowed;

	if (s->kind == SINK_EVENTS)
		return feed_events(s, in, e);
	if (s->kind == SINK_NOTHING) {
		s->discarded += in.n;
		if (s->discarded <= REFUSAL_MAX)
			return 0;
		return err_set(e, ERR_UPSTREAM,
		    "a long answer where none belongs (HTTP %d)", s->status);
	}
	if (is_refusal && max > REFUSAL_MAX)
		max = REFUSAL_MAX;
	if ((flowed = sink_flow_json(s, in, e)) != 0)
		return flowed < 0 ? -1 : 0;
	if (in.n <= max && call->response->n <= max - in.n &&
	    buf_add_span(call->response, in) == 0)
		return 0;
	if (is_refusal)
		return err_set(e, ERR_UPSTREAM, "HTTP %d", s->status);
	return too_big(call, e);
}

static bool
mentions_session(struct span s)
{
	for (; s.n >= 7; s = span_skip(s, 1))
		if (strncasecmp(s.p, "session", 7) == 0)
			return true;
	return false;
}

/* Does this refusal say that the session we named is unknown? */
static bool
session_is_gone(const struct sink *s, bool is_ours, int64_t code)
{
	struct upstream_call *call = s->call;

	if (call->session.era != ERA_LEGACY || call->session.id[0] == '\0')
		return false;
	if (s->status == 404)
		return !is_ours || code != -32601;
	return s->status == 400 && mentions_session(buf_span(call->response)) &&
	    (!is_ours || (code <= -32000 && code >= -32019));
}

/* A status other than success; the body may still be our answer. */
static int
end_of_refusal(struct sink *s, struct err *e)
{
	struct upstream_call *call = s->call;
	struct json_value v;
	struct message m;
	char text[200] = "";
	int64_t code = 0;
	bool ours = false;

	if (s->kind == SINK_JSON &&
	    json_check(buf_span(call->response), &v, NULL) == JSON_OK &&
	    v.type == JSON_OBJECT &&
	    message_read(&m, NULL, v.raw, call, e) == 0 && m.is_response) {
		ours = m.is_ours;
		code = sink_error_text(m.member[M_ERROR], text, sizeof(text));
	}
	s->refused = true;
	if (s->kind == SINK_JSON && session_is_gone(s, ours, code)) {
		call->session_gone = true;
		call->maybe_executed = false;
		return err_set(e, ERR_UPSTREAM,
		    "the server knows our session no more (HTTP %d)",
		    s->status);
	}
	if (ours)
		return one_message(s, NULL, v.raw, e);
	if (s->status < 500)
		call->maybe_executed = false;
	return err_set(e, ERR_UPSTREAM, "HTTP %d%s%s", s->status,
	    text[0] == '\0' ? "" : ": ", text);
}

int
sink_end(struct sink *s, struct err *e)
{
	if (s->status >= 300)
		return end_of_refusal(s, e);
	if (s->kind == SINK_NOTHING)
		return 0;
	if (s->flow >= FLOW_RESULT)
		return sink_flow_end(s, e) < 0 ? -1 : 0;
	if (s->kind == SINK_JSON &&
	    sink_message(s, buf_span(s->call->response), e) < 0)
		return -1;
	if (s->answered || s->call->is_listen)
		return 0;
	sink_cut(s);
	return err_set(e, ERR_UPSTREAM,
	    "bad answer: it holds no response to our request");
}

void
sink_cut(struct sink *s)
{
	/* what has begun to pass cannot come again */
	s->ended_early = s->kind == SINK_EVENTS && s->status == 200 &&
	    !s->answered && s->flow < FLOW_RESULT;
}
