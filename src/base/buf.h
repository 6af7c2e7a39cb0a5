/*
 * buf -- a growing byte buffer with a hard upper bound.
 *
 * Appends return 0, or -1 when the bound would be passed; then nothing is
 * appended and buf->overflow stays true until buf_reset(), so a writer may
 * append many times and check once at the end.
 */
#ifndef OMNI2_BASE_BUF_H
#define OMNI2_BASE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "base/span.h"

struct buf {
	char	*p;
	size_t	 n;		/* bytes used */
	size_t	 cap;
	size_t	 max;		/* bound on n */
	bool	 overflow;
};

void	buf_init(struct buf *, size_t max);
void	buf_free(struct buf *);
/* Empties; gives memory back when more than keep bytes are held. */
void	buf_reset(struct buf *, size_t keep);
int	buf_reserve_slowly(struct buf *, size_t more);
int	buf_add_slowly(struct buf *, const void *, size_t);
int	buf_add_u64(struct buf *, uint64_t);	/* decimal */
int	buf_add_i64(struct buf *, int64_t);
int	buf_printf(struct buf *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
int	buf_vprintf(struct buf *, const char *fmt, va_list)
	    __attribute__((format(printf, 2, 0)));
/* Drops the first n bytes, moving the rest down. */
void	buf_consume(struct buf *, size_t n);
struct span buf_span(const struct buf *);

/* Inline, because hundreds of short pieces make up every request: what fits
 * is copied here, everything else is decided elsewhere. */

/* Room for more bytes. */
static inline int
buf_reserve(struct buf *b, size_t more)
{
	if (more <= b->cap - b->n && b->n + more <= b->max)
		return 0;
	return buf_reserve_slowly(b, more);
}

static inline int
buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->overflow || n > b->cap - b->n || b->n + n > b->max || n == 0)
		return buf_add_slowly(b, p, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

static inline int
buf_add_span(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n);
}

static inline int
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

static inline int
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

#endif
