/*
 * table -- rows for people (aligned columns) or for programs (JSON).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "ctl/ctl.h"

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
table_row(struct table *t, ...)
{
	va_list ap;
	int i;

	if (t->n_rows == t->cap) {
		t->cap = t->cap == 0 ? 64 : t->cap * 2;
		t->cell = xrealloc(t->cell, t->cap * (size_t)t->n_columns *
		    sizeof(t->cell[0]));
	}
	va_start(ap, t);
	for (i = 0; i < t->n_columns; i++) {
		const char *s = va_arg(ap, const char *);

		t->cell[t->n_rows * (size_t)t->n_columns + (size_t)i] =
		    s == NULL ? NULL : ctl_text("%s", s);
	}
	va_end(ap);
	t->n_rows++;
}

static const char *
title(const struct table *t, int i)
{
	const char *c = t->column[i];

	return *c == '#' || *c == '?' ? c + 1 : c;
}

static void
print_json(const struct table *t)
{
	struct json_out j;
	struct buf b;
	size_t r;
	int i;

	buf_init(&b, 1u << 30);
	json_out_init(&j, &b);
	json_array_begin(&j, NULL);
	for (r = 0; r < t->n_rows; r++) {
		json_object_begin(&j, NULL);
		for (i = 0; i < t->n_columns; i++) {
			const char *s = t->cell[r * (size_t)t->n_columns + (size_t)i];
			const char *name = title(t, i);

			if (s == NULL || (t->column[i][0] == '#' && *s == '\0'))
				json_put_null(&j, name);
			else if (t->column[i][0] == '#')
				json_put_raw(&j, name, span_str(s));
			else if (t->column[i][0] == '?')
				json_put_bool(&j, name, strcmp(s, "yes") == 0);
			else
				json_put_str(&j, name, s);
		}
		json_object_end(&j);
	}
	json_array_end(&j);
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static void
print_row(const struct table *t, const char *const *cell, const int *width)
{
	int i;

	for (i = 0; i < t->n_columns; i++) {
		const char *s = cell[i] == NULL ? "-" : cell[i];

		if (i == t->n_columns - 1)
			printf("%s", s);
		else if (t->column[i][0] == '#')
			printf("%*s  ", width[i], s);
		else
			printf("%-*s  ", width[i], s);
	}
	putchar('\n');
}

void
table_print(struct table *t, bool json)
{
	const char *head[32];
	int width[32], i;
	size_t r;

	if (json) {
		print_json(t);
		return;
	}
	for (i = 0; i < t->n_columns; i++) {
		char *up = xstrdup(title(t, i)), *p;

		for (p = up; *p != '\0'; p++)
			*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
		head[i] = ctl_text("%s", up);
		free(up);
		width[i] = (int)strlen(head[i]);
		for (r = 0; r < t->n_rows; r++) {
			const char *s = t->cell[r * (size_t)t->n_columns + (size_t)i];

			if (s != NULL && (int)strlen(s) > width[i])
				width[i] = (int)strlen(s);
		}
	}
	print_row(t, head, width);
	for (r = 0; r < t->n_rows; r++)
		print_row(t, t->cell + r * (size_t)t->n_columns, width);
}

void
table_free(struct table **tp)
{
	free((*tp)->cell);
	free(*tp);
	*tp = NULL;
}
