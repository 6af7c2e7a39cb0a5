# Tests of src/ctl: its pure parts, built from the sources of the program.
check_PROGRAMS += %D%/test_ctl
TESTS += %D%/test_ctl
%C%_test_ctl_SOURCES = %D%/test_ctl.c src/ctl/fit.c src/ctl/to_yaml.c \
	src/ctl/yaml_edit.c
%C%_test_ctl_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
%C%_test_ctl_LDADD = src/store/libstore.a src/conf/libconf.a \
	src/net/libnet.a src/base/libbase.a $(CMOCKA_LIBS) $(THIRD_LIBS)
