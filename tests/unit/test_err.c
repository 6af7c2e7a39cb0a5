/* Unit tests of base/err: codes, texts, truncation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void
sets_code_and_text(void **state)
{
	struct err e = { .code = ERR_RATE, .retry_after_s = 7 };

	assert_int_equal(err_set(&e, ERR_DENIED, "tool %s", "x"), -1);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(e.retry_after_s, 0);
	assert_string_equal(e.text, "tool x");
}

static void
wraps_in_front(void **state)
{
	struct err e;

	err_set(&e, ERR_UPSTREAM, "refused");
	e.retry_after_s = 3;
	assert_int_equal(err_wrap(&e, "server %d", 5), -1);
	assert_string_equal(e.text, "server 5: refused");
	assert_int_equal(e.code, ERR_UPSTREAM);
	assert_int_equal(e.retry_after_s, 3);
	err_wrap(&e, "%s", "");
	assert_string_equal(e.text, "server 5: refused");
}

static void
cuts_what_does_not_fit(void **state)
{
	struct err e;
	char big[2000];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, ERR_INTERNAL, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_wrap(&e, "context");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "context: aaa", 12);
	err_wrap(&e, "%s", big);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "aaaa", 4);
}

static void
clears(void **state)
{
	struct err e = { ERR_RATE, 9, "text" };

	err_clear(&e);
	assert_int_equal(e.code, ERR_NONE);
	assert_int_equal(e.retry_after_s, 0);
	assert_string_equal(e.text, "");
}

static void
table_is_complete(void **state)
{
	int i;

	for (i = 0; i < ERR_COUNT; i++) {
		enum err_code code = (enum err_code)i;

		assert_in_range(err_http_status(code), 200, 599);
		assert_true(err_rpc_code(code) <= 0);
		assert_true(strlen(err_name(code)) > 0);
		assert_true(strlen(err_summary(code)) > 0);
	}
	assert_int_equal(err_http_status(ERR_DENIED), 403);
	assert_int_equal(err_rpc_code(ERR_PARSE), -32700);
	assert_string_equal(err_name(ERR_RATE), "RATE");
	assert_string_equal(err_summary(ERR_DENIED), "caller may not do this");
	assert_int_equal(err_http_status((enum err_code)9999), 500);
	assert_string_equal(err_name((enum err_code)-1), "INTERNAL");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text),
		cmocka_unit_test(wraps_in_front),
		cmocka_unit_test(cuts_what_does_not_fit),
		cmocka_unit_test(clears),
		cmocka_unit_test(table_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
