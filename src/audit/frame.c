/*
 * frame -- audit records as frames of at most PIPE_BUF bytes, and back.
 *
 * Pure. The header is little-endian on every machine; its crc covers the
 * header's other fields and the payload, so a frame is either whole or is
 * not one. What a reader decides never depends on how many bytes it was
 * given at a time: an incomplete frame is "not yet", never "damaged".
 */
#include "config.h"		/* _GNU_SOURCE: memmem */

#include "audit/record.h"

#include "audit/crc32c.h"

#define PAYLOAD_MAX	(AUDIT_FRAME_MAX - AUDIT_FRAME_HEADER)
#define FLAG_LAST	1u
#define FLAG_FIRST	2u
#define CRC_AT		12

static void
put32(char *p, uint32_t v)
{
	int i;

	for (i = 0; i < 4; i++)
		p[i] = (char)(v >> 8 * i);
}

static uint32_t
get32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 |
	    (uint32_t)u[3] << 24;
}

static uint32_t
frame_crc(const char *frame, size_t n)
{
	uint32_t crc = crc32c(0, frame, CRC_AT);

	return crc32c(crc, frame + CRC_AT + 4, n - CRC_AT - 4);
}

static void
put_frame(char *p, struct span payload, unsigned flags, uint32_t slot,
    uint64_t seq, uint32_t part)
{
	put32(p, AUDIT_FRAME_MAGIC);
	put32(p + 4, (uint32_t)payload.n | flags << 16);
	put32(p + 8, slot);
	put32(p + 16, (uint32_t)seq);
	put32(p + 20, (uint32_t)(seq >> 32));
	put32(p + 24, part);
	put32(p + 28, 0);
	memcpy(p + AUDIT_FRAME_HEADER, payload.p, payload.n);
	put32(p + CRC_AT, frame_crc(p, AUDIT_FRAME_HEADER + payload.n));
}

int
audit_frames(struct span json, uint32_t slot, uint64_t seq, struct buf *out,
    size_t *frame_at, int max)
{
	size_t parts = (json.n + PAYLOAD_MAX - 1) / PAYLOAD_MAX, i, n;
	unsigned flags;

	if (json.n == 0 || max <= 0 || parts > (size_t)max ||
	    buf_reserve(out, json.n + parts * AUDIT_FRAME_HEADER) < 0)
		return -1;
	for (i = 0; i < parts; i++) {
		n = json.n < PAYLOAD_MAX ? json.n : PAYLOAD_MAX;
		flags = (i == 0 ? FLAG_FIRST : 0) |
		    (i + 1 == parts ? FLAG_LAST : 0);
		frame_at[i] = out->n;
		put_frame(out->p + out->n, span_make(json.p, n), flags, slot,
		    seq, (uint32_t)i);
		out->n += AUDIT_FRAME_HEADER + n;
		json = span_skip(json, n);
	}
	return (int)parts;
}

long
audit_frame_read(struct span in, struct audit_frame *f, struct span *payload)
{
	uint32_t word;

	if (in.n < AUDIT_FRAME_HEADER)
		return in.n >= 4 && get32(in.p) != AUDIT_FRAME_MAGIC ? -1 : 0;
	word = get32(in.p + 4);
	f->magic = get32(in.p);
	f->size = (uint16_t)word;
	f->flags = (uint16_t)(word >> 16);
	f->slot = get32(in.p + 8);
	f->crc = get32(in.p + CRC_AT);
	f->seq = get32(in.p + 16) | (uint64_t)get32(in.p + 20) << 32;
	f->part = get32(in.p + 24);
	f->reserved = get32(in.p + 28);
	if (f->magic != AUDIT_FRAME_MAGIC || f->size > PAYLOAD_MAX ||
	    f->size == 0 || f->flags > (FLAG_FIRST | FLAG_LAST) ||
	    f->reserved != 0)
		return -1;
	if (in.n < AUDIT_FRAME_HEADER + (size_t)f->size)
		return 0;
	if (frame_crc(in.p, AUDIT_FRAME_HEADER + f->size) != f->crc)
		return -1;
	*payload = span_make(in.p + AUDIT_FRAME_HEADER, f->size);
	return (long)(AUDIT_FRAME_HEADER + f->size);
}

/* Never 0: what stands at the beginning was found damaged. */
long
audit_frame_resync(struct span in)
{
	static const char magic[4] = { 'O', 'A', 'F', '2' };
	const char *p;

	if (in.n < 2)
		return -1;
	p = memmem(in.p + 1, in.n - 1, magic, sizeof(magic));
	return p == NULL ? -1 : (long)(p - in.p);
}
