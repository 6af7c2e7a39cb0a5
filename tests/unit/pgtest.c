/*
 * pgtest -- see pgtest.h. Runs tests/pg.
 */
#include "config.h"

#include "pgtest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64], conninfo[256];
static pid_t owner;
static int has_cluster;

const char *
pgtest_source(const char *path)
{
	static char full[PATH_MAX];
	const char *srcdir = getenv("srcdir");

	snprintf(full, sizeof(full), "%s/%s", srcdir == NULL ? "." : srcdir,
	    path);
	return full;
}

static int
run_pg(const char *verb, const char *arg)
{
	char cmd[PATH_MAX + 256];
	int status;

	snprintf(cmd, sizeof(cmd), "%s %s %s/pg %s >/dev/null </dev/null",
	    pgtest_source("tests/pg"), verb, base, arg);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void
clean_up(void)
{
	char cmd[128];

	if (getpid() != owner)
		return;
	if (has_cluster)
		run_pg("drop", "");
	snprintf(cmd, sizeof(cmd), "rm -rf %s", base);
	if (getenv("OMNI2_TEST_KEEP") == NULL && system(cmd) != 0)
		fprintf(stderr, "%s stays\n", base);
}

const char *
pgtest_dir(void)
{
	if (base[0] == '\0') {
		snprintf(base, sizeof(base), "/tmp/omni2-test-XXXXXX");
		/* Others must get through to the cluster's own directory. */
		if (mkdtemp(base) == NULL || setenv("PGTEST", base, 1) != 0)
			abort();
		(void)!system("chmod 711 \"$PGTEST\"");
		owner = getpid();
		atexit(clean_up);
	}
	return base;
}

const char *
pgtest_start(void)
{
	int rv;

	pgtest_dir();
	rv = run_pg("start", "");
	if (rv != 0) {
		fprintf(stderr, "no PostgreSQL: %d\n", rv);
		exit(rv);
	}
	has_cluster = 1;
	snprintf(conninfo, sizeof(conninfo),
	    "host=%s/pg/s user=omni2 dbname=omni2", base);
	return conninfo;
}

void
pgtest_stop(int immediate)
{
	if (run_pg("stop", immediate ? "immediate" : "fast") != 0)
		abort();
}

void
pgtest_again(void)
{
	if (run_pg("start", "") != 0)
		abort();
}
