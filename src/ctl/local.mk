bin_PROGRAMS += omni2ctl
omni2ctl_SOURCES = %D%/ctl.h %D%/commands.def %D%/options.def \
	%D%/main.c %D%/args.c \
	%D%/table.c %D%/session.c %D%/c_daemon.c %D%/c_db.c %D%/c_user.c \
	%D%/c_server.c %D%/c_audit.c
omni2ctl_LDADD = $(OMNI2_LIBS) $(THIRD_LIBS)
EXTRA_omni2ctl_DEPENDENCIES = $(OMNI2_LIBS)
