noinst_LIBRARIES += %D%/libtls.a
%C%_libtls_a_SOURCES = %D%/context.h %D%/context.c %D%/link.h %D%/link.c \
	%D%/tlsd.h %D%/tlsd.c
