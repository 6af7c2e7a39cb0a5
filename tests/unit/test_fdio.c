/* Unit tests of base/fdio: full writes, waiting, descriptors in messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fdio.h"

static void
flags(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fdio_set_nonblock(fds[0], true), 0);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fdio_set_nonblock(fds[0], false), 0);
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fdio_set_cloexec(fds[0], true), 0);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fdio_set_cloexec(fds[0], false), 0);
	assert_false(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(fdio_set_nonblock(fds[0], true), -1);
	assert_int_equal(fdio_set_cloexec(fds[0], true), -1);
	assert_int_equal(errno, EBADF);
}

/* More than a pipe holds, so that writes are short; the child counts. */
static void
writes_all(void **state)
{
	static char block[500000];
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		size_t sum = 0;
		ssize_t n;

		close(fds[1]);
		while ((n = read(fds[0], block, 999)) > 0)
			sum += (size_t)n;
		_exit(sum == sizeof(block) ? 0 : 1);
	}
	close(fds[0]);
	assert_int_equal(fdio_write_all(fds[1], block, sizeof(block)), 0);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fdio_write_all(-1, "x", 1), -1);
	assert_int_equal(fdio_write_all(-1, "", 0), 0);
}

static void
reads_files(void **state)
{
	char path[] = "/tmp/omni2-test-XXXXXX", out[16];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(fdio_read_file(path, out, sizeof(out)), 0);
	assert_string_equal(out, "");
	assert_int_equal(fdio_write_all(fd, "0123456789abcde", 15), 0);
	assert_int_equal(fdio_read_file(path, out, sizeof(out)), 15);
	assert_string_equal(out, "0123456789abcde");
	assert_int_equal(fdio_read_file(path, out, 15), -1);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(fdio_read_file(path, out, 0), -1);
	assert_int_equal(errno, EINVAL);
	close(fd);
	unlink(path);
	assert_int_equal(fdio_read_file(path, out, sizeof(out)), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(fdio_read_file("/", out, sizeof(out)), -1);
	assert_int_equal(errno, EISDIR);
}

static void
on_alarm(int sig)
{
}

static void
waits(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	int64_t start = clock_mono_ms();
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fdio_wait(fds[0], POLLIN, start - 5), 0);
	assert_int_equal(fdio_wait(fds[0], POLLIN, start + 20), 0);
	assert_true(clock_mono_ms() >= start + 20);
	assert_int_equal(fdio_wait(fds[1], POLLOUT, -1), 1);
	assert_int_equal(fdio_write_all(fds[1], "x", 1), 0);
	assert_int_equal(fdio_wait(fds[0], POLLIN, 0), 1);
	assert_int_equal(fdio_wait(fds[0], POLLIN, -1), 1);
	sigaction(SIGALRM, &sa, NULL);
	ualarm(20000, 20000);	/* again, should the first come too early */
	assert_int_equal(fdio_wait(fds[1], POLLIN, start + 60000), -1);
	assert_int_equal(errno, EINTR);
	ualarm(0, 0);
	close(fds[0]);
	close(fds[1]);
}

static void
passes_descriptors(void **state)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM,
	    SOCK_DGRAM };
	int sv[2], fds[2], got;
	char text[16];
	size_t i;

	for (i = 0; i < 3; i++) {
		assert_int_equal(socketpair(AF_UNIX, types[i], 0, sv), 0);
		assert_int_equal(pipe(fds), 0);
		assert_int_equal(fdpass_send(sv[0], "hi", 2, fds[1], 0), 2);
		assert_int_equal(fdpass_recv(sv[1], text, 2, &got, 0), 2);
		assert_true(got >= 0 && got != fds[1]);
		assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(fdio_write_all(got, "z", 1), 0);
		assert_int_equal(read(fds[0], text, 1), 1);
		assert_int_equal(text[0], 'z');
		assert_int_equal(fdpass_send(sv[0], "no", 2, -1, 0), 2);
		assert_int_equal(fdpass_recv(sv[1], text, 2, &got, 0), 2);
		assert_int_equal(got, -1);
		close(fds[0]);
		close(fds[1]);
		close(sv[0]);
		close(sv[1]);
	}
	assert_int_equal(fdpass_recv(-1, text, 2, &got, 0), -1);
	assert_int_equal(got, -1);
	assert_int_equal(fdpass_send(-1, "x", 1, -1, 0), -1);
}

/* The highest descriptor in use plus one, as dup(2) sees it. */
static int
next_fd(void)
{
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void
does_not_leak_extra_descriptors(void **state)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(20 * sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int sv[2], fds[20], got, before, n;
	struct cmsghdr *c;
	char text[4];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv), 0);
	for (n = 1; n <= 20; n++) {
		fds[n - 1] = 0;
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
		before = next_fd();
		assert_int_equal(sendmsg(sv[0], &msg, 0), 1);
		assert_int_equal(fdpass_recv(sv[1], text, 4, &got, 0), 1);
		assert_int_equal(got, before);
		assert_int_equal(next_fd(), before + 1);
		close(got);
	}
	close(sv[0]);
	close(sv[1]);
}

static void
no_signal_from_a_closed_peer(void **state)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	close(sv[1]);
	assert_int_equal(fdpass_send(sv[0], "x", 1, -1, 0), -1);
	assert_int_equal(errno, EPIPE);
	close(sv[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags),
		cmocka_unit_test(writes_all),
		cmocka_unit_test(reads_files),
		cmocka_unit_test(waits),
		cmocka_unit_test(passes_descriptors),
		cmocka_unit_test(does_not_leak_extra_descriptors),
		cmocka_unit_test(no_signal_from_a_closed_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
