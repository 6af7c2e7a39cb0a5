/*
 * model_forms -- rows of the model as JSON text, and checks over all rows.
 *
 * Included by model.h. The JSON forms are those of the database and the API;
 * reading is strict, because a permission that is silently dropped is a
 * wrong permission. Nothing here logs or keeps what it is given.
 */
#ifndef OMNI2_CONF_MODEL_FORMS_H
#define OMNI2_CONF_MODEL_FORMS_H

#include <stdbool.h>
#include <stddef.h>

struct conf_report;
struct model;
struct model_grants;
struct model_server;

/* allowed_mcps and restrictions as JSON text, as the database stores them. */
char	*model_grants_to_json(const struct model_grants *);	/* malloc */
int	model_grants_from_json(struct model_grants *, const char *json,
	    char *why, size_t why_size);
char	*model_restrictions_to_json(const struct model_server *);
int	model_restrictions_from_json(struct model_server *, const char *json,
	    char *why, size_t why_size);
/* Server names: 0, or -1 with a text that says what is wrong. */
int	model_check_server_name(const char *, char *why, size_t why_size);
/* Of a header that a server is sent with each request. */
bool	model_is_header_name(const char *);
bool	model_is_header_value(const char *);
/* Does the gateway write it itself, or does it frame the message? */
bool	model_header_is_ours(const char *name);
/*
 * Cross references (unknown roles, servers, duplicate names) as findings:
 * errors for rows of files, warnings for rows of the database, which must not
 * keep a good file from being loaded. conf_load() calls it when no database
 * is configured; else the caller does, once the database's rows are in.
 */
void	model_check(const struct model *, struct conf_report *);
/* Only that no name stands twice: for a model that is not complete yet. */
void	model_check_names(const struct model *, struct conf_report *);

#endif
