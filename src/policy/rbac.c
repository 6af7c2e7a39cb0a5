/*
 * rbac -- decides a permission; see rbac.h for the order of the rules.
 *
 * Runs in workers (every list and every call), the poller's tests and
 * omni2ctl policy test. Pure: no allocation, no lock, no clock, no state.
 * Whether a rule allows is written in rules.def only, so that no branch here
 * can name one rule and do another; whatever no rule allows is denied.
 */
#include "policy/rbac.h"

#include <stdio.h>

#include "base/glob.h"
#include "base/hash.h"
#include "conf/conf.h"
#include "conf/model.h"

static const struct {
	bool		 allow;
	const char	*name, *text;
} rules[RULE_COUNT] = {
#define RULE(id, allow, text) [RULE_##id] = { allow, #id, text },
#include "policy/rules.def"
#undef RULE
};

struct query {
	const struct pol_head	*p;
	const struct pol_user	*user;
	const struct pol_role	*role;
	const struct pol_server	*server;
	uint32_t		 server_index;
	const struct pol_access	*access;	/* NULL: none */
	struct span		 name;
	struct pol_str		 glob;		/* the last that matched */
};

static bool
list_matches(struct query *q, struct pol_list list)
{
	const struct pol_str *glob = pol_at(q->p, list.off);
	uint32_t i;

	for (i = 0; i < list.n; i++) {
		if (glob_match(pol_cstr(q->p, glob[i]), q->name)) {
			q->glob = glob[i];
			return true;
		}
	}
	return false;
}

/* The user's entry for the server: its own before that of every server. */
static const struct pol_access *
find_access(const struct pol_head *p, const struct pol_grants *grants,
    uint32_t server)
{
	const struct pol_access *access = pol_at(p, grants->access.off);
	uint32_t low = 0, high = grants->access.n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (access[middle].server == server)
			return &access[middle];
		if (server < access[middle].server)
			high = middle;
		else
			low = middle + 1;
	}
	if (grants->access.n > 0 &&
	    access[grants->access.n - 1].server == POL_NONE)
		return &access[grants->access.n - 1];
	return NULL;
}

static bool
query_init(struct query *q, const struct pol_head *p, uint32_t user,
    uint32_t server, const char *name)
{
	*q = (struct query){ .p = p, .server_index = server };
	if (user >= p->users.n || server >= p->servers.n)
		return false;
	q->user = pol_user(p, user);
	if (q->user->role >= p->roles.n)
		return false;
	q->role = pol_role(p, q->user->role);
	q->server = pol_server(p, server);
	q->access = find_access(p, &q->user->grants, server);
	q->name = span_str(name);
	return true;
}

/* Each decide_ function answers RULE_NONE when it does not decide. */
static enum rbac_rule
decide_gate(const struct query *q)
{
	if (!q->user->active)
		return RULE_USER_INACTIVE;
	if (q->server->org != q->user->org)
		return RULE_OTHER_ORG;
	if (!q->server->enabled)
		return RULE_SERVER_DISABLED;
	return RULE_NONE;
}

static bool
is_exposed(struct query *q)
{
	switch ((enum tool_policy)q->server->tool_policy) {
	case TOOL_POLICY_ALLOW_ALL:
		return true;
	case TOOL_POLICY_ALLOW_ONLY:
		return list_matches(q, q->server->tool_globs);
	case TOOL_POLICY_ALLOW_ALL_EXCEPT:
		return !list_matches(q, q->server->tool_globs);
	}
	return false;
}

/* What holds for everyone who calls this tool. */
static enum rbac_rule
decide_everyone(struct query *q)
{
	if (!is_exposed(q))
		return RULE_NOT_EXPOSED;
	if (!q->role->is_super && list_matches(q, q->p->blocked_tools))
		return RULE_BLOCKED;
	if (!q->role->is_admin && list_matches(q, q->p->admin_only_tools))
		return RULE_ADMIN_ONLY;
	q->glob.len = 0;	/* of a rule that was passed */
	return RULE_NONE;
}

static enum rbac_rule
decide_server(struct query *q, enum item_kind kind)
{
	if (q->role->is_admin)
		return RULE_ADMIN;
	if (q->user->grants.all) {
		if (kind == ITEM_TOOL && list_matches(q, q->role->denied_tools))
			return RULE_ROLE_TOOLS_DENY;
		if (kind == ITEM_TOOL && q->role->allowed_tools.n > 0 &&
		    !list_matches(q, q->role->allowed_tools))
			return RULE_ROLE_TOOLS_NO_MATCH;
		return RULE_ALL_SERVERS;
	}
	return q->access == NULL ? RULE_SERVER_NOT_ALLOWED : RULE_NONE;
}

static enum rbac_rule
apply_restriction(struct query *q, const struct pol_restriction *r)
{
	switch ((enum restriction)r->mode) {
	case RESTRICT_ALLOW_ALL:
		return RULE_ROLE_ALLOW_ALL;
	case RESTRICT_DENY_ALL:
		return RULE_ROLE_DENY_ALL;
	case RESTRICT_ALLOW_ONLY:
		return list_matches(q, r->globs) ?
		    RULE_ROLE_ALLOW_ONLY : RULE_ROLE_NOT_IN_ONLY;
	case RESTRICT_DENY:
	case RESTRICT_ALLOW_ALL_EXCEPT:
		return list_matches(q, r->globs) ?
		    RULE_ROLE_DENY : RULE_ROLE_NOT_DENIED;
	}
	return RULE_ROLE_DENY_ALL;
}

static enum rbac_rule
decide_inherit(struct query *q)
{
	struct pol_list list = q->server->restrictions;
	const struct pol_restriction *r = pol_at(q->p, list.off);
	uint32_t i;

	if (list.n == 0)
		return RULE_NO_RESTRICTIONS;
	for (i = 0; i < list.n; i++)
		if (r[i].role == q->user->role)
			return apply_restriction(q, &r[i]);
	return q->p->unlisted == UNLISTED_ALLOW ?
	    RULE_ROLE_UNLISTED_ALLOW : RULE_ROLE_UNLISTED_DENY;
}

static enum rbac_rule
decide_mode(struct query *q)
{
	switch ((enum access_mode)q->access->mode) {
	case ACCESS_INHERIT:
		return decide_inherit(q);
	case ACCESS_CUSTOM:
		if (list_matches(q, q->access->deny))
			return RULE_CUSTOM_DENY;
		return list_matches(q, q->access->tools) ?
		    RULE_CUSTOM_MATCH : RULE_CUSTOM_NO_MATCH;
	case ACCESS_ALL:
		return RULE_MODE_ALL;
	}
	return RULE_NONE;
}

static enum rbac_rule
decide_tool(struct query *q)
{
	enum rbac_rule rule = decide_mode(q);
	struct pol_str glob = q->glob;

	if (!rules[rule].allow)
		return rule;
	q->glob.len = 0;
	if (list_matches(q, q->role->denied_tools))
		return RULE_ROLE_TOOLS_DENY;
	if (q->role->allowed_tools.n > 0 &&
	    !list_matches(q, q->role->allowed_tools))
		return RULE_ROLE_TOOLS_NO_MATCH;
	q->glob = glob;
	return rule;
}

/* The next byte of a URI, its escape taken off. */
static char
next_byte(struct span *uri)
{
	char c = uri->p[0];
	uint8_t decoded;
	size_t n = 1;

	if (c == '%' && uri->n >= 3 &&
	    hash_unhex(span_make(uri->p + 1, 2), &decoded, 1) == 0) {
		c = (char)decoded;
		n = 3;
	}
	*uri = span_skip(*uri, n);
	return c;
}

/*
 * "file:///pub/../x": patterns see one path, the server reads another. What
 * a server may take for the end of a segment is one here.
 */
static bool
has_dots(struct span uri)
{
	size_t bytes = 0, dots = 0;
	char c;

	while (uri.n > 0) {
		c = next_byte(&uri);
		if (c != '/' && c != '\\' && c != '?' && c != '#') {
			bytes++;
			dots += c == '.';
			continue;
		}
		if (bytes == 2 && dots == 2)
			return true;
		bytes = dots = 0;
	}
	return bytes == 2 && dots == 2;
}

static enum rbac_rule
decide_resource(struct query *q)
{
	if ((q->access->has_resources || q->access->deny_resources.n > 0) &&
	    has_dots(q->name))
		return RULE_RESOURCE_DOTS;
	if (list_matches(q, q->access->deny_resources))
		return RULE_RESOURCE_DENY;
	if (!q->access->has_resources)
		return RULE_SERVER_ALLOWED;
	return list_matches(q, q->access->resources) ?
	    RULE_RESOURCE_MATCH : RULE_RESOURCE_NO_MATCH;
}

static enum rbac_rule
decide_prompt(struct query *q)
{
	if (!q->access->has_prompts)
		return RULE_SERVER_ALLOWED;
	return list_matches(q, q->access->prompts) ?
	    RULE_PROMPT_MATCH : RULE_PROMPT_NO_MATCH;
}

static enum rbac_rule
decide_item(struct query *q, enum item_kind kind)
{
	switch (kind) {
	case ITEM_TOOL:
		return decide_tool(q);
	case ITEM_RESOURCE:
	case ITEM_TEMPLATE:	/* by the text of the template itself */
		return decide_resource(q);
	case ITEM_PROMPT:
		return decide_prompt(q);
	case ITEM_KIND_COUNT:
		break;
	}
	return RULE_NONE;
}

struct rbac_verdict
rbac_decide(const struct pol_head *p, uint32_t user, uint32_t server,
    enum item_kind kind, const char *name)
{
	struct query q;
	enum rbac_rule rule = RULE_NONE;

	if (query_init(&q, p, user, server, name)) {
		rule = decide_gate(&q);
		if (rule == RULE_NONE && kind == ITEM_TOOL)
			rule = decide_everyone(&q);
		if (rule == RULE_NONE)
			rule = decide_server(&q, kind);
		if (rule == RULE_NONE)
			rule = decide_item(&q, kind);
	}
	return (struct rbac_verdict){ rules[rule].allow, rule, q.glob };
}

bool
rbac_may_use_server(const struct pol_head *p, uint32_t user, uint32_t server)
{
	struct query q;

	if (!query_init(&q, p, user, server, ""))
		return false;
	if (decide_gate(&q) != RULE_NONE)
		return false;
	return q.role->is_admin || q.user->grants.all || q.access != NULL;
}

const char *
rbac_rule_text(enum rbac_rule rule)
{
	return rules[rule].text;
}

const char *
rbac_rule_name(enum rbac_rule rule)
{
	return rules[rule].name;
}

/* Where in the configuration a rule stands. */
enum place { PLACE_NONE, PLACE_GLOBAL, PLACE_USER, PLACE_ROLE, PLACE_SERVER,
	PLACE_RESTRICTION, PLACE_GRANTS, PLACE_ACCESS };

static const struct {
	enum place	 place;
	const char	*key;
} places[RULE_COUNT] = {
	[RULE_USER_INACTIVE]	= { PLACE_USER, ".active" },
	[RULE_SERVER_DISABLED]	= { PLACE_SERVER, ".enabled" },
	[RULE_OTHER_ORG]	= { PLACE_USER, ".org" },
	[RULE_NOT_EXPOSED]	= { PLACE_SERVER, ".tool_policy" },
	[RULE_BLOCKED]		= { PLACE_GLOBAL, ".blocked_tools" },
	[RULE_ADMIN_ONLY]	= { PLACE_GLOBAL, ".admin_only_tools" },
	[RULE_ADMIN]		= { PLACE_ROLE, "" },
	[RULE_ALL_SERVERS]	= { PLACE_GRANTS, "" },
	[RULE_SERVER_NOT_ALLOWED] = { PLACE_GRANTS, "" },
	[RULE_CUSTOM_MATCH]	= { PLACE_ACCESS, ".tools" },
	[RULE_CUSTOM_DENY]	= { PLACE_ACCESS, ".deny" },
	[RULE_CUSTOM_NO_MATCH]	= { PLACE_ACCESS, ".tools" },
	[RULE_MODE_ALL]		= { PLACE_ACCESS, "" },
	[RULE_ROLE_ALLOW_ALL]	= { PLACE_RESTRICTION, ".allow_all" },
	[RULE_ROLE_DENY_ALL]	= { PLACE_RESTRICTION, ".deny_all" },
	[RULE_ROLE_ALLOW_ONLY]	= { PLACE_RESTRICTION, ".allow_only" },
	[RULE_ROLE_NOT_IN_ONLY]	= { PLACE_RESTRICTION, ".allow_only" },
	[RULE_ROLE_DENY]	= { PLACE_RESTRICTION, ".deny" },
	[RULE_ROLE_NOT_DENIED]	= { PLACE_RESTRICTION, ".deny" },
	[RULE_ROLE_UNLISTED_DENY] = { PLACE_SERVER, ".role_restrictions" },
	[RULE_ROLE_UNLISTED_ALLOW] = { PLACE_SERVER, ".role_restrictions" },
	[RULE_NO_RESTRICTIONS]	= { PLACE_ACCESS, "" },
	[RULE_ROLE_TOOLS_DENY]	= { PLACE_ROLE, ".denied_tools" },
	[RULE_ROLE_TOOLS_NO_MATCH] = { PLACE_ROLE, ".allowed_tool_patterns" },
	[RULE_RESOURCE_MATCH]	= { PLACE_ACCESS, ".resources" },
	[RULE_RESOURCE_DENY]	= { PLACE_ACCESS, ".denied_resources" },
	[RULE_RESOURCE_NO_MATCH] = { PLACE_ACCESS, ".resources" },
	[RULE_RESOURCE_DOTS]	= { PLACE_ACCESS, ".resources" },
	[RULE_PROMPT_MATCH]	= { PLACE_ACCESS, ".prompts" },
	[RULE_PROMPT_NO_MATCH]	= { PLACE_ACCESS, ".prompts" },
	[RULE_SERVER_ALLOWED]	= { PLACE_ACCESS, "" },
};

/* "users[ada@example.org]", "mcps[github].role_restrictions.dba", ... */
static void
format_place(const struct query *q, enum place place, char *out, size_t size)
{
	const char *email = pol_cstr(q->p, q->user->email);
	const char *role = pol_cstr(q->p, q->role->name);
	const char *server = pol_cstr(q->p, q->server->name);
	bool own = q->user->grants.given;

	switch (place) {
	case PLACE_NONE:
		snprintf(out, size, "policy");
		break;
	case PLACE_GLOBAL:
		snprintf(out, size, "global");
		break;
	case PLACE_USER:
		snprintf(out, size, "users[%s]", email);
		break;
	case PLACE_ROLE:
		snprintf(out, size, "roles[%s]", role);
		break;
	case PLACE_SERVER:
		snprintf(out, size, "mcps[%s]", server);
		break;
	case PLACE_RESTRICTION:
		snprintf(out, size, "mcps[%s].role_restrictions.%s", server,
		    role);
		break;
	case PLACE_GRANTS:
	case PLACE_ACCESS:
		snprintf(out, size, "%s[%s].allowed_mcps%s%s",
		    own ? "users" : "roles", own ? email : role,
		    place == PLACE_GRANTS ? "" : ".",
		    place == PLACE_GRANTS ? "" :
		    q->access == NULL || q->access->server == POL_NONE ? "*" :
		    server);
		break;
	}
}

void
rbac_explain(const struct pol_head *p, uint32_t user, uint32_t server,
    const struct rbac_verdict *v, char *out, size_t size)
{
	struct query q;
	char place[384];

	if (!query_init(&q, p, user, server, "")) {
		snprintf(out, size, "%s", rules[v->rule].text);
		return;
	}
	format_place(&q, places[v->rule].place, place, sizeof(place));
	snprintf(out, size, "%s%s: %s", place,
	    places[v->rule].key == NULL ? "" : places[v->rule].key,
	    v->glob.len > 0 ? pol_cstr(p, v->glob) : rules[v->rule].text);
}
