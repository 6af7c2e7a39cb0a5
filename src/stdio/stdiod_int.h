/*
 * stdiod_int -- what the files of stdiod share: one event loop, clients,
 * servers (as configured) and processes (as running).
 *
 * Everything is owned by struct stdiod and touched by one thread. Objects that
 * end while events are being handled are closed at once but freed only after
 * the batch (stdiod_bury), because later events may still point to them.
 */
#ifndef OMNI2_STDIO_STDIOD_INT_H
#define OMNI2_STDIO_STDIOD_INT_H

#include <sys/queue.h>

#include "base/buf.h"
#include "base/bulk.h"
#include "base/log.h"
#include "conf/conf.h"
#include "shm/sess.h"
#include "shm/shm.h"
#include "stdio/child.h"
#include "stdio/mux.h"
#include "stdio/outq.h"
#include "stdio/question.h"
#include "stdio/spec.h"
#include "stdio/stdio_proto.h"

enum source_kind { SOURCE_SIGNALS, SOURCE_LISTENER, SOURCE_CLIENT, SOURCE_IN,
	SOURCE_OUT, SOURCE_ERR, SOURCE_REPORT };

struct source {				/* a descriptor in the epoll set */
	enum source_kind kind;
	int		fd;		/* -1: closed */
	uint32_t	events;
	void		*owner;
};

struct client {				/* a connection of a worker or poller */
	TAILQ_ENTRY(client) link;
	struct source	source;
	struct buf	in;
	struct outq	out;
	struct spill	file;		/* what follows out; fd -1: nothing */
	struct call	*call;		/* the one under way */
};

/* What large answers of a server may take on disk; outlives its processes. */
struct room {
	SLIST_ENTRY(room) link;
	int64_t		server_id;
	struct spill_quota quota;
};
SLIST_HEAD(room_list, room);

/* A server as configured, for all or for one client session; may not be
 * running. */
struct server {
	TAILQ_ENTRY(server) link;
	int64_t		id;
	uint64_t	client_session;	/* 0: for all */
	char		*caps;		/* JSON, what initialize declares; NULL
					 * nothing */
	uint64_t	policy;		/* generation that spec is from */
	struct spec	spec;
	struct process	*process;	/* the one that gets new calls */
	struct call_list waiting;	/* for the start */
	bool		wants_place;	/* waits until another process ended */
	uint64_t	started;	/* how often */
	bool		is_legacy;	/* it did not take server/discover */
	int64_t		backoff_ms;	/* 0: the last one lived long enough */
	int64_t		not_before_ms;
	char		last_end[256];	/* why it is backing off */
};

enum process_state {
	PROCESS_STARTING,		/* initialize is sent */
	PROCESS_DISCOVERING,		/* server/discover is sent */
	PROCESS_READY,
	PROCESS_DRAINING,		/* no new calls; ends after the last */
	PROCESS_CLOSING,		/* its input is closed */
	PROCESS_TERMINATING,		/* SIGTERM is sent */
	PROCESS_KILLED
};

enum dropped { DROPPED_GARBAGE, DROPPED_STRAY, DROPPED_ANSWER,
	DROPPED_COUNT };

#define PROCESS_STDERR_MAX	1000	/* bytes of a line that are logged */

struct process {
	TAILQ_ENTRY(process) link;
	struct source	in, out, err, report;
	int		status_fd;	/* child.status */
	struct server	*server;	/* NULL: gets no new calls any more */
	int64_t		server_id;
	uint64_t	client_session;	/* 0: of all */
	bool		has_caps;	/* may ask us for something */
	uint32_t	health;
	uint64_t	started;	/* which start of the server */
	char		*name, *command, *cwd;
	pid_t		pid;
	enum process_state state;
	bool		is_initialized;
	bool		is_probing;	/* was asked server/discover first */
	bool		is_accounted;	/* its end is expected or counted */
	bool		has_closed_output;
	int64_t		timeout_ms;
	int64_t		started_ms, deadline_ms;	/* 0: none */
	int64_t		used_ms;	/* when it last had a call */
	int64_t		moved_ms;	/* when it last read its input */
	struct call_list pending;
	unsigned	n_pending;
	struct buf	line;		/* its output, not yet routed */
	size_t		scanned;	/* bytes of line without a line end */
	bool		is_collected;	/* the line is large, and no answer */
	struct bulk	bulk;		/* a line whose beginning is there */
	struct outq	outq;
	uint64_t	handshake;	/* id of initialize or discover */
	enum sess_era	era;
	char		version[16];
	struct buf	result;		/* of the handshake, raw */
	struct questions questions;	/* its requests, unanswered */
	bool		has_adrift;	/* a call that carried one has ended */
	uint64_t	calls;		/* how many it was given */
	uint64_t	listen_id;	/* subscriptions/listen; 0: none */
	uint64_t	listen_hash;	/* of what it asked for */
	int64_t		memory, processes;	/* limits; 0: none */
	int64_t		watched_ms;	/* when to look at them again */
	char		killed_for[128];	/* "": we did not, for what it did */
	char		err_line[PROCESS_STDERR_MAX];
	size_t		err_n;
	int64_t		err_ms;		/* token bucket of logged lines */
	int64_t		err_tokens;	/* thousandths of a line */
	unsigned long	err_dropped;
	struct log_limit dropped[DROPPED_COUNT];
};

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(server_list, server);
TAILQ_HEAD(process_list, process);

struct stdiod_settings {
	int64_t		max_processes, idle_ms, result_max, drain_ms;
	int64_t		streamed_max, large_max;
	char		state_dir[CONF_TEXT];
	int64_t		memory, processes;	/* of a server; 0: no limit */
	char		launcher[CONF_TEXT];
};

struct stdiod {
	struct shm	*shm;
	int		epoll;
	struct source	signals, listener;
	bool		listener_paused;	/* no descriptor was left */
	struct client_list clients, dead_clients;
	struct server_list servers;
	struct process_list processes, dead_processes;
	unsigned	n_processes;
	bool		has_adrift;	/* one of them has */
	struct mux	mux;
	struct room_list rooms;
	struct spill_quota spool;	/* of all */
	uint64_t	conf;		/* generation that settings are from */
	struct stdiod_settings settings;
	struct child_user user;
	char		*hidden[6];	/* of omni2, from servers; NULL-ended */
	char		home[256];	/* of whom servers run as; "" none */
	struct err	user_error;	/* code NONE: user is resolved */
	int64_t		now_ms;
	int		event_fd;	/* to the keeper; -1: nobody listens */
	int64_t		event_ms, event_tokens;	/* token bucket */
	uint64_t	subs_seen;	/* shm_subs_changes() */
	bool		is_stopping;
	int64_t		stop_by_ms;	/* clients must read until then */
};

/* stdiod.c */
void	source_open(struct stdiod *, struct source *, enum source_kind, int fd,
	    uint32_t events, void *owner);
void	source_events(struct stdiod *, struct source *, uint32_t events);
void	source_close(struct stdiod *, struct source *);
void	stdiod_settings_refresh(struct stdiod *);
/* Takes the call out of everything and frees it. */
void	call_end(struct stdiod *, struct call *);

/* client.c */
void	client_accept(struct stdiod *);
void	client_event(struct stdiod *, struct client *, uint32_t events);
void	client_close(struct stdiod *, struct client *);
void	client_free(struct client *);
/* Answers of the call; all but message end it. flags: of ERROR. A message is
 * left out (false) if the client does not read. */
void	client_opened(struct stdiod *, struct call *, const struct process *);
bool	client_message(struct stdiod *, struct call *, struct span);
void	client_response(struct stdiod *, struct call *, struct span);
/* Takes the file. */
void	client_large(struct stdiod *, struct call *, struct bulk *);
void	client_error(struct stdiod *, struct call *, const struct err *,
	    unsigned flags);

/* server.c */
/* New call: passed on, kept until the start, or answered with an error. */
void	server_submit(struct stdiod *, struct call *, struct span body);
void	server_notify(struct stdiod *, int64_t server_id,
	    uint64_t client_session, struct span body);
/* The client session is over. */
void	server_close(struct stdiod *, int64_t server_id,
	    uint64_t client_session);
/* Tells the process, if it may know of the call, and ends it. */
void	server_cancel(struct stdiod *, struct call *);
void	server_start(struct stdiod *, struct server *);
void	server_start_waiting(struct stdiod *);	/* a place became free */
void	server_refresh_all(struct stdiod *);	/* the policy changed */
void	server_fail_waiting(struct stdiod *, struct server *,
	    const struct err *);
void	server_backoff(struct stdiod *, struct server *, const char *why);
void	server_free(struct server *);

/* process.c */
struct process *process_start(struct stdiod *, struct server *, struct err *);
void	process_event(struct stdiod *, struct source *, uint32_t events);
void	process_reap(struct stdiod *);		/* SIGCHLD */
void	process_timer(struct stdiod *, struct process *);
void	process_drain(struct stdiod *, struct process *, int64_t deadline_ms);
void	process_close(struct stdiod *, struct process *, bool is_expected);
void	process_kill(struct stdiod *, struct process *);
void	process_detach(struct process *);
void	process_fail_start(struct stdiod *, struct process *,
	    const struct err *);
/* One JSON-RPC message as one line; -1 if too much is waiting already. */
int	process_send(struct stdiod *, struct process *, struct span);
void	process_call(struct stdiod *, struct process *, struct call *,
	    struct span body);
void	process_free(struct process *);
unsigned process_kill_adopted(struct stdiod *, pid_t session);

/* watch.c: SIGKILL for servers that are over their limits, once a second */
void	watch_tick(struct stdiod *);

/* output.c: what it writes, line by line */
void	output_read(struct stdiod *, struct process *, int reads);
/* All calls of a process that has ended. */
void	output_fail_pending(struct stdiod *, struct process *,
	    const struct err *);

/* route.c */
/* A line that is in a file. */
void	route_bulk(struct stdiod *, struct process *, struct bulk *);
void	route_line(struct stdiod *, struct process *, struct span line);
void	route_begin(struct stdiod *, struct process *);
/* Our own answer to a request of the server: an error, but for ping. */
void	route_answer(struct stdiod *, struct process *, struct span id,
	    bool is_ping);

/* asked.c */
void	asked_take(struct stdiod *, struct process *,
	    const struct mux_message *);
/* There is a call that may carry what the server asked before. */
void	asked_call_began(struct stdiod *, struct process *);
/* The call is no more; what it carried moves in asked_move(). */
void	asked_call_ended(struct stdiod *, const struct call *);
void	asked_move(struct stdiod *);

#endif
