/*
 * suggest -- "did you mean": the nearest of many words by edit distance.
 *
 * Usage: suggest_begin(&s, word); suggest_offer(&s, candidate) for each;
 * suggest_text(&s, out, size) gives "; did you mean \"x\"?" or "".
 * Keeps the pointer to the best candidate. Pure.
 */
#ifndef OMNI2_CONF_SUGGEST_H
#define OMNI2_CONF_SUGGEST_H

#include <stddef.h>

#define SUGGEST_TEXT	128

struct suggest {
	const char	*word;
	const char	*best;
	size_t		 distance;
};

void	suggest_begin(struct suggest *, const char *word);
void	suggest_offer(struct suggest *, const char *candidate);
/* Returns out. */
const char *suggest_text(const struct suggest *, char *out, size_t size);

#endif
