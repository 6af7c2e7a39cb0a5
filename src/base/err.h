/*
 * err -- "this request fails": an out-parameter with a code and a text.
 *
 * err.def is the one table behind HTTP status and JSON-RPC code. An err is
 * a plain struct on the caller's stack; the text must hold no secret, because
 * the client may see it. Nothing here logs: the pipeline logs, once.
 */
#ifndef OMNI2_BASE_ERR_H
#define OMNI2_BASE_ERR_H

enum err_code {
#define ERR(name, http, rpc, summary) ERR_##name,
#include "base/err.def"
#undef ERR
	ERR_COUNT
};

struct err {
	enum err_code	code;
	int		retry_after_s;	/* 0: no Retry-After header */
	char		text[512];
};

/* Sets code and text. Always returns -1, so that "return err_set(...)". */
int	err_set(struct err *, enum err_code, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* Puts "context: " before the text that is there. Always returns -1. */
int	err_wrap(struct err *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
void	err_clear(struct err *);

int	    err_http_status(enum err_code);
int	    err_rpc_code(enum err_code);
const char *err_name(enum err_code);	/* "DENIED" */
const char *err_summary(enum err_code);

#endif
