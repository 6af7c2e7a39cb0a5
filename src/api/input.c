/*
 * input -- the parameters of a request, checked against params.def.
 *
 * Strict: what is unknown, stands twice, is of another type or out of its
 * bounds is refused, and the text names it. Pure.
 */
#include "api/api_int.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/utf8.h"
#include "net/url.h"

#define PIECE_MAX	4096	/* of a query, decoded */

const struct api_param api_params[] = {
#define PARAM(route, place, name, type, required, min, max, summary) \
	{ route, API_##place, name, API_##type, required, min, max, summary },
#include "api/params.def"
#undef PARAM
	{ .route = NULL }
};

static const struct api_value *
find(const struct api_call *c, const char *name)
{
	int i;

	for (i = 0; i < c->n; i++)
		if (strcmp(c->value[i].param->name, name) == 0 &&
		    c->value[i].given)
			return &c->value[i];
	return NULL;
}

bool
api_given(const struct api_call *c, const char *name)
{
	return find(c, name) != NULL;
}

const char *
api_text(const struct api_call *c, const char *name)
{
	const struct api_value *v = find(c, name);

	return v == NULL ? NULL : v->text;
}

int64_t
api_int(const struct api_call *c, const char *name, int64_t otherwise)
{
	const struct api_value *v = find(c, name);

	return v == NULL ? otherwise : v->number;
}

bool
api_bool(const struct api_call *c, const char *name)
{
	const struct api_value *v = find(c, name);

	return v != NULL && v->truth;
}

struct span
api_raw(const struct api_call *c, const char *name)
{
	const struct api_value *v = find(c, name);

	return v == NULL ? SPAN_LIT("") : v->raw;
}

/* ---- one value ----------------------------------------------------------------- */

static int
check_text(struct api_call *c, struct api_value *v, struct err *e)
{
	const struct api_param *p = v->param;
	int64_t n = (int64_t)strlen(v->text);
	const char *at;
	char *low, *to;

	if (n < p->min || n > p->max)
		return err_set(e, ERR_INVALID, n == 0 ? "%s: is empty" :
		    "%s: has %lld bytes (%lld..%lld)", p->name, (long long)n,
		    (long long)p->min, (long long)p->max);
	/* they reach the database and the terminal of whoever lists them */
	if (!utf8_is_valid(v->text, (size_t)n))
		return err_set(e, ERR_INVALID, "%s: is not UTF-8", p->name);
	for (at = v->text; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return err_set(e, ERR_INVALID, "%s: has a control "
			    "character", p->name);
	if (p->type != API_EMAIL)
		return 0;
	low = arena_strdup(c->api->mem, span_str(v->text));
	for (to = low; *to != '\0'; to++)
		*to = (char)tolower((unsigned char)*to);
	if (strpbrk(low, " \t\r\n\"\\,;") != NULL)
		return err_set(e, ERR_INVALID, "%s: \"%s\" is not an e-mail "
		    "address", p->name, v->text);
	v->text = low;
	return 0;
}

static int
check_number(struct api_value *v, struct span text, struct err *e)
{
	const struct api_param *p = v->param;

	if (num_i64(text, p->min, p->max, &v->number) < 0)
		return err_set(e, ERR_INVALID, "%s: \"%.*s\" is not a whole "
		    "number from %lld to %lld", p->name,
		    (int)(text.n > 40 ? 40 : text.n), text.p,
		    (long long)p->min, (long long)p->max);
	return 0;
}

/* From a path or a query: text. */
static int
take_text(struct api_call *c, struct api_value *v, const char *text,
    struct err *e)
{
	if (v->given)
		return err_set(e, ERR_INVALID, "%s: stands twice",
		    v->param->name);
	v->given = true;
	v->text = text;
	if (v->param->type == API_INT)
		return check_number(v, span_str(text), e);
	return check_text(c, v, e);
}

static int
wrong_type(const struct api_value *v, const char *want, struct err *e)
{
	return err_set(e, ERR_INVALID, "%s: must be %s", v->param->name, want);
}

static int
take_string(struct api_call *c, struct json_value j, const char *name,
    const char **text, struct err *e)
{
	char *s = arena_alloc(c->api->mem, j.raw.n + 1);
	long n = j.type == JSON_STRING ? json_string_decode(j, s, j.raw.n) : -1;

	if (n < 0 || memchr(s, '\0', (size_t)n) != NULL)
		return err_set(e, ERR_INVALID, "%s: must be a string%s", name,
		    j.type == JSON_STRING ? " without NUL or half a "
		    "character" : "");
	s[n] = '\0';
	*text = s;
	return 0;
}

static int
take_json(struct api_call *c, struct api_value *v, struct json_value j,
    struct err *e)
{
	v->given = true;
	v->raw = j.raw;
	switch (v->param->type) {
	case API_TEXT:
	case API_SECRET:
	case API_EMAIL:
		if (take_string(c, j, v->param->name, &v->text, e) < 0)
			return -1;
		return check_text(c, v, e);
	case API_INT:
		if (j.type != JSON_NUMBER)
			return wrong_type(v, "a number", e);
		return check_number(v, j.raw, e);
	case API_BOOL:
		if (j.type != JSON_BOOL)
			return wrong_type(v, "true or false", e);
		v->truth = json_is_true(j);
		return 0;
	case API_TEXTS:
		if (j.type != JSON_ARRAY)
			return wrong_type(v, "an array of strings", e);
		return 0;
	case API_OBJECT:
		break;
	}
	return j.type == JSON_OBJECT || j.type == JSON_NULL ? 0 :
	    wrong_type(v, "an object or null", e);
}

int
api_texts(const struct api_call *c, const char *name, struct strlist *out,
    struct err *e)
{
	const struct api_value *v = find(c, name);
	struct api_call scratch = { .api = c->api };
	struct json_value one;
	const char *text;
	size_t pos = 0;

	if (v == NULL)
		return 0;
	while (json_next_element(v->raw, &pos, &one)) {
		if (take_string(&scratch, one, name, &text, e) < 0)
			return -1;
		if ((int64_t)out->n == v->param->max)
			return err_set(e, ERR_INVALID, "%s: more than %lld "
			    "entries", name, (long long)v->param->max);
		strlist_add(out, text);
	}
	return 0;
}

/* ---- all of them ---------------------------------------------------------------- */

static struct api_value *
named(struct api_call *c, enum api_place place, struct span name)
{
	int i;

	for (i = 0; i < c->n; i++)
		if (c->value[i].param->place == place &&
		    span_is(name, c->value[i].param->name))
			return &c->value[i];
	return NULL;
}

/* What may be given, for an answer that refuses something else. */
static int
unknown(const struct api_call *c, enum api_place place, struct span name,
    struct err *e)
{
	char known[300] = "";
	size_t n = 0;
	int i;

	for (i = 0; i < c->n && n < sizeof(known); i++)
		if (c->value[i].param->place == place)
			n += (size_t)snprintf(known + n, sizeof(known) - n,
			    "%s%s", n > 0 ? ", " : "; known: ",
			    c->value[i].param->name);
	return err_set(e, ERR_INVALID, "unknown %s \"%.*s\"%s",
	    place == API_QUERY ? "parameter" : "field",
	    (int)(name.n > 60 ? 60 : name.n), name.p, known);
}

static int
take_path(struct api_call *c, const struct span *segment, struct err *e)
{
	char *text;
	int i, k = 0;

	for (i = 0; i < c->n; i++) {
		if (c->value[i].param->place != API_PATH)
			continue;
		text = arena_alloc(c->api->mem, segment[k].n + 1);
		if (url_decode(segment[k], text, segment[k].n + 1, false) < 0)
			return err_set(e, ERR_BADREQ, "%s: bad escape in the "
			    "path", c->value[i].param->name);
		if (take_text(c, &c->value[i], text, e) < 0)
			return -1;
		k++;
	}
	return 0;
}

static int
take_pair(struct api_call *c, struct span pair, struct err *e)
{
	const char *eq = memchr(pair.p, '=', pair.n);
	struct span name = span_make(pair.p, eq == NULL ? pair.n :
	    (size_t)(eq - pair.p));
	struct span value = span_skip(pair, name.n + 1);
	struct api_value *v = named(c, API_QUERY, name);
	char *text;

	if (v == NULL)
		return unknown(c, API_QUERY, name, e);
	if (value.n > PIECE_MAX)
		return err_set(e, ERR_INVALID, "%s: is too long",
		    v->param->name);
	text = arena_alloc(c->api->mem, value.n + 1);
	if (url_decode(value, text, value.n + 1, true) < 0)
		return err_set(e, ERR_INVALID, "%s: bad escape",
		    v->param->name);
	return take_text(c, v, text, e);
}

static int
take_query(struct api_call *c, struct span query, struct err *e)
{
	while (query.n > 0) {
		const char *amp = memchr(query.p, '&', query.n);
		size_t n = amp == NULL ? query.n : (size_t)(amp - query.p);

		if (n > 0 && take_pair(c, span_make(query.p, n), e) < 0)
			return -1;
		query = span_skip(query, n + 1);
	}
	return 0;
}

static int
take_body(struct api_call *c, struct span body, struct err *e)
{
	struct json_value root, v;
	enum json_status st;
	struct api_value *known;
	struct span name;
	size_t pos = 0, at = 0;

	if (body.n == 0)
		return 0;
	st = json_check(body, &root, &at);
	if (st != JSON_OK)
		return err_set(e, ERR_PARSE, "the body is not JSON: %s at "
		    "byte %zu", json_status_text(st), at);
	st = json_object(root.raw, NULL, NULL, 0);
	if (st != JSON_OK)
		return err_set(e, ERR_INVALID, "the body: %s",
		    json_status_text(st));
	while (json_next_member(root.raw, &pos, &name, &v)) {
		if ((known = named(c, API_BODY, name)) == NULL)
			return unknown(c, API_BODY, name, e);
		if (take_json(c, known, v, e) < 0)
			return -1;
	}
	return 0;
}

int
api_input(struct api_call *c, const struct span *segment, struct span query,
    struct span body, struct err *e)
{
	const struct api_param *p;
	int i;

	for (p = api_params; p->route != NULL; p++)
		if (strcmp(p->route, c->route->id) == 0)
			c->value[c->n++].param = p;
	if (take_path(c, segment, e) < 0 || take_query(c, query, e) < 0 ||
	    take_body(c, body, e) < 0)
		return -1;
	for (i = 0; i < c->n; i++)
		if (c->value[i].param->required && !c->value[i].given)
			return err_set(e, ERR_INVALID, "%s: is missing",
			    c->value[i].param->name);
	return 0;
}

void
api_arguments(const struct api_call *c, struct buf *out)
{
	struct json_out j;
	int64_t number;
	int i;

	json_out_init(&j, out);
	json_object_begin(&j, NULL);
	for (i = 0; i < c->n; i++) {
		const struct api_value *v = &c->value[i];

		if (!v->given)
			continue;
		if (v->param->type == API_SECRET)
			json_put_str(&j, v->param->name, "[redacted]");
		else if (v->raw.n > 0)
			json_put_raw(&j, v->param->name, v->raw);
		else if (v->param->type == API_INT && num_i64(span_str(
		    v->text), v->param->min, v->param->max, &number) == 0)
			json_put_int(&j, v->param->name, number);
		else
			json_put_str(&j, v->param->name, v->text);
	}
	json_object_end(&j);
}
