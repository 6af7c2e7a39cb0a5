/*
 * test_stdiod -- stdiod from outside: frames in, frames out, processes seen in
 * /proc. The servers are stdio_server.py, which can be hostile in many ways.
 */
#include <sys/prctl.h>

#include "stdio_test.h"

enum { PLAIN = 1, MODERN, FUTURE, REFUSES, MUTE, DIES, DEAF, STUBBORN, SILENT,
	ENV, ABSENT, NO_DIRECTORY, DISABLED, HTTP, FRAGILE, ROUND, SECOND,
	N_SERVERS };
#define UNKNOWN	4711

static char python[PATH_MAX], script[PATH_MAX];
static struct test_server servers[N_SERVERS - 1];

static void
define(int id, const char *name, const char *mode)
{
	struct test_server *t = &servers[id - 1];

	t->id = id;
	t->name = name;
	t->command = python;
	t->args[0] = "-I";
	t->args[1] = "-S";
	t->args[2] = script;
	t->args[3] = mode;
}

static void
publish(void)
{
	publish_policy(servers, N_SERVERS - 1);
}

static void
define_all(void)
{
	define(PLAIN, "plain", "plain");
	define(MODERN, "modern", "modern");
	define(FUTURE, "future", "future");
	define(REFUSES, "refuses", "refuses");
	define(MUTE, "mute", "mute");
	define(DIES, "dies", "dies");
	define(DEAF, "deaf", "deaf");
	define(STUBBORN, "stubborn", "stubborn");
	define(SILENT, "silent", "stubborn");
	define(ENV, "env", "plain");
	define(ABSENT, "absent", "plain");
	define(NO_DIRECTORY, "no_directory", "plain");
	define(DISABLED, "disabled", "plain");
	define(HTTP, "http", "plain");
	define(ROUND, "round", "plain");
	define(FRAGILE, "fragile", "fragile");
	define(SECOND, "second", "plain");
	servers[MUTE - 1].timeout_ms = 300;
	servers[ENV - 1].env[0] = "KEY=a secret=1";
	servers[ENV - 1].env[1] = "LANG=C";
	servers[ENV - 1].env[2] = "EMPTY=";
	servers[ENV - 1].cwd = dir;
	servers[ABSENT - 1].command = "/proc/nonexistent/server";
	servers[NO_DIRECTORY - 1].cwd = "/proc/nonexistent/directory";
	servers[DISABLED - 1].disabled = true;
	servers[HTTP - 1].is_http = true;
}

static void
find_python(void)
{
	const char *srcdir = getenv("srcdir");
	char path[PATH_MAX];
	FILE *f = popen("python3 -c 'import sys; print(sys.executable)'", "r");

	assert_non_null(f);
	assert_non_null(fgets(path, sizeof(path), f));
	pclose(f);
	path[strcspn(path, "\n")] = '\0';
	assert_non_null(realpath(path, python));
	snprintf(path, sizeof(path), "%s/tests/unit/stdio_server.py",
	    srcdir != NULL ? srcdir : ".");
	if (realpath(path, script) == NULL)
		fail_msg("%s: %s", path, strerror(errno));
}

static int
set_up(void **state)
{
	test_shm_create();
	find_python();
	define_all();
	conf.result_max = 20 << 20;
	conf.drain_timeout_ms = 3000;
	publish_conf();
	stdiod_start();
	return 0;
}

static int
tear_down(void **state)
{
	if (stdiod_pid > 0)		/* a test failed */
		kill(stdiod_pid, SIGKILL);
	unlink(socket_path);
	unlink(log_path);
	rmdir(dir);
	shm_destroy(&shm);
	return 0;
}

/* ---- opening ---- */

static void
test_before_policy(void **state)
{
	int fd = client_connect();

	assert_error(open_server(fd, PLAIN), ERR_UNAVAILABLE, true,
	    "no policy is loaded yet");
	publish();
	assert_error(open_server(fd, UNKNOWN), ERR_NOTFOUND, true,
	    "no server with id 4711");
	assert_error(open_server(fd, HTTP), ERR_NOTFOUND, true,
	    "server \"http\" is not a stdio server");
	assert_error(open_server(fd, DISABLED), ERR_UNAVAILABLE, true,
	    "server \"disabled\" is disabled");
	close(fd);
}

static uint32_t
health_of(int64_t server)
{
	uint32_t i;

	for (i = 0; i < SHM_SERVERS_MAX; i++)
		if (atomic_load(&shm_health(&shm, i)->server_id) == server)
			return i;
	fail_msg("no health entry");
	return 0;
}

static void
check_opened(int64_t server, enum sess_era era, const char *version,
    uint64_t started)
{
	int fd = client_connect();
	struct reply r = open_server(fd, server);
	struct stdio_opened *o = (struct stdio_opened *)r.body;
	struct sess_info si;

	if (r.f.type != STDIO_OPENED)
		fail_msg("type %d: %s", r.f.type, r.body);
	assert_int_equal(o->era, era);
	assert_int_equal(o->started, started);
	assert_string_equal(o->version, version);
	assert_int_equal(r.body[sizeof(*o)], '{');	/* the raw result */
	assert_true(shm_sess_get(&shm, health_of(server), server, &si));
	assert_int_equal(si.era, era);
	assert_string_equal(si.version, version);
	free(r.body);
	assert_result(call(fd, server, "echo", "{\"a\": [1, \"\\u00e9\"]}"),
	    era == ERA_LEGACY ? "{\"a\": [1, \"\\u00e9\"]}" :
	    "{\"a\": [1, \"\\u00e9\"]}");
	close(fd);
}

static void
test_open(void **state)
{
	check_opened(PLAIN, ERA_LEGACY, "2025-11-25", 1);
	check_opened(MODERN, ERA_MODERN, "2026-07-28", 1);
	check_opened(FUTURE, ERA_MODERN, "2026-07-28", 1);
	/* one that exits at the question is started again and not asked */
	check_opened(FRAGILE, ERA_LEGACY, "2025-11-25", 2);
}

static void
test_cannot_start(void **state)
{
	int fd = client_connect();

	assert_error(open_server(fd, ABSENT), ERR_UPSTREAM, true,
	    "server \"absent\": cannot run /proc/nonexistent/server: "
	    "No such file or directory");
	assert_error(open_server(fd, NO_DIRECTORY), ERR_UPSTREAM, true,
	    "server \"no_directory\": cannot enter /proc/nonexistent/directory: "
	    "No such file or directory");
	assert_error(open_server(fd, REFUSES), ERR_UPSTREAM, true,
	    "server \"refuses\" refused to initialize: go?away");
	assert_error(open_server(fd, MUTE), ERR_TIMEOUT, true,
	    "server \"mute\" did not answer initialize within 300 ms");
	close(fd);
}

/* Dies at once: the next start is put off by 100 ms, 200 ms, 400 ms ... */
static void
test_backoff(void **state)
{
	static const char next[] = "; next start in ";
	int fd = client_connect(), starts = 0;
	struct reply r;
	long ms = 0;
	char *at;

	while (ms <= 200) {
		r = open_server(fd, DIES);
		assert_int_equal(r.f.type, STDIO_ERROR);
		assert_int_equal(r.f.flags,
		    ERR_UPSTREAM | STDIO_FLAG_NOT_EXECUTED);
		assert_non_null(strstr(r.body,
		    "server \"dies\" ended (exit status 5)"));
		if ((at = strstr(r.body, next)) != NULL) {
			ms = strtol(at + strlen(next), NULL, 10);
			assert_in_range(ms, 1, 100 << (starts - 1));
		} else {
			assert_non_null(strstr(r.body, "during its start"));
			starts++;
		}
		free(r.body);
	}
	assert_true(starts >= 3);
	assert_true(log_has("server \"dies\": cannot start: no database"));
	close(fd);
}

/* ---- routing ---- */

static void
test_many_clients(void **state)
{
	uint64_t id[20];
	int fd[20], i;
	char text[32];

	for (i = 0; i < 20; i++) {
		fd[i] = client_connect();
		id[i] = call_put(fd[i], PLAIN, "hold", "{\"n\": 20}");
	}
	for (i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "%llu",
		    (unsigned long long)id[i]);
		assert_result(answer_get(fd[i], id[i]), text);
		close(fd[i]);
	}
}

static void
test_slow_does_not_block(void **state)
{
	int slow = client_connect(), quick = client_connect();
	uint64_t id = call_put(slow, PLAIN, "slow", "{\"ms\": 300}");

	assert_result(call(quick, PLAIN, "echo", "{}"), "{}");
	assert_result(answer_get(slow, id), "\"late\"");
	close(slow);
	close(quick);
}

/* A server must not answer for another one's calls, nor twice. */
static void
test_wrong_ids(void **state)
{
	int fd = client_connect(), victim = client_connect();
	uint64_t held = call_put(victim, SECOND, "never", "{}");
	char params[64];

	snprintf(params, sizeof(params), "{\"victim\": %llu}",
	    (unsigned long long)held);
	assert_result(call(fd, PLAIN, "wrong_id", params), "\"right\"");
	assert_result(call(fd, PLAIN, "duplicate", "{}"), "\"right\"");
	assert_result(call(fd, PLAIN, "echo", "{}"), "{}");
	assert_int_equal(fdio_wait(victim, POLLIN, 0), 0);
	close(fd);
	close(victim);
}

static void
test_garbage(void **state)
{
	int fd = client_connect();

	assert_result(call(fd, PLAIN, "garbage", "{}"), "\"fine\"");
	assert_true(log_has("server \"plain\": wrote what is no JSON-RPC "
	    "message; dropped"));
	assert_result(call(fd, PLAIN, "batch", "{}"), "\"batch\"");
	close(fd);
}

static void
expect_message(int fd, uint64_t id, const char *part)
{
	struct reply r = frame_get(fd);

	assert_int_equal(r.f.type, STDIO_MESSAGE);
	assert_int_equal(r.f.id, id);
	if (strstr(r.body, part) == NULL)
		fail_msg("%s: no %s", r.body, part);
	free(r.body);
}

static void
test_notifications(void **state)
{
	struct shm_health *h = shm_health(&shm, health_of(PLAIN));
	int fd = client_connect(), other = client_connect();
	struct reply r;
	uint64_t id;

	atomic_store(&h->dirty, 0);
	atomic_store(&shm_poll(&shm)->dirty, 0);
	id = call_put(fd, PLAIN, "progress", "{}");
	expect_message(fd, id, "\"progress\": 1, \"total\": 2");
	expect_message(fd, id, "for the only call");
	assert_result(answer_get(fd, id), "\"done\"");
	assert_int_equal(atomic_load(&h->dirty), 1);
	assert_int_equal(atomic_load(&shm_poll(&shm)->dirty), 1);
	/* With two calls under way, only progress can be routed. */
	call_put(other, PLAIN, "never", "{}");
	id = call_put(fd, PLAIN, "progress", "{}");
	expect_message(fd, id, "\"progress\": 1, \"total\": 2");
	r = frame_get(fd);
	assert_int_equal(r.f.type, STDIO_RESPONSE);
	free(r.body);
	close(fd);
	close(other);
}

static void
test_requests_of_the_server(void **state)
{
	struct json_value v;
	struct span list;
	size_t pos = 0;
	int fd = client_connect();
	struct reply r = call(fd, PLAIN, "ask", "{}");

	list = result_of(&r);
	assert_true(json_next_element(list, &pos, &v));
	assert_span(member(v.raw, "id").raw, "\"p-1\"");
	assert_span(member(v.raw, "result").raw, "{}");
	assert_true(json_next_element(list, &pos, &v));
	assert_span(member(v.raw, "id").raw, "7");
	assert_span(member(member(v.raw, "error").raw, "code").raw, "-32601");
	assert_true(json_next_element(list, &pos, &v));
	assert_span(member(v.raw, "id").raw, "8");
	assert_false(json_next_element(list, &pos, &v));
	free(r.body);
	close(fd);
}

/* White space between tokens of a request must not make a second line. */
static void
test_one_line(void **state)
{
	int fd = client_connect();

	assert_result(call(fd, PLAIN, "echo", "{\n\"a\":\r\n1}"), "{\"a\": 1}");
	close(fd);
}

static void
test_cancel(void **state)
{
	char expect[160];
	int fd = client_connect(), gone = client_connect();
	uint64_t id, closed;
	struct reply r;

	assert_result(call(fd, SECOND, "echo", "{}"), "{}");
	id = call_put(fd, SECOND, "slow", "{\"ms\": 100}");
	frame_put(fd, STDIO_CANCEL, id, SECOND, NULL, 0);
	closed = call_put(gone, SECOND, "never", "{}");
	assert_result(call(fd, SECOND, "echo", "{}"), "{}");
	close(gone);
	do {				/* the closing may be seen later */
		r = call(fd, SECOND, "notes", "{}");
		snprintf(expect, sizeof(expect), "[\"notifications/cancelled\","
		    " {\"requestId\": %llu, \"reason\": "
		    "\"cancelled by the client\"}]",
		    (unsigned long long)closed);
	} while (strstr(r.body, expect) == NULL && (free(r.body), true));
	snprintf(expect, sizeof(expect), "{\"requestId\": %llu, ",
	    (unsigned long long)id);
	if (strstr(r.body, expect) == NULL)
		fail_msg("%s: no %s", r.body, expect);
	assert_non_null(strstr(r.body, "[[\"notifications/initialized\""));
	free(r.body);
	/* The late answer of the cancelled call comes to nobody. */
	assert_result(call(fd, SECOND, "slow", "{\"ms\": 200}"), "\"late\"");
	assert_int_equal(fdio_wait(fd, POLLIN, 0), 0);
	close(fd);
}

static void
test_notify(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\","
	    "\"method\":\"notifications/x\"}";
	int fd = client_connect();
	struct reply r;

	frame_put(fd, STDIO_NOTIFY, 0, UNKNOWN, text, strlen(text));
	frame_put(fd, STDIO_NOTIFY, 0, SECOND, text, strlen(text));
	r = call(fd, SECOND, "notes", "{}");
	assert_non_null(strstr(r.body, "[\"notifications/x\", null]"));
	free(r.body);
	close(fd);
}

static void
test_protocol_breaches(void **state)
{
	struct stdio_frame f = { .magic = 1 };
	int fd = client_connect(), other;

	assert_int_equal(fdio_write_all(fd, &f, sizeof(f)), 0);
	assert_null(frame_get(fd).body);
	close(fd);
	fd = client_connect();		/* too large */
	f.magic = STDIO_FRAME_MAGIC;
	f.type = STDIO_CALL;
	f.size = STDIO_BODY_MAX + 1;
	assert_int_equal(fdio_write_all(fd, &f, sizeof(f)), 0);
	assert_null(frame_get(fd).body);
	close(fd);
	fd = client_connect();		/* unknown type */
	frame_put(fd, 99, 1, PLAIN, NULL, 0);
	assert_null(frame_get(fd).body);
	close(fd);
	fd = client_connect();		/* two calls at a time */
	call_put(fd, PLAIN, "never", "{}");
	call_put(fd, PLAIN, "never", "{}");
	assert_null(frame_get(fd).body);
	close(fd);
	fd = client_connect();		/* an id that is under way */
	call_put(fd, PLAIN, "never", "{}");
	last_id--;
	other = client_connect();
	assert_error(call(other, PLAIN, "echo", "{}"), ERR_INTERNAL, true,
	    "is in use");
	close(fd);
	close(other);
}

/* ---- sizes ---- */

static void
test_large(void **state)
{
	size_t n = 10 << 20;
	char *params = xmalloc(n + 3);
	int fd = client_connect();
	struct reply r = call(fd, PLAIN, "big", "{\"n\": 10485760}");

	assert_int_equal(result_of(&r).n, n + 2);
	free(r.body);
	memset(params, 'y', n + 2);
	params[0] = params[n + 1] = '"';
	params[n + 2] = '\0';
	r = call(fd, PLAIN, "echo", params);
	assert_int_equal(result_of(&r).n, n + 2);
	assert_memory_equal(result_of(&r).p, params, n + 2);
	free(r.body);
	free(params);
	close(fd);
}

static void
test_line_too_long(void **state)
{
	int fd = client_connect();

	assert_error(call(fd, ROUND, "no_line_end", "{\"n\": 41943040}"),
	    ERR_UPSTREAM, false, "server \"round\" wrote a line longer than "
	    "20971520 bytes");
	servers[ROUND - 1].env[0] = "AFTER=1";	/* a change ends the back-off */
	publish();
	assert_result(call(fd, ROUND, "echo", "{}"), "{}");
	close(fd);
}

static void
test_does_not_read(void **state)
{
	size_t n = 6 << 20;
	char *params = xmalloc(n + 3);
	int fd = client_connect(), other = client_connect();
	uint64_t id;

	memset(params, 'y', n + 2);
	params[0] = params[n + 1] = '"';
	params[n + 2] = '\0';
	id = call_put(fd, DEAF, "echo", params);
	assert_error(call(other, DEAF, "echo", params), ERR_UNAVAILABLE, true,
	    "server \"deaf\" does not read its input");
	frame_put(fd, STDIO_CANCEL, id, DEAF, NULL, 0);
	free(params);
	close(fd);
	close(other);
}

/* ---- processes ---- */

static void
test_environment(void **state)
{
	char expect[256];
	int fd = client_connect();
	struct reply r = call(fd, ENV, "describe", "{}");
	struct span d = result_of(&r);

	snprintf(expect, sizeof(expect), "[\"EMPTY=\", \"HOME=%s\", "
	    "\"KEY=a secret=1\", \"LANG=C\", \"PATH=/usr/local/sbin:"
	    "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]", dir);
	assert_span(member(d, "env").raw, expect);
	assert_span(member(d, "fds").raw, "[\"0\", \"1\", \"2\"]");
	snprintf(expect, sizeof(expect), "\"%s\"", dir);
	assert_span(member(d, "cwd").raw, expect);
	assert_span(member(d, "oom").raw, "500");
	assert_span(member(d, "leads_session").raw, "true");
	assert_span(member(d, "core").raw, "0");
	assert_span(member(d, "memory").raw, "2147483648");
	assert_span(member(d, "no_new_privs").raw, "\"1\"");
	assert_span(member(d, "blocked").raw, "\"0000000000000000\"");
	/* Python itself ignores SIGPIPE and SIGXFSZ. */
	assert_span(member(d, "ignored").raw, "\"0000000001001000\"");
	free(r.body);
	close(fd);
}

/* RLIMIT_DATA from the configuration; a change is for the next start, and
 * what the server has of its own goes before. */
static void
test_memory(void **state)
{
	int fd = client_connect();
	struct reply r;

	conf.stdio_memory = 1LL << 30;
	publish_conf();
	servers[ENV - 1].cwd = NULL;
	publish();
	r = call(fd, ENV, "describe", "{}");
	assert_span(member(result_of(&r), "memory").raw, "1073741824");
	assert_span(member(result_of(&r), "cwd").raw, "\"/\"");
	free(r.body);
	servers[ENV - 1].memory = 1LL << 29;
	publish();
	r = call(fd, ENV, "describe", "{}");
	assert_span(member(result_of(&r), "memory").raw, "536870912");
	free(r.body);
	servers[ENV - 1].memory = 0;
	conf.stdio_memory = 0;
	publish_conf();
	publish();
	close(fd);
}

/* Processes that are within the limits each, but not all together. */
static void
test_over_limits(void **state)
{
	int fd = client_connect(), pid_fd = client_connect();
	struct reply r;
	int64_t pid;

	servers[SECOND - 1].memory = 200 << 20;
	publish();
	r = call(pid_fd, SECOND, "describe", "{}");
	assert_true(json_int(member(result_of(&r), "pid"), &pid));
	free(r.body);
	/* What they share is counted once: it lives for three looks, at least. */
	assert_result(call(fd, SECOND, "hog", "{\"children\": 4, "
	    "\"megabytes\": 100, \"shared\": true}"), "\"shared\"");
	assert_result(call(fd, SECOND, "slow", "{\"ms\": 7000}"), "\"late\"");
	assert_error(call(fd, SECOND, "hog", "{\"children\": 4, "
	    "\"megabytes\": 100}"), ERR_UPSTREAM, false, "server \"second\" "
	    "was ended: it used more than 200 MB of memory");
	WAIT_FOR(kill(-(pid_t)pid, 0) < 0 && errno == ESRCH);
	servers[SECOND - 1].memory = 0;
	servers[SECOND - 1].processes = 20;
	publish();
	assert_error(call(fd, SECOND, "hog", "{\"children\": 40, "
	    "\"megabytes\": 0}"), ERR_UPSTREAM, false, "server \"second\" "
	    "was ended: it had more than 20 processes and threads");
	servers[SECOND - 1].processes = 0;
	publish();
	close(pid_fd);
	close(fd);
}

static void
test_flood(void **state)
{
	int fd = client_connect();

	assert_result(call(fd, ENV, "flood", "{\"n\": 100000}"), "\"dry\"");
	assert_true(log_has("server \"env\": EEEEEEEE"));
	assert_true(log_has("E\\x1b[31m?"));
	close(fd);
}

/* One line with very many requests in it is no matter of other servers. */
static void
test_questions(void **state)
{
	int asking = client_connect(), quick = client_connect();
	uint64_t id = call_put(asking, SECOND, "questions", "{\"n\": 480000}");
	int64_t end = clock_mono_ms() + WAIT_MS, start, worst = 0;

	while (fdio_wait(asking, POLLIN, 0) == 0 && clock_mono_ms() < end) {
		start = clock_mono_ms();
		assert_result(call(quick, PLAIN, "echo", "{}"), "{}");
		if (clock_mono_ms() - start > worst)
			worst = clock_mono_ms() - start;
	}
	assert_result(answer_get(asking, id), "\"asked\"");
	assert_in_range(worst, 0, 1000);
	close(asking);
	close(quick);
}

static void
test_dies_in_call(void **state)
{
	int other = client_connect(), fd = client_connect();
	uint64_t id = call_put(other, SECOND, "never", "{}");

	assert_error(call(fd, SECOND, "die", "{}"), ERR_UPSTREAM, false,
	    "server \"second\" ended (exit status 3) during the call");
	assert_error(answer_get(other, id), ERR_UPSTREAM, false,
	    "server \"second\" ended (exit status 3) during the call");
	servers[SECOND - 1].env[0] = "AFTER=1";
	publish();
	assert_result(call(fd, SECOND, "answer_and_die", "{}"),
	    "\"last words\"");
	servers[SECOND - 1].env[0] = "AFTER=2";
	publish();
	assert_error(call(fd, SECOND, "close_output", "{}"), ERR_UPSTREAM,
	    false, "server \"second\" ended (exit status 0) during the call");
	close(fd);
	close(other);
}

static pid_t
start_grandchild(int fd, const char *params)
{
	struct reply r = call(fd, ROUND, "grandchild", params);
	pid_t pid = (pid_t)strtol(result_of(&r).p, NULL, 10);

	free(r.body);
	assert_int_equal(kill(pid, 0), 0);
	return pid;
}

/* Grandchildren that ignore SIGTERM and left the process group. */
static void
test_grandchild(void **state)
{
	int fd = client_connect();
	pid_t pid = start_grandchild(fd, "{\"own_session\": false}");

	assert_error(call(fd, ROUND, "die", "{}"), ERR_UPSTREAM, false,
	    "exit status 3");
	WAIT_FOR(kill(pid, 0) < 0 && errno == ESRCH);
	close(fd);
}

/* A call that runs when its server is changed is still answered. */
static void
test_change_drains(void **state)
{
	int fd = client_connect(), other = client_connect();
	uint64_t id;

	servers[ROUND - 1].env[0] = "ROUND=first";
	publish();
	id = call_put(fd, ROUND, "slow", "{\"ms\": 500}");
	assert_result(call(other, ROUND, "echo", "{}"), "{}");
	servers[ROUND - 1].env[0] = "ROUND=second";
	publish();
	assert_result(call(other, ROUND, "notes", "{}"),
	    "[[\"notifications/initialized\", null]]");
	assert_result(answer_get(fd, id), "\"late\"");
	servers[ROUND - 1].disabled = true;
	publish();
	assert_error(call(fd, ROUND, "echo", "{}"), ERR_UNAVAILABLE, true,
	    "server \"round\" is disabled");
	servers[ROUND - 1].disabled = false;
	publish();
	close(fd);
	close(other);
}

/* Ignores the end of its input and SIGTERM: gone within 5 s all the same. */
static void
test_stubborn(void **state)
{
	int fd = client_connect(), other = client_connect();
	struct reply r = call(fd, STUBBORN, "describe", "{}");
	uint64_t id = call_put(other, SILENT, "close_output", "{}");
	int64_t pid, start = clock_mono_ms();

	assert_true(json_int(member(result_of(&r), "pid"), &pid));
	free(r.body);
	servers[STUBBORN - 1].disabled = true;
	publish();
	WAIT_FOR(kill((pid_t)pid, 0) < 0 && errno == ESRCH);
	assert_in_range(clock_mono_ms() - start, 4000, 10000);
	assert_error(answer_get(other, id), ERR_UPSTREAM, false,
	    "server \"silent\" closed its output during the call");
	close(fd);
	close(other);
}

static void
test_idle_and_places(void **state)
{
	int fd = client_connect(), busy = client_connect();

	conf.stdio_idle_ms = 1000;
	publish_conf();
	WAIT_FOR(count_children() == 0);
	conf.stdio_idle_ms = 600000;
	conf.stdio_max = 1;
	publish_conf();
	servers[SECOND - 1].env[0] = "AFTER=3";
	publish();
	assert_result(call(fd, PLAIN, "echo", "{}"), "{}");
	assert_result(call(fd, SECOND, "echo", "{}"), "{}");
	assert_int_equal(count_children(), 1);
	assert_true(log_has("server \"plain\": ended to make place"));
	call_put(busy, SECOND, "never", "{}");
	assert_result(call(fd, SECOND, "echo", "{}"), "{}");
	assert_error(call(fd, PLAIN, "echo", "{}"), ERR_UNAVAILABLE, true,
	    "server \"plain\": all 1 processes of stdio servers are busy");
	conf.stdio_max = 64;
	publish_conf();
	close(fd);
	close(busy);
}

/* 200 processes of one server, half of them die in a call. */
static void
test_restarts(void **state)
{
	unsigned fds, i;
	char text[32];
	int fd = client_connect();

	conf.stdio_idle_ms = 1000;
	publish_conf();
	WAIT_FOR(count_children() == 0);
	fds = count_fds();
	for (i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "ROUND=%u", i);
		servers[ROUND - 1].env[0] = text;
		publish();
		if (i % 2 == 0)
			assert_result(call(fd, ROUND, "echo", "{}"), "{}");
		else
			assert_error(call(fd, ROUND, "die", "{}"),
			    ERR_UPSTREAM, false, "exit status 3");
	}
	WAIT_FOR(count_children() == 0);
	WAIT_FOR(count_fds() <= fds);	/* some may have been closing */
	servers[ROUND - 1].env[0] = "ROUND=end";
	publish();
	conf.stdio_idle_ms = 600000;
	publish_conf();
	close(fd);
}

/* SIGTERM: a call under way is answered, everything is ended, exit 0, and
 * not even a grandchild with a session of its own is left. */
static void
test_stop(void **state)
{
	int fd = client_connect(), other = client_connect();
	pid_t pid = start_grandchild(fd, "{\"own_session\": true}");
	uint64_t id = call_put(fd, ROUND, "slow", "{\"ms\": 400}");
	int64_t start = clock_mono_ms();
	int large = client_connect();
	uint64_t large_id;
	struct reply r;

	assert_result(call(other, PLAIN, "echo", "{}"), "{}");
	large_id = call_put(large, PLAIN, "big", "{\"n\": 10485760}");
	assert_result(call(other, STUBBORN, "echo", "{}"), "{}");
	assert_result(call(other, ROUND, "echo", "{}"), "{}");
	kill(stdiod_pid, SIGTERM);
	assert_result(answer_get(fd, id), "\"late\"");
	assert_error(call(fd, PLAIN, "echo", "{}"), ERR_UNAVAILABLE, true,
	    "shutting down");
	r = answer_get(large, large_id);
	assert_int_equal(result_of(&r).n, 10485762);
	free(r.body);
	close(large);
	assert_int_equal(stdiod_wait(), 0);
	assert_in_range(clock_mono_ms() - start, 0, 6000);
	WAIT_FOR(kill(pid, 0) < 0 && errno == ESRCH);
	close(fd);
	close(other);
}

static bool
is_gone(int64_t pid)
{
	return kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* SIGKILL: servers end, and what they started, even what left for a session of
 * its own. */
static void
test_killed(void **state)
{
	int64_t pid, stubborn, grandchild;
	struct reply r;
	int fd;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	stdiod_start();
	fd = client_connect();
	r = call(fd, PLAIN, "describe", "{}");
	assert_true(json_int(member(result_of(&r), "pid"), &pid));
	free(r.body);
	r = call(fd, STUBBORN, "describe", "{}");
	assert_true(json_int(member(result_of(&r), "pid"), &stubborn));
	free(r.body);
	grandchild = start_grandchild(fd, "{\"own_session\": true}");
	kill(stdiod_pid, SIGKILL);
	assert_true(WIFSIGNALED(stdiod_wait()));
	/* Those that wait for them are adopted by us. */
	WAIT_FOR(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	assert_true(is_gone(pid));
	assert_true(is_gone(stubborn));
	assert_true(is_gone(grandchild));
	close(fd);
}

static int
enable_stubborn(void **state)
{
	servers[STUBBORN - 1].disabled = false;
	publish();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_policy),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_cannot_start),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_slow_does_not_block),
		cmocka_unit_test(test_wrong_ids),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_requests_of_the_server),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_protocol_breaches),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_line_too_long),
		cmocka_unit_test(test_does_not_read),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_over_limits),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_dies_in_call),
		cmocka_unit_test(test_grandchild),
		cmocka_unit_test(test_change_drains),
		cmocka_unit_test(test_stubborn),
		cmocka_unit_test(test_idle_and_places),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test_setup(test_stop, enable_stubborn),
		cmocka_unit_test(test_killed),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
