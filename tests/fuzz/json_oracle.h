/*
 * json_oracle -- jansson's opinion of a JSON text, for fuzz_json_read.
 *
 * Apart, because jansson.h and base/json_read.h share names and cannot be
 * included in one file.
 */
#ifndef OMNI2_TESTS_JSON_ORACLE_H
#define OMNI2_TESTS_JSON_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum oracle_verdict {
	ORACLE_VALID,
	ORACLE_INVALID,
	ORACLE_RANGE,		/* a number or a NUL that jansson cannot hold */
	ORACLE_DUPLICATE
};

struct json_oracle {
	enum oracle_verdict	 verdict;
	void			*tree;
};

void	oracle_parse(struct json_oracle *, const char *, size_t,
	    bool refuse_duplicates);
void	oracle_free(struct json_oracle *);
/* Members or elements; 0 for anything else. */
size_t	oracle_size(const struct json_oracle *);
/* False if the value is no string, or no integer. */
bool	oracle_string(const struct json_oracle *, const char **, size_t *);
bool	oracle_integer(const struct json_oracle *, int64_t *);

#endif
