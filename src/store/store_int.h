/*
 * store_int -- what the files of store/ share. Nobody else includes it.
 */
#ifndef OMNI2_STORE_STORE_INT_H
#define OMNI2_STORE_STORE_INT_H

#include "store/store.h"

/* A transaction of its own unless the caller has one open already. */
struct store_tx {
	bool	own;
};
int	store_tx_begin(struct db *, struct store_tx *, struct err *);
/* Commits when rv is 0, else rolls back; returns rv or -1. */
int	store_tx_end(struct db *, struct store_tx *, int rv, struct err *);

/* A string list as a JSON array, and back. */
void	store_list_to_json(const struct strlist *, struct buf *);
void	store_list_from_json(struct strlist *, const char *json);

/* Names of enums as the columns hold them; -1 if there is none. */
const char *store_protocol_name(enum transport);
int	store_protocol(const char *);
const char *store_tool_policy_name(enum tool_policy);
int	store_tool_policy(const char *);
const char *store_auth_name(enum server_auth);
int	store_auth(const char *);

/* One row as a member of a JSON array: what the bulk statements read. */
struct json_out;
void	store_server_json(struct json_out *, const struct model_server *);
void	store_role_json(struct json_out *, const struct model_role *);
void	store_user_json(struct json_out *, const struct model_user *);

/* The three upserts. $1: JSON array of rows, $2: source. */
extern const char store_servers_upsert[];
extern const char store_roles_upsert[];
extern const char store_users_upsert[];

/* The ids of rows of source 'yaml' into the model's entries of these names. */
int	store_fill_ids(struct db *, struct model *, struct err *);

/* Writes one row of source 'db': refuses if the row is the file's, or is
 * there and only_new. find: the SELECT of its source by $1 org, $2 name. */
#define STORE_ROW_MAX	(4u << 20)
struct store_put {
	const char	*org, *name, *kind, *find, *upsert;
	bool		 only_new;
};
int	store_put(struct db *, const struct store_put *, struct buf *row,
	    struct err *);

#endif
