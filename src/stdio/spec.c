/*
 * spec -- copies servers out of the policy snapshot. stdiod only.
 */
#include "stdio/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "conf/model.h"
#include "policy/snapshot.h"
#include "shm/gen.h"

static const struct pol_server *
find(const struct pol_head *p, int64_t id)
{
	uint32_t i;

	for (i = 0; i < p->servers.n; i++)
		if (pol_server(p, i)->id == id)
			return pol_server(p, i);
	return NULL;
}

static char **
copy_list(const struct pol_head *p, struct pol_list list)
{
	const struct pol_str *s = pol_at(p, list.off);
	char **v = xcalloc((size_t)list.n + 1, sizeof(*v));
	uint32_t i;

	for (i = 0; i < list.n; i++)
		v[i] = xstrdup(pol_cstr(p, s[i]));
	return v;
}

static int
copy(struct spec *spec, const struct pol_head *p, int64_t id, struct err *e)
{
	const struct pol_server *s = find(p, id);

	if (s == NULL)
		return err_set(e, ERR_NOTFOUND, "no server with id %lld",
		    (long long)id);
	if (s->transport != TRANSPORT_STDIO)
		return err_set(e, ERR_NOTFOUND,
		    "server \"%s\" is not a stdio server",
		    pol_cstr(p, s->name));
	if (!s->enabled)
		return err_set(e, ERR_UNAVAILABLE, "server \"%s\" is disabled",
		    pol_cstr(p, s->name));
	spec->health = s->health;
	spec->config_hash = s->config_hash;
	spec->name = xstrdup(pol_cstr(p, s->name));
	spec->command = xstrdup(pol_cstr(p, s->command));
	spec->cwd = xstrdup(pol_cstr(p, s->cwd));
	spec->args = copy_list(p, s->args);
	spec->env = copy_list(p, s->env);
	spec->writable = copy_list(p, s->writable);
	spec->hidden = copy_list(p, s->hidden);
	spec->sandbox = s->sandbox;
	spec->sandbox_required = s->sandbox_required != 0;
	spec->memory = s->memory;
	spec->processes = s->processes;
	spec->timeout_ms = s->timeout_ms;
	return 0;
}

int
spec_read(struct spec *spec, struct shm *shm, int64_t id, struct err *e)
{
	const struct pol_head *p = shm_pin(shm, SNAP_POLICY, NULL);
	int rv;

	memset(spec, 0, sizeof(*spec));
	if (p == NULL)
		return err_set(e, ERR_UNAVAILABLE, "no policy is loaded yet");
	rv = copy(spec, p, id, e);
	shm_unpin(shm, SNAP_POLICY);
	return rv;
}

static void
list_free(char **v)
{
	size_t i;

	for (i = 0; v != NULL && v[i] != NULL; i++) {
		explicit_bzero(v[i], strlen(v[i]));	/* may be secrets */
		free(v[i]);
	}
	free(v);
}

void
spec_free(struct spec *spec)
{
	free(spec->name);
	free(spec->command);
	free(spec->cwd);
	list_free(spec->args);
	list_free(spec->env);
	list_free(spec->writable);
	list_free(spec->hidden);
	memset(spec, 0, sizeof(*spec));
}
