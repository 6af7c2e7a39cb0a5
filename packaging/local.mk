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
