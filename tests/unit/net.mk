# Unit tests of src/net.
net_test_libs = src/net/libnet.a src/base/libbase.a $(CMOCKA_LIBS) \
	$(THIRD_LIBS)

net_tests = %D%/test_http_body %D%/test_http_field %D%/test_http_head \
	%D%/test_sock %D%/test_sse %D%/test_url %D%/test_ws
check_PROGRAMS += $(net_tests)
TESTS += $(net_tests)

%C%_test_http_body_SOURCES = %D%/test_http_body.c
%C%_test_http_body_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_http_body_LDADD = $(net_test_libs)

%C%_test_http_field_SOURCES = %D%/test_http_field.c
%C%_test_http_field_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_http_field_LDADD = $(net_test_libs)

%C%_test_http_head_SOURCES = %D%/test_http_head.c
%C%_test_http_head_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_http_head_LDADD = $(net_test_libs)

%C%_test_sock_SOURCES = %D%/test_sock.c
%C%_test_sock_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_sock_LDADD = $(net_test_libs)

%C%_test_sse_SOURCES = %D%/test_sse.c
%C%_test_sse_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_sse_LDADD = $(net_test_libs)

%C%_test_url_SOURCES = %D%/test_url.c
%C%_test_url_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_url_LDADD = $(net_test_libs)

%C%_test_ws_SOURCES = %D%/test_ws.c
%C%_test_ws_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_ws_LDADD = $(net_test_libs)
