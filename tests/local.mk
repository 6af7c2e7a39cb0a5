# make check runs what needs nothing but this tree (and, where it is installed,
# a PostgreSQL of its own). tests/run does that and everything else.
if HAVE_CMOCKA
include tests/unit/audit.mk
include tests/unit/auth.mk
include tests/unit/base.mk
include tests/unit/conf.mk
include tests/unit/mcp.mk
include tests/unit/net.mk
include tests/unit/policy.mk
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

EXTRA_DIST += \
	.ci/run \
	%D%/conformance/count.mjs \
	%D%/conformance/expected-failures.txt \
	%D%/conformance/inject-header.mjs \
	%D%/conformance/package-lock.json \
	%D%/conformance/package.json \
	%D%/conformance/reference-server.mjs \
	%D%/conformance/run.sh \
	%D%/perf/run.py \
	%D%/run \
	%D%/system/a01_starts.py \
	%D%/system/a02_calls.py \
	%D%/system/a03_signals.py \
	%D%/system/a04_control.py \
	%D%/system/a05_ctl.py \
	%D%/system/c01_conformance.py \
	%D%/system/d01_database.py \
	%D%/system/f01_kills.py \
	%D%/system/f02_reload_storm.py \
	%D%/system/f03_disk_full.py \
	%D%/system/fake.py \
	%D%/system/fakes/client.mjs \
	%D%/system/fakes/client.py \
	%D%/system/fakes/fastmcp_server.py \
	%D%/system/fakes/stdio_server.py \
	%D%/system/h01_malformed.py \
	%D%/system/h02_limits.py \
	%D%/system/h03_many.py \
	%D%/system/harness.py \
	%D%/system/load.py \
	%D%/system/m01_eras.py \
	%D%/system/m02_names.py \
	%D%/system/m03_messages.py \
	%D%/system/m04_clients.py \
	%D%/system/m05_cancel.py \
	%D%/system/m06_bad_servers.py \
	%D%/system/p01_permissions.py \
	%D%/system/p02_limits.py \
	%D%/system/package-lock.json \
	%D%/system/package.json \
	%D%/system/requirements.txt \
	%D%/system/run.py \
	%D%/system/s01_streams.py \
	%D%/system/servers.py \
	%D%/system/u01_audit.py
