/*
 * c_server -- server add, list, show, remove, test; tool list; policy test.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/screen.h"

#define SERVERS	"/api/v1/servers"

static void
put_text(struct json_out *j, const char *name, const char *value)
{
	if (value != NULL)
		json_put_str(j, name, value);
}

/* Everything behind --command is the command; the last option there is. */
static bool
put_command(struct ctl *c, struct json_out *j)
{
	int i, k;

	for (i = 0; i < c->argc; i++)
		if (strcmp(c->argv[i], "--command") == 0)
			break;
	if (i == c->argc)
		return false;
	if (i + 1 >= c->argc)
		ctl_fail(EXIT_USAGE, "--command needs a program");
	json_put_str(j, "command", c->argv[i + 1]);
	json_array_begin(j, "args");
	for (k = i + 2; k < c->argc; k++)
		json_put_str(j, NULL, c->argv[k]);
	json_array_end(j);
	c->argc = i;
	return true;
}

static bool
put_environment(struct ctl *c, struct json_out *j)
{
	const char *env = args_next_value(c, "--env");

	if (env == NULL)
		return false;
	json_array_begin(j, "env");
	for (; env != NULL; env = args_next_value(c, "--env")) {
		if (strchr(env, '=') == NULL)
			ctl_fail(EXIT_USAGE, "--env takes NAME=VALUE");
		json_put_str(j, NULL, env);
	}
	json_array_end(j);
	return true;
}

int
ctl_server_add(struct ctl *c)
{
	const char *url = args_value(c, "--url"), *name;
	struct json_value answer;
	struct json_out j;
	struct buf body;

	buf_init(&body, 1u << 20);
	json_out_init(&j, &body);
	json_object_begin(&j, NULL);
	put_text(&j, "url", url);
	put_text(&j, "header", args_value(c, "--header"));
	json_put_int(&j, "timeout_seconds", args_int(c, "--timeout", 0, 3600,
	    0));
	put_environment(c, &j);
	if (put_command(c, &j) == (url != NULL))
		ctl_fail(EXIT_USAGE, "give either --url or --command");
	args_done(c, 1, 1);
	json_put_str(&j, "name", c->argv[0]);
	json_object_end(&j);
	answer = call_run(c, HTTP_POST, SERVERS, &body);
	buf_free(&body);
	name = call_text(answer, "name");
	if (c->json)
		call_print_json(answer);
	else
		printf("server %s added; \"omni2ctl server list\" shows its "
		    "health\n", table_clean(name == NULL ? "" : name));
	return EXIT_OK;
}

int
ctl_server_list(struct ctl *c)
{
	static const char *const columns[] = { "name", "transport", "status",
	    "circuit", "#tools", "#calls", "#failures", "source", "where",
	    NULL };

	args_done(c, 0, 0);
	call_print(c, call_member(call_run(c, HTTP_GET, SERVERS, NULL),
	    "items"), columns);
	return EXIT_OK;
}

int
ctl_server_show(struct ctl *c)
{
	static const char *const columns[] = { "name", "transport", "url",
	    "command", "?enabled", "status", "error", "circuit", "#tools",
	    "#resources", "#prompts", "#calls", "#failures", "#latency_us",
	    "#timeout_seconds", "source", NULL };

	args_done(c, 1, 1);
	call_print_record(c, call_run(c, HTTP_GET, call_path(SERVERS "/",
	    c->argv[0], ""), NULL), columns);
	return EXIT_OK;
}

int
ctl_server_remove(struct ctl *c)
{
	struct json_value answer;

	args_done(c, 1, 1);
	answer = call_run(c, HTTP_DELETE, call_path(SERVERS "/", c->argv[0],
	    ""), NULL);
	if (c->json)
		call_print_json(answer);
	else
		printf("server %s removed\n", c->argv[0]);
	return EXIT_OK;
}

static const char *
shown(struct json_value answer, const char *name)
{
	struct json_value v = call_member(answer, name);

	return v.type == JSON_NONE ? "null" : table_clean(
	    ctl_text("%.*s", SPAN_FMT(v.raw)));
}

int
ctl_server_test(struct ctl *c)
{
	struct json_value answer;
	const char *version;

	args_done(c, 1, 1);
	screen_progress("connecting to %s", c->argv[0]);
	answer = call_run(c, HTTP_POST, call_path(SERVERS "/", c->argv[0],
	    "/test"), NULL);
	screen_progress(NULL);
	version = call_text(answer, "version");
	if (c->json)
		call_print_json(answer);
	else
		printf("server %s answers (%s ms): MCP %s\n  info         "
		    "%s\n  capabilities %s\n", c->argv[0],
		    shown(answer, "milliseconds"), version == NULL ? "?" :
		    table_clean(version), shown(answer, "serverInfo"),
		    shown(answer, "capabilities"));
	return EXIT_OK;
}

int
ctl_tool_list(struct ctl *c)
{
	static const char *const columns[] = { "name", "server", "tool", NULL };
	const char *path = "/api/v1/tools";
	const char *server = args_value(c, "--server");
	const char *email = args_value(c, "--user");

	args_done(c, 0, 0);
	call_query(&path, "server", server);
	call_query(&path, "user", email == NULL ? NULL : ctl_email(email));
	call_print(c, call_member(call_run(c, HTTP_GET, path, NULL), "items"),
	    columns);
	return EXIT_OK;
}

/* What would this user see, and why not. */
int
ctl_policy_test(struct ctl *c)
{
	static const char *const columns[] = { "server", "tool", "decision",
	    "rule", NULL };
	const char *path = "/api/v1/policy/test";
	const char *email = args_value(c, "--user");
	const char *server = args_value(c, "--server");
	const char *tool = args_value(c, "--tool");
	struct json_value answer;

	args_done(c, 0, 0);
	if (email == NULL)
		ctl_fail(EXIT_USAGE, "--user is missing");
	call_query(&path, "user", ctl_email(email));
	call_query(&path, "server", server);
	call_query(&path, "tool", tool);
	answer = call_run(c, HTTP_GET, path, NULL);
	call_print(c, call_member(answer, "items"), columns);
	return tool != NULL && !json_is_true(call_member(answer, "allowed")) ?
	    EXIT_DENIED : EXIT_OK;
}
