# omni2.yaml.5 is made of its hand-written head and tail and of keys.def, so
# the page and the program cannot disagree about a setting.
noinst_PROGRAMS += tools/gen_conf_man
tools_gen_conf_man_SOURCES = tools/gen_conf_man.c
tools_gen_conf_man_LDADD = src/conf/libconf.a src/base/libbase.a \
	$(THIRD_LIBS)

man_MANS = %D%/omni2.yaml.5
EXTRA_DIST += %D%/omni2.yaml.5.head %D%/omni2.yaml.5.tail
CLEANFILES += %D%/omni2.yaml.5 %D%/omni2.yaml.5.tmp

%D%/omni2.yaml.5: %D%/omni2.yaml.5.head %D%/omni2.yaml.5.tail \
		tools/gen_conf_man$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D% && \
	tools/gen_conf_man$(EXEEXT) $(srcdir)/%D%/omni2.yaml.5.head \
	    $(srcdir)/%D%/omni2.yaml.5.tail >$@.tmp && mv $@.tmp $@

dist_man_MANS += \
	%D%/omni2-audit.7 \
	%D%/omni2-mcp.7 \
	%D%/omni2-policy.5 \
	%D%/omni2-shm.7 \
	%D%/omni2ctl-audit.1 \
	%D%/omni2ctl-backup.1 \
	%D%/omni2ctl-db.1 \
	%D%/omni2ctl-doctor.1 \
	%D%/omni2ctl-key.1 \
	%D%/omni2ctl-policy.1 \
	%D%/omni2ctl-remote.1 \
	%D%/omni2ctl-server.1 \
	%D%/omni2ctl-setup.1 \
	%D%/omni2ctl-shm.1 \
	%D%/omni2ctl-tool.1 \
	%D%/omni2ctl-user.1 \
	%D%/omni2ctl.1 \
	%D%/omni2d.8
