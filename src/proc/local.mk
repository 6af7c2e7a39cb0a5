noinst_LIBRARIES += %D%/libproc.a
%C%_libproc_a_SOURCES = %D%/proc.h %D%/conn.h %D%/conn.c %D%/place.c %D%/place.h %D%/worker.c \
	%D%/admin.h %D%/admin.c %D%/ask.h %D%/ask.c \
	%D%/secret.h %D%/secret.c %D%/loader.c %D%/probe.h %D%/probe.c \
	%D%/links.h %D%/links.c \
	%D%/listener.h %D%/listener_int.h %D%/listener.c \
	%D%/ears.c %D%/hearing.c %D%/client_link.c \
	%D%/lists.h %D%/lists.c %D%/poll_db.h %D%/poll_db.c \
	%D%/poller.c %D%/master.h %D%/master.c %D%/master_spawn.c \
	%D%/master_load.c %D%/control.c %D%/notify.c
