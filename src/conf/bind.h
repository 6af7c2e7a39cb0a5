/*
 * bind -- trees of yaml_tree to struct conf and struct model.
 *
 * For the files of src/conf only. A binder of a map names its keys in a
 * table, gets the value nodes back and turns each into a member; whatever is
 * wrong becomes a finding at the line of its node, and binding goes on, so
 * that one run shows all findings. Values of secrets and values that came
 * out of the environment never appear in a finding: nodes are shown as they
 * are written in the file.
 */
#ifndef OMNI2_CONF_BIND_H
#define OMNI2_CONF_BIND_H

#include "conf/conf.h"
#include "conf/model.h"
#include "conf/yaml_tree.h"

struct bind_seen {			/* a setting that has been given */
	const char		*name;
	const struct yaml_node	*node;
};

struct bind {
	struct arena		*mem;
	struct conf		*conf;
	struct model		*model;
	struct conf_report	*report;
	bool			 no_files;	/* refuse _file keys */
	struct bind_seen	*seen;
	size_t			 n_seen;
	int64_t			 retry_attempts;	/* global.retry */
	int64_t			 retry_delay_ms;
};

/* One key of a map. no_effect: accepted with a warning; hint may be NULL. */
struct bind_key {
	const char	*name;
	bool		 no_effect;
	const char	*hint;
};
#define BIND_COUNT(a)	(sizeof(a) / sizeof((a)[0]))

void	bind_error(struct bind *, const struct yaml_node *, const char *path,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void	bind_warn(struct bind *, const struct yaml_node *, const char *path,
	    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Warns that the key is known but does nothing. */
void	bind_no_effect(struct bind *, const struct yaml_node *,
	    const char *path, const char *hint);
/* "path.key" and "path[i]" in the arena. */
const char *bind_path(struct bind *, const char *path, const char *key);
const char *bind_index(struct bind *, const char *path, size_t i);

/*
 * Finds the n keys in map: value[i] gets the node of keys[i], or NULL.
 * Unknown keys are errors with the nearest known key. -1 if it is no map.
 */
int	bind_map(struct bind *, const struct yaml_node *map, const char *path,
	    const struct bind_key *keys, size_t n,
	    const struct yaml_node **value);
/* Notes that a setting is given here; -1 and an error when it was before. */
int	bind_once(struct bind *, const struct yaml_node *, const char *path,
	    const char *name);
/* Where a setting was given, or NULL. */
const struct yaml_node *bind_given(const struct bind *, const char *name);

/*
 * Values. 0, or -1 with the error reported and *out untouched. node may not
 * be NULL.
 */
int	bind_is_map(struct bind *, const struct yaml_node *, const char *path);
int	bind_is_list(struct bind *, const struct yaml_node *, const char *path);
int	bind_is_scalar(struct bind *, const struct yaml_node *,
	    const char *path);
int	bind_bool(struct bind *, const struct yaml_node *, const char *path,
	    bool *out);
int	bind_int(struct bind *, const struct yaml_node *, const char *path,
	    int64_t min, int64_t max, int64_t *out);
int	bind_duration(struct bind *, const struct yaml_node *,
	    const char *path, int64_t min_ms, int64_t max_ms, int64_t *out);
int	bind_size(struct bind *, const struct yaml_node *, const char *path,
	    int64_t min, int64_t max, int64_t *out);
/* A number of units ("1.5"), to milliseconds. */
int	bind_number_ms(struct bind *, const struct yaml_node *,
	    const char *path, int64_t unit_ms, int64_t min_ms, int64_t max_ms,
	    int64_t *out);
int	bind_enum(struct bind *, const struct yaml_node *, const char *path,
	    const char *names, int *out);
/* A text without control characters, at most max bytes, not empty. */
int	bind_text(struct bind *, const struct yaml_node *, const char *path,
	    size_t max, char **out);	/* replaces a malloc'ed string */
/* The same, with line breaks and empty texts, for descriptions. */
int	bind_prose(struct bind *, const struct yaml_node *, const char *path,
	    size_t max, char **out);
/* Lists of texts; a single text is a list of one. Appends. */
int	bind_texts(struct bind *, const struct yaml_node *, const char *path,
	    struct strlist *out);
int	bind_globs(struct bind *, const struct yaml_node *, const char *path,
	    struct strlist *out);
/*
 * A secret from the value or from the file named by the <key>_file node;
 * either may be NULL. Returns the text (arena), or NULL: neither given, or
 * error reported. *path is that of the value.
 */
/* The name that a file is opened by: absolute, or "" for none. */
const char *bind_file_name(struct bind *, const struct yaml_node *);
const char *bind_secret(struct bind *, const struct yaml_node *value,
	    const struct yaml_node *file, const char *path);
/* The value as written, cut and fit to stand in a finding. */
const char *bind_show(struct bind *, const struct yaml_node *);

/* "unknown key" for a key at the top of a file. */
void	bind_unknown_section(struct bind *, const struct yaml_node *key);

/* Sections. */
void	bind_settings(struct bind *, const struct yaml_node *,
	    const char *section);
void	bind_global(struct bind *, const struct yaml_node *, const char *path);
void	bind_servers(struct bind *, const struct yaml_node *,
	    const char *path);
void	bind_roles(struct bind *, const struct yaml_node *, const char *path);
void	bind_users(struct bind *, const struct yaml_node *, const char *path);
void	bind_super_admins(struct bind *, const struct yaml_node *,
	    const char *path);
void	bind_default_user(struct bind *, const struct yaml_node *,
	    const char *path);

/* Parts of them. retry: *attempts and *delay_ms keep what is not given. */
void	bind_retry(struct bind *, const struct yaml_node *, const char *path,
	    int64_t *attempts, int64_t *delay_ms);
void	bind_authentication(struct bind *, const struct yaml_node *,
	    const char *path, struct model_server *);
void	bind_tool_policy(struct bind *, const struct yaml_node *,
	    const char *path, struct model_server *);
void	bind_restrictions(struct bind *, const struct yaml_node *,
	    const char *path, struct model_server *);
void	bind_grants(struct bind *, const struct yaml_node *, const char *path,
	    struct model_grants *);
void	bind_origin(struct bind *, const struct yaml_node *,
	    struct model_origin *);

/* check.c: 0, or -1 with what is wrong with one value of a setting. */
int	check_value(const char *key, const char *value, char *why,
	    size_t why_size);
/* scheme "http" also accepts https, "ws" also wss. */
int	check_url(const char *value, const char *scheme, char *why,
	    size_t why_size);
/* 0, or -1 with a text: names of roles, e-mail addresses. */
int	check_role_name(const char *, char *why, size_t why_size);
int	check_email(const char *, char *why, size_t why_size);
/* Relations between settings. */
void	check_settings(struct bind *);

#endif
