noinst_LIBRARIES += %D%/libmcp.a
%C%_libmcp_a_SOURCES = %D%/mcp.h %D%/mcp_int.h %D%/methods.def \
	%D%/catalog.h %D%/catalog.c %D%/decode.c %D%/access.c %D%/visible.c \
	%D%/list.c %D%/open.c %D%/forward.c %D%/trail.c %D%/serve.c
