/*
 * proc -- the processes of omni2d: what the master prepares before the first
 * fork and hands to every child.
 */
#ifndef OMNI2_PROC_PROC_H
#define OMNI2_PROC_PROC_H

#include "conf/conf.h"
#include "keeper/lane.h"
#include "shm/shm.h"

#define LISTEN_MAX 64

struct proc {
	struct shm	 shm;
	struct lanes	 lanes;
	int		 audit_pipe[2];	/* [0] auditor, [1] writers (non-blocking) */
	int		 listen_fd[LISTEN_MAX];
	int		 n_listen;
	int		 tls_fd[LISTEN_MAX];
	int		 n_tls;
	int		 stdio_fd;	/* listener of stdiod */
	int		 loader_pipe[2];	/* loader's report to the master */
	int		 master_fd[2];	/* children's words to the master: one
					 * byte each, see PROC_WORD_* */
	char		 stdio_path[CONF_TEXT];
	char		 conf_path[4096];	/* PATH_MAX */
	struct conf	 conf;		/* as of the start */
	bool		 seed;		/* the next loader: YAML into the
					 * database, too */
};

#define PROC_WORD_RELOAD 'R'	/* poller: the database says policy changed */

/* Each returns the exit status of its process. */
int	worker_main(struct proc *, uint32_t slot, enum lane_kind);
int	poller_main(struct proc *, uint32_t slot);
int	loader_main(struct proc *, uint32_t slot);
int	master_main(struct proc *);

/* loader -> master, on loader_pipe, then the text. One message, last. */
struct loader_report {
	uint32_t	magic;
	int32_t		conf_buffer, policy_buffer;	/* -1: not built */
	uint32_t	db_loaded;
	uint32_t	errors;
	int32_t		exit_status;	/* of omni2d, if these are its first */
	uint32_t	text_size;	/* findings, follow */
};
#define LOADER_MAGIC 0x6f326c64u

/* loader.c, also for omni2d -t: reads, merges, checks; no shared memory.
 * 0, or -1 with findings printed to out, and in *exit_status (may be NULL) of
 * which kind: EX_NOPERM, EX_PROTOCOL (tables of a newer omni2), EX_CONFIG. A
 * database that is away is a warning.
 * YAML: files only; READ: the database is read too; SEED: what the files say
 * is written into it before. */
struct model;
enum loader_depth { LOADER_YAML, LOADER_READ, LOADER_SEED };
int	loader_read(const char *path, struct conf *, struct model *,
	    struct buf *out, enum loader_depth, int *exit_status);

/* Common start of a child: signals to default, title, death with the parent,
 * protection of shared memory, log name. */
void	proc_child_start(struct proc *, enum shm_kind, uint32_t slot,
	    int master_pid);

#endif
