/*
 * gen_conf_man -- writes omni2.yaml.5: a head, the settings of keys.def, a
 * tail.
 *
 *	gen_conf_man head tail >omni2.yaml.5
 *
 * Runs at build time and is not installed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"

static void
copy_file(const char *file)
{
	char text[4096];
	size_t n;
	FILE *f;

	if ((f = fopen(file, "r")) == NULL) {
		perror(file);
		exit(1);
	}
	while ((n = fread(text, 1, sizeof(text), f)) > 0)
		fwrite(text, 1, n, stdout);
	if (ferror(f)) {
		perror(file);
		exit(1);
	}
	fclose(f);
}

int
main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: gen_conf_man head tail\n", stderr);
		return 2;
	}
	copy_file(argv[1]);
	conf_print_mdoc(stdout);
	copy_file(argv[2]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("standard output");
		return 1;
	}
	return 0;
}
