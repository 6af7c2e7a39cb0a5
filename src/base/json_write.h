/*
 * json_write -- writes JSON into a buf, with commas kept.
 *
 * Overflow shows in buf->overflow at the end. Strings are escaped as RFC 8259
 * asks; invalid UTF-8 becomes U+FFFD so that output is always valid.
 */
#ifndef OMNI2_BASE_JSON_WRITE_H
#define OMNI2_BASE_JSON_WRITE_H

#include <stdint.h>

#include "base/buf.h"

struct json_out {
	struct buf	*b;
	bool		 need_comma;
};

void	json_out_init(struct json_out *, struct buf *);
/* name NULL inside arrays and at the top. */
void	json_object_begin(struct json_out *, const char *name);
void	json_object_end(struct json_out *);
void	json_array_begin(struct json_out *, const char *name);
void	json_array_end(struct json_out *);
void	json_put_string(struct json_out *, const char *name, struct span);
/* A NULL string is written as null. */
void	json_put_str(struct json_out *, const char *name, const char *);
void	json_put_int(struct json_out *, const char *name, int64_t);
void	json_put_double(struct json_out *, const char *name, double);
void	json_put_bool(struct json_out *, const char *name, bool);
void	json_put_null(struct json_out *, const char *name);
/* Bytes that are JSON already. */
void	json_put_raw(struct json_out *, const char *name, struct span);

/* Just one quoted, escaped string. */
int	json_quote(struct buf *, struct span);

#endif
