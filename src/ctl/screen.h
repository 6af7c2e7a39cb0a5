/*
 * screen -- how omni2ctl behaves on a terminal: width, colours, progress, and
 * running a command again and again. Where there is no terminal nothing of
 * it happens, so that scripts see the same bytes every time.
 */
#ifndef OMNI2_CTL_SCREEN_H
#define OMNI2_CTL_SCREEN_H

#include "ctl/ctl.h"

/* Columns of standard output; INT_MAX if it is no terminal. */
int	screen_width(void);
bool	screen_has_colour(void);	/* a terminal, and not NO_COLOR */

/*
 * "fmt ... 3 s" on standard error from the first second on, until it is
 * called with NULL; nothing if standard error is no terminal.
 */
void	screen_progress(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

/*
 * --watch [SECONDS]: returns in a new process for each round, which runs the
 * command and ends. Returns at once if the option is not there.
 */
void	screen_watch(struct ctl *);

/* From here on what is printed is JSON and comes out as YAML. */
void	screen_yaml_begin(void);
/*
 * What was printed goes out; if it cannot, the program fails. For commands that
 * go on printing; it happens by itself at the end.
 */
void	screen_flush(void);

#endif
