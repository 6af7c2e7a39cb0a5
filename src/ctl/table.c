/*
 * table -- rows for people (aligned columns) or for programs (JSON).
 *
 * On a terminal the widest columns are cut so that lines fit; into a pipe or a
 * file they go whole. What came from outside (names, errors of servers) cannot
 * steer the terminal: control characters are shown as "?".
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/utf8.h"
#include "ctl/ctl.h"
#include "ctl/fit.h"
#include "ctl/screen.h"

#define ELLIPSIS	"\xe2\x80\xa6"
#define TABLE_COLUMNS	32
#define COLUMN_MIN	8	/* characters that are left of a cut column */

struct table {
	const char *const *column;
	int		 n_columns;
	const char	**cell;		/* row by row */
	size_t		 n_rows, cap;
};

static struct arena *texts;

const char *
ctl_text(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	if (texts == NULL)
		texts = arena_new(65536);
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = arena_alloc(texts, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

struct table *
table_new(const char *const *columns)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->column = columns;
	while (columns[t->n_columns] != NULL)
		t->n_columns++;
	return t;
}

void
table_row_of(struct table *t, const char *const *cell)
{
	int i;

	if (t->n_rows == t->cap) {
		t->cap = t->cap == 0 ? 64 : t->cap * 2;
		t->cell = xrealloc(t->cell, t->cap * (size_t)t->n_columns *
		    sizeof(t->cell[0]));
	}
	for (i = 0; i < t->n_columns; i++)
		t->cell[t->n_rows * (size_t)t->n_columns + (size_t)i] =
		    cell[i] == NULL ? NULL : ctl_text("%s", cell[i]);
	t->n_rows++;
}

void
table_row(struct table *t, ...)
{
	const char *cell[TABLE_COLUMNS];
	va_list ap;
	int i;

	ASSERT_ALWAYS(t->n_columns <= TABLE_COLUMNS);
	va_start(ap, t);
	for (i = 0; i < t->n_columns; i++)
		cell[i] = va_arg(ap, const char *);
	va_end(ap);
	table_row_of(t, cell);
}

static const char *
title(const struct table *t, int i)
{
	const char *c = t->column[i];

	return *c == '#' || *c == '?' || *c == '{' ? c + 1 : c;
}

static const char *
cell(const struct table *t, size_t row, int column)
{
	return t->cell[row * (size_t)t->n_columns + (size_t)column];
}

static void
put_json_row(const struct table *t, size_t r, struct json_out *j,
    const char *name)
{
	int i;

	json_object_begin(j, name);
	for (i = 0; i < t->n_columns; i++) {
		const char *s = cell(t, r, i), *member = title(t, i);
		char type = t->column[i][0];

		if (s == NULL || ((type == '#' || type == '{') && *s == '\0'))
			json_put_null(j, member);
		else if (type == '#' || type == '{')
			json_put_raw(j, member, span_str(s));
		else if (type == '?')
			json_put_bool(j, member, strcmp(s, "yes") == 0);
		else
			json_put_str(j, member, s);
	}
	json_object_end(j);
}

void
table_json(const struct table *t, struct json_out *j, const char *name)
{
	size_t r;

	json_array_begin(j, name);
	for (r = 0; r < t->n_rows; r++)
		put_json_row(t, r, j, NULL);
	json_array_end(j);
}

void
table_json_record(const struct table *t, struct json_out *j, const char *name)
{
	put_json_row(t, 0, j, name);
}

static void
print_json(const struct table *t, bool is_record)
{
	struct json_out j;
	struct buf b;

	buf_init(&b, 1u << 30);
	json_out_init(&j, &b);
	if (is_record)
		put_json_row(t, 0, &j, NULL);
	else
		table_json(t, &j, NULL);
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

/* One character of s in *n bytes, or "?" for what must not reach a terminal. */
static const char *
shown(const char *s, size_t *n)
{
	size_t len = utf8_sequence((const unsigned char *)s, strnlen(s, 4));
	unsigned char c = (unsigned char)*s;

	*n = len == 0 ? 1 : len;
	if (len == 0 || c < 0x20 || c == 0x7f ||
	    (c == 0xc2 && (unsigned char)s[1] < 0xa0))
		return "?";
	return s;
}

const char *
table_clean(const char *s)
{
	const char *kept;
	struct buf b;
	size_t n;

	buf_init(&b, 1u << 20);
	for (; *s != '\0'; s += n) {
		const char *p = shown(s, &n);

		buf_add(&b, p, p == s ? n : 1);
	}
	kept = ctl_text("%.*s", (int)b.n, b.n > 0 ? b.p : "");
	buf_free(&b);
	return kept;
}

static int
text_width(const char *s)
{
	int width = 0;
	size_t n;

	for (; *s != '\0'; s += n, width++)
		shown(s, &n);
	return width;
}

/* Appends s; of one wider than width the beginning and an ellipsis. */
static void
put_text(struct buf *b, const char *s, int width)
{
	bool is_cut = text_width(s) > width;
	int left = is_cut ? width - 1 : width;
	size_t n;

	for (; *s != '\0' && left > 0; s += n, left--) {
		const char *p = shown(s, &n);

		buf_add(b, p, p == s ? n : 1);
	}
	if (is_cut)
		buf_add_str(b, ELLIPSIS);
}

static void
print_row(const struct table *t, const char *const *row, const int *width,
    bool has_colour)
{
	struct buf b;
	int i;

	buf_init(&b, 1u << 24);
	for (i = 0; i < t->n_columns; i++) {
		const char *s = row[i] == NULL || *row[i] == '\0' ? "-" :
		    row[i];
		const char *style = has_colour ? fit_style(s) : "";
		int pad = width[i] - text_width(s);

		if (t->column[i][0] == '#')
			buf_printf(&b, "%*s", pad > 0 ? pad : 0, "");
		buf_add_str(&b, style);
		put_text(&b, s, width[i]);
		if (*style != '\0')
			buf_add_str(&b, FIT_PLAIN);
		if (i == t->n_columns - 1)
			break;
		if (t->column[i][0] == '#' || pad < 0)
			pad = 0;
		buf_printf(&b, "%*s", pad + 2, "");
	}
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static const char *
heading(const struct table *t, int i)
{
	char *up = xstrdup(title(t, i)), *p;
	const char *kept;

	for (p = up; *p != '\0'; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
	kept = ctl_text("%s", up);
	free(up);
	return kept;
}

/* Widths of the columns; is_whole: as the text has them. */
static void
measure(const struct table *t, const char *const *head, int *width,
    bool is_whole)
{
	int least[TABLE_COLUMNS], i;
	size_t r;

	for (i = 0; i < t->n_columns; i++) {
		width[i] = text_width(head[i]);
		for (r = 0; r < t->n_rows; r++) {
			const char *s = cell(t, r, i);

			if (s != NULL && text_width(s) > width[i])
				width[i] = text_width(s);
		}
		/* half a number would be another number */
		least[i] = t->column[i][0] == '#' ? width[i] :
		    width[i] < COLUMN_MIN ? width[i] : COLUMN_MIN;
	}
	if (!is_whole)
		fit_columns(width, least, t->n_columns, screen_width());
}

static void
print_rows(struct table *t, bool with_head, bool is_whole)
{
	bool has_colour = screen_has_colour();
	const char *head[TABLE_COLUMNS];
	int width[TABLE_COLUMNS], i;
	size_t r;

	ASSERT_ALWAYS(t->n_columns <= TABLE_COLUMNS);
	for (i = 0; i < t->n_columns; i++)
		head[i] = heading(t, i);
	measure(t, head, width, is_whole);
	if (with_head)
		print_row(t, head, width, false);
	for (r = 0; r < t->n_rows; r++)
		print_row(t, t->cell + r * (size_t)t->n_columns, width,
		    has_colour);
}

void
table_rows(struct table *t, bool with_head)
{
	print_rows(t, with_head, false);
}

void
table_print(struct table *t, bool json)
{
	if (json)
		print_json(t, false);
	else
		table_rows(t, true);
}

/* The one row: a line for each of its columns, or one JSON object. */
void
table_print_record(struct table *t, bool json)
{
	static const char *const columns[] = { "item", "value", NULL };
	struct table *lines;
	int i;

	if (json) {
		print_json(t, true);
		return;
	}
	lines = table_new(columns);
	for (i = 0; i < t->n_columns; i++)
		table_row(lines, title(t, i), cell(t, 0, i));
	print_rows(lines, false, true);
	table_free(&lines);
}

void
table_free(struct table **tp)
{
	free((*tp)->cell);
	free(*tp);
	*tp = NULL;
}
