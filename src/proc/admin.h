/*
 * admin -- what the api processes bring along for the REST API (src/api):
 * database, rows of files and database, the policy in force, the master.
 *
 * They block as long as these do; nothing else runs in them.
 */
#ifndef OMNI2_PROC_ADMIN_H
#define OMNI2_PROC_ADMIN_H

#include "api/api.h"
#include "proc/proc.h"

/* shm: the place's, with its slot. */
struct api *admin_open(struct proc *, struct shm *);
void	admin_close(struct api **);

#endif
