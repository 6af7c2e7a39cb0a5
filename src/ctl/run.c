/*
 * run -- see run.h.
 */
#include "ctl/run.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "ctl/ctl.h"

#define PLACES	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static bool
is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    access(path, X_OK) == 0;
}

static const char *
find_in(const char *places, const char *name)
{
	const char *at = places, *path;
	size_t n;

	for (; at != NULL && *at != '\0'; at += n + (at[n] == ':')) {
		n = strcspn(at, ":");
		path = ctl_text("%.*s/%s", (int)n, at, name);
		if (*at == '/' && is_program(path))
			return path;
	}
	return NULL;
}

/* glob(3) sorts by name, so the newest version is the last (9 is long gone). */
static const char *
find_of_postgresql(const char *name)
{
	static const char *const places[] = { "/usr/lib/postgresql/*/bin",
	    "/usr/pgsql-*/bin", "/usr/local/pgsql/bin" };
	const char *path = NULL;
	glob_t g;
	size_t i;

	for (i = 0; i < 3 && path == NULL; i++)
		if (glob(ctl_text("%s/%s", places[i], name), 0, NULL,
		    &g) == 0) {
			path = ctl_text("%s", g.gl_pathv[g.gl_pathc - 1]);
			globfree(&g);
		}
	return path;
}

const char *
run_find(const char *name)
{
	const char *path;

	if (strchr(name, '/') != NULL)
		return is_program(name) ? name : NULL;
	if (strncmp(name, "pg_", 3) == 0 &&
	    (path = find_of_postgresql(name)) != NULL)
		return path;
	if ((path = find_in(getenv("PATH"), name)) != NULL)
		return path;
	return find_in(PLACES, name);
}

static void
move_fd(int from, int to)
{
	int flags = to == STDIN_FILENO ? O_RDONLY : O_WRONLY;

	if (from < 0)
		from = open("/dev/null", flags);
	if (from == to) {
		fdio_set_cloexec(to, false);
		return;
	}
	if (from < 0 || dup2(from, to) < 0)
		_exit(127);
}

static void
become(const struct passwd *pw)
{
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 ||
	    setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		_exit(127);
	setenv("HOME", pw->pw_dir, 1);
	setenv("USER", pw->pw_name, 1);
	setenv("LOGNAME", pw->pw_name, 1);
}

/* In the child. */
static void
start(const struct run *r, const char *path)
{
	char *argv[sizeof(r->argv) / sizeof(r->argv[0]) + 1];
	size_t i;

	for (i = 0; r->argv[i] != NULL; i++)
		argv[i] = xstrdup(r->argv[i]);
	argv[i] = NULL;
	if (r->dir != NULL && chdir(r->dir) < 0) {
		fprintf(stderr, "omni2ctl: %s: %s\n", r->dir, strerror(errno));
		_exit(127);
	}
	if (r->as != NULL)
		become(r->as);
	for (i = 0; i < r->env.n; i++)
		putenv(r->env.v[i]);
	move_fd(r->in, STDIN_FILENO);
	move_fd(r->out, STDOUT_FILENO);
	if (r->quiet)
		move_fd(-1, STDERR_FILENO);
	execv(path, argv);
	fprintf(stderr, "omni2ctl: %s: %s\n", path, strerror(errno));
	_exit(127);
}

static volatile sig_atomic_t interrupted;

static void
on_signal(int sig)
{
	interrupted = sig;
}

void
run_catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static int
wait_for(pid_t pid, const struct run *r)
{
	int64_t pause_ms = 5;
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) == 0 ||
	    (got < 0 && errno == EINTR)) {
		if (interrupted)
			kill(pid, SIGTERM);
		if (r->tick != NULL)
			r->tick(r->tick_arg);
		clock_nap_ms(pause_ms);
		if (pause_ms < 100)
			pause_ms *= 2;
	}
	if (interrupted)
		ctl_fail(EXIT_FAILED, "interrupted");
	if (got < 0)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status);
}

static pid_t
spawn(const struct run *r)
{
	const char *path = run_find(r->argv[0]);
	pid_t pid;

	if (path == NULL) {
		errno = ENOENT;
		return -1;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		start(r, path);
	return pid;
}

int
run_program(const struct run *r)
{
	pid_t pid = spawn(r);

	return pid < 0 ? 127 : wait_for(pid, r);
}

int
run_capture(const struct run *r, struct buf *out)
{
	struct run with_pipe = *r;
	char bytes[4096];
	int fd[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return 127;
	with_pipe.out = fd[1];
	pid = spawn(&with_pipe);
	close(fd[1]);
	while (pid > 0 && ((n = read(fd[0], bytes, sizeof(bytes))) > 0 ||
	    (n < 0 && errno == EINTR)))
		if (n > 0)
			buf_add(out, bytes, (size_t)n);
	close(fd[0]);
	return pid < 0 ? 127 : wait_for(pid, r);
}

bool
run_unit_is_active(const char *unit)
{
	struct run r = { .argv = { "systemctl", "is-active", "--quiet", unit },
	    .in = -1, .out = -1, .quiet = true };

	return access("/run/systemd/system", F_OK) == 0 && run_program(&r) == 0;
}
