/*
 * stdio_test -- a real stdiod in a child, with real shared memory, and a
 * client to talk frames to it. For test_stdiod; also used by hand.
 *
 * The test is the master: it builds policy snapshots from the table of
 * servers below and publishes them.
 */
#ifndef OMNI2_TESTS_STDIO_TEST_H
#define OMNI2_TESTS_STDIO_TEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/json_read.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "policy/build.h"
#include "shm/gen.h"
#include "shm/sess.h"
#include "shm/slot.h"
#include "stdio/stdio_proto.h"
#include "stdio/stdiod.h"

#define WAIT_MS		20000		/* for what must happen */
#define BUSY		5000000L	/* nanoseconds between two looks */

struct test_server {
	int64_t		id;
	const char	*name, *command, *args[6], *env[6], *cwd;
	int64_t		timeout_ms, memory, processes;
	bool		disabled, is_http, sandbox;
};

struct reply {
	struct stdio_frame f;
	char		*body;		/* with a NUL */
};

static struct shm shm;
static struct conf conf;
static pid_t stdiod_pid;
static char dir[] = "/tmp/test_stdiod.XXXXXX", socket_path[64], log_path[64];
static uint64_t last_id = 100ULL << 40;

static inline void
publish_conf(void)
{
	int i = shm_gen_free(&shm, SNAP_CONF);
	size_t size;

	assert_true(i >= 0);
	memcpy(shm_gen_buffer(&shm, SNAP_CONF, i, &size), &conf, sizeof(conf));
	assert_true(size >= sizeof(conf));
	shm_gen_publish(&shm, SNAP_CONF, i);
}

static inline void
put_string(char **s, const char *v)
{
	free(*s);
	*s = xstrdup(v);
}

static inline void
publish_policy(const struct test_server *t, size_t n)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	struct timespec nap = { 0, BUSY };
	struct model_server *s;
	struct model m;
	struct err e;
	size_t size, i, k;
	void *out;
	int buffer;

	model_init(&m);
	model_add_seed_roles(&m);
	for (i = 0; i < n; i++) {
		s = model_add_server(&m, t[i].name);
		s->id = t[i].id;
		s->transport = t[i].is_http ? TRANSPORT_HTTP : TRANSPORT_STDIO;
		s->enabled = !t[i].disabled;
		s->timeout_ms = t[i].timeout_ms;
		s->sandbox = t[i].sandbox;
		s->memory = t[i].memory;
		s->processes = t[i].processes;
		put_string(&s->command, t[i].command);
		put_string(&s->cwd, t[i].cwd != NULL ? t[i].cwd : "");
		for (k = 0; k < 6 && t[i].args[k] != NULL; k++)
			strlist_add(&s->args, t[i].args[k]);
		for (k = 0; k < 6 && t[i].env[k] != NULL; k++)
			strlist_add(&s->env, t[i].env[k]);
	}
	while ((buffer = shm_gen_free(&shm, SNAP_POLICY)) < 0) {
		assert_true(clock_mono_ms() < until);
		nanosleep(&nap, NULL);
	}
	out = shm_gen_buffer(&shm, SNAP_POLICY, buffer, &size);
	if (policy_build(out, size, &m, &conf, &shm, &e) < 0)
		fail_msg("policy: %s", e.text);
	shm_gen_publish(&shm, SNAP_POLICY, buffer);
	model_free(&m);
}

static inline void
stdiod_child(int listener, uint32_t slot)
{
	int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);

	dup2(log, STDERR_FILENO);
	close(log);
	log_init("stdiod");
	exit(stdiod_main(&shm, slot, listener, -1));
}

static inline void
stdiod_start(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	uint32_t slot = slot_take(&shm, KIND_STDIOD);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	unlink(socket_path);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_not_equal(slot, UINT32_MAX);
	stdiod_pid = fork();
	assert_true(stdiod_pid >= 0);
	if (stdiod_pid == 0)
		stdiod_child(fd, slot);
	slot_started(&shm, slot, stdiod_pid);
	close(fd);
}

static inline int
stdiod_wait(void)
{
	struct shm_request request;
	int status;

	assert_int_equal(waitpid(stdiod_pid, &status, 0), stdiod_pid);
	slot_reap(&shm, shm_kind_first(KIND_STDIOD), &request);
	stdiod_pid = 0;
	return status;
}

static inline void
test_shm_create(void)
{
	struct shm_sizes sizes = {
		.slots = 16, .perm_entries = 64, .rate_principals = 64,
		.connections = 16, .rate_window_ms = 1000,
		.conf_size = sizeof(struct conf), .policy_size = 1 << 18,
		.catalog_size = 8192,
	};
	struct err e;

	assert_int_equal(shm_create(&shm, &sizes, &e), 0);
	conf_defaults(&conf);
	conf.magic = CONF_MAGIC;
	assert_non_null(mkdtemp(dir));
	snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
}

/* ---- client ---- */

static uint64_t frame_session;		/* of all frames sent; 0: none */
static uint16_t frame_flags;

static inline int
client_connect(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static inline void
frame_put(int fd, uint16_t type, uint64_t id, int64_t server, const char *body,
    size_t n)
{
	struct stdio_frame f = {
		.magic = STDIO_FRAME_MAGIC, .type = type, .id = id,
		.server_id = server, .client_session = frame_session,
		.flags = frame_flags, .size = (uint32_t)n,
	};

	assert_int_equal(fdio_write_all(fd, &f, sizeof(f)), 0);
	if (n > 0)
		assert_int_equal(fdio_write_all(fd, body, n), 0);
}

/* Reads exactly n bytes. 1, or 0 at the end of the file. */
static inline int
read_all(int fd, char *p, size_t n)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	ssize_t got;

	while (n > 0) {
		if (fdio_wait(fd, POLLIN, until) != 1)
			fail_msg("nothing came within %d ms", WAIT_MS);
		if ((got = read(fd, p, n)) <= 0)
			return 0;
		p += got;
		n -= (size_t)got;
	}
	return 1;
}

static inline struct reply
frame_get(int fd)
{
	struct reply r = { .body = NULL };

	if (!read_all(fd, (char *)&r.f, sizeof(r.f)))
		return r;
	assert_int_equal(r.f.magic, STDIO_FRAME_MAGIC);
	r.body = xcalloc(1, (size_t)r.f.size + 1);
	assert_int_equal(read_all(fd, r.body, r.f.size), 1);
	return r;
}

static inline uint64_t
call_put(int fd, int64_t server, const char *method, const char *params)
{
	uint64_t id = ++last_id;
	char *text = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":"
	    "\"%s\",\"params\":%s}", (unsigned long long)id, method, params);

	frame_put(fd, STDIO_CALL, id, server, text, strlen(text));
	free(text);
	return id;
}

/* The answer to a call, without the messages before it. */
static inline struct reply
answer_get(int fd, uint64_t id)
{
	struct reply r;

	for (;;) {
		r = frame_get(fd);
		if (r.body == NULL)
			fail_msg("connection closed");
		assert_int_equal(r.f.id, id);
		if (r.f.type != STDIO_MESSAGE)
			return r;
		free(r.body);
	}
}

static inline struct reply
call(int fd, int64_t server, const char *method, const char *params)
{
	return answer_get(fd, call_put(fd, server, method, params));
}

static inline struct reply
open_server(int fd, int64_t server)
{
	uint64_t id = ++last_id;

	frame_put(fd, STDIO_OPEN, id, server, NULL, 0);
	return answer_get(fd, id);
}

/* Member "result" of an answer, raw, in r->body. */
static inline struct span
result_of(const struct reply *r)
{
	static const char *const names[] = { "result" };
	struct json_value v, out;

	if (r->f.type != STDIO_RESPONSE)
		fail_msg("type %d: %s", r->f.type, r->body);
	assert_int_equal(json_check(span_str(r->body), &v, NULL), JSON_OK);
	assert_int_equal(json_object(v.raw, names, &out, 1), JSON_OK);
	return out.raw;
}

static inline struct json_value
member(struct span object, const char *name)
{
	struct json_value v;

	assert_int_equal(json_object(object, &name, &v, 1), JSON_OK);
	return v;
}

static inline void
assert_span(struct span s, const char *text)
{
	if (!span_is(s, text))
		fail_msg("\"%.*s\" is not \"%s\"", SPAN_FMT(s), text);
}

static inline void
assert_result(struct reply r, const char *text)
{
	assert_span(result_of(&r), text);
	free(r.body);
}

/* An error with code whose text has the part in it. */
static inline void
assert_error(struct reply r, enum err_code code, bool not_executed,
    const char *part)
{
	if (r.f.type != STDIO_ERROR || strstr(r.body, part) == NULL)
		fail_msg("type %d: %s; expected %s", r.f.type, r.body, part);
	assert_int_equal(r.f.flags & ~STDIO_FLAG_NOT_EXECUTED, code);
	assert_int_equal((r.f.flags & STDIO_FLAG_NOT_EXECUTED) != 0,
	    not_executed);
	free(r.body);
}

/* ---- what can be seen from outside ---- */

static inline unsigned
count_fds(void)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)stdiod_pid);
	assert_non_null(d = opendir(path));
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

static inline unsigned
count_children(void)
{
	char path[64], text[4096];
	unsigned n = 0;
	char *p, *save = NULL;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
	    (int)stdiod_pid, (int)stdiod_pid);
	assert_true(fdio_read_file(path, text, sizeof(text)) >= 0);
	for (p = strtok_r(text, " \n", &save); p != NULL;
	    p = strtok_r(NULL, " \n", &save))
		n++;
	return n;
}

static inline bool
log_has(const char *text)
{
	static char log[1 << 20];

	assert_true(fdio_read_file(log_path, log, sizeof(log)) >= 0);
	return strstr(log, text) != NULL;
}

#define WAIT_FOR(x) do {						\
	int64_t until_ = clock_mono_ms() + WAIT_MS;			\
	struct timespec nap_ = { 0, BUSY };				\
	while (!(x)) {							\
		if (clock_mono_ms() > until_)				\
			fail_msg("not within %d ms: %s", WAIT_MS, #x);	\
		nanosleep(&nap_, NULL);					\
	}								\
} while (0)

#endif
