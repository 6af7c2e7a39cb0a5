/*
 * omni2ctl -- administration of omni2 from the command line.
 * This file: global options, finding the command, the ways to end.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "ctl/call.h"
#include "ctl/screen.h"

const struct command ctl_commands[] = {
#define CMD(name, args, help, fn, where) { name, args, help, fn, where },
#include "ctl/commands.def"
#undef CMD
	{ .name = NULL }
};

static const struct {
	const char *command, *name, *values, *help;
} options[] = {
#define OPT(command, name, values, help) { command, name, values, help },
#include "ctl/options.def"
#undef OPT
	{ NULL, NULL, NULL, NULL }
};

#define WIDTH		78
#define DISK_IS_FULL	65536	/* bytes that are free */

static struct ctl ctl;
static const struct command *current;

static const char synopsis[] =
    "usage: omni2ctl [-c file | --url URL [--token-file file] [--cacert file]]\n"
    "                [-o table|json|yaml] command [argument ...]\n";

/* Does the command belong to this group ("user"), or is it the command? */
static bool
is_in_group(const struct command *c, const char *group)
{
	size_t n = strlen(group);

	return strncmp(c->name, group, n) == 0 &&
	    (c->name[n] == ' ' || c->name[n] == '\0');
}

/* All commands, or those of a group. */
static void
print_commands(FILE *f, const char *group)
{
	const struct command *c;

	if (group == NULL)
		fputs(synopsis, f);
	else
		fprintf(f, "usage: omni2ctl [-c file] [-o table|json|yaml] %s "
		    "command [argument ...]\n", group);
	fputs("\ncommands:\n", f);
	for (c = ctl_commands; c->name != NULL; c++)
		if (group == NULL || is_in_group(c, group))
			fprintf(f, "  %-14s  %s\n", c->name, c->help);
	if (group == NULL)
		fputs("\noptions:\n"
		    "  -c file         configuration ("
		    OMNI2_SYSCONFDIR "/omni2.yaml)\n"
		    "  -o FORM         of the output: table, json or yaml\n"
		    "  --url URL       administrate the omni2 there "
		    "(OMNI2_URL)\n"
		    "  --token-file F  an administrator's API key or token "
		    "(or OMNI2_TOKEN)\n"
		    "  --cacert F      certificates to trust there\n"
		    "  -h, --help      this text, or that of a command\n"
		    "  -V, --version   print the version\n", f);
	fputs("\n\"omni2ctl COMMAND --help\" shows the arguments of a "
	    "command.\n", f);
}

/* Bytes of the next piece: up to a space outside of brackets. */
static size_t
piece(const char *s)
{
	int depth = 0;
	size_t n;

	for (n = 0; s[n] != '\0' && (s[n] != ' ' || depth > 0); n++)
		depth += s[n] == '[' ? 1 : s[n] == ']' ? -1 : 0;
	return n;
}

static void
print_usage(FILE *f, const struct command *c)
{
	const char *s = c->args;
	size_t n, column;
	int indent;

	indent = fprintf(f, "usage: omni2ctl %s", c->name);
	column = (size_t)indent;
	for (; *s != '\0'; s += n, s += *s == ' ') {
		n = piece(s);
		if (column + 1 + n > WIDTH) {
			fprintf(f, "\n%*s", indent, "");
			column = (size_t)indent;
		}
		fprintf(f, " %.*s", (int)n, s);
		column += 1 + n;
	}
	fputc('\n', f);
}

/* The synopsis names the option, and not just a longer one. */
static bool
takes_option(const struct command *c, const char *name)
{
	const char *at = c->args;
	size_t n = strlen(name);

	while ((at = strstr(at, name)) != NULL) {
		if ((at == c->args || at[-1] == ' ' || at[-1] == '[') &&
		    (at[n] == ' ' || at[n] == ']' || at[n] == '\0'))
			return true;
		at += n;
	}
	return false;
}

static void
print_help(FILE *f, const struct command *c)
{
	bool any = false;
	size_t i;

	print_usage(f, c);
	fprintf(f, "\n%s\n", c->help);
	for (i = 0; options[i].name != NULL; i++) {
		if (!is_in_group(c, options[i].command) ||
		    !takes_option(c, options[i].name))
			continue;
		fprintf(f, "%s  %-12s  %s\n", any ? "" : "\n", options[i].name,
		    options[i].help);
		any = true;
	}
}

void
ctl_usage(const struct ctl *c)
{
	if (current != NULL)
		print_usage(stderr, current);
	else
		fprintf(stderr, "%s\"omni2ctl --help\" lists the commands\n",
		    synopsis);
	exit(EXIT_USAGE);
}

void
ctl_fail(enum ctl_exit status, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("omni2ctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (status == EXIT_USAGE && current != NULL)
		fprintf(stderr, "\"omni2ctl %s --help\" shows the arguments\n",
		    current->name);
	exit(status);
}

/* Did a statement fail because the tables are others? Asked after a failure. */
static bool
schema_is_other(struct err *e)
{
	return db_is_ok(ctl.db) && store_schema_check(ctl.db, e) < 0 &&
	    db_is_ok(ctl.db);
}

void
ctl_fail_err(const struct err *e)
{
	enum ctl_exit status = EXIT_FAILED;
	struct err schema;

	if (e->code == ERR_UNAVAILABLE && schema_is_other(&schema))
		ctl_fail(schema.code == ERR_VERSION ? EXIT_CONFLICT :
		    EXIT_SCHEMA, "%s", schema.text);
	if (e->code == ERR_NOTFOUND)
		status = EXIT_NOT_FOUND;
	else if (e->code == ERR_CONFLICT || e->code == ERR_VERSION)
		status = EXIT_CONFLICT;
	else if (e->code == ERR_DENIED)
		status = EXIT_DENIED;
	else if (e->code == ERR_INVALID || e->code == ERR_PARSE ||
	    e->code == ERR_BADREQ)
		status = EXIT_USAGE;
	else if (e->code == ERR_CONFIG)
		status = EXIT_CONFIG;
	else if (e->code == ERR_UNAVAILABLE || e->code == ERR_UPSTREAM ||
	    e->code == ERR_TIMEOUT)
		status = EXIT_UNREACHABLE;
	ctl_fail(status, "%s", e->text);
}

void
ctl_fail_file(const char *path)
{
	if (errno == ENOSPC || errno == EDQUOT)
		ctl_fail(EXIT_FULL, "%s: %s; make room there", path,
		    strerror(errno));
	ctl_fail(errno == EACCES || errno == EPERM ? EXIT_DENIED : EXIT_FAILED,
	    "%s: %s", path, strerror(errno));
}

void
ctl_fail_program(const char *path, const char *fmt, ...)
{
	struct statvfs v;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (statvfs(path, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize <
	    DISK_IS_FULL)
		ctl_fail(EXIT_FULL, "%s; the disk of %s is full: make room "
		    "there", text, path);
	ctl_fail(EXIT_FAILED, "%s", text);
}

/* "user" and "add", or one word; the words are taken off argv. */
static const struct command *
find_command(struct ctl *c)
{
	const struct command *k;
	char two[64];

	if (c->argc == 0)
		return NULL;
	if (c->argc > 1) {
		snprintf(two, sizeof(two), "%s %s", c->argv[0], c->argv[1]);
		for (k = ctl_commands; k->name != NULL; k++)
			if (strcmp(k->name, two) == 0) {
				c->argv += 2;
				c->argc -= 2;
				return k;
			}
	}
	for (k = ctl_commands; k->name != NULL; k++)
		if (strcmp(k->name, c->argv[0]) == 0) {
			c->argv++;
			c->argc--;
			return k;
		}
	return NULL;
}

static bool
is_group(const char *word)
{
	const struct command *c;
	size_t n = strlen(word);

	for (c = ctl_commands; c->name != NULL; c++)
		if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ')
			return true;
	return false;
}

static bool
is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* What argv names is no command: a group, or nothing. */
static void
no_command(const struct ctl *c)
{
	const char *word = c->argv[0];

	if (!is_group(word))
		ctl_fail(EXIT_USAGE, "there is no command \"%s\"; \"omni2ctl "
		    "--help\" lists them", word);
	if (c->argc > 1 && is_help(c->argv[1])) {
		print_commands(stdout, word);
		exit(EXIT_OK);
	}
	if (c->argc > 1)
		ctl_fail(EXIT_USAGE, "there is no command \"%s %s\"; "
		    "\"omni2ctl %s --help\" lists them", word, c->argv[1],
		    word);
	print_commands(stderr, word);
	exit(EXIT_USAGE);
}

/* "omni2ctl help", "help user", "help user add" */
static void
help(struct ctl *c)
{
	const struct command *k;

	c->argc--;
	c->argv++;
	if (c->argc == 0)
		print_commands(stdout, NULL);
	else if ((k = find_command(c)) != NULL)
		print_help(stdout, k);
	else if (c->argc == 1 && is_group(c->argv[0]))
		print_commands(stdout, c->argv[0]);
	else
		no_command(c);
	exit(EXIT_OK);
}

static void
set_format(struct ctl *c, const char *format)
{
	if (strcmp(format, "json") != 0 && strcmp(format, "table") != 0 &&
	    strcmp(format, "yaml") != 0)
		ctl_fail(EXIT_USAGE, "-o takes table, json or yaml, not \"%s\"",
		    format);
	c->yaml = *format == 'y';
	c->json = *format != 't';
}

/* "--url value" or "--url=value"; taken off. */
static bool
is_remote_option(struct ctl *c, const char *option)
{
	size_t n = strcspn(option, "=");
	const char *name = ctl_text("%.*s", (int)n, option);
	int words = option[n] == '=' ? 1 : 2;

	if (words > c->argc)
		ctl_fail(EXIT_USAGE, "%s needs a value", name);
	if (!remote_option(c, name, words == 1 ? option + n + 1 : c->argv[1]))
		return false;
	c->argc -= words;
	c->argv += words;
	return true;
}

/* Some commands are about this machine, whatever --url says. */
static void
check_place(const struct ctl *c)
{
	if (c->url == NULL || current->where == ANYWHERE)
		return;
	ctl_fail(EXIT_USAGE, "%s works on the machine of omni2d only; run it "
	    "there%s", current->name, c->url_from_environment ?
	    ", or unset OMNI2_URL if this is that machine" :
	    ", without --url");
}

static void
global_options(struct ctl *c)
{
	while (c->argc > 0 && c->argv[0][0] == '-') {
		const char *o = c->argv[0];

		if (is_help(o)) {
			print_commands(stdout, NULL);
			exit(EXIT_OK);
		}
		if (strcmp(o, "-V") == 0 || strcmp(o, "--version") == 0) {
			puts("omni2ctl " PACKAGE_VERSION);
			exit(EXIT_OK);
		}
		if (strncmp(o, "--", 2) == 0 && is_remote_option(c, o))
			continue;
		if (strcmp(o, "-c") != 0 && strcmp(o, "-o") != 0) {
			fprintf(stderr, "omni2ctl: unknown option %s\n", o);
			ctl_usage(c);
		}
		if (c->argc < 2)
			ctl_fail(EXIT_USAGE, "%s needs a value", o);
		if (o[1] == 'c')
			c->conf_path = c->argv[1];
		else
			set_format(c, c->argv[1]);
		c->argc -= 2;
		c->argv += 2;
	}
}

int
main(int argc, char **argv)
{
	const char *format;

	atexit(screen_flush);		/* the first is the last to run */
	log_init("omni2ctl");
	log_set_level(LOG_LEVEL_WARN);
	ctl.conf_path = OMNI2_SYSCONFDIR "/omni2.yaml";
	ctl.argc = argc - 1;
	ctl.argv = argv + 1;
	global_options(&ctl);
	if (ctl.argc == 0) {
		print_commands(stderr, NULL);
		return EXIT_USAGE;
	}
	if (strcmp(ctl.argv[0], "help") == 0)
		help(&ctl);
	current = find_command(&ctl);
	if (current == NULL)
		no_command(&ctl);
	if (args_flag(&ctl, "--help") || args_flag(&ctl, "-h")) {
		print_help(stdout, current);
		return EXIT_OK;
	}
	remote_environment(&ctl);
	check_place(&ctl);
	/* kubectl's habit: -o behind the command */
	format = args_value(&ctl, "-o");
	if (format != NULL)
		set_format(&ctl, format);
	if (takes_option(current, "--watch"))
		screen_watch(&ctl);
	if (ctl.yaml)
		screen_yaml_begin();
	return current->run(&ctl);
}
