/* Unit tests of base/log: what a line looks like, and how a process dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/log_journal.h"

/* Runs fn with standard error into out. */
static void
capture(void (*fn)(void), char *out, size_t size)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	assert_true(saved >= 0);
	assert_int_equal(pipe(fds), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	close(fds[1]);
	fn();
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	n = read(fds[0], out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(fds[0]);
}

/* The text behind "time process LEVEL: ". */
static const char *
text_of(const char *line)
{
	const char *p = strstr(line, ": ");

	assert_non_null(p);
	return p + 2;
}

static void
say_one(void)
{
	errno = EPERM;
	log_warn("upstream %s is down", "a");
	assert_int_equal(errno, EPERM);
}

static void
line_has_time_process_level(void **state)
{
	char line[8192];

	log_init("worker[3]");
	capture(say_one, line, sizeof(line));
	assert_int_equal(line[4], '-');
	assert_int_equal(line[26], 'Z');
	assert_string_equal(line + 27,
	    " worker[3] WARNING: upstream a is down\n");
}

static void
say_controls(void)
{
	log_error("a\nb\r\x1b[0m\x7f \xc2\x9b \xc3\xa9 \xff\t.");
}

static void
controls_are_escaped(void **state)
{
	char line[8192];

	capture(say_controls, line, sizeof(line));
	assert_string_equal(text_of(line), "a\\nb\\x0d\\x1b[0m\\x7f "
	    "\\xc2\\x9b \xc3\xa9 \\xff\\x09.\n");
}

static void
say_long(void)
{
	char big[5000];

	memset(big, '\x01', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_error("%s", big);
}

static void
long_text_is_cut_in_one_line(void **state)
{
	char line[16384];

	capture(say_long, line, sizeof(line));
	assert_true(strlen(line) <= 4096);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void
say_all(void)
{
	log_error("e");
	log_warn("w");
	log_info("i");
	log_debug("d");
}

static int
count_lines(const char *p)
{
	int n = 0;

	for (; *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

static void
levels_filter(void **state)
{
	static const struct {
		const char *name;
		int lines;
	} cases[] = {
		{ "error", 1 }, { "warn", 2 }, { "info", 3 }, { "debug", 4 },
	};
	enum log_level level = LOG_LEVEL_INFO;
	char out[8192];
	size_t i;

	for (i = 0; i < 4; i++) {
		assert_int_equal(log_level_parse(cases[i].name, &level), 0);
		log_set_level(level);
		capture(say_all, out, sizeof(out));
		assert_int_equal(count_lines(out), cases[i].lines);
	}
	assert_int_equal(log_level_parse("verbose", &level), -1);
	assert_int_equal(log_level_parse("", &level), -1);
	log_set_level(LOG_LEVEL_INFO);
}

/* journald: what comes at its socket, field by field. */
static void
fields_for_the_journal(void **state)
{
	struct sockaddr_un own = { .sun_family = AF_UNIX };
	static const char want[] = "PRIORITY=4\nSYSLOG_FACILITY=3\n"
	    "SYSLOG_IDENTIFIER=";
	static const char end[] = "\nOMNI2_PROCESS=keeper\n"
	    "MESSAGE=keeper: a\\nb = c\n";
	char stream[64], got[4096], dir[] = "/tmp/log-test-XXXXXX";
	const char *usual = log_journal_socket;
	struct stat st;
	ssize_t n;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(own.sun_path, sizeof(own.sun_path), "%s/s", dir);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("keeper");
	log_journal_socket = own.sun_path;
	log_warn("a\nb = %s", "c");
	log_journal_socket = usual;
	unsetenv("JOURNAL_STREAM");
	log_init("test");
	n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	got[n] = '\0';
	assert_memory_equal(got, want, sizeof(want) - 1);
	assert_true((size_t)n > sizeof(end));
	assert_string_equal(got + n - (sizeof(end) - 1), end);
	close(fd);
	unlink(own.sun_path);
	rmdir(dir);
}

static void
say_as_journal(void)
{
	char stream[64];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("keeper");
	log_journal_socket = "/nonexistent/socket";
	log_set_level(LOG_LEVEL_DEBUG);
	say_all();
	log_set_level(LOG_LEVEL_INFO);
	setenv("JOURNAL_STREAM", "1:2", 1);	/* standard error is not it */
	log_init("keeper");
	log_info("plain");
	unsetenv("JOURNAL_STREAM");
	log_init("test");
}

static void
journal_lines_have_priorities(void **state)
{
	static const char want[] = "<3>keeper: e\n<4>keeper: w\n"
	    "<6>keeper: i\n<7>keeper: d\n";
	char out[8192];

	capture(say_as_journal, out, sizeof(out));
	assert_memory_equal(out, want, sizeof(want) - 1);
	assert_non_null(strstr(out, "Z keeper INFO: plain\n"));
}

static struct log_limit limit = { .interval_ms = 3600000 };

static void
say_limited(void)
{
	int i;

	for (i = 0; i < 5; i++)
		if (log_limit_ok(&limit))
			log_warn("again");
	limit.next_ms = (long)clock_mono_ms() - 1;	/* an hour later */
	if (log_limit_ok(&limit))
		log_warn("again");
	log_warn("other");
}

static void
limit_counts_what_it_left_out(void **state)
{
	char out[8192];

	capture(say_limited, out, sizeof(out));
	assert_int_equal(count_lines(out), 3);
	assert_non_null(strstr(out, "again\n"));
	assert_non_null(strstr(out, "again (4 similar lines left out)\n"));
	assert_non_null(strstr(out, "other\n"));
}

/* Runs fn in a child and returns its wait status; out gets its last words. */
static int
status_of(void (*fn)(void), char *out, size_t size)
{
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		dup2(fds[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(fds[1]);
	n = read(fds[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
bad_config(void)
{
	die_config("line %d", 3);
}

static void
bad_system(void)
{
	errno = ENOENT;
	die_sys("open x");
}

static void
bad_program(void)
{
	ASSERT_ALWAYS(1 == 2);
}

static void
no_memory(void)
{
	free(xmalloc(SIZE_MAX / 2));
}

static void
dies_with_the_right_status(void **state)
{
	char out[8192];
	int status;

	status = status_of(bad_config, out, sizeof(out));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 78);
	assert_string_equal(text_of(out), "line 3\n");
	status = status_of(bad_system, out, sizeof(out));
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 71);
	assert_string_equal(text_of(out),
	    "open x: No such file or directory\n");
	status = status_of(bad_program, out, sizeof(out));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(out, "bug: "));
	assert_non_null(strstr(out, "1 == 2"));
}

static void
dies_without_memory(void **state)
{
	char out[8192];
	int status;

	status = status_of(no_memory, out, sizeof(out));
	/* A sanitizer's malloc may end the process itself, with 1. */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_has_time_process_level),
		cmocka_unit_test(controls_are_escaped),
		cmocka_unit_test(long_text_is_cut_in_one_line),
		cmocka_unit_test(levels_filter),
		cmocka_unit_test(journal_lines_have_priorities),
		cmocka_unit_test(fields_for_the_journal),
		cmocka_unit_test(limit_counts_what_it_left_out),
		cmocka_unit_test(dies_with_the_right_status),
		cmocka_unit_test(dies_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
