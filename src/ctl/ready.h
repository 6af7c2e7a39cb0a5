/*
 * ready -- asks the daemon of this machine over HTTP how it is.
 */
#ifndef OMNI2_CTL_READY_H
#define OMNI2_CTL_READY_H

#include <stdbool.h>

#include "base/err.h"
#include "conf/conf.h"

/* Status of GET path at the first address of server.listen; -1: nobody
 * answers there. */
int	ready_status(const struct conf *, const char *path);
/* Until /health/ready says 200, or time (monotonic ms) is up; the last one. */
int	ready_wait(const struct conf *, int64_t deadline_ms);
/* What /health/ready says is missing; NULL: nothing is. */
const char *ready_why_not(const struct conf *);
/* Could a daemon open the addresses of server.listen? Wants none to run. */
bool	ready_may_listen(const struct conf *, struct err *);
/* "http://127.0.0.1:8090", as clients reach it. */
const char *ready_url(const struct conf *);

#endif
