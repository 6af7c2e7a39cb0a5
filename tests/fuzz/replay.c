/*
 * replay -- runs a fuzz target over stored inputs, without a fuzzer.
 *
 * Arguments are files and directories. Without any, replay_<target> takes
 * $srcdir/tests/fuzz/corpus/fuzz_<target>, so that "make check" can run the
 * program as it is. An empty corpus is an error: it would test nothing.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static int inputs;

/* Into memory of exactly that size, so that a sanitizer sees over-reads. */
static int
run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t n;

	if (f == NULL || fstat(fileno(f), &st) < 0) {
		perror(path);
		return -1;
	}
	n = (size_t)st.st_size;
	data = malloc(n > 0 ? n : 1);
	if (data == NULL || fread(data, 1, n, f) != n) {
		perror(path);
		fclose(f);
		free(data);
		return -1;
	}
	fclose(f);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	inputs++;
	return 0;
}

static int
run_directory(const char *path)
{
	struct dirent **names;
	int i, n = scandir(path, &names, NULL, alphasort), rv = 0;
	char file[4096];

	if (n < 0) {
		perror(path);
		return -1;
	}
	for (i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && run_file(file) < 0)
			rv = -1;
		free(names[i]);
	}
	free(names);
	return rv;
}

static int
run_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	return S_ISDIR(st.st_mode) ? run_directory(path) : run_file(path);
}

/* replay_url -> $srcdir/tests/fuzz/corpus/fuzz_url */
static int
run_own_corpus(const char *program)
{
	const char *srcdir = getenv("srcdir"), *name;
	char path[4096];

	name = strstr(program, "replay_");
	while (name != NULL && strstr(name + 1, "replay_") != NULL)
		name = strstr(name + 1, "replay_");
	if (name == NULL) {
		fprintf(stderr, "usage: %s file|directory ...\n", program);
		return -1;
	}
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/fuzz_%s",
	    srcdir == NULL ? "." : srcdir, name + strlen("replay_"));
	return run_path(path);
}

int
main(int argc, char **argv)
{
	int i, rv = 0;

	if (argc < 2)
		rv = run_own_corpus(argv[0]);
	for (i = 1; i < argc; i++)
		if (run_path(argv[i]) < 0)
			rv = -1;
	printf("%d inputs\n", inputs);
	return rv < 0 || inputs == 0 ? 1 : 0;
}
