/*
 * upstream -- one JSON-RPC exchange with an upstream MCP server, over
 * Streamable HTTP (own code for http://, libcurl for https://) or over stdio
 * (through stdiod). Workers, poller, omni2ctl server test.
 *
 * Blocking, with a deadline. Everything is copied out of shared memory before
 * a call, so nothing is pinned while it blocks. Connections belong to the
 * process: one persistent one per server and process.
 */
#ifndef OMNI2_UPSTREAM_UPSTREAM_H
#define OMNI2_UPSTREAM_UPSTREAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "policy/snapshot.h"
#include "shm/sess.h"
#include "shm/shm.h"

struct bulk;
struct spill_quota;
struct upstream_pool;		/* this process's connections */

/* Client sessions that are of no single client (those are random numbers). */
enum upstream_client {
	UPSTREAM_PROBE = 1,	/* lists are read with it */
	UPSTREAM_PLAIN		/* of a server of both eras: that of all legacy
				 * clients without capabilities; whether it is
				 * of both is learned with it */
};

/* Which server: a copy of what a call needs, in the caller's arena. */
struct upstream_target {
	int64_t		server_id;
	uint32_t	health;		/* index of shm_health and shm_sess */
	uint32_t	transport;	/* enum transport */
	uint64_t	config_hash;	/* connections of another hash are closed */
	const char	*name;
	const char	*url;
	const char	*auth_header;	/* "Name: value" or "" */
	int64_t		timeout_ms;
	/* Whose session at the server; see upstream_open(). */
	uint64_t	client_session;	/* 0: the one that all share */
	uint32_t	client_caps;	/* enum session_cap bits; 0: none */
	const char	*client_caps_json;	/* what we declare; NULL: {} */
	bool		wants_legacy;	/* the client is of the legacy era, the
					 * server perhaps of both */
};

/* A message from the server other than the awaited response: a notification
 * or a request. 0 goes on; -1 with err ends the exchange (client gone). */
typedef int (*upstream_message_fn)(void *arg, struct span message, struct err *);
/* The next piece of a large result, the first of which begins it: it need not
 * be collected. 0 goes on; 1 (to the first only): no, collect it; -1 with err
 * ends the exchange. Nothing is known of the rest before the exchange ends. */
typedef int (*upstream_result_fn)(void *arg, struct span piece, struct err *);
/* call->extra_fd is readable (or at its end). It is polled beside the server
 * wherever an exchange waits, so this must take what is there, or set extra_fd
 * to -1. May call upstream_post(). -1 with err CANCELLED or TIMEOUT ends the
 * exchange, and the server is told. */
typedef int (*upstream_extra_fn)(void *arg, struct err *);

/* A listener hears a large response of a link: whose it is stands in the
 * envelope. May take the file away. -1 with err ends the exchange. */
typedef int (*upstream_large_fn)(void *arg, struct bulk *, struct err *);

struct upstream_call {
	/* what to send */
	struct span	method;
	struct span	params;		/* raw JSON object; .n 0: no params */
	uint64_t	id;		/* JSON-RPC id, unique (slot_next_call) */
	bool		is_notification;	/* no id, no response */
	bool		is_listen;	/* GET of the legacy era: the stream that
					 * the server speaks on by itself; no
					 * message, on_message gets all (on a
					 * link all answers, too); its end
					 * is success. With event_id: what came
					 * after that */
	bool		holds;		/* what its client is asked is answered
					 * even after the response */
	struct span	name;		/* Mcp-Name value, modern era; .n 0 none */
	struct span	headers;	/* further complete "K: V\r\n" lines */
	struct sess_info session;	/* era, version, id: from upstream_open */
	int64_t		deadline_ms;	/* monotonic */
	size_t		response_max;	/* bytes that are collected */
	size_t		result_max;	/* bytes that go to on_result, or are
					 * kept for on_large */
	/* what may end it early */
	int		client_fd;	/* hang-up there cancels; -1: not watched */
	_Atomic uint64_t *cancel_word;	/* equal to cancel_value: cancelled */
	uint64_t	cancel_value;
	upstream_message_fn on_message;	/* may be NULL: dropped (requests from
					 * the server get -32601) */
	void		(*on_stream)(void *arg);	/* is_listen: it is open */
	upstream_result_fn on_result;	/* NULL: all answers are collected */
	upstream_large_fn on_large;	/* NULL: collected; is_listen only */
	upstream_extra_fn on_extra;	/* NULL: extra_fd is not watched */
	int		extra_fd;
	void		*arg;		/* of all three */
	/* what came */
	struct buf	*response;	/* the response message, raw JSON */
	bool		answer_is_error;	/* it holds "error", not "result" */
	size_t		answer_at, answer_n;	/* where that value lies in it;
						 * n 0: look for yourself */
	bool		has_flowed;	/* it went to on_result, is well
					 * and complete; response is empty */
	int		http_status;
	char		new_session[232];	/* Mcp-Session-Id of the answer */
	bool		maybe_executed;	/* request bytes left this process and
					 * no proof came that it was not run */
	bool		session_gone;	/* 404 to a session id, process restarted */
	bool		is_blameless;	/* it failed between us and stdiod: no
					 * failure of the server */
	char		event_id[232];	/* the last one on an event stream, "" none */
	long		retry_ms;	/* so says the server; -1 it did not */
	bool		is_resuming;	/* the answer is fetched by GET (pool.c) */
	int64_t		looked_ms;	/* when a wait last looked at everything */
};

/* Once, before the first fork: what libcurl needs for the whole process. */
void	upstream_global_init(void);
/* stdio_socket: stdiod's, in the run directory. */
struct upstream_pool *upstream_pool_new(struct shm *, const char *stdio_socket);
void	upstream_pool_free(struct upstream_pool **);
/* Where large answers wait until it is known whose they are. Keeps it. */
void	upstream_pool_spool(struct upstream_pool *, struct spill_quota *);
/* Closes connections unused for idle_ms. Called now and then. */
void	upstream_pool_trim(struct upstream_pool *, int64_t idle_ms);

/* Copies what a call needs out of the pinned policy. */
void	upstream_target_copy(struct upstream_target *, struct arena *,
	    const struct pol_head *, uint32_t server, int64_t default_timeout_ms);

/*
 * One exchange. 0: the response message with our id is in call->response
 * (a JSON-RPC error response counts as success here). -1 with err UPSTREAM
 * (connect, framing, garbage, wrong id, HTTP 4xx/5xx without JSON-RPC body),
 * TIMEOUT, CANCELLED, TOOBIG. On cancel and time-out the server is told:
 * notifications/cancelled (legacy, stdio) or by closing the connection.
 * A kept-alive connection that proves closed before any byte of the answer
 * came is replaced once by a new one, silently.
 */
int	upstream_exchange(struct upstream_pool *, const struct upstream_target *,
	    struct upstream_call *, struct err *);

/*
 * Sends one ready message without waiting for what it causes: a notification,
 * or the answer to a request that on_message got. Uses a connection of its
 * own and at most two seconds (a call's own deadline, inside of one), mostly a
 * millisecond; on_message and on_extra may call it (and nothing else here).
 */
int	upstream_post(struct upstream_pool *, const struct upstream_target *,
	    const struct sess_info *, struct span message, struct err *);

/*
 * The session of the server in *out: one that is open, or opened now
 * (server/discover, then initialize + notifications/initialized as docs say).
 * It is the shared one, unless the target names a client session and its caps
 * and the server keeps state (it gave a session id, or speaks stdio, HTTP+SSE
 * or WebSocket in the legacy era): then it belongs to that client session and
 * client_caps_json was declared. sess_info.client_session says which. With
 * wants_legacy it is never the shared one of a server that is known to be of
 * both eras (shm/legacy.h), unless no other can be had. If that is not known
 * the server is asked, for a client with capabilities only: the others lack
 * nothing in the modern era.
 * stale: 0, or sess_info.opened of a session that proved gone.
 * If result is not NULL it gets the raw initialize/discover result (only when
 * opened now, or force is set; force always means the shared session).
 */
int	upstream_open(struct upstream_pool *, const struct upstream_target *,
	    uint64_t stale, bool force, int64_t deadline_ms,
	    struct sess_info *out, struct buf *result, struct err *);

/* Where a connection is the session, so that none is in shared memory: what
 * upstream_post() needs for that of a client. False: it is another server. */
bool	upstream_link_of(struct upstream_pool *, const struct upstream_target *,
	    uint64_t client_session, struct sess_info *);

/*
 * What most callers want: open if needed, exchange; if the session proved gone
 * and the call was not executed, open again and repeat once. The caller's
 * compose function writes params for the era it is given (may run twice).
 */
typedef int (*upstream_compose_fn)(void *arg, const struct sess_info *,
	    struct buf *params, struct err *);
int	upstream_request(struct upstream_pool *, const struct upstream_target *,
	    struct upstream_call *, upstream_compose_fn, void *compose_arg,
	    struct buf *params_buf, struct err *);

/* The client session is over: ends its own session at this server, if it has
 * one. Best effort, some 200 ms at most; what is not ended here is ended when
 * it has been idle for long. */
void	upstream_end_client(struct upstream_pool *,
	    const struct upstream_target *, uint64_t client_session);

/* "_meta" members that a modern server wants in every request, without
 * braces: protocolVersion, clientInfo, clientCapabilities. */
int	upstream_modern_meta(struct buf *, const char *version,
	    struct span client_capabilities);

#endif
