/*
 * interpolate -- replaces ${VAR} in the scalar values of one document.
 *
 * Reads the environment of the process and nothing else. The text that a
 * variable gives is not looked at again, so a value may hold dollar signs.
 */
#include "conf/interpolate.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "conf/conf.h"

#define VALUE_MAX	(1u << 20)
#define NAME_MAX_VAR	128

struct expand {
	struct yaml_node	*node;
	struct conf_report	*report;
	struct buf		 out;
};

static int
fail(struct expand *x, const char *what, const char *name)
{
	conf_report_add(x->report, true, x->node->file, x->node->line,
	    x->node->column, "%s%s%s", name != NULL ? name : "",
	    name != NULL ? ": " : "", what);
	return -1;
}

static size_t
name_length(const char *p)
{
	size_t n = 0;

	if (!isalpha((unsigned char)p[0]) && p[0] != '_')
		return 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

/* libyaml checked the file; what the environment gives is checked here. */
static bool
is_utf8(const char *s)
{
	size_t left = strlen(s), n;

	while (left > 0) {
		n = utf8_sequence((const unsigned char *)s, left);
		if (n == 0)
			return false;
		s += n;
		left -= n;
	}
	return true;
}

/* rest is what stands between the name and "}": "", ":-default", ":?text". */
static int
expand_variable(struct expand *x, const char *name, struct span rest)
{
	const char *value = getenv(name);
	char text[256];

	if (value != NULL && !is_utf8(value))
		return fail(x, "environment variable is not UTF-8", name);
	if (rest.n == 0) {
		if (value == NULL)
			return fail(x, "environment variable is not set", name);
		return buf_add_str(&x->out, value);
	}
	if (span_starts(rest, ":-")) {
		if (value == NULL || *value == '\0')
			return buf_add_span(&x->out, span_skip(rest, 2));
		return buf_add_str(&x->out, value);
	}
	if (!span_starts(rest, ":?"))
		return fail(x, "write ${VAR}, ${VAR:-default} or "
		    "${VAR:?message}", name);
	if (value != NULL && *value != '\0')
		return buf_add_str(&x->out, value);
	span_copy(text, sizeof(text), span_skip(rest, 2));
	return fail(x, text[0] != '\0' ? text :
	    "environment variable is not set", name);
}

/* *p stands behind "${"; moved behind "}". */
static int
expand_braces(struct expand *x, const char **p)
{
	const char *start = *p, *end = strchr(start, '}'), *at;
	char name[NAME_MAX_VAR];
	size_t n = name_length(start);

	if (end == NULL)
		return fail(x, "\"${\" without \"}\"; write $$ for a dollar "
		    "sign", NULL);
	*p = end + 1;
	if (n == 0 || n >= sizeof(name))
		return fail(x, "\"${\" without a variable name; write $$ for a "
		    "dollar sign", NULL);
	for (at = start; at < end; at++)
		if (at[0] == '$' && at[1] == '{')
			return fail(x, "\"${\" within \"${\"; a default is "
			    "plain text", NULL);
	span_copy(name, sizeof(name), span_make(start, n));
	return expand_variable(x, name,
	    span_make(start + n, (size_t)(end - start) - n));
}

/* Goes on after an error, so that all missing variables are named. */
static int
expand_text(struct expand *x, const char *p)
{
	int rv = 0;

	while (*p != '\0') {
		if (p[0] == '$' && p[1] == '$') {
			buf_add_char(&x->out, '$');
			p += 2;
		} else if (p[0] == '$' && p[1] == '{') {
			p += 2;
			if (expand_braces(x, &p) < 0)
				rv = -1;
			if (strchr(p, '}') == NULL && rv < 0)
				break;
		} else
			buf_add_char(&x->out, *p++);
	}
	return rv;
}

static void
interpolate_node(struct yaml_node *node, struct arena *mem,
    struct conf_report *report)
{
	struct expand x = { .node = node, .report = report };

	if (node->bad || strchr(node->text, '$') == NULL)
		return;
	buf_init(&x.out, VALUE_MAX);
	if (expand_text(&x, node->text) < 0)
		node->bad = true;
	else if (x.out.overflow) {
		fail(&x, "value is too long", NULL);
		node->bad = true;
	} else
		node->text = arena_strdup(mem, buf_span(&x.out));
	/* May be a secret of the environment; the heap should not keep it. */
	if (x.out.p != NULL)
		explicit_bzero(x.out.p, x.out.cap);
	buf_free(&x.out);
}

void
interpolate_doc(struct yaml_doc *doc, struct arena *mem,
    struct conf_report *report)
{
	struct yaml_node *node;

	for (node = doc->scalars; node != NULL; node = node->next)
		interpolate_node(node, mem, report);
}
