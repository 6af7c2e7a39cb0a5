/*
 * link -- one TLS connection and the plain one that belongs to it.
 *
 * tlsd only. Nothing here waits.
 */
#ifndef OMNI2_TLS_LINK_H
#define OMNI2_TLS_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_PIECE	16384	/* a TLS record's plaintext */

enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_LINGERING };

/* What one side has given and the other has not yet taken. */
struct link_rest {
	char	*p;		/* NULL: nothing */
	size_t	 at, n;
};

struct link {
	SSL		*ssl;
	int		 net, plain;	/* plain: -1 before the handshake */
	enum link_state	 state;
	int64_t		 since_ms;	/* of state */
	bool		 net_ended;	/* the client says no more */
	bool		 deaf;		/* nobody reads plain any more */
	struct link_rest to_plain, to_net;
	char		 peer[48];
};

enum link_step {
	LINK_WAITS,		/* until one of its descriptors is ready */
	LINK_GOES_ON,		/* there is more to do at once */
	LINK_READY,		/* the handshake is done: give it a plain end */
	LINK_OVER,		/* the plain side has ended, all is sent */
	LINK_BROKEN
};

/* At most some pieces, so that one link cannot keep the others waiting. */
enum link_step link_step(struct link *);
void	link_free(struct link *);

#endif
