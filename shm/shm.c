/*
 * shm -- makes the two segments, divides them into zones, guards them.
 *
 * The master runs shm_create() before its first fork; every child runs
 * shm_protect() right after it; omni2ctl runs shm_attach(). Nothing here
 * knows the protocols inside the zones.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "shm/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "shm/client.h"
#include "shm/rate.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define SLOTS_MAX	8192u	/* fits the owner words and call numbers */
#define SNAPSHOT_MAX	(UINT64_C(1) << 40)

enum { OBSERVABLE, PRIVATE };

#define W(kind)	(1u << KIND_##kind)

static const struct {
	const char	*name, *doc;
	unsigned	 segment;
	uint32_t	 writers;
} zones[ZONE_COUNT] = {
#define ZONE(id, name, segment, bytes, writers, doc) \
	{ name, doc, segment, writers },
#include "shm/zones.def"
#undef ZONE
};

static const struct {
	const char	*name;
	uint32_t	 first, n;
} kinds[KIND_COUNT] = {
#define KIND(id, name, first, n) { name, first, n },
#include "shm/kinds.def"
#undef KIND
};

_Static_assert(ZONE_COUNT <= sizeof(((struct shm_head *)0)->zone) /
    sizeof(((struct shm_head *)0)->zone[0]), "too many zones for the head");

const uint32_t shm_bucket_us[SHM_BUCKETS] = {
	100, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
	1000000, 5000000, 30000000, 0
};

static size_t
page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t
round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static size_t
zone_bytes(enum shm_zone z, const struct shm_sizes *sz)
{
	switch (z) {
#define ZONE(id, name, segment, bytes, writers, doc) \
	case ZONE_##id: \
		return (bytes);
#include "shm/zones.def"
#undef ZONE
	case ZONE_COUNT:
		break;
	}
	return 0;
}

/* What must be equal for two programs to read the same segment. */
static void
build_text(char *out, size_t size)
{
	memset(out, 0, size);
	(void)snprintf(out, size, "%s/%u.%d.%d.%zu.%zu.%zu", PACKAGE_VERSION,
	    SHM_LAYOUT, ZONE_COUNT, C_COUNT, sizeof(struct shm_head),
	    sizeof(struct shm_slot), sizeof(struct shm_health));
}

static int
check_sizes(const struct shm_sizes *sz, struct err *e)
{
	uint32_t fixed = kinds[KIND_WORKER].first;

	if (sz->slots <= fixed || sz->slots > SLOTS_MAX)
		return err_set(e, ERR_INTERNAL, "%u slots are not within "
		    "%u..%u", sz->slots, fixed + 1, SLOTS_MAX);
	if (sz->perm_entries < 2 ||
	    (sz->perm_entries & (sz->perm_entries - 1)) != 0)
		return err_set(e, ERR_INTERNAL, "%u permission cache entries "
		    "are no power of two", sz->perm_entries);
	if ((sz->conf_size | sz->policy_size | sz->catalog_size) >=
	    SNAPSHOT_MAX)
		return err_set(e, ERR_INTERNAL, "a snapshot buffer is larger "
		    "than 1 TiB");
	if (sz->rate_principals == 0)
		return err_set(e, ERR_INTERNAL, "no rate limit principals");
	return 0;
}

/* Places the zones, a page without access after each; fills the directory. */
static void
place_zones(struct shm *shm, struct shm_head *head)
{
	size_t page = page_size();

	for (int z = 0; z < ZONE_COUNT; z++) {
		unsigned seg = zones[z].segment;
		size_t size = round_up(zone_bytes((enum shm_zone)z,
		    &shm->sizes), page);

		(void)span_copy(head->zone[z].name, sizeof(head->zone[z].name),
		    span_str(zones[z].name));
		head->zone[z].segment = seg;
		head->zone[z].writers = zones[z].writers;
		head->zone[z].offset = shm->segment_size[seg];
		head->zone[z].size = size;
		shm->segment_size[seg] += size + page;
	}
	head->n_zones = ZONE_COUNT;
}

static int
observable_fd(size_t size, struct err *e)
{
	int fd = memfd_create("omni2", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_set(e, ERR_INTERNAL, "memfd_create: %s",
		    strerror(errno));
	/* Readable for whom it is given to; fchmod is only a second line. */
	if (ftruncate(fd, (off_t)size) < 0 || fchmod(fd, 0444) < 0) {
		err_set(e, ERR_INTERNAL, "memory of %zu bytes: %s", size,
		    strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* Nobody changes the size (a shorter file is SIGBUS in every process), and
 * nobody who gets the descriptor can map it writable. */
static int
seal(int fd, struct err *e)
{
	/* Since Linux 5.1; the mappings that exist stay writable. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0 && errno != EINVAL)
		return err_set(e, ERR_INTERNAL, "seal the shared memory: %s",
		    strerror(errno));
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_SEAL) < 0)
		return err_set(e, ERR_INTERNAL, "seal the shared memory: %s",
		    strerror(errno));
	return 0;
}

static int
map_segments(struct shm *shm, struct err *e)
{
	void *p;

	shm->observable_fd = observable_fd(shm->segment_size[OBSERVABLE], e);
	if (shm->observable_fd < 0)
		return -1;
	p = mmap(NULL, shm->segment_size[OBSERVABLE], PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE, shm->observable_fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, ERR_INTERNAL, "map %zu bytes: %s",
		    shm->segment_size[OBSERVABLE], strerror(errno));
	shm->segment[OBSERVABLE] = p;
	if (seal(shm->observable_fd, e) < 0)
		return -1;
	p = mmap(NULL, shm->segment_size[PRIVATE], PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return err_set(e, ERR_INTERNAL, "map %zu bytes: %s",
		    shm->segment_size[PRIVATE], strerror(errno));
	shm->segment[PRIVATE] = p;
	/* Secrets stand in it; they belong in no core file. */
	(void)madvise(p, shm->segment_size[PRIVATE], MADV_DONTDUMP);
	return 0;
}

static int
guard_zones(struct shm *shm, const struct shm_head *head, struct err *e)
{
	size_t page = page_size();

	for (int z = 0; z < ZONE_COUNT; z++) {
		char *base = shm->segment[head->zone[z].segment];

		shm->zone[z] = base + head->zone[z].offset;
		shm->zone_size[z] = head->zone[z].size;
		if (mprotect(base + head->zone[z].offset + head->zone[z].size,
		    page, PROT_NONE) < 0)
			return err_set(e, ERR_INTERNAL, "guard page: %s",
			    strerror(errno));
	}
	return 0;
}

int
shm_create(struct shm *shm, const struct shm_sizes *sizes, struct err *e)
{
	struct shm_head head;

	memset(shm, 0, sizeof(*shm));
	memset(&head, 0, sizeof(head));
	shm->observable_fd = -1;
	shm->slot = UINT32_MAX;
	if (check_sizes(sizes, e) < 0)
		return -1;
	shm->sizes = *sizes;
	shm->sizes.conf_size = round_up(sizes->conf_size, page_size());
	shm->sizes.policy_size = round_up(sizes->policy_size, page_size());
	shm->sizes.catalog_size = round_up(sizes->catalog_size, page_size());
	place_zones(shm, &head);
	if (map_segments(shm, e) < 0 || guard_zones(shm, &head, e) < 0) {
		shm_destroy(shm);
		return -1;
	}
	head.magic = SHM_MAGIC;
	head.layout = SHM_LAYOUT;
	build_text(head.build, sizeof(head.build));
	head.created_wall_us = clock_wall_us();
	head.master_pid = (int32_t)getpid();
	random_bytes(&head.hash_seed, sizeof(head.hash_seed));
	head.sizes = shm->sizes;
	memcpy(shm->zone[ZONE_HEAD], &head, sizeof(head));
	(void)mprotect(shm->zone[ZONE_HEAD], shm->zone_size[ZONE_HEAD],
	    PROT_READ);
	shm_rate_init(shm);
	return 0;
}

static int
check_head(const struct shm_head *head, size_t file_size, struct err *e)
{
	char build[sizeof(head->build)];

	if (head->magic != SHM_MAGIC)
		return err_set(e, ERR_INTERNAL, "not omni2's shared memory");
	build_text(build, sizeof(build));
	if (head->layout != SHM_LAYOUT || head->n_zones != ZONE_COUNT ||
	    memcmp(head->build, build, sizeof(build)) != 0)
		return err_set(e, ERR_INTERNAL, "the server is another build "
		    "(%.*s, this is %s)", (int)sizeof(head->build),
		    head->build, build);
	for (int z = 0; z < ZONE_COUNT; z++) {
		uint64_t size = head->zone[z].size;

		if (head->zone[z].segment != zones[z].segment)
			return err_set(e, ERR_INTERNAL, "zone directory");
		if (zones[z].segment == PRIVATE)
			continue;
		if (size < zone_bytes((enum shm_zone)z, &head->sizes) ||
		    size > file_size ||
		    head->zone[z].offset > file_size - size)
			return err_set(e, ERR_INTERNAL, "zone %s is outside",
			    zones[z].name);
	}
	return 0;
}

int
shm_attach(struct shm *shm, int fd, struct err *e)
{
	const struct shm_head *head;
	struct stat st;
	int seals;
	void *p;

	memset(shm, 0, sizeof(*shm));
	shm->observable_fd = -1;
	shm->slot = UINT32_MAX;
	/* Without the seal a shorter file could kill the reader by SIGBUS. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) < 0 ||
	    (size_t)st.st_size < sizeof(*head))
		return err_set(e, ERR_INTERNAL, "not omni2's shared memory");
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_set(e, ERR_INTERNAL, "map %zu bytes: %s",
		    (size_t)st.st_size, strerror(errno));
	shm->segment[OBSERVABLE] = p;
	shm->segment_size[OBSERVABLE] = (size_t)st.st_size;
	head = p;
	if (check_head(head, (size_t)st.st_size, e) < 0) {
		shm_destroy(shm);
		return -1;
	}
	shm->sizes = head->sizes;
	for (int z = 0; z < ZONE_COUNT; z++) {
		if (zones[z].segment != OBSERVABLE)
			continue;
		shm->zone[z] = shm->segment[OBSERVABLE] + head->zone[z].offset;
		shm->zone_size[z] = head->zone[z].size;
	}
	return 0;
}

int
shm_export_fd(const struct shm *shm, struct err *e)
{
	char path[40];
	int fd;

	if (shm->observable_fd < 0)
		return err_set(e, ERR_INTERNAL, "only attached, not owned");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d",
	    shm->observable_fd);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return err_set(e, ERR_INTERNAL, "%s: %s", path,
		    strerror(errno));
	return fd;
}

void
shm_destroy(struct shm *shm)
{
	for (int i = 0; i < 2; i++)
		if (shm->segment[i] != NULL)
			(void)munmap(shm->segment[i], shm->segment_size[i]);
	if (shm->observable_fd >= 0)
		close(shm->observable_fd);
	memset(shm, 0, sizeof(*shm));
	shm->observable_fd = -1;
	shm->slot = UINT32_MAX;
}

void
shm_protect(struct shm *shm, enum shm_kind kind, uint32_t slot)
{
	shm_protect_row(shm, kind, slot, 1);
}

void
shm_protect_row(struct shm *shm, enum shm_kind kind, uint32_t slot, uint32_t n)
{
	for (int z = 0; z < ZONE_COUNT; z++) {
		if ((zones[z].writers & 1u << kind) != 0)
			continue;
		if (mprotect(shm->zone[z], shm->zone_size[z], PROT_READ) < 0)
			die_sys("protect zone %s", zones[z].name);
	}
	shm->slot = slot;
	/* Slots of 4 KiB do not fit pages of 64 KiB: neighbours stay open. */
	if (slot != UINT32_MAX) {
		size_t page = page_size();
		size_t offset = (size_t)slot * SHM_SLOT_SIZE / page * page;
		size_t end = (size_t)(slot + n) * SHM_SLOT_SIZE;

		ASSERT_ALWAYS(slot + n <= shm->sizes.slots);
		end = (end + page - 1) / page * page;
		if (mprotect((char *)shm->zone[ZONE_SLOTS] + offset,
		    end - offset, PROT_READ | PROT_WRITE) < 0)
			die_sys("open slot %u", slot);
	}
}

const char *
shm_zone_name(enum shm_zone z)
{
	return zones[z].name;
}

const char *
shm_zone_doc(enum shm_zone z)
{
	return zones[z].doc;
}

struct shm_ctl *
shm_ctl(const struct shm *shm)
{
	return shm->zone[ZONE_CTL];
}

struct shm_queue *
shm_queue(const struct shm *shm)
{
	return shm->zone[ZONE_QUEUE];
}

struct shm_audit *
shm_audit(const struct shm *shm)
{
	return shm->zone[ZONE_AUDIT];
}

struct shm_poll *
shm_poll(const struct shm *shm)
{
	return shm->zone[ZONE_POLL];
}

struct shm_slot *
shm_slot(const struct shm *shm, uint32_t i)
{
	ASSERT_ALWAYS(i < shm->sizes.slots);
	return (struct shm_slot *)((char *)shm->zone[ZONE_SLOTS] +
	    (size_t)i * SHM_SLOT_SIZE);
}

struct shm_slot *
shm_self(const struct shm *shm)
{
	return shm_slot(shm, shm->slot);
}

struct shm_counters *
shm_totals(const struct shm *shm)
{
	return shm->zone[ZONE_TOTALS];
}

struct shm_health *
shm_health(const struct shm *shm, uint32_t i)
{
	ASSERT_ALWAYS(i < SHM_SERVERS_MAX);
	return (struct shm_health *)shm->zone[ZONE_HEALTH] + i;
}

struct shm_word *
shm_cancel_word(const struct shm *shm, uint32_t slot)
{
	ASSERT_ALWAYS(slot < shm->sizes.slots);
	return (struct shm_word *)shm->zone[ZONE_CANCEL] + slot;
}

struct shm_word *
shm_ack_word(const struct shm *shm, uint32_t slot)
{
	ASSERT_ALWAYS(slot < shm->sizes.slots);
	return (struct shm_word *)shm->zone[ZONE_ACK] + slot;
}

const char *
shm_kind_name(enum shm_kind kind)
{
	return kinds[kind].name;
}

uint32_t
shm_kind_first(enum shm_kind kind)
{
	return kinds[kind].first;
}

uint32_t
shm_kind_slots(const struct shm *shm, enum shm_kind kind)
{
	if (kinds[kind].n != 0)
		return kinds[kind].n;
	return shm->sizes.slots - kinds[kind].first;
}

/* Sums may run while the master moves counters of the dead; then again, when
 * the master has had time to go on. */
static bool
folds_same(const struct shm *shm, uint64_t before)
{
	if ((before & 1) == 0 && atomic_load_explicit(&shm_ctl(shm)->folds,
	    memory_order_relaxed) == before)
		return true;
	(void)sched_yield();
	return false;
}

#define SUM_TRIES	100

uint64_t
shm_counter_sum(const struct shm *shm, enum shm_counter c)
{
	uint64_t folds, sum = 0;
	int tries = 0;

	do {
		folds = atomic_load_explicit(&shm_ctl(shm)->folds,
		    memory_order_acquire);
		sum = atomic_load_explicit(&shm_totals(shm)->v[c],
		    memory_order_acquire);
		for (uint32_t i = 0; i < shm->sizes.slots; i++)
			sum += atomic_load_explicit(
			    &shm_slot(shm, i)->counters.v[c],
			    memory_order_acquire);
	} while (!folds_same(shm, folds) && ++tries < SUM_TRIES);
	return sum;
}

static void
add_relaxed(_Atomic uint64_t *v, uint64_t n)
{
	atomic_store_explicit(v,
	    atomic_load_explicit(v, memory_order_relaxed) + n,
	    memory_order_relaxed);
}

void
shm_latency_add(struct shm_slot *slot, int64_t us)
{
	int i = 0;

	if (us < 0)
		us = 0;
	while (i < SHM_BUCKETS - 1 && us > (int64_t)shm_bucket_us[i])
		i++;
	add_relaxed(&slot->counters.bucket[i], 1);
	add_relaxed(&slot->counters.latency_sum_us, (uint64_t)us);
	add_relaxed(&slot->counters.latency_count, 1);
}

static void
latency_add_counters(const struct shm_counters *c, uint64_t *buckets,
    uint64_t *count, uint64_t *sum_us)
{
	for (int i = 0; i < SHM_BUCKETS; i++)
		buckets[i] += atomic_load_explicit(&c->bucket[i],
		    memory_order_acquire);
	*count += atomic_load_explicit(&c->latency_count,
	    memory_order_acquire);
	*sum_us += atomic_load_explicit(&c->latency_sum_us,
	    memory_order_acquire);
}

void
shm_latency_sum(const struct shm *shm, uint64_t buckets[SHM_BUCKETS],
    uint64_t *count, uint64_t *sum_us)
{
	uint64_t folds;
	int tries = 0;

	do {
		folds = atomic_load_explicit(&shm_ctl(shm)->folds,
		    memory_order_acquire);
		memset(buckets, 0, SHM_BUCKETS * sizeof(buckets[0]));
		*count = *sum_us = 0;
		latency_add_counters(shm_totals(shm), buckets, count, sum_us);
		for (uint32_t i = 0; i < shm->sizes.slots; i++)
			latency_add_counters(&shm_slot(shm, i)->counters,
			    buckets, count, sum_us);
	} while (!folds_same(shm, folds) && ++tries < SUM_TRIES);
}
