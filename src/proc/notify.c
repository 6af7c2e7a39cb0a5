/*
 * notify -- sd_notify(3) and sd_listen_fds(3), each a few lines; the daemon
 * does not link libsystemd for them. Master only.
 */
#include "proc/master.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/log.h"
#include "base/num.h"
#include "shm/gen.h"

void
notify_send(const char *text)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	n = strlen(path);
	if (n >= sizeof(sun.sun_path))
		return;
	memcpy(sun.sun_path, path, n);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
	    (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

/* The first line that is no warning; the first one when all are. */
static struct span
worst_line(struct span findings)
{
	struct span first = SPAN_LIT(""), line;
	const char *end;

	while (findings.n > 0) {
		end = memchr(findings.p, '\n', findings.n);
		line = span_make(findings.p, end == NULL ? findings.n :
		    (size_t)(end - findings.p));
		if (memmem(line.p, line.n, "warning: ", 9) == NULL)
			return line;
		if (first.n == 0)
			first = line;
		findings = span_skip(findings, line.n + 1);
	}
	return first;
}

/* The line that "systemctl status" shows: what is in force, and if that is not
 * what is on disk, or not all of it, the first reason. */
void
notify_ready(struct master *m, bool is_loaded, struct span findings)
{
	struct span line = worst_line(findings);
	char text[1024];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=Running with "
	    "configuration %llu%s%.*s",
	    (unsigned long long)shm_generation(m->shm, SNAP_CONF), !is_loaded ?
	    "; the one on disk was not loaded: " : line.n > 0 ? "; " : "",
	    (int)(line.n > 512 ? 512 : line.n), line.p);
	notify_send(text);
}

void
notify_failed(struct span findings)
{
	struct span line = worst_line(findings);
	char text[1024];

	snprintf(text, sizeof(text), "STATUS=Not started: %.*s",
	    (int)(line.n > 900 ? 900 : line.n), line.p);
	notify_send(text);
}

void
notify_die(int exit_status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s", text);
	notify_failed(span_str(text));
	exit(exit_status);
}

void
notify_die_sys(const char *what)
{
	notify_die(EX_OSERR, "%s: %s", what, strerror(errno));
}

/* The next of LISTEN_FDNAMES, "http:tls". */
static bool
is_tls(const char **names)
{
	size_t n = *names == NULL ? 0 : strcspn(*names, ":");
	bool yes = span_is(span_make(*names, n), "tls");

	if (*names != NULL)
		*names += n + ((*names)[n] == ':');
	return yes;
}

void
notify_listen_fds(int *plain, int *n_plain, int *tls, int *n_tls, int max)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t p, n;
	int i;

	*n_plain = *n_tls = 0;
	if (pid == NULL || count == NULL ||
	    num_u64(span_str(pid), 1, INT32_MAX, &p) < 0 ||
	    (pid_t)p != getpid() ||
	    num_u64(span_str(count), 0, (uint64_t)max, &n) < 0)
		return;
	for (i = 0; i < (int)n; i++) {
		int type = 0;
		socklen_t len = sizeof(type);
		bool for_tls = is_tls(&names);

		/* other descriptors of the store are not ours to accept on */
		if (getsockopt(3 + i, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
		    type != SOCK_STREAM)
			continue;
		fdio_set_cloexec(3 + i, true);
		fdio_set_nonblock(3 + i, true);
		if (for_tls)
			tls[(*n_tls)++] = 3 + i;
		else
			plain[(*n_plain)++] = 3 + i;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}
