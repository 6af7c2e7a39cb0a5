# make check runs what needs nothing but this tree (and, where it is installed,
# a PostgreSQL of its own). tests/run does that and everything else.
if HAVE_CMOCKA
include tests/unit/api.mk
include tests/unit/audit.mk
include tests/unit/auth.mk
include tests/unit/base.mk
include tests/unit/conf.mk
include tests/unit/ctl.mk
include tests/unit/mcp.mk
include tests/unit/net.mk
include tests/unit/policy.mk
include tests/unit/proc.mk
include tests/unit/shm.mk
include tests/unit/stdio.mk
include tests/unit/store.mk
include tests/unit/upstream.mk
endif
include tests/fuzz/local.mk
include tests/model/local.mk

# The server that tests/system and tests/perf measure against.
check_PROGRAMS += %D%/perf/upstream
%C%_perf_upstream_SOURCES = %D%/perf/upstream.c
check_PROGRAMS += %D%/system/ids
%C%_system_ids_SOURCES = %D%/system/ids.c
%C%_system_ids_LDADD = -lpthread

EXTRA_DIST += .ci/run %D%/conformance %D%/packages %D%/packages.d \
	%D%/perf/run.py %D%/run %D%/system

# What building and running the tests leaves in folders that are shipped as a
# whole.
dist-hook:
	rm -rf $(distdir)/%D%/system/__pycache__ \
	    $(distdir)/%D%/system/fakes/__pycache__ \
	    $(distdir)/%D%/conformance/node_modules \
	    $(distdir)/%D%/system/.deps $(distdir)/%D%/system/.dirstamp \
	    $(distdir)/%D%/system/ids $(distdir)/%D%/system/ids.o
