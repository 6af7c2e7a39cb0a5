/*
 * c_audit -- audit tail, search, verify.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/call.h"
#include "ctl/screen.h"
#include "proc/secret.h"

#define RECORDS	"/api/v1/audit/records"

static const char *const columns[] = { "#seq", "time", "principal", "decision",
    "result", "method", "server", "object", "#http_status", "#duration_us",
    "rule", "error", NULL };

/* Prints what matches; returns where to go on. more: it continues what was
 * printed before. */
static const char *
show(struct ctl *c, const char *path, bool more)
{
	struct json_value answer = call_run(c, HTTP_GET, path, NULL);
	struct json_value array = call_member(answer, "items"), one;
	struct table *t;
	size_t pos = 0;
	bool any = array.type == JSON_ARRAY &&
	    json_next_element(array.raw, &pos, &one);

	if (more && !c->json) {
		t = call_table(array, columns);
		table_rows(t, false);
		table_free(&t);
	} else if (!more || any)
		call_print(c, array, columns);
	screen_flush();
	return call_text(answer, "next");
}

static const char *
number(int64_t n)
{
	return ctl_text("%lld", (long long)n);
}

/* Over HTTP an answer has so many at most. */
static int64_t
most(const struct ctl *c, int64_t otherwise)
{
	return c->url != NULL ? 10000 : otherwise;
}

int
ctl_audit_tail(struct ctl *c)
{
	const char *path = RECORDS, *next;
	int64_t n = args_int(c, "-n", 1, 100000, 20);
	bool follow = args_flag(c, "-f");

	args_done(c, 0, 0);
	call_query(&path, "limit", number(n));
	next = show(c, path, false);
	while (follow) {
		clock_nap_ms(1000);
		path = RECORDS;
		call_query(&path, "limit", number(most(c, 100000)));
		call_query(&path, "after", next);
		next = show(c, path, true);
	}
	return EXIT_OK;
}

int
ctl_audit_search(struct ctl *c)
{
	int64_t n = args_int(c, "-n", 1, 1000000, 100);
	int64_t since_ms = args_duration_ms(c, "--since", 0);
	const char *path = RECORDS;
	const char *email = args_value(c, "--user");
	const char *decision = args_value(c, "--decision");

	call_query(&path, "limit", number(n));
	call_query(&path, "user", email == NULL ? NULL : ctl_email(email));
	call_query(&path, "server", args_value(c, "--server"));
	call_query(&path, "object", args_value(c, "--object"));
	call_query(&path, "decision", decision);
	if (since_ms > 0)
		call_query(&path, "since_seconds",
		    number((since_ms + 999) / 1000));
	args_done(c, 0, 0);
	show(c, path, false);
	return EXIT_OK;
}

int
ctl_audit_verify(struct ctl *c)
{
	struct json_value answer;
	const char *n, *text;
	struct err e;

	args_done(c, 0, 0);
	if (c->url == NULL) {		/* checked with the secret of here */
		ctl_db(c);
		if (secret_token(&c->conf, &e) < 0)
			ctl_fail_err(&e);
	}
	screen_progress("checking the audit trail");
	answer = call_run(c, HTTP_POST, "/api/v1/audit/verify", NULL);
	screen_progress(NULL);
	n = call_text(answer, "findings");
	text = call_text(answer, "text");
	if (n == NULL)
		ctl_fail(EXIT_FAILED, "the answer has no findings");
	if (c->json)
		printf("{\"findings\":%s}\n", n);
	else
		printf("%s%s findings\n", text == NULL ? "" : text, n);
	return strcmp(n, "0") == 0 ? EXIT_OK : EXIT_FAILED;
}
