/*
 * stdio_proto -- frames between workers (or the poller) and stdiod, over a
 * UNIX stream socket in the run directory. Both ends are omni2 processes of
 * one build, so the header is the struct itself.
 *
 * A client connection has at most one OPEN or CALL under way. CALL: stdiod
 * starts the server if needed, writes the message as one line, and routes what
 * comes back: notifications/progress by progressToken (a number equal to the
 * call's id), the response by id. Closing the connection abandons the call;
 * CANCEL first sends notifications/cancelled to the server.
 */
#ifndef OMNI2_STDIO_STDIO_PROTO_H
#define OMNI2_STDIO_STDIO_PROTO_H

#include <stdint.h>

enum stdio_frame_type {
	/* client -> stdiod */
	STDIO_OPEN = 1,		/* body empty; answered by OPENED or ERROR */
	STDIO_CALL,		/* body: the JSON-RPC request, one line, id = id */
	STDIO_NOTIFY,		/* body: a notification; no answer */
	STDIO_CANCEL,		/* give up call id; no answer */
	/* stdiod -> client */
	STDIO_OPENED = 16,	/* body: struct stdio_opened, then raw result */
	STDIO_MESSAGE,		/* body: a notification or request for the call */
	STDIO_RESPONSE,		/* body: the response message */
	STDIO_ERROR		/* flags: enum err_code; body: text */
};

#define STDIO_FRAME_MAGIC	0x6f696473u
#define STDIO_BODY_MAX		(256u << 20)
#define STDIO_FLAG_NOT_EXECUTED	0x8000u	/* in ERROR flags: never written */

struct stdio_frame {
	uint32_t	magic;
	uint16_t	type;
	uint16_t	flags;
	uint64_t	id;
	int64_t		server_id;
	uint32_t	size;		/* bytes of body that follow */
	uint32_t	reserved;
};

struct stdio_opened {
	uint32_t	era;		/* enum sess_era */
	uint32_t	reserved;
	uint64_t	started;	/* counts starts of this server */
	char		version[16];
};

#endif
