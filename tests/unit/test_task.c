/*
 * test_task -- sealed ids of tasks: round trip, principal, every bit; ids
 * inside messages and nowhere else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mcp/task.h"

static struct arena *mem;

static struct span
seal(int64_t user, int64_t server, const char *tool, const char *id)
{
	struct task_ref r = { server, span_str(tool), span_str(id) };

	return task_seal(mem, user, &r);
}

static void
test_round_trip(void **state)
{
	struct span text = seal(7, -3, "research", "a/b c \xc3\xa9");
	struct task_ref r;

	assert_true(task_open(mem, 7, text, &r));
	assert_int_equal(r.server_id, -3);
	assert_true(span_is(r.tool, "research"));
	assert_true(span_is(r.id, "a/b c \xc3\xa9"));
	/* always the same one */
	assert_true(span_eq(text, seal(7, -3, "research", "a/b c \xc3\xa9")));
	/* the border between tool and id is sealed as well */
	assert_false(span_eq(seal(7, 1, "ab", "c"), seal(7, 1, "a", "bc")));
	assert_true(task_open(mem, 7, seal(7, 1, "", ""), &r));
	assert_int_equal(r.tool.n, 0);
	assert_int_equal(r.id.n, 0);
}

static void
test_another_principal(void **state)
{
	struct task_ref r;

	assert_false(task_open(mem, 8, seal(7, 1, "t", "id"), &r));
	assert_false(task_open(mem, -7, seal(7, 1, "t", "id"), &r));
}

static void
test_every_character(void **state)
{
	struct span text = seal(7, 1, "tool", "an-id");
	char *copy = arena_strdup(mem, text);
	struct task_ref r;
	size_t i;

	for (i = 0; i < text.n; i++) {
		char was = copy[i];

		/* the highest of its six bits: never one of the spare ones */
		copy[i] = was == 'A' ? 'g' : 'A';
		if (was >= 'A' && was <= 'P' && was != 'A')
			copy[i] = 'z';
		assert_false(task_open(mem, 7, span_make(copy, text.n), &r));
		copy[i] = was;
		assert_false(task_open(mem, 7, span_make(copy, i), &r));
	}
	assert_true(task_open(mem, 7, span_make(copy, text.n), &r));
	assert_false(task_open(mem, 7, SPAN_LIT(""), &r));
	assert_false(task_open(mem, 7, SPAN_LIT("an-id"), &r));
}

/* $ in both texts stands for the sealed id of "x". */
static void
rewrite(unsigned places, bool inward, const char *in, const char *want)
{
	struct task_scope s = { .mem = mem, .user_id = 7, .server_id = 5,
	    .tool = SPAN_LIT("t"), .inward = inward };
	struct span sealed = seal(7, 5, "t", "x");
	struct buf a, b, c;
	const char *p;

	buf_init(&a, 65536);
	buf_init(&b, 65536);
	buf_init(&c, 65536);
	for (p = in; *p != '\0'; p++)
		*p == '$' ? buf_add_span(&a, sealed) : buf_add_char(&a, *p);
	for (p = want; *p != '\0'; p++)
		*p == '$' ? buf_add_span(&b, sealed) : buf_add_char(&b, *p);
	task_rewrite(&s, buf_span(&a), places, &c);
	assert_int_equal(c.n, b.n);
	assert_memory_equal(c.p, b.p, b.n);
	buf_free(&a);
	buf_free(&b);
	buf_free(&c);
}

#define RELATED "\"io.modelcontextprotocol/related-task\""

static void
test_places(void **state)
{
	rewrite(TASK_AT_TOP, false, "{\"taskId\":\"x\",\"n\": 1.50 }",
	    "{\"taskId\":\"$\",\"n\":1.50}");
	rewrite(TASK_AT_TOP, false, "{\"taskId\":\"\\u0078\"}",
	    "{\"taskId\":\"$\"}");
	rewrite(TASK_AT_TOP, false, "{\"taskId\":5,\"task\":{\"taskId\":\"x\"}}",
	    "{\"taskId\":5,\"task\":{\"taskId\":\"x\"}}");
	rewrite(TASK_AT_TASK, false, "{\"task\":{\"taskId\":\"x\",\"a\":[]},"
	    "\"taskId\":\"x\"}", "{\"task\":{\"taskId\":\"$\",\"a\":[]},"
	    "\"taskId\":\"x\"}");
	rewrite(TASK_AT_META, false, "{\"_meta\":{" RELATED ":{\"taskId\":\"x\"}"
	    ",\"taskId\":\"x\"}}", "{\"_meta\":{" RELATED ":{\"taskId\":\"$\"}"
	    ",\"taskId\":\"x\"}}");
	rewrite(TASK_AT_PARAMS, false, "{\"params\":{\"taskId\":\"x\","
	    "\"_meta\":{" RELATED ":{\"taskId\":\"x\"}}},\"taskId\":\"x\"}",
	    "{\"params\":{\"taskId\":\"$\",\"_meta\":{" RELATED
	    ":{\"taskId\":\"$\"}}},\"taskId\":\"x\"}");
	rewrite(TASK_AT_PARAMS_META, false, "{\"params\":{\"taskId\":\"x\","
	    "\"_meta\":{" RELATED ":{\"taskId\":\"x\"}}}}",
	    "{\"params\":{\"taskId\":\"x\",\"_meta\":{" RELATED
	    ":{\"taskId\":\"$\"}}}}");
	rewrite(TASK_AT_TOP | TASK_AT_META, false, "{}", "{}");
}

static void
test_inward(void **state)
{
	rewrite(TASK_AT_META, true, "{\"_meta\":{" RELATED ":{\"taskId\":\"$\"}"
	    "},\"action\":\"accept\"}", "{\"_meta\":{" RELATED
	    ":{\"taskId\":\"x\"}},\"action\":\"accept\"}");
	/* what is not ours stays what it is */
	rewrite(TASK_AT_TOP, true, "{\"taskId\":\"x\"}", "{\"taskId\":\"x\"}");
}

static int
setup(void **state)
{
	task_init("a secret of the tests, longer than 32 bytes");
	mem = arena_new(4096);
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
		cmocka_unit_test(test_another_principal),
		cmocka_unit_test(test_every_character),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_inward),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
