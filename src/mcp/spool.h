/*
 * spool -- the events of a call's stream, kept for a client that loses it
 * (Last-Event-ID; MCP 2025-03-26 to 2025-11-25, Resumability and Redelivery).
 *
 * One file per streamed call, "<run_dir>/streams/<slot>-<call>", written by the
 * worker that serves the call, read by whichever worker gets the GET. Bound to
 * the session; removed by the poller a few minutes after its last event. Calls
 * that are answered at once have no stream and no file.
 */
#ifndef OMNI2_MCP_SPOOL_H
#define OMNI2_MCP_SPOOL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#define SPOOL_ID_SIZE	64
#define SPOOL_KEEP_S	300

struct spool {
	int		fd;		/* -1: none */
	uint64_t	session, call;
	uint32_t	slot, seq;
};

/* Begins the file. 0, or -1: there is none, the stream goes on without ids. */
int	spool_begin(struct spool *, const char *run_dir, uint64_t session,
	    uint32_t slot, uint64_t call);
/* Notes one event and writes its id ("<slot>-<call>-<seq>") to id. */
void	spool_event(struct spool *, struct span data, char id[SPOOL_ID_SIZE]);
/* The last event is out. */
void	spool_end(struct spool *);

/* Opens the file that an id names, for that session. -1 with err NOTFOUND. */
int	spool_open(struct spool *, const char *run_dir, struct span id,
	    uint64_t session, uint32_t *after_seq, struct err *);
/* Next event beyond after_seq: 1 (data filled), 0 the stream has ended,
 * -1 nothing more yet. */
int	spool_next(struct spool *, uint32_t after_seq, struct buf *data,
	    uint32_t *seq);
void	spool_close(struct spool *);
/* Poller: removes what is older than SPOOL_KEEP_S. */
void	spool_sweep(const char *run_dir);

#endif
