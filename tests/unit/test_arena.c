/* Unit tests of base/arena: alignment, zeroing, reset, deferred calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void
assert_zero(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(p[i], 0);
}

static void
gives_aligned_zeroed_memory(void **state)
{
	struct arena *a = arena_new(512);
	size_t n;
	int round;

	for (round = 0; round < 3; round++) {
		for (n = 0; n < 2000; n += 37) {
			char *p = arena_alloc(a, n);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			assert_zero(p, n);
			memset(p, 0xff, n);
		}
		arena_reset(a);
	}
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

static void
pieces_do_not_overlap(void **state)
{
	struct arena *a = arena_new(256);
	char *p[200];
	size_t i, n;

	for (i = 0; i < 200; i++) {
		n = 1 + i * 7 % 300;
		p[i] = arena_alloc(a, n);
		memset(p[i], (int)i, n);
	}
	for (i = 0; i < 200; i++) {
		n = 1 + i * 7 % 300;
		assert_int_equal((unsigned char)p[i][0], i);
		assert_int_equal((unsigned char)p[i][n - 1], i);
	}
	arena_free(&a);
}

static void
big_piece_keeps_the_rest_of_the_block(void **state)
{
	struct arena *a = arena_new(1024);
	char *small = arena_alloc(a, 16), *big = arena_alloc(a, 100000);
	char *next = arena_alloc(a, 16);

	big[99999] = 1;
	assert_ptr_equal(next, small + 16);
	arena_reset(a);
	assert_zero(arena_alloc(a, 1024), 1024);
	arena_free(&a);
}

static void
copies_and_formats(void **state)
{
	struct arena *a = arena_new(64);
	struct span d = arena_dup(a, SPAN_LIT("ab\0c"));

	assert_string_equal(arena_strdup(a, SPAN_LIT("hello")), "hello");
	assert_string_equal(arena_strdup(a, span_make(NULL, 0)), "");
	assert_int_equal(d.n, 4);
	assert_memory_equal(d.p, "ab\0c", 4);
	assert_int_equal(d.p[4], '\0');
	assert_string_equal(arena_printf(a, "%d-%s", 42, "x"), "42-x");
	assert_int_equal(strlen(arena_printf(a, "%5000d", 1)), 5000);
	arena_free(&a);
}

static int order[8], order_n;
static struct arena *shared;

static void
note(void *obj)
{
	order[order_n++] = *(int *)obj;
}

static void
note_and_defer(void *obj)
{
	note(obj);
	arena_defer(shared, note, obj);
}

static void
runs_deferred_newest_first_once(void **state)
{
	static int one = 1, two = 2, three = 3;

	shared = arena_new(256);
	order_n = 0;
	arena_defer(shared, note, &one);
	arena_defer(shared, note, &two);
	arena_reset(shared);
	assert_int_equal(order_n, 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	arena_reset(shared);
	assert_int_equal(order_n, 2);
	arena_defer(shared, note_and_defer, &three);
	arena_free(&shared);
	assert_int_equal(order_n, 4);
	assert_int_equal(order[3], 3);
}

static void
process_memory(void **state)
{
	char *p = xmalloc(0), *q;

	assert_non_null(p);
	p = xrealloc(p, 10);
	memcpy(p, "abc", 4);
	q = xstrdup(p);
	assert_string_equal(q, "abc");
	free(q);
	q = xstrndup(p, 2);
	assert_string_equal(q, "ab");
	free(q);
	q = xasprintf("%s-%d", p, 1);
	assert_string_equal(q, "abc-1");
	free(q);
	q = xcalloc(3, 5);
	assert_zero(q, 15);
	free(q);
	free(xcalloc(0, 5));
	free(xrealloc(NULL, 0));
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_aligned_zeroed_memory),
		cmocka_unit_test(pieces_do_not_overlap),
		cmocka_unit_test(big_piece_keeps_the_rest_of_the_block),
		cmocka_unit_test(copies_and_formats),
		cmocka_unit_test(runs_deferred_newest_first_once),
		cmocka_unit_test(process_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
