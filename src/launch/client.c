/*
 * client -- the side that stdiod starts: asks, waits, ends as the server did.
 *
 * Passes SIGTERM, SIGINT and SIGHUP on. Keeps no end of the pipes of the
 * server but standard error, for its own messages. See launch.h.
 */
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_LAUNCH	125		/* as env(1): it is not the command's */
#define EXIT_NO_EXEC	127

static int
fail(const char *what)
{
	fprintf(stderr, "omni2-stdio: %s: %s\n", what, strerror(errno));
	return EXIT_LAUNCH;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
add(char *out, size_t *n, const char *text)
{
	size_t len = strlen(text) + 1;

	if (len > LAUNCH_MAX - *n) {
		errno = E2BIG;
		return -1;
	}
	memcpy(out + *n, text, len);
	*n += len;
	return 0;
}

static int
add_all(char *out, size_t *n, char **list, uint32_t *count)
{
	for (*count = 0; list[*count] != NULL; ++*count)
		if (add(out, n, list[*count]) < 0)
			return -1;
	return 0;
}

/* Returns the size of the request, 0 with errno. */
static size_t
make_request(char *out, const struct launch_want *w)
{
	struct launch_request r = { .magic = LAUNCH_MAGIC,
	    .sandbox = w->sandbox, .is_required = w->is_required };
	const char *directory = w->directory;
	char here[PATH_MAX];
	struct rlimit limit;
	size_t n = sizeof(r);

	if (directory == NULL &&
	    (directory = getcwd(here, sizeof(here))) == NULL)
		return 0;
	if (add(out, &n, directory) < 0 ||
	    add_all(out, &n, w->argv, &r.argc) < 0 ||
	    add_all(out, &n, w->env, &r.envc) < 0 ||
	    add_all(out, &n, w->writable, &r.n_writable) < 0)
		return 0;
	if (getrlimit(RLIMIT_DATA, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY)
		r.memory = limit.rlim_cur;
	memcpy(out, &r, sizeof(r));
	return n;
}

static int
send_request(int sock, const char *bytes, size_t n)
{
	static const int fds[LAUNCH_FDS] = { 0, 1, 2 };
	union {
		char		bytes[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr	align;
	} control;
	struct iovec iov = { .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c;
	ssize_t sent;

	memcpy(&iov.iov_base, &bytes, sizeof(bytes));
	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* stdiod must see the end of the server's output when the server closes it. */
static int
let_go_of_pipes(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return -1;
	close(null);
	return 0;
}

/* Ends as the command did, also by the same signal. */
static int
end_as(int status)
{
	sigset_t set;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, WTERMSIG(status));
	raise(WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + WTERMSIG(status);
}

static int
read_reply(int sock, const struct launch_want *w)
{
	struct launch_reply r;
	ssize_t n = recv(sock, &r, sizeof(r), 0);

	if (n != (ssize_t)sizeof(r) || r.magic != LAUNCH_MAGIC) {
		fprintf(stderr, "omni2-stdio: omni2-stdio@.service ended; its "
		    "log says why\n");
		return EXIT_LAUNCH;
	}
	errno = r.value;
	switch ((enum launch_event)r.event) {
	case LAUNCH_NO_DIRECTORY:
		fprintf(stderr, "omni2-stdio: cannot enter %s: %s\n",
		    w->directory == NULL ? "the directory" : w->directory,
		    strerror(r.value));
		return EXIT_LAUNCH;
	case LAUNCH_NO_EXEC:
		fprintf(stderr, "omni2-stdio: cannot run %s: %s\n",
		    w->argv[0], strerror(r.value));
		return EXIT_NO_EXEC;
	case LAUNCH_NO_SANDBOX:
		return fail("cannot be kept from the network");
	case LAUNCH_NO_START:
		return fail("omni2-stdio@.service cannot start a process");
	case LAUNCH_ENDED:
		break;
	}
	return end_as(r.value);
}

static void
pass_signals(int sock, int signals)
{
	struct signalfd_siginfo si;
	int32_t signo;

	while (read(signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		signo = (int32_t)si.ssi_signo;
		(void)!send(sock, &signo, sizeof(signo), MSG_NOSIGNAL);
	}
}

int
launch_client(const char *socket_path, const struct launch_want *w)
{
	static const int passed[] = { SIGTERM, SIGINT, SIGHUP };
	static char request[LAUNCH_MAX];
	struct pollfd p[2];
	size_t n;

	p[1] = (struct pollfd){ .fd = launch_signals(passed, 3),
	    .events = POLLIN };
	p[0] = (struct pollfd){ .fd = connect_to(socket_path),
	    .events = POLLIN };
	if (p[0].fd < 0)
		return fail(socket_path);
	n = make_request(request, w);
	if (n == 0)
		return fail("command and environment");
	if (send_request(p[0].fd, request, n) < 0)
		return fail(socket_path);
	if (let_go_of_pipes() < 0)
		return fail("/dev/null");
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return fail("poll");
		if (p[1].revents != 0)
			pass_signals(p[0].fd, p[1].fd);
		if (p[0].revents != 0)
			return read_reply(p[0].fd, w);
	}
}
