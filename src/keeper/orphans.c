/*
 * orphans -- connections whose worker was killed before it wrote down that it
 * had them.
 */
#include "keeper/keeper_int.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "shm/client.h"
#include "shm/slot.h"

#define ORPHAN_MS	3000	/* away, and in no slot */
#define ORPHANS_EVERY_MS 1000

/* Which connections do workers have? Each slot is looked at once. */
static void
note_owners(struct keeper *k)
{
	uint32_t s, i;
	uint64_t id;

	k->look++;
	for (s = 0; s < k->shm->sizes.slots; s++) {
		id = atomic_load_explicit(&shm_slot(k->shm, s)->connection,
		    memory_order_relaxed);
		if ((i = keeper_find(k, id, AWAY)) != NONE)
			k->c[i].seen_owned = k->look;
	}
}

/* May it lie in its lane, taken by nobody yet? */
static bool
may_lie_in_lane(const struct keeper *k, const struct connection *c)
{
	const struct shm_queue *q = shm_queue(k->shm);
	int unread;

	if (atomic_load(&q->handed) != atomic_load(&q->taken))
		return true;
	return c->lane == LANE_API && (ioctl(k->lanes->hand[LANE_API][0],
	    SIOCOUTQ, &unread) < 0 || unread > 0);
}

/*
 * A worker that is killed between taking a connection from the lane and
 * writing its number into the slot leaves a connection nobody owns. That may
 * happen to whoever comes in the moment of the kill: a sleeper that is woken
 * by a message takes it before it dies. Those that have been away for a while
 * and stand in no slot are closed, so that their clients try again.
 */
void
orphans_close(struct keeper *k, int64_t now)
{
	uint32_t i = k->list[AWAY].head, next;

	if (now < k->next_orphans_ms)
		return;
	k->next_orphans_ms = now + ORPHANS_EVERY_MS;
	if (i == NONE || now - k->c[i].since_ms < ORPHAN_MS)
		return;			/* the list is ordered by time */
	note_owners(k);
	for (; i != NONE && now - k->c[i].since_ms >= ORPHAN_MS; i = next) {
		struct connection *c = &k->c[i];
		bool again = c->suspected == k->look - 1;

		next = c->next;
		if (c->seen_owned == k->look || may_lie_in_lane(k, c))
			continue;
		c->suspected = k->look;
		if (!again)		/* it may have been taken just now */
			continue;
		log_warn("closing a connection that no worker owns");
		shm_subs_remove_owner(k->shm, lane_id(k->spawn, c->use, i));
		keeper_drop(k, i);
	}
}
