noinst_LIBRARIES += %D%/libapi.a
%C%_libapi_a_SOURCES = %D%/api.h %D%/api_int.h %D%/routes.def \
	%D%/params.def %D%/router.c %D%/input.c %D%/openapi.c %D%/serve.c \
	%D%/h_status.c %D%/h_tool.c %D%/h_server.c %D%/h_user.c \
	%D%/h_key.c %D%/h_audit.c
