/*
 * arena -- memory with the lifetime of one call.
 *
 * arena_alloc() never returns NULL: requests are limited before they get
 * here, so exhaustion is a bug or a broken machine and dies. Results are
 * zeroed, aligned to 16 and valid until arena_reset() or arena_free().
 */
#ifndef OMNI2_BASE_ARENA_H
#define OMNI2_BASE_ARENA_H

#include "base/span.h"

struct arena;

struct arena *arena_new(size_t block_size);
void	 arena_free(struct arena **);
/* Runs the deferred functions, newest first, and keeps one block. */
void	 arena_reset(struct arena *);
void	*arena_alloc(struct arena *, size_t);
char	*arena_strdup(struct arena *, struct span);	/* NUL-terminated */
struct span arena_dup(struct arena *, struct span);
char	*arena_printf(struct arena *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* Calls fn(obj) at the next reset: for objects of foreign libraries. */
void	 arena_defer(struct arena *, void (*fn)(void *), void *obj);

/* Memory with the lifetime of the process; die on failure. */
void	*xmalloc(size_t);
void	*xcalloc(size_t n, size_t size);
void	*xrealloc(void *, size_t);
char	*xstrdup(const char *);
char	*xstrndup(const char *, size_t);
char	*xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
