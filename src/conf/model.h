/*
 * model -- servers, users, roles and keys as the loader reads them, from YAML
 * and from the database, before policy/build flattens them into shared memory.
 *
 * Heap, owned by the struct model; short-lived processes only (loader,
 * omni2ctl, omni2d -t). Rows keep where they came from, so that a conflict
 * can be reported by file and line. All strings NUL-terminated, never NULL
 * unless said.
 */
#ifndef OMNI2_CONF_MODEL_H
#define OMNI2_CONF_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/model_forms.h"

#define MODEL_REQUESTS_PER_HOUR	30	/* of a role that says nothing itself */
#define MODEL_RATE_MAX		131072	/* what a ring of shm/rate.h holds */

struct strlist {
	char	**v;
	size_t	  n;
};

enum model_source { SOURCE_YAML, SOURCE_DB };

struct model_origin {
	enum model_source source;
	const char	*file;		/* owned by the model; NULL for DB */
	int		 line, column;
};

enum transport { TRANSPORT_HTTP, TRANSPORT_STDIO, TRANSPORT_SSE,
	TRANSPORT_WEBSOCKET };
enum tool_policy { TOOL_POLICY_ALLOW_ALL, TOOL_POLICY_ALLOW_ONLY,
	TOOL_POLICY_ALLOW_ALL_EXCEPT };
enum restriction { RESTRICT_ALLOW_ALL, RESTRICT_DENY_ALL, RESTRICT_ALLOW_ONLY,
	RESTRICT_DENY, RESTRICT_ALLOW_ALL_EXCEPT };
enum access_mode { ACCESS_INHERIT, ACCESS_CUSTOM, ACCESS_ALL };
enum server_auth { SERVER_AUTH_NONE, SERVER_AUTH_BEARER, SERVER_AUTH_BASIC,
	SERVER_AUTH_HEADER };

struct model_restriction {
	char		*role;
	enum restriction mode;
	struct strlist	 globs;
	int		 line, column;	/* in the file of the server; 0: DB */
};

struct model_server {
	struct model_origin origin;
	int64_t		 id;		/* row id; 0 for YAML not yet stored */
	char		*org;		/* "default" */
	char		*name;		/* [A-Za-z0-9][A-Za-z0-9_-]{0,47}, no "__",
					 * not ending in '_' */
	char		*display_name;
	char		*description;
	bool		 enabled;
	enum transport	 transport;
	char		*url;		/* http, sse, websocket */
	char		*command;	/* stdio; only from YAML or a local admin */
	struct strlist	 args;
	struct strlist	 env;		/* "K=V", the whole environment */
	char		*cwd;
	bool		 sandbox;	/* stdio: contained; true */
	bool		 network;	/* stdio: may use the network; true */
	bool		 sandbox_required;	/* stdio: not started without
					 * every part of it; false */
	struct strlist	 writable;	/* stdio: paths beside cwd; from YAML */
	struct strlist	 hidden;	/* stdio: paths it must not see */
	int64_t		 memory;	/* stdio: bytes; 0: stdio.memory */
	int64_t		 processes;	/* stdio: 0: stdio.processes */
	int64_t		 timeout_ms;	/* 0: mcp.default_timeout */
	int		 max_attempts;	/* 1: no retry */
	int64_t		 retry_delay_ms;
	enum server_auth auth;
	char		*auth_header;	/* complete "Name: value", secret; "" none */
	enum tool_policy tool_policy;
	struct strlist	 tool_globs;
	struct model_restriction *restriction;
	size_t		 n_restrictions;
	int64_t		 rate_per_minute;	/* 0: none */
	int64_t		 burst;
	struct strlist	 tags;
};

struct model_access {			/* one server in an allowed_mcps */
	char		*server;	/* name or "*" */
	enum access_mode mode;
	struct strlist	 tools;		/* custom: allowed globs */
	struct strlist	 deny;
	bool		 has_resources;	/* a list was given (may be empty) */
	struct strlist	 resources;	/* URI globs */
	struct strlist	 deny_resources;
	bool		 has_prompts;
	struct strlist	 prompts;
	int		 line, column;	/* in the file of its owner; 0: DB */
};

struct model_grants {			/* an allowed_mcps value */
	bool		 given;		/* false: inherit the role's */
	bool		 all;		/* "*": every server, every tool */
	struct model_access *access;
	size_t		 n;
};

struct model_role {
	struct model_origin origin;
	int64_t		 id;
	char		*org;
	char		*name;
	char		*display_name;
	char		*description;
	bool		 is_seed;	/* of roles.def; gives way to any other */
	bool		 is_admin;	/* full access; may administrate */
	bool		 is_super;	/* also past global blocked_tools */
	int64_t		 requests_per_hour;	/* 0: unlimited */
	int64_t		 concurrent;		/* 0: unlimited */
	struct model_grants grants;	/* for users without their own */
	struct strlist	 allowed_tools;	/* globs over all servers; empty: any */
	struct strlist	 denied_tools;
};

struct model_user {
	struct model_origin origin;
	int64_t		 id;
	char		*org;
	char		*email;		/* lower case; the principal's name */
	char		*name;
	char		*role;
	int		 role_line, role_column;	/* 0: where the user is */
	bool		 active;
	int64_t		 requests_per_hour;	/* -1: the role's; 0: unlimited */
	struct model_grants grants;
	struct strlist	 domains, databases, teams;
	char		*slack_user_id;
};

struct model_key {
	int64_t		 id;
	char		*org;
	char		*email;
	uint8_t		 sha256[32];	/* of the key's text */
	int64_t		 expires_at;	/* Unix seconds; 0: never */
};

struct model_revoked {			/* a token that was taken back */
	char		*jti;
	int64_t		 expires_at;
};

struct model {
	struct model_server *server;	size_t n_servers;
	struct model_role   *role;	size_t n_roles;
	struct model_user   *user;	size_t n_users;
	struct model_key    *key;	size_t n_keys;
	struct model_revoked *revoked;	size_t n_revoked;
	struct strlist	 blocked_tools;		/* global.blocked_tools */
	struct strlist	 admin_only_tools;	/* global.admin_only_tools */
	bool		 has_default_user;
	struct model_user default_user;
	struct strlist	 files;			/* all that were read; owns
						 * origin.file */
	struct strlist	 secret_files;		/* those that _file keys name */
	bool		 db_loaded;		/* rows of the database are in */
	int64_t		 db_version;		/* policy version read from it */
};

void	model_init(struct model *);
void	model_free(struct model *);

/* Zeroed new rows with defaults filled in; pointer valid until the next add. */
struct model_server *model_add_server(struct model *, const char *name);
struct model_role   *model_add_role(struct model *, const char *name);
struct model_user   *model_add_user(struct model *, const char *email);
struct model_key    *model_add_key(struct model *);
/* Sets has_default_user and fills defaults in, once. */
struct model_user   *model_set_default_user(struct model *);
/* Limits and rights of roles.def for a role of that name, else the default. */
void	model_seed_role(struct model_role *);
struct model_access *model_add_access(struct model_grants *, const char *server);
void	strlist_add(struct strlist *, const char *);
bool	strlist_has(const struct strlist *, const char *);
void	strlist_free(struct strlist *);
void	model_grants_free(struct model_grants *);
void	model_restrictions_free(struct model_server *);
/* Replaces a string of a row by a copy. */
void	model_set(char **field, const char *value);
/* The model's own copy of a file name, for origin.file. */
const char *model_add_file(struct model *, const char *);
struct model_restriction *model_add_restriction(struct model_server *,
	    const char *role);

struct model_server *model_find_server(const struct model *, const char *org,
	    const char *name);
struct model_role   *model_find_role(const struct model *, const char *org,
	    const char *name);
struct model_user   *model_find_user(const struct model *, const char *org,
	    const char *email);

/*
 * Roles that exist without configuration, with the documented limits. Adds
 * those that are missing and drops seeds that another row replaces, so it may
 * be called again after the rows of the database were added.
 */
void	model_add_seed_roles(struct model *);

#endif
