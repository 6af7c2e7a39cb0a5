/*
 * listener_int -- what the files of a listener share: the sessions that it
 * hears (hearing.c), the links of clients (client_link.c), all of them together
 * (ears.c), and how it ends (listener.c, which is the poller's).
 *
 * One process a server, a fiber for each stream; nothing here is shared with
 * others.
 */
#ifndef OMNI2_PROC_LISTENER_INT_H
#define OMNI2_PROC_LISTENER_INT_H

#include "proc/links.h"
#include "proc/listener.h"
#include "shm/client.h"

#define LISTENER_BACKOFF_MIN_MS	1000
#define LISTENER_BACKOFF_MAX_MS	60000
#define LISTENER_LONG_MS	10000	/* a stream that lived was a good one */
#define HEARING_STREAM_MS	3600000	/* then it is opened anew */
#define EARS_MAX		256	/* sessions of single clients */
#define CAPS_MAX		512

enum { ENDED, FAILED, REFUSED };	/* exit status */

/* One session and its stream; on a fiber if there may be several. */
struct hearing {
	struct shm	*shm;
	struct upstream_pool *pool;
	const struct upstream_target *target;
	struct sess_info session;	/* .client_session: whose; 0: shared */
	struct ears	*all;
	int64_t		 tokens_ms, tokens, woke_ms;
	struct buf	 params, response;
	_Atomic uint64_t *stop;
	/* of an ear */
	_Atomic uint64_t own_stop;
	enum { EAR_FREE, EAR_IS_WANTED, EAR_HEARS, EAR_IS_DEAF } state;
	int		 told_fd;	/* waits for the stream; -1: nobody does */
	bool		 is_open, seen;
	/* of an ear that is the client's link, over which it calls */
	bool		 is_link;
	struct upstream_target own;
	char		 caps_json[CAPS_MAX];
	unsigned	 users;		/* fibers that need it to stay */
	int64_t		 used_ms;
	struct err	 why;		/* it ended */
};

/* All that a process hears. */
struct ears {
	struct shm	*shm;
	_Atomic uint64_t *stop, *again;	/* of the process; again: a
					 * modern one asks for what is watched
					 * now */
	const struct upstream_target *target;
	const char	*stdio_socket;
	int		 back;
	pid_t		 poller;
	char		 run_dir[CONF_TEXT], state_dir[CONF_TEXT];
	int64_t		 input_timeout_s;
	struct hearing	 shared;
	bool		 shared_ended;
	int		 status;	/* of the shared one, then */
	bool		 has_links;	/* the connection is the session */
	bool		 is_wanted;	/* an ear is EAR_IS_WANTED */
	size_t		 result_max, streamed_max;
	struct spill_quota spool;	/* of large answers on links */
	struct links	 links;
	struct hearing	 ear[EARS_MAX];
};

/* hearing.c */
void	hearing_init(struct hearing *, struct ears *, _Atomic uint64_t *stop);
void	hearing_free(struct hearing *);
/* Streams, again and again. ENDED, FAILED (err is set) or REFUSED. */
int	hearing_stream(struct hearing *, struct upstream_call *, struct err *);
int	hearing_legacy(struct hearing *, struct err *);
int	hearing_news(struct hearing *, struct err *);
/* upstream_message_fn */
int	hearing_hear(void *hearing, struct span message, struct err *);
void	hearing_call(struct hearing *, struct upstream_call *,
	    const char *method, int64_t ms);
/* For shm_subs_each(). */
void	hearing_subscribe(void *hearing, const struct shm_sub *);
/* Whoever opened the session waits no longer. */
void	hearing_is_open(void *hearing);
/* Of a modern server: clients have legacy sessions all the same. */
bool	ears_are_dual(const struct ears *);

/* client_link.c */
extern const struct links_ops client_link_ops;
bool	client_link_is_used(struct ears *, struct hearing *);
/* Those that are wanted. Not from a fiber. */
void	client_links_start(struct ears *);

/* ears.c: the child; returns its exit status. */
int	ears_run(struct shm *, const char *stdio_socket,
	    const struct upstream_target *, const struct listener_want *,
	    int back);

#endif
