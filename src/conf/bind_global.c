/*
 * bind_global -- the "global" section of mcps.yaml.
 *
 * Its times are settings of keys.def under older names, so giving both is
 * giving one setting twice.
 */
#include "conf/bind.h"

#include "conf/keys.h"

#define RETRY_MAX	10
#define DELAY_MAX_MS	60000

/* A setting of keys.def given here in units of unit_ms. */
static void
bind_alias(struct bind *b, const struct yaml_node *node, const char *path,
    const char *key, int64_t unit_ms)
{
	const struct conf_key *k = conf_key_find(key);

	if (node != NULL && bind_once(b, node, path, key) == 0)
		bind_number_ms(b, node, path, unit_ms, k->min, k->max,
		    conf_key_member(b->conf, k));
}

static void
bind_patterns(struct bind *b, const struct yaml_node *node, const char *path,
    struct strlist *out)
{
	if (node != NULL && bind_once(b, node, path, path) == 0)
		bind_globs(b, node, path, out);
}

void
bind_retry(struct bind *b, const struct yaml_node *node, const char *path,
    int64_t *attempts, int64_t *delay_ms)
{
	static const struct bind_key keys[] = {
		{ "max_attempts", false, NULL },
		{ "delay_seconds", false, NULL },
		{ "connection_max_age_seconds", true, NULL },
	};
	const struct yaml_node *v[BIND_COUNT(keys)];

	if (bind_map(b, node, path, keys, BIND_COUNT(keys), v) < 0)
		return;
	if (v[0] != NULL)
		bind_int(b, v[0], bind_path(b, path, "max_attempts"), 1,
		    RETRY_MAX, attempts);
	if (v[1] != NULL)
		bind_number_ms(b, v[1], bind_path(b, path, "delay_seconds"),
		    1000, 0, DELAY_MAX_MS, delay_ms);
}

static void
bind_auto_discovery(struct bind *b, const struct yaml_node *node,
    const char *path)
{
	bool on;

	if (bind_bool(b, node, path, &on) == 0 && !on)
		bind_no_effect(b, node, path, "discovery is always on");
}

void
bind_global(struct bind *b, const struct yaml_node *node, const char *path)
{
	enum { TIMEOUT, RETRY, AUTO, DISCOVERY, HEALTH, BLOCKED, ADMIN };
	static const struct bind_key keys[] = {
		[TIMEOUT] = { "default_timeout_seconds", false, NULL },
		[RETRY] = { "retry", false, NULL },
		[AUTO] = { "auto_discovery_enabled", false, NULL },
		[DISCOVERY] = { "discovery_interval_minutes", false, NULL },
		[HEALTH] = { "health_check_interval_seconds", false, NULL },
		[BLOCKED] = { "blocked_tools", false, NULL },
		[ADMIN] = { "admin_only_tools", false, NULL },
	};
	const struct yaml_node *v[BIND_COUNT(keys)];

	if (bind_map(b, node, path, keys, BIND_COUNT(keys), v) < 0)
		return;
	bind_alias(b, v[TIMEOUT], bind_path(b, path, keys[TIMEOUT].name),
	    "mcp.default_timeout", 1000);
	bind_alias(b, v[DISCOVERY], bind_path(b, path, keys[DISCOVERY].name),
	    "mcp.discovery_interval", 60000);
	bind_alias(b, v[HEALTH], bind_path(b, path, keys[HEALTH].name),
	    "mcp.health_interval", 1000);
	bind_patterns(b, v[BLOCKED], bind_path(b, path, keys[BLOCKED].name),
	    &b->model->blocked_tools);
	bind_patterns(b, v[ADMIN], bind_path(b, path, keys[ADMIN].name),
	    &b->model->admin_only_tools);
	if (v[AUTO] != NULL)
		bind_auto_discovery(b, v[AUTO],
		    bind_path(b, path, keys[AUTO].name));
	if (v[RETRY] != NULL && bind_once(b, v[RETRY],
	    bind_path(b, path, "retry"), "global.retry") == 0)
		bind_retry(b, v[RETRY], bind_path(b, path, "retry"),
		    &b->retry_attempts, &b->retry_delay_ms);
}
