/*
 * q_audit -- finds audit records for people: omni2ctl audit tail and search.
 *
 * A cursor is {"<node>": seq, ...}: numbers are counted per node, and times are
 * when a request came, so neither alone says what somebody has seen. Records of
 * a node become visible in the order of their numbers, with its audit_chain.
 */
#include "store/store.h"

#include <stdio.h>

#include "store/store_int.h"

#define COLUMNS	"seq, to_char(ts AT TIME ZONE 'UTC'," \
	" 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), node, org, principal," \
	" decision, result, method, server, object, rule, error," \
	" http_status, rpc_code, duration_us, upstream_us, client," \
	" trace_id, source, record, id"
#define MATCHES	"($1::text IS NULL OR principal = $1)" \
	" AND ($2::text IS NULL OR server = $2)" \
	" AND ($3::text IS NULL OR object = $3)" \
	" AND ($4::text IS NULL OR decision = $4)" \
	" AND ($5::bigint IS NULL OR" \
	" ts >= now() - $5::bigint * interval '1 ms')"
/* A row of its own if nothing is found, for the cursor. */
#define HEAD	"head AS (SELECT coalesce(jsonb_object_agg(node, seq), '{}')" \
	" AS at FROM omni2.audit_chain)"

static const char newest[] = "WITH " HEAD ", page AS ("
    "SELECT * FROM omni2.audit_log WHERE " MATCHES
    " ORDER BY ts DESC, seq DESC LIMIT $6::bigint) "
    "SELECT " COLUMNS ", head.at::text FROM head LEFT JOIN page ON true "
    "ORDER BY ts, seq";

/* The lowest numbers first, so that of no node one is passed over. */
static const char following[] = "WITH " HEAD ", page AS ("
    "SELECT a.* FROM omni2.audit_chain c CROSS JOIN LATERAL ("
    "SELECT * FROM omni2.audit_log l WHERE l.node = c.node"
    " AND l.seq > coalesce(($7::jsonb->>c.node)::bigint, 0) AND " MATCHES
    " ORDER BY l.seq LIMIT $6::bigint) a"
    " ORDER BY a.seq, a.node LIMIT $6::bigint), "
    "seen AS (SELECT coalesce(jsonb_object_agg(node, seq), '{}') AS at FROM"
    " (SELECT node, max(seq) AS seq FROM page GROUP BY node) AS nodes) "
    "SELECT " COLUMNS ", ($7::jsonb || CASE WHEN (SELECT count(*) FROM page)"
    " < $6::bigint THEN head.at ELSE seen.at END)::text "
    "FROM head CROSS JOIN seen LEFT JOIN page ON true ORDER BY ts, seq";

struct db_result *
store_audit_search(struct db *db, const struct audit_filter *f, struct err *e)
{
	char since[32], limit[32];
	const char *p[7] = { f->principal, f->server, f->object, f->decision,
	    NULL, limit, f->after };

	snprintf(limit, sizeof(limit), "%lld", (long long)f->limit);
	if (f->since_ms > 0) {
		snprintf(since, sizeof(since), "%lld", (long long)f->since_ms);
		p[4] = since;
	}
	return f->after == NULL ? db_query(db, e, newest, 6, p) :
	    db_query(db, e, following, 7, p);
}
