/*
 * sock -- making sockets.
 *
 * Master (listening, numeric addresses only, no DNS), upstream client and
 * tools (connecting). All descriptors are close-on-exec from birth.
 */
#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/num.h"
#include "net/resolve.h"

static int
bad_addr(struct err *e, const char *text, const char *why)
{
	return err_set(e, ERR_INVALID, "address \"%.200s\": %s", text, why);
}

/* Closes and keeps errno. Always -1. */
static int
close_keep(int fd)
{
	int saved_errno = errno;

	close(fd);
	errno = saved_errno;
	return -1;
}

static int
unix_addr(struct sockaddr_un *un, const char *path, struct err *e)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if (path[0] != '/')
		return bad_addr(e, path, "a socket path must be absolute");
	if (!span_copy(un->sun_path, sizeof(un->sun_path), span_str(path)))
		return bad_addr(e, path, "socket path too long");
	return 0;
}

/* Empty and "*" are every address of the machine, IPv4 and IPv6. */
static int
set_ip(struct sock_addr *a, struct span host, bool brackets, uint16_t port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&a->ss;
	char text[INET6_ADDRSTRLEN];
	bool any = !brackets && (host.n == 0 || span_is(host, "*"));

	if (!any && !span_copy(text, sizeof(text), host))
		return -1;
	if (any || brackets) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		in6->sin6_addr = in6addr_any;
		a->len = sizeof(*in6);
		return any || inet_pton(AF_INET6, text, &in6->sin6_addr) == 1 ?
		    0 : -1;
	}
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	a->len = sizeof(*in);
	return inet_pton(AF_INET, text, &in->sin_addr) == 1 ? 0 : -1;
}

int
sock_addr_parse(struct sock_addr *a, const char *text, struct err *e)
{
	struct span s = span_str(text), host;
	const char *colon;
	bool brackets;
	uint64_t port;

	memset(a, 0, sizeof(*a));
	if (span_starts(s, "unix:")) {
		a->len = sizeof(struct sockaddr_un);
		return unix_addr((struct sockaddr_un *)&a->ss, text + 5, e);
	}
	if ((colon = strrchr(text, ':')) == NULL)
		return bad_addr(e, text, "no port");
	host = span_make(text, (size_t)(colon - text));
	if (num_u64(span_str(colon + 1), 0, UINT16_MAX, &port) < 0)
		return bad_addr(e, text, "bad port");
	brackets = host.n >= 2 && host.p[0] == '[' &&
	    host.p[host.n - 1] == ']';
	if (brackets)
		host = span_make(host.p + 1, host.n - 2);
	if (set_ip(a, host, brackets, (uint16_t)port) < 0)
		return bad_addr(e, text, "the host must be a numeric address");
	return 0;
}

static const struct sockaddr *
sa(const struct sock_addr *a)
{
	return (const struct sockaddr *)&a->ss;
}

/* Opens, binds and listens. -1 with errno. */
static int
listen_on(const struct sock_addr *a, int backlog)
{
	int fd, on = 1, off = 0;

	fd = socket(a->ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return close_keep(fd);
	if (a->ss.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6,
	    IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return close_keep(fd);
	if (bind(fd, sa(a), a->len) < 0 || listen(fd, backlog) < 0)
		return close_keep(fd);
	return fd;
}

static bool
is_any6(const struct sock_addr *a)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->ss;

	return a->ss.ss_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static const char *
way_out(int error)
{
	switch (error) {
	case EADDRINUSE:
		return "; \"ss -ltnp\" shows which program has it";
	case EADDRNOTAVAIL:
		return "; no interface of this machine has that address";
	case EACCES:
		return "; be root, or let systemd open it (omni2.socket)";
	default:
		return "";
	}
}

int
sock_listen(const struct sock_addr *a, int backlog, struct err *e)
{
	struct sock_addr any4;
	char text[INET6_ADDRSTRLEN];
	int fd, error;

	if (a->ss.ss_family == AF_UNIX)
		return sock_listen_unix(
		    ((const struct sockaddr_un *)&a->ss)->sun_path,
		    SOCK_STREAM, 0660, e);
	fd = listen_on(a, backlog);
	if (fd < 0 && is_any6(a) &&
	    (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		/* A machine without IPv6: all its addresses are IPv4. */
		memset(&any4, 0, sizeof(any4));
		set_ip(&any4, SPAN_LIT("0.0.0.0"), false, ntohs(
		    ((const struct sockaddr_in6 *)&a->ss)->sin6_port));
		fd = listen_on(&any4, backlog);
	}
	if (fd >= 0)
		return fd;
	error = errno;
	sock_addr_text(sa(a), text, sizeof(text));
	return err_set(e, ERR_INTERNAL, "listen on %s port %u: %s%s", text,
	    ntohs(((const struct sockaddr_in *)&a->ss)->sin_port),
	    strerror(error), way_out(error));
}

/*
 * A socket that a dead process left is removed; one that somebody answers on,
 * or a file that is no socket, is not touched.
 */
static int
remove_stale(const struct sockaddr_un *un, int type)
{
	struct stat st;
	int fd, rv;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return -1;
	}
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	rv = connect(fd, (const struct sockaddr *)un, sizeof(*un));
	close_keep(fd);
	if (rv == 0 || errno != ECONNREFUSED) {
		errno = EADDRINUSE;
		return -1;
	}
	return unlink(un->sun_path);
}

int
sock_listen_unix(const char *path, int type, int mode, struct err *e)
{
	struct sockaddr_un un;
	mode_t old_mask;
	int fd, rv;

	if (unix_addr(&un, path, e) < 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "socket: %s", strerror(errno));
	if ((rv = remove_stale(&un, type)) == 0) {
		/* By the mask, so that it is never more open than asked. */
		old_mask = umask((mode_t)(0777 & ~mode));
		rv = bind(fd, (const struct sockaddr *)&un, sizeof(un));
		umask(old_mask);
	}
	if (rv == 0 && type != SOCK_DGRAM)
		rv = listen(fd, SOMAXCONN);
	if (rv == 0)
		return fd;
	close_keep(fd);
	return err_set(e, ERR_INTERNAL, "listen on %s: %s", path,
	    strerror(errno));
}

int
sock_connect_unix(const char *path, int type, struct err *e)
{
	struct sockaddr_un un;
	int fd;

	if (unix_addr(&un, path, e) < 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close_keep(fd);
	return err_set(e, ERR_UPSTREAM, "connect to %s: %s", path,
	    strerror(errno));
}

void
sock_addr_text(const struct sockaddr *addr, char *out, size_t size)
{
	const struct sockaddr_in6 *in6 = (const void *)addr;
	const struct sockaddr_in *in = (const void *)addr;
	const char *text = NULL;

	if (addr->sa_family == AF_INET)
		text = inet_ntop(AF_INET, &in->sin_addr, out,
		    (socklen_t)size);
	else if (addr->sa_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		text = inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], out,
		    (socklen_t)size);
	else if (addr->sa_family == AF_INET6)
		text = inet_ntop(AF_INET6, &in6->sin6_addr, out,
		    (socklen_t)size);
	if (text == NULL)
		snprintf(out, size, "%s",
		    addr->sa_family == AF_UNIX ? "unix" : "unknown");
}

/* Connects one address. 0, or -1 with errno (ETIMEDOUT at the deadline). */
static int
connect_by(int fd, const struct addrinfo *ai, int64_t deadline_ms)
{
	socklen_t n = sizeof(int);
	int rv, so_error = 0;

	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	do
		rv = fdio_wait(fd, POLLOUT, deadline_ms);
	while (rv < 0 && errno == EINTR);
	if (rv == 0)
		errno = ETIMEDOUT;
	if (rv <= 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &so_error, &n) < 0)
		return -1;
	errno = so_error;
	return so_error == 0 ? 0 : -1;
}

static int
connect_one(const struct addrinfo *ai, int64_t deadline_ms)
{
	int fd, on = 1;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (fd < 0)
		return -1;
	if (connect_by(fd, ai, deadline_ms) < 0 ||
	    fdio_set_nonblock(fd, false) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return close_keep(fd);
	return fd;
}

/* The time left is shared out, so that a dead address leaves some for the
 * ones behind it. */
static int
connect_any(const struct addrinfo *list, int64_t deadline_ms)
{
	const struct addrinfo *ai;
	int64_t until, now;
	int fd = -1, left = 0;

	for (ai = list; ai != NULL; ai = ai->ai_next)
		left++;
	errno = EADDRNOTAVAIL;
	for (ai = list; ai != NULL && fd < 0; ai = ai->ai_next, left--) {
		now = clock_mono_ms();
		until = deadline_ms < 0 ? -1 :
		    now + (deadline_ms - now) / left;
		fd = connect_one(ai, until);
	}
	return fd;
}

int
sock_connect_tcp(struct span host, uint16_t port, int64_t deadline_ms,
    struct err *e)
{
	struct addrinfo *list;
	char name[256], service[8];
	int fd, rv;

	if (host.n == 0 || memchr(host.p, '\0', host.n) != NULL ||
	    !span_copy(name, sizeof(name), host))
		return err_set(e, ERR_UPSTREAM, "bad host name");
	snprintf(service, sizeof(service), "%u", port);
	if ((rv = resolve(name, service, deadline_ms, &list)) != 0)
		return err_set(e, ERR_UPSTREAM, "resolve %s: %s", name,
		    gai_strerror(rv));
	fd = connect_any(list, deadline_ms);
	rv = errno;
	freeaddrinfo(list);
	if (fd >= 0)
		return fd;
	return err_set(e, rv == ETIMEDOUT ? ERR_TIMEOUT : ERR_UPSTREAM,
	    "connect to %s port %u: %s", name, port, strerror(rv));
}
