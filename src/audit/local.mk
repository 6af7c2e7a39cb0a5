noinst_LIBRARIES += %D%/libaudit.a
%C%_libaudit_a_SOURCES = %D%/record.h %D%/record.c %D%/redact.c \
	%D%/frame.c %D%/crc32c.h %D%/crc32c.c %D%/emit.h %D%/emit.c \
	%D%/assemble.h %D%/assemble.c %D%/journal.h %D%/journal.c \
	%D%/journal_read.h %D%/journal_read.c %D%/chain.h %D%/chain.c \
	%D%/record_read.h %D%/record_read.c \
	%D%/ship.h %D%/ship.c %D%/auditor.h %D%/auditor_int.h %D%/auditor.c \
	%D%/verify.c
