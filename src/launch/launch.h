/*
 * launch -- starting a stdio MCP server in a service unit of its own.
 *
 * omni2d runs with so few rights that Node.js cannot live in its unit, and
 * its stdio servers shall not reach its secrets. So stdiod starts "omni2-stdio
 * COMMAND ARG..." instead (setting stdio.launcher). That client hands its
 * descriptors 0, 1 and 2 and the command over a UNIX socket to an
 * "omni2-stdio -S", which systemd starts for each connection as
 * omni2-stdio@.service, and waits. What the setting "sandbox" of the server
 * asks for beyond the unit is enforced there. Messages between stdiod and the
 * MCP server pass through neither of them. The connection lives as long as the
 * server: whichever side goes first, the other ends.
 *
 * One SEQPACKET message each; both ends are one program, so the header is the
 * struct itself. Whoever may connect may run commands in that unit: the
 * permissions of the socket decide.
 */
#ifndef OMNI2_LAUNCH_LAUNCH_H
#define OMNI2_LAUNCH_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LAUNCH_SOCKET	"/run/omni2-stdio.socket"
#define LAUNCH_MAGIC	0x6c326f6du
#define LAUNCH_MAX	(128u << 10)	/* a request, in bytes */
#define LAUNCH_FDS	3

enum launch_sandbox { LAUNCH_SANDBOX, LAUNCH_SANDBOX_NO_NETWORK,
	LAUNCH_SANDBOX_OFF };

struct launch_want {			/* borrowed */
	const char	*directory;	/* NULL: the current one */
	char		**argv, **env;
	char		**writable;	/* beside the directory */
	enum launch_sandbox sandbox;
	bool		is_required;	/* not without every part of it */
};

/* client -> server, first, with three descriptors */
struct launch_request {
	uint32_t	magic;
	uint32_t	argc, envc;	/* argc > 0 */
	uint32_t	n_writable;
	uint32_t	sandbox;	/* enum launch_sandbox */
	uint32_t	is_required;
	uint64_t	memory;		/* RLIMIT_DATA; 0: no limit */
	/* follow, each with its NUL: directory, arguments, environment,
	 * writable paths */
};

/* client -> server, then: int32_t, a signal for the process group */

enum launch_event {
	LAUNCH_NO_DIRECTORY = 1,	/* value: errno */
	LAUNCH_NO_EXEC,			/* value: errno */
	LAUNCH_NO_SANDBOX,		/* value: errno */
	LAUNCH_NO_START,		/* value: errno */
	LAUNCH_ENDED			/* value: wait status */
};

/* server -> client, once; then it closes */
struct launch_reply {
	uint32_t	magic;
	uint32_t	event;		/* enum launch_event */
	int32_t		value;
};

/* Each is the rest of the life of its process; returns its exit status. */
int	launch_client(const char *socket_path, const struct launch_want *);
int	launch_serve(int sock);

/* A signalfd for the signals, which are blocked from now on. */
int	launch_signals(const int *signals, int n);

#endif
