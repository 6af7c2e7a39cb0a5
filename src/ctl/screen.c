/*
 * screen -- see screen.h.
 */
#include "ctl/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/num.h"
#include "ctl/to_yaml.h"

#define YAML_MAX	(1u << 30)
#define PROGRESS_MS	1000
#define WATCH_MS	2000
#define WATCH_MIN_MS	100

int
screen_width(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col < 20)
		return INT_MAX;
	return w.ws_col;
}

bool
screen_has_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') &&
	    term != NULL && strcmp(term, "dumb") != 0;
}

static void
nap(int64_t ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		continue;
}

/* ---- progress ------------------------------------------------------------ */

static pid_t progress_pid;
static int64_t progress_since_ms;

static void
progress_end(void)
{
	if (progress_pid <= 0)
		return;
	kill(progress_pid, SIGKILL);
	(void)waitpid(progress_pid, NULL, 0);
	progress_pid = 0;
	if (clock_mono_ms() - progress_since_ms >= PROGRESS_MS - 10)
		(void)!write(STDERR_FILENO, "\r\033[K", 4);
}

/* A process of its own: whatever waits meanwhile is not disturbed by timers. */
static void
progress_run(const char *text)
{
	unsigned seconds;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (seconds = 1;; seconds++) {
		nap(PROGRESS_MS);
		dprintf(STDERR_FILENO, "\r%s ... %u s\033[K", text, seconds);
	}
}

void
screen_progress(const char *fmt, ...)
{
	static bool registered;
	char text[128];
	va_list ap;

	progress_end();
	if (fmt == NULL || !isatty(STDERR_FILENO))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!registered)
		atexit(progress_end);
	registered = true;
	fflush(stdout);
	progress_since_ms = clock_mono_ms();
	progress_pid = fork();
	if (progress_pid == 0)
		progress_run(text);
}

/* ---- watch --------------------------------------------------------------- */

static bool
is_interval(const char *s, int64_t *ms)
{
	uint64_t n;

	if (s == NULL || num_duration_ms(span_str(s), 1000, &n) < 0)
		return false;
	*ms = n < WATCH_MIN_MS ? WATCH_MIN_MS : (int64_t)n;
	return true;
}

static void
take_args(struct ctl *c, int at, int n)
{
	memmove(c->argv + at, c->argv + at + n,
	    (size_t)(c->argc - at - n) * sizeof(c->argv[0]));
	c->argc -= n;
}

/* 0: the option is not there. Its value may be missing. */
static int64_t
watch_interval(struct ctl *c)
{
	int64_t ms = WATCH_MS;
	int i;

	for (i = 0; i < c->argc; i++)
		if (strncmp(c->argv[i], "--watch", 7) == 0)
			break;
	if (i == c->argc)
		return 0;
	if (c->argv[i][7] == '=' && is_interval(c->argv[i] + 8, &ms))
		take_args(c, i, 1);
	else if (c->argv[i][7] != '\0')
		ctl_fail(EXIT_USAGE, "%s: --watch takes seconds", c->argv[i]);
	else if (i + 1 < c->argc && is_interval(c->argv[i + 1], &ms))
		take_args(c, i, 2);
	else
		take_args(c, i, 1);
	return ms;
}

/* One write for a whole screen, so that it does not flicker. */
static void
begin_round(const struct ctl *c, bool is_first)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 20);
	if (isatty(STDOUT_FILENO) && !c->json)
		fputs("\033[H\033[J", stdout);
	else if (!is_first && c->yaml)
		puts("---");
	else if (!is_first && !c->json)
		putchar('\n');
	if (c->yaml)
		fflush(stdout);
}

void
screen_watch(struct ctl *c)
{
	int64_t interval_ms = watch_interval(c);
	bool is_first = true;
	int status;
	pid_t pid;

	if (interval_ms == 0)
		return;
	for (;; is_first = false) {
		fflush(NULL);
		pid = fork();
		if (pid < 0)
			ctl_fail(EXIT_FAILED, "fork: %s", strerror(errno));
		if (pid == 0) {
			begin_round(c, is_first);
			return;
		}
		if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
			exit(EXIT_FAILED);
		/* a person can wait for the daemon; a script cannot */
		if (WEXITSTATUS(status) == EXIT_USAGE ||
		    (WEXITSTATUS(status) != 0 && !isatty(STDOUT_FILENO)))
			exit(WEXITSTATUS(status));
		nap(interval_ms);
	}
}

/* ---- output, YAML -------------------------------------------------------- */

static int real_stdout = -1;
static unsigned yaml_documents;

static void __attribute__((noreturn))
lost_output(int error)
{
	bool is_full = error == ENOSPC || error == EDQUOT;

	fprintf(stderr, "omni2ctl: standard output: %s%s\n", error == 0 ?
	    "not all of it could be written" : strerror(error),
	    is_full ? "; make room there" : "");
	_exit(is_full ? EXIT_FULL : EXIT_FAILED);
}

static void
yaml_flush(void)
{
	struct buf in, out;
	off_t size;

	if (real_stdout < 0)
		return;
	size = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	if (size <= 0)
		return;
	buf_init(&in, YAML_MAX);
	buf_init(&out, YAML_MAX);
	if (buf_reserve(&in, (size_t)size) == 0 &&
	    pread(STDOUT_FILENO, in.p, (size_t)size, 0) == size) {
		in.n = (size_t)size;
		if (json_to_yaml(buf_span(&in), &out, &yaml_documents) < 0)
			buf_add_span(&out, buf_span(&in));
	}
	if (fdio_write_all(real_stdout, out.p, out.n) < 0)
		lost_output(errno);
	buf_free(&in);
	buf_free(&out);
	if (ftruncate(STDOUT_FILENO, 0) < 0 ||
	    lseek(STDOUT_FILENO, 0, SEEK_SET) < 0)
		_exit(EXIT_FAILED);
}

void
screen_flush(void)
{
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout))
		lost_output(errno);
	yaml_flush();
}

/*
 * Standard output becomes a file in memory: every command can print JSON as
 * it always does.
 */
void
screen_yaml_begin(void)
{
	int fd = memfd_create("omni2ctl", MFD_CLOEXEC);

	fflush(stdout);
	real_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || real_stdout < 0 || dup2(fd, STDOUT_FILENO) < 0)
		ctl_fail(EXIT_FAILED, "-o yaml: %s", strerror(errno));
	close(fd);
}
