/*
 * bind_secret -- secrets from a value or from the file a <key>_file names, and
 * where the files are that other keys name.
 *
 * A relative file name is looked for in $CREDENTIALS_DIRECTORY, where
 * systemd puts credentials, and then beside the configuration file. Findings
 * name files and keys, never contents.
 */
#include "conf/bind.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"

#define SECRET_MAX	4096

/* The directory part of a file name, with its slash; "" if it has none. */
static const char *
directory_of(struct bind *b, const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash == NULL ? "" :
	    arena_strdup(b->mem, span_make(file, (size_t)(slash - file) + 1));
}

static ssize_t
read_from(struct bind *b, const char *file, char *out, size_t size)
{
	ssize_t n = fdio_read_file(file, out, size);

	if (n >= 0 && !strlist_has(&b->model->secret_files, file))
		strlist_add(&b->model->secret_files, file);
	return n;
}

/* In the directory of systemd's credentials; NULL if that is none. */
static const char *
as_credential(struct bind *b, const struct yaml_node *node)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	return dir == NULL || dir[0] != '/' ? NULL :
	    arena_printf(b->mem, "%s/%s", dir, node->text);
}

static const char *
beside_conf(struct bind *b, const struct yaml_node *node)
{
	return arena_printf(b->mem, "%s%s", directory_of(b, node->file),
	    node->text);
}

const char *
bind_file_name(struct bind *b, const struct yaml_node *node)
{
	char dir[PATH_MAX];
	const char *path;

	if (node->text[0] == '\0' || node->text[0] == '/')
		return node->text;
	path = as_credential(b, node);
	if (path != NULL && (access(path, F_OK) == 0 || errno != ENOENT))
		return path;
	path = directory_of(b, node->file);
	if (realpath(path[0] != '\0' ? path : ".", dir) == NULL)
		return beside_conf(b, node);
	return arena_printf(b->mem, "%s/%s", dir, node->text);
}

static ssize_t
read_relative(struct bind *b, const struct yaml_node *node, char *out,
    size_t size)
{
	const char *path = as_credential(b, node);
	ssize_t n;

	if (path != NULL) {
		n = read_from(b, path, out, size);
		if (n >= 0 || errno != ENOENT)
			return n;
	}
	return read_from(b, beside_conf(b, node), out, size);
}

static const char *
check_content(struct bind *b, const struct yaml_node *node,
    const char *path, char *text, size_t n)
{
	if (n > 0 && text[n - 1] == '\n')
		n--;
	if (n > 0 && text[n - 1] == '\r')
		n--;
	text[n] = '\0';
	if (n == 0) {
		bind_error(b, node, path, "\"%s\" is empty",
		    bind_show(b, node));
		return NULL;
	}
	if (memchr(text, '\0', n) != NULL) {
		bind_error(b, node, path, "\"%s\" has a NUL byte",
		    bind_show(b, node));
		return NULL;
	}
	return arena_strdup(b->mem, span_make(text, n));
}

static const char *
read_secret(struct bind *b, const struct yaml_node *node, const char *path)
{
	char text[SECRET_MAX + 3];	/* CR LF NUL */
	const char *secret;
	ssize_t n;

	if (bind_is_scalar(b, node, path) < 0)
		return NULL;
	if (b->no_files || node->text[0] == '\0') {
		bind_error(b, node, path, "%s", b->no_files ?
		    "files cannot be read here" : "must not be empty");
		return NULL;
	}
	if (node->text[0] == '/')
		n = read_from(b, node->text, text, sizeof(text));
	else
		n = read_relative(b, node, text, sizeof(text));
	if (n < 0) {
		bool is_denied = errno == EACCES;

		bind_error(b, node, path, "cannot read \"%s\": %s%s",
		    bind_show(b, node), strerror(errno), is_denied ?
		    "; let the user of omni2d read it" : "");
		if (is_denied)
			conf_report_denied(b->report);
		return NULL;
	}
	secret = check_content(b, node, path, text, (size_t)n);
	explicit_bzero(text, sizeof(text));
	return secret;
}

const char *
bind_secret(struct bind *b, const struct yaml_node *value,
    const struct yaml_node *file, const char *path)
{
	const char *file_path = arena_printf(b->mem, "%s_file", path);

	if (value != NULL && file != NULL) {
		bind_error(b, file, file_path,
		    "give either this key or %s, not both", path);
		return NULL;
	}
	if (file != NULL)
		return read_secret(b, file, file_path);
	if (value == NULL || bind_is_scalar(b, value, path) < 0)
		return NULL;
	if (value->text[0] == '\0') {
		bind_error(b, value, path, "must not be empty");
		return NULL;
	}
	if (strlen(value->text) > SECRET_MAX) {
		bind_error(b, value, path, "longer than %d bytes", SECRET_MAX);
		return NULL;
	}
	return value->text;
}
