/*
 * ask -- one question to the master through its control socket (control.c):
 * omni2ctl and the api processes. Blocks until it is answered.
 */
#ifndef OMNI2_PROC_ASK_H
#define OMNI2_PROC_ASK_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * Sends one line; the answer to out, with its first line "OK" or "ERR". *fd,
 * if not NULL, gets a descriptor if one came, else -1. 1 OK, 0 ERR, -1 nobody
 * there, or *refused: it does not talk to this user.
 */
int	control_ask(const char *run_dir, const char *line, struct buf *out,
	    int *fd, bool *refused);
/* What follows the first line. */
struct span control_text(const struct buf *);

#endif
