/*
 * fuzz -- what every fuzz target shares.
 *
 * A target is a file with LLVMFuzzerTestOneInput(). Linked with replay.c it
 * runs over its corpus in "make check"; built by clang with --enable-fuzz it
 * is a libFuzzer program. FUZZ_CHECK states a property and stops at once
 * when it does not hold, with or without NDEBUG.
 */
#ifndef OMNI2_TESTS_FUZZ_H
#define OMNI2_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FUZZ_CHECK(x) ((x) ? (void)0 : \
	(fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #x), \
	abort()))

#endif
