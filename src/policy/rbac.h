/*
 * rbac -- may this user see and use this tool, resource or prompt?
 *
 * The one function behind listing, calling, chat, Slack, omni2ctl policy test:
 * rbac_decide(). Pure; reads a policy snapshot; deny by default. The order
 * (behaviour.md section 3.3, made strict):
 *  1 user active, server enabled and of the user's organisation
 *  2 server's tool_policy (exposure; everyone)          tools only
 *  3 global blocked_tools, unless the role is super     tools only
 *  4 global admin_only_tools, unless admin              tools only
 *  5 admin role, or allowed_mcps "*": allow (for "*" that is not admin the
 *    role's allowed_tools and denied_tools hold)
 *  6 server not in allowed_mcps: deny
 *  7 mode custom: globs minus deny; all: allow; inherit: role_restrictions of
 *    the server for the role (not named there: permissions.unlisted; none at
 *    all on the server: allow)
 *  8 the role's allowed_tools (if any) and denied_tools
 * Resources and prompts: 1, 5, 6, then their own lists where given; where a
 * list decides, a URI with a segment ".." is denied.
 */
#ifndef OMNI2_POLICY_RBAC_H
#define OMNI2_POLICY_RBAC_H

#include "base/buf.h"
#include "policy/snapshot.h"

enum item_kind { ITEM_TOOL, ITEM_RESOURCE, ITEM_TEMPLATE, ITEM_PROMPT,
	ITEM_KIND_COUNT };

/* Which rule decided: one byte for caches, a text for people. */
enum rbac_rule {
#define RULE(id, allow, text) RULE_##id,
#include "policy/rules.def"
#undef RULE
	RULE_COUNT
};

struct rbac_verdict {
	bool		allow;
	enum rbac_rule	rule;
	struct pol_str	glob;	/* that matched; len 0: none */
};

struct rbac_verdict rbac_decide(const struct pol_head *, uint32_t user,
	    uint32_t server, enum item_kind, const char *name);
/* May the user see anything of this server at all (its endpoint)? */
bool	rbac_may_use_server(const struct pol_head *, uint32_t user, uint32_t server);
const char *rbac_rule_text(enum rbac_rule);	/* "mode custom: no glob matches" */
const char *rbac_rule_name(enum rbac_rule);	/* "CUSTOM_NO_MATCH" */
/* "mcps[everything].tool_policy: delete_*" -- for audit and policy test. */
void	rbac_explain(const struct pol_head *, uint32_t user, uint32_t server,
	    const struct rbac_verdict *, char *out, size_t size);

#endif
