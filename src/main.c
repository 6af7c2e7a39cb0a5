/*
 * omni2d -- the gateway daemon. This file: arguments, and what must be made
 * before the first fork: directories, listeners, shared memory, pipes.
 *
 * Everything that can be wrong with the configuration is found here, before
 * the first connection is taken (exit status 78).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/model.h"
#include "net/sock.h"
#include "proc/master.h"
#include "proc/proc.h"
#include "upstream/upstream.h"

#define DEFAULT_CONF OMNI2_SYSCONFDIR "/omni2.yaml"

static struct proc proc;

static void
usage(FILE *f)
{
	fputs("usage: omni2d [-ftV] [-c file]\n"
	    "  -c file  configuration (" DEFAULT_CONF ")\n"
	    "  -f       stay in the foreground (always so; for symmetry)\n"
	    "  -t       check the configuration and exit\n"
	    "  -V       print the version and exit\n", f);
}

/* Reads the settings; findings to stderr. Exits when they are wrong. */
static void
read_conf(const char *path, bool check_only)
{
	struct model m;
	struct buf text;
	int rc, exit_status;

	buf_init(&text, 1u << 20);
	model_init(&m);
	rc = loader_read(path, &proc.conf, &m, &text,
	    check_only ? LOADER_READ : LOADER_YAML, &exit_status);
	if (rc < 0 || check_only)
		(void)!write(STDERR_FILENO, text.p, text.n);
	if (rc < 0) {
		fputs("omni2d: the configuration is wrong; not started\n",
		    stderr);
		if (!check_only)
			notify_failed(buf_span(&text));
		exit(exit_status);
	}
	if (check_only) {
		puts("configuration OK");
		exit(0);
	}
	model_free(&m);
	buf_free(&text);
}

/* By errno; exit statuses that can be told apart. */
static void __attribute__((noreturn))
die_file(const char *path)
{
	bool is_denied = errno == EACCES || errno == EPERM;
	bool is_full = errno == ENOSPC || errno == EDQUOT;

	notify_die(is_denied ? EX_NOPERM : is_full ? EX_IOERR : EX_CONFIG,
	    "%s: %s%s", path, strerror(errno), is_denied ?
	    "; let the user of omni2d use it, or start it as root" : is_full ?
	    "; make room there" : "");
}

static void
make_dir(const char *path, mode_t mode, const struct passwd *pw)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		die_file(path);
	if (pw != NULL && chown(path, pw->pw_uid, pw->pw_gid) < 0)
		die_file(path);
}

/* Returns how many were opened into fds. */
static int
open_addresses(const char *key, const struct conf_list *list, int *fds)
{
	struct sock_addr a;
	struct err e;
	uint32_t i;

	for (i = 0; i < list->n; i++) {
		if (sock_addr_parse(&a, list->item[i], &e) < 0)
			notify_die(EX_CONFIG, "%s: %s", key, e.text);
		fds[i] = sock_listen(&a, 1024, &e);
		if (fds[i] < 0)		/* the setting may be right */
			notify_die(EX_OSERR, "%s: %s", key, e.text);
	}
	return (int)list->n;
}

/* What systemd has for us; of a kind that it has not, what the settings say. */
static void
open_listeners(void)
{
	notify_listen_fds(proc.listen_fd, &proc.n_listen, proc.tls_fd,
	    &proc.n_tls, LISTEN_MAX);
	if (proc.n_tls > 0 && proc.conf.tls_certificate[0] == '\0')
		notify_die(EX_CONFIG, "server.tls.certificate: is missing, and "
		    "a socket named \"tls\" needs it");
	if (proc.n_listen == 0)
		proc.n_listen = open_addresses("server.listen",
		    &proc.conf.listen, proc.listen_fd);
	if (proc.n_tls == 0)
		proc.n_tls = open_addresses("server.tls.listen",
		    &proc.conf.tls_listen, proc.tls_fd);
}

static void
become_user(const struct passwd *pw)
{
	if (pw == NULL)
		return;
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
	    setuid(pw->pw_uid) < 0)
		notify_die(EX_OSERR, "cannot become user %s: %s", pw->pw_name,
		    strerror(errno));
	/* libpq looks for certificates there, and fails if it may not */
	setenv("HOME", pw->pw_dir, 1);
}

static const struct passwd *
wanted_user(void)
{
	const struct passwd *pw;

	if (geteuid() != 0)
		return NULL;
	if (proc.conf.user[0] == '\0')
		notify_die(EX_CONFIG, "started as root: set server.user to the "
		    "user that omni2d shall become, or start it as that user");
	errno = 0;
	pw = getpwnam(proc.conf.user);
	if (pw == NULL)
		notify_die(EX_CONFIG, "server.user: there is no user \"%s\"; "
		    "make it (useradd --system %s), or name another",
		    proc.conf.user, proc.conf.user);
	return pw;
}

static void
seqpacket_pair(int fd[2])
{
	int size = 4 << 20, i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		notify_die_sys("socketpair");
	/* room for a queue of requests; the kernel cuts it to its maximum */
	for (i = 0; i < 2; i++)
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void
make_pipe(int fd[2], bool write_nonblock)
{
	if (pipe2(fd, O_CLOEXEC) < 0)
		notify_die_sys("pipe");
	if (write_nonblock)
		fdio_set_nonblock(fd[1], true);
}

static void
make_channels(void)
{
	struct err e;
	int i;

	for (i = 0; i < LANE_KINDS; i++)
		seqpacket_pair(proc.lanes.hand[i]);
	seqpacket_pair(proc.lanes.back);
	proc.lanes.starve_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (proc.lanes.starve_fd < 0)
		notify_die_sys("eventfd");
	make_pipe(proc.audit_pipe, true);
	(void)!fcntl(proc.audit_pipe[1], F_SETPIPE_SZ, 1 << 20);
	make_pipe(proc.loader_pipe, false);
	fdio_set_nonblock(proc.loader_pipe[0], true);
	make_pipe(proc.master_fd, true);
	fdio_set_nonblock(proc.master_fd[0], true);
	snprintf(proc.stdio_path, sizeof(proc.stdio_path), "%.200s/stdio.sock",
	    proc.conf.run_dir);
	proc.stdio_fd = sock_listen_unix(proc.stdio_path, SOCK_STREAM, 0600, &e);
	if (proc.stdio_fd < 0)
		notify_die(EX_CONFIG, "%s", e.text);
}

static void
make_shm(void)
{
	struct shm_sizes sz = {
		.slots = shm_kind_first(KIND_WORKER) +
		    (uint32_t)(proc.conf.max_workers *
		    proc.conf.worker_requests),
		.perm_entries = 1u << 16,
		.rate_principals = (uint32_t)proc.conf.rate_principals,
		.connections = (uint32_t)proc.conf.connections_max,
		.rate_window_ms = (uint64_t)proc.conf.rate_window_ms,
		.conf_size = (sizeof(struct conf) + 4095) & ~4095u,
		.policy_size = 64u << 20,
		.catalog_size = 256u << 20,
	};
	struct err e;

	if (shm_create(&proc.shm, &sz, &e) < 0)
		notify_die(EX_CONFIG, "shared memory: %s", e.text);
	atomic_store(&shm_ctl(&proc.shm)->started_mono_ms, clock_mono_ms());
}

/* One daemon per run directory: the lock dies with the process. */
static void
write_pid_file(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[CONF_TEXT + 32], text[32];
	int fd, n;

	snprintf(path, sizeof(path), "%s/omni2d.pid", proc.conf.run_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		die_file(path);
	if (fcntl(fd, F_SETLK, &lock) < 0)
		notify_die(EX_CONFIG, "%s is locked: omni2d is running already",
		    path);
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n)
		die_file(path);
}

static void
raise_limits(void)
{
	struct rlimit r;

	/* every connection costs a descriptor in the keeper */
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
		if (r.rlim_cur < (rlim_t)proc.conf.connections_max + 256)
			log_warn("%llu descriptors are allowed, "
			    "server.connections asks for %lld",
			    (unsigned long long)r.rlim_cur,
			    (long long)proc.conf.connections_max);
	}
#ifndef OMNI2_ASAN
	prctl(PR_SET_DUMPABLE, 0);
	r.rlim_cur = r.rlim_max = 0;
	setrlimit(RLIMIT_CORE, &r);
#endif
}

/* What libraries set up at first use is set up before the fork, once, so that
 * the children share the pages (100 instead of 250 KiB each). */
static void
warm_up(void)
{
	uint8_t digest[32];

	upstream_global_init();
	hash_sha256("", 0, digest);
	hash_hmac_sha256("k", 1, "", 0, digest);
}

int
main(int argc, char **argv)
{
	const char *path = DEFAULT_CONF;
	const struct passwd *pw;
	bool check = false;
	int c;

	while ((c = getopt(argc, argv, "c:fthV")) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 'f':
			break;
		case 't':
			check = true;
			break;
		case 'V':
			puts("omni2d " PACKAGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 64;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 64;
	}
	log_init("master");
	if (realpath(path, proc.conf_path) == NULL)
		die_file(path);
	read_conf(proc.conf_path, check);
	log_set_level((enum log_level)proc.conf.log_level);
	umask(027);
	pw = wanted_user();
	make_dir(proc.conf.run_dir, 0750, pw);
	make_dir(proc.conf.state_dir, 0700, pw);
	open_listeners();
	become_user(pw);
	write_pid_file();
	raise_limits();
	make_channels();
	make_shm();
	warm_up();
	log_info("omni2d %s, pid %d, configuration %s", PACKAGE_VERSION,
	    (int)getpid(), proc.conf_path);
	return master_main(&proc);
}
