/*
 * test_sandbox -- what a stdio server can do in its sandbox and what it
 * cannot, privileged and unprivileged, with everything the kernel has and with
 * parts of it missing. The server is sandbox_probe.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "stdio/child.h"

#define WAIT_MS		30000
#define NOBODY		65533	/* and nobody in a user namespace */

static char script[PATH_MAX], dir[] = "/var/tmp/omni2-sandbox-XXXXXX";
static char *nothing[] = { NULL };
static const struct child_user same_user;

static const char *
in_dir(const char *name)
{
	static char text[8][PATH_MAX];
	static int i;

	i = (i + 1) % 8;
	snprintf(text[i], sizeof(text[i]), "%s/%s", dir, name);
	return text[i];
}

static int
set_up(void **state)
{
	static const char *const names[] = { "", "cwd", "open", "closed",
	    "hidden" };
	const char *srcdir = getenv("srcdir");
	char path[PATH_MAX];
	size_t i;

	snprintf(path, sizeof(path), "%s/tests/unit/sandbox_probe.py",
	    srcdir != NULL ? srcdir : ".");
	assert_non_null(realpath(path, script));
	assert_non_null(mkdtemp(dir));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (i > 0)
			assert_int_equal(mkdir(in_dir(names[i]), 0777), 0);
		assert_int_equal(chmod(in_dir(names[i]), 0777), 0);
	}
	assert_int_equal(close(creat(in_dir("hidden/secret"), 0644)), 0);
	assert_int_equal(close(creat(in_dir("file"), 0666)), 0);
	assert_int_equal(chmod(in_dir("file"), 0666), 0);
	return 0;
}

static int
tear_down(void **state)
{
	char *command = xasprintf("rm -rf '%s'", dir);

	assert_int_equal(system(command), 0);
	free(command);
	return 0;
}

/* All that it writes, until it closes its output. */
static char *
read_output(int fd)
{
	static char text[65536];
	int64_t until = clock_mono_ms() + WAIT_MS;
	size_t n = 0;
	ssize_t got;

	while (fdio_wait(fd, POLLIN, until) == 1 &&
	    (got = read(fd, text + n, sizeof(text) - 1 - n)) != 0)
		n += got > 0 ? (size_t)got : 0;
	text[n] = '\0';
	return text;
}

struct run {
	struct sandbox_spec sandbox;
	const struct child_user *user;
	struct child	c;
	char		*output;
	int		status;		/* of the server */
	struct err	e;
};

static void
run_start(struct run *r, const char *actions)
{
	char *args[] = { (char *)(uintptr_t)"-I", (char *)(uintptr_t)"-S",
	    script, (char *)(uintptr_t)actions, NULL };
	struct child_spec s = { .name = "x", .command = "/usr/bin/python3",
	    .args = args, .env = nothing, .cwd = r->sandbox.cwd,
	    .user = r->user != NULL ? r->user : &same_user,
	    .sandbox = &r->sandbox };
	int64_t until = clock_mono_ms() + WAIT_MS;
	int rv;

	r->sandbox.args = args;
	if (child_spawn(&s, &r->c, &r->e) < 0)
		fail_msg("%s", r->e.text);
	do {
		assert_int_equal(fdio_wait(r->c.report, POLLIN, until), 1);
		rv = child_exec_status(r->c.report, s.name, s.command, s.cwd,
		    &r->e);
	} while (rv == 0);
	close(r->c.report);
	if (rv < 0)
		print_message("%s\n", r->e.text);
	if (rv > 0)
		err_clear(&r->e);
}

static void
run_end(struct run *r)
{
	close(r->c.in);
	while (child_next_ended() != r->c.pid)
		usleep(1000);
	r->status = child_server_status(r->c.status, child_reap(r->c.pid));
	close(r->c.out);
	close(r->c.err);
	close(r->c.status);
}

static void
run_defaults(struct run *r)
{
	memset(r, 0, sizeof(*r));
	r->sandbox.is_on = r->sandbox.has_network = true;
	r->sandbox.cwd = "";
	r->sandbox.writable = r->sandbox.hidden = r->sandbox.env = nothing;
	r->sandbox.command = "/usr/bin/python3";
}

/* Runs actions and compares what they gave. */
static void
expect(struct run *r, const char *actions, const char *results)
{
	run_start(r, actions);
	r->output = read_output(r->c.out);
	if (strncmp(r->output, results, strlen(results)) != 0)
		fail_msg("%s\ngave %swant %s\n%s", actions, r->output, results,
		    read_output(r->c.err));
	run_end(r);
}

static bool
is_root(void)
{
	return geteuid() == 0;
}

/* ---- the tests; each as we are, and as nobody ---- */

static void
files(struct run *r)
{
	char *writable[] = { (char *)(uintptr_t)in_dir("open"),
	    (char *)(uintptr_t)in_dir("file"), NULL };
	char *hidden[] = { (char *)(uintptr_t)in_dir("hidden"), NULL };
	char *actions = xasprintf("[[\"write\",\"%s/cwd/a\"],"
	    "[\"write\",\"%s/open/b\"],[\"mkdir\",\"%s/open/c\"],"
	    "[\"write\",\"%s/file\"],[\"write\",\"%s/closed/d\"],"
	    "[\"mkdir\",\"%s/e\"],[\"write\",\"/dev/null\"],"
	    "[\"read\",\"%s/hidden/secret\"],[\"read\",\"/etc/passwd/x\"],"
	    "[\"list\",\"%s/open\"]]", dir, dir, dir, dir, dir, dir, dir, dir);

	r->sandbox.cwd = in_dir("cwd");
	r->sandbox.writable = writable;
	r->sandbox.hidden = hidden;
	expect(r, actions, "[\"ok\", \"ok\", \"ok\", \"ok\", \"EROFS\", "
	    "\"EROFS\", \"ok\", \"EACCES\", \"ENOTDIR\", 2]");
	assert_int_equal(access(in_dir("open/b"), F_OK), 0);
	unlink(in_dir("cwd/a"));
	unlink(in_dir("open/b"));
	rmdir(in_dir("open/c"));
	free(actions);
}

static void
processes(struct run *r)
{
	char *actions = xasprintf("[[\"pid\"],[\"others\"],[\"kill\",%d],"
	    "[\"thread\"],[\"status\",\"CapEff\"],[\"status\",\"CapBnd\"],"
	    "[\"status\",\"Seccomp\"],[\"status\",\"NoNewPrivs\"]]",
	    (int)getpid());

	expect(r, actions, "[2, [], \"ESRCH\", \"ok\", \"0000000000000000\", "
	    "\"0000000000000000\", \"2\", \"1\"]");
	free(actions);
}

static void
temporary(struct run *r)
{
	/* The script must be where no temporary directory is. */
	if (strstr(script, "/tmp") != NULL)
		return;
	expect(r, "[[\"temporary\"]]", "[\"ok\"]");
}

static int
listener(int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void
network(struct run *r)
{
	char *actions;
	int port, fd = listener(&port);

	actions = xasprintf("[[\"connect\",%d],[\"listen\"],[\"socket\",17]]",
	    port);
	expect(r, actions, "[\"ok\", \"ok\", \"EAFNOSUPPORT\"]");
	r->sandbox.has_network = false;
	expect(r, actions, "[\"ECONNREFUSED\", \"ok\", \"EAFNOSUPPORT\"]");
	free(actions);
	close(fd);
}

static void
system_calls(struct run *r)
{
	char *actions = xasprintf("[[\"syscall\",%d,0],[\"syscall\",%d,0,0],"
	    "[\"syscall\",%d,268435456],[\"syscall\",%d,0],"
	    "[\"syscall\",%d,1,0,0],[\"syscall\",%d,1,0],[\"syscall\",%d,0,0],"
	    "[\"syscall\",%d,262144],[\"syscall\",%d,4294967295],"
	    "[\"syscall\",%d,0,21522,0]]", SYS_ptrace, SYS_mount, SYS_unshare,
	    SYS_unshare, SYS_bpf, SYS_io_uring_setup, SYS_clone3,
	    SYS_personality, SYS_personality, SYS_ioctl);

	expect(r, actions, "[\"EPERM\", \"EPERM\", \"EPERM\", \"ok\", "
	    "\"EPERM\", \"EPERM\", \"ENOSYS\", \"EPERM\", \"ok\", \"EPERM\"]");
	free(actions);
}

/* How it ended is told by another process, and is the truth all the same. */
static void
endings(struct run *r)
{
	run_start(r, "[[\"exit\",7]]");
	run_end(r);
	assert_true(WIFEXITED(r->status) && WEXITSTATUS(r->status) == 7);
	run_start(r, "[[\"signal\",11]]");
	run_end(r);
	assert_true(WIFSIGNALED(r->status) && WTERMSIG(r->status) == SIGSEGV);
	/* SIGTERM to the group reaches the server. */
	run_start(r, "[[\"wait\"]]");
	child_signal_group(r->c.pid, SIGTERM);
	run_end(r);
	assert_true(WIFSIGNALED(r->status) && WTERMSIG(r->status) == SIGTERM);
	/* Its input and output are as they always were. */
	run_start(r, "[[\"wait\"]]");
	assert_int_equal(fdio_write_all(r->c.in, "hello", 5), 0);
	close(r->c.in);
	r->c.in = -1;
	r->output = read_output(r->c.out);
	assert_string_equal(r->output, "[5]\n");
	run_end(r);
	assert_true(WIFEXITED(r->status) && WEXITSTATUS(r->status) == 0);
}

/* Processes of ours that have this program's script in their arguments. */
static int
count_probes(void)
{
	char *command = xasprintf("grep -lzs -- '%s' /proc/[0-9]*/cmdline | "
	    "wc -l", script);
	FILE *f = popen(command, "r");
	int n = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	free(command);
	return n;
}

static void
leaves_nothing(struct run *r)
{
	int before = count_probes();
	int64_t until = clock_mono_ms() + WAIT_MS;

	run_start(r, "[[\"grandchild\"],[\"grandchild\"]]");
	run_end(r);
	while (count_probes() > before && clock_mono_ms() < until)
		usleep(10000);
	assert_int_equal(count_probes(), before);
}

typedef void (*test_fn)(struct run *);

/* A test in a process of its own, as another user. */
static void
as_nobody(test_fn test)
{
	struct run r;
	int status;
	pid_t pid;

	if (!is_root())
		return;
	if ((pid = fork()) == 0) {
		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(99);
		run_defaults(&r);
		test(&r);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("as nobody: status %x", (unsigned)status);
}

#define BOTH(name)			\
static void				\
test_##name(void **state)		\
{					\
	struct run r;			\
					\
	run_defaults(&r);		\
	name(&r);			\
	as_nobody(name);		\
}

BOTH(files)
BOTH(processes)
BOTH(temporary)
BOTH(network)
BOTH(system_calls)
BOTH(endings)
BOTH(leaves_nothing)

/* root starts it as somebody else. */
static void
test_other_user(void **state)
{
	struct child_user user;
	struct run r;
	struct err e;

	if (!is_root())
		return;
	assert_int_equal(child_user_find(&user, "nobody", &e), 0);
	run_defaults(&r);
	r.user = &user;
	files(&r);
	run_defaults(&r);
	r.user = &user;
	expect(&r, "[[\"status\",\"Uid\"],[\"status\",\"CapEff\"],[\"pid\"],"
	    "[\"write\",\"/etc/omni2-probe\"]]",
	    "[\"65534\", \"0000000000000000\", 2, \"EROFS\"]");
}

/* Off means off. */
static void
test_off(void **state)
{
	char *actions = xasprintf("[[\"write\",\"%s/closed/d\"],"
	    "[\"status\",\"Seccomp\"]]", dir);
	struct run r;

	run_defaults(&r);
	r.sandbox.is_on = false;
	expect(&r, actions, "[\"ok\", \"0\"]");
	unlink(in_dir("closed/d"));
	free(actions);
}

static void
test_bad_path(void **state)
{
	char *writable[] = { (char *)(uintptr_t)"/nonexistent/place", NULL };
	struct run r;

	run_defaults(&r);
	r.sandbox.writable = writable;
	run_start(&r, "[]");
	run_end(&r);
	assert_int_equal(r.e.code, ERR_UPSTREAM);
	assert_string_equal(r.e.text, "server \"x\": cannot make "
	    "/nonexistent/place writable in its sandbox: No such file or "
	    "directory");
	run_defaults(&r);
	r.sandbox.cwd = "/nonexistent/place";
	run_start(&r, "[]");
	run_end(&r);
	assert_non_null(strstr(r.e.text, "cannot enter /nonexistent/place"));
}

/* A kernel without namespaces for us: Landlock and seccomp must do. The test
 * program's own filter says no to namespaces. */
static void
without_namespaces(struct run *r)
{
	char *writable[] = { (char *)(uintptr_t)in_dir("open"), NULL };
	char *actions = xasprintf("[[\"write\",\"%s/open/b\"],"
	    "[\"write\",\"/etc/omni2-probe\"],[\"write\",\"%s/../../x\"],"
	    "[\"socket\",2],[\"syscall\",%d,0],[\"kill\",%d]]", dir, dir,
	    SYS_ptrace, (int)getppid());
	char text[65536];
	int fd, port, l = listener(&port);
	ssize_t n;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    seccomp_deny(false) < 0 || (fd = open(in_dir("open/log"),
	    O_RDWR | O_CREAT | O_TRUNC, 0666)) < 0 || dup2(fd, 2) < 0)
		_exit(98);
	r->sandbox.writable = writable;
	run_start(r, actions);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	if (strstr(text, "server \"x\": the sandbox is without namespaces of "
	    "its own: Operation not permitted") == NULL)
		_exit(97);
	r->output = read_output(r->c.out);
	if (strncmp(r->output, "[\"ok\", \"EACCES\", \"EACCES\", \"ok\", "
	    "\"EPERM\", \"EPERM\"]", 50) != 0)
		_exit(96);
	run_end(r);
	/* Without a network of its own it gets no sockets for one. */
	r->sandbox.has_network = false;
	free(actions);
	actions = xasprintf("[[\"socket\",2],[\"socket\",10],[\"socket\",1],"
	    "[\"connect\",%d]]", port);
	run_start(r, actions);
	r->output = read_output(r->c.out);
	if (strncmp(r->output, "[\"EAFNOSUPPORT\", \"EAFNOSUPPORT\", \"ok\", "
	    "\"EAFNOSUPPORT\"]", 54) != 0)
		_exit(95);
	run_end(r);
	close(l);
	free(actions);
}

static void
test_without_namespaces(void **state)
{
	struct run r;
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		run_defaults(&r);
		without_namespaces(&r);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_temporary),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_system_calls),
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_leaves_nothing),
		cmocka_unit_test(test_other_user),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_bad_path),
		cmocka_unit_test(test_without_namespaces),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
