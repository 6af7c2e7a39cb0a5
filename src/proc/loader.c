/*
 * loader -- reads YAML and database and builds the next configuration and
 * policy generation. Short-lived child: all the code that may block, allocate
 * or meet bad input on a reload runs here, never in the master.
 *
 * It writes into free buffers and reports their numbers; the master publishes.
 * A loader that dies has changed nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/model.h"
#include "policy/build.h"
#include "proc/proc.h"
#include "proc/secret.h"
#include "shm/gen.h"
#include "shm/slot.h"
#include "store/store.h"
#include "tls/context.h"

/* Names may live in the database: checked when both are in. */
static void
check_names(struct model *m, struct conf_report *r)
{
	model_add_seed_roles(m);
	model_check(m, r);
}

/* One transaction: of a file that is refused no row stays in the database. */
static int
seed_and_load(struct db *db, struct model *m, struct conf_report *r,
    struct err *e)
{
	int rc = -1;

	if (db_begin(db, e) < 0)
		return -1;
	if (store_seed(db, m, e) == 0 && store_load(db, m, e) == 0) {
		check_names(m, r);
		rc = r->errors > 0 ? 0 : db_commit(db, e);
	}
	db_rollback(db);
	m->db_loaded = rc == 0;
	return rc;
}

/* Rows of the database into the model. -1 with err when it is away. */
static int
merge_database(const struct conf *conf, struct model *m, bool seed,
    struct conf_report *r, struct err *e)
{
	struct db *db = db_open(conf->database_url, conf->database_timeout_ms, e);
	int rc;

	if (db == NULL)
		return -1;
	if (seed)
		rc = seed_and_load(db, m, r, e);
	else if ((rc = store_load(db, m, e)) == 0)
		check_names(m, r);
	db_close(&db);
	return rc;
}

/* Before they are used: one that is no good never replaces one that is. */
static int
check_tls(const char *path, const struct conf *conf, struct conf_report *r)
{
	char expires[16];
	struct err e;
	int days;
	SSL_CTX *ctx = tls_context(conf, expires, &days, &e);

	if (ctx == NULL) {
		conf_report_add(r, true, path, 0, 0, "%s", e.text);
		if (e.code == ERR_DENIED)
			conf_report_denied(r);
		return -1;
	}
	SSL_CTX_free(ctx);
	if (days < 0)
		conf_report_add(r, false, path, 0, 0, "server.tls.certificate: "
		    "%s has ended on %s", conf->tls_certificate, expires);
	return 0;
}

int
loader_read(const char *path, struct conf *conf, struct model *m,
    struct buf *out, enum loader_depth depth, int *exit_status)
{
	struct conf_report report = { NULL, 0, 0 };
	bool is_newer = false;
	struct err e;
	int rc;

	rc = conf_load(path, conf, m, &report);
	if (rc == 0 && conf->tls_listen.n > 0)
		rc = check_tls(path, conf, &report);
	if (rc == 0 && depth != LOADER_YAML && conf->database_url[0] != '\0' &&
	    merge_database(conf, m, depth == LOADER_SEED, &report, &e) < 0) {
		is_newer = e.code == ERR_VERSION;
		conf_report_add(&report, is_newer, path, 0, 0, "%s", e.text);
		rc = is_newer ? -1 : 0;
	}
	if (report.errors > 0)
		rc = -1;
	if (exit_status != NULL)
		*exit_status = is_newer ? EX_PROTOCOL :
		    conf_report_is_denied(&report) ? EX_NOPERM : EX_CONFIG;
	conf_report_sort(&report);
	conf_report_print(&report, out);
	conf_report_free(&report);
	return rc;
}

static int
free_buffer(struct shm *shm, enum shm_snap snap)
{
	int i, b;

	for (i = 0; i < 2500; i++) {
		if ((b = shm_gen_free(shm, snap)) >= 0)
			return b;
		clock_nap_ms(2);	/* a reader still pins the older one */
	}
	return -1;
}

static int
build(struct shm *shm, const struct conf *conf, const struct model *m,
    bool with_policy, struct loader_report *r, struct buf *text)
{
	struct err e;
	size_t size;
	void *p;

	r->conf_buffer = free_buffer(shm, SNAP_CONF);
	if (r->conf_buffer < 0) {
		buf_printf(text, "no free buffer for the configuration\n");
		return -1;
	}
	p = shm_gen_buffer(shm, SNAP_CONF, r->conf_buffer, &size);
	ASSERT_ALWAYS(sizeof(*conf) <= size);
	memcpy(p, conf, sizeof(*conf));
	if (!with_policy)
		return 0;
	r->policy_buffer = free_buffer(shm, SNAP_POLICY);
	if (r->policy_buffer < 0) {
		buf_printf(text, "no free buffer for the policy\n");
		return -1;
	}
	p = shm_gen_buffer(shm, SNAP_POLICY, r->policy_buffer, &size);
	if (policy_build(p, size, m, conf, shm, &e) < 0) {
		buf_printf(text, "%s\n", e.text);
		return -1;
	}
	return 0;
}

int
loader_main(struct proc *p, uint32_t slot)
{
	struct loader_report r = { .magic = LOADER_MAGIC, .conf_buffer = -1,
	    .policy_buffer = -1 };
	bool had_db = atomic_load(&shm_ctl(&p->shm)->db_loaded) != 0;
	static struct conf conf;
	int exit_status;
	struct model m;
	struct buf text;
	struct err e;
	int rc;

	slot_state(&p->shm, SLOT_CALLING);
	buf_init(&text, 60000);
	model_init(&m);
	rc = loader_read(p->conf_path, &conf, &m, &text, p->seed ? LOADER_SEED :
	    LOADER_READ, &exit_status);
	r.exit_status = exit_status;
	if (rc == 0 && secret_token(&conf, &e) < 0) {
		buf_printf(&text, "%s\n", e.text);
		r.exit_status = e.code == ERR_DENIED ? EX_NOPERM :
		    e.code == ERR_UNAVAILABLE ? EX_IOERR : EX_CONFIG;
		rc = -1;
	}
	r.db_loaded = m.db_loaded;
	/* Users of the database must not vanish because it is away. */
	if (rc == 0 && had_db && !m.db_loaded)
		buf_printf(&text, "the database is away: users, roles, servers "
		    "and keys stay as they are\n");
	if (rc == 0)
		rc = build(&p->shm, &conf, &m, !had_db || m.db_loaded, &r, &text);
	if (rc < 0) {
		r.errors = 1;
		r.conf_buffer = r.policy_buffer = -1;
	}
	r.text_size = (uint32_t)text.n;
	if (fdio_write_all(p->loader_pipe[1], &r, sizeof(r)) < 0 ||
	    fdio_write_all(p->loader_pipe[1], text.p, text.n) < 0)
		return 1;
	buf_free(&text);
	model_free(&m);
	return 0;
}
