/*
 * bind_map -- keys of a map against a table; settings given twice.
 */
#include "conf/bind.h"

#include <string.h>

#include "conf/suggest.h"

#define KEY_SHOW	64	/* bytes of a foreign key in a path */

const char *
bind_path(struct bind *b, const char *path, const char *key)
{
	if (path[0] == '\0')
		return arena_printf(b->mem, "%.*s", KEY_SHOW, key);
	return arena_printf(b->mem, "%s.%.*s", path, KEY_SHOW, key);
}

const char *
bind_index(struct bind *b, const char *path, size_t i)
{
	return arena_printf(b->mem, "%s[%zu]", path, i);
}

static void
unknown_key(struct bind *b, const struct yaml_node *key, const char *path,
    const struct bind_key *keys, size_t n)
{
	char hint[SUGGEST_TEXT];
	struct suggest s;
	size_t i;

	suggest_begin(&s, key->text);
	for (i = 0; i < n; i++)
		suggest_offer(&s, keys[i].name);
	bind_error(b, key, bind_path(b, path, key->text), "unknown key%s",
	    suggest_text(&s, hint, sizeof(hint)));
}

int
bind_map(struct bind *b, const struct yaml_node *map, const char *path,
    const struct bind_key *keys, size_t n, const struct yaml_node **value)
{
	const struct yaml_pair *p;
	size_t i, k;

	for (k = 0; k < n; k++)
		value[k] = NULL;
	if (bind_is_map(b, map, path) < 0)
		return -1;
	for (i = 0; i < map->n; i++) {
		p = &map->pair[i];
		if (p->key->bad)
			continue;
		for (k = 0; k < n; k++)
			if (strcmp(keys[k].name, p->key->text) == 0)
				break;
		if (k == n)
			unknown_key(b, p->key, path, keys, n);
		else if (keys[k].no_effect)
			bind_no_effect(b, p->key,
			    bind_path(b, path, p->key->text), keys[k].hint);
		else
			value[k] = p->value;
	}
	return 0;
}

const struct yaml_node *
bind_given(const struct bind *b, const char *name)
{
	size_t i;

	for (i = 0; i < b->n_seen; i++)
		if (strcmp(b->seen[i].name, name) == 0)
			return b->seen[i].node;
	return NULL;
}

int
bind_once(struct bind *b, const struct yaml_node *node, const char *path,
    const char *name)
{
	const struct yaml_node *first = bind_given(b, name);

	if (first != NULL) {
		bind_error(b, node, path, "set twice; first at %s:%d:%d",
		    first->file, first->line, first->column);
		return -1;
	}
	if ((b->n_seen & (b->n_seen - 1)) == 0)	/* grows at powers of two */
		b->seen = xrealloc(b->seen, (b->n_seen == 0 ? 1 :
		    2 * b->n_seen) * sizeof(*b->seen));
	b->seen[b->n_seen++] = (struct bind_seen){ name, node };
	return 0;
}

void
bind_origin(struct bind *b, const struct yaml_node *node,
    struct model_origin *o)
{
	o->source = SOURCE_YAML;
	o->file = model_add_file(b->model, node->file);
	o->line = node->line;
	o->column = node->column;
}
