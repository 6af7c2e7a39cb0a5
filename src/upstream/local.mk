noinst_LIBRARIES += %D%/libupstream.a
%C%_libupstream_a_SOURCES = \
	%D%/curl_call.c \
	%D%/http.c \
	%D%/http_conn.c \
	%D%/params.c \
	%D%/pool.c \
	%D%/session.c \
	%D%/sink.c \
	%D%/stdio.c \
	%D%/upstream.h %D%/upstream_int.h \
	%D%/wire.c
