/*
 * keys -- the table made of keys.def, the defaults, and access to members.
 */
#include "conf/keys.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"

enum { RELOAD, RESTART };

#define MEMBER(f)	offsetof(struct conf, f)
const struct conf_key conf_keys[] = {
#define KEY_BOOL(p, f, d, r, t) \
	{ p, KEY_TYPE_BOOL, MEMBER(f), d, 0, 1, NULL, NULL, r == RESTART, t },
#define KEY_INT(p, f, d, lo, hi, r, t) \
	{ p, KEY_TYPE_INT, MEMBER(f), d, lo, hi, NULL, NULL, r == RESTART, t },
#define KEY_MS(p, f, d, lo, hi, r, t) \
	{ p, KEY_TYPE_MS, MEMBER(f), d, lo, hi, NULL, NULL, r == RESTART, t },
#define KEY_SIZE(p, f, d, lo, hi, r, t) \
	{ p, KEY_TYPE_SIZE, MEMBER(f), d, lo, hi, NULL, NULL, r == RESTART, t },
#define KEY_TEXT(p, f, d, r, t) \
	{ p, KEY_TYPE_TEXT, MEMBER(f), 0, 0, 0, d, NULL, r == RESTART, t },
#define KEY_SECRET(p, f, r, t) \
	{ p, KEY_TYPE_SECRET, MEMBER(f), 0, 0, 0, "", NULL, r == RESTART, t },
#define KEY_FILE(p, f, r, t) \
	{ p, KEY_TYPE_FILE, MEMBER(f), 0, 0, 0, "", NULL, r == RESTART, t },
#define KEY_ENUM(p, f, e, n, d, r, t) \
	{ p, KEY_TYPE_ENUM, MEMBER(f), d, 0, 0, NULL, n, r == RESTART, t },
#define KEY_LIST(p, f, d, r, t) \
	{ p, KEY_TYPE_LIST, MEMBER(f), 0, 0, 0, d, NULL, r == RESTART, t },
#include "conf/keys.def"
#undef KEY_BOOL
#undef KEY_INT
#undef KEY_MS
#undef KEY_SIZE
#undef KEY_TEXT
#undef KEY_SECRET
#undef KEY_FILE
#undef KEY_ENUM
#undef KEY_LIST
};
const size_t conf_n_keys = sizeof(conf_keys) / sizeof(conf_keys[0]);

/* The binder writes every enum of struct conf through an int. */
_Static_assert(sizeof(enum audit_sync) == sizeof(int) &&
    sizeof(enum audit_failure) == sizeof(int) &&
    sizeof(enum unlisted) == sizeof(int) &&
    sizeof(enum conf_log_level) == sizeof(int), "enums are ints");

const struct conf_key *
conf_key_find(const char *path)
{
	size_t i;

	for (i = 0; i < conf_n_keys; i++)
		if (strcmp(conf_keys[i].path, path) == 0)
			return &conf_keys[i];
	return NULL;
}

bool
conf_key_is_section(const char *path)
{
	size_t i, n = strlen(path);

	for (i = 0; i < conf_n_keys; i++)
		if (strncmp(conf_keys[i].path, path, n) == 0 &&
		    conf_keys[i].path[n] == '.')
			return true;
	return false;
}

void *
conf_key_member(struct conf *c, const struct conf_key *k)
{
	return (char *)c + k->offset;
}

const void *
conf_key_member_const(const struct conf *c, const struct conf_key *k)
{
	return (const char *)c + k->offset;
}

int
conf_names_index(const char *names, const char *word)
{
	size_t n = strlen(word), len;
	int i;

	for (i = 0; *names != '\0'; i++) {
		len = strcspn(names, "|");
		if (len == n && memcmp(names, word, n) == 0)
			return i;
		names += len;
		if (*names == '|')
			names++;
	}
	return -1;
}

void
conf_names_get(const char *names, int i, char *out, size_t size)
{
	while (i-- > 0) {
		names += strcspn(names, "|");
		if (*names == '|')
			names++;
	}
	span_copy(out, size, span_make(names, strcspn(names, "|")));
}

static void
format_ms(char *out, size_t size, int64_t ms)
{
	static const struct {
		int64_t		 ms;
		const char	*unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" },
	    { 1000, "s" }, { 1, "ms" } };
	size_t i;

	for (i = 0; i < 4; i++)
		if (ms != 0 && ms % units[i].ms == 0)
			break;
	snprintf(out, size, "%lld%s", (long long)(ms / units[i].ms),
	    ms == 0 ? "" : units[i].unit);
}

static void
format_size(char *out, size_t size, int64_t bytes)
{
	static const char *const units[] = { "", "k", "M", "G", "T" };
	size_t i = 0;

	while (bytes != 0 && bytes % 1024 == 0 && i < 4) {
		bytes /= 1024;
		i++;
	}
	snprintf(out, size, "%lld%s", (long long)bytes, units[i]);
}

const char *
conf_format_number(enum key_type type, int64_t v, char out[CONF_NUMBER])
{
	if (type == KEY_TYPE_MS)
		format_ms(out, CONF_NUMBER, v);
	else if (type == KEY_TYPE_SIZE)
		format_size(out, CONF_NUMBER, v);
	else
		snprintf(out, CONF_NUMBER, "%lld", (long long)v);
	return out;
}

/* A default that does not fit is a mistake in keys.def. */
static void
default_list(struct conf_list *l, const char *text)
{
	size_t len;

	while (*text != '\0') {
		len = strcspn(text, ",");
		ASSERT_ALWAYS(l->n < CONF_LIST_MAX);
		ASSERT_ALWAYS(span_copy(l->item[l->n++], CONF_ITEM,
		    span_make(text, len)));
		text += len;
		if (*text == ',')
			text++;
	}
}

void
conf_defaults(struct conf *c)
{
	const struct conf_key *k;
	void *member;
	size_t i;

	memset(c, 0, sizeof(*c));
	c->magic = CONF_MAGIC;
	for (i = 0; i < conf_n_keys; i++) {
		k = &conf_keys[i];
		member = conf_key_member(c, k);
		switch (k->type) {
		case KEY_TYPE_BOOL:
			*(bool *)member = k->def != 0;
			break;
		case KEY_TYPE_INT:
		case KEY_TYPE_MS:
		case KEY_TYPE_SIZE:
			*(int64_t *)member = k->def;
			break;
		case KEY_TYPE_ENUM:
			*(int *)member = (int)k->def;
			break;
		case KEY_TYPE_TEXT:
		case KEY_TYPE_SECRET:
		case KEY_TYPE_FILE:
			span_copy(member, CONF_TEXT, span_str(k->def_text));
			break;
		case KEY_TYPE_LIST:
			default_list(member, k->def_text);
			break;
		}
	}
}
