/*
 * mux -- which call a message belongs to.
 *
 * Ids of calls are unique among all processes of omni2 (slot_next_call), so
 * requests pass unchanged; this module keeps the calls under way by id and
 * reads what a server wrote just far enough to route it. Servers are hostile:
 * a message is believed only for calls that are pending at that very process.
 * stdiod only; does no I/O.
 */
#ifndef OMNI2_STDIO_MUX_H
#define OMNI2_STDIO_MUX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/json_read.h"
#include "base/span.h"

#define MUX_BUCKETS	1024

struct client;
struct process;
struct server;

/* An OPEN or CALL of a client, until it is answered or given up. */
struct call {
	TAILQ_ENTRY(call) link;		/* in process->pending or
					 * server->waiting */
	struct call	*next;		/* in the bucket of its id */
	uint64_t	 id;
	int64_t		 server_id;
	uint64_t	 client_session;	/* 0: for the shared process */
	bool		 is_open;	/* an OPEN; not in the table */
	struct client	*client;
	struct server	*server;	/* it waits for; NULL: it is pending */
	struct process	*process;	/* it is pending at */
	uint64_t	 order;		/* the how many-th there */
	bool		 holds;		/* STDIO_FLAG_HOLDS */
	bool		 is_answered;	/* so it ends */
	uint64_t	 position;	/* of the request in what the process
					 * is sent */
	struct buf	 body;		/* the request, while it waits */
};
TAILQ_HEAD(call_list, call);

struct mux {
	struct call	*bucket[MUX_BUCKETS];
	unsigned	 n;
};

struct call *mux_find(const struct mux *, uint64_t id);
int	mux_add(struct mux *, struct call *);	/* -1: the id is taken */
void	mux_remove(struct mux *, struct call *);

enum mux_kind {
	MUX_GARBAGE,			/* not a JSON-RPC message */
	MUX_BATCH,			/* an array; look at its elements */
	MUX_RESPONSE,
	MUX_REQUEST,			/* the server asks us */
	MUX_LIST_CHANGED,
	MUX_NOTIFICATION
};

struct mux_message {
	enum mux_kind	kind;
	struct span	text;		/* the message, without white space */
	bool		has_call;	/* call names a call: by id, progress
					 * token or subscription id */
	uint64_t	call;
	struct json_value id;		/* raw */
	struct span	method;		/* without quotes */
	struct json_value result, error;
};

/* What is this line? Spans point into it. */
void	mux_read(struct span line, struct mux_message *);
/* JSON-RPC is one message a line. Raw line ends can stand in JSON only as
 * white space; they become spaces. */
void	mux_one_line(char *, size_t);

#endif
