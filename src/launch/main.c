/*
 * omni2-stdio -- runs a stdio MCP server in a service unit of its own; see
 * launch.h. This file: arguments. It reads no configuration and no secret.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "launch/launch.h"

extern char **environ;

static int
usage(FILE *f, int status)
{
	fputs("usage: omni2-stdio [-nrx] [-d directory] [-s socket] [-w path] "
	    "command [argument ...]\n"
	    "       omni2-stdio -S\n"
	    "  -d directory  where the command starts (the current one)\n"
	    "  -n            it has no network\n"
	    "  -r            not without every part of the sandbox\n"
	    "  -s socket     who starts it (" LAUNCH_SOCKET ")\n"
	    "  -w path       it may write there, too; may be repeated\n"
	    "  -x            no sandbox beyond the unit\n"
	    "  -S            starts the command that is asked for on standard "
	    "input\n", f);
	return status;
}

int
launch_signals(const int *signals, int n)
{
	sigset_t set;
	int i;

	sigemptyset(&set);
	for (i = 0; i < n; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
main(int argc, char **argv)
{
	struct launch_want want = { .env = environ };
	const char *socket_path = LAUNCH_SOCKET;
	size_t n = 0;
	int c;

	want.writable = calloc((size_t)argc + 1, sizeof(*want.writable));
	if (want.writable == NULL)
		return 71;
	/* "+": what follows the command is the command's */
	while ((c = getopt(argc, argv, "+d:nrs:w:xShV")) != -1) {
		switch (c) {
		case 'd':
			want.directory = optarg;
			break;
		case 'n':
			want.sandbox = LAUNCH_SANDBOX_NO_NETWORK;
			break;
		case 'r':
			want.is_required = true;
			break;
		case 's':
			socket_path = optarg;
			break;
		case 'w':
			want.writable[n++] = optarg;
			break;
		case 'x':
			want.sandbox = LAUNCH_SANDBOX_OFF;
			break;
		case 'S':
			return optind == argc ? launch_serve(STDIN_FILENO) :
			    usage(stderr, 64);
		case 'h':
			return usage(stdout, 0);
		case 'V':
			puts("omni2-stdio " PACKAGE_VERSION);
			return 0;
		default:
			return usage(stderr, 64);
		}
	}
	if (optind == argc)
		return usage(stderr, 64);
	want.argv = argv + optind;
	return launch_client(socket_path, &want);
}
