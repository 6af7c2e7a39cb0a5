/*
 * keeper_int -- what the files of the keeper share: its connections and the
 * lists they are in.
 *
 * keeper.c: accepting and waiting for heads. hand.c: to the workers. back.c:
 * from them. orphans.c: from those that were killed. stream.c: connections that
 * workers gave away for life.
 */
#ifndef OMNI2_KEEPER_KEEPER_INT_H
#define OMNI2_KEEPER_KEEPER_INT_H

#include "base/buf.h"
#include "keeper/keeper.h"

enum state { FREE, IDLE, READING, QUEUED, AWAY, STREAM, LINGER, STATES };
enum refusal { REFUSE_LATE, REFUSE_MALFORMED, REFUSE_LARGE, REFUSE_BUSY };

#define NONE		UINT32_MAX
#define RECHECKS_MAX	4	/* streams that workers look at now */
#define SESSION_BUCKETS	1024

/* What an epoll event is about; below all of them: the place of a connection. */
#define TAG_BACK	0xfffffffeu
#define TAG_WORK	0xfffffffdu
#define TAG_CONTROL	0xfffffffcu
#define TAG_API		0xfffffffbu
#define TAG_LISTEN	0xfff00000u	/* + number */

struct stream {
	struct stream_info info;
	struct buf	 out;		/* framed, not yet taken */
	size_t		 out_at;	/* of these sent */
	size_t		 ignored;	/* bytes that the client sent meanwhile */
	bool		 stale;		/* a snapshot changed since the look */
	uint32_t	 next;		/* same bucket of sessions */
};

struct connection {
	int		 fd;
	enum state	 state;
	uint32_t	 use;		/* counts occupants of this place */
	uint32_t	 prev, next;	/* in the list of its state */
	uint32_t	 lane;
	int64_t		 since_ms;	/* of state; of a stream: last written */
	int64_t		 accepted_ms;
	size_t		 scanned;	/* http_head_end() */
	char		*in;
	size_t		 n, cap;
	struct stream	*stream;
	bool		 in_ring;	/* of streams to be looked at */
	bool		 has_asked;	/* a worker has had it */
	uint32_t	 seen_owned, suspected;	/* keeper.look, then */
	char		 peer[48];
};

struct list {
	uint32_t	head, tail, n;
};

struct asked {				/* a worker looks at this stream */
	uint64_t	id;		/* 0: free */
	int64_t		since_ms;
};

struct keeper {
	struct shm	*shm;
	const struct lanes *lanes;
	uint64_t	 spawn;
	int		 ep;
	struct connection *c;
	uint32_t	 max;
	struct list	 list[STATES];
	struct list	 queue[LANE_KINDS];	/* FIFO; uses prev/next too */
	bool		 lane_armed[LANE_KINDS];
	bool		 paused;	/* accept: no descriptors */
	int64_t		 paused_ms;
	int		 listen[64];
	int		 n_listen;
	int64_t		 header_ms, idle_ms;
	uint32_t	 queue_max;
	int64_t		 next_orphans_ms;
	uint32_t	 look;		/* for orphans */
	uint64_t	 conf_generation;
	size_t		 hint;		/* slot where the next holder is sought */
	/* streams */
	uint64_t	 policy, catalog;	/* generations last seen */
	uint32_t	*ring;		/* places of stale streams, max of them */
	uint32_t	 ring_at, ring_n;
	struct asked	 asked[RECHECKS_MAX];
	uint32_t	 session[SESSION_BUCKETS];	/* first place or NONE */
	struct buf	 frame, text;	/* scratch */
};

/* keeper.c */
void	keeper_move(struct keeper *, uint32_t, enum state, int64_t now);
void	keeper_arm(struct keeper *, uint32_t, bool out);
void	keeper_drop(struct keeper *, uint32_t);
void	keeper_drop_input(struct connection *);
/* Sends the answer, as far as the socket takes it, and reads no more. */
void	keeper_refuse(struct keeper *, uint32_t, enum refusal, int64_t now);
/* A place for a new connection. fd is the keeper's from then on; NONE: there is
 * no room, and it is closed. */
uint32_t keeper_admit(struct keeper *, int fd, const char *peer, int64_t now);
/* Looks whether what was read is a complete head. */
void	keeper_look(struct keeper *, uint32_t, int64_t now);
/* The place of id if it is that very connection and in this state, or NONE. */
uint32_t keeper_find(const struct keeper *, uint64_t id, enum state);

/* hand.c */
extern const uint32_t hand_tags[LANE_KINDS];
/* The head is complete: to a worker, or into the queue, or refused. */
void	hand_complete(struct keeper *, uint32_t, int64_t now);
void	hand_writable(struct keeper *, uint32_t lane, int64_t now);
/*
 * If requests wait and no worker is idle: asks workers that only hold a quiet
 * keep-alive connection to give it back, and the master for more workers.
 */
void	hand_relieve(struct keeper *);

/* back.c */
void	back_read(struct keeper *, int64_t now);

/* orphans.c */
void	orphans_close(struct keeper *, int64_t now);

/* stream.c */
void	stream_setup(struct keeper *);
void	stream_open(struct keeper *, uint32_t, struct span info, int64_t now);
/* Frees what drop() must not leave behind. */
void	stream_forget(struct keeper *, uint32_t);
void	stream_ready(struct keeper *, uint32_t, uint32_t events, int64_t now);
void	stream_push(struct keeper *, uint64_t id, struct span bytes,
	    int64_t now);
/* struct lane_event and what belongs to it. */
void	stream_event(struct keeper *, struct span bytes, int64_t now);
/* Ends it with its result and the last chunk. */
void	stream_end(struct keeper *, uint32_t, int64_t now);
/* The look that a worker was asked for is over or lost. */
void	stream_answered(struct keeper *, uint64_t id);
void	stream_tick(struct keeper *, int64_t now);

#endif
