noinst_LIBRARIES += %D%/libstore.a
%C%_libstore_a_SOURCES = %D%/db.h %D%/db.c %D%/store.h %D%/store_int.h \
	%D%/admin.h %D%/admin.c %D%/conninfo.c \
	%D%/migrate.c %D%/q_policy.c %D%/q_load.c %D%/q_users.c %D%/q_keys.c \
	%D%/q_servers.c %D%/auditlog.h %D%/auditlog.def %D%/q_log.c %D%/q_verify.c %D%/q_audit.c
