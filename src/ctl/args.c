/*
 * args -- options of one command, in any order among its arguments, as
 * "--name value" or "--name=value". Behind "--" or behind --command everything
 * is positional.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/num.h"
#include "ctl/ctl.h"

static void
take(struct ctl *c, int at, int n)
{
	memmove(c->argv + at, c->argv + at + n,
	    (size_t)(c->argc - at - n) * sizeof(c->argv[0]));
	c->argc -= n;
}

/* Place of the option; *value: what follows its "=", or NULL. */
static int
find(struct ctl *c, const char *name, const char **value)
{
	size_t n = strlen(name);
	int i;

	*value = NULL;
	for (i = 0; i < c->argc; i++) {
		if (strcmp(c->argv[i], name) == 0)
			return i;
		if (n > 2 && strncmp(c->argv[i], name, n) == 0 &&
		    c->argv[i][n] == '=') {
			*value = c->argv[i] + n + 1;
			return i;
		}
		if (strcmp(c->argv[i], "--") == 0 ||
		    strcmp(c->argv[i], "--command") == 0)
			break;
	}
	return -1;
}

bool
args_flag(struct ctl *c, const char *name)
{
	const char *v;
	int i = find(c, name, &v);

	if (i < 0)
		return false;
	if (v != NULL)
		ctl_fail(EXIT_USAGE, "%s takes no value", name);
	take(c, i, 1);
	return true;
}

const char *
args_next_value(struct ctl *c, const char *name)
{
	const char *v;
	int i = find(c, name, &v);

	if (i < 0)
		return NULL;
	if (v != NULL) {
		take(c, i, 1);
		return v;
	}
	if (i + 1 >= c->argc)
		ctl_fail(EXIT_USAGE, "%s needs a value", name);
	v = c->argv[i + 1];
	take(c, i, 2);
	return v;
}

const char *
args_value(struct ctl *c, const char *name)
{
	const char *v = args_next_value(c, name), *next;

	while ((next = args_next_value(c, name)) != NULL)
		v = next;
	return v;
}

void
args_done(struct ctl *c, int min, int max)
{
	int i;

	for (i = 0; i < c->argc; i++) {
		if (strcmp(c->argv[i], "--") == 0) {
			take(c, i, 1);
			break;
		}
		if (c->argv[i][0] == '-' && c->argv[i][1] != '\0') {
			fprintf(stderr, "omni2ctl: unknown option %s\n",
			    c->argv[i]);
			ctl_usage(c);
		}
	}
	if (c->argc < min || c->argc > max)
		ctl_usage(c);
}

int64_t
args_int(struct ctl *c, const char *name, int64_t min, int64_t max, int64_t def)
{
	const char *v = args_value(c, name);
	int64_t n = def;

	if (v != NULL && num_i64(span_str(v), min, max, &n) < 0)
		ctl_fail(EXIT_USAGE, "%s: \"%s\" is not a whole number "
		    "from %lld to %lld", name, v, (long long)min, (long long)max);
	return n;
}

int64_t
args_duration_ms(struct ctl *c, const char *name, int64_t def)
{
	const char *v = args_value(c, name);
	uint64_t ms;

	if (v == NULL)
		return def;
	if (num_duration_ms(span_str(v), 1000, &ms) < 0)
		ctl_fail(EXIT_USAGE, "%s: \"%s\" is not a duration such as 30m, "
		    "12h or 7d", name, v);
	if (ms == 0)	/* to those who are asked it is "not given" */
		ctl_fail(EXIT_USAGE, "%s: must be more than 0", name);
	return (int64_t)ms;
}

const char *
ctl_email(const char *s)
{
	char *low = xstrdup(s), *p;
	const char *r;

	for (p = low; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	r = ctl_text("%s", low);
	free(low);
	if (strlen(r) < 1 || strlen(r) > 95 || strpbrk(r, " \t\r\n\"\\,;") != NULL)
		ctl_fail(EXIT_USAGE, "\"%s\" is not an e-mail address", s);
	return r;
}
