/*
 * log_journal -- lines with fields for journald (its native protocol).
 *
 * See systemd's "Native Journal Protocol": a datagram of NAME=value lines to
 * a socket of a known name. The socket is made for each line, as processes
 * close what they inherit and lines are rare. Every process.
 */
#include "base/log_journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdio.h"

const char *log_journal_socket = "/run/systemd/journal/socket";

/*
 * What systemd calls our lines if it reads them itself: the unit, which is
 * the last part of the control group ("0::/system.slice/omni2.service").
 */
static const char *
identifier(void)
{
	static char name[64];
	char text[512], *end, *last;
	ssize_t n;

	if (name[0] != '\0')
		return name;
	n = fdio_read_file("/proc/self/cgroup", text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	last = strrchr(text, '/');
	end = last == NULL ? NULL : strstr(last, ".service");
	if (end != NULL && end[8] == '\0')
		*end = '\0';
	else
		last = NULL;
	snprintf(name, sizeof(name), "%s", last != NULL && last[1] != '\0' ?
	    last + 1 : "omni2");
	return name;
}

bool
log_journal_send(char priority, const char *process, const char *line,
    size_t n)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char fields[256];
	struct iovec iov[3] = { { fields, 0 }, { (void *)(uintptr_t)line, n },
		{ (void *)(uintptr_t)"\n", 1 } };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof(to),
		.msg_iov = iov, .msg_iovlen = 3 };
	ssize_t sent;
	int fd;

	iov[0].iov_len = (size_t)snprintf(fields, sizeof(fields),
	    "PRIORITY=%c\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=%s\n"
	    "OMNI2_PROCESS=%s\nMESSAGE=%s: ", priority, identifier(), process,
	    process);
	if (iov[0].iov_len >= sizeof(fields) ||
	    strlen(log_journal_socket) >= sizeof(to.sun_path))
		return false;
	memcpy(to.sun_path, log_journal_socket, strlen(log_journal_socket));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	return sent >= 0;
}
