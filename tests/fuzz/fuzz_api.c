/*
 * Properties of src/api's reading of requests: what is accepted is complete,
 * within its bounds and text; what is refused has a code and words; whatever
 * came, what is kept of it for the audit trail is one JSON object without
 * secrets. An input is "<method digit><path>\n<query>\n<body>".
 */
#include "tests/fuzz/fuzz.h"

#include "api/api_int.h"
#include "base/utf8.h"

static struct span
line(struct span *rest)
{
	const char *end = memchr(rest->p, '\n', rest->n);
	size_t n = end == NULL ? rest->n : (size_t)(end - rest->p);
	struct span s = span_make(rest->p, n);

	*rest = span_skip(*rest, n + 1);
	return s;
}

static void
check_value(const struct api_value *v)
{
	const struct api_param *p = v->param;

	FUZZ_CHECK(v->given || !p->required);
	if (!v->given)
		return;
	switch (p->type) {
	case API_TEXT:
	case API_SECRET:
	case API_EMAIL:
		FUZZ_CHECK((int64_t)strlen(v->text) >= p->min);
		FUZZ_CHECK((int64_t)strlen(v->text) <= p->max);
		FUZZ_CHECK(utf8_is_valid(v->text, strlen(v->text)));
		break;
	case API_INT:
		FUZZ_CHECK(v->number >= p->min && v->number <= p->max);
		break;
	case API_BOOL:
	case API_TEXTS:
	case API_OBJECT:
		FUZZ_CHECK(v->raw.n > 0);
		break;
	}
}

/* What the audit trail keeps, also of a request that was refused. */
static void
check_arguments(const struct api_call *c)
{
	struct json_value root, v;
	struct buf b;
	int i;

	buf_init(&b, 1 << 20);
	api_arguments(c, &b);
	FUZZ_CHECK(json_check(buf_span(&b), &root, NULL) == JSON_OK);
	for (i = 0; i < c->n; i++) {
		v = json_member(root, c->value[i].param->name);
		FUZZ_CHECK((v.type != JSON_NONE) == c->value[i].given);
		FUZZ_CHECK(c->value[i].param->type != API_SECRET ||
		    !c->value[i].given || span_is(v.raw, "\"[redacted]\""));
	}
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span rest = { (const char *)data + 1, n - 1 };
	struct span segment[API_SEGMENTS_MAX], path, query;
	struct api api = { .is_local = false };
	struct api_call c = { .api = &api };
	char allow[64] = "";
	struct err e = { .code = ERR_NONE };
	int i, rv;

	if (n < 1 || n > 8192)
		return 0;
	path = line(&rest);
	query = line(&rest);
	c.route = api_route_find((enum http_method)(data[0] % 8), path, segment,
	    allow, &e);
	if (c.route == NULL) {
		FUZZ_CHECK(e.code == ERR_NOTFOUND ||
		    (e.code == ERR_HTTPMETHOD && allow[0] != '\0'));
		return 0;
	}
	api.mem = arena_new(4096);
	rv = api_input(&c, segment, query, rest, &e);
	FUZZ_CHECK(rv == 0 || (rv == -1 && e.text[0] != '\0' &&
	    (e.code == ERR_INVALID || e.code == ERR_PARSE ||
	    e.code == ERR_BADREQ)));
	for (i = 0; rv == 0 && i < c.n; i++)
		check_value(&c.value[i]);
	check_arguments(&c);
	arena_free(&api.mem);
	return 0;
}
