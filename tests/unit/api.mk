check_PROGRAMS += %D%/test_api
TESTS += %D%/test_api
%C%_test_api_SOURCES = %D%/test_api.c
%C%_test_api_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_api_LDADD = src/api/libapi.a src/web/libweb.a src/mcp/libmcp.a \
	src/upstream/libupstream.a src/auth/libauth.a src/policy/libpolicy.a \
	src/audit/libaudit.a src/store/libstore.a src/conf/libconf.a \
	src/net/libnet.a shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) \
	$(THIRD_LIBS)
