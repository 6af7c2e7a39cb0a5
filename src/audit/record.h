/*
 * record -- one audit record: a struct, its JSON, and its frames in the pipe.
 *
 * Writers: workers, the master (for calls of dead workers), omni2ctl through
 * the database. A record is JSON text (RFC 8259, one object); in the pipe it
 * travels as one or more frames of at most PIPE_BUF bytes, which the kernel
 * writes atomically, so concurrent writers never mix. In the journal the same
 * frames stand one after another.
 */
#ifndef OMNI2_AUDIT_RECORD_H
#define OMNI2_AUDIT_RECORD_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#define AUDIT_FRAME_MAX		4096	/* PIPE_BUF on Linux */
#define AUDIT_FRAME_MAGIC	0x3246414fu	/* "OAF2" */

enum audit_decision { AUDIT_ALLOW, AUDIT_DENY, AUDIT_LIMIT, AUDIT_UNAUTHENTICATED };
enum audit_result { AUDIT_SUCCESS, AUDIT_ERROR, AUDIT_DENIED, AUDIT_CANCELLED,
	AUDIT_ABORTED };

/* Fields are borrowed spans; empty = absent. */
struct audit_record {
	uint8_t		 id[16];	/* unique (UUIDv7), audit_record_id() */
	int64_t		 wall_us;	/* when the request came */
	struct span	 node;
	struct span	 org;
	struct span	 principal;	/* e-mail, or "" */
	struct span	 role;
	struct span	 credential;	/* "key:17", "token:<jti>" */
	struct span	 source;	/* X-Source, "mcp" */
	struct span	 client;	/* address */
	struct span	 user_agent;
	struct span	 trace_id;	/* 32 hex digits */
	struct span	 session;	/* hash of the MCP session */
	struct span	 method;	/* "tools/call" */
	struct span	 server;	/* upstream's name */
	struct span	 object;	/* tool, prompt or resource, own name */
	struct span	 arguments;	/* raw JSON, already redacted */
	bool		 arguments_cut;
	enum audit_decision decision;
	struct span	 rule;		/* what decided */
	enum audit_result result;
	int		 http_status;
	int		 rpc_code;	/* 0 none */
	struct span	 error;		/* text */
	int64_t		 duration_us;
	int64_t		 upstream_us;
	int64_t		 request_bytes, response_bytes;
	bool		 incomplete;	/* the answer broke off on its way */
};

/* Header of a frame, little-endian, packed by hand: 32 bytes. */
struct audit_frame {
	uint32_t	magic;
	uint16_t	size;		/* payload bytes after the header */
	uint16_t	flags;		/* 1: last of its record, 2: first */
	uint32_t	slot;		/* writer's slot */
	uint32_t	crc;		/* CRC-32C of payload and the other fields */
	uint64_t	seq;		/* record number of that slot */
	uint32_t	part;		/* 0, 1, ... within the record */
	uint32_t	reserved;
};
#define AUDIT_FRAME_HEADER	32u

void	audit_record_id(uint8_t id[16], int64_t wall_us);
/* Appends the record as one JSON object. Cheap: the hot path calls it. */
int	audit_record_json(const struct audit_record *, struct buf *);
/* Which values must not be kept: of members whose names match a glob. */
struct audit_redaction {
	const char	(*globs)[128];	/* lower case; not copied */
	unsigned	 n;
	uint8_t		 word_n[64];	/* length of the word in "*word*", or 0 */
	uint64_t	 begins[32];	/* words by their first letter & 31 */
};
void	audit_redaction_init(struct audit_redaction *,
	    const char (*globs)[128], unsigned n);
/* Copies JSON, already checked (json_check), with the values of matching names
 * replaced by "[redacted]", at any depth; cuts at max bytes (then *cut is set
 * and the text kept is a JSON string). */
int	audit_redact(const struct audit_redaction *, struct span json,
	    size_t max, struct buf *out, bool *cut);

/* Splits the JSON into frames in out (ready for one write(2) per frame);
 * frame_at[i] offsets, returns their number or -1 if more than max. */
int	audit_frames(struct span json, uint32_t slot, uint64_t seq,
	    struct buf *out, size_t *frame_at, int max);
/* Reads the frame at the beginning of in. Bytes taken, 0 if incomplete, -1 if
 * there is none (damaged): then audit_frame_resync() finds the next. */
long	audit_frame_read(struct span in, struct audit_frame *, struct span *payload);
long	audit_frame_resync(struct span in);	/* offset of next magic or -1 */

#endif
