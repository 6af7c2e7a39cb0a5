/*
 * bind_value -- one YAML node to one value, or a finding that says why not.
 *
 * A null value ("key:" with nothing behind it) is always an error: it is
 * more often a forgotten line than a wish, and for lists of tools an empty
 * list and no list are opposites.
 */
#include "conf/bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "base/num.h"
#include "conf/keys.h"
#include "conf/suggest.h"

#define SHOW_MAX	40
#define PATTERN_MAX	256
#define ITEM_MAX	4096

static void
add(struct bind *b, bool is_error, const struct yaml_node *node,
    const char *path, const char *text)
{
	conf_report_add(b->report, is_error, node->file, node->line,
	    node->column, "%s: %s", path, text);
}

void
bind_error(struct bind *b, const struct yaml_node *node, const char *path,
    const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(b, true, node, path, text);
}

void
bind_warn(struct bind *b, const struct yaml_node *node, const char *path,
    const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(b, false, node, path, text);
}

void
bind_no_effect(struct bind *b, const struct yaml_node *node,
    const char *path, const char *hint)
{
	bind_warn(b, node, path, "has no effect in this version%s%s",
	    hint != NULL ? "; " : "", hint != NULL ? hint : "");
}

const char *
bind_show(struct bind *b, const struct yaml_node *node)
{
	size_t n = strlen(node->raw);

	if (n <= SHOW_MAX)
		return node->raw;
	/* Not in the middle of a character. */
	for (n = SHOW_MAX; n > 0 && (node->raw[n] & 0xc0) == 0x80; n--)
		;
	return arena_printf(b->mem, "%.*s...", (int)n, node->raw);
}

static const char *
kind_name(const struct yaml_node *node)
{
	switch (node->kind) {
	case YAML_TREE_LIST:
		return "a list";
	case YAML_TREE_MAP:
		return "a map";
	case YAML_TREE_SCALAR:
		break;
	}
	return "a single value";
}

static int
is_kind(struct bind *b, const struct yaml_node *node, const char *path,
    enum yaml_kind kind, const char *wanted)
{
	if (node->bad)
		return -1;
	if (node->kind == kind && !yaml_tree_is_null(node))
		return 0;
	if (yaml_tree_is_null(node))
		bind_error(b, node, path, "has no value");
	else
		bind_error(b, node, path, "must be %s, not %s", wanted,
		    kind_name(node));
	return -1;
}

int
bind_is_map(struct bind *b, const struct yaml_node *node, const char *path)
{
	return is_kind(b, node, path, YAML_TREE_MAP, "a map");
}

int
bind_is_list(struct bind *b, const struct yaml_node *node, const char *path)
{
	return is_kind(b, node, path, YAML_TREE_LIST, "a list");
}

int
bind_is_scalar(struct bind *b, const struct yaml_node *node,
    const char *path)
{
	return is_kind(b, node, path, YAML_TREE_SCALAR, "a single value");
}

int
bind_bool(struct bind *b, const struct yaml_node *node, const char *path,
    bool *out)
{
	struct span s;

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	s = span_str(node->text);
	if (span_is_nocase(s, "true") || span_is_nocase(s, "yes") ||
	    span_is_nocase(s, "on")) {
		*out = true;
		return 0;
	}
	if (span_is_nocase(s, "false") || span_is_nocase(s, "no") ||
	    span_is_nocase(s, "off")) {
		*out = false;
		return 0;
	}
	bind_error(b, node, path, "\"%s\" is neither true nor false",
	    bind_show(b, node));
	return -1;
}

int
bind_int(struct bind *b, const struct yaml_node *node, const char *path,
    int64_t min, int64_t max, int64_t *out)
{
	int64_t any;

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	if (num_i64(span_str(node->text), min, max, out) == 0)
		return 0;
	if (num_i64(span_str(node->text), INT64_MIN, INT64_MAX, &any) == 0)
		bind_error(b, node, path, "\"%s\" is not between %lld and "
		    "%lld", bind_show(b, node), (long long)min,
		    (long long)max);
	else
		bind_error(b, node, path, "\"%s\" is not a number "
		    "(%lld..%lld)", bind_show(b, node), (long long)min,
		    (long long)max);
	return -1;
}

int
bind_duration(struct bind *b, const struct yaml_node *node,
    const char *path, int64_t min_ms, int64_t max_ms, int64_t *out)
{
	char low[CONF_NUMBER], high[CONF_NUMBER];
	uint64_t ms;

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	if (num_duration_ms(span_str(node->text), 1000, &ms) < 0) {
		bind_error(b, node, path, "\"%s\" is not a duration; write "
		    "500ms, 30s, 5m, 1h or 7d", bind_show(b, node));
		return -1;
	}
	if (ms < (uint64_t)min_ms || ms > (uint64_t)max_ms) {
		bind_error(b, node, path, "\"%s\" is not between %s and %s",
		    bind_show(b, node),
		    conf_format_number(KEY_TYPE_MS, min_ms, low),
		    conf_format_number(KEY_TYPE_MS, max_ms, high));
		return -1;
	}
	*out = (int64_t)ms;
	return 0;
}

int
bind_size(struct bind *b, const struct yaml_node *node, const char *path,
    int64_t min, int64_t max, int64_t *out)
{
	char low[CONF_NUMBER], high[CONF_NUMBER];
	uint64_t bytes;

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	if (num_size(span_str(node->text), &bytes) < 0) {
		bind_error(b, node, path, "\"%s\" is not a size; write 4096, "
		    "64k, 4M or 1G", bind_show(b, node));
		return -1;
	}
	if (bytes < (uint64_t)min || bytes > (uint64_t)max) {
		bind_error(b, node, path, "\"%s\" is not between %s and %s",
		    bind_show(b, node),
		    conf_format_number(KEY_TYPE_SIZE, min, low),
		    conf_format_number(KEY_TYPE_SIZE, max, high));
		return -1;
	}
	*out = (int64_t)bytes;
	return 0;
}

/* "12", "0.5", "1.250": up to three decimals; thousandths, or -1. */
static int64_t
parse_thousandths(const char *text)
{
	const char *dot = strchr(text, '.');
	size_t n = dot == NULL ? strlen(text) : (size_t)(dot - text);
	uint64_t whole, part = 0;
	size_t digits;

	if (num_u64(span_make(text, n), 0, 1000000000, &whole) < 0)
		return -1;
	if (dot != NULL) {
		digits = strlen(dot + 1);
		if (digits > 3 ||
		    num_u64(span_str(dot + 1), 0, 999, &part) < 0)
			return -1;
		for (; digits < 3; digits++)
			part *= 10;
	}
	return (int64_t)(whole * 1000 + part);
}

int
bind_number_ms(struct bind *b, const struct yaml_node *node,
    const char *path, int64_t unit_ms, int64_t min_ms, int64_t max_ms,
    int64_t *out)
{
	int64_t n;

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	n = parse_thousandths(node->text);
	if (n < 0 || n * (unit_ms / 1000) < min_ms ||
	    n * (unit_ms / 1000) > max_ms) {
		bind_error(b, node, path, "\"%s\" is not a number of %s "
		    "(%g..%g)", bind_show(b, node),
		    unit_ms == 1000 ? "seconds" : "minutes",
		    (double)min_ms / (double)unit_ms,
		    (double)max_ms / (double)unit_ms);
		return -1;
	}
	*out = n * (unit_ms / 1000);
	return 0;
}

int
bind_enum(struct bind *b, const struct yaml_node *node, const char *path,
    const char *names, int *out)
{
	char name[64], hint[SUGGEST_TEXT];
	struct suggest s;
	int i;

	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	if ((i = conf_names_index(names, node->text)) >= 0) {
		*out = i;
		return 0;
	}
	suggest_begin(&s, node->raw);
	for (i = 0;; i++) {
		conf_names_get(names, i, name, sizeof(name));
		if (name[0] == '\0')
			break;
		suggest_offer(&s, arena_strdup(b->mem, span_str(name)));
	}
	bind_error(b, node, path, "\"%s\" is none of %s%s",
	    bind_show(b, node), names, suggest_text(&s, hint, sizeof(hint)));
	return -1;
}

static bool
has_control(const char *s, bool lines_ok)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 || *s == 0x7f) &&
		    !(lines_ok && (*s == '\n' || *s == '\t')))
			return true;
	return false;
}

static int
text_ok(struct bind *b, const struct yaml_node *node, const char *path,
    size_t max, bool prose)
{
	if (bind_is_scalar(b, node, path) < 0)
		return -1;
	if (node->text[0] == '\0' && !prose) {
		bind_error(b, node, path, "must not be empty");
		return -1;
	}
	if (strlen(node->text) > max) {
		bind_error(b, node, path, "longer than %zu bytes", max);
		return -1;
	}
	if (has_control(node->text, prose)) {
		bind_error(b, node, path, "has a control character");
		return -1;
	}
	return 0;
}

int
bind_text(struct bind *b, const struct yaml_node *node, const char *path,
    size_t max, char **out)
{
	if (text_ok(b, node, path, max, false) < 0)
		return -1;
	model_set(out, node->text);
	return 0;
}

int
bind_prose(struct bind *b, const struct yaml_node *node, const char *path,
    size_t max, char **out)
{
	if (text_ok(b, node, path, max, true) < 0)
		return -1;
	model_set(out, node->text);
	return 0;
}

static int
add_item(struct bind *b, const struct yaml_node *node, const char *path,
    bool glob, struct strlist *out)
{
	if (text_ok(b, node, path, glob ? PATTERN_MAX - 1 : ITEM_MAX, false)
	    < 0)
		return -1;
	if (glob && !glob_valid(node->text)) {
		bind_error(b, node, path, "\"%s\" is not a pattern: \"[\" "
		    "without \"]\"", bind_show(b, node));
		return -1;
	}
	strlist_add(out, node->text);
	return 0;
}

static int
add_items(struct bind *b, const struct yaml_node *node, const char *path,
    bool glob, struct strlist *out)
{
	int rv = 0;
	size_t i;

	if (node->kind == YAML_TREE_SCALAR && !yaml_tree_is_null(node))
		return add_item(b, node, path, glob, out);
	if (node->kind == YAML_TREE_SCALAR && !node->bad) {
		bind_error(b, node, path,
		    "has no value; write [] for an empty list");
		return -1;
	}
	if (bind_is_list(b, node, path) < 0)
		return -1;
	for (i = 0; i < node->n; i++)
		if (add_item(b, node->item[i], bind_index(b, path, i), glob,
		    out) < 0)
			rv = -1;
	return rv;
}

int
bind_texts(struct bind *b, const struct yaml_node *node, const char *path,
    struct strlist *out)
{
	return add_items(b, node, path, false, out);
}

int
bind_globs(struct bind *b, const struct yaml_node *node, const char *path,
    struct strlist *out)
{
	return add_items(b, node, path, true, out);
}
