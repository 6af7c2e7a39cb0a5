/*
 * http_reply -- one HTTP answer: collected and sent at once, or streamed.
 *
 * Belongs to the worker that holds the connection; buffers are reused from
 * one answer to the next. Sends with a deadline per progress
 * (limits.write_timeout), so a client that does not read costs one worker for
 * that long at most.
 */
#ifndef OMNI2_NET_HTTP_REPLY_H
#define OMNI2_NET_HTTP_REPLY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/http_head.h"

struct http_reply {
	int		 fd;
	int		 status;
	const char	*content_type;	/* static text; NULL: no body */
	struct buf	 headers;	/* further complete lines */
	struct buf	 body;
	bool		 keep_alive;
	bool		 is_http10;
	bool		 is_head;	/* HEAD: no body is sent */
	bool		 streaming;	/* head is out, chunks follow */
	bool		 sent;		/* anything was sent or tried */
	bool		 broken;	/* the connection cannot be used further */
	int64_t		 write_timeout_ms;
	uint64_t	 sent_bytes;
};

void	http_reply_init(struct http_reply *, size_t body_max);
void	http_reply_free(struct http_reply *);
/* Ready for the next answer on fd. */
void	http_reply_start(struct http_reply *, int fd, int64_t write_timeout_ms);
/* name: value; the caller guarantees no CR, LF (values are constants, numbers
 * or checked tokens). */
void	http_reply_header(struct http_reply *, const char *name, const char *value);
/* Sends status, headers and body with Content-Length. 0 or -1 (broken). */
int	http_reply_send(struct http_reply *);
/* Sends the head of a chunked answer (HTTP/1.0: until close). */
int	http_reply_stream_begin(struct http_reply *, const char *content_type);
int	http_reply_stream_write(struct http_reply *, struct span);
int	http_reply_stream_end(struct http_reply *);

#endif
