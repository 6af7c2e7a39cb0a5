/*
 * master_load -- reload: a loader builds, the master publishes. At most one
 * loader at a time; requests that come meanwhile lead to one more run.
 */
#include "proc/master.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "shm/gen.h"

void
master_reload(struct master *m, bool seed)
{
	if (m->stopping)
		return;
	m->seed_wanted |= seed;
	if (m->loading) {
		m->load_again = true;
		return;
	}
	buf_reset(&m->report, 65536);
	notify_send("RELOADING=1\nSTATUS=Loading the configuration");
	m->proc->seed = m->seed_wanted;
	if (master_spawn(m, KIND_LOADER) > 0) {
		m->loading = true;
		m->seed_wanted = false;
	} else
		control_reload_done(m, false, SPAN_LIT("cannot start a loader\n"));
}

void
master_read_report(struct master *m)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(m->proc->loader_pipe[0], bytes, sizeof(bytes))) > 0)
		buf_add(&m->report, bytes, (size_t)n);
}

/* Each line of findings is a line of the log. */
static void
log_lines(struct span text, bool ok)
{
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end == NULL ? text.n : (size_t)(end - text.p);

		if (n > 0 && ok)
			log_warn("%.*s", (int)n, text.p);
		else if (n > 0)
			log_error("%.*s", (int)n, text.p);
		text = span_skip(text, n + 1);
	}
}

static void
tell_children(struct master *m)
{
	master_signal(m, KIND_POLLER, SIGUSR1);
	master_signal(m, KIND_STDIOD, SIGUSR1);
}

/* What the master itself uses of the new settings. */
static void
take_settings(struct master *m, int buffer)
{
	struct conf *conf = &m->proc->conf;
	size_t size;
	const struct conf *next = shm_gen_buffer(m->shm, SNAP_CONF, buffer, &size);
	struct buf changed;

	buf_init(&changed, 16384);
	if (m->loaded_once && conf_diff_restart(conf, next, &changed) > 0)
		log_lines(buf_span(&changed), true);
	buf_free(&changed);
	conf->min_spare = next->min_spare;
	conf->max_spare = next->max_spare;
	conf->max_requests = next->max_requests;
	conf->watchdog_ms = next->watchdog_ms;
	conf->drain_timeout_ms = next->drain_timeout_ms;
	log_set_level((enum log_level)next->log_level);
}

static bool
publish(struct master *m, const struct loader_report *r)
{
	struct shm_ctl *ctl = shm_ctl(m->shm);

	if (r->errors != 0 || r->conf_buffer < 0 || r->conf_buffer > 2 ||
	    r->policy_buffer > 2)
		return false;
	take_settings(m, r->conf_buffer);
	shm_gen_publish(m->shm, SNAP_CONF, r->conf_buffer);
	if (r->policy_buffer >= 0) {
		if (r->db_loaded && atomic_load(&ctl->db_loaded) == 0)
			atomic_store(&ctl->db_loaded_mono_ms, clock_mono_ms());
		shm_gen_publish(m->shm, SNAP_POLICY, r->policy_buffer);
		if (r->db_loaded)
			atomic_store(&ctl->db_loaded, 1);
	}
	atomic_fetch_add(&ctl->reloads, 1);
	atomic_store(&ctl->last_reload_wall_us, clock_wall_us());
	return true;
}

void
master_loader_died(struct master *m, bool exited_well)
{
	struct loader_report r = { .exit_status = EX_CONFIG };
	struct span text = SPAN_LIT("the loader died\n");
	bool ok = false;

	m->loading = false;
	master_read_report(m);
	if (exited_well && m->report.n >= sizeof(r)) {
		memcpy(&r, m->report.p, sizeof(r));
		if (r.magic == LOADER_MAGIC &&
		    r.text_size == m->report.n - sizeof(r)) {
			text = span_skip(buf_span(&m->report), sizeof(r));
			ok = publish(m, &r);
		} else
			r.exit_status = EX_CONFIG;
	}
	/* the database was away: the loader that finds it writes */
	if (!ok || !r.db_loaded)
		m->seed_wanted |= m->proc->seed;
	log_lines(text, ok);
	if (!ok) {
		atomic_fetch_add(&shm_ctl(m->shm)->reloads_failed, 1);
		log_error("configuration not loaded%s", m->loaded_once ?
		    "; the one before keeps running" : "");
		if (!m->loaded_once) {
			notify_failed(text);
			exit(r.exit_status);
		}
	} else if (!m->loaded_once) {
		m->loaded_once = true;
		master_keep_alive(m);
	} else {
		log_info("configuration loaded");
		tell_children(m);
	}
	notify_ready(m, ok, text);
	control_reload_done(m, ok, text);
	if (m->load_again) {
		m->load_again = false;
		master_reload(m, false);
	}
}
