noinst_LIBRARIES += %D%/libmcp.a
%C%_libmcp_a_SOURCES = %D%/mcp.h %D%/mcp_int.h %D%/methods.def \
	%D%/catalog.h %D%/catalog.c %D%/decode.c %D%/access.c %D%/visible.c \
	%D%/list.c %D%/open.c %D%/forward.c %D%/forward_int.h %D%/compose.c %D%/param_headers.c %D%/relay.c \
	%D%/caps.c %D%/own_task.h %D%/own_task.c \
	%D%/ask.c %D%/heard.h %D%/heard.c %D%/held.c %D%/mailbox.h %D%/mailbox.c %D%/state.h %D%/state.c %D%/spool.h %D%/spool.c %D%/resume.c \
	%D%/trail.c %D%/discovery.c %D%/serve.c \
	%D%/flow.c %D%/task.h %D%/task.c %D%/m_task.c %D%/bridge.c %D%/bridge_ask.c %D%/drive.c %D%/retro.c \
	%D%/m_session.c %D%/stream.h %D%/stream.c
