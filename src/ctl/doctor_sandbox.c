/*
 * doctor_sandbox -- what the sandbox of stdio servers lacks on this machine,
 * for the user that omni2d has.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/doctor.h"
#include "stdio/sandbox.h"

#define TEXT_MAX	1024

/* "Landlock (Operation not supported), seccomp (...)" */
static void
describe(const int missing[SANDBOX_PARTS], char *text, size_t size)
{
	size_t n = 0;
	int i;

	text[0] = '\0';
	for (i = 0; i < SANDBOX_PARTS && n < size; i++)
		if (missing[i] != 0)
			n += (size_t)snprintf(text + n, size - n, "%s%s (%s)",
			    n > 0 ? ", " : "",
			    sandbox_part_text((enum sandbox_part)i),
			    strerror(missing[i]));
}

/* As the daemon's user. Nothing is written if nothing is missing. */
static void __attribute__((noreturn))
look(const struct passwd *user, int fd)
{
	int missing[SANDBOX_PARTS];
	char text[TEXT_MAX];

	if (geteuid() == 0 && (setgid(user->pw_gid) < 0 ||
	    setuid(user->pw_uid) < 0))
		_exit(1);
	if (sandbox_check(missing) < 0)
		_exit(1);
	describe(missing, text, sizeof(text));
	_exit(write(fd, text, strlen(text)) < 0);
}

void
doctor_sandbox(struct doctor *d)
{
	char text[TEXT_MAX];
	int fd[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (d->c->conf.stdio_launcher[0] != '\0')
		return;			/* its unit is the sandbox */
	if (d->user == NULL && geteuid() == 0)
		return;			/* as whom? */
	if (pipe(fd) < 0)
		return;
	if ((pid = fork()) == 0)
		look(d->user, fd[1]);
	close(fd[1]);
	n = read(fd[0], text, sizeof(text) - 1);
	close(fd[0]);
	text[n < 0 ? 0 : n] = '\0';
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		doctor_say(d, FINDING_WARN, "sandbox", "it cannot be tried "
		    "out", NULL);
	else if (n > 0)
		doctor_say(d, FINDING_WARN, "sandbox", ctl_text("stdio servers "
		    "are without %s", text), "allow namespaces for all users "
		    "(user.max_user_namespaces), take a newer kernel, or use "
		    "stdio.launcher");
	else
		doctor_say(d, FINDING_OK, "sandbox", "stdio servers get all "
		    "of it: namespaces, Landlock, seccomp", NULL);
}
