/*
 * question -- see question.h.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "stdio/question.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_read.h"

void
questions_init(struct questions *qs, size_t max_bytes)
{
	TAILQ_INIT(&qs->list);
	qs->bytes = 0;
	qs->max = max_bytes;
}

void
questions_free(struct questions *qs)
{
	struct question *q;

	while ((q = TAILQ_FIRST(&qs->list)) != NULL)
		questions_remove(qs, q);
}

struct question *
questions_add(struct questions *qs, const void *owner, struct span text,
    struct span id, uint64_t order)
{
	struct question *q;
	char *copy;

	if (text.n + sizeof(*q) > qs->max - qs->bytes)
		return NULL;
	q = xcalloc(1, sizeof(*q));
	copy = xstrndup(text.p, text.n);
	q->owner = owner;
	q->order = order;
	q->text = span_make(copy, text.n);
	q->id = span_make(copy + (id.p - text.p), id.n);
	qs->bytes += text.n + sizeof(*q);
	TAILQ_INSERT_TAIL(&qs->list, q, link);
	return q;
}

void
questions_remove(struct questions *qs, struct question *q)
{
	TAILQ_REMOVE(&qs->list, q, link);
	qs->bytes -= q->text.n + sizeof(*q);
	free((char *)(uintptr_t)q->text.p);
	free(q);
}

bool
questions_settle(struct questions *qs, const void *owner, struct span id)
{
	struct question *q;

	TAILQ_FOREACH(q, &qs->list, link)
		if (q->owner == owner && span_eq(q->id, id)) {
			questions_remove(qs, q);
			return true;
		}
	return false;
}

void
questions_forget(struct questions *qs, const void *owner)
{
	struct question *q, *next;

	for (q = TAILQ_FIRST(&qs->list); q != NULL; q = next) {
		next = TAILQ_NEXT(q, link);
		if (q->owner == owner)
			questions_remove(qs, q);
	}
}

unsigned
questions_at(const struct questions *qs, uint64_t call)
{
	const struct question *q;
	unsigned n = 0;

	TAILQ_FOREACH(q, &qs->list, link)
		n += q->call == call;
	return n;
}

bool
questions_drop(struct questions *qs, const void *owner, uint64_t call)
{
	struct question *q;
	bool any = false;

	TAILQ_FOREACH(q, &qs->list, link)
		if (q->owner == owner && q->call == call) {
			q->call = 0;
			any = true;
		}
	return any;
}

struct question *
questions_adrift(const struct questions *qs, const void *owner, bool waits)
{
	struct question *q;

	TAILQ_FOREACH(q, &qs->list, link)
		if (q->owner == owner && q->call == 0 &&
		    (q->order == QUESTION_WAITS) == waits)
			return q;
	return NULL;
}

void
questions_note_answer(struct questions *qs, const void *owner,
    struct span message)
{
	static const char *const names[] = { "id", "method" };
	struct json_value v[2];

	if (!TAILQ_EMPTY(&qs->list) &&
	    json_object(message, names, v, 2) == JSON_OK &&
	    v[0].type != JSON_NONE && v[1].type == JSON_NONE)
		questions_settle(qs, owner, v[0].raw);
}

void
questions_note_cancelled(struct questions *qs, const void *owner,
    struct span message)
{
	static const char *const names[] = { "params" };
	static const char *const pnames[] = { "requestId" };
	struct json_value params, id;

	if (!TAILQ_EMPTY(&qs->list) &&
	    json_object(message, names, &params, 1) == JSON_OK &&
	    params.type == JSON_OBJECT &&
	    json_object(params.raw, pnames, &id, 1) == JSON_OK &&
	    id.type != JSON_NONE)
		questions_settle(qs, owner, id.raw);
}
