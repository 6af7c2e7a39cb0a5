# The units of systemd and what they run, sysusers.d(5) and tmpfiles.d(5).
# omni2.service and omni2@.service are made of one file.
systemdsystemunit_DATA = \
	%D%/omni2.service \
	%D%/omni2@.service \
	%D%/omni2.socket \
	%D%/omni2-stdio.socket \
	%D%/omni2-stdio@.service
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
nodist_sysusers_DATA = %D%/sysusers.d/omni2.conf
nodist_tmpfiles_DATA = %D%/tmpfiles.d/omni2.conf
pkglibexec_SCRIPTS = %D%/service-check %D%/service-start

systemd_made = $(systemdsystemunit_DATA) $(nodist_sysusers_DATA) \
	$(nodist_tmpfiles_DATA) $(pkglibexec_SCRIPTS)
CLEANFILES += $(systemd_made)
EXTRA_DIST += \
	%D%/omni2.service.in \
	%D%/omni2.socket.in \
	%D%/omni2-stdio.socket.in \
	%D%/omni2-stdio@.service.in \
	%D%/omni2.sysusers.in \
	%D%/omni2.tmpfiles.in \
	%D%/service-check.in \
	%D%/service-start.in

systemd_edit = $(AM_V_GEN)$(MKDIR_P) $(@D) && $(SED) \
	-e 's|@SBINDIR[@]|$(sbindir)|g' -e 's|@BINDIR[@]|$(bindir)|g' \
	-e 's|@PKGLIBEXECDIR[@]|$(pkglibexecdir)|g' \
	-e 's|@SYSCONFDIR[@]|$(sysconfdir)|g'
systemd_one = -e 's|@UNIT[@]|omni2|g' -e 's|@CONFDIR[@]|$(sysconfdir)/omni2|g' \
	-e 's|@OF_INSTANCE[@]||g' -e 's|@DESCRIPTION[@]||g' \
	-e 's|@EDIT[@]|omni2.service|g' -e '/^@MANY[@]/d'
systemd_many = -e 's|@UNIT[@]|omni2-%i|g' \
	-e 's|@CONFDIR[@]|$(sysconfdir)/omni2/%i|g' \
	-e 's|@OF_INSTANCE[@]| %i: an omni2d with a configuration of its own|g' \
	-e 's|@DESCRIPTION[@]| %i|g' \
	-e 's|@EDIT[@]|omni2@.service|g' \
	-e 's|^@MANY[@]||'

%D%/omni2.service: %D%/omni2.service.in Makefile
	$(systemd_edit) $(systemd_one) $(srcdir)/%D%/omni2.service.in >$@

%D%/omni2@.service: %D%/omni2.service.in Makefile
	$(systemd_edit) $(systemd_many) $(srcdir)/%D%/omni2.service.in >$@

%D%/omni2.socket: %D%/omni2.socket.in Makefile
	$(systemd_edit) $(srcdir)/%D%/omni2.socket.in >$@

%D%/omni2-stdio.socket: %D%/omni2-stdio.socket.in Makefile
	$(systemd_edit) $(srcdir)/%D%/omni2-stdio.socket.in >$@

%D%/omni2-stdio@.service: %D%/omni2-stdio@.service.in Makefile
	$(systemd_edit) $(srcdir)/%D%/omni2-stdio@.service.in >$@

%D%/sysusers.d/omni2.conf: %D%/omni2.sysusers.in Makefile
	$(systemd_edit) $(srcdir)/%D%/omni2.sysusers.in >$@

%D%/tmpfiles.d/omni2.conf: %D%/omni2.tmpfiles.in Makefile
	$(systemd_edit) $(srcdir)/%D%/omni2.tmpfiles.in >$@

%D%/service-check: %D%/service-check.in Makefile
	$(systemd_edit) $(srcdir)/%D%/service-check.in >$@ && chmod +x $@

%D%/service-start: %D%/service-start.in Makefile
	$(systemd_edit) $(srcdir)/%D%/service-start.in >$@ && chmod +x $@
