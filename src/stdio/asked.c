/*
 * asked -- what the servers of stdiod ask: to which call each question goes,
 * and to which one next when that call ends.
 *
 * Nothing says who asked. Most calls that ask do so soon, so the newest one
 * gets it, or the newest of those that carry nothing yet: a client that has
 * gone, or is busy with another question, answers none. A call that began
 * after the question cannot have asked it; when no other is left the server
 * is told so. Questions move when all events of a turn are handled, not while
 * calls are being ended.
 */
#include "stdio/stdiod_int.h"

#include "base/arena.h"

static struct call *
carrier(struct process *p, uint64_t order)
{
	struct call *c, *best = NULL;
	unsigned n, least = 0;

	TAILQ_FOREACH_REVERSE(c, &p->pending, call_list, link) {
		if (c->order > order)
			continue;
		n = questions_at(&p->questions, c->id);
		if (best == NULL || n < least) {
			best = c;
			least = n;
		}
	}
	return best;
}

/* False: the question was answered with an error, and is no more. */
static bool
hand_over(struct stdiod *sd, struct process *p, struct question *q)
{
	struct call *c = carrier(p, q->order);

	if (c != NULL) {
		q->call = c->id;
		if (client_message(sd, c, q->text))
			return true;
	}
	route_answer(sd, p, q->id, false);
	questions_remove(&p->questions, q);
	return false;
}

/* One more request of the server; without a call it waits for one. */
void
asked_take(struct stdiod *sd, struct process *p, const struct mux_message *m)
{
	struct question *q;

	q = questions_add(&p->questions, p, m->text, m->id.raw,
	    p->n_pending == 0 ? QUESTION_WAITS : p->calls);
	if (q != NULL && p->n_pending > 0)
		hand_over(sd, p, q);
	else if (q == NULL && (p->n_pending == 0 ||
	    !client_message(sd, carrier(p, p->calls), m->text)))
		route_answer(sd, p, m->id.raw, false);
}

void
asked_call_began(struct stdiod *sd, struct process *p)
{
	struct question *q;

	while (p->n_pending > 0 &&
	    (q = questions_adrift(&p->questions, p, true)) != NULL) {
		q->order = p->calls;
		hand_over(sd, p, q);
	}
}

void
asked_call_ended(struct stdiod *sd, const struct call *c)
{
	struct process *p = c->process;

	if ((c->is_answered && c->holds) ||
	    !questions_drop(&p->questions, p, c->id))
		return;
	p->has_adrift = true;
	sd->has_adrift = true;
}

/* A client that does not read is closed, which ends its call, and so on. */
void
asked_move(struct stdiod *sd)
{
	struct question *q;
	struct process *p;

	while (sd->has_adrift) {
		sd->has_adrift = false;
		TAILQ_FOREACH(p, &sd->processes, link) {
			if (!p->has_adrift)
				continue;
			p->has_adrift = false;
			while ((q = questions_adrift(&p->questions, p,
			    false)) != NULL)
				hand_over(sd, p, q);
		}
	}
}
