/*
 * call -- one operation of the API (src/api), by a command: on this machine,
 * where it runs in omni2ctl itself, or at --url. Commands see no difference:
 * they get one JSON object, or end with the exit status of what went wrong.
 */
#ifndef OMNI2_CTL_CALL_H
#define OMNI2_CTL_CALL_H

#include "base/json_read.h"
#include "ctl/ctl.h"
#include "net/http_head.h"

/* A path with a parameter behind it ("" for none), and more: all percent-
 * encoded as it must be. Kept until the end. */
const char *call_path(const char *base, const char *parameter,
	    const char *tail);
/* Appends "?name=value" or "&name=value"; NULL: nothing. */
void	call_query(const char **path, const char *name, const char *value);

/* The answer: a checked object. body: NULL for none. */
struct json_value call_run(struct ctl *, enum http_method, const char *path,
	    struct buf *body);
/* A member of it; JSON_NONE if it has none of that name. */
struct json_value call_member(struct json_value object, const char *name);
/* The same as text: decoded, null as NULL. Kept until the end. */
const char *call_text(struct json_value object, const char *name);

/* Rows of an array of objects into a table (or out as they are, if JSON is
 * asked for): the members that columns name. */
void	call_print(struct ctl *, struct json_value array,
	    const char *const *columns);
struct table *call_table(struct json_value array, const char *const *columns);
/* The same for one object. */
void	call_print_record(struct ctl *, struct json_value object,
	    const char *const *columns);
/* One cell as tables show it. */
const char *call_cell(struct json_value);
/* Prints the object as JSON and a newline. */
void	call_print_json(struct json_value);

/* remote.c: --url and what belongs to it. */
bool	remote_option(struct ctl *, const char *name, const char *value);
void	remote_environment(struct ctl *);
/* Status of the answer; ends the program if there is none. */
int	remote_run(struct ctl *, enum http_method, const char *path,
	    struct span body, struct buf *out);

#endif
