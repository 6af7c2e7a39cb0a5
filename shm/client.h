/*
 * client -- what omni2 remembers of downstream sessions and streams: the log
 * level and the end of a legacy session, and who subscribed to which resource.
 *
 * Zone CLIENT. Workers write both tables, the keeper removes what belonged to
 * a stream that closed, stdiod and the poller's listeners read. Nobody waits:
 * a full table is told to the client. Sessions themselves live in their
 * sealed ids (auth/session.h); what stands here may be lost with the run.
 */
#ifndef OMNI2_SHM_CLIENT_H
#define OMNI2_SHM_CLIENT_H

#include "base/span.h"
#include "shm/shm.h"

#define SHM_CLIENTS	65536u	/* sessions of which something is known */
#define SHM_SUBS	8192u	/* subscriptions */
#define SHM_SUB_URI	512u	/* bytes, as the server knows it */
#define SHM_SUB_TEXT	640u	/* bytes, as the client knows it */

size_t	shm_client_size(void);	/* bytes of the zone */

/* ---- sessions ---- */

/* -1 never set, else 0 (debug) .. 7 (emergency). */
int	shm_client_level(const struct shm *, uint64_t session);
void	shm_client_set_level(struct shm *, uint64_t session, int level);
bool	shm_client_is_ended(const struct shm *, uint64_t session);
/* False: the table is full of ended sessions; it goes on living. */
bool	shm_client_end(struct shm *, uint64_t session, int64_t expires_wall_s);

/* ---- subscriptions ---- */

/* A session, the lane id of a modern stream, or (with server_id 0 and hash the
 * session) the mark that a session has its one standalone stream. */
/* ... or, under a negative server_id, a task of a principal (src/mcp/m_task.c,
 * src/mcp/own_task.c) or one that a modern stream watches: the client's id, LF, the server's. */
enum shm_sub_kind { SUB_SESSION = 1, SUB_STREAM, SUB_STANDALONE, SUB_TASK,
	SUB_STREAM_TASK };

struct shm_sub {
	uint64_t	owner;
	int64_t		server_id;
	uint64_t	hash;		/* shm_sub_hash() of the own URI */
	int64_t		expires;	/* wall seconds; then it is no more */
	uint32_t	kind;		/* enum shm_sub_kind */
	uint32_t	own;		/* the server's URI begins here in text */
	int64_t		user_id;	/* who watches a resource; else 0 */
	char		text[SHM_SUB_TEXT];	/* the URI as the client gave it */
};

uint64_t shm_sub_hash(struct span own_uri);
/* 1 added, 0 it was there, -1 no room. */
int	shm_subs_add(struct shm *, const struct shm_sub *, int64_t now_wall_s);
bool	shm_subs_remove(struct shm *, uint64_t owner, int64_t server_id,
	    uint64_t hash);
/* All of an owner. Returns their number. */
unsigned shm_subs_remove_owner(struct shm *, uint64_t owner);
/* All of streams, standalone marks included: their keeper is dead. */
unsigned shm_subs_remove_streams(struct shm *);
bool	shm_subs_has(const struct shm *, uint64_t owner, int64_t server_id,
	    uint64_t hash);
/* Does anybody but this owner have it? */
bool	shm_subs_others(const struct shm *, uint64_t owner, int64_t server_id,
	    uint64_t hash, int64_t now_wall_s);
/* Calls fn with a copy of each; owner 0, server_id 0: of all. fn may remove
 * the one it is given. */
void	shm_subs_each(const struct shm *, uint64_t owner, int64_t server_id,
	    int64_t now_wall_s, void (*fn)(void *arg, const struct shm_sub *),
	    void *arg);
/* Does an update of this URI of the server concern the subscription? */
bool	shm_sub_matches(const struct shm_sub *, struct span own_uri);
/* Would any subscription be concerned? */
bool	shm_subs_wanted(const struct shm *, int64_t server_id,
	    struct span own_uri, int64_t now_wall_s);
/* Changes with every addition and removal. */
uint64_t shm_subs_changes(const struct shm *);
unsigned shm_subs_count(const struct shm *);
/* Resources that a user watches, in all sessions and streams. */
unsigned shm_subs_of_user(const struct shm *, int64_t user_id,
	    int64_t now_wall_s);
/* Master, after slot died: empties what it was writing. */
unsigned shm_subs_sweep(struct shm *, uint32_t slot);

#endif
