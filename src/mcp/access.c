/*
 * access -- everything that must be true before a method runs: origin,
 * identity, session, permission, limit.
 *
 * Worker only. Reads the pinned snapshots; no database, no lock. Every refusal
 * names what decided.
 */
#include "mcp/mcp_int.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "net/url.h"
#include "shm/client.h"
#include "shm/perm.h"
#include "shm/rate.h"

static bool
list_has_nocase(const struct conf_list *l, struct span s)
{
	uint32_t i;

	for (i = 0; i < l->n; i++)
		if (span_is_nocase(s, l->item[i]))
			return true;
	return false;
}

/* host of "host:port", "[v6]:port" */
static struct span
host_of(struct span authority)
{
	const char *end;

	if (authority.n > 0 && authority.p[0] == '[') {
		end = memchr(authority.p, ']', authority.n);
		return end == NULL ? authority :
		    span_make(authority.p + 1, (size_t)(end - authority.p) - 1);
	}
	end = memchr(authority.p, ':', authority.n);
	return end == NULL ? authority :
	    span_make(authority.p, (size_t)(end - authority.p));
}

static bool
is_ip_literal(struct span host)
{
	size_t i;
	bool colon = memchr(host.p, ':', host.n) != NULL;

	if (host.n == 0)
		return false;
	for (i = 0; i < host.n; i++) {
		char ch = host.p[i];

		if ((ch >= '0' && ch <= '9') || ch == '.' || ch == ':')
			continue;
		if (colon && ((ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F')))
			continue;
		return false;
	}
	return true;
}

/* A DNS name that an attacker controls must not reach us (DNS rebinding): only
 * addresses, localhost and configured names are accepted as Host. */
bool
mcp_host_is_allowed(const struct conf *conf, struct span authority)
{
	struct span host = host_of(authority);
	struct url u;
	struct err e;

	if (is_ip_literal(host) || span_is_nocase(host, "localhost"))
		return true;
	if (conf->public_url[0] != '\0' &&
	    url_parse(&u, span_str(conf->public_url), &e) == 0 &&
	    host.n == u.host.n && strncasecmp(host.p, u.host.p, host.n) == 0)
		return true;
	return list_has_nocase(&conf->allowed_hosts, host) ||
	    list_has_nocase(&conf->allowed_hosts, authority);
}

static bool
origin_is_allowed(const struct conf *conf, struct span origin, struct span host)
{
	struct span authority;
	size_t skip;

	if (span_starts(origin, "http://"))
		skip = 7;
	else if (span_starts(origin, "https://"))
		skip = 8;
	else
		return false;
	authority = span_skip(origin, skip);
	if (authority.n == host.n &&
	    strncasecmp(authority.p, host.p, host.n) == 0)
		return true;
	if (conf->public_url[0] != '\0' &&
	    span_starts(span_str(conf->public_url), "http")) {
		struct span pub = span_str(conf->public_url);

		if (pub.n >= origin.n &&
		    strncasecmp(pub.p, origin.p, origin.n) == 0 &&
		    (pub.n == origin.n || pub.p[origin.n] == '/'))
			return true;
	}
	return list_has_nocase(&conf->allowed_origins, origin);
}

int
mcp_check_names(const struct conf *conf, const struct http_head *h,
    struct err *e)
{
	struct span host = h->known[HTTP_H_HOST];
	struct span origin = h->known[HTTP_H_ORIGIN];

	if (host.p != NULL && !mcp_host_is_allowed(conf, host))
		return err_set(e, ERR_ORIGIN, "Host %.*s is not one of this "
		    "server's names; add it to server.allowed_hosts",
		    (int)(host.n > 100 ? 100 : host.n), host.p);
	if (origin.p != NULL && !origin_is_allowed(conf, origin,
	    host.p == NULL ? SPAN_LIT("") : host))
		return err_set(e, ERR_ORIGIN, "Origin %.*s is not allowed; add "
		    "it to server.allowed_origins",
		    (int)(origin.n > 100 ? 100 : origin.n), origin.p);
	return 0;
}

int
mcp_check_origin(struct mcp_call *c, struct err *e)
{
	return mcp_check_names(&c->mcp->conf, c->http->head, e);
}

/* Only called for an Origin that mcp_check_origin() let through. */
void
mcp_cors_headers(struct mcp_call *c, bool preflight)
{
	struct http_reply *r = c->http->reply;
	struct span origin = c->http->head->known[HTTP_H_ORIGIN];
	char text[256];

	if (origin.p == NULL || !span_copy(text, sizeof(text), origin))
		return;
	http_reply_header(r, "Access-Control-Allow-Origin", text);
	http_reply_header(r, "Vary", "Origin");
	http_reply_header(r, "Access-Control-Expose-Headers",
	    "Mcp-Session-Id, WWW-Authenticate, Retry-After");
	if (!preflight)
		return;
	http_reply_header(r, "Access-Control-Allow-Methods",
	    "POST, GET, DELETE, OPTIONS");
	http_reply_header(r, "Access-Control-Allow-Headers",
	    "Authorization, X-API-Key, Content-Type, Accept, Mcp-Session-Id, "
	    "MCP-Protocol-Version, Mcp-Method, Mcp-Name, Last-Event-ID");
	http_reply_header(r, "Access-Control-Max-Age", "100");
}

int
mcp_pin(struct mcp_call *c, struct err *e)
{
	c->policy = shm_pin(c->mcp->shm, SNAP_POLICY, &c->policy_generation);
	if (c->policy == NULL)
		return err_set(e, ERR_UNAVAILABLE,
		    "no configuration is loaded yet; try again");
	c->catalog = shm_pin(c->mcp->shm, SNAP_CATALOG, &c->catalog_generation);
	return 0;
}

void
mcp_unpin(struct mcp_call *c)
{
	if (c->catalog != NULL)
		shm_unpin(c->mcp->shm, SNAP_CATALOG);
	if (c->policy != NULL)
		shm_unpin(c->mcp->shm, SNAP_POLICY);
	c->catalog = NULL;
	c->policy = NULL;
}

int
mcp_authenticate(struct mcp_call *c, struct err *e)
{
	const struct http_head *h = c->http->head;
	const struct pol_user *u;
	bool is_key_header = false;
	struct span value = h->known[HTTP_H_AUTHORIZATION];

	c->decision = AUDIT_UNAUTHENTICATED;
	if (value.p == NULL && h->known[HTTP_H_X_API_KEY].p != NULL) {
		value = h->known[HTTP_H_X_API_KEY];
		is_key_header = true;
	}
	if (auth_check(c->policy, c->policy_generation, value, is_key_header,
	    c->policy->db_loaded != 0, c->wall_us / 1000000, &c->who, e) < 0)
		return -1;
	u = pol_user(c->policy, c->who.user);
	span_copy(c->email, sizeof(c->email), pol_span(c->policy, u->email));
	span_copy(c->role, sizeof(c->role),
	    pol_span(c->policy, pol_role(c->policy, u->role)->name));
	span_copy(c->org, sizeof(c->org), pol_span(c->policy,
	    ((const struct pol_str *)pol_at(c->policy,
	    c->policy->orgs.off))[u->org]));
	c->limit_per_hour = u->limit_per_hour;
	c->known = true;
	c->decision = AUDIT_ALLOW;
	return 0;
}

struct span
mcp_endpoint(const struct mcp_call *c)
{
	return c->http->server.p == NULL ? SPAN_LIT("*") : c->http->server;
}

int
mcp_check_session(struct mcp_call *c, struct err *e)
{
	struct span id = c->http->head->known[HTTP_H_MCP_SESSION_ID];

	if (id.p == NULL || c->modern)
		return 0;
	if (span_is(c->msg.method, "initialize"))
		return 0;
	if (session_open(id, mcp_endpoint(c), c->who.user_id,
	    c->wall_us / 1000000, &c->session, e) < 0)
		return -1;
	if (shm_client_is_ended(c->mcp->shm, c->session.id))
		return err_set(e, ERR_SESSION, "Session not found or expired");
	c->has_session = true;
	if (c->http->head->known[HTTP_H_MCP_VERSION].p == NULL)
		c->revision = c->session.revision;
	return 0;
}

bool
mcp_may(struct mcp_call *c, uint32_t server, enum item_kind kind,
    struct span name, uint32_t item, bool explain)
{
	struct shm *shm = c->mcp->shm;
	struct shm_slot *self = shm_self(shm);
	struct perm_key key = { c->policy_generation, c->catalog_generation,
	    c->who.user, item };
	struct rbac_verdict v = { false, RULE_NONE, { 0, 0 } };
	uint64_t cached;

	if (item != CAT_NONE && shm_perm_get(shm, &key, &cached)) {
		shm_count_in(self, C_PERM_HITS, 1);
		if ((cached >> 8) != 0 || !explain) {
			if (explain)
				span_copy(c->rule, sizeof(c->rule), span_str(
				    rbac_rule_text((enum rbac_rule)(cached & 0xff))));
			return (cached >> 8) != 0;
		}
	}
	/* names in snapshots end in NUL; those from requests are copied, and
	 * of one with a NUL inside the patterns would see its beginning only */
	if (item != CAT_NONE || memchr(name.p, '\0', name.n) == NULL)
		v = rbac_decide(c->policy, c->who.user, server, kind,
		    item != CAT_NONE ? name.p :
		    arena_strdup(c->mcp->mem, name));
	if (item != CAT_NONE) {
		shm_count_in(self, C_PERM_MISSES, 1);
		shm_perm_put(shm, &key, (uint64_t)v.allow << 8 | v.rule);
	}
	/* an allowed call's rule reads the same whether it was cached or not */
	if (explain && v.allow)
		span_copy(c->rule, sizeof(c->rule),
		    span_str(rbac_rule_text(v.rule)));
	else if (explain)
		rbac_explain(c->policy, c->who.user, server, &v, c->rule,
		    sizeof(c->rule));
	return v.allow;
}

static int
say_limited(const struct mcp_call *c, const struct rate_info *info,
    int64_t window_ms, int64_t now, struct err *e)
{
	int64_t left_s = (info->reset_ms - now + 999) / 1000;
	char window[48];

	/* minutes are cut, seconds rounded up: who waits as told may pass */
	if (left_s < 1)
		left_s = 1;
	if (window_ms == 3600000)
		snprintf(window, sizeof(window), "hour");
	else if (window_ms % 60000 == 0)
		snprintf(window, sizeof(window), "%lld minutes",
		    (long long)(window_ms / 60000));
	else
		snprintf(window, sizeof(window), "%lld seconds",
		    (long long)(window_ms / 1000));
	err_set(e, ERR_RATE, "Rate limit exceeded. You've made %u/%u requests "
	    "in the last %s. Please try again in %lld minutes.", info->used,
	    info->limit, window,
	    (long long)((info->reset_ms - now - 1) / 60000));
	e->retry_after_s = (int)left_s;
	return -1;
}

static int
no_room(struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, "the table of request limits is "
	    "full; raise limits.rate_principals");
}

static int
limit_server(struct mcp_call *c, const struct pol_server *s, int64_t now,
    struct err *e)
{
	struct rate_info info;
	enum rate_verdict v;

	v = shm_rate_take(c->mcp->shm, RATE_SERVER, (uint64_t)s->id,
	    s->rate_per_minute, 60000, now, &info);
	if (v == RATE_GRANTED)
		return 0;
	if (v == RATE_NO_ROOM)
		return no_room(e);
	snprintf(c->rule, sizeof(c->rule), "mcps[%s].rate_limit: %u per minute",
	    c->server_name, s->rate_per_minute);
	err_set(e, ERR_RATE, "Rate limit exceeded. Server %s takes %u requests "
	    "per minute.", c->server_name, s->rate_per_minute);
	e->retry_after_s = (int)((info.reset_ms - now + 999) / 1000);
	return -1;
}

static int
limit_user(struct mcp_call *c, bool take, int64_t now, struct err *e)
{
	int64_t window = c->mcp->conf.rate_window_ms;
	struct rate_info info;
	enum rate_verdict v;

	/* looking after a task belongs to the call that made it */
	if (c->limit_per_hour == 0 || span_starts(c->msg.method, "tasks/"))
		return 0;
	v = (take ? shm_rate_take : shm_rate_peek)(c->mcp->shm, RATE_USER,
	    (uint64_t)c->who.user_id, c->limit_per_hour, window, now, &info);
	if (v == RATE_GRANTED)
		return 0;
	if (v == RATE_NO_ROOM)
		return no_room(e);
	snprintf(c->rule, sizeof(c->rule), "request limit of the user: "
	    "%u per window", c->limit_per_hour);
	return say_limited(c, &info, window, now, e);
}

/*
 * Takes one request of the caller's hourly limit and of the server's. Only
 * granted requests are counted, so a refused one does not prolong the wait,
 * and who is over the own limit takes nothing of what the others share.
 */
int
mcp_limit(struct mcp_call *c, struct err *e)
{
	const struct pol_server *s = pol_server(c->policy, c->server);
	int64_t now = clock_mono_ms();

	c->decision = AUDIT_LIMIT;
	if (s->rate_per_minute > 0 && (limit_user(c, false, now, e) < 0 ||
	    limit_server(c, s, now, e) < 0))
		return -1;
	if (limit_user(c, true, now, e) < 0)
		return -1;
	c->counted = true;
	c->decision = AUDIT_ALLOW;
	return 0;
}
