# What is shipped beside the programs; of it only completion is installed.
EXTRA_DIST += \
	%D%/lib.sh \
	%D%/node/package-lock.json \
	%D%/node/package.json \
	%D%/quickstart

# Completion for shells is made of the tables of omni2ctl itself.
noinst_PROGRAMS += tools/gen_completion
tools_gen_completion_SOURCES = tools/gen_completion.c
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d
nodist_bashcompletion_DATA = %D%/completion/omni2ctl
nodist_zshcompletion_DATA = %D%/completion/_omni2ctl
nodist_fishcompletion_DATA = %D%/completion/omni2ctl.fish
CLEANFILES += $(nodist_bashcompletion_DATA) $(nodist_zshcompletion_DATA) \
	$(nodist_fishcompletion_DATA) %D%/completion/*.tmp

%D%/completion/omni2ctl: tools/gen_completion$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D%/completion && \
	tools/gen_completion$(EXEEXT) bash >$@.tmp && mv $@.tmp $@
%D%/completion/_omni2ctl: tools/gen_completion$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D%/completion && \
	tools/gen_completion$(EXEEXT) zsh >$@.tmp && mv $@.tmp $@
%D%/completion/omni2ctl.fish: tools/gen_completion$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) %D%/completion && \
	tools/gen_completion$(EXEEXT) fish >$@.tmp && mv $@.tmp $@
include packaging/systemd/local.mk

# What packages install into $(sysconfdir)/omni2: the samples of conf/ without
# their examples. Never over files that are there.
packaged_conf = %D%/etc/omni2.yaml %D%/etc/mcps.yaml %D%/etc/users.yaml
CLEANFILES += $(packaged_conf)
EXTRA_DIST += %D%/etc.sed

%D%/etc/omni2.yaml: conf/omni2.yaml %D%/etc.sed Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) -f $(srcdir)/%D%/etc.sed \
	    -e 's|@PKGLIBEXECDIR[@]|$(pkglibexecdir)|' \
	    $(srcdir)/conf/omni2.yaml >$@.tmp && \
	grep -q '^  launcher: ' $@.tmp && \
	! grep -q '^ *token_secret:' $@.tmp && mv $@.tmp $@

%D%/etc/mcps.yaml: conf/mcps.yaml Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(SED) 's|^[^#]|#&|' $(srcdir)/conf/mcps.yaml >$@

%D%/etc/users.yaml: conf/users.yaml Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	$(SED) 's|^[^#]|#&|' $(srcdir)/conf/users.yaml >$@

.PHONY: install-etc
install-etc: $(packaged_conf)
	$(MKDIR_P) '$(DESTDIR)$(sysconfdir)/omni2/conf.d'
	for file in $(packaged_conf); do \
		to='$(DESTDIR)$(sysconfdir)/omni2/'$${file##*/}; \
		test -e "$$to" || $(INSTALL_DATA) $$file "$$to" || exit; \
	done

EXTRA_DIST += \
	%D%/debian/README.Debian \
	%D%/debian/changelog \
	%D%/debian/control \
	%D%/debian/copyright \
	%D%/debian/omni2.docs \
	%D%/debian/omni2.postinst \
	%D%/debian/omni2.postrm \
	%D%/debian/omni2.preinst \
	%D%/debian/omni2.prerm \
	%D%/debian/rules \
	%D%/debian/source/format \
	%D%/debian/tests/control \
	%D%/debian/tests/installed \
	%D%/debian/tests/service \
	%D%/rpm/omni2.spec \
	%D%/rpm/rpmlint.toml
