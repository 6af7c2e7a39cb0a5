/*
 * report -- the findings about one configuration: collect, sort, print.
 *
 * Texts come from the callers, who keep secrets out of them; control
 * characters are escaped here, because keys and values of a file may hold
 * some. Loader, omni2d -t, omni2ctl.
 */
#include "conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"

static char *format(const char *, va_list)
		    __attribute__((format(printf, 1, 0)));

static char *
format(const char *fmt, va_list ap)
{
	char *text;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	ASSERT_ALWAYS(n >= 0);
	text = xmalloc((size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	return text;
}

void
conf_report_add(struct conf_report *r, bool is_error, const char *file,
    int line, int column, const char *fmt, ...)
{
	struct conf_msg *m;
	va_list ap;

	if ((r->n & (r->n - 1)) == 0)	/* grows at powers of two */
		r->msg = xrealloc(r->msg,
		    (r->n == 0 ? 1 : 2 * r->n) * sizeof(*r->msg));
	m = &r->msg[r->n++];
	m->is_error = is_error;
	m->is_denied = false;
	m->file = xstrdup(file != NULL ? file : "");
	m->line = line;
	m->column = column;
	va_start(ap, fmt);
	m->text = format(fmt, ap);
	va_end(ap);
	if (is_error)
		r->errors++;
}

void
conf_report_denied(struct conf_report *r)
{
	r->msg[r->n - 1].is_denied = true;
}

bool
conf_report_is_denied(const struct conf_report *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		if (r->msg[i].is_denied)
			return true;
	return false;
}

static int
compare(const void *a, const void *b)
{
	const struct conf_msg *x = a, *y = b;
	int c;

	if ((c = strcmp(x->file, y->file)) != 0)
		return c;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	if (x->is_error != y->is_error)
		return x->is_error ? -1 : 1;
	return strcmp(x->text, y->text);
}

/* An alias is looked at once per use: equal findings are one finding. */
void
conf_report_sort(struct conf_report *r)
{
	size_t i, n = 0;

	if (r->n == 0)
		return;
	qsort(r->msg, r->n, sizeof(*r->msg), compare);
	for (i = 0; i < r->n; i++) {
		if (n > 0 && compare(&r->msg[n - 1], &r->msg[i]) == 0) {
			if (r->msg[i].is_error)
				r->errors--;
			free(r->msg[i].file);
			free(r->msg[i].text);
			continue;
		}
		r->msg[n++] = r->msg[i];
	}
	/* Growth in conf_report_add() counts on the array being this big. */
	for (i = 1; i < n; i *= 2)
		;
	r->msg = xrealloc(r->msg, i * sizeof(*r->msg));
	r->n = n;
}

static void
print_escaped(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			buf_printf(out, "\\x%02x", (unsigned char)*s);
		else
			buf_add_char(out, *s);
	}
}

void
conf_report_print(const struct conf_report *r, struct buf *out)
{
	const struct conf_msg *m;
	size_t i;

	for (i = 0; i < r->n; i++) {
		m = &r->msg[i];
		if (m->file[0] != '\0') {
			print_escaped(out, m->file);
			if (m->line > 0)
				buf_printf(out, ":%d", m->line);
			if (m->line > 0 && m->column > 0)
				buf_printf(out, ":%d", m->column);
			buf_add_str(out, ": ");
		}
		if (!m->is_error)
			buf_add_str(out, "warning: ");
		print_escaped(out, m->text);
		buf_add_char(out, '\n');
	}
}

void
conf_report_free(struct conf_report *r)
{
	size_t i;

	for (i = 0; i < r->n; i++) {
		free(r->msg[i].file);
		free(r->msg[i].text);
	}
	free(r->msg);
	*r = (struct conf_report){ 0 };
}
