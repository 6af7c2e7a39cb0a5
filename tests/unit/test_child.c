/*
 * test_child -- what can go wrong between fork and execve, and who the child
 * is afterwards. Runs small standard programs; no MCP here.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/sanitizer.h"
#include "stdio/child.h"

#define WAIT_MS	20000

static char dir[] = "/tmp/test_child.XXXXXX";
static const struct child_user same_user;
static char *const no_strings[] = { NULL };

/* ThreadSanitizer has a thread of its own, and setresuid(2) of the C library
 * then sends a signal that the child, which has not that thread, dies of. */
#ifdef WITH_TSAN
static const bool may_change_user = false;
#else
static const bool may_change_user = true;
#endif

/* Waits for the outcome of execve: as child_exec_status(), but never 0. */
static int
outcome(const struct child_spec *s, struct child *c, struct err *e)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	int rv;

	do {
		assert_int_equal(fdio_wait(c->report, POLLIN, until), 1);
		rv = child_exec_status(c->report, s->name, s->command, s->cwd,
		    e);
	} while (rv == 0);
	return rv;
}

/* Reaps it and closes everything; returns the wait status. */
static int
finish(struct child *c)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	int status;

	close(c->in);
	close(c->out);
	close(c->err);
	close(c->report);
	while (child_next_ended() != c->pid) {
		assert_true(clock_mono_ms() < until);
		fdio_wait(-1, 0, clock_mono_ms() + 1);
	}
	status = child_reap(c->pid);
	assert_int_equal(kill(c->pid, 0), -1);
	return status;
}

/* Everything that the child writes to its standard output. */
static void
output(struct child *c, char *out, size_t size)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	size_t used = 0;
	ssize_t n;

	do {
		assert_int_equal(fdio_wait(c->out, POLLIN, until), 1);
		n = read(c->out, out + used, size - 1 - used);
		assert_true(n >= 0);
		used += (size_t)n;
	} while (n > 0);
	out[used] = '\0';
}

static void
make_file(const char *name, mode_t mode, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fdio_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int
set_up(void **state)
{
	char path[64];

	assert_non_null(mkdtemp(dir));
	chmod(dir, 0755);
	snprintf(path, sizeof(path), "%s/no_magic", dir);
	make_file(path, 0755, "echo a shell ran this\n");
	snprintf(path, sizeof(path), "%s/not_executable", dir);
	make_file(path, 0644, "#!/bin/sh\n");
	snprintf(path, sizeof(path), "%s/tool", dir);
	make_file(path, 0755, "#!/bin/sh\necho \"$PATH|$HOME|$LANG|$PWD\"\n");
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "no_magic", "not_executable",
		"tool" };
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

/* A command without magic number is not handed to a shell. */
static void
test_errors(void **state)
{
	static const struct {
		const char *command, *cwd, *text;
	} cases[] = {
		{ "/proc/nonexistent", "",
		    "server \"x\": cannot run /proc/nonexistent: "
		    "No such file or directory" },
		{ "no-such-command", "", "server \"x\": cannot run "
		    "no-such-command: No such file or directory" },
		{ "/", "", "server \"x\": cannot run /: Permission denied" },
		{ "./not_executable", dir, "server \"x\": cannot run "
		    "./not_executable: Permission denied" },
		{ "./no_magic", dir, "server \"x\": cannot run ./no_magic: "
		    "Exec format error" },
		{ "not_executable", "", "server \"x\": cannot run "
		    "not_executable: Permission denied" },
		{ "/bin/true", "/proc/nonexistent", "server \"x\": cannot "
		    "enter /proc/nonexistent: No such file or directory" },
		{ "", "", "server \"x\": cannot run : " },
	};
	char path[64];
	char *env[] = { path, NULL };
	struct child c;
	struct err e;
	size_t i;

	snprintf(path, sizeof(path), "PATH=/proc/nonexistent::%s:/", dir);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct child_spec s = { .name = "x",
		    .command = cases[i].command, .cwd = cases[i].cwd,
		    .args = no_strings, .env = env, .user = &same_user };

		assert_int_equal(child_spawn(&s, &c, &e), 0);
		assert_int_equal(outcome(&s, &c, &e), -1);
		assert_int_equal(e.code, ERR_UPSTREAM);
		if (strncmp(e.text, cases[i].text, strlen(cases[i].text)) != 0)
			fail_msg("%s: not %s", e.text, cases[i].text);
		assert_int_equal(WEXITSTATUS(finish(&c)), 127);
	}
}

static void
test_defaults(void **state)
{
	char path[64], expect[256], got[256];
	char *env[] = { path, NULL };
	struct child_spec s = { .name = "x", .command = "tool", .cwd = "",
	    .args = no_strings, .env = env, .user = &same_user };
	struct child c;
	struct err e;

	snprintf(path, sizeof(path), "PATH=/proc/nonexistent:%s", dir);
	assert_int_equal(child_spawn(&s, &c, &e), 0);
	assert_int_equal(outcome(&s, &c, &e), 1);
	output(&c, got, sizeof(got));
	snprintf(expect, sizeof(expect),
	    "/proc/nonexistent:%s|/|C.UTF-8|/\n", dir);
	assert_string_equal(got, expect);
	assert_int_equal(finish(&c), 0);
	s.cwd = dir;
	assert_int_equal(child_spawn(&s, &c, &e), 0);
	output(&c, got, sizeof(got));
	snprintf(expect, sizeof(expect), "/proc/nonexistent:%s|%s|C.UTF-8|%s\n",
	    dir, dir, dir);
	assert_string_equal(got, expect);
	assert_int_equal(finish(&c), 0);
}

/* Low descriptors may be free when stdiod starts: the pipes land on them. */
static void
test_low_descriptors(void **state)
{
	struct child_spec s = { .name = "x", .command = "/bin/cat", .cwd = "",
	    .args = no_strings, .env = no_strings, .user = &same_user };
	int saved = dup(STDIN_FILENO);
	struct child c;
	char got[16];
	struct err e;

	close(STDIN_FILENO);
	assert_int_equal(child_spawn(&s, &c, &e), 0);
	assert_int_equal(outcome(&s, &c, &e), 1);
	assert_int_equal(fdio_write_all(c.in, "abc", 3), 0);
	close(c.in);
	output(&c, got, sizeof(got));
	assert_string_equal(got, "abc");
	c.in = dup(c.out);
	assert_int_equal(finish(&c), 0);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static void
test_user(void **state)
{
	char command[] = "id -u; id -g; id -G";
	char dash_c[] = "-c";
	char *args[] = { dash_c, command, NULL };
	struct child_user u;
	struct child_spec s = { .name = "x", .command = "/bin/sh", .cwd = "",
	    .args = args, .env = no_strings, .user = &u };
	char got[256], expect[64];
	struct child c;
	struct err e;

	assert_int_equal(child_user_find(&u, "", &e), 0);
	assert_false(u.is_set);
	assert_int_equal(child_user_find(&u, "no-such-user", &e), -1);
	assert_string_equal(e.text, "stdio.user: no user \"no-such-user\"");
	if (geteuid() != 0) {
		assert_int_equal(child_user_find(&u, "root", &e), -1);
		assert_non_null(strstr(e.text, "only root"));
		return;
	}
	assert_int_equal(child_user_find(&u, "root", &e), 0);
	assert_false(u.is_set);
	if (!may_change_user)
		return;
	assert_int_equal(child_user_find(&u, "nobody", &e), 0);
	assert_true(u.is_set);
	assert_int_equal(child_spawn(&s, &c, &e), 0);
	output(&c, got, sizeof(got));
	snprintf(expect, sizeof(expect), "%u\n%u\n%u", (unsigned)u.uid,
	    (unsigned)u.gid, (unsigned)u.gid);
	assert_int_equal(strncmp(got, expect, strlen(expect)), 0);
	assert_int_equal(finish(&c), 0);
}

/* The signal that a change of the user would clear must still be set. */
static void
test_dies_with_parent(void **state)
{
	char seconds[] = "60";		/* it does not look at its input */
	char *args[] = { seconds, NULL };
	struct child_user u = { .is_set = false };
	struct child_spec s = { .name = "x", .command = "sleep", .cwd = "",
	    .args = args, .env = no_strings, .user = &u };
	struct err e;
	struct child c;
	int fd[2], status;
	pid_t pid;
	char byte;

	if (geteuid() == 0 && may_change_user)
		assert_int_equal(child_user_find(&u, "nobody", &e), 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(fd), 0);
	if ((pid = fork()) == 0) {
		if (child_spawn(&s, &c, &e) < 0 || outcome(&s, &c, &e) != 1)
			_exit(1);
		if (write(fd[1], &c.pid, sizeof(c.pid)) < 0)
			_exit(1);
		raise(SIGKILL);
		_exit(1);
	}
	close(fd[1]);
	assert_int_equal(read(fd[0], &c.pid, sizeof(c.pid)), sizeof(c.pid));
	assert_int_equal(read(fd[0], &byte, 1), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	/* It was adopted, so that what ended it can be seen. */
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	close(fd[0]);
}

static void
test_status_text(void **state)
{
	char text[64];

	child_status_text(3 << 8, text, sizeof(text));
	assert_string_equal(text, "exit status 3");
	child_status_text(SIGKILL, text, sizeof(text));
	assert_string_equal(text, "signal 9 (Killed)");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_low_descriptors),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_dies_with_parent),
		cmocka_unit_test(test_status_text),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
