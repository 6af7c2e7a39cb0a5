/*
 * test_conf -- configuration files to findings, settings and rows.
 *
 * Findings are golden: every tests/golden/conf/x.yaml is loaded and what it
 * reports must equal x.out byte for byte. With GOLDEN_UPDATE set the .out
 * files are written instead, to be read before they are committed. Values
 * are checked by the tests below, and the sample files by the last ones.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fdio.h"
#include "conf/conf.h"
#include "conf/keys.h"
#include "conf/model.h"
#include "conf/suggest.h"

#define TEXT_MAX	(1u << 20)
#define CANARY		"canary"
#define TOKEN		"0123456789abcdef0123456789abcdef"

static struct conf conf;
static struct model model;
static struct conf_report report;
static struct buf text;
static char *source_dir;	/* absolute */

static int
setup(void **state)
{
	buf_init(&text, TEXT_MAX);
	return 0;
}

static int
teardown(void **state)
{
	model_free(&model);
	conf_report_free(&report);
	buf_free(&text);
	unsetenv("CREDENTIALS_DIRECTORY");
	return 0;
}

static void
forget(void)
{
	model_free(&model);
	conf_report_free(&report);
	buf_reset(&text, 0);
}

static int
load_text(const char *yaml)
{
	int rv;

	forget();
	rv = conf_load_text("test.yaml", yaml, strlen(yaml), &conf, &model,
	    &report);
	conf_report_print(&report, &text);
	buf_add_char(&text, '\0');
	return rv;
}

/* Loads without any finding; shows them if there are some. */
static void
load_clean(const char *yaml)
{
	if (load_text(yaml) < 0 || report.n > 0)
		fail_msg("findings:\n%s", text.p);
}

static int
load_file(const char *file)
{
	int rv;

	forget();
	rv = conf_load(file, &conf, &model, &report);
	conf_report_print(&report, &text);
	buf_add_char(&text, '\0');
	return rv;
}

static void
enter(const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", source_dir, dir);
	if (chdir(path) < 0)
		fail_msg("%s: %s", path, strerror(errno));
}

static void
golden_one(const char *yaml)
{
	char out[PATH_MAX];
	char *wanted = xmalloc(TEXT_MAX);
	ssize_t n;
	int rv, fd;

	rv = load_file(yaml);
	snprintf(out, sizeof(out), "%.*s.out", (int)strlen(yaml) - 5, yaml);
	if (strstr(text.p, CANARY) != NULL)
		fail_msg("%s: a secret is shown:\n%s", yaml, text.p);
	assert_int_equal(rv, report.errors > 0 ? -1 : 0);
	if (getenv("GOLDEN_UPDATE") != NULL) {
		fd = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		assert_true(fd >= 0);
		assert_int_equal(fdio_write_all(fd, text.p, text.n - 1), 0);
		close(fd);
	} else if ((n = fdio_read_file(out, wanted, TEXT_MAX)) < 0)
		fail_msg("%s: %s", out, strerror(errno));
	else if (strcmp(wanted, text.p) != 0)
		fail_msg("%s: got\n%swanted\n%s", yaml, text.p, wanted);
	free(wanted);
}

static void
test_golden(void **state)
{
	glob_t g;
	size_t i;

	enter("tests/golden/conf");
	setenv("OMNI2_TEST_SET", "set", 1);
	setenv("OMNI2_TEST_EMPTY", "", 1);
	setenv("OMNI2_TEST_SECRET", CANARY, 1);
	setenv("OMNI2_TEST_LINES", CANARY "\r\nX: y", 1);
	setenv("OMNI2_TEST_LATIN1", "caf\xe9", 1);
	assert_int_equal(glob("*.yaml", 0, NULL, &g), 0);
	assert_true(g.gl_pathc >= 25);
	for (i = 0; i < g.gl_pathc; i++)
		golden_one(g.gl_pathv[i]);
	globfree(&g);
}

static void
test_defaults(void **state)
{
	load_clean("");
	assert_int_equal(conf.magic, CONF_MAGIC);
	assert_int_equal(conf.listen.n, 1);
	assert_string_equal(conf.listen.item[0], "127.0.0.1:8090");
	assert_int_equal(conf.redact.n, 8);
	assert_string_equal(conf.redact.item[7], "*private_key*");
	assert_int_equal(conf.header_timeout_ms, 10000);
	assert_int_equal(conf.spool_max, 4294967296);
	assert_int_equal(conf.audit_on_failure, AUDIT_FAIL_DENY);
	assert_int_equal(conf.log_level, CONF_LOG_INFO);
	assert_string_equal(conf.token_issuer, "omni2");
	assert_string_equal(conf.token_secret, "");
	assert_non_null(model_find_role(&model, "default", "contractor"));
	assert_false(model.has_default_user);
}

static void
test_settings(void **state)
{
	setenv("OMNI2_TEST_PORT", "8099", 1);
	load_clean("server:\n"
	    "  listen: 127.0.0.1:${OMNI2_TEST_PORT}\n"
	    "  node: a$${b}\n"
	    "  public_url: ${OMNI2_TEST_NO:-https://gw.example.org:8443/x}\n"
	    "  workers: {min_spare: 2, max_spare: 4, max: '8'}\n"
	    "limits: {idle_timeout: 5m, header_timeout: 7, head: 16k,\n"
	    "  body: 1048576}\n"
	    "auth: {token_secret: '" TOKEN "'}\n"
	    "audit: {sync: fsync, on_failure: allow, redact: []}\n"
	    "permissions: {unlisted: allow}\n"
	    "log: {level: debug}\n");
	assert_int_equal(conf.listen.n, 1);
	assert_string_equal(conf.listen.item[0], "127.0.0.1:8099");
	assert_string_equal(conf.node, "a${b}");
	assert_string_equal(conf.public_url, "https://gw.example.org:8443/x");
	assert_int_equal(conf.max_workers, 8);
	assert_int_equal(conf.idle_timeout_ms, 300000);
	assert_int_equal(conf.header_timeout_ms, 7000);
	assert_int_equal(conf.head_max, 16384);
	assert_int_equal(conf.body_max, 1048576);
	assert_string_equal(conf.token_secret, TOKEN);
	assert_int_equal(conf.audit_sync, AUDIT_SYNC_FSYNC);
	assert_int_equal(conf.audit_on_failure, AUDIT_FAIL_ALLOW);
	assert_int_equal(conf.redact.n, 0);
	assert_int_equal(conf.unlisted, UNLISTED_ALLOW);
	assert_int_equal(conf.log_level, CONF_LOG_DEBUG);
}

/* They are held against names in lower case: "case-insensitive". */
static void
test_redact_in_lower_case(void **state)
{
	load_clean("audit: {redact: ['*PassPhrase*', PIN, 'Key[A-C]']}\n");
	assert_int_equal(conf.redact.n, 3);
	assert_string_equal(conf.redact.item[0], "*passphrase*");
	assert_string_equal(conf.redact.item[1], "pin");
	assert_string_equal(conf.redact.item[2], "key[a-c]");
}

static void
test_global(void **state)
{
	load_clean("global:\n"
	    "  default_timeout_seconds: 45\n"
	    "  retry: {max_attempts: 4, delay_seconds: 0.25}\n"
	    "  auto_discovery_enabled: true\n"
	    "  discovery_interval_minutes: 0.5\n"
	    "  health_check_interval_seconds: 90\n"
	    "  blocked_tools: [execute_raw_sql, drop_*]\n"
	    "  admin_only_tools: ['*_history']\n"
	    "mcps:\n"
	    "  - {name: a, url: 'http://a/'}\n"
	    "  - {name: b, url: 'http://b/', retry: {max_attempts: 1}}\n");
	assert_int_equal(conf.default_timeout_ms, 45000);
	assert_int_equal(conf.discovery_interval_ms, 30000);
	assert_int_equal(conf.health_interval_ms, 90000);
	assert_int_equal(model.blocked_tools.n, 2);
	assert_string_equal(model.blocked_tools.v[1], "drop_*");
	assert_string_equal(model.admin_only_tools.v[0], "*_history");
	assert_int_equal(model.server[0].max_attempts, 4);
	assert_int_equal(model.server[0].retry_delay_ms, 250);
	assert_int_equal(model.server[1].max_attempts, 1);
	assert_int_equal(model.server[1].retry_delay_ms, 250);
}

static void
test_servers(void **state)
{
	const struct model_server *s;

	load_clean("mcps:\n"
	    "  - name: oracle_mcp\n"
	    "    display_name: Oracle\n"
	    "    url: https://oracle.example:8300/mcp?k=v\n"
	    "    enabled: false\n"
	    "    timeout_seconds: 1.5\n"
	    "    description: |\n      two\n      lines\n"
	    "    tags: [db, prod]\n"
	    "    tool_policy: {mode: allow_all_except, exclude: [drop_*]}\n"
	    "    role_restrictions:\n"
	    "      admin: allow_all\n"
	    "      viewer: {deny_all: true}\n"
	    "      dba: {allow_only: [get_*, '[ab]*']}\n"
	    "      qa: {deny: [x]}\n"
	    "      analyst: {allow_all_except: []}\n"
	    "    rate_limit: {requests_per_minute: 60}\n");
	s = model_find_server(&model, "default", "oracle_mcp");
	assert_non_null(s);
	assert_string_equal(s->origin.file, "test.yaml");
	assert_int_equal(s->origin.line, 2);
	assert_string_equal(s->display_name, "Oracle");
	assert_false(s->enabled);
	assert_int_equal(s->timeout_ms, 1500);
	assert_string_equal(s->description, "two\nlines\n");
	assert_int_equal(s->tags.n, 2);
	assert_int_equal(s->tool_policy, TOOL_POLICY_ALLOW_ALL_EXCEPT);
	assert_string_equal(s->tool_globs.v[0], "drop_*");
	assert_int_equal(s->n_restrictions, 5);
	assert_int_equal(s->restriction[0].mode, RESTRICT_ALLOW_ALL);
	assert_int_equal(s->restriction[1].mode, RESTRICT_DENY_ALL);
	assert_int_equal(s->restriction[2].mode, RESTRICT_ALLOW_ONLY);
	assert_string_equal(s->restriction[2].globs.v[1], "[ab]*");
	assert_int_equal(s->restriction[3].mode, RESTRICT_DENY);
	assert_int_equal(s->restriction[4].mode, RESTRICT_ALLOW_ALL_EXCEPT);
	assert_int_equal(s->restriction[4].globs.n, 0);
	assert_int_equal(s->rate_per_minute, 60);
	assert_int_equal(s->max_attempts, 2);
	assert_int_equal(s->retry_delay_ms, 1000);
}

static void
test_transports(void **state)
{
	const struct model_server *s;

	load_clean("mcps:\n"
	    "  - name: files\n"
	    "    protocol: stdio\n"
	    "    command: /usr/bin/files-mcp\n"
	    "    args: [--root, '']\n"
	    "    env: {HOME: /var/empty, EMPTY: ''}\n"
	    "    cwd: /srv\n"
	    "  - {name: s, protocol: sse, url: 'http://s/'}\n"
	    "  - {name: w, protocol: ws, url: 'wss://w/'}\n"
	    "  - {name: h, protocol: http-streamable,\n"
	    "     url: 'http://[::1]:1/'}\n");
	s = model_find_server(&model, "default", "files");
	assert_int_equal(s->transport, TRANSPORT_STDIO);
	assert_true(s->enabled);
	assert_int_equal(s->args.n, 2);
	assert_string_equal(s->args.v[1], "");
	assert_string_equal(s->env.v[0], "HOME=/var/empty");
	assert_string_equal(s->env.v[1], "EMPTY=");
	assert_string_equal(s->cwd, "/srv");
	assert_int_equal(model.server[1].transport, TRANSPORT_SSE);
	assert_int_equal(model.server[2].transport, TRANSPORT_WEBSOCKET);
	assert_int_equal(model.server[3].transport, TRANSPORT_HTTP);
}

static void
test_authentication(void **state)
{
	static const struct {
		const char		*yaml;
		enum server_auth	 auth;
		const char		*header;
	} t[] = {
		{ "type: bearer, token: abc", SERVER_AUTH_BEARER,
		    "Authorization: Bearer abc" },
		{ "type: bearer, api_key: abc", SERVER_AUTH_BEARER,
		    "Authorization: Bearer abc" },
		/* The example of RFC 7617, and the other two paddings. */
		{ "type: basic, username: Aladdin, password: open sesame",
		    SERVER_AUTH_BASIC,
		    "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "type: basic, username: a, password: b", SERVER_AUTH_BASIC,
		    "Authorization: Basic YTpi" },
		{ "type: basic, username: a, password: bc", SERVER_AUTH_BASIC,
		    "Authorization: Basic YTpiYw==" },
		{ "type: basic, username: a, password: bcd",
		    SERVER_AUTH_BASIC, "Authorization: Basic YTpiY2Q=" },
		{ "type: api_key, api_key: k", SERVER_AUTH_HEADER,
		    "X-API-Key: k" },
		{ "type: api_key, header_name: X-Mine, api_key: k",
		    SERVER_AUTH_HEADER, "X-Mine: k" },
		{ "type: custom, header_name: X-Mine, header_value: 'a b'",
		    SERVER_AUTH_HEADER, "X-Mine: a b" },
		{ "type: none", SERVER_AUTH_NONE, "" },
		{ "enabled: false, type: bearer, token_file: nowhere",
		    SERVER_AUTH_NONE, "" },
	};
	char yaml[512];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(yaml, sizeof(yaml), "mcps: [{name: a, url: "
		    "'http://a/', authentication: {%s}}]\n", t[i].yaml);
		load_clean(yaml);
		assert_int_equal(model.server[0].auth, t[i].auth);
		assert_string_equal(model.server[0].auth_header, t[i].header);
	}
}

static void
test_users(void **state)
{
	const struct model_user *u;
	const struct model_access *a;

	load_clean("mcps: [{name: db, url: 'http://a/'},\n"
	    "  {name: git, url: 'http://b/'}]\n"
	    "users:\n"
	    "  - {email: A@Example.org, name: Ann, role: dba,\n"
	    "     allowed_mcps: '*', teams: [x], slack_user_id: U1}\n"
	    "  - {email: b@example.org, role: dba, allowed_mcps: [db]}\n"
	    "  - {email: c@example.org, role: qa, active: no,\n"
	    "     rate_limit: {requests_per_hour: 0}}\n"
	    "  - email: d@example.org\n"
	    "    role: qa\n"
	    "    allowed_mcps:\n"
	    "      db: {mode: custom, tools: [get_*], deny: [get_x],\n"
	    "           resources: ['db://prod/*'], deny_resources: ['x'],\n"
	    "           prompts: []}\n"
	    "      git: '*'\n"
	    "      '*': {mode: inherit}\n"
	    "  - {email: e@example.org, role: qa, allowed_mcps: []}\n"
	    "super_admins: [{email: Root@example.org}]\n"
	    "default_user: {role: viewer, allowed_mcps: {db: {mode: all}}}\n");
	u = model_find_user(&model, "default", "a@example.org");
	assert_non_null(u);
	assert_string_equal(u->name, "Ann");
	assert_true(u->grants.given && u->grants.all);
	assert_int_equal(u->requests_per_hour, -1);
	assert_string_equal(u->slack_user_id, "U1");
	u = model_find_user(&model, "default", "b@example.org");
	assert_true(u->grants.given && !u->grants.all);
	assert_int_equal(u->grants.n, 1);
	assert_int_equal(u->grants.access[0].mode, ACCESS_INHERIT);
	u = model_find_user(&model, "default", "c@example.org");
	assert_false(u->grants.given);
	assert_false(u->active);
	assert_int_equal(u->requests_per_hour, 0);
	u = model_find_user(&model, "default", "d@example.org");
	assert_int_equal(u->grants.n, 3);
	a = &u->grants.access[0];
	assert_int_equal(a->mode, ACCESS_CUSTOM);
	assert_string_equal(a->tools.v[0], "get_*");
	assert_string_equal(a->deny.v[0], "get_x");
	assert_true(a->has_resources);
	assert_string_equal(a->resources.v[0], "db://prod/*");
	assert_string_equal(a->deny_resources.v[0], "x");
	assert_true(a->has_prompts);
	assert_int_equal(a->prompts.n, 0);
	assert_int_equal(u->grants.access[1].mode, ACCESS_ALL);
	assert_false(u->grants.access[1].has_resources);
	assert_int_equal(u->grants.access[2].mode, ACCESS_INHERIT);
	u = model_find_user(&model, "default", "e@example.org");
	assert_true(u->grants.given && !u->grants.all && u->grants.n == 0);
	u = model_find_user(&model, "default", "root@example.org");
	assert_string_equal(u->role, "super_admin");
	assert_true(u->grants.all);
	assert_true(model.has_default_user);
	assert_string_equal(model.default_user.name, "Guest User");
	assert_string_equal(model.default_user.role, "viewer");
	assert_int_equal(model.default_user.grants.access[0].mode, ACCESS_ALL);
}

static void
test_roles(void **state)
{
	const struct model_role *r;

	load_clean("roles:\n"
	    "  contractor: {description: Outside staff}\n"
	    "  dba: {rate_limit: {requests_per_hour: 7},\n"
	    "    denied_tools: [drop_*],\n"
	    "    allowed_tool_patterns: '*', allowed_mcps: '*'}\n"
	    "  ops: {admin: true, permissions:\n"
	    "    {can_bypass_tool_restrictions: true}}\n"
	    "  support: {display_name: Support}\n"
	    "  admin: {can_bypass_restrictions: true}\n");
	r = model_find_role(&model, "default", "contractor");
	assert_false(r->is_seed);
	assert_int_equal(r->requests_per_hour, 20);
	assert_string_equal(r->description, "Outside staff");
	r = model_find_role(&model, "default", "dba");
	assert_int_equal(r->requests_per_hour, 7);
	assert_string_equal(r->denied_tools.v[0], "drop_*");
	assert_string_equal(r->allowed_tools.v[0], "*");
	assert_true(r->grants.all);
	assert_false(r->is_admin);
	r = model_find_role(&model, "default", "ops");
	assert_true(r->is_admin && r->is_super);
	r = model_find_role(&model, "default", "support");
	assert_int_equal(r->requests_per_hour, MODEL_REQUESTS_PER_HOUR);
	assert_false(r->is_admin || r->is_super);
	r = model_find_role(&model, "default", "admin");
	assert_true(r->is_admin && r->is_super);
	r = model_find_role(&model, "default", "qa");
	assert_true(r->is_seed);
}

static void
write_file(const char *file, const char *content)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Beside the file, in $CREDENTIALS_DIRECTORY before that, and absolute. */
static void
test_secret_files(void **state)
{
	char dir[] = "/tmp/omni2-test-XXXXXX", path[64], yaml[256];

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("creds", 0700), 0);
	write_file("token", "beside-" TOKEN "\r\n");
	write_file("creds/token", "creds-" TOKEN "\n");
	write_file("only", "postgresql:///x");
	snprintf(yaml, sizeof(yaml), "auth: {token_secret_file: token}\n"
	    "database: {url_file: %s/only}\n", dir);
	write_file("omni2.yaml", yaml);
	assert_int_equal(load_file("omni2.yaml"), 0);
	assert_string_equal(conf.token_secret, "beside-" TOKEN);
	assert_string_equal(conf.database_url, "postgresql:///x");
	assert_int_equal(strncmp(conf.file, "/", 1), 0);
	snprintf(path, sizeof(path), "%s/creds", dir);
	setenv("CREDENTIALS_DIRECTORY", path, 1);
	assert_int_equal(load_file("omni2.yaml"), 0);
	assert_string_equal(conf.token_secret, "creds-" TOKEN);
	assert_int_equal(unlink("creds/token"), 0);
	assert_int_equal(load_file("omni2.yaml"), 0);
	assert_string_equal(conf.token_secret, "beside-" TOKEN);
	assert_int_equal(unlink("token"), 0);
	assert_int_equal(load_file("omni2.yaml"), -1);
	assert_non_null(strstr(text.p, "cannot read \"token\""));
	unlink("only");
	unlink("omni2.yaml");
	rmdir("creds");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void
test_missing_main_file(void **state)
{
	assert_int_equal(load_file("/nonexistent/omni2.yaml"), -1);
	assert_string_equal(text.p,
	    "/nonexistent/omni2.yaml: No such file or directory\n");
	assert_int_equal(load_file("/"), -1);
	assert_string_equal(text.p, "/: not a regular file\n");
}

/* From memory no other file is opened. */
static void
test_memory_only(void **state)
{
	assert_int_equal(load_text("include: /etc/passwd\n"
	    "auth: {token_secret_file: /etc/passwd}\n"), -1);
	assert_int_equal(report.errors, 2);
	assert_non_null(strstr(text.p, "files cannot be read here"));
}

/* A value of the environment cannot become YAML or another variable. */
static void
test_no_injection(void **state)
{
	setenv("OMNI2_TEST_YAML", "a\nlog: {level: debug}", 1);
	setenv("OMNI2_TEST_TWICE", "${OMNI2_TEST_YAML}", 1);
	load_clean("mcps: [{name: a, url: 'http://a/', description: "
	    "'${OMNI2_TEST_YAML}'}]\nstdio: {user: '${OMNI2_TEST_TWICE}'}\n");
	assert_int_equal(conf.log_level, CONF_LOG_INFO);
	assert_string_equal(model.server[0].description,
	    "a\nlog: {level: debug}");
	assert_string_equal(conf.stdio_user, "${OMNI2_TEST_YAML}");
}

static void
test_diff(void **state)
{
	struct conf a, b;

	conf_defaults(&a);
	conf_defaults(&b);
	assert_int_equal(conf_diff_restart(&a, &b, &text), 0);
	b.queue_max++;				/* restart */
	b.page_size++;				/* reload */
	b.audit_sync = AUDIT_SYNC_FSYNC;	/* reload */
	strcpy(b.run_dir, "/tmp");		/* restart */
	strcpy(b.listen.item[0], "*:1");	/* restart */
	assert_int_equal(conf_diff_restart(&a, &b, &text), 3);
	buf_add_char(&text, '\0');
	assert_string_equal(text.p,
	    "server.listen\nserver.run_dir\nserver.queue\n");
	conf_defaults(&b);
	b.listen.n = 0;
	assert_int_equal(conf_diff_restart(&a, &b, &text), 1);
}

static void
test_suggest(void **state)
{
	static const struct {
		const char	*word, *candidate;
		bool		 found;
	} t[] = {
		{ "transprt", "transport", true },
		{ "lisetn", "listen", true },
		{ "Read-Only", "read_only", true },
		{ "url", "uri", true },
		{ "ab", "xy", false },
		{ "queue", "connections", false },
		{ "", "a", false },
		{ "a", "", false },
	};
	char out[SUGGEST_TEXT], wanted[SUGGEST_TEXT];
	struct suggest s;
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		suggest_begin(&s, t[i].word);
		suggest_offer(&s, t[i].candidate);
		snprintf(wanted, sizeof(wanted), "; did you mean \"%s\"?",
		    t[i].candidate);
		assert_string_equal(suggest_text(&s, out, sizeof(out)),
		    t[i].found ? wanted : "");
	}
	suggest_begin(&s, "max_spar");
	suggest_offer(&s, "min_spare");
	suggest_offer(&s, "max_spare");
	suggest_offer(&s, "max");
	assert_string_equal(s.best, "max_spare");
}

static void
test_report(void **state)
{
	conf_report_add(&report, true, "b", 1, 1, "x");
	conf_report_add(&report, false, "a", 2, 9, "w");
	conf_report_add(&report, true, "a", 10, 1, "y");
	conf_report_add(&report, true, "a", 2, 1, "z\n");
	conf_report_add(&report, true, "a", 2, 1, "z\n");
	conf_report_add(&report, true, NULL, 0, 0, "n");
	assert_int_equal(report.errors, 5);
	conf_report_sort(&report);
	assert_int_equal(report.errors, 4);
	assert_int_equal(report.n, 5);
	conf_report_add(&report, true, "c", 1, 0, "added after sorting");
	conf_report_print(&report, &text);
	buf_add_char(&text, '\0');
	assert_string_equal(text.p, "n\na:2:1: z\\x0a\na:2:9: warning: w\n"
	    "a:10:1: y\nb:1:1: x\nc:1: added after sorting\n");
}

/* Every setting stands in the sample, in a comment or not. */
static void
test_sample_is_complete(void **state)
{
	char *sample = xmalloc(TEXT_MAX), name[128];
	const char *key;
	bool found;
	size_t i;

	enter("conf");
	assert_true(fdio_read_file("omni2.yaml", sample, TEXT_MAX) > 0);
	for (i = 0; i < conf_n_keys; i++) {
		key = strrchr(conf_keys[i].path, '.') + 1;
		snprintf(name, sizeof(name), " %s:", key);
		found = strstr(sample, name) != NULL;
		name[0] = '#';
		if (!found && strstr(sample, name) == NULL)
			fail_msg("conf/omni2.yaml lacks %s",
			    conf_keys[i].path);
	}
	free(sample);
}

static void
test_sample_loads(void **state)
{
	enter("conf");
	setenv("OMNI2_DATABASE_URL", "postgresql:///omni2", 1);
	setenv("OMNI2_TOKEN_SECRET", TOKEN, 1);
	if (load_file("omni2.yaml") < 0 || report.n > 0)
		fail_msg("findings:\n%s", text.p);
	model_check(&model, &report);
	assert_int_equal(report.n, 0);
	assert_true(model.n_servers > 0);
	assert_true(model.n_users > 0);
	/* What the comments show must be true as well. */
	unsetenv("OMNI2_TOKEN_SECRET");
	assert_int_equal(load_file("omni2.yaml"), -1);
	assert_non_null(strstr(text.p, "OMNI2_TOKEN_SECRET"));
}

/* The commented-out settings are the defaults: switched on, all is equal. */
static void
uncomment(const char *sample, struct buf *out)
{
	const char *line, *end, *p;

	for (line = sample; *line != '\0'; line = end + 1) {
		if ((end = strchr(line, '\n')) == NULL)
			break;
		p = line + strspn(line, " ");
		/* "#key:" is a setting, "# Text" is prose. */
		if (*p == '#' && p[1] != ' ' && p[1] != '\n') {
			buf_add(out, line, (size_t)(p - line));
			buf_add(out, p + 1, (size_t)(end - p));
		} else
			buf_add(out, line, (size_t)(end - line) + 1);
	}
}

static void
test_sample_shows_defaults(void **state)
{
	char *sample = xmalloc(TEXT_MAX);
	struct conf defaults;
	struct buf yaml;

	enter("conf");
	/* Refused, which leaves the default. */
	setenv("OMNI2_DATABASE_URL", "none", 1);
	setenv("OMNI2_TOKEN_SECRET", TOKEN, 1);
	assert_true(fdio_read_file("omni2.yaml", sample, TEXT_MAX) > 0);
	buf_init(&yaml, TEXT_MAX);
	uncomment(strstr(sample, "\nserver:"), &yaml);
	buf_add_char(&yaml, '\0');
	load_text(yaml.p);
	if (report.n != 1 || strstr(text.p, "database.url") == NULL)
		fail_msg("findings:\n%s", text.p);
	conf_defaults(&defaults);
	memset(conf.token_secret, 0, sizeof(conf.token_secret));
	assert_memory_equal(&conf, &defaults, sizeof(conf));
	buf_free(&yaml);
	free(sample);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_golden), T(test_defaults), T(test_settings),
		T(test_redact_in_lower_case),
		T(test_global), T(test_servers), T(test_transports),
		T(test_authentication),
		T(test_users), T(test_roles), T(test_secret_files),
		T(test_missing_main_file), T(test_memory_only),
		T(test_no_injection), T(test_diff), T(test_suggest),
		T(test_report), T(test_sample_is_complete),
		T(test_sample_loads), T(test_sample_shows_defaults),
	};
	const char *dir = getenv("srcdir");
	int rv;

	source_dir = realpath(dir != NULL ? dir : ".", NULL);
	rv = cmocka_run_group_tests(tests, NULL, NULL);
	free(source_dir);
	return rv;
}
