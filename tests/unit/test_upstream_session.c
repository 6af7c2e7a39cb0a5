/*
 * test_upstream_session -- which era a server speaks, one session for all
 * processes, and opening it again when the server has forgotten it.
 */
#include "upstream_test.h"

#include <sys/wait.h>

#include "shm/sess.h"
#include "shm/legacy.h"
#include "shm/slot.h"

/* What the scripted server says to each method; NULL: the good answer. */
struct script {
	const char	*discover;	/* bytes; %llu is the id */
	const char	*initialize;
	const char	*initialized;
	const char	*call;
	int		 call_times;	/* call is said that often */
	_Atomic int	 discovers, initializes, initializeds, calls, deletes;
};

struct world {
	struct fake	 f;
	struct script	 script;
	struct upstream_pool *pool;
	struct upstream_target t;
	struct sess_info info;
	struct buf	 result;
	struct err	 e;
	const char	*id;		/* that all children must get */
};

#define JSON(status)	"HTTP/1.1 " status "\r\n" \
	"Content-Type: application/json\r\nConnection: close\r\n\r\n"
#define GOOD		"{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":"
#define REFUSED(code)	"{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{" \
	"\"code\":" code ",\"message\":\"nope\""
#define DISCOVERED	"{\"supportedVersions\":[\"2026-07-28\"]," \
	"\"capabilities\":{},\"resultType\":\"complete\"}"
#define INITIALIZED	"{\"protocolVersion\":\"2025-06-18\"," \
	"\"capabilities\":{\"tools\":{}}}"
#define UNKNOWN		JSON("404 X") REFUSED("-32601") "}}"

static void
answer(struct fake *f, int fd, const char *format)
{
	const char *id = strstr(f->request[(f->n - 1) % FAKE_REQUESTS],
	    "\"id\":");
	const char *mark = strstr(format, "%llu");
	uint64_t number = 0;
	char text[2048], more[64], *body;

	if (id != NULL)
		assert_int_equal(num_u64(span_make(id + 5, strspn(id + 5,
		    "0123456789")), 1, UINT64_MAX, &number), 0);
	if (mark == NULL)
		snprintf(text, sizeof(text), "%s", format);
	else
		snprintf(text, sizeof(text), "%.*s%llu%s",
		    (int)(mark - format), format, (unsigned long long)number,
		    mark + 4);
	/* With a length: children of the test hold copies of fd open. */
	if ((body = strstr(text, "\r\n\r\n")) == NULL)
		return;
	fake_send_n(fd, text, (size_t)(body - text));
	snprintf(more, sizeof(more), "\r\nContent-Length: %zu",
	    strlen(body + 4));
	fake_send(fd, more);
	fake_send(fd, body);
}

static void
serve(struct fake *f, int fd, int connection)
{
	struct script *s = f->arg;
	const char *r;

	if (!fake_read(f, fd))
		return;
	r = f->request[(f->n - 1) % FAKE_REQUESTS];
	if (strncmp(r, "DELETE ", 7) == 0) {
		s->deletes++;
		fake_send(fd, "HTTP/1.1 204 X\r\n\r\n");
	} else if (strstr(r, "\"server/discover\"") != NULL) {
		s->discovers++;
		answer(f, fd, s->discover);
	} else if (strstr(r, "\"initialize\"") != NULL) {
		s->initializes++;
		answer(f, fd, s->initialize);
	} else if (strstr(r, "\"notifications/initialized\"") != NULL) {
		s->initializeds++;
		answer(f, fd, s->initialized);
	} else {
		answer(f, fd, s->calls++ < s->call_times ? s->call :
		    JSON("200 OK") GOOD "{}}");
	}
}

static const struct script legacy = {
	.discover = UNKNOWN,
	.initialize = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	    "Connection: close\r\nMcp-Session-Id: s-1\r\n\r\n"
	    GOOD INITIALIZED "}",
	.initialized = "HTTP/1.1 202 X\r\nConnection: close\r\n\r\n",
};

static void
world_start(struct world *w, const struct script *s, struct shm *shm)
{
	w->script = *s;
	w->id = "s-1";
	fake_start(&w->f, "http", serve, &w->script);
	w->pool = upstream_pool_new(shm, NULL);
	test_target(&w->t, &w->f);
	buf_init(&w->result, 65536);
}

static void
world_stop(struct world *w)
{
	upstream_pool_free(&w->pool);
	fake_stop(&w->f);
	buf_free(&w->result);
}

static int
open_it(struct world *w, uint64_t stale, bool force)
{
	err_clear(&w->e);
	buf_reset(&w->result, 65536);
	return upstream_open(w->pool, &w->t, stale, force,
	    clock_mono_ms() + 5000, &w->info, &w->result, &w->e);
}

static void
test_modern(void **state)
{
	static struct world w;
	struct script s = { .discover = JSON("200 OK") GOOD DISCOVERED "}" };

	world_start(&w, &s, NULL);
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_MODERN);
	assert_string_equal(w.info.version, "2026-07-28");
	assert_string_equal(w.info.id, "");
	assert_true(span_is(buf_span(&w.result), DISCOVERED));
	assert_int_equal(w.script.initializes, 0);
	assert_non_null(strstr(w.f.request[0],
	    "MCP-Protocol-Version: 2026-07-28\r\n"
	    "Mcp-Method: server/discover\r\n"));
	assert_non_null(strstr(w.f.request[0], "\"params\":{\"_meta\":{"
	    "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
	    "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"omni2\","));
	assert_non_null(strstr(w.f.request[0],
	    "\"io.modelcontextprotocol/clientCapabilities\":{}}}}"));
	world_stop(&w);
}

static void
test_legacy(void **state)
{
	static struct world w;

	world_start(&w, &legacy, NULL);
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_LEGACY);
	assert_string_equal(w.info.version, "2025-06-18");
	assert_string_equal(w.info.id, "s-1");
	assert_true(span_is(buf_span(&w.result), INITIALIZED));
	assert_int_equal(w.f.n, 3);
	assert_null(strstr(w.f.request[1], "MCP-Protocol-Version"));
	assert_null(strstr(w.f.request[1], "Mcp-Session-Id"));
	assert_null(strstr(w.f.request[1], "Mcp-Method"));
	assert_non_null(strstr(w.f.request[1], "\"params\":{"
	    "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},"
	    "\"clientInfo\":{\"name\":\"omni2\",\"version\":\""));
	assert_non_null(strstr(w.f.request[2],
	    "MCP-Protocol-Version: 2025-06-18\r\nMcp-Session-Id: s-1\r\n"));
	/* Known from now on; a stale one is opened again; force always. */
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.f.n, 3);
	assert_int_equal(w.result.n, 0);
	assert_int_equal(open_it(&w, w.info.opened, false), 0);
	assert_int_equal(w.script.initializes, 2);
	assert_int_equal(open_it(&w, 0, true), 0);
	assert_int_equal(w.script.initializes, 3);
	world_stop(&w);
}

/* What the answer to the probe means: 1 modern, 0 legacy, -1 an error. */
static void
test_probe(void **state)
{
	static const struct { const char *bytes; int means; const char *part; }
	    cases[] = {
		{ JSON("400 X") "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{"
		    "\"code\":-32000,\"message\":\"Bad Request: Server not "
		    "initialized\"}}", 0, NULL },
		{ JSON("400 X") "what?", 0, NULL },
		{ JSON("404 X") "", 0, NULL },
		{ JSON("405 X") "", 0, NULL },
		{ JSON("406 X") "", 0, NULL },
		{ JSON("200 OK") REFUSED("-32601") "}}", 0, NULL },
		{ JSON("200 OK") "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{"
		    "\"code\":-32600,\"message\":\"x\"}}", 0, NULL },
		{ JSON("200 OK") GOOD "{}}", 0, NULL },
		{ JSON("200 OK") GOOD "{\"supportedVersions\":"
		    "[\"2099-01-01\"]}}", 0, NULL },
		{ JSON("400 X") REFUSED("-32022") ",\"data\":{\"supported\":["
		    "\"2025-11-25\"]}}}", 0, NULL },
		{ JSON("400 X") REFUSED("-32022") ",\"data\":{\"supported\":["
		    "\"2099-01-01\"]}}}", -1, "no protocol version" },
		{ JSON("400 X") REFUSED("-32022") "}}", 0, NULL },
		{ JSON("400 X") REFUSED("-32020") "}}", -1, "-32020 nope" },
		{ JSON("400 X") REFUSED("-32021") "}}", -1, "-32021 nope" },
		{ JSON("401 X") "", -1, "HTTP 401" },
		{ JSON("403 X") "", -1, "HTTP 403" },
		{ JSON("302 X") "", -1, "HTTP 302" },
		{ JSON("429 X") "", -1, "HTTP 429" },
		{ JSON("500 X") "", -1, "HTTP 500" },
		{ JSON("503 X") "", -1, "HTTP 503" },
		{ "", -1, "no answer" },
	};
	static struct world w;
	struct script s;
	size_t i;
	int rv;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = legacy;
		s.discover = cases[i].bytes;
		world_start(&w, &s, NULL);
		rv = open_it(&w, 0, false);
		if (rv != cases[i].means)
			fail_msg("case %zu: %s", i, w.e.text);
		assert_int_equal(w.script.initializes, rv == 0);
		if (rv < 0 && strstr(w.e.text, cases[i].part) == NULL)
			fail_msg("case %zu: %s", i, w.e.text);
		if (rv < 0)
			assert_int_equal(strncmp(w.e.text, "server \"x\": ",
			    12), 0);
		world_stop(&w);
	}
}

static void
test_initialize_fails(void **state)
{
	static const struct { const char *initialize, *initialized, *part; }
	    cases[] = {
		{ JSON("200 OK") GOOD "{\"protocolVersion\":\"2026-07-28\"}}",
		    NULL, "no protocol version" },
		{ JSON("200 OK") GOOD "{\"protocolVersion\":5}}", NULL,
		    "no protocol version" },
		{ JSON("200 OK") GOOD "{}}", NULL, "no protocol version" },
		{ JSON("200 OK") REFUSED("-32602") "}}", NULL,
		    "initialize refused: -32602 nope" },
		{ JSON("500 X") "", NULL, "HTTP 500" },
		{ NULL, JSON("400 X") "", "HTTP 400" },
	};
	static struct world w;
	struct script s;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = legacy;
		if (cases[i].initialize != NULL)
			s.initialize = cases[i].initialize;
		if (cases[i].initialized != NULL)
			s.initialized = cases[i].initialized;
		world_start(&w, &s, NULL);
		assert_int_equal(open_it(&w, 0, false), -1);
		assert_int_equal(w.e.code, ERR_UPSTREAM);
		assert_non_null(strstr(w.e.text, cases[i].part));
		world_stop(&w);
	}
}

/* ---- upstream_request ---- */

static int
compose(void *arg, const struct sess_info *session, struct buf *params,
    struct err *e)
{
	int *times = arg;

	++*times;
	assert_int_equal(session->era, ERA_LEGACY);
	return buf_printf(params, "{\"attempt\":%d}", *times);
}

static int
ask(struct world *w, struct upstream_call *call, int *composed)
{
	struct buf params;
	int rv;

	buf_init(&params, 4096);
	*composed = 0;
	err_clear(&w->e);
	rv = upstream_request(w->pool, &w->t, call, compose, composed, &params,
	    &w->e);
	buf_free(&params);
	return rv;
}

static void
test_session_is_opened_again(void **state)
{
	static struct world w;
	struct upstream_call call;
	struct buf response;
	struct script s = legacy;
	int composed;

	s.call = JSON("404 X") "";
	s.call_times = 1;
	world_start(&w, &s, NULL);
	test_call(&call, &response);
	assert_int_equal(ask(&w, &call, &composed), 0);
	assert_true(span_is(buf_span(&response),
	    "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}"));
	assert_int_equal(composed, 2);
	assert_int_equal(w.script.initializes, 2);
	assert_int_equal(w.script.calls, 2);
	assert_int_equal(ask(&w, &call, &composed), 0);
	assert_int_equal(w.script.initializes, 2);

	/* Gone again at once: that is not tried for ever. */
	w.script.call_times = 100;
	assert_int_equal(ask(&w, &call, &composed), -1);
	assert_true(call.session_gone);
	assert_int_equal(composed, 2);
	assert_int_equal(w.script.initializes, 3);
	/* What may have been done is not repeated. */
	w.script.call = JSON("500 X") "";
	assert_int_equal(ask(&w, &call, &composed), -1);
	assert_int_equal(composed, 1);
	assert_true(call.maybe_executed);
	buf_free(&response);
	world_stop(&w);
}

/* ---- shared memory ---- */

static const struct shm_sizes sizes = {
	.slots = 24, .perm_entries = 64, .rate_principals = 64,
	.connections = 16, .rate_window_ms = 1000,
	.conf_size = 4096, .policy_size = 4096, .catalog_size = 4096,
};

static void
make_shm(struct shm *shm)
{
	struct err e;

	assert_int_equal(shm_create(shm, &sizes, &e), 0);
	shm->slot = slot_take(shm, KIND_WORKER);
}

#define CHILDREN	8

static int
child_opens(struct world *w, struct shm *shm, uint32_t slot, uint64_t stale)
{
	shm->slot = slot;
	w->pool = upstream_pool_new(shm, NULL);
	if (open_it(w, stale, false) < 0)
		print_error("%s\n", w->e.text);
	return w->e.code == ERR_NONE &&
	    strcmp(w->info.id, w->id) == 0 ? (int)w->info.opened : 99;
}

/* All children want the session at once; returns what the first one saw. */
static int
open_in_children(struct world *w, struct shm *shm, uint64_t stale)
{
	struct shm_request request;
	pid_t pid[CHILDREN];
	uint32_t slot[CHILDREN];
	int i, status, opened = -1;

	for (i = 0; i < CHILDREN; i++) {
		slot[i] = slot_take(shm, KIND_WORKER);
		if ((pid[i] = fork()) == 0)
			_exit(child_opens(w, shm, slot[i], stale));
		slot_started(shm, slot[i], pid[i]);
	}
	for (i = 0; i < CHILDREN; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status));
		slot_reap(shm, slot[i], &request);
		if (opened < 0)
			opened = WEXITSTATUS(status);
		assert_int_equal(WEXITSTATUS(status), opened);
	}
	return opened;
}

static void
test_single_flight(void **state)
{
	static struct world w;
	static struct shm shm;
	struct upstream_call call;
	struct buf response;
	int composed;

	make_shm(&shm);
	world_start(&w, &legacy, &shm);
	w.t.health = 3;
	assert_int_equal(open_in_children(&w, &shm, 0), 1);
	assert_int_equal(w.script.initializes, 1);
	assert_int_equal(open_in_children(&w, &shm, 1), 2);
	assert_int_equal(w.script.initializes, 2);

	/* A look beside leaves the shared session alone and ends its own. */
	assert_int_equal(open_it(&w, 0, true), 0);
	assert_true(span_is(buf_span(&w.result), INITIALIZED));
	assert_int_equal(w.info.opened, 2);
	assert_int_equal(w.script.initializes, 3);
	assert_int_equal(w.script.deletes, 1);
	assert_int_equal(open_it(&w, 2, true), 0);
	assert_int_equal(w.info.opened, 3);
	assert_int_equal(w.script.deletes, 1);

	test_call(&call, &response);
	assert_int_equal(ask(&w, &call, &composed), 0);
	assert_int_equal(call.session.opened, 3);
	assert_true(shm_counter_sum(&shm, C_UPSTREAM_CALLS) >= 4);
	assert_true(shm_counter_sum(&shm, C_UPSTREAM_ERRORS) == 0);
	buf_free(&response);
	world_stop(&w);
	shm_destroy(&shm);
}

/* A modern server with sessions for legacy clients; then without. */
static void
test_dual(void **state)
{
	static struct world w;
	static struct shm shm;
	struct script s = legacy;

	s.discover = JSON("200 OK") GOOD DISCOVERED "}";
	make_shm(&shm);
	world_start(&w, &s, &shm);
	w.t.health = 3;
	w.t.wants_legacy = true;
	/* not for one that cannot be asked anything */
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_MODERN);
	assert_int_equal(w.script.initializes, 0);

	w.t.client_session = 77;
	w.t.client_caps = 1;
	w.t.client_caps_json = "{\"roots\":{}}";
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_LEGACY);
	assert_int_equal(w.info.client_session, 77);
	assert_int_equal(w.script.initializes, 2);
	assert_non_null(strstr(w.f.request[(w.f.n - 4) % FAKE_REQUESTS],
	    "\"capabilities\":{},"));
	assert_non_null(strstr(w.f.request[(w.f.n - 2) % FAKE_REQUESTS],
	    "\"capabilities\":{\"roots\":{}}"));
	w.t.client_caps = 0;
	w.t.client_session = 0;
	w.t.client_caps_json = NULL;
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.client_session, UPSTREAM_PLAIN);
	assert_string_equal(w.info.id, "s-1");
	assert_int_equal(w.script.initializes, 2);
	w.t.client_caps = 1;

	/* discovery and modern clients */
	assert_int_equal(open_it(&w, 0, true), 0);
	assert_int_equal(w.info.era, ERA_MODERN);
	w.t.wants_legacy = false;
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_MODERN);
	assert_int_equal(w.info.client_session, 0);
	assert_int_equal(w.script.initializes, 2);

	/* a server that is busy says nothing of what it is */
	w.t.wants_legacy = true;
	w.t.client_session = 78;
	w.script.initialize = JSON("503 X") "{}";
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_MODERN);
	assert_int_equal(w.script.initializes, 3);
	w.script.initialize = UNKNOWN;
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.era, ERA_MODERN);
	assert_int_equal(w.script.initializes, 4);
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.script.initializes, 4);
	world_stop(&w);
	shm_destroy(&shm);
}

/* A modern server without: one of many asks, once, until something changes. */
static void
test_modern_only(void **state)
{
	static const char *const refusals[] = { UNKNOWN,
	    JSON("400 X") REFUSED("-32022") "}}", JSON("500 X") "{}",
	    JSON("200 OK") GOOD "{\"protocolVersion\":\"2026-07-28\"}}",
	    JSON("200 OK") GOOD INITIALIZED "}" /* without sessions */ };
	static struct world w;
	static struct shm shm;
	struct script s = legacy;
	size_t i;

	s.discover = JSON("200 OK") GOOD DISCOVERED "}";
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		s.initialize = refusals[i];
		make_shm(&shm);
		world_start(&w, &s, &shm);
		w.id = "";
		w.t.health = 3;
		w.t.wants_legacy = true;
		w.t.client_session = 77;
		w.t.client_caps = 1;
		assert_int_equal(open_in_children(&w, &shm, 0), 1);
		assert_int_equal(open_it(&w, 0, false), 0);
		assert_int_equal(w.info.era, ERA_MODERN);
		assert_int_equal(w.script.initializes, 1);

		legacy_forget(shm_health(&shm, 3));
		assert_int_equal(open_in_children(&w, &shm, 0), 1);
		assert_int_equal(w.script.initializes, 2);
		w.t.config_hash++;
		assert_int_equal(open_in_children(&w, &shm, 0), 1);
		assert_int_equal(w.script.initializes, 3);
		world_stop(&w);
		shm_destroy(&shm);
	}
}

/* A legacy server, whatever was said of it: one session for all who cannot
 * be asked. */
static void
test_shared_legacy(void **state)
{
	static struct world w;
	static struct shm shm;

	make_shm(&shm);
	world_start(&w, &legacy, &shm);
	w.t.health = 3;
	w.t.wants_legacy = true;
	w.t.client_session = 77;
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.client_session, 0);
	w.t.client_caps = 1;
	w.t.client_caps_json = "{}";
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.info.client_session, 77);
	world_stop(&w);
	shm_destroy(&shm);
}

static void
test_claimer_dies(void **state)
{
	static struct world w;
	static struct shm shm;
	uint32_t own, other;

	make_shm(&shm);
	world_start(&w, &legacy, &shm);
	w.t.health = 3;
	own = shm.slot;
	other = slot_take(&shm, KIND_WORKER);
	shm.slot = other;
	assert_true(shm_sess_claim(&shm, 3, 0));
	shm.slot = own;
	assert_int_equal(upstream_open(w.pool, &w.t, 0, false,
	    clock_mono_ms() + 30, &w.info, NULL, &w.e), -1);
	assert_int_equal(w.e.code, ERR_TIMEOUT);
	assert_int_equal(w.f.n, 0);
	assert_int_equal(shm_sess_sweep(&shm, other), 1);
	assert_int_equal(open_it(&w, 0, false), 0);
	/* Another server in the same place has its own session. */
	w.t.server_id = 43;
	assert_int_equal(open_it(&w, 0, false), 0);
	assert_int_equal(w.script.initializes, 2);
	/* A failure gives the claim back. */
	w.script.discover = JSON("500 X") "";
	assert_int_equal(open_it(&w, w.info.opened, false), -1);
	assert_true(strstr(w.e.text, "HTTP 500") != NULL);
	w.script.discover = UNKNOWN;
	assert_int_equal(open_it(&w, w.info.opened, false), 0);
	world_stop(&w);
	shm_destroy(&shm);
}

static int
call_inside(void *arg, struct span message, struct err *e)
{
	struct world *w = arg;
	struct upstream_call call;
	struct sess_info info;
	struct buf b;

	test_call(&call, &b);
	assert_int_equal(upstream_exchange(w->pool, &w->t, &call, &w->e), -1);
	assert_int_equal(w->e.code, ERR_INTERNAL);
	assert_int_equal(upstream_open(w->pool, &w->t, 0, true,
	    call.deadline_ms, &info, NULL, &w->e), -1);
	assert_int_equal(w->e.code, ERR_INTERNAL);
	return 0;
}

static void
test_messages(void **state)
{
	static struct world w;
	static struct shm shm;
	struct script s = legacy;
	struct upstream_call call;
	struct buf response;
	int composed;

	make_shm(&shm);
	s.call = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	    "Connection: close\r\n\r\ndata: {\"jsonrpc\":\"2.0\","
	    "\"method\":\"notifications/tools/list_changed\"}\n\n"
	    "data: " OK7 "\n\n";
	s.call_times = 1;
	world_start(&w, &s, &shm);
	w.t.health = 3;
	test_call(&call, &response);
	call.on_message = call_inside;
	call.arg = &w;
	assert_int_equal(ask(&w, &call, &composed), 0);
	assert_int_equal(atomic_load(&shm_health(&shm, 3)->dirty), 1);
	buf_free(&response);
	world_stop(&w);
	shm_destroy(&shm);
}

/* A copy outlives the snapshot it was made from. */
static void
test_target_copy(void **state)
{
	struct {
		struct pol_head	  head;
		struct pol_server server[2];
		char		  text[32];
	} p = { .text = "name\0http://h/\0K: v" };
	struct arena *mem = arena_new(4096);
	struct upstream_target t;

	p.head.servers.off = (uint32_t)((char *)p.server - (char *)&p);
	p.head.servers.n = 2;
	p.server[1] = (struct pol_server){ .id = 9, .health = 4,
	    .transport = TRANSPORT_HTTP, .config_hash = 77 };
	p.server[1].name.off = (uint32_t)(p.text - (char *)&p);
	p.server[1].name.len = 4;
	p.server[1].url.off = p.server[1].name.off + 5;
	p.server[1].url.len = 9;
	p.server[1].auth_header.off = p.server[1].name.off + 15;
	p.server[1].auth_header.len = 4;
	upstream_target_copy(&t, mem, &p.head, 1, 30000);
	memset(p.text, 'x', sizeof(p.text));
	assert_string_equal(t.name, "name");
	assert_string_equal(t.url, "http://h/");
	assert_string_equal(t.auth_header, "K: v");
	assert_int_equal(t.server_id, 9);
	assert_int_equal(t.health, 4);
	assert_int_equal(t.config_hash, 77);
	assert_int_equal(t.timeout_ms, 30000);
	p.server[1].timeout_ms = 5;
	upstream_target_copy(&t, mem, &p.head, 1, 30000);
	assert_int_equal(t.timeout_ms, 5);
	arena_free(&mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modern),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_initialize_fails),
		cmocka_unit_test(test_session_is_opened_again),
		cmocka_unit_test(test_single_flight),
		cmocka_unit_test(test_dual),
		cmocka_unit_test(test_modern_only),
		cmocka_unit_test(test_shared_legacy),
		cmocka_unit_test(test_claimer_dies),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_target_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
