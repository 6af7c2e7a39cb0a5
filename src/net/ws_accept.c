/*
 * ws_accept -- Sec-WebSocket-Accept (RFC 6455 section 4.2.2): base64 of the
 * SHA-1 of the key and a fixed text.
 *
 * SHA-1 (RFC 3174) stands here because the processes that need it hold no
 * third-party code. It proves only that the peer speaks WebSocket; it is no
 * secret and nothing else may use it.
 */
#include "net/ws.h"

#define WS_GUID		"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_MAX		64

static uint32_t
rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void
sha1_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f, k;
	int i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		    (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (i = 0; i < 80; i++) {
		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		k += rotate(a, 5) + f + e + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = k;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* Of at most 119 bytes: two blocks with the padding. */
static void
sha1(const char *text, size_t n, uint8_t out[20])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
	    0xc3d2e1f0 };
	uint8_t block[128] = { 0 };
	size_t size = n < 56 ? 64 : 128, i;

	memcpy(block, text, n);
	block[n] = 0x80;
	for (i = 0; i < 8; i++)
		block[size - 1 - i] = (uint8_t)((uint64_t)n * 8 >> 8 * i);
	for (i = 0; i < size; i += 64)
		sha1_block(h, block + i);
	for (i = 0; i < 20; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* A key is 24 characters; what is longer than it may be counts as cut. */
void
ws_accept(struct span key, char out[WS_ACCEPT_SIZE])
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[KEY_MAX + sizeof(WS_GUID)];
	uint8_t hash[21] = { 0 };
	uint32_t x;
	size_t i;

	span_copy(text, KEY_MAX + 1, key);
	memcpy(text + strlen(text), WS_GUID, sizeof(WS_GUID));
	sha1(text, strlen(text), hash);
	for (i = 0; i < 7; i++) {
		x = (uint32_t)hash[3 * i] << 16 |
		    (uint32_t)hash[3 * i + 1] << 8 | hash[3 * i + 2];
		out[4 * i] = set[x >> 18];
		out[4 * i + 1] = set[x >> 12 & 63];
		out[4 * i + 2] = set[x >> 6 & 63];
		out[4 * i + 3] = set[x & 63];
	}
	out[27] = '=';			/* 20 bytes */
	out[28] = '\0';
}
