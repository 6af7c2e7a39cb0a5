/*
 * log -- lines on standard error, for journald or a file.
 *
 * PostgreSQL's rules: the primary text is short and factual. Never a secret.
 * With JOURNAL_STREAM naming our standard error, lines go to journald with
 * the field OMNI2_PROCESS, or if it does not take them begin with "<N>"
 * (sd-daemon(3)); otherwise with time, process name and level. One write(2)
 * a line, control characters escaped. Every process.
 */
#ifndef OMNI2_BASE_LOG_H
#define OMNI2_BASE_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG
};

void	log_init(const char *process);	/* keeps; e.g. "worker[3]" */
void	log_set_level(enum log_level);
int	log_level_parse(const char *, enum log_level *);
void	log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * At most one line per interval and call site; says how many were left out.
 * Usage: static struct log_limit ll = { .interval_ms = 10000 };
 *        if (log_limit_ok(&ll)) log_warn(...);
 */
struct log_limit {
	long	interval_ms;
	long	next_ms;
	long	dropped;
};
bool	log_limit_ok(struct log_limit *);

/* Cannot start: says why and exits with EX_CONFIG (78) or EX_OSERR (71). */
void	die_config(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2), noreturn));
void	die_sys(const char *fmt, ...)	/* appends strerror(errno) */
	    __attribute__((format(printf, 1, 2), noreturn));
/* A bug: says where and aborts; the master restarts the child. */
void	die_bug(const char *file, int line, const char *what)
	    __attribute__((noreturn));
#define ASSERT_ALWAYS(x) ((x) ? (void)0 : die_bug(__FILE__, __LINE__, #x))

#endif
