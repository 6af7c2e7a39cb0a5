/*
 * test_session -- session ids: what is sealed comes back, and nothing else
 * opens.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/session.h"
#include "base/hash.h"

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))
#define NOW		1800000000
#define SECRET		"0123456789abcdef0123456789abcdef"
#define MCP		SPAN_LIT("/mcp")

static const struct session sample = { .id = 0x1122334455667788ULL,
	.expires = NOW + 60, .user_id = 42, .revision = 20251125,
	.caps = SESSION_CAP_SAMPLING | SESSION_CAP_TASKS_CANCEL };

static int
fresh(void **state)
{
	session_init(SECRET);
	return 0;
}

static void
expect_refused(struct span text, struct span endpoint, int64_t user_id,
    int64_t now)
{
	struct session s = sample;
	struct err e = { 0 };

	assert_int_equal(session_open(text, endpoint, user_id, now, &s, &e),
	    -1);
	assert_int_equal(e.code, ERR_SESSION);
	assert_string_equal(e.text, "Session not found or expired");
	assert_memory_equal(&s, &sample, sizeof(s));	/* untouched */
}

static void
test_round_trip(void **state)
{
	static const struct session t[] = {
		{ 1, NOW + 1, 1, 20241105, 0 },
		{ UINT64_MAX, INT64_MAX, INT64_MAX, UINT32_MAX, UINT32_MAX },
		{ 0, NOW + 60, INT64_C(1) << 62, 20250618, 63 },
		{ 7, NOW + 60, -9, 0, 1 },
	};
	static const char *const endpoints[] = { "", "/mcp",
		"/mcp/everything", "/sse" };
	char text[SESSION_ID_SIZE];
	struct session s;
	struct err e;
	size_t i, j, k;

	for (i = 0; i < COUNT(t); i++) {
		for (j = 0; j < COUNT(endpoints); j++) {
			session_seal(&t[i], span_str(endpoints[j]), text);
			assert_int_equal(strlen(text), 88);
			for (k = 0; k < 88; k++)
				assert_in_range(text[k], 0x21, 0x7e);
			assert_int_equal(session_open(span_str(text),
			    span_str(endpoints[j]), t[i].user_id, NOW, &s,
			    &e), 0);
			assert_true(s.id == t[i].id);
			assert_true(s.expires == t[i].expires);
			assert_true(s.user_id == t[i].user_id);
			assert_int_equal(s.revision, t[i].revision);
			assert_int_equal(s.caps, t[i].caps);
		}
	}
}

static void
test_others(void **state)
{
	char text[SESSION_ID_SIZE];
	struct session s;
	struct err e;

	session_seal(&sample, MCP, text);
	expect_refused(span_str(text), MCP, 43, NOW);
	expect_refused(span_str(text), MCP, 0, NOW);
	expect_refused(span_str(text), MCP, -42, NOW);
	expect_refused(span_str(text), SPAN_LIT("/mcp/a"), 42, NOW);
	expect_refused(span_str(text), SPAN_LIT("/mc"), 42, NOW);
	expect_refused(span_str(text), SPAN_LIT(""), 42, NOW);
	expect_refused(span_str(text), SPAN_LIT("/MCP"), 42, NOW);
	session_init("another secret, as long as the first");
	expect_refused(span_str(text), MCP, 42, NOW);
	/* the same secret again, as after a restart */
	session_init(SECRET);
	assert_int_equal(session_open(span_str(text), MCP, 42, NOW, &s, &e), 0);
}

static void
test_expiry(void **state)
{
	char text[SESSION_ID_SIZE];
	struct session s;
	struct err e;

	session_seal(&sample, MCP, text);
	assert_int_equal(session_open(span_str(text), MCP, 42, NOW + 59, &s,
	    &e), 0);
	expect_refused(span_str(text), MCP, 42, NOW + 60);
	expect_refused(span_str(text), MCP, 42, NOW + 61);
	expect_refused(span_str(text), MCP, 42, INT64_MAX);
}

static void
test_every_bit(void **state)
{
	char text[SESSION_ID_SIZE];
	uint8_t sealed[66];
	size_t i;
	int bit;

	session_seal(&sample, MCP, text);
	for (i = 0; i < 88; i++) {
		for (bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ 1 << bit);
			expect_refused(span_make(text, 88), MCP, 42, NOW);
			text[i] = (char)(text[i] ^ 1 << bit);
		}
	}
	assert_int_equal(base64url_decode(span_make(text, 88), sealed,
	    sizeof(sealed)), 66);
	for (i = 0; i < 66 * 8; i++) {
		sealed[i / 8] = (uint8_t)(sealed[i / 8] ^ 1 << i % 8);
		base64url_encode(sealed, 66, text);
		expect_refused(span_str(text), MCP, 42, NOW);
		sealed[i / 8] = (uint8_t)(sealed[i / 8] ^ 1 << i % 8);
	}
}

static void
test_wrong_texts(void **state)
{
	char text[SESSION_ID_SIZE + 1];
	size_t n;

	session_seal(&sample, MCP, text);
	for (n = 0; n < 88; n++)
		expect_refused(span_make(text, n), MCP, 42, NOW);
	text[88] = 'A';
	text[89] = '\0';
	expect_refused(span_str(text), MCP, 42, NOW);
	text[88] = '=';
	expect_refused(span_str(text), MCP, 42, NOW);
	memset(text, 'A', 88);
	expect_refused(span_make(text, 88), MCP, 42, NOW);
	expect_refused(span_make(NULL, 0), MCP, 42, NOW);
	memset(text, 0, 88);
	expect_refused(span_make(text, 88), MCP, 42, NOW);
}

/*
 * Capsules of a future version or with flags, although rightly sealed: the
 * key is derived here a second time, from the description in session.h.
 */
static void
test_other_versions(void **state)
{
	uint8_t key[32], sealed[66], message[34 + 4];
	char text[SESSION_ID_SIZE];
	struct session s;
	struct err e;
	int i;

	hash_hmac_sha256(SECRET, strlen(SECRET), "omni2 session v1", 16, key);
	session_seal(&sample, MCP, text);
	assert_int_equal(base64url_decode(span_str(text), sealed,
	    sizeof(sealed)), 66);
	for (i = 0; i < 3; i++) {
		memcpy(message, sealed, 34);
		if (i > 0)
			message[i - 1] ^= 2;
		memcpy(message + 34, "/mcp", 4);
		hash_hmac_sha256(key, 32, message, sizeof(message),
		    sealed + 34);
		if (i > 0)
			sealed[i - 1] ^= 2;
		base64url_encode(sealed, 66, text);
		if (i == 0)
			assert_int_equal(session_open(span_str(text), MCP, 42,
			    NOW, &s, &e), 0);
		else
			expect_refused(span_str(text), MCP, 42, NOW);
		if (i > 0)
			sealed[i - 1] ^= 2;
	}
}

/* Endpoints of any length, and none that is the beginning of another. */
static void
test_long_endpoints(void **state)
{
	char text[SESSION_ID_SIZE], endpoint[2048];
	struct session s;
	struct err e;
	size_t n;

	memset(endpoint, 'e', sizeof(endpoint));
	for (n = 1; n < sizeof(endpoint); n++) {
		session_seal(&sample, span_make(endpoint, n), text);
		assert_int_equal(session_open(span_str(text),
		    span_make(endpoint, n), 42, NOW, &s, &e), 0);
		expect_refused(span_str(text), span_make(endpoint, n - 1), 42,
		    NOW);
	}
}

/* Without a secret there is nothing to derive from: a bug of the caller. */
static void
test_empty_secret_dies(void **state)
{
	static const struct rlimit no_core = { 0, 0 };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		session_init("");
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round_trip, fresh),
		cmocka_unit_test_setup(test_others, fresh),
		cmocka_unit_test_setup(test_expiry, fresh),
		cmocka_unit_test_setup(test_every_bit, fresh),
		cmocka_unit_test_setup(test_wrong_texts, fresh),
		cmocka_unit_test_setup(test_other_versions, fresh),
		cmocka_unit_test_setup(test_long_endpoints, fresh),
		cmocka_unit_test_setup(test_empty_secret_dies, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
