UPSTREAM_TEST_LIBS = src/upstream/libupstream.a src/net/libnet.a \
	shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS) -lpthread

check_PROGRAMS += %D%/test_upstream_http
TESTS += %D%/test_upstream_http
%C%_test_upstream_http_SOURCES = %D%/test_upstream_http.c %D%/upstream_test.h
%C%_test_upstream_http_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_upstream_http_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=send \
	-Wl,--wrap=recv -Wl,--wrap=sock_connect_tcp
%C%_test_upstream_http_LDADD = $(UPSTREAM_TEST_LIBS)

check_PROGRAMS += %D%/test_upstream_session
TESTS += %D%/test_upstream_session
%C%_test_upstream_session_SOURCES = %D%/test_upstream_session.c \
	%D%/upstream_test.h
%C%_test_upstream_session_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_upstream_session_LDADD = $(UPSTREAM_TEST_LIBS)

check_PROGRAMS += %D%/test_upstream_stdio
TESTS += %D%/test_upstream_stdio
%C%_test_upstream_stdio_SOURCES = %D%/test_upstream_stdio.c \
	%D%/upstream_test.h
%C%_test_upstream_stdio_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_upstream_stdio_LDADD = $(UPSTREAM_TEST_LIBS)

check_PROGRAMS += %D%/test_upstream_https
TESTS += %D%/test_upstream_https
%C%_test_upstream_https_SOURCES = %D%/test_upstream_https.c \
	%D%/upstream_test.h
%C%_test_upstream_https_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_upstream_https_LDADD = $(UPSTREAM_TEST_LIBS)

check_PROGRAMS += %D%/test_upstream_resume
TESTS += %D%/test_upstream_resume
%C%_test_upstream_resume_SOURCES = %D%/test_upstream_resume.c \
	%D%/upstream_test.h
%C%_test_upstream_resume_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_upstream_resume_LDADD = $(UPSTREAM_TEST_LIBS)
