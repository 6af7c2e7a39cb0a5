noinst_LIBRARIES += %D%/libstdio.a
%C%_libstdio_a_SOURCES = \
	%D%/asked.c \
	%D%/child.c %D%/child.h \
	%D%/client.c \
	%D%/landlock.c \
	%D%/mux.c %D%/mux.h \
	%D%/output.c %D%/outq.c %D%/outq.h \
	%D%/question.c %D%/question.h \
	%D%/process.c \
	%D%/route.c %D%/subscribe.c %D%/subscribe.h \
	%D%/sandbox.c %D%/sandbox.h %D%/sandbox_check.c %D%/seccomp.c \
	%D%/server.c \
	%D%/spec.c %D%/spec.h \
	%D%/stdio_proto.h \
	%D%/stdiod.c %D%/stdiod.h %D%/stdiod_int.h \
	%D%/watch.c
