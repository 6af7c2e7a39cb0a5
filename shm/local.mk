noinst_LIBRARIES += %D%/libshm.a
%C%_libshm_a_SOURCES = %D%/shm.h %D%/layout.h %D%/shm_int.h \
	%D%/zones.def %D%/kinds.def %D%/metrics.def %D%/shm.c \
	%D%/gen.h %D%/gen.c %D%/rate.h %D%/rate.c %D%/perm.h %D%/perm.c \
	%D%/slot.h %D%/slot.c %D%/sess.h %D%/sess.c %D%/sess_client.c %D%/health.h %D%/health.c \
	%D%/legacy.h %D%/legacy.c \
	%D%/client.h %D%/client.c %D%/stream.h
EXTRA_DIST += %D%/README
