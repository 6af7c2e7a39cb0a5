/*
 * bulk -- see bulk.h.
 */
#include "base/bulk.h"

#define ENVELOPE_MAX	(2 * LARGE_AT)
#define ENDLESS		2		/* times the limit */

static void
lose(struct bulk *b, const struct err *why)
{
	if (b->why.code == ERR_NONE)
		b->why = *why;
	spill_close(&b->file);
}

static void
keep(struct bulk *b, struct span data)
{
	struct err e;

	b->size += data.n;
	if (b->why.code != ERR_NONE)
		return;
	if (b->size > b->max) {
		err_set(&e, ERR_TOOBIG, "the answer is larger than %llu bytes",
		    (unsigned long long)b->max);
		lose(b, &e);
	} else if (spill_add(&b->file, data, &e) < 0)
		lose(b, &e);
}

bool
bulk_begin(struct bulk *b, struct spill_quota *q, uint64_t max,
    struct span first)
{
	struct err e;

	memset(b, 0, sizeof(*b));
	b->file.fd = -1;
	err_clear(&b->why);
	if (!large_look(first, &b->head) ||
	    !large_begin(&b->large, first, b->head.at))
		return false;
	buf_init(&b->envelope, ENVELOPE_MAX);
	if (large_keep(&b->large, &b->envelope, first, b->head.at, &e) < 0) {
		buf_free(&b->envelope);
		return false;
	}
	b->is_on = true;
	b->max = max;
	b->result_n = first.n - b->head.at;
	if (spill_open(&b->file, q, &e) < 0)
		lose(b, &e);
	keep(b, first);
	return true;
}

bool
bulk_add(struct bulk *b, struct span in)
{
	struct span result;
	struct err e;

	if (!b->is_bad && large_take(&b->large, in, &result, &e) < 0) {
		b->is_bad = true;
		lose(b, &e);
	}
	if (!b->is_bad)
		b->result_n += result.n;
	keep(b, in);
	return b->size / ENDLESS <= b->max;
}

void
bulk_forget(struct bulk *b)
{
	struct err e;

	err_set(&e, ERR_CANCELLED, "nobody waits for the answer");
	lose(b, &e);
}

int
bulk_end(struct bulk *b)
{
	struct err e;

	if (!b->is_bad && b->large.part != LARGE_DONE) {
		err_set(&e, ERR_UPSTREAM, "answer cut short");
		b->is_bad = true;
		lose(b, &e);
	}
	return b->is_bad ? -1 : 0;
}

void
bulk_drop(struct bulk *b)
{
	if (!b->is_on)
		return;
	spill_close(&b->file);
	buf_free(&b->envelope);
	b->is_on = false;
}
