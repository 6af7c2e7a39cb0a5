/*
 * assemble -- see assemble.h. Pure; shipper and verification.
 */
#include "audit/assemble.h"

#include <stdlib.h>

#include "base/arena.h"

#define SLOTS_MAX	65536u
#define RECORD_MAX	(8u << 20)	/* twice what a writer can make */
#define FLAG_LAST	1u
#define FLAG_FIRST	2u

struct assemble_open {
	bool		 open;
	uint64_t	 seq;
	uint32_t	 parts;
	struct buf	 frames;
};

void
assembler_init(struct assembler *a)
{
	*a = (struct assembler){ 0 };
	buf_init(&a->record, RECORD_MAX);
}

void
assembler_free(struct assembler *a)
{
	uint32_t i;

	for (i = 0; i < a->n_slots; i++) {
		if (a->slot[i] == NULL)
			continue;
		buf_free(&a->slot[i]->frames);
		free(a->slot[i]);
	}
	free(a->slot);
	buf_free(&a->record);
	assembler_init(a);
}

static struct assemble_open *
open_of(struct assembler *a, uint32_t slot, bool create)
{
	uint32_t n = a->n_slots;

	if (slot >= n && create) {
		while (n <= slot)
			n = n == 0 ? 64 : n * 2;
		a->slot = xrealloc(a->slot, n * sizeof(*a->slot));
		memset(a->slot + a->n_slots, 0,
		    (n - a->n_slots) * sizeof(*a->slot));
		a->n_slots = n;
	}
	if (slot >= a->n_slots)
		return NULL;
	if (a->slot[slot] == NULL && create) {
		a->slot[slot] = xcalloc(1, sizeof(**a->slot));
		buf_init(&a->slot[slot]->frames, RECORD_MAX);
	}
	return a->slot[slot];
}

static void
drop(struct assembler *a, struct assemble_open *o)
{
	if (o != NULL && o->open) {
		o->open = false;
		buf_reset(&o->frames, 0);
		a->dropped++;
	}
}

/* The payloads of whole, adjacent frames that were checked before. */
static struct span
join(struct assembler *a, struct assemble_open *o)
{
	struct span in = buf_span(&o->frames), payload;
	struct audit_frame f;
	long n;

	buf_reset(&a->record, RECORD_MAX);
	while ((n = audit_frame_read(in, &f, &payload)) > 0) {
		buf_add_span(&a->record, payload);
		in = span_skip(in, (size_t)n);
	}
	o->open = false;
	buf_reset(&o->frames, 0);
	return buf_span(&a->record);
}

int
assembler_add(struct assembler *a, const struct audit_frame *f,
    struct span frame, struct span payload, struct span *record)
{
	bool first = (f->flags & FLAG_FIRST) != 0;
	bool last = (f->flags & FLAG_LAST) != 0;
	struct assemble_open *o;

	if (f->slot >= SLOTS_MAX) {
		a->dropped++;
		return 0;
	}
	o = open_of(a, f->slot, first && !last);
	if (first) {
		drop(a, o);
		if (last) {
			*record = payload;
			return 1;
		}
		o->open = true;
		o->seq = f->seq;
		o->parts = 0;
	} else if (o == NULL || !o->open || o->seq != f->seq) {
		/* The beginning was lost; count the record once. */
		if (last)
			a->dropped++;
		return 0;
	}
	if (f->part != o->parts++ || buf_add_span(&o->frames, frame) < 0) {
		drop(a, o);
		return 0;
	}
	if (!last)
		return 0;
	*record = join(a, o);
	return 1;
}

void
assembler_pending(const struct assembler *a, struct buf *out)
{
	uint32_t i;

	for (i = 0; i < a->n_slots; i++)
		if (a->slot[i] != NULL && a->slot[i]->open)
			buf_add_span(out, buf_span(&a->slot[i]->frames));
}

int
assembler_restore(struct assembler *a, struct span pending)
{
	struct span payload, record;
	struct audit_frame f;
	uint64_t dropped = a->dropped;
	long n;

	assembler_free(a);
	a->dropped = dropped;
	while (pending.n > 0) {
		n = audit_frame_read(pending, &f, &payload);
		if (n <= 0 || assembler_add(a, &f, span_make(pending.p,
		    (size_t)n), payload, &record) != 0)
			return -1;
		pending = span_skip(pending, (size_t)n);
	}
	return 0;
}
