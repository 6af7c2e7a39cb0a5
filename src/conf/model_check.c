/*
 * model_check -- names that occur twice and names that lead nowhere.
 *
 * Looks at the whole model at once, after all rows are in. Rows of files
 * give errors; rows of the database give warnings, because a bad row there
 * denies its own user and must not stop everybody else's configuration.
 */
#include "conf/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "conf/conf.h"
#include "conf/suggest.h"

#define ORG	"default"
#define WHAT	400

struct check {
	const struct model	*m;
	struct conf_report	*report;
};

/* A row, reduced to what duplicates are found by. */
struct named {
	const char			*org, *name;
	const struct model_origin	*origin;
};

int
model_check_server_name(const char *name, char *why, size_t size)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	const char *text = NULL;
	size_t n = strlen(name);

	if (n == 0)
		text = "is empty";
	else if (n > 48)
		text = "is longer than 48 characters";
	else if (strspn(name, bytes) != n)
		text = "has other characters than letters, digits, \"_\" "
		    "and \"-\"";
	else if (name[0] == '_' || name[0] == '-')
		text = "must begin with a letter or digit";
	else if (strstr(name, "__") != NULL)
		text = "has \"__\", which separates server and tool";
	else if (name[n - 1] == '_')
		text = "must not end in \"_\"";
	if (text == NULL)
		return 0;
	snprintf(why, size, "%s", text);
	return -1;
}

bool
model_is_header_name(const char *name)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = strlen(name);

	return n > 0 && n <= 127 && strspn(name, token) == n;
}

bool
model_is_header_value(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

bool
model_header_is_ours(const char *name)
{
	static const char *const ours[] = { "Host", "Connection",
		"Content-Length", "Content-Type", "Transfer-Encoding", "TE",
		"Trailer", "Upgrade", "Expect", "Accept", "Mcp-Session-Id",
		"Mcp-Protocol-Version", "Last-Event-ID" };
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcasecmp(ours[i], name) == 0)
			return true;
	return false;
}

/* line 0: where the row is. */
static void
finding(struct check *c, const struct model_origin *o, int line, int column,
    const char *text)
{
	if (o->source == SOURCE_DB)
		conf_report_add(c->report, false, "database", 0, 0, "%s",
		    text);
	else
		conf_report_add(c->report, true, o->file,
		    line > 0 ? line : o->line, line > 0 ? column : o->column,
		    "%s", text);
}

static void
check_role(struct check *c, const struct model_origin *o, int line,
    int column, const char *org, const char *role, const char *where)
{
	char text[WHAT], hint[SUGGEST_TEXT];
	struct suggest s;
	size_t i;

	if (model_find_role(c->m, org, role) != NULL ||
	    model_find_role(c->m, ORG, role) != NULL)
		return;
	suggest_begin(&s, role);
	for (i = 0; i < c->m->n_roles; i++)
		suggest_offer(&s, c->m->role[i].name);
	snprintf(text, sizeof(text), "%s: unknown role \"%.64s\"%s", where,
	    role, suggest_text(&s, hint, sizeof(hint)));
	finding(c, o, line, column, text);
}

static void
check_server(struct check *c, const struct model_origin *o,
    const struct model_access *a, const char *org, const char *where)
{
	char text[WHAT], hint[SUGGEST_TEXT];
	struct suggest s;
	size_t i;

	if (strcmp(a->server, "*") == 0 ||
	    model_find_server(c->m, org, a->server) != NULL)
		return;
	suggest_begin(&s, a->server);
	for (i = 0; i < c->m->n_servers; i++)
		suggest_offer(&s, c->m->server[i].name);
	snprintf(text, sizeof(text), "%s: unknown server \"%.64s\"%s", where,
	    a->server, suggest_text(&s, hint, sizeof(hint)));
	finding(c, o, a->line, a->column, text);
}

static void
check_grants(struct check *c, const struct model_origin *o,
    const struct model_grants *g, const char *org, const char *where)
{
	size_t i;

	for (i = 0; i < g->n; i++)
		check_server(c, o, &g->access[i], org, where);
}

static void
check_servers(struct check *c)
{
	const struct model_restriction *r;
	const struct model_server *s;
	char where[WHAT / 2];
	size_t i, j;

	for (i = 0; i < c->m->n_servers; i++) {
		s = &c->m->server[i];
		snprintf(where, sizeof(where),
		    "mcps.%.64s.role_restrictions", s->name);
		for (j = 0; j < s->n_restrictions; j++) {
			r = &s->restriction[j];
			check_role(c, &s->origin, r->line, r->column, s->org,
			    r->role, where);
		}
	}
}

static void
check_roles(struct check *c)
{
	const struct model_role *r;
	char where[WHAT / 2];
	size_t i;

	for (i = 0; i < c->m->n_roles; i++) {
		r = &c->m->role[i];
		snprintf(where, sizeof(where), "roles.%.64s.allowed_mcps",
		    r->name);
		check_grants(c, &r->origin, &r->grants, r->org, where);
	}
}

static void
check_user(struct check *c, const struct model_user *u, const char *name)
{
	char where[WHAT / 2];

	snprintf(where, sizeof(where), "%.100s.role", name);
	check_role(c, &u->origin, u->role_line, u->role_column, u->org,
	    u->role, where);
	snprintf(where, sizeof(where), "%.100s.allowed_mcps", name);
	check_grants(c, &u->origin, &u->grants, u->org, where);
}

static int
compare(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int v;

	if ((v = strcmp(x->name, y->name)) != 0)
		return v;
	if ((v = strcmp(x->org, y->org)) != 0)
		return v;
	if (x->origin->source != y->origin->source)
		return x->origin->source == SOURCE_YAML ? -1 : 1;
	if (x->origin->file != NULL && y->origin->file != NULL &&
	    (v = strcmp(x->origin->file, y->origin->file)) != 0)
		return v;
	return (x->origin->line > y->origin->line) -
	    (x->origin->line < y->origin->line);
}

/* A row of a file goes before one of the database with the same name. */
static void
report_twice(struct check *c, const char *what, const struct named *first,
    const struct named *second)
{
	const struct model_origin *o = first->origin;
	char text[WHAT];

	if (o->source == SOURCE_DB || o->file == NULL)
		snprintf(text, sizeof(text), "%s %.100s is there twice", what,
		    second->name);
	else
		snprintf(text, sizeof(text), "%s %.100s is there twice; "
		    "%s at %.200s:%d:%d", what, second->name,
		    second->origin->source == SOURCE_DB ? "used is the one" :
		    "first", o->file, o->line, o->column);
	finding(c, second->origin, 0, 0, text);
}

static void
check_twice(struct check *c, const char *what, struct named *row, size_t n)
{
	size_t i, first = 0;

	qsort(row, n, sizeof(*row), compare);
	for (i = 1; i < n; i++) {
		if (strcmp(row[first].name, row[i].name) != 0 ||
		    strcmp(row[first].org, row[i].org) != 0)
			first = i;
		else if (row[i].name[0] != '\0')
			report_twice(c, what, &row[first], &row[i]);
	}
}

static void
check_names(struct check *c)
{
	const struct model *m = c->m;
	size_t max = m->n_servers, i, n = 0;
	struct named *row;

	max = m->n_users > max ? m->n_users : max;
	max = m->n_roles > max ? m->n_roles : max;
	row = xcalloc(max + 1, sizeof(*row));
	for (i = 0; i < m->n_servers; i++)
		row[i] = (struct named){ m->server[i].org, m->server[i].name,
		    &m->server[i].origin };
	check_twice(c, "server", row, m->n_servers);
	for (i = 0; i < m->n_users; i++)
		row[i] = (struct named){ m->user[i].org, m->user[i].email,
		    &m->user[i].origin };
	check_twice(c, "user", row, m->n_users);
	for (i = 0; i < m->n_roles; i++)
		if (!m->role[i].is_seed)
			row[n++] = (struct named){ m->role[i].org,
			    m->role[i].name, &m->role[i].origin };
	check_twice(c, "role", row, n);
	free(row);
}

void
model_check_names(const struct model *m, struct conf_report *report)
{
	struct check c = { .m = m, .report = report };

	check_names(&c);
}

void
model_check(const struct model *m, struct conf_report *report)
{
	struct check c = { .m = m, .report = report };
	char name[WHAT / 2];
	size_t i;

	check_names(&c);
	check_servers(&c);
	check_roles(&c);
	for (i = 0; i < m->n_users; i++) {
		snprintf(name, sizeof(name), "users.%.80s", m->user[i].email);
		check_user(&c, &m->user[i], name);
	}
	if (m->has_default_user)
		check_user(&c, &m->default_user, "default_user");
}
