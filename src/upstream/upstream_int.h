/*
 * upstream_int -- what the files of this folder share: the pool's entries,
 * the sink that judges answers, and waiting on a socket.
 */
#ifndef OMNI2_UPSTREAM_UPSTREAM_INT_H
#define OMNI2_UPSTREAM_UPSTREAM_INT_H

#include <sys/socket.h>

#include "base/json_read.h"
#include "net/http_body.h"
#include "net/http_head.h"
#include "net/sse.h"
#include "net/url.h"
#include "upstream/upstream.h"

#define UPSTREAM_IN_SIZE	65536		/* receive buffer */
#define UPSTREAM_OUT_MAX	(512u << 20)
#define UPSTREAM_OUT_KEEP	(256u << 10)
#define UPSTREAM_POST_MS	200		/* for cancelling and answering */
#define UPSTREAM_OPENED_MAX	(4u << 20)	/* opening answer */
#define UPSTREAM_VERSION_MODERN	"2026-07-28"
#define UPSTREAM_VERSION_LEGACY	"2025-11-25"

struct curl_conn;

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

/* All that this process holds for one server. */
struct upstream_entry {
	int64_t		 server_id;
	uint64_t	 config_hash;
	char		*url_text;	/* url points into it */
	struct url	 url;
	bool		 is_stdio;
	struct http_conn http;
	struct curl_conn *curl;		/* NULL: none yet */
	int		 stdio_fd;	/* -1: none */
	bool		 stdio_used;
	int64_t		 used_ms;
	struct buf	 head;		/* static part of the request head */
	struct sess_info head_session;	/* for which it was written */
	struct sess_info session;	/* when shared memory has none */
};

struct upstream_pool {
	struct shm	*shm;		/* may be NULL */
	char		*stdio_socket;
	struct upstream_entry **place;	/* open addressing by server_id */
	size_t		 places, used;
	struct buf	 out;		/* the request being sent */
	char		*in;		/* UPSTREAM_IN_SIZE */
	struct http_head head;		/* of the answer being read */
	uint64_t	 last_id;	/* ids when there is no slot */
	bool		 busy;		/* an exchange is under way */
	int		 hangup_fd;	/* epoll, for curl; -1 none */
};

/* pool.c */
struct upstream_entry *pool_entry(struct upstream_pool *,
	    const struct upstream_target *, struct err *);
uint64_t pool_next_id(struct upstream_pool *);
/* Can this version speak to it? */
int	pool_check_transport(const struct upstream_target *,
	    const struct upstream_entry *, struct err *);
void	entry_close(struct upstream_entry *);

/* params.c */
int	message_check_method(struct span method, struct err *);
size_t	message_size(const struct upstream_call *);
/* Appends the JSON-RPC message; exactly message_size() bytes. */
int	message_write(struct buf *, const struct upstream_call *);
int	message_cancelled(struct buf *, uint64_t id, const char *reason);
/* The static part of a request head: everything up to what a call adds. */
int	head_write(struct buf *, const char *method,
	    const struct upstream_entry *,
	    const struct upstream_target *, const struct sess_info *,
	    struct err *);
/* What every header of a POST has in common, one "K: V\r\n" a line. */
int	head_write_fields(struct buf *, const struct upstream_target *,
	    const struct sess_info *, struct err *);
/* Mcp-Method, Mcp-Name and the call's own headers. */
int	head_write_call(struct buf *, const struct upstream_call *);
/* May the call be sent twice without doing something twice? */
bool	call_is_repeatable(const struct upstream_call *);

/* wire.c: a socket, the deadline, the client and the cancel word at once. */
enum wire { WIRE_OK, WIRE_EOF, WIRE_BROKEN, WIRE_ENDED };
/* WIRE_ENDED: err is set (TIMEOUT, CANCELLED). WIRE_BROKEN: errno. */
enum wire wire_recv(int fd, char *, size_t, const struct upstream_call *,
	    size_t *got, struct err *);
/* May send less than all and say WIRE_OK: the peer answers already. */
enum wire wire_send(int fd, struct span, const struct upstream_call *,
	    size_t *sent, struct err *);
int	wire_check(const struct upstream_call *, struct err *);
/* -1: none to watch. */
int	wire_extra_fd(const struct upstream_call *);
/* Passes a little time, unless the call ends meanwhile. */
int	wire_nap(const struct upstream_call *, int ms, struct err *);
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
	bool		has_sse;
	size_t		discarded;
	struct sse_parser sse;
};
void	sink_init(struct sink *, struct upstream_pool *,
	    const struct upstream_target *, struct upstream_call *);
void	sink_free(struct sink *);
int	sink_head(struct sink *, const struct answer_head *, struct err *);
int	sink_body(struct sink *, struct span, struct err *);
int	sink_end(struct sink *, struct err *);	/* body complete */
/* One message or a batch, as it came in an event or a frame. */
int	sink_message(struct sink *, struct span, struct err *);
/* "-32601 Method not found" of an error object; returns the code or 0. Only
 * plain ASCII, cut: it goes into texts for people. */
int64_t	sink_error_text(struct json_value error, char *out, size_t size);

/* http.c, http_conn.c */
int	http_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
/* One message beside the call; an empty one: DELETE the session. */
int	http_post(struct upstream_entry *, const struct upstream_target *,
	    const struct sess_info *, struct span message, struct err *);
int	http_conn_ready(struct upstream_entry *, const struct upstream_call *,
	    char *scratch, struct err *);
void	http_conn_close(struct http_conn *);
bool	http_conn_may_repeat(const struct http_conn *, enum wire how,
	    const struct upstream_call *);

/* curl_call.c */
int	curl_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
/* As http_post(). */
int	curl_post(const struct upstream_target *, const struct sess_info *,
	    struct span message, struct err *);
void	curl_conn_free(struct curl_conn **);

/* stdio.c */
int	stdio_exchange(struct upstream_pool *, struct upstream_entry *,
	    struct sink *, struct err *);
int	stdio_open(struct upstream_pool *, struct upstream_entry *,
	    const struct upstream_call *watch, struct sess_info *,
	    struct buf *result, struct err *);
int	stdio_post(struct upstream_pool *, const struct upstream_target *,
	    struct span message, struct err *);

#endif
