/*
 * master -- the life of omni2d from the first fork to the last wait.
 *
 * One epoll loop: signals (signalfd), the control socket, the loader's report,
 * words of children, the keeper's cry for workers. See master.h for what must
 * never happen here.
 */
#include "proc/master.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "shm/slot.h"

enum { TAG_SIGNAL = 1, TAG_CONTROL, TAG_LOADER, TAG_WORDS, TAG_STARVE,
	TAG_CONTROL_CONN = 1000 };

static void
watch(struct master *m, int fd, uint32_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = tag };

	if (epoll_ctl(m->ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		notify_die_sys("epoll_ctl");
}

static void
setup(struct master *m, struct proc *p)
{
	static const int wanted[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT, SIGQUIT };
	size_t i;

	m->proc = p;
	m->shm = &p->shm;
	m->shm->slot = shm_kind_first(KIND_MASTER);
	m->child = xcalloc(p->shm.sizes.slots, sizeof(m->child[0]));
	buf_init(&m->report, 1u << 20);
	if (slot_take(m->shm, KIND_MASTER) != m->shm->slot)
		die_bug(__FILE__, __LINE__, "the master's slot is taken");
	slot_started(m->shm, m->shm->slot, getpid());
	slot_state(m->shm, SLOT_IDLE);
	sigemptyset(&m->signals);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		sigaddset(&m->signals, wanted[i]);
	sigprocmask(SIG_BLOCK, &m->signals, &m->old_signals);
	signal(SIGPIPE, SIG_IGN);
	m->signal_fd = signalfd(-1, &m->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	m->ep = epoll_create1(EPOLL_CLOEXEC);
	m->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (m->signal_fd < 0 || m->ep < 0)
		notify_die_sys("signalfd, epoll");
	control_open(m);
	audit_emitter_init(&m->audit, m->shm, p->audit_pipe[1], m->shm->slot);
	watch(m, m->signal_fd, TAG_SIGNAL);
	watch(m, m->control_fd, TAG_CONTROL);
	watch(m, p->loader_pipe[0], TAG_LOADER);
	watch(m, p->master_fd[0], TAG_WORDS);
	watch(m, p->lanes.starve_fd, TAG_STARVE);
}

/* ---- ending ------------------------------------------------------------------------ */

static void
begin_stop(struct master *m)
{
	int i;

	if (m->stopping)
		return;
	log_info("stopping");
	notify_send("STOPPING=1\nSTATUS=Finishing the calls in flight");
	m->stopping = true;
	m->stop_ms = clock_mono_ms();
	m->kill_ms = m->stop_ms + m->proc->conf.drain_timeout_ms;
	atomic_store(&shm_ctl(m->shm)->draining, 1);
	for (i = 0; i < m->proc->n_listen; i++)
		close(m->proc->listen_fd[i]);
	m->proc->n_listen = 0;
	for (i = 0; i < m->proc->n_tls; i++)
		close(m->proc->tls_fd[i]);
	m->proc->n_tls = 0;
	master_signal(m, KIND_TLSD, SIGTERM);
	master_signal(m, KIND_KEEPER, SIGTERM);
	master_signal(m, KIND_LOADER, SIGKILL);
}

/*
 * Order of the end: keeper and workers (calls in flight finish), tlsd, poller
 * and stdiod, the auditor last, because the others still write records.
 * Signals are repeated: one that arrives just before a wait is lost.
 */
static bool
tend_stop(struct master *m)
{
	bool overdue = clock_mono_ms() >= m->kill_ms;
	unsigned front;

	front = master_count(m, KIND_KEEPER);
	if (front > 0 && !overdue) {
		master_signal(m, KIND_KEEPER, SIGTERM);
		return false;
	}
	front += master_count(m, KIND_WORKER) + master_count(m, KIND_CONTROL) +
	    master_count(m, KIND_API);
	if (front > 0) {
		int sig = overdue ? SIGKILL : SIGTERM;

		master_signal(m, KIND_KEEPER, sig);
		master_signal(m, KIND_WORKER, sig);
		master_signal(m, KIND_CONTROL, sig);
		master_signal(m, KIND_API, sig);
		return false;
	}
	/* what they have been told is on its way to the clients */
	if (master_count(m, KIND_TLSD) > 0) {
		overdue |= clock_mono_ms() >= m->kill_ms;
		master_signal(m, KIND_TLSD, overdue ? SIGKILL : SIGTERM);
		return false;
	}
	overdue = clock_mono_ms() >= m->kill_ms + 10000;
	if (master_count(m, KIND_POLLER) + master_count(m, KIND_STDIOD) > 0) {
		master_signal(m, KIND_POLLER, overdue ? SIGKILL : SIGTERM);
		master_signal(m, KIND_STDIOD, overdue ? SIGKILL : SIGTERM);
		return false;
	}
	overdue = clock_mono_ms() >= m->kill_ms + 40000;
	if (master_count(m, KIND_AUDITOR) > 0) {
		master_signal(m, KIND_AUDITOR, overdue ? SIGKILL : SIGTERM);
		return false;
	}
	return master_count(m, KIND_LOADER) == 0;
}

/* ---- the loop ------------------------------------------------------------------------ */

static void
read_signals(struct master *m)
{
	struct signalfd_siginfo si;

	while (read(m->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGHUP:
			master_reload(m, true);
			break;
		case SIGTERM:
		case SIGINT:
			begin_stop(m);
			break;
		case SIGQUIT:
			begin_stop(m);
			m->kill_ms = clock_mono_ms();
			break;
		default:
			break;
		}
	}
	master_reap(m);
}

static void
read_words(struct master *m)
{
	char words[64];
	ssize_t i, n = read(m->proc->master_fd[0], words, sizeof(words));

	for (i = 0; i < n; i++)
		if (words[i] == PROC_WORD_RELOAD) {
			master_reload(m, false);
			return;
		}
}

static void
dispatch(struct master *m, uint32_t tag)
{
	uint64_t n;

	switch (tag) {
	case TAG_SIGNAL:
		read_signals(m);
		break;
	case TAG_CONTROL:
		control_accept(m);
		break;
	case TAG_LOADER:
		master_read_report(m);
		break;
	case TAG_WORDS:
		read_words(m);
		break;
	case TAG_STARVE:
		(void)!read(m->proc->lanes.starve_fd, &n, sizeof(n));
		master_grow(m);
		break;
	default:
		control_read(m, (int)(tag - TAG_CONTROL_CONN));
		break;
	}
}

static int
wait_ms(const struct master *m)
{
	int k;

	if (m->stopping)
		return 100;
	for (k = 0; k < KIND_COUNT; k++)
		if (m->throttle[k].not_before_ms != 0)
			return 50;
	return 500;
}

/* What workers and listeners opened for each other; also after SIGKILL, at
 * the end of the next run. */
static void
remove_mailboxes(const char *run_dir)
{
	DIR *d = opendir(run_dir);
	struct dirent *entry;

	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL)
		if (strncmp(entry->d_name, "ask.", 4) == 0 ||
		    strncmp(entry->d_name, "hear.", 5) == 0)
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
}

/* Sockets and pid file are ours as long as we live; the lock is held. */
static void
remove_files(struct proc *p)
{
	static const char *const names[] = { "control.sock", "stdio.sock",
	    "omni2d.pid" };
	char path[CONF_TEXT + 32];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", p->conf.run_dir, names[i]);
		unlink(path);
	}
	remove_mailboxes(p->conf.run_dir);
}

int
master_main(struct proc *p)
{
	static struct master m;
	struct epoll_event ev[32];
	int64_t next_tick = 0;
	int i, n;

	setup(&m, p);
	master_reload(&m, true);
	for (;;) {
		n = epoll_wait(m.ep, ev, 32, wait_ms(&m));
		for (i = 0; i < n; i++)
			dispatch(&m, ev[i].data.u32);
		if (m.stopping) {
			if (tend_stop(&m))
				break;
			continue;
		}
		master_keep_alive(&m);
		if (clock_mono_ms() >= next_tick) {
			next_tick = clock_mono_ms() + 500;
			notify_send("WATCHDOG=1");
			master_check_stuck(&m);
			master_tune(&m);
		}
	}
	control_close_all(&m);
	remove_files(p);
	log_info("stopped");
	return 0;
}
