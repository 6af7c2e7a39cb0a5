# Tests of src/store; they start a PostgreSQL of their own (tests/pg).
EXTRA_DIST += tests/pg
check_PROGRAMS += %D%/test_store
TESTS += %D%/test_store
%C%_test_store_SOURCES = %D%/test_store.c %D%/pgtest.h %D%/pgtest.c
%C%_test_store_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_store_LDADD = src/store/libstore.a src/conf/libconf.a \
	src/net/libnet.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)
