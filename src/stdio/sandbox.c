/*
 * sandbox -- namespaces, mounts and capabilities of a stdio server; see
 * seccomp.c and landlock.c for the rest.
 *
 * Children of stdiod, between fork and execve. The file system is the host's,
 * read-only but for a few paths: with a mount namespace by mounts, and by
 * Landlock in any case, so that each covers where the other is missing. What
 * belongs to omni2 is not to be seen. Nothing of this is undone: it ends with
 * the process.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "stdio/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define NAMESPACES	(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | \
			CLONE_NEWUTS)
#define WRITABLE_MAX	64
#define TMP_OPTIONS	"mode=1777,size=256m,nr_inodes=65536"
#define SHM_OPTIONS	"mode=1777,size=64m,nr_inodes=4096"
#define HIDE_OPTIONS	"mode=0,size=4k"

const char *
sandbox_part_text(enum sandbox_part part)
{
	static const char *const text[SANDBOX_PARTS] = {
		[SANDBOX_NAMESPACES] = "namespaces of its own",
		[SANDBOX_READ_ONLY] = "a read-only file system (mounts)",
		[SANDBOX_HIDDEN] = "hiding files",
		[SANDBOX_TMP] = "a private /tmp",
		[SANDBOX_PROC] = "its own /proc",
		[SANDBOX_PROCESSES] = "a limit on its own processes",
		[SANDBOX_LOOPBACK] = "a loopback interface",
		[SANDBOX_CAPABILITIES] = "giving up all capabilities",
		[SANDBOX_LANDLOCK] = "Landlock",
		[SANDBOX_SECCOMP] = "seccomp",
	};

	return text[part];
}

static void
missing(const struct sandbox *s, enum sandbox_part part)
{
	s->missing(s->arg, part, errno);
}

/* ---- namespaces ---- */

/* clone(2) like fork(2): the C library's fork takes no flags. stdiod has one
 * thread, so there is nothing else to take care of. */
static pid_t
fork_with(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL,
	    NULL);
}

pid_t
sandbox_fork(struct sandbox *s, bool may_use_user_namespace)
{
	unsigned long flags = NAMESPACES |
	    (s->spec->has_network ? 0 : CLONE_NEWNET);
	pid_t pid;

	if (!s->spec->is_on)
		return fork();
	s->changes_user = !may_use_user_namespace;
	/* Inside, until they are mapped, nobody knows. */
	s->uid = geteuid();
	s->gid = getegid();
	s->has_namespaces = true;
	if ((pid = fork_with(flags)) >= 0)
		return pid;
	if (may_use_user_namespace) {
		s->has_user_namespace = true;
		if ((pid = fork_with(flags | CLONE_NEWUSER)) >= 0)
			return pid;
	}
	s->has_namespaces = s->has_user_namespace = false;
	s->error = errno;
	return fork();
}

static int
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rv = -1;

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text))
		rv = 0;
	close(fd);
	return rv;
}

static int
write_maps(uid_t uid, gid_t gid)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %u 1\n", (unsigned)uid,
	    (unsigned)uid);
	if (write_file("/proc/self/uid_map", text) < 0 ||
	    write_file("/proc/self/setgroups", "deny") < 0)
		return -1;
	snprintf(text, sizeof(text), "%u %u 1\n", (unsigned)gid,
	    (unsigned)gid);
	return write_file("/proc/self/gid_map", text);
}

/* In the user namespace everybody is who they are outside. A process that
 * changed its user does not own its files in /proc, unless it may be dumped;
 * until it is a server it must not be, for it holds a copy of our memory. */
static int
map_ids(const struct sandbox *s)
{
	int rv, saved_errno;

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	rv = write_maps(s->uid, s->gid);
	saved_errno = errno;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	errno = saved_errno;
	return rv;
}

static bool
counts_by_namespace(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	return uname(&u) == 0 &&
	    sscanf(u.release, "%3u.%3u", &major, &minor) == 2 &&
	    (major > 5 || (major == 5 && minor >= 14));
}

/* From Linux 5.14 on the limit counts within the user namespace; before that
 * it would count all processes of the user, us included. Another user's are
 * not ours, and limited by child.c. */
static void
limit_processes(const struct sandbox *s)
{
	struct rlimit rl = { .rlim_cur = (rlim_t)s->spec->processes,
	    .rlim_max = (rlim_t)s->spec->processes };

	if (s->spec->processes == 0 || s->changes_user)
		return;
	errno = ENOSYS;
	if (!s->has_user_namespace || s->uid == 0 || !counts_by_namespace() ||
	    setrlimit(RLIMIT_NPROC, &rl) < 0)
		missing(s, SANDBOX_PROCESSES);
}

static void
loopback_up(const struct sandbox *s)
{
	struct ifreq r = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		missing(s, SANDBOX_LOOPBACK);
	else {
		r.ifr_flags |= IFF_UP;
		if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
			missing(s, SANDBOX_LOOPBACK);
	}
	if (fd >= 0)
		close(fd);
}

/* ---- paths ---- */

/* Is path dir or something in it? */
static bool
is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return strncmp(path, dir, n) == 0 &&
	    (path[n] == '/' || path[n] == '\0');
}

static bool
list_names(char *const *list, const char *dir)
{
	for (; *list != NULL; list++)
		if (is_below(*list, dir))
			return true;
	return false;
}

/* Does the server need something there? */
static bool
is_needed(const struct sandbox_spec *s, const char *dir)
{
	return is_below(s->cwd, dir) || is_below(s->command, dir) ||
	    list_names(s->args, dir) || list_names(s->writable, dir);
}

static bool
list_mentions(char *const *list, const char *text)
{
	for (; *list != NULL; list++)
		if (strstr(*list, text) != NULL)
			return true;
	return false;
}

/* Was the server told of something there, in whatever way? */
static bool
is_mentioned(const struct sandbox_spec *s, const char *text)
{
	return strstr(s->cwd, text) != NULL ||
	    strstr(s->command, text) != NULL || list_mentions(s->args, text) ||
	    list_mentions(s->env, text) || list_mentions(s->writable, text);
}

/* cwd first, then what is configured. */
static size_t
writable_paths(const struct sandbox_spec *s, const char *out[WRITABLE_MAX])
{
	size_t n = 0;
	char *const *p;

	if (s->cwd[0] != '\0' && strcmp(s->cwd, "/") != 0)
		out[n++] = s->cwd;
	for (p = s->writable; *p != NULL && n < WRITABLE_MAX; p++)
		out[n++] = *p;
	return n;
}

/* ---- mounts ---- */

/* The kernel's struct mount_attr; our headers may not know it. */
struct attributes {
	uint64_t	set, clear, propagation, userns;
};

static int
set_attributes(const char *path, bool all_below, uint64_t set, uint64_t clear)
{
	struct attributes a = { .set = set, .clear = clear };

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, path,
	    all_below ? 0x8000 /* AT_RECURSIVE */ : 0, &a, sizeof(a));
}

/* A mount of its own at each path that stays writable: what is writable is a
 * property of mounts. One that the host has read-only stays so. */
static int
bind_writable(struct sandbox *s, const char *const *path, size_t n,
    bool is_writable[])
{
	struct statvfs st;
	size_t i;

	for (i = 0; i < n; i++) {
		s->failed = path[i];
		is_writable[i] = false;
		if (statvfs(path[i], &st) < 0) {
			if (path[i] == s->spec->cwd)
				continue;	/* said when it is entered */
			return -1;
		}
		is_writable[i] = !(st.f_flag & ST_RDONLY);
		if (mount(path[i], path[i], NULL, MS_BIND | MS_REC, NULL) < 0)
			is_writable[i] = false;
	}
	return 0;
}

static void
make_read_only(struct sandbox *s, const char *const *path, size_t n,
    const bool is_writable[])
{
	size_t i;

	if (set_attributes("/", true, MS_RDONLY | MS_NOSUID, 0) < 0) {
		missing(s, SANDBOX_READ_ONLY);
		return;
	}
	for (i = 0; i < n; i++)
		if (is_writable[i] && set_attributes(path[i], false, 0,
		    MS_RDONLY) < 0)
			missing(s, SANDBOX_READ_ONLY);
}

/* What is not there, or cannot be reached, needs no hiding. */
static void
hide(struct sandbox *s, const char *path)
{
	struct stat st;
	int rv;

	if (stat(path, &st) < 0)
		return;
	rv = S_ISDIR(st.st_mode) ?
	    mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    MS_RDONLY, HIDE_OPTIONS) :
	    mount("/dev/null", path, NULL, MS_BIND, NULL);
	if (rv < 0)
		missing(s, SANDBOX_HIDDEN);
}

static void
hide_list(struct sandbox *s, char *const *list)
{
	for (; *list != NULL; list++)
		if (!is_needed(s->spec, *list))
			hide(s, *list);
		else if (access(*list, F_OK) == 0) {
			errno = EBUSY;
			missing(s, SANDBOX_HIDDEN);
		}
}

/* The home directory of who runs it; if the program is in there, then what
 * such directories have that is nobody's business. */
static void
hide_home(struct sandbox *s)
{
	static const char *const secret[] = { ".ssh", ".gnupg", ".aws",
		".azure", ".config/gcloud", ".kube", ".docker", ".netrc",
		".git-credentials", ".pgpass", ".npmrc", ".pypirc",
		".mozilla", ".config/google-chrome", ".bash_history" };
	const struct sandbox_spec *p = s->spec;
	char path[PATH_MAX];
	size_t i;

	if (p->home[0] != '/' || p->home[1] == '\0')
		return;
	if (!is_mentioned(p, p->home)) {
		hide(s, p->home);
		return;
	}
	for (i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", p->home,
		    secret[i]) < sizeof(path) && !is_needed(p, path))
			hide(s, path);
}

/*
 * Ways to other programs of the host. PostgreSQL would take the server for
 * us, if it has our user; without a network it shall reach no daemon at all.
 * Root without capabilities still owns what is root's.
 */
static void
hide_host(struct sandbox *s)
{
	static const char *const of_root[] = { "/etc/shadow", "/etc/gshadow",
		"/etc/ssl/private", "/etc/ssh", "/etc/sudoers",
		"/etc/sudoers.d", "/var/spool/cron" };
	size_t i;

	if (!s->spec->has_network && !is_mentioned(s->spec, "/run/"))
		hide(s, "/run");
	else if (!is_mentioned(s->spec, "/run/postgresql"))
		hide(s, "/run/postgresql");
	for (i = 0; s->uid == 0 && i < sizeof(of_root) / sizeof(of_root[0]);
	    i++)
		if (!is_needed(s->spec, of_root[i]))
			hide(s, of_root[i]);
}

static bool
mount_private(struct sandbox *s, const char *path, const char *options)
{
	if (mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0)
		return true;
	if (errno != ENOENT)
		missing(s, SANDBOX_TMP);
	return false;
}

/* Its own, unless the server was given something in there. */
static void
mount_tmp(struct sandbox *s)
{
	s->shm_is_private = mount_private(s, "/dev/shm", SHM_OPTIONS);
	if (is_mentioned(s->spec, "/tmp") ||
	    !mount_private(s, "/tmp", TMP_OPTIONS))
		return;
	s->tmp_is_private = true;
	if (mount("/tmp", "/var/tmp", NULL, MS_BIND, NULL) < 0 &&
	    errno != ENOENT)
		missing(s, SANDBOX_TMP);
}

int
sandbox_mounts(struct sandbox *s)
{
	const char *path[WRITABLE_MAX];
	bool is_writable[WRITABLE_MAX];
	size_t n;

	if (!s->has_namespaces) {
		if (s->spec->is_on) {
			errno = s->error;
			missing(s, SANDBOX_NAMESPACES);
		}
		return 0;
	}
	if (s->has_user_namespace) {
		s->failed = "/proc/self/uid_map";
		if (map_ids(s) < 0)
			return -1;
	}
	limit_processes(s);
	if (!s->spec->has_network)
		loopback_up(s);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		missing(s, SANDBOX_READ_ONLY);
		return 0;
	}
	n = writable_paths(s->spec, path);
	if (bind_writable(s, path, n, is_writable) < 0)
		return -1;
	make_read_only(s, path, n, is_writable);
	mount_tmp(s);
	hide_list(s, s->spec->hidden);
	hide_list(s, s->spec->also_hidden);
	hide_home(s);
	hide_host(s);
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC |
	    MS_RDONLY, NULL) < 0)
		missing(s, SANDBOX_PROC);
	return 0;
}

/* ---- the last steps ---- */

void
sandbox_drop_capabilities(struct sandbox *s)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2];
	int i;

	if (!s->spec->is_on)
		return;
	/* Whoever has none may not drop either, and need not. */
	for (i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
			break;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	memset(none, 0, sizeof(none));
	if (syscall(SYS_capset, &head, none) < 0)
		missing(s, SANDBOX_CAPABILITIES);
}

int
sandbox_lock(struct sandbox *s)
{
	const char *path[WRITABLE_MAX + 3];
	bool deny_network = !s->spec->has_network && !s->has_namespaces;
	size_t n;

	if (!s->spec->is_on)
		return 0;
	n = writable_paths(s->spec, path);
	/* Without mounts of its own it shares these with everybody. */
	if (s->tmp_is_private || !s->has_namespaces) {
		path[n++] = "/tmp";
		path[n++] = "/var/tmp";
	}
	if (s->shm_is_private || !s->has_namespaces)
		path[n++] = "/dev/shm";
	if (landlock_restrict(path, n) < 0)
		missing(s, SANDBOX_LANDLOCK);
	if (seccomp_deny(deny_network) == 0)
		return 0;
	if (deny_network)
		return -1;
	missing(s, SANDBOX_SECCOMP);
	return 0;
}
