/*
 * child -- fork, limits, execve; waitid, kill.
 *
 * stdiod only. What goes wrong between fork and execve is told through a
 * close-on-exec pipe as {step, errno}, so that the caller can say exactly
 * what failed; the parent never waits for it. It never uses a shell, not even
 * the one that execvp(3) falls back to.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "stdio/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/num.h"
#include "base/span.h"

#define DEFAULT_PATH	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:" \
			"/sbin:/bin"
#define REPORT_FD	3		/* in the child, until execve */
#define STATUS_FD	4		/* likewise */
#define SIGNALS		64
#define SOFT_FILES	1024		/* for users of select(2) */

enum step { STEP_FILES, STEP_SESSION, STEP_SANDBOX, STEP_FORK, STEP_LIMITS,
	STEP_USER, STEP_DIRECTORY, STEP_NETWORK, STEP_EXEC,
	STEP_REQUIRED,		/* a part of the sandbox is missing */
	STEP_MISSING		/* the same, but it goes on */
};

struct report {
	int32_t	step;			/* enum step */
	int32_t	error;			/* errno */
	int32_t	part;			/* enum sandbox_part, of the two */
	char	path[128];		/* of SANDBOX */
};

/* Both ends of the pipes; [0] is read from. */
struct pipes {
	int	in[2], out[2], err[2], report[2], status[2];
};

int
child_user_find(struct child_user *u, const char *name, struct err *e)
{
	struct passwd *pw;

	memset(u, 0, sizeof(*u));
	if (name[0] == '\0')
		return 0;
	errno = 0;
	if ((pw = getpwnam(name)) == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "stdio.user: no user \"%s\"%s%s", name,
		    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	if (pw->pw_uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return err_set(e, ERR_UNAVAILABLE,
		    "stdio.user: only root can start servers as \"%s\"", name);
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->n_groups = CHILD_GROUPS_MAX;
	if (getgrouplist(name, pw->pw_gid, u->groups, &u->n_groups) < 0)
		return err_set(e, ERR_UNAVAILABLE,
		    "stdio.user: \"%s\" is in more than %d groups", name,
		    CHILD_GROUPS_MAX);
	span_copy(u->name, sizeof(u->name), span_str(name));
	span_copy(u->home, sizeof(u->home), span_str(pw->pw_dir));
	u->is_set = true;
	return 0;
}

static bool
env_has(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return true;
	return false;
}

static const char *
env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (; *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

static bool
has_launcher(const struct child_spec *s)
{
	return s->launcher != NULL && s->launcher[0] != '\0';
}

/* PATH, HOME and LANG where not configured, then what is configured. */
static char **
env_make(const struct child_spec *s)
{
	const char *home = s->user->is_set ? s->user->home :
	    has_launcher(s) ? "/tmp" : "/";
	size_t n = 0, i = 0;
	char **env;

	while (s->env[n] != NULL)
		n++;
	env = xcalloc(n + 4, sizeof(*env));
	if (s->cwd[0] != '\0')
		home = s->cwd;
	if (!env_has(s->env, "PATH"))
		env[i++] = xstrdup("PATH=" DEFAULT_PATH);
	if (!env_has(s->env, "HOME"))
		env[i++] = xasprintf("HOME=%s", home);
	if (!env_has(s->env, "LANG"))
		env[i++] = xstrdup("LANG=C.UTF-8");
	for (n = 0; s->env[n] != NULL; n++)
		env[i++] = xstrdup(s->env[n]);
	return env;
}

static size_t
count(char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

/* launcher [-n] [-r] [-w path] ... -d cwd -- : the sandbox is the launcher's to
 * make, where the server is. */
static size_t
launcher_args(const struct child_spec *s, char **argv)
{
	const struct sandbox_spec *sandbox = s->sandbox;
	size_t n = 0, i;

	argv[n++] = xstrdup(s->launcher);
	if (sandbox == NULL || !sandbox->is_on)
		argv[n++] = xstrdup("-x");
	else {
		if (!sandbox->has_network)
			argv[n++] = xstrdup("-n");
		if (sandbox->is_required)
			argv[n++] = xstrdup("-r");
		for (i = 0; i < count(sandbox->writable); i++) {
			argv[n++] = xstrdup("-w");
			argv[n++] = xstrdup(sandbox->writable[i]);
		}
	}
	argv[n++] = xstrdup("-d");
	argv[n++] = xstrdup(s->cwd[0] != '\0' ? s->cwd : "/");
	argv[n++] = xstrdup("--");
	return n;
}

static char **
argv_make(const struct child_spec *s)
{
	size_t n = 0, i, n_writable = s->sandbox == NULL ? 0 :
	    count(s->sandbox->writable);
	char **argv = xcalloc(count(s->args) + 2 * n_writable + 9,
	    sizeof(*argv));

	if (has_launcher(s))
		n = launcher_args(s, argv);
	argv[n++] = xstrdup(s->command);
	for (i = 0; s->args[i] != NULL; i++)
		argv[n++] = xstrdup(s->args[i]);
	return argv;
}

static void
vector_free(char **v)
{
	char **p;

	for (p = v; *p != NULL; p++)
		free(*p);
	free(v);
}

static void
pair_close(int fd[2])
{
	int i;

	for (i = 0; i < 2; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

static void
pipes_close(struct pipes *p)
{
	pair_close(p->in);
	pair_close(p->out);
	pair_close(p->err);
	pair_close(p->report);
	pair_close(p->status);
}

/* Our ends do not block; the ends of the server do. */
static int
pipes_open(struct pipes *p)
{
	memset(p, 0xff, sizeof(*p));
	if (pipe2(p->in, O_CLOEXEC) < 0 || pipe2(p->out, O_CLOEXEC) < 0 ||
	    pipe2(p->err, O_CLOEXEC) < 0 || pipe2(p->report, O_CLOEXEC) < 0 ||
	    pipe2(p->status, O_CLOEXEC) < 0)
		return -1;
	if (fdio_set_nonblock(p->in[1], true) < 0 ||
	    fdio_set_nonblock(p->out[0], true) < 0 ||
	    fdio_set_nonblock(p->err[0], true) < 0 ||
	    fdio_set_nonblock(p->report[0], true) < 0 ||
	    fdio_set_nonblock(p->status[0], true) < 0)
		return -1;
	return 0;
}

/* ---- after fork, in the child ---- */

static void __attribute__((noreturn))
report_and_exit(int fd, enum step step)
{
	struct report r = { .step = (int32_t)step, .error = errno };
	ssize_t n = write(fd, &r, sizeof(r));

	_exit(n == (ssize_t)sizeof(r) ? 127 : 126);
}

/* sandbox.missing; arg is the spec */
static void
report_missing(void *arg, enum sandbox_part part, int error)
{
	const struct sandbox_spec *s = arg;
	struct report r = { .step = s->is_required ? STEP_REQUIRED :
	    STEP_MISSING, .error = error, .part = (int32_t)part };

	if (write(REPORT_FD, &r, sizeof(r)) < 0)
		_exit(126);		/* nobody is there any more */
	if (s->is_required)
		_exit(127);
}

/* Puts the pipes on 0..4 and closes everything else. The ends may have any
 * numbers, so they are moved out of the way first. */
static int
files_set(struct pipes *p)
{
	int from[5] = { p->in[0], p->out[1], p->err[1], p->report[1],
	    p->status[1] };
	int i;

	for (i = 0; i < 5; i++)
		if ((from[i] = fcntl(from[i], F_DUPFD, STATUS_FD + 1)) < 0)
			return -1;
	for (i = 0; i < 5; i++)
		if (dup3(from[i], i, i >= REPORT_FD ? O_CLOEXEC : 0) < 0)
			return -1;
	return (int)syscall(SYS_close_range, STATUS_FD + 1, ~0U, 0);
}

static void
signals_reset(void)
{
	static const unsigned long is_default[8];	/* kernel's sigaction */
	sigset_t none;
	int i;

	/* Not sigaction(3): it leaves out 32 and 33, which are the C
	 * library's own and stay ignored if some ancestor ignored them. */
	for (i = 1; i <= SIGNALS; i++)
		syscall(SYS_rt_sigaction, i, is_default, NULL, SIGNALS / 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* When memory runs out, servers go before any process of omni2. The file
 * belongs to root while the process must not be dumped. */
static void
oom_first(void)
{
	int fd;

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (fd < 0)
		return;
	if (write(fd, "500", 3) != 3)
		errno = 0;
	close(fd);
}

/* What counts as data is what the process can write and shares with nobody;
 * not what programs like Node.js only set aside. Processes of another user
 * count together, those of our own within their namespace (sandbox.c). */
static int
limits_set(const struct child_spec *s)
{
	struct rlimit rl = { 0, 0 };
	int64_t processes = s->sandbox != NULL ? s->sandbox->processes : 0;

	if (setrlimit(RLIMIT_CORE, &rl) < 0)
		return -1;
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur > SOFT_FILES) {
		rl.rlim_cur = SOFT_FILES;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	if (s->user->is_set && processes > 0) {
		rl.rlim_cur = rl.rlim_max = (rlim_t)processes;
		if (setrlimit(RLIMIT_NPROC, &rl) < 0)
			return -1;
	}
	if (s->memory > 0) {
		rl.rlim_cur = rl.rlim_max = (rlim_t)s->memory;
		if (setrlimit(RLIMIT_DATA, &rl) < 0)
			return -1;
	}
	return 0;
}

static int
user_set(const struct child_user *u)
{
	if (u->is_set && (setgroups((size_t)u->n_groups, u->groups) < 0 ||
	    setresgid(u->gid, u->gid, u->gid) < 0 ||
	    setresuid(u->uid, u->uid, u->uid) < 0))
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Programs that keep something where they are at home can do so, if nothing
 * else was said. */
static void
home_in_tmp(const struct child_spec *s, const struct sandbox *sandbox,
    char **env)
{
	static char tmp[] = "HOME=/tmp", shm[] = "HOME=/dev/shm";

	if ((!sandbox->tmp_is_private && !sandbox->shm_is_private) ||
	    s->cwd[0] != '\0' || env_has(s->env, "HOME"))
		return;
	for (; *env != NULL; env++)
		if (strncmp(*env, "HOME=", 5) == 0)
			*env = sandbox->tmp_is_private ? tmp : shm;
}

/* As execvpe(3), but with the PATH of env and without its shell. */
static void
exec_search(const char *command, char **argv, char **env)
{
	const char *dir = env_get(env, "PATH"), *end;
	char path[PATH_MAX];
	int error = ENOENT;

	if (strchr(command, '/') != NULL) {
		execve(command, argv, env);
		return;
	}
	for (; dir != NULL; dir = *end == '\0' ? NULL : end + 1) {
		end = strchrnul(dir, ':');
		if (end == dir || (size_t)snprintf(path, sizeof(path),
		    "%.*s/%s", (int)(end - dir), dir, command) >= sizeof(path))
			continue;
		execve(path, argv, env);
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
	}
	errno = error;
}

static bool
is_nobody(void *arg, pid_t pid)
{
	return false;
}

/* All that came from the server: without namespaces it is not enough that we
 * end. What loses its parent while this goes on becomes our child. */
static void
end_descendants(void)
{
	while (child_kill_adopted(0, is_nobody, NULL) > 0 &&
	    waitpid(-1, NULL, 0) > 0)
		;
}

/* Until the server has ended, or stdiod. 1 with *status, 0. */
static int
wait_for_server(pid_t server, int *status)
{
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	for (;;) {
		while ((pid = waitpid(-1, status, WNOHANG)) > 0)
			if (pid == server)
				return 1;
		if (sigwaitinfo(&set, NULL) == SIGUSR1)
			return 0;
	}
}

/*
 * The parent of the server: waits for it, says how it ended, and leaves
 * nothing behind. As process 1 of namespaces it does so by its own end;
 * without them, all that the server started is below it (SUBREAPER). It has
 * nothing that is worth anything to the server: no descriptor, no privilege,
 * no memory to look into. Signals are blocked: those to the group are not for
 * it.
 */
static void __attribute__((noreturn))
init_run(const struct child_spec *s, struct sandbox *sandbox, pid_t server)
{
	struct pollfd stdiod = { .fd = STATUS_FD };
	int status = 0, has_ended;

	syscall(SYS_close_range, 0, REPORT_FD, 0);
	if (user_set(s->user) < 0)
		_exit(126);
	sandbox_drop_capabilities(sandbox);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, sandbox->has_namespaces ? SIGKILL : SIGUSR1);
	poll(&stdiod, 1, 0);
	/* POLLERR: stdiod died before the line above. */
	has_ended = stdiod.revents & POLLERR ? 0 :
	    wait_for_server(server, &status);
	if (!sandbox->has_namespaces)
		end_descendants();
	if (!has_ended)
		kill(getpid(), SIGKILL);
	if (write(STATUS_FD, &status, sizeof(status)) < 0)
		_exit(126);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status));
}

static void
signals_block(bool block)
{
	sigset_t set;

	if (block)
		sigfillset(&set);
	else
		sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

/* Into the sandbox as far as that takes privileges. Returns in the process
 * that becomes the server, with the number of its parent. */
static pid_t
sandbox_begin(const struct child_spec *s, struct sandbox *sandbox)
{
	struct report r = { .step = STEP_SANDBOX };
	pid_t pid, parent = getpid();

	if (sandbox_mounts(sandbox) < 0) {
		r.error = errno;
		span_copy(r.path, sizeof(r.path), span_str(sandbox->failed));
		_exit(write(REPORT_FD, &r, sizeof(r)) < 0 ? 126 : 127);
	}
	if (!sandbox->has_namespaces && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		report_and_exit(REPORT_FD, STEP_FORK);
	signals_block(true);
	if ((pid = fork()) < 0)
		report_and_exit(REPORT_FD, STEP_FORK);
	if (pid > 0)
		init_run(s, sandbox, pid);
	signals_block(false);
	return parent;
}

static void __attribute__((noreturn))
child_run(const struct child_spec *s, struct sandbox *sandbox,
    struct pipes *p, char **argv, char **env, pid_t parent)
{
	if (files_set(p) < 0)
		report_and_exit(p->report[1], STEP_FILES);
	signals_reset();
	oom_first();
	if (setsid() < 0)
		report_and_exit(REPORT_FD, STEP_SESSION);
	if (!has_launcher(s))		/* that waits, too */
		parent = sandbox_begin(s, sandbox);
	if (limits_set(s) < 0)
		report_and_exit(REPORT_FD, STEP_LIMITS);
	if (user_set(s->user) < 0)
		report_and_exit(REPORT_FD, STEP_USER);
	sandbox_drop_capabilities(sandbox);
	/* Only now: a change of the user id clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		report_and_exit(REPORT_FD, STEP_SESSION);
	if (getppid() != parent)
		_exit(126);		/* it died before the line above */
	/* a launcher enters it where the server is */
	if (chdir(s->cwd[0] != '\0' && !has_launcher(s) ? s->cwd : "/") < 0)
		report_and_exit(REPORT_FD, STEP_DIRECTORY);
	home_in_tmp(s, sandbox, env);
	if (sandbox_lock(sandbox) < 0)
		report_and_exit(REPORT_FD, STEP_NETWORK);
	exec_search(argv[0], argv, env);
	report_and_exit(REPORT_FD, STEP_EXEC);
}

/* ---- in stdiod ---- */

int
child_spawn(const struct child_spec *s, struct child *c, struct err *e)
{
	static const struct sandbox_spec no_sandbox;
	struct sandbox sandbox = { .missing = report_missing, .spec =
	    s->sandbox != NULL && !has_launcher(s) ? s->sandbox :
	    &no_sandbox, .arg = (void *)(uintptr_t)s->sandbox };
	pid_t parent = getpid();
	struct pipes p;
	char **argv, **env;

	if (pipes_open(&p) < 0) {
		err_set(e, ERR_UNAVAILABLE, "server \"%s\": no pipe: %s",
		    s->name, strerror(errno));
		pipes_close(&p);
		return -1;
	}
	argv = argv_make(s);
	env = env_make(s);
	c->pid = sandbox_fork(&sandbox, !s->user->is_set);
	if (c->pid == 0)
		child_run(s, &sandbox, &p, argv, env, parent);
	if (c->pid < 0)
		err_set(e, ERR_UNAVAILABLE, "server \"%s\": cannot fork: %s",
		    s->name, strerror(errno));
	vector_free(argv);
	vector_free(env);
	if (c->pid < 0) {
		pipes_close(&p);
		return -1;
	}
	c->in = p.in[1];
	c->out = p.out[0];
	c->err = p.err[0];
	c->report = p.report[0];
	c->status = p.status[0];
	p.in[1] = p.out[0] = p.err[0] = p.report[0] = p.status[0] = -1;
	pipes_close(&p);
	return 0;
}

/* The same for all servers, so it is said once for each part. */
static void
log_missing(const struct report *r, const char *name)
{
	static bool said[SANDBOX_PARTS];

	if (r->part < 0 || r->part >= SANDBOX_PARTS || said[r->part])
		return;
	said[r->part] = true;
	log_warn("server \"%s\": the sandbox is without %s: %s", name,
	    sandbox_part_text((enum sandbox_part)r->part), strerror(r->error));
}

int
child_exec_status(int fd, const char *name, const char *command,
    const char *cwd, struct err *e)
{
	struct report r;
	const char *why;
	ssize_t n;

	while ((n = read(fd, &r, sizeof(r))) == (ssize_t)sizeof(r) &&
	    r.step == STEP_MISSING)
		log_missing(&r, name);
	if (n == 0)
		return 1;
	if (n != (ssize_t)sizeof(r)) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": start not reported", name);
	}
	why = strerror(r.error);
	r.path[sizeof(r.path) - 1] = '\0';
	switch ((enum step)r.step) {
	case STEP_REQUIRED:
		return err_set(e, ERR_UPSTREAM, "server \"%s\": its sandbox "
		    "would be without %s: %s; sandbox.required", name,
		    r.part >= 0 && r.part < SANDBOX_PARTS ?
		    sandbox_part_text((enum sandbox_part)r.part) : "?", why);
	case STEP_FILES:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot set up its files: %s", name, why);
	case STEP_SESSION:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot make a session: %s", name, why);
	case STEP_SANDBOX:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot make %s writable in its sandbox: "
		    "%s", name, r.path, why);
	case STEP_FORK:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot fork: %s", name, why);
	case STEP_NETWORK:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot be kept from the network: %s", name,
		    why);
	case STEP_LIMITS:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot set limits: %s", name, why);
	case STEP_USER:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot change the user: %s", name, why);
	case STEP_DIRECTORY:
		return err_set(e, ERR_UPSTREAM,
		    "server \"%s\": cannot enter %s: %s", name,
		    cwd[0] != '\0' ? cwd : "/", why);
	case STEP_EXEC:
	case STEP_MISSING:
		break;
	}
	return err_set(e, ERR_UPSTREAM, "server \"%s\": cannot run %s: %s",
	    name, command, why);
}

pid_t
child_next_ended(void)
{
	siginfo_t si;

	memset(&si, 0, sizeof(si));
	if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
		return 0;
	return si.si_pid;
}

int
child_reap(pid_t pid)
{
	int status = 0;

	child_signal_group(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int
child_server_status(int status_fd, int wait_status)
{
	int status;

	return read(status_fd, &status, sizeof(status)) ==
	    (ssize_t)sizeof(status) ? status : wait_status;
}

void
child_signal_group(pid_t pid, int signo)
{
	if (kill(-pid, signo) < 0 && errno == ESRCH)
		kill(pid, signo);	/* it has not reached setsid() yet */
}

void
child_status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

unsigned
child_kill_adopted(pid_t session, bool (*is_server)(void *, pid_t), void *arg)
{
	char text[65536], *p, *save = NULL;
	unsigned killed = 0;
	uint64_t n;
	ssize_t len;
	pid_t pid;
	int fd;

	/* Needs CONFIG_PROC_CHILDREN; without it process groups must do. */
	fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	for (p = strtok_r(text, " \n", &save); p != NULL;
	    p = strtok_r(NULL, " \n", &save)) {
		if (num_u64(span_str(p), 2, INT_MAX, &n) < 0)
			continue;
		pid = (pid_t)n;
		if (is_server(arg, pid) ||
		    (session != 0 && getsid(pid) != session))
			continue;
		if (kill(pid, SIGKILL) == 0)
			killed++;
	}
	return killed;
}
