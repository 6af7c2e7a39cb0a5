/*
 * place -- one request at a time, on one connection after another, on a fiber.
 *
 * Answers, and keeps the connection for a moment while nobody waits: then a
 * busy keep-alive connection never goes through the keeper. No database here,
 * ever (but for the lane of the API, whose processes do nothing else); whatever
 * waits, waits through base/fiber.h.
 */
#include "proc/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/fiber.h"
#include "base/json_write.h"
#include "base/log.h"
#include "net/url.h"
#include "proc/admin.h"
#include "shm/slot.h"
#include "web/web.h"

static bool
draining(const struct place *w)
{
	return *w->stop || atomic_load_explicit(&shm_ctl(w->shm)->draining,
	    memory_order_relaxed) != 0;
}

/* Does a request wait that nobody has room for? */
static bool
others_wait(const struct place *w)
{
	struct shm_queue *q = shm_queue(w->shm);

	return atomic_load_explicit(&q->idle, memory_order_relaxed) == 0 &&
	    atomic_load_explicit(&q->handed, memory_order_relaxed) !=
	    atomic_load_explicit(&q->taken, memory_order_relaxed);
}

/* ---- answers to what is no request ------------------------------------------ */

static int
answer_error(struct place *w, const struct err *e)
{
	struct http_reply *r = &w->reply;
	struct json_out j;

	buf_reset(&r->body, 65536);
	r->status = err_http_status(e->code);
	r->content_type = "application/json";
	r->keep_alive = false;
	json_out_init(&j, &r->body);
	json_object_begin(&j, NULL);
	json_put_str(&j, "jsonrpc", "2.0");
	json_put_null(&j, "id");
	json_object_begin(&j, "error");
	json_put_int(&j, "code", err_rpc_code(e->code));
	json_put_str(&j, "message", e->text);
	json_object_end(&j);
	json_object_end(&j);
	return http_reply_send(r);
}

/*
 * Closing with unread input makes the kernel send a reset, which may overtake
 * the answer. So: end our side, then read what comes for a moment.
 */
static void
linger(const struct place *w)
{
	/* other processes than workers are few */
	int ms = w->lane != LANE_WORK ? 50 : 1000, fd = w->conn.fd;
	int64_t until = clock_mono_ms() + ms;
	char junk[4096];
	ssize_t n;

	shutdown(fd, SHUT_WR);
	while (clock_mono_ms() < until) {
		n = fiber_recv(fd, junk, sizeof(junk), ms < 100 ? ms : 100);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
	}
}

/* ---- the connection's way back ------------------------------------------------- */

static void
tell_keeper(struct place *w, enum lane_what what)
{
	struct span rest = conn_rest(&w->conn);
	char message[sizeof(struct lane_back) + LANE_BYTES_MAX];
	struct lane_back b;
	int fd = -1;

	memset(&b, 0, sizeof(b));
	b.id = w->conn.id;
	b.what = what;
	if (what == LANE_PARK) {
		b.bytes = (uint32_t)(rest.n > LANE_BYTES_MAX ? LANE_BYTES_MAX :
		    rest.n);
		if (w->conn.id >> 48 != (atomic_load(
		    &shm_ctl(w->shm)->keeper_spawn) & 0xffff)) {
			b.what = LANE_ADOPT;
			memcpy(b.peer, w->conn.peer, sizeof(b.peer));
			fd = w->conn.fd;
		}
	}
	memcpy(message, &b, sizeof(b));
	memcpy(message + sizeof(b), rest.p, b.bytes);
	if (fdpass_send(w->proc->lanes.back[1], message, sizeof(b) + b.bytes, fd,
	    MSG_NOSIGNAL) < 0)
		log_warn("the keeper cannot be told: %s", strerror(errno));
}

/* mcp_http.release: parks or closes the connection while its request goes on. */
static void
release(void *arg)
{
	struct place *w = arg;
	bool keep = w->reply.keep_alive && !w->reply.broken && !draining(w) &&
	    conn_rest(&w->conn).n <= LANE_BYTES_MAX;

	if (!keep)
		shutdown(w->conn.fd, SHUT_RDWR);
	tell_keeper(w, keep ? LANE_PARK : LANE_CLOSED);
	close(w->conn.fd);
	w->conn.fd = -1;
	atomic_store_explicit(&shm_self(w->shm)->connection, 0,
	    memory_order_relaxed);
	w->released = true;
}

/* One message back, with what belongs to it. */
static int
send_back(struct place *w, uint64_t id, enum lane_what what,
    struct span first, struct span second)
{
	char message[sizeof(struct lane_back) + LANE_BYTES_MAX];
	struct lane_back b;

	memset(&b, 0, sizeof(b));
	b.id = id;
	b.what = what;
	b.bytes = (uint32_t)(first.n + second.n);
	if (b.bytes > LANE_BYTES_MAX)
		return -1;
	memcpy(message, &b, sizeof(b));
	memcpy(message + sizeof(b), first.p, first.n);
	if (second.n > 0)
		memcpy(message + sizeof(b) + first.n, second.p, second.n);
	return fdpass_send(w->proc->lanes.back[1], message,
	    sizeof(b) + b.bytes, -1, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* mcp_http.hand_over: an event stream is the keeper's from now on. A keeper
 * that was started meanwhile does not know the connection: the client comes
 * again. */
static int
hand_over(void *arg, const struct stream_info *info)
{
	struct place *w = arg;

	if (draining(w) || w->conn.id >> 48 != (atomic_load(
	    &shm_ctl(w->shm)->keeper_spawn) & 0xffff) ||
	    send_back(w, w->conn.id, LANE_STREAM,
	    span_make((const char *)info, sizeof(*info)),
	    span_make(NULL, 0)) < 0)
		return -1;
	close(w->conn.fd);
	w->conn.fd = -1;
	atomic_store_explicit(&shm_self(w->shm)->connection, 0,
	    memory_order_relaxed);
	w->released = true;
	return 0;
}

/* mcp_http.end_stream */
static void
end_stream(void *arg, uint64_t id)
{
	if (send_back(arg, id, LANE_CLOSED, SPAN_LIT(""), SPAN_LIT("")) < 0)
		log_warn("the keeper cannot be told: %s", strerror(errno));
}

/* LANE_RECHECK: may its owner still have it, and have his lists changed? */
static void
recheck(struct place *w, const char *bytes, size_t n)
{
	struct stream_info info;
	struct lane_push p;
	uint64_t id;

	if (n != sizeof(info))
		die_bug(__FILE__, __LINE__, "length of a stream's description");
	memcpy(&info, bytes, sizeof(info));
	id = info.id;
	mcp_refresh(w->mcp);
	slot_state(w->shm, SLOT_READING);
	if (mcp_stream_recheck(w->mcp, &info, &w->events) < 0) {
		end_stream(w, id);
		return;
	}
	memset(&p, 0, sizeof(p));
	p.policy = info.policy;
	p.catalog = info.catalog;
	memcpy(p.list, info.list, sizeof(p.list));
	memcpy(p.servers, info.servers, sizeof(p.servers));
	p.user = info.user;
	p.is_recheck = 1;
	if (send_back(w, id, LANE_PUSH, span_make((const char *)&p, sizeof(p)),
	    buf_span(&w->events)) < 0)
		log_warn("the keeper cannot be told: %s", strerror(errno));
}

/* ---- one request -------------------------------------------------------------- */

/* A list may stand in several lines (RFC 9110 section 5.3); proxies that add
 * one add it behind those that the client sent. */
static struct span
forwarded_for(const struct http_head *h)
{
	int i;

	if (h->known_count[HTTP_H_X_FORWARDED_FOR] > 1)
		for (i = h->header_count - 1; i >= 0; i--)
			if (span_is_nocase(h->headers[i].name,
			    "x-forwarded-for"))
				return h->headers[i].value;
	return h->known[HTTP_H_X_FORWARDED_FOR];
}

/* The client's address: the peer's, or what a trusted proxy says. */
static void
client_address(const struct place *w, const struct conf *conf, char *out,
    size_t size)
{
	struct span xff = forwarded_for(&w->request.head);
	uint32_t i;
	size_t at;

	span_copy(out, size, span_str(w->conn.peer));
	if (xff.p == NULL)
		return;
	for (i = 0; i < conf->trusted_proxies.n; i++)
		if (strcmp(conf->trusted_proxies.item[i], w->conn.peer) == 0)
			break;
	if (i == conf->trusted_proxies.n)
		return;
	for (at = xff.n; at > 0 && xff.p[at - 1] != ','; at--)
		;
	while (at < xff.n && xff.p[at] == ' ')
		at++;
	span_copy(out, size, span_skip(xff, at));
}

/* "/servers/NAME/mcp" -> NAME */
static bool
server_path(struct span path, struct span *name)
{
	struct span rest;

	if (!span_starts(path, "/servers/"))
		return false;
	rest = span_skip(path, 9);
	if (rest.n < 5 || memcmp(rest.p + rest.n - 4, "/mcp", 4) != 0)
		return false;
	*name = span_make(rest.p, rest.n - 4);
	return name->n <= 64 && memchr(name->p, '/', name->n) == NULL;
}

static int
route(struct place *w, const struct conf *conf, struct span body)
{
	struct mcp_http m = { .head = &w->request.head, .body = body,
	    .client_fd = w->conn.fd, .reply = &w->reply,
	    .release = release, .release_arg = w,
	    .connection = w->conn.id, .hand_over = hand_over,
	    .end_stream = end_stream };
	char client[64];
	struct err e;

	client_address(w, conf, client, sizeof(client));
	m.client = client;
	if (!url_path_is_plain(w->request.head.path)) {
		err_set(&e, ERR_BADREQ, "the path is not plain: no empty, \".\" "
		    "or \"..\" segments, no encoded slashes");
		return answer_error(w, &e);
	}
	if (w->api != NULL && span_starts(w->request.head.path,
	    LANE_API_PATH)) {
		w->api->conf = conf;
		return api_serve(w->api, &w->request.head, body, client,
		    &w->reply);
	}
	if (span_is(w->request.head.path, "/mcp") ||
	    server_path(w->request.head.path, &m.server))
		return mcp_serve(w->mcp, &m);
	return web_serve(w->shm, conf, &w->request.head, client, &w->reply);
}

static void
count_reply(struct place *w, struct span body)
{
	struct shm_slot *s = shm_self(w->shm);
	int status = w->reply.status;

	shm_count_in(s, C_HTTP_REQUESTS, 1);
	shm_count_in(s, status < 400 ? C_HTTP_2XX : status < 500 ? C_HTTP_4XX :
	    C_HTTP_5XX, 1);
	shm_count_in(s, C_RECEIVED_BYTES, w->request.head.size + body.n);
	shm_count_in(s, C_SENT_BYTES, w->reply.sent_bytes);
	w->served++;
	atomic_store_explicit(&s->served, w->served, memory_order_relaxed);
}

/* A request for another lane, on a connection that we hold: the keeper finds
 * whose it is. What came with it must fit into one message. */
static bool
pass_on(struct place *w)
{
	struct err e;

	if (conn_rest(&w->conn).n <= LANE_BYTES_MAX) {
		w->passes_on = true;
		return true;
	}
	err_set(&e, ERR_UNAVAILABLE, "this request needs a connection of its "
	    "own");
	e.retry_after_s = 1;
	answer_error(w, &e);
	linger(w);
	return false;
}

/*
 * The head of a request of the API is there. A body is waited for only if its
 * sender may administrate: nobody else holds up one of the few processes. As
 * conn_read_request(); 3: it is to be refused without its body.
 */
static int
read_admitted(struct place *w, const struct conf *conf, struct span *body,
    struct err *e)
{
	const struct http_head *h = &w->request.head;
	int rc;

	w->api->conf = conf;
	if ((h->chunked || h->content_length > 0) &&
	    !api_admits(w->api, h))
		return 3;
	w->conn.elsewhere = NULL;
	rc = conn_read_request(&w->conn, conf, &w->request, body, e);
	w->conn.elsewhere = LANE_API_PATH;
	return rc;
}

/* true: the connection may serve another request. */
static bool
one_request(struct place *w)
{
	const struct conf *conf = mcp_refresh(w->mcp);
	struct span body = { NULL, 0 };
	struct err e;
	int rc;

	slot_state(w->shm, SLOT_READING);
	http_reply_start(&w->reply, w->conn.fd, conf->write_timeout_ms);
	rc = conn_read_request(&w->conn, conf, &w->request, &body, &e);
	if (rc == 2 && w->api == NULL)
		return pass_on(w);
	if (rc == 2)
		rc = read_admitted(w, conf, &body, &e);
	if (rc == 0)
		return false;
	if (rc < 0) {
		shm_count_in(shm_self(w->shm), C_HTTP_MALFORMED, 1);
		answer_error(w, &e);
		linger(w);
		return false;
	}
	w->reply.is_http10 = w->request.head.minor == 0;
	w->reply.is_head = w->request.head.method == HTTP_HEAD;
	w->reply.keep_alive = w->request.head.keep_alive && rc != 3 &&
	    !draining(w);
	slot_state(w->shm, SLOT_WRITING);
	if (route(w, conf, body) < 0)
		w->reply.keep_alive = false;
	count_reply(w, body);
	if (rc == 3)
		linger(w);
	return w->reply.keep_alive && !w->reply.broken;
}

/*
 * Holds a quiet connection while nobody waits for a worker. The keeper sends
 * SIGUSR1 when somebody does; that only ends the recv.
 */
static bool
hold(struct place *w)
{
	int rc;

	for (;;) {
		if (draining(w) || w->lane != LANE_WORK || others_wait(w))
			return false;
		slot_state(w->shm, SLOT_HOLDING);
		errno = 0;
		rc = conn_hold(&w->conn);
		if (rc > 0)
			return true;
		if (rc < 0) {
			w->conn.start = w->conn.n = 0;
			w->reply.broken = true;
			return false;
		}
		if (errno != EINTR)
			return false;	/* quiet for a whole hold time */
	}
}

static void
serve_connection(struct place *w)
{
	for (;;) {
		bool again = one_request(w);

		if (w->released)
			return;
		if (!again) {
			shutdown(w->conn.fd, SHUT_RDWR);
			tell_keeper(w, LANE_CLOSED);
			return;
		}
		/* what follows may be no matter of this lane */
		if (w->lane != LANE_WORK)
			w->passes_on = true;
		if (!w->passes_on && (conn_rest(&w->conn).n > 0 || hold(w)))
			continue;
		tell_keeper(w, w->reply.broken || draining(w) ||
		    conn_rest(&w->conn).n > LANE_BYTES_MAX ? LANE_CLOSED :
		    LANE_PARK);
		return;
	}
}

/* ---- from the worker ----------------------------------------------------------- */

static void
serve(struct place *w, const char *message, size_t n, int fd)
{
	struct shm_slot *self = shm_self(w->shm);
	struct lane_luggage l;

	if (n >= sizeof(l)) {
		memcpy(&l, message, sizeof(l));
		if (l.job == LANE_RECHECK && fd < 0) {
			recheck(w, message + sizeof(l), n - sizeof(l));
			return;
		}
	}
	if (fd < 0 || n < sizeof(l)) {
		log_error("a hand-over came without its connection");
		if (fd >= 0)
			close(fd);
		return;
	}
	atomic_store_explicit(&self->connection, l.id, memory_order_relaxed);
	conn_start(&w->conn, fd, l.id, l.peer, message + sizeof(l),
	    n - sizeof(l));
	w->released = w->passes_on = false;
	w->conn.elsewhere = LANE_API_PATH;
	/* the two of that lane serve one request at a time: nobody holds them */
	w->conn.takes_bodies = w->lane != LANE_CONTROL;
	serve_connection(w);
	atomic_store_explicit(&self->connection, 0, memory_order_relaxed);
	if (!w->released)
		close(fd);
}

void
place_serve(void *arg)
{
	struct place *w = arg;

	serve(w, w->message, w->n, w->fd);
	slot_state(w->shm, SLOT_IDLE);
	w->busy = false;
	if (w->lane == LANE_WORK)
		atomic_fetch_add(&shm_queue(w->shm)->idle, 1);
}

void
place_init(struct place *w, struct proc *p, uint32_t slot, enum lane_kind lane,
    const volatile sig_atomic_t *stop)
{
	w->proc = p;
	w->copy = p->shm;
	w->copy.slot = slot;
	w->shm = &w->copy;
	w->lane = lane;
	w->stop = stop;
	slot_state(w->shm, SLOT_IDLE);
	if (lane == LANE_WORK)
		atomic_fetch_add(&shm_queue(w->shm)->idle, 1);
}

void
place_open(struct place *w)
{
	if (w->mcp != NULL)
		return;
	w->mcp = mcp_new(w->shm, w->proc->audit_pipe[1], w->proc->stdio_path);
	if (w->lane == LANE_API)
		w->api = admin_open(w->proc, w->shm);
	http_reply_init(&w->reply, 1u << 30);
	buf_init(&w->events, LANE_BYTES_MAX / 2);
}

void
place_close(struct place *w)
{
	if (w->lane == LANE_WORK)
		atomic_fetch_sub(&shm_queue(w->shm)->idle, 1);
	slot_state(w->shm, SLOT_EXITING);
	if (w->mcp == NULL)
		return;
	mcp_free(&w->mcp);
	admin_close(&w->api);
	http_reply_free(&w->reply);
	buf_free(&w->events);
}
