/*
 * sha256x -- SHA-256 of many messages at once, in the lanes of vector
 * registers where the machine has no instructions for SHA: several times as
 * fast as one after another. Pure; the shipper.
 */
#ifndef OMNI2_AUDIT_SHA256X_H
#define OMNI2_AUDIT_SHA256X_H

#include <stdint.h>

#include "base/span.h"

void	sha256_many(const struct span *messages, size_t n,
	    uint8_t (*out)[32]);
/* With this many lanes: 16, 8, or 1 (OpenSSL), whatever would be best here.
 * False: this machine cannot; for tests. */
bool	sha256_many_in(int lanes, const struct span *messages, size_t n,
	    uint8_t (*out)[32]);

#endif
