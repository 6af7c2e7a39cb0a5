/*
 * Properties of conf_load_text: a verdict that fits the findings; findings
 * sorted, at places that exist, and without control characters when printed;
 * permissions survive their JSON form; a second load says the same.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/model.h"

#define TEXT_MAX	(16u << 20)
#define INPUT_MAX	(64u << 10)

struct loaded {
	struct conf		conf;
	struct model		model;
	struct conf_report	report;
	struct buf		text;
	int			rv;
};

static void
load(struct loaded *l, const char *text, size_t n)
{
	*l = (struct loaded){ 0 };
	buf_init(&l->text, TEXT_MAX);
	l->rv = conf_load_text("f", text, n, &l->conf, &l->model, &l->report);
	conf_report_print(&l->report, &l->text);
}

static void
unload(struct loaded *l)
{
	model_free(&l->model);
	conf_report_free(&l->report);
	buf_free(&l->text);
}

static void
check_report(const struct loaded *l)
{
	const struct conf_msg *m;
	size_t i, errors = 0, lines = 0;

	for (i = 0; i < l->report.n; i++) {
		m = &l->report.msg[i];
		errors += m->is_error;
		FUZZ_CHECK(m->line >= 0 && m->column >= 0);
		FUZZ_CHECK(i == 0 || m[-1].line <= m->line);
	}
	FUZZ_CHECK(errors == l->report.errors);
	FUZZ_CHECK((l->rv == 0) == (errors == 0));
	for (i = 0; i < l->text.n; i++) {
		lines += l->text.p[i] == '\n';
		FUZZ_CHECK((unsigned char)l->text.p[i] >= 0x20 ||
		    l->text.p[i] == '\n');
	}
	FUZZ_CHECK(l->text.overflow || lines == l->report.n);
}

/* Only of rows without findings: others may hold what JSON form refuses. */
static void
check_grants(const struct model_grants *g)
{
	struct model_grants copy = { 0 };
	char *a, *b, why[256];

	a = model_grants_to_json(g);
	FUZZ_CHECK(model_grants_from_json(&copy, a, why, sizeof(why)) == 0);
	b = model_grants_to_json(&copy);
	FUZZ_CHECK(strcmp(a, b) == 0);
	FUZZ_CHECK(copy.n == g->n && copy.all == g->all);
	model_grants_free(&copy);
	free(a);
	free(b);
}

static void
check_restrictions(const struct model_server *s)
{
	struct model_server copy = { 0 };
	char *a, *b, why[256];

	a = model_restrictions_to_json(s);
	FUZZ_CHECK(model_restrictions_from_json(&copy, a, why,
	    sizeof(why)) == 0);
	b = model_restrictions_to_json(&copy);
	FUZZ_CHECK(strcmp(a, b) == 0);
	model_restrictions_free(&copy);
	free(a);
	free(b);
}

static void
check_rows(const struct loaded *l)
{
	const struct model *m = &l->model;
	char why[256];
	size_t i;

	for (i = 0; i < m->n_servers; i++) {
		FUZZ_CHECK(model_check_server_name(m->server[i].name, why,
		    sizeof(why)) == 0);
		FUZZ_CHECK(strpbrk(m->server[i].auth_header, "\r\n") == NULL);
		check_restrictions(&m->server[i]);
	}
	for (i = 0; i < m->n_roles; i++)
		check_grants(&m->role[i].grants);
	for (i = 0; i < m->n_users; i++)
		check_grants(&m->user[i].grants);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct loaded a, b;

	if (n > INPUT_MAX)
		return 0;
	load(&a, (const char *)data, n);
	check_report(&a);
	if (a.rv == 0)
		check_rows(&a);
	load(&b, (const char *)data, n);
	FUZZ_CHECK(a.rv == b.rv);
	FUZZ_CHECK(span_eq(buf_span(&a.text), buf_span(&b.text)));
	unload(&a);
	unload(&b);
	return 0;
}
