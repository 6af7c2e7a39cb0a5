/*
 * c_audit -- audit tail, search, verify.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/auditor.h"
#include "base/arena.h"
#include "ctl/ctl.h"
#include "ctl/screen.h"
#include "proc/secret.h"

static const char *const columns[] = { "#seq", "time", "principal", "decision",
    "result", "method", "server", "object", "#http_status", "#duration_us",
    "rule", "error", NULL };
static const char *const columns_json[] = { "#seq", "time", "principal",
    "decision", "result", "method", "server", "object", "#http_status",
    "#duration_us", "rule", "error", "id", "node", "org", "#rpc_code",
    "#upstream_us", "client", "trace_id", "source", "arguments", NULL };

static const char *
cell(const struct db_result *r, int row, enum audit_search_column col)
{
	return db_is_null(r, row, (int)col) ? NULL : db_text(r, row, (int)col);
}

static void
add_rows(struct ctl *c, struct table *t, const struct db_result *r)
{
	int i;

	for (i = 0; i < db_rows(r); i++) {
		const char *first[12] = { cell(r, i, AS_SEQ), cell(r, i, AS_TIME),
		    cell(r, i, AS_PRINCIPAL), cell(r, i, AS_DECISION),
		    cell(r, i, AS_RESULT), cell(r, i, AS_METHOD),
		    cell(r, i, AS_SERVER), cell(r, i, AS_OBJECT),
		    cell(r, i, AS_HTTP_STATUS), cell(r, i, AS_DURATION_US),
		    cell(r, i, AS_RULE), cell(r, i, AS_ERROR) };

		if (!c->json)
			table_row(t, first[0], first[1], first[2], first[3],
			    first[4], first[5], first[6], first[7], first[8],
			    first[9], first[10], first[11]);
		else
			table_row(t, first[0], first[1], first[2], first[3],
			    first[4], first[5], first[6], first[7], first[8],
			    first[9], first[10], first[11], cell(r, i, AS_ID),
			    cell(r, i, AS_NODE), cell(r, i, AS_ORG),
			    cell(r, i, AS_RPC_CODE), cell(r, i, AS_UPSTREAM_US),
			    cell(r, i, AS_CLIENT), cell(r, i, AS_TRACE_ID),
			    cell(r, i, AS_SOURCE), cell(r, i, AS_ARGUMENTS));
	}
}

/* Prints what matches; returns the newest number seen. more: it continues
 * what was printed before. */
static int64_t
show(struct ctl *c, const struct audit_filter *f, bool more)
{
	struct table *t = table_new(c->json ? columns_json : columns);
	struct db_result *r;
	int64_t newest = f->after_seq;
	struct err e;

	r = store_audit_search(c->db, f, &e);
	if (r == NULL)
		ctl_fail_err(&e);
	add_rows(c, t, r);
	if (db_rows(r) > 0)
		newest = db_int(r, db_rows(r) - 1, AS_SEQ);
	if (more && !c->json)
		table_rows(t, false);
	else if (!more || db_rows(r) > 0)
		table_print(t, c->json);
	fflush(stdout);
	screen_yaml_flush();
	table_free(&t);
	db_result_free(&r);
	return newest;
}

int
ctl_audit_tail(struct ctl *c)
{
	struct audit_filter f = { .limit = args_int(c, "-n", 1, 100000, 20) };
	bool follow = args_flag(c, "-f");

	args_done(c, 0, 0);
	ctl_db(c);
	f.after_seq = show(c, &f, false);
	while (follow) {
		nanosleep(&(struct timespec){ 1, 0 }, NULL);
		f.limit = 100000;
		f.after_seq = show(c, &f, true);
	}
	return EXIT_OK;
}

int
ctl_audit_search(struct ctl *c)
{
	struct audit_filter f = { .limit = args_int(c, "-n", 1, 1000000, 100) };

	f.principal = args_value(c, "--user");
	if (f.principal != NULL)
		f.principal = ctl_email(f.principal);
	f.server = args_value(c, "--server");
	f.object = args_value(c, "--object");
	f.decision = args_value(c, "--decision");
	f.since_ms = args_duration_ms(c, "--since", 0);
	args_done(c, 0, 0);
	if (f.decision != NULL && strcmp(f.decision, "allow") != 0 &&
	    strcmp(f.decision, "deny") != 0 && strcmp(f.decision, "limit") != 0 &&
	    strcmp(f.decision, "unauthenticated") != 0)
		ctl_fail(EXIT_USAGE, "--decision takes allow, deny, limit or "
		    "unauthenticated");
	ctl_db(c);
	show(c, &f, false);
	return EXIT_OK;
}

int
ctl_audit_verify(struct ctl *c)
{
	const char *dir;
	struct buf out;
	struct err e;
	long n;

	args_done(c, 0, 0);
	ctl_db(c);
	if (secret_token(&c->conf, &e) < 0)
		ctl_fail_err(&e);
	dir = ctl_text("%s/journal", c->conf.state_dir);
	buf_init(&out, 1u << 30);
	screen_progress("checking the audit trail");
	n = audit_verify_signed(c->db, access(dir, R_OK) == 0 ? dir : NULL,
	    c->conf.token_secret, &out, &e);
	screen_progress(NULL);
	if (n < 0)
		ctl_fail_err(&e);
	if (c->json)
		printf("{\"findings\":%ld}\n", n);
	else {
		printf("%.*s", (int)out.n, out.p);
		printf("%ld findings\n", n);
	}
	buf_free(&out);
	return n == 0 ? EXIT_OK : EXIT_FAILED;
}
