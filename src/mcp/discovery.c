/*
 * discovery -- the first moments of a daemon, or of its database if that comes
 * later, when no server has been looked at yet and so no tool is known. Calls
 * wait for it: whoever restarts omni2 under load must not see "Unknown tool".
 */
#include "base/clock.h"
#include "base/fiber.h"
#include "mcp/catalog.h"
#include "mcp/mcp_int.h"
#include "shm/health.h"

/* A server that hangs does not keep the others waiting for longer. */
#define DISCOVERY_MS	5000
#define LOOK_MS		20

/* The poller says how a server is just before it publishes what it offers. */
static bool
is_known(struct shm *shm, const struct cat_head *c, const struct pol_server *s)
{
	uint64_t status;
	uint32_t i;

	if (!s->enabled || s->health >= SHM_SERVERS_MAX)
		return true;
	status = atomic_load(&shm_health(shm, s->health)->status);
	if (status != HEALTH_HEALTHY)
		return status != HEALTH_UNKNOWN;
	i = c == NULL ? CAT_NONE : catalog_find_server(c, s->id);
	return i != CAT_NONE && cat_server(c, i)->listed != 0;
}

static bool
has_just_begun(struct shm *shm)
{
	struct shm_ctl *ctl = shm_ctl(shm);
	int64_t now = clock_mono_ms();

	return now - atomic_load(&ctl->started_mono_ms) <= DISCOVERY_MS ||
	    now - atomic_load(&ctl->db_loaded_mono_ms) <= DISCOVERY_MS;
}

bool
mcp_is_discovering(struct shm *shm)
{
	const struct pol_head *p;
	const struct cat_head *c;
	bool unknown = false;
	uint32_t i;

	if (!has_just_begun(shm) ||
	    (p = shm_pin(shm, SNAP_POLICY, NULL)) == NULL)
		return false;
	c = shm_pin(shm, SNAP_CATALOG, NULL);
	for (i = 0; i < p->servers.n && !unknown; i++)
		unknown = !is_known(shm, c, pol_server(p, i));
	if (c != NULL)
		shm_unpin(shm, SNAP_CATALOG);
	shm_unpin(shm, SNAP_POLICY);
	return unknown;
}

void
mcp_await_discovery(struct shm *shm)
{
	while (mcp_is_discovering(shm))
		fiber_sleep(LOOK_MS);
}
