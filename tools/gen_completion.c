/*
 * gen_completion -- writes completion of omni2ctl for a shell, from the same
 * tables as the program itself (commands.def, options.def).
 *
 *	gen_completion bash|zsh|fish >file
 *
 * Runs at build time and is not installed. What it writes asks nobody: names
 * of users and servers are not completed, because that would take a database
 * connection at each key stroke.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name, *args, *help;
} commands[] = {
#define CMD(name, args, help, fn, where) { name, args, help },
#include "ctl/commands.def"
#undef CMD
};

static const struct option {
	const char *command, *name, *values, *help;
} options[] = {
#define OPT(command, name, values, help) { command, name, values, help },
#include "ctl/options.def"
#undef OPT
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Length of the group's name; 0: a command of one word. */
static size_t
group_length(const struct command *c)
{
	const char *space = strchr(c->name, ' ');

	return space == NULL ? 0 : (size_t)(space - c->name);
}

static bool
is_first_of_group(size_t i)
{
	size_t n = group_length(&commands[i]), j;

	for (j = 0; n > 0 && j < i; j++)
		if (strncmp(commands[j].name, commands[i].name, n + 1) == 0)
			return false;
	return true;
}

/* Is its argument a file? Those are commands of one word. */
static bool
takes_file(const struct command *c)
{
	return strncmp(c->args, "FILE", 4) == 0;
}

/* "backup | restore" */
static void
put_file_commands(void)
{
	bool any = false;
	size_t i;

	for (i = 0; i < COUNT(commands); i++)
		if (takes_file(&commands[i])) {
			printf("%s%s", any ? " | " : "", commands[i].name);
			any = true;
		}
}

/* What follows the option in the synopsis; NULL: the command has it not. */
static const char *
behind_option(const struct command *c, const struct option *o)
{
	size_t n = strlen(o->name), group = strlen(o->command);
	const char *at = c->args;

	if (strncmp(c->name, o->command, group) != 0 ||
	    (c->name[group] != ' ' && c->name[group] != '\0'))
		return NULL;
	while ((at = strstr(at, o->name)) != NULL) {
		if ((at == c->args || at[-1] == ' ' || at[-1] == '[') &&
		    (at[n] == ' ' || at[n] == ']' || at[n] == '\0'))
			return at + n;
		at += n;
	}
	return NULL;
}

/* "--role ROLE" and "[--name NAME]" take one, "[-f]" does not. */
static bool
takes_value(const struct command *c, const struct option *o)
{
	const char *rest = behind_option(c, o);

	return rest != NULL && rest[0] == ' ' && rest[1] != '[' &&
	    rest[1] != '-' && rest[1] != '\0';
}

/* Between single quotes; what: characters that get a backslash too. */
static void
put_quoted(const char *s, const char *what, bool is_fish)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			fputs(is_fish ? "\\'" : "'\\''", stdout);
		else {
			if (strchr(what, *s) != NULL)
				putchar('\\');
			putchar(*s);
		}
	}
}

/* "allow|deny" with spaces between. */
static void
put_values(const char *s)
{
	for (; *s != '\0'; s++)
		putchar(*s == '|' ? ' ' : *s);
}

/* ---- bash ------------------------------------------------------------- */

static void
bash_words(void)
{
	size_t i, j;

	puts("\tcase $first in");
	printf("\t'')\tlist='help");
	for (i = 0; i < COUNT(commands); i++)
		if (is_first_of_group(i))
			printf(" %.*s", group_length(&commands[i]) > 0 ?
			    (int)group_length(&commands[i]) :
			    (int)strlen(commands[i].name), commands[i].name);
	puts("' ;;");
	for (i = 0; i < COUNT(commands); i++) {
		size_t n = group_length(&commands[i]);

		if (n == 0 || !is_first_of_group(i))
			continue;
		printf("\t%.*s)\tlist='", (int)n, commands[i].name);
		for (j = 0; j < COUNT(commands); j++)
			if (strncmp(commands[j].name, commands[i].name,
			    n + 1) == 0)
				printf("%s%s", j == i ? "" : " ",
				    commands[j].name + n + 1);
		puts("' ;;");
	}
	puts("\tesac");
}

static void
bash_options(void)
{
	size_t i, k;

	puts("\tcase $first${second:+ $second} in");
	for (i = 0; i < COUNT(commands); i++) {
		bool any = false;

		for (k = 0; k < COUNT(options); k++) {
			if (behind_option(&commands[i], &options[k]) == NULL)
				continue;
			if (!any)
				printf("\t'%s')\toptions='",
				    commands[i].name);
			printf("%s%s", any ? " " : "", options[k].name);
			any = true;
		}
		if (any)
			puts("' ;;");
	}
	puts("\tesac");
}

static void
bash_values(void)
{
	size_t k;

	puts("\tcase $previous in");
	puts("\t-c | --token-file | --cacert)\n"
	    "\t\tCOMPREPLY=($(compgen -f -- \"$current\"))\n"
	    "\t\treturn ;;\n"
	    "\t-o)\tCOMPREPLY=($(compgen -W 'table json yaml' -- \"$current\"))\n"
	    "\t\treturn ;;\n"
	    "\t--command)\n"
	    "\t\tCOMPREPLY=($(compgen -c -- \"$current\"))\n"
	    "\t\treturn ;;");
	for (k = 0; k < COUNT(options); k++) {
		if (options[k].values[0] == '\0')
			continue;
		printf("\t%s)\n\t\tCOMPREPLY=($(compgen -W '",
		    options[k].name);
		put_values(options[k].values);
		puts("' -- \"$current\"))\n\t\treturn ;;");
	}
	puts("\tesac");
}

static void
bash(void)
{
	bool any = false;
	size_t i;

	puts("# bash completion of omni2ctl(1); made by gen_completion.\n"
	    "\n"
	    "_omni2ctl()\n"
	    "{\n"
	    "\tlocal current=${COMP_WORDS[COMP_CWORD]} i word\n"
	    "\tlocal previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
	    "\tlocal first='' second='' list='' options=''\n"
	    "\n"
	    "\tCOMPREPLY=()");
	bash_values();
	puts("\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	    "\t\tword=${COMP_WORDS[i]}\n"
	    "\t\tcase $word in\n"
	    "\t\t-c | -o | --url | --token-file | --cacert)\t((i++)) ;;\n"
	    "\t\t-*)\t;;\n"
	    "\t\thelp)\t[ -z \"$first\" ] || second=${second:-$word} ;;\n"
	    "\t\t*)\tif [ -z \"$first\" ]; then\n"
	    "\t\t\t\tfirst=$word\n"
	    "\t\t\telse\n"
	    "\t\t\t\tsecond=${second:-$word}\n"
	    "\t\t\tfi ;;\n"
	    "\t\tesac\n"
	    "\tdone");
	puts("\tif [ -z \"$second\" ]; then");
	bash_words();
	puts("\tfi\n"
	    "\tif [ -n \"$list\" ]; then\n"
	    "\t\t[ -n \"$first\" ] || list=\"$list -c -o --url "
	    "--token-file --cacert --help --version\"\n"
	    "\t\tCOMPREPLY=($(compgen -W \"$list\" -- \"$current\"))\n"
	    "\t\treturn\n"
	    "\tfi");
	puts("\t# a command of one word: what follows is no second word");
	puts("\tcase $first in");
	for (i = 0; i < COUNT(commands); i++)
		if (group_length(&commands[i]) == 0) {
			printf("%s%s", any ? " | " : "\t", commands[i].name);
			any = true;
		}
	puts(")\tsecond='' ;;\n"
	    "\tesac");
	bash_options();
	printf("\tcase $first/$current in\n"
	    "\t*/-*) ;;\n"
	    "\t");
	for (i = 0, any = false; i < COUNT(commands); i++)
		if (takes_file(&commands[i])) {
			printf("%s%s/*", any ? " | " : "", commands[i].name);
			any = true;
		}
	puts(")\n"
	    "\t\tCOMPREPLY=($(compgen -f -- \"$current\"))\n"
	    "\t\treturn ;;\n"
	    "\tesac");
	puts("\tCOMPREPLY=($(compgen -W \"$options -o --help\" -- "
	    "\"$current\"))\n"
	    "}\n"
	    "complete -F _omni2ctl omni2ctl");
}

/* ---- zsh -------------------------------------------------------------- */

static void
zsh_commands(size_t i)
{
	size_t n = group_length(&commands[i]), j;

	printf("\t%.*s)\n\t\tlist=(", (int)n, commands[i].name);
	for (j = 0; j < COUNT(commands); j++) {
		if (strncmp(commands[j].name, commands[i].name, n + 1) != 0)
			continue;
		printf("\n\t\t    '%s:", commands[j].name + n + 1);
		put_quoted(commands[j].help, ":", false);
		putchar('\'');
	}
	puts(") ;;");
}

static void
zsh_words(void)
{
	size_t i;

	puts("\tcase $first in\n"
	    "\t'')\n"
	    "\t\tlist=(\n"
	    "\t\t    'help:help for a command'");
	for (i = 0; i < COUNT(commands); i++) {
		size_t n = group_length(&commands[i]);

		if (!is_first_of_group(i))
			continue;
		if (n > 0)
			printf("\t\t    '%.*s:commands about %.*s'\n", (int)n,
			    commands[i].name, (int)n, commands[i].name);
		else {
			printf("\t\t    '%s:", commands[i].name);
			put_quoted(commands[i].help, ":", false);
			puts("'");
		}
	}
	puts("\t\t) ;;");
	for (i = 0; i < COUNT(commands); i++)
		if (group_length(&commands[i]) > 0 && is_first_of_group(i))
			zsh_commands(i);
	puts("\tesac");
}

static void
zsh_options(void)
{
	size_t i, k;

	puts("\tcase $first${second:+ $second} in");
	for (i = 0; i < COUNT(commands); i++) {
		bool any = false;

		for (k = 0; k < COUNT(options); k++) {
			if (behind_option(&commands[i], &options[k]) == NULL)
				continue;
			if (!any)
				printf("\t'%s')\n\t\topts=(",
				    commands[i].name);
			any = true;
			printf("\n\t\t    '%s:", options[k].name);
			put_quoted(options[k].help, ":", false);
			putchar('\'');
		}
		if (any)
			puts(") ;;");
	}
	puts("\tesac");
}

static void
zsh(void)
{
	size_t i, k;
	bool any = false;

	puts("#compdef omni2ctl\n"
	    "# zsh completion of omni2ctl(1); made by gen_completion.\n"
	    "\n"
	    "local -a list opts\n"
	    "local first second word\n"
	    "integer i\n"
	    "\n"
	    "case ${words[CURRENT - 1]} in\n"
	    "-c | --token-file | --cacert)\t_files; return ;;\n"
	    "-o)\tcompadd table json yaml; return ;;\n"
	    "--command)\n"
	    "\t_command_names -e; return ;;");
	for (k = 0; k < COUNT(options); k++)
		if (options[k].values[0] != '\0') {
			printf("%s)\n\tcompadd ", options[k].name);
			put_values(options[k].values);
			puts("; return ;;");
		}
	puts("esac\n"
	    "for ((i = 2; i < CURRENT; i++)); do\n"
	    "\tword=${words[i]}\n"
	    "\tcase $word in\n"
	    "\t-c | -o | --url | --token-file | --cacert)\t((i++)) ;;\n"
	    "\t-*)\t;;\n"
	    "\thelp)\t[[ -z $first ]] || second=${second:-$word} ;;\n"
	    "\t*)\tif [[ -z $first ]]; then\n"
	    "\t\t\tfirst=$word\n"
	    "\t\telse\n"
	    "\t\t\tsecond=${second:-$word}\n"
	    "\t\tfi ;;\n"
	    "\tesac\n"
	    "done\n"
	    "if [[ -z $second ]]; then");
	zsh_words();
	puts("fi\n"
	    "if (( ${#list} )); then\n"
	    "\t_describe command list\n"
	    "\treturn\n"
	    "fi\n"
	    "case $first in");
	for (i = 0; i < COUNT(commands); i++)
		if (group_length(&commands[i]) == 0) {
			printf("%s%s", any ? " | " : "", commands[i].name);
			any = true;
		}
	puts(")\tsecond='' ;;\nesac");
	printf("case $first in\n");
	put_file_commands();
	puts(")\n"
	    "\tif [[ ${words[CURRENT]} != -* ]]; then\n"
	    "\t\t_files\n"
	    "\t\treturn\n"
	    "\tfi ;;\n"
	    "esac");
	zsh_options();
	puts("opts+=('-o:form of the output' '--help:help for the "
	    "command')\n"
	    "_describe -o option opts");
}

/* ---- fish ------------------------------------------------------------- */

static void
fish_commands(void)
{
	size_t i;

	for (i = 0; i < COUNT(commands); i++) {
		size_t n = group_length(&commands[i]);

		if (n > 0) {
			if (is_first_of_group(i))
				printf("complete -c omni2ctl -f -n "
				    "__omni2ctl_is -a %.*s -d 'commands about "
				    "%.*s'\n", (int)n, commands[i].name,
				    (int)n, commands[i].name);
			printf("complete -c omni2ctl -f -n '__omni2ctl_is "
			    "%.*s' -a %s -d '", (int)n, commands[i].name,
			    commands[i].name + n + 1);
		} else
			printf("complete -c omni2ctl -f -n __omni2ctl_is -a "
			    "%s -d '", commands[i].name);
		put_quoted(commands[i].help, "\\", true);
		puts("'");
		if (takes_file(&commands[i]))
			printf("complete -c omni2ctl -n '__omni2ctl_is %s' "
			    "-F\n", commands[i].name);
	}
}

static void
fish_options(void)
{
	size_t i, k;

	for (i = 0; i < COUNT(commands); i++)
		for (k = 0; k < COUNT(options); k++) {
			const struct option *o = &options[k];
			bool is_long = o->name[1] == '-';

			if (behind_option(&commands[i], o) == NULL)
				continue;
			printf("complete -c omni2ctl -n '__omni2ctl_in %s' "
			    "%s %s", commands[i].name, is_long ? "-l" : "-s",
			    o->name + (is_long ? 2 : 1));
			if (strcmp(o->name, "--command") == 0)
				printf(" -r");
			else if (o->values[0] != '\0') {
				printf(" -x -a '");
				put_values(o->values);
				putchar('\'');
			} else if (takes_value(&commands[i], o))
				printf(" -x");
			printf(" -d '");
			put_quoted(o->help, "\\", true);
			puts("'");
		}
}

static void
fish(void)
{
	puts("# fish completion of omni2ctl(1); made by gen_completion.\n"
	    "\n"
	    "# The words behind the global options.\n"
	    "function __omni2ctl_words\n"
	    "\tset -l skip 0\n"
	    "\tfor word in (commandline -opc)[2..-1]\n"
	    "\t\tif test $skip = 1\n"
	    "\t\t\tset skip 0\n"
	    "\t\telse if contains -- $word -c -o --url "
	    "--token-file --cacert\n"
	    "\t\t\tset skip 1\n"
	    "\t\telse if not string match -q -- '-*' $word; "
	    "and test $word != help\n"
	    "\t\t\techo $word\n"
	    "\t\tend\n"
	    "\tend\n"
	    "end\n"
	    "\n"
	    "# Are these all the words so far?\n"
	    "function __omni2ctl_is\n"
	    "\tset -l words (__omni2ctl_words)\n"
	    "\ttest \"$words\" = \"$argv\"\n"
	    "end\n"
	    "\n"
	    "# Do the words begin with these?\n"
	    "function __omni2ctl_in\n"
	    "\tset -l words (__omni2ctl_words)\n"
	    "\ttest (count $words) -ge (count $argv); "
	    "and test \"$words[1..\"(count $argv)\"]\" = \"$argv\"\n"
	    "end\n"
	    "\n"
	    "complete -c omni2ctl -f\n"
	    "complete -c omni2ctl -s c -r -F -d 'configuration'\n"
	    "complete -c omni2ctl -s o -x -a 'table json yaml' "
	    "-d 'form of the output'\n"
	    "complete -c omni2ctl -n __omni2ctl_is -l url -x "
	    "-d 'administrate the omni2 there'\n"
	    "complete -c omni2ctl -n __omni2ctl_is -l token-file -r -F "
	    "-d 'an API key or token'\n"
	    "complete -c omni2ctl -n __omni2ctl_is -l cacert -r -F "
	    "-d 'certificates to trust there'\n"
	    "complete -c omni2ctl -s h -l help -d 'help'\n"
	    "complete -c omni2ctl -s V -l version -d 'print the version'\n"
	    "complete -c omni2ctl -n __omni2ctl_is -a help "
	    "-d 'help for a command'");
	fish_commands();
	fish_options();
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "bash") == 0)
		bash();
	else if (argc == 2 && strcmp(argv[1], "zsh") == 0)
		zsh();
	else if (argc == 2 && strcmp(argv[1], "fish") == 0)
		fish();
	else {
		fputs("usage: gen_completion bash|zsh|fish\n", stderr);
		return 2;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("standard output");
		return 1;
	}
	return 0;
}
