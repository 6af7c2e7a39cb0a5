/*
 * emit -- see emit.h. Frames go into the pipe one write(2) each, which the
 * kernel keeps whole; the record number of a slot outlives its processes, so
 * that the auditor's answer (shm_ack_word) is never for another's record.
 */
#include "audit/emit.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/fiber.h"

#define JSON_MAX	(4u << 20)
#define PARTS_MAX	1024
#define KEEP		65536
#define REQUEST_MS	5000	/* its record is waited for */
#define ACK_SLICE_MS	50	/* a lost wake-up costs no more */

void
audit_emitter_init(struct audit_emitter *em, struct shm *shm, int pipe_fd,
    uint32_t slot)
{
	struct shm_slot *s = shm_slot(shm, slot);

	em->pipe_fd = pipe_fd;
	em->slot = slot;
	em->shm = shm;
	buf_init(&em->json, JSON_MAX);
	buf_init(&em->frames, JSON_MAX + PARTS_MAX * AUDIT_FRAME_HEADER);
	/* Numbers begin at the time, so that they do not repeat those of an
	 * earlier omni2d whose frames may still be in the pipe. */
	if (atomic_load(&s->audit_seq) == 0)
		atomic_store(&s->audit_seq, (uint64_t)clock_wall_us());
}

int
audit_ready(const struct audit_emitter *em, enum audit_failure on_failure,
    struct err *e)
{
	uint64_t state = atomic_load_explicit(&shm_audit(em->shm)->state,
	    memory_order_relaxed);

	if (on_failure == AUDIT_FAIL_ALLOW || state == AUDIT_STATE_OK ||
	    state == AUDIT_STATE_STARTING)
		return 0;
	err_set(e, ERR_AUDIT, state == AUDIT_STATE_SPOOL_FULL ?
	    "the audit journal is full" :
	    "the audit journal cannot be written");
	e->retry_after_s = 1;
	return -1;
}

static int
write_frame(int fd, const char *p, size_t n, int64_t deadline_ms,
    struct err *e)
{
	int ready;

	for (;;) {
		ssize_t w = write(fd, p, n);

		/* At most PIPE_BUF bytes: all or nothing. */
		if (w == (ssize_t)n)
			return 0;
		if (w < 0 && errno == EINTR)
			continue;
		if (w >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			return err_set(e, ERR_AUDIT,
			    "the audit pipe cannot be written");
		ready = fdio_wait(fd, POLLOUT, deadline_ms);
		if (ready == 0)
			return err_set(e, ERR_AUDIT,
			    "the audit pipe stayed full");
		if (ready < 0 && errno != EINTR)
			return err_set(e, ERR_AUDIT,
			    "the audit pipe cannot be written");
	}
}

static int
wait_ack(const struct audit_emitter *em, uint64_t seq, int64_t deadline_ms,
    struct err *e)
{
	_Atomic uint64_t *word = &shm_ack_word(em->shm, em->slot)->v;
	int64_t left_ms;
	uint64_t seen;

	for (;;) {
		seen = atomic_load_explicit(word, memory_order_acquire);
		if ((int64_t)(seen - seq) >= 0)
			return 0;
		left_ms = deadline_ms - clock_mono_ms();
		if (left_ms <= 0)
			return err_set(e, ERR_AUDIT,
			    "the audit journal did not confirm in time");
		if (left_ms > ACK_SLICE_MS)
			left_ms = ACK_SLICE_MS;
		fiber_wait_word(word, seen, (int)left_ms);
	}
}

int
audit_emit(struct audit_emitter *em, const struct audit_record *r,
    enum audit_sync sync, int64_t deadline_ms, struct err *e)
{
	struct shm_slot *s = shm_slot(em->shm, em->slot);
	size_t at[PARTS_MAX + 1];
	uint64_t seq;
	int n, i;

	buf_reset(&em->json, KEEP);
	buf_reset(&em->frames, KEEP);
	if (audit_record_json(r, &em->json) < 0)
		return err_set(e, ERR_AUDIT, "the audit record is too large");
	seq = atomic_load_explicit(&s->audit_seq, memory_order_relaxed) + 1;
	atomic_store_explicit(&s->audit_seq, seq, memory_order_relaxed);
	n = audit_frames(buf_span(&em->json), em->slot, seq, &em->frames, at,
	    PARTS_MAX);
	if (n < 0)
		return err_set(e, ERR_AUDIT, "the audit record is too large");
	at[n] = em->frames.n;
	for (i = 0; i < n; i++)
		if (write_frame(em->pipe_fd, em->frames.p + at[i],
		    at[i + 1] - at[i], deadline_ms, e) < 0)
			return -1;
	return sync == AUDIT_SYNC_ASYNC ? 0 : wait_ack(em, seq, deadline_ms, e);
}

static enum shm_counter
counter_of(enum audit_decision d)
{
	switch (d) {
	case AUDIT_ALLOW:
		return C_DECIDED_ALLOW;
	case AUDIT_DENY:
		return C_DECIDED_DENY;
	case AUDIT_LIMIT:
		return C_DECIDED_LIMIT;
	case AUDIT_UNAUTHENTICATED:
		break;
	}
	return C_UNAUTHENTICATED;
}

int
audit_emit_request(struct audit_emitter *em, const struct audit_record *r,
    enum audit_sync sync, struct err *e)
{
	struct shm_slot *s = shm_slot(em->shm, em->slot);
	int rc;

	shm_count_in(s, counter_of(r->decision), 1);
	rc = audit_emit(em, r, sync, clock_mono_ms() + REQUEST_MS, e);
	shm_count_in(s, rc == 0 ? C_AUDIT_RECORDS : C_AUDIT_FAILED, 1);
	return rc;
}
