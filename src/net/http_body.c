/*
 * http_body -- the body decoder.
 *
 * Workers (requests) and the upstream client (responses). A state machine
 * that may be fed any split of the bytes and gives the same payload. What
 * surrounds chunks is read as strictly as heads are: CRLF only, no white
 * space around a size, and a bound on all that is not payload.
 */
#include "base/num.h"
#include "net/http_body.h"

#define OVERHEAD_MAX	8192	/* extensions and trailers of one body */
#define SIZE_DIGITS_MAX	15	/* of a chunk size; cannot overflow */

enum state {
	SIZE_FIRST,		/* a digit must come */
	SIZE_MORE,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST,		/* a trailer or the last CR */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF,
	BROKEN
};

void
http_body_init(struct http_body *b, enum http_body_kind kind, uint64_t length)
{
	memset(b, 0, sizeof(*b));
	b->kind = kind;
	b->left = kind == HTTP_BODY_LENGTH ? length : 0;
	b->done = kind == HTTP_BODY_NONE ||
	    (kind == HTTP_BODY_LENGTH && length == 0);
	b->state = SIZE_FIRST;
}

void
http_body_for_request(struct http_body *b, const struct http_head *h)
{
	if (h->chunked)
		http_body_init(b, HTTP_BODY_CHUNKED, 0);
	else if (h->has_length)
		http_body_init(b, HTTP_BODY_LENGTH, h->content_length);
	else
		http_body_init(b, HTTP_BODY_NONE, 0);
}

void
http_body_for_response(struct http_body *b, const struct http_head *h,
    bool request_was_head)
{
	if (request_was_head || h->status < 200 || h->status == 204 ||
	    h->status == 304)
		http_body_init(b, HTTP_BODY_NONE, 0);
	else if (h->chunked || h->has_length)
		http_body_for_request(b, h);
	else
		http_body_init(b, HTTP_BODY_EOF, 0);
}

/* Each step_ function takes one byte and returns the next state. */
static enum state
step_size(struct http_body *b, enum state s, char c)
{
	int d = num_hex_digit(c);

	if (d >= 0) {
		if (s == SIZE_FIRST)
			b->digits = 0;
		if (++b->digits > SIZE_DIGITS_MAX)
			return BROKEN;
		b->left = b->left << 4 | (uint64_t)d;
		return SIZE_MORE;
	}
	if (s == SIZE_FIRST)
		return BROKEN;
	return c == '\r' ? SIZE_LF : c == ';' ? EXTENSION : BROKEN;
}

static enum state
step_extension(struct http_body *b, char c)
{
	if (c == '\r')
		return SIZE_LF;
	if (c < 0x20 || c == 0x7f || ++b->overhead > OVERHEAD_MAX)
		return BROKEN;
	return EXTENSION;
}

static enum state
step_trailer(struct http_body *b, enum state s, char c)
{
	if (++b->overhead > OVERHEAD_MAX)
		return BROKEN;
	if (s == TRAILER_FIRST && c == '\r')
		return LAST_LF;
	if (s == TRAILER_VALUE) {
		if (c == '\r')
			return TRAILER_LF;
		if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
			return BROKEN;
		return TRAILER_VALUE;
	}
	if (s == TRAILER_NAME && c == ':')
		return TRAILER_VALUE;
	return http_is_token(span_make(&c, 1)) ? TRAILER_NAME : BROKEN;
}

static enum state
step_chunked(struct http_body *b, char c)
{
	switch ((enum state)b->state) {
	case SIZE_FIRST:
	case SIZE_MORE:
		return step_size(b, (enum state)b->state, c);
	case EXTENSION:
		return step_extension(b, c);
	case SIZE_LF:
		if (c != '\n')
			return BROKEN;
		return b->left > 0 ? DATA : TRAILER_FIRST;
	case DATA_CR:
		return c == '\r' ? DATA_LF : BROKEN;
	case DATA_LF:
		return c == '\n' ? SIZE_FIRST : BROKEN;
	case TRAILER_FIRST:
	case TRAILER_NAME:
	case TRAILER_VALUE:
		return step_trailer(b, (enum state)b->state, c);
	case TRAILER_LF:
		return c == '\n' ? TRAILER_FIRST : BROKEN;
	case LAST_LF:
		b->done = c == '\n';
		return b->done ? LAST_LF : BROKEN;
	case DATA:
	case BROKEN:
		break;
	}
	return BROKEN;
}

/* Gives out as much of in as belongs to the running length or chunk. */
static size_t
take_payload(struct http_body *b, struct span in, struct span *payload)
{
	size_t n = in.n;

	if (b->kind != HTTP_BODY_EOF) {
		if (n > b->left)
			n = (size_t)b->left;
		b->left -= n;
	}
	b->seen += n;
	*payload = span_make(in.p, n);
	return n;
}

static int
feed_chunked(struct http_body *b, struct span in, size_t *taken,
    struct span *payload, struct err *e)
{
	size_t i = 0;

	while (i < in.n && !b->done) {
		if (b->state == DATA) {
			i += take_payload(b, span_skip(in, i), payload);
			if (b->left == 0)
				b->state = DATA_CR;
			break;
		}
		b->state = step_chunked(b, in.p[i]);
		if (b->state == BROKEN) {
			*taken = i;
			return err_set(e, ERR_BADREQ,
			    "the chunked body is malformed");
		}
		i++;
	}
	*taken = i;
	return 0;
}

int
http_body_feed(struct http_body *b, struct span in, size_t *taken,
    struct span *payload, struct err *e)
{
	*taken = 0;
	*payload = span_make(in.p, 0);
	if (b->done || in.n == 0)
		return 0;
	if (b->kind == HTTP_BODY_CHUNKED)
		return feed_chunked(b, in, taken, payload, e);
	*taken = take_payload(b, in, payload);
	b->done = b->kind == HTTP_BODY_LENGTH && b->left == 0;
	return 0;
}

int
http_body_eof(struct http_body *b)
{
	if (b->kind == HTTP_BODY_EOF)
		b->done = true;
	return b->done ? 0 : -1;
}
