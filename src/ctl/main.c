/*
 * omni2ctl -- administration of omni2 from the command line.
 * This file: global options, finding the command, the ways to end.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ctl/ctl.h"

const struct command ctl_commands[] = {
#define CMD(name, args, help, fn) { name, args, help, fn },
#include "ctl/commands.def"
#undef CMD
	{ NULL, NULL, NULL, NULL }
};

static const struct command *current;

static void
print_commands(FILE *f)
{
	const struct command *c;

	fputs("usage: omni2ctl [-c file] [-o table|json] command [argument ...]\n"
	    "\ncommands:\n", f);
	for (c = ctl_commands; c->name != NULL; c++)
		fprintf(f, "  %-14s %s\n", c->name, c->help);
	fputs("\n\"omni2ctl command --help\" shows the arguments of one.\n", f);
}

void
ctl_usage(const struct ctl *ctl)
{
	if (current != NULL)
		fprintf(stderr, "usage: omni2ctl %s %s\n", current->name,
		    current->args);
	else
		print_commands(stderr);
	exit(EXIT_USAGE);
}

void
ctl_fail(enum ctl_exit status, const char *fmt, ...)
{
	va_list ap;

	fputs("omni2ctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

void
ctl_fail_err(const struct err *e)
{
	enum ctl_exit status = EXIT_FAILED;

	if (e->code == ERR_NOTFOUND)
		status = EXIT_NOT_FOUND;
	else if (e->code == ERR_CONFLICT)
		status = EXIT_CONFLICT;
	else if (e->code == ERR_DENIED)
		status = EXIT_DENIED;
	else if (e->code == ERR_UNAVAILABLE || e->code == ERR_UPSTREAM ||
	    e->code == ERR_TIMEOUT)
		status = EXIT_UNREACHABLE;
	ctl_fail(status, "%s", e->text);
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

/* "omni2ctl user": the commands of that group. */
static void
print_group(const char *word)
{
	const struct command *c;
	size_t n = strlen(word);
	bool any = false;

	for (c = ctl_commands; c->name != NULL; c++)
		if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ') {
			fprintf(stderr, "%s omni2ctl %s %s\n",
			    any ? "      " : "usage:", c->name, c->args);
			any = true;
		}
	if (!any)
		fprintf(stderr, "omni2ctl: there is no command \"%s\"; "
		    "\"omni2ctl --help\" lists them\n", word);
	exit(EXIT_USAGE);
}

static void
global_options(struct ctl *c)
{
	while (c->argc > 0 && c->argv[0][0] == '-') {
		const char *o = c->argv[0];
		const char *v = c->argc > 1 ? c->argv[1] : NULL;

		if (strcmp(o, "-h") == 0 || strcmp(o, "--help") == 0) {
			print_commands(stdout);
			exit(EXIT_OK);
		}
		if (strcmp(o, "-V") == 0 || strcmp(o, "--version") == 0) {
			puts("omni2ctl " PACKAGE_VERSION);
			exit(EXIT_OK);
		}
		if (v == NULL || (strcmp(o, "-c") != 0 && strcmp(o, "-o") != 0))
			ctl_usage(c);
		if (o[1] == 'c')
			c->conf_path = v;
		else if (strcmp(v, "json") == 0)
			c->json = true;
		else if (strcmp(v, "table") != 0)
			ctl_fail(EXIT_USAGE, "-o takes table or json");
		c->argc -= 2;
		c->argv += 2;
	}
}

int
main(int argc, char **argv)
{
	static struct ctl c;
	const char *format;

	log_init("omni2ctl");
	log_set_level(LOG_LEVEL_WARN);
	c.conf_path = OMNI2_SYSCONFDIR "/omni2.yaml";
	c.argc = argc - 1;
	c.argv = argv + 1;
	global_options(&c);
	if (c.argc == 0)
		ctl_usage(&c);
	current = find_command(&c);
	if (current == NULL)
		print_group(c.argv[0]);
	if (args_flag(&c, "--help") || args_flag(&c, "-h")) {
		printf("usage: omni2ctl %s %s\n%s\n", current->name,
		    current->args, current->help);
		return EXIT_OK;
	}
	/* kubectl's habit: -o behind the command */
	format = args_value(&c, "-o");
	if (format != NULL && strcmp(format, "json") == 0)
		c.json = true;
	return current->run(&c);
}
