noinst_LIBRARIES += %D%/libupstream.a
%C%_libupstream_a_SOURCES = \
	%D%/curl_call.c \
	%D%/curl_link.c \
	%D%/hear.c %D%/hear.h \
	%D%/fetch.c %D%/fetch.h \
	%D%/http.c \
	%D%/http_conn.c \
	%D%/link.c %D%/link_int.h \
	%D%/opening.c \
	%D%/params.c \
	%D%/pool.c \
	%D%/reap.c \
	%D%/session.c \
	%D%/sink.c \
	%D%/sink_flow.c \
	%D%/sse_link.c \
	%D%/stdio.c \
	%D%/upstream.h %D%/upstream_int.h %D%/opening_int.h \
	%D%/wire.c \
	%D%/ws_link.c
