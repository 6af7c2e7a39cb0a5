# omni2-stdio: starts stdio MCP servers in units of their own.
pkglibexec_PROGRAMS += %D%/omni2-stdio
%C%_omni2_stdio_SOURCES = %D%/main.c %D%/client.c %D%/serve.c %D%/launch.h
%C%_omni2_stdio_LDADD = src/stdio/libstdio.a src/base/libbase.a

TESTS += tests/unit/launch
EXTRA_DIST += tests/unit/launch
