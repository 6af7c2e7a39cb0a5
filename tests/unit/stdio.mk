check_PROGRAMS += %D%/test_child %D%/test_mux %D%/test_stdiod
TESTS += %D%/test_child %D%/test_mux %D%/test_stdiod
EXTRA_DIST += %D%/stdio_server.py

stdio_test_libs = src/stdio/libstdio.a src/policy/libpolicy.a \
	src/conf/libconf.a shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) \
	$(THIRD_LIBS)

%C%_test_child_SOURCES = %D%/test_child.c
%C%_test_child_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_child_LDADD = $(stdio_test_libs)

%C%_test_mux_SOURCES = %D%/test_mux.c
%C%_test_mux_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_mux_LDADD = $(stdio_test_libs)

%C%_test_stdiod_SOURCES = %D%/test_stdiod.c %D%/stdio_test.h
%C%_test_stdiod_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_stdiod_LDADD = $(stdio_test_libs)
