/*
 * outq -- see the header. What is written is taken out of the buffer only
 * now and then, so that a long message is not moved once per write(2).
 */
#include "stdio/outq.h"

#include <errno.h>
#include <unistd.h>

#define KEEP		65536u
#define MOVE_AT		(1u << 20)

void
outq_init(struct outq *q, size_t max)
{
	memset(q, 0, sizeof(*q));
	buf_init(&q->b, max);
}

void
outq_free(struct outq *q)
{
	buf_free(&q->b);
	q->pos = 0;
}

int
outq_add(struct outq *q, const struct span *parts, int n)
{
	size_t size = 0;
	int i;

	for (i = 0; i < n; i++)
		size += parts[i].n;
	if (buf_reserve(&q->b, size) < 0)
		return -1;
	for (i = 0; i < n; i++)
		buf_add_span(&q->b, parts[i]);
	q->queued += size;
	return 0;
}

int
outq_flush(struct outq *q, int fd)
{
	ssize_t n;

	while (outq_left(q) > 0) {
		n = write(fd, q->b.p + q->pos, outq_left(q));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -1;
		q->pos += (size_t)n;
		q->written += (uint64_t)n;
	}
	if (outq_left(q) == 0) {
		buf_reset(&q->b, KEEP);
		q->pos = 0;
		return 1;
	}
	if (q->pos >= MOVE_AT && q->pos >= q->b.n / 2) {
		buf_consume(&q->b, q->pos);
		q->pos = 0;
	}
	return 0;
}
