/*
 * pgtest -- a private PostgreSQL cluster for one test program.
 */
#ifndef OMNI2_TESTS_PGTEST_H
#define OMNI2_TESTS_PGTEST_H

/* Starts a cluster with an empty database in a new directory; it is removed
 * at exit. Ends the program with 77 (skip) if PostgreSQL is not installed.
 * Returns the connection string. */
const char *pgtest_start(void);
/* Stops it, as a crash would if immediate. Starts it again. */
void	pgtest_stop(int immediate);
void	pgtest_again(void);
/* A path in the source tree, e.g. "sql". */
const char *pgtest_source(const char *path);
/* A new directory, removed at exit. */
const char *pgtest_dir(void);

#endif
