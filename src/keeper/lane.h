/*
 * lane -- how client connections travel between keeper and workers.
 *
 * The master makes three SOCK_SEQPACKET pairs before the first fork and keeps
 * both ends of each, so messages (and the descriptors in them) survive the
 * death of either side.
 *   work, control   keeper -> workers: struct lane_luggage, the bytes read so
 *                   far, and the connection's descriptor. All idle workers of
 *                   a lane block on the same end: the kernel schedules.
 *   back            workers -> keeper: struct lane_back; no descriptor, the
 *                   keeper has kept its own. (A keeper that was started after
 *                   the connection was accepted knows nothing of it: then the
 *                   worker sends the descriptor with LANE_ADOPT.)
 */
#ifndef OMNI2_KEEPER_LANE_H
#define OMNI2_KEEPER_LANE_H

#include <stdint.h>

#include "net/http_head.h"

enum lane_kind { LANE_WORK, LANE_CONTROL, LANE_KINDS };

struct lane_luggage {
	uint64_t	id;		/* spawn:16 | use:24 | index:24 */
	uint32_t	bytes;		/* of request that follow */
	uint32_t	lane;
	int64_t		accepted_ms;	/* monotonic */
	char		peer[48];
};

enum lane_what { LANE_PARK = 1, LANE_CLOSED, LANE_ADOPT, LANE_DEAD };

struct lane_back {
	uint64_t	id;
	uint32_t	what;		/* enum lane_what */
	uint32_t	bytes;		/* read beyond the last request; follow */
	char		peer[48];	/* LANE_ADOPT only */
};

#define LANE_BYTES_MAX	HTTP_HEAD_MAX

struct lanes {
	int	hand[LANE_KINDS][2];	/* [0] keeper's end, [1] workers' */
	int	back[2];		/* [0] keeper's end, [1] workers' */
	int	starve_fd;		/* eventfd: keeper tells the master that
					 * requests wait and nobody is idle */
};

static inline uint64_t
lane_id(uint64_t spawn, uint32_t use, uint32_t index)
{
	return (spawn & 0xffff) << 48 | (uint64_t)(use & 0xffffff) << 24 |
	    (index & 0xffffff);
}

#endif
