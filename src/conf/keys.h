/*
 * keys -- keys.def as an array: one entry per setting of struct conf.
 *
 * Behind binder, defaults, comparison of generations and the manual page.
 */
#ifndef OMNI2_CONF_KEYS_H
#define OMNI2_CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;

enum key_type { KEY_TYPE_BOOL, KEY_TYPE_INT, KEY_TYPE_MS, KEY_TYPE_SIZE,
	KEY_TYPE_TEXT, KEY_TYPE_SECRET, KEY_TYPE_FILE, KEY_TYPE_ENUM, KEY_TYPE_LIST };

struct conf_key {
	const char	*path;		/* "server.queue" */
	enum key_type	 type;
	size_t		 offset;	/* of the member in struct conf */
	int64_t		 def;		/* BOOL, INT, MS, SIZE, ENUM */
	int64_t		 min, max;	/* INT, MS, SIZE */
	const char	*def_text;	/* TEXT; LIST, comma-separated */
	const char	*names;		/* ENUM: "a|b|c" */
	bool		 restart;	/* a change needs a restart */
	const char	*doc;
};

extern const struct conf_key conf_keys[];
extern const size_t conf_n_keys;

const struct conf_key *conf_key_find(const char *path);
/* True if some key begins with path and a dot. */
bool	conf_key_is_section(const char *path);
/* The member of a key. */
void	*conf_key_member(struct conf *, const struct conf_key *);
const void *conf_key_member_const(const struct conf *,
	    const struct conf_key *);
/* Position of word in "a|b|c", or -1. */
int	conf_names_index(const char *names, const char *word);
/* The i-th name, copied. */
void	conf_names_get(const char *names, int i, char *out, size_t size);
/* A number as a configuration file has it: "30s", "4M". Returns out. */
#define CONF_NUMBER	32
const char *conf_format_number(enum key_type, int64_t, char out[CONF_NUMBER]);

#endif
