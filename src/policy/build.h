/*
 * build -- flattens the loader's model into a policy snapshot.
 */
#ifndef OMNI2_POLICY_BUILD_H
#define OMNI2_POLICY_BUILD_H

#include "base/err.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "policy/snapshot.h"
#include "shm/shm.h"

/*
 * Builds into out (size bytes, zeroed or old). shm gives each server its
 * health entry; NULL (omni2ctl): health indexes are POL_NONE. Names that refer
 * to nothing were refused by model_check(). -1 with err when it does not fit.
 */
int	policy_build(void *out, size_t size, const struct model *,
	    const struct conf *, struct shm *, struct err *);

#endif
