/*
 * api_int -- what the files of this folder share. Not for others.
 */
#ifndef OMNI2_API_API_INT_H
#define OMNI2_API_API_INT_H

#include "api/api.h"
#include "base/json_read.h"
#include "base/json_write.h"

#define API_ORG		"default"	/* the one that is administrated */
#define API_PARAMS_MAX	16

enum api_needs { API_PUBLIC, API_ADMIN };
enum api_class { API_READ, API_CHANGE };

enum api_place { API_PATH, API_QUERY, API_BODY };
enum api_type { API_TEXT, API_SECRET, API_EMAIL, API_INT, API_BOOL,
	API_TEXTS,	/* array of strings */
	API_OBJECT };	/* JSON as it is: object or null */

struct api_call;
typedef int (*api_handler)(struct api_call *, struct json_out *, struct err *);

struct api_route {
	const char	*id;		/* "user.add" */
	enum http_method method;
	const char	*path;		/* "/api/v1/users/{email}" */
	api_handler	 run;
	enum api_needs	 needs;
	enum api_class	 audit;
	int		 status;	/* of success */
	const char	*summary;
};
extern const struct api_route api_routes[];	/* ends with id NULL */

struct api_param {
	const char	*route;		/* id */
	enum api_place	 place;
	const char	*name;
	enum api_type	 type;
	bool		 required;
	int64_t		 min, max;	/* of a number; bytes of a text */
	const char	*summary;
};
extern const struct api_param api_params[];	/* ends with route NULL */

struct api_value {
	const struct api_param *param;
	bool		 given;
	struct span	 raw;		/* in the body: its JSON */
	const char	*text;
	int64_t		 number;
	bool		 truth;
};

struct api_call {
	struct api	*api;
	const struct api_route *route;
	int		 n;
	struct api_value value[API_PARAMS_MAX];
};

/* ---- router.c ----------------------------------------------------------------- */

#define API_SEGMENTS_MAX 2	/* parameters of a path */
/* -1 with err NOTFOUND, or HTTPMETHOD and in allow (64 bytes) what is allowed.
 * value: raw, as many as the path has parameters, in their order. */
const struct api_route *api_route_find(enum http_method, struct span path,
	    struct span value[API_SEGMENTS_MAX], char *allow, struct err *);
const char *api_method_text(enum http_method);

/* ---- input.c: all parameters of a request, checked ---------------------------- */

int	api_input(struct api_call *, const struct span *segment,
	    struct span query, struct span body, struct err *);
bool	api_given(const struct api_call *, const char *name);
const char *api_text(const struct api_call *, const char *name);  /* or NULL */
int64_t	api_int(const struct api_call *, const char *name, int64_t otherwise);
bool	api_bool(const struct api_call *, const char *name);
struct span api_raw(const struct api_call *, const char *name);
/* The strings of an array. */
int	api_texts(const struct api_call *, const char *name,
	    struct strlist *out, struct err *);
/* Everything that was given, secrets left out, as one JSON object. */
void	api_arguments(const struct api_call *, struct buf *);

/* ---- for the operations ------------------------------------------------------- */

int	api_db(struct api_call *, struct err *);
int	api_model(struct api_call *, bool seeded, struct err *);
/* Into the change log, then the daemon is told. */
int	api_changed(struct api_call *, const char *action, const char *object,
	    const char *new_json, struct err *);
/* h_server.c, h_user.c: NOTFOUND with the words for it. */
struct model_server *api_find_server(struct api_call *, const char *name,
	    struct err *);
struct model_user *api_find_user(struct api_call *, const char *email,
	    struct err *);
/* A copy of the catalog; NULL: there is none. */
struct cat_head;
const struct cat_head *api_catalog(struct api_call *);

#define ROUTE(id, method, path, fn, needs, audit, status, summary) \
	int fn(struct api_call *, struct json_out *, struct err *);
#include "api/routes.def"
#undef ROUTE

#endif
