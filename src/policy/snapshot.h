/*
 * snapshot -- the policy as it lies in shared memory: organisations, roles,
 * users, servers, rules and key hashes, flattened, offsets only.
 *
 * Built by the loader (policy_build) in a free buffer, or by omni2ctl on its
 * heap; const for everyone else, valid while pinned. All strings are
 * NUL-terminated inside the snapshot.
 */
#ifndef OMNI2_POLICY_SNAPSHOT_H
#define OMNI2_POLICY_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define POL_MAGIC	0x326c6f70u
#define POL_NONE	UINT32_MAX

struct pol_str {			/* offset from the snapshot's start */
	uint32_t	off, len;
};
struct pol_list {			/* of an array of any kind */
	uint32_t	off, n;
};

struct pol_restriction {
	uint32_t	role;		/* index, POL_NONE never */
	uint32_t	mode;		/* enum restriction (conf/model.h) */
	struct pol_list	globs;		/* of pol_str */
};

enum pol_sandbox { POL_SANDBOX_OFF, POL_SANDBOX_ON,
	POL_SANDBOX_NO_NETWORK };

struct pol_server {
	int64_t		id;		/* stable: row id, or hash of the name */
	uint32_t	health;		/* index of its shm_health entry */
	uint32_t	org;		/* index of organisation name string */
	uint32_t	enabled;
	uint32_t	transport;	/* enum transport */
	struct pol_str	name, display_name, description, url, command, cwd;
	struct pol_list	args, env;	/* of pol_str */
	struct pol_list	writable, hidden;	/* of pol_str: paths, in the
					 * sandbox */
	uint32_t	sandbox;	/* enum pol_sandbox */
	uint32_t	sandbox_required;
	int64_t		memory;		/* of a stdio server; 0: stdio.memory */
	int64_t		processes;	/* likewise */
	struct pol_str	auth_header;	/* "Name: value"; secret */
	int64_t		timeout_ms;	/* 0: default */
	int64_t		retry_delay_ms;
	uint32_t	max_attempts;
	uint32_t	tool_policy;	/* enum tool_policy */
	struct pol_list	tool_globs;
	struct pol_list	restrictions;	/* of pol_restriction */
	uint32_t	rate_per_minute, burst;
	uint64_t	config_hash;	/* of everything that needs a new
					 * connection or process when changed */
};

struct pol_access {
	uint32_t	server;		/* index; POL_NONE: every server */
	uint32_t	mode;		/* enum access_mode */
	struct pol_list	tools, deny;
	uint32_t	has_resources, has_prompts;
	struct pol_list	resources, deny_resources, prompts;
};

struct pol_grants {
	uint32_t	given;		/* users: 0: these are the role's */
	uint32_t	all;
	struct pol_list	access;		/* of pol_access, sorted by server */
};

struct pol_role {
	struct pol_str	name;
	uint32_t	org;
	uint32_t	is_admin, is_super;
	uint32_t	requests_per_hour, concurrent;	/* 0: unlimited */
	struct pol_grants grants;
	struct pol_list	allowed_tools, denied_tools;
};

struct pol_user {
	int64_t		id;		/* row id, or hash of the e-mail */
	uint32_t	org;
	uint32_t	role;		/* index */
	uint32_t	active;
	uint32_t	limit_per_hour;	/* effective; 0: unlimited */
	struct pol_str	email, name, slack_user_id;
	struct pol_grants grants;	/* effective: own, or the role's */
	struct pol_list	domains, databases, teams;
};

struct pol_key {
	uint8_t		sha256[32];
	int64_t		id;
	int64_t		expires_at;	/* 0 never */
	uint32_t	user;
	uint32_t	used;		/* 0: empty place in the table */
};

struct pol_head {
	uint32_t	magic;
	uint32_t	unlisted;	/* enum unlisted */
	uint64_t	size;		/* bytes used */
	uint64_t	seed;		/* of the hash tables */
	int64_t		built_wall_us;
	uint32_t	db_loaded;
	uint32_t	default_user;	/* index or POL_NONE */
	struct pol_list	orgs;		/* pol_str; "default", then sorted */
	struct pol_list	servers;	/* pol_server, sorted by org, name */
	struct pol_list	roles;		/* pol_role, sorted by org, name */
	struct pol_list	users;		/* pol_user */
	struct pol_list	user_table;	/* uint32_t places, open addressing over
					 * hash(email); POL_NONE empty */
	struct pol_list	key_table;	/* pol_key places, by first 8 bytes */
	struct pol_list	revoked;	/* uint64_t hashes of jti, sorted */
	struct pol_list	blocked_tools, admin_only_tools;
};

static inline const void *
pol_at(const struct pol_head *p, uint32_t off)
{
	return (const char *)p + off;
}
static inline struct span
pol_span(const struct pol_head *p, struct pol_str s)
{
	return (struct span){ (const char *)p + s.off, s.len };
}
static inline const char *
pol_cstr(const struct pol_head *p, struct pol_str s)
{
	return (const char *)p + s.off;
}
static inline const struct pol_user *
pol_user(const struct pol_head *p, uint32_t i)
{
	return (const struct pol_user *)pol_at(p, p->users.off) + i;
}
static inline const struct pol_role *
pol_role(const struct pol_head *p, uint32_t i)
{
	return (const struct pol_role *)pol_at(p, p->roles.off) + i;
}
static inline const struct pol_server *
pol_server(const struct pol_head *p, uint32_t i)
{
	return (const struct pol_server *)pol_at(p, p->servers.off) + i;
}

/*
 * Index or POL_NONE. An e-mail that users of two organisations have is found
 * only with its organisation.
 */
uint32_t pol_find_user(const struct pol_head *, struct span email);
uint32_t pol_find_user_in(const struct pol_head *, uint32_t org,
	    struct span email);
uint32_t pol_find_org(const struct pol_head *, struct span name);
uint32_t pol_find_role(const struct pol_head *, uint32_t org, struct span name);
uint32_t pol_find_server(const struct pol_head *, uint32_t org, struct span name);
const struct pol_key *pol_find_key(const struct pol_head *, const uint8_t sha256[32]);
bool	pol_is_revoked(const struct pol_head *, struct span jti);

#endif
