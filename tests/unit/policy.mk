check_PROGRAMS += %D%/test_rbac %D%/test_policy_build
TESTS += %D%/test_rbac %D%/test_policy_build

policy_test_libs = src/policy/libpolicy.a src/conf/libconf.a shm/libshm.a \
	src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_rbac_SOURCES = %D%/test_rbac.c
%C%_test_rbac_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_rbac_LDADD = $(policy_test_libs)

%C%_test_policy_build_SOURCES = %D%/test_policy_build.c
%C%_test_policy_build_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_policy_build_LDADD = $(policy_test_libs)
