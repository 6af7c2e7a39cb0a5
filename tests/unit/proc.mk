check_PROGRAMS += %D%/test_lists
TESTS += %D%/test_lists
%C%_test_lists_SOURCES = %D%/test_lists.c
%C%_test_lists_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_lists_LDADD = $(OMNI2_LIBS) $(CMOCKA_LIBS) $(THIRD_LIBS)
