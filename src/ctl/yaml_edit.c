/*
 * yaml_edit -- see yaml_edit.h.
 *
 * The YAML reader of the daemon says where things are (yaml_tree has lines);
 * the edit itself is one of lines. Afterwards the result is read again: what
 * does not come out as it was meant is not used.
 */
#include "ctl/yaml_edit.h"

#include <ctype.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "conf/yaml_tree.h"

#define TEXT_MAX	(8u << 20)

struct place {				/* of a setting, in one parse */
	const struct yaml_pair	*section, *key;	/* NULL: not there */
	int			 next_line;	/* next section; 0: none */
};

struct parsed {
	struct arena	*mem;
	struct yaml_doc	 doc;
};

static int
parse(struct parsed *p, struct span text, struct err *e)
{
	struct conf_report r = { NULL, 0, 0 };
	int rv = 0;

	p->mem = arena_new(65536);
	yaml_tree_parse(&p->doc, p->mem, "file", text.n == 0 ? "" : text.p,
	    text.n, &r);
	if (r.errors > 0 || p->doc.root == NULL ||
	    p->doc.root->kind != YAML_TREE_MAP)
		rv = err_set(e, ERR_INVALID, "line %d: %s", r.n > 0 ?
		    r.msg[0].line : 1, r.n > 0 ? r.msg[0].text : "not a map");
	conf_report_free(&r);
	return rv;
}

static const struct yaml_pair *
find_pair(const struct yaml_node *map, const char *key)
{
	size_t i;

	if (map == NULL || map->kind != YAML_TREE_MAP)
		return NULL;
	for (i = 0; i < map->n; i++)
		if (strcmp(map->pair[i].key->text, key) == 0)
			return &map->pair[i];
	return NULL;
}

static struct place
find_place(const struct parsed *p, const char *section, const char *key)
{
	struct place at = { .section = find_pair(p->doc.root, section) };
	size_t i;

	if (at.section == NULL)
		return at;
	at.key = find_pair(at.section->value, key);
	for (i = 0; i < p->doc.root->n; i++) {
		int line = p->doc.root->pair[i].key->line;

		if (line > at.section->key->line &&
		    (at.next_line == 0 || line < at.next_line))
			at.next_line = line;
	}
	return at;
}

/* "${NAME}" or "${NAME:?text}", and NAME is not set. */
static bool
is_unset_variable(const char *s)
{
	char name[128];
	size_t n;

	if (strncmp(s, "${", 2) != 0)
		return false;
	n = strcspn(s + 2, ":}");
	if (n == 0 || n >= sizeof(name) || strchr(s, '}') == NULL ||
	    strchr(s, '}')[1] != '\0' ||
	    (s[2 + n] == ':' && s[3 + n] != '?'))
		return false;
	span_copy(name, sizeof(name), span_make(s + 2, n));
	return getenv(name) == NULL || getenv(name)[0] == '\0';
}

static enum yaml_edit
state_of(const struct place *at)
{
	const struct yaml_node *v;

	if (at->key == NULL)
		return YAML_EDIT_ABSENT;
	v = at->key->value;
	if (v->kind == YAML_TREE_SCALAR && v->line == at->key->key->line &&
	    (yaml_tree_is_null(v) || is_unset_variable(v->text)))
		return YAML_EDIT_PLACEHOLDER;
	return YAML_EDIT_GIVEN;
}

enum yaml_edit
yaml_edit_look(struct span text, const char *section, const char *key,
    struct err *e)
{
	enum yaml_edit state = YAML_EDIT_BROKEN;
	struct parsed p;
	struct place at;

	if (parse(&p, text, e) == 0) {
		at = find_place(&p, section, key);
		state = state_of(&at);
	}
	arena_free(&p.mem);
	return state;
}

char *
yaml_edit_get(struct span text, const char *section, const char *key)
{
	struct parsed p;
	struct place at;
	char *value = NULL;
	struct err e;

	if (parse(&p, text, &e) == 0) {
		at = find_place(&p, section, key);
		if (at.key != NULL && at.key->value->kind == YAML_TREE_SCALAR)
			value = xstrdup(at.key->value->text);
	}
	arena_free(&p.mem);
	return value;
}

/* ---- lines --------------------------------------------------------------- */

/* Offset at which a line (from 1) begins; the end if there are not as many. */
static size_t
line_start(const struct buf *b, int line)
{
	const char *at = b->p, *end, *nl;

	if (b->n == 0)
		return 0;
	for (end = b->p + b->n; line > 1 && at < end; line--) {
		nl = memchr(at, '\n', (size_t)(end - at));
		at = nl == NULL ? end : nl + 1;
	}
	return (size_t)(at - b->p);
}

static struct span
line_at(const struct buf *b, int line)
{
	size_t from = line_start(b, line), to = line_start(b, line + 1);

	if (to > from && b->p[to - 1] == '\n')
		to--;
	return span_make(b->p + from, to - from);
}

static int
count_lines(const struct buf *b)
{
	int n = 0;
	size_t i;

	for (i = 0; i < b->n; i++)
		n += b->p[i] == '\n';
	return n + (b->n > 0 && b->p[b->n - 1] != '\n');
}

/* Puts text in at an offset. */
static void
insert(struct buf *b, size_t at, struct span text)
{
	struct buf out;

	buf_init(&out, TEXT_MAX);
	buf_add(&out, b->p, at);
	buf_add_span(&out, text);
	if (at < b->n)
		buf_add(&out, b->p + at, b->n - at);
	buf_free(b);
	*b = out;
}

/* Nothing but a comment behind the section's colon. */
static bool
is_block(const struct buf *b, const struct yaml_pair *section)
{
	struct span s = line_at(b, section->key->line);
	const char *colon = memchr(s.p, ':', s.n);
	size_t i;

	if (colon == NULL || section->key->column != 1)
		return false;
	for (i = (size_t)(colon + 1 - s.p); i < s.n; i++) {
		if (s.p[i] == '#')
			return true;
		if (!isspace((unsigned char)s.p[i]))
			return false;
	}
	return true;
}

/* The line of "#key:" in the section, and how far it is indented. */
static int
commented_line(const struct buf *b, const struct place *at, const char *key,
    size_t *indent)
{
	int line = at->section->key->line + 1;
	int end = at->next_line > 0 ? at->next_line : count_lines(b) + 1;
	size_t n = strlen(key);

	for (; line < end; line++) {
		struct span s = line_at(b, line);
		size_t i = 0;

		while (i < s.n && s.p[i] == ' ')
			i++;
		if (i > 0 && s.n - i > n + 1 && s.p[i] == '#' &&
		    memcmp(s.p + i + 1, key, n) == 0 && s.p[i + 1 + n] == ':') {
			*indent = i;
			return line;
		}
	}
	return 0;
}

static bool
needs_quotes(const char *s)
{
	static const char *const words[] = { "null", "true", "false", "yes",
	    "no", "on", "off", "y", "n" };
	size_t i, n = strlen(s);
	bool has_letter = false;

	if (n == 0 || s[n - 1] == ' ' || s[n - 1] == ':' ||
	    (!isalnum((unsigned char)s[0]) && s[0] != '/') ||
	    strstr(s, ": ") != NULL)
		return true;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	for (i = 0; i < n; i++) {
		if (!isalnum((unsigned char)s[i]) &&
		    strchr(" _./:@=-", s[i]) == NULL)
			return true;
		has_letter |= isalpha((unsigned char)s[i]) || s[i] == ':';
	}
	return !has_letter;
}

/* A dollar sign would begin a variable of the environment. */
void
yaml_edit_line(struct buf *b, const char *key, const char *value)
{
	buf_printf(b, "%s: ", key);
	if (!needs_quotes(value)) {
		buf_add_str(b, value);
		return;
	}
	buf_add_char(b, '"');
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else
			buf_add_str(b, c == '$' ? "$$" : (char[]){ *value, 0 });
	}
	buf_add_char(b, '"');
}

/* ---- edits --------------------------------------------------------------- */

/* Where the new line goes: *line and *indent. */
static int
choose_place(const struct buf *b, const struct place *at, const char *key,
    int *line, size_t *indent, struct err *e)
{
	const struct yaml_node *map = at->section->value;
	int commented;

	if (!is_block(b, at->section) || (map->kind != YAML_TREE_MAP &&
	    !yaml_tree_is_null(map)))
		return err_set(e, ERR_INVALID, "line %d: \"%s\" is not written "
		    "as a block", at->section->key->line,
		    at->section->key->text);
	*indent = 2;
	*line = at->section->key->line + 1;
	if ((commented = commented_line(b, at, key, indent)) > 0)
		*line = commented + 1;
	if (map->kind == YAML_TREE_MAP && map->n > 0)
		*indent = (size_t)map->pair[0].key->column - 1;
	if (at->key != NULL)
		*line = at->key->key->line + 1;
	return 0;
}

/* It stays to be seen what was there. */
static void
comment_out(struct buf *b, const struct yaml_pair *key)
{
	insert(b, line_start(b, key->key->line) +
	    (size_t)key->key->column - 1, SPAN_LIT("#"));
}

static int
edit(struct buf *b, const struct place *at, const char *section,
    const char *key, const char *value, struct err *e)
{
	struct buf line;
	size_t indent = 2;
	int where = 0;

	if (at->section != NULL &&
	    choose_place(b, at, key, &where, &indent, e) < 0)
		return -1;
	if (at->key != NULL)
		comment_out(b, at->key);
	if (b->n > 0 && b->p[b->n - 1] != '\n')
		buf_add_char(b, '\n');
	buf_init(&line, TEXT_MAX);
	if (at->section == NULL)
		buf_printf(&line, "%s%s:\n", b->n > 0 ? "\n" : "", section);
	buf_printf(&line, "%*s", (int)indent, "");
	yaml_edit_line(&line, key, value);
	buf_add_char(&line, '\n');
	insert(b, at->section == NULL ? b->n : line_start(b, where),
	    buf_span(&line));
	buf_free(&line);
	return 0;
}

/* As it is in the file: with "$$" for "$". */
static bool
is_written(const struct parsed *p, const char *section, const char *key,
    const char *value)
{
	struct place at = find_place(p, section, key);
	const char *got;

	if (at.key == NULL || at.key->value->kind != YAML_TREE_SCALAR)
		return false;
	for (got = at.key->value->text; *got != '\0' && *got == *value; got++) {
		if (*got == '$' && *++got != '$')
			return false;
		value++;
	}
	return *got == *value;
}

int
yaml_edit_set(struct buf *text, const char *section, const char *key,
    const char *value, struct err *e)
{
	struct parsed before, after = { 0 };
	struct buf copy;
	struct place at;
	int rv = -1;

	buf_init(&copy, TEXT_MAX);
	buf_add(&copy, text->p, text->n);
	if (parse(&before, buf_span(text), e) < 0)
		goto out;
	at = find_place(&before, section, key);
	if (before.doc.root->n > 0 &&
	    before.doc.root->pair[0].key->column != 1) {
		err_set(e, ERR_INVALID, "line %d: the file is not written as a "
		    "block", before.doc.root->pair[0].key->line);
		goto out;
	}
	if (state_of(&at) == YAML_EDIT_GIVEN) {
		err_set(e, ERR_CONFLICT, "line %d: %s.%s is set",
		    at.key->key->line, section, key);
		goto out;
	}
	if (edit(&copy, &at, section, key, value, e) < 0 ||
	    parse(&after, buf_span(&copy), e) < 0)
		goto out;
	if (!is_written(&after, section, key, value) ||
	    after.doc.root->n != before.doc.root->n + (at.section == NULL)) {
		err_set(e, ERR_INVALID, "the file is not in a form that can be "
		    "edited");
		goto out;
	}
	buf_free(text);
	*text = copy;
	buf_init(&copy, TEXT_MAX);
	rv = 0;
out:
	buf_free(&copy);
	arena_free(&before.mem);
	arena_free(&after.mem);
	return rv;
}

int
yaml_edit_drop(struct buf *text, const char *section, const char *key,
    struct err *e)
{
	struct parsed p;
	struct place at;
	int rv = parse(&p, buf_span(text), e);

	if (rv == 0) {
		at = find_place(&p, section, key);
		if (state_of(&at) == YAML_EDIT_PLACEHOLDER) {
			if (is_block(text, at.section))
				comment_out(text, at.key);
			else
				rv = err_set(e, ERR_INVALID, "line %d: \"%s\" "
				    "is not written as a block",
				    at.section->key->line, section);
		}
	}
	arena_free(&p.mem);
	return rv;
}
