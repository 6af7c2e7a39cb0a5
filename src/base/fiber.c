/*
 * fiber -- see fiber.h. Stacks are the C library's ucontext. Once a fiber has
 * begun, _setjmp and _longjmp switch: swapcontext(3) costs a system call, four
 * in each request. (The fortified longjmp refuses to leave a stack for
 * another; the sanitizers follow swapcontext only.)
 *
 * The scheduler is the process's own stack: it polls, resumes whoever is
 * ready, and gets control back when that one waits or ends. A fiber that
 * ended keeps its stack for the next.
 */
#undef _FORTIFY_SOURCE
#include "base/fiber.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sanitizer.h"

#define STACK_SIZE	(512u * 1024)	/* touched pages only cost */
#define GUARD_SIZE	(64u * 1024)
#define WORD_SLICE_MS	1	/* descriptors are looked at this often
				 * while words are waited for */

#ifdef WITH_ASAN
void	__sanitizer_start_switch_fiber(void **, const void *, size_t);
void	__sanitizer_finish_switch_fiber(void *, const void **, size_t *);
#endif
#ifdef WITH_TSAN
void	*__tsan_get_current_fiber(void);
void	*__tsan_create_fiber(unsigned);
void	__tsan_destroy_fiber(void *);
void	__tsan_switch_to_fiber(void *, unsigned);
#endif

struct fiber {
	ucontext_t	 context;	/* to begin with */
	jmp_buf		 at;		/* where it gave back */
	bool		 began;
	char		*stack;		/* NULL: never used */
	void		(*fn)(void *arg);
	void		*arg;
	bool		 running;	/* between start and end */
	/* what it waits for */
	struct pollfd	 *fds;
	nfds_t		 n;
	int64_t		 until_ms;	/* INT64_MAX: for ever */
	_Atomic uint64_t *word;		/* NULL: none */
	uint64_t	 seen;
	int		 result;	/* of the wait */
	void		*fake_stack;	/* AddressSanitizer's */
	void		*tsan;		/* ThreadSanitizer's */
};

static struct {
	struct fiber	*fiber;
	unsigned	 max, running;
	struct fiber	*current;	/* NULL: the scheduler */
	ucontext_t	 context;
	jmp_buf		 at;
	struct pollfd	*fds;
	sigset_t	 mask;		/* while waiting */
	void		*fake_stack;
	const void	*stack;		/* of the scheduler */
	size_t		 stack_size;
	void		*tsan;
} all;

void
fibers_init(unsigned max)
{
	all.fiber = xcalloc(max, sizeof(all.fiber[0]));
	all.fds = xcalloc((size_t)max * FIBER_FDS_MAX + FIBER_FDS_MAX,
	    sizeof(all.fds[0]));
	if (sigprocmask(SIG_SETMASK, NULL, &all.mask) < 0)
		die_sys("sigprocmask");
	all.max = max;
	all.running = 0;
	all.current = NULL;
}

static void
free_stack(struct fiber *f)
{
#ifdef WITH_TSAN
	__tsan_destroy_fiber(f->tsan);
#endif
	munmap(f->stack, STACK_SIZE + GUARD_SIZE);
}

void
fibers_free(void)
{
	unsigned i;

	for (i = 0; i < all.max; i++)
		if (all.fiber[i].stack != NULL)
			free_stack(&all.fiber[i]);
	free(all.fiber);
	free(all.fds);
	memset(&all, 0, sizeof(all));
}

unsigned
fibers_running(void)
{
	return all.running;
}

/* ---- switching --------------------------------------------------------------- */

/* Until somebody switches back. to_at NULL: it has not begun yet. */
static void
switch_to(ucontext_t *from, jmp_buf from_at, ucontext_t *to, jmp_buf to_at,
    void *tsan)
{
#ifdef WITH_TSAN
	/* here, not in a function of its own: calls are counted per fiber */
	__tsan_switch_to_fiber(tsan, 0);
#endif
#if !defined(WITH_ASAN) && !defined(WITH_TSAN)
	if (_setjmp(from_at) != 0)
		return;
	if (to_at != NULL)
		_longjmp(to_at, 1);
#endif
	if (swapcontext(from, to) < 0)
		die_sys("swapcontext");
}

/* From the scheduler to f, until f gives control back. */
static void
resume(struct fiber *f)
{
	all.current = f;
#ifdef WITH_TSAN
	all.tsan = __tsan_get_current_fiber();
#endif
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&all.fake_stack, f->stack + GUARD_SIZE,
	    STACK_SIZE);
#endif
	switch_to(&all.context, all.at, &f->context,
	    f->began ? f->at : NULL, f->tsan);
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(all.fake_stack, NULL, NULL);
#endif
	all.current = NULL;
}

/* From the current fiber to the scheduler. */
static void
give_back(struct fiber *f)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&f->fake_stack, all.stack,
	    all.stack_size);
#endif
	f->began = true;
	switch_to(&f->context, f->at, &all.context, all.at, all.tsan);
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(f->fake_stack, &all.stack,
	    &all.stack_size);
#endif
}

static void
fiber_main(void)
{
	struct fiber *f = all.current;

#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(NULL, &all.stack, &all.stack_size);
#endif
	for (;;) {
		f->fn(f->arg);
		f->running = false;
		all.running--;
		give_back(f);
	}
}

static void
make_stack(struct fiber *f)
{
	char *p = mmap(NULL, STACK_SIZE + GUARD_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	/* what runs over the end of the stack must not hit anything */
	if (p == MAP_FAILED || mprotect(p, GUARD_SIZE, PROT_NONE) < 0 ||
	    getcontext(&f->context) < 0)
		die_sys("a stack of %u bytes", STACK_SIZE);
	f->stack = p;
	f->context.uc_stack.ss_sp = p + GUARD_SIZE;
	f->context.uc_stack.ss_size = STACK_SIZE;
	f->context.uc_link = NULL;
	makecontext(&f->context, fiber_main, 0);
#ifdef WITH_TSAN
	f->tsan = __tsan_create_fiber(0);
#endif
}

bool
fiber_start(void (*fn)(void *arg), void *arg)
{
	unsigned i;

	ASSERT_ALWAYS(all.current == NULL);
	for (i = 0; i < all.max; i++)
		if (!all.fiber[i].running)
			break;
	if (i == all.max)
		return false;
	if (all.fiber[i].stack == NULL)
		make_stack(&all.fiber[i]);
	all.fiber[i].fn = fn;
	all.fiber[i].arg = arg;
	all.fiber[i].running = true;
	all.running++;
	resume(&all.fiber[i]);
	return true;
}

/* ---- waiting ------------------------------------------------------------------- */

static bool
word_changed(const struct fiber *f)
{
	return f->word != NULL && atomic_load_explicit(f->word,
	    memory_order_acquire) != f->seen;
}

static void
futex_wait(_Atomic uint64_t *word, uint64_t seen, int64_t ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	/* The low half: first in memory (little-endian) or last. */
	(void)syscall(SYS_futex, (uintptr_t)word +
	    (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0),
	    FUTEX_WAIT, (uint32_t)seen, &ts, NULL, 0);
}

/* What everybody waits for, behind the own; and for how long at most. */
static nfds_t
collect(nfds_t n, int64_t now, int *timeout_ms, struct fiber **by_word)
{
	int64_t left = *timeout_ms < 0 ? INT_MAX : *timeout_ms;
	unsigned i;

	*by_word = NULL;
	for (i = 0; i < all.max; i++) {
		struct fiber *f = &all.fiber[i];

		if (!f->running)
			continue;
		if (f->n > 0)
			memcpy(&all.fds[n], f->fds, f->n * sizeof(all.fds[0]));
		n += f->n;
		if (f->until_ms - now < left)
			left = f->until_ms > now ? f->until_ms - now : 0;
		if (f->word != NULL)
			*by_word = f;
		if (word_changed(f))
			left = 0;
	}
	if (*timeout_ms >= 0 || left < INT_MAX)
		*timeout_ms = (int)left;
	return n;
}

/* Runs whoever has got what he waited for. */
static void
run_ready(nfds_t at, int polled, bool interrupted)
{
	int64_t now = clock_mono_ms();
	unsigned i;

	for (i = 0; i < all.max; i++) {
		struct fiber *f = &all.fiber[i];
		nfds_t k;
		int ready = 0;

		if (!f->running)
			continue;
		for (k = 0; k < f->n; k++) {
			f->fds[k].revents = polled > 0 ?
			    all.fds[at + k].revents : 0;
			ready += f->fds[k].revents != 0;
		}
		at += f->n;
		if (ready == 0 && !interrupted && now < f->until_ms &&
		    !word_changed(f))
			continue;
		f->result = ready > 0 ? ready : interrupted ? -1 : 0;
		resume(f);
	}
}

static int
wait_all(nfds_t n, int timeout_ms)
{
	struct timespec ts = { timeout_ms / 1000,
	    (long)(timeout_ms % 1000) * 1000000 };

	return ppoll(all.fds, n, timeout_ms < 0 ? NULL : &ts, &all.mask);
}

int
fibers_wait(struct pollfd *own, nfds_t n, int timeout_ms)
{
	struct fiber *by_word;
	bool interrupted;
	int rv, ready = 0;
	nfds_t total, i;

	ASSERT_ALWAYS(all.current == NULL && n <= FIBER_FDS_MAX);
	if (n > 0)
		memcpy(all.fds, own, n * sizeof(own[0]));
	total = collect(n, clock_mono_ms(), &timeout_ms, &by_word);
	rv = wait_all(total, by_word != NULL ? 0 : timeout_ms);
	if (rv == 0 && by_word != NULL && timeout_ms != 0) {
		futex_wait(by_word->word, by_word->seen, WORD_SLICE_MS);
		rv = wait_all(total, 0);
	}
	if (rv < 0 && errno != EINTR)
		die_sys("ppoll");
	interrupted = rv < 0;
	for (i = 0; i < n; i++) {
		own[i].revents = rv > 0 ? all.fds[i].revents : 0;
		ready += own[i].revents != 0;
	}
	run_ready(n, rv, interrupted);
	if (interrupted) {
		errno = EINTR;
		return -1;
	}
	return ready;
}

/* The current fiber waits. As poll(2). */
static int
wait_for(struct fiber *f, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	f->fds = fds;
	f->n = n;
	f->until_ms = timeout_ms < 0 ? INT64_MAX :
	    clock_mono_ms() + timeout_ms;
	give_back(f);
	f->n = 0;
	f->word = NULL;
	if (f->result < 0)
		errno = EINTR;
	return f->result;
}

bool
fiber_is_inside(void)
{
	return all.current != NULL;
}

int
fiber_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	/* a look costs nobody time */
	if (all.current == NULL || timeout_ms == 0)
		return poll(fds, n, timeout_ms);
	ASSERT_ALWAYS(n <= FIBER_FDS_MAX);
	return wait_for(all.current, fds, n, timeout_ms);
}

ssize_t
fiber_recv(int fd, void *p, size_t n, int timeout_ms)
{
	struct pollfd own = { .fd = fd, .events = POLLIN };
	int rv = fiber_poll(&own, 1, timeout_ms);

	if (rv == 0)
		errno = EAGAIN;
	return rv > 0 ? recv(fd, p, n, MSG_DONTWAIT) : -1;
}

void
fiber_sleep(int ms)
{
	int64_t until = clock_mono_ms() + ms, left;

	while ((left = until - clock_mono_ms()) > 0)
		(void)fiber_poll(NULL, 0, (int)left);
}

void
fiber_wait_word(_Atomic uint64_t *word, uint64_t seen, int timeout_ms)
{
	struct fiber *f = all.current;

	if (f == NULL) {
		futex_wait(word, seen, timeout_ms);
		return;
	}
	f->word = word;
	f->seen = seen;
	(void)wait_for(f, NULL, 0, timeout_ms);
}
