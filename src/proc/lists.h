/*
 * lists -- what one upstream server said of itself and what it listed: the last
 * good answer, which stays in the catalog while the server is away.
 *
 * Belongs to the poller. The reader of the parts that a probe writes
 * (probe.h); touches no descriptor and no process.
 */
#ifndef OMNI2_PROC_LISTS_H
#define OMNI2_PROC_LISTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "mcp/catalog.h"
#include "shm/sess.h"

struct lists {
	bool		 listed;	/* false: nothing is known yet */
	char		*text;		/* the spans below point into it */
	struct cat_source_item *item;
	uint32_t	 n_items, max_items;
	struct span	 capabilities, info, instructions;
	enum sess_era	 era;
	char		 version[16];
};

void	lists_free(struct lists *);

/* How the report of a probe ended: PROBE_DONE, PROBE_FAILED with its reason in
 * why, or 0 when the probe died in the middle of it. */
uint32_t lists_report_end(struct span report, char *why, size_t size);

/* A complete report of a full probe takes the place of what was known. The
 * memory of the buffer becomes that of the lists; the buffer is empty then. */
void	lists_take(struct lists *, struct buf *report);

/* Copies what the catalog says of the server: a poller that was started anew
 * knows nothing, and without this its first catalog would take every tool
 * away. False when the catalog has no lists of it. */
bool	lists_inherit(struct lists *, const struct cat_head *,
	    int64_t server_id);

/* Hash of what the server says of itself (not of its lists): another one means
 * that another program answers at the same place. */
uint64_t lists_face(const struct lists *);

/* Items of each kind. */
void	lists_count(const struct lists *, uint64_t n[ITEM_KIND_COUNT]);

#endif
