/*
 * q_servers -- removal of servers. (Writing one is in q_users.c beside the
 * users, with which it shares its rules about rows of the file.)
 */
#include "store/store_int.h"

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
