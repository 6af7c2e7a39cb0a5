/*
 * seccomp -- system calls that no MCP server needs, refused by the kernel.
 *
 * Children of stdiod, before execve. A list of what is denied, not of what is
 * allowed: servers are written in anything. What is denied looks as if the
 * process lacked the privilege, so programs go on. Needs no_new_privs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "stdio/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH	AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH	AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_ARCH	AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define NATIVE_ARCH	AUDIT_ARCH_PPC64LE
#else
#define NATIVE_ARCH	0		/* arguments may lie otherwise */
#endif

#define X32_BIT		0x40000000u
#define NEW_NAMESPACES	(0x00000080 /* time */ | 0x02000000 /* cgroup */ | \
			CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | \
			CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define FILTER_MAX	512

/* Other processes, the kernel, its keys, mounts, clocks and raw devices. */
static const int denied[] = {
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp,
	SYS_pidfd_getfd,
	SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree,
	SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
	SYS_mount_setattr, SYS_setns, SYS_open_by_handle_at,
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
	SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
	SYS_io_uring_enter, SYS_io_uring_register, SYS_syslog,
	SYS_add_key, SYS_request_key, SYS_keyctl,
	SYS_swapon, SYS_swapoff, SYS_reboot, SYS_acct, SYS_quotactl,
	SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
	SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_fanotify_init,
	SYS_move_pages, SYS_migrate_pages,
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
	SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib,
#endif
};

struct program {
	struct sock_filter f[FILTER_MAX];
	unsigned short n;
};

static void
emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	struct sock_filter f = BPF_JUMP(code, k, jt, jf);

	if (p->n < FILTER_MAX)
		p->f[p->n++] = f;
}

static void
load(struct program *p, size_t offset)
{
	emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
answer(struct program *p, int error)
{
	emit(p, BPF_RET | BPF_K, error == 0 ? SECCOMP_RET_ALLOW :
	    SECCOMP_RET_ERRNO | (uint32_t)error, 0, 0);
}

/* The low half of an argument. */
static void
load_argument(struct program *p, int i)
{
	size_t offset = offsetof(struct seccomp_data, args) +
	    (size_t)i * sizeof(uint64_t);

	load(p, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? offset :
	    offset + 4);
}

/* Is it this system call? If not, the next n instructions are left out. */
static void
only_for(struct program *p, int nr, uint8_t n)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, n);
}

static void
deny(struct program *p, int nr, int error)
{
	only_for(p, nr, 1);
	answer(p, error);
}

/* Threads and processes, but no namespaces. */
static void
deny_namespaces(struct program *p, int nr)
{
	only_for(p, nr, 4);
	load_argument(p, 0);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1);
	answer(p, EPERM);
	answer(p, 0);
}

static void
deny_ioctl(struct program *p)
{
	only_for(p, SYS_ioctl, 5);
	load_argument(p, 1);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1);
	answer(p, EPERM);
	answer(p, 0);
}

/* Only to ask, or to be an ordinary Linux process. */
static void
deny_personality(struct program *p)
{
	only_for(p, SYS_personality, 5);
	load_argument(p, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 0, 1);
	answer(p, 0);
	answer(p, EPERM);
}

/* Address families; netlink tells programs which interfaces there are. */
static void
deny_sockets(struct program *p, bool deny_network)
{
	uint32_t first = deny_network ? AF_UNIX : AF_INET;
	uint32_t second = deny_network ? AF_UNIX : AF_INET6;

	only_for(p, SYS_socket, 7);
	load_argument(p, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 2, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1);
	answer(p, 0);
	answer(p, EAFNOSUPPORT);
}

static void
build(struct program *p, bool deny_network)
{
	size_t i;

	load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	answer(p, EPERM);		/* 32-bit programs cannot be judged */
	load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	emit(p, BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 0, 1);
	answer(p, EPERM);
#endif
	for (i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		deny(p, denied[i], EPERM);
	deny(p, SYS_clone3, ENOSYS);	/* its flags lie in memory */
	deny_namespaces(p, SYS_unshare);
	deny_namespaces(p, SYS_clone);
	deny_ioctl(p);
	deny_personality(p);
	deny_sockets(p, deny_network);
	answer(p, 0);
}

int
seccomp_deny(bool deny_network)
{
	static struct program p;
	struct sock_fprog prog = { .filter = p.f };

	if (NATIVE_ARCH == 0) {
		errno = ENOSYS;
		return -1;
	}
	p.n = 0;
	build(&p, deny_network);
	prog.len = p.n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}
