/*
 * reap -- ending upstream sessions that nobody uses any more.
 *
 * Workers: when they make room for another session, and a few now and then
 * when they have nothing else to do. Best effort: a server that cannot be
 * told lets its sessions grow old. Never holds a pin while it talks.
 */
#include "upstream/opening_int.h"

#include "base/clock.h"
#include "shm/client.h"
#include "shm/gen.h"

#define IDLE_MS		1800000	/* of the session of one client */
#define SETS		32	/* that are looked at in one go */
#define ENDS		4	/* sessions that are ended in one go */

/* Copies what is needed to talk to a server out of the policy. */
static bool
find_target(struct upstream_pool *pool, int64_t server_id, struct arena *mem,
    struct upstream_target *t)
{
	const struct pol_head *p = shm_pin(pool->shm, SNAP_POLICY, NULL);
	bool found = false;
	uint32_t i;

	if (p == NULL)
		return false;
	for (i = 0; i < p->servers.n && !found; i++) {
		if (pol_server(p, i)->id != server_id)
			continue;
		upstream_target_copy(t, mem, p, i, UPSTREAM_CANCEL_MS);
		found = true;
	}
	shm_unpin(pool->shm, SNAP_POLICY);
	return found;
}

void
reap_old(struct upstream_pool *pool, const struct sess_old *old,
    bool may_connect)
{
	struct arena *mem = arena_new(4096);
	struct upstream_target t;
	struct upstream_entry *x;
	struct err e;

	if (find_target(pool, old->server_id, mem, &t) &&
	    (x = pool_entry(pool, &t, 0, &e)) != NULL &&
	    pool_check_transport(x, &e) == 0)
		opening_end(pool, x, &t, &old->info, may_connect);
	arena_free(&mem);
}

void
reap_some(struct upstream_pool *pool)
{
	int64_t before_ms = clock_mono_ms() - IDLE_MS;
	struct sess_old old;
	uint32_t place;
	int i;

	if (pool->shm == NULL || pool->shm->slot == UINT32_MAX ||
	    pool->shm->zone[ZONE_SESS] == NULL ||
	    pool->shm->zone[ZONE_CLIENT] == NULL)
		return;
	for (i = 0; i < ENDS; i++) {
		if (!shm_sess_client_reap(pool->shm, &pool->reap_cursor, SETS,
		    before_ms, shm_client_is_ended, &place, &old))
			return;
		reap_old(pool, &old, true);
		shm_sess_client_drop(pool->shm, place);
	}
}

void
upstream_end_client(struct upstream_pool *pool,
    const struct upstream_target *t, uint64_t client_session)
{
	struct sess_info info;
	struct sess_old old = { .server_id = t->server_id };
	uint32_t place;

	if (client_session == 0 || pool->shm == NULL ||
	    pool->shm->slot == UINT32_MAX ||
	    pool->shm->zone[ZONE_SESS] == NULL ||
	    shm_sess_client_get(pool->shm, t->server_id, client_session,
	    clock_mono_ms(), &info, &place) != SESS_THERE ||
	    !shm_sess_claim(pool->shm, place, info.opened))
		return;
	old.info = info;
	reap_old(pool, &old, true);
	shm_sess_client_drop(pool->shm, place);
}
