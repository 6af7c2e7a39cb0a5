/*
 * fit -- see fit.h.
 */
#include "ctl/fit.h"

#include <stddef.h>
#include <string.h>

#define GREEN	"\033[32m"
#define YELLOW	"\033[33m"
#define RED	"\033[31m"

static const struct {
	const char *word, *style;
} styles[] = {
	{ "ok", GREEN }, { "up", GREEN }, { "healthy", GREEN },
	{ "allow", GREEN }, { "success", GREEN }, { "closed", GREEN },
	{ "done", GREEN },
	{ "warn", YELLOW }, { "starting", YELLOW }, { "half_open", YELLOW },
	{ "unknown", YELLOW }, { "limit", YELLOW }, { "cancelled", YELLOW },
	{ "would", YELLOW },
	{ "FAIL", RED }, { "down", RED }, { "unhealthy", RED },
	{ "unreachable", RED }, { "deny", RED }, { "denied", RED },
	{ "unauthenticated", RED }, { "error", RED }, { "aborted", RED },
	{ "failing", RED }, { "spool full", RED }, { "open", RED },
};

const char *
fit_style(const char *word)
{
	size_t i;

	for (i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(styles[i].word, word) == 0)
			return styles[i].style;
	return "";
}

/* The widest that may still be narrowed, or -1. */
static int
widest(const int *width, const int *least, int n)
{
	int i, at = -1;

	for (i = 0; i < n; i++)
		if (width[i] > least[i] && (at < 0 || width[i] > width[at]))
			at = i;
	return at;
}

void
fit_columns(int *width, const int *least, int n, int line)
{
	long total = 2L * (n - 1);
	int i;

	for (i = 0; i < n; i++)
		total += width[i];
	while (total > line && (i = widest(width, least, n)) >= 0) {
		width[i]--;
		total--;
	}
}
