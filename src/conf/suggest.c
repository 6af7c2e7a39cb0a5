/*
 * suggest -- nearest word by edit distance (insert, delete, replace, swap).
 *
 * Case does not count and "-" equals "_", the two usual slips. Words longer
 * than WORD_MAX are not compared. Loader and command line tools.
 */
#include "conf/suggest.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX	64

static char
fold(char c)
{
	return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

static size_t
edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t row[3][WORD_MAX + 1];
	size_t *before = row[0], *last = row[1], *now = row[2], *t;
	size_t i, j, cost;

	memset(row, 0, sizeof(row));
	for (j = 0; j <= m; j++)
		last[j] = j;
	for (i = 1; i <= n; i++) {
		now[0] = i;
		for (j = 1; j <= m; j++) {
			cost = fold(a[i - 1]) == fold(b[j - 1]) ? 0 : 1;
			now[j] = min3(last[j] + 1, now[j - 1] + 1,
			    last[j - 1] + cost);
			if (i > 1 && j > 1 && now[j] > before[j - 2] + 1 &&
			    fold(a[i - 1]) == fold(b[j - 2]) &&
			    fold(a[i - 2]) == fold(b[j - 1]))
				now[j] = before[j - 2] + 1;
		}
		t = before;
		before = last;
		last = now;
		now = t;
	}
	return last[m];
}

void
suggest_begin(struct suggest *s, const char *word)
{
	s->word = word;
	s->best = NULL;
	s->distance = 0;
}

void
suggest_offer(struct suggest *s, const char *candidate)
{
	size_t n = strlen(s->word), m = strlen(candidate), distance, bound;

	if (n == 0 || m == 0 || n > WORD_MAX || m > WORD_MAX)
		return;
	/* A third of the letters wrong is a typo; more is another word. */
	bound = (n > m ? n : m) / 3;
	distance = edit_distance(s->word, n, candidate, m);
	if (distance > (bound > 0 ? bound : 1) || distance >= m)
		return;
	if (s->best == NULL || distance < s->distance) {
		s->best = candidate;
		s->distance = distance;
	}
}

const char *
suggest_text(const struct suggest *s, char *out, size_t size)
{
	out[0] = '\0';
	if (s->best != NULL)
		snprintf(out, size, "; did you mean \"%s\"?", s->best);
	return out;
}
