/*
 * upstream_int -- what the files of this folder share: the pool's entries,
 * the sink that judges answers, and waiting on a socket.
 */
#ifndef OMNI2_UPSTREAM_UPSTREAM_INT_H
#define OMNI2_UPSTREAM_UPSTREAM_INT_H

#include <poll.h>
#include <sys/socket.h>

#include "base/bulk.h"
#include "base/json_read.h"
#include "net/http_body.h"
#include "net/http_head.h"
#include "net/sse.h"
#include "net/url.h"
#include "upstream/upstream.h"

#define UPSTREAM_IN_SIZE	65536		/* receive buffer */
#define UPSTREAM_OUT_MAX	(512u << 20)
#define UPSTREAM_OUT_KEEP	(256u << 10)
#define UPSTREAM_POST_MS	2000		/* for a message beside the call */
#define UPSTREAM_CANCEL_MS	200		/* the same when nobody waits */
#define UPSTREAM_OPENED_MAX	(4u << 20)	/* opening answer */
#define UPSTREAM_VERSION_MODERN	"2026-07-28"
#define UPSTREAM_VERSION_LEGACY	"2025-11-25"

#define UPSTREAM_CHATTER_MAX	(64u << 20)	/* beside the answer, a call */
#define UPSTREAM_LINKS_MAX	8		/* of single clients, a process */

struct curl_conn;
struct sse_link;
struct ws_link;

/* How a server is spoken to. */
enum via {
	VIA_HTTP,		/* Streamable HTTP; libcurl if url.tls */
	VIA_STDIO,
	/* "Links": the connection is the session. */
	VIA_SSE,		/* HTTP+SSE of 2024-11-05 */
	VIA_WEBSOCKET,
	VIA_OWNER		/* a link of one client that the listener has:
				 * as stdio, but to that socket */
};

/* A persistent plain HTTP connection. */
struct http_conn {
	int		 fd;		/* -1: none */
	bool		 used;		/* an answer came over it */
	bool		 draining;	/* rest holds what is still to come */
	struct http_body rest;
	int64_t		 used_ms;
	int64_t		 idle_max_ms;	/* Keep-Alive: timeout, 0: not said */
	uint64_t	 sent;		/* bytes, before the current request */
	struct sockaddr_storage peer;
	socklen_t	 peer_len;
};

/* All that this process holds for one server; links of single clients have
 * entries of their own. */
struct upstream_entry {
	int64_t		 server_id;
	uint64_t	 client_session;	/* 0: not of a single client */
	uint64_t	 config_hash;
	char		*url_text;	/* url points into it */
	struct url	 url;
	bool		 is_configured;	/* url and via are valid */
	enum via	 via;
	bool		 via_detected;	/* VIA_SSE was found, not configured */
	bool		 is_direct;	/* the owner could not be reached */
	bool		 has_no_get;	/* 405: streams cannot be resumed */
	struct http_conn http;
	struct curl_conn *curl;		/* NULL: none yet */
	struct sse_link	*sse;		/* NULL: not connected */
	struct ws_link	*ws;
	int		 stdio_fd;	/* -1: none */
	bool		 stdio_used;
	int64_t		 used_ms;
	struct buf	 head;		/* static part of the request head */
	struct sess_info head_session;	/* for which it was written */
	struct sess_info session;	/* of links, and when there is no shared
					 * memory */
};

static inline bool
entry_is_link(const struct upstream_entry *x)
{
	return x->via == VIA_SSE || x->via == VIA_WEBSOCKET ||
	    x->via == VIA_OWNER;
}

struct upstream_pool {
	struct shm	*shm;		/* may be NULL */
	char		*stdio_socket;
	struct upstream_entry **place;	/* open addressing */
	size_t		 places, used;
	unsigned	 n_links;	/* entries of single clients */
	uint32_t	 reap_cursor;
	struct buf	 out;		/* the request being sent */
	char		*in;		/* UPSTREAM_IN_SIZE */
	struct http_head head;		/* of a link's answer */
	struct http_memo memo;		/* of the answer being read */
	uint64_t	 last_id;	/* ids when there is no slot */
	struct upstream_call *call;	/* of the exchange under way; NULL */
	bool		 is_owner;	/* of links of clients */
	struct spill_quota *spool;	/* of large answers; NULL: none */
	int		 hangup_fd;	/* epoll, for curl; -1 none */
};

/* pool.c: client_session matters for links only. */
struct upstream_entry *pool_entry(struct upstream_pool *,
	    const struct upstream_target *, uint64_t client_session,
	    struct err *);
uint64_t pool_next_id(struct upstream_pool *);
/* Can this version speak to it? */
int	pool_check_transport(const struct upstream_entry *, struct err *);
void	entry_close(struct upstream_entry *);
/* The connection that was the session is no more. */
void	link_is_gone(struct upstream_entry *);

/* params.c */
int	message_check_method(struct span method, struct err *);
size_t	message_size(struct upstream_call *);
/* Appends the JSON-RPC message; exactly message_size() bytes. */
int	message_write(struct buf *, struct upstream_call *);
int	message_cancelled(struct buf *, uint64_t id, const char *reason);
/* The static part of a request head: everything up to what a call adds. */
int	head_write(struct buf *, const char *method,
	    const struct upstream_entry *,
	    const struct upstream_target *, const struct sess_info *,
	    struct err *);
/* Request line and Host. */
void	head_write_line(struct buf *, const char *method, const struct url *,
	    struct span path);
/* User-Agent, more complete lines, credentials. */
int	head_write_agent(struct buf *, const struct upstream_target *,
	    struct span more, struct err *);
/* What every header of a POST has in common, one "K: V\r\n" a line. */
int	head_write_fields(struct buf *, const struct upstream_target *,
	    const struct sess_info *, struct err *);
/* Mcp-Method, Mcp-Name and the call's own headers. */
int	head_write_call(struct buf *, struct upstream_call *);
/* Is it a GET, of a stream that the server speaks on? Then the last event's
 * id goes along, if there was one. */
bool	call_is_get(struct upstream_call *);
int	head_write_event_id(struct buf *, struct upstream_call *);
/* May the call be sent twice without doing something twice? */
bool	call_is_repeatable(struct upstream_call *);

/* wire.c: a socket, the deadline, the client and the cancel word at once. */
enum wire { WIRE_OK, WIRE_EOF, WIRE_BROKEN, WIRE_ENDED };
/* WIRE_ENDED: err is set (TIMEOUT, CANCELLED). WIRE_BROKEN: errno. */
enum wire wire_recv(int fd, char *, size_t, struct upstream_call *,
	    size_t *got, struct err *);
/* May send less than all and say WIRE_OK: the peer answers already. */
enum wire wire_send(int fd, struct span, struct upstream_call *,
	    size_t *sent, struct err *);
int	wire_check(struct upstream_call *, struct err *);
/* -1: none to watch. */
int	wire_extra_fd(struct upstream_call *);
/* Until one of two own descriptors is ready (.fd -1: left out). */
int	wire_wait(struct pollfd own[2], struct upstream_call *,
	    struct err *);
/* Passes a little time, unless the call ends meanwhile. */
int	wire_nap(struct upstream_call *, int ms, struct err *);
/* As fdio_wait(), and signals do not end it. */
int	wire_await(int fd, short events, int64_t deadline_ms);
/* Bytes have come; if it is time, looks at everything else. */
int	wire_glance(struct upstream_call *, struct err *);
int	wire_set_timeouts(int fd);
int	wire_connect(const struct sockaddr *, socklen_t, int64_t deadline_ms,
	    struct err *);
int	wire_connect_unix(struct span path, int64_t deadline_ms, struct err *);
/* Has the peer's kernel taken a byte beyond before? Unknown counts as yes. */
bool	wire_peer_took(int fd, uint64_t before);

/* sink.c: takes the answer, whatever carried it. */
struct answer_head {
	int		status;
	struct span	content_type, content_encoding, session_id;
};
/* FLOW_LOOK: may become one that is passed on. */
enum sink_flow { FLOW_LOOK, FLOW_NONE, FLOW_RESULT, FLOW_FILE };
enum sink_kind { SINK_JSON, SINK_EVENTS, SINK_NOTHING };
struct sink {
	struct upstream_pool *pool;
	const struct upstream_target *target;
	struct upstream_call *call;
	enum sink_kind	kind;
	int		status;
	bool		answered;	/* call->response holds the answer */
	bool		refused;	/* an orderly refusal: HTTP status */
	bool		stopped;	/* on_message ended it */
	bool		ended_early;	/* an event stream, without the answer */
	bool		has_sse;
	bool		is_link;	/* what is not ours may be of calls
					 * before this one: it is dropped */
	bool		is_asked;	/* link: the request has been sent */
	bool		is_owing;	/* link: calls before were given up, and
					 * may be answered yet */
	size_t		discarded;
	size_t		taken;		/* bytes of messages */
	enum sink_flow	flow;
	size_t		flowed;		/* bytes */
	struct large	large;
	struct bulk	bulk;		/* FLOW_FILE */
	struct sse_parser sse;
};
void	sink_init(struct sink *, struct upstream_pool *,
	    const struct upstream_target *, struct upstream_call *);
void	sink_free(struct sink *);
int	sink_head(struct sink *, const struct answer_head *, struct err *);
int	sink_body(struct sink *, struct span, struct err *);
int	sink_end(struct sink *, struct err *);	/* body complete */
/* The body broke off. */
void	sink_cut(struct sink *);
/* As after sink_init(), for the rest of the same answer. */
void	sink_again(struct sink *);
/* One message or a batch, as it came in an event or a frame. */
int	sink_message(struct sink *, struct span, struct err *);
/* So many bytes have come. -1: more than a call may cost. */
int	sink_count(struct sink *, size_t, struct err *);
/* sink_flow.c: 1 taken, 0 collect it, -1 with err. */
int	sink_flow_json(struct sink *, struct span, struct err *);
/* Of a message that is not complete: so much is pending; is it to be given to
 * sink_flow_part()? If that says 1 it is taken, and what comes next goes the
 * same way. */
bool	sink_flow_wants(const struct sink *, size_t pending);
int	sink_flow_part(struct sink *, struct span data, struct err *);
/* An event is not complete. 0 or -1. */
int	sink_flow_event(struct sink *, struct sse_parser *, struct err *);
/* The message is complete. 0: it goes to sink_message(). */
int	sink_flow_event_end(struct sink *, struct span data, struct err *);
int	sink_flow_end(struct sink *, struct err *);
/* Is call->response, the result left out, the answer to our request? */
int	sink_envelope(struct sink *, struct err *);
/* "-32601 Method not found" of an error object; returns the code or 0. Only
 * plain ASCII, cut: it goes into texts for people. */
int64_t	sink_error_text(struct json_value error, char *out, size_t size);

/* http.c, http_conn.c */
int	http_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
/* One message beside the call; an empty one: DELETE the session. Only to a
 * server that was connected before. */
int	http_post(struct upstream_entry *, const struct upstream_target *,
	    const struct sess_info *, struct span message, int64_t deadline_ms,
	    struct err *);
int	http_conn_ready(struct upstream_entry *, struct upstream_call *,
	    char *scratch, struct err *);
void	http_conn_close(struct http_conn *);
bool	http_conn_may_repeat(const struct http_conn *, enum wire how,
	    struct upstream_call *);

/* curl_call.c */
int	curl_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
/* As http_post(). */
int	curl_post(const struct upstream_target *, const struct sess_info *,
	    struct span message, int64_t deadline_ms, struct err *);
void	curl_conn_free(struct curl_conn **);
/* Options of every easy handle, whatever it is for. */
void	curl_set_common(void *easy, const char *url, char *error);
/* As curl_easy_perform(), but other fibers run meanwhile. The CURLcode; the end
 * of both handles (NULL: none) is the caller's, whatever it was. */
int	curl_run(void *easy, void **multi);
void	curl_run_end(void *easy, void *multi);

/* stdio.c */
int	stdio_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
int	stdio_open(struct upstream_pool *, struct upstream_entry *,
	    struct upstream_call *watch, uint64_t client_session,
	    const char *caps_json, struct sess_info *, struct buf *result,
	    struct err *);
/* An empty message: end the process of this client session. */
int	stdio_post(struct upstream_pool *, const struct upstream_entry *,
	    uint64_t client_session, struct span message, int64_t deadline_ms,
	    struct err *);

/* sse_link.c: connect gives entry->sse; its end takes it away again. */
int	sse_connect(struct upstream_pool *, struct upstream_entry *,
	    const struct upstream_target *, struct upstream_call *watch,
	    struct err *);
int	sse_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
int	sse_post(struct upstream_entry *, const struct upstream_target *,
	    const struct sess_info *, struct span message, int64_t deadline_ms,
	    struct err *);
void	sse_link_free(struct sse_link **);

/* ws_link.c: likewise */
int	ws_connect(struct upstream_pool *, struct upstream_entry *,
	    const struct upstream_target *, struct upstream_call *watch,
	    struct err *);
int	ws_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
int	ws_post(struct upstream_entry *, struct span message,
	    int64_t deadline_ms, struct err *);
void	ws_link_free(struct ws_link **);

#endif
