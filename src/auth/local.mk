noinst_LIBRARIES += %D%/libauth.a
%C%_libauth_a_SOURCES = \
	%D%/apikey.c \
	%D%/auth.c %D%/auth.h \
	%D%/session.c %D%/session.h \
	%D%/token.c %D%/token_int.h
