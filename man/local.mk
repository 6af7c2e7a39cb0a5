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
