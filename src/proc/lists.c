/*
 * lists -- see lists.h.
 */
#include "proc/lists.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json_read.h"
#include "base/log.h"
#include "proc/probe.h"

void
lists_free(struct lists *l)
{
	free(l->text);
	free(l->item);
	memset(l, 0, sizeof(*l));
}

static void
add_item(struct lists *l, enum item_kind kind, struct span raw)
{
	if (l->n_items == l->max_items) {
		l->max_items = l->max_items == 0 ? 64 : l->max_items * 2;
		l->item = xrealloc(l->item,
		    l->max_items * sizeof(l->item[0]));
	}
	l->item[l->n_items].kind = kind;
	l->item[l->n_items++].raw = raw;
}

/* ---- the report of a probe --------------------------------------------------------- */

/* The next part; false at the end of the report, or where it is cut. */
static bool
next_part(struct span report, size_t *at, struct probe_head *h,
    struct span *body)
{
	size_t left = report.n - *at;

	if (left < sizeof(*h))
		return false;
	memcpy(h, report.p + *at, sizeof(*h));
	if (left - sizeof(*h) < h->size)
		return false;
	*body = span_make(report.p + *at + sizeof(*h), h->size);
	*at += sizeof(*h) + h->size;
	return true;
}

uint32_t
lists_report_end(struct span report, char *why, size_t size)
{
	struct probe_head h;
	struct span body;
	size_t at = 0;

	while (next_part(report, &at, &h, &body))
		if (h.part == PROBE_DONE || h.part == PROBE_FAILED) {
			span_copy(why, size, body);
			return h.part;
		}
	span_copy(why, size, SPAN_LIT("the probe did not finish"));
	return 0;
}

static void
take_opened(struct lists *l, struct span body)
{
	struct probe_opened o;

	if (body.n != sizeof(o))
		return;
	memcpy(&o, body.p, sizeof(o));
	l->era = (enum sess_era)o.era;
	span_copy(l->version, sizeof(l->version),
	    span_make(o.version, strnlen(o.version, sizeof(o.version))));
}

static void
take_result(struct lists *l, struct span body)
{
	struct json_value object = { .type = JSON_OBJECT, .raw = body };
	struct json_value text = json_member(object, "instructions");

	l->capabilities = json_member(object, "capabilities").raw;
	l->info = json_member(object, "serverInfo").raw;
	l->instructions = text.type == JSON_STRING ? text.raw :
	    span_make(NULL, 0);
}

static void
take_part(struct lists *l, uint32_t part, struct span body)
{
	switch ((enum probe_part)part) {
	case PROBE_OPENED:
		take_opened(l, body);
		break;
	case PROBE_RESULT:
		take_result(l, body);
		break;
	case PROBE_TOOL:
		add_item(l, ITEM_TOOL, body);
		break;
	case PROBE_RESOURCE:
		add_item(l, ITEM_RESOURCE, body);
		break;
	case PROBE_TEMPLATE:
		add_item(l, ITEM_TEMPLATE, body);
		break;
	case PROBE_PROMPT:
		add_item(l, ITEM_PROMPT, body);
		break;
	case PROBE_DONE:
	case PROBE_FAILED:
		break;
	}
}

void
lists_take(struct lists *l, struct buf *report)
{
	struct span all = buf_span(report), body;
	struct probe_head h;
	size_t at = 0;

	lists_free(l);
	l->text = report->p;
	while (next_part(all, &at, &h, &body))
		take_part(l, h.part, body);
	l->listed = true;
	memset(report, 0, sizeof(*report));
}

/* ---- the catalog of the poller before ------------------------------------------------ */

static struct span
keep(char **at, struct span s)
{
	struct span r = span_make(*at, s.n);

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return r;
}

bool
lists_inherit(struct lists *l, const struct cat_head *c, int64_t server_id)
{
	uint32_t i = catalog_find_server(c, server_id), kind;
	const struct cat_server *s = i == CAT_NONE ? NULL : cat_server(c, i);
	size_t size;
	char *at;

	if (s == NULL || !s->listed)
		return false;
	lists_free(l);
	size = s->capabilities.len + s->info.len + s->instructions.len + 1;
	for (kind = 0; kind < ITEM_KIND_COUNT; kind++)
		for (i = 0; i < s->n[kind]; i++)
			size += cat_item(c, s->first[kind] + i)->raw.len;
	at = l->text = xmalloc(size);
	l->capabilities = keep(&at, cat_span(c, s->capabilities));
	l->info = keep(&at, cat_span(c, s->info));
	l->instructions = keep(&at, cat_span(c, s->instructions));
	for (kind = 0; kind < ITEM_KIND_COUNT; kind++)
		for (i = 0; i < s->n[kind]; i++)
			add_item(l, (enum item_kind)kind, keep(&at,
			    cat_span(c, cat_item(c, s->first[kind] + i)->raw)));
	l->era = (enum sess_era)s->era;
	span_copy(l->version, sizeof(l->version), cat_span(c, s->version));
	l->listed = true;
	return true;
}

/* ---- what is asked of them ------------------------------------------------------------- */

uint64_t
lists_face(const struct lists *l)
{
	return hash_bytes(1, l->capabilities.p, l->capabilities.n) ^
	    hash_bytes(2, l->info.p, l->info.n) ^
	    hash_bytes(3, l->version, strlen(l->version));
}

void
lists_count(const struct lists *l, uint64_t n[ITEM_KIND_COUNT])
{
	uint32_t i;

	memset(n, 0, ITEM_KIND_COUNT * sizeof(n[0]));
	for (i = 0; i < l->n_items; i++)
		n[l->item[i].kind]++;
}
