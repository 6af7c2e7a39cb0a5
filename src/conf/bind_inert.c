/*
 * bind_inert -- sections of inert.def: accepted, checked for unknown keys,
 * and never silent.
 */
#include "conf/bind_inert.h"

#include <string.h>

#include "conf/keys.h"
#include "conf/suggest.h"

static const struct inert {
	const char	*path;
	const char	*keys;		/* NULL: one key, not a section */
	const char	*hint;
} inert[] = {
#define INERT(p, k, h)		{ p, k, h },
#define INERT_KEY(p, h)		{ p, NULL, h },
#include "conf/inert.def"
#undef INERT
#undef INERT_KEY
};

static const struct inert *
find(const char *path, bool section)
{
	size_t i;

	for (i = 0; i < BIND_COUNT(inert); i++)
		if ((inert[i].keys != NULL) == section &&
		    strcmp(inert[i].path, path) == 0)
			return &inert[i];
	return NULL;
}

static void
bind_inert_key(struct bind *b, const struct inert *s,
    const struct yaml_node *key)
{
	const char *path = bind_path(b, s->path, key->text);
	char name[64], hint[SUGGEST_TEXT];
	struct suggest sg;
	int i;

	if (key->bad)
		return;
	if (conf_names_index(s->keys, key->text) >= 0) {
		bind_no_effect(b, key, path, s->hint);
		return;
	}
	suggest_begin(&sg, key->text);
	for (i = 0;; i++) {
		conf_names_get(s->keys, i, name, sizeof(name));
		if (name[0] == '\0')
			break;
		suggest_offer(&sg, arena_strdup(b->mem, span_str(name)));
	}
	bind_error(b, key, path, "unknown key%s",
	    suggest_text(&sg, hint, sizeof(hint)));
}

bool
bind_inert(struct bind *b, const struct yaml_node *node, const char *path)
{
	const struct inert *s = find(path, true);
	size_t i;

	if (s == NULL)
		return false;
	if (s->keys[0] == '\0') {
		bind_no_effect(b, node, path, s->hint);
		return true;
	}
	if (yaml_tree_is_null(node) || bind_is_map(b, node, path) < 0)
		return true;
	for (i = 0; i < node->n; i++)
		bind_inert_key(b, s, node->pair[i].key);
	return true;
}

bool
bind_inert_setting(struct bind *b, const struct yaml_node *key,
    const char *path)
{
	const struct inert *k = find(path, false);

	if (k == NULL)
		return false;
	bind_no_effect(b, key, path, k->hint);
	return true;
}

void
bind_inert_offer_sections(struct suggest *s)
{
	size_t i;

	for (i = 0; i < BIND_COUNT(inert); i++)
		if (inert[i].keys != NULL)
			suggest_offer(s, inert[i].path);
}

void
bind_inert_offer_settings(struct suggest *s, const char *prefix)
{
	size_t i, n = strlen(prefix);

	for (i = 0; i < BIND_COUNT(inert); i++)
		if (inert[i].keys == NULL &&
		    strncmp(inert[i].path, prefix, n) == 0 &&
		    inert[i].path[n] == '.')
			suggest_offer(s, inert[i].path + n + 1);
}
