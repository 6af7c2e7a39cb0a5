/*
 * crc32c -- by the instruction of SSE4.2 where there is one, else by table.
 *
 * Pure; every process that writes or reads audit frames.
 */
#include "audit/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL	0x82f63b78u	/* reflected */

uint32_t
crc32c_portable(uint32_t crc, const void *data, size_t n)
{
	static uint32_t table[256];
	const unsigned char *p = data;
	uint32_t i, c;
	int k;

	if (table[1] == 0) {
		/* Entry 1 last: who sees it sees the others. */
		for (i = 256; i-- > 1;) {
			for (c = i, k = 0; k < 8; k++)
				c = (c & 1) != 0 ? c >> 1 ^ POLYNOMIAL : c >> 1;
			table[i] = c;
		}
	}
	crc = ~crc;
	while (n-- > 0)
		crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2")))
static uint32_t
crc32c_sse42(uint32_t crc, const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t c = (uint32_t)~crc, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; n > 0; n--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return ~(uint32_t)c;
}

uint32_t
crc32c(uint32_t crc, const void *data, size_t n)
{
	return __builtin_cpu_supports("sse4.2") ?
	    crc32c_sse42(crc, data, n) : crc32c_portable(crc, data, n);
}
#else
uint32_t
crc32c(uint32_t crc, const void *data, size_t n)
{
	return crc32c_portable(crc, data, n);
}
#endif
