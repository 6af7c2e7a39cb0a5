/*
 * h_audit -- the audit trail: search and verify.
 */
#include "api/api_int.h"

#include <unistd.h>

#include "audit/auditor.h"

#define REMOTE_MAX	10000	/* records of one answer over HTTP */

/* Columns as the answer has them. */
static const struct {
	enum audit_search_column col;
	const char	*name;
	char		 type;	/* '#': a number, 's' */
} columns[] = {
	{ AS_SEQ, "seq", '#' }, { AS_TIME, "time", 's' },
	{ AS_PRINCIPAL, "principal", 's' }, { AS_DECISION, "decision", 's' },
	{ AS_RESULT, "result", 's' }, { AS_METHOD, "method", 's' },
	{ AS_SERVER, "server", 's' }, { AS_OBJECT, "object", 's' },
	{ AS_HTTP_STATUS, "http_status", '#' },
	{ AS_DURATION_US, "duration_us", '#' }, { AS_RULE, "rule", 's' },
	{ AS_ERROR, "error", 's' }, { AS_ID, "id", 's' },
	{ AS_NODE, "node", 's' }, { AS_ORG, "org", 's' },
	{ AS_RPC_CODE, "rpc_code", '#' },
	{ AS_UPSTREAM_US, "upstream_us", '#' }, { AS_CLIENT, "client", 's' },
	{ AS_TRACE_ID, "trace_id", 's' }, { AS_SOURCE, "source", 's' },
};

/* Taken out here and not by PostgreSQL, whose operators for JSON refuse what a
 * record may hold (\u0000, lone surrogates): one would fail all. */
static void
put_arguments(struct json_out *j, const char *record)
{
	struct json_value top, v = { JSON_NONE, { NULL, 0 } };

	if (json_check(span_str(record), &top, NULL) == JSON_OK)
		v = json_member(top, "arguments");
	if (v.type == JSON_NONE)
		json_put_null(j, "arguments");
	else
		json_put_string(j, "arguments", v.raw);
}

static void
put_record(struct json_out *j, const struct db_result *r, int row)
{
	size_t i;

	json_object_begin(j, NULL);
	for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		int col = (int)columns[i].col;
		const char *s = db_is_null(r, row, col) ? NULL :
		    db_text(r, row, col);

		if (s == NULL || (columns[i].type != 's' && *s == '\0'))
			json_put_null(j, columns[i].name);
		else if (columns[i].type == 's')
			json_put_str(j, columns[i].name, s);
		else
			json_put_raw(j, columns[i].name, span_str(s));
	}
	put_arguments(j, db_text(r, row, AS_RECORD));
	json_object_end(j);
}

/* next: where to go on (after=) for what comes later. */
static void
put_records(struct json_out *j, const struct db_result *r)
{
	int i, n = db_rows(r);

	json_object_begin(j, NULL);
	json_array_begin(j, "items");
	for (i = 0; i < n && !db_is_null(r, i, AS_SEQ); i++)
		put_record(j, r, i);
	json_array_end(j);
	json_put_str(j, "next", db_text(r, 0, AS_NEXT));
	json_object_end(j);
}

/* {"<node>": seq, ...}, as in store/q_audit.c. */
static int
check_cursor(const char *text, struct err *e)
{
	struct json_value top, v;
	struct span name;
	size_t pos = 0;
	int64_t seq;
	bool ok = text == NULL ||
	    (json_check(span_str(text), &top, NULL) == JSON_OK &&
	    json_object(top.raw, NULL, NULL, 0) == JSON_OK);

	while (ok && text != NULL && json_next_member(top.raw, &pos, &name, &v))
		ok = json_int(v, &seq) && seq >= 0;
	return ok ? 0 : err_set(e, ERR_INVALID, "after: is not the \"next\" of "
	    "an answer; {} is before the first record");
}

static bool
is_decision(const char *s)
{
	return s == NULL || strcmp(s, "allow") == 0 ||
	    strcmp(s, "deny") == 0 || strcmp(s, "limit") == 0 ||
	    strcmp(s, "unauthenticated") == 0;
}

int
api_search_audit(struct api_call *c, struct json_out *j, struct err *e)
{
	struct audit_filter f = { .principal = api_text(c, "user"),
	    .server = api_text(c, "server"), .object = api_text(c, "object"),
	    .decision = api_text(c, "decision"),
	    .since_ms = api_int(c, "since_seconds", 0) * 1000,
	    .after = api_text(c, "after"),
	    .limit = api_int(c, "limit", 100) };
	struct db_result *r;

	if (!is_decision(f.decision))
		return err_set(e, ERR_INVALID, "decision: takes allow, deny, "
		    "limit or unauthenticated");
	if (f.limit > REMOTE_MAX && !c->api->is_local)
		return err_set(e, ERR_INVALID, "limit: at most %d over HTTP; "
		    "go on with after", REMOTE_MAX);
	if (check_cursor(f.after, e) < 0 || api_db(c, e) < 0 ||
	    (r = store_audit_search(c->api->db, &f, e)) == NULL)
		return -1;
	put_records(j, r);
	db_result_free(&r);
	return 0;
}

/* Each finding is a line of text. */
static void
put_findings(struct json_out *j, long n, struct span text)
{
	json_object_begin(j, NULL);
	json_put_int(j, "findings", n);
	json_put_string(j, "text", text);
	json_object_end(j);
}

int
api_verify_audit(struct api_call *c, struct json_out *j, struct err *e)
{
	const struct conf *conf = c->api->conf;
	const char *dir = arena_printf(c->api->mem, "%s/journal",
	    conf->state_dir);
	struct buf out;
	long n;

	if (api_db(c, e) < 0)
		return -1;
	buf_init(&out, 1u << 30);
	n = audit_verify_signed(c->api->db, access(dir, R_OK) == 0 ? dir :
	    NULL, conf->token_secret, &out, e);
	if (n >= 0)
		put_findings(j, n, buf_span(&out));
	buf_free(&out);
	return n < 0 ? -1 : 0;
}
