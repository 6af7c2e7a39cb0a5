/*
 * http_head -- strict HTTP/1.x head parser over bytes in memory (RFC 9112).
 *
 * Pure: no I/O, no allocation; used by the keeper (is a head complete?) and
 * workers (what does it say?), for requests and for upstream responses. All
 * spans point into the caller's buffer. Anything that two parsers could read
 * differently is refused; after a refusal the connection must be closed.
 *
 * The target is origin-form, "*" (OPTIONS only), or absolute-form with the
 * very authority that Host has; decide on path and query, never on target.
 * Of the headers that decide something (http_head.c known_single) a second
 * one is refused; of the others known[] has the first.
 */
#ifndef OMNI2_NET_HTTP_HEAD_H
#define OMNI2_NET_HTTP_HEAD_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

#define HTTP_HEADERS_MAX	100
#define HTTP_HEAD_MAX		32768	/* request line and header section */

enum http_method {
	HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_PATCH,
	HTTP_OPTIONS, HTTP_METHOD_OTHER
};

struct http_header {
	struct span	name;
	struct span	value;		/* OWS trimmed */
};

/* Headers that somebody asks for by index, found while parsing. */
enum http_known {
#define HDR(id, name) HTTP_H_##id,
#include "net/http_headers.def"
#undef HDR
	HTTP_H_COUNT
};

struct http_head {
	enum http_method method;	/* requests */
	struct span	 method_text;
	struct span	 target;	/* as sent */
	struct span	 path;		/* target up to '?' */
	struct span	 query;		/* after '?', may be empty */
	int		 status;	/* responses */
	int		 minor;		/* HTTP/1.minor: 0 or 1 */
	bool		 keep_alive;	/* after version and Connection */
	bool		 chunked;
	bool		 has_length;
	bool		 expect_continue;
	uint64_t	 content_length;
	size_t		 size;		/* of the head with the empty line */
	int		 header_count;
	struct http_header headers[HTTP_HEADERS_MAX];
	struct span	 known[HTTP_H_COUNT];	/* .p NULL: not there */
	uint8_t		 known_count[HTTP_H_COUNT];
};

/*
 * Looks for the end of a head (an empty line) in [p, p+n), resuming at
 * *scanned (start with 0; updated). Returns its size, 0 if not there yet, or
 * -1 if it cannot become one (a bare LF or NUL was seen, or n > HTTP_HEAD_MAX).
 * Leading empty lines before a request line: at most one CRLF is skipped and
 * counted into the size.
 */
long	http_head_end(const char *p, size_t n, size_t *scanned);

/* Parse a complete head of exactly n bytes. 0 or -1 with err (BADREQ,
 * HEADTOOBIG, HTTPVERSION, NOTIMPL for other transfer codings). */
int	http_request_parse(struct http_head *, const char *p, size_t n,
	    struct err *);
int	http_response_parse(struct http_head *, const char *p, size_t n,
	    struct err *);

/*
 * A head and the bytes that it was parsed from. Who speaks HTTP on a
 * connection that is kept says the same head again and again, and the same
 * bytes at the same place mean the same.
 */
#define HTTP_MEMO_MAX	1024		/* longer heads are parsed each time */
struct http_memo {
	const char	*at;		/* where they were; NULL: nothing noted */
	size_t		 n;
	char		 bytes[HTTP_MEMO_MAX];
	struct http_head head;
};
/* Size of the head if [p, p+n) begins with the one that was noted; else 0.
 * Either way nothing is noted any more. */
size_t	http_memo_find(struct http_memo *, const char *p, size_t n);
/* memo->head is what was parsed from [p, p+n), and stays so until the next
 * http_memo_find(). */
void	http_memo_note(struct http_memo *, const char *p, size_t n);

/* First header of that name (case-insensitive), or .p == NULL. */
struct span http_header_find(const struct http_head *, const char *name);
const char *http_reason(int status);		/* "Not Found" */
bool	http_is_token(struct span);
/* True if a comma list contains token in any case; parameters ignored. */
bool	http_list_has(struct span list, const char *token);
/* True if Accept lists (or wildcards) the media type, with q > 0. */
bool	http_accepts(struct span accept, const char *type);
/* media type of a Content-Type equals type (lower case); parameters ignored. */
bool	http_media_is(struct span content_type, const char *type);

#endif
