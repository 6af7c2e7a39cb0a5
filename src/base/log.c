/*
 * log -- one line, one write(2), on standard error; or to journald.
 *
 * Every process. Formats on the stack and never allocates, keeps errno, and
 * lets nothing from outside begin a new line or steer a terminal: control
 * characters (C0, DEL, C1) and bytes that are not UTF-8 are shown as escapes.
 * A write that fails is ignored: there is nowhere to say so.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_journal.h"
#include "base/utf8.h"

#define TEXT_MAX	2048
#define LINE_MAX_SIZE	4096

static const struct {
	const char	*name;		/* in the configuration */
	const char	*label;		/* in the line */
	char		 priority;	/* of syslog(3), for "<N>" */
} levels[] = {
	[LOG_LEVEL_ERROR] =	{ "error", "ERROR", '3' },
	[LOG_LEVEL_WARN] =	{ "warn", "WARNING", '4' },
	[LOG_LEVEL_INFO] =	{ "info", "INFO", '6' },
	[LOG_LEVEL_DEBUG] =	{ "debug", "DEBUG", '7' },
};

static const char *process_name = "omni2";
static enum log_level max_level = LOG_LEVEL_INFO;
static bool to_journal;
static long left_out;		/* by log_limit_ok(), for the next line */

/* Is standard error still the stream that systemd opened for the journal? */
static bool
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	return strcmp(stream, own) == 0;
}

void
log_init(const char *process)
{
	process_name = process;
	to_journal = stderr_is_journal();
}

void
log_set_level(enum log_level level)
{
	max_level = level;
}

int
log_level_parse(const char *text, enum log_level *level)
{
	size_t i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

static size_t
put_prefix(char *line, size_t size, enum log_level level)
{
	char now[32];
	int n;

	if (to_journal)
		n = snprintf(line, size, "<%c>%s: ", levels[level].priority,
		    process_name);
	else
		n = snprintf(line, size, "%s %s %s: ",
		    clock_format_iso(now, sizeof(now), clock_wall_us()),
		    process_name, levels[level].label);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/* Is this sequence of length n shown as it is? C1 is C2 80 .. C2 9F. */
static bool
is_shown(const unsigned char *p, size_t n)
{
	if (n == 1)
		return p[0] >= 0x20 && p[0] != 0x7f;
	return n > 1 && !(p[0] == 0xc2 && p[1] < 0xa0);
}

/* Copies text escaped; stops when fewer than five bytes are free. */
static size_t
put_escaped(char *out, size_t size, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t left = strlen(text), used = 0, n;

	while (left > 0 && used + 5 <= size) {
		n = utf8_sequence(p, left);
		if (is_shown(p, n)) {
			memcpy(out + used, p, n);
			used += n;
		} else if (*p == '\n') {
			memcpy(out + used, "\\n", 2);
			used += 2;
			n = 1;
		} else {
			snprintf(out + used, 5, "\\x%02x", *p);
			used += 4;
			n = 1;
		}
		p += n;
		left -= n;
	}
	return used;
}

static void __attribute__((format(printf, 2, 0)))
emit(enum log_level level, const char *fmt, va_list ap)
{
	char text[TEXT_MAX], line[LINE_MAX_SIZE];
	int saved_errno = errno;
	long n_left_out = left_out;
	size_t n, prefix;
	ssize_t rv;

	left_out = 0;
	if (level > max_level)
		return;
	n = prefix = put_prefix(line, 256, level);
	vsnprintf(text, sizeof(text), fmt, ap);
	n += put_escaped(line + n, sizeof(line) - n - 64, text);
	if (n_left_out > 0) {
		snprintf(line + n, 56, " (%ld similar lines left out)",
		    n_left_out);
		n += strlen(line + n);
	}
	if (to_journal && log_journal_send(levels[level].priority,
	    process_name, line + prefix, n - prefix)) {
		errno = saved_errno;
		return;
	}
	line[n++] = '\n';
	do
		rv = write(STDERR_FILENO, line, n);
	while (rv < 0 && errno == EINTR);
	errno = saved_errno;
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_WARN, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_INFO, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}

bool
log_limit_ok(struct log_limit *ll)
{
	long now = (long)clock_mono_ms();

	if (ll->next_ms != 0 && now < ll->next_ms) {
		ll->dropped++;
		return false;
	}
	ll->next_ms = now + ll->interval_ms;
	left_out = ll->dropped;		/* the line that follows says it */
	ll->dropped = 0;
	return true;
}

void
die_config(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	emit(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
	exit(EX_CONFIG);
}

void
die_sys(const char *fmt, ...)
{
	char text[TEXT_MAX];
	int saved_errno = errno;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s: %s", text, strerror(saved_errno));
	exit(EX_OSERR);
}

void
die_bug(const char *file, int line, const char *what)
{
	log_error("bug: %s:%d: %s", file, line, what);
	abort();
}
