/*
 * serve -- the side that systemd starts, one process for each MCP server:
 * reads the request, runs the command, tells how it ended. See launch.h.
 *
 * When the client is gone the command is killed; whatever it leaves behind is
 * systemd's to end (KillMode=control-group).
 */
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stdio/sandbox.h"

#define DEFAULT_PATH	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:" \
			"/sbin:/bin"
#define VECTOR_MAX	8192		/* arguments, variables */

struct job {
	char	*directory;
	char	*argv[VECTOR_MAX], *env[VECTOR_MAX], *writable[VECTOR_MAX];
	enum launch_sandbox sandbox;
	bool	 is_required;
	rlim_t	 memory;		/* 0: no limit */
	int	 fd[LAUNCH_FDS];
};

/* ---- the request ---- */

static void
take_fds(struct msghdr *msg, struct job *job)
{
	struct cmsghdr *c;
	int i;

	for (i = 0; i < LAUNCH_FDS; i++)
		job->fd[i] = -1;
	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len == CMSG_LEN(sizeof(job->fd)))
			memcpy(job->fd, CMSG_DATA(c), sizeof(job->fd));
}

/* The next string; NULL when none is left. */
static char *
next(char **p, const char *end)
{
	char *text = *p, *nul;

	if (text >= end || (nul = memchr(text, '\0', (size_t)(end - text))) ==
	    NULL)
		return NULL;
	*p = nul + 1;
	return text;
}

static int
take_all(char **p, const char *end, uint32_t count, char **list)
{
	uint32_t i;

	if (count >= VECTOR_MAX)
		return -1;
	for (i = 0; i < count; i++)
		if ((list[i] = next(p, end)) == NULL)
			return -1;
	list[count] = NULL;
	return 0;
}

static int
parse(char *bytes, size_t n, struct job *job)
{
	struct launch_request r;
	char *p = bytes + sizeof(r), *end = bytes + n;

	if (n < sizeof(r))
		return -1;
	memcpy(&r, bytes, sizeof(r));
	if (r.magic != LAUNCH_MAGIC || r.argc == 0 ||
	    r.sandbox > LAUNCH_SANDBOX_OFF ||
	    (job->directory = next(&p, end)) == NULL ||
	    take_all(&p, end, r.argc, job->argv) < 0 ||
	    take_all(&p, end, r.envc, job->env) < 0 ||
	    take_all(&p, end, r.n_writable, job->writable) < 0)
		return -1;
	job->sandbox = (enum launch_sandbox)r.sandbox;
	job->is_required = r.is_required != 0;
	job->memory = (rlim_t)r.memory;
	return p == end ? 0 : -1;
}

static int
receive(int sock, struct job *job)
{
	static char bytes[LAUNCH_MAX];
	union {
		char		bytes[CMSG_SPACE(sizeof(job->fd))];
		struct cmsghdr	align;
	} control;
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	take_fds(&msg, job);
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
	    job->fd[0] < 0 || parse(bytes, (size_t)n, job) < 0) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}

/* ---- the command, between fork and execve ---- */

static void __attribute__((noreturn))
give_up(int report, enum launch_event event)
{
	struct launch_reply r = { LAUNCH_MAGIC, event, errno };

	(void)!write(report, &r, sizeof(r));
	_exit(126);
}

/* As execvpe(3) with the PATH of the command, but without its shell. */
static void
exec_search(const struct job *job, char **env)
{
	const char *command = job->argv[0], *dir = DEFAULT_PATH, *end;
	char path[PATH_MAX];
	int error = ENOENT, i;

	if (strchr(command, '/') != NULL) {
		execve(command, job->argv, env);
		return;
	}
	for (i = 0; env[i] != NULL; i++)
		if (strncmp(env[i], "PATH=", 5) == 0)
			dir = env[i] + 5;
	for (; dir != NULL; dir = *end == '\0' ? NULL : end + 1) {
		end = strchrnul(dir, ':');
		if (end == dir || (size_t)snprintf(path, sizeof(path),
		    "%.*s/%s", (int)(end - dir), dir, command) >= sizeof(path))
			continue;
		execve(path, job->argv, env);
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
	}
	errno = error;
}

/* The descriptors may have any numbers: first out of the way of 0..3. */
static int
set_files(const struct job *job, int *report)
{
	int from[LAUNCH_FDS + 1], i;

	for (i = 0; i <= LAUNCH_FDS; i++) {
		from[i] = fcntl(i < LAUNCH_FDS ? job->fd[i] : *report,
		    F_DUPFD_CLOEXEC, LAUNCH_FDS + 1);
		if (from[i] < 0)
			return -1;
	}
	*report = from[LAUNCH_FDS];
	for (i = 0; i < LAUNCH_FDS; i++)
		if (dup2(from[i], i) < 0)
			return -1;
	if (dup3(*report, LAUNCH_FDS, O_CLOEXEC) < 0)
		return -1;
	*report = LAUNCH_FDS;
	return (int)syscall(SYS_close_range, LAUNCH_FDS + 1, ~0U, 0);
}

struct stage {
	int	report;
	bool	is_required;
};

/* sandbox.missing; standard error is the server's, whose log omni2d keeps. */
static void
say_missing(void *arg, enum sandbox_part part, int error)
{
	const struct stage *stage = arg;

	fprintf(stderr, "omni2-stdio: the sandbox is without %s: %s\n",
	    sandbox_part_text(part), strerror(error));
	errno = error;
	if (stage->is_required)
		give_up(stage->report, LAUNCH_NO_SANDBOX);
}

/* The unit is the sandbox; here is the rest: writing only where this server
 * may, no network if it shall have none. */
static int
enter_sandbox(struct job *job, int report)
{
	struct stage stage = { report, job->is_required };
	struct sandbox_spec spec = {
		.is_on = job->sandbox != LAUNCH_SANDBOX_OFF,
		.has_network = job->sandbox != LAUNCH_SANDBOX_NO_NETWORK,
		.cwd = job->directory, .writable = job->writable,
	};
	struct sandbox s = { .spec = &spec, .missing = say_missing,
	    .arg = &stage };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return sandbox_lock(&s);
}

static void __attribute__((noreturn))
run(struct job *job, int report)
{
	struct rlimit limit = { job->memory, job->memory };
	sigset_t none;
	int i;

	if (set_files(job, &report) < 0)
		give_up(report, LAUNCH_NO_START);
	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    (job->memory > 0 && setrlimit(RLIMIT_DATA, &limit) < 0))
		give_up(report, LAUNCH_NO_START);
	if (chdir(job->directory) < 0)
		give_up(report, LAUNCH_NO_DIRECTORY);
	if (enter_sandbox(job, report) < 0)
		give_up(report, LAUNCH_NO_SANDBOX);
	exec_search(job, job->env);
	give_up(report, LAUNCH_NO_EXEC);
}

/* ---- its life ---- */

static void
reply(int sock, enum launch_event event, int value)
{
	struct launch_reply r = { LAUNCH_MAGIC, event, value };

	(void)!send(sock, &r, sizeof(r), MSG_NOSIGNAL);
}

/* Returns the pid; -1 when the client has been told why there is none. */
static pid_t
start(int sock, struct job *job)
{
	struct launch_reply r;
	int report[2], i;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		reply(sock, LAUNCH_NO_START, errno);
		return -1;
	}
	if (pid == 0)
		run(job, report[1]);
	close(report[1]);
	for (i = 0; i < LAUNCH_FDS; i++)
		close(job->fd[i]);
	/* end of file: the command runs */
	if (read(report[0], &r, sizeof(r)) == (ssize_t)sizeof(r)) {
		reply(sock, (enum launch_event)r.event, r.value);
		return -1;
	}
	close(report[0]);
	return pid;
}

/* Words of the client. false: it is gone. */
static bool
obey(int sock, pid_t pid)
{
	int32_t signo;

	if (recv(sock, &signo, sizeof(signo), MSG_DONTWAIT) !=
	    (ssize_t)sizeof(signo))
		return false;
	if (signo > 0 && signo < NSIG)
		kill(-pid, signo);
	return true;
}

/* true: the command has ended, and the client knows. */
static bool
read_signals(int signals, int sock, pid_t pid)
{
	struct signalfd_siginfo si;
	int status;

	while (read(signals, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo == SIGTERM)
			kill(-pid, SIGTERM);
	if (waitpid(pid, &status, WNOHANG) != pid)
		return false;
	kill(-pid, SIGKILL);
	reply(sock, LAUNCH_ENDED, status);
	return true;
}

int
launch_serve(int sock)
{
	static const int wanted[] = { SIGCHLD, SIGTERM };
	static struct job job;
	struct pollfd p[2];
	pid_t pid;

	p[0] = (struct pollfd){ .fd = sock, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = launch_signals(wanted, 2),
	    .events = POLLIN };
	if (receive(sock, &job) < 0) {
		fprintf(stderr, "omni2-stdio: the request: %s\n",
		    strerror(errno));
		return 1;
	}
	printf("starting %s in %s\n", job.argv[0], job.directory);
	fflush(stdout);
	if ((pid = start(sock, &job)) < 0)
		return 0;		/* the client says it */
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (p[1].revents != 0 && read_signals(p[1].fd, sock, pid))
			return 0;
		if (p[0].revents != 0 && !obey(sock, pid)) {
			kill(-pid, SIGKILL);
			return 0;
		}
	}
}
