/*
 * load -- files to trees to struct conf and struct model.
 *
 * Reads the main file and what it includes, then binds in two rounds over
 * all files: settings first, then servers, roles and users, which take
 * defaults from settings. A file that cannot be parsed does not keep the
 * others from being checked, so that one run shows all findings. Runs in the
 * loader, omni2d -t and omni2ctl; never in a long-lived process.
 */
#include "conf/conf.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fdio.h"
#include "conf/bind.h"
#include "conf/bind_inert.h"
#include "conf/interpolate.h"
#include "conf/keys.h"

#define INCLUDE_DEPTH_MAX	4
#define FILES_MAX		1024
#define ARENA_BLOCK		(64u << 10)

struct source {
	const char		*file;
	int			 depth;
	const struct yaml_node	*from;		/* its include; NULL: main */
	dev_t			 dev;
	ino_t			 ino;
	struct yaml_doc		 doc;
};

struct load {
	struct bind	 b;
	struct source	*src;
	size_t		 n;
};

typedef void section_fn(struct bind *, const struct yaml_node *, const char *);
static const struct {
	const char	*name;
	section_fn	*fn;
} rows[] = {
	{ "roles", bind_roles },
	{ "mcps", bind_servers },
	{ "users", bind_users },
	{ "super_admins", bind_super_admins },
	{ "default_user", bind_default_user },
};

static void
load_begin(struct load *l, struct conf *conf, struct model *model,
    struct conf_report *report)
{
	*l = (struct load){ 0 };
	conf_defaults(conf);
	model_init(model);
	l->b.mem = arena_new(ARENA_BLOCK);
	l->b.conf = conf;
	l->b.model = model;
	l->b.report = report;
	l->b.retry_attempts = 2;
	l->b.retry_delay_ms = 1000;
}

static struct source *
add_source(struct load *l, const char *file, int depth,
    const struct yaml_node *from)
{
	struct source *s;

	if ((l->n & (l->n - 1)) == 0)	/* grows at powers of two */
		l->src = xrealloc(l->src,
		    (l->n == 0 ? 1 : 2 * l->n) * sizeof(*l->src));
	s = &l->src[l->n++];
	*s = (struct source){ 0 };
	s->file = arena_strdup(l->b.mem, span_str(file));
	s->depth = depth;
	s->from = from;
	return s;
}

/* At the include of a file, or at the main file itself. */
static void
source_error(struct load *l, const struct source *s, const char *text)
{
	if (s->from != NULL)
		bind_error(&l->b, s->from, "include", "%s: %s", s->file, text);
	else
		conf_report_add(l->b.report, true, s->file, 0, 0, "%s", text);
}

static void
source_errno(struct load *l, const struct source *s, int error)
{
	source_error(l, s, arena_printf(l->b.mem, "%s%s", strerror(error),
	    error == EACCES ? "; let the user of omni2d read it" : ""));
	if (error == EACCES)
		conf_report_denied(l->b.report);
}

/* A file that two includes name would give every key twice. */
static int
check_first_time(struct load *l, struct source *s)
{
	struct stat st;
	size_t i;

	if (stat(s->file, &st) < 0) {
		source_errno(l, s, errno);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		source_error(l, s, "not a regular file");
		return -1;
	}
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	for (i = 0; &l->src[i] < s; i++)
		if (l->src[i].ino == s->ino && l->src[i].dev == s->dev) {
			source_error(l, s, "is read already");
			return -1;
		}
	return 0;
}

/* Read later, by the loop of conf_load(). */
static void
include_file(struct load *l, const struct yaml_node *item, const char *path,
    const char *file, int depth)
{
	if (l->n < FILES_MAX)
		add_source(l, file, depth, item);
	else
		bind_error(&l->b, item, path, "more than %d files", FILES_MAX);
}

/* A directory that is not there has no match; one that cannot be read would
 * have none either, and nobody would miss its files. */
static int
stop_glob(const char *path, int error)
{
	return error != ENOENT && error != ENOTDIR;
}

/* No match is fine: a conf.d may be empty. */
static void
include_glob(struct load *l, const struct yaml_node *item, const char *path,
    const char *pattern, int depth)
{
	glob_t g;
	size_t i;
	int rv;

	errno = 0;
	rv = glob(pattern, 0, stop_glob, &g);
	if (rv != 0 && rv != GLOB_NOMATCH) {
		bool is_denied = errno == EACCES;

		bind_error(&l->b, item, path, "\"%s\" cannot be read%s",
		    bind_show(&l->b, item), is_denied ?
		    "; let the user of omni2d read it" : "");
		if (is_denied)
			conf_report_denied(l->b.report);
	}
	for (i = 0; rv == 0 && i < g.gl_pathc; i++)
		include_file(l, item, path, g.gl_pathv[i], depth);
	if (rv == 0)
		globfree(&g);
}

static void
include_item(struct load *l, const char *file, int depth,
    const struct yaml_node *item, const char *path)
{
	const char *slash = strrchr(file, '/'), *name;

	if (bind_is_scalar(&l->b, item, path) < 0)
		return;
	if (item->text[0] == '\0') {
		bind_error(&l->b, item, path, "must not be empty");
		return;
	}
	name = item->text;
	if (name[0] != '/' && slash != NULL)
		name = arena_printf(l->b.mem, "%.*s%s",
		    (int)(slash - file) + 1, file, name);
	if (depth > INCLUDE_DEPTH_MAX)
		bind_error(&l->b, item, path, "nested deeper than %d files",
		    INCLUDE_DEPTH_MAX);
	else if (strpbrk(item->text, "*?[") != NULL)
		include_glob(l, item, path, name, depth);
	else
		include_file(l, item, path, name, depth);
}

/* Copies of what is needed: adding sources moves the array. */
static void
follow_includes(struct load *l, const char *file, int depth,
    const struct yaml_node *root)
{
	const struct yaml_node *node = yaml_tree_get(root, "include");
	size_t i;

	if (node == NULL || yaml_tree_is_null(node))
		return;
	if (l->b.no_files) {
		bind_error(&l->b, node, "include",
		    "files cannot be read here");
		return;
	}
	if (node->kind == YAML_TREE_SCALAR) {
		include_item(l, file, depth + 1, node, "include");
		return;
	}
	if (bind_is_list(&l->b, node, "include") < 0)
		return;
	for (i = 0; i < node->n; i++)
		include_item(l, file, depth + 1, node->item[i],
		    bind_index(&l->b, "include", i));
}

static void
parse_text(struct load *l, size_t i, const char *text, size_t n)
{
	struct yaml_doc doc;

	yaml_tree_parse(&doc, l->b.mem, l->src[i].file, text, n,
	    l->b.report);
	interpolate_doc(&doc, l->b.mem, l->b.report);
	l->src[i].doc = doc;
	follow_includes(l, l->src[i].file, l->src[i].depth, doc.root);
}

static void
parse_file(struct load *l, size_t i)
{
	char *text;
	ssize_t n;

	if (check_first_time(l, &l->src[i]) < 0)
		return;
	text = xmalloc(YAML_FILE_MAX + 1);
	n = fdio_read_file(l->src[i].file, text, YAML_FILE_MAX + 1);
	if (n < 0)
		source_errno(l, &l->src[i], errno);
	else {
		(void)model_add_file(l->b.model, l->src[i].file);
		parse_text(l, i, text, (size_t)n);
		explicit_bzero(text, (size_t)n);
	}
	free(text);
}

static section_fn *
find_rows(const char *name)
{
	size_t i;

	for (i = 0; i < BIND_COUNT(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].fn;
	return NULL;
}

/*
 * First round: everything but rows. Unknown keys are found here. A section
 * may be empty: all its keys may have been commented out.
 */
static void
bind_section(struct bind *b, const struct yaml_pair *p)
{
	const char *name = p->key->text;
	bool empty = yaml_tree_is_null(p->value);

	if (strcmp(name, "include") == 0 || find_rows(name) != NULL)
		return;
	if (strcmp(name, "global") == 0) {
		if (!empty)
			bind_global(b, p->value, name);
	} else if (conf_key_is_section(name))
		bind_settings(b, p->value, name);
	else if (!bind_inert(b, p->value, name))
		bind_unknown_section(b, p->key);
}

static void
bind_source(struct bind *b, const struct yaml_node *root, bool rows_round)
{
	const struct yaml_pair *p;
	section_fn *fn;
	size_t i;

	for (i = 0; root != NULL && i < root->n; i++) {
		p = &root->pair[i];
		if (p->key->bad)
			continue;
		if (!rows_round)
			bind_section(b, p);
		else if ((fn = find_rows(p->key->text)) != NULL &&
		    !yaml_tree_is_null(p->value))
			fn(b, p->value, p->key->text);
	}
}

/* Returns what conf_load() returns. */
static int
load_finish(struct load *l)
{
	struct bind *b = &l->b;
	size_t i;

	for (i = 0; i < l->n; i++)
		bind_source(b, l->src[i].doc.root, false);
	for (i = 0; i < l->n; i++)
		bind_source(b, l->src[i].doc.root, true);
	check_settings(b);
	model_add_seed_roles(b->model);
	if (bind_given(b, "database.url") == NULL)
		model_check(b->model, b->report);
	else
		model_check_names(b->model, b->report);
	conf_report_sort(b->report);
	free(b->seen);
	free(l->src);
	arena_free(&b->mem);
	return b->report->errors == 0 ? 0 : -1;
}

int
conf_load_text(const char *name, const char *text, size_t n,
    struct conf *conf, struct model *model, struct conf_report *report)
{
	struct load l;

	load_begin(&l, conf, model, report);
	l.b.no_files = true;
	add_source(&l, name, 0, NULL);
	parse_text(&l, 0, text, n);
	return load_finish(&l);
}

int
conf_load(const char *path, struct conf *conf, struct model *model,
    struct conf_report *report)
{
	char *absolute = realpath(path, NULL);
	struct load l;
	size_t i;

	load_begin(&l, conf, model, report);
	if (absolute != NULL &&
	    !span_copy(conf->file, sizeof(conf->file), span_str(absolute)))
		conf_report_add(report, true, path, 0, 0,
		    "the absolute path is longer than %d bytes", CONF_TEXT - 1);
	free(absolute);
	add_source(&l, path, 0, NULL);
	for (i = 0; i < l.n; i++)
		parse_file(&l, i);
	return load_finish(&l);
}
