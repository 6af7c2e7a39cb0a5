/*
 * bind_settings -- the sections of keys.def to struct conf.
 *
 * Sections may nest (server.workers.max); a small stack of maps is worked
 * off, so nothing here recurses. A setting may be given once over all files.
 */
#include "conf/bind.h"

#include <ctype.h>
#include <string.h>

#include "conf/bind_inert.h"
#include "conf/keys.h"
#include "conf/suggest.h"

#define SECTIONS_OPEN	16		/* keys.def has far fewer */

struct open_section {
	const struct yaml_node	*map;
	const char		*path;
};

struct walk {
	struct bind		*b;
	struct open_section	 open[SECTIONS_OPEN];
	size_t			 n;
};

/* What is compared without regard to case is kept in lower case. */
static void
keep_item(const struct conf_key *k, const char *text, char *out)
{
	bool is_lower = strcmp(k->path, "audit.redact") == 0;

	span_copy(out, CONF_ITEM, span_str(text));
	for (; is_lower && *out != '\0'; out++)
		*out = (char)tolower((unsigned char)*out);
}

static int
bind_list_item(struct bind *b, const struct conf_key *k,
    const struct yaml_node *node, const char *path, struct conf_list *l)
{
	char why[128];

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	if (strlen(node->text) >= CONF_ITEM) {
		bind_error(b, node, path, "longer than %d bytes",
		    CONF_ITEM - 1);
		return -1;
	}
	if (check_value(k->path, node->text, why, sizeof(why)) < 0) {
		bind_error(b, node, path, "\"%s\" %s", bind_show(b, node),
		    why);
		return -1;
	}
	if (l->n == CONF_LIST_MAX) {
		bind_error(b, node, path, "more than %d items",
		    CONF_LIST_MAX);
		return -1;
	}
	keep_item(k, node->text, l->item[l->n++]);
	return 0;
}

static void
bind_list(struct bind *b, const struct conf_key *k,
    const struct yaml_node *node, const char *path)
{
	struct conf_list *l = conf_key_member(b->conf, k);
	size_t i;

	memset(l, 0, sizeof(*l));
	if (node->kind == YAML_TREE_SCALAR && !yaml_tree_is_null(node)) {
		bind_list_item(b, k, node, path, l);
		return;
	}
	if (bind_is_list(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++)
		if (bind_list_item(b, k, node->item[i], bind_index(b, path, i),
		    l) < 0 && l->n == CONF_LIST_MAX)
			return;
}

static void
bind_string(struct bind *b, const struct conf_key *k,
    const struct yaml_node *node, const char *path)
{
	const char *text = node->text;
	char why[128];

	if (bind_is_scalar(b, node, path) < 0)
		return;
	if (k->type == KEY_TYPE_FILE)
		text = bind_file_name(b, node);
	if (strlen(text) >= CONF_TEXT)
		bind_error(b, node, path, "longer than %d bytes",
		    CONF_TEXT - 1);
	else if (check_value(k->path, text, why, sizeof(why)) < 0)
		bind_error(b, node, path, "\"%s\" %s", bind_show(b, node),
		    why);
	else
		span_copy(conf_key_member(b->conf, k), CONF_TEXT,
		    span_str(text));
}

/* Findings name the key only: neither value nor its raw text. */
static void
bind_secret_key(struct bind *b, const struct conf_key *k,
    const struct yaml_node *value, const struct yaml_node *file)
{
	const struct yaml_node *node = value != NULL ? value : file;
	const char *secret = bind_secret(b, value, file, k->path);
	char why[128];

	if (secret == NULL)
		return;
	if (strlen(secret) >= CONF_TEXT)
		bind_error(b, node, k->path, "longer than %d bytes",
		    CONF_TEXT - 1);
	else if (check_value(k->path, secret, why, sizeof(why)) < 0)
		bind_error(b, node, k->path, "%s", why);
	else
		span_copy(conf_key_member(b->conf, k), CONF_TEXT,
		    span_str(secret));
}

static void
bind_key(struct bind *b, const struct conf_key *k,
    const struct yaml_node *node)
{
	void *member = conf_key_member(b->conf, k);
	const char *path = k->path;

	if (bind_once(b, node, path, path) < 0)
		return;
	switch (k->type) {
	case KEY_TYPE_BOOL:
		bind_bool(b, node, path, member);
		break;
	case KEY_TYPE_INT:
		bind_int(b, node, path, k->min, k->max, member);
		break;
	case KEY_TYPE_MS:
		bind_duration(b, node, path, k->min, k->max, member);
		break;
	case KEY_TYPE_SIZE:
		bind_size(b, node, path, k->min, k->max, member);
		break;
	case KEY_TYPE_TEXT:
	case KEY_TYPE_FILE:
		bind_string(b, k, node, path);
		break;
	case KEY_TYPE_SECRET:
		bind_secret_key(b, k, node, NULL);
		break;
	case KEY_TYPE_ENUM:
		bind_enum(b, node, path, k->names, member);
		break;
	case KEY_TYPE_LIST:
		bind_list(b, k, node, path);
		break;
	}
}

/* "<path>_file" of a secret; NULL if path is none. */
static const struct conf_key *
find_secret_file(struct bind *b, const char *path)
{
	const struct conf_key *k;
	size_t n = strlen(path);

	if (n <= 5 || strcmp(path + n - 5, "_file") != 0)
		return NULL;
	k = conf_key_find(arena_strdup(b->mem, span_make(path, n - 5)));
	return k != NULL && k->type == KEY_TYPE_SECRET ? k : NULL;
}

static void
unknown_key(struct bind *b, const struct yaml_node *key, const char *section,
    const char *path)
{
	size_t i, n = strlen(section), len;
	const char *rest, *name;
	char hint[SUGGEST_TEXT];
	struct suggest s;

	suggest_begin(&s, key->text);
	for (i = 0; i < conf_n_keys; i++) {
		if (strncmp(conf_keys[i].path, section, n) != 0 ||
		    conf_keys[i].path[n] != '.')
			continue;
		rest = conf_keys[i].path + n + 1;
		len = strcspn(rest, ".");
		name = arena_strdup(b->mem, span_make(rest, len));
		suggest_offer(&s, name);
		if (conf_keys[i].type == KEY_TYPE_SECRET)
			suggest_offer(&s,
			    arena_printf(b->mem, "%s_file", name));
	}
	bind_inert_offer_settings(&s, section);
	bind_error(b, key, path, "unknown key%s",
	    suggest_text(&s, hint, sizeof(hint)));
}

static void
bind_pair(struct walk *w, const struct open_section *section,
    const struct yaml_pair *p)
{
	const char *path = bind_path(w->b, section->path, p->key->text);
	const struct conf_key *k;

	if (p->key->bad)
		return;
	if ((k = conf_key_find(path)) != NULL) {
		bind_key(w->b, k, p->value);
		return;
	}
	if ((k = find_secret_file(w->b, path)) != NULL) {
		if (bind_once(w->b, p->value, path, k->path) == 0)
			bind_secret_key(w->b, k, NULL, p->value);
		return;
	}
	if (conf_key_is_section(path) && w->n < SECTIONS_OPEN) {
		w->open[w->n++] = (struct open_section){ p->value, path };
		return;
	}
	if (!bind_inert_setting(w->b, p->key, path))
		unknown_key(w->b, p->key, section->path, path);
}

void
bind_settings(struct bind *b, const struct yaml_node *node,
    const char *section)
{
	struct walk w = { .b = b };
	struct open_section s;
	size_t i;

	w.open[w.n++] = (struct open_section){ node, section };
	while (w.n > 0) {
		s = w.open[--w.n];
		/* Empty when all its keys are commented out. */
		if (yaml_tree_is_null(s.map))
			continue;
		if (bind_is_map(b, s.map, s.path) < 0)
			continue;
		for (i = 0; i < s.map->n; i++)
			bind_pair(&w, &s, &s.map->pair[i]);
	}
}

void
bind_unknown_section(struct bind *b, const struct yaml_node *key)
{
	static const char *const others[] = { "include", "global", "mcps",
	    "roles", "users", "super_admins", "default_user" };
	char hint[SUGGEST_TEXT];
	struct suggest s;
	size_t i, len;

	suggest_begin(&s, key->text);
	for (i = 0; i < BIND_COUNT(others); i++)
		suggest_offer(&s, others[i]);
	for (i = 0; i < conf_n_keys; i++) {
		len = strcspn(conf_keys[i].path, ".");
		suggest_offer(&s, arena_strdup(b->mem,
		    span_make(conf_keys[i].path, len)));
	}
	bind_inert_offer_sections(&s);
	bind_error(b, key, bind_path(b, "", key->text), "unknown key%s",
	    suggest_text(&s, hint, sizeof(hint)));
}
