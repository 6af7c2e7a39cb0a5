/*
 * hear -- a client got a session of its own at a server: the server's listener
 * (proc/listener.c) is told, and the call waits until the stream on which the
 * server speaks by itself is open. What it says before, it says to nobody.
 *
 * Workers tell, listeners hear. The socket lies beside that of stdiod. Best
 * effort: without a listener, or with one that is slow, the call goes on.
 */
#include "upstream/opening_int.h"
#include "upstream/hear.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"

#define OPEN_MS		2000	/* a call waits for the stream that long */
#define NAP_MS		10
#define WORD_MS		100	/* for a word that is on its way */

struct word {
	uint64_t	client_session;
};

static void
path_of(char *out, size_t size, const char *name, const char *stdio_socket,
    int64_t server_id)
{
	const char *slash = strrchr(stdio_socket, '/');

	snprintf(out, size, "%.*s%s.%lld", slash == NULL ? 0 :
	    (int)(slash - stdio_socket) + 1, stdio_socket, name,
	    (long long)server_id);
}

int
upstream_hear_listen(const char *stdio_socket, int64_t server_id,
    struct err *e)
{
	char path[300];

	path_of(path, sizeof(path), "hear", stdio_socket, server_id);
	return sock_listen_unix(path, SOCK_SEQPACKET, 0600, e);
}

int
upstream_link_listen(const char *stdio_socket, int64_t server_id,
    struct err *e)
{
	char path[300];

	path_of(path, sizeof(path), "link", stdio_socket, server_id);
	return sock_listen_unix(path, SOCK_STREAM, 0600, e);
}

int
upstream_hear_take(int listener, uint64_t *client_session)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct word w;

	if (fd < 0)
		return -1;
	if (wire_await(fd, POLLIN, clock_mono_ms() + WORD_MS) == 1 &&
	    recv(fd, &w, sizeof(w), MSG_DONTWAIT) == (ssize_t)sizeof(w)) {
		*client_session = w.client_session;
		return fd;
	}
	close(fd);
	return -1;
}

void
upstream_hear_forget(const char *stdio_socket, int64_t server_id)
{
	char path[300];

	path_of(path, sizeof(path), "hear", stdio_socket, server_id);
	unlink(path);
	path_of(path, sizeof(path), "link", stdio_socket, server_id);
	unlink(path);
}

/* A socket that nobody listens at says that the server has no such stream; no
 * socket at all that its listener has not begun yet. */
static int
connect_listener(const char *path, struct upstream_call *watch, int64_t until)
{
	struct err e;
	int fd;

	while ((fd = sock_connect_unix(path, SOCK_SEQPACKET, &e)) < 0)
		if (access(path, F_OK) == 0 || clock_mono_ms() >= until ||
		    wire_nap(watch, NAP_MS, &e) < 0)
			return -1;
	return fd;
}

/* One that was killed is started again in a moment. */
int
hear_connect_owner(const struct upstream_pool *pool, int64_t server_id,
    struct upstream_call *watch, struct err *e)
{
	int64_t until = clock_mono_ms() + OPEN_MS;
	struct err none;
	char path[300];
	int fd;

	if (until > watch->deadline_ms)
		until = watch->deadline_ms;
	path_of(path, sizeof(path), "link", pool->stdio_socket, server_id);
	while ((fd = sock_connect_unix(path, SOCK_STREAM, &none)) < 0) {
		if (clock_mono_ms() >= until)
			return err_set(e, ERR_UPSTREAM,
			    "nobody has the links of clients");
		if (wire_nap(watch, NAP_MS, e) < 0)
			return -1;
	}
	return fd;
}

void
hear_tell(const struct opening *o)
{
	struct word w = { o->client };
	int64_t until = clock_mono_ms() + OPEN_MS;
	char path[300];
	int fd;

	if (o->pool->stdio_socket == NULL || o->entry->via != VIA_HTTP ||
	    o->client <= UPSTREAM_PLAIN || o->session.era != ERA_LEGACY ||
	    o->session.id[0] == '\0')
		return;
	path_of(path, sizeof(path), "hear", o->pool->stdio_socket,
	    o->target->server_id);
	if (until > o->watch->deadline_ms)
		until = o->watch->deadline_ms;
	fd = connect_listener(path, o->watch, until);
	if (fd < 0)
		return;
	/* it closes when the stream is open, or there is none */
	if (send(fd, &w, sizeof(w), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	    (ssize_t)sizeof(w))
		wire_await(fd, POLLIN, until);
	close(fd);
}
