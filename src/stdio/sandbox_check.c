/*
 * sandbox_check -- what a sandbox would be without on this machine.
 *
 * For who wants to know before a server is started: omni2ctl doctor. A child
 * goes through all of it and ends where a server would be executed.
 */
#include "stdio/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct finding {
	int	part, error;
};

static void
tell(void *arg, enum sandbox_part part, int error)
{
	const int *fd = arg;
	struct finding f = { (int)part, error };

	if (write(*fd, &f, sizeof(f)) != (ssize_t)sizeof(f))
		_exit(1);
}

static void __attribute__((noreturn))
try(struct sandbox *s)
{
	if (sandbox_mounts(s) < 0)
		_exit(1);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	sandbox_drop_capabilities(s);
	if (sandbox_lock(s) < 0)
		s->missing(s->arg, SANDBOX_SECCOMP, errno);
	_exit(0);
}

int
sandbox_check(int missing[SANDBOX_PARTS])
{
	static char *nothing[] = { NULL };
	struct sandbox_spec spec = { .is_on = true, .cwd = "", .home = "",
	    .writable = nothing, .hidden = nothing, .also_hidden = nothing,
	    .command = "", .args = nothing, .env = nothing,
	    .processes = geteuid() == 0 ? 0 : 100 };
	struct sandbox s = { .spec = &spec, .missing = tell };
	struct finding f;
	int fd[2], status;
	pid_t pid;

	memset(missing, 0, SANDBOX_PARTS * sizeof(*missing));
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -1;
	s.arg = &fd[1];
	pid = sandbox_fork(&s, true);
	if (pid == 0)
		try(&s);
	close(fd[1]);
	while (read(fd[0], &f, sizeof(f)) == (ssize_t)sizeof(f))
		if (f.part >= 0 && f.part < SANDBOX_PARTS)
			missing[f.part] = f.error;
	close(fd[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	errno = ECHILD;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}
