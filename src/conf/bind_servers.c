/*
 * bind_servers -- the "mcps" list to rows of struct model_server.
 *
 * Runs after "global" of all files was bound, whose retry values are the
 * defaults here. What belongs to one transport is refused with another,
 * because a key that is silently ignored is a setting somebody relies on.
 */
#include "conf/bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MAX_MS	3600000
#define URL_MAX		2047
#define PATH_LEN_MAX	4095
#define NAME_LEN_MAX	127
#define PROSE_MAX	4095
#define BURST_MAX	1000000
#define MEMORY_MIN	(16 << 20)
#define MEMORY_MAX	1099511627776
#define PROCESSES_MAX	1000000

enum { NAME, DISPLAY, PROTOCOL, URL, COMMAND, ARGS, CWD, ENV, ENABLED,
	TIMEOUT, DESCRIPTION, TAGS, RETRY, AUTHENTICATION, POLICY,
	RESTRICTIONS, RATE, SANDBOX };

static const struct bind_key keys[] = {
	[NAME] = { "name", false, NULL },
	[DISPLAY] = { "display_name", false, NULL },
	[PROTOCOL] = { "protocol", false, NULL },
	[URL] = { "url", false, NULL },
	[COMMAND] = { "command", false, NULL },
	[ARGS] = { "args", false, NULL },
	[CWD] = { "cwd", false, NULL },
	[ENV] = { "env", false, NULL },
	[ENABLED] = { "enabled", false, NULL },
	[TIMEOUT] = { "timeout_seconds", false, NULL },
	[DESCRIPTION] = { "description", false, NULL },
	[TAGS] = { "tags", false, NULL },
	[RETRY] = { "retry", false, NULL },
	[AUTHENTICATION] = { "authentication", false, NULL },
	[POLICY] = { "tool_policy", false, NULL },
	[RESTRICTIONS] = { "role_restrictions", false, NULL },
	[RATE] = { "rate_limit", false, NULL },
	[SANDBOX] = { "sandbox", false, NULL },
};
#define N_KEYS	BIND_COUNT(keys)

/* The names of one protocol stand behind each other; all spellings seen. */
static const struct {
	const char	*name;
	enum transport	 transport;
} protocols[] = {
	{ "http", TRANSPORT_HTTP }, { "streamable", TRANSPORT_HTTP },
	{ "streamable-http", TRANSPORT_HTTP },
	{ "streamable_http", TRANSPORT_HTTP },
	{ "http-streamable", TRANSPORT_HTTP },
	{ "sse", TRANSPORT_SSE }, { "stdio", TRANSPORT_STDIO },
	{ "websocket", TRANSPORT_WEBSOCKET }, { "ws", TRANSPORT_WEBSOCKET },
};
static const char protocol_names[] = "http|streamable|streamable-http|"
    "streamable_http|http-streamable|sse|stdio|websocket|ws";

static const char *
key_path(struct bind *b, const char *path, int key)
{
	return bind_path(b, path, keys[key].name);
}

static int
env_name_length(const char *s)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return s[0] >= '0' && s[0] <= '9' ? 0 : (int)strspn(s, bytes);
}

/* Values may be secrets and are never shown; empty ones are fine. */
static void
bind_env(struct bind *b, const struct yaml_node *node, const char *path,
    struct strlist *out)
{
	const struct yaml_pair *p;
	const char *at;
	size_t i;

	if (bind_is_map(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++) {
		p = &node->pair[i];
		if (p->key->bad)
			continue;
		at = bind_path(b, path, p->key->text);
		if (env_name_length(p->key->text) !=
		    (int)strlen(p->key->text) || p->key->text[0] == '\0')
			bind_error(b, p->key, at,
			    "is not the name of an environment variable");
		else if (bind_is_scalar(b, p->value, at) == 0)
			strlist_add(out, arena_printf(b->mem, "%s=%s",
			    p->key->text, p->value->text));
	}
}

static void
bind_transport(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_server *s)
{
	int i;

	if (bind_enum(b, node, path, protocol_names, &i) == 0)
		s->transport = protocols[i].transport;
}

static void
bind_url(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_server *s)
{
	char why[128];

	if (bind_text(b, node, path, URL_MAX, &s->url) < 0)
		return;
	/* Not shown: a URL may hold a key in its query. */
	if (check_url(s->url, s->transport == TRANSPORT_WEBSOCKET ? "ws" :
	    "http", why, sizeof(why)) < 0)
		bind_error(b, node, path, "%s", why);
}

static void
bind_command(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_server *s)
{
	if (bind_text(b, node, path, PATH_LEN_MAX, &s->command) == 0 &&
	    strchr(s->command, '/') != NULL && s->command[0] != '/')
		bind_error(b, node, path,
		    "must be an absolute path or a name without \"/\"");
}

/* Arguments may be empty and hold any character but NUL. */
static void
bind_args(struct bind *b, const struct yaml_node *node, const char *path,
    struct strlist *out)
{
	const char *at;
	size_t i;

	if (bind_is_list(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++) {
		at = bind_index(b, path, i);
		if (bind_is_scalar(b, node->item[i], at) == 0)
			strlist_add(out, node->item[i]->text);
	}
}

static void
bind_paths(struct bind *b, const struct yaml_node *node, const char *path,
    struct strlist *out)
{
	const char *at;
	char *text = NULL;
	size_t i;

	if (bind_is_list(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++) {
		at = bind_index(b, path, i);
		if (bind_text(b, node->item[i], at, PATH_LEN_MAX, &text) < 0)
			continue;
		if (text[0] != '/' || text[1] == '\0')
			bind_error(b, node->item[i], at,
			    "must be an absolute path, and not \"/\"");
		else
			strlist_add(out, text);
	}
	free(text);
}

enum { BOX_ENABLED, BOX_REQUIRED, BOX_NETWORK, BOX_WRITABLE, BOX_HIDDEN,
	BOX_MEMORY, BOX_PROCESSES };

static const struct bind_key box_keys[] = {
	[BOX_ENABLED] = { "enabled", false, NULL },
	[BOX_REQUIRED] = { "required", false, NULL },
	[BOX_NETWORK] = { "network", false, NULL },
	[BOX_WRITABLE] = { "writable", false, NULL },
	[BOX_HIDDEN] = { "hidden", false, NULL },
	[BOX_MEMORY] = { "memory", false, NULL },
	[BOX_PROCESSES] = { "processes", false, NULL },
};

static const char *
box_path(struct bind *b, const char *path, int i)
{
	return bind_path(b, path, box_keys[i].name);
}

/* The limits hold without a sandbox too. */
static void
bind_sandbox(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_server *s)
{
	const struct yaml_node *v[BIND_COUNT(box_keys)];
	int i;

	if (bind_map(b, node, path, box_keys, BIND_COUNT(box_keys), v) < 0)
		return;
	if (v[BOX_ENABLED] != NULL)
		bind_bool(b, v[BOX_ENABLED], box_path(b, path, BOX_ENABLED),
		    &s->sandbox);
	if (v[BOX_REQUIRED] != NULL)
		bind_bool(b, v[BOX_REQUIRED], box_path(b, path, BOX_REQUIRED),
		    &s->sandbox_required);
	if (v[BOX_NETWORK] != NULL)
		bind_bool(b, v[BOX_NETWORK], box_path(b, path, BOX_NETWORK),
		    &s->network);
	if (v[BOX_WRITABLE] != NULL)
		bind_paths(b, v[BOX_WRITABLE], box_path(b, path, BOX_WRITABLE),
		    &s->writable);
	if (v[BOX_HIDDEN] != NULL)
		bind_paths(b, v[BOX_HIDDEN], box_path(b, path, BOX_HIDDEN),
		    &s->hidden);
	if (v[BOX_MEMORY] != NULL)
		bind_size(b, v[BOX_MEMORY], box_path(b, path, BOX_MEMORY),
		    MEMORY_MIN, MEMORY_MAX, &s->memory);
	if (v[BOX_PROCESSES] != NULL)
		bind_int(b, v[BOX_PROCESSES], box_path(b, path, BOX_PROCESSES),
		    1, PROCESSES_MAX, &s->processes);
	for (i = BOX_REQUIRED; i < BOX_MEMORY && !s->sandbox; i++)
		if (v[i] != NULL)
			bind_error(b, v[i], box_path(b, path, i),
			    "has no meaning without a sandbox");
}

static void
bind_stdio(struct bind *b, const struct yaml_node *const *v,
    const struct yaml_node *node, const char *path, struct model_server *s)
{
	if (v[COMMAND] == NULL)
		bind_error(b, node, path, "protocol stdio needs a command");
	else
		bind_command(b, v[COMMAND], key_path(b, path, COMMAND), s);
	if (v[ARGS] != NULL)
		bind_args(b, v[ARGS], key_path(b, path, ARGS), &s->args);
	if (v[ENV] != NULL)
		bind_env(b, v[ENV], key_path(b, path, ENV), &s->env);
	if (v[CWD] != NULL && bind_text(b, v[CWD], key_path(b, path, CWD),
	    PATH_LEN_MAX, &s->cwd) == 0 && s->cwd[0] != '/')
		bind_error(b, v[CWD], key_path(b, path, CWD),
		    "must be an absolute path");
	if (v[SANDBOX] != NULL)
		bind_sandbox(b, v[SANDBOX], key_path(b, path, SANDBOX), s);
	if (v[URL] != NULL)
		bind_error(b, v[URL], key_path(b, path, URL),
		    "has no meaning with protocol stdio");
	if (v[AUTHENTICATION] != NULL)
		bind_error(b, v[AUTHENTICATION],
		    key_path(b, path, AUTHENTICATION),
		    "has no meaning with protocol stdio; use env");
}

static void
bind_remote(struct bind *b, const struct yaml_node *const *v,
    const struct yaml_node *node, const char *path, struct model_server *s)
{
	static const int stdio_only[] = { COMMAND, ARGS, CWD, ENV, SANDBOX };
	size_t i;

	if (v[URL] == NULL)
		bind_error(b, node, path, "needs a url (or protocol: stdio)");
	else
		bind_url(b, v[URL], key_path(b, path, URL), s);
	for (i = 0; i < BIND_COUNT(stdio_only); i++)
		if (v[stdio_only[i]] != NULL)
			bind_error(b, v[stdio_only[i]],
			    key_path(b, path, stdio_only[i]),
			    "has a meaning with protocol: stdio only");
	if (v[AUTHENTICATION] != NULL)
		bind_authentication(b, v[AUTHENTICATION],
		    key_path(b, path, AUTHENTICATION), s);
}

static void
bind_rate(struct bind *b, const struct yaml_node *node, const char *path,
    struct model_server *s)
{
	static const struct bind_key rate_keys[] = {
		{ "requests_per_minute", false, NULL },
		{ "burst", true, "the limit is a sliding window" },
	};
	const struct yaml_node *v[BIND_COUNT(rate_keys)];

	if (bind_map(b, node, path, rate_keys, BIND_COUNT(rate_keys), v) < 0)
		return;
	if (v[0] != NULL)
		bind_int(b, v[0], bind_path(b, path, rate_keys[0].name), 0,
		    MODEL_RATE_MAX, &s->rate_per_minute);
	if (v[1] != NULL)
		bind_int(b, v[1], bind_path(b, path, rate_keys[1].name), 0,
		    BURST_MAX, &s->burst);
	if (v[0] == NULL && v[1] != NULL)
		bind_error(b, v[1], bind_path(b, path, rate_keys[1].name),
		    "needs requests_per_minute");
}

static void
bind_general(struct bind *b, const struct yaml_node *const *v,
    const char *path, struct model_server *s)
{
	int64_t attempts = b->retry_attempts;

	if (v[DISPLAY] != NULL)
		bind_text(b, v[DISPLAY], key_path(b, path, DISPLAY),
		    NAME_LEN_MAX, &s->display_name);
	if (v[DESCRIPTION] != NULL)
		bind_prose(b, v[DESCRIPTION], key_path(b, path, DESCRIPTION),
		    PROSE_MAX, &s->description);
	if (v[ENABLED] != NULL)
		bind_bool(b, v[ENABLED], key_path(b, path, ENABLED),
		    &s->enabled);
	if (v[TIMEOUT] != NULL)
		bind_number_ms(b, v[TIMEOUT], key_path(b, path, TIMEOUT),
		    1000, 100, TIMEOUT_MAX_MS, &s->timeout_ms);
	if (v[TAGS] != NULL)
		bind_texts(b, v[TAGS], key_path(b, path, TAGS), &s->tags);
	s->retry_delay_ms = b->retry_delay_ms;
	if (v[RETRY] != NULL)
		bind_retry(b, v[RETRY], key_path(b, path, RETRY), &attempts,
		    &s->retry_delay_ms);
	s->max_attempts = (int)attempts;
	if (v[POLICY] != NULL)
		bind_tool_policy(b, v[POLICY], key_path(b, path, POLICY), s);
	if (v[RESTRICTIONS] != NULL)
		bind_restrictions(b, v[RESTRICTIONS],
		    key_path(b, path, RESTRICTIONS), s);
	if (v[RATE] != NULL)
		bind_rate(b, v[RATE], key_path(b, path, RATE), s);
}

static const char *
bind_name(struct bind *b, const struct yaml_node *const *v,
    const struct yaml_node *node, const char *path)
{
	char why[128];

	if (v[NAME] == NULL) {
		bind_error(b, node, path, "has no name");
		return NULL;
	}
	if (bind_is_scalar(b, v[NAME], key_path(b, path, NAME)) < 0)
		return NULL;
	if (model_check_server_name(v[NAME]->text, why, sizeof(why)) < 0) {
		bind_error(b, v[NAME], key_path(b, path, NAME), "\"%s\" %s",
		    bind_show(b, v[NAME]), why);
		return NULL;
	}
	return v[NAME]->text;
}

/* A server without a usable name is still read, for its other findings. */
static void
bind_server(struct bind *b, const struct yaml_node *node, const char *path)
{
	const struct yaml_node *v[N_KEYS];
	struct model_server *s;
	const char *name;

	if (bind_map(b, node, path, keys, N_KEYS, v) < 0)
		return;
	name = bind_name(b, v, node, path);
	s = model_add_server(b->model, name != NULL ? name : "");
	bind_origin(b, node, &s->origin);
	if (v[PROTOCOL] != NULL)
		bind_transport(b, v[PROTOCOL], key_path(b, path, PROTOCOL), s);
	if (s->transport == TRANSPORT_STDIO)
		bind_stdio(b, v, node, path, s);
	else
		bind_remote(b, v, node, path, s);
	bind_general(b, v, path, s);
}

void
bind_servers(struct bind *b, const struct yaml_node *node, const char *path)
{
	size_t i;

	if (bind_is_list(b, node, path) < 0)
		return;
	for (i = 0; i < node->n; i++)
		bind_server(b, node->item[i], bind_index(b, path, i));
}
