/*
 * ws -- frames to messages and back.
 *
 * Workers, keeper; pure. Strict: reserved bits and opcodes, lengths that are
 * not the shortest, wrong masking, fragmented or long control frames and
 * interleaved messages are refused (RFC 6455 sections 5 and 7.4).
 */
#include "net/ws.h"

#include "base/utf8.h"

#define FIN		0x80
#define RESERVED	0x70
#define OPCODE		0x0f
#define MASKED		0x80
#define LENGTH_16	126
#define LENGTH_64	127
#define MESSAGE_KEEP	65536

void
ws_parser_init(struct ws_parser *p, bool from_client, size_t message_max)
{
	memset(p, 0, sizeof(*p));
	p->from_client = from_client;
	buf_init(&p->message, message_max);
}

void
ws_parser_free(struct ws_parser *p)
{
	buf_free(&p->message);
}

static int
refuse(struct ws_parser *p, uint16_t code, const char *why, struct err *e)
{
	p->error_code = code;
	return err_set(e, code == WS_CODE_TOO_BIG ? ERR_TOOBIG : ERR_BADREQ,
	    "WebSocket: %s", why);
}

static bool
is_control(enum ws_opcode o)
{
	return o == WS_CLOSE || o == WS_PING || o == WS_PONG;
}

static bool
is_utf8(const void *text, size_t n)
{
	const unsigned char *p = text;
	size_t step;

	for (; n > 0; p += step, n -= step)
		if ((step = utf8_sequence(p, n)) == 0)
			return false;
	return true;
}

/* Section 7.4: what may stand in a close frame. */
static bool
is_close_code(unsigned code)
{
	if (code >= 3000)
		return code <= 4999;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
	    code != 1006;
}

/* Bytes the head has, as far as its first two say. */
static size_t
head_size(const struct ws_parser *p)
{
	size_t n = 2;

	if (p->head_n < 2)
		return 2;
	if ((p->head[1] & ~MASKED) == LENGTH_16)
		n += 2;
	else if ((p->head[1] & ~MASKED) == LENGTH_64)
		n += 8;
	return p->head[1] & MASKED ? n + 4 : n;
}

static int
check_opcode(struct ws_parser *p, struct err *e)
{
	if (p->head[0] & RESERVED)
		return refuse(p, WS_CODE_PROTOCOL, "reserved bits are set", e);
	switch (p->opcode) {
	case WS_CONTINUATION:
		if (p->message_type != WS_CONTINUATION)
			return 0;
		return refuse(p, WS_CODE_PROTOCOL, "nothing to continue", e);
	case WS_TEXT:
	case WS_BINARY:
		if (p->message_type == WS_CONTINUATION)
			return 0;
		return refuse(p, WS_CODE_PROTOCOL,
		    "a message inside of another", e);
	case WS_CLOSE:
	case WS_PING:
	case WS_PONG:
		if (p->is_final && (p->head[1] & ~MASKED) <= WS_CONTROL_MAX)
			return 0;
		return refuse(p, WS_CODE_PROTOCOL,
		    "a control frame that is long or in pieces", e);
	}
	return refuse(p, WS_CODE_PROTOCOL, "unknown opcode", e);
}

/* The length; in *bad whether it could have been written shorter. */
static uint64_t
read_length(const struct ws_parser *p, bool *bad)
{
	uint64_t n = p->head[1] & ~MASKED;
	int i, bytes = n == LENGTH_16 ? 2 : n == LENGTH_64 ? 8 : 0;

	*bad = false;
	if (bytes == 0)
		return n;
	for (n = 0, i = 0; i < bytes; i++)
		n = n << 8 | p->head[2 + i];
	*bad = bytes == 2 ? n < LENGTH_16 : n <= UINT16_MAX || n >> 63 != 0;
	return n;
}

/* The head is complete. */
static int
begin_frame(struct ws_parser *p, struct err *e)
{
	bool bad, masked = p->head[1] & MASKED;

	p->opcode = (enum ws_opcode)(p->head[0] & OPCODE);
	p->is_final = p->head[0] & FIN;
	if (check_opcode(p, e) < 0)
		return -1;
	if (masked != p->from_client)
		return refuse(p, WS_CODE_PROTOCOL, masked ?
		    "a server must not mask" : "a client must mask", e);
	p->left = read_length(p, &bad);
	if (bad)
		return refuse(p, WS_CODE_PROTOCOL, "bad length", e);
	if (!is_control(p->opcode) && !p->is_taken &&
	    p->left > p->message.max - p->message.n)
		return refuse(p, WS_CODE_TOO_BIG, "the message is too large",
		    e);
	if (p->opcode == WS_TEXT || p->opcode == WS_BINARY)
		p->message_type = p->opcode;
	memset(p->mask, 0, sizeof(p->mask));
	if (masked)
		memcpy(p->mask, p->head + p->head_n - 4, 4);
	p->control_n = 0;
	p->seen = 0;
	p->in_payload = true;
	return 0;
}

static void
unmask(const struct ws_parser *p, uint8_t *out, struct span in)
{
	size_t i;

	for (i = 0; i < in.n; i++)
		out[i] = (uint8_t)in.p[i] ^ p->mask[(p->seen + i) & 3];
}

static int
take_payload(struct ws_parser *p, struct span in, struct err *e)
{
	if (in.n == 0)
		return 0;
	if (is_control(p->opcode)) {
		unmask(p, p->control + p->control_n, in);
		p->control_n += in.n;
	} else {
		if (buf_reserve(&p->message, in.n) < 0)
			return refuse(p, WS_CODE_TOO_BIG,
			    "the message is too large", e);
		unmask(p, (uint8_t *)p->message.p + p->message.n, in);
		p->message.n += in.n;
	}
	p->seen += in.n;
	p->left -= in.n;
	return 0;
}

static int
end_close(struct ws_parser *p, struct ws_event *ev, struct err *e)
{
	unsigned code;

	ev->code = WS_CODE_NONE;
	if (p->control_n == 0)
		return 1;
	code = (unsigned)p->control[0] << 8 | p->control[1];
	if (p->control_n == 1 || !is_close_code(code))
		return refuse(p, WS_CODE_PROTOCOL, "bad close code", e);
	ev->code = (uint16_t)code;
	ev->data = span_skip(ev->data, 2);
	if (!is_utf8(ev->data.p, ev->data.n))
		return refuse(p, WS_CODE_NOT_UTF8, "not UTF-8", e);
	return 1;
}

/* The frame is complete. 1: so is what it belongs to. */
static int
end_frame(struct ws_parser *p, struct ws_event *ev, struct err *e)
{
	p->head_n = 0;
	p->in_payload = false;
	memset(ev, 0, sizeof(*ev));
	if (is_control(p->opcode)) {
		ev->type = p->opcode;
		ev->data = span_make((const char *)p->control, p->control_n);
		return p->opcode == WS_CLOSE ? end_close(p, ev, e) : 1;
	}
	if (!p->is_final)
		return 0;
	ev->type = p->message_type;
	ev->data = buf_span(&p->message);
	p->message_type = WS_CONTINUATION;
	p->message_done = true;
	if (ev->type == WS_TEXT && !is_utf8(ev->data.p, ev->data.n))
		return refuse(p, WS_CODE_NOT_UTF8, "not UTF-8", e);
	return 1;
}

static int
take_head(struct ws_parser *p, struct span in, size_t *taken, struct err *e)
{
	while (p->head_n < head_size(p) && *taken < in.n)
		p->head[p->head_n++] = (uint8_t)in.p[(*taken)++];
	return p->head_n == head_size(p) && p->head_n >= 2 ?
	    begin_frame(p, e) : 0;
}

int
ws_parse(struct ws_parser *p, struct span in, size_t *taken,
    struct ws_event *ev, struct err *e)
{
	struct span piece;
	int rv;

	*taken = 0;
	if (p->message_done) {
		p->message_done = false;
		buf_reset(&p->message, MESSAGE_KEEP);
	}
	while (*taken < in.n) {
		if (!p->in_payload && take_head(p, in, taken, e) < 0)
			return -1;
		if (!p->in_payload)
			return 0;
		piece = span_skip(in, *taken);
		if (piece.n > p->left)
			piece.n = (size_t)p->left;
		if (take_payload(p, piece, e) < 0)
			return -1;
		*taken += piece.n;
		if (p->left == 0 && (rv = end_frame(p, ev, e)) != 0)
			return rv;
	}
	return 0;
}

size_t
ws_parser_pending(const struct ws_parser *p)
{
	return p->message_done || p->message_type != WS_TEXT ? 0 :
	    p->message.n;
}

/* Bytes at the end that begin a character and do not end it. */
static size_t
open_character(struct span s)
{
	unsigned char c;
	size_t n;

	for (n = 1; n <= 3 && n <= s.n; n++) {
		c = (unsigned char)s.p[s.n - n];
		if ((c & 0xc0) == 0x80)
			continue;
		return n < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u :
		    c >= 0xc0 ? 2u : 1u) ? n : 0;
	}
	return 0;
}

int
ws_parser_part(struct ws_parser *p, struct span *out, struct err *e)
{
	*out = buf_span(&p->message);
	out->n -= open_character(*out);
	return is_utf8(out->p, out->n) ? 0 :
	    refuse(p, WS_CODE_NOT_UTF8, "not UTF-8", e);
}

void
ws_parser_forget(struct ws_parser *p, size_t n)
{
	buf_consume(&p->message, n);
}

int
ws_write(struct buf *b, enum ws_opcode type, struct span payload,
    const uint8_t mask[4])
{
	uint8_t head[14] = { (uint8_t)(FIN | type) };
	size_t n = 2, at, i;

	if (payload.n < LENGTH_16) {
		head[1] = (uint8_t)payload.n;
	} else if (payload.n <= UINT16_MAX) {
		head[1] = LENGTH_16;
		head[n++] = (uint8_t)(payload.n >> 8);
		head[n++] = (uint8_t)payload.n;
	} else {
		head[1] = LENGTH_64;
		for (i = 0; i < 8; i++)
			head[n++] = (uint8_t)(payload.n >> (56 - 8 * i));
	}
	if (mask != NULL) {
		head[1] |= MASKED;
		memcpy(head + n, mask, 4);
		n += 4;
	}
	if (buf_reserve(b, n + payload.n) < 0)
		return -1;
	buf_add(b, head, n);
	at = b->n;
	buf_add_span(b, payload);
	for (i = 0; mask != NULL && i < payload.n; i++)
		b->p[at + i] = (char)((uint8_t)b->p[at + i] ^ mask[i & 3]);
	return 0;
}

int
ws_write_close(struct buf *b, uint16_t code, const uint8_t mask[4])
{
	char text[2] = { (char)(code >> 8), (char)code };

	return ws_write(b, WS_CLOSE, span_make(text, code == WS_CODE_NONE ?
	    0 : sizeof(text)), mask);
}
