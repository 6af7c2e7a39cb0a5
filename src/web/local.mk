noinst_LIBRARIES += %D%/libweb.a
%C%_libweb_a_SOURCES = %D%/web.h %D%/web.c %D%/health.c %D%/metrics.c
