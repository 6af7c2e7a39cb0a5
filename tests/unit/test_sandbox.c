/*
 * test_sandbox -- what a stdio server can do in its sandbox and what it
 * cannot, privileged and unprivileged, with everything the kernel has and with
 * parts of it missing. The server is sandbox_probe.py.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
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
#include <sys/un.h>
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

static char script[65536], marker[64];
static char dir[] = "/var/tmp/omni2-sandbox-XXXXXX";
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
	    "hidden", "home", "home/.ssh", "home/bin" };
	size_t i;

	snprintf(marker, sizeof(marker), "omni2-probe-%d", (int)getpid());
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
	int64_t		memory;
	struct child	c;
	char		*output;
	int		status;		/* of the server */
	struct err	e;
};

static void
run_start(struct run *r, const char *actions)
{
	static char options[2][3] = { "-I", "-S" }, option_c[] = "-c";
	char *args[] = { options[0], options[1], option_c, script,
	    (char *)(uintptr_t)actions, marker, NULL };
	struct child_spec s = { .name = "x", .command = "/usr/bin/python3",
	    .args = args, .env = nothing, .cwd = r->sandbox.cwd,
	    .user = r->user != NULL ? r->user : &same_user,
	    .memory = r->memory, .sandbox = &r->sandbox };
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
	int64_t until = clock_mono_ms() + WAIT_MS;

	close(r->c.in);
	while (child_next_ended() != r->c.pid) {
		assert_true(clock_mono_ms() < until);
		usleep(1000);
	}
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
	r->sandbox.also_hidden = nothing;
	r->sandbox.home = "";
	r->sandbox.command = "/usr/bin/python3";
}

/* Runs actions and compares what they gave. */
static void
expect(struct run *r, const char *actions, const char *results)
{
	run_start(r, actions);
	r->output = read_output(r->c.out);
	run_end(r);
	if (strncmp(r->output, results, strlen(results)) != 0)
		fail_msg("%s\ngave %swant %s", actions, r->output, results);
}

static bool
is_root(void)
{
	return geteuid() == 0;
}

/* ---- the tests ---- */

static void
test_files(void **state)
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
	struct run r;

	run_defaults(&r);
	r.sandbox.cwd = in_dir("cwd");
	r.sandbox.writable = writable;
	r.sandbox.hidden = hidden;
	expect(&r, actions, "[\"ok\", \"ok\", \"ok\", \"ok\", \"EROFS\", "
	    "\"EROFS\", \"ok\", \"EACCES\", \"ENOTDIR\", 2]");
	assert_int_equal(access(in_dir("open/b"), F_OK), 0);
	unlink(in_dir("cwd/a"));
	unlink(in_dir("open/b"));
	rmdir(in_dir("open/c"));
	free(actions);
}

/* What is configured to be hidden, what is in somebody's home, and what only
 * root may see. */
static void
test_hidden(void **state)
{
	char *hidden[] = { (char *)(uintptr_t)in_dir("hidden"), NULL };
	char *home = xstrdup(in_dir("home"));
	char *env[] = { xasprintf("PATH=%s/bin:/usr/bin", home), NULL };
	char *actions = xasprintf("[[\"list\",\"%s/hidden\"],"
	    "[\"list\",\"%s\"],[\"read\",\"/etc/shadow\"]]", dir, home);
	char *of_home = xasprintf("[[\"list\",\"%s\"],"
	    "[\"list\",\"%s/bin\"],[\"list\",\"%s/.ssh\"]]", home, home, home);
	struct run r;

	run_defaults(&r);
	r.sandbox.also_hidden = hidden;
	expect(&r, actions, is_root() ? "[\"EACCES\", 2, 0]" :
	    "[\"EACCES\", 2, \"EACCES\"]");
	/* args name it, so it cannot be hidden as a whole */
	run_defaults(&r);
	r.sandbox.home = home;
	expect(&r, of_home, "[2, 0, \"EACCES\"]");
	run_defaults(&r);
	r.sandbox.home = "/usr/share";
	expect(&r, "[[\"list\",\"/usr/sh\" ],[\"list\",\"/usr/share/\"]]",
	    "[\"ENOENT\", ");
	r.sandbox.home = in_dir("closed");
	expect(&r, "[[\"env\",\"HOME\"]]", "[\"/tmp\"]");
	free(actions);
	free(of_home);
	free(env[0]);
	free(home);
}

static void
test_processes(void **state)
{
	char *actions = xasprintf("[[\"pid\"],[\"others\"],[\"kill\",%d],"
	    "[\"thread\"],[\"status\",\"CapEff\"],[\"status\",\"CapBnd\"],"
	    "[\"status\",\"Seccomp\"],[\"status\",\"NoNewPrivs\"]]",
	    (int)getpid());
	struct run r;

	run_defaults(&r);
	expect(&r, actions, "[2, [], \"ESRCH\", \"ok\", \"0000000000000000\", "
	    "\"0000000000000000\", \"2\", \"1\"]");
	free(actions);
}

/* Not even those that nobody thought of. */
static void
test_descriptors(void **state)
{
	int fd = open("/dev/null", O_RDONLY), high = fcntl(fd, F_DUPFD, 500);
	struct run r;

	assert_true(fd >= 0 && high >= 500);
	run_defaults(&r);
	expect(&r, "[[\"descriptors\"]]", "[[0, 1, 2]]");
	close(fd);
	close(high);
}

static void
test_temporary(void **state)
{
	struct run r;

	run_defaults(&r);
	expect(&r, "[[\"temporary\"],[\"env\",\"HOME\"]]",
	    "[\"ok\", \"/tmp\"]");
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
test_network(void **state)
{
	struct run r;
	char *actions;
	int port, fd = listener(&port);

	actions = xasprintf("[[\"connect\",%d],[\"listen\"],[\"socket\",17]]",
	    port);
	run_defaults(&r);
	expect(&r, actions, "[\"ok\", \"ok\", \"EAFNOSUPPORT\"]");
	r.sandbox.has_network = false;
	expect(&r, actions, "[\"ECONNREFUSED\", \"ok\", \"EAFNOSUPPORT\"]");
	free(actions);
	close(fd);
}

/* Without a network it does not reach the daemons of the host either. */
static void
test_sockets(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct run r;
	char *actions;

	if (!is_root())
		skip();
	snprintf(a.sun_path, sizeof(a.sun_path), "/var/run/omni2-probe-%d",
	    (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	/* The name is put together, so that it is not mentioned. */
	actions = xasprintf("[[\"unix\",\"\\u002fvar\\u002frun\\u002f"
	    "omni2-probe-%d\"]]", (int)getpid());
	run_defaults(&r);
	expect(&r, actions, "[\"ok\"]");
	r.sandbox.has_network = false;
	expect(&r, actions, "[\"EACCES\"]");
	unlink(a.sun_path);
	free(actions);
	close(fd);
}

static void
test_system_calls(void **state)
{
	char *actions = xasprintf("[[\"syscall\",%d,0],[\"syscall\",%d,0,0],"
	    "[\"syscall\",%d,268435456],[\"syscall\",%d,0],"
	    "[\"syscall\",%d,1,0,0],[\"syscall\",%d,1,0],[\"syscall\",%d,0,0],"
	    "[\"syscall\",%d,262144],[\"syscall\",%d,4294967295],"
	    "[\"syscall\",%d,0,21522,0],[\"syscall\",%d,0,0]]", SYS_ptrace,
	    SYS_mount, SYS_unshare, SYS_unshare, SYS_bpf, SYS_io_uring_setup,
	    SYS_clone3, SYS_personality, SYS_personality, SYS_ioctl,
	    SYS_keyctl);
	struct run r;

	run_defaults(&r);
	expect(&r, actions, "[\"EPERM\", \"EPERM\", \"EPERM\", \"ok\", "
	    "\"EPERM\", \"EPERM\", \"ENOSYS\", \"EPERM\", \"ok\", \"EPERM\", "
	    "\"EPERM\"]");
	free(actions);
}

static void
test_limits(void **state)
{
	struct run r;

	run_defaults(&r);
	r.memory = 256 << 20;
	expect(&r, "[[\"allocate\",32],[\"allocate\",300],[\"allocate\",32]]",
	    "[32, \"MemoryError\", 32]");
	if (is_root())
		return;			/* root has no limit on processes */
	run_defaults(&r);
	r.sandbox.processes = 50;
	expect(&r, "[[\"forks\",300]]", "[[\"EAGAIN\", true]]");
}

/* How it ended is told by another process, and is the truth all the same. */
static void
test_endings(void **state)
{
	struct run r;

	run_defaults(&r);
	run_start(&r, "[[\"exit\",7]]");
	run_end(&r);
	assert_true(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 7);
	run_start(&r, "[[\"signal\",11]]");
	run_end(&r);
	assert_true(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGSEGV);
	/* SIGTERM to the group reaches the server. */
	run_start(&r, "[[\"wait\"]]");
	child_signal_group(r.c.pid, SIGTERM);
	run_end(&r);
	assert_true(WIFSIGNALED(r.status) && WTERMSIG(r.status) == SIGTERM);
	/* Its input and output are as they always were. */
	run_start(&r, "[[\"wait\"]]");
	assert_int_equal(fdio_write_all(r.c.in, "hello", 5), 0);
	close(r.c.in);
	r.c.in = -1;
	r.output = read_output(r.c.out);
	assert_string_equal(r.output, "[5]\n");
	run_end(&r);
	assert_true(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 0);
}

static bool
has_marker(const char *pid)
{
	static char text[sizeof(script) + 8192];
	char path[300];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	n = fdio_read_file(path, text, sizeof(text));
	return n > 0 && memmem(text, (size_t)n, marker, strlen(marker)) != NULL;
}

static int
count_probes(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int n = 0;

	assert_non_null(proc);
	while ((d = readdir(proc)) != NULL)
		if (d->d_name[0] >= '1' && d->d_name[0] <= '9' &&
		    has_marker(d->d_name))
			n++;
	closedir(proc);
	return n;
}

static void
test_leaves_nothing(void **state)
{
	int64_t until = clock_mono_ms() + WAIT_MS;
	struct run r;

	run_defaults(&r);
	run_start(&r, "[[\"grandchild\"],[\"grandchild\"],[\"wait\"]]");
	while (count_probes() < 3) {
		assert_true(clock_mono_ms() < until);
		usleep(10000);
	}
	run_end(&r);
	while (count_probes() > 0) {
		assert_true(clock_mono_ms() < until);
		usleep(10000);
	}
}

/* root starts it as somebody else. */
static void
test_other_user(void **state)
{
	struct child_user user;
	struct run r;
	struct err e;

	if (!is_root())
		skip();
	assert_int_equal(child_user_find(&user, "nobody", &e), 0);
	run_defaults(&r);
	r.user = &user;
	r.sandbox.processes = 200;
	expect(&r, "[[\"status\",\"Uid\"],[\"status\",\"CapEff\"],[\"pid\"],"
	    "[\"write\",\"/etc/omni2-probe\"],[\"read\",\"/etc/shadow\"],"
	    "[\"forks\",600]]", "[\"65534\", \"0000000000000000\", 2, "
	    "\"EROFS\", 0, [\"EAGAIN\", true]]");
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
	static char nowhere[] = "/proc/nonexistent/place";
	char *writable[] = { nowhere, NULL };
	struct run r;

	run_defaults(&r);
	r.sandbox.writable = writable;
	run_start(&r, "[]");
	run_end(&r);
	assert_int_equal(r.e.code, ERR_UPSTREAM);
	assert_string_equal(r.e.text, "server \"x\": cannot make "
	    "/proc/nonexistent/place writable in its sandbox: No such file or "
	    "directory");
	run_defaults(&r);
	r.sandbox.cwd = nowhere;
	run_start(&r, "[]");
	run_end(&r);
	assert_non_null(strstr(r.e.text,
	    "cannot enter /proc/nonexistent/place"));
}

/* Not all of it, or not at all. */
static void
test_required(void **state)
{
	char *hidden[] = { (char *)(uintptr_t)in_dir("hidden"), NULL };
	struct run r;

	run_defaults(&r);
	r.sandbox.is_required = true;
	r.sandbox.processes = is_root() ? 0 : 100;
	expect(&r, "[[\"pid\"]]", "[2]");
	r.sandbox.also_hidden = hidden;
	r.sandbox.writable = hidden;	/* it cannot be both */
	run_start(&r, "[]");
	run_end(&r);
	assert_int_equal(r.e.code, ERR_UPSTREAM);
	assert_string_equal(r.e.text, "server \"x\": its sandbox would be "
	    "without hiding files: Device or resource busy; sandbox.required");
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
	r->sandbox.is_required = true;
	run_start(r, actions);
	run_end(r);
	if (strcmp(r->e.text, "server \"x\": its sandbox would be without "
	    "namespaces of its own: Operation not permitted; "
	    "sandbox.required") != 0)
		_exit(94);
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

static int
run_all(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_temporary),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_system_calls),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_leaves_nothing),
		cmocka_unit_test(test_other_user),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_bad_path),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_without_namespaces),
	};

	return cmocka_run_group_tests_name(name, tests, set_up, tear_down);
}

/* All of it in a process of its own, as somebody without privileges. */
static int
run_as_nobody(void)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(99);
		exit(run_all("unprivileged") != 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	return status != 0;
}

/* Nobody may not be allowed to read it where it lies. */
static int
read_script(void)
{
	const char *srcdir = getenv("srcdir");
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tests/unit/sandbox_probe.py",
	    srcdir != NULL ? srcdir : ".");
	return fdio_read_file(path, script, sizeof(script)) > 0 ? 0 : -1;
}

/* In a chroot the kernel refuses user namespaces to everybody, and mounts like
 * ours; elsewhere it may be set up to refuse them. */
static bool
has_user_namespaces(void)
{
	int status = 0;
	pid_t pid;

	if ((pid = fork()) == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

int
main(void)
{
	int failed;

	if (!has_user_namespaces()) {
		printf("skipped: no user namespaces here (is it a chroot?)\n");
		return 77;
	}
	if (read_script() < 0) {
		printf("no sandbox_probe.py\n");
		return 99;
	}
	failed = is_root() ? run_as_nobody() : 0;
	return run_all("as we are") + failed;
}
