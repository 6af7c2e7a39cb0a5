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
#include "base/log.h"
#include "conf/model.h"
#include "mcp/catalog.h"
#include "mcp/spool.h"
#include "proc/listener.h"
#include "proc/lists.h"
#include "proc/poll_db.h"
#include "proc/probe.h"
#include "proc/proc.h"
#include "shm/client.h"
#include "shm/gen.h"
#include "shm/health.h"
#include "shm/legacy.h"
#include "shm/slot.h"
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
	struct lists	 lists;
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
	struct poll_db	 db;
	int64_t		 next_sweep_ms;
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
	lists_free(&k->lists);
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
inherit(struct poller *p, struct known *k)
{
	const struct cat_head *c = shm_pin(p->shm, SNAP_CATALOG, NULL);

	if (c == NULL)
		return;
	lists_inherit(&k->lists, c, k->id);
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
		inherit(p, k);
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

static void
count_items(struct poller *p, const struct known *k)
{
	struct shm_health *h = health_of(p, k);
	uint64_t n[ITEM_KIND_COUNT];

	if (h == NULL)
		return;
	lists_count(&k->lists, n);
	atomic_store(&h->tools, n[ITEM_TOOL]);
	atomic_store(&h->resources, n[ITEM_RESOURCE]);
	atomic_store(&h->templates, n[ITEM_TEMPLATE]);
	atomic_store(&h->prompts, n[ITEM_PROMPT]);
}

/* A complete report of a full probe becomes the known lists. */
static void
take_report(struct poller *p, struct known *k)
{
	uint64_t old_face = lists_face(&k->lists);
	bool was_listed = k->lists.listed;

	lists_take(&k->lists, &k->in);
	buf_init(&k->in, REPORT_MAX);
	if (was_listed && lists_face(&k->lists) != old_face &&
	    health_of(p, k) != NULL)
		legacy_forget(health_of(p, k));
}

static void
probe_ended(struct poller *p, struct known *k)
{
	char why[256];
	uint32_t end = lists_report_end(buf_span(&k->in), why, sizeof(why));
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

		is_dual = k->lists.era == ERA_MODERN && h != NULL &&
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
		w.wanted = k->enabled && k->lists.listed && h != NULL &&
		    (w.has_links ||
		    atomic_load(&h->status) == HEALTH_HEALTHY);
		w.era = k->lists.era;
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
		src[n].era = k->lists.era;
		src[n].listed = k->lists.listed;
		src[n].version = k->lists.version;
		src[n].capabilities = k->lists.capabilities;
		src[n].info = k->lists.info;
		src[n].instructions = k->lists.instructions;
		src[n].item = k->lists.item;
		src[n++].n_items = k->lists.n_items;
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
	of[n] = NULL;			/* poll(2) passes over a -1 */
	fds[n++] = (struct pollfd){ .fd = poll_db_fd(&p->db),
	    .events = POLLIN };
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
		poll_db_tend(&p.db, proc, &p.conf, db_readable);
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
	poll_db_close(&p.db);
	return 0;
}
