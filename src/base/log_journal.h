/*
 * log_journal -- lines with fields for journald. For log.c.
 */
#ifndef OMNI2_BASE_LOG_JOURNAL_H
#define OMNI2_BASE_LOG_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const char *log_journal_socket;	/* tests have one of their own */

/* A line without its line break, in which no control characters are left.
 * False: it could not be sent; it belongs on standard error then. */
bool	log_journal_send(char priority, const char *process, const char *line,
	    size_t n);

#endif
