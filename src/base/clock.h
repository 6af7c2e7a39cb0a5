/*
 * clock -- all times of omni2. Deadlines are CLOCK_MONOTONIC milliseconds and
 * are passed down, never durations. Wall time only for people and tokens.
 *
 * Milliseconds are read from the kernel's tick (up to 10 ms old, never ahead):
 * a request looks at its deadlines twenty times, and where the counter of the
 * processor is slow to read, as in virtual machines, that is felt. What is
 * measured takes microseconds, which are exact.
 */
#ifndef OMNI2_BASE_CLOCK_H
#define OMNI2_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t
clock_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static inline int64_t
clock_mono_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static inline int64_t
clock_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* "2026-11-20T23:15:00.123456Z"; size >= 28. Returns out. */
char	*clock_format_iso(char *out, unsigned long size, int64_t wall_us);

/* Sleeps, at most until a signal. Not where fibers run: fiber_sleep(). */
static inline void
clock_nap_ms(int64_t ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

#endif
