/*
 * test_upstream_https -- the same judgement through libcurl: a TLS server in
 * the test, with a certificate made for it, speaks the scripted answers.
 */
#include "upstream_test.h"

#include <netdb.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/fiber.h"

#define HEAD	"HTTP/1.1 200 OK\r\n"
#define JSON	"Content-Type: application/json\r\n"
#define EVENTS	"Content-Type: text/event-stream\r\n"
#define OK8	"{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}"
#define N7	"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}"

struct world {
	struct fake	 f;
	const char	*bytes;		/* the answer; NULL: silence */
	const char	*lost;		/* instead, when it closes */
	const char	*resumed;	/* the answer to a GET */
	int		 close_from;	/* number of a request; 0: never */
	int		 hangup_fd;	/* closed instead of an answer */
	int		 tls_connections;
	bool		 is_proxy;	/* CONNECT comes first */
	struct upstream_pool *pool;
	struct upstream_target t;
	struct upstream_call call;
	struct buf	 response;
	struct err	 e;
};

static SSL_CTX *server_ctx;
static char ca_path[64];

static X509 *
make_certificate(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name,
	    "IP:127.0.0.1");
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	X509_sign(cert, key, EVP_sha256());
	return cert;
}

static int
setup(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_certificate(key);
	FILE *file;
	int fd;

	snprintf(ca_path, sizeof(ca_path), "/tmp/upstream-test-XXXXXX");
	fd = mkstemp(ca_path);
	file = fdopen(fd, "w");
	PEM_write_X509(file, cert);
	fclose(file);
	server_ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(server_ctx, cert);
	SSL_CTX_use_PrivateKey(server_ctx, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	setenv("no_proxy", "*", 1);
	upstream_global_init();
	return 0;
}

static int
teardown(void **state)
{
	unlink(ca_path);
	SSL_CTX_free(server_ctx);
	return 0;
}

static bool
read_request(struct fake *f, SSL *ssl)
{
	char *p = f->request[f->n % FAKE_REQUESTS], *end, *length;
	uint64_t body = 0;
	size_t used = 0;
	int n;

	for (;;) {
		n = SSL_read(ssl, p + used, (int)(FAKE_SIZE - 1 - used));
		if (n <= 0)
			return false;
		used += (size_t)n;
		p[used] = '\0';
		if ((end = strstr(p, "\r\n\r\n")) == NULL)
			continue;
		if ((length = strstr(p, "Content-Length: ")) != NULL)
			assert_int_equal(num_u64(span_make(length + 16,
			    strcspn(length + 16, "\r")), 0, FAKE_SIZE, &body),
			    0);
		if (used >= (size_t)(end - p) + 4 + body)
			break;
	}
	f->n++;
	return true;
}

static void
serve(struct fake *f, int fd, int connection)
{
	struct world *w = f->arg;
	SSL *ssl = SSL_new(server_ctx);
	const char *bytes;
	bool closes;

	if (w->is_proxy && fake_read(f, fd))
		fake_send(fd, "HTTP/1.1 200 X\r\n" JSON "\r\n");
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		w->tls_connections++;
		while (read_request(f, ssl)) {
			if (w->hangup_fd >= 0) {
				close(w->hangup_fd);
				w->hangup_fd = -1;
				continue;
			}
			closes = w->close_from > 0 && f->n >= w->close_from;
			bytes = closes && w->lost != NULL ? w->lost : w->bytes;
			if (strncmp(f->request[f->n - 1], "GET ", 4) == 0)
				bytes = w->resumed;
			if (bytes != NULL && bytes[0] != '\0')
				SSL_write(ssl, bytes, (int)strlen(bytes));
			if (closes)
				break;
		}
	}
	SSL_shutdown(ssl);
	SSL_free(ssl);
}

static void
world_start(struct world *w, const char *bytes)
{
	memset(w, 0, sizeof(*w));
	w->bytes = bytes;
	w->hangup_fd = -1;
	setenv("SSL_CERT_FILE", ca_path, 1);
	fake_start(&w->f, "https", serve, w);
	w->pool = upstream_pool_new(NULL, NULL);
	test_target(&w->t, &w->f);
	test_call(&w->call, &w->response);
}

static void
world_stop(struct world *w)
{
	upstream_pool_free(&w->pool);
	fake_stop(&w->f);
	buf_free(&w->response);
}

static int
exchange(struct world *w)
{
	err_clear(&w->e);
	w->call.deadline_ms = clock_mono_ms() + 5000;
	return upstream_exchange(w->pool, &w->t, &w->call, &w->e);
}

static void
test_exchange(void **state)
{
	static struct world w;
	int i;

	world_start(&w, HEAD JSON "Mcp-Session-Id: s-9\r\n"
	    "Content-Length: 41\r\n\r\n" OK7);
	w.t.auth_header = "Authorization: Bearer s3cret";
	w.close_from = 6;
	for (i = 0; i < 5; i++) {
		assert_int_equal(exchange(&w), 0);
		assert_true(span_is(buf_span(&w.response), OK7));
	}
	assert_string_equal(w.call.new_session, "s-9");
	assert_int_equal(w.call.http_status, 200);
	assert_int_equal(w.tls_connections, 1);
	assert_non_null(strstr(w.f.request[0],
	    "Authorization: Bearer s3cret\r\n"));
	assert_non_null(strstr(w.f.request[0], "Mcp-Session-Id: abc\r\n"));
	assert_null(strstr(w.f.request[0], "Expect"));
	assert_non_null(strstr(w.f.request[0], "\r\n\r\n{\"jsonrpc\":\"2.0\","
	    "\"id\":7,\"method\":\"tools/call\","
	    "\"params\":{\"name\":\"echo\"}}"));
	/* Closed connections are replaced. */
	assert_int_equal(exchange(&w), 0);
	fake_wait_idle(&w.f);
	assert_int_equal(exchange(&w), 0);
	fake_wait_idle(&w.f);
	assert_int_equal(w.tls_connections, 2);
	upstream_pool_trim(w.pool, 0);
	assert_int_equal(exchange(&w), 0);
	world_stop(&w);
}

static int
on_message(void *arg, struct span message, struct err *e)
{
	++*(int *)arg;
	return 0;
}

static void
test_event_stream(void **state)
{
	static struct world w;
	int messages = 0, i;

	world_start(&w, HEAD EVENTS "Transfer-Encoding: chunked\r\n\r\n"
	    "41\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":"
	    "\"notifications/progress\"}\n\n     \n\r\n"
	    "31\r\ndata: " OK7 "\n\n\r\n0\r\n\r\n");
	w.call.on_message = on_message;
	w.call.arg = &messages;
	for (i = 0; i < 3; i++)
		assert_int_equal(exchange(&w), 0);
	assert_int_equal(messages, 3);
	assert_int_equal(w.tls_connections, 1);
	world_stop(&w);

	/* A stream that goes on after the answer is cut soon. */
	world_start(&w, HEAD EVENTS "\r\ndata: " OK7 "\n\n");
	assert_int_equal(exchange(&w), 0);
	assert_true(span_is(buf_span(&w.response), OK7));
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(w.tls_connections, 2);
	world_stop(&w);
}

/* The stream ends before the answer: the rest is fetched with GET. */
static void
test_resumed(void **state)
{
	static struct world w;

	world_start(&w, HEAD EVENTS "\r\nid: e1\nretry: 10\ndata:\n\n");
	w.close_from = 1;
	w.resumed = HEAD EVENTS "\r\nid: e2\ndata: " OK7 "\n\n";
	assert_int_equal(exchange(&w), 0);
	assert_true(span_is(buf_span(&w.response), OK7));
	assert_int_equal(w.f.n, 2);
	assert_memory_equal(w.f.request[1], "GET /mcp HTTP/1.1\r\n", 19);
	assert_non_null(strstr(w.f.request[1], "\r\nLast-Event-ID: e1\r\n"));
	assert_non_null(strstr(w.f.request[1], "Mcp-Session-Id: abc\r\n"));
	/* and the next call is a POST again */
	assert_int_equal(exchange(&w), 0);
	assert_memory_equal(w.f.request[2], "POST ", 5);
	world_stop(&w);
}

static void
test_bad_answers(void **state)
{
	static const struct { const char *bytes; enum err_code code;
	    const char *part; } cases[] = {
		{ HEAD JSON "\r\n" OK8, ERR_UPSTREAM, "not ours" },
		{ HEAD JSON "\r\n<html>", ERR_UPSTREAM, "bad answer" },
		{ HEAD EVENTS "\r\ndata: " OK7 "\n\ndata: " OK7 "\n\n",
		    ERR_UPSTREAM, "twice" },
		{ HEAD JSON "Content-Encoding: gzip\r\n\r\n\x1f\x8b",
		    ERR_UPSTREAM, "encoded" },
		{ HEAD JSON "Content-Length: 99\r\n\r\n" OK7, ERR_UPSTREAM,
		    "" },
		{ "HTTP/1.1 302 X\r\nLocation: https://127.0.0.1:1/\r\n\r\n",
		    ERR_UPSTREAM, "HTTP 302" },
		{ "HTTP/1.1 401 X\r\n\r\n", ERR_UPSTREAM,
		    "refused our credentials (HTTP 401)" },
		{ "HTTP/1.1 500 X\r\n\r\n", ERR_UPSTREAM, "HTTP 500" },
		{ "SSH-2.0-x\r\n\r\n", ERR_UPSTREAM, "" },
		{ HEAD "Mcp-Session-Id: a b\r\n" JSON "\r\n" OK7,
		    ERR_UPSTREAM, "odd bytes" },
	};
	static struct world w;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world_start(&w, cases[i].bytes);
		w.close_from = 1;
		assert_int_equal(exchange(&w), -1);
		if (w.e.code != cases[i].code ||
		    strstr(w.e.text, cases[i].part) == NULL)
			fail_msg("case %zu: %s", i, w.e.text);
		assert_int_equal(w.response.n, 0);
		assert_int_equal(w.f.n, 1);
		world_stop(&w);
	}
}

static void
test_session_gone(void **state)
{
	static struct world w;

	world_start(&w, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(exchange(&w), -1);
	assert_true(w.call.session_gone);
	assert_false(w.call.maybe_executed);
	world_stop(&w);
}

/* The server reads the call and is gone: a tool is not called again. */
static void
test_lost(void **state)
{
	static struct world w;

	world_start(&w, HEAD JSON "Content-Length: 41\r\n\r\n" OK7);
	w.close_from = 2;
	w.lost = "";
	assert_int_equal(exchange(&w), 0);
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.e.code, ERR_UPSTREAM);
	assert_true(w.call.maybe_executed);
	assert_int_equal(w.f.n, 2);
	world_stop(&w);
}

/* Telling the server is a best effort of 200 ms, which on a busy
 * machine a handshake may take alone; it must work once in a few times. */
static bool
was_told(struct world *w, const char *reason)
{
	return w->f.n == 2 && strstr(w->f.request[1], reason) != NULL &&
	    strstr(w->f.request[1], "notifications/cancelled") != NULL;
}

static void
test_timeout(void **state)
{
	static struct world w;
	bool told = false;
	int i;

	for (i = 0; i < 10 && !told; i++) {
		world_start(&w, NULL);
		w.call.deadline_ms = clock_mono_ms() + 300;
		assert_int_equal(upstream_exchange(w.pool, &w.t, &w.call,
		    &w.e), -1);
		assert_int_equal(w.e.code, ERR_TIMEOUT);
		world_stop(&w);
		told = was_told(&w, "time-out");
	}
	assert_true(told);
}

static void
test_client_hangs_up(void **state)
{
	static struct world w;
	bool told = false;
	int i, pair[2];

	for (i = 0; i < 10 && !told; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		world_start(&w, NULL);
		w.hangup_fd = pair[1];
		w.call.client_fd = pair[0];
		assert_int_equal(exchange(&w), -1);
		assert_int_equal(w.e.code, ERR_CANCELLED);
		assert_true(w.call.maybe_executed);
		close(pair[0]);
		world_stop(&w);
		told = was_told(&w, "cancelled by the client");
	}
	assert_true(told);
}

static void
test_certificate_is_checked(void **state)
{
	static struct world w;

	world_start(&w, HEAD JSON "\r\n" OK7);
	unsetenv("SSL_CERT_FILE");
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.e.code, ERR_UPSTREAM);
	assert_int_equal(w.f.n, 0);
	assert_false(w.call.maybe_executed);
	world_stop(&w);
	/* The right authority, the wrong name. */
	world_start(&w, HEAD JSON "\r\n" OK7);
	snprintf(w.f.url, sizeof(w.f.url), "https://localhost:%u/", w.f.port);
	assert_int_equal(exchange(&w), -1);
	assert_int_equal(w.e.code, ERR_UPSTREAM);
	assert_int_equal(w.f.n, 0);
	world_stop(&w);
}

/* What it says of its own is no part of the answer. */
static void
test_proxy(void **state)
{
	static struct world w;
	char url[64];

	world_start(&w, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
	w.is_proxy = true;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", w.f.port);
	setenv("https_proxy", url, 1);
	unsetenv("no_proxy");
	assert_int_equal(exchange(&w), -1);
	assert_true(w.call.session_gone);
	assert_int_equal(w.call.http_status, 404);
	w.bytes = HEAD JSON "Content-Length: 41\r\n\r\n" OK7;
	assert_int_equal(exchange(&w), 0);
	assert_memory_equal(w.f.request[0], "CONNECT 127.0.0.1:", 18);
	assert_null(strstr(w.f.request[0], "Mcp-Session-Id"));
	setenv("no_proxy", "*", 1);
	unsetenv("https_proxy");
	world_stop(&w);
}

/* No TLS, and no word. */
static void
serve_silence(struct fake *f, int fd, int connection)
{
	fake_wait_closed(fd);
}

static void
post(void *arg)
{
	struct world *w = arg;

	upstream_post(w->pool, &w->t, &w->call.session, SPAN_LIT("{}"), &w->e);
}

static void
open_link(void *arg)
{
	struct world *w = arg;
	struct sess_info s;

	assert_int_equal(upstream_open(w->pool, &w->t, 0, false,
	    clock_mono_ms() + 700, &s, NULL, &w->e), -1);
	assert_int_equal(w->e.code, ERR_TIMEOUT);
}

/* A handshake that does not come to its end is no matter of other fibers. */
static void
test_others_run(void **state)
{
	static void (*const fn[])(void *) = { post, open_link };
	static struct world w;
	int64_t start, took;
	size_t i;

	for (i = 0; i < 2; i++) {
		world_start(&w, NULL);
		w.f.serve = serve_silence;
		w.t.transport = i == 0 ? TRANSPORT_HTTP : TRANSPORT_SSE;
		fibers_init(1);
		start = clock_mono_ms();
		assert_true(fiber_start(fn[i], &w));
		took = clock_mono_ms() - start;
		assert_in_range(took, 0, 300);
		while (fibers_running() > 0)
			fibers_wait(NULL, 0, -1);
		assert_in_range(clock_mono_ms() - start, 700, 3000);
		fibers_free();
		world_stop(&w);
	}
}

/* Instead of the C library's, for libcurl: one that takes its time. */
static _Atomic int lookup_ms;

int
getaddrinfo(const char *name, const char *service,
    const struct addrinfo *hints, struct addrinfo **out)
{
	clock_nap_ms(lookup_ms);
	return EAI_NONAME;
}

static void
call(void *arg)
{
	struct world *w = arg;

	w->call.deadline_ms = clock_mono_ms() + 100;
	assert_int_equal(upstream_exchange(w->pool, &w->t, &w->call, &w->e),
	    -1);
	assert_int_equal(w->e.code, ERR_TIMEOUT);
}

/* Nor are names that are looked up slowly: not even of the call itself, when
 * its time is over. */
static void
test_slow_names(void **state)
{
	static void (*const fn[])(void *) = { call, post, open_link };
	static const int64_t end_ms[] = { 1000, 3000, 1700 };
	static struct world w;
	int64_t start;
	size_t i;

	lookup_ms = 4000;
	for (i = 0; i < 3; i++) {
		world_start(&w, NULL);
		w.t.url = "https://slow.example/mcp";
		w.t.transport = i < 2 ? TRANSPORT_HTTP : TRANSPORT_SSE;
		start = clock_mono_ms();
		fn[i](&w);
		assert_in_range(clock_mono_ms() - start, 0, end_ms[i]);
		world_stop(&w);
	}
}

/* HTTP+SSE over TLS: the stream, and a POST for each message. */
static void
test_link(void **state)
{
	static struct world w;
	struct sess_info s;

	world_start(&w, NULL);
	w.resumed = HEAD EVENTS "\r\nevent: endpoint\ndata: /m\n\n";
	w.t.transport = TRANSPORT_SSE;
	/* connections are served one after the other: none for the POST */
	assert_int_equal(upstream_open(w.pool, &w.t, 0, false,
	    clock_mono_ms() + 700, &s, NULL, &w.e), -1);
	assert_non_null(strstr(w.e.text, "no connection in time"));
	assert_int_equal(w.f.n, 1);
	assert_memory_equal(w.f.request[0], "GET /mcp HTTP/1.1\r\n", 19);
	world_stop(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_event_stream),
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_session_gone),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_client_hangs_up),
		cmocka_unit_test(test_certificate_is_checked),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_others_run),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_slow_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
