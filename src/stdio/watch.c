/*
 * watch -- how much memory and how many processes a server has, all together,
 * and its end if that is too much.
 *
 * stdiod only. rlimits hold for each process, or need a user namespace; this
 * is for what gets around them: many processes that are each within the limit.
 * Counts memory that belongs to no file, from /proc; as processes may share
 * it, it is counted exactly, which is slow, before a server is ended for it.
 * A server far below its limits is looked at less often. Needs
 * CONFIG_PROC_CHILDREN; where that is missing, the rlimits must do.
 */
#include "stdio/stdiod_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/num.h"

#define AGAIN_MS	1000
#define AGAIN_CALM_MS	5000		/* below a quarter of each limit */
#define TREE_MAX	4096		/* processes that are looked at */

struct usage {
	int64_t		memory, processes;	/* bytes; tasks */
	int64_t		memory_max, processes_max;	/* stop there */
	pid_t		pid[TREE_MAX];
	unsigned	n, seen;
};

/* The number at *at, behind white space; moves *at behind it. */
static bool
next_number(const char **at, uint64_t *out)
{
	size_t n;

	*at += strspn(*at, " \n");
	n = strcspn(*at, " \n");
	if (n == 0 || num_u64(span_make(*at, n), 0, UINT64_MAX, out) < 0)
		return false;
	*at += n;
	return true;
}

/* "size resident shared ...", in pages */
static int64_t
rough_memory(pid_t pid)
{
	char path[64], text[128];
	uint64_t size, resident, shared;
	const char *at = text;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (fdio_read_file(path, text, sizeof(text)) < 0 ||
	    !next_number(&at, &size) || !next_number(&at, &resident) ||
	    !next_number(&at, &shared) || resident < shared)
		return 0;
	return (int64_t)(resident - shared) * sysconf(_SC_PAGESIZE);
}

static void
add_children(struct usage *u, pid_t pid, const char *task)
{
	char path[320], text[65536];
	const char *at = text;
	uint64_t child;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid,
	    task);
	if (fdio_read_file(path, text, sizeof(text)) < 0) {
		if (errno == EFBIG)
			u->processes += TREE_MAX;
		return;
	}
	while (u->n < TREE_MAX && next_number(&at, &child))
		u->pid[u->n++] = (pid_t)child;
}

/* Children belong to the thread that made them. */
static void
add_tasks(struct usage *u, pid_t pid)
{
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if ((dir = opendir(path)) == NULL)
		return;
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.')
			continue;
		u->processes++;
		add_children(u, pid, d->d_name);
	}
	closedir(dir);
}

static bool
has_too_many(const struct usage *u)
{
	return u->processes_max > 0 && u->processes > u->processes_max;
}

/* "Pss_Anon:  1234 kB": what it shares is divided by who has it. -1: not
 * known. */
static int64_t
exact_memory(pid_t pid)
{
	static const char name[] = "Pss_Anon:";
	char path[64], text[4096];
	const char *at;
	uint64_t kilobytes;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	if (fdio_read_file(path, text, sizeof(text)) < 0 ||
	    (at = strstr(text, name)) == NULL)
		return -1;
	at += sizeof(name) - 1;
	return next_number(&at, &kilobytes) ? (int64_t)kilobytes * 1024 : -1;
}

static bool
has_too_much(const struct usage *u)
{
	int64_t sum = 0, n;
	unsigned i;

	if (u->memory_max == 0 || u->memory <= u->memory_max)
		return false;
	for (i = 0; i < u->n; i++) {
		n = exact_memory(u->pid[i]);
		sum += n >= 0 ? n : rough_memory(u->pid[i]);
	}
	return sum > u->memory_max;
}

static bool
is_calm(const struct usage *u)
{
	return (u->memory_max == 0 || u->memory < u->memory_max / 4) &&
	    (u->processes_max == 0 || u->processes < u->processes_max / 4);
}

static void
look(struct usage *u, pid_t pid)
{
	u->pid[u->n++] = pid;
	while (u->seen < u->n && !has_too_many(u)) {
		u->memory += rough_memory(u->pid[u->seen]);
		add_tasks(u, u->pid[u->seen]);
		u->seen++;
	}
}

static void
end(struct stdiod *sd, struct process *p, const struct usage *u)
{
	if (!has_too_many(u))
		snprintf(p->killed_for, sizeof(p->killed_for),
		    "it used more than %lld MB of memory",
		    (long long)(p->memory >> 20));
	else
		snprintf(p->killed_for, sizeof(p->killed_for),
		    "it had more than %lld processes and threads",
		    (long long)p->processes);
	log_warn("server \"%s\" is ended: %s", p->name, p->killed_for);
	process_kill(sd, p);
}

static void
watch(struct stdiod *sd, struct process *p)
{
	static struct usage u;		/* large; one thread */

	memset(&u, 0, offsetof(struct usage, pid));
	u.n = u.seen = 0;
	u.memory_max = p->memory;
	/* the process that waits for it is not its own */
	u.processes_max = p->processes > 0 ? p->processes + 1 : 0;
	look(&u, p->pid);
	p->watched_ms = sd->now_ms + (is_calm(&u) ? AGAIN_CALM_MS : AGAIN_MS);
	if (has_too_many(&u) || has_too_much(&u))
		end(sd, p, &u);
}

void
watch_tick(struct stdiod *sd)
{
	struct process *p;

	TAILQ_FOREACH(p, &sd->processes, link)
		if ((p->memory > 0 || p->processes > 0) &&
		    p->state < PROCESS_KILLED && sd->now_ms >= p->watched_ms)
			watch(sd, p);
}
