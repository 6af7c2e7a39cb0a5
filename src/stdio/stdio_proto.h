/*
 * stdio_proto -- frames between workers (or the poller) and stdiod, over a
 * UNIX stream socket in the run directory. Both ends are omni2 processes of
 * one build, so the header is the struct itself. Who has the links of an
 * HTTP+SSE or WebSocket server speaks as stdiod does (proc/links.h).
 *
 * A client connection has at most one OPEN or CALL under way. A server has one
 * process for all, started with the first call, and one for each client
 * session that OPENs its own, with the capabilities of that client: those
 * processes get the client's calls only, and their requests (sampling,
 * elicitation, roots) come as MESSAGE to the newest call under way; when that
 * ends before the answer has passed, to another one (question.h). CALL: stdiod
 * starts the server if needed (not that of a client session), writes the
 * message as one line, and routes what comes back: notifications/progress by progressToken (a number equal to the
 * call's id), the response by id. Closing the connection abandons the call;
 * CANCEL first sends notifications/cancelled to the server.
 */
#ifndef OMNI2_STDIO_STDIO_PROTO_H
#define OMNI2_STDIO_STDIO_PROTO_H

#include <stdint.h>

enum stdio_frame_type {
	/* client -> stdiod */
	STDIO_OPEN = 1,		/* body: capabilities to declare, or empty;
				 * answered by OPENED or ERROR */
	STDIO_CALL,		/* body: the JSON-RPC request, one line, id = id */
	STDIO_NOTIFY,		/* body: a notification, or the answer to a
				 * request of the server; no answer */
	STDIO_CANCEL,		/* give up call id; no answer */
	STDIO_CLOSE,		/* end the process of a client session; no
				 * answer */
	/* stdiod -> client */
	STDIO_OPENED = 16,	/* body: struct stdio_opened, then raw result */
	STDIO_MESSAGE,		/* body: a notification or request for the call */
	STDIO_RESPONSE,		/* body: the response message */
	STDIO_LARGE,		/* the same, of any size: it comes from a file
				 * as fast as the client reads */
	STDIO_ERROR		/* flags: enum err_code; body: text */
};

#define STDIO_FRAME_MAGIC	0x6f696473u
#define STDIO_BODY_MAX		(256u << 20)
/* in CALL flags: its client is asked by an answer and comes again, so what it
 * was asked is answered even if the server answers the call before */
#define STDIO_FLAG_HOLDS	0x0001u
/* in ERROR flags */
#define STDIO_FLAG_NOT_EXECUTED	0x8000u	/* never written */
#define STDIO_FLAG_GONE		0x4000u	/* no process of this client session:
					 * OPEN it again */
#define STDIO_FLAGS		0xc000u

struct stdio_frame {
	uint32_t	magic;
	uint16_t	type;
	uint16_t	flags;
	uint64_t	id;
	int64_t		server_id;
	uint64_t	client_session;	/* 0: the process that all share */
	uint32_t	size;		/* bytes of body that follow */
	uint32_t	size_high;	/* of LARGE; else 0 */
};

struct stdio_opened {
	uint32_t	era;		/* enum sess_era */
	uint32_t	reserved;
	uint64_t	started;	/* counts starts of this server */
	char		version[16];
};

#endif
