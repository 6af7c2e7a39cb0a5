/*
 * q_audit -- finds audit records for people: omni2ctl audit tail and search.
 */
#include "store/store.h"

#include <stdio.h>

#include "store/store_int.h"

struct db_result *
store_audit_search(struct db *db, const struct audit_filter *f, struct err *e)
{
	static const char sql[] =
	    "SELECT seq, to_char(ts AT TIME ZONE 'UTC',"
	    " 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), node, org, principal,"
	    " decision, result, method, server, object, rule, error,"
	    " http_status, rpc_code, duration_us, upstream_us, client,"
	    " trace_id, source, record, id"
	    " FROM (SELECT * FROM omni2.audit_log"
	    " WHERE ($1::text IS NULL OR principal = $1)"
	    " AND ($2::text IS NULL OR server = $2)"
	    " AND ($3::text IS NULL OR object = $3)"
	    " AND ($4::text IS NULL OR decision = $4)"
	    " AND ($5::bigint IS NULL OR"
	    " ts >= now() - $5::bigint * interval '1 ms')"
	    " AND ($6::bigint IS NULL OR seq > $6)"
	    " ORDER BY ts DESC, seq DESC LIMIT $7::bigint) AS newest"
	    " ORDER BY ts, seq";
	char since[32], after[32], limit[32];
	const char *p[7] = { f->principal, f->server, f->object, f->decision,
	    NULL, NULL, limit };

	snprintf(limit, sizeof(limit), "%lld", (long long)f->limit);
	if (f->since_ms > 0) {
		snprintf(since, sizeof(since), "%lld", (long long)f->since_ms);
		p[4] = since;
	}
	if (f->after_seq > 0) {
		snprintf(after, sizeof(after), "%lld", (long long)f->after_seq);
		p[5] = after;
	}
	return db_query(db, e, sql, 7, p);
}
