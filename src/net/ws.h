/*
 * ws -- WebSocket framing (RFC 6455), for clients and servers.
 *
 * Pure: no I/O; the parser holds at most one message, within its bound. What
 * a peer may not send is an error with the close code to answer. Text is
 * UTF-8 when it comes out. No extensions.
 */
#ifndef OMNI2_NET_WS_H
#define OMNI2_NET_WS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2,
	WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

#define WS_CODE_NORMAL		1000
#define WS_CODE_PROTOCOL	1002
#define WS_CODE_UNSUPPORTED	1003
#define WS_CODE_NONE		1005	/* a close frame without a code */
#define WS_CODE_NOT_UTF8	1007
#define WS_CODE_TOO_BIG		1009
#define WS_CONTROL_MAX		125
#define WS_ACCEPT_SIZE		29

struct ws_event {			/* a whole message or control frame */
	enum ws_opcode	type;		/* never CONTINUATION */
	struct span	data;		/* valid until the next call */
	uint16_t	code;		/* of CLOSE; data is the reason */
};

struct ws_parser {
	bool		from_client;	/* frames must be masked, or must not */
	struct buf	message;	/* fragments so far */
	enum ws_opcode	message_type;	/* CONTINUATION: none has begun */
	bool		message_done;	/* cleared by the next call */
	bool		is_taken;	/* who parses takes parts away, so a
					 * message may be longer than the bound */
	uint8_t		control[WS_CONTROL_MAX];
	size_t		control_n;
	/* the frame being read */
	uint8_t		head[14];
	size_t		head_n;		/* bytes of it that are there */
	enum ws_opcode	opcode;
	bool		is_final;
	bool		in_payload;
	uint64_t	left, seen;
	uint8_t		mask[4];
	uint16_t	error_code;	/* to close with, after -1 */
};

/* message_max: bytes of a message in all its fragments. */
void	ws_parser_init(struct ws_parser *, bool from_client,
	    size_t message_max);
void	ws_parser_free(struct ws_parser *);
/*
 * Takes bytes from in until a message or a control frame is complete. 1:
 * *event is filled (valid until the next call) and *taken says how much of in
 * was used; 0: all taken, nothing yet; -1 with err and error_code.
 */
int	ws_parse(struct ws_parser *, struct span in, size_t *taken,
	    struct ws_event *event, struct err *);

/* Of a text message that is not complete, after ws_parse() gave 0: how much of
 * it is held, what of that is whole characters (-1 as ws_parse()), and dropping
 * the first n bytes: the bound is for the rest. */
size_t	ws_parser_pending(const struct ws_parser *);
int	ws_parser_part(struct ws_parser *, struct span *, struct err *);
void	ws_parser_forget(struct ws_parser *, size_t n);

/* Appends one final frame. mask NULL: not masked (servers). */
int	ws_write(struct buf *, enum ws_opcode, struct span payload,
	    const uint8_t mask[4]);
int	ws_write_close(struct buf *, uint16_t code, const uint8_t mask[4]);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key. */
void	ws_accept(struct span key, char out[WS_ACCEPT_SIZE]);

#endif
