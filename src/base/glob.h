/*
 * glob -- the name patterns of permissions: "*", "?", "[seq]", "[!seq]".
 *
 * Case matters, "/" is an ordinary character, a backslash is literal. Linear
 * in pattern times text (no exponential back-tracking). A malformed pattern
 * matches nothing.
 */
#ifndef OMNI2_BASE_GLOB_H
#define OMNI2_BASE_GLOB_H

#include "base/span.h"

bool	glob_match(const char *pattern, struct span name);
/* True if the pattern is well-formed ("[" closed). */
bool	glob_valid(const char *pattern);

#endif
