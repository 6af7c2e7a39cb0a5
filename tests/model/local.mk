# The protocols of shared memory under SIGKILL, and what they cost.
check_PROGRAMS += %D%/model_kill
TESTS += %D%/model_kill
%C%_model_kill_SOURCES = %D%/model_kill.c
%C%_model_kill_LDADD = shm/libshm.a src/base/libbase.a $(THIRD_LIBS) -lpthread

check_PROGRAMS += tests/perf/bench_shm
tests_perf_bench_shm_SOURCES = tests/perf/bench_shm.c
tests_perf_bench_shm_LDADD = shm/libshm.a src/base/libbase.a $(THIRD_LIBS)
