/*
 * openapi -- the OpenAPI 3.1 document, made of routes.def and params.def, so
 * that it cannot say anything else than what is served. Pure.
 */
#include "api/api_int.h"

#include <ctype.h>

#include "config.h"

static const char *
type_text(enum api_type t)
{
	switch (t) {
	case API_INT:
		return "integer";
	case API_BOOL:
		return "boolean";
	case API_TEXTS:
		return "array";
	case API_TEXT:
	case API_SECRET:
	case API_EMAIL:
	case API_OBJECT:
		break;
	}
	return "string";
}

static void
put_schema(struct json_out *j, const char *name, const struct api_param *p,
    bool with_summary)
{
	bool is_text = p->type == API_TEXT || p->type == API_SECRET ||
	    p->type == API_EMAIL;

	json_object_begin(j, name);
	if (p->type == API_OBJECT)
		json_put_raw(j, "type", SPAN_LIT("[\"object\",\"null\"]"));
	else
		json_put_str(j, "type", type_text(p->type));
	if (p->type == API_TEXTS) {
		json_object_begin(j, "items");
		json_put_str(j, "type", "string");
		json_object_end(j);
		json_put_int(j, "maxItems", p->max);
	}
	if (p->type == API_SECRET)
		json_put_bool(j, "writeOnly", true);
	if (p->type == API_INT) {
		json_put_int(j, "minimum", p->min);
		json_put_int(j, "maximum", p->max);
	} else if (is_text) {
		json_put_int(j, "minLength", p->min);
		json_put_int(j, "maxLength", p->max);
	}
	if (with_summary)
		json_put_str(j, "description", p->summary);
	json_object_end(j);
}

static bool
is_of(const struct api_param *p, const struct api_route *r,
    enum api_place place)
{
	return strcmp(p->route, r->id) == 0 && p->place == place;
}

static bool
has_any(const struct api_route *r, enum api_place place, bool required)
{
	const struct api_param *p;

	for (p = api_params; p->route != NULL; p++)
		if (is_of(p, r, place) && (!required || p->required))
			return true;
	return false;
}

static void
put_parameters(struct json_out *j, const struct api_route *r)
{
	const struct api_param *p;

	if (!has_any(r, API_PATH, false) && !has_any(r, API_QUERY, false))
		return;
	json_array_begin(j, "parameters");
	for (p = api_params; p->route != NULL; p++) {
		if (!is_of(p, r, API_PATH) && !is_of(p, r, API_QUERY))
			continue;
		json_object_begin(j, NULL);
		json_put_str(j, "name", p->name);
		json_put_str(j, "in", p->place == API_PATH ? "path" : "query");
		json_put_bool(j, "required", p->required);
		json_put_str(j, "description", p->summary);
		put_schema(j, "schema", p, false);
		json_object_end(j);
	}
	json_array_end(j);
}

static void
put_body(struct json_out *j, const struct api_route *r)
{
	bool any = has_any(r, API_BODY, true);
	const struct api_param *p;

	if (!has_any(r, API_BODY, false))
		return;
	json_object_begin(j, "requestBody");
	json_put_bool(j, "required", any);
	json_object_begin(j, "content");
	json_object_begin(j, "application/json");
	json_object_begin(j, "schema");
	json_put_str(j, "type", "object");
	json_put_bool(j, "additionalProperties", false);
	json_object_begin(j, "properties");
	for (p = api_params; p->route != NULL; p++)
		if (is_of(p, r, API_BODY))
			put_schema(j, p->name, p, true);
	json_object_end(j);
	if (any) {
		json_array_begin(j, "required");
		for (p = api_params; p->route != NULL; p++)
			if (is_of(p, r, API_BODY) && p->required)
				json_put_str(j, NULL, p->name);
		json_array_end(j);
	}
	json_object_end(j);
	json_object_end(j);
	json_object_end(j);
	json_object_end(j);
}

static void
put_responses(struct json_out *j, const struct api_route *r)
{
	char status[4] = { (char)('0' + r->status / 100),
	    (char)('0' + r->status / 10 % 10),
	    (char)('0' + r->status % 10), '\0' };

	json_object_begin(j, "responses");
	json_object_begin(j, status);
	json_put_str(j, "description", r->summary);
	json_put_raw(j, "content", SPAN_LIT("{\"application/json\":{\"schema\":"
	    "{\"type\":\"object\"}}}"));
	json_object_end(j);
	json_put_raw(j, "default", SPAN_LIT("{\"$ref\":"
	    "\"#/components/responses/Problem\"}"));
	json_object_end(j);
}

static void
put_operation(struct json_out *j, const struct api_route *r)
{
	char method[8];
	size_t i;

	span_copy(method, sizeof(method), span_str(api_method_text(r->method)));
	for (i = 0; method[i] != '\0'; i++)
		method[i] = (char)tolower((unsigned char)method[i]);
	json_object_begin(j, method);
	json_put_str(j, "operationId", r->id);
	json_put_str(j, "summary", r->summary);
	if (r->needs == API_PUBLIC) {
		json_array_begin(j, "security");
		json_array_end(j);
	}
	put_parameters(j, r);
	put_body(j, r);
	put_responses(j, r);
	json_object_end(j);
}

/* Operations of one path stand together, where the first of them stands. */
static bool
is_first_of_path(const struct api_route *r)
{
	const struct api_route *other;

	for (other = api_routes; other != r; other++)
		if (strcmp(other->path, r->path) == 0)
			return false;
	return true;
}

static void
put_paths(struct json_out *j)
{
	const struct api_route *r, *other;

	json_object_begin(j, "paths");
	for (r = api_routes; r->id != NULL; r++) {
		if (!is_first_of_path(r))
			continue;
		json_object_begin(j, r->path);
		for (other = r; other->id != NULL; other++)
			if (strcmp(other->path, r->path) == 0)
				put_operation(j, other);
		json_object_end(j);
	}
	json_object_end(j);
}

/* RFC 9457, and the word for programs. */
static const char components[] = "{\"securitySchemes\":{"
    "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
    "\"key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-API-Key\"}},"
    "\"responses\":{\"Problem\":{\"description\":\"What is wrong\","
    "\"content\":{\"application/problem+json\":{\"schema\":{"
    "\"$ref\":\"#/components/schemas/Problem\"}}}}},"
    "\"schemas\":{\"Problem\":{\"type\":\"object\",\"properties\":{"
    "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
    "\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},"
    "\"code\":{\"type\":\"string\"},\"findings\":{\"type\":\"array\","
    "\"items\":{\"type\":\"string\"}}},"
    "\"required\":[\"type\",\"title\",\"status\",\"detail\",\"code\"]}}}";

void
api_openapi(struct buf *out)
{
	struct json_out j;

	json_out_init(&j, out);
	json_object_begin(&j, NULL);
	json_put_str(&j, "openapi", "3.1.0");
	json_object_begin(&j, "info");
	json_put_str(&j, "title", "omni2 administration");
	json_put_str(&j, "version", PACKAGE_VERSION);
	json_object_end(&j);
	json_put_raw(&j, "security", SPAN_LIT("[{\"bearer\":[]},{\"key\":[]}]"));
	put_paths(&j);
	json_put_raw(&j, "components", span_str(components));
	json_object_end(&j);
}
