/*
 * stdiod -- the only owner of stdio MCP servers: starts them lazily, speaks
 * initialize once, multiplexes calls of all workers over one stdin/stdout,
 * restarts with back-off, reaps process groups.
 *
 * Takes commands only from the policy snapshot in shared memory; a frame can
 * name a server, never a command. It parses what servers write, so it runs
 * without the database and without client sockets.
 */
#ifndef OMNI2_STDIO_STDIOD_H
#define OMNI2_STDIO_STDIOD_H

#include <stdint.h>

#include "shm/shm.h"

/* Servers must not see this configuration file, nor its directory if that is
 * one of its own. Before stdiod_main(), which sees to the other directories
 * of omni2; keeps the pointer. */
void	stdiod_hide(const char *conf_path);

/* Main loop; listen_fd is the UNIX stream listener made by the master,
 * event_fd the way to the keeper (-1: none) for updates of resources.
 * Returns at SIGTERM when all servers have ended (at most drain_ms). */
int	stdiod_main(struct shm *, uint32_t slot, int listen_fd, int event_fd);

#endif
