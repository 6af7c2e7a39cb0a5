/*
 * poller -- discovery and health of the upstream servers, the catalog, and the
 * state of the database.
 *
 * One loop over poll(2): probe children (probe.h) report through pipes, the
 * database notifies changes of policy. Nothing here waits for a server. The
 * last good lists of a server stay in the catalog while it is away.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/json_read.h"
#include "conf/model.h"
#include "mcp/catalog.h"
#include "mcp/spool.h"
#include "proc/listener.h"
#include "proc/probe.h"
#include "proc/proc.h"
#include "shm/client.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "shm/legacy.h"
#include "shm/slot.h"
#include "store/store.h"
#include "upstream/hear.h"

#define PROBES_MAX	16
#define REPORT_MAX	(64u << 20)
#define DIRTY_MS	500

/* One server as the poller knows it. */
struct known {
	int64_t		 id;
	char		 org[64], name[64];
	bool		 enabled, wanted, is_dual;
	struct arena	*mem;		/* of target, replaced with the config */
	struct upstream_target target;
	/* the last good lists: one report, parsed */
	char		*report;
	struct cat_source_item *item;
	uint32_t	 n_items;
	struct span	 capabilities, info, instructions;
	enum sess_era	 era;
	char		 version[16];
	bool		 listed;
	/* the probe under way */
	pid_t		 pid;
	int		 fd;
	bool		 full;
	struct buf	 in;
	/* plan */
	int64_t		 next_full_ms, next_light_ms;
	int64_t		 full_ms;	/* when its lists were last asked for */
	int64_t		 retry_ms;	/* back-off after failures; 0 none */
	struct listener	 listener;
};

struct poller {
	struct proc	*proc;
	struct shm	*shm;
	struct known	**k;
	size_t		 n, running;
	struct db	*db;
	int64_t		 next_db_ms, next_sweep_ms;
	bool		 db_was_up;
	int64_t		 reload_asked_ms;
	uint64_t	 conf_generation, policy_generation;
	struct conf	 conf;
	bool		 changed;	/* the catalog must be built again */
	uint64_t	 subs_seen;	/* shm_subs_changes() */
	int64_t		 next_tend_ms;	/* of the listeners */
};

static volatile sig_atomic_t stop;

static void
on_term(int sig)
{
	stop = 1;
}

static void
on_wake(int sig)
{
	/* SIGUSR1 of the master: a new generation; SIGCHLD: see loop() */
}

/* ---- servers ------------------------------------------------------------------- */

static void
forget_report(struct known *k)
{
	free(k->report);
	free(k->item);
	k->report = NULL;
	k->item = NULL;
	k->n_items = 0;
	k->capabilities = k->info = k->instructions = span_make(NULL, 0);
}

static void
end_probe(struct poller *p, struct known *k, bool kill_it)
{
	if (k->pid == 0)
		return;
	if (kill_it)
		kill(k->pid, SIGKILL);
	waitpid(k->pid, NULL, 0);
	close(k->fd);
	buf_free(&k->in);
	k->pid = 0;
	k->fd = -1;
	p->running--;
}

static void
free_known(struct poller *p, struct known *k)
{
	end_probe(p, k, true);
	listener_end(&k->listener);
	forget_report(k);
	arena_free(&k->mem);
	free(k);
}

static struct known *
find_known(struct poller *p, int64_t id)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->k[i]->id == id)
			return p->k[i];
	return NULL;
}

static struct shm_health *
health_of(struct poller *p, const struct known *k)
{
	return k->target.health < SHM_SERVERS_MAX ?
	    shm_health(p->shm, k->target.health) : NULL;
}

static void
set_status(struct poller *p, struct known *k, enum shm_health_status st,
    const char *why)
{
	struct shm_health *h = health_of(p, k);
	enum shm_health_status old;

	if (h == NULL)
		return;
	old = (enum shm_health_status)atomic_load(&h->status);
	span_copy(h->error, sizeof(h->error), span_str(why));
	atomic_store(&h->checked_wall_us, clock_wall_us());
	atomic_store(&h->status, st);
	if (old == st)
		return;
	atomic_store(&h->changed_wall_us, clock_wall_us());
	if (st == HEALTH_HEALTHY)
		log_info("server \"%s\" is healthy", k->name);
	else if (st != HEALTH_DISABLED)
		log_warn("server \"%s\" is %s: %s", k->name,
		    health_status_name(st), why);
}

static void
add_item(struct known *k, enum item_kind kind, struct span raw, uint32_t *cap)
{
	if (k->n_items == *cap) {
		*cap = *cap == 0 ? 64 : *cap * 2;
		k->item = xrealloc(k->item, *cap * sizeof(k->item[0]));
	}
	k->item[k->n_items].kind = kind;
	k->item[k->n_items++].raw = raw;
}

static struct span
keep(char **at, struct span s)
{
	struct span r = span_make(*at, s.n);

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return r;
}

/*
 * A poller that was started anew knows nothing; what its predecessor published
 * is still there. Without this the first catalog would take every tool away.
 */
static void
inherit_lists(struct poller *p, struct known *k)
{
	const struct cat_head *c = shm_pin(p->shm, SNAP_CATALOG, NULL);
	const struct cat_server *s;
	uint32_t i, kind, cap = 0;
	size_t size = 0;
	char *at;

	if (c == NULL)
		return;
	i = catalog_find_server(c, k->id);
	s = i == CAT_NONE ? NULL : cat_server(c, i);
	if (s == NULL || !s->listed) {
		shm_unpin(p->shm, SNAP_CATALOG);
		return;
	}
	size = s->capabilities.len + s->info.len + s->instructions.len + 1;
	for (kind = 0; kind < ITEM_KIND_COUNT; kind++)
		for (i = 0; i < s->n[kind]; i++)
			size += cat_item(c, s->first[kind] + i)->raw.len;
	at = k->report = xmalloc(size);
	k->capabilities = keep(&at, cat_span(c, s->capabilities));
	k->info = keep(&at, cat_span(c, s->info));
	k->instructions = keep(&at, cat_span(c, s->instructions));
	for (kind = 0; kind < ITEM_KIND_COUNT; kind++)
		for (i = 0; i < s->n[kind]; i++)
			add_item(k, (enum item_kind)kind, keep(&at,
			    cat_span(c, cat_item(c, s->first[kind] + i)->raw)),
			    &cap);
	k->era = (enum sess_era)s->era;
	span_copy(k->version, sizeof(k->version), cat_span(c, s->version));
	k->listed = true;
	shm_unpin(p->shm, SNAP_CATALOG);
}

/* Takes one server of the policy over; new and changed ones are probed now. */
static void
note_server(struct poller *p, const struct pol_head *pol, uint32_t i)
{
	const struct pol_server *s = pol_server(pol, i);
	struct known *k = find_known(p, s->id);
	uint64_t old_hash;

	if (k == NULL) {
		k = xcalloc(1, sizeof(*k));
		k->id = s->id;
		k->fd = -1;
		p->k = xrealloc(p->k, (p->n + 1) * sizeof(p->k[0]));
		p->k[p->n++] = k;
		p->changed = true;
		inherit_lists(p, k);
	}
	old_hash = k->mem != NULL ? k->target.config_hash : ~s->config_hash;
	if (k->mem == NULL)
		k->mem = arena_new(4096);
	arena_reset(k->mem);
	upstream_target_copy(&k->target, k->mem, pol, i,
	    p->conf.default_timeout_ms);
	span_copy(k->org, sizeof(k->org), pol_span(pol,
	    ((const struct pol_str *)pol_at(pol, pol->orgs.off))[s->org]));
	span_copy(k->name, sizeof(k->name), pol_span(pol, s->name));
	if (old_hash != s->config_hash || (s->enabled && !k->enabled)) {
		end_probe(p, k, true);
		listener_end(&k->listener);
		upstream_hear_forget(p->proc->stdio_path, k->id);
		k->next_full_ms = 0;
		k->retry_ms = 0;
		p->changed = true;
	}
	if (!s->enabled && k->enabled)
		p->changed = true;
	k->enabled = s->enabled != 0;
	k->wanted = true;
	if (!k->enabled) {
		end_probe(p, k, true);
		set_status(p, k, HEALTH_DISABLED, "");
	}
}

/* The order of the policy, which is by organisation and name. */
static int
by_name(const void *a, const void *b)
{
	const struct known *x = *(struct known *const *)a;
	const struct known *y = *(struct known *const *)b;
	int c = strcmp(x->org, y->org);

	return c != 0 ? c : strcmp(x->name, y->name);
}

static void
refresh(struct poller *p)
{
	const struct conf *c;
	const struct pol_head *pol;
	size_t i, kept = 0;
	uint32_t s;

	if (shm_generation(p->shm, SNAP_CONF) != p->conf_generation &&
	    (c = shm_pin(p->shm, SNAP_CONF, &p->conf_generation)) != NULL) {
		p->conf = *c;
		shm_unpin(p->shm, SNAP_CONF);
		log_set_level((enum log_level)p->conf.log_level);
	}
	if (shm_generation(p->shm, SNAP_POLICY) == p->policy_generation ||
	    (pol = shm_pin(p->shm, SNAP_POLICY, &p->policy_generation)) == NULL)
		return;
	for (i = 0; i < p->n; i++)
		p->k[i]->wanted = false;
	for (s = 0; s < pol->servers.n; s++)
		note_server(p, pol, s);
	shm_unpin(p->shm, SNAP_POLICY);
	for (i = 0; i < p->n; i++) {
		if (p->k[i]->wanted)
			p->k[kept++] = p->k[i];
		else {
			free_known(p, p->k[i]);
			p->changed = true;
		}
	}
	p->n = kept;
	if (p->n > 0)
		qsort(p->k, p->n, sizeof(p->k[0]), by_name);
}

/* ---- probes ---------------------------------------------------------------------- */

static void
start_probe(struct poller *p, struct known *k, bool full)
{
	pid_t parent = getpid();
	int fd[2];

	if (pipe(fd) < 0) {
		log_warn("pipe: %s", strerror(errno));
		k->next_full_ms = clock_mono_ms() + 1000;
		return;
	}
	fdio_set_cloexec(fd[0], true);
	fdio_set_cloexec(fd[1], true);
	k->pid = fork();
	if (k->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGTERM, SIG_DFL);
		if (getppid() != parent)
			_exit(0);
		close(fd[0]);
		probe_run(p->shm, p->proc->stdio_path, &k->target, full, fd[1]);
		_exit(0);
	}
	close(fd[1]);
	if (k->pid < 0) {
		log_warn("fork: %s", strerror(errno));
		close(fd[0]);
		k->pid = 0;
		k->next_full_ms = clock_mono_ms() + 1000;
		return;
	}
	fdio_set_nonblock(fd[0], true);
	k->fd = fd[0];
	k->full = full;
	if (full)
		k->full_ms = clock_mono_ms();
	buf_init(&k->in, REPORT_MAX);
	p->running++;
}

static void
plan(struct poller *p, struct known *k, bool ok)
{
	int64_t now = clock_mono_ms();

	if (ok) {
		k->retry_ms = 0;
		if (k->full)
			k->next_full_ms = now + p->conf.discovery_interval_ms;
		k->next_light_ms = now + p->conf.health_interval_ms;
		return;
	}
	k->retry_ms = k->retry_ms == 0 ? 1000 : k->retry_ms * 2;
	if (k->retry_ms > p->conf.health_interval_ms)
		k->retry_ms = p->conf.health_interval_ms;
	k->next_full_ms = now + k->retry_ms;	/* comes back: read it anew */
}

static struct span
member_of(struct span object, const char *name)
{
	struct json_value v;

	if (json_object(object, &name, &v, 1) != JSON_OK)
		return span_make(NULL, 0);
	return v.raw;
}

static bool
part_kind(uint32_t part, enum item_kind *kind)
{
	switch ((enum probe_part)part) {
	case PROBE_TOOL:
		*kind = ITEM_TOOL;
		return true;
	case PROBE_RESOURCE:
		*kind = ITEM_RESOURCE;
		return true;
	case PROBE_TEMPLATE:
		*kind = ITEM_TEMPLATE;
		return true;
	case PROBE_PROMPT:
		*kind = ITEM_PROMPT;
		return true;
	case PROBE_OPENED:
	case PROBE_RESULT:
	case PROBE_DONE:
	case PROBE_FAILED:
		break;
	}
	return false;
}

static void
count_items(struct poller *p, const struct known *k)
{
	struct shm_health *h = health_of(p, k);
	uint64_t n[ITEM_KIND_COUNT] = { 0 };
	uint32_t i;

	for (i = 0; i < k->n_items; i++)
		n[k->item[i].kind]++;
	if (h == NULL)
		return;
	atomic_store(&h->tools, n[ITEM_TOOL]);
	atomic_store(&h->resources, n[ITEM_RESOURCE]);
	atomic_store(&h->templates, n[ITEM_TEMPLATE]);
	atomic_store(&h->prompts, n[ITEM_PROMPT]);
}

/* Next part of a report; false at its end or if it is cut. */
static bool
next_part(const struct buf *in, size_t *at, struct probe_head *h,
    struct span *body)
{
	if (in->n - *at < sizeof(*h))
		return false;
	memcpy(h, in->p + *at, sizeof(*h));
	if (in->n - *at - sizeof(*h) < h->size)
		return false;
	*body = span_make(in->p + *at + sizeof(*h), h->size);
	*at += sizeof(*h) + h->size;
	return true;
}

/* PROBE_DONE, PROBE_FAILED (why filled), or 0: the probe died. */
static uint32_t
report_end(const struct known *k, char *why, size_t size)
{
	struct probe_head h;
	struct span body;
	size_t at = 0;

	while (next_part(&k->in, &at, &h, &body))
		if (h.part == PROBE_DONE || h.part == PROBE_FAILED) {
			span_copy(why, size, body);
			return h.part;
		}
	span_copy(why, size, SPAN_LIT("the probe did not finish"));
	return 0;
}

/* What the server says of itself. */
static uint64_t
face_of(const struct known *k)
{
	return hash_bytes(1, k->capabilities.p, k->capabilities.n) ^
	    hash_bytes(2, k->info.p, k->info.n) ^
	    hash_bytes(3, k->version, strlen(k->version));
}

/* A complete report of a full probe becomes the known lists. */
static void
take_report(struct poller *p, struct known *k)
{
	uint64_t old_face = face_of(k);
	struct probe_opened o;
	struct probe_head h;
	struct span body;
	enum item_kind kind;
	uint32_t cap = 0;
	size_t at = 0;

	forget_report(k);
	k->report = k->in.p;		/* spans point into it: kept */
	while (next_part(&k->in, &at, &h, &body)) {
		if (h.part == PROBE_OPENED && h.size == sizeof(o)) {
			memcpy(&o, body.p, sizeof(o));
			k->era = (enum sess_era)o.era;
			span_copy(k->version, sizeof(k->version),
			    span_make(o.version, strnlen(o.version,
			    sizeof(o.version))));
		} else if (h.part == PROBE_RESULT) {
			k->capabilities = member_of(body, "capabilities");
			k->info = member_of(body, "serverInfo");
			k->instructions = member_of(body, "instructions");
			if (k->instructions.n > 0 &&
			    k->instructions.p[0] != '"')
				k->instructions = span_make(NULL, 0);
		} else if (part_kind(h.part, &kind))
			add_item(k, kind, body, &cap);
	}
	if (k->listed && face_of(k) != old_face && health_of(p, k) != NULL)
		legacy_forget(health_of(p, k));
	k->listed = true;
	memset(&k->in, 0, sizeof(k->in));
	buf_init(&k->in, REPORT_MAX);
}

static void
probe_ended(struct poller *p, struct known *k)
{
	char why[256];
	uint32_t end = report_end(k, why, sizeof(why));
	bool full = k->full, ok = end == PROBE_DONE;

	atomic_fetch_add(ok ? &shm_poll(p->shm)->discoveries :
	    &shm_poll(p->shm)->discoveries_failed, 1);
	if (ok && full) {
		take_report(p, k);
		count_items(p, k);
		p->changed = true;
		p->next_tend_ms = 0;	/* somebody may be waiting for it */
	}
	/* It was away and is back: no need to wait for the circuit's time. A
	 * server that answers us but fails calls keeps its open circuit. */
	if (ok && health_of(p, k) != NULL &&
	    atomic_load(&health_of(p, k)->status) == HEALTH_UNREACHABLE) {
		breaker_reset(health_of(p, k));
		legacy_forget(health_of(p, k));
	}
	set_status(p, k, ok ? HEALTH_HEALTHY : HEALTH_UNREACHABLE, why);
	/* came back: what it lists may have changed meanwhile */
	if (ok && !full && k->retry_ms > 0)
		k->next_full_ms = 0;
	plan(p, k, ok);
	end_probe(p, k, false);
}

static void
read_probe(struct poller *p, struct known *k)
{
	for (;;) {
		ssize_t n;

		if (buf_reserve(&k->in, 65536) < 0) {
			log_warn("server \"%s\": its lists are too large",
			    k->name);
			k->in.n = 0;
			kill(k->pid, SIGKILL);
			probe_ended(p, k);
			return;
		}
		n = read(k->fd, k->in.p + k->in.n, 65536);
		if (n > 0) {
			k->in.n += (size_t)n;
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		probe_ended(p, k);
		return;
	}
}

static void
start_due(struct poller *p)
{
	int64_t now = clock_mono_ms();
	size_t i;

	for (i = 0; i < p->n && p->running < PROBES_MAX; i++) {
		struct known *k = p->k[i];
		struct shm_health *h = health_of(p, k);

		if (!k->enabled || k->pid != 0)
			continue;
		/* at once, but not again and again for one that says it often */
		if (h != NULL && k->retry_ms == 0 &&
		    now - k->full_ms >= DIRTY_MS &&
		    atomic_exchange(&h->dirty, 0) != 0)
			k->next_full_ms = 0;
		if (now >= k->next_full_ms)
			start_probe(p, k, true);
		else if (k->retry_ms == 0 && now >= k->next_light_ms)
			start_probe(p, k, false);
	}
}

/* ---- listeners ------------------------------------------------------------------- */

/* Calls go through the listener of one whose connection is the session, so a
 * health that fails once does not end it. */
static bool
has_links(struct poller *p, const struct known *k)
{
	struct sess_info s;

	if (k->listener.pid == 0)
		return false;
	return k->target.transport == TRANSPORT_SSE ||
	    k->target.transport == TRANSPORT_WEBSOCKET ||
	    (shm_sess_get(p->shm, k->target.health, k->id, &s) &&
	    (s.flags & SESS_SSE) != 0);
}

/* Has somebody learned, or forgotten, that a modern server is of both eras? */
static bool
look_for_dual(struct poller *p, int64_t now)
{
	bool changed = false, is_dual;
	size_t i;

	for (i = 0; i < p->n; i++) {
		struct known *k = p->k[i];
		struct shm_health *h = health_of(p, k);

		is_dual = k->era == ERA_MODERN && h != NULL &&
		    legacy_known(h, k->target.config_hash, now, NULL) ==
		    LEGACY_YES;
		changed |= is_dual != k->is_dual;
		k->is_dual = is_dual;
	}
	return changed;
}

static void
tend_listeners(struct poller *p)
{
	int64_t now = clock_mono_ms();
	uint64_t changes = shm_subs_changes(p->shm);
	struct listener_want w = { .news = changes != p->subs_seen,
	    .conf = &p->conf };
	bool ending = false;
	size_t i;

	/* a call may be waiting for the listener of a dual one */
	if (!look_for_dual(p, now) && !w.news && now < p->next_tend_ms)
		return;
	p->subs_seen = changes;
	for (i = 0; i < p->n; i++) {
		struct known *k = p->k[i];
		struct shm_health *h = health_of(p, k);

		if (k->target.transport == TRANSPORT_STDIO)
			continue;
		w.has_links = has_links(p, k);
		w.wanted = k->enabled && k->listed && h != NULL &&
		    (w.has_links ||
		    atomic_load(&h->status) == HEALTH_HEALTHY);
		w.era = k->era;
		w.is_dual = k->is_dual;
		ending |= listener_tend(&k->listener, p->proc, &k->target, &w,
		    now);
	}
	p->next_tend_ms = now + (ending ? 50 : 1000);
}

/* ---- the catalog --------------------------------------------------------------------- */

static void
publish(struct poller *p)
{
	struct cat_source *src;
	const struct cat_head *current;
	struct cat_head *c;
	uint32_t dropped, n = 0;
	uint64_t content = 0;
	size_t i, size;
	struct err e;
	int b;

	b = shm_gen_free(p->shm, SNAP_CATALOG);
	if (b < 0)
		return;			/* a reader pins it: next round */
	src = xcalloc(p->n + 1, sizeof(*src));
	for (i = 0; i < p->n; i++) {
		struct known *k = p->k[i];

		if (!k->enabled)
			continue;
		src[n].server_id = k->id;
		src[n].org = k->org;
		src[n].name = k->name;
		src[n].era = k->era;
		src[n].listed = k->listed;
		src[n].version = k->version;
		src[n].capabilities = k->capabilities;
		src[n].info = k->info;
		src[n].instructions = k->instructions;
		src[n].item = k->item;
		src[n++].n_items = k->n_items;
	}
	c = shm_gen_buffer(p->shm, SNAP_CATALOG, b, &size);
	if (catalog_build(c, size, 1, src, n, &dropped, &e) < 0)
		log_error("catalog: %s; the old one stays", e.text);
	else {
		current = shm_pin(p->shm, SNAP_CATALOG, NULL);
		if (current != NULL) {
			content = current->content;
			shm_unpin(p->shm, SNAP_CATALOG);
		}
		if (current == NULL || content != c->content) {
			shm_gen_publish(p->shm, SNAP_CATALOG, b);
			if (dropped > 0)
				log_warn("catalog: %u items have no usable name "
				    "or a name that is taken; left out", dropped);
		}
	}
	p->changed = false;
	free(src);
}

/* ---- the database ---------------------------------------------------------------------- */

static void
set_db_state(struct poller *p, enum shm_db_state st)
{
	struct shm_poll *w = shm_poll(p->shm);

	if (atomic_load(&w->db_state) == (uint64_t)st)
		return;
	atomic_store(&w->db_since_wall_us, clock_wall_us());
	atomic_store(&w->db_state, st);
	if (st == DB_DOWN)
		log_warn("the database is away");
	else if (st == DB_UP && p->db_was_up)
		log_info("the database is back");
	if (st == DB_UP)
		p->db_was_up = true;
}

static void
ask_reload(struct poller *p)
{
	char word = PROC_WORD_RELOAD;

	p->reload_asked_ms = clock_mono_ms();
	(void)!write(p->proc->master_fd[1], &word, 1);
}

static void
open_db(struct poller *p)
{
	struct err e;

	p->next_db_ms = clock_mono_ms() + 1000;
	p->db = db_open(p->conf.database_url, 2000, &e);
	if (p->db == NULL) {
		set_db_state(p, DB_DOWN);
		return;
	}
	if (db_listen(p->db, &e, "omni2_policy") < 0) {
		log_warn("database: %s", e.text);
		db_close(&p->db);
		set_db_state(p, DB_DOWN);
		return;
	}
	set_db_state(p, DB_UP);
	ask_reload(p);			/* what changed while we did not listen */
}

/* Asked once a second; said once a minute. */
static bool
has_tables(struct poller *p)
{
	static struct log_limit limit = { .interval_ms = 60000 };
	struct err e;

	if (store_schema_check(p->db, &e) == 0)
		return true;
	p->reload_asked_ms = clock_mono_ms();
	if (log_limit_ok(&limit))
		log_warn("%s", e.text);
	return false;
}

static void
tend_db(struct poller *p, bool readable)
{
	int64_t now = clock_mono_ms();

	if (p->conf.database_url[0] == '\0') {
		set_db_state(p, DB_NOT_CONFIGURED);
		return;
	}
	if (p->db == NULL) {
		if (now >= p->next_db_ms)
			open_db(p);
		return;
	}
	if (readable && db_notified(p->db))
		ask_reload(p);
	if (!db_is_ok(p->db)) {
		db_close(&p->db);
		set_db_state(p, DB_DOWN);
		p->next_db_ms = now + 200;
		return;
	}
	/* the loader could not read it, but maybe can now: once a second */
	if (atomic_load(&shm_ctl(p->shm)->db_loaded) == 0 &&
	    now - p->reload_asked_ms > 1000 && has_tables(p))
		ask_reload(p);
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void
wait_for_news(struct poller *p, bool *db_readable)
{
	struct pollfd fds[PROBES_MAX + 1];
	struct known *of[PROBES_MAX + 1];
	nfds_t n = 0;
	size_t i;

	for (i = 0; i < p->n && n < PROBES_MAX; i++)
		if (p->k[i]->pid != 0) {
			of[n] = p->k[i];
			fds[n++] = (struct pollfd){ .fd = p->k[i]->fd,
			    .events = POLLIN };
		}
	if (p->db != NULL) {
		of[n] = NULL;
		fds[n++] = (struct pollfd){ .fd = db_fd(p->db),
		    .events = POLLIN };
	}
	*db_readable = false;
	/* signals end the wait at once: new generations, the end */
	if (poll(fds, n, 100) <= 0)
		return;
	for (i = 0; i < n; i++) {
		if (fds[i].revents == 0)
			continue;
		if (of[i] == NULL)
			*db_readable = true;
		else if (of[i]->pid != 0)
			read_probe(p, of[i]);
	}
}

int
poller_main(struct proc *proc, uint32_t slot)
{
	struct sigaction sa = { .sa_handler = on_term };
	static struct poller p;
	bool db_readable = false;
	size_t i;

	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = on_wake;
	sigaction(SIGUSR1, &sa, NULL);
	p.proc = proc;
	p.shm = &proc->shm;
	p.conf = proc->conf;
	slot_state(p.shm, SLOT_IDLE);
	p.changed = true;
	while (!stop) {
		refresh(&p);
		tend_db(&p, db_readable);
		start_due(&p);
		if (p.changed)
			publish(&p);
		tend_listeners(&p);
		wait_for_news(&p, &db_readable);
		atomic_fetch_add(&shm_poll(p.shm)->rounds, 1);
		if (clock_mono_ms() >= p.next_sweep_ms) {
			p.next_sweep_ms = clock_mono_ms() + 60000;
			spool_sweep(p.conf.run_dir);
		}
	}
	for (i = 0; i < p.n; i++)
		free_known(&p, p.k[i]);
	free(p.k);
	if (p.db != NULL)
		db_close(&p.db);
	return 0;
}
