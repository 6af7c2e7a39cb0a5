/*
 * buf -- growth by doubling up to the bound.
 *
 * Every process. After the first overflow every append fails until
 * buf_reset(), so that what is in the buffer never has a hole in it.
 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/num.h"

#define FIRST_SIZE	256

void
buf_init(struct buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void
buf_free(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
	b->overflow = false;
}

void
buf_reset(struct buf *b, size_t keep)
{
	if (b->cap > keep)
		buf_free(b);
	b->n = 0;
	b->overflow = false;
}

int
buf_reserve_slowly(struct buf *b, size_t more)
{
	size_t cap;

	if (b->n > b->max || more > b->max - b->n)
		return -1;
	cap = b->cap < FIRST_SIZE ? FIRST_SIZE : b->cap;
	while (cap < b->n + more)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
	return 0;
}

int
buf_add_slowly(struct buf *b, const void *p, size_t n)
{
	if (b->overflow || buf_reserve(b, n) < 0) {
		b->overflow = true;
		return -1;
	}
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

int
buf_add_u64(struct buf *b, uint64_t v)
{
	char digits[NUM_DIGITS];
	size_t n = num_digits(v, digits);

	return buf_add(b, digits + NUM_DIGITS - n, n);
}

int
buf_add_i64(struct buf *b, int64_t v)
{
	char text[24];
	int n;

	if (v >= 0)
		return buf_add_u64(b, (uint64_t)v);
	n = snprintf(text, sizeof(text), "%lld", (long long)v);
	return buf_add(b, text, (size_t)n);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int rv;

	va_start(ap, fmt);
	rv = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return rv;
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	char text[512], *p;
	va_list again;
	int n, rv;

	va_copy(again, ap);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n >= 0 && (size_t)n < sizeof(text)) {
		rv = buf_add(b, text, (size_t)n);
	} else if (n < 0 || b->overflow || (size_t)n > b->max) {
		b->overflow = true;
		rv = -1;
	} else {
		p = xmalloc((size_t)n + 1);
		vsnprintf(p, (size_t)n + 1, fmt, again);
		rv = buf_add(b, p, (size_t)n);
		free(p);
	}
	va_end(again);
	return rv;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= b->n) {
		b->n = 0;
		return;
	}
	if (n > 0)
		memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

struct span
buf_span(const struct buf *b)
{
	return span_make(b->p, b->n);
}
