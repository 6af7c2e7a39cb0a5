/*
 * resolve -- see resolve.h. The C library's getaddrinfo_a(3) asks on a thread
 * of its own; addresses that are written as numbers never get there.
 */
#include "net/resolve.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fiber.h"

#define LOOK_MS	2

/* One question; the library writes to it until it has answered. */
struct question {
	struct gaicb	 cb;
	struct addrinfo	 hints;
	char		 name[256], service[16];
};

static const struct addrinfo tcp = { .ai_socktype = SOCK_STREAM,
    .ai_flags = AI_NUMERICSERV };

static struct question *
question_new(const char *name, const char *service)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->hints = tcp;
	strncpy(q->name, name, sizeof(q->name) - 1);
	strncpy(q->service, service, sizeof(q->service) - 1);
	q->cb.ar_name = q->name;
	q->cb.ar_service = q->service;
	q->cb.ar_request = &q->hints;
	return q;
}

static int
ask(const char *name, const char *service, int64_t deadline_ms,
    struct addrinfo **list)
{
	struct question *q = question_new(name, service);
	struct gaicb *one[1] = { &q->cb };
	int rv = getaddrinfo_a(GAI_NOWAIT, one, 1, NULL);

	while (rv == 0 && (rv = gai_error(&q->cb)) == EAI_INPROGRESS) {
		if (deadline_ms >= 0 && clock_mono_ms() >= deadline_ms) {
			/* under way: it is written to when we are gone */
			if (gai_cancel(&q->cb) == EAI_CANCELED)
				free(q);
			return EAI_AGAIN;
		}
		fiber_sleep(LOOK_MS);
		rv = 0;
	}
	if (rv == 0)
		*list = q->cb.ar_result;
	free(q);
	return rv;
}

int
resolve(const char *name, const char *service, int64_t deadline_ms,
    struct addrinfo **list)
{
	struct addrinfo number = tcp;
	int rv;

	number.ai_flags |= AI_NUMERICHOST;
	rv = getaddrinfo(name, service, &number, list);
	if (rv == 0)
		return 0;
	if (!fiber_is_inside())
		return getaddrinfo(name, service, &tcp, list);
	return ask(name, service, deadline_ms, list);
}
