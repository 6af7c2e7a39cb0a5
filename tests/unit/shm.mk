check_PROGRAMS += %D%/test_shm_gen
TESTS += %D%/test_shm_gen
%C%_test_shm_gen_SOURCES = %D%/test_shm_gen.c %D%/shm_test.h
%C%_test_shm_gen_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_shm_gen_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_rate
TESTS += %D%/test_rate
%C%_test_rate_SOURCES = %D%/test_rate.c %D%/shm_test.h
%C%_test_rate_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_rate_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_perm
TESTS += %D%/test_perm
%C%_test_perm_SOURCES = %D%/test_perm.c %D%/shm_test.h
%C%_test_perm_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_perm_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_slot
TESTS += %D%/test_slot
%C%_test_slot_SOURCES = %D%/test_slot.c %D%/shm_test.h
%C%_test_slot_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_slot_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_sess
TESTS += %D%/test_sess
%C%_test_sess_SOURCES = %D%/test_sess.c %D%/shm_test.h
%C%_test_sess_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_sess_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_breaker
TESTS += %D%/test_breaker
%C%_test_breaker_SOURCES = %D%/test_breaker.c %D%/shm_test.h
%C%_test_breaker_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_breaker_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_legacy
TESTS += %D%/test_legacy
%C%_test_legacy_SOURCES = %D%/test_legacy.c %D%/shm_test.h
%C%_test_legacy_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_legacy_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_shm_protect
TESTS += %D%/test_shm_protect
%C%_test_shm_protect_SOURCES = %D%/test_shm_protect.c %D%/shm_test.h
%C%_test_shm_protect_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_shm_protect_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_shm_step
TESTS += %D%/test_shm_step
%C%_test_shm_step_SOURCES = %D%/test_shm_step.c %D%/shm_test.h
%C%_test_shm_step_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_shm_step_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

check_PROGRAMS += %D%/test_client
TESTS += %D%/test_client
%C%_test_client_SOURCES = %D%/test_client.c %D%/shm_test.h
%C%_test_client_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_client_LDADD = shm/libshm.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)
