/*
 * q_servers -- servers that are added and removed at run time.
 */
#include "base/json_write.h"
#include "store/store_int.h"

int
store_server_put(struct db *db, const struct model_server *s, bool only_new,
    struct err *e)
{
	const struct store_put put = { .org = s->org, .name = s->name,
		.kind = "server", .only_new = only_new,
		.upsert = store_servers_upsert,
		.find = "SELECT s.source FROM omni2.mcp_servers s "
		    "JOIN omni2.organisations o ON o.id = s.org_id "
		    "WHERE o.name = $1 AND s.name = $2 "
		    "AND s.namespace_id IS NULL FOR UPDATE OF s" };
	struct model_server row = *s;
	struct json_out o;
	struct buf json;
	int rv;

	row.origin.source = SOURCE_DB;
	buf_init(&json, STORE_ROW_MAX);
	json_out_init(&o, &json);
	json_array_begin(&o, NULL);
	store_server_json(&o, &row);
	json_array_end(&o);
	rv = store_put(db, &put, &json, e);
	buf_free(&json);
	return rv;
}

int
store_server_remove(struct db *db, const char *org, const char *name,
    struct err *e)
{
	const char *params[] = { org, name };
	struct db_result *r;
	bool yaml;
	int n;

	r = db_query(db, e, "WITH found AS (SELECT s.id, s.source "
	    "FROM omni2.mcp_servers s "
	    "JOIN omni2.organisations o ON o.id = s.org_id "
	    "WHERE o.name = $1 AND s.name = $2 AND s.namespace_id IS NULL), "
	    "gone AS (DELETE FROM omni2.mcp_servers USING found "
	    "WHERE mcp_servers.id = found.id AND found.source = 'db') "
	    "SELECT source = 'yaml' FROM found", 2, params);
	if (r == NULL)
		return -1;
	n = db_rows(r);
	yaml = n > 0 && db_bool(r, 0, 0);
	db_result_free(&r);
	if (n == 0)
		return err_set(e, ERR_NOTFOUND, "no server %s", name);
	if (yaml)
		return err_set(e, ERR_CONFLICT, "server %s is defined in the "
		    "configuration file", name);
	return 0;
}
