noinst_LIBRARIES += %D%/libkeeper.a
%C%_libkeeper_a_SOURCES = %D%/keeper.h %D%/lane.h %D%/keeper.c \
	%D%/keeper_int.h %D%/hand.c %D%/back.c %D%/orphans.c %D%/stream.c
