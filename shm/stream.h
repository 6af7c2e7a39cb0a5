/*
 * stream -- what a worker tells the keeper about an event stream (a legacy
 * GET, or subscriptions/listen) when it hands the connection over for good.
 *
 * A plain struct that travels in lane messages (keeper/lane.h). The keeper
 * decides nothing by it: it writes what it is given, and asks a worker to
 * look at it again when a snapshot has changed.
 */
#ifndef OMNI2_SHM_STREAM_H
#define OMNI2_SHM_STREAM_H

#include <stdint.h>

#include "shm/layout.h"

#define STREAM_SUBSCRIPTION_MAX	256	/* bytes of JSON */
#define STREAM_META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

enum stream_list { STREAM_TOOLS, STREAM_PROMPTS, STREAM_RESOURCES,
	STREAM_LISTS };

struct stream_info {
	uint64_t	id;		/* lane id; owns subscriptions */
	uint64_t	session;	/* legacy; 0: modern */
	int64_t		user_id;
	int64_t		server_id;	/* of the endpoint; 0: all */
	int64_t		expires;	/* wall seconds; 0: never */
	uint64_t	policy, catalog;	/* generations list[] is from */
	uint64_t	list[STREAM_LISTS];	/* hash of what is visible */
	/* bits by index of shm_health: servers that may speak to its session */
	uint64_t	servers[SHM_SERVERS_MAX / 64];
	uint32_t	wanted;		/* 1 << enum stream_list */
	uint32_t	user;		/* index in policy, a guess */
	uint32_t	is_http10;	/* no chunks */
	uint32_t	subscription_n;	/* modern: the JSON-RPC id */
	char		org[32];
	char		credential[80];	/* struct principal */
	char		subscription[STREAM_SUBSCRIPTION_MAX];
};

#endif
