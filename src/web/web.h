/*
 * web -- health, readiness and metrics: what load balancers, Prometheus and
 * people ask a running omni2. Workers (control lane). Reads shared memory
 * only, so it answers while everything else is busy or away.
 */
#ifndef OMNI2_WEB_WEB_H
#define OMNI2_WEB_WEB_H

#include "conf/conf.h"
#include "net/http_head.h"
#include "net/http_reply.h"
#include "shm/shm.h"

/* Fills and sends the reply; 404 for a path that is nobody's. */
int	web_serve(struct shm *, const struct conf *, const struct http_head *,
	    const char *client, struct http_reply *);
/* NULL when requests can be served. */
const char *web_why_not_ready(struct shm *);
/* The Prometheus text (version 0.0.4). */
void	metrics_write(const struct shm *, struct buf *);
/* The body of /health; details: with servers and database. */
void	health_write(struct shm *, const struct conf *, bool details,
	    struct buf *);

#endif
