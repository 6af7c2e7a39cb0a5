/*
 * test_stdiod_sessions -- processes of single client sessions: who gets one,
 * what is declared to it, and where its own requests go.
 */
#include <sys/prctl.h>

#include "stdio_test.h"

enum { PLAIN = 1, LOGS, EARLY, N_SERVERS };
#define ANN	0x1111
#define BOB	0x2222
#define CAPS	"{\"roots\": {}, \"sampling\": {}}"

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
	define(PLAIN, "plain", "plain");
	define(LOGS, "logs", "logs");
	define(EARLY, "early", "early");
	conf.drain_timeout_ms = 3000;
	publish_conf();
	publish_policy(servers, N_SERVERS - 1);
	stdiod_start();
	return 0;
}

static int
tear_down(void **state)
{
	if (stdiod_pid > 0) {
		kill(stdiod_pid, SIGTERM);
		stdiod_wait();
	}
	unlink(socket_path);
	unlink(log_path);
	rmdir(dir);
	shm_destroy(&shm);
	return 0;
}

static void
open_for(int fd, int64_t server, uint64_t session, const char *caps)
{
	uint64_t id = ++last_id;
	struct reply r;

	frame_session = session;
	frame_put(fd, STDIO_OPEN, id, server, caps, strlen(caps));
	r = answer_get(fd, id);
	if (r.f.type != STDIO_OPENED)
		fail_msg("type %d: %s", r.f.type, r.body);
	free(r.body);
}

/* The process that answers; what was declared to it, if asked for. */
static int64_t
who(int fd, int64_t server, uint64_t session, const char *declared,
    const char *levels)
{
	struct json_value v[3];
	struct reply r;
	size_t pos = 0;
	int64_t pid;
	int i;

	frame_session = session;
	r = call(fd, server, "who", "{}");
	for (i = 0; i < 3; i++)
		assert_true(json_next_element(result_of(&r), &pos, &v[i]));
	assert_true(json_int(v[0], &pid));
	if (declared != NULL)
		assert_span(v[1].raw, declared);
	if (levels != NULL)
		assert_span(v[2].raw, levels);
	free(r.body);
	return pid;
}

static void
test_own_process(void **state)
{
	int fd = client_connect(), other = client_connect();
	int64_t ann, bob, shared;

	open_for(fd, PLAIN, ANN, CAPS);
	open_for(fd, PLAIN, BOB, "{}");
	ann = who(fd, PLAIN, ANN, "[" CAPS "]", "[]");
	bob = who(fd, PLAIN, BOB, "[{}]", "[]");
	shared = who(fd, PLAIN, 0, "[{}]", "[]");
	assert_true(ann != bob && ann != shared && bob != shared);
	/* Over any connection; opening it again changes nothing. */
	open_for(other, PLAIN, ANN, CAPS);
	assert_int_equal(who(other, PLAIN, ANN, NULL, NULL), ann);
	assert_int_equal(who(other, PLAIN, 0, NULL, NULL), shared);
	close(fd);
	close(other);
}

static void
test_caps_are_json(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "\"x\"", "{} {}" };
	int fd = client_connect();
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		open_for(fd, PLAIN, 100 + i, bad[i]);
		who(fd, PLAIN, 100 + i, "[{}]", NULL);
		frame_put(fd, STDIO_CLOSE, 0, PLAIN, NULL, 0);
	}
	close(fd);
}

/* Only OPEN starts one: CALL does not say what to declare. */
static void
test_gone(void **state)
{
	int fd = client_connect();
	struct reply r;
	int64_t pid;

	frame_session = 0x3333;
	r = call(fd, PLAIN, "echo", "{}");
	assert_int_equal(r.f.type, STDIO_ERROR);
	assert_int_equal(r.f.flags, ERR_UPSTREAM | STDIO_FLAG_NOT_EXECUTED |
	    STDIO_FLAG_GONE);
	free(r.body);
	open_for(fd, PLAIN, 0x3333, CAPS);
	pid = who(fd, PLAIN, 0x3333, NULL, NULL);
	/* After a close the next call is refused, too. */
	frame_put(fd, STDIO_CLOSE, 0, PLAIN, NULL, 0);
	WAIT_FOR(kill((pid_t)pid, 0) < 0 && errno == ESRCH);
	r = call(fd, PLAIN, "echo", "{}");
	assert_int_equal(r.f.type, STDIO_ERROR);
	assert_true(r.f.flags & STDIO_FLAG_GONE);
	free(r.body);
	open_for(fd, PLAIN, 0x3333, CAPS);
	assert_true(who(fd, PLAIN, 0x3333, NULL, NULL) != pid);
	/* A close in the name of everybody is for nobody. */
	frame_session = 0;
	pid = who(fd, PLAIN, 0, NULL, NULL);
	frame_put(fd, STDIO_CLOSE, 0, PLAIN, NULL, 0);
	assert_int_equal(who(fd, PLAIN, 0, NULL, NULL), pid);
	close(fd);
}

static struct reply
message_get(int fd, uint64_t id, const char *part)
{
	struct reply r = frame_get(fd);

	assert_int_equal(r.f.type, STDIO_MESSAGE);
	assert_int_equal(r.f.id, id);
	if (strstr(r.body, part) == NULL)
		fail_msg("%s: no %s", r.body, part);
	return r;
}

static void
notify(int fd, const char *text)
{
	frame_put(fd, STDIO_NOTIFY, 0, PLAIN, text, strlen(text));
}

/* Its requests come with the newest call, or one that carries none yet; the
 * answers find their way back, and ping is answered at once. */
static void
test_asks(void **state)
{
	int old = client_connect(), fd = client_connect();
	uint64_t first, id;
	struct reply r;

	open_for(fd, PLAIN, ANN, CAPS);
	first = call_put(old, PLAIN, "slow", "{\"ms\": 600}");
	who(fd, PLAIN, ANN, NULL, NULL);	/* so that it is older */
	id = call_put(fd, PLAIN, "ask", "{}");
	free(message_get(fd, id, "\"roots/list\"").body);
	free(message_get(old, first, "\"sampling/createMessage\"").body);
	notify(fd, "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"roots\":[]}}");
	notify(fd, "{\"jsonrpc\":\"2.0\",\"id\":8,\"error\":{\"code\":-1,"
	    "\"message\":\"no\"}}");
	r = answer_get(fd, id);
	assert_non_null(strstr(r.body, "{\"jsonrpc\": \"2.0\", \"id\": \"p-1\", "
	    "\"result\": {}}"));
	assert_non_null(strstr(r.body, "{\"roots\": []}"));
	assert_non_null(strstr(r.body, "\"code\": -1"));
	free(r.body);
	assert_result(answer_get(old, first), "\"late\"");
	close(old);
	close(fd);
}

/* A call that asks when it is told to, and a newer one that is asked. */
struct asking {
	int		 asker, other;
	uint64_t	 asks, asked;
};

static void
ask_other(struct asking *a, const char *method, const char *params,
    uint16_t flags)
{
	int fd = client_connect();

	a->asker = client_connect();
	a->other = client_connect();
	open_for(fd, PLAIN, ANN, CAPS);
	a->asks = call_put(a->asker, PLAIN, "ask_later", "{}");
	who(fd, PLAIN, ANN, NULL, NULL);	/* so that it is older */
	frame_flags = flags;
	a->asked = call_put(a->other, PLAIN, method, params);
	frame_flags = 0;
	who(fd, PLAIN, ANN, NULL, NULL);
	notify(fd, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/now\"}");
	free(message_get(a->other, a->asked, "elicitation/create").body);
	close(fd);
}

/* What the server's question got; it is asked until there is something. */
static void
wait_answer(const char *part)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	int fd = client_connect();
	bool found = false;
	struct reply r;

	while (!found) {
		assert_true(clock_mono_ms() < until);
		r = call(fd, PLAIN, "got", "{}");
		found = strstr(r.body, part) != NULL;
		free(r.body);
	}
	close(fd);
}

static void
answer_question(const struct asking *a)
{
	struct reply r;

	notify(a->asker, "{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":"
	    "{\"action\":\"accept\"}}");
	r = frame_get(a->asker);
	assert_int_equal(r.f.type, STDIO_RESPONSE);
	assert_non_null(strstr(r.body, "accept"));
	free(r.body);
}

/* The call that carries it ends: it goes to the other one. */
static void
test_question_moves(void **state)
{
	struct asking a;

	ask_other(&a, "never", "{}", 0);
	frame_put(a.other, STDIO_CANCEL, a.asked, PLAIN, NULL, 0);
	free(message_get(a.asker, a.asks, "elicitation/create").body);
	answer_question(&a);
	close(a.other);
	close(a.asker);
	ask_other(&a, "never", "{}", 0);
	close(a.other);
	free(message_get(a.asker, a.asks, "elicitation/create").body);
	answer_question(&a);
	close(a.asker);
}

/* Ended by an answer it is the same, unless the client is still asked then. */
static void
test_question_of_answered(void **state)
{
	int fd = client_connect();
	struct asking a;

	ask_other(&a, "hold", "{\"n\": 2}", 0);
	free(call(fd, PLAIN, "hold", "{\"n\": 2}").body);
	free(answer_get(a.other, a.asked).body);
	free(message_get(a.asker, a.asks, "elicitation/create").body);
	answer_question(&a);
	close(a.asker);
	close(a.other);
	ask_other(&a, "hold", "{\"n\": 2}", STDIO_FLAG_HOLDS);
	free(call(fd, PLAIN, "hold", "{\"n\": 2}").body);
	free(answer_get(a.other, a.asked).body);
	answer_question(&a);
	close(a.asker);
	close(a.other);
	close(fd);
}

/* Nobody is left who may have asked it: the server learns that. */
static void
test_question_of_nobody(void **state)
{
	int late = client_connect(), fd = client_connect();
	struct asking a;

	ask_other(&a, "never", "{}", 0);
	call_put(late, PLAIN, "never", "{}");
	who(fd, PLAIN, ANN, NULL, NULL);
	frame_put(a.asker, STDIO_CANCEL, a.asks, PLAIN, NULL, 0);
	close(a.other);
	wait_answer("\"error\"");
	close(a.asker);
	close(late);
	close(fd);
}

/* One that the server withdrew is asked no more. */
static void
test_question_withdrawn(void **state)
{
	struct asking a;
	struct reply r;

	ask_other(&a, "never", "{}", 0);
	notify(a.other, "{\"jsonrpc\":\"2.0\",\"method\":"
	    "\"notifications/withdraw\"}");
	r = frame_get(a.asker);
	assert_int_equal(r.f.type, STDIO_RESPONSE);
	free(r.body);
	a.asks = call_put(a.asker, PLAIN, "never", "{}");
	close(a.other);
	wait_answer("null");
	close(a.asker);
}

/* Nothing was declared to the shared process: it may ask nothing. */
static void
test_shared_may_not_ask(void **state)
{
	int fd = client_connect();
	struct reply r;

	frame_session = 0;
	r = call(fd, PLAIN, "ask", "{}");
	assert_non_null(strstr(r.body, "\"id\": 7, \"error\": {\"code\": -32601"));
	assert_non_null(strstr(r.body, "\"id\": 8, \"error\": {\"code\": -32601"));
	free(r.body);
	close(fd);
}

/* What it asks before there is a call waits for one. */
static void
test_early(void **state)
{
	int fd = client_connect();
	uint64_t id;

	open_for(fd, EARLY, ANN, CAPS);
	id = call_put(fd, EARLY, "slow", "{\"ms\": 100}");
	free(message_get(fd, id, "\"e-1\"").body);
	assert_result(answer_get(fd, id), "\"late\"");
	close(fd);
}

static void
test_log_level(void **state)
{
	int fd = client_connect();

	who(fd, LOGS, 0, NULL, "[\"debug\"]");
	open_for(fd, LOGS, ANN, CAPS);
	who(fd, LOGS, ANN, NULL, "[\"debug\"]");
	close(fd);
}

/* They count like all others, and the idle ones make place. */
static void
test_places(void **state)
{
	int fd = client_connect();
	uint64_t i;

	conf.stdio_max = 3;
	publish_conf();
	for (i = 0; i < 8; i++) {
		open_for(fd, PLAIN, 0x9000 + i, CAPS);
		who(fd, PLAIN, 0x9000 + i, "[" CAPS "]", NULL);
	}
	assert_in_range(count_children(), 1, 3);
	conf.stdio_max = 64;
	publish_conf();
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_process),
		cmocka_unit_test(test_caps_are_json),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_question_moves),
		cmocka_unit_test(test_question_of_answered),
		cmocka_unit_test(test_question_of_nobody),
		cmocka_unit_test(test_question_withdrawn),
		cmocka_unit_test(test_shared_may_not_ask),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
