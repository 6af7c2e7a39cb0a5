/*
 * test_fiber -- waiting on fibers: order, time-outs, signals, words, reuse.
 */
#include "base/fiber.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define MAX 4

struct job {
	int	 fd;
	int	 timeout_ms;
	int	 result, error;
	char	 got[16];
	ssize_t	 n;
	int	 steps;
	bool	 done;
};

static int
setup(void **state)
{
	fibers_init(MAX);
	return 0;
}

static int
teardown(void **state)
{
	fibers_free();
	return 0;
}

static void
reader(void *arg)
{
	struct job *j = arg;

	j->steps++;
	j->n = fiber_recv(j->fd, j->got, sizeof(j->got), j->timeout_ms);
	j->error = j->n < 0 ? errno : 0;
	j->done = true;
}

static void
two_sockets(int a[2], int b[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
}

static void
close_all(int a[2], int b[2])
{
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static void
test_who_has_data_runs(void **state)
{
	int a[2], b[2];
	struct job x = { .timeout_ms = 10000 }, y = { .timeout_ms = 10000 };

	two_sockets(a, b);
	x.fd = a[0];
	y.fd = b[0];
	assert_true(fiber_start(reader, &x));
	assert_true(fiber_start(reader, &y));
	assert_int_equal(fibers_running(), 2);
	assert_int_equal(x.steps + y.steps, 2);
	assert_int_equal(write(b[1], "second", 6), 6);
	assert_int_equal(fibers_wait(NULL, 0, 5000), 0);
	assert_true(y.done);
	assert_false(x.done);
	assert_int_equal(y.n, 6);
	assert_memory_equal(y.got, "second", 6);
	assert_int_equal(fibers_running(), 1);
	assert_int_equal(write(a[1], "first", 5), 5);
	assert_int_equal(fibers_wait(NULL, 0, 5000), 0);
	assert_true(x.done);
	assert_int_equal(fibers_running(), 0);
	close_all(a, b);
}

static void
test_own_descriptor(void **state)
{
	struct pollfd own = { .events = POLLIN };
	int a[2], b[2];
	struct job x = { .timeout_ms = 10000 };

	two_sockets(a, b);
	x.fd = a[0];
	own.fd = b[0];
	assert_true(fiber_start(reader, &x));
	assert_int_equal(write(b[1], "!", 1), 1);
	assert_int_equal(fibers_wait(&own, 1, 5000), 1);
	assert_true(own.revents & POLLIN);
	assert_false(x.done);
	shutdown(a[1], SHUT_WR);
	own.fd = -1;
	assert_int_equal(fibers_wait(&own, 1, 5000), 0);
	assert_int_equal(x.n, 0);
	assert_true(x.done);
	close_all(a, b);
}

static void
test_time_out(void **state)
{
	int a[2], b[2];
	struct job x = { .timeout_ms = 20 };
	int64_t start = clock_mono_ms();

	two_sockets(a, b);
	x.fd = a[0];
	assert_true(fiber_start(reader, &x));
	while (!x.done)
		assert_int_equal(fibers_wait(NULL, 0, -1), 0);
	assert_int_equal(x.n, -1);
	assert_int_equal(x.error, EAGAIN);
	assert_true(clock_mono_ms() - start >= 20);
	close_all(a, b);
}

static void
on_alarm(int sig)
{
}

static void
test_signal_ends_waits(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	int a[2], b[2];
	struct job x = { .timeout_ms = 60000 };

	two_sockets(a, b);
	x.fd = a[0];
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_true(fiber_start(reader, &x));
	ualarm(10000, 0);
	assert_int_equal(fibers_wait(NULL, 0, 60000), -1);
	assert_int_equal(errno, EINTR);
	assert_true(x.done);
	assert_int_equal(x.error, EINTR);
	close_all(a, b);
}

/* One that comes while a fiber runs is not lost. */
static void
test_blocked_signal(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	int a[2], b[2];
	struct job x = { .timeout_ms = 60000 };
	sigset_t set;

	two_sockets(a, b);
	x.fd = a[0];
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	assert_true(fiber_start(reader, &x));
	raise(SIGALRM);
	assert_int_equal(fibers_wait(NULL, 0, 60000), -1);
	assert_true(x.done);
	assert_int_equal(x.error, EINTR);
	assert_int_equal(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
	close_all(a, b);
}

static void
deep(void *arg)
{
	struct job *j = arg;
	volatile char stack[200000];

	memset((char *)(uintptr_t)stack, j->timeout_ms, sizeof(stack));
	fiber_sleep(1);
	j->result = stack[0] + stack[sizeof(stack) - 1];
	j->done = true;
}

static void
test_no_room_then_reuse(void **state)
{
	struct job j[MAX + 1];
	int round, i;

	for (round = 0; round < 3; round++) {
		memset(j, 0, sizeof(j));
		for (i = 0; i < MAX; i++) {
			j[i].timeout_ms = i + 1;
			assert_true(fiber_start(deep, &j[i]));
		}
		assert_false(fiber_start(deep, &j[MAX]));
		while (fibers_running() > 0)
			fibers_wait(NULL, 0, -1);
		for (i = 0; i < MAX; i++) {
			assert_true(j[i].done);
			assert_int_equal(j[i].result, 2 * (i + 1));
		}
	}
}

struct word {
	_Atomic uint64_t v;
	bool done;
};

static void
word_waiter(void *arg)
{
	struct word *w = arg;

	while (atomic_load(&w->v) == 7)
		fiber_wait_word(&w->v, 7, 60000);
	w->done = true;
}

static void
word_changer(void *arg)
{
	struct word *w = arg;

	fiber_sleep(5);
	atomic_store(&w->v, 8);
}

static void
test_word(void **state)
{
	struct word w = { 7, false };
	int64_t start = clock_mono_ms();

	assert_true(fiber_start(word_waiter, &w));
	assert_false(w.done);
	assert_true(fiber_start(word_changer, &w));
	while (fibers_running() > 0)
		fibers_wait(NULL, 0, -1);
	assert_true(w.done);
	assert_true(clock_mono_ms() - start < 30000);
}

/* Outside a fiber everything blocks as usual. */
static void
test_outside(void **state)
{
	struct pollfd own = { .events = POLLIN };
	_Atomic uint64_t v = 1;
	int a[2], b[2];
	char c;

	two_sockets(a, b);
	own.fd = a[0];
	assert_int_equal(fiber_poll(&own, 1, 1), 0);
	assert_int_equal(fiber_recv(a[0], &c, 1, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(fiber_recv(a[0], &c, 1, 5000), 1);
	fiber_wait_word(&v, 1, 1);
	fiber_wait_word(&v, 2, 60000);	/* is another one already */
	close_all(a, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_has_data_runs, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_own_descriptor, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_time_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal_ends_waits, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_blocked_signal, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_no_room_then_reuse, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_word, setup, teardown),
		cmocka_unit_test(test_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
