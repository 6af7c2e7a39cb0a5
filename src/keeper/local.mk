noinst_LIBRARIES += %D%/libkeeper.a
%C%_libkeeper_a_SOURCES = %D%/keeper.h %D%/lane.h %D%/keeper.c \
	%D%/keeper_int.h %D%/stream.c
