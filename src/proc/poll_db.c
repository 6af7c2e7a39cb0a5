/*
 * poll_db -- see poll_db.h.
 */
#include "proc/poll_db.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "shm/client.h"
#include "shm/health.h"
#include "store/store.h"

#define CONNECT_MS	2000
#define RETRY_MS	1000	/* between tries to connect, and to reload */

static void
set_state(struct poll_db *d, struct shm *shm, enum shm_db_state st)
{
	struct shm_poll *w = shm_poll(shm);

	if (atomic_load(&w->db_state) == (uint64_t)st)
		return;
	atomic_store(&w->db_since_wall_us, clock_wall_us());
	atomic_store(&w->db_state, st);
	if (st == DB_DOWN)
		log_warn("the database is away");
	else if (st == DB_UP && d->was_up)
		log_info("the database is back");
	if (st == DB_UP)
		d->was_up = true;
}

static void
ask_reload(struct poll_db *d, struct proc *proc)
{
	char word = PROC_WORD_RELOAD;

	d->asked_ms = clock_mono_ms();
	(void)!write(proc->master_fd[1], &word, 1);
}

static void
open_db(struct poll_db *d, struct proc *proc, const struct conf *conf)
{
	struct err e;

	d->next_ms = clock_mono_ms() + RETRY_MS;
	d->db = db_open(conf->database_url, CONNECT_MS, &e);
	if (d->db == NULL) {
		set_state(d, &proc->shm, DB_DOWN);
		return;
	}
	if (db_listen(d->db, &e, "omni2_policy") < 0) {
		log_warn("database: %s", e.text);
		db_close(&d->db);
		set_state(d, &proc->shm, DB_DOWN);
		return;
	}
	set_state(d, &proc->shm, DB_UP);
	ask_reload(d, proc);		/* what changed while we did not listen */
}

/* Asked once a second; said once a minute. */
static bool
has_tables(struct poll_db *d)
{
	static struct log_limit limit = { .interval_ms = 60000 };
	struct err e;

	if (store_schema_check(d->db, &e) == 0)
		return true;
	d->asked_ms = clock_mono_ms();
	if (log_limit_ok(&limit))
		log_warn("%s", e.text);
	return false;
}

void
poll_db_tend(struct poll_db *d, struct proc *proc, const struct conf *conf,
    bool readable)
{
	int64_t now = clock_mono_ms();

	if (conf->database_url[0] == '\0') {
		set_state(d, &proc->shm, DB_NOT_CONFIGURED);
		return;
	}
	if (d->db == NULL) {
		if (now >= d->next_ms)
			open_db(d, proc, conf);
		return;
	}
	if (readable && db_notified(d->db))
		ask_reload(d, proc);
	if (!db_is_ok(d->db)) {
		db_close(&d->db);
		set_state(d, &proc->shm, DB_DOWN);
		d->next_ms = now + 200;
		return;
	}
	/* the loader could not read it, but maybe can now */
	if (atomic_load(&shm_ctl(&proc->shm)->db_loaded) == 0 &&
	    now - d->asked_ms > RETRY_MS && has_tables(d))
		ask_reload(d, proc);
}

int
poll_db_fd(const struct poll_db *d)
{
	return d->db != NULL ? db_fd(d->db) : -1;
}

void
poll_db_close(struct poll_db *d)
{
	if (d->db != NULL)
		db_close(&d->db);
}
