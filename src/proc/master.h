/*
 * master -- what the files of the master share (master*.c, control.c).
 *
 * The master counts children and passes decisions on. No DNS, no database, no
 * TLS, no YAML, no curl, and it trusts nothing in memory that children write:
 * pids and buffers come from its own tables.
 */
#ifndef OMNI2_PROC_MASTER_H
#define OMNI2_PROC_MASTER_H

#include <signal.h>
#include <sys/types.h>

#include "audit/emit.h"
#include "proc/proc.h"

#define CONTROL_MAX 16

struct child {				/* by slot; the master's own truth */
	pid_t		pid;		/* 0: none */
	enum shm_kind	kind;
	int64_t		started_ms, stopped_ms;	/* stopped: by SIGSTOP */
	bool		told_to_end;
};

struct throttle {			/* by kind */
	int		quick;		/* deaths soon after start, in a row */
	int64_t		not_before_ms;
};

struct control {			/* one omni2ctl on the control socket */
	int		fd;
	bool		waits_reload;
	char		line[128];
	size_t		n;
};

struct master {
	struct proc	*proc;
	struct shm	*shm;
	struct child	*child;
	struct throttle	 throttle[KIND_COUNT];
	sigset_t	 signals, old_signals;
	int		 signal_fd, ep, control_fd, reserve_fd;
	struct control	 control[CONTROL_MAX];
	struct audit_emitter audit;
	/* loading */
	bool		 loading, load_again, loaded_once;
	bool		 seed_wanted;	/* by the next loader */
	struct buf	 report;
	/* ending */
	bool		 stopping;
	int64_t		 stop_ms, kill_ms;
	int		 idle_mismatch, lane_mismatch;
};

/* master_spawn.c */
pid_t	master_spawn(struct master *, enum shm_kind);
void	master_reap(struct master *);
void	master_tune(struct master *);		/* every second */
void	master_grow(struct master *);		/* the keeper is starving */
void	master_keep_alive(struct master *);	/* starts what is missing */
unsigned master_count(const struct master *, enum shm_kind);
void	master_signal(struct master *, enum shm_kind, int sig);
void	master_check_stuck(struct master *);

/* master_load.c */
/* Starts or queues a loader. seed: what the files say is written into the
 * database, too; not when it is the database that says "load", or nodes whose
 * files differ would write in turns and wake each other for ever. */
void	master_reload(struct master *, bool seed);
void	master_read_report(struct master *);
void	master_loader_died(struct master *, bool ok);

/* control.c */
void	control_open(struct master *);
void	control_accept(struct master *);
void	control_read(struct master *, int i);
void	control_reload_done(struct master *, bool ok, struct span text);
void	control_close_all(struct master *);

/* notify.c: sd_notify(3) without libsystemd */
void	notify_send(const char *text);
void	notify_ready(struct master *, bool is_loaded, struct span findings);
void	notify_failed(struct span findings);	/* the start; exit follows */
/* Cannot start: the line goes to standard error and to "systemctl status",
 * which shows it also while systemd tries again. */
void	notify_die(int exit_status, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3), noreturn));
void	notify_die_sys(const char *what)	/* EX_OSERR, by errno */
	    __attribute__((noreturn));
/* Socket activation: those whose name is "tls", and the others. */
void	notify_listen_fds(int *plain, int *n_plain, int *tls, int *n_tls, int max);

#endif
