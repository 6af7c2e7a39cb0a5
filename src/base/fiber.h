/*
 * fiber -- several pieces of blocking code in one process, each on a stack of
 * its own: who must wait lets another run.
 *
 * A worker serves each of its requests on a fiber. One poll(2) then waits for
 * all of them, so under load a process sleeps once for several requests. The
 * waiting functions below may be called anywhere: outside a fiber they block.
 * Nothing else in a fiber may block for long. One process, one thread.
 */
#ifndef OMNI2_BASE_FIBER_H
#define OMNI2_BASE_FIBER_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FIBER_FDS_MAX	8	/* in one fiber_poll() */

/* Room for so many; dies if there is no memory. The signal mask of this moment
 * is that of waiting: what is blocked afterwards arrives while waiting only,
 * and never between a look and the wait. */
void	fibers_init(unsigned max);
void	fibers_free(void);		/* none may be running */
/* Runs fn(arg) until it first waits. False: no room. Not from a fiber. */
bool	fiber_start(void (*fn)(void *arg), void *arg);
unsigned fibers_running(void);
/*
 * Waits until one of the own descriptors or a fiber has something to do, at
 * most timeout_ms (-1: for ever), and runs those fibers until each waits again
 * or ends. As ppoll(2); a signal makes every waiting fiber_poll() return -1
 * with EINTR, too. Not from a fiber.
 */
int	fibers_wait(struct pollfd *own, nfds_t n, int timeout_ms);

/* ---- in a fiber, and outside ------------------------------------------------ */

bool	fiber_is_inside(void);
/* As poll(2), at most FIBER_FDS_MAX descriptors. */
int	fiber_poll(struct pollfd *, nfds_t, int timeout_ms);
/* As recv(2) without flags; -1 with EAGAIN after timeout_ms. */
ssize_t	fiber_recv(int fd, void *, size_t, int timeout_ms);
void	fiber_sleep(int ms);
/* Until the word is another one, or timeout_ms have passed, or for no reason.
 * Whoever changes it calls FUTEX_WAKE on its low half. */
void	fiber_wait_word(_Atomic uint64_t *word, uint64_t seen, int timeout_ms);

#endif
