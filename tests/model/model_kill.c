/*
 * model_kill -- the protocols of shared memory under SIGKILL.
 *
 * Sixteen workers and a poller do nothing but pin, build, cache, take, claim
 * and number, so that a kill at random mostly hits the middle of something.
 * The parent is the master: it kills one child after the other, reaps it with
 * slot_reap(), starts the next, publishes policies, and reads everything that
 * observers read. At the end all must be free again (stuck), whole (torn) and
 * true (wrong).
 *
 * Argument or OMNI2_MODEL_SECONDS: how long; at least 500 kills in any case.
 * With OMNI2_MODEL_THREADS set, the same as threads and without kills, for
 * ThreadSanitizer, which cannot look into other processes.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "shm/perm.h"
#include "shm/rate.h"
#include "shm/sess.h"
#include "shm/slot.h"

#define WORKERS		16
#define OTHERS		12	/* slots before the first worker's */
#define KILLS_MIN	500
#define PROGRESS_MS	20000	/* a child without any for so long is stuck */
#define SNAP_WORDS	1024
#define SERVERS		4
#define WINDOW_MS	40
#define PRINCIPALS	24
#define STRANGERS	4096	/* more than there is room for: reuse */
#define LOG_PRINCIPAL	400000	/* grants logged of each; more are not */
#define LOG_STRANGER	4096

struct shared {
	_Atomic uint64_t torn, wrong, operations;
	_Atomic uint64_t inside;	/* killed while holding something */
	_Atomic uint64_t no_room, limited, granted, hits, pins, opened;
	_Atomic uint64_t progress[64];		/* per slot */
	_Atomic uint64_t last_call[64];		/* per slot */
	_Atomic bool	 stop;
	_Atomic uint32_t holder[SERVERS];	/* slot + 1 that opens */
	/* Grants as the takers saw them, apart from what is under test. */
	_Atomic uint64_t grants[PRINCIPALS + STRANGERS];
	int64_t		 log[PRINCIPALS][LOG_PRINCIPAL];
	int64_t		 stranger_log[STRANGERS][LOG_STRANGER];
};

struct child {
	pid_t	 pid;
	uint64_t progress;
	int64_t	 progress_ms;
};

static struct shared *sh;
static _Thread_local uint64_t random_state;

static uint64_t
random_next(void)
{
	return hash_mix(random_state += UINT64_C(0x9e3779b97f4a7c15));
}

static void
blame(_Atomic uint64_t *what, const char *text, uint64_t a, uint64_t b)
{
	if (atomic_fetch_add(what, 1) < 5)
		log_error("%s: %llu %llu", text, (unsigned long long)a,
		    (unsigned long long)b);
}

/* Snapshots: every word follows from the first. */

static void
snap_build(struct shm *shm, enum shm_snap snap)
{
	int b = shm_gen_free(shm, snap);
	uint64_t *w, seed = random_next();

	if (b < 0)
		return;
	w = shm_gen_buffer(shm, snap, b, NULL);
	w[0] = seed;
	for (uint64_t i = 1; i < SNAP_WORDS; i++)
		w[i] = hash_mix(seed + i);
	shm_gen_publish(shm, snap, b);
}

static void
snap_read(struct shm *shm, enum shm_snap snap)
{
	const uint64_t *w;
	uint64_t g;

	if ((w = shm_pin(shm, snap, &g)) == NULL)
		return;
	for (uint64_t i = 1; i < SNAP_WORDS; i++)
		if (w[i] != hash_mix(w[0] + i)) {
			blame(&sh->torn, "snapshot", g, i);
			break;
		}
	shm_unpin(shm, snap);
	atomic_fetch_add_explicit(&sh->pins, 1, memory_order_relaxed);
}

/* Decisions: a pure function of the key. */

static uint64_t
decide(const struct perm_key *k)
{
	return hash_mix(k->policy ^ hash_mix(k->catalog ^
	    hash_mix((uint64_t)k->user << 32 | k->item)));
}

static void
perm_use(struct shm *shm)
{
	uint64_t r = random_next(), v;
	struct perm_key k = {
		.policy = shm_generation(shm, SNAP_POLICY),
		.catalog = shm_generation(shm, SNAP_CATALOG),
		.user = (uint32_t)(r & 15), .item = (uint32_t)(r >> 8 & 15),
	};

	if (shm_perm_get(shm, &k, &v)) {
		if (v != decide(&k))
			blame(&sh->wrong, "decision", k.user, k.item);
		atomic_fetch_add_explicit(&sh->hits, 1, memory_order_relaxed);
	}
	shm_perm_put(shm, &k, decide(&k));
}

/* Limits: 5, 10, 20 ... and some beyond the first size class. */

static uint32_t
limit_of(uint64_t who)
{
	if (who >= PRINCIPALS)
		return 2;
	return who % 8 == 7 ? 300 : 5u << who % 4;
}

static int64_t *
log_of(uint64_t who, uint64_t *max)
{
	*max = who < PRINCIPALS ? LOG_PRINCIPAL : LOG_STRANGER;
	return who < PRINCIPALS ? sh->log[who] :
	    sh->stranger_log[who - PRINCIPALS];
}

static void
log_grant(uint64_t who, int64_t at_ms)
{
	uint64_t max, n = atomic_fetch_add(&sh->grants[who], 1);
	int64_t *log = log_of(who, &max);

	if (n < max)
		log[n] = at_ms;
}

static void
rate_use(struct shm *shm)
{
	uint64_t r = random_next();
	uint64_t who = (r & 3) != 0 ? (r >> 8) % PRINCIPALS :
	    PRINCIPALS + (r >> 8) % STRANGERS;
	struct rate_info info;

	switch (shm_rate_take(shm, who < PRINCIPALS ? RATE_USER : RATE_ADDRESS,
	    who, limit_of(who), WINDOW_MS, clock_mono_ms(), &info)) {
	case RATE_GRANTED:
		log_grant(who, info.at_ms);
		atomic_fetch_add_explicit(&sh->granted, 1,
		    memory_order_relaxed);
		break;
	case RATE_LIMITED:
		if (info.used < limit_of(who))
			blame(&sh->wrong, "limited too early", info.used,
			    limit_of(who));
		atomic_fetch_add_explicit(&sh->limited, 1,
		    memory_order_relaxed);
		break;
	case RATE_NO_ROOM:
		atomic_fetch_add_explicit(&sh->no_room, 1,
		    memory_order_relaxed);
		break;
	}
}

/* Sessions: one opens at a time; the texts follow from server and number. */

static void
sess_text(char *out, size_t size, int64_t server, uint64_t opened)
{
	(void)snprintf(out, size, "%lld-%llu-%0200llx", (long long)server,
	    (unsigned long long)opened,
	    (unsigned long long)hash_mix((uint64_t)server ^ opened));
}

static void
sess_use(struct shm *shm)
{
	uint32_t i = (uint32_t)(random_next() % SERVERS), none = 0;
	char text[sizeof(((struct sess_info *)0)->id)];
	struct sess_info info;
	int64_t server = 100 + (int64_t)i;

	if (shm_sess_get(shm, i, server, &info)) {
		sess_text(text, sizeof(text), server, info.opened);
		if (strcmp(text, info.id) != 0)
			blame(&sh->torn, "session", i, info.opened);
	}
	if (random_next() % 4 != 0 || !shm_sess_claim(shm, i, info.opened))
		return;
	if (!atomic_compare_exchange_strong(&sh->holder[i], &none,
	    shm->slot + 1))
		blame(&sh->wrong, "two open a session", i, none);
	memset(&info.version, 0, sizeof(info.version));
	memset(&info.id, 0, sizeof(info.id));
	info.era = ERA_LEGACY;
	sess_text(info.id, sizeof(info.id), server, info.opened + 1);
	atomic_store(&sh->holder[i], 0);
	if (random_next() % 8 == 0)
		shm_sess_release(shm, i);
	else
		shm_sess_put(shm, i, server, &info);
	atomic_fetch_add_explicit(&sh->opened, 1, memory_order_relaxed);
}

/* The own slot: numbers never come twice, requests are whole. */

static void
slot_use(struct shm *shm)
{
	uint64_t call = slot_next_call(shm);
	struct shm_request r;

	if (call <= atomic_load(&sh->last_call[shm->slot]))
		blame(&sh->wrong, "number of a call", call, shm->slot);
	atomic_store(&sh->last_call[shm->slot], call);
	memset(&r, 0, sizeof(r));
	r.call = call;
	r.session = hash_mix(call);
	(void)snprintf(r.object, sizeof(r.object), "%0120llx",
	    (unsigned long long)hash_mix(call ^ 1));
	slot_request_set(shm, &r);
	slot_state(shm, SLOT_CALLING);
	shm_count_in(shm_self(shm), C_MCP_CALLS, 1);
	shm_latency_add(shm_self(shm), (int64_t)(call & 0xffff));
	slot_request_clear(shm);
}

static void
request_check(const struct shm_request *r)
{
	char text[sizeof(r->object)];

	(void)snprintf(text, sizeof(text), "%0120llx",
	    (unsigned long long)hash_mix(r->call ^ 1));
	if (r->session != hash_mix(r->call) || strcmp(text, r->object) != 0)
		blame(&sh->torn, "request", r->call, r->session);
}

static void
breaker_use(struct shm *shm)
{
	static const struct breaker_rules rules = { 3, 2, 2 };
	struct shm_health *h = shm_health(shm, 0);
	int64_t retry = 0;

	if (!breaker_allow(h, &rules, clock_mono_ms(), &retry)) {
		if (retry < 1 || retry > rules.timeout_ms)
			blame(&sh->wrong, "retry after", (uint64_t)retry, 0);
		return;
	}
	switch (random_next() % 4) {
	case 0:
		breaker_success(h, 100);
		break;
	case 1:
		breaker_forget(h);
		break;
	default:
		breaker_failure(h, &rules, clock_mono_ms());
		break;
	}
}

static void
use_all(struct shm *shm, bool poller)
{
	struct shm_request r;

	if (poller) {
		snap_build(shm, SNAP_CATALOG);
	} else {
		perm_use(shm);
		rate_use(shm);
		breaker_use(shm);
		if (slot_request_get(shm, OTHERS + (uint32_t)(random_next() %
		    WORKERS), &r))
			request_check(&r);
	}
	snap_read(shm, SNAP_CATALOG);
	snap_read(shm, SNAP_POLICY);
	sess_use(shm);
	slot_use(shm);
	atomic_fetch_add_explicit(&sh->progress[shm->slot], 1,
	    memory_order_relaxed);
	atomic_fetch_add_explicit(&sh->operations, 1, memory_order_relaxed);
}

static void
child_main(struct shm *shm, enum shm_kind kind, uint32_t slot)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_bytes(&random_state, sizeof(random_state));
	shm_protect(shm, kind, slot);
	for (;;)
		use_all(shm, kind == KIND_POLLER);
}

static void *
thread_main(void *arg)
{
	struct shm *shm = arg;

	random_bytes(&random_state, sizeof(random_state));
	while (!atomic_load(&sh->stop))
		use_all(shm, shm->slot == shm_kind_first(KIND_POLLER));
	return NULL;
}

/* The master. */

static void
spawn(struct shm *shm, struct child *children, enum shm_kind kind)
{
	uint32_t slot = slot_take(shm, kind);
	pid_t pid;

	ASSERT_ALWAYS(slot != UINT32_MAX);
	if ((pid = fork()) < 0)
		die_sys("fork");
	if (pid == 0)
		child_main(shm, kind, slot);
	slot_started(shm, slot, (int32_t)pid);
	children[slot].pid = pid;
	children[slot].progress = atomic_load(&sh->progress[slot]);
	children[slot].progress_ms = clock_mono_ms();
}

/* Did it die with a pin, a claim, or an entry half written? */
static bool
died_inside(const struct shm *shm, uint32_t slot)
{
	const struct shm_perm_entry *perm = shm->zone[ZONE_PERM];
	const struct shm_sess *sess = shm->zone[ZONE_SESS];
	const struct shm_slot *s = shm_slot(shm, slot);
	bool inside = (s->request_seq & 1) != 0;

	for (int i = 0; i < SNAP_COUNT; i++)
		inside |= s->pin[i] != 0;
	for (uint32_t i = 0; i < shm->sizes.perm_entries; i++)
		inside |= (perm[i].word & 1) != 0 &&
		    perm[i].word >> 48 == slot;
	for (uint32_t i = 0; i < SERVERS; i++)
		inside |= (sess[i].word & 1) != 0 &&
		    sess[i].word >> 48 == slot;
	return inside;
}

static void
reap(struct shm *shm, struct child *c, uint32_t slot)
{
	struct shm_request r;
	int status;

	while (waitpid(c->pid, &status, 0) < 0)
		if (errno != EINTR)
			die_sys("waitpid");
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		blame(&sh->wrong, "a child died by itself", (uint64_t)status,
		    slot);
	c->pid = 0;
	for (int i = 0; i < SERVERS; i++) {
		uint32_t was = slot + 1;

		atomic_compare_exchange_strong(&sh->holder[i], &was, 0);
	}
	atomic_fetch_add(&sh->inside, died_inside(shm, slot));
	(void)slot_reap(shm, slot, &r);
	if (r.call != 0)
		request_check(&r);
}

/* Kills each child with the chance of one in so many, then reaps them. */
static unsigned
kill_some(struct shm *shm, struct child *children, unsigned one_in)
{
	bool dead[OTHERS + WORKERS] = { false };
	unsigned kills = 0;

	for (uint32_t i = 0; i < OTHERS + WORKERS; i++)
		if (children[i].pid != 0 && random_next() % one_in == 0) {
			kill(children[i].pid, SIGKILL);
			dead[i] = true;
		}
	for (uint32_t i = 0; i < OTHERS + WORKERS; i++)
		if (dead[i]) {
			reap(shm, &children[i], i);
			kills++;
		}
	return kills;
}

static unsigned
find_stuck(struct child *children, uint32_t slots)
{
	int64_t now_ms = clock_mono_ms();
	unsigned stuck = 0;

	for (uint32_t i = 0; i < slots; i++) {
		uint64_t p = atomic_load(&sh->progress[i]);
		struct child *c = &children[i];

		if (c->pid == 0 || p != c->progress) {
			c->progress = p;
			c->progress_ms = now_ms;
		} else if (now_ms - c->progress_ms > PROGRESS_MS) {
			log_error("slot %u makes no progress", i);
			stuck++;
		}
	}
	return stuck;
}

/* Sums never go back, whether their children live or are being folded in. */
static void
observe(struct shm *shm)
{
	static uint64_t calls, latencies;
	uint64_t buckets[SHM_BUCKETS], n, sum_us;

	n = shm_counter_sum(shm, C_MCP_CALLS);
	if (n < calls)
		blame(&sh->wrong, "a sum went back", n, calls);
	calls = n;
	shm_latency_sum(shm, buckets, &n, &sum_us);
	if (n < latencies)
		blame(&sh->wrong, "a count went back", n, latencies);
	latencies = n;
}

static int
compare_times(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
check_grants(void)
{
	for (uint64_t who = 0; who < PRINCIPALS + STRANGERS; who++) {
		uint64_t n = atomic_load(&sh->grants[who]), max;
		uint64_t limit = limit_of(who);
		int64_t *log = log_of(who, &max);

		if (n > max)
			n = max;
		qsort(log, n, sizeof(log[0]), compare_times);
		/* A killed writer's line stays 0: it sorts to the front. */
		for (uint64_t i = 0; i + limit < n; i++)
			if (log[i] != 0 &&
			    log[i + limit] - log[i] < WINDOW_MS)
				blame(&sh->wrong, "too many grants", who,
				    (uint64_t)log[i]);
	}
}

/* All children are gone and reaped: everything must be free. */
static unsigned
check_free(struct shm *shm)
{
	const struct shm_perm_entry *perm = shm->zone[ZONE_PERM];
	const struct shm_sess *sess = shm->zone[ZONE_SESS];
	struct breaker_rules rules = { 3, 2, 2 };
	int64_t later = clock_mono_ms() + WINDOW_MS;
	unsigned stuck = 0;

	for (uint32_t i = 0; i < shm->sizes.perm_entries; i++)
		stuck += perm[i].word & 1;
	for (uint32_t i = 0; i < SHM_SERVERS_MAX; i++)
		stuck += sess[i].word & 1;
	for (int s = 0; s < SNAP_COUNT; s++)
		stuck += shm_gen_free(shm, (enum shm_snap)s) < 0;
	for (uint32_t i = OTHERS; i < shm->sizes.slots; i++)
		stuck += slot_take(shm, KIND_WORKER) == UINT32_MAX;
	/* After a window everybody may take his whole limit, no more. */
	for (uint64_t who = 0; who < PRINCIPALS; who++) {
		uint32_t n = 0;

		while (shm_rate_take(shm, RATE_USER, who, limit_of(who),
		    WINDOW_MS, later, NULL) == RATE_GRANTED)
			n++;
		if (n != limit_of(who)) {
			log_error("principal %llu gets %u of %u",
			    (unsigned long long)who, n, limit_of(who));
			stuck++;
		}
	}
	stuck += !breaker_allow(shm_health(shm, 0), &rules, later, NULL);
	return stuck;
}

static int
seconds_wanted(int argc, char **argv)
{
	const char *text = argc > 1 ? argv[1] : getenv("OMNI2_MODEL_SECONDS");
	uint64_t n = 8;

	if (text != NULL && num_u64(span_str(text), 1, 86400, &n) < 0)
		die_config("%s: not a number of seconds", text);
	return (int)n;
}

static void
make_shared(struct shm *shm)
{
	static const struct shm_sizes sizes = {
		.slots = OTHERS + WORKERS, .perm_entries = 64,
		.rate_principals = 512, .connections = 1,
		.rate_window_ms = WINDOW_MS, .conf_size = 4096,
		.policy_size = SNAP_WORDS * sizeof(uint64_t),
		.catalog_size = SNAP_WORDS * sizeof(uint64_t),
	};
	struct err e;

	if (shm_create(shm, &sizes, &e) < 0)
		die_config("%s", e.text);
	shm->slot = slot_take(shm, KIND_MASTER);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED |
	    MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sh == MAP_FAILED)
		die_sys("mmap");
	random_bytes(&random_state, sizeof(random_state));
}

/* Kills until the time is over and there were enough. */
static unsigned
run(struct shm *shm, struct child *children, int seconds, unsigned *stuck)
{
	int64_t end_ms = clock_mono_ms() + seconds * 1000;
	unsigned kills = 0;

	while ((clock_mono_ms() < end_ms || kills < KILLS_MIN) &&
	    *stuck == 0) {
		for (uint32_t i = OTHERS; i < OTHERS + WORKERS; i++)
			if (children[i].pid == 0)
				spawn(shm, children, KIND_WORKER);
		if (children[shm_kind_first(KIND_POLLER)].pid == 0)
			spawn(shm, children, KIND_POLLER);
		(void)poll(NULL, 0, (int)(random_next() % 8));
		kills += kill_some(shm, children, 4);
		snap_build(shm, SNAP_POLICY);
		observe(shm);
		*stuck += find_stuck(children, shm->sizes.slots);
	}
	return kills + kill_some(shm, children, 1);
}

static void
run_threads(struct shm *shm, int seconds)
{
	int64_t end_ms = clock_mono_ms() + seconds * 1000;
	struct shm views[WORKERS + 1];
	pthread_t threads[WORKERS + 1];

	for (int i = 0; i <= WORKERS; i++) {
		views[i] = *shm;
		views[i].slot = slot_take(shm, i == 0 ? KIND_POLLER :
		    KIND_WORKER);
		if (pthread_create(&threads[i], NULL, thread_main,
		    &views[i]) != 0)
			die_sys("pthread_create");
	}
	while (clock_mono_ms() < end_ms) {
		snap_build(shm, SNAP_POLICY);
		observe(shm);
		(void)poll(NULL, 0, 1);
	}
	atomic_store(&sh->stop, true);
	for (int i = 0; i <= WORKERS; i++)
		if (pthread_join(threads[i], NULL) != 0)
			die_sys("pthread_join");
	for (int i = 0; i <= WORKERS; i++)
		(void)slot_reap(shm, views[i].slot, NULL);
}

static void
print_counts(void)
{
	const struct {
		const char	 *name;
		_Atomic uint64_t *n;
	} counts[] = {
		{ "rounds", &sh->operations }, { "pins", &sh->pins },
		{ "hits", &sh->hits }, { "granted", &sh->granted },
		{ "limited", &sh->limited }, { "no_room", &sh->no_room },
		{ "opened", &sh->opened }, { "inside", &sh->inside },
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		printf("%s%s=%llu", i == 0 ? "" : " ", counts[i].name,
		    (unsigned long long)atomic_load(counts[i].n));
	printf("\n");
}

int
main(int argc, char **argv)
{
	bool threads = getenv("OMNI2_MODEL_THREADS") != NULL;
	struct child children[OTHERS + WORKERS];
	unsigned kills = 0, stuck = 0;
	struct shm shm;

	log_init("model_kill");
	memset(children, 0, sizeof(children));
	make_shared(&shm);
	if (threads)
		run_threads(&shm, seconds_wanted(argc, argv));
	else
		kills = run(&shm, children, seconds_wanted(argc, argv),
		    &stuck);
	stuck += check_free(&shm);
	check_grants();
	print_counts();
	printf("kills=%u stuck=%u torn=%llu wrong=%llu\n", kills, stuck,
	    (unsigned long long)atomic_load(&sh->torn),
	    (unsigned long long)atomic_load(&sh->wrong));
	return (!threads && kills < KILLS_MIN) || stuck != 0 ||
	    atomic_load(&sh->torn) != 0 || atomic_load(&sh->wrong) != 0;
}
