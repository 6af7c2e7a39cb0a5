/*
 * conninfo -- see admin.h. Reads connection strings with libpq's own parser.
 */
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/arena.h"
#include "store/admin.h"

#define SHOWN_MAX	65536

static const char *
value_of(const PQconninfoOption *o, const char *keyword)
{
	for (; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val == NULL ? "" : o->val;
	return "";
}

/* libpq marks what must not be shown: "*" a password, "D" for debugging. */
static bool
is_secret(const PQconninfoOption *o)
{
	return o->dispchar[0] == '*';
}

bool
conninfo_is_valid(const char *conninfo)
{
	PQconninfoOption *o = PQconninfoParse(conninfo, NULL);

	if (o == NULL)
		return false;
	PQconninfoFree(o);
	return true;
}

bool
conninfo_has_password(const char *conninfo)
{
	PQconninfoOption *all = PQconninfoParse(conninfo, NULL), *o;
	bool has = false;

	for (o = all; o != NULL && o->keyword != NULL; o++)
		has |= is_secret(o) && o->val != NULL && o->val[0] != '\0';
	PQconninfoFree(all);
	return has;
}

bool
conninfo_is_local(const char *conninfo)
{
	PQconninfoOption *o = PQconninfoParse(conninfo, NULL);
	const char *host;
	bool local;

	if (o == NULL)
		return false;
	host = value_of(o, "host");
	if (host[0] == '\0' && getenv("PGHOST") != NULL)
		host = getenv("PGHOST");
	local = value_of(o, "hostaddr")[0] == '\0' &&
	    value_of(o, "service")[0] == '\0' &&
	    (host[0] == '\0' || host[0] == '/' || host[0] == '@');
	PQconninfoFree(o);
	return local;
}

char *
conninfo_shown(const char *conninfo)
{
	PQconninfoOption *all = PQconninfoParse(conninfo, NULL), *o;
	struct buf b;
	char *text;

	buf_init(&b, SHOWN_MAX);
	for (o = all; o != NULL && o->keyword != NULL; o++)
		if (o->val != NULL && o->val[0] != '\0' && !is_secret(o))
			buf_printf(&b, "%s%s=%s", b.n > 0 ? " " : "",
			    o->keyword, o->val);
	text = xstrndup(b.n > 0 ? b.p : "", b.n);
	PQconninfoFree(all);
	buf_free(&b);
	return text;
}

int
conninfo_environment(const char *conninfo, struct strlist *env, struct err *e)
{
	PQconninfoOption *all = PQconninfoParse(conninfo, NULL), *o;
	char *text;

	if (all == NULL)
		return err_set(e, ERR_INVALID,
		    "database: the connection string is malformed");
	for (o = all; o->keyword != NULL; o++) {
		if (o->val == NULL || o->val[0] == '\0' || o->envvar == NULL)
			continue;
		text = xasprintf("%s=%s", o->envvar, o->val);
		strlist_add(env, text);
		explicit_bzero(text, strlen(text));
		free(text);
	}
	PQconninfoFree(all);
	return 0;
}
