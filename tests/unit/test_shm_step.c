/*
 * The protocols of shared memory, instruction by instruction.
 *
 * A child is single-stepped through one operation. For every instruction of
 * it there are two runs: in one it is killed there, in the other somebody else
 * (the parent) does something in between and the child then goes on. So every
 * place where a process can die or be overtaken is tried, every time, which a
 * random test with few processors does not do. Skipped where ptrace(2) is
 * not allowed. With OMNI2_STEP_ALL set every instruction is tried, otherwise
 * of long operations a part.
 */
#include "shm_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

#include "shm/gen.h"
#include "shm/perm.h"
#include "shm/rate.h"
#include "shm/sess.h"

#define STEPS_MAX	200000	/* more: the operation does not end */
#define SHORT		200	/* instructions that are all tried */
#define PLACES		64	/* of longer operations, evenly spread */
#define W		1000

struct op {
	void	(*prepare)(struct shm *);
	int	(*run)(struct shm *);		/* child; 0: all as it must be */
	void	(*meanwhile)(struct shm *);	/* parent, at one instruction */
	/* Parent, at the end; died: the child was killed and reaped. result:
	 * what run returned. */
	void	(*check)(struct shm *, bool died, int result);
};

static _Atomic int *phase;	/* shared: 1 while the child is in run */
static int noted;		/* from meanwhile to check */
static volatile int instruction;	/* where it was; for the debugger */

static void
child(struct shm *shm, const struct op *op)
{
	int result;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	raise(SIGSTOP);
	atomic_store(phase, 1);
	result = op->run(shm);
	atomic_store(phase, 2);
	_exit(result);
}

static pid_t
start(struct shm *shm, const struct op *op, uint32_t *slot)
{
	int status = 0;
	pid_t pid;

	atomic_store(phase, 0);
	*slot = slot_take(shm, KIND_WORKER);
	if ((pid = fork()) == 0) {
		shm->slot = *slot;
		child(shm, op);
	}
	assert_true(pid > 0);
	slot_started(shm, *slot, (int32_t)pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		exit(77);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* Goes n instructions into the operation. False: it has fewer. */
static bool
step(pid_t pid, int n)
{
	int status = 0;

	while (atomic_load(phase) != 2 && (atomic_load(phase) == 0 ||
	    n-- > 0)) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
			exit(77);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != SIGTRAP)
			fail_msg("signal %d", WSTOPSIG(status));
	}
	return atomic_load(phase) == 1;
}

static int
finish(pid_t pid, int signal_number)
{
	int status = 0;

	if (signal_number != 0)
		assert_int_equal(kill(pid, signal_number), 0);
	else
		assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (signal_number != 0)
		return -1;
	if (!WIFEXITED(status))
		fail_msg("the child died: status %d", status);
	return WEXITSTATUS(status);
}

static int
count_steps(const struct op *op)
{
	struct shm shm;
	uint32_t slot;
	pid_t pid;
	int n = 0;

	shm_test_create(&shm, KIND_MASTER);
	op->prepare(&shm);
	pid = start(&shm, op, &slot);
	(void)step(pid, 0);
	while (step(pid, 1))
		assert_true(++n < STEPS_MAX);
	(void)finish(pid, SIGKILL);
	shm_destroy(&shm);
	return n;
}

static void
try_at(const struct op *op, int n, bool die)
{
	struct shm shm;
	uint32_t slot;
	int result;
	pid_t pid;

	shm_test_create(&shm, KIND_MASTER);
	noted = 0;
	op->prepare(&shm);
	pid = start(&shm, op, &slot);
	if (step(pid, n) && !die && op->meanwhile != NULL)
		op->meanwhile(&shm);
	result = finish(pid, die ? SIGKILL : 0);
	if (die)
		(void)slot_reap(&shm, slot, NULL);
	instruction = n;
	op->check(&shm, die, result);
	shm_destroy(&shm);
}

static void
try_everywhere(const struct op *op)
{
	const char *all = getenv("OMNI2_STEP_ALL");
	int n = count_steps(op), stride = n / PLACES + 1;

	assert_true(n > 10);
	if (all != NULL || n <= SHORT)
		stride = 1;
	/* Begins anywhere, so that many runs try all. */
	for (int i = (int)getpid() % stride; i <= n; i += stride) {
		if (op->meanwhile != NULL)
			try_at(op, i, false);
		try_at(op, i, true);
	}
}

/* A reader of snapshots, and a publisher who overtakes it. */

static void
build(struct shm *shm, int b, int fill)
{
	size_t size;
	char *p = shm_gen_buffer(shm, SNAP_POLICY, b, &size);

	memset(p, fill, size);
}

static void
publish(struct shm *shm, int fill)
{
	int b = shm_gen_free(shm, SNAP_POLICY);

	if (b < 0)
		return;
	build(shm, b, fill);
	shm_gen_publish(shm, SNAP_POLICY, b);
}

static void
pin_prepare(struct shm *shm)
{
	publish(shm, 'a');
}

static int
pin_run(struct shm *shm)
{
	const char *p = shm_pin(shm, SNAP_POLICY, NULL);
	int bad = p[0] < 'a' || p[0] > 'b' || p[100] != p[0];

	shm_unpin(shm, SNAP_POLICY);
	return bad;
}

/* A publication, and in what is free then the next one is half built. */
static void
pin_meanwhile(struct shm *shm)
{
	int b;

	publish(shm, 'b');
	if ((b = shm_gen_free(shm, SNAP_POLICY)) >= 0)
		build(shm, b, '!');
}

static void
pin_check(struct shm *shm, bool died, int result)
{
	assert_true(result <= 0);
	for (int i = 0; i < 6; i++) {
		assert_true(shm_gen_free(shm, SNAP_POLICY) >= 0);
		publish(shm, 'a');
	}
}

/* The decision cache: what is found is what the key says. All keys of this
 * test fall in few entries. */

#define PERM_KEYS	200

static struct perm_key
perm_key(uint32_t i)
{
	return (struct perm_key){ 4 + i % 3 * 4, 8, i, i * 7 };
}

static void
perm_fill(struct shm *shm)
{
	for (uint32_t i = 1; i < PERM_KEYS; i++) {
		struct perm_key k = perm_key(i);

		shm_perm_put(shm, &k, i * 1000);
	}
}

static void
perm_prepare(struct shm *shm)
{
	struct perm_key k = perm_key(0);

	perm_fill(shm);
	shm_perm_put(shm, &k, 0);
}

static int
perm_get_run(struct shm *shm)
{
	struct perm_key k = perm_key(0);
	uint64_t v;

	return shm_perm_get(shm, &k, &v) && v != 0;
}

static int
perm_put_run(struct shm *shm)
{
	struct perm_key k = perm_key(PERM_KEYS);

	shm_perm_put(shm, &k, PERM_KEYS * 1000);
	return 0;
}

static void
perm_check(struct shm *shm, bool died, int result)
{
	const struct shm_perm_entry *e = shm->zone[ZONE_PERM];
	struct perm_key k;
	uint64_t v;

	assert_true(result <= 0);
	for (uint32_t i = 0; i < shm->sizes.perm_entries; i++)
		assert_int_equal(e[i].word & 1, 0);
	for (uint32_t i = 0; i <= PERM_KEYS; i++) {
		k = perm_key(i);
		if (shm_perm_get(shm, &k, &v))
			assert_int_equal(v, i * 1000);
		shm_perm_put(shm, &k, i * 1000);
		assert_true(shm_perm_get(shm, &k, &v));
	}
}

/* Limits. The tables have room: 16 buckets of 15 cells. Who took at 5000 only
 * is idle at NOW, so a stranger in the same bucket gets his cell, and he
 * himself would get another one, if he came back. */

#define NOW	(5000 + W)
#define TAKEN	10	/* run's result: granted */
#define PEOPLE	64

static int
grant(struct shm *shm, uint64_t id, uint32_t limit, int64_t now)
{
	return shm_rate_take(shm, RATE_USER, id, limit, W, now, NULL) ==
	    RATE_GRANTED;
}

static void
rate_some(struct shm *shm)
{
	assert_true(grant(shm, 1, 3, NOW - 10));
}

static int
rate_take_run(struct shm *shm)
{
	return grant(shm, 1, 3, NOW) ? TAKEN : 0;
}

static void
rate_take_meanwhile(struct shm *shm)
{
	noted = grant(shm, 1, 3, NOW);
}

static int
take_all(struct shm *shm, uint64_t id, uint32_t limit, int64_t now)
{
	int n = 0;

	while (grant(shm, id, limit, now))
		n++;
	return n;
}

/* One was there before; three are allowed. */
static void
rate_take_check(struct shm *shm, bool died, int result)
{
	int others = 1 + noted + take_all(shm, 1, 3, NOW + 1);

	if (died)
		assert_in_range(others, 2, 3);
	else
		assert_int_equal(others + result / TAKEN, 3);
	assert_int_equal(take_all(shm, 1, 3, NOW + 1 + W), 3);
}

/* The taker's own cell is reclaimed under it: principal 1 is in the table and
 * idle, and strangers come. */
static void
reclaim_prepare(struct shm *shm)
{
	assert_true(grant(shm, 1, 3, 5000));
}

static void
reclaim_meanwhile(struct shm *shm)
{
	for (uint64_t id = 5000; id < 5000 + PEOPLE; id++)
		(void)grant(shm, id, 1, NOW);
}

static void
reclaim_check(struct shm *shm, bool died, int result)
{
	int n = result / TAKEN * !died + take_all(shm, 1, 3, NOW + W - 1);

	/* One of the grants may have been thrown away, none doubled. */
	assert_in_range(n, 2, 3);
}

/* The child reclaims for a stranger; the old principals come back. */
static void
stranger_prepare(struct shm *shm)
{
	for (uint64_t id = 1; id <= PEOPLE; id++)
		assert_true(grant(shm, id, 1, 5000));
}

static int
stranger_run(struct shm *shm)
{
	return grant(shm, 9001, 1, NOW) ? TAKEN : 0;
}

static void
stranger_meanwhile(struct shm *shm)
{
	for (uint64_t id = 1; id <= PEOPLE; id++)
		noted += grant(shm, id, 1, NOW);
	assert_int_equal(noted, PEOPLE);
}

static void
stranger_check(struct shm *shm, bool died, int result)
{
	/* Whoever was granted at NOW has had all until NOW + W. */
	if (noted > 0)
		for (uint64_t id = 1; id <= PEOPLE; id++)
			assert_false(grant(shm, id, 1, NOW + W - 1));
	assert_true(died || result == TAKEN);
	assert_int_equal(take_all(shm, 9001, 1, NOW + W), 1);
}

/* Two insert the same key and choose different cells: for the child the old
 * ones are idle, for the parent not yet. */
static void
twice_prepare(struct shm *shm)
{
	for (uint64_t id = 10; id < 60; id++)
		assert_true(grant(shm, id, 3, 5000));
}

static int
twice_run(struct shm *shm)
{
	return grant(shm, 9001, 1, NOW) ? TAKEN : 0;
}

static void
twice_meanwhile(struct shm *shm)
{
	noted = grant(shm, 9001, 1, NOW - 1);
}

static void
twice_check(struct shm *shm, bool died, int result)
{
	int others;

	/* Others insert, which finishes whatever may still be pending. */
	reclaim_meanwhile(shm);
	others = noted + take_all(shm, 9001, 1, NOW + 5);
	if (!died)
		assert_int_equal(others + result / TAKEN, 1);
	assert_true(others <= 1);
}

/* Upstream sessions. */

#define SERVER	50

static void
sess_put(struct shm *shm, int letter)
{
	struct sess_info info;

	memset(&info, 0, sizeof(info));
	memset(info.id, letter, sizeof(info.id) - 1);
	memset(info.version, letter, sizeof(info.version) - 1);
	shm_sess_put(shm, 2, SERVER, &info);
}

static int
sess_bad(struct shm *shm)
{
	struct sess_info info;

	return shm_sess_get(shm, 2, SERVER, &info) &&
	    (info.id[0] < 'a' || info.id[0] > 'z' ||
	    info.version[0] != info.id[0] || info.version[14] != info.id[0] ||
	    info.id[100] != info.id[0] || info.id[230] != info.id[0]);
}

static void
sess_prepare(struct shm *shm)
{
	assert_true(shm_sess_claim(shm, 2, 0));
	sess_put(shm, 'a');
}

static int
sess_get_run(struct shm *shm)
{
	return sess_bad(shm);
}

static int
sess_put_run(struct shm *shm)
{
	if (!shm_sess_claim(shm, 2, 1))
		return 0;
	sess_put(shm, 'b');
	return TAKEN;
}

static void
sess_meanwhile(struct shm *shm)
{
	assert_int_equal(sess_bad(shm), 0);
	if (shm_sess_claim(shm, 2, 1)) {
		sess_put(shm, 'c');
		noted++;
	}
}

static void
sess_check(struct shm *shm, bool died, int result)
{
	struct sess_info info;

	assert_true(noted + result / TAKEN <= 1);
	assert_int_equal(sess_bad(shm), 0);
	(void)shm_sess_get(shm, 2, SERVER, &info);
	assert_in_range(info.opened, 1, 2);
	assert_true(shm_sess_claim(shm, 2, info.opened));
	sess_put(shm, 'd');
	assert_true(shm_sess_get(shm, 2, SERVER, &info));
	assert_int_equal(info.id[0], 'd');
}

/* The request of a slot. */

static struct shm_request
request(int letter)
{
	struct shm_request r;

	memset(&r, letter, sizeof(r));
	r.call = (uint64_t)letter;
	return r;
}

static int
request_run(struct shm *shm)
{
	struct shm_request r = request('a');

	slot_request_set(shm, &r);
	r = request('b');
	slot_request_set(shm, &r);
	return 0;
}

static void
request_read(struct shm *shm, uint32_t slot)
{
	struct shm_request r;

	if (!slot_request_get(shm, slot, &r))
		return;
	assert_in_range(r.call, 'a', 'c');
	assert_int_equal(r.principal[0], r.call);
	assert_int_equal(r.trace_id[0], r.call);
	assert_int_equal(r.session & 0xff, r.call);
}

static void
request_meanwhile(struct shm *shm)
{
	request_read(shm, shm_kind_first(KIND_WORKER));
}

static void
request_check(struct shm *shm, bool died, int result)
{
	uint32_t slot = shm_kind_first(KIND_WORKER);
	struct shm_request r = request('c'), got;
	struct shm next = *shm;

	request_read(shm, slot);
	next.slot = slot;
	slot_request_set(&next, &r);
	assert_true(slot_request_get(shm, slot, &got));
	assert_int_equal(got.call, 'c');
	/* Half-way through the next one it must not look whole. */
	assert_int_equal(shm_slot(shm, slot)->request_seq & 1, 0);
}

static void
nothing(struct shm *shm)
{
}

#define STEP_TEST(name, ...) \
static void \
name(void **state) \
{ \
	static const struct op op = { __VA_ARGS__ }; \
\
	try_everywhere(&op); \
}

STEP_TEST(test_pin, pin_prepare, pin_run, pin_meanwhile, pin_check)
STEP_TEST(test_perm_get, perm_prepare, perm_get_run, perm_fill, perm_check)
STEP_TEST(test_perm_put, perm_prepare, perm_put_run, perm_fill, perm_check)
STEP_TEST(test_take, rate_some, rate_take_run, rate_take_meanwhile,
    rate_take_check)
STEP_TEST(test_reclaimed, reclaim_prepare, rate_take_run, reclaim_meanwhile,
    reclaim_check)
STEP_TEST(test_reclaims, stranger_prepare, stranger_run, stranger_meanwhile,
    stranger_check)
STEP_TEST(test_insert_twice, twice_prepare, twice_run, twice_meanwhile,
    twice_check)
STEP_TEST(test_sess_get, sess_prepare, sess_get_run, sess_meanwhile,
    sess_check)
STEP_TEST(test_sess_put, sess_prepare, sess_put_run, sess_meanwhile,
    sess_check)
STEP_TEST(test_request, nothing, request_run, request_meanwhile,
    request_check)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_perm_get),
		cmocka_unit_test(test_perm_put),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_reclaimed),
		cmocka_unit_test(test_reclaims),
		cmocka_unit_test(test_insert_twice),
		cmocka_unit_test(test_sess_get),
		cmocka_unit_test(test_sess_put),
		cmocka_unit_test(test_request),
	};

	phase = mmap(NULL, sizeof(*phase), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (phase == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
