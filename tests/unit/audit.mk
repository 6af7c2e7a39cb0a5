# Tests of src/audit. test_audit_ship and audit_kill start a PostgreSQL of
# their own (tests/pg).
check_PROGRAMS += %D%/test_audit_record %D%/test_audit_journal \
	%D%/test_audit_ship %D%/audit_kill
TESTS += %D%/test_audit_record %D%/test_audit_journal %D%/test_audit_ship \
	%D%/audit_kill
audit_test_libs = src/audit/libaudit.a src/store/libstore.a \
	src/conf/libconf.a src/net/libnet.a shm/libshm.a src/base/libbase.a
%C%_test_audit_record_SOURCES = %D%/test_audit_record.c
%C%_test_audit_record_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_audit_record_LDADD = $(audit_test_libs) $(CMOCKA_LIBS) $(THIRD_LIBS)
%C%_test_audit_journal_SOURCES = %D%/test_audit_journal.c %D%/pgtest.h \
	%D%/pgtest.c
%C%_test_audit_journal_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_audit_journal_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fdatasync \
	-Wl,--wrap=splice
%C%_test_audit_journal_LDADD = $(audit_test_libs) $(CMOCKA_LIBS) $(THIRD_LIBS)
%C%_test_audit_ship_SOURCES = %D%/test_audit_ship.c %D%/pgtest.h %D%/pgtest.c
%C%_test_audit_ship_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_audit_ship_LDADD = $(audit_test_libs) $(CMOCKA_LIBS) $(THIRD_LIBS)
%C%_audit_kill_SOURCES = tests/model/audit_kill.c %D%/pgtest.h %D%/pgtest.c
%C%_audit_kill_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit
%C%_audit_kill_LDADD = $(audit_test_libs) $(THIRD_LIBS)

check_PROGRAMS += tests/perf/bench_audit
tests_perf_bench_audit_SOURCES = tests/perf/bench_audit.c %D%/pgtest.h \
	%D%/pgtest.c
tests_perf_bench_audit_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/tests/unit
tests_perf_bench_audit_LDADD = $(audit_test_libs) $(THIRD_LIBS)
