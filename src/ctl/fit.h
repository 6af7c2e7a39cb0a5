/*
 * fit -- what a table looks like on a terminal: widths and colours. Pure.
 */
#ifndef OMNI2_CTL_FIT_H
#define OMNI2_CTL_FIT_H

/*
 * Narrows columns until all of them, two spaces apart, fit the line: the
 * widest first, the left one of equals, none below its least[].
 */
void	fit_columns(int *width, const int *least, int n, int line);

/* Escape sequence for the state of something, "" for any other word. */
const char *fit_style(const char *word);
#define FIT_PLAIN "\033[0m"

#endif
