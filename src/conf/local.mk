noinst_LIBRARIES += %D%/libconf.a
%C%_libconf_a_SOURCES = \
	%D%/conf.h %D%/model.h %D%/model_forms.h \
	%D%/keys.def %D%/roles.def %D%/inert.def \
	%D%/keys.h %D%/keys.c \
	%D%/yaml_tree.h %D%/yaml_tree.c \
	%D%/interpolate.h %D%/interpolate.c \
	%D%/suggest.h %D%/suggest.c \
	%D%/report.c \
	%D%/bind.h %D%/bind_map.c %D%/bind_value.c %D%/bind_secret.c \
	%D%/bind_inert.h %D%/bind_inert.c \
	%D%/bind_settings.c %D%/bind_global.c \
	%D%/bind_servers.c %D%/bind_policy.c %D%/bind_auth.c \
	%D%/bind_roles.c %D%/bind_users.c %D%/bind_grants.c \
	%D%/check.c %D%/load.c \
	%D%/model.c %D%/model_json.c %D%/model_check.c \
	%D%/diff.c %D%/print_mdoc.c
