/*
 * ready -- see ready.h.
 */
#include "ctl/ready.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/num.h"
#include "ctl/ctl.h"
#include "net/sock.h"

/* Listening on every address includes this one. */
static void
to_loopback(struct sock_addr *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->ss;

	if (a->ss.ss_family == AF_INET && in->sin_addr.s_addr == INADDR_ANY)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (a->ss.ss_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr = in6addr_loopback;
}

static int
connect_to(const struct conf *conf)
{
	struct timeval patience = { 2, 0 };
	struct sock_addr a;
	struct err e;
	int fd;

	if (conf->listen.n == 0 ||
	    sock_addr_parse(&a, conf->listen.item[0], &e) < 0)
		return -1;
	to_loopback(&a);
	fd = socket(a.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a.ss, a.len) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The whole answer, as a string. -1 if there is none. */
static int
ask(const struct conf *conf, const char *path, char *answer, size_t size)
{
	const char *request = ctl_text("GET %s HTTP/1.1\r\nHost: localhost\r\n"
	    "Connection: close\r\n\r\n", path);
	uint64_t status;
	size_t n = 0;
	ssize_t got;
	int fd = connect_to(conf);

	if (fd < 0)
		return -1;
	if (fdio_write_all(fd, request, strlen(request)) == 0)
		while (n < size - 1 &&
		    (got = read(fd, answer + n, size - 1 - n)) > 0)
			n += (size_t)got;
	close(fd);
	answer[n] = '\0';
	if (n < 12 || memcmp(answer, "HTTP/1.", 7) != 0 ||
	    num_u64(span_make(answer + 9, 3), 100, 599, &status) < 0)
		return -1;
	return (int)status;
}

int
ready_status(const struct conf *conf, const char *path)
{
	char answer[4096];

	return ask(conf, path, answer, sizeof(answer));
}

const char *
ready_why_not(const struct conf *conf)
{
	static const char member[] = "\"reason\":\"";
	char answer[4096];
	const char *at;
	int status = ask(conf, "/health/ready", answer, sizeof(answer));

	if (status == 200)
		return NULL;
	if (status < 0)
		return ctl_text("nobody answers on %s", conf->listen.n > 0 ?
		    conf->listen.item[0] : "server.listen");
	if ((at = strstr(answer, member)) == NULL)
		return ctl_text("/health/ready answers %d", status);
	at += sizeof(member) - 1;
	return ctl_text("%.*s", (int)strcspn(at, "\""), at);
}

bool
ready_may_listen(const struct conf *conf, struct err *e)
{
	struct sock_addr a;
	uint32_t i;
	int fd;

	for (i = 0; i < conf->listen.n; i++) {
		if (sock_addr_parse(&a, conf->listen.item[i], e) < 0)
			return false;
		if (a.ss.ss_family == AF_UNIX)
			continue;
		if ((fd = sock_listen(&a, 1, e)) < 0)
			return false;
		close(fd);
	}
	return true;
}

int
ready_wait(const struct conf *conf, int64_t deadline_ms)
{
	int status;

	for (;;) {
		status = ready_status(conf, "/health/ready");
		if (status == 200 || clock_mono_ms() >= deadline_ms)
			return status;
		clock_nap_ms(100);
	}
}

const char *
ready_url(const struct conf *conf)
{
	const char *listen = conf->listen.n > 0 ? conf->listen.item[0] : "";
	const char *colon = strrchr(listen, ':');

	if (conf->public_url[0] != '\0')
		return ctl_text("%.*s", (int)(strlen(conf->public_url) -
		    (conf->public_url[strlen(conf->public_url) - 1] == '/')),
		    conf->public_url);
	if (colon == NULL || strncmp(listen, "unix:", 5) == 0)
		return listen;
	if (listen[0] == '*' || listen == colon ||
	    strncmp(listen, "0.0.0.0:", 8) == 0)
		return ctl_text("http://127.0.0.1%s", colon);
	if (strncmp(listen, "[::]", 4) == 0)
		return ctl_text("http://[::1]%s", colon);
	return ctl_text("http://%s", listen);
}
