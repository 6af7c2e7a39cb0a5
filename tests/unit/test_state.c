/*
 * test_state -- sealed requestState: round trip, scope, time, every bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mcp/state.h"

static struct arena *mem;

static struct state_scope
scope(int64_t user, int64_t server, const char *method, const char *name)
{
	return (struct state_scope){ user, server, span_str(method),
	    span_str(name) };
}

static struct span
seal(enum state_kind kind, const char *inner)
{
	struct state st = { .kind = kind, .slot = 12, .call = 345,
	    .inner = span_str(inner) };
	struct state_scope s = scope(1, 2, "tools/call", "echo");

	return state_seal(mem, &st, &s, 1000);
}

static void
test_round_trip(void **state)
{
	struct state_scope s = scope(1, 2, "tools/call", "echo");
	struct state st;
	struct err e;

	assert_int_equal(state_open(mem, seal(STATE_UPSTREAM, "\"abc\""), &s,
	    999, &st, &e), 0);
	assert_int_equal(st.kind, STATE_UPSTREAM);
	assert_true(span_is(st.inner, "\"abc\""));
	assert_int_equal(state_open(mem, seal(STATE_HELD, ""), &s, 999, &st, &e),
	    0);
	assert_int_equal(st.slot, 12);
	assert_int_equal(st.call, 345);
	assert_int_equal(state_open(mem, seal(STATE_HELD, ""), &s, 1000, &st,
	    &e), -1);
	assert_int_equal(e.code, ERR_PARAMS);
}

static void
test_scope(void **state)
{
	const struct state_scope wrong[] = {
		scope(9, 2, "tools/call", "echo"),
		scope(1, 9, "tools/call", "echo"),
		scope(1, 2, "prompts/get", "echo"),
		scope(1, 2, "tools/call", "other"),
		/* the same bytes, split elsewhere */
		scope(1, 2, "tools/calle", "cho"),
		scope(1, 2, "tools/callecho", ""),
	};
	struct span text = seal(STATE_UPSTREAM, "\"abc\"");
	struct state st;
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(state_open(mem, text, &wrong[i], 1, &st, &e),
		    -1);
	state_init("another secret of 32 characters...");
	assert_int_equal(state_open(mem, text, &(struct state_scope){ 1, 2,
	    span_str("tools/call"), span_str("echo") }, 1, &st, &e), -1);
	state_init("a secret of at least 32 characters");
}

static void
test_every_byte(void **state)
{
	struct state_scope s = scope(1, 2, "tools/call", "echo");
	struct span text = seal(STATE_UPSTREAM, "\"abc\"");
	struct state st;
	struct err e;
	size_t i;

	for (i = 0; i < text.n; i++) {
		char *copy = arena_strdup(mem, text);

		copy[i] = copy[i] == 'A' ? 'B' : 'A';
		assert_int_equal(state_open(mem, span_make(copy, text.n), &s, 1,
		    &st, &e), -1);
		assert_int_equal(state_open(mem, span_make(text.p, i), &s, 1,
		    &st, &e), -1);
	}
}

static int
setup(void **state)
{
	mem = arena_new(4096);
	state_init("a secret of at least 32 characters");
	return 0;
}

static int
teardown(void **state)
{
	arena_free(&mem);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_scope),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
