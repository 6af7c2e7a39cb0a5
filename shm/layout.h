/*
 * layout -- every struct that lies in shared memory. Each names its writer.
 * A change here changes SHM_LAYOUT, so that an old omni2ctl refuses to read.
 */
#ifndef OMNI2_SHM_LAYOUT_H
#define OMNI2_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC	0x326d68736d6f0a0aULL
#define SHM_LAYOUT	6u
#define SHM_SLOT_SIZE	4096u
#define SHM_SERVERS_MAX	1024u
#define SHM_BUCKETS	14
#define SHM_LINE	64	/* cache line */
#define SHM_SESS_SETS	4096u	/* of upstream sessions of clients */
#define SHM_SESS_WAYS	16u

enum shm_kind {
#define KIND(id, name, first, n) KIND_##id,
#include "shm/kinds.def"
#undef KIND
	KIND_COUNT
};

enum shm_counter {
#define COUNTER(id, name, labels, help) C_##id,
#include "shm/metrics.def"
#undef COUNTER
	C_COUNT
};

enum shm_snap { SNAP_CONF, SNAP_POLICY, SNAP_CATALOG, SNAP_COUNT };

struct shm_sizes {			/* chosen at start */
	uint32_t	slots;		/* 12 + workers at most */
	uint32_t	perm_entries;	/* power of two */
	uint32_t	rate_principals;
	uint32_t	connections;
	uint64_t	rate_window_ms;
	uint64_t	conf_size, policy_size, catalog_size;	/* per buffer */
};

struct shm_head {			/* writer: master before fork */
	uint64_t	magic;
	uint32_t	layout;
	uint32_t	n_zones;
	char		build[64];	/* version and build id */
	int64_t		created_wall_us;
	int32_t		master_pid;
	uint32_t	reserved;
	uint64_t	hash_seed;
	struct shm_sizes sizes;
	struct {
		char	 name[16];
		uint32_t segment;
		uint32_t writers;
		uint64_t offset, size;
	} zone[32];
};

struct shm_word {			/* a word with a line of its own */
	_Alignas(SHM_LINE) _Atomic uint64_t v;
};

/* A generation word: sequence << 2 | buffer; 0: nothing published yet. */
struct shm_ctl {			/* writer: master */
	_Atomic uint64_t generation[2];	/* SNAP_CONF, SNAP_POLICY */
	_Atomic uint64_t draining;	/* 1: no new work, finish */
	_Atomic uint64_t keeper_spawn;	/* counts keepers; part of connection ids */
	_Atomic uint64_t reloads, reloads_failed;
	_Atomic int64_t	 last_reload_wall_us;
	_Atomic uint64_t db_loaded;	/* 1: policy holds the database's rows */
	_Atomic uint64_t workers, workers_idle_goal;
	_Atomic int64_t	 started_mono_ms, db_loaded_mono_ms;
	_Atomic uint64_t folds;		/* seqlock of the totals; odd: a dead
					 * child's counters move there now */
};

struct shm_queue {			/* writers: keeper and workers */
	_Alignas(SHM_LINE) _Atomic uint64_t handed;	/* keeper, work lane */
	_Alignas(SHM_LINE) _Atomic uint64_t taken;	/* workers */
	_Alignas(SHM_LINE) _Atomic uint64_t idle;	/* workers waiting */
	_Alignas(SHM_LINE) _Atomic uint64_t connections; /* keeper: open */
	_Atomic uint64_t parked;			/* keeper: idle */
	_Atomic uint64_t streams;			/* keeper: event streams */
};

enum shm_audit_state { AUDIT_STATE_STARTING, AUDIT_STATE_OK, AUDIT_STATE_FAILING,
	AUDIT_STATE_SPOOL_FULL };

struct shm_audit {			/* writer: auditor */
	_Alignas(SHM_LINE) _Atomic uint64_t state;	/* enum shm_audit_state */
	_Atomic uint64_t waiters_mode;	/* audit_sync the auditor honours now */
	_Atomic uint64_t journal_bytes;	/* taken out of the pipe, all time */
	_Atomic uint64_t durable_bytes;	/* of these known to be on disk */
	_Atomic uint64_t shipped_bytes;	/* of these in PostgreSQL */
	_Atomic uint64_t records, records_shipped;
	_Atomic uint64_t db_ok;		/* 1: last shipment worked */
	_Atomic uint64_t damaged;	/* frames that could not be read */
};

enum shm_db_state { DB_UNKNOWN, DB_UP, DB_DOWN, DB_NOT_CONFIGURED };

struct shm_poll {			/* writer: poller (dirty: stdiod too) */
	_Atomic uint64_t generation;	/* SNAP_CATALOG */
	_Atomic uint64_t db_state;
	_Atomic int64_t	 db_since_wall_us;
	_Atomic uint64_t discoveries, discoveries_failed;
	_Atomic uint64_t dirty;		/* some server said list_changed */
	_Atomic uint64_t rounds;	/* finished discovery rounds */
};

enum shm_health_status { HEALTH_UNKNOWN, HEALTH_HEALTHY, HEALTH_UNHEALTHY,
	HEALTH_UNREACHABLE, HEALTH_DISABLED };

/* breaker word: state:2 (0 closed, 1 open, 2 half open) | trials:14 |
 * failures:16 | since:32 (monotonic ms modulo 2^32). One CAS per outcome. */
struct shm_health {			/* loader: id, name; others as noted */
	_Alignas(SHM_LINE) _Atomic int64_t server_id;	/* 0: free */
	char		 name[64];
	_Atomic uint64_t breaker;	/* workers, poller: CAS */
	_Atomic uint64_t calls, failures;	/* workers: add */
	_Atomic uint64_t latency_us;	/* workers: moving average */
	_Atomic uint64_t opened;	/* workers: times the circuit opened */
	_Atomic uint64_t status;	/* poller: enum shm_health_status */
	_Atomic int64_t	 checked_wall_us, changed_wall_us;	/* poller */
	_Atomic uint64_t tools, resources, prompts, templates;	/* poller */
	_Atomic uint64_t dirty;		/* any: lists have changed, read again */
	_Atomic uint64_t legacy;	/* workers, poller: CAS (legacy.h) */
	char		 error[128];	/* poller; may be torn, for people only */
};

struct shm_counters {
	_Atomic uint64_t v[C_COUNT];
	_Atomic uint64_t bucket[SHM_BUCKETS];
	_Atomic uint64_t latency_count, latency_sum_us;
};

enum shm_state { SLOT_FREE, SLOT_STARTING, SLOT_IDLE, SLOT_READING,
	SLOT_CALLING, SLOT_WRITING, SLOT_HOLDING, SLOT_EXITING };

struct shm_request {			/* what a worker is doing, for people,
					 * cancellation and the reaper */
	uint64_t	call;		/* number of the call; 0 none */
	int64_t		start_wall_us;
	uint64_t	session;	/* hash; cancellation looks for these */
	uint64_t	rpc_id;		/* hash of the client's id text */
	char		principal[96];
	char		org[32];
	char		role[32];
	char		method[32];
	char		server[64];
	char		object[128];
	char		client[48];
	char		trace_id[36];
};

struct shm_slot {			/* writer: that child; master when dead */
	_Atomic int32_t	 pid;		/* 0: free (master) */
	_Atomic uint32_t kind;
	_Atomic uint32_t state;		/* enum shm_state */
	_Atomic uint32_t spawn;		/* counts the children of this slot */
	_Atomic int64_t	 started_ms;	/* monotonic */
	_Atomic int64_t	 since_ms;	/* of state, monotonic */
	_Atomic int64_t	 alive_ms;	/* a worker got to its requests; in its
					 * first slot */
	_Atomic uint64_t pin[SNAP_COUNT];	/* generation word or 0 */
	_Atomic uint64_t connection;	/* keeper's id of the one served; 0 */
	_Atomic uint64_t call_seq;	/* never goes back, also over spawns */
	_Atomic uint64_t audit_seq;	/* likewise */
	_Atomic uint64_t served;	/* requests of this child */
	_Atomic uint64_t request_seq;	/* seqlock of request; odd: writing */
	struct shm_request request;
	struct shm_counters counters;
};
_Static_assert(sizeof(struct shm_slot) <= SHM_SLOT_SIZE, "slot too large");

/* word: owner slot:16 | sequence:48; odd sequence: being written. */
struct shm_perm_entry {
	_Atomic uint64_t word;
	_Atomic uint64_t key[2];
	_Atomic uint64_t value;
};

/*
 * The first SHM_SERVERS_MAX are the shared sessions, by index of shm_health;
 * behind them lie the sets of those that belong to one client session.
 */
struct shm_sess {			/* worker or poller that holds the word */
	_Alignas(SHM_LINE) _Atomic uint64_t word;	/* as in shm_perm_entry */
	_Atomic int64_t	 server_id;	/* 0: none */
	_Atomic uint64_t client_session;	/* 0: the shared one */
	_Atomic uint64_t era;		/* 0 unknown, 1 legacy, 2 modern */
	_Atomic uint64_t flags;		/* enum sess_flag */
	_Atomic uint64_t opened;	/* counts sessions */
	_Atomic int64_t	 used_ms;	/* whoever looked it up; monotonic */
	char		 version[16];
	char		 id[232];	/* Mcp-Session-Id; "" none */
};

struct shm_sess_zone {
	struct shm_sess	 shared[SHM_SERVERS_MAX];
	struct shm_sess	 client[SHM_SESS_SETS][SHM_SESS_WAYS];
	_Atomic uint64_t used[SHM_SESS_SETS / 64];	/* sets ever used */
};

#endif
