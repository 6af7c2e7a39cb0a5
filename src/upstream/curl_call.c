/*
 * curl_call -- exchanges over https://. This and curl_link.c use libcurl.
 *
 * Workers, poller, tools. One easy handle and its connections a server, kept.
 * Certificates are always checked; redirects, other protocols, cookies and
 * .netrc are off. What comes is judged by the same sink as plain HTTP.
 */
#include "upstream/upstream_int.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/num.h"

#define TAIL_MS		20	/* for the end of a stream after the answer */
#define RESOLVE_MS	20
#define CHECK_MS	1000	/* the cancel word is looked at this often */

struct curl_conn {
	CURL		*easy;
	CURLM		*multi;
	char		 error[CURL_ERROR_SIZE];
};

/* One attempt, as the callbacks see it. */
struct transfer {
	struct sink	*sink;
	struct err	*e;
	bool		 failed;	/* *e is set */
	struct span	 unsent;
	size_t		 head_size;
	int		 status;
	bool		 head_done;
	char		 type[128], encoding[64], session[256];
	int64_t		 answered_ms;
};

void
curl_conn_free(struct curl_conn **pp)
{
	struct curl_conn *c = *pp;

	*pp = NULL;
	if (c == NULL)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	free(c);
}

static void
take_status(struct transfer *x, struct span line)
{
	uint64_t status = 0;
	size_t i;

	for (i = 0; i < line.n && line.p[i] != ' ';)
		i++;
	line = span_skip(line, i + 1);
	if (line.n >= 3)
		num_u64(span_make(line.p, 3), 100, 999, &status);
	x->status = (int)status;
	x->type[0] = x->encoding[0] = x->session[0] = '\0';
}

static int
take_field(struct span line, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	if (line.n <= n || line.p[n] != ':' ||
	    strncasecmp(line.p, name, n) != 0)
		return 0;
	line = span_skip(line, n + 1);
	while (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
		line = span_skip(line, 1);
	while (line.n > 0 && strchr(" \t\r\n", line.p[line.n - 1]) != NULL)
		line.n--;
	return span_copy(out, size, line) ? 0 : -1;
}

static int
head_is_complete(struct transfer *x)
{
	struct answer_head a = { x->status, span_str(x->type),
	    span_str(x->encoding), span_str(x->session) };

	if (x->status < 200)
		return 0;
	x->head_done = true;
	x->failed = sink_head(x->sink, &a, x->e) < 0;
	return x->failed ? -1 : 0;
}

/* Returning another size than came ends the transfer. */
static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *x = arg;
	struct span line = { p, size * n };

	x->head_size += line.n;
	if (x->head_done)
		return line.n;		/* trailers */
	if (x->head_size > HTTP_HEAD_MAX ||
	    take_field(line, "content-type", x->type, sizeof(x->type)) < 0 ||
	    take_field(line, "content-encoding", x->encoding,
	    sizeof(x->encoding)) < 0 || take_field(line, "mcp-session-id",
	    x->session, sizeof(x->session)) < 0) {
		x->failed = true;
		err_set(x->e, ERR_UPSTREAM, "bad answer: headers too large");
		return 0;
	}
	if (span_starts(line, "HTTP/"))
		take_status(x, line);
	if (span_is(line, "\r\n") && head_is_complete(x) < 0)
		return 0;
	return line.n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *x = arg;

	n *= size;
	if (sink_body(x->sink, span_make(p, n), x->e) < 0) {
		x->failed = true;
		return 0;
	}
	if (x->sink->answered && x->answered_ms == 0)
		x->answered_ms = clock_mono_ms();
	return n;
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *x = arg;

	n *= size;
	if (n > x->unsent.n)
		n = x->unsent.n;
	memcpy(p, x->unsent.p, n);
	x->unsent = span_skip(x->unsent, n);
	if (x->unsent.n == 0)
		x->sink->call->maybe_executed = true;
	return n;
}

void
curl_set_common(void *easy, const char *url, char *error)
{
	const char *ca = getenv("SSL_CERT_FILE");	/* as OpenSSL's own */

	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* a proxy is not the server */
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* who gives up does not wait for its thread that looks up the name */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
	    (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)UPSTREAM_IN_SIZE);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
	if (ca != NULL && ca[0] != '\0')
		curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
}

/* What is the same for every request of a server. */
static void
set_options(CURL *easy, const char *url, char *error)
{
	curl_set_common(easy, url, error);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
}

static int
conn_new(struct upstream_entry *x, struct err *e)
{
	struct curl_conn *c = xcalloc(1, sizeof(*c));

	c->easy = curl_easy_init();
	c->multi = curl_multi_init();
	if (c->easy == NULL || c->multi == NULL) {
		curl_conn_free(&c);
		return err_set(e, ERR_INTERNAL, "libcurl: out of memory");
	}
	set_options(c->easy, x->url_text, c->error);
	curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_read);
	x->curl = c;
	return 0;
}

/* Lines ending in CRLF, as a list for libcurl. NULL: out of memory. */
static struct curl_slist *
header_list(struct span lines)
{
	struct curl_slist *list = NULL, *more;
	struct buf line;
	const char *end;
	size_t n;

	buf_init(&line, UPSTREAM_OUT_MAX);
	/* No "Expect: 100-continue": it costs a round trip. */
	list = curl_slist_append(NULL, "Expect:");
	while (list != NULL && lines.n > 0) {
		end = memchr(lines.p, '\r', lines.n);
		n = end == NULL ? lines.n : (size_t)(end - lines.p);
		buf_reset(&line, SIZE_MAX);
		buf_add(&line, lines.p, n);
		buf_add_char(&line, '\0');
		more = curl_slist_append(list, line.p);
		if (more == NULL)
			curl_slist_free_all(list);
		list = more;
		lines = span_skip(lines, n + 2);
	}
	buf_free(&line);
	return list;
}

/*
 * libcurl's poll cannot ask for POLLRDHUP, so an epoll descriptor that does
 * stands in for the client's.
 */
static int
watch_client(struct upstream_pool *pool, int client_fd, bool on)
{
	struct epoll_event ev = { .events = EPOLLRDHUP };

	if (client_fd < 0)
		return 0;
	if (pool->hangup_fd < 0)
		pool->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
	if (pool->hangup_fd < 0)
		return -1;
	return epoll_ctl(pool->hangup_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
	    client_fd, &ev);
}

/* What drive() polls beside the connection. Returns how many: the client
 * first if it is watched at all. */
static unsigned
watch_list(const struct upstream_pool *pool, struct upstream_call *call,
    struct curl_waitfd w[2])
{
	unsigned n = 0;

	memset(w, 0, 2 * sizeof(w[0]));
	if (call->client_fd >= 0)
		w[n++] = (struct curl_waitfd){ .fd = pool->hangup_fd,
		    .events = CURL_WAIT_POLLIN };
	if (wire_extra_fd(call) >= 0)
		w[n++] = (struct curl_waitfd){ .fd = wire_extra_fd(call),
		    .events = CURL_WAIT_POLLIN };
	return n;
}

/*
 * As curl_multi_poll(), but other fibers run meanwhile. While libcurl has
 * nothing to poll (it resolves a name) it is asked again soon.
 */
static int
curl_wait(CURLM *multi, struct curl_waitfd *w, unsigned n, int ms)
{
	struct pollfd p[FIBER_FDS_MAX];
	fd_set in, out, bad;
	long own = -1;
	int fd, max = -1;
	nfds_t k = 0;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	if (curl_multi_fdset(multi, &in, &out, &bad, &max) != CURLM_OK ||
	    curl_multi_timeout(multi, &own) != CURLM_OK)
		return -1;
	if (own >= 0 && own < ms)
		ms = (int)own;
	if (max < 0 && ms > RESOLVE_MS)
		ms = RESOLVE_MS;
	for (; k < n; k++)
		p[k] = (struct pollfd){ .fd = w[k].fd, .events = POLLIN };
	for (fd = 0; fd <= max && k < FIBER_FDS_MAX; fd++)
		if (FD_ISSET(fd, &in) || FD_ISSET(fd, &out))
			p[k++] = (struct pollfd){ .fd = fd, .events =
			    (short)((FD_ISSET(fd, &in) ? POLLIN : 0) |
			    (FD_ISSET(fd, &out) ? POLLOUT : 0)) };
	if (fiber_poll(p, k, ms) < 0)
		return 0;		/* a signal: the caller looks */
	while (n-- > 0)
		w[n].revents = p[n].revents != 0 ? CURL_WAIT_POLLIN : 0;
	return 0;
}

/* curl_multi_perform() until the end, which CURLOPT_TIMEOUT_MS sets at last. */
static CURLcode
run(CURLM *multi)
{
	CURLcode code = CURLE_FAILED_INIT;
	int running = 1, left;
	CURLMsg *msg;

	while (running > 0)
		if (curl_multi_perform(multi, &running) != CURLM_OK ||
		    (running > 0 && curl_wait(multi, NULL, 0, CHECK_MS) < 0))
			return CURLE_FAILED_INIT;
	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			code = msg->data.result;
	return code;
}

int
curl_run(void *easy, void **multi)
{
	*multi = curl_multi_init();
	if (*multi == NULL || curl_multi_add_handle(*multi, easy) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	return run(*multi);
}

void
curl_run_end(void *easy, void *multi)
{
	if (multi != NULL && easy != NULL)
		curl_multi_remove_handle(multi, easy);
	curl_easy_cleanup(easy);
	curl_multi_cleanup(multi);
}

static int
wait_a_while(struct upstream_pool *pool, struct curl_conn *c,
    struct transfer *x, int64_t ms)
{
	struct upstream_call *call = x->sink->call;
	struct curl_waitfd w[2];
	unsigned n = watch_list(pool, call, w);

	if (curl_wait(c->multi, w, n, ms < CHECK_MS ? (int)ms : CHECK_MS) < 0)
		return err_set(x->e, ERR_INTERNAL, "libcurl failed");
	if (wire_extra_fd(call) >= 0 && w[n - 1].revents != 0 &&
	    call->on_extra(call->arg, x->e) < 0)
		return -1;
	if (call->client_fd >= 0 && w[0].revents != 0)
		return err_set(x->e, ERR_CANCELLED, "client hung up");
	return 0;
}

/* Drives it to the end. 0 finished by itself; 1 answered, stream cut; -1. */
static int
drive(struct upstream_pool *pool, struct curl_conn *c, struct transfer *x)
{
	struct upstream_call *call = x->sink->call;
	int running = 1;
	int64_t left;

	for (;;) {
		if (curl_multi_perform(c->multi, &running) != CURLM_OK)
			return err_set(x->e, ERR_INTERNAL, "libcurl failed");
		if (running == 0 || x->failed)
			return x->failed ? -1 : 0;
		left = call->deadline_ms - clock_mono_ms();
		if (x->answered_ms != 0)
			left = x->answered_ms + TAIL_MS - clock_mono_ms();
		if (x->answered_ms != 0 && left <= 0)
			return 1;
		if (x->answered_ms == 0 && wire_check(call, x->e) < 0)
			return -1;
		if (wait_a_while(pool, c, x, left < 0 ? 0 : left) < 0)
			return -1;
	}
}

static int
judge(struct curl_conn *c, struct transfer *x)
{
	CURLcode code = CURLE_OK;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			code = msg->data.result;
	if (x->failed)
		return -1;
	if (code != CURLE_OK && x->head_done)
		sink_cut(x->sink);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(x->e, ERR_TIMEOUT, "no answer in time");
	if (code != CURLE_OK)
		return err_set(x->e, ERR_UPSTREAM, "%s", c->error[0] != '\0' ?
		    c->error : curl_easy_strerror(code));
	if (!x->head_done)
		return err_set(x->e, ERR_UPSTREAM, "bad answer: no HTTP head");
	return sink_end(x->sink, x->e);
}

/* Prepares the handle for this call. *list is the caller's to free. */
static int
prepare(struct upstream_pool *pool, struct curl_conn *c, struct transfer *x,
    struct curl_slist **list, struct err *e)
{
	struct upstream_call *call = x->sink->call;
	struct buf *b = &pool->out;

	buf_reset(b, UPSTREAM_OUT_KEEP);
	if (head_write_fields(b, x->sink->target, &call->session, e) < 0)
		return -1;
	if ((call_is_get(call) ? head_write_event_id(b, call) :
	    head_write_call(b, call)) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	*list = header_list(buf_span(b));
	if (*list == NULL)
		return err_set(e, ERR_INTERNAL, "libcurl: out of memory");
	buf_reset(b, UPSTREAM_OUT_KEEP);
	if (!call_is_get(call) && message_write(b, call) < 0)
		return err_set(e, ERR_TOOBIG, "request too large");
	x->unsent = buf_span(b);
	c->error[0] = '\0';
	curl_easy_setopt(c->easy, call_is_get(call) ? CURLOPT_HTTPGET :
	    CURLOPT_POST, 1L);
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, *list);
	curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c->easy, CURLOPT_READDATA, x);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)x->unsent.n);
	return 0;
}

/*
 * The body comes from a callback that cannot be rewound: libcurl then never
 * sends a request a second time by itself when a kept connection breaks (it
 * looks whether one is dead before it uses it).
 */
int
curl_exchange(struct upstream_pool *pool, struct upstream_entry *entry,
    struct sink *sink, struct err *e)
{
	struct upstream_call *call = sink->call;
	struct transfer x = { .sink = sink, .e = e };
	struct curl_slist *list = NULL;
	int rv = -1;

	if (entry->curl == NULL && conn_new(entry, e) < 0)
		return -1;
	if (prepare(pool, entry->curl, &x, &list, e) < 0)
		goto out;
	if (watch_client(pool, call->client_fd, true) < 0) {
		err_set(e, ERR_INTERNAL, "epoll: %s", strerror(errno));
		goto out;
	}
	curl_multi_add_handle(entry->curl->multi, entry->curl->easy);
	rv = drive(pool, entry->curl, &x);
	if (rv == 0)
		rv = judge(entry->curl, &x);
	else if (rv == 1)
		rv = sink_end(sink, e);
	/* Takes an unfinished transfer's connection down, too. */
	curl_multi_remove_handle(entry->curl->multi, entry->curl->easy);
	watch_client(pool, call->client_fd, false);
	if (rv < 0 && !sink->refused)
		curl_conn_free(&entry->curl);
out:
	curl_slist_free_all(list);
	return rv;
}

static size_t
ignore(char *p, size_t size, size_t n, void *arg)
{
	return size * n;
}

int
curl_post(const struct upstream_target *t, const struct sess_info *session,
    struct span message, int64_t deadline_ms, struct err *e)
{
	char error[CURL_ERROR_SIZE] = "";
	int64_t left = deadline_ms - clock_mono_ms();
	struct curl_slist *list = NULL;
	CURL *easy = curl_easy_init();
	void *multi = NULL;
	CURLcode code;
	struct buf b;
	int rv = -1;

	buf_init(&b, UPSTREAM_OUT_MAX);
	if (easy == NULL || head_write_fields(&b, t, session, e) < 0 ||
	    (list = header_list(buf_span(&b))) == NULL) {
		err_set(e, ERR_INTERNAL, "libcurl: out of memory");
		goto out;
	}
	set_options(easy, t->url, error);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
	    message.n == 0 ? "" : message.p);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)message.n);
	if (message.n == 0)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
	    (long)(left > 0 ? left : 1));
	code = (CURLcode)curl_run(easy, &multi);
	rv = code == CURLE_OK ? 0 : err_set(e, ERR_UPSTREAM, "%s",
	    error[0] != '\0' ? error : curl_easy_strerror(code));
out:
	curl_run_end(easy, multi);
	curl_slist_free_all(list);
	buf_free(&b);
	return rv;
}
