/*
 * admin -- see admin.h. Everything is made for one request and gone with its
 * arena: what was changed behind our back is never remembered.
 */
#include "proc/admin.h"

#include <stdlib.h>

#include "proc/ask.h"
#include "shm/gen.h"
#include "web/web.h"

#define RETRY_S	5	/* while the database is away */

struct admin {
	struct proc	*proc;
	struct shm	*shm;
	struct api	 api;
	struct conf	 conf;		/* as the files say; of need_model() */
	struct model	 model;
	void		*policy;
};

/* ---- of one request ------------------------------------------------------------- */

static void
forget(void *arg)
{
	struct admin *ad = arg;

	db_close(&ad->api.db);
	if (ad->api.model != NULL)
		model_free(ad->api.model);
	ad->api.model = NULL;
	free(ad->policy);
	ad->policy = NULL;
}

/* The caller is not to blame for what the database does not let us do. */
static int
away(struct err *e)
{
	e->code = ERR_UNAVAILABLE;
	e->retry_after_s = RETRY_S;
	return -1;
}

static int
need_db(struct api *a, struct err *e)
{
	if (a->db != NULL)
		return 0;
	if (a->conf->database_url[0] == '\0')
		return err_set(e, ERR_UNAVAILABLE, "database.url is not set");
	a->db = db_open(a->conf->database_url, a->conf->database_timeout_ms,
	    e);
	if (a->db == NULL)
		return away(e);
	arena_defer(a->mem, forget, a->host_arg);
	return 0;
}

static int
read_files(struct admin *ad, struct err *e)
{
	struct conf_report report = { NULL, 0, 0 };
	size_t i;
	int rv;

	rv = conf_load(ad->proc->conf_path, &ad->conf, &ad->model, &report);
	for (i = 0; rv < 0 && i < report.n; i++)
		if (report.msg[i].is_error)
			break;
	if (rv < 0)
		err_set(e, ERR_CONFIG, "the configuration is wrong; mend it "
		    "first: %s:%d: %s", i < report.n ? report.msg[i].file :
		    ad->proc->conf_path, i < report.n ? report.msg[i].line : 0,
		    i < report.n ? report.msg[i].text : "");
	conf_report_free(&report);
	return rv;
}

static int
need_model(struct api *a, bool seeded, struct err *e)
{
	struct admin *ad = a->host_arg;

	if (a->model != NULL)
		return 0;
	if (need_db(a, e) < 0)
		return -1;
	a->model = &ad->model;		/* freed, whatever comes */
	if (read_files(ad, e) < 0)
		return -1;
	if ((seeded && store_seed(a->db, a->model, e) < 0) ||
	    store_load(a->db, a->model, e) < 0)
		return e->code == ERR_CONFLICT ? -1 : away(e);
	return 0;
}

/* A copy: nobody may keep a snapshot while he waits. */
static const struct pol_head *
policy(struct api *a, struct err *e)
{
	struct admin *ad = a->host_arg;
	const struct pol_head *p;
	uint64_t size = 0;
	bool fits = false;

	while (!fits) {
		if ((p = shm_pin(ad->shm, SNAP_POLICY, NULL)) == NULL) {
			err_set(e, ERR_UNAVAILABLE, "no configuration is "
			    "loaded yet; try again");
			return NULL;
		}
		fits = ad->policy != NULL && p->size <= size;
		if (fits)
			memcpy(ad->policy, p, p->size);
		else
			size = p->size;
		shm_unpin(ad->shm, SNAP_POLICY);
		if (fits)
			break;
		if (ad->policy == NULL)
			arena_defer(a->mem, forget, ad);
		ad->policy = xrealloc(ad->policy, size);
	}
	return ad->policy;
}

static int
need_shm(struct api *a, bool must, struct err *e)
{
	a->shm = ((struct admin *)a->host_arg)->shm;
	return 0;
}

static const char *
why_not_ready(struct api *a)
{
	return web_why_not_ready(((struct admin *)a->host_arg)->shm);
}

/* ---- the master ------------------------------------------------------------------ */

/* 1 loaded, 0 refused, -1 it could not be asked. */
static int
ask_to_load(struct api *a, struct buf *findings)
{
	struct buf out;
	bool refused;
	int rc;

	buf_init(&out, 1u << 20);
	rc = control_ask(((struct admin *)a->host_arg)->proc->conf.run_dir,
	    "reload", &out, NULL, &refused);
	if (rc >= 0)
		buf_add_span(findings, control_text(&out));
	buf_free(&out);
	return rc;
}

static int
changed(struct api *a, struct err *e)
{
	struct buf findings;
	int rc;

	buf_init(&findings, 1u << 20);
	rc = ask_to_load(a, &findings);
	if (rc == 0)
		err_set(e, ERR_CONFIG, "stored, but the daemon could not load "
		    "its configuration; it goes on with the one before: %.*s",
		    (int)(findings.n > 300 ? 300 : findings.n), findings.p);
	buf_free(&findings);
	return rc == 0 ? -1 : 0;	/* -1: the database tells it, too */
}

static int
reload(struct api *a, struct buf *findings, struct err *e)
{
	int rc = ask_to_load(a, findings);

	if (rc < 0)
		return err_set(e, ERR_UNAVAILABLE, "the master does not "
		    "answer; is it ending?");
	return rc > 0 ? 0 : err_set(e, ERR_CONFIG, "the configuration was not "
	    "loaded; the one before keeps running");
}

/* ---- life ------------------------------------------------------------------------ */

struct api *
admin_open(struct proc *p, struct shm *shm)
{
	static const struct api_host host = { need_db, need_model, policy,
	    need_shm, changed, reload, why_not_ready };
	struct admin *ad = xcalloc(1, sizeof(*ad));

	ad->proc = p;
	ad->shm = shm;
	ad->api.host = &host;
	ad->api.host_arg = ad;
	api_http_init(&ad->api, shm, p->audit_pipe[1]);
	return &ad->api;
}

void
admin_close(struct api **ap)
{
	struct admin *ad;

	if (*ap == NULL)
		return;
	ad = (*ap)->host_arg;
	api_http_free(&ad->api);
	free(ad);
	*ap = NULL;
}
