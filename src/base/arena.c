/*
 * arena -- a chain of blocks, handed out front to back; and xmalloc.
 *
 * Runs in every process; one arena per call in a worker. The newest block is
 * first in the chain; something larger than a block gets one of its own,
 * behind the newest, so that the rest of that one is still used. Nothing is
 * ever given back singly. Out of memory ends the process: the limits on
 * request sizes are checked before anything gets here.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define ALIGN	16

struct block {
	struct block	*next;
	size_t		 size;
	size_t		 used;
	_Alignas(ALIGN) char data[];
};

struct deferred {
	struct deferred	*next;
	void		(*fn)(void *);
	void		*obj;
};

struct arena {
	size_t		 block_size;
	struct block	*blocks;
	struct deferred	*deferred;
};

static struct block *
block_new(size_t size)
{
	struct block *b;

	ASSERT_ALWAYS(size <= SIZE_MAX - sizeof(*b));
	b = xmalloc(sizeof(*b) + size);
	b->next = NULL;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *
arena_new(size_t block_size)
{
	struct arena *a = xcalloc(1, sizeof(*a));

	if (block_size < 256)
		block_size = 256;
	a->block_size = (block_size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	a->blocks = block_new(a->block_size);
	return a;
}

static void
run_deferred(struct arena *a)
{
	struct deferred *d;

	/* Unlinked first: a function may defer another one. */
	while ((d = a->deferred) != NULL) {
		a->deferred = d->next;
		d->fn(d->obj);
	}
}

void
arena_reset(struct arena *a)
{
	struct block *b, *next, *keep = NULL;

	run_deferred(a);
	for (b = a->blocks; b != NULL; b = next) {
		next = b->next;
		if (keep == NULL && b->size == a->block_size)
			keep = b;
		else
			free(b);
	}
	ASSERT_ALWAYS(keep != NULL);
	keep->next = NULL;
	keep->used = 0;
	a->blocks = keep;
}

void
arena_free(struct arena **ap)
{
	struct arena *a = *ap;
	struct block *b;

	if (a == NULL)
		return;
	run_deferred(a);
	while ((b = a->blocks) != NULL) {
		a->blocks = b->next;
		free(b);
	}
	free(a);
	*ap = NULL;
}

/* A block for n bytes (rounded): the newest, a new one, or one of its own. */
static struct block *
block_with_room(struct arena *a, size_t n)
{
	struct block *b = a->blocks;

	if (b->size - b->used >= n)
		return b;
	if (n > a->block_size / 4) {
		b = block_new(n > a->block_size ? n : a->block_size);
		b->next = a->blocks->next;
		a->blocks->next = b;
		return b;
	}
	b = block_new(a->block_size);
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct block *b;
	size_t rounded;
	void *p;

	ASSERT_ALWAYS(n <= SIZE_MAX / 2);
	rounded = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	b = block_with_room(a, rounded);
	p = b->data + b->used;
	b->used += rounded;
	memset(p, 0, rounded);
	return p;
}

char *
arena_strdup(struct arena *a, struct span s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct span
arena_dup(struct arena *a, struct span s)
{
	return span_make(arena_strdup(a, s), s.n);
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ASSERT_ALWAYS(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void
arena_defer(struct arena *a, void (*fn)(void *), void *obj)
{
	struct deferred *d = arena_alloc(a, sizeof(*d));

	d->fn = fn;
	d->obj = obj;
	d->next = a->deferred;
	a->deferred = d;
}

static void *
not_null(void *p)
{
	if (p == NULL)
		die_sys("out of memory");
	return p;
}

void *
xmalloc(size_t n)
{
	return not_null(malloc(n > 0 ? n : 1));
}

void *
xcalloc(size_t n, size_t size)
{
	return not_null(n > 0 && size > 0 ? calloc(n, size) : calloc(1, 1));
}

void *
xrealloc(void *p, size_t n)
{
	return not_null(realloc(p, n > 0 ? n : 1));
}

char *
xstrdup(const char *s)
{
	return not_null(strdup(s));
}

char *
xstrndup(const char *s, size_t n)
{
	return not_null(strndup(s, n));
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ASSERT_ALWAYS(n >= 0);
	p = xmalloc((size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
