/*
 * forward_int -- one forwarded request, shared by compose.c, relay.c, ask.c,
 * held.c and forward.c. Not for others.
 */
#ifndef OMNI2_MCP_FORWARD_INT_H
#define OMNI2_MCP_FORWARD_INT_H

#include "mcp/mcp_int.h"
#include "mcp/state.h"
#include "mcp/task.h"

#define QUESTIONS_MAX	16
#define ROUNDS_MAX	32

/* A question of the server that the client is to answer. */
struct question {
	uint32_t	number;		/* 1, 2, ... within the call */
	struct span	upstream_id;	/* raw JSON; .n 0: an inputRequests entry */
	struct span	key;		/* raw name in inputRequests; of a
					 * bridged task: method and params */
	bool		answered;
	struct span	answer;		/* raw response message of the client */
};

/* Tasks of the caller at one server. */
struct task_list {
	uint32_t	n;
	struct task_ref	*task;
};

struct forward {
	struct mcp_call	*c;
	struct upstream_target target;
	struct upstream_call up;
	const char	*member;	/* params member that is replaced ... */
	struct span	 own;		/* ... by this raw JSON */
	struct span	 param_headers;	/* Mcp-Param-*, complete lines */
	uint32_t	 max_attempts;
	int64_t		 retry_delay_ms;
	/* what the client said it can do, for the upstream */
	uint32_t	 caps;		/* enum session_cap bits */
	struct span	 caps_json;
	/* questions (ask.c) */
	struct question	 q[QUESTIONS_MAX];
	uint32_t	 n_questions, next_number;
	/* multi round trip towards a modern server */
	struct span	 input_responses;	/* raw object to send; .n 0 none */
	struct span	 request_state;		/* raw JSON string; .n 0 none */
	/* tasks (m_task.c) */
	bool		 is_task;	/* tasks/... */
	bool		 wants_task;	/* tools/call of 2025-11-25 with task */
	bool		 is_long;	/* waits until a task has ended */
	struct task_ref	 task;		/* of a tools/call: tool only */
	struct task_list *tasks;	/* tasks/list: those to be shown */
	int64_t		 next_server;	/* tasks/list: 0 none */
	/* a modern client's task at a legacy server (bridge.c) */
	bool		 bridges;
	struct span	 method;	/* sent instead; .n 0: the client's */
	struct span	 bridged;	/* the task, ended (its result comes) or
					 * in need of input */
	bool		 waits;		/* for questions */
	struct span	 asked;		/* inputRequests of it; .n 0: unknown */
	/* a legacy client's call that a modern server makes a task (drive.c) */
	bool		 drives;
	bool		 driven_is_error;
	struct json_value driven;	/* its result or error; NONE: no task */
	struct span	*answered;	/* names of its questions */
	uint32_t	 n_answered;
	/* a legacy client's task at a modern server (retro.c) */
	bool		 retro;
	uint32_t	 first_listed;	/* of tasks: where the page begins */
	/* a held call (held.c) */
	int		 resume_fd;	/* the retry's worker; -1 none */
	bool		 held;		/* the client's connection was released */
};

/* param_headers.c */
int	mcp_param_headers(struct mcp_call *, struct span tool,
	    struct span *lines, struct err *);

/* compose.c */
int	forward_compose(void *forward, const struct sess_info *, struct buf *,
	    struct err *);
void	forward_caps(struct forward *);
/* The scope that a requestState of this call is bound to. */
struct state_scope forward_scope(const struct forward *);

/* relay.c */
int	relay_message(void *forward, struct span message, struct err *);
/* A notification of a held call that came from another worker. */
int	relay_notification(struct forward *, struct span message, struct err *);
int	relay_stream_event(struct mcp_call *, struct span message);
int	relay_begin_stream(struct mcp_call *);

/* flow.c: upstream_result_fn, and the end of such an answer: after its record.
 * -1: the connection must be closed. */
int	flow_result(void *forward, struct span piece, struct err *e);
int	flow_end(struct mcp_call *);
/* 0 (debug) .. 7 (emergency), -1. */
int	relay_level(struct json_value);

/* ask.c: legacy clients, asked on the call's stream */
bool	ask_client_can(const struct forward *, struct span method);
int	ask_is_over(const struct forward *, struct err *);
int	ask_push(struct forward *, struct span method, struct span params,
	    struct span upstream_id, struct span key, struct err *);
int	ask_on_mail(void *forward, struct err *);
/* A modern server wants input of a legacy client: asks, waits, fills
 * input_responses and request_state for the next round. */
int	ask_input(struct forward *, struct span result, struct err *);
int	ask_refuse(struct forward *, struct span upstream_id, struct err *);
/* POSTed response of a client: hands it to the worker that asked. */
int	ask_take_response(struct mcp_call *, struct err *);

/* held.c: modern clients of legacy servers */
int	held_ask(struct forward *, struct span method, struct span params,
	    struct span upstream_id, struct err *);
/* The client is answered and its connection given back; the call goes on. */
int	held_release(struct forward *, struct span result, struct err *);
/* The call is over: its outcome to the worker of the retry. */
void	held_finish(struct forward *, int rc, const struct err *);
/* The retry: goes on with the held call. Fills the result like forward(). */
int	held_resume(struct forward *, const struct state *, struct span responses,
	    struct buf *out, struct err *);
/* input_required of a modern server for a modern client, state sealed. */
int	held_seal_result(struct forward *, struct span result, struct buf *out,
	    struct err *);

/* m_task.c */
/* The server's result with ids as the client knows them; in the arena. */
struct span task_take_result(struct forward *, struct span result);
/* The same for what it says meanwhile. False: not for this client. */
bool	task_take_message(struct forward *, struct span *message);
/* A client's answer to a question, for the server. */
struct span task_answer(struct forward *, struct span result);
/* CreateTaskResult of 2025-11-25: from now on the task is the caller's. */
void	task_note_created(struct forward *, struct span result);
/* A result with the id in its _meta as the client knows it. */
struct span task_related(struct forward *, struct span result);

/* drive.c: legacy clients at servers that answer with tasks */
/* Did the server refuse the call for want of the extension? */
bool	drive_is_refused(const struct forward *);
void	drive_declare(struct forward *);
bool	drive_has_task(const struct forward *);
/* Polls, asks, and leaves the outcome in f->driven. */
int	drive_to_end(struct forward *, struct err *);
/* The same for a task that goes on without us: the answer tells its state, and
 * f->up.name is its id. */
int	drive_wait(struct forward *, struct err *);
/* One request of our own about the task f->up.name. */
int	drive_request(struct forward *, const char *method, int64_t deadline_ms,
	    struct err *);
int	drive_compose(void *forward, const struct sess_info *, struct buf *,
	    struct err *);

/* bridge.c: modern clients' tasks at servers of 2025-11-25 */
/* Can this tool (raw JSON) be called as a task only? */
bool	bridge_needs_task(struct span tool);
/* What a server that offers this is sent for tasks/... */
struct span bridge_method(const struct mcp_call *, uint32_t offers);
/* The task has ended: a second request fetches what came of it. */
bool	bridge_wants_result(struct forward *);
bool	bridge_status_is(const struct forward *, const char *status,
	    struct span *task);
/* Answers the client with what was asked; the call goes on without it. */
int	bridge_release(struct forward *, struct err *);
/* 1: the answer is in out; 0: it is one like any other; -1 no room. */
int	bridge_take_answer(struct forward *, struct json_value result,
	    struct json_value error, struct buf *out);

/* retro.c: tasks of clients of 2025-11-25 at servers with the extension */
/* Is the call for such a server, and is it one of these? */
bool	retro_is_on(const struct forward *);
/* The call was answered: what else there is to do. */
int	retro_go_on(struct forward *, struct err *);
/* The server's result as a client of 2025-11-25 knows it, with the server's
 * ids; .n 0 with err. */
struct span retro_result(struct forward *, struct span result, struct err *);
/* The params of a question during a task. */
struct span retro_question(struct forward *, struct span params);
/* Is it one that ended before it began? Then it is kept here, not there. */
bool	retro_is_kept(struct span id);
int	retro_kept(struct mcp_call *, const struct task_ref *, struct buf *out,
	    struct err *);
/* tasks/list, from f->own (raw cursor) on: 1: what is asked for first; 0:
 * nothing, the list is f->driven. */
int	retro_list(struct forward *);

/* bridge_ask.c: what such a server asks in the middle of a task */
int	bridge_take_question(struct forward *, struct span method,
	    struct span params, struct span upstream_id, struct err *);
struct span bridge_questions(const struct forward *);
struct span bridge_answer(struct forward *, struct span result);
/* The task wants input: find out which. */
bool	bridge_wants_input(struct forward *);
int	bridge_ask(struct forward *, struct err *);
/* tasks/update: the answers to who waits for them. */
void	bridge_update(struct forward *);
/* No question may end with the request that it came with. */
void	bridge_hand_on(struct forward *);

/* forward.c */
/* A member of the server's answer; JSON_NONE: there is none. */
struct json_value forward_answer(const struct forward *, const char *name);
/* Permission is given; limits, breaker and audit decide now. Unpins. */
int	forward_run(struct forward *, struct buf *out, struct err *);
/* The text as JSON string, in the arena; before the call begins. */
struct span forward_quoted(struct mcp_call *, struct span text);
/* Notes the catalog's server in the call; false if it is gone. */
bool	forward_note_server(struct mcp_call *, uint32_t cat_index);
int	forward_denied(struct mcp_call *, struct span name, struct err *);
int	forward_take_response(struct forward *, struct buf *out, struct err *);

#endif
