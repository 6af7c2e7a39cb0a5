/*
 * ask -- see ask.h.
 */
#include "proc/ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "conf/conf.h"
#include "net/sock.h"

/* Reads until the daemon closes. The descriptor comes with the first bytes. */
static int
read_answer(int sock, struct buf *out, int *fd)
{
	char bytes[65536];
	ssize_t n;
	int got;

	while ((n = fdpass_recv(sock, bytes, sizeof(bytes), &got, 0)) > 0) {
		buf_add(out, bytes, (size_t)n);
		if (got >= 0 && fd != NULL && *fd < 0)
			*fd = got;
		else if (got >= 0)
			close(got);
	}
	return out->n >= 2 && memcmp(out->p, "OK", 2) == 0;
}

int
control_ask(const char *run_dir, const char *line, struct buf *out, int *fd,
    bool *refused)
{
	char path[CONF_TEXT + 32];
	struct err e;
	int sock, rc;

	if (fd != NULL)
		*fd = -1;
	*refused = false;
	snprintf(path, sizeof(path), "%s/control.sock", run_dir);
	sock = sock_connect_unix(path, SOCK_STREAM, &e);
	if (sock < 0) {
		*refused = errno == EACCES;
		return -1;
	}
	if (fdio_write_all(sock, line, strlen(line)) < 0 ||
	    fdio_write_all(sock, "\n", 1) < 0) {
		close(sock);
		return -1;
	}
	rc = read_answer(sock, out, fd);
	close(sock);
	if (out->n > 0)
		return rc;
	*refused = true;		/* closed without a word: not for us */
	return -1;
}

struct span
control_text(const struct buf *out)
{
	const char *nl = out->n == 0 ? NULL : memchr(out->p, '\n', out->n);

	return nl == NULL ? SPAN_LIT("") :
	    span_skip(buf_span(out), (size_t)(nl + 1 - out->p));
}
