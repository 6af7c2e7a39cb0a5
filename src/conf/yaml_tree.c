/*
 * yaml_tree -- libyaml documents to trees of struct yaml_node.
 *
 * The walk over libyaml's document is a loop with its own stack: the input
 * decides how deep it goes, and a cycle of aliases ends at the same bound.
 * Runs in the loader, omni2d -t and omni2ctl; keeps nothing of libyaml after
 * it returned.
 */
#include "conf/yaml_tree.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "conf/conf.h"

struct walk {
	struct arena		*mem;
	struct conf_report	*report;
	const char		*file;
	yaml_document_t		*doc;
	struct yaml_doc		*out;
	struct yaml_node	*last_scalar;
	size_t			 n_nodes;
};

struct frame {
	const yaml_node_t	*src;
	struct yaml_node	*dst;
	size_t			 i;	/* next child; key, value, key... */
};

static int
line_of_offset(const char *text, size_t n, size_t offset)
{
	int line = 1;
	size_t i;

	for (i = 0; i < n && i < offset; i++)
		if (text[i] == '\n')
			line++;
	return line;
}

static void
report_syntax(const yaml_parser_t *p, const char *file, const char *text,
    size_t n, struct conf_report *report)
{
	const char *problem = p->problem != NULL ? p->problem : "syntax error";

	if (p->error == YAML_READER_ERROR) {
		conf_report_add(report, true, file,
		    line_of_offset(text, n, p->problem_offset), 0,
		    "%s (byte %zu of the file)", problem, p->problem_offset);
		return;
	}
	/* Where the context begins says something only if it is elsewhere. */
	if (p->context == NULL ||
	    p->context_mark.index == p->problem_mark.index) {
		conf_report_add(report, true, file,
		    (int)p->problem_mark.line + 1,
		    (int)p->problem_mark.column + 1, "%s%s%s", problem,
		    p->context != NULL ? ", " : "",
		    p->context != NULL ? p->context : "");
		return;
	}
	conf_report_add(report, true, file, (int)p->problem_mark.line + 1,
	    (int)p->problem_mark.column + 1, "%s, %s that began at %d:%d",
	    problem, p->context, (int)p->context_mark.line + 1,
	    (int)p->context_mark.column + 1);
}

static size_t
child_count(const yaml_node_t *src)
{
	switch (src->type) {
	case YAML_SEQUENCE_NODE:
		return (size_t)(src->data.sequence.items.top -
		    src->data.sequence.items.start);
	case YAML_MAPPING_NODE:
		return 2 * (size_t)(src->data.mapping.pairs.top -
		    src->data.mapping.pairs.start);
	case YAML_NO_NODE:
	case YAML_SCALAR_NODE:
		break;
	}
	return 0;
}

static const yaml_node_t *
child_at(yaml_document_t *doc, const yaml_node_t *src, size_t i)
{
	const yaml_node_pair_t *pair;

	if (src->type == YAML_SEQUENCE_NODE)
		return yaml_document_get_node(doc,
		    src->data.sequence.items.start[i]);
	pair = &src->data.mapping.pairs.start[i / 2];
	return yaml_document_get_node(doc,
	    i % 2 == 0 ? pair->key : pair->value);
}

static bool
tag_is_default(const yaml_node_t *src)
{
	const char *tag = (const char *)src->tag;

	return tag == NULL || strcmp(tag, YAML_STR_TAG) == 0 ||
	    strcmp(tag, YAML_SEQ_TAG) == 0 || strcmp(tag, YAML_MAP_TAG) == 0;
}

static void
fill_scalar(struct walk *w, struct yaml_node *dst, const yaml_node_t *src)
{
	struct span s = span_make((const char *)src->data.scalar.value,
	    src->data.scalar.length);

	dst->kind = YAML_TREE_SCALAR;
	dst->quoted = src->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	dst->text = arena_strdup(w->mem, s);
	dst->raw = dst->text;
	if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL) {
		conf_report_add(w->report, true, w->file, dst->line,
		    dst->column, "a value must not contain a NUL character");
		dst->bad = true;
	}
}

/* NULL when the file has too many nodes (reported). */
static struct yaml_node *
make_node(struct walk *w, const yaml_node_t *src)
{
	struct yaml_node *dst;
	size_t n = child_count(src);

	if (++w->n_nodes > YAML_NODES_MAX) {
		conf_report_add(w->report, true, w->file,
		    (int)src->start_mark.line + 1,
		    (int)src->start_mark.column + 1,
		    "more than %d values in one file", YAML_NODES_MAX);
		return NULL;
	}
	dst = arena_alloc(w->mem, sizeof(*dst));
	dst->file = w->file;
	dst->line = (int)src->start_mark.line + 1;
	dst->column = (int)src->start_mark.column + 1;
	if (!tag_is_default(src)) {
		conf_report_add(w->report, true, w->file, dst->line,
		    dst->column, "tags (\"!\") are not supported");
		dst->bad = true;
	}
	if (src->type == YAML_SEQUENCE_NODE) {
		dst->kind = YAML_TREE_LIST;
		dst->item = arena_alloc(w->mem, (n + 1) * sizeof(*dst->item));
	} else if (src->type == YAML_MAPPING_NODE) {
		dst->kind = YAML_TREE_MAP;
		dst->pair = arena_alloc(w->mem,
		    (n / 2 + 1) * sizeof(*dst->pair));
	} else
		fill_scalar(w, dst, src);
	return dst;
}

static void
remember_scalar(struct walk *w, struct yaml_node *node)
{
	if (w->last_scalar == NULL)
		w->out->scalars = node;
	else
		w->last_scalar->next = node;
	w->last_scalar = node;
}

/* Hangs child i under its parent. A key that is no scalar becomes "". */
static void
attach(struct walk *w, struct frame *f, struct yaml_node *child)
{
	struct yaml_node *dst = f->dst;
	bool is_key = dst->kind == YAML_TREE_MAP && f->i % 2 == 0;

	if (dst->kind == YAML_TREE_LIST)
		dst->item[dst->n++] = child;
	else if (is_key)
		dst->pair[dst->n].key = child;
	else
		dst->pair[dst->n++].value = child;
	if (is_key && child->kind != YAML_TREE_SCALAR) {
		conf_report_add(w->report, true, w->file, child->line,
		    child->column, "a key must be a plain word");
		child->kind = YAML_TREE_SCALAR;
		child->text = arena_strdup(w->mem, span_str(""));
		child->raw = child->text;
		child->bad = true;
	} else if (!is_key && child->kind == YAML_TREE_SCALAR)
		remember_scalar(w, child);
}

static int
compare_keys(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	int c = strcmp(x->text, y->text);

	if (c != 0)
		return c;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

/* libyaml keeps both of two equal keys; which one counts would be chance. */
static void
check_duplicates(struct walk *w, struct yaml_node *map)
{
	struct yaml_node **key;
	size_t i;

	if (map->n < 2)
		return;
	key = xcalloc(map->n, sizeof(*key));
	for (i = 0; i < map->n; i++)
		key[i] = map->pair[i].key;
	qsort(key, map->n, sizeof(*key), compare_keys);
	for (i = 1; i < map->n; i++) {
		if (key[i]->bad || strcmp(key[i - 1]->text, key[i]->text) != 0)
			continue;
		conf_report_add(w->report, true, w->file, key[i]->line,
		    key[i]->column, "%.64s: key is here twice, first at %d:%d",
		    key[i]->text, key[i - 1]->line, key[i - 1]->column);
		key[i]->bad = true;
	}
	free(key);
}

static struct yaml_node *
build(struct walk *w, const yaml_node_t *root)
{
	struct frame stack[YAML_DEPTH_MAX];
	struct yaml_node *top, *child;
	const yaml_node_t *src;
	struct frame *f;
	size_t depth = 0;

	if ((top = make_node(w, root)) == NULL)
		return NULL;
	stack[depth++] = (struct frame){ root, top, 0 };
	while (depth > 0) {
		f = &stack[depth - 1];
		if (f->i == child_count(f->src)) {
			if (f->dst->kind == YAML_TREE_MAP)
				check_duplicates(w, f->dst);
			depth--;
			continue;
		}
		src = child_at(w->doc, f->src, f->i);
		if ((child = make_node(w, src)) == NULL)
			return NULL;
		attach(w, f, child);
		f->i++;
		if (src->type == YAML_SCALAR_NODE || child->bad)
			continue;
		if (depth == YAML_DEPTH_MAX) {
			conf_report_add(w->report, true, w->file, child->line,
			    child->column, "nested deeper than %d levels, or "
			    "an alias that contains itself", YAML_DEPTH_MAX);
			return NULL;
		}
		stack[depth++] = (struct frame){ src, child, 0 };
	}
	return top;
}

static struct yaml_node *
empty_map(struct arena *mem, const char *file)
{
	struct yaml_node *node = arena_alloc(mem, sizeof(*node));

	node->kind = YAML_TREE_MAP;
	node->file = file;
	node->line = node->column = 1;
	return node;
}

static void
convert(struct walk *w)
{
	const yaml_node_t *root = yaml_document_get_root_node(w->doc);
	struct yaml_node *node;

	if (root == NULL) {
		w->out->root = empty_map(w->mem, w->file);
		return;
	}
	if ((node = build(w, root)) == NULL)
		return;
	if (yaml_tree_is_null(node))
		node = empty_map(w->mem, w->file);
	if (node->kind != YAML_TREE_MAP)
		conf_report_add(w->report, true, w->file, node->line,
		    node->column, "the file must be a map of \"key: value\"");
	else
		w->out->root = node;
}

/* There must be nothing after the first document. */
static void
check_end(yaml_parser_t *p, struct walk *w, const char *text, size_t n)
{
	const yaml_node_t *root;
	yaml_document_t doc;

	if (!yaml_parser_load(p, &doc)) {
		report_syntax(p, w->file, text, n, w->report);
		w->out->root = NULL;
		return;
	}
	if ((root = yaml_document_get_root_node(&doc)) != NULL)
		conf_report_add(w->report, true, w->file,
		    (int)root->start_mark.line + 1,
		    (int)root->start_mark.column + 1,
		    "a second document (\"---\"); only one is read");
	yaml_document_delete(&doc);
}

void
yaml_tree_parse(struct yaml_doc *out, struct arena *mem, const char *file,
    const char *text, size_t n, struct conf_report *report)
{
	struct walk w = { .mem = mem, .report = report, .file = file,
	    .out = out };
	yaml_document_t doc;
	yaml_parser_t p;

	*out = (struct yaml_doc){ NULL, NULL };
	if (n > YAML_FILE_MAX) {
		conf_report_add(report, true, file, 0, 0,
		    "larger than %u bytes", YAML_FILE_MAX);
		return;
	}
	if (!yaml_parser_initialize(&p)) {
		conf_report_add(report, true, file, 0, 0, "out of memory");
		return;
	}
	yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
	if (!yaml_parser_load(&p, &doc))
		report_syntax(&p, file, text, n, report);
	else {
		w.doc = &doc;
		convert(&w);
		yaml_document_delete(&doc);
		check_end(&p, &w, text, n);
	}
	yaml_parser_delete(&p);
}

struct yaml_node *
yaml_tree_get(const struct yaml_node *map, const char *key)
{
	size_t i;

	if (map == NULL || map->kind != YAML_TREE_MAP)
		return NULL;
	for (i = 0; i < map->n; i++)
		if (!map->pair[i].key->bad &&
		    strcmp(map->pair[i].key->text, key) == 0)
			return map->pair[i].value;
	return NULL;
}

bool
yaml_tree_is_null(const struct yaml_node *node)
{
	return node->kind == YAML_TREE_SCALAR && !node->quoted &&
	    node->raw == node->text && (node->text[0] == '\0' ||
	    strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}
