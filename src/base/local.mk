noinst_LIBRARIES += %D%/libbase.a
%C%_libbase_a_SOURCES = \
	%D%/arena.c %D%/arena.h \
	%D%/buf.c %D%/buf.h \
	%D%/bulk.c %D%/bulk.h \
	%D%/clock.c %D%/clock.h \
	%D%/err.c %D%/err.def %D%/err.h \
	%D%/fdio.c %D%/fdio.h \
	%D%/fiber.c %D%/fiber.h \
	%D%/glob.c %D%/glob.h \
	%D%/hash.c %D%/hash.h \
	%D%/json_check.c %D%/json_int.h %D%/json_read.c %D%/json_read.h %D%/json_text.c \
	%D%/json_scan.c %D%/json_scan.h \
	%D%/json_write.c %D%/json_write.h \
	%D%/large.c %D%/large.h \
	%D%/log.c %D%/log.h %D%/log_journal.c %D%/log_journal.h \
	%D%/num.c %D%/num.h \
	%D%/sanitizer.h \
	%D%/spill.c %D%/spill.h \
	%D%/span.h \
	%D%/swar.h \
	%D%/utf8.h
