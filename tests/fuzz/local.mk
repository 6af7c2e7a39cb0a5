# Fuzz targets. "make check" replays the corpus of each (replay_<target>, any
# compiler); with --enable-fuzz and clang, fuzz_<target> is a libFuzzer program:
#   tests/fuzz/fuzz_url -max_total_time=60 /tmp/new tests/fuzz/corpus/fuzz_url
# To add one: fuzz_<target>.c, corpus/fuzz_<target>/, its name in fuzz_replays
# (and fuzz_programs), and three lines like those of url in both blocks below.
fuzz_libs = $(OMNI2_LIBS) $(THIRD_LIBS)

fuzz_replays = %D%/replay_http_head %D%/replay_http_body %D%/replay_sse \
	%D%/replay_json_read %D%/replay_url %D%/replay_conf \
	%D%/replay_audit_record \
	%D%/replay_session \
	%D%/replay_token_guard \
	%D%/replay_api %D%/replay_ws
check_PROGRAMS += $(fuzz_replays)
TESTS += $(fuzz_replays)
EXTRA_DIST += %D%/corpus

%C%_replay_http_head_SOURCES = %D%/fuzz_http_head.c %D%/replay.c %D%/fuzz.h
%C%_replay_http_head_LDADD = $(fuzz_libs)

%C%_replay_http_body_SOURCES = %D%/fuzz_http_body.c %D%/replay.c %D%/fuzz.h
%C%_replay_http_body_LDADD = $(fuzz_libs)

%C%_replay_sse_SOURCES = %D%/fuzz_sse.c %D%/replay.c %D%/fuzz.h
%C%_replay_sse_LDADD = $(fuzz_libs)

%C%_replay_json_read_SOURCES = %D%/fuzz_json_read.c %D%/replay.c %D%/fuzz.h \
	%D%/json_oracle.c %D%/json_oracle.h
%C%_replay_json_read_LDADD = $(fuzz_libs)

%C%_replay_url_SOURCES = %D%/fuzz_url.c %D%/replay.c %D%/fuzz.h
%C%_replay_url_LDADD = $(fuzz_libs)

%C%_replay_conf_SOURCES = %D%/fuzz_conf.c %D%/replay.c %D%/fuzz.h
%C%_replay_conf_LDADD = $(fuzz_libs)

%C%_replay_audit_record_SOURCES = %D%/fuzz_audit_record.c %D%/replay.c %D%/fuzz.h
%C%_replay_audit_record_LDADD = $(fuzz_libs)

%C%_replay_session_SOURCES = %D%/fuzz_session.c %D%/replay.c %D%/fuzz.h
%C%_replay_session_LDADD = $(fuzz_libs)

%C%_replay_token_guard_SOURCES = %D%/fuzz_token_guard.c %D%/replay.c %D%/fuzz.h
%C%_replay_token_guard_LDADD = $(fuzz_libs)

%C%_replay_api_SOURCES = %D%/fuzz_api.c %D%/replay.c %D%/fuzz.h
%C%_replay_api_LDADD = $(fuzz_libs)

%C%_replay_ws_SOURCES = %D%/fuzz_ws.c %D%/replay.c %D%/fuzz.h
%C%_replay_ws_LDADD = $(fuzz_libs)

if FUZZ
fuzz_programs = %D%/fuzz_http_head %D%/fuzz_http_body %D%/fuzz_sse \
	%D%/fuzz_json_read %D%/fuzz_url %D%/fuzz_conf \
	%D%/fuzz_audit_record \
	%D%/fuzz_session \
	%D%/fuzz_token_guard \
	%D%/fuzz_api %D%/fuzz_ws
noinst_PROGRAMS += $(fuzz_programs)

%C%_fuzz_http_head_SOURCES = %D%/fuzz_http_head.c
%C%_fuzz_http_head_LDADD = $(fuzz_libs)
%C%_fuzz_http_head_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_http_body_SOURCES = %D%/fuzz_http_body.c
%C%_fuzz_http_body_LDADD = $(fuzz_libs)
%C%_fuzz_http_body_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_sse_SOURCES = %D%/fuzz_sse.c
%C%_fuzz_sse_LDADD = $(fuzz_libs)
%C%_fuzz_sse_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_json_read_SOURCES = %D%/fuzz_json_read.c %D%/json_oracle.c
%C%_fuzz_json_read_LDADD = $(fuzz_libs)
%C%_fuzz_json_read_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_url_SOURCES = %D%/fuzz_url.c
%C%_fuzz_url_LDADD = $(fuzz_libs)
%C%_fuzz_url_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_conf_SOURCES = %D%/fuzz_conf.c
%C%_fuzz_conf_LDADD = $(fuzz_libs)
%C%_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_audit_record_SOURCES = %D%/fuzz_audit_record.c
%C%_fuzz_audit_record_LDADD = $(fuzz_libs)
%C%_fuzz_audit_record_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_session_SOURCES = %D%/fuzz_session.c
%C%_fuzz_session_LDADD = $(fuzz_libs)
%C%_fuzz_session_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_token_guard_SOURCES = %D%/fuzz_token_guard.c
%C%_fuzz_token_guard_LDADD = $(fuzz_libs)
%C%_fuzz_token_guard_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_api_SOURCES = %D%/fuzz_api.c
%C%_fuzz_api_LDADD = $(fuzz_libs)
%C%_fuzz_api_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

%C%_fuzz_ws_SOURCES = %D%/fuzz_ws.c
%C%_fuzz_ws_LDADD = $(fuzz_libs)
%C%_fuzz_ws_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif
