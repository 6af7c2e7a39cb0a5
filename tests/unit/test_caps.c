/*
 * test_caps -- what a client declared: to bits, and to what servers are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mcp/mcp_int.h"

#define BOTH	"\"requests\":{\"sampling\":{\"createMessage\":{}}," \
		"\"elicitation\":{\"create\":{}}}"
#define ASKS	"\"sampling\":{},\"elicitation\":{\"form\":{}}"

enum {
	S = SESSION_CAP_SAMPLING, E = SESSION_CAP_ELICITATION,
	R = SESSION_CAP_ROOTS, U = SESSION_CAP_ELICITATION_URL,
	ST = SESSION_CAP_SAMPLING_TASKS, ET = SESSION_CAP_ELICITATION_TASKS,
	TL = SESSION_CAP_TASKS_LIST, TC = SESSION_CAP_TASKS_CANCEL
};

static struct arena *mem;

static uint32_t
caps_of(const char *text, bool knows_tasks)
{
	struct json_value v;

	assert_int_equal(json_check(span_str(text), &v, NULL), JSON_OK);
	return mcp_caps_of_json(v, knows_tasks);
}

static const struct {
	const char	*text;
	uint32_t	 caps, without;	/* of 2025-11-25; of another revision */
} cases[] = {
	{ "{}", 0, 0 },
	{ "[]", 0, 0 },
	{ "{\"sampling\":true,\"roots\":[]}", 0, 0 },
	{ "{\"roots\":{\"listChanged\":true},\"sampling\":{}}", S | R, S | R },
	{ "{\"elicitation\":{}}", E, E },
	{ "{\"elicitation\":{\"form\":{},\"url\":{}}}", E | U, E | U },
	{ "{" ASKS ",\"tasks\":{}}", S | E, S | E },
	/* nothing can become a task: nothing to list or cancel */
	{ "{" ASKS ",\"tasks\":{\"list\":{},\"cancel\":{}}}", S | E, S | E },
	{ "{" ASKS ",\"tasks\":{\"requests\":{\"tools\":{\"call\":{}}},"
	    "\"list\":{}}}", S | E, S | E },
	{ "{" ASKS ",\"tasks\":{" BOTH "}}", S | E | ST | ET, S | E },
	{ "{" ASKS ",\"tasks\":{\"list\":{},\"cancel\":{}," BOTH "}}",
	    S | E | ST | ET | TL | TC, S | E },
	{ "{" ASKS ",\"tasks\":{\"list\":true,\"cancel\":{},\"requests\":{"
	    "\"sampling\":{},\"elicitation\":{\"create\":{}}}}}",
	    S | E | ET | TC, S | E },
	/* of what it cannot be asked there are no tasks */
	{ "{\"elicitation\":{},\"tasks\":{\"list\":{}," BOTH "}}",
	    E | ET | TL, E },
	{ "{\"roots\":{},\"tasks\":{\"list\":{}," BOTH "}}", R, R },
};

static void
test_of_json(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (caps_of(cases[i].text, true) != cases[i].caps ||
		    caps_of(cases[i].text, false) != cases[i].without)
			fail_msg("%s: %x, without tasks %x", cases[i].text,
			    caps_of(cases[i].text, true),
			    caps_of(cases[i].text, false));
	assert_int_equal(mcp_caps_of_json((struct json_value){ JSON_NONE,
	    { NULL, 0 } }, true), 0);
}

static void
test_to_json(void **state)
{
	static const struct { uint32_t caps; const char *text; } t[] = {
		{ 0, "{}" },
		{ R, "{\"roots\":{}}" },
		{ S | E | U | R, "{\"sampling\":{},\"elicitation\":{\"form\":{},"
		    "\"url\":{}},\"roots\":{}}" },
		{ E | ET | TC, "{\"elicitation\":{\"form\":{}},\"tasks\":{"
		    "\"cancel\":{},\"requests\":{\"elicitation\":{"
		    "\"create\":{}}}}}" },
		{ S | E | ST | ET | TL | TC, "{" ASKS ",\"tasks\":{\"list\":{},"
		    "\"cancel\":{}," BOTH "}}" },
	};
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct span s = mcp_caps_to_json(mem, t[i].caps);

		if (!span_is(s, t[i].text))
			fail_msg("%x: %.*s", t[i].caps, SPAN_FMT(s));
	}
	/* and back, whatever can be declared */
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(caps_of(arena_strdup(mem, mcp_caps_to_json(mem,
		    cases[i].caps)), true), cases[i].caps);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_json),
		cmocka_unit_test(test_to_json),
	};
	int rc;

	mem = arena_new(4096);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	arena_free(&mem);
	return rc;
}
