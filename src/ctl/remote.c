/*
 * remote -- the omni2 at --url instead of that of this machine: where it is,
 * and what it is asked with. A token comes from a file or the environment,
 * never from the command line, which everybody can read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fdio.h"
#include "ctl/call.h"
#include "ctl/screen.h"
#include "net/url.h"
#include "upstream/fetch.h"
#include "upstream/upstream.h"

#define TOKEN_MAX	8192
#define ANSWER_MAX	(1u << 30)

static char token[TOKEN_MAX];

/* One token and nothing else: it goes into a header. */
static void
check_token(const char *from)
{
	size_t n = strlen(token), i;

	while (n > 0 && strchr(" \t\r\n", token[n - 1]) != NULL)
		token[--n] = '\0';
	for (i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] > '~')
			n = 0;
	if (n == 0)
		ctl_fail(EXIT_USAGE, "%s: an API key or a token must stand "
		    "there, and nothing else", from);
}

static void
read_token(const char *path)
{
	if (fdio_read_file(path, token, sizeof(token)) < 0)
		ctl_fail_file(path);
	check_token(path);
}

static bool
is_loopback(struct span host)
{
	return span_is_nocase(host, "localhost") || span_is(host, "::1") ||
	    span_starts(host, "127.");
}

/* A token in clear text is for everybody on the way. */
static void
set_url(struct ctl *c, const char *from, const char *url)
{
	struct url u;
	struct err e;
	size_t n = strlen(url);

	if (url_parse(&u, span_str(url), &e) < 0)
		ctl_fail(EXIT_USAGE, "%s: %s", from, e.text);
	if (!span_is(u.scheme, "https") && !(span_is(u.scheme, "http") &&
	    is_loopback(u.host)))
		ctl_fail(EXIT_USAGE, "%s: must be https://, or the token "
		    "would travel in clear text (http:// is for this machine "
		    "and for tunnels that end here)", from);
	if (memchr(u.path.p, '?', u.path.n) != NULL)
		ctl_fail(EXIT_USAGE, "%s: must end before its \"?\"", from);
	while (n > 0 && url[n - 1] == '/')
		n--;
	c->url = ctl_text("%.*s", (int)n, url);
}

bool
remote_option(struct ctl *c, const char *name, const char *value)
{
	if (strcmp(name, "--url") == 0)
		set_url(c, name, value);
	else if (strcmp(name, "--token-file") == 0)
		read_token(value);
	else if (strcmp(name, "--cacert") == 0)
		c->ca_file = value;
	else
		return false;
	return true;
}

void
remote_environment(struct ctl *c)
{
	const char *url = getenv("OMNI2_URL"), *text = getenv("OMNI2_TOKEN");

	if (c->url == NULL && url != NULL && url[0] != '\0') {
		set_url(c, "OMNI2_URL", url);
		c->url_from_environment = true;
	}
	if (c->url == NULL) {
		if (token[0] != '\0' || c->ca_file != NULL)
			ctl_fail(EXIT_USAGE, "--token-file and --cacert are "
			    "of no use without --url");
		return;
	}
	if (token[0] == '\0' && text != NULL && text[0] != '\0') {
		if (!span_copy(token, sizeof(token), span_str(text)))
			ctl_fail(EXIT_USAGE, "OMNI2_TOKEN: is too long");
		check_token("OMNI2_TOKEN");
	}
}

int
remote_run(struct ctl *c, enum http_method method, const char *path,
    struct span body, struct buf *out)
{
	static const char *const methods[] = { [HTTP_GET] = "GET",
	    [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE",
	    [HTTP_PATCH] = "PATCH" };
	struct fetch f = { .method = methods[method],
	    .url = ctl_text("%s%s", c->url, path), .token = token,
	    .ca_file = c->ca_file, .body = body };
	struct err e;
	int status;

	if (token[0] == '\0')
		ctl_fail(EXIT_USAGE, "%s wants to know who asks: name a file "
		    "with an API key or token by --token-file, or set "
		    "OMNI2_TOKEN", c->url);
	upstream_global_init();
	screen_progress("waiting for %s", c->url);
	status = fetch_run(&f, out, &e);
	screen_progress(NULL);
	if (status < 0)
		ctl_fail_err(&e);
	return status;
}
