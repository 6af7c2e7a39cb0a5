check_PROGRAMS += %D%/test_auth %D%/test_session
TESTS += %D%/test_auth %D%/test_session

auth_test_libs = src/auth/libauth.a src/policy/libpolicy.a \
	src/conf/libconf.a shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) \
	$(THIRD_LIBS)

%C%_test_auth_SOURCES = %D%/test_auth.c
%C%_test_auth_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_auth_LDADD = $(auth_test_libs)

%C%_test_session_SOURCES = %D%/test_session.c
%C%_test_session_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_session_LDADD = $(auth_test_libs)
