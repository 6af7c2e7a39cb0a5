noinst_LIBRARIES += %D%/libnet.a
%C%_libnet_a_SOURCES = \
	%D%/http_body.c %D%/http_body.h \
	%D%/http_field.c %D%/http_head.c %D%/http_head.h \
	%D%/http_headers.def \
	%D%/http_reply.c %D%/http_reply.h \
	%D%/resolve.c %D%/resolve.h \
	%D%/sock.c %D%/sock.h \
	%D%/sse.c %D%/sse.h \
	%D%/url.c %D%/url.h \
	%D%/ws.c %D%/ws.h %D%/ws_accept.c
