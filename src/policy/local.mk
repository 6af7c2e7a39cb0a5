noinst_LIBRARIES += %D%/libpolicy.a
%C%_libpolicy_a_SOURCES = \
	%D%/build.c %D%/build.h \
	%D%/rbac.c %D%/rbac.h %D%/rules.def \
	%D%/snapshot.c %D%/snapshot.h
