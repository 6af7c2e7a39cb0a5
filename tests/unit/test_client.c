/* Downstream sessions and subscriptions: what is known, who is told, what the
 * dead leave behind. */
#include "shm_test.h"

#include <stdio.h>

#include "shm/client.h"
#include "base/clock.h"

#define NOW	1000

static struct shm_sub
sub(uint64_t owner, int64_t server_id, const char *prefix, const char *own)
{
	struct shm_sub s;

	memset(&s, 0, sizeof(s));
	s.owner = owner;
	s.server_id = server_id;
	s.hash = shm_sub_hash(span_str(own));
	s.expires = NOW + 10;
	s.kind = SUB_SESSION;
	s.own = (uint32_t)strlen(prefix);
	(void)snprintf(s.text, sizeof(s.text), "%s%s", prefix, own);
	return s;
}

static void
test_level(void **state)
{
	struct shm shm;
	int level;

	shm_test_create(&shm, KIND_WORKER);
	assert_int_equal(shm_client_level(&shm, 7), -1);
	for (level = 0; level <= 7; level++) {
		shm_client_set_level(&shm, 7, level);
		assert_int_equal(shm_client_level(&shm, 7), level);
	}
	assert_int_equal(shm_client_level(&shm, 8), -1);
	assert_int_equal(shm_client_level(&shm, 0), -1);
	assert_false(shm_client_is_ended(&shm, 7));
	shm_destroy(&shm);
}

static void
test_end(void **state)
{
	int64_t later = clock_wall_us() / 1000000 + 1000;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	shm_client_set_level(&shm, 7, 3);
	assert_true(shm_client_end(&shm, 7, later));
	assert_true(shm_client_is_ended(&shm, 7));
	assert_true(shm_client_end(&shm, 7, later));
	assert_false(shm_client_is_ended(&shm, 8));
	/* What is over does not begin again. */
	shm_client_set_level(&shm, 7, 4);
	assert_true(shm_client_is_ended(&shm, 7));
	shm_destroy(&shm);
}

/* A full table forgets levels, never an end that still counts. */
static void
test_full(void **state)
{
	int64_t later = clock_wall_us() / 1000000 + 1000;
	uint64_t id, ended = 0, refused = 0, n = SHM_CLIENTS * 2;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (id = 1; id <= n; id++)
		shm_client_set_level(&shm, id, 1);
	assert_int_equal(shm_client_level(&shm, n), 1);
	for (id = 1; id <= n; id++) {
		if (shm_client_end(&shm, id, later))
			ended++;
		else
			refused++;
	}
	assert_true(ended <= SHM_CLIENTS && refused > 0);
	for (id = 1; id <= n; id++)
		ended -= shm_client_is_ended(&shm, id);
	assert_int_equal(ended, 0);
	shm_destroy(&shm);
}

static void
test_expired_ends_make_room(void **state)
{
	uint64_t id;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (id = 1; id <= SHM_CLIENTS * 4; id++)
		assert_true(shm_client_end(&shm, id, 1));
	shm_destroy(&shm);
}

static void
count_one(void *arg, const struct shm_sub *s)
{
	++*(unsigned *)arg;
	assert_true(s->owner != 0 && s->text[s->own] != '\0');
}

static unsigned
count(const struct shm *shm, uint64_t owner, int64_t server_id, int64_t now)
{
	unsigned n = 0;

	shm_subs_each(shm, owner, server_id, now, count_one, &n);
	return n;
}

static void
test_subs(void **state)
{
	struct shm_sub a = sub(1, 50, "web+", "doc://a");
	struct shm_sub b = sub(2, 50, "", "doc://a"), c = sub(1, 51, "", "x:y");
	uint64_t changes;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_int_equal(count(&shm, 0, 0, NOW), 0);
	assert_false(shm_subs_has(&shm, 1, 50, a.hash));
	changes = shm_subs_changes(&shm);
	assert_int_equal(shm_subs_add(&shm, &a, NOW), 1);
	assert_int_not_equal(shm_subs_changes(&shm), changes);
	assert_int_equal(shm_subs_add(&shm, &a, NOW), 0);
	assert_false(shm_subs_others(&shm, 1, 50, a.hash, NOW));
	assert_int_equal(shm_subs_add(&shm, &b, NOW), 1);
	assert_int_equal(shm_subs_add(&shm, &c, NOW), 1);
	assert_true(shm_subs_has(&shm, 1, 50, a.hash));
	assert_true(shm_subs_others(&shm, 1, 50, a.hash, NOW));
	assert_false(shm_subs_others(&shm, 1, 51, c.hash, NOW));
	assert_int_equal(shm_subs_count(&shm), 3);
	assert_int_equal(count(&shm, 1, 0, NOW), 2);
	assert_int_equal(count(&shm, 0, 50, NOW), 2);
	assert_int_equal(count(&shm, 2, 51, NOW), 0);
	assert_true(shm_subs_remove(&shm, 1, 50, a.hash));
	assert_false(shm_subs_remove(&shm, 1, 50, a.hash));
	assert_false(shm_subs_others(&shm, 2, 50, a.hash, NOW));
	assert_int_equal(shm_subs_remove_owner(&shm, 1), 1);
	assert_int_equal(shm_subs_remove_owner(&shm, 1), 0);
	assert_int_equal(shm_subs_count(&shm), 1);
	shm_destroy(&shm);
}

static void
test_time(void **state)
{
	struct shm_sub a = sub(1, 50, "", "doc://a");
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	assert_int_equal(shm_subs_add(&shm, &a, NOW), 1);
	assert_int_equal(count(&shm, 0, 0, NOW + 10), 1);
	assert_int_equal(count(&shm, 0, 0, NOW + 11), 0);
	assert_false(shm_subs_others(&shm, 9, 50, a.hash, NOW + 11));
	shm_destroy(&shm);
}

static void
test_matching(void **state)
{
	static const struct {
		const char	*own, *uri;
		bool		 matches;
	} t[] = {
		{ "doc://a", "doc://a", true },
		{ "doc://a", "doc://a/part", true },
		{ "doc://a", "doc://ab", false },
		{ "doc://a", "doc://", false },
		{ "doc://a", "doc://b", false },
		{ "doc://a/", "doc://a/part", true },
		{ "doc://a", "", false },
	};
	struct shm shm;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct shm_sub s = sub(1, 50, "web+", t[i].own);

		assert_int_equal(shm_sub_matches(&s, span_str(t[i].uri)),
		    t[i].matches);
		shm_test_create(&shm, KIND_WORKER);
		shm_subs_add(&shm, &s, NOW);
		assert_int_equal(shm_subs_wanted(&shm, 50,
		    span_str(t[i].uri), NOW), t[i].matches);
		assert_false(shm_subs_wanted(&shm, 51, span_str(t[i].uri),
		    NOW));
		shm_destroy(&shm);
	}
}

static void
test_streams_of_a_dead_keeper(void **state)
{
	struct shm_sub a = sub(1, 50, "", "doc://a"), b = a, mark;
	struct shm shm;

	shm_test_create(&shm, KIND_KEEPER);
	b.owner = 2;
	b.kind = SUB_STREAM;
	memset(&mark, 0, sizeof(mark));
	mark.owner = 3;
	mark.hash = 1;
	mark.expires = INT64_MAX;
	mark.kind = SUB_STANDALONE;
	assert_int_equal(shm_subs_remove_streams(&shm), 0);
	assert_int_equal(shm_subs_add(&shm, &a, NOW), 1);
	assert_int_equal(shm_subs_add(&shm, &b, NOW), 1);
	assert_int_equal(shm_subs_add(&shm, &mark, NOW), 1);
	assert_true(shm_subs_others(&shm, 9, 0, 1, NOW));
	assert_false(shm_subs_others(&shm, 3, 0, 1, NOW));
	assert_int_equal(shm_subs_remove_streams(&shm), 2);
	assert_true(shm_subs_has(&shm, 1, 50, a.hash));
	assert_int_equal(shm_subs_count(&shm), 1);
	shm_destroy(&shm);
}

/* Full sets say so; what has expired makes room. */
static void
test_subs_full(void **state)
{
	struct shm_sub s;
	unsigned n = 0;
	uint64_t owner;
	struct shm shm;

	shm_test_create(&shm, KIND_WORKER);
	for (owner = 1; owner <= SHM_SUBS * 2; owner++) {
		s = sub(owner, 50, "", "doc://a");
		n += shm_subs_add(&shm, &s, NOW) == 1;
	}
	assert_true(n > SHM_SUBS / 2 && n <= SHM_SUBS);
	assert_int_equal(shm_subs_count(&shm), n);
	for (owner = SHM_SUBS * 2 + 1; owner <= SHM_SUBS * 3; owner++) {
		s = sub(owner, 50, "", "doc://a");
		s.expires = NOW + 100;
		if (shm_subs_add(&shm, &s, NOW + 50) != 1)
			break;
	}
	assert_true(owner > SHM_SUBS * 2 + SHM_SUBS / 2);
	shm_destroy(&shm);
}

/* Adds and removes until it is killed, so some instant within. */
static void
churn(struct shm *shm)
{
	uint64_t i;

	for (i = 1;; i++) {
		struct shm_sub s = sub(i % 64 + 100, 50, "w+", "doc://a");

		shm_subs_add(shm, &s, NOW);
		shm_subs_remove(shm, s.owner, 50, s.hash);
		shm_client_set_level(shm, i % 64 + 1, (int)(i & 7));
	}
}

static void
test_killed_writers(void **state)
{
	struct shm shm;
	int i;

	shm_test_create(&shm, KIND_MASTER);
	for (i = 0; i < 60; i++) {
		struct timespec nap = { 0, 300000 + i * 10000 };
		uint32_t slot = slot_take(&shm, KIND_WORKER);
		pid_t pid = fork();
		uint64_t owner;

		if (pid == 0) {
			shm.slot = slot;
			churn(&shm);
		}
		slot_started(&shm, slot, (int32_t)pid);
		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		slot_reap(&shm, slot, NULL);
		/* Nothing is stuck: each owner can have its place. */
		for (owner = 100; owner < 164; owner++) {
			struct shm_sub s = sub(owner, 50, "w+", "doc://a");

			assert_true(shm_subs_add(&shm, &s, NOW) >= 0);
			assert_true(shm_subs_has(&shm, owner, 50, s.hash));
			assert_true(shm_subs_remove(&shm, owner, 50, s.hash));
			assert_int_equal(shm_client_level(&shm, owner), -1);
		}
	}
	assert_int_equal(shm_subs_count(&shm), 0);
	shm_destroy(&shm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_expired_ends_make_room),
		cmocka_unit_test(test_subs),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_streams_of_a_dead_keeper),
		cmocka_unit_test(test_subs_full),
		cmocka_unit_test(test_killed_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
