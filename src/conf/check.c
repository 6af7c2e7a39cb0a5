/*
 * check -- what a setting's text must look like, and how settings relate.
 *
 * Textual only: nothing is looked up, opened or bound here, so that a
 * configuration can be checked on another machine. The texts in why never
 * hold the value, which may be a secret.
 */
#include "conf/bind.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <sys/un.h>

#include "base/glob.h"
#include "base/num.h"

#define TOKEN_SECRET_MIN	32
#define WORKER_REQUESTS_MAX 8000	/* slots in shared memory */

typedef int check_fn(const char *, char *, size_t);

static int
because(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return -1;
}

static bool
has_space_or_control(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= 0x20 || *s == 0x7f)
			return true;
	return false;
}

static bool
is_address(int family, const char *p, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	return span_copy(text, sizeof(text), span_make(p, n)) && n > 0 &&
	    inet_pton(family, text, &addr) == 1;
}

static int
check_unix(const char *path, char *why, size_t size)
{
	struct sockaddr_un un;

	if (path[0] != '/')
		return because(why, size, "needs an absolute path: unix:/path");
	if (strlen(path) >= sizeof(un.sun_path))
		return because(why, size, "is too long for a socket path");
	return 0;
}

static int
check_listen(const char *v, char *why, size_t size)
{
	const char *colon = strrchr(v, ':');
	uint64_t port;
	size_t n;

	if (strncmp(v, "unix:", 5) == 0)
		return check_unix(v + 5, why, size);
	if (colon == NULL)
		return because(why, size, "has no port; write address:port, "
		    "[v6]:port, *:port or unix:/path");
	if (num_u64(span_str(colon + 1), 0, 65535, &port) < 0)
		return because(why, size, "has no port number (0..65535) "
		    "behind its last colon");
	n = (size_t)(colon - v);
	if ((n == 1 && v[0] == '*') || is_address(AF_INET, v, n))
		return 0;
	if (n > 2 && v[0] == '[' && v[n - 1] == ']' &&
	    is_address(AF_INET6, v + 1, n - 2))
		return 0;
	if (is_address(AF_INET6, v, n))
		return because(why, size, "is an IPv6 address without brackets;"
		    " write [v6]:port");
	return because(why, size, "is not an IP address; write address:port, "
	    "[v6]:port, *:port or unix:/path");
}

static int
check_address(const char *v, char *why, size_t size)
{
	if (is_address(AF_INET, v, strlen(v)) ||
	    is_address(AF_INET6, v, strlen(v)))
		return 0;
	return because(why, size, "is not an IP address");
}

/* host, host:port, [v6], [v6]:port as they stand in a Host header. */
static int
check_host(const char *v, char *why, size_t size)
{
	static const char host_bytes[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	const char *end;
	uint64_t port;

	if (v[0] == '[') {
		end = strchr(v, ']');
		if (end == NULL || !is_address(AF_INET6, v + 1,
		    (size_t)(end - v) - 1))
			return because(why, size, "is not [v6] or [v6]:port");
		end++;
	} else
		end = v + strspn(v, host_bytes);
	if (end == v || (*end != '\0' && *end != ':') || (*end == ':' &&
	    num_u64(span_str(end + 1), 1, 65535, &port) < 0))
		return because(why, size, "is not host or host:port");
	return 0;
}

int
check_url(const char *v, const char *scheme, char *why, size_t size)
{
	size_t n = strlen(scheme);
	char authority[256];
	const char *host;

	host = strncmp(v, scheme, n) == 0 ? v + n : "";
	if (*host == 's')
		host++;
	if (strncmp(host, "://", 3) != 0) {
		snprintf(why, size, "must begin with %s:// or %ss://", scheme,
		    scheme);
		return -1;
	}
	if (has_space_or_control(v) || strpbrk(v, "#\\\"<>") != NULL)
		return because(why, size,
		    "has a character that a URL must not have");
	host += 3;
	n = strcspn(host, "/?");
	if (memchr(host, '@', n) != NULL)
		return because(why, size, "must not hold a user or password");
	if (!span_copy(authority, sizeof(authority), span_make(host, n)) ||
	    check_host(authority, why, size) < 0)
		return because(why, size, "has no valid host");
	return 0;
}

static int
check_public_url(const char *v, char *why, size_t size)
{
	return v[0] == '\0' ? 0 : check_url(v, "http", why, size);
}

static int
check_origin(const char *v, char *why, size_t size)
{
	const char *host;

	if (strchr(v, '*') != NULL)
		return because(why, size, "is a wildcard; name each origin");
	if (check_url(v, "http", why, size) < 0)
		return -1;
	host = strstr(v, "://") + 3;
	if (host[strcspn(host, "/?")] != '\0')
		return because(why, size, "must end after host or port");
	return 0;
}

static int
check_directory(const char *v, char *why, size_t size)
{
	if (v[0] != '/')
		return because(why, size, "is not an absolute path");
	return 0;
}

/* or none */
static int
check_file(const char *v, char *why, size_t size)
{
	return v[0] == '\0' ? 0 : check_directory(v, why, size);
}

static int
check_program(const char *v, char *why, size_t size)
{
	return v[0] == '\0' ? 0 : check_directory(v, why, size);
}

static int
check_word(const char *v, char *why, size_t size)
{
	if (has_space_or_control(v))
		return because(why, size,
		    "has a space or control character");
	return 0;
}

static int
check_word_given(const char *v, char *why, size_t size)
{
	if (v[0] == '\0')
		return because(why, size, "must not be empty");
	return check_word(v, why, size);
}

static int
check_database_url(const char *v, char *why, size_t size)
{
	if (strncmp(v, "postgresql://", 13) == 0 ||
	    strncmp(v, "postgres://", 11) == 0 ||
	    (strstr(v, "://") == NULL && strchr(v, '=') != NULL))
		return 0;
	return because(why, size, "must begin with postgresql:// or be a list "
	    "of keyword=value");
}

static int
check_token_secret(const char *v, char *why, size_t size)
{
	if (strlen(v) >= TOKEN_SECRET_MIN)
		return 0;
	snprintf(why, size, "must have at least %d characters",
	    TOKEN_SECRET_MIN);
	return -1;
}

static int
check_glob(const char *v, char *why, size_t size)
{
	if (v[0] != '\0' && glob_valid(v))
		return 0;
	return because(why, size, "is not a pattern");
}

static const struct {
	const char	*key;
	check_fn	*fn;
} checks[] = {
	{ "server.listen",		check_listen },
	{ "server.tls.listen",		check_listen },
	{ "server.tls.certificate",	check_file },
	{ "server.tls.key",		check_file },
	{ "server.public_url",		check_public_url },
	{ "server.allowed_hosts",	check_host },
	{ "server.allowed_origins",	check_origin },
	{ "server.trusted_proxies",	check_address },
	{ "server.metrics_clients",	check_address },
	{ "server.run_dir",		check_directory },
	{ "server.state_dir",		check_directory },
	{ "server.user",		check_word },
	{ "server.node",		check_word },
	{ "database.url",		check_database_url },
	{ "auth.token_secret",		check_token_secret },
	{ "auth.issuer",		check_word_given },
	{ "audit.redact",		check_glob },
	{ "stdio.user",			check_word },
	{ "stdio.launcher",		check_program },
};

int
check_value(const char *key, const char *value, char *why, size_t why_size)
{
	size_t i;

	for (i = 0; i < BIND_COUNT(checks); i++)
		if (strcmp(checks[i].key, key) == 0)
			return checks[i].fn(value, why, why_size);
	return 0;
}

/* low <= high; the finding is at the one that was given. */
static void
check_order(struct bind *b, const char *low_key, int64_t low,
    const char *high_key, int64_t high)
{
	const struct yaml_node *l = bind_given(b, low_key);
	const struct yaml_node *h = bind_given(b, high_key);

	if (low <= high || (l == NULL && h == NULL))
		return;
	if (h != NULL)
		bind_error(b, h, high_key, "%lld is less than %s, which is "
		    "%lld%s", (long long)high, low_key, (long long)low,
		    l == NULL ? " by default" : "");
	else
		bind_error(b, l, low_key, "%lld is more than %s, which is "
		    "%lld by default", (long long)low, high_key,
		    (long long)high);
}

static void
check_workers(struct bind *b, const struct conf *c)
{
	int64_t all = c->max_workers * c->worker_requests;
	const char *key = "server.workers.max";
	const struct yaml_node *node = bind_given(b, key);

	if (node == NULL)
		node = bind_given(b, key = "server.workers.requests");
	if (node == NULL)
		node = bind_given(b, key = "server.workers.max_spare");
	if (node == NULL)
		return;
	if (all < c->max_spare)
		bind_error(b, node, key, "%lld workers with %lld requests each "
		    "are less than server.workers.max_spare, which is %lld",
		    (long long)c->max_workers, (long long)c->worker_requests,
		    (long long)c->max_spare);
	if (all > WORKER_REQUESTS_MAX)
		bind_error(b, node, key, "%lld workers with %lld requests each "
		    "are more than %d requests in all",
		    (long long)c->max_workers, (long long)c->worker_requests,
		    WORKER_REQUESTS_MAX);
}

void
check_settings(struct bind *b)
{
	const struct yaml_node *node = bind_given(b, "server.listen");
	const struct conf *c = b->conf;

	check_order(b, "server.workers.min_spare", c->min_spare,
	    "server.workers.max_spare", c->max_spare);
	check_workers(b, c);
	if (node != NULL && node->kind == YAML_TREE_LIST && node->n == 0)
		bind_error(b, node, "server.listen",
		    "needs at least one address");
}

int
check_role_name(const char *name, char *why, size_t size)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strlen(name);

	if (n == 0 || n > 63 || strspn(name, bytes) != n)
		return because(why, size, "is not a role name (1 to 63 of "
		    "letters, digits, \"_\", \".\", \"-\")");
	return 0;
}

int
check_email(const char *v, char *why, size_t size)
{
	const char *at = strchr(v, '@');

	if (at == NULL || at == v || at[1] == '\0' ||
	    strchr(at + 1, '@') != NULL || has_space_or_control(v))
		return because(why, size, "is not an e-mail address");
	if (strlen(v) > 254)
		return because(why, size, "is longer than 254 bytes");
	return 0;
}
