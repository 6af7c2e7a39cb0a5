bin_PROGRAMS += omni2ctl
omni2ctl_SOURCES = %D%/ctl.h %D%/commands.def %D%/options.def \
	%D%/main.c %D%/call.h %D%/call.c %D%/remote.c %D%/args.c %D%/table.c %D%/session.c \
	%D%/fit.h %D%/fit.c %D%/screen.h %D%/screen.c \
	%D%/to_yaml.h %D%/to_yaml.c %D%/yaml_edit.h %D%/yaml_edit.c \
	%D%/run.h %D%/run.c %D%/ready.h %D%/ready.c \
	%D%/c_daemon.c %D%/c_db.c %D%/c_user.c \
	%D%/c_server.c %D%/c_audit.c \
	%D%/setup.h %D%/c_setup.c %D%/setup_conf.c %D%/setup_db.c \
	%D%/doctor.h %D%/c_doctor.c %D%/doctor_files.c %D%/doctor_host.c \
	%D%/doctor_sandbox.c %D%/doctor_tls.c \
	%D%/bundle.h %D%/bundle.c %D%/c_backup.c %D%/c_restore.c
omni2ctl_LDADD = $(OMNI2_LIBS) $(THIRD_LIBS)
EXTRA_omni2ctl_DEPENDENCIES = $(OMNI2_LIBS)
