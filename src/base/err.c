/*
 * err -- fills in struct err and answers questions about err.def.
 *
 * Runs in every process. Never allocates and never logs; a text that does
 * not fit is cut, because it is for people.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int		 http;
	int		 rpc;
	const char	*name;
	const char	*summary;
} table[ERR_COUNT] = {
#define ERR(name, http, rpc, summary) [ERR_##name] = \
	{ http, rpc, #name, summary },
#include "base/err.def"
#undef ERR
};

int
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	e->retry_after_s = 0;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char context[sizeof(e->text)];
	size_t n, old_n = strlen(e->text), room;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(context, sizeof(context) - 2, fmt, ap);
	va_end(ap);
	if ((n = strlen(context)) == 0)
		return -1;
	context[n++] = ':';
	context[n++] = ' ';
	room = sizeof(e->text) - 1 - n;
	if (old_n > room)
		old_n = room;
	memmove(e->text + n, e->text, old_n);
	memcpy(e->text, context, n);
	e->text[n + old_n] = '\0';
	return -1;
}

void
err_clear(struct err *e)
{
	e->code = ERR_NONE;
	e->retry_after_s = 0;
	e->text[0] = '\0';
}

/* A code from elsewhere (shared memory, a pipe) may be outside the table. */
static enum err_code
known(enum err_code code)
{
	return (unsigned)code < ERR_COUNT ? code : ERR_INTERNAL;
}

int
err_http_status(enum err_code code)
{
	return table[known(code)].http;
}

int
err_rpc_code(enum err_code code)
{
	return table[known(code)].rpc;
}

const char *
err_name(enum err_code code)
{
	return table[known(code)].name;
}

const char *
err_summary(enum err_code code)
{
	return table[known(code)].summary;
}
