/*
 * crc32c -- CRC-32C (Castagnoli) of bytes: frames of the audit pipe.
 */
#ifndef OMNI2_AUDIT_CRC32C_H
#define OMNI2_AUDIT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc of what came before, or 0. "123456789" gives 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *, size_t);
/* The table version, whatever the machine can do; for tests. */
uint32_t crc32c_portable(uint32_t crc, const void *, size_t);

#endif
