check_PROGRAMS += %D%/test_caps %D%/test_catalog %D%/test_decode %D%/test_state %D%/test_task
TESTS += %D%/test_caps %D%/test_catalog %D%/test_decode %D%/test_state %D%/test_task

%C%_test_caps_SOURCES = %D%/test_caps.c
%C%_test_caps_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_caps_LDADD = $(OMNI2_LIBS) $(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_catalog_SOURCES = %D%/test_catalog.c
%C%_test_catalog_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_catalog_LDADD = $(OMNI2_LIBS) $(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_decode_SOURCES = %D%/test_decode.c
%C%_test_decode_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_decode_LDADD = $(OMNI2_LIBS) $(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_state_SOURCES = %D%/test_state.c
%C%_test_state_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_state_LDADD = $(OMNI2_LIBS) $(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_task_SOURCES = %D%/test_task.c
%C%_test_task_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_task_LDADD = $(OMNI2_LIBS) $(CMOCKA_LIBS) $(THIRD_LIBS)
