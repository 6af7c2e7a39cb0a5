/*
 * api -- administration of omni2: one table of operations (routes.def), the
 * same for REST clients and for omni2ctl on the machine itself.
 *
 * An operation reads checked parameters and writes one JSON object. Over HTTP
 * (api_serve) it comes with identity, permission and an audit record; omni2ctl
 * calls it directly (api_run), as what it is: an administrator of the machine.
 * What the two do differently stands in struct api_host. Operations ask the
 * database and may block: never in a worker.
 */
#ifndef OMNI2_API_API_H
#define OMNI2_API_API_H

#include "base/arena.h"
#include "base/buf.h"
#include "conf/conf.h"
#include "conf/model.h"
#include "net/http_head.h"
#include "net/http_reply.h"
#include "policy/snapshot.h"
#include "shm/shm.h"
#include "store/store.h"

#define API_PREFIX	"/api/"
#define API_BODY_MAX	(256u * 1024)

struct api;

/* Who runs it. What is made (db, model, shm) is put into struct api, once a
 * request; -1 with err, or the function does not return (omni2ctl). */
struct api_host {
	int	(*need_db)(struct api *, struct err *);
	/* Rows of files and database. seeded: those of the files are written
	 * into the database first, so that others can refer to them. */
	int	(*need_model)(struct api *, bool seeded, struct err *);
	/* The policy to be asked; valid as long as the request. NULL with err. */
	const struct pol_head *(*policy)(struct api *, struct err *);
	/* The daemon's shared memory: must: without it there is no answer. */
	int	(*need_shm)(struct api *, bool must, struct err *);
	/* The database was changed: returns when the daemon knows. */
	int	(*changed)(struct api *, struct err *);
	/* Loads the configuration; findings are lines. -1 with err CONFIG. */
	int	(*reload)(struct api *, struct buf *findings, struct err *);
	const char *(*why_not_ready)(struct api *);	/* NULL: ready */
};

struct api {
	const struct api_host *host;
	void		*host_arg;
	bool		 is_local;	/* an administrator of the machine */
	const char	*actor;		/* for the change log */
	const struct conf *conf;
	struct arena	*mem;		/* of one request */
	struct db	*db;
	struct model	*model;
	struct shm	*shm;		/* NULL: no daemon, or not asked for */
	struct api_http	*http;		/* of api_serve() */
};

/* ---- without HTTP ----------------------------------------------------------- */

/* One operation. path without its query; both as in a URL. out gets the JSON
 * object. 0, or -1 with err. */
int	api_run(struct api *, enum http_method, struct span path,
	    struct span query, struct span body, struct buf *out, struct err *);
/* The codes of err.def as clients see them: "not_found". */
const char *api_code(enum err_code);
/* ERR_COUNT: there is none of that name. */
enum err_code api_code_find(struct span);
/* Appends value to a URL, percent-encoded. */
void	api_url_add(struct buf *, struct span value);
/* The OpenAPI 3.1 document of routes.def. */
void	api_openapi(struct buf *);

/* ---- over HTTP -------------------------------------------------------------- */

/* Per process. The caller fills in host, host_arg and, before each request,
 * conf. audit_fd: write end of the audit pipe. */
void	api_http_init(struct api *, struct shm *, int audit_fd);
void	api_http_free(struct api *);
/* May who sends this administrate? Decided by its head alone; no record. */
bool	api_admits(struct api *, const struct http_head *);
/* Answers completely. 0, or -1 when the connection must be closed. */
int	api_serve(struct api *, const struct http_head *, struct span body,
	    const char *client, struct http_reply *);

#endif
