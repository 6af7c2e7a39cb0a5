/*
 * question -- requests of servers that wait for their answers: which call
 * carries each, so that it can go to another one when that call ends.
 *
 * A legacy server's request (sampling, elicitation, roots) names no call. It
 * is given to one under way; the client behind it may have left just then, and
 * the call that really asked would wait in vain. Both who own processes
 * (stdiod) and who own links (proc/links.c) keep them here; no I/O.
 */
#ifndef OMNI2_STDIO_QUESTION_H
#define OMNI2_STDIO_QUESTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/span.h"

#define QUESTION_WAITS	UINT64_MAX	/* .order: for any call that comes */

struct question {
	TAILQ_ENTRY(question) link;
	const void	*owner;		/* the process or link that asked */
	uint64_t	 call;		/* carries it; 0: none */
	uint64_t	 order;		/* calls that began later did not ask */
	struct span	 id;		/* raw JSON, in text */
	struct span	 text;		/* the whole request; owned */
};
TAILQ_HEAD(question_list, question);

struct questions {
	struct question_list list;	/* as they were asked */
	size_t		 bytes, max;
};

void	questions_init(struct questions *, size_t max_bytes);
void	questions_free(struct questions *);
/* Copies text, of which id is a part. NULL: there is no room. */
struct question *questions_add(struct questions *, const void *owner,
	    struct span text, struct span id, uint64_t order);
void	questions_remove(struct questions *, struct question *);
/* It was answered or withdrawn. False: no such question. */
bool	questions_settle(struct questions *, const void *owner,
	    struct span id);
/* The owner is no more. */
void	questions_forget(struct questions *, const void *owner);
/* How many does this call carry? */
unsigned questions_at(const struct questions *, uint64_t call);
/* The call ended: it carries none any more. True: it did. */
bool	questions_drop(struct questions *, const void *owner, uint64_t call);
/* The first one that no call carries; waits: of those for any call that
 * comes, else of the others. NULL: none. */
struct question *questions_adrift(const struct questions *,
	    const void *owner, bool waits);
/* A message that passes to the server: does it answer one? */
void	questions_note_answer(struct questions *, const void *owner,
	    struct span message);
/* A message of the server: does it withdraw one? */
void	questions_note_cancelled(struct questions *, const void *owner,
	    struct span message);

#endif
