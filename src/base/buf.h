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
int	buf_reserve(struct buf *, size_t more);	/* room for more bytes */
int	buf_add(struct buf *, const void *, size_t);
int	buf_add_span(struct buf *, struct span);
int	buf_add_str(struct buf *, const char *);
int	buf_add_char(struct buf *, char);
int	buf_add_u64(struct buf *, uint64_t);	/* decimal */
int	buf_add_i64(struct buf *, int64_t);
int	buf_printf(struct buf *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
int	buf_vprintf(struct buf *, const char *fmt, va_list)
	    __attribute__((format(printf, 2, 0)));
/* Drops the first n bytes, moving the rest down. */
void	buf_consume(struct buf *, size_t n);
struct span buf_span(const struct buf *);

#endif
