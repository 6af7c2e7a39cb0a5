/*
 * json_oracle -- the jansson side of the differential fuzz target.
 */
#include "tests/fuzz/json_oracle.h"

#include <jansson.h>

static enum oracle_verdict
verdict_of(enum json_error_code code)
{
	if (code == json_error_duplicate_key)
		return ORACLE_DUPLICATE;
	if (code == json_error_numeric_overflow ||
	    code == json_error_null_byte_in_key ||
	    code == json_error_null_character)
		return ORACLE_RANGE;
	return ORACLE_INVALID;
}

void
oracle_parse(struct json_oracle *o, const char *p, size_t n,
    bool refuse_duplicates)
{
	size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_error_t error;

	if (refuse_duplicates)
		flags |= JSON_REJECT_DUPLICATES;
	o->tree = json_loadb(p, n, flags, &error);
	o->verdict = o->tree != NULL ? ORACLE_VALID :
	    verdict_of(json_error_code(&error));
}

void
oracle_free(struct json_oracle *o)
{
	json_decref(o->tree);
	o->tree = NULL;
}

size_t
oracle_size(const struct json_oracle *o)
{
	return json_is_object((const json_t *)o->tree) ?
	    json_object_size(o->tree) : json_array_size(o->tree);
}

bool
oracle_string(const struct json_oracle *o, const char **p, size_t *n)
{
	*p = json_string_value(o->tree);
	*n = json_string_length(o->tree);
	return *p != NULL;
}

bool
oracle_integer(const struct json_oracle *o, int64_t *v)
{
	*v = json_integer_value(o->tree);
	return json_is_integer((const json_t *)o->tree);
}
