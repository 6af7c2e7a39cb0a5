/*
 * bind_auth -- a server's "authentication" to one complete header line.
 *
 * Findings here name keys and rules, never a value, not even as it is
 * written in the file. Line breaks are refused: the line goes into a request.
 */
#include "conf/bind.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_MAX	8192

enum { ENABLED, TYPE, API_KEY, API_KEY_FILE, TOKEN, TOKEN_FILE, USERNAME,
	PASSWORD, PASSWORD_FILE, HEADER_NAME, HEADER_VALUE,
	HEADER_VALUE_FILE };

static const struct bind_key keys[] = {
	[ENABLED] = { "enabled", false, NULL },
	[TYPE] = { "type", false, NULL },
	[API_KEY] = { "api_key", false, NULL },
	[API_KEY_FILE] = { "api_key_file", false, NULL },
	[TOKEN] = { "token", false, NULL },
	[TOKEN_FILE] = { "token_file", false, NULL },
	[USERNAME] = { "username", false, NULL },
	[PASSWORD] = { "password", false, NULL },
	[PASSWORD_FILE] = { "password_file", false, NULL },
	[HEADER_NAME] = { "header_name", false, NULL },
	[HEADER_VALUE] = { "header_value", false, NULL },
	[HEADER_VALUE_FILE] = { "header_value_file", false, NULL },
};
#define N_KEYS	BIND_COUNT(keys)

enum { NONE, BEARER, BASIC, KEY, CUSTOM };
static const struct {
	const char	*name;
	int		 kind;
} types[] = {
	{ "none", NONE }, { "bearer", BEARER }, { "basic", BASIC },
	{ "api_key", KEY }, { "custom", CUSTOM }, { "custom_header", CUSTOM },
	{ "custom_headers", CUSTOM }, { "header", CUSTOM },
};
static const char type_names[] =
    "none|bearer|basic|api_key|custom|custom_header|custom_headers|header";

struct auth {
	struct bind		*b;
	const char		*path;
	const struct yaml_node	*node;
	const struct yaml_node	*v[N_KEYS];
	struct model_server	*server;
};

/* Standard base64 with padding (RFC 4648 section 4), as RFC 7617 asks. */
static char *
base64(struct bind *b, const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = (const unsigned char *)text;
	size_t n = strlen(text), i, left;
	char *out = arena_alloc(b->mem, 4 * ((n + 2) / 3) + 1), *o = out;
	unsigned v;

	for (i = 0; i < n; i += 3) {
		left = n - i;
		v = (unsigned)p[i] << 16;
		if (left > 1)
			v |= (unsigned)p[i + 1] << 8;
		if (left > 2)
			v |= p[i + 2];
		*o++ = digits[v >> 18];
		*o++ = digits[v >> 12 & 63];
		*o++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*o++ = left > 2 ? digits[v & 63] : '=';
	}
	return out;
}

/* The value of a key or of its file, which comes next in the table. */
static const char *
secret(struct auth *a, int key)
{
	const char *path = bind_path(a->b, a->path, keys[key].name);
	const struct yaml_node *node = a->v[key] != NULL ? a->v[key] :
	    a->v[key + 1];
	const char *s = bind_secret(a->b, a->v[key], a->v[key + 1], path);

	if (s != NULL && !model_is_header_value(s)) {
		bind_error(a->b, node, path,
		    "must not have line breaks or control characters");
		return NULL;
	}
	return s;
}

static bool
given(const struct auth *a, int key)
{
	return a->v[key] != NULL || a->v[key + 1] != NULL;
}

/* NULL after a finding. */
static const char *
needed(struct auth *a, int key, const char *type)
{
	if (!given(a, key)) {
		bind_error(a->b, a->node, a->path, "type %s needs %s or %s",
		    type, keys[key].name, keys[key + 1].name);
		return NULL;
	}
	return secret(a, key);
}

static void
set_header(struct auth *a, const char *name, const char *scheme,
    const char *value, enum server_auth auth)
{
	char *line;

	if (value == NULL)
		return;
	if (strlen(value) > HEADER_MAX) {
		bind_error(a->b, a->node, a->path,
		    "the header would be longer than %d bytes", HEADER_MAX);
		return;
	}
	line = arena_printf(a->b->mem, "%s: %s%s", name, scheme, value);
	model_set(&a->server->auth_header, line);
	a->server->auth = auth;
}

/* The given header_name, or fallback; NULL after a finding. */
static const char *
header_name(struct auth *a, const char *fallback)
{
	const struct yaml_node *node = a->v[HEADER_NAME];
	const char *path = bind_path(a->b, a->path, "header_name");

	if (node == NULL && fallback == NULL)
		bind_error(a->b, a->node, a->path,
		    "type custom needs header_name");
	if (node == NULL)
		return fallback;
	if (bind_is_scalar(a->b, node, path) < 0)
		return NULL;
	if (!model_is_header_name(node->text))
		bind_error(a->b, node, path, "is not a header name");
	else if (model_header_is_ours(node->text))
		bind_error(a->b, node, path,
		    "\"%s\" is a header that omni2 sets itself",
		    bind_show(a->b, node));
	else
		return node->text;
	return NULL;
}

static void
bind_bearer(struct auth *a)
{
	const char *value;

	if (given(a, TOKEN) && given(a, API_KEY)) {
		bind_error(a->b, a->node, a->path,
		    "give either token or api_key, not both");
		return;
	}
	value = given(a, API_KEY) ? secret(a, API_KEY) :
	    needed(a, TOKEN, "bearer");
	set_header(a, "Authorization", "Bearer ", value, SERVER_AUTH_BEARER);
}

static void
bind_basic(struct auth *a)
{
	const char *path = bind_path(a->b, a->path, "username");
	const struct yaml_node *user = a->v[USERNAME];
	const char *password = needed(a, PASSWORD, "basic");

	if (user == NULL) {
		bind_error(a->b, a->node, a->path,
		    "type basic needs username");
		return;
	}
	if (bind_is_scalar(a->b, user, path) < 0)
		return;
	if (user->text[0] == '\0' || strchr(user->text, ':') != NULL ||
	    !model_is_header_value(user->text)) {
		bind_error(a->b, user, path, "must not be empty or have a "
		    "colon or control characters");
		return;
	}
	if (password != NULL)
		set_header(a, "Authorization", "Basic ", base64(a->b,
		    arena_printf(a->b->mem, "%s:%s", user->text, password)),
		    SERVER_AUTH_BASIC);
}

/* A key that the type does not look at is a mistake, not a spare. */
static void
refuse_others(struct auth *a, int kind)
{
	static const unsigned used[] = {
		[NONE] = 0,
		[BEARER] = 1u << TOKEN | 1u << TOKEN_FILE | 1u << API_KEY |
		    1u << API_KEY_FILE,
		[BASIC] = 1u << USERNAME | 1u << PASSWORD |
		    1u << PASSWORD_FILE,
		[KEY] = 1u << API_KEY | 1u << API_KEY_FILE |
		    1u << HEADER_NAME,
		[CUSTOM] = 1u << HEADER_NAME | 1u << HEADER_VALUE |
		    1u << HEADER_VALUE_FILE,
	};
	size_t i;

	for (i = API_KEY; i < N_KEYS; i++)
		if (a->v[i] != NULL && (used[kind] & 1u << i) == 0)
			bind_error(a->b, a->v[i],
			    bind_path(a->b, a->path, keys[i].name),
			    "has no meaning with this type");
}

static void
bind_type(struct auth *a, int kind)
{
	const char *name;

	refuse_others(a, kind);
	switch (kind) {
	case BEARER:
		bind_bearer(a);
		break;
	case BASIC:
		bind_basic(a);
		break;
	case KEY:
		if ((name = header_name(a, "X-API-Key")) != NULL)
			set_header(a, name, "", needed(a, API_KEY, "api_key"),
			    SERVER_AUTH_HEADER);
		break;
	case CUSTOM:
		if ((name = header_name(a, NULL)) != NULL)
			set_header(a, name, "", needed(a, HEADER_VALUE,
			    "custom"), SERVER_AUTH_HEADER);
		break;
	default:
		break;
	}
}

void
bind_authentication(struct bind *b, const struct yaml_node *node,
    const char *path, struct model_server *s)
{
	struct auth a = { .b = b, .path = path, .node = node, .server = s };
	bool enabled = true;
	int type;

	if (bind_map(b, node, path, keys, N_KEYS, a.v) < 0)
		return;
	if (a.v[ENABLED] != NULL && bind_bool(b, a.v[ENABLED],
	    bind_path(b, path, "enabled"), &enabled) < 0)
		return;
	if (!enabled)
		return;		/* files of secrets need not be there */
	if (a.v[TYPE] == NULL) {
		bind_error(b, node, path, "has no type (%s)",
		    "bearer|basic|api_key|custom");
		return;
	}
	if (bind_enum(b, a.v[TYPE], bind_path(b, path, "type"), type_names,
	    &type) == 0)
		bind_type(&a, types[type].kind);
}
