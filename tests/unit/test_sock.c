/* Unit tests of net/sock, over the loopback and a private directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/fiber.h"
#include "base/sanitizer.h"
#include "net/sock.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

static void
addresses(void **state)
{
	static const struct {
		const char *text;
		int family;
		unsigned port;
		const char *shown;
	} cases[] = {
		{ "127.0.0.1:80", AF_INET, 80, "127.0.0.1" },
		{ "0.0.0.0:0", AF_INET, 0, "0.0.0.0" },
		{ "[::1]:8080", AF_INET6, 8080, "::1" },
		{ "[::ffff:10.1.2.3]:1", AF_INET6, 1, "10.1.2.3" },
		{ "*:65535", AF_INET6, 65535, "::" },
		{ ":9", AF_INET6, 9, "::" },
		{ "unix:/run/x", AF_UNIX, 0, "unix" },
	};
	static const char *const bad[] = { "", "127.0.0.1", "127.0.0.1:",
	    "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:8o", "1.2.3:80",
	    "localhost:80", "::1:80", "[::1]", "[::1:80", "[]:80",
	    "[1.2.3.4]:80", "[*]:80", "**:80", "1.2.3.4 :80", "unix:",
	    "unix:x", "[::1]x:80" };
	struct sock_addr a;
	char text[64], long_path[300];
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(cases); i++) {
		if (sock_addr_parse(&a, cases[i].text, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(a.ss.ss_family, cases[i].family);
		sock_addr_text((struct sockaddr *)&a.ss, text, sizeof(text));
		assert_string_equal(text, cases[i].shown);
		if (cases[i].family != AF_UNIX)
			assert_int_equal(ntohs(((struct sockaddr_in *)
			    &a.ss)->sin_port), cases[i].port);
	}
	for (i = 0; i < COUNT(bad); i++) {
		if (sock_addr_parse(&a, bad[i], &e) == 0)
			fail_msg("%s", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
	}
	snprintf(long_path, sizeof(long_path), "unix:/%0200d", 1);
	assert_int_equal(sock_addr_parse(&a, long_path, &e), -1);
	memset(&a, 0, sizeof(a));
	sock_addr_text((struct sockaddr *)&a.ss, text, sizeof(text));
	assert_string_equal(text, "unknown");
}

static unsigned
port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static void
listens_and_connects(void **state)
{
	static const char *const texts[] = { "127.0.0.1:0", "*:0" };
	struct sockaddr_storage ss;
	socklen_t n = sizeof(int);
	int lfd, cfd, afd, nodelay;
	struct sock_addr a;
	char text[64];
	struct err e;
	size_t i;

	for (i = 0; i < COUNT(texts); i++) {
		assert_int_equal(sock_addr_parse(&a, texts[i], &e), 0);
		lfd = sock_listen(&a, 16, &e);
		assert_true(lfd >= 0);
		assert_true(fcntl(lfd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(lfd, F_GETFD) & FD_CLOEXEC);
		cfd = sock_connect_tcp(SPAN_LIT("127.0.0.1"),
		    (uint16_t)port_of(lfd), clock_mono_ms() + 5000, &e);
		assert_true(cfd >= 0);
		assert_false(fcntl(cfd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(cfd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(fdio_wait(lfd, POLLIN,
		    clock_mono_ms() + 5000), 1);
		n = sizeof(ss);
		afd = accept(lfd, (struct sockaddr *)&ss, &n);
		assert_true(afd >= 0);
		sock_addr_text((struct sockaddr *)&ss, text, sizeof(text));
		assert_string_equal(text, "127.0.0.1");
		n = sizeof(nodelay);
		assert_int_equal(getsockopt(afd, IPPROTO_TCP, TCP_NODELAY,
		    &nodelay, &n), 0);
		assert_true(nodelay != 0);
		close(afd);
		close(cfd);
		close(lfd);
	}
}

static void
connecting_fails(void **state)
{
	struct sock_addr a;
	struct err e;
	char name[400];
	unsigned port;
	int fd;

	assert_int_equal(sock_addr_parse(&a, "127.0.0.1:0", &e), 0);
	fd = sock_listen(&a, 1, &e);
	assert_true(fd >= 0);
	port = port_of(fd);
	((struct sockaddr_in *)&a.ss)->sin_port = htons((uint16_t)port);
	assert_int_equal(sock_listen(&a, 1, &e), -1);	/* taken */
	assert_int_equal(e.code, ERR_INTERNAL);
	assert_non_null(strstr(e.text, "127.0.0.1"));
	close(fd);
	assert_int_equal(sock_connect_tcp(SPAN_LIT("127.0.0.1"),
	    (uint16_t)port, clock_mono_ms() + 5000, &e), -1);
	assert_int_equal(e.code, ERR_UPSTREAM);
	assert_int_equal(sock_connect_tcp(SPAN_LIT("no such host"), 80, -1,
	    &e), -1);
	assert_int_equal(e.code, ERR_UPSTREAM);
	assert_int_equal(sock_connect_tcp(SPAN_LIT(""), 80, -1, &e), -1);
	assert_int_equal(sock_connect_tcp(SPAN_LIT("127.0.0.1\0x"), 80, -1,
	    &e), -1);
	memset(name, 'a', sizeof(name));
	assert_int_equal(sock_connect_tcp(span_make(name, sizeof(name)), 80,
	    -1, &e), -1);
}

/* A full backlog drops the SYN, so only the deadline ends the attempt. */
static void
connecting_has_a_deadline(void **state)
{
	int64_t start = clock_mono_ms();
	int lfd, fds[16], n, rv = 0;
	struct sock_addr a;
	struct err e;

	assert_int_equal(sock_addr_parse(&a, "127.0.0.1:0", &e), 0);
	lfd = sock_listen(&a, 0, &e);
	assert_true(lfd >= 0);
	for (n = 0; n < 16 && rv >= 0; n++) {
		rv = sock_connect_tcp(SPAN_LIT("127.0.0.1"),
		    (uint16_t)port_of(lfd), clock_mono_ms() + 50, &e);
		fds[n] = rv;
	}
	assert_int_equal(rv, -1);
	assert_int_equal(e.code, ERR_TIMEOUT);
	assert_true(clock_mono_ms() - start >= 50);
	while (n-- > 0)
		if (fds[n] >= 0)
			close(fds[n]);
	close(lfd);
}

static void
unix_sockets(void **state)
{
	char dir[] = "/tmp/omni2-test-XXXXXX", path[64], text[80];
	struct sock_addr a;
	struct stat st;
	struct err e;
	int lfd, cfd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	lfd = sock_listen_unix(path, SOCK_SEQPACKET, 0600, &e);
	assert_true(lfd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	cfd = sock_connect_unix(path, SOCK_SEQPACKET, &e);
	assert_true(cfd >= 0);
	close(cfd);
	/* In use: by another, or as another type. */
	assert_int_equal(sock_listen_unix(path, SOCK_SEQPACKET, 0600, &e),
	    -1);
	assert_int_equal(sock_listen_unix(path, SOCK_STREAM, 0600, &e), -1);
	assert_int_equal(sock_connect_unix(path, SOCK_STREAM, &e), -1);
	assert_int_equal(e.code, ERR_UPSTREAM);
	close(lfd);
	/* Left over: replaced. Also through the address form. */
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_int_equal(sock_addr_parse(&a, text, &e), 0);
	lfd = sock_listen(&a, 5, &e);
	assert_true(lfd >= 0);
	close(lfd);
	unlink(path);
	/* A file that is no socket stays. */
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(sock_listen_unix(path, SOCK_STREAM, 0600, &e), -1);
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
	assert_int_equal(sock_connect_unix(path, SOCK_STREAM, &e), -1);
	assert_int_equal(sock_connect_unix("relative", SOCK_STREAM, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	lfd = sock_listen_unix(path, SOCK_DGRAM, 0666, &e);
	assert_true(lfd >= 0);
	close(lfd);
	unlink(path);
	rmdir(dir);
	assert_int_equal(sock_listen_unix(path, SOCK_STREAM, 0600, &e), -1);
	assert_int_equal(e.code, ERR_INTERNAL);
}

struct dial {
	const char *name;
	unsigned port;
	int fd;
	struct err e;
	bool done;
};

static void
dial(void *arg)
{
	struct dial *d = arg;

	d->fd = sock_connect_tcp(span_str(d->name), (uint16_t)d->port,
	    clock_mono_ms() + 20000, &d->e);
	d->done = true;
}

/* A name is looked up while other fibers run. */
static void
names_on_fibers(void **state)
{
	struct dial good = { .name = "localhost" }, bad = { .name = "no.such" };
	struct sock_addr a;
	struct err e;
	int lfd;

#ifdef WITH_TSAN
	skip();		/* it does not know the thread of getaddrinfo_a(3) */
#endif
	assert_int_equal(sock_addr_parse(&a, "127.0.0.1:0", &e), 0);
	lfd = sock_listen(&a, 16, &e);
	assert_true(lfd >= 0);
	good.port = bad.port = port_of(lfd);
	fibers_init(2);
	assert_true(fiber_start(dial, &good));
	assert_true(fiber_start(dial, &bad));
	assert_false(good.done);	/* it waits, and so do not we */
	while (fibers_running() > 0)
		fibers_wait(NULL, 0, -1);
	fibers_free();
	assert_true(good.fd >= 0);
	assert_int_equal(bad.fd, -1);
	assert_int_equal(bad.e.code, ERR_UPSTREAM);
	assert_non_null(strstr(bad.e.text, "resolve no.such"));
	close(good.fd);
	close(lfd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(listens_and_connects),
		cmocka_unit_test(connecting_fails),
		cmocka_unit_test(connecting_has_a_deadline),
		cmocka_unit_test(unix_sockets),
		cmocka_unit_test(names_on_fibers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
