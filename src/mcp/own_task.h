/*
 * own_task -- tasks of revision 2025-11-25 that a client keeps for what a
 * server asked it (sampling, elicitation).
 *
 * Questions about them are like any other (ask.c, heard.c). What is kept here
 * is at which server each was made: that one alone hears how it gets on. It
 * stands in shared memory, so the server only has to ask after a restart.
 */
#ifndef OMNI2_MCP_OWN_TASK_H
#define OMNI2_MCP_OWN_TASK_H

#include "base/json_read.h"

struct mcp_call;

/* The result that a client of the caller's session answers a question with; a
 * CreateTaskResult is taken note of. */
void	own_task_note(struct mcp_call *, int64_t server_id,
	    struct json_value result);

#endif
