check_PROGRAMS += %D%/test_yaml_tree %D%/test_conf %D%/test_model
TESTS += %D%/test_yaml_tree %D%/test_conf %D%/test_model
EXTRA_DIST += tests/golden/conf

%C%_test_yaml_tree_SOURCES = %D%/test_yaml_tree.c
%C%_test_yaml_tree_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_yaml_tree_LDADD = src/conf/libconf.a src/base/libbase.a \
	$(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_conf_SOURCES = %D%/test_conf.c
%C%_test_conf_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_conf_LDADD = src/conf/libconf.a src/base/libbase.a \
	$(CMOCKA_LIBS) $(THIRD_LIBS)

%C%_test_model_SOURCES = %D%/test_model.c
%C%_test_model_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_model_LDADD = src/conf/libconf.a src/base/libbase.a \
	$(CMOCKA_LIBS) $(THIRD_LIBS)
