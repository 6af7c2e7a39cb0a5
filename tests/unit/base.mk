# Unit tests of src/base, and the check of layers over the whole tree.
base_test_libs = src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)

TESTS += tools/check_layers
EXTRA_DIST += tools/check_layers

base_tests = %D%/test_arena %D%/test_buf %D%/test_bulk %D%/test_clock %D%/test_err \
	%D%/test_fdio %D%/test_fiber %D%/test_glob %D%/test_hash %D%/test_json_read %D%/test_json_scan \
	%D%/test_json_write %D%/test_log %D%/test_num
check_PROGRAMS += $(base_tests)
TESTS += $(base_tests)

%C%_test_arena_SOURCES = %D%/test_arena.c
%C%_test_arena_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_arena_LDADD = $(base_test_libs)

%C%_test_buf_SOURCES = %D%/test_buf.c
%C%_test_buf_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_buf_LDADD = $(base_test_libs)

%C%_test_bulk_SOURCES = %D%/test_bulk.c
%C%_test_bulk_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_bulk_LDADD = $(base_test_libs)

%C%_test_clock_SOURCES = %D%/test_clock.c
%C%_test_clock_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_clock_LDADD = $(base_test_libs)

%C%_test_err_SOURCES = %D%/test_err.c
%C%_test_err_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_err_LDADD = $(base_test_libs)

%C%_test_fdio_SOURCES = %D%/test_fdio.c
%C%_test_fdio_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_fdio_LDADD = $(base_test_libs)

%C%_test_fiber_SOURCES = %D%/test_fiber.c
%C%_test_fiber_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_fiber_LDADD = $(base_test_libs)

%C%_test_glob_SOURCES = %D%/test_glob.c
%C%_test_glob_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_glob_LDADD = $(base_test_libs)

%C%_test_hash_SOURCES = %D%/test_hash.c
%C%_test_hash_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_hash_LDADD = $(base_test_libs)

%C%_test_json_read_SOURCES = %D%/test_json_read.c
%C%_test_json_read_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_json_read_LDADD = $(base_test_libs)

%C%_test_json_scan_SOURCES = %D%/test_json_scan.c
%C%_test_json_scan_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_json_scan_LDADD = $(base_test_libs)

%C%_test_json_write_SOURCES = %D%/test_json_write.c
%C%_test_json_write_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_json_write_LDADD = $(base_test_libs)

%C%_test_log_SOURCES = %D%/test_log.c
%C%_test_log_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_log_LDADD = $(base_test_libs)

%C%_test_num_SOURCES = %D%/test_num.c
%C%_test_num_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_num_LDADD = $(base_test_libs)
