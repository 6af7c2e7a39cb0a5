/*
 * mailbox -- how a worker reaches another worker that is in the middle of a
 * call: with a client's answer to a question, or with the retry of a held call.
 *
 * A worker opens its mailbox (a UNIX stream listener "<run_dir>/ask.<slot>")
 * when its first call needs one. Only omni2's own user can reach the run
 * directory; what a frame claims is checked against the call under way all the
 * same. A conversation is one connection; either end closing it ends it.
 */
#ifndef OMNI2_MCP_MAILBOX_H
#define OMNI2_MCP_MAILBOX_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum mail_type {
	/* to the worker that holds the call */
	MAIL_RESPONSE = 1,	/* body: a client's response message; then ACK or
				 * GONE comes back and the connection ends */
	MAIL_RESUME,		/* body: inputResponses object; frames follow */
	MAIL_HEARD,		/* body: a message of the server that its
				 * listener heard; then ACK or GONE */
	MAIL_ASKED,		/* what does the task ask for? ASK or GONE */
	/* from it */
	MAIL_ACK, MAIL_GONE,
	MAIL_MESSAGE,		/* body: a notification of the server */
	MAIL_ASK,		/* body: a whole input_required result object;
				 * after ASKED: inputRequests of it */
	MAIL_FINAL,		/* body: the server's response message */
	MAIL_ERROR		/* number: enum err_code; body: text */
};

struct mail {
	uint32_t	magic;
	uint32_t	type;
	uint64_t	call;
	uint64_t	number;		/* question, or error code */
	uint64_t	size;		/* of body, follows */
};

#define MAIL_BODY_MAX	(64u << 20)

/* The own listener, opened at first use (*listener -1); -1 with err. */
int	mailbox_open(int *listener, const char *run_dir, uint32_t slot,
	    struct err *);
/* Connects to another's. */
int	mailbox_connect(const char *run_dir, uint32_t slot, struct err *);
/* Waits for and accepts one conversation; -1 if none came by the deadline. */
int	mailbox_accept(int listener, int64_t deadline_ms);
/* The call is over: who is still waiting need not wait any longer. */
void	mailbox_refuse_all(int listener);
int	mailbox_send(int fd, enum mail_type, uint64_t call, uint64_t number,
	    struct span body);
/* Reads a frame; body replaced. 1, 0 closed or damaged, -1 deadline. */
int	mailbox_recv(int fd, struct mail *, struct buf *body, int64_t deadline_ms);

#endif
