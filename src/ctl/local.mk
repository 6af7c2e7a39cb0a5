noinst_LIBRARIES += %D%/libctl.a
%C%_libctl_a_SOURCES = $(wildcard_placeholder)
