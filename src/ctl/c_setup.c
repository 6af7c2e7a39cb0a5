/*
 * c_setup -- omni2ctl setup: from installed to running.
 *
 * This file: arguments, the order of the steps, the service, the last words.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ready.h"
#include "ctl/run.h"
#include "ctl/screen.h"
#include "ctl/setup.h"

#define READY_MS	30000
#define UNIT		"omni2.service"
#define SOCKET		"omni2.socket"

static struct setup *key_is_in;		/* until the key was shown */

static void
say(struct setup *s, const char *state, const char *text)
{
	table_row(s->steps, state, text);
	if (!s->c->json) {
		printf("%-5s  %s\n", state, text);
		fflush(stdout);
	}
}

bool
setup_begin(struct setup *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->doing, sizeof(s->doing), fmt, ap);
	va_end(ap);
	s->n_done++;
	if (s->dry)
		say(s, "would", s->doing);
	else
		screen_progress("%s", s->doing);
	return !s->dry;
}

void
setup_done(struct setup *s)
{
	screen_progress(NULL);
	say(s, "done", s->doing);
}

void
setup_ok(struct setup *s, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(s, "ok", text);
}

static void
read_args(struct setup *s, struct ctl *c)
{
	s->c = c;
	s->database = args_value(c, "--database");
	s->local = args_flag(c, "--local");
	s->listen = args_value(c, "--listen");
	s->admin = args_value(c, "--admin");
	s->dry = args_flag(c, "--dry-run");
	s->no_start = args_flag(c, "--no-start");
	args_done(c, 0, 0);
	if (s->database != NULL && s->local)
		ctl_fail(EXIT_USAGE, "give either --database or --local");
	if (s->admin != NULL) {
		s->admin = ctl_email(s->admin);
		if (strchr(s->admin, '@') == NULL)
			ctl_fail(EXIT_USAGE, "--admin: \"%s\" is not an e-mail "
			    "address", s->admin);
	}
}

/* ---- the service --------------------------------------------------------- */

static int
systemctl(const char *verb, const char *option, const char *unit)
{
	struct run r = { .in = -1, .out = -1 };
	int n = 0;

	r.argv[n++] = "systemctl";
	r.argv[n++] = verb;
	if (option != NULL)
		r.argv[n++] = option;
	r.argv[n] = unit;
	r.quiet = strcmp(verb, "cat") == 0;
	return run_program(&r);
}

static bool
has_unit(void)
{
	return access("/run/systemd/system", F_OK) == 0 &&
	    run_find("systemctl") != NULL && systemctl("cat", NULL, UNIT) == 0;
}

static bool
is_running(struct setup *s)
{
	struct buf out;
	bool is;

	buf_init(&out, 4096);
	is = s->loaded && ctl_ask(s->c, "ping", &out, NULL) == 1;
	buf_free(&out);
	return is;
}

/* Another program on the port would keep the daemon from starting. */
static void
check_port(struct setup *s)
{
	struct err e;

	if (s->loaded && !is_running(s) && !run_unit_is_active(SOCKET) &&
	    !ready_may_listen(&s->c->conf, &e))
		ctl_fail(EXIT_CONFLICT, "server.listen: %s", e.text);
}

static void
no_service(struct setup *s, bool has_changed)
{
	const char *option = strcmp(s->c->conf_path, OMNI2_SYSCONFDIR
	    "/omni2.yaml") == 0 ? "" : ctl_text(" -c %s", s->c->conf_path);

	if (is_running(s))
		setup_ok(s, has_changed ? "omni2d is running with the settings "
		    "before; start it again" : "omni2d is running");
	else
		setup_ok(s, "there is no systemd with " UNIT " here; start the "
		    "daemon with: omni2d%s", option);
}

static void __attribute__((noreturn))
not_started(const char *verb, const char *unit)
{
	ctl_fail(EXIT_FAILED, "systemd could not %s %s; \"systemctl status "
	    "%s\" says why", verb, unit, unit);
}

/* systemd holds the default address, so a restart refuses nobody. Another
 * one is opened by the daemon. */
static void
start_socket(struct setup *s)
{
	static struct conf defaults;

	conf_defaults(&defaults);
	if (memcmp(&s->c->conf.listen, &defaults.listen,
	    sizeof(defaults.listen)) != 0 ||
	    systemctl("cat", NULL, SOCKET) != 0 ||
	    systemctl("is-active", "--quiet", SOCKET) == 0)
		return;
	if (!setup_begin(s, "enable and start " SOCKET))
		return;
	if (systemctl("enable", "--now", SOCKET) != 0)
		not_started("start", SOCKET);
	setup_done(s);
}

static void
start_service(struct setup *s, bool has_changed)
{
	bool is_active = systemctl("is-active", "--quiet", UNIT) == 0;
	const char *verb = is_active && has_changed ? "restart" : NULL;

	if (!is_active)
		start_socket(s);
	if (systemctl("is-enabled", "--quiet", UNIT) != 0 || !is_active) {
		if (setup_begin(s, "enable and start " UNIT)) {
			if (systemctl("enable", "--now", UNIT) != 0)
				not_started("start", UNIT);
			setup_done(s);
		}
	} else if (verb == NULL)
		setup_ok(s, UNIT " is enabled and running");
	if (verb != NULL && setup_begin(s, "restart " UNIT)) {
		if (systemctl(verb, NULL, UNIT) != 0)
			not_started(verb, UNIT);
		setup_done(s);
	}
}

/* True if it answers; false if there is nobody to wait for. */
static bool
wait_ready(struct setup *s)
{
	int status;

	if (!s->loaded || s->dry)
		return false;
	if (!has_unit() && !is_running(s))
		return false;
	screen_progress("waiting for %s/health/ready",
	    ready_url(&s->c->conf));
	status = ready_wait(&s->c->conf, clock_mono_ms() + READY_MS);
	screen_progress(NULL);
	if (status < 0)
		ctl_fail(EXIT_UNREACHABLE, "nobody answers on %s; \"systemctl "
		    "status omni2\" and \"journalctl -u omni2\" say why",
		    s->c->conf.listen.item[0]);
	if (status != 200)
		ctl_fail(EXIT_UNREACHABLE, "omni2d runs, but is not ready: %s; "
		    "\"omni2ctl doctor\" says how to mend it",
		    ready_why_not(&s->c->conf));
	setup_ok(s, "%s/health/ready answers 200", ready_url(&s->c->conf));
	return true;
}

/* ---- last words ---------------------------------------------------------- */

static void
print_json(struct setup *s, bool is_ready)
{
	struct json_out j;
	struct buf b;

	buf_init(&b, 1u << 20);
	json_out_init(&j, &b);
	json_object_begin(&j, NULL);
	json_put_bool(&j, "dry_run", s->dry);
	json_put_bool(&j, "ready", is_ready);
	json_put_str(&j, "url", s->loaded ?
	    ctl_text("%s/mcp", ready_url(&s->c->conf)) : NULL);
	json_put_str(&j, "admin", s->admin);
	json_put_str(&j, "key", s->key);
	table_json(s->steps, &j, "steps");
	json_object_end(&j);
	printf("%.*s\n", (int)b.n, b.p);
	explicit_bzero(b.p, b.n);
	buf_free(&b);
}

/* Also when what comes behind it fails: nobody can see it again. */
static void
show_key(void)
{
	struct setup *s = key_is_in;

	key_is_in = NULL;
	if (s == NULL || s->key == NULL)
		return;
	if (s->c->json)
		print_json(s, false);
	else
		printf("\nAPI key of %s; it is shown this once:\n  %s\n",
		    s->admin, s->key);
}

static void
print_next(struct setup *s, bool is_ready)
{
	if (s->dry) {
		printf("\n%s\n", s->n_done == 0 ? "Nothing is left to do." :
		    "Nothing was changed.");
		return;
	}
	show_key();
	printf("\nMCP clients reach omni2%s at\n  %s/mcp\n\nTo try next:\n",
	    is_ready ? "" : ", once it runs,", ready_url(&s->c->conf));
	puts("  omni2ctl doctor\n"
	    "  omni2ctl server add NAME --url http://HOST:PORT/mcp\n"
	    "  omni2ctl user add EMAIL --role developer --allow NAME\n"
	    "  omni2ctl key create EMAIL");
}

int
ctl_setup(struct ctl *c)
{
	static const char *const columns[] = { "state", "step", NULL };
	static struct setup s;
	unsigned before;
	bool has_changed;
	bool is_ready;

	s.steps = table_new(columns);
	read_args(&s, c);
	key_is_in = &s;
	atexit(show_key);
	setup_read(&s);
	setup_check(&s);
	setup_make_local(&s);
	setup_connect(&s);
	before = s.n_done;
	setup_write(&s);
	has_changed = s.n_done > before;
	setup_migrate(&s);
	setup_admin(&s);
	if (!s.no_start)
		check_port(&s);
	if (s.no_start)
		setup_ok(&s, "the service is left as it is (--no-start)");
	else if (has_unit())
		start_service(&s, has_changed);
	else
		no_service(&s, has_changed);
	is_ready = !s.no_start && wait_ready(&s);
	if (c->json) {
		key_is_in = NULL;
		print_json(&s, is_ready);
	} else
		print_next(&s, is_ready);
	table_free(&s.steps);
	return EXIT_OK;
}
