check_PROGRAMS += %D%/test_child %D%/test_mux %D%/test_stdiod \
	%D%/test_stdiod_sessions %D%/test_sandbox
TESTS += %D%/test_child %D%/test_mux %D%/test_stdiod \
	%D%/test_stdiod_sessions %D%/test_sandbox
EXTRA_DIST += %D%/stdio_server.py %D%/sandbox_probe.py

stdio_test_libs = src/stdio/libstdio.a src/policy/libpolicy.a \
	src/conf/libconf.a shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) \
	$(THIRD_LIBS)

%C%_test_child_SOURCES = %D%/test_child.c
%C%_test_child_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_child_LDADD = $(stdio_test_libs)

%C%_test_mux_SOURCES = %D%/test_mux.c
%C%_test_mux_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_mux_LDADD = $(stdio_test_libs)

%C%_test_sandbox_SOURCES = %D%/test_sandbox.c
%C%_test_sandbox_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_sandbox_LDADD = $(stdio_test_libs)

%C%_test_stdiod_sessions_SOURCES = %D%/test_stdiod_sessions.c \
	%D%/stdio_test.h
%C%_test_stdiod_sessions_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_stdiod_sessions_LDADD = $(stdio_test_libs)

%C%_test_stdiod_SOURCES = %D%/test_stdiod.c %D%/stdio_test.h
%C%_test_stdiod_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_stdiod_LDADD = $(stdio_test_libs)
