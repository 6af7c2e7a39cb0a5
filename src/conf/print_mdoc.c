/*
 * print_mdoc -- the settings of keys.def as mdoc(7), for omni2.yaml(5).
 *
 * Runs at build time only.
 */
#include "conf/conf.h"

#include <string.h>

#include "conf/keys.h"

#define WIDTH	76

static const char *
type_name(enum key_type type)
{
	switch (type) {
	case KEY_TYPE_BOOL:
		return "boolean";
	case KEY_TYPE_INT:
		return "number";
	case KEY_TYPE_MS:
		return "duration";
	case KEY_TYPE_SIZE:
		return "size";
	case KEY_TYPE_TEXT:
		return "text";
	case KEY_TYPE_SECRET:
		return "secret";
	case KEY_TYPE_FILE:
		return "file";
	case KEY_TYPE_ENUM:
		return "one of";
	case KEY_TYPE_LIST:
		return "list";
	}
	return "";
}

/* Backslashes and what would be a request at the start of a line. */
static void
print_word(FILE *f, const char *p, size_t n, bool first)
{
	if (first && (*p == '.' || *p == '\''))
		fputs("\\&", f);
	for (; n > 0; n--, p++)
		if (*p == '\\')
			fputs("\\e", f);
		else
			fputc(*p, f);
}

/* One sentence a line at most, lines of WIDTH bytes. */
static void
print_prose(FILE *f, const char *text)
{
	size_t column = 0, n;

	while (*text != '\0') {
		n = strcspn(text, " ");
		if (column > 0 && column + 1 + n > WIDTH) {
			fputc('\n', f);
			column = 0;
		}
		if (column > 0)
			fputc(' ', f);
		print_word(f, text, n, column == 0);
		column += n + 1;
		text += n;
		if (*text == ' ') {
			text++;
			if (text[-2] == '.') {
				fputc('\n', f);
				column = 0;
			}
		}
	}
	if (column > 0)
		fputc('\n', f);
}

static void
print_list_default(FILE *f, const char *text)
{
	size_t n;

	while (*text != '\0') {
		n = strcspn(text, ",");
		fputs(".Ql ", f);
		print_word(f, text, n, true);
		text += n;
		if (*text == ',')
			text++;
		fputs(*text != '\0' ? " ,\n" : " .\n", f);
	}
}

/* The default as a sentence of its own. */
static void
print_default(FILE *f, const struct conf_key *k)
{
	char text[CONF_NUMBER];

	if (k->type == KEY_TYPE_SECRET || k->type == KEY_TYPE_FILE ||
	    ((k->type == KEY_TYPE_TEXT || k->type == KEY_TYPE_LIST) &&
	    k->def_text[0] == '\0')) {
		fputs("There is no default.\n", f);
		return;
	}
	fputs("The default is\n", f);
	if (k->type == KEY_TYPE_TEXT || k->type == KEY_TYPE_LIST) {
		print_list_default(f, k->def_text);
		return;
	}
	if (k->type == KEY_TYPE_ENUM)
		conf_names_get(k->names, (int)k->def, text, sizeof(text));
	else if (k->type == KEY_TYPE_BOOL)
		snprintf(text, sizeof(text), "%s", k->def ? "true" : "false");
	else
		conf_format_number(k->type, k->def, text);
	fprintf(f, ".Cm %s .\n", text);
}

static void
print_range(FILE *f, const struct conf_key *k)
{
	char low[CONF_NUMBER], high[CONF_NUMBER];

	if (k->type != KEY_TYPE_INT && k->type != KEY_TYPE_MS &&
	    k->type != KEY_TYPE_SIZE)
		return;
	fprintf(f, "From %s to %s.\n",
	    conf_format_number(k->type, k->min, low),
	    conf_format_number(k->type, k->max, high));
}

static void
print_key(FILE *f, const struct conf_key *k)
{
	char name[64];
	int i;

	fprintf(f, ".It Cm %s Pq %s", k->path, type_name(k->type));
	for (i = 0; k->type == KEY_TYPE_ENUM; i++) {
		conf_names_get(k->names, i, name, sizeof(name));
		if (name[0] == '\0')
			break;
		fprintf(f, "%s Cm %s", i > 0 ? " ," : "", name);
	}
	fputc('\n', f);
	print_prose(f, k->doc);
	print_range(f, k);
	print_default(f, k);
	if (k->type == KEY_TYPE_SECRET)
		fprintf(f, ".Cm %s_file\nnames a file to read it from.\n",
		    k->path);
	if (k->restart)
		fputs("A change needs a restart.\n", f);
}

static bool
same_section(const struct conf_key *a, const struct conf_key *b)
{
	size_t n = strcspn(a->path, ".");

	return strncmp(a->path, b->path, n + 1) == 0;
}

/* A section is printed where its first key stands. */
void
conf_print_mdoc(FILE *f)
{
	size_t i, j;

	for (i = 0; i < conf_n_keys; i++) {
		for (j = 0; j < i; j++)
			if (same_section(&conf_keys[j], &conf_keys[i]))
				break;
		if (j < i)
			continue;
		fprintf(f, ".Ss %.*s\n.Bl -tag -width Ds\n",
		    (int)strcspn(conf_keys[i].path, "."), conf_keys[i].path);
		for (j = i; j < conf_n_keys; j++)
			if (same_section(&conf_keys[i], &conf_keys[j]))
				print_key(f, &conf_keys[j]);
		fputs(".El\n", f);
	}
}
