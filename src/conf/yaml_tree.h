/*
 * yaml_tree -- one YAML file as a tree whose nodes know file, line and column.
 *
 * Built with libyaml's document API and then checked for what libyaml lets
 * through: duplicate keys, keys that are no scalars, tags, more than one
 * document, aliases that contain themselves. Depth and size are bounded, so
 * that a file of nested aliases cannot fill the memory. Everything lives in
 * the arena of the caller. Loader, omni2d -t and omni2ctl only; never prints,
 * never opens a file.
 */
#ifndef OMNI2_CONF_YAML_TREE_H
#define OMNI2_CONF_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

struct conf_report;

#define YAML_FILE_MAX	(8u << 20)	/* bytes in one file */
#define YAML_DEPTH_MAX	32
#define YAML_NODES_MAX	500000		/* per file, aliases expanded */

enum yaml_kind { YAML_TREE_SCALAR, YAML_TREE_LIST, YAML_TREE_MAP };

struct yaml_node;

struct yaml_pair {
	struct yaml_node	*key;		/* always a scalar */
	struct yaml_node	*value;
};

struct yaml_node {
	enum yaml_kind	   kind;
	bool		   quoted;	/* scalar in quotes or a block */
	bool		   bad;		/* reported already; use nothing of it */
	const char	  *file;	/* borrowed from the caller */
	int		   line, column;	/* from 1 */
	char		  *text;	/* scalar: value; no NUL inside */
	const char	  *raw;		/* scalar: as it is in the file, without
					 * values of the environment */
	struct yaml_pair  *pair;	/* map */
	struct yaml_node **item;	/* list */
	size_t		   n;		/* pairs or items */
	struct yaml_node  *next;	/* next scalar value of the document */
};

struct yaml_doc {
	struct yaml_node *root;		/* NULL: could not be read */
	struct yaml_node *scalars;	/* all values, no keys; by next */
};

/*
 * Parses text. What is wrong goes to the report; root is NULL when nothing
 * of the file can be used. An empty file is an empty map. file is kept.
 */
void	yaml_tree_parse(struct yaml_doc *, struct arena *, const char *file,
	    const char *text, size_t n, struct conf_report *);
/* The value of a key in a map, or NULL. */
struct yaml_node *yaml_tree_get(const struct yaml_node *map, const char *key);
/* An empty, "~" or "null" value without quotes. */
bool	yaml_tree_is_null(const struct yaml_node *);

#endif
