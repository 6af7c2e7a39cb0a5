/*
 * ready -- asks the daemon of this machine over HTTP how it is.
 */
#ifndef OMNI2_CTL_READY_H
#define OMNI2_CTL_READY_H

#include "conf/conf.h"

/* Status of GET path at the first address of server.listen; -1: nobody
 * answers there. */
int	ready_status(const struct conf *, const char *path);
/* Until /health/ready says 200, or time (monotonic ms) is up; the last one. */
int	ready_wait(const struct conf *, int64_t deadline_ms);
/* "http://127.0.0.1:8090", as clients reach it. */
const char *ready_url(const struct conf *);

#endif
